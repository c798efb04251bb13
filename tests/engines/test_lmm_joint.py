"""Prediction variance, leverage and deletion against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import lmm, lmm_influence
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_influence import delete
from recovery_stats.engines.lmm_joint import Joint, join
from tests.engines.lmm_example import KINDS, Array, covariance_of, example
from tests.tolerance import CLOSED_FORM

KINDS = [k for k in KINDS if k != "uncorrelated"]


def at_variances(kind: str) -> tuple[Array, Array, list[RandomFactor], list[Array], Joint]:
    """An example at variances of its own choice, one of them short of rank."""
    X, y, factors = example(kind)
    rng = np.random.default_rng(5)
    psi = []
    for k, f in enumerate(factors):
        half = rng.normal(size=(f.q, max(f.q - (k == 0 and f.q > 1), 1)))
        psi.append(half @ half.T)
    return X, y, factors, psi, join(X, factors, psi, 0.7)


def henderson(
    X: Array, factors: list[RandomFactor], psi: list[Array], sigma2: float
) -> tuple[Array, Array]:
    """W = [X Z] dense and the covariance of (beta_hat, b_hat - b) from V, column by column."""
    n = len(X)
    V = covariance_of(factors, psi, n) + sigma2 * np.eye(n)
    Vi = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ Vi @ X)
    Z = np.hstack(
        [
            (f.Z[:, None, :] * (f.codes[:, None] == np.arange(f.levels))[:, :, None]).reshape(n, -1)
            for f in factors
        ]
    )
    sizes = [np.kron(np.eye(f.levels), P) for f, P in zip(factors, psi, strict=True)]
    G = np.zeros((Z.shape[1], Z.shape[1]))
    at = 0
    for block in sizes:
        G[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    P = Vi - Vi @ X @ Phi @ X.T @ Vi
    cross = -Phi @ X.T @ Vi @ Z @ G
    effects = G - G @ Z.T @ P @ Z @ G
    return np.hstack([X, Z]), np.block([[Phi, cross], [cross.T, effects]])


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_variance_is_hendersons(kind: str) -> None:
    X, _, factors, psi, joint = at_variances(kind)
    W, C = henderson(X, factors, psi, 0.7)
    p = X.shape[1]
    assert joint.covariance() == pytest.approx(C[:p, :p], rel=CLOSED_FORM, abs=1e-12)
    codes, Z = [f.codes for f in factors], [f.Z for f in factors]
    dense = np.einsum("ni,ij,nj->n", W, C, W)
    assert joint.variance(X, Z, codes) == pytest.approx(dense, rel=1e-9)
    strangers = [np.full(len(X), -1)] * len(factors)
    alone = np.einsum("ni,ij,nj->n", X, C[:p, :p], X)
    assert joint.variance(X, Z, strangers) == pytest.approx(alone, rel=CLOSED_FORM)


@pytest.mark.parametrize("kind", KINDS)
def test_leverage_is_the_diagonal_of_the_hat_matrices(kind: str) -> None:
    X, _, factors, psi, joint = at_variances(kind)
    n = len(X)
    Vi = np.linalg.inv(covariance_of(factors, psi, n) + 0.7 * np.eye(n))
    fixed = X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    whole = fixed + (np.eye(n) - 0.7 * Vi) @ (np.eye(n) - fixed)
    codes, Z = [f.codes for f in factors], [f.Z for f in factors]
    assert joint.fixed_leverage(X, Z, codes) == pytest.approx(np.diag(fixed), rel=1e-8, abs=1e-10)
    assert joint.variance(X, Z, codes) / 0.7 == pytest.approx(np.diag(whole), rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("large", [300, 1])
def test_deletion_is_generalised_least_squares_on_the_rest(
    kind: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmm_influence, "LARGE", large)
    X, y, factors, psi, joint = at_variances(kind)
    n = len(X)
    V = covariance_of(factors, psi, n) + 0.7 * np.eye(n)
    Vi = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ Vi @ X, X.T @ Vi @ y)
    conditional = 0.7 * Vi @ (y - X @ beta)
    for groups in (factors[-1].codes, factors[0].codes, np.arange(n) % 11):
        found = delete(joint, X, factors, conditional, groups)
        for i in range(int(groups.max()) + 1):
            left = groups != i
            inner = np.linalg.inv(V[np.ix_(left, left)])
            inverse = np.linalg.inv(X[left].T @ inner @ X[left])
            without = inverse @ X[left].T @ inner @ y[left]
            assert found.shift[i] == pytest.approx(beta - without, rel=1e-7, abs=1e-9)
            assert found.covariance[i] == pytest.approx(inverse, rel=1e-7, abs=1e-10)


def test_a_group_that_alone_carries_a_coefficient_has_no_deletion() -> None:
    X, y, factors = example("intercept")
    groups = factors[0].codes
    X = np.column_stack([X, groups == 3])
    fit = lmm.fit(X, y, factors)
    joint = join(X, factors, fit.psi, fit.sigma2)
    residual = y - X @ fit.beta - fit.effects[0][groups, 0]
    found = delete(joint, X, factors, residual, groups)
    assert np.isnan(found.shift[3]).all()
    assert np.isfinite(found.shift[[0, 1, 2, 4]]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_fits_own_errors_are_found_again(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    joint = join(X, factors, fit.psi, fit.sigma2)
    assert joint.covariance() == pytest.approx(fit.covariance, rel=1e-7, abs=1e-12)
    for k, f in enumerate(factors):
        for j in range(f.q):
            Z = [np.zeros((f.levels, g.q)) for g in factors]
            Z[k][:, j] = 1.0
            codes = [np.full(f.levels, -1) for _ in factors]
            codes[k] = np.arange(f.levels)
            found = joint.variance(np.zeros((f.levels, X.shape[1])), Z, codes)
            assert found == pytest.approx(fit.effect_variance[k][:, j, j], rel=1e-6, abs=1e-12)
