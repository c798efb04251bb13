"""Time what users wait for: the first help screen, and the three reports of the demo study.

    python scripts/benchmark.py            each figure beside its target; exit code 1 when missed
    python scripts/benchmark.py --json     for machines

Run it with the project's own Python (.venv). Every figure is the best of several runs, since
all that disturbs a run makes it longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HELP_RATIO = 3.0
DEMO_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and the most it may be."""

    name: str
    value: float
    target: float
    unit: str

    @property
    def met(self) -> bool:
        return self.value <= self.target


def seconds(command: Sequence[str]) -> float:
    """Wall time of one run of this Python with the words of `command`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=PROJECT)
    return time.perf_counter() - start


def best(measure: Callable[[], float], runs: int) -> float:
    """The shortest of several runs."""
    return min(measure() for _ in range(runs))


def help_ratio() -> Figure:
    """`recovery-stats --help` against `import click`, interleaved so that both meet one machine."""
    ours, click = [], []
    for _ in range(10):
        click.append(seconds(["-c", "import click"]))
        ours.append(seconds(["-m", "recovery_stats", "--help"]))
    return Figure("--help / import click", min(ours) / min(click), HELP_RATIO, "times")


def demo_run() -> Figure:
    """The three reports of the synthetic study, from a cold start, into an empty folder."""

    def once() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(["-m", "recovery_stats", "run", "-o", str(Path(folder) / "reports")])

    return Figure("demo run, three reports", best(once, 2), DEMO_SECONDS, "s")


FIGURES: tuple[Callable[[], Figure], ...] = (help_ratio, demo_run)


def main() -> int:
    """Measure and tell."""
    figures = [measure() for measure in FIGURES]
    if "--json" in sys.argv[1:]:
        print(json.dumps([{**asdict(f), "met": f.met} for f in figures], indent=1))
    else:
        for f in figures:
            verdict = "ok" if f.met else "MISSED"
            print(f"{f.name:<28} {f.value:7.2f} {f.unit:<6} target {f.target:g}  {verdict}")
    return 0 if all(f.met for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
