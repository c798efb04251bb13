"""Do the methods for length of stay recover a truth that is known?

    python scripts/stay_recovery.py                    100 studies of 4,000 residents
    python scripts/stay_recovery.py --replicates 4     a quick look
    python scripts/stay_recovery.py -o scripts/stay_recovery.md

Severity (three levels, recorded) makes people leave sooner and relapse sooner. A house multiplies
the daily hazard of relapse by the ratio below while one lives in it. After a relapse seven in ten
are asked to leave within a week. The truth of "leave at m months" is that of 300,000 people who
live naturally; at the end of a month that departs from the strategy they become as someone of the
same severity who kept to it. Monte Carlo errors in brackets.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import recovery_stats as rs  # noqa: E402
from recovery_stats.models.leaving import MONTH, SLACK  # noqa: E402

HORIZON, LEAVES, RELAPSES, LOST = 450, 1 / 200, 0.0025, 1 / 3000
SEVERITY = np.array([-1.0, 0.0, 1.0])
ON_LEAVING, ON_RELAPSE = 0.4, 0.6
SCENARIOS = {"the house acts": np.log(0.4), "the house does nothing": 0.0}
TRUTH_PEOPLE = 300_000


def relapse_chance(severity: np.ndarray, inside: np.ndarray, effect: float) -> np.ndarray:
    """Chance of a relapse on a day, given residence on it."""
    return -np.expm1(-RELAPSES * np.exp(ON_RELAPSE * severity + effect * inside))


def truth(strategy: rs.Leaving, effect: float, rng: np.random.Generator) -> float:
    """Risk of relapse by the horizon under the strategy."""
    severity = rng.choice(SEVERITY, TRUTH_PEOPLE)
    inside, free = np.ones(TRUTH_PEOPLE, bool), np.ones(TRUTH_PEOPLE, bool)
    leaves = LEAVES * np.exp(ON_LEAVING * severity)
    for block in range(HORIZON // MONTH):
        days = np.zeros(TRUTH_PEOPLE)
        for _ in range(MONTH):
            days += inside
            free &= rng.random(TRUTH_PEOPLE) >= relapse_chance(severity, inside, effect)
            inside &= rng.random(TRUTH_PEOPLE) >= leaves
        count = np.full((TRUTH_PEOPLE, HORIZON // MONTH), np.nan)
        count[:, block] = days
        out = strategy.out_of_range(count)[:, block]
        for level in SEVERITY:
            here = free & (severity == level)
            like = np.flatnonzero(here & ~out)
            changed = np.flatnonzero(here & out)
            inside[changed] = inside[rng.choice(like, len(changed))]
    return float(1 - free.mean())


def study(effect: float, people: int, rng: np.random.Generator) -> tuple[pd.DataFrame, ...]:
    """Persons and stays as a study would have them; day 0 is the day of moving in."""
    severity = rng.choice(SEVERITY, people)
    out = np.ceil(rng.exponential(1 / (LEAVES * np.exp(ON_LEAVING * severity))))
    relapse = np.full(people, HORIZON + 1.0)
    for day in range(HORIZON, 0, -1):
        hit = rng.random(people) < relapse_chance(severity, day <= out, effect)
        relapse[hit] = day
    gone = np.ceil(rng.exponential(1 / LOST, people))
    stop = np.minimum(np.minimum(relapse, gone), HORIZON)
    event = (relapse <= stop).astype(int)
    asked_to_leave = (event > 0) & (rng.random(people) < 0.7)
    evicted = np.where(asked_to_leave, stop + rng.integers(0, 8, people), np.inf)
    name = np.arange(people)
    persons = pd.DataFrame({"pid": name, "severity": severity, "time": stop, "relapse": event})
    ends = np.minimum(out, evicted)
    return persons, pd.DataFrame({"pid": name, "in_day": 0, "out_day": ends})


def one(people: int, draws: int, task: tuple[str, int]) -> dict[str, tuple[float, float, float]]:
    """Estimate, low, high of each quantity in one study."""
    scenario, seed = task
    rng = np.random.default_rng([20, seed, list(SCENARIOS).index(scenario)])
    persons, stays = study(SCENARIOS[scenario], people, rng)
    columns = {"person": "pid", "stop": "time", "event": "relapse", "stay_start": "in_day",
               "stay_stop": "out_day"}  # fmt: skip
    hazards = rs.residence_hazards(persons, stays, adjust=["severity"], lags=[0], **columns).tidy()
    found = {}
    for model, term in (("state", "left_recently"), ("naive", "stayed_six_months")):
        row = hazards[(hazards["model"] == model) & (hazards["term"] == term)].iloc[0]
        found[term] = tuple(row[["estimate", "conf_low", "conf_high"]])
    asked = rs.stay_courses(persons, stays, baseline=["severity"], horizon=HORIZON, **columns)
    fit = rs.sustained(asked.courses, rs.leave_at(), grace=0, truncate=0.0, replicates=draws,
                       least=5)  # fmt: skip
    risks = fit.tidy().query("measure == 'risk'").set_index("strategy")
    for name, row in risks.iterrows():
        found[str(name)] = tuple(row[["estimate", "conf_low", "conf_high"]])
    return found


@dataclass(frozen=True)
class Line:
    name: str
    truth: float
    answers: np.ndarray

    def text(self) -> str:
        value, low, high = self.answers.T
        many = len(value)
        error = np.std(value, ddof=1)
        told = f"{value.mean():.4f} ({error / np.sqrt(many):.4f}) | {error:.4f}"
        if np.isnan(self.truth):
            return f"| {self.name} | none | {told} | |"
        covered = np.mean((low <= self.truth) & (self.truth <= high))
        off = np.sqrt(covered * (1 - covered) / many)
        return (
            f"| {self.name} | {self.truth:.4f} | {told} | {100 * covered:.0f} ({100 * off:.1f}) |"
        )


def lines(scenario: str, answers: list[dict[str, tuple[float, float, float]]]) -> Iterator[str]:
    """The table of one scenario."""
    effect = SCENARIOS[scenario]
    true = {s.name: truth(s, effect, np.random.default_rng(1)) for s in rs.leave_at()}
    true |= {
        "left_recently": float(np.exp(-effect)),
        "stayed_six_months": np.nan if effect else 1.0,
    }
    yield f"\n## {scenario[0].upper()}{scenario[1:]}: {len(answers)} studies\n"
    yield "| quantity | truth | mean estimate | SD | covered, % |"
    yield "|---|---|---|---|---|"
    for name in answers[0]:
        yield Line(name, true[name], np.array([a[name] for a in answers])).text()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    assert __doc__ is not None
    text = ["# Length of stay: what is recovered", "", __doc__.split("\n\n", 2)[2].strip(), "",
            f"{asked.people:,} residents a study, followed {HORIZON} days, {asked.draws} bootstrap "
            f"draws; {SLACK:g} days of slack a month. left_recently: hazard ratio in the month "
            "after leaving against living in the house. stayed_six_months: the naive hazard "
            "ratio, beside 1, no effect."]  # fmt: skip
    work = partial(one, asked.people, asked.draws)
    with ProcessPoolExecutor(asked.jobs) as pool:
        for scenario in SCENARIOS:
            tasks = [(scenario, k) for k in range(asked.replicates)]
            text += lines(scenario, list(pool.map(work, tasks)))
    said = "\n".join(text) + "\n"
    print(said)
    if asked.output:
        asked.output.write_text(said, encoding="utf-8")


if __name__ == "__main__":
    main()
