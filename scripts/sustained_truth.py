"""Relapse risk if everyone kept to a strategy of attendance, in the terms of the trial emulated.

A part of scripts/truth.py. The strategies are those of meeting_frequency: at least 12, or 2 to 6,
meetings in every completed block of 28 days, one block out of range forgiven. People live the
natural course. At the end of a block that makes someone out of range for the second time
running, they are made to have attended as someone did who kept in range and was like them when
the block began: of the same severity, motivation and residence (nearest neighbours). They keep
their own frailty, site and house; their career and last meetings become the other's. Death and
incarceration compete, as they do in the analysis; nobody is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recovery_stats.data.synthetic import cohort, course, person, stay
from recovery_stats.data.synthetic.mess import NO_MESS
from recovery_stats.data.synthetic.place import NEVER
from recovery_stats.data.synthetic.protection import Protection

Array = NDArray[np.float64]
RANGES = {"three": (12, 28), "one": (2, 6)}
DAYS = {168: "24w", 365: "12m"}
WIDTH, NEIGHBOURS = 28, 30


@dataclass(slots=True)
class State:
    """Everyone at the end of a day; all (n,)."""

    career: NDArray[np.int64]
    protection: Protection
    drift: Array
    met_this_week: Array
    count: NDArray[np.int64]
    due: NDArray[np.int64]
    free: NDArray[np.bool_]
    relapsed: NDArray[np.bool_]


class Life:
    """The natural course of people until their first event, one day at a time."""

    def __init__(self, plan: cohort.Cohort, size: int, rng: np.random.Generator) -> None:
        self.preset, self.rng = plan.preset, rng
        self.people = person.draw(plan.preset, NO_MESS, plan.places, size, rng)
        self.stays = stay.plan(plan.preset, NO_MESS, plan.places, self.people, rng)
        self.residence = course.residence(plan.preset, plan.places, self.people, self.stays)
        self.constant = np.exp(course.constant_log_hazard(plan.preset, plan.places, self.people))
        self.baseline = course.baseline(plan.preset)
        self.rate = person.meetings_per_year(np.arange(course.HORIZON_DAYS + 1)) / 365
        jail = course.JAIL_PER_YEAR * np.exp(course.JAIL_SEVERITY * self.people.severity)
        self.other = (course.DEATH_PER_YEAR + jail) / 365
        self.state = State(
            self.people.career.copy(),
            Protection(plan.preset.kernel, plan.preset.half_life_days, (size,)),
            np.zeros(size), np.zeros(size), np.zeros(size, np.int64),
            np.full(size, NEVER), np.ones(size, bool), np.zeros(size, bool),
        )  # fmt: skip

    def meet(self, day: int) -> None:
        """Draw who attends on `day`; it protects from the next day on."""
        s, preset = self.state, self.preset
        if preset.motivation_gain and day and day % 7 == 0:
            gain = preset.motivation_gain * (s.met_this_week - course.MEETINGS_NEUTRAL)
            noise = course.DRIFT_SD * self.rng.standard_normal(len(s.drift))
            s.drift = np.round(course.MEMORY_PER_WEEK * s.drift + gain + noise, 2)
            s.met_this_week = np.zeros(len(s.drift))
        rate = self.rate[:, day][s.career]
        rate = np.where(s.due < NEVER, course.PRODROME_ATTENDANCE * rate, rate)
        if preset.motivation_gain:
            rate = rate * np.exp(course.DRIFT_ATTENDANCE * s.drift)
        met = self.rng.random(len(rate)) < rate
        s.protection.meet(met)
        s.met_this_week += met
        s.count += met

    def risk(self, day: int) -> None:
        """Let the hazards of `day` act on those without an event."""
        s, preset = self.state, self.preset
        hazard = self.constant * self.baseline[day] * np.exp(-preset.theta * s.protection.left)
        hazard *= self.residence.factor(day)
        if preset.motivation_gain:
            hazard *= np.exp(preset.b_motivation * s.drift)
        onset = s.free & (s.due == NEVER) & (self.rng.random(len(hazard)) < -np.expm1(-hazard))
        s.due[onset] = day + preset.prodrome_days
        relapse = s.free & (s.due == day)
        s.relapsed |= relapse
        s.free &= ~relapse & (self.rng.random(len(hazard)) >= -np.expm1(-self.other))


def risks(plan: cohort.Cohort, size: int, seed: int) -> dict[str, float]:
    """Risks of relapse under both strategies, and their differences."""
    found: dict[str, float] = {}
    for name, bounds in RANGES.items():
        life = Life(plan, size, np.random.default_rng([seed, 7]))
        for when, risk in _under(life, bounds).items():
            found[f"sustained_{when}_{name}"] = risk
    for when in DAYS.values():
        found[f"sustained_difference_{when}"] = (
            found[f"sustained_{when}_three"] - found[f"sustained_{when}_one"]
        )
    return found


def _under(life: Life, bounds: tuple[int, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    before = np.zeros(len(life.constant), dtype=bool)
    drift = life.state.drift.copy()
    for day in range(1, max(DAYS) + 1):
        life.meet(day - 1)
        life.risk(day)
        if day in DAYS:
            found[DAYS[day]] = float(life.state.relapsed.mean())
        if day % WIDTH == 0:
            out = (life.state.count < bounds[0]) | (life.state.count > bounds[1])
            _replace(life, before & out, before & ~out, drift, day)
            before = (life.state.count < bounds[0]) | (life.state.count > bounds[1])
            life.state.count[:] = 0
            drift = life.state.drift.copy()
    return found


def _replace(
    life: Life,
    deviates: NDArray[np.bool_],
    keeps: NDArray[np.bool_],
    drift: Array,
    day: int,
) -> None:
    """Give those who deviate the attendance of someone like them who kept in range."""
    s, people = life.state, life.people
    resident = (life.stays.in_day < day) & (day <= life.stays.out_day)
    like = np.column_stack([people.severity, people.motivation, drift])
    for here in (False, True):
        who = np.flatnonzero(deviates & s.free & (resident == here))
        others = np.flatnonzero(keeps & s.free & (resident == here))
        if not len(who) or not len(others):
            continue
        many = min(NEIGHBOURS, len(others))
        near = cKDTree(like[others]).query(like[who], k=many)[1].reshape(len(who), many)
        chosen = others[near[np.arange(len(who)), life.rng.integers(many, size=len(who))]]
        s.protection.copy_from(who, chosen)
        for values in (s.career, s.drift, s.met_this_week, s.count):
            values[who] = values[chosen]
