"""Risks under sustained strategies of attendance, by cloning, censoring and weighting.

Time from each person's time zero is cut into blocks of days. Every person is cloned into every
strategy (a range of meetings a block). A clone is censored at the end of a completed block that
makes it out of range for the (grace + 1)-th block running; who has the event in mid-block keeps
it in every strategy still followed. The clones left at the start of block b weigh

    W_b = product over earlier blocks of  1 / P(in range again | history, in arrears)
                                        x 1 / P(not lost in the block | history)

with both chances from pooled logistic models, the first apart for each strategy. Weighted
Aalen–Johansen curves give the risk of each cause, so that death competes and is never censoring.
On days away (in custody) a clone is in no risk set, and a block that holds one is judged by nobody.
The bootstrap draws people (or whole clusters) with all their clones and refits the weights.

Sources: Hernán 2018; Cain et al. 2010; Hernán & Robins 2016.
Checked: brute-force clones, collapse to Aalen–Johansen, the strategies' truth in the synthetic
cohort (tests/engines/test_strategy.py, scripts/meeting_recovery.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.errors import NotEstimable

Mask = NDArray[np.bool_]
PRIOR = 1.0 / 2.5**2  # ridge on coefficients of standardised columns: bootstraps may separate
NEWTON_STEPS = 25
CONSTANT = 1e-9  # spread of a column, over its mean, below which it is rounding
ROUNDING = 1e-9  # a weight at risk below this is nobody's
LEAST_CHANCE = 1e-6  # a fitted chance below this is a positivity violation, not a weight


@dataclass(frozen=True, slots=True)
class Strategy:
    """Keep to `low` … `high` meetings in every completed block."""

    name: str
    low: float
    high: float

    def out_of_range(self, count: Array) -> Mask:
        return (count < self.low) | (count > self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happened to n people over B blocks of `width` days.

    time (n,): days from time zero to the end of observation, above 0. cause (n,): 0 censored, 1
    the event, 2 … competing. lost (n,): censored by loss, not by the end of the study. count
    (n, B): meetings in each block that was completed free of events, nan elsewhere. history
    (n, B, h): what was known at the start of each block, 0 where not at risk.
    cluster (n,): whose members are drawn together by the bootstrap. base (n,): sampling weight.
    away (n, days): not at risk on day 1, 2, … though followed; no columns where nobody ever is.
    """

    time: Array
    cause: IntArray
    lost: Mask
    count: Array
    history: Array
    cluster: IntArray
    width: int
    base: Array
    away: Mask = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))

    @property
    def completed(self) -> Mask:
        return ~np.isnan(self.count)

    @property
    def at_risk(self) -> Mask:
        """Under observation at the start of each block (n, B)."""
        starts = self.width * np.arange(self.count.shape[1])
        return self.time[:, None] > starts

    @property
    def interrupted(self) -> Mask:
        """Blocks that hold a day away (n, B)."""
        n, B = self.count.shape
        days = np.zeros((n, B * self.width), dtype=bool)
        days[: len(self.away), : self.away.shape[1]] = self.away[:, : B * self.width]
        return np.asarray(days.reshape(n, B, self.width).any(2))

    @property
    def judged(self) -> Mask:
        """Completed blocks without a day away (n, B): attendance in them keeps a range or not."""
        return self.completed & ~self.interrupted


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """A pooled logistic model: rows (person, block) with design X (m, p) and outcome y (m,)."""

    person: IntArray
    block: IntArray
    X: Array
    y: Array

    @classmethod
    def of(cls, course: Course, rows: Mask, outcome: Mask) -> Weighting:
        person, block = np.nonzero(rows)
        late = block / max(course.count.shape[1] - 1, 1)
        X = np.column_stack([late, late**2, course.history[person, block]])
        return cls(person, block, standardised(X), outcome[person, block].astype(float))

    def chance(self, weight: Array) -> Array:
        """P(y = 1) of each row, fitted with `weight` (n,) by person."""
        return np.asarray(expit(self.X @ ridge_logistic(self.X, self.y, weight[self.person])))

    def shares(self, weight: Array, blocks: int) -> Array:
        """P(y = 1) by block alone (blocks,), the numerator of stabilised weights."""
        w = weight[self.person]
        total = np.bincount(self.block, w, blocks)
        with np.errstate(invalid="ignore"):
            share = np.bincount(self.block, w * self.y, blocks) / total
        return np.where(total > 0, share, 0.0)


def standardised(X: Array) -> Array:
    """1 and the columns of X (m, p) that vary, with mean 0 and standard deviation 1."""
    if not len(X):
        return np.ones((0, 1))
    mean, spread = X.mean(0), X.std(0)
    varies = spread > CONSTANT * (1.0 + np.abs(mean))
    return np.column_stack([np.ones(len(X)), (X - mean)[:, varies] / spread[varies]])


def ridge_logistic(X: Array, y: Array, weight: Array) -> Array:
    """Coefficients (p,) of a logistic model with a weak normal prior on all but the first.

    X (m, p): 1, then standardised columns. weight (m,) >= 0.
    """
    beta = np.zeros(X.shape[1])
    penalty = np.full(X.shape[1], PRIOR)
    penalty[0] = 1e-6
    for _ in range(NEWTON_STEPS):
        p = expit(X @ beta)
        score = X.T @ (weight * (y - p)) - penalty * beta
        information = (X.T * (weight * p * (1.0 - p))) @ X + np.diag(penalty)
        step = np.linalg.solve(information, score)
        beta = beta + step
        if float(step @ score) < 1e-10:
            break
    return beta


# --- clones ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Clones:
    """The clones of one strategy: ends (n,), blocks followed; deviating: model of who deviates.

    late (n, B): the `grace` blocks before were all out of range, so that this one, if judged,
    decides.
    """

    strategy: Strategy
    ends: IntArray
    late: Mask
    deviating: Weighting


def clone(course: Course, strategy: Strategy, grace: int) -> Clones:
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
    return Clones(strategy, first + 1, rows, Weighting.of(course, rows, deviates))


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
        model = clones.deviating
        if model.y.any():
            stay[model.person, model.block] = 1.0 - model.chance(weight)
            stay_share = 1.0 - model.shares(weight, B)
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
    strategies: Sequence[Strategy],
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


# --- what is told --------------------------------------------------------------------------------


def summarise(arms: Sequence[Arm], width: int) -> Array:
    """Risk of the event by the end of each block, and mean days lost to it by the horizon.

    (strategies, marks + 1): the days of `marks`, and last the days lost.
    """
    event = np.stack([arm.incidence[0] for arm in arms])
    lost = 0.5 * (event[:, 1:] + event[:, :-1]).sum(1)
    return np.column_stack([event[:, marks(event.shape[1] - 1, width)], lost])


def marks(days: int, width: int) -> IntArray:
    """The ends of blocks up to the horizon, which is the last."""
    return np.append(np.arange(width, days, width), days)


class TooFewFollow(NotEstimable):
    """A strategy that too few keep to: its name, and the first block in which they are too few."""

    def __init__(self, strategy: str, block: int, blocks: int, least: float) -> None:
        self.strategy, self.block, self.blocks, self.least = strategy, block, blocks, least
        super().__init__(
            f"The strategy {strategy!r} is followed by too few: from block {block} of {blocks} on, "
            f"those who kept to it weigh less than {least:g} people would. {CURE}"
        )


CURE = "Widen its range, allow more blocks of grace, or shorten the horizon."


def refuse_thin(arms: Sequence[Arm], strategies: Sequence[Strategy], least: float) -> None:
    """Raise TooFewFollow where fewer than `least` effective clones reach the last block."""
    for arm, strategy in zip(arms, strategies, strict=True):
        thin = np.flatnonzero(arm.effective < least)
        if thin.size:
            raise TooFewFollow(strategy.name, int(thin[0]) + 1, len(arm.effective), least)


def redraw(emulation: Emulation, replicates: int, seed: int) -> Iterator[tuple[Arm, ...]]:
    """Redraw people or clusters with all their clones, refit the weights.

    Each replicate has a stream of its own, so that the answer depends on nothing but the seed.
    """
    clusters = int(emulation.course.cluster.max()) + 1
    for r in range(replicates):
        rng = np.random.default_rng([seed, r])
        drawn = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
        with single_thread():
            arms = emulation.weigh(drawn[emulation.course.cluster] * emulation.course.base)
        yield arms


def bootstrap(
    emulation: Emulation,
    replicates: int,
    seed: int,
    report: Callable[[int], None] | None = None,
) -> Array:
    """What `summarise` tells of each replicate, (replicates, strategies, marks + 1).

    report: called with the number of each replicate done.
    """
    found = []
    for r, arms in enumerate(redraw(emulation, replicates, seed), start=1):
        found.append(summarise(arms, emulation.course.width))
        if report is not None:
            report(r)
    return np.stack(found)
