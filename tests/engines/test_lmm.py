"""The mixed-model engine against dense formulas, derivatives, closed forms and itself."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import lmm
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_criterion import observed_information
from recovery_stats.errors import NotEstimable
from tests.engines.lmm_example import KINDS, covariance_of, dense, example
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT, INVARIANCE

Array = np.ndarray


def some_theta(problem: lmm.Problem, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    return 0.4 + 0.5 * rng.random(len(problem.entries()))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_criterion_and_fit_equal_the_dense_formulas(kind: str, reml: bool) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors, reml=reml)
    psi = [P / fit.sigma2 for P in fit.psi]
    criterion, beta, s2, covariance = dense(X, y, factors, psi, reml=reml)
    assert fit.criterion == pytest.approx(criterion, abs=CLOSED_FORM * 100)
    assert fit.beta == pytest.approx(beta, abs=CLOSED_FORM)
    assert fit.sigma2 == pytest.approx(s2, rel=CLOSED_FORM)
    assert fit.covariance == pytest.approx(covariance, rel=1e-8, abs=CLOSED_FORM)


@pytest.mark.parametrize("kind", KINDS)
def test_effects_and_their_error_equal_the_dense_formulas(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    n = y.size
    V = fit.sigma2 * np.eye(n) + covariance_of(factors, list(fit.psi), n)
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.inv(X.T @ W @ X) @ X.T @ W
    for k, f in enumerate(factors):
        for level in range(f.levels):
            Z = f.Z * (f.codes == level)[:, None]
            mode = fit.psi[k] @ Z.T @ P @ y
            error = fit.psi[k] - fit.psi[k] @ Z.T @ P @ Z @ fit.psi[k]
            assert fit.effects[k][level] == pytest.approx(mode, abs=CLOSED_FORM * 10)
            assert fit.effect_variance[k][level] == pytest.approx(error, abs=CLOSED_FORM * 10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_equals_finite_differences(kind: str, reml: bool) -> None:
    X, y, factors = example(kind)
    problem, _ = lmm.prepare(X, y, factors, reml=reml)
    theta, step = some_theta(problem), 1e-5
    slopes = [
        (
            lmm.evaluate(problem, theta + step * e).criterion
            - lmm.evaluate(problem, theta - step * e).criterion
        )
        / (2 * step)
        for e in np.eye(theta.size)
    ]
    assert lmm.evaluate(problem, theta).gradient == pytest.approx(slopes, abs=100 * DERIVATIVE)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_hessian_equals_finite_differences(kind: str, reml: bool) -> None:
    X, y, factors = example(kind)
    problem, _ = lmm.prepare(X, y, factors, reml=reml)
    theta, step = some_theta(problem), 1e-5
    rows = [
        (
            lmm.evaluate(problem, theta + step * e).gradient
            - lmm.evaluate(problem, theta - step * e).gradient
        )
        / (2 * step)
        for e in np.eye(theta.size)
    ]
    exact = observed_information(problem, lmm.evaluate(problem, theta))
    np.testing.assert_allclose(exact, np.array(rows), atol=100 * DERIVATIVE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_a_minimum(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    at = fit.solution
    assert np.abs(at.gradient).max() < 1e-6
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = lmm.evaluate(fit.problem, at.theta + 0.05 * rng.normal(size=at.theta.size))
        assert near.criterion >= at.criterion - CLOSED_FORM


def test_balanced_one_way_is_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(6), 5)
    y = rng.normal(size=30) + 2.0 * rng.normal(size=6)[g]
    means = y.reshape(6, 5).mean(1)
    between = 5 * means.var(ddof=1)
    within = y.reshape(6, 5).var(axis=1, ddof=1).mean()
    fit = lmm.fit(np.ones((30, 1)), y, [RandomFactor(g, 6, np.ones((30, 1)), ((0,),))])
    assert fit.sigma2 == pytest.approx(within, rel=CLOSED_FORM)
    assert fit.psi[0][0, 0] == pytest.approx((between - within) / 5, rel=CLOSED_FORM)
    assert fit.covariance[0, 0] == pytest.approx(between / 30, rel=CLOSED_FORM)


def test_balanced_slopes_are_moments_of_each_persons_line_found_in_one_step() -> None:
    """Psi is the covariance of the lines less that of their errors; scoring is exact here."""
    rng = np.random.default_rng(14)
    m, t = 15, np.arange(7.0)
    Z = np.column_stack([np.ones(7), t])
    b = rng.normal(size=(m, 2)) @ np.array([[2.0, 0.4], [0.0, 0.6]])
    y = (b @ Z.T + rng.normal(size=(m, 7))).ravel()
    lines, left = np.linalg.lstsq(Z, y.reshape(m, 7).T, rcond=None)[:2]
    sigma2 = left.sum() / (m * 5)
    X, g = np.tile(Z, (m, 1)), np.repeat(np.arange(m), 7)
    fit = lmm.fit(X, y, [RandomFactor(g, m, X, ((0, 1),))])
    assert fit.sigma2 == pytest.approx(sigma2, rel=CLOSED_FORM)
    psi = np.cov(lines) - sigma2 * np.linalg.inv(Z.T @ Z)
    assert np.allclose(fit.psi[0], psi, rtol=CLOSED_FORM)
    assert np.allclose(fit.beta, lines.mean(1), rtol=CLOSED_FORM)
    assert fit.iterations == 2


def test_zero_variance_is_least_squares() -> None:
    """Groups whose means are equal: the variance between them is exactly zero."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 4)
    X = np.column_stack([np.ones(32), rng.normal(size=32)])
    y = rng.normal(size=32)
    y -= np.array([y[g == k].mean() for k in range(8)])[g]
    y += X[:, 1]
    X[:, 1] -= np.array([X[g == k, 1].mean() for k in range(8)])[g]
    fit = lmm.fit(X, y - y.mean(), [RandomFactor(g, 8, np.ones((32, 1)), ((0,),))])
    beta, rss = np.linalg.lstsq(X, y - y.mean(), rcond=None)[:2]
    if fit.singular:
        assert fit.psi[0][0, 0] == 0.0
        assert fit.boundary
        assert fit.beta == pytest.approx(beta, abs=EXACT * 10)
        assert fit.sigma2 == pytest.approx(rss[0] / 30, rel=CLOSED_FORM)
    else:
        pytest.fail("the variance should be zero")


def test_a_singular_correlation_is_an_ordinary_answer() -> None:
    rng = np.random.default_rng(8)
    n, m = 120, 20
    g = np.repeat(np.arange(m), 6)
    t = np.tile(np.arange(6.0), m)
    u = rng.normal(size=m)
    y = 1 + 0.2 * t + u[g] * (3 + t) + 3.0 * rng.normal(size=n)
    Z = np.column_stack([np.ones(n), t])
    fit = lmm.fit(Z, y, [RandomFactor(g, m, Z, ((0, 1),))])
    assert fit.singular
    assert fit.rank == (1,)
    assert fit.boundary
    correlation = fit.psi[0][0, 1] / np.sqrt(fit.psi[0][0, 0] * fit.psi[0][1, 1])
    assert correlation == pytest.approx(1.0, abs=CONVERGED)


@pytest.mark.parametrize("kind", ["slope", "nested", "crossed slopes"])
@pytest.mark.parametrize(
    ("outcome", "shift", "origin", "unit"),
    [(1e-12, 0.0, 0.0, 1.0), (1e6, 0.0, 0.0, 1.0), (1.0, 1e7, 0.0, 1.0), (1.0, 0.0, 2015.0, 1e-4)],
)
def test_units_and_origins_do_not_matter(
    kind: str, outcome: float, shift: float, origin: float, unit: float
) -> None:
    X, y, factors = example(kind)
    base = lmm.fit(X, y, factors)
    moved = X.copy()
    moved[:, 1] = (X[:, 1] + origin) * unit
    other = [
        RandomFactor(
            f.codes, f.levels, np.column_stack([f.Z[:, 0], (f.Z[:, 1] + origin) * unit]), f.blocks
        )
        for f in factors
    ]
    fit = lmm.fit(moved, outcome * y + shift, other)
    for j in (1, 2):
        ratio = [f.beta[j] / np.sqrt(f.covariance[j, j]) for f in (base, fit)]
        assert ratio[1] == pytest.approx(ratio[0], rel=INVARIANCE)
    n, p = X.shape
    jacobian = 2 * (n - p) * np.log(outcome) + 2 * np.log(unit)
    assert fit.criterion == pytest.approx(base.criterion + jacobian, abs=1e-6)


@pytest.mark.parametrize("kind", ["slope", "nested", "three factors"])
def test_order_and_labels_of_rows_do_not_matter(kind: str) -> None:
    X, y, factors = example(kind)
    base = lmm.fit(X, y, factors)
    rng = np.random.default_rng(9)
    rows = rng.permutation(y.size)
    new = [rng.permutation(f.levels) for f in factors]
    shuffled = [
        RandomFactor(labels[f.codes][rows], f.levels, f.Z[rows], f.blocks)
        for f, labels in zip(factors, new, strict=True)
    ]
    fit = lmm.fit(X[rows], y[rows], shuffled)
    assert fit.criterion == pytest.approx(base.criterion, abs=CLOSED_FORM)
    assert fit.beta == pytest.approx(base.beta, rel=CONVERGED)
    for k, labels in enumerate(new):
        assert fit.effects[k][labels] == pytest.approx(base.effects[k], abs=CONVERGED)


def test_extreme_ratios_of_variance_lose_no_digits() -> None:
    """Residual sd 1e-3 beside random sd 50: the within estimate is the analysis of variance."""
    rng = np.random.default_rng(10)
    g = np.repeat(np.arange(12), 5)
    y = 50.0 * rng.normal(size=12)[g] + 1e-3 * rng.normal(size=60)
    within = y.reshape(12, 5).var(axis=1, ddof=1).mean()
    between = 5 * y.reshape(12, 5).mean(1).var(ddof=1)
    fit = lmm.fit(np.ones((60, 1)), y, [RandomFactor(g, 12, np.ones((60, 1)), ((0,),))])
    assert fit.sigma2 == pytest.approx(within, rel=1e-8)
    assert fit.psi[0][0, 0] == pytest.approx((between - within) / 5, rel=CONVERGED)
    assert fit.iterations < 40


def test_prior_weights_and_offset_equal_the_dense_formulas() -> None:
    X, y, factors = example("slope")
    rng = np.random.default_rng(11)
    w, offset = rng.uniform(0.5, 2.0, size=y.size), rng.normal(size=y.size)
    fit = lmm.fit(X, y, factors, weights=w, offset=offset)
    n, p = X.shape
    V = fit.sigma2 * np.diag(1 / w) + covariance_of(factors, list(fit.psi), n)
    W = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ (y - offset))
    r = y - offset - X @ beta
    deviance = (
        np.linalg.slogdet(V)[1]
        + np.linalg.slogdet(X.T @ W @ X)[1]
        + r @ W @ r
        + (n - p) * np.log(2 * np.pi)
    )
    assert fit.beta == pytest.approx(beta, abs=CLOSED_FORM)
    assert fit.criterion == pytest.approx(deviance, abs=CLOSED_FORM * 100)


def test_what_has_no_answer_is_refused() -> None:
    g = np.repeat(np.arange(5), 4)
    one = np.ones((20, 1))
    with pytest.raises(NotEstimable, match="no variation left"):
        lmm.fit(one, np.full(20, 3.0), [RandomFactor(g, 5, one, ((0,),))])
    rng = np.random.default_rng(1)
    between = np.column_stack([np.ones(20), rng.normal(size=5)[g]])
    with pytest.raises(NotEstimable, match="does not vary within"):
        lmm.fit(one, rng.normal(size=20), [RandomFactor(g, 5, between, ((0, 1),))])


def harsh(seed: int) -> tuple[Array, Array, list[RandomFactor]]:
    """Few groups, ratios of variance from 0 to 3,000, correlations at and near ±1."""
    rng = np.random.default_rng(seed)
    m, k = int(rng.integers(5, 25)), int(rng.integers(3, 7))
    n, g, t = m * k, np.repeat(np.arange(m), k), np.tile(np.arange(k) * 1.0, m)
    u = rng.normal(size=m) * rng.choice([0, 0.1, 1, 30])
    slope = rng.normal(size=m) * rng.choice([0, 0.05, 0.5]) + u * rng.choice([0, 0.3])
    y = 1 + 0.2 * t + u[g] + slope[g] * t + rng.normal(size=n) * rng.choice([1, 2, 1e-2])
    X = np.column_stack([np.ones(n), t])
    factors = [RandomFactor(g, m, X, ((0, 1),))]
    if seed % 3 == 1:
        factors.append(RandomFactor(g % 4, 4, np.ones((n, 1)), ((0,),)))
    if seed % 3 == 2 and k > 4:
        factors = [RandomFactor(g, m, np.column_stack([X, t**2]), ((0, 1, 2),))]
    return X, y, factors


def test_harsh_data_end_at_a_minimum_or_an_honest_boundary() -> None:
    rng, singular = np.random.default_rng(0), 0
    for seed in range(120):
        X, y, factors = harsh(seed)
        fit = lmm.fit(X, y, factors)
        singular += fit.singular
        assert fit.boundary, seed
        scale = np.maximum(np.abs(fit.solution.theta), 0.1)
        for _ in range(5):
            theta = fit.solution.theta + 0.05 * scale * rng.normal(size=scale.size)
            near = lmm.evaluate(fit.problem, theta)
            assert near.criterion > fit.solution.criterion - CONVERGED, seed
    assert 20 < singular < 110
