"""Simulated sufficient statistics against simulated rows; refits together against one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recovery_stats.engines import lmm, lmm_batch
from recovery_stats.engines.lmm_bootstrap import Refits, Simulator, Truth, refits
from tests.engines.lmm_example import Array, example
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES, SETTLED


@pytest.mark.parametrize("start", [1.0, 0.0])  # zero variances are a saddle of every outcome
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", ["intercept", "slope", "mixed blocks", "three"])
def test_together_is_one_by_one(kind: str, reml: bool, start: float) -> None:
    fit = lmm.fit(*example(kind), reml=reml)
    problem, p = fit.problem, fit.p
    L = [0.3 * factor for factor in fit.solution.L]  # small variances: boundaries among them
    outcomes, _ = Simulator.of(problem, L, np.random.default_rng(4)).draw(25)
    at, done = lmm_batch.minimise(lmm_batch.Shared.of(problem), outcomes, start * problem.pack(L))
    assert done.sum() >= 24
    for r in np.flatnonzero(done):
        c, within = problem.c.copy(), problem.within.copy()
        c[:, p], within[p, p] = outcomes.c[..., r], outcomes.within_yy[r]
        within[p, :p] = within[:p, p] = outcomes.within_xy[:, r]
        alone, _ = lmm.minimise(replace(problem, c=c, within=within))
        assert at.criterion[r] == pytest.approx(alone.criterion, abs=SETTLED)
        size = np.sqrt(np.diag(alone.moments.S_inverse) * alone.moments.r2 / problem.nu)
        assert (np.abs(at.beta[:, r] - alone.moments.beta) < 1e-3 * size).all()


def test_derivatives_are_those_of_the_criterion_alone() -> None:
    fit = lmm.fit(*example("three"))
    problem, p = fit.problem, fit.p
    theta = fit.solution.theta[:, None] * [1.0, 0.7, -0.4]
    outcomes = lmm_batch.Outcomes(
        np.repeat(problem.c[:, p, :, None], 3, 2),
        np.repeat(problem.within[:p, p, None], 3, 1),
        np.repeat(problem.within[p, p], 3),
    )
    together = lmm_batch.evaluate(lmm_batch.Shared.of(problem), outcomes, theta)
    for r in range(3):
        alone = lmm.evaluate(problem, theta[:, r])
        assert together.criterion[r] == pytest.approx(alone.criterion, rel=CLOSED_FORM)
        size = np.abs(alone.average).max()
        assert np.abs(together.gradient[:, r] - alone.gradient).max() < CLOSED_FORM * size
        assert np.abs(together.hessian[..., r] - alone.average).max() < CLOSED_FORM * size


def by_rows(
    X: Array, factors: list[lmm.RandomFactor], truth: Truth, count: int, rng: np.random.Generator
) -> Array:
    """Numbers of `count` fits to outcomes simulated row by row."""
    found = []
    for _ in range(count):
        y = X @ truth.beta + np.sqrt(truth.sigma2) * rng.normal(size=len(X))
        for factor, psi in zip(factors, truth.psi, strict=True):
            b = rng.multivariate_normal(np.zeros(factor.q), psi, factor.levels)
            y += (factor.Z * b[factor.codes]).sum(1)
        fit = lmm.fit(X, y, factors)
        found.append([*fit.beta, *np.diag(fit.covariance), fit.sigma2, *variances(fit.psi)])
    return np.array(found)


def variances(psi: tuple[Array, ...]) -> list[float]:
    return [float(v) for P in psi for v in np.diag(P)]


def numbers(found: Refits) -> Array:
    parts = [np.diagonal(P, axis1=1, axis2=2) for P in found.psi]
    inside = np.diagonal(found.covariance, axis1=1, axis2=2)
    return np.column_stack([found.beta, inside, found.sigma2, *parts])


@pytest.mark.parametrize("kind", ["slope", "crossed slopes", "nested", "three factors"])
def test_simulated_sums_have_the_covariance_of_dense_formulas(kind: str) -> None:
    X, y, factors = example(kind)
    X[:, 2] = np.sin(factors[-1].codes)
    fit = lmm.fit(X, y, factors)
    problem, frame, draws = fit.problem, fit.frame, 20_000
    simulator = Simulator.of(problem, list(fit.solution.L), np.random.default_rng(6))
    outcomes, lifted = simulator.draw(draws)
    ours = np.vstack([outcomes.c.reshape(-1, draws), outcomes.within_xy, lifted])

    Zs = [factors[k].Z @ frame.T[j] for j, k in enumerate(frame.order)]
    codes = [factors[k].codes for k in frame.order]
    wide = [spread_out(Z, g) for Z, g in zip(Zs, codes, strict=True)]
    V = np.eye(len(y))
    for Z, L, g in zip(Zs, fit.solution.L, codes, strict=True):
        V += (Z @ L @ L.T @ Z.T) * (g[:, None] == g)
    left = np.eye(len(y)) - wide[0] @ np.linalg.pinv(wide[0])
    q, m = problem.q[0], problem.R.shape[2]
    inverse = np.array([np.linalg.pinv(problem.R[..., i]) for i in range(m)])
    Q = np.einsum("nq,nqr->nr", Zs[0], inverse[codes[0]])
    Qt = np.concatenate([spread_out(Q[:, [a]], codes[0]).T for a in range(q)])
    others = [Z.T @ left for Z in wide[1:]]
    B = np.vstack([Qt, (X @ frame.A).T @ left, *others])
    expected = B @ V @ B.T
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / draws)
    assert (np.abs(ours @ ours.T / draws - expected) < 5.0 * error + 1e-8).all()
    rest = left @ V @ left
    variance = 2 * np.trace(rest @ rest)
    assert abs(outcomes.within_yy.mean() - np.trace(rest)) < 4.0 * np.sqrt(variance / draws)
    assert abs(outcomes.within_yy.var() / variance - 1) < 0.06
    together = B @ V @ left
    cubic = np.array([np.mean(row**2 * outcomes.within_yy) for row in ours])
    theory = np.diag(expected) * np.trace(rest) + 2 * (together**2).sum(1)
    assert np.allclose(cubic, theory, rtol=0.1, atol=1e-6)


def spread_out(Z: Array, codes: Array) -> Array:
    """The wide indicator form of a random factor: columns level by level."""
    width, levels = Z.shape[1], int(codes.max()) + 1
    out = np.zeros((len(Z), levels * width))
    for j in range(width):
        out[np.arange(len(Z)), codes * width + j] = Z[:, j]
    return out


@pytest.mark.parametrize(("kind", "count"), [("slope", 150), ("crossed", 40)])
def test_refits_are_distributed_as_those_of_rows(kind: str, count: int) -> None:
    X, y, factors = example(kind)
    X[:, 2] = np.sin(factors[-1].codes)  # constant within groups: nothing of it is left there
    fit = lmm.fit(X, y, factors)
    truth = Truth.of(fit)
    rows = by_rows(X, factors, truth, count, np.random.default_rng(1))
    sums = numbers(refits(fit.problem, fit.frame, truth, 3 * count, np.random.default_rng(2)))
    for power in (1, 2):
        a, b = (rows - fit_centre(rows, sums)) ** power, (sums - fit_centre(rows, sums)) ** power
        error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
        assert (np.abs(a.mean(0) - b.mean(0)) < MONTE_CARLO_SES * error).all()


def fit_centre(rows: Array, sums: Array) -> Array:
    return np.asarray(np.vstack([rows, sums]).mean(0))


def test_the_same_seed_gives_the_same_draws_and_any_truth_can_be_simulated() -> None:
    X, y, factors = example("slope")
    fit = lmm.fit(X, y, factors)
    truth = Truth(np.array([1e3, 0.0, -5.0]), (np.diag([4e4, 1e4]),), 2.5e4)
    one, two = (refits(fit.problem, fit.frame, truth, 300, np.random.default_rng(9)) for _ in "ab")
    assert np.array_equal(one.beta, two.beta)
    error = one.beta.std(0) / np.sqrt(300)
    assert (np.abs(one.beta.mean(0) - truth.beta) < MONTE_CARLO_SES * error).all()
    assert abs(one.sigma2.mean() / truth.sigma2 - 1) < 0.05
    assert one.psi[0][:, 0, 0].mean() / 4e4 == pytest.approx(1, abs=0.1)
