"""engines/royston_parmar: collapses, finite differences, separate groups, recovery of truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from recovery_stats.engines import aft
from recovery_stats.engines.censoring import Censored
from recovery_stats.engines.log_time_spline import LogTimeSpline
from recovery_stats.engines.royston_parmar import (
    SCALES,
    SIMPLE,
    FlexibleFit,
    Shape,
    _columns,
    fit,
    knots,
    log_hazard,
    log_quantile,
    survival,
)
from recovery_stats.engines.score_sandwich import sandwich
from tests.tolerance import CONVERGED, MONTE_CARLO_SES


def mixed(n: int = 240, seed: int = 3) -> tuple[np.ndarray, Censored]:
    """Rows of every kind, some entering late, with weights; x continuous and a group."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)])
    t = np.exp(1 - 0.4 * X[:, 0] + 0.8 * np.log(rng.exponential(size=n)))
    kind = np.arange(n) % 4
    low = np.choose(kind, [t, t * 0.8, np.zeros(n), t * 0.7])
    high = np.choose(kind, [t, np.full(n, np.inf), t * 1.5, t * 1.3])
    entry = np.where((np.arange(n) % 5 == 0) & (kind != 2), low * 0.4, 0.0)
    return X, Censored(low, high, entry, 1.0 + np.arange(n) % 3)


def _shape(rows: Censored, df: int, moving: bool) -> Shape:
    return Shape(knots(rows, df), 2, ((1, knots(rows, 2)),) if moving else ())


def test_the_spline_is_linear_outside_and_its_slopes_are_right() -> None:
    spline = LogTimeSpline((-1.0, 0.2, 0.9, 2.0))
    x = np.linspace(-3, 4, 141)
    B, h = spline.columns(x), 1e-5
    slopes = (spline.columns(x + h) - spline.columns(x - h)) / (2 * h)
    np.testing.assert_allclose(spline.slopes(x), slopes, atol=1e-7)
    for outside in (x < -1.1, x > 2.1):
        assert np.abs(np.diff(B[outside], n=2, axis=0)).max() < 1e-10
    assert spline.df == B.shape[1] == 3


@pytest.mark.parametrize("scale", SCALES)
def test_one_degree_of_freedom_is_the_simple_law(scale: str) -> None:
    X, rows = mixed()
    found = fit(X, rows, _shape(rows, 1, False), scale=scale)
    simple = aft.fit(np.column_stack([np.ones(240), X]), rows, distribution=SIMPLE[scale])
    sigma = np.exp(simple.log_sigma[0])
    by_hand = np.concatenate([[-simple.beta[0] / sigma, 1 / sigma], -simple.beta[1:] / sigma])
    np.testing.assert_allclose(found.theta, by_hand, rtol=1e-6)
    assert found.loglik == pytest.approx(simple.loglik, rel=1e-11)
    # delta method: d theta/d(beta, log sigma)
    J = np.zeros((4, 4))
    J[0, 0] = J[2, 1] = J[3, 2] = -1 / sigma
    J[:, 3] = -by_hand
    np.testing.assert_allclose(found.covariance, J @ simple.covariance @ J.T, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("moving", [False, True])
def test_gradient_and_information_are_finite_differences(scale: str, moving: bool) -> None:
    X, rows = mixed(120)
    shape = _shape(rows, 3, moving)
    found = fit(X, rows, shape, scale=scale)
    model = _columns(X, rows, shape, scale, np.zeros(120), np.eye(shape.k))
    theta, h = found.theta * 1.01, 1e-6
    at = model.evaluate(theta)
    assert at is not None
    for j in range(shape.k):
        step = h * np.eye(shape.k)[j]
        up, down = model.evaluate(theta + step), model.evaluate(theta - step)
        assert up is not None
        assert down is not None
        assert at.score[j] == pytest.approx((up.value - down.value) / (2 * h), rel=1e-5, abs=1e-4)
        bend = -(up.score - down.score) / (2 * h)
        np.testing.assert_allclose(at.information[j], bend, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("scale", SCALES)
def test_scores_by_row_sum_to_nought_and_make_the_sandwich(scale: str) -> None:
    X, rows = mixed()
    found = fit(X, rows, _shape(rows, 3, True), scale=scale)
    U = found.scores * rows.w[:, None]
    assert np.abs(U.sum(0) * np.sqrt(np.diag(found.covariance))).max() < 1e-5
    V = found.covariance @ U.T @ U @ found.covariance
    np.testing.assert_allclose(
        sandwich(found.scores, found.covariance, np.arange(240), rows.w), V, rtol=1e-9
    )


def test_a_time_varying_group_is_two_separate_models() -> None:
    """With its own line of log time each group has its own Weibull."""
    X, rows = mixed(400)
    group = X[:, [1]]
    shape = Shape(knots(rows, 1), 1, ((0, knots(rows, 1)),))
    found = fit(group, rows, shape)
    apart = [
        aft.fit(np.ones((int(g.sum()), 1)), rows.take(g), distribution="weibull")
        for g in (group[:, 0] == 0, group[:, 0] == 1)
    ]
    assert found.loglik == pytest.approx(sum(a.loglik for a in apart), rel=1e-10)
    slopes = [1 / np.exp(a.log_sigma[0]) for a in apart]
    assert found.theta[1] == pytest.approx(slopes[0], rel=1e-6)
    assert found.theta[3] == pytest.approx(slopes[1] - slopes[0], rel=1e-5)


def test_weights_are_repeated_rows() -> None:
    X, rows = mixed(120)
    again = np.repeat(np.arange(120), rows.w.astype(int))
    assert rows.entry is not None
    long = Censored(rows.low[again], rows.high[again], rows.entry[again])
    shape = _shape(rows, 3, False)
    a, b = fit(X, rows, shape), fit(X[again], long, shape)
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-5)
    assert a.loglik == pytest.approx(b.loglik, rel=CONVERGED)


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_of_curves_are_finite_differences(scale: str) -> None:
    X, rows = mixed()
    found = fit(X, rows, _shape(rows, 3, True), scale=scale)
    few, zero, times = X[:3], np.zeros(3), np.array([0.5, 2.0, 6.0])

    def moved(step: np.ndarray) -> FlexibleFit:
        return replace(found, theta=found.theta + step)

    for curve, grid in ((survival, times), (log_hazard, times), (log_quantile, times / 7)):
        _, J = curve(found, few, zero, grid)
        for j in range(found.shape.k):
            step = 1e-6 * np.eye(found.shape.k)[j]
            up, down = (curve(moved(s), few, zero, grid)[0] for s in (step, -step))
            np.testing.assert_allclose(J[:, :, j], (up - down) / 2e-6, rtol=1e-4, atol=1e-6)


def test_quantiles_invert_survival_and_the_hazard_is_its_slope() -> None:
    X, rows = mixed()
    found = fit(X, rows, _shape(rows, 4, True))
    p = np.array([0.2, 0.6])
    t = np.exp(log_quantile(found, X[:1], np.zeros(1), p)[0][0])
    np.testing.assert_allclose(1 - survival(found, X[:1], np.zeros(1), t)[0][0], p, rtol=1e-9)
    h = np.exp(log_hazard(found, X[:1], np.zeros(1), t)[0][0])
    up, down = (-np.log(survival(found, X[:1], np.zeros(1), t + e)[0][0]) for e in (1e-6, -1e-6))
    np.testing.assert_allclose(h, (up - down) / 2e-6, rtol=1e-6)
    assert survival(found, X[:1], np.zeros(1), np.zeros(1))[0][0, 0] == 1.0


def test_truth_is_recovered_from_a_hazard_no_simple_law_has() -> None:
    """A mixture of an early and a late Weibull under proportional hazards, visits every 0.25."""
    rng = np.random.default_rng(21)
    n, beta = 8_000, 0.5
    x = rng.integers(0, 2, n).astype(float)
    grid = np.linspace(1e-4, 8, 200_001)

    def base(t: np.ndarray) -> np.ndarray:
        return 0.4 * np.exp(-((t / 0.7) ** 1.5)) + 0.6 * np.exp(-((t / 4) ** 2.5))

    U = rng.uniform(size=n)
    t = np.interp(-(U ** np.exp(-beta * x)), -base(grid), grid)
    high = np.ceil(t / 0.25) * 0.25
    seen = high <= 6
    rows = Censored(np.where(seen, high - 0.25, 6.0), np.where(seen, high, np.inf))
    shape = Shape(knots(rows, 6), 1)
    found = fit(x[:, None], rows, shape)
    se = float(np.sqrt(found.covariance[-1, -1]))
    assert abs(found.theta[-1] - beta) < MONTE_CARLO_SES * se
    times = np.array([0.5, 1, 2, 3, 4, 5])
    S = survival(found, np.zeros((1, 1)), np.zeros(1), times)[0][0]
    # six degrees of freedom come within a hundredth of this truth, where Weibull is far off
    assert np.abs(S - base(times)).max() < 0.02
    weibull = fit(x[:, None], rows, Shape(knots(rows, 1), 1))
    crude = survival(weibull, np.zeros((1, 1)), np.zeros(1), times)[0][0]
    assert np.abs(crude - base(times)).max() > 0.05


def test_probit_without_censoring_is_least_squares() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=60)
    y = 1 + 0.5 * x + rng.normal(size=60)
    rows = Censored(np.exp(y), np.exp(y))
    found = fit(x[:, None], rows, Shape(knots(rows, 1), 1), scale="normal")
    X = np.column_stack([np.ones(60), x])
    beta, (rss,) = np.linalg.lstsq(X, y, rcond=None)[:2]
    sigma = np.sqrt(rss / 60)
    np.testing.assert_allclose(found.theta[[0, 2]], -beta / sigma, rtol=1e-8)
    S = survival(found, x[:1, None], np.zeros(1), np.array([2.0]))[0][0, 0]
    assert pytest.approx(norm.sf((np.log(2) - X[0] @ beta) / sigma), rel=1e-8) == S
