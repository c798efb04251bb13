"""How long do a million people take, and how much memory?

    python scripts/large.py                            1,000,000 people, 8 waves each
    python scripts/large.py --persons 100000           a quick look
    python scripts/large.py -o scripts/large.md        with the table for the record

One person-wave SPSS file is made and serves every table. Each verb runs in a process of its own,
through the installed command; its peak memory is what the system says of that process. Progress
goes to stderr. A verb that needs more than the limit of memory or of minutes ends as refused.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import recovery_stats as rs  # noqa: E402
from recovery_stats.core.codebook import Codebook, MissingRule, Variable  # noqa: E402
from recovery_stats.core.dataset import Dataset  # noqa: E402

WAVES, SITES, FOLLOW_UP, UNUSED = 8, 200, 730, 4
GIB = 2**30
REFUSED, NOT_ASKED = -97.0, -98.0
YES = {0.0: "No", 1.0: "Yes"}
VARIABLES = (
    Variable("pid", "Person"),
    Variable("wave", "Wave"),
    Variable("day", "Day of the interview"),
    Variable("site", "Site"),
    Variable("severity", "Severity at entry", measure="scale"),
    Variable("arm", "Housing", {0.0: "Usual after-care", 1.0: "Recovery house"}, measure="nominal"),
    Variable("t_relapse", "Days to relapse or end"),
    Variable("relapse", "Relapse", YES, measure="nominal"),
    Variable("freq", "Meetings a week at entry", measure="scale"),
    Variable("sober", "Abstinent at the end", YES, measure="nominal"),
    Variable(
        "ras",
        "Relationship satisfaction",
        {REFUSED: "Refused", NOT_ASKED: "Not asked"},
        MissingRule((REFUSED, NOT_ASKED)),
        measure="scale",
    ),
    Variable("pacs", "Craving", measure="scale"),
    *(Variable(f"unused_{i}", f"Item {i} that no analysis asks for") for i in range(UNUSED)),
)
STUDY = """schema = 1
[study]
title = "A large synthetic cohort"
population = "simulated adults entering recovery support"
synthetic = true
[tables.persons]
file = "large.sav"
[tables.waves]
file = "large.sav"
key = ["pid", "wave"]
[roles.persons]
person = "pid"
time = "t_relapse"
event = "relapse"
arm = "arm"
outcome = "sober"
frequency = "freq"
site = "site"
cluster = "site"
adjust = ["severity"]
[roles.waves]
person = "pid"
wave = "wave"
day = "day"
satisfaction = "ras"
outcome = "pacs"
cluster = "site"
[[analysis]]
kind = "relationship_satisfaction"
name = "relationship_satisfaction"
[[analysis]]
kind = "meeting_frequency"
name = "meeting_frequency"
[[analysis]]
kind = "collaborative_housing"
name = "collaborative_housing"
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One verb as it went: seconds of the clock and of the processor, peak of resident bytes."""

    name: str
    seconds: float
    busy: float
    peak: int
    code: int


# --- the file ----------------------------------------------------------------------------


def cohort(persons: int, seed: int) -> Dataset:
    """People with a site, an arm, a time to relapse and eight waves; one answer in 20 missing."""
    rng = np.random.default_rng(seed)
    columns = _people(persons, rng)
    columns = {name: np.repeat(values, WAVES) for name, values in columns.items()}
    own = np.repeat(rng.normal(size=persons), WAVES)
    wave = np.tile(np.arange(WAVES, dtype=float), persons)
    ras = np.clip(np.round(4 + 0.8 * own + rng.normal(size=len(own)), 1), 1, 7)
    pacs = 12 - 0.5 * (ras - 4) - 0.4 * wave + 2 * own + rng.normal(0, 3, len(own))
    columns |= {
        "wave": wave,
        "day": 90 * wave + rng.integers(-10, 11, len(own)) * (wave > 0),
        "ras": ras,
        "pacs": np.clip(np.round(pacs), 0, 30),
    }
    columns |= {f"unused_{i}": rng.integers(0, 5, len(own)).astype(float) for i in range(UNUSED)}
    frame = pd.DataFrame({v.name: columns[v.name] for v in VARIABLES})
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    lost = rng.random(len(frame)) < 0.05
    codes = pd.Series(rng.choice([REFUSED, NOT_ASKED], lost.sum()), frame.index[lost])
    frame.loc[lost, "ras"] = np.nan
    return Dataset(frame, Codebook({v.name: v for v in VARIABLES}), {"ras": codes})


def _people(persons: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    severity = np.round(rng.normal(size=persons), 2)
    arm = (rng.random(persons) < 1 / (1 + np.exp(0.3 * severity))).astype(float)
    freq = rng.integers(0, 8, persons).astype(float)
    hazard = np.exp(-6.5 + 0.3 * severity - 0.4 * arm - 0.05 * freq)
    day = np.ceil(rng.exponential(1 / hazard))
    sober = rng.random(persons) < 1 / (1 + np.exp(0.4 * severity - 0.3 * arm))
    return {
        "pid": np.arange(1.0, persons + 1),
        "site": rng.integers(1, SITES + 1, persons).astype(float),
        "severity": severity,
        "arm": arm,
        "t_relapse": np.minimum(day, FOLLOW_UP),
        "relapse": (day <= FOLLOW_UP).astype(float),
        "freq": freq,
        "sober": sober.astype(float),
    }


# --- the verbs ---------------------------------------------------------------------------


def verbs(folder: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Name and command line of each verb that is measured."""
    data, study, reports = (str(folder / n) for n in ("large.sav", "study.toml", "reports"))
    yield "inspect", ("inspect", data, "--person", "pid", "--wave", "wave")
    yield "validate", ("validate", study)
    for name in ("relationship_satisfaction", "meeting_frequency", "collaborative_housing"):
        yield name, ("run", study, name, "-o", reports, "--format", "md")


def measured(name: str, line: Sequence[str], folder: Path, limit: int, minutes: float) -> Step:
    """Run one verb in its own process, within `limit` bytes and `minutes`; keep what it says."""
    own = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit})); "
    code = own + "import sys; from recovery_stats.__main__ import main; sys.exit(main())"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    begun = time.perf_counter()
    with (folder / f"{name}.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *line], stdout=said, stderr=said, env=surroundings
        )
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            seconds = time.perf_counter() - begun
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                busy = used.ru_utime + used.ru_stime
                return Step(name, seconds, busy, used.ru_maxrss * 1024, process.returncode)
            if seconds > 60 * minutes:
                process.kill()
            show(f"{name}: {seconds:.0f} s", end="\r")
            time.sleep(0.2)


def show(text: str, end: str = "\n") -> None:
    """Tell on stderr how far the work is; a passing count of seconds on a terminal only."""
    if end == "\n" or sys.stderr.isatty():
        print(
            f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True
        )


# --- what is told ------------------------------------------------------------------------


def table(steps: Sequence[Step], persons: int, size: int) -> str:
    """The steps as a Markdown table."""
    head = (
        f"{persons:,} people, {persons * WAVES:,} rows, {len(VARIABLES)} columns; the file has "
        f"{size / 2**20:,.0f} MiB. Python {platform.python_version()}, {os.cpu_count()} cores, "
        "one thread.\n\n| step | seconds | of the processor | peak memory, GiB | exit code |\n"
        "|---|---:|---:|---:|---:|\n"
    )
    return head + "".join(
        f"| {s.name} | {s.seconds:,.1f} | {s.busy:,.1f} | {s.peak / GIB:.2f} | {s.code} |\n"
        for s in steps
    )


def make(folder: Path, persons: int, seed: int) -> None:
    """Write the study file and its data into `folder`."""
    rs.write_spss(cohort(persons, seed), folder / "large.sav")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=None, help="verbs or analyses, by name")
    parser.add_argument("--limit", type=float, default=12, help="GiB of address space a verb gets")
    parser.add_argument("--minutes", type=float, default=60, help="patience with one verb")
    parser.add_argument("--folder", type=Path, help="where the data are made, and kept")
    parser.add_argument("-o", type=Path, help="write the table to this file too")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="large."))
    folder.mkdir(parents=True, exist_ok=True)
    steps = []
    try:
        if not (folder / "large.sav").exists():
            show(f"making {asked.persons:,} people …")
            begun = time.perf_counter()
            make(folder, asked.persons, asked.seed)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            seconds = time.perf_counter() - begun
            steps.append(Step("make the file", seconds, time.process_time(), used, 0))
        for name, line in verbs(folder):
            if asked.only is None or name in asked.only:
                show(f"{name} …")
                limit = int(asked.limit * GIB)
                steps.append(measured(name, line, folder, limit, asked.minutes))
                done = steps[-1]
                show(f"{name}: {done.seconds:.1f} s, {done.peak / GIB:.2f} GiB, code {done.code}")
        text = table(steps, asked.persons, (folder / "large.sav").stat().st_size)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)
    print(text)
    if asked.o:
        asked.o.write_text(f"{__doc__}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
