"""Draws within clusters: moments on paper, the mixed model on complete data, recovery."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import truncnorm

from recovery_stats.engines import impute as engine
from recovery_stats.engines import impute_multilevel as multilevel
from recovery_stats.engines import lmm
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm_groups import RandomFactor
from tests.tolerance import MONTE_CARLO_SES

J, N = 80, 10


def _data(seed: int = 1, spread: Array | float = 1.0) -> tuple[Array, Array, IntArray]:
    """y = 1 + 0.5 x + u + v x + e over J clusters of N rows; sd(u) 0.8, sd(v) 0.4."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(J), N)
    x = rng.normal(size=J * N)
    u, v = rng.normal(size=J) * 0.8, rng.normal(size=J) * 0.4
    sd = np.broadcast_to(spread, J)[codes]
    y = 1.0 + 0.5 * x + u[codes] + v[codes] * x + sd * rng.normal(size=J * N)
    return np.vstack([np.ones(J * N), x]), y, codes


def _chain(
    X: Array, y: Array, codes: IntArray, slopes: list[int], residual: str, steps: int
) -> list[multilevel.Gibbs]:
    rng = np.random.default_rng(5)
    factor = multilevel.Factor(codes, J, np.array(slopes))
    rows = multilevel.Rows(X, (codes,), (X[slopes],))
    at = multilevel.start(X, y, (factor,), False)
    kept = []
    for k in range(steps):
        multilevel.step(at, rows, y, rng, residual, 1.0)
        if k >= 200:
            kept.append(
                multilevel.Gibbs(
                    at.beta, list(at.effects), [p.copy() for p in at.psi], at.mixing,
                    at.precision.copy(), at.shape, at.mean,
                )
            )  # fmt: skip
    return kept


def test_posterior_is_near_the_mixed_model() -> None:
    X, y, codes = _data()
    kept = _chain(X, y, codes, [0, 1], "one", 3000)
    factor = RandomFactor(codes, J, X.T.copy(), ((0, 1),))
    fit = lmm.fit(X.T.copy(), y, [factor])
    beta = np.array([g.beta for g in kept])
    se = np.sqrt(np.diag(fit.covariance))
    assert (abs(beta.mean(0) - fit.beta) < 0.15 * se).all()
    np.testing.assert_allclose(beta.std(0), se, rtol=0.1)
    psi = np.array([g.psi[0] for g in kept])
    # the posterior of a variance from 80 clusters is skewed by a few per cent beyond REML's
    np.testing.assert_allclose(np.median(psi, 0), fit.psi[0], atol=0.06)
    sigma2 = np.mean([1 / g.precision[0] for g in kept])
    assert sigma2 == pytest.approx(fit.sigma2, rel=0.02)


def test_residual_variances_of_clusters_are_found() -> None:
    rng = np.random.default_rng(9)
    sd = np.exp(rng.normal(size=J) * 0.5)
    X, y, codes = _data(2, sd)
    kept = _chain(X, y, codes, [0], "each", 2000)
    found = np.mean([np.log(1 / g.precision) / 2 for g in kept], axis=0)
    assert np.corrcoef(found, np.log(sd))[0, 1] > 0.7
    spread = np.mean([np.std(np.log(1 / g.precision) / 2) for g in kept])
    assert spread == pytest.approx(0.5, abs=0.12)


def test_equal_variances_shrink_to_one() -> None:
    X, y, codes = _data(3)
    kept = _chain(X, y, codes, [0, 1], "each", 2000)
    spread = np.mean([np.std(np.log(1 / g.precision) / 2) for g in kept])
    assert spread < 0.2
    factor = RandomFactor(codes, J, X.T.copy(), ((0, 1),))
    sigma2 = lmm.fit(X.T.copy(), y, [factor]).sigma2
    assert np.mean([1 / g.mean for g in kept]) == pytest.approx(sigma2, rel=0.05)


def test_inverse_wishart_has_its_mean() -> None:
    rng, S = np.random.default_rng(1), np.array([[2.0, 0.5], [0.5, 1.0]])
    draws = np.array([multilevel._inverse_wishart(12.0, S, rng) for _ in range(20_000)])
    error = draws.std(0) / np.sqrt(len(draws))
    assert (abs(draws.mean(0) - S / (12 - 3)) < MONTE_CARLO_SES * error).all()


@pytest.mark.parametrize("ends", [(0.0, np.inf), (-np.inf, 0.0), (3.0, np.inf), (-0.5, 0.2)])
def test_cut_normals_have_their_moments(ends: tuple[float, float]) -> None:
    rng, mean = np.random.default_rng(2), -0.7
    low, high = (np.full(50_000, e) for e in ends)
    found = multilevel._between(np.full(50_000, mean), low, high, rng)
    law = truncnorm(ends[0] - mean, ends[1] - mean, loc=mean)
    assert found.min() >= ends[0]
    assert found.max() <= ends[1]
    assert abs(found.mean() - law.mean()) < MONTE_CARLO_SES * law.std() / np.sqrt(50_000)
    assert found.std() == pytest.approx(law.std(), rel=0.02)


def _target(values: Array, codes: IntArray, gone: Array, method: engine.Method) -> engine.Plan:
    n = values.size
    target = engine.Target(
        "y", 0, np.flatnonzero(~gone), np.flatnonzero(gone), np.array([0]), method
    )  # fmt: skip
    return engine.Plan(values[None], np.ones((1, n)), (target,), 30)


def test_shares_differ_between_clusters_where_they_did() -> None:
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(30), 60)
    chance = np.where(np.arange(30) < 15, 0.2, 0.8)
    y = (rng.random(1800) < chance[codes]).astype(float)
    gone = rng.random(1800) < 0.4
    factor = multilevel.Factor(codes, 30, np.array([0]))
    plan = _target(y, codes, gone, multilevel.Clustered("binary", (factor,)))
    drawn = np.mean([engine.run(plan, s).imputed[0] for s in engine.seeds(1, 0, 10)], axis=0)
    for half, true in ((codes[gone] < 15, 0.2), (codes[gone] >= 15, 0.8)):
        assert drawn[half].mean() == pytest.approx(true, abs=0.05)


def test_nominal_shares_differ_between_clusters_where_they_did() -> None:
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(20), 90)
    chances = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])[(np.arange(20) >= 10).astype(int)]
    y = (rng.random((1800, 1)) > np.cumsum(chances[codes], axis=1)[:, :2]).sum(1).astype(float)
    gone = rng.random(1800) < 0.3
    factor = multilevel.Factor(codes, 20, np.array([0]))
    plan = _target(y, codes, gone, multilevel.Clustered("nominal", (factor,), levels=3))
    drawn = np.array([engine.run(plan, s).imputed[0] for s in engine.seeds(2, 0, 6)])
    for half, true in ((codes[gone] < 10, chances[0]), (codes[gone] >= 10, chances[-1])):
        share = np.bincount(drawn[:, half].astype(int).ravel(), minlength=3) / drawn[:, half].size
        np.testing.assert_allclose(share, true, atol=0.06)


def test_delta_within_clusters_is_a_log_odds_ratio() -> None:
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(10), 300)
    y = (rng.random(3000) < 0.5).astype(float)
    gone = np.arange(3000) % 2 == 0
    factor = multilevel.Factor(codes, 10, np.array([0]))
    plan = _target(y, codes, gone, multilevel.Clustered("binary", (factor,)))
    target = plan.targets[0]
    moved = engine.Target(
        "y", 0, target.observed, target.missing, target.predictors, target.method, (), np.log(4.0)
    )
    plan = engine.Plan(plan.values, plan.design, (moved,), 10)
    drawn = np.mean([engine.run(plan, s).imputed[0].mean() for s in engine.seeds(1, 0, 8)])
    seen = y[~gone].mean()
    assert np.log(drawn / (1 - drawn)) == pytest.approx(np.log(4 * seen / (1 - seen)), abs=0.15)


def test_a_cluster_without_values_is_drawn_from_the_others() -> None:
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(50), 8)
    y = 2.0 * rng.normal(size=50)[codes] + rng.normal(size=400)
    gone = codes == 7
    factor = multilevel.Factor(codes, 50, np.array([0]))
    plan = _target(y, codes, gone, multilevel.Clustered("normal", (factor,), False))
    means = np.array([engine.run(plan, s).imputed[0].mean() for s in engine.seeds(1, 0, 60)])
    assert means.std() == pytest.approx(2.0, rel=0.35)
