"""Conditional AIC: dense projections, refits to moved outcomes, least squares."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import lmm
from recovery_stats.engines.lmm_conditional import conditional
from recovery_stats.engines.lmm_ratio import Design
from tests.engines.lmm_example import Array, covariance_of, example
from tests.tolerance import CLOSED_FORM, HALF_DIGITS

KINDS = ["intercept", "slope", "mixed blocks", "crossed", "nested"]


def rows_fitted(fit: lmm.LmmFit, X: Array, factors: list[lmm.RandomFactor]) -> Array:
    value = X @ fit.beta
    for f, effects in zip(factors, fit.effects, strict=True):
        value = value + (f.Z * effects[f.codes]).sum(1)
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_known_variances_by_dense_projection(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors)
    V = np.eye(len(y)) + covariance_of(factors, [P / fit.sigma2 for P in fit.psi], len(y))
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    found = conditional(Design(fit, X, factors), y)
    assert found.known == pytest.approx(len(y) - np.trace(P), rel=CLOSED_FORM)
    left = y - rows_fitted(fit, X, factors)
    density = -0.5 * (len(y) * np.log(2 * np.pi * fit.sigma2) + left @ left / fit.sigma2)
    assert found.log_likelihood == pytest.approx(density, rel=CLOSED_FORM)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("kind", "seed"), [("intercept", 1), ("slope", 1), ("slope", 2),
                                            ("crossed", 1)])  # fmt: skip
def test_all_by_refits_to_moved_outcomes(kind: str, seed: int, reml: bool) -> None:
    X, y, factors = example(kind, seed)
    keep = np.arange(60)
    factors = [lmm.RandomFactor(np.unique(f.codes[keep], return_inverse=True)[1],
                                np.unique(f.codes[keep]).size, f.Z[keep], f.blocks)
               for f in factors]  # fmt: skip
    X, y = X[keep], y[keep]
    if seed == 2:
        y = np.random.default_rng(8).normal(size=60)  # no differences between groups: singular
    fit = lmm.fit(X, y, factors, reml=reml)
    assert fit.singular == (seed == 2)
    found = conditional(Design(fit, X, factors), y)
    slope, h = 0.0, 1e-4
    for i in range(60):
        up, down = y.copy(), y.copy()
        up[i], down[i] = y[i] + h, y[i] - h
        ends = [rows_fitted(lmm.fit(X, v, factors, reml=reml), X, factors)[i] for v in (up, down)]
        slope += (ends[0] - ends[1]) / (2 * h)
    assert found.known + found.estimation == pytest.approx(slope, rel=HALF_DIGITS)
    assert found.df == pytest.approx(slope + 1, rel=HALF_DIGITS)


def test_weights_and_units() -> None:
    X, y, factors = example("slope")
    weights = np.tile([1.0, 2.0, 0.5], 44)[: len(y)]
    fit = lmm.fit(X, y, factors, weights=weights)
    one = conditional(Design(fit, X, factors), y, weights=weights)
    other = lmm.fit(X, 1e5 * y, factors, weights=10 * weights)
    two = conditional(Design(other, X, factors), 1e5 * y, weights=10 * weights)
    assert two.df == pytest.approx(one.df, rel=HALF_DIGITS)
    shift = len(y) * np.log(1e5)
    assert two.log_likelihood == pytest.approx(one.log_likelihood - shift, rel=CLOSED_FORM * 100)
    left = y - rows_fitted(fit, X, factors)
    density = -0.5 * (np.log(2 * np.pi * fit.sigma2 / weights) + weights * left**2 / fit.sigma2)
    assert one.log_likelihood == pytest.approx(density.sum(), rel=CLOSED_FORM)


def test_without_differences_between_groups_it_is_that_of_least_squares() -> None:
    X, _, factors = example("intercept")
    y = np.random.default_rng(5).normal(size=len(X))
    fit = lmm.fit(X, y, factors)
    assert fit.singular
    found = conditional(Design(fit, X, factors), y)
    assert found.df == pytest.approx(X.shape[1] + 1, rel=CLOSED_FORM)
