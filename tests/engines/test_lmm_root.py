"""Several factors whose effects dwarf the residual, against the same formulas in 50 digits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest

from recovery_stats.engines import lmm, lmm_bootstrap, lmm_df, lmm_ratio
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_criterion import observed_information
from recovery_stats.engines.lmm_second import Second
from recovery_stats.engines.lmm_traces import pair_traces
from tests.engines.lmm_digits import DIGITS, STEP, Digits
from tests.engines.lmm_example import Array, example
from tests.engines.test_lmm import some_theta
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES

SEVERAL = ["crossed", "crossed slopes", "nested", "three factors"]
RESIDUAL, LARGE = 1e-3, 50.0


def extreme(
    kind: str, sds: tuple[float, ...], seed: int = 1
) -> tuple[Array, Array, list[RandomFactor]]:
    """The design of an example with 70 of its rows, effects of the factors' own sds, on a grid
    fine enough (2⁻²⁸) that 1e7 can be added without rounding."""
    X, _, factors = example(kind)
    rng = np.random.default_rng(seed)
    factors = [replace(f, codes=f.codes[:70], Z=f.Z[:70]) for f in factors]
    X = X[:70]
    y = X @ [1.0, 0.5, -0.3] + RESIDUAL * rng.normal(size=70)
    for f, sd in zip(factors, sds, strict=True):
        y = y + (f.Z * (sd * rng.normal(size=(f.levels, f.q)))[f.codes]).sum(1)
    return X, np.round(y * 2.0**28) / 2.0**28, factors


CASES = [
    ("crossed", (LARGE, LARGE)),
    ("crossed", (LARGE, RESIDUAL)),
    ("crossed", (RESIDUAL, LARGE)),
    ("crossed slopes", (LARGE, LARGE)),
    ("nested", (LARGE, LARGE)),
    ("three factors", (LARGE, RESIDUAL, LARGE)),
    ("three factors", (LARGE, LARGE, LARGE)),
]


def without_roots(problem: lmm.Problem) -> lmm.Problem:
    assert problem.second is not None
    return replace(problem, second=replace(problem.second, triangle=None))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", SEVERAL)
def test_at_ordinary_variances_roots_and_products_are_the_same(kind: str, reml: bool) -> None:
    X, y, factors = example(kind)
    problem, _ = lmm.prepare(X, y, factors, reml=reml, careful=True)
    theta = some_theta(problem)
    theta[-1] = 0.0  # one variance at its boundary
    roots, products = (lmm.evaluate(p, theta) for p in (problem, without_roots(problem)))
    assert roots.criterion == pytest.approx(products.criterion, rel=CLOSED_FORM)
    for name in ("gradient", "average"):
        np.testing.assert_allclose(getattr(roots, name), getattr(products, name), atol=1e-8)
    exact = [observed_information(problem, at) for at in (roots, products)]
    np.testing.assert_allclose(*exact, atol=1e-7)
    directions = [(k, np.eye(q)) for k, q in enumerate(problem.q)]
    traces = [pair_traces(problem, at.moments, directions) for at in (roots, products)]
    np.testing.assert_allclose(*traces, rtol=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("kind", "sds"), CASES)
def test_the_search_is_short(kind: str, sds: tuple[float, ...], seed: int) -> None:
    """A search led astray by lost digits takes hundreds of visits, and ends elsewhere."""
    X, y, factors = extreme(kind, sds, seed)
    fit = lmm.fit(X, y, factors)
    assert fit.boundary
    assert fit.iterations < 80


@pytest.mark.parametrize(("kind", "sds"), CASES)
@pytest.mark.parametrize("reml", [True, False])
def test_criterion_and_minimum_are_those_of_50_digits(
    kind: str, sds: tuple[float, ...], reml: bool
) -> None:
    X, y, factors = extreme(kind, sds)
    fit = lmm.fit(X, y, factors, reml=reml)
    digits = Digits(X, y, factors, reml)
    at = digits.parameters([P / fit.sigma2 for P in fit.psi])
    assert fit.criterion == pytest.approx(float(digits.criterion(at)), abs=CONVERGED)
    assert fit.boundary
    if not fit.singular and max(f.q for f in factors) == 1:
        _, lowest = digits.optimum(at)
        assert fit.criterion == pytest.approx(float(lowest), abs=CONVERGED)


@pytest.mark.parametrize("kind", SEVERAL)
def test_the_gradient_is_that_of_50_digits(kind: str) -> None:
    X, y, factors = extreme(kind, (LARGE,) * len(example(kind)[2]))
    first = lmm.fit(X, y, factors)
    theta, problem = first.solution.theta * 1.001, first.problem
    found = lmm.evaluate(problem, theta).gradient * theta
    frame = first.frame
    digits = Digits(X, y, factors, True)

    def value(a: int, step: Decimal) -> Decimal:
        with localcontext() as context:
            context.prec = DIGITS
            wide = np.array([Decimal(float(v)) for v in theta], dtype=object)
            wide[a] *= 1 + step
            L = [np.full((q, q), Decimal(0), dtype=object) for q in problem.q]
            for v, (k, i, j) in zip(wide, problem.entries(), strict=True):
                L[k][i, j] = v
            psi: list[Array] = [np.empty(0)] * len(L)
            for k, user in enumerate(frame.order):
                T = np.vectorize(Decimal, otypes=[object])(frame.T[k])
                psi[user] = T @ L[k] @ L[k].T @ T.T
            return digits.criterion(
                np.array(
                    [
                        P[i, j]
                        for f, P in zip(factors, psi, strict=True)
                        for block in f.blocks
                        for j in block
                        for i in block
                        if i >= j
                    ],
                    dtype=object,
                )
            )

    slopes = [float((value(a, STEP) - value(a, -STEP)) / (2 * STEP)) for a in range(theta.size)]
    assert found == pytest.approx(slopes, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("kind", "sds"), CASES)
def test_degrees_of_freedom_are_those_of_50_digits(kind: str, sds: tuple[float, ...]) -> None:
    X, y, factors = extreme(kind, sds)
    fit = lmm.fit(X, y, factors)
    if fit.singular:
        pytest.skip("the dense formulas are those of an interior optimum")
    info, eye = lmm_df.information(fit), np.eye(3)
    digits = Digits(X, y, factors, True)
    dense = digits.information(digits.parameters([P / fit.sigma2 for P in fit.psi]), fit.sigma2)
    expected = [dense.df(row, "observed") for row in eye]
    assert lmm_df.satterthwaite(info, eye) == pytest.approx(expected, rel=1e-7)
    expected = [dense.df(row, "expected") for row in eye]
    assert lmm_df.kenward_roger(info, eye) == pytest.approx(expected, rel=1e-7)
    assert fit.covariance == pytest.approx(dense.Phi.astype(float), rel=1e-8)


@pytest.mark.parametrize(("kind", "sds"), CASES)
@pytest.mark.parametrize(
    ("outcome", "shift", "origin", "unit"),
    [(1e6, 0.0, 0.0, 1.0), (1e-6, 0.0, 0.0, 1.0), (1.0, 1e7, 0.0, 1.0), (1.0, 0.0, 2015.0, 1e6)],
    ids=["y × 1e6", "y × 1e-6", "y + 1e7", "years × 1e6"],
)
def test_units_do_not_matter_where_effects_dwarf_the_residual(
    kind: str, sds: tuple[float, ...], outcome: float, shift: float, origin: float, unit: float
) -> None:
    X, y, factors = extreme(kind, sds)
    slopes = any(len(block) > 1 for f in factors for block in f.blocks)
    free = all(len(f.blocks) == 1 for f in factors)  # `||` is no model of another origin
    if origin and slopes and not free:
        origin = 0.0
    # a time on a coarse grid, so that adding years does not round it
    t = np.round(X[:, 1] * 64) / 64
    made = []
    for time in (t, (t + origin) * unit):
        Z = [np.column_stack([f.Z[:, 0], *([time] if f.q > 1 else [])]) for f in factors]
        both = [replace(f, Z=z) for f, z in zip(factors, Z, strict=True)]
        made.append((np.column_stack([X[:, 0], time, X[:, 2]]), both))
    base = lmm.fit(made[0][0], y, made[0][1])
    fit = lmm.fit(made[1][0], outcome * y + shift, made[1][1])
    n, p = X.shape
    jacobian = 2 * (n - p) * np.log(outcome) + 2 * np.log(unit)
    assert fit.criterion == pytest.approx(base.criterion + jacobian, abs=CONVERGED)
    eye = np.eye(p)
    for j in (1, 2):
        ratio = [f.beta[j] / np.sqrt(f.covariance[j, j]) for f in (base, fit)]
        assert ratio[1] == pytest.approx(ratio[0], rel=CONVERGED)
        for df in (lmm_df.satterthwaite, lmm_df.kenward_roger):
            both_df = [df(lmm_df.information(f), eye)[j] for f in (base, fit)]
            assert both_df[1] == pytest.approx(both_df[0], rel=1e-6)


def test_a_large_design_keeps_its_memory_and_its_products() -> None:
    """Where a QR for each visit would cost too much, the sums stay as they were."""
    rng = np.random.default_rng(0)
    n, first, second = 9_000, 3_000, 2_500
    factors = [
        RandomFactor(rng.integers(m, size=n), m, np.ones((n, 1)), ((0,),)) for m in (first, second)
    ]
    X, y = np.ones((n, 1)), rng.normal(size=n)
    problem, _ = lmm.prepare(X, y, factors, reml=True, careful=True)
    assert isinstance(problem.second, Second)
    assert problem.second.triangle is None


@pytest.mark.parametrize("kind", ["crossed", "nested", "three factors"])
def test_simulated_outcomes_are_refitted_from_their_roots(kind: str) -> None:
    """Refits of the bootstrap: none fails, and the truth is what they scatter around."""
    X, y, factors = extreme(kind, (LARGE,) * len(example(kind)[2]))
    fit = lmm.fit(X, y, factors)
    truth = lmm_bootstrap.Truth.of(fit)
    found = lmm_bootstrap.refits(fit.problem, fit.frame, truth, 60, np.random.default_rng(1))
    assert not found.failed.any()
    error = found.sigma2.std(ddof=1) / np.sqrt(60)
    assert abs(found.sigma2.mean() - fit.sigma2) < MONTE_CARLO_SES * error
    slopes = (found.beta[:, 2] - fit.beta[2]) / np.sqrt(found.covariance[:, 2, 2])
    assert abs(slopes.mean()) < MONTE_CARLO_SES / np.sqrt(60)


@pytest.mark.parametrize("kind", ["crossed", "nested", "three factors"])
def test_another_outcome_is_fitted_as_from_its_rows(kind: str) -> None:
    X, y, factors = extreme(kind, (LARGE,) * len(example(kind)[2]))
    fit = lmm.fit(X, y, factors)
    _, other, _ = extreme(kind, (LARGE,) * len(factors), seed=7)
    sums = lmm_ratio.Sums.of(lmm_ratio.Design(fit, X, factors), None)
    found = float(sums.criterion(other[:, None] / fit.frame.scale)[0])
    alone = lmm.fit(X, other, factors)
    shift = 2.0 * fit.problem.nu * np.log(fit.frame.scale)
    # sums that were subtracted hold six digits of the residual: enough for a simulated ratio
    assert found + shift == pytest.approx(alone.criterion, abs=1e-3)
