"""Structured residuals: dense formulas, finite differences, closed forms, simpler models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

import recovery_stats as rs
from recovery_stats.engines import lmm, lmm_df, lmm_pattern, lmm_residual
from recovery_stats.engines.linalg import Array, lower_factor
from recovery_stats.engines.lmm_residual import ResidualFit
from recovery_stats.engines.lmm_residual_df import information
from recovery_stats.engines.lmm_structured import differentiate, value
from recovery_stats.engines.residual import Separable, Unstructured
from recovery_stats.engines.residual_correlation import Correlation, Family
from recovery_stats.errors import NotEstimable
from recovery_stats.models.mixed_fit import MixedFit
from tests.engines.residual_example import (
    STRUCTURES,
    WAVES,
    Example,
    dense_criterion,
    kenward_roger_dense,
    problem,
    structure,
    waves,
)
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT, INVARIANCE

FAMILIES: tuple[Family, ...] = ("cs", "ar1", "car1", "toeplitz", "ante", "free")


def fitted(name: str, data: Example, *, reml: bool = True) -> ResidualFit:
    residual, rows, factors = structure(name, data)
    start = np.zeros(residual.size)
    return lmm_residual.fit(data.X, data.y, factors, residual, rows, start, reml=reml)


@pytest.mark.parametrize("family", FAMILIES)
def test_derivatives_of_correlations(family: Family) -> None:
    correlation = Correlation(family, np.arange(5.0), 5)
    rho = np.full(correlation.size, 0.45) + 0.05 * np.arange(correlation.size)
    _, first, second = correlation.table(rho)
    eta = correlation.unbounded(rho)
    assert correlation.natural(eta)[0] == pytest.approx(rho, rel=CLOSED_FORM)
    for a, step in enumerate(1e-6 * np.eye(correlation.size)):
        up, down = correlation.table(rho + step), correlation.table(rho - step)
        assert (up[0] - down[0]) / 2e-6 == pytest.approx(first[a], abs=DERIVATIVE)
        assert (up[1] - down[1]) / 2e-6 == pytest.approx(second[a], abs=DERIVATIVE)
        above, below = correlation.natural(eta + step), correlation.natural(eta - step)
        _, slope, curve = correlation.natural(eta)
        assert (above[0] - below[0])[a] / 2e-6 == pytest.approx(slope[a], abs=DERIVATIVE)
        assert (above[1] - below[1])[a] / 2e-6 == pytest.approx(curve[a], abs=DERIVATIVE)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", STRUCTURES)
def test_criterion_and_derivatives(name: str, reml: bool) -> None:
    data = problem(name, waves(), reml=reml)
    size = data.n_theta + data.residual.size
    at = 0.1 + 0.1 * np.random.default_rng(2).normal(size=size)
    here = value(data, at)
    assert here is not None
    assert here.criterion == pytest.approx(dense_criterion(data, at), rel=EXACT)
    slopes = differentiate(data, here)
    for a, step in enumerate(1e-5 * np.eye(size)):
        up, down = value(data, at + step), value(data, at - step)
        assert up is not None
        assert down is not None
        rise = (up.criterion - down.criterion) / 2e-5
        assert rise == pytest.approx(slopes.gradient[a], abs=DERIVATIVE)
        bend = (differentiate(data, up).gradient - differentiate(data, down).gradient) / 2e-5
        assert bend == pytest.approx(slopes.hessian[a], abs=DERIVATIVE * 100)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_gradient_vanishes_at_the_answer(name: str) -> None:
    fit = fitted(name, waves())
    moves = np.abs(fit.derivatives.gradient[np.abs(fit.derivatives.gradient) > 0])
    assert fit.boundary
    assert moves.max(initial=0.0) < CONVERGED * 100


def test_crowded_patterns_are_condensed_without_loss() -> None:
    data = waves(900)
    residual, rows, factors = structure("unstructured", data)
    whole = lmm_residual.fit(data.X, data.y, factors, residual, rows, np.zeros(residual.size))
    assert sum(len(b.D) for b in whole.problem.batches) < 500
    assert dense_free(data, whole) == pytest.approx(whole.criterion, rel=CLOSED_FORM)


def dense_free(data: Example, fit: ResidualFit) -> float:
    """The REML deviance person by person, from the estimated covariance."""
    S = fit.sigma2 * unstructured(fit)
    M, r2, log_det = np.zeros((3, 3)), 0.0, 0.0
    for person in range(int(data.person.max()) + 1):
        own = data.person == person
        V = S[np.ix_(data.wave[own], data.wave[own])]
        X, e = data.X[own], data.y[own] - data.X[own] @ fit.beta
        M += X.T @ np.linalg.solve(V, X)
        r2 += float(e @ np.linalg.solve(V, e))
        log_det += np.linalg.slogdet(V)[1]
    return float(log_det + r2 + np.linalg.slogdet(M)[1] + (data.n - 3) * np.log(2 * np.pi))


def unstructured(fit: ResidualFit) -> Array:
    assert isinstance(fit.problem.residual, Unstructured)
    L = fit.problem.residual.factors(fit.eta)[0]
    return np.asarray(L @ L.T)


# --- closed forms and simpler models -------------------------------------------------------------


def test_complete_waves_unstructured_is_multivariate_regression() -> None:
    """Waves crossed with arm, complete: cell means, and the pooled covariance on m - 2 df."""
    data = waves(24, complete=True)
    Y = data.y.reshape(24, WAVES)
    arm = np.arange(24) % 2
    cells = arm[data.person] * WAVES + data.wave
    X = np.eye(2 * WAVES)[cells]
    residual, rows, _ = structure("unstructured", data)
    fit = lmm_residual.fit(X, data.y, [], residual, rows, np.zeros(residual.size))
    means = np.stack([Y[arm == a].mean(0) for a in (0, 1)])
    e = Y - means[arm]
    S = e.T @ e / 22
    assert fit.beta.reshape(2, WAVES) == pytest.approx(means, abs=CLOSED_FORM)
    assert fit.sigma2 * unstructured(fit) == pytest.approx(S, rel=CONVERGED)
    ml = lmm_residual.fit(X, data.y, [], residual, rows, np.zeros(residual.size), reml=False)
    assert ml.sigma2 * unstructured(ml) == pytest.approx(S * 22 / 24, rel=CONVERGED)


def test_kenward_and_roger_give_hotellings_exact_test() -> None:
    """Arms compared on all waves at once: T² (m - 2 - q + 1) / ((m - 2) q) on (q, m - 1 - q) df."""
    data = waves(24, complete=True)
    Y, arm = data.y.reshape(24, WAVES), np.arange(24) % 2
    X = np.eye(2 * WAVES)[arm[data.person] * WAVES + data.wave]
    residual, rows, _ = structure("unstructured", data)
    fit = lmm_residual.fit(X, data.y, [], residual, rows, np.zeros(residual.size))
    info = information(fit)
    L = np.hstack([-np.eye(WAVES), np.eye(WAVES)])
    test = lmm_df.kenward_roger_f(info, L, fit.beta)
    gap = Y[arm == 1].mean(0) - Y[arm == 0].mean(0)
    e = Y - np.stack([Y[arm == a].mean(0) for a in (0, 1)])[arm]
    T2 = 6.0 * float(gap @ np.linalg.solve(e.T @ e / 22, gap))
    exact = T2 * (22 - WAVES + 1) / (22 * WAVES)
    assert test.den_df == pytest.approx(22 - WAVES + 1, rel=INVARIANCE)
    assert test.statistic == pytest.approx(exact, rel=INVARIANCE)
    tail = f_distribution.sf(exact, WAVES, 22 - WAVES + 1)
    assert test.p_value == pytest.approx(tail, rel=INVARIANCE)
    one = L[:1]
    assert lmm_df.kenward_roger(info, one) == pytest.approx(22, rel=INVARIANCE)
    assert lmm_df.satterthwaite(info, one) == pytest.approx(22, rel=INVARIANCE)


def test_compound_symmetry_is_a_random_intercept() -> None:
    data = waves()
    residual, rows, _ = structure("ar1", data)
    residual = Separable(Correlation("cs", np.arange(4.0), 4), 1, 1, True)
    ours = lmm_residual.fit(data.X, data.y, [], residual, rows, np.zeros(1))
    theirs = lmm.fit(data.X, data.y, [data.factor("person")])
    mine, other = information(ours), lmm_df.information(theirs)
    assert ours.criterion == pytest.approx(theirs.criterion, rel=EXACT)
    assert ours.beta == pytest.approx(theirs.beta, rel=CONVERGED)
    for df in (lmm_df.satterthwaite, lmm_df.kenward_roger):
        assert df(mine, np.eye(3)) == pytest.approx(df(other, np.eye(3)), rel=CONVERGED * 10)
    adjusted = lmm_df.adjusted_covariance(mine)
    assert adjusted == pytest.approx(lmm_df.adjusted_covariance(other), rel=CONVERGED * 10)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_effects_beside_a_structure_that_adds_nothing(seed: int) -> None:
    """Variances by wave, forced equal, with factors inside, above and across people: plain lmm."""
    data = waves(seed=seed)
    factors = [data.factor(f) for f in ("person", "site", "wave")]
    residual, rows, _ = structure("heterogeneous", data)
    tied = replace(residual, levels=2)  # type: ignore[type-var]
    level = (np.arange(data.n) < 0).astype(np.intp)  # one level in use, the other empty
    theirs = lmm.fit(data.X, data.y, factors)
    prepared, frame = lmm_residual.prepare(
        data.X, data.y, factors, tied, replace(rows, level=level), reml=True
    )
    L = []
    for psi, T in zip(theirs.psi, frame.T, strict=True):
        inside = np.linalg.solve(T, np.linalg.solve(T, psi).T) / theirs.sigma2
        values, vectors = np.linalg.eigh(inside)
        L.append(lower_factor(vectors * np.sqrt(np.maximum(values, 0.0))))
    at = value(prepared, prepared.pack(L, np.zeros(1)))
    assert at is not None
    slopes = differentiate(prepared, at)
    ours = lmm_residual._finish(prepared, at, slopes, frame, 0, True, False)
    assert ours.criterion == pytest.approx(theirs.criterion, rel=EXACT)
    for mine, other in zip(ours.effects, theirs.effects, strict=True):
        assert mine == pytest.approx(other, abs=CONVERGED)
    for mine, other in zip(ours.effect_variance, theirs.effect_variance, strict=True):
        assert mine == pytest.approx(other, abs=CONVERGED)


# --- degrees of freedom --------------------------------------------------------------------------


def natural(name: str, data: Example, fit: ResidualFit) -> tuple[object, Array]:
    """V as a function of variances, correlations and random variances, and their estimates."""
    same = (data.person[:, None] == data.person).astype(float)
    lag = np.abs(data.wave[:, None] - data.wave)
    s2, eta = fit.sigma2, fit.eta
    if name == "ar1":
        return (lambda g: same * g[0] * g[1] ** lag), np.array([s2, np.tanh(eta[0])])
    if name == "ar1 person":
        g = np.array([s2, np.tanh(eta[0]), fit.psi[0][0, 0]])
        return (lambda g: same * (g[0] * g[1] ** lag + g[2])), g
    if name == "car1":
        far = np.abs(data.time[:, None] - data.time)
        return (lambda g: same * g[0] * np.exp(-far / g[1])), np.array([s2, np.exp(-eta[0])])
    if name == "ar1 by wave":
        g = np.append(s2 * np.exp(2 * np.append(0.0, eta[:-1])), np.tanh(eta[-1]))

        def by_wave(g: Array) -> Array:
            sd = np.sqrt(g[:-1])[data.wave]
            return np.asarray(same * np.outer(sd, sd) * g[-1] ** lag)

        return by_wave, g
    S = s2 * unstructured(fit)

    def free(g: Array) -> Array:
        full = np.zeros((WAVES, WAVES))
        full[np.tril_indices(WAVES)] = g
        full = full + np.tril(full, -1).T
        return np.asarray(same * full[data.wave[:, None], data.wave])

    return free, S[np.tril_indices(WAVES)]


@pytest.mark.parametrize("name", ["ar1", "ar1 person", "car1", "ar1 by wave", "unstructured"])
def test_both_degrees_of_freedom_by_dense_formulas(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRUCTURES, "car1", ("car1", "", "", ()))
    monkeypatch.setitem(STRUCTURES, "ar1 by wave", ("ar1", "wave", "", ()))
    data = waves(16)
    fit = fitted(name, data)
    Phi, adjusted, df = kenward_roger_dense(*natural(name, data, fit), data.X, data.y)
    info = information(fit)
    assert fit.covariance == pytest.approx(Phi, rel=CONVERGED)
    assert lmm_df.adjusted_covariance(info) == pytest.approx(adjusted, rel=DERIVATIVE)
    assert lmm_df.satterthwaite(info, np.eye(3)) == pytest.approx(df, rel=DERIVATIVE)


def test_degrees_of_freedom_with_factors_above_and_across() -> None:
    data = waves()
    site = replace(data.factor("site"), Z=np.ones((data.n, 1)), blocks=((0,),), effects=("i",))
    residual, rows, _ = structure("ar1", data)
    fit = lmm_residual.fit(data.X, data.y, [site, data.factor("wave")], residual, rows, np.zeros(1))
    assert fit.problem.n_outer == 6 + WAVES
    same = [c[:, None] == c for c in (data.person, data.site, data.wave)]
    lag = np.abs(data.wave[:, None] - data.wave)

    def V(g: Array) -> Array:
        return np.asarray(same[0] * g[0] * g[1] ** lag + same[1] * g[2] + same[2] * g[3])

    gamma = np.array([fit.sigma2, np.tanh(fit.eta[0]), fit.psi[0][0, 0], fit.psi[1][0, 0]])
    Phi, adjusted, df = kenward_roger_dense(V, gamma, data.X, data.y)
    info = information(fit)
    assert fit.covariance == pytest.approx(Phi, rel=CONVERGED)
    assert lmm_df.adjusted_covariance(info) == pytest.approx(adjusted, rel=DERIVATIVE)
    assert lmm_df.satterthwaite(info, np.eye(3)) == pytest.approx(df, rel=DERIVATIVE)


# --- units, and models that do not exist ---------------------------------------------------------


@pytest.mark.parametrize("name", ["ar1 person", "car1 crossed", "unstructured", "csh"])
def test_units_and_origins_do_not_matter(name: str) -> None:
    data = waves()
    plain = fitted(name, data)
    A = np.array([[1.0, 2015.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1e6]])
    moved = fitted(name, replace(data, X=data.X @ A, y=1e7 + data.y, time=data.time * 365))
    t = [f.beta[1:] / np.sqrt(np.diag(f.covariance))[1:] for f in (plain, moved)]
    assert t[0] == pytest.approx(t[1], rel=INVARIANCE)
    grown = fitted(name, replace(data, X=data.X @ A, y=1e-6 * data.y))
    assert grown.beta * 1e6 @ A.T == pytest.approx(plain.beta, rel=INVARIANCE)
    assert lmm_df.satterthwaite(information(grown), np.eye(3)[1:]) == pytest.approx(
        lmm_df.satterthwaite(information(plain), np.eye(3)[1:]), rel=INVARIANCE
    )


def test_what_describes_the_same_twice_is_refused() -> None:
    data = waves()
    residual, rows, _ = structure("ar1", data)
    residual = Separable(Correlation("cs", np.arange(4.0), 4), 1, 1, True)
    with pytest.raises(NotEstimable, match="cannot tell"):
        lmm_residual.fit(data.X, data.y, [data.factor("person")], residual, rows, np.zeros(1))


def test_perfectly_correlated_waves_have_no_maximum() -> None:
    data = waves()
    level = np.random.default_rng(3).normal(size=40)[data.person]
    with pytest.raises(NotEstimable, match="limit"):
        fitted("ar1", replace(data, X=data.X[:, :1], y=level))


def test_the_residual_covariance_beside_random_effects_is_one() -> None:
    """A free correlation that is none is no point of the search, though V may be positive."""
    data = waves()
    residual, rows, _ = structure("free", data)
    prepared, _ = lmm_residual.prepare(
        data.X, data.y, [data.factor("person")], residual, rows, reml=True
    )
    impossible = np.arctanh([0.9, 0.9, -0.9, 0.0, 0.0, 0.0])
    assert value(prepared, prepared.pack([50.0 * np.eye(1)], impossible)) is None
    assert value(prepared, prepared.pack([50.0 * np.eye(1)], 0.0 * impossible)) is not None


def test_people_alone_beside_a_few_large_houses_are_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two houses of 72 rows, 66 people a level each: units, or a column a level, give the same."""
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(2 * 18 + 66), 4)
    house = np.where(person < 36, person // 18, person - 34)
    wave = np.tile(np.arange(4), person.max() + 1)
    arm = (person < 36) * 1.0
    y = 0.3 * arm + rng.normal(0, 0.7, 68)[house] + rng.normal(size=102)[person]
    frame = pd.DataFrame({"y": y + rng.normal(size=len(y)), "arm": arm, "house": house,
                          "wave": wave, "pid": person})  # fmt: skip

    def fit() -> MixedFit:
        return rs.lmm("y ~ arm + (1 | house)", frame, residual="ar1", residual_by="wave | pid")

    units = fit()
    monkeypatch.setattr(lmm_pattern, "LARGEST_FEW", 0)
    columns = fit()
    assert units.engine.problem.n_outer == 0
    assert columns.engine.problem.n_outer == 68
    assert units.engine.criterion == pytest.approx(columns.engine.criterion, rel=CLOSED_FORM)
    for one, other in ((units.tidy(), columns.tidy()),
                       (units.random_effects(), columns.random_effects())):  # fmt: skip
        numbers = one.select_dtypes(float).to_numpy()
        assert numbers == pytest.approx(other[one.select_dtypes(float).columns].to_numpy(),
                                        rel=CONVERGED, abs=CONVERGED)  # fmt: skip
