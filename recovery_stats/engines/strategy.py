"""Risks under sustained strategies of attendance, by cloning, censoring and weighting.

Time from each person's time zero is cut into blocks of days. Every person is cloned into every
strategy (a range of meetings a block). A clone is censored at the end of a completed block that
makes it out of range for the (grace + 1)-th block running; who has the event in mid-block keeps
it in every strategy still followed. The clones left at the start of block b weigh

    W_b = product over earlier blocks of  1 / P(in range again | history, in arrears)
                                        x 1 / P(not lost in the block | history)

with both chances from pooled logistic models, the first apart for each strategy and each of its
phases. Weighted Aalen–Johansen curves give the risk of each cause, so that death competes and is
never censoring.
On days away (in custody) a clone is in no risk set, and a block that holds one is judged by nobody.
The bootstrap draws people (or whole clusters) with all their clones and refits the weights.

Sources: Hernán 2018; Cain et al. 2010; Hernán & Robins 2016.
Checked: brute-force clones, collapse to Aalen–Johansen, the strategies' truth in the synthetic
cohort (tests/engines/test_strategy.py, scripts/meeting_recovery.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.strategy_course import Course, Mask, Plan
from recovery_stats.engines.strategy_weight import Weighting

ROUNDING = 1e-9  # a weight at risk below this is nobody's
LEAST_CHANCE = 1e-6  # a fitted chance below this is a positivity violation, not a weight


@dataclass(frozen=True, slots=True, eq=False)
class Clones:
    """The clones of one strategy: ends (n,), blocks followed; deviating: models of who
    deviates, one a phase of the strategy.

    late (n, B): the `grace` blocks before were all out of range, so that this one, if judged,
    decides.
    """

    strategy: Plan
    ends: IntArray
    late: Mask
    deviating: tuple[Weighting, ...]


def clone(course: Course, strategy: Plan, grace: int) -> Clones:
    """Follow every person's clone until it deviates; `ends` counts the blocks it took part in."""
    n, B = course.count.shape
    judged = course.judged
    out = strategy.out_of_range(course.count) & judged
    late = np.ones((n, B), dtype=bool)
    for back in range(1, grace + 1):
        late[:, back:] &= out[:, :-back]
        late[:, :back] = False
    deviates = late & out
    first = np.where(deviates.any(1), deviates.argmax(1), B)
    following = np.arange(B) <= first[:, None]
    rows = late & judged & following
    phase = strategy.phases(B)
    models = tuple(Weighting.of(course, rows & (phase == k), deviates) for k in np.unique(phase))
    return Clones(strategy, first + 1, rows, models)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One strategy's answer: cumulative incidence (J, days + 1) of causes 1 … J from day 0 on.

    weight (n, B): of each clone at the start of each block, 0 where not followed; stabilised
    (n, B). followed (B,): clones at the start of a block; effective (B,): their effective number.
    truncated: clone-blocks whose weight was cut. kept (n, B): the chance of not having been lost
    before each block.
    """

    incidence: Array
    weight: Array
    stabilised: Array
    followed: IntArray
    effective: Array
    truncated: int
    kept: Array


@dataclass(frozen=True, slots=True, eq=False)
class Emulation:
    """Course, clones and the model of loss, ready to be weighted again and again."""

    course: Course
    arms: tuple[Clones, ...]
    losing: Weighting
    days: int
    truncate: float

    def weigh(self, weight: Array) -> tuple[Arm, ...]:
        """Each strategy's answer with people weighted by `weight` (n,)."""
        kept, kept_share = self._not_lost(weight)
        return tuple(self._arm(clones, weight, kept, kept_share) for clones in self.arms)

    def _not_lost(self, weight: Array) -> tuple[Array, Array]:
        B = self.course.count.shape[1]
        kept, share = np.ones(self.course.count.shape), np.ones(B)
        if self.losing.y.any():
            kept[self.losing.person, self.losing.block] = 1.0 - self.losing.chance(weight)
            share = 1.0 - self.losing.shares(weight, B)
        return kept, share

    def _arm(self, clones: Clones, weight: Array, kept: Array, kept_share: Array) -> Arm:
        course, B = self.course, self.course.count.shape[1]
        stay, stay_share = np.ones(kept.shape), np.ones(B)
        for model in clones.deviating:
            if model.y.any():
                stay[model.person, model.block] = 1.0 - model.chance(weight)
                stay_share = stay_share - model.shares(weight, B)
        following = course.at_risk & (np.arange(B) < clones.ends[:, None])
        chance = np.maximum(stay * kept, LEAST_CHANCE)
        inverse = np.where(following, _before(1.0 / chance), 0.0)
        numerator = _before(np.where(clones.late, stay_share, 1.0) * kept_share)
        inverse, cut = _truncate(inverse, self.truncate)
        clone_weight = inverse * weight[:, None]
        incidence = aalen_johansen(*at_risk_and_events(course, clone_weight, self.days))
        with np.errstate(invalid="ignore", divide="ignore"):
            effective = clone_weight.sum(0) ** 2 / (clone_weight**2).sum(0)
        return Arm(
            incidence, clone_weight, inverse * numerator, (clone_weight > 0).sum(0),
            np.nan_to_num(effective), cut, _before(kept),
        )  # fmt: skip


def at_risk_and_events(course: Course, weight: Array, days: int) -> tuple[Array, Array]:
    """Weight at risk on each day (days,), and of the events of each cause on it (J, days).

    weight (n, B): of each clone, the same on every day of a block.
    """
    B, width = weight.shape[1], course.width
    starts = width * np.arange(B)
    last = np.clip(np.ceil(course.time[:, None] - starts).astype(int), 0, width)
    block = np.broadcast_to(np.arange(B), last.shape)
    leaving = np.bincount((block * (width + 1) + last).ravel(), weight.ravel(),
                          B * (width + 1)).reshape(B, width + 1)  # fmt: skip
    at_risk = leaving[:, ::-1].cumsum(1)[:, ::-1][:, 1:].ravel()[:days]
    at_risk = at_risk - _weight_away(course, weight, days)
    day = np.ceil(course.time).astype(int) - 1
    J = max(int(course.cause.max()), 1)
    inside = (course.cause > 0) & (day < days)
    final = weight[np.arange(len(day)), np.minimum(day // width, B - 1)]
    at = (course.cause - 1) * days + day
    events = np.bincount(at[inside], final[inside], J * days).reshape(J, days)
    return at_risk, events.astype(float)


def _weight_away(course: Course, weight: Array, days: int) -> Array:
    """Weight of those followed on each day but away on it (days,)."""
    person, day = np.nonzero(course.away[:, :days])
    there = day < course.time[person]
    person, day = person[there], day[there]
    return np.bincount(day, weight[person, day // course.width], days).astype(float)


def aalen_johansen(at_risk: Array, events: Array) -> Array:
    """Cumulative incidence (J, days + 1) from weights at risk (days,) and of events (J, days)."""
    hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > ROUNDING)
    free = np.cumprod(1.0 - hazard.sum(0))
    steps = hazard * np.append(1.0, free[:-1])
    return np.concatenate([np.zeros((len(events), 1)), steps.cumsum(1)], axis=1)


def emulate(
    course: Course,
    strategies: Sequence[Plan],
    *,
    days: int,
    grace: int = 1,
    truncate: float = 0.0,
) -> Emulation:
    """Clone everyone into every strategy and set up the models of deviating and of loss.

    days: the horizon; the course must hold blocks up to it. grace: completed blocks running out
    of range that are forgiven. truncate: share of the largest weights cut to the next lower.
    """
    blocks = -(-days // course.width)
    if course.count.shape[1] < blocks:
        raise ValueError(f"{blocks} blocks are needed and {course.count.shape[1]} given")
    starts = course.width * np.arange(course.count.shape[1])
    end_block = np.ceil(course.time / course.width).astype(int) - 1
    here = np.arange(len(starts)) == end_block[:, None]
    gone = here & (course.lost & (course.cause == 0))[:, None]
    losing = Weighting.of(course, course.completed | gone, gone)
    with single_thread():
        arms = tuple(clone(course, s, grace) for s in strategies)
    return Emulation(course, arms, losing, days, truncate)


def _before(factor: Array) -> Array:
    """Product over earlier blocks: 1 for the first."""
    product = np.cumprod(factor, axis=1)
    return np.concatenate([np.ones((len(factor), 1)), product[:, :-1]], axis=1)


def _truncate(weight: Array, share: float) -> tuple[Array, int]:
    if share <= 0 or not (weight > 0).any():
        return weight, 0
    limit = float(np.quantile(weight[weight > 0], 1.0 - share))
    return np.minimum(weight, limit), int((weight > limit).sum())
