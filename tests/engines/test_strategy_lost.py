"""Another hazard after loss: collapse, a loop over days, a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.engines import strategy
from recovery_stats.engines.strategy_course import Course, Strategy
from recovery_stats.engines.strategy_lost import risk_after_loss
from tests.engines.test_strategy import BLOCKS, FEW, MANY, WIDTH, course
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES

DAYS = WIDTH * BLOCKS
DELTAS = (1.0, 1.5, 2.0, 3.0)


def arms_of(c: Course) -> tuple[strategy.Arm, ...]:
    return strategy.emulate(c, (MANY, FEW), days=DAYS, truncate=0.01).weigh(c.base)


def test_delta_one_is_the_risk_as_declared_and_higher_ones_are_higher():
    c = course()
    for arm in arms_of(c):
        found = risk_after_loss(c, arm, DELTAS)
        np.testing.assert_allclose(found[0], arm.incidence[0, -1], rtol=CLOSED_FORM)
        assert (np.diff(found) > 0).all()


def test_without_loss_delta_changes_nothing():
    c = course()
    stays = Course(
        c.time, c.cause, np.zeros(len(c.time), bool), c.count, c.history, c.cluster, WIDTH, c.base
    )
    for arm in arms_of(stays):
        found = risk_after_loss(stays, arm, DELTAS)
        np.testing.assert_allclose(found, arm.incidence[0, -1], rtol=CLOSED_FORM)


def by_loop(c: Course, arm: strategy.Arm, delta: float) -> float:
    """The same two stocks, day by day and person by person."""
    free, lost, before, risk = 1.0, 0.0, 1.0, 0.0
    for day in range(1, DAYS + 1):
        b = (day - 1) // WIDTH
        sums = np.zeros((2, 4))  # in view, lost: at risk, event, other
        for i in range(len(c.time)):
            if c.time[i] < day or arm.weight[i, b] == 0:
                continue
            for side, part in ((0, arm.kept[i, b]), (1, 1 - arm.kept[i, b])):
                w = arm.weight[i, b] * part
                sums[side, 0] += w
                if c.time[i] == day and c.cause[i] > 0:
                    sums[side, min(c.cause[i], 2)] += w
        total = sums[:, 0].sum()
        view = free * sums[0, 0] / total
        lost += before - view  # who was lost since the day before
        hazard = sums[:, 1:3] / np.where(sums[:, :1] > 0, sums[:, :1], 1.0)
        risk += view * hazard[0, 0]
        left = (1 - hazard[1, 1]) * (1 - hazard[1, 0] / (1 - hazard[1, 1])) ** delta
        risk += lost * (1 - hazard[1, 1] - left)
        lost *= left
        before = view * (1 - hazard[0].sum())
        free *= 1 - sums[:, 1:3].sum() / total
    return risk


@pytest.mark.parametrize("delta", [1.0, 2.5])
def test_the_stock_of_the_lost_by_hand(delta):
    c = course(people=200)
    for arm in arms_of(c):
        np.testing.assert_allclose(
            risk_after_loss(c, arm, [delta])[0], by_loop(c, arm, delta), rtol=CLOSED_FORM
        )


def lost_with_hazard(delta: float, slope: float, seed: int) -> tuple[Course, float]:
    """Loss at ends of blocks by z, which drives relapse by `slope`; then the hazard times delta.

    Returns what is seen of the course, and the share who relapsed, lost or not.
    """
    rng, people = np.random.default_rng(seed), 2_000
    z = np.repeat(rng.standard_normal((people, 1)), BLOCKS, axis=1)
    time, cause = np.full(people, float(DAYS)), np.zeros(people, int)
    relapsed, gone = np.zeros(people, bool), np.zeros(people, bool)
    for day in range(1, DAYS + 1):
        hazard = 0.03 * np.exp(slope * z[:, 0]) * np.where(gone, delta, 1.0)
        hit = ~relapsed & (rng.random(people) < hazard)
        time[hit & ~gone], cause[hit & ~gone] = float(day), 1
        relapsed |= hit
        if day % WIDTH == 0 and day < DAYS:
            lost = ~relapsed & ~gone & (rng.random(people) < expit(-1.8 + 0.7 * z[:, 0]))
            time[lost] = float(day)
            gone |= lost
    ends = WIDTH * (1 + np.arange(BLOCKS))
    done = (time[:, None] > ends) | ((time[:, None] == ends) & (cause[:, None] == 0))
    seen = Course(
        time, cause, gone, np.where(done, 1.0, np.nan), z[:, :, None], np.arange(people), WIDTH,
        np.ones(people),
    )  # fmt: skip
    return seen, float(relapsed.mean())


@pytest.mark.parametrize(
    ("delta", "slope", "bias"),
    [(1.0, 0.6, 0.0), (2.0, 0.0, 0.0), (2.0, 0.6, 0.0085)],  # the last: the riskiest run out sooner
)
def test_the_truth_is_recovered_when_delta_is_true(delta, slope, bias):
    anything = Strategy("anything", 0, WIDTH)
    errors = []
    for seed in range(20):
        seen, truth = lost_with_hazard(delta, slope, seed)
        arm = strategy.emulate(seen, (anything, MANY), days=DAYS).weigh(seen.base)[0]
        errors.append(risk_after_loss(seen, arm, [delta])[0] - truth)
    error = np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert abs(np.mean(errors) - bias) < MONTE_CARLO_SES * error
    assert error < 0.003
