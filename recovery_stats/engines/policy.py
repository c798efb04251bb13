"""Risk if everyone had attended more than they did: a modified treatment policy.

Nobody is asked to do what they never would: each person keeps their own course and adds `more`
meetings a week. With a hazard model in attendance, the policy multiplies a day's hazard by
c = exp(beta x extra meetings in its window). People who remain under the policy are not those
observed to remain: on each day those at risk weigh exp(-(c - 1) x their cumulative hazard).

Source: Haneuse & Rotnitzky 2013; Díaz et al. 2023 (the estimand); standardisation as in
Makuch 1982. Checked: brute force, no effect (tests/engines/test_policy.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.kernel_cox import Days, evaluate, maximise
from recovery_stats.engines.linalg import Array, IntArray, single_thread

NOBODY = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Every row of everyone up to the horizon: person (n,), day (n,) from 1.

    kept: the rows that `Days` holds, in its order. window: days of the exposure's window.
    """

    person: IntArray
    day: IntArray
    kept: IntArray
    window: int


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRisk:
    """Risk by the horizon as observed and under the policy; draws (R, 2) of the bootstrap."""

    natural: float
    policy: float
    draws: Array

    @property
    def difference(self) -> float:
        return self.policy - self.natural


def policy_risk(
    days: Days,
    exposure: Array,
    rows: Followed,
    *,
    more: float,
    horizon: int,
    replicates: int,
    seed: int,
) -> PolicyRisk:
    """Risk under `more` meetings a week, other events held off.

    exposure (kept,): meetings in the window, linear in the log hazard. The bootstrap draws
    people; its coefficients are one Newton step from the estimate.
    """
    with single_thread():
        at, _ = maximise(days, exposure[None])
        natural, policy = _risks(days, exposure, rows, at, np.ones(len(days.weight)), more, horizon)
        people = int(rows.person.max()) + 1
        draws = []
        for r in range(replicates):
            rng = np.random.default_rng([seed, r])
            drawn = np.bincount(rng.integers(people, size=people), minlength=people).astype(float)
            draws.append(_redrawn(days, exposure, rows, at, drawn, more, horizon))
    return PolicyRisk(natural, policy, np.array(draws))


def _redrawn(
    days: Days,
    exposure: Array,
    rows: Followed,
    at: Array,
    drawn: Array,
    more: float,
    horizon: int,
) -> tuple[float, float]:
    weight = drawn[rows.person[rows.kept]]
    point = evaluate(reweighted(days, weight), exposure[None], at)
    step = np.linalg.solve(point.information, point.score)
    return _risks(days, exposure, rows, at + step, weight, more, horizon)


def reweighted(days: Days, factor: Array) -> Days:
    """The same rows with their weights multiplied by factor (n,) >= 0."""
    weight = days.weight * factor
    sets, K = days.element_set, len(days.first)
    counts = np.bincount(sets, minlength=K)
    # a set in which everyone weighs 0 contributes nothing, but its sum must not be 0
    return Days(
        days.X, days.centre, np.maximum(weight, NOBODY), days.first, days.set_of,
        days.event, sets, days.share, np.bincount(sets, weight[days.event], K) / counts,
    )  # fmt: skip


def _risks(
    days: Days,
    exposure: Array,
    rows: Followed,
    at: Array,
    factor: Array,
    more: float,
    horizon: int,
) -> tuple[float, float]:
    """Natural and policy risk from the hazard of each row, 0 on days without an event."""
    drawn = reweighted(days, factor)
    r = np.exp(at[:-1] @ days.X + at[-1] * exposure)
    S0 = np.add.reduceat(drawn.weight * r, days.first)
    S0D = np.bincount(days.element_set, (drawn.weight * r)[days.event], len(days.first))
    left = S0[days.element_set] - days.share * S0D[days.element_set]
    hazard = np.bincount(
        days.element_set, drawn.mean_weight[days.element_set] / left, len(days.first)
    )
    own = np.zeros(len(rows.day))
    own[rows.kept] = hazard[days.set_of] * r
    extra = np.exp(at[-1] * more * np.minimum(rows.day, rows.window) / 7.0)
    weight = np.zeros(int(rows.person.max()) + 1)
    weight[rows.person[rows.kept]] = factor
    return (
        _standardised(rows, own, np.ones(len(own)), weight, horizon),
        _standardised(rows, own, extra, weight, horizon),
    )


def _standardised(
    rows: Followed, own: Array, multiplier: Array, weight: Array, horizon: int
) -> float:
    """1 - product of 1 - mean hazard of those who would still be free; rows sorted by person."""
    change = own * (multiplier - 1.0)
    total = np.cumsum(change) - change
    begins = np.flatnonzero(np.diff(rows.person, prepend=-1))
    before = total - np.repeat(total[begins], np.diff(np.append(begins, len(own))))
    w = weight[rows.person] * np.exp(-before)
    inside = rows.day <= horizon
    day = rows.day[inside]
    at_risk = np.bincount(day, w[inside], horizon + 1)[1:]
    failing = np.bincount(day, (w * own * multiplier)[inside], horizon + 1)[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(at_risk > 0, failing / at_risk, 0.0)
    return float(-np.expm1(-mean.sum()))
