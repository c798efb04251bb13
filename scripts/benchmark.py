"""Time what users wait for: the first help screen, the demo study, and models against the peers.

    python scripts/benchmark.py            start-up, endpoints, demo; exit code 1 on a miss
    python scripts/benchmark.py --json     the same for machines
    python scripts/benchmark.py survival   the ladder of survival; options as for mixed
    python scripts/benchmark.py impute     the ladder of imputation
    python scripts/benchmark.py render     the demo reports in every format, their numbers known
    python scripts/benchmark.py mixed      a ladder of models; --only b,c takes some of its rungs
                                           --peers PYTHON (or RECOVERY_STATS_PEERS): an interpreter
                                           that has the peers of PyPI; R is used where it is found
                                           --contenders ours,lme4 lets only these take turns
                                           --write FILE puts the table there

Run it with the project's own Python (.venv). Every figure is the best of several runs, since
all that disturbs a run makes it longer. Ladders are described in `benchmark_ladder`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
PROJECT = SCRIPTS.parent
sys.path[:0] = [str(SCRIPTS), str(PROJECT)]

from benchmark_ladder import imputation, mixed, rendering, survival  # noqa: E402
from benchmark_ladder.rung import Ladder, Outcome, Places, climb, markdown, rows  # noqa: E402

LADDERS: dict[str, Callable[[Places], Ladder]] = {
    "impute": imputation.ladder,
    "mixed": mixed.ladder,
    "survival": survival.ladder,
}
HELP_RATIO = 3.0
ENDPOINT_SECONDS = 2.0
PEOPLE = 3560  # as many as CTN-0094 has
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


def library_of_endpoints() -> Figure:
    """Every published endpoint of 3,560 people with patterns of 15 to 39 weeks."""
    import numpy as np

    from recovery_stats.data.endpoints import ENDPOINTS, endpoint

    rng = np.random.default_rng(1)
    patterns = ["".join(rng.choice([*"+-*o"], n)) for n in rng.integers(15, 40, PEOPLE)]

    def once() -> float:
        start = time.perf_counter()
        for name in ENDPOINTS:
            endpoint(patterns, name)
        return time.perf_counter() - start

    return Figure(
        f"{len(ENDPOINTS)} endpoints, {PEOPLE} people", best(once, 3), ENDPOINT_SECONDS, "s"
    )


FIGURES: tuple[Callable[[], Figure], ...] = (help_ratio, library_of_endpoints, demo_run)


# --- ladders --------------------------------------------------------------------------------------


def climb_ladder(
    name: str,
    only: Sequence[str],
    contenders: Sequence[str],
    peers: str | None,
    path: Path | None,
) -> int:
    """Run the rungs of a ladder, print its tables, and keep them in `path`."""
    with tempfile.TemporaryDirectory() as folder:
        places = Places(sys.executable, shutil.which("Rscript"), peers, Path(folder))
        ladder = LADDERS[name](places)
        outcomes = []
        for rung in ladder.rungs:
            if only and rung.name not in only:
                continue
            outcomes.append(climb(rung, places, contenders))
            tell(outcomes[-1])
            if path:
                text = f"# Benchmark\n\n{machine()}\n\n{markdown(ladder, outcomes)}"
                path.write_text(text, encoding="utf-8")
    return int(any(row[-1] == "MISSED" for outcome in outcomes for row in rows(outcome)))


def render_reports(path: Path | None) -> int:
    """Time the reports in every format, and keep the table in `path`; 1 where one is slow."""
    found = rendering.seconds()
    table = rendering.markdown(found)
    print(table)
    if path:
        path.write_text(f"# Rendering\n\n{machine()}\n\n{rendering.WORDS}\n\n{table}")
    return int(any(spent > rendering.MOST_SECONDS for _, word, spent in found if word != "pdf"))


def tell(outcome: Outcome) -> None:
    for name, words, value, bound, verdict in rows(outcome):
        print(f"{name:<6} {words:<46} {value:8.3g}  {bound:<7} {verdict}")
    for who, why in outcome.silent.items():
        print(f"{outcome.rung.name:<6} {who}: {why}")
    print(f"{outcome.rung.name:<6} {outcome.seconds}", flush=True)


def machine() -> str:
    """The machine in general words."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, one "
        "thread each. Only ratios carry over to other machines."
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ladder", nargs="?", choices=sorted([*LADDERS, "render"]))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--contenders", default="")
    parser.add_argument("--peers", default=os.environ.get("RECOVERY_STATS_PEERS"))
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure and tell."""
    given = read_arguments()
    if given.ladder == "render":
        return render_reports(given.write)
    if given.ladder:
        only, contenders = given.only.split(","), given.contenders.split(",")
        return climb_ladder(
            given.ladder, [*filter(None, only)], [*filter(None, contenders)], given.peers,
            given.write,
        )  # fmt: skip
    figures = [measure() for measure in FIGURES]
    if given.json:
        print(json.dumps([{**asdict(f), "met": f.met} for f in figures], indent=1))
    else:
        for f in figures:
            verdict = "ok" if f.met else "MISSED"
            print(f"{f.name:<28} {f.value:7.2f} {f.unit:<6} target {f.target:g}  {verdict}")
    return 0 if all(f.met for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
