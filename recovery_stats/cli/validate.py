"""recovery-stats validate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recovery_stats.cli.screen import Screen, screened

if TYPE_CHECKING:
    from recovery_stats.core.check import Check
    from recovery_stats.core.study import Privacy
    from recovery_stats.data.problem import Problem


@click.command("validate")
@click.argument("study", type=click.Path(path_type=Path), default=Path("study.toml"))
@click.option("--allow-outside", is_flag=True, help="Tables may lie outside the study's folder.")
@click.option("--strict", is_flag=True, help="Exit with 7 when a check failed.")
@screened
def command(study: Path, allow_outside: bool, strict: bool, screen: Screen) -> int:
    """Report every problem of a study file and of its data, each with its line and its cure."""
    from recovery_stats.data.problem import ProtocolError
    from recovery_stats.study.examination import examine

    screen.progress(f"Reading {study} …")
    try:
        with screen.watching():
            found = examine(study, allow_outside=allow_outside)
    except ProtocolError as error:
        return _told(error.problems, (), error.exit_code, study, screen)
    checks = _disclosed(found.checks, found.protocol.privacy)
    failed = strict and any(c.verdict == "fail" for c in checks)
    return _told(found.problems, checks, found.exit_code or (7 if failed else 0), study, screen)


def _told(problems: Any, checks: Any, code: int, study: Path, screen: Screen) -> int:
    if screen.as_json:
        screen.data(
            {"problems": [_plain(p) for p in problems], "checks": [_line(c) for c in checks]}
        )
        return code
    for problem in problems:
        screen.result(problem.text(study.name))
    for check in checks:
        if check.verdict != "ok" or screen.verbosity > 0:
            name, verdict, about, words = _line(check).values()
            mark = screen.mark(check.verdict, verdict)
            screen.say(f"{mark}: {name}{f' ({about})' if about else ''}: {words}")
    if problems:
        screen.say(f"{len(problems)} problem(s).")
    else:
        screen.result(f"{study}: no problems.")
    return code


def _disclosed(checks: Sequence[Check], privacy: Privacy) -> tuple[Check, ...]:
    """The checks with their small counts hidden, as a report would show them."""
    from recovery_stats.core.document import Checks, Document
    from recovery_stats.report.disclose import disclose

    document = Document("validate", "", "", (Checks(tuple(checks)),))
    shown = disclose(document, privacy).blocks
    return tuple(c for block in shown if isinstance(block, Checks) for c in block.checks)


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "where": problem.where,
        "message": problem.message,
        "cure": problem.cure,
    }


def _line(check: Check) -> dict[str, str]:
    from recovery_stats.report.numbers import sentence

    return {
        "name": check.name,
        "verdict": check.verdict,
        "about": check.about,
        "words": sentence(check.parts),
    }
