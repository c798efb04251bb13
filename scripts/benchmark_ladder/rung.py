"""What a ladder is made of, and how it is run.

A contender is a command that does one rung's work and prints one line of JSON, {"name": seconds},
CPU time on one thread, the best of its own repeats. Contenders take turns within a round and the
best of all rounds counts, since all that disturbs a run makes it longer. A further ladder is a
module with `ladder(places) -> Ladder`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 240.0  # seconds that one turn of a contender may take
SCRIPTS = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)]),
}

Seconds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the interpreters (None: not here) and a folder for data."""

    python: str
    rscript: str | None
    peers: str | None
    folder: Path


@dataclass(frozen=True, slots=True)
class Target:
    """`value(seconds)` of a rung must be at least (or at most) `bound`."""

    words: str
    value: Callable[[Seconds], float]
    bound: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Rung:
    """make(places): write the data, False where they cannot be had; commands: one a contender."""

    name: str
    words: str
    make: Callable[[Places], bool]
    commands: Mapping[str, Sequence[str]]
    targets: Sequence[Target]
    rounds: int = 2


@dataclass(frozen=True, slots=True)
class Ladder:
    name: str
    title: str
    notes: Sequence[str]
    rungs: Sequence[Rung]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rung gave: the best time by name, and why a contender gave none."""

    rung: Rung
    seconds: dict[str, float] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


def ratio(slow: str, fast: str) -> Callable[[Seconds], float]:
    """How many times faster `fast` is than `slow`; nan where one is missing."""
    return lambda s: s[slow] / s[fast] if slow in s and fast in s else float("nan")


def climb(rung: Rung, places: Places, contenders: Sequence[str] = ()) -> Outcome:
    """Let every contender take its turns, or those named."""
    out = Outcome(rung)
    if not rung.make(places):
        out.silent["all"] = "its data are not here"
        return out
    for _ in range(rung.rounds):
        for name, command in rung.commands.items():
            if name not in out.silent and (not contenders or name in contenders):
                _turn(name, command, out)
    return out


def _turn(name: str, command: Sequence[str], out: Outcome) -> None:
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=LIMIT,
            env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        out.silent[name] = f"no result in {LIMIT:.0f} s"
        return
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no words"])[-1]
        out.silent[name] = f"failed: {last[:60]}"
        return
    for what, seconds in json.loads(lines[-1]).items():
        out.seconds[what] = min(seconds, out.seconds.get(what, float("inf")))


# --- words --------------------------------------------------------------------------------------


def rows(outcome: Outcome) -> list[tuple[str, str, float, str, str]]:
    """(rung, target, value, bound, verdict) for every target of a rung."""
    found = []
    for target in outcome.rung.targets:
        value = target.value(outcome.seconds)
        missing = math.isnan(value)
        verdict = "not measured" if missing else "met" if target.met(value) else "MISSED"
        sign = "≥" if target.at_least else "≤"
        found.append((outcome.rung.name, target.words, value, f"{sign} {target.bound:g}", verdict))
    return found


def markdown(ladder: Ladder, outcomes: Sequence[Outcome]) -> str:
    """The ladder as two tables: targets, and the times behind them."""
    lines = [f"## {ladder.title}", "", *ladder.notes, ""]
    lines += ["| rung | measure | value | target | verdict |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        for name, words, value, bound, verdict in rows(outcome):
            lines.append(f"| {name} | {words} | {value:.3g} | {bound} | {verdict} |")
    lines += ["", "| rung | work | best times, s (MB where said) | no time |", "|---|---|---|---|"]
    for outcome in outcomes:
        times = ", ".join(f"{k} {v:.3g}" for k, v in outcome.seconds.items())
        silent = ", ".join(f"{k}: {v}" for k, v in outcome.silent.items())
        lines.append(f"| {outcome.rung.name} | {outcome.rung.words} | {times} | {silent} |")
    return "\n".join(lines) + "\n"
