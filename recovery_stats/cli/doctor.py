"""recovery-stats doctor"""

from __future__ import annotations

import locale
import math
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from recovery_stats import __version__
from recovery_stats.cli.output import FOUND
from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.cli.selftest import Trial

OPTIONAL = {
    "docx": ("docx", "Word reports"),
    "weasyprint": ("weasyprint", "PDF reports"),
    "polars-readstat": ("polars_readstat", "fast reading of large .sav files"),
    "formulaic": ("formulaic", "the test that compares our design matrices"),
}


@click.command("doctor")
@screened
def command(screen: Screen) -> int:
    """Show versions, threads and optional parts, and test the installation.

    The self-test asks every engine for answers that R gave or that paper gives. Exit code 7 when
    one is missed. --json is fit for a validation file: it holds the hashes of the program's source
    and of the reference values, and every answer beside what was expected, and its source.
    """
    from recovery_stats.cli.selftest import run_all, seal
    from recovery_stats.study import batch

    began = perf_counter()
    tests = run_all()
    facts: dict[str, Any] = {
        "self_test": {
            "asked": len(tests),
            "passed": sum(test.passed for test in tests),
            "engines": sorted({test.engine for test in tests}),
            "seconds": round(perf_counter() - began, 2),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "source_sha256": batch.versions()["recovery_stats"],
            "reference_sha256": seal(),
        },
        "versions": batch.versions(),
        "system": _system(),
        "threads": _threads(),
        "optional": {name: find_spec(module) is not None for name, (module, _) in OPTIONAL.items()},
        "tests": [_record(test) for test in tests],
    }
    if screen.as_json:
        screen.data(facts)
    else:
        _tell(facts, screen)
    return 0 if all(test.passed for test in tests) else FOUND


def _record(test: Trial) -> dict[str, Any]:
    """A trial as JSON has it: no number where there was no answer."""
    found = test.found if math.isfinite(test.found) else None
    return {**asdict(test), "found": found, "passed": test.passed}


def _system() -> dict[str, str]:
    return {
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "in environment": str(sys.prefix != sys.base_prefix),
        "processors": str(os.cpu_count()),
        "locale": ".".join(part or "C" for part in locale.getlocale()),
        "encoding": sys.stdout.encoding or "",
        "font": _font(),
    }


def _font() -> str:
    """Figures need the font that comes with matplotlib; nothing of the system's."""
    spec = find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    found = (folder / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf").is_file()
    return "DejaVu Sans (with matplotlib)" if found else "not found: figures will differ"


def _threads() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    kept = ("internal_api", "num_threads", "version")
    return [{k: pool.get(k) for k in kept} for pool in threadpool_info()]


def _shown(name: str, value: str) -> str:
    """The program by its version and the beginning of the hash of its source."""
    return f"{__version__} (source {value[:12]})" if name == "recovery_stats" else value


def _tell(facts: dict[str, Any], screen: Screen) -> None:
    for heading in ("versions", "system"):
        screen.result(click.style(heading.capitalize(), bold=True))
        for name, value in facts[heading].items():
            screen.result(f"  {name:<16} {_shown(name, value)}")
    screen.result(click.style("Threads (analyses use one)", bold=True))
    for pool in facts["threads"]:
        screen.result(f"  {pool['internal_api']:<16} {pool['num_threads']}")
    screen.result(click.style("Optional parts", bold=True))
    for name, there in facts["optional"].items():
        mark = screen.mark("ok", "yes") if there else "no "
        screen.result(f"  {name:<16} {mark}  {OPTIONAL[name][1]}")
    _tell_tests(facts, screen)


def _tell_tests(facts: dict[str, Any], screen: Screen) -> None:
    screen.result(click.style("Self-test", bold=True))
    for test in facts["tests"]:
        mark = screen.mark("ok", "ok") if test["passed"] else screen.mark("fail", "FAILED")
        seen = test["fault"] or f"{_number(test['found'])}, expected {test['expected']:.12g}"
        screen.result(f"  {test['name']:<50} {mark}  {seen}")
    of = facts["self_test"]
    screen.result(
        f"  {of['passed']} of {of['asked']} passed in {of['seconds']:.1f} s; "
        f"reference values {of['reference_sha256'][:12]}"
    )


def _number(found: float | None) -> str:
    return "no number" if found is None else f"{found:.12g}"
