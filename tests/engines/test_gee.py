"""Estimating equations against dense formulas, and the models they must collapse to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import block_diag, sqrtm

from recovery_stats.engines.gee import fit
from recovery_stats.engines.gee_correlation import (
    Autoregressive,
    Clusters,
    Exchangeable,
    Unstructured,
)
from recovery_stats.engines.mean_law import LAWS, LINKS
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT

SIZES = (1, 2, 3, 4, 4, 5, 2, 3, 5, 1, 4, 3)


def panel(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X (n, 3), cluster codes, times with gaps, weights."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(SIZES)), SIZES)
    time = np.concatenate([np.sort(rng.choice(6, s, replace=False)) for s in SIZES]).astype(float)
    X = np.column_stack([np.ones(codes.size), rng.normal(size=codes.size), codes % 2])
    return X, codes, time, rng.integers(1, 4, codes.size).astype(float)


def dense(structure: str, alpha: np.ndarray, time: np.ndarray, times: np.ndarray) -> np.ndarray:
    if structure == "exchangeable":
        return (1 - alpha[0]) * np.eye(time.size) + alpha[0]
    if structure == "ar1":
        return alpha[0] ** np.abs(time[:, None] - time)
    R = np.eye(times.size)
    R[np.triu_indices(times.size, 1)] = alpha
    R = np.triu(R) + np.triu(R, 1).T
    at = np.searchsorted(times, time)
    return R[np.ix_(at, at)]


@pytest.mark.parametrize(
    ("structure", "alpha"),
    [
        ("exchangeable", [0.4]),
        ("exchangeable", [-0.2]),
        ("ar1", [0.6]),
        ("ar1", [-0.5]),
        ("unstructured", (0.3 * 0.9 ** np.arange(15)).tolist()),
    ],
)
def test_whitened_rows_have_the_inverse_correlation(structure: str, alpha: list[float]) -> None:
    X, codes, time, weights = panel()
    kinds = {
        "exchangeable": Exchangeable, "ar1": Autoregressive, "unstructured": Unstructured,
    }  # fmt: skip
    found = kinds[structure](Clusters(codes, time, weights)).whiten(X, np.array(alpha))
    blocks = [
        dense(structure, np.array(alpha), time[codes == c], np.unique(time))
        for c in range(len(SIZES))
    ]
    expected = X.T @ np.linalg.solve(block_diag(*blocks), X)
    assert found.T @ found == pytest.approx(expected, rel=CLOSED_FORM, abs=CLOSED_FORM)


@pytest.mark.parametrize("name", LINKS)
def test_links_by_differences(name: str) -> None:
    link = LINKS[name]
    eta = np.linspace(0.2, 2.0, 7)
    slope = (link.inverse(eta + 1e-6) - link.inverse(eta - 1e-6)) / 2e-6
    assert link.slope(eta) == pytest.approx(slope, rel=DERIVATIVE)
    assert link.forward(link.inverse(eta)) == pytest.approx(eta, rel=CLOSED_FORM)


@pytest.mark.parametrize("name", LAWS)
def test_the_quasi_score_is_the_residual_over_the_variance(name: str) -> None:
    law, y, mu = LAWS[name], np.array([0.2, 0.7, 0.9]), np.array([0.4, 0.5, 0.8])
    slope = (law.quasi(y, mu + 1e-6) - law.quasi(y, mu - 1e-6)) / 2e-6
    assert slope == pytest.approx((y - mu) / law.variance(mu), rel=DERIVATIVE)


def outcome(family: str, X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(5)
    eta = X @ [0.2, 0.4, -0.3] + rng.normal(0, 0.6, codes.max() + 1)[codes]
    if family == "binomial":
        return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)
    if family == "poisson":
        return rng.poisson(np.exp(eta)).astype(float)
    return eta + rng.normal(size=len(eta)) if family == "gaussian" else np.exp(eta) + 0.1


@pytest.mark.parametrize("family", LAWS)
@pytest.mark.parametrize("structure", ["independence", "exchangeable", "ar1"])
def test_solution_and_errors_are_the_dense_formulas(family: str, structure: str) -> None:
    X, codes, time, weights = panel()
    y = outcome(family, X, codes)
    law = LAWS[family]
    link = LINKS[law.link]
    shuffled = np.random.default_rng(6).permutation(len(y))
    kinds = {"CR0": lambda H: np.eye(len(H)), "CR3": lambda H: np.linalg.inv(np.eye(len(H)) - H),
             "CR2": lambda H: np.linalg.inv(np.real(sqrtm(np.eye(len(H)) - H)))}  # fmt: skip
    for kind, adjust in kinds.items():
        found = fit(
            X[shuffled], y[shuffled], law, link, codes[shuffled], structure=structure,
            time=time[shuffled], weights=weights[shuffled], kind=kind,
        )  # fmt: skip
        eta = X @ found.beta
        mu = link.inverse(eta)
        D, e = X * link.slope(eta)[:, None], y - mu
        root = np.sqrt(found.scale * law.variance(mu) / weights)
        Vs, rows = [], [np.flatnonzero(codes == c) for c in range(len(SIZES))]
        for r in rows:
            R = np.eye(r.size) if structure == "independence" else dense(
                structure, found.alpha, time[r], time)  # fmt: skip
            Vs.append(root[r, None] * R * root[r])
        score = sum(D[r].T @ np.linalg.solve(V, e[r]) for r, V in zip(rows, Vs, strict=True))
        bread = np.linalg.inv(
            sum(D[r].T @ np.linalg.solve(V, D[r]) for r, V in zip(rows, Vs, strict=True))
        )
        assert np.abs(bread @ score).max() < CONVERGED
        meat = np.zeros((3, 3))
        for r, V in zip(rows, Vs, strict=True):
            H = D[r] @ bread @ np.linalg.solve(V, D[r]).T
            u = D[r].T @ np.linalg.solve(V, adjust(H) @ e[r])
            meat += np.outer(u, u)
        assert found.naive == pytest.approx(bread, rel=CONVERGED)
        assert found.covariance == pytest.approx(bread @ meat @ bread, rel=CONVERGED)
        assert found.mu[np.argsort(shuffled)] == pytest.approx(mu, rel=CONVERGED)


def test_qic_is_pans() -> None:
    X, codes, _, _ = panel()
    y = outcome("poisson", X, codes)
    found = fit(X, y, LAWS["poisson"], LINKS["log"], codes, structure="exchangeable")
    mu = np.exp(X @ found.beta)
    quasi = (y * np.log(mu) - mu).sum() / found.scale
    omega = X.T @ (X * mu[:, None]) / found.scale
    assert found.qic == pytest.approx(-2 * quasi + 2 * np.trace(omega @ found.covariance))


def test_rows_of_their_own_are_regression_with_hc_errors() -> None:
    X, codes, _, _ = panel()
    y = outcome("gaussian", X, codes)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    for kind in ("CR0", "CR2", "CR3"):
        found = fit(X, y, LAWS["gaussian"], LINKS["identity"], np.arange(len(y)),
                    structure="independence", kind=kind)  # fmt: skip
        expected = sandwich(X, y - X @ beta, kind=kind)
        assert found.beta == pytest.approx(beta, rel=CONVERGED)
        assert found.covariance == pytest.approx(expected.covariance, rel=CONVERGED)
        assert found.df(np.array([0.0, 0.0, 1.0])) == pytest.approx(
            expected.df(np.array([0.0, 0.0, 1.0])), rel=CONVERGED
        )


def test_units_and_origin_do_not_matter() -> None:
    X, codes, time, _ = panel()
    y = outcome("binomial", X, codes)
    law, link = LAWS["binomial"], LINKS["logit"]
    plain = fit(X, y, law, link, codes, structure="ar1", time=time)
    moved = X * [1.0, 1e6, 1.0] + [0.0, 2e9, 0.0]
    far = fit(moved, y, law, link, codes, structure="ar1", time=time)
    assert far.beta[1] * 1e6 == pytest.approx(plain.beta[1], rel=DERIVATIVE)
    assert far.alpha == pytest.approx(plain.alpha, rel=DERIVATIVE)
    assert far.covariance[2, 2] == pytest.approx(plain.covariance[2, 2], rel=DERIVATIVE)


def test_hotelling_df_by_dense_matrices() -> None:
    X, codes, _, _ = panel()
    e = np.random.default_rng(3).normal(size=len(X))
    L = np.array([[0.0, 1.0, 0.0], [0.0, 0.3, 1.0]])
    for weights in (None, np.random.default_rng(4).uniform(0.5, 2.0, len(X))):
        found = sandwich(X, e, codes, weights=weights, kind="CR2")
        W = np.eye(len(X)) if weights is None else np.diag(weights)
        I_H = np.eye(len(X)) - X @ np.linalg.inv(X.T @ W @ X) @ X.T @ W
        cover = I_H @ I_H.T
        own = [np.where(codes == g, 1.0, 0.0) for g in range(len(SIZES))]
        V = found.Y @ found.bread @ L.T
        omega = sum((V * r[:, None]).T @ cover @ (V * r[:, None]) for r in own)
        values, vectors = np.linalg.eigh(omega)
        V = V @ (vectors / np.sqrt(values)) @ vectors.T
        parts = np.stack([V * r[:, None] for r in own])
        C = np.einsum("gns,nm,hmt->ghst", parts, cover, parts)
        total = sum(
            (C[..., s, s] * C[..., t, t] + C[..., s, t] * C[..., t, s]).sum()
            for s in range(2)
            for t in range(2)
        )
        assert found.hotelling_df(L) == pytest.approx(6.0 / total, rel=CLOSED_FORM)
        assert found.hotelling_df(L[:1]) == pytest.approx(found.df(L[0]), rel=CLOSED_FORM)


def test_a_pair_weighs_as_the_product_of_its_rows() -> None:
    X, codes, time, weights = panel()
    r = np.random.default_rng(1).normal(size=len(X))
    same = (codes[:, None] == codes) & ~np.eye(len(r), dtype=bool)
    pair = np.where(same, np.outer(weights, weights), 0.0)
    expected = (pair * np.outer(r, r)).sum() / pair.sum() / 1.3
    found = Exchangeable(Clusters(codes, time, weights)).estimate(r, 1.3, np.empty(0))
    assert found[0] == pytest.approx(expected, rel=EXACT)


def test_no_correlation_among_single_rows() -> None:
    X, codes, _, _ = panel()
    y = outcome("gaussian", X, codes)
    for structure in ("exchangeable", "ar1"):
        with pytest.raises(NotEstimable, match="single row"):
            fit(X, y, LAWS["gaussian"], LINKS["identity"], np.arange(len(y)), structure=structure)
