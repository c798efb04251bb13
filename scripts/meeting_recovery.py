"""Do the methods for meetings and relapse recover what the generator knows?

    python scripts/meeting_recovery.py                      1,000 studies a part, bootstraps 200
    python scripts/meeting_recovery.py --replicates 8       a quick look
    python scripts/meeting_recovery.py --keep FOLDER        answers are kept there as they come,
                                                            and a later run goes on from them
    python scripts/meeting_recovery.py --keep FOLDER --stored -o scripts/meeting_recovery.md

Absolute bias must stay under 0.1 of the empirical standard error plus two Monte Carlo errors,
model over empirical standard error within 0.95 to 1.05, coverage within 93 to 97 % (strategies 90
to 99 %), rejection without an effect within 3 to 7 %. What misses a band by less than two Monte
Carlo errors of its own is called so, not passed. Exits with 1 where something fails. The numbers
of the last full run stand in scripts/meeting_recovery.md. The studies and what is asked of them:
scripts/meeting_study.py; what must hold: scripts/meeting_claims.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
sys.path.insert(0, str(PROJECT / "scripts"))

NOTES = """
The realistic mess is on (loss, late entry, house moves). Model / empirical SE: root of the mean
squared standard error that the method gave, over the spread of its estimates (Morris, White &
Crowther 2019). In brackets: Monte Carlo errors.
Holds: "yes" inside every band; "within error" outside one by less than two of its Monte Carlo
errors; "NO" otherwise, and "known limit" where the method cannot reach so far and says so. A part
with fewer studies than a full run has was cut short: its bands are then tested less sharply.
Half-lives are told as logarithms: log 2 is 0.6931. Every model is stratified by site and adjusted
for severity, motivation at entry and residence in a house, unless it says otherwise.

The strength "just after a meeting" (lag 0) lies a day before the first day that a meeting can
protect (lag 1): where the half-life comes out short it is extrapolated far, and in studies of 1,000
people its estimates are skewed. The proof is asked of 4,000 people; what fewer people can tell
stands beside it, and there the hazard on the day after, which the report tells, is sound. Where
people differ by what no column tells (frailty), hazard ratios fade over time and no model of
constant ones is right: risks by frequency are then off by up to one point in a hundred, and the
difference between three meetings a week and one is half a point too large. The report says so."""

Task = tuple[str, int, int, int]  # part, seed, people, bootstrap draws


def one(task: Task) -> tuple[Task, dict[str, list[float]]]:
    """One study, in any process: its answers depend on the task alone."""
    from meeting_study import PARTS

    name, seed, persons, draws = task
    part = next(p for p in PARTS if p.name == name)
    return task, {k: list(map(float, v)) for k, v in part.study(persons, draws, seed).items()}


def tasks(parts: Sequence, asked: argparse.Namespace) -> list[Task]:
    """Every study, the parts going forward together so that a run cut short has some of each."""
    found = []
    for part in parts:
        many = min(asked.replicates or part.replicates, part.replicates)
        draws = min(asked.draws or part.draws, part.draws)
        for k in range(many):
            task = (part.name, asked.first_seed + k, asked.persons or part.persons, draws)
            found.append((k / many, task))
    return [task for _, task in sorted(found)]


class Store:
    """Answers by task, kept as lines of a file where a folder is named."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "answers.jsonl" if folder else None
        self.found: dict[Task, dict[str, list[float]]] = {}
        if self.path and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                task, answers = json.loads(line)
                self.found[tuple(task)] = answers

    def add(self, task: Task, answers: dict[str, list[float]]) -> None:
        self.found[task] = answers
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([task, answers]) + "\n")


def run(wanted: Sequence[Task], store: Store, jobs: int) -> None:
    """Ask what is not stored yet; answers come in the order of the tasks, whatever `jobs`."""
    missing = [task for task in wanted if task not in store.found]
    with ProcessPoolExecutor(jobs) as pool:
        for number, (task, answers) in enumerate(pool.map(one, missing), start=1):
            store.add(task, answers)
            if sys.stderr.isatty() or number % 100 == 0:
                print(f"{number} of {len(missing)}", file=sys.stderr)


def report(parts: Sequence, wanted: Sequence[Task], store: Store) -> tuple[list[str], bool]:
    """The tables of all parts, and whether everything held."""
    from meeting_claims import CLAIMS, lines, table

    text, good = [], True
    for part in parts:
        seen = [(t, store.found[t]) for t in wanted if t[0] == part.name and t in store.found]
        answers = [a for _, a in seen if a]
        if len(answers) < 2:
            continue
        found = list(lines(CLAIMS[part.name], answers))
        text += [f"\n## {part.title}\n", said(part, seen[0][0], len(seen), len(answers))]
        text += table(found)
        good &= all(line.verdict != "NO" for line in found)
    return text, good


def said(part, task: Task, asked: int, answered: int) -> str:
    """How many studies of which size, out of those of a full run, and how many had no answer."""
    _, _, persons, draws = task
    booted = f", {draws} of {part.draws} bootstrap draws each" if draws else ""
    short = "" if asked == answered else f" {asked - answered} of them could not be estimated."
    return f"{asked:,} of {part.replicates:,} studies of {persons:,} people{booted}.{short}\n"


def timing() -> Iterator[str]:
    """How long the slowest methods take; processor seconds, as the machine may be shared."""
    import meeting_timing

    yield "\n## Time\n"
    yield "| What | Processor seconds, one process | Limit |"
    yield "|:---|---:|---:|"
    for title, limit, prepare, work in meeting_timing.WORK:
        prepare()
        yield f"| {title} | {seconds(work):.1f} | {limit} |"


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--replicates", type=int, default=0, help="at most this many a part")
    parser.add_argument("--persons", type=int, default=0, help="people a study, for a quick look")
    parser.add_argument("--draws", type=int, default=0, help="at most this many bootstrap draws")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", action="append", help="only this part; may be given again")
    parser.add_argument("--keep", type=Path, help="folder of answers, gone on from and added to")
    parser.add_argument("--stored", action="store_true", help="tell what is kept, run nothing")
    parser.add_argument("--time", action="store_true", help="measure how long methods take, too")
    parser.add_argument("-o", "--output", type=Path, help="also write the tables to this file")
    asked = parser.parse_args()
    from meeting_study import PARTS

    parts = [p for p in PARTS if not asked.part or p.name in asked.part]
    wanted, store = tasks(parts, asked), Store(asked.keep)
    if not asked.stored:
        run(wanted, store, asked.jobs)
    text, good = report(parts, wanted, store)
    text = ["# Recovery of the truth about meetings and relapse by simulation\n",
            f"Seeds from {asked.first_seed}; made by `python scripts/meeting_recovery.py`.", NOTES,
            *text, *(timing() if asked.time else ())]  # fmt: skip
    print("\n".join(text))
    if asked.output:
        asked.output.write_text("\n".join(text) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
