"""Degrees of freedom and robust errors of mixed models against dense n by n formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from recovery_stats.engines import lmm, lmm_df
from recovery_stats.engines.lmm import LmmFit, RandomFactor
from recovery_stats.engines.lmm_robust import cluster_robust
from recovery_stats.errors import NotEstimable
from tests.engines.lmm_example import KINDS, Array, covariance_of, example
from tests.tolerance import CLOSED_FORM, CONVERGED, INVARIANCE


def directions(factors: list[RandomFactor], n: int) -> list[Array]:
    """dV/dgamma for every entry of every Psi, then the residual variance."""
    found = []
    for k, f in enumerate(factors):
        for block in f.blocks:
            for i in block:
                for j in block:
                    if i >= j:
                        psi = [np.zeros((g.q, g.q)) for g in factors]
                        psi[k][i, j] = psi[k][j, i] = 1.0
                        found.append(covariance_of(factors, psi, n))
    return [*found, np.eye(n)]


class Dense:
    """Everything by n by n matrices."""

    def __init__(self, X: Array, y: Array, factors: list[RandomFactor], fit: LmmFit) -> None:
        n = y.size
        self.dV = directions(factors, n)
        self.V = fit.sigma2 * np.eye(n) + covariance_of(factors, list(fit.psi), n)
        W = np.linalg.inv(self.V)
        self.Phi = np.linalg.inv(X.T @ W @ X)
        P = W - W @ X @ self.Phi @ X.T @ W
        r = len(self.dV)
        self.P = [X.T @ W @ D @ W @ X for D in self.dV]
        self.Q = [[X.T @ W @ D @ W @ E @ W @ X for E in self.dV] for D in self.dV]
        inside = P if fit.reml else W
        self.expected = np.empty((r, r))
        self.observed = np.empty((r, r))
        for a in range(r):
            for b in range(r):
                trace = np.trace(P @ self.dV[a] @ P @ self.dV[b])
                self.expected[a, b] = 0.5 * trace
                own = np.trace(inside @ self.dV[a] @ inside @ self.dV[b])
                quad = y @ P @ self.dV[a] @ P @ self.dV[b] @ P @ y
                self.observed[a, b] = -0.5 * own + quad

    def satterthwaite(self, row: Array) -> float:
        A = np.linalg.inv(self.observed)
        u = self.Phi @ row
        g = np.array([u @ P @ u for P in self.P])
        return float(2 * (row @ u) ** 2 / (g @ A @ g))

    def adjusted(self) -> Array:
        W = np.linalg.inv(self.expected)
        total = sum(
            W[a, b] * (self.Q[a][b] - self.P[a] @ self.Phi @ self.P[b])
            for a in range(len(W))
            for b in range(len(W))
        )
        return self.Phi + 2 * self.Phi @ total @ self.Phi


@pytest.mark.parametrize("kind", KINDS)
def test_information_and_covariances_equal_the_dense_formulas(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    assert not fit.singular  # the dense formulas here are those of an interior optimum
    info, dense = lmm_df.information(fit), Dense(X, y, factors, fit)
    eye = np.eye(X.shape[1])
    expected = [dense.satterthwaite(row) for row in eye]
    assert lmm_df.satterthwaite(info, eye) == pytest.approx(expected, rel=CONVERGED * 100)
    assert lmm_df.adjusted_covariance(info) == pytest.approx(
        dense.adjusted(), rel=CONVERGED * 100, abs=CLOSED_FORM
    )


@pytest.mark.parametrize("kind", KINDS)
def test_satterthwaite_under_maximum_likelihood(kind: str) -> None:
    X, y, factors = example(kind, seed=3)
    fit = lmm.fit(X, y, factors, reml=False)
    assert not fit.singular  # the dense formulas here are those of an interior optimum
    dense = Dense(X, y, factors, fit)
    row = np.array([0.3, 1.0, -2.0])
    ours = lmm_df.satterthwaite(lmm_df.information(fit), row[None])[0]
    assert ours == pytest.approx(dense.satterthwaite(row), rel=CONVERGED * 100)


def test_kenward_roger_of_one_row_and_f_of_one_row_agree() -> None:
    X, y, factors = example("nested")
    fit = lmm.fit(X, y, factors)
    info = lmm_df.information(fit)
    row = np.array([[0.0, 1.0, 0.0]])
    test = lmm_df.kenward_roger_f(info, row, fit.beta)
    assert test.den_df == pytest.approx(lmm_df.kenward_roger(info, row)[0])
    se2 = lmm_df.adjusted_covariance(info)[1, 1]
    assert test.statistic == pytest.approx(fit.beta[1] ** 2 / se2)
    satt = lmm_df.satterthwaite_f(info, row, fit.beta)
    assert satt.statistic == pytest.approx(fit.beta[1] ** 2 / fit.covariance[1, 1])


def test_balanced_split_plot_has_exact_degrees_of_freedom() -> None:
    """Between people m - 2, within people (m - 2)(k - 1) - ...: the analysis of variance."""
    rng = np.random.default_rng(1)
    m, k = 12, 4
    g = np.repeat(np.arange(m), k)
    arm = (np.arange(m) % 2)[g] * 2.0 - 1.0
    t = np.tile([-1.5, -0.5, 0.5, 1.5], m)
    X = np.column_stack([np.ones(m * k), arm, t, arm * t])
    y = rng.normal(size=m * k) + 2.0 * rng.normal(size=m)[g]
    fit = lmm.fit(X, y, [RandomFactor(g, m, np.ones((m * k, 1)), ((0,),))])
    info = lmm_df.information(fit)
    exact = [m - 2, m - 2, m * k - m - 2, m * k - m - 2]
    assert lmm_df.satterthwaite(info, np.eye(4)) == pytest.approx(exact, rel=1e-6)
    assert lmm_df.kenward_roger(info, np.eye(4)) == pytest.approx(exact, rel=1e-6)
    both = lmm_df.kenward_roger_f(info, np.eye(4)[2:], fit.beta)
    assert both.den_df == pytest.approx(m * k - m - 2, rel=1e-6)


def test_kenward_roger_adjusts_nothing_in_balanced_data_at_a_variance_ratio_of_1e9() -> None:
    """What x tells between people weighs 1e-9 of what it tells within: as good as balanced."""
    rng = np.random.default_rng(4)
    m, k = 60, 6
    g = np.repeat(np.arange(m), k)
    t, x = np.tile(np.arange(k) * 1.0, m), rng.normal(size=m * k)
    X = np.column_stack([np.ones(m * k), x, t, (g % 2) * 1.0])
    y = X @ [1.0, 0.3, 0.2, 0.0] + 50.0 * rng.normal(size=m)[g] + 1e-3 * rng.normal(size=m * k)
    fit = lmm.fit(X, y, [RandomFactor(g, m, np.ones((m * k, 1)), ((0,),))])
    info = lmm_df.information(fit)
    adjusted = np.diag(lmm_df.adjusted_covariance(info))
    assert adjusted == pytest.approx(np.diag(fit.covariance), rel=INVARIANCE)
    exact = [m - 2, m * (k - 1) - 2, m * (k - 1) - 2, m - 2]
    assert lmm_df.kenward_roger(info, np.eye(4)) == pytest.approx(exact, rel=INVARIANCE)


@pytest.mark.parametrize("m", [3, 4, 6, 10])
def test_few_balanced_groups_have_m_minus_one_or_two(m: int) -> None:
    """df 2 and below are where the general formulas of Kenward and Roger divide 0 by 0."""
    rng = np.random.default_rng(m)
    g = np.repeat(np.arange(m), 4)
    y = rng.normal(size=4 * m) + 3.0 * rng.normal(size=m)[g]
    one = np.ones((4 * m, 1))
    fit = lmm.fit(one, y, [RandomFactor(g, m, one, ((0,),))])
    info = lmm_df.information(fit)
    assert lmm_df.kenward_roger(info, np.eye(1)) == pytest.approx([m - 1], rel=1e-6)
    assert lmm_df.kenward_roger_f(info, np.eye(1), fit.beta).den_df == pytest.approx(m - 1)
    if m > 3:
        X = np.column_stack([one, (g % 2) * 1.0])
        fit = lmm.fit(X, y, [RandomFactor(g, m, one, ((0,),))])
        balanced = m % 2 == 0
        df = lmm_df.kenward_roger(lmm_df.information(fit), np.eye(2))
        assert df[1] == pytest.approx(m - 2, rel=1e-6 if balanced else 0.2)


def test_a_zero_variance_leaves_the_residual_degrees_of_freedom() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(10), 3)
    X = np.column_stack([np.ones(30), rng.normal(size=30)])
    y = rng.normal(size=30)
    y -= 1.2 * np.array([y[g == k].mean() for k in range(10)])[g]
    fit = lmm.fit(X, y, [RandomFactor(g, 10, np.ones((30, 1)), ((0,),))])
    assert fit.singular
    info = lmm_df.information(fit)
    assert info.dropped == 1
    assert lmm_df.satterthwaite(info, np.eye(2)) == pytest.approx([28, 28])
    assert lmm_df.kenward_roger(info, np.eye(2)) == pytest.approx([28, 28])


# --- robust errors -------------------------------------------------------------------------------


def dense_cr2(X: Array, e: Array, V: Array, clusters: Array, row: Array) -> tuple[Array, float]:
    W = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ W @ X)
    n = len(e)
    H = X @ M @ X.T @ W
    meat, parts = np.zeros_like(M), []
    for c in np.unique(clusters):
        i = np.flatnonzero(clusters == c)
        D = np.linalg.cholesky(V[np.ix_(i, i)]).T
        left = np.eye(n)[i] - H[i]
        B = D @ left @ V @ left.T @ D.T
        A = D.T @ np.real(np.linalg.inv(sqrtm(B))) @ D
        XWA = X[i].T @ np.linalg.inv(V[np.ix_(i, i)]) @ A
        b = XWA @ e[i]
        meat += np.outer(b, b)
        parts.append(left.T @ XWA.T @ M @ row)
    G = np.array(parts)
    P = G @ V @ G.T
    return M @ meat @ M, float(np.trace(P) ** 2 / np.sum(P * P))


@pytest.mark.parametrize("kind", ["intercept", "slope", "nested"])
def test_robust_errors_equal_the_dense_formulas(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    clusters = factors[0].codes  # the person, or the site that holds whole persons
    residual = y - X @ fit.beta
    V = fit.sigma2 * np.eye(len(y)) + covariance_of(factors, list(fit.psi), len(y))
    row = np.array([0.2, 1.0, -0.5])
    covariance, df = dense_cr2(X, residual, V, clusters, row)
    ours = cluster_robust(X, residual, factors, fit.psi, fit.sigma2, fit.covariance, clusters)
    assert ours.covariance == pytest.approx(covariance, rel=CONVERGED)
    assert ours.df(row[None])[0] == pytest.approx(df, rel=CONVERGED)


def test_large_clusters_take_the_short_way_to_the_same_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, factors = example("nested")
    fit = lmm.fit(X, y, factors)
    args = (X, y - X @ fit.beta, factors, fit.psi, fit.sigma2, fit.covariance, factors[0].codes)
    whole = cluster_robust(*args)
    monkeypatch.setattr("recovery_stats.engines.lmm_robust.SMALL", 3)
    short = cluster_robust(*args)
    assert short.covariance == pytest.approx(whole.covariance, rel=CONVERGED)
    assert short.df(np.eye(3)) == pytest.approx(whole.df(np.eye(3)), rel=CONVERGED)


def test_clusters_that_cut_through_groups_are_refused() -> None:
    X, y, factors = example("intercept")
    fit = lmm.fit(X, y, factors)
    clusters = np.arange(len(y)) % 5
    with pytest.raises(NotEstimable, match="spread over several clusters"):
        cluster_robust(X, y, factors, fit.psi, fit.sigma2, fit.covariance, clusters)
