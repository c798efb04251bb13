"""Bounds under deviations of trends: linear programmes, closed forms, coverage at the worst."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import norm

from recovery_stats.engines.parallel_trends import EventStudy, _Smooth, relative_bound, smooth_bound
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES

SHAPE = np.array([0.20, 0.16, 0.12, 0.12, 0.16, 0.20])
V = 0.5 * np.outer(SHAPE, SHAPE) + 0.5 * np.diag(SHAPE**2)
ESTIMATE = np.array([0.10, -0.05, 0.08, 0.9, 1.2, 1.7])
STUDY = EventStudy(ESTIMATE[:3], ESTIMATE[3:], V)
MEAN = np.full(3, 1 / 3)


def by_programme(before: np.ndarray, after: np.ndarray, target: np.ndarray, most: float) -> float:
    """The largest target @ (after - deviation) with each step of it within the allowed."""
    allowed = most * np.abs(np.diff(np.r_[before, 0.0])).max()
    a = len(after)
    step = np.eye(a) - np.eye(a, k=-1)
    found = linprog(
        target, A_ub=np.vstack([step, -step]), b_ub=np.full(2 * a, allowed), bounds=(None, None)
    )
    return float(target @ after - found.fun)


@pytest.mark.parametrize("most", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("target", [MEAN, np.array([0.0, 0, 1]), np.array([1.0, -2, 1])])
def test_relative_set_is_that_of_a_linear_programme(most: float, target: np.ndarray) -> None:
    found = relative_bound(STUDY, target, most, 0.95)
    high = by_programme(ESTIMATE[:3], ESTIMATE[3:], target, most)
    low = -by_programme(-ESTIMATE[:3], -ESTIMATE[3:], target, most)
    assert found.set_high == pytest.approx(high, rel=1e-8)
    assert found.set_low == pytest.approx(low, rel=1e-8)


def test_relative_of_nothing_is_the_usual_interval() -> None:
    found = relative_bound(STUDY, MEAN, 0.0, 0.95)
    half = norm.isf(0.025) * np.sqrt(MEAN @ V[3:, 3:] @ MEAN)
    middle = ESTIMATE[3:].mean()
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))


def test_relative_interval_covers_at_the_edge_of_what_is_allowed() -> None:
    """Deviations before go on after at one and a half times their size: effect at the bound."""
    r = np.random.default_rng(2)
    before = np.array([-0.3, -0.2, -0.1])
    for slope in (0.15, -0.15):
        after = slope * np.arange(1, 4)
        draws = r.multivariate_normal(np.r_[before, 1.0 + after], V, size=2000)
        covered = 0
        for draw in draws:
            found = relative_bound(EventStudy(draw[:3], draw[3:], V), MEAN, 1.5, 0.95)
            covered += found.low <= 1.0 <= found.high
        assert covered / 2000 > 0.95 - MONTE_CARLO_SES * np.sqrt(0.95 * 0.05 / 2000)


def test_smooth_of_nothing_takes_a_straight_line_away() -> None:
    """Generalised least squares of effects after and one slope before."""
    times = np.array([-3.0, -2, -1, 1, 2, 3])
    X = np.column_stack([times, np.vstack([np.zeros((3, 3)), np.eye(3)])])
    inverse = np.linalg.inv(V)
    bread = np.linalg.inv(X.T @ inverse @ X)
    beta = bread @ X.T @ inverse @ ESTIMATE
    value = MEAN @ beta[1:]
    half = norm.isf(0.025) * np.sqrt(MEAN @ bread[1:, 1:] @ MEAN)
    found = smooth_bound(STUDY, MEAN, 0.0, 0.95)
    assert (found.low, found.high) == pytest.approx((value - half, value + half), rel=1e-9)


def test_largest_bias_is_that_of_a_linear_programme() -> None:
    problem = _Smooth.of(STUDY, MEAN)
    weights = problem._least_variance()
    assert problem.times @ weights == pytest.approx(0.0, abs=CLOSED_FORM)
    # deviations at -3 … 3, zero at 0; second differences within 1
    w = np.r_[weights[:3], 0.0, weights[3:]]
    second = np.array([np.eye(7)[s - 1] - 2 * np.eye(7)[s] + np.eye(7)[s + 1] for s in range(1, 6)])
    found = linprog(
        -w, A_ub=np.vstack([second, -second]), b_ub=np.ones(10), A_eq=np.eye(7)[[3]], b_eq=[0.0],
        bounds=[(-100, 100)] * 7,
    )  # fmt: skip
    assert problem.bias(weights) == pytest.approx(-found.fun, rel=1e-7)


def test_no_other_weights_give_a_shorter_interval() -> None:
    best = smooth_bound(STUDY, MEAN, 0.1, 0.95)
    problem = _Smooth.of(STUDY, MEAN)
    start = (best.high - best.low) / 2
    quiet = problem._least_variance()
    free = np.linalg.svd(problem.times[None, :3])[2][1:]
    from recovery_stats.engines.parallel_trends import _folded

    for u, v in product(np.linspace(-1.5, 1.5, 41), repeat=2):
        w = quiet.copy()
        w[:3] += free.T @ [u, v]
        half = problem.sd(w) * _folded(0.1 * problem.bias(w) / problem.sd(w), 0.95)
        assert half >= start - 1e-6


def test_smooth_interval_covers_at_its_largest_bias() -> None:
    r = np.random.default_rng(4)
    problem = _Smooth.of(STUDY, MEAN)
    weights = problem.shortest(0.1, 0.95)
    sign = np.sign(problem.kinks.T @ weights)
    deviation = 0.7 * problem.times + 0.1 * problem.kinks @ sign
    truth = np.r_[np.zeros(3), np.full(3, 0.4)] + deviation
    draws = r.multivariate_normal(truth, V, size=4000) @ weights
    half = (lambda b: (b.high - b.low) / 2)(smooth_bound(STUDY, MEAN, 0.1, 0.95))
    share = np.mean(np.abs(draws - 0.4) <= half)
    assert abs(share - 0.95) < MONTE_CARLO_SES * np.sqrt(0.95 * 0.05 / 4000)


def test_one_period_after_and_none_before_is_refused() -> None:
    study = EventStudy(np.zeros(0), np.ones(1), np.eye(1))
    for bound in (relative_bound, smooth_bound):
        with pytest.raises(NotEstimable, match="before the reference"):
            bound(study, np.ones(1), 1.0, 0.95)
