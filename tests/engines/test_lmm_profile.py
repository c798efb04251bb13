"""Profile-likelihood intervals: derivatives, closed form, dense constrained minima, boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import norm

from recovery_stats.engines import lmm
from recovery_stats.engines.lmm_coordinate import Quantity, coordinates, quantities
from recovery_stats.engines.lmm_profile import Curve, Interval, profile
from tests.engines.lmm_example import Array, dense, example
from tests.tolerance import CONVERGED, HALF_DIGITS, INVARIANCE

Z2 = float(norm.isf(0.025)) ** 2


def fitted(kind: str, seed: int = 1) -> tuple[lmm.LmmFit, list[lmm.RandomFactor]]:
    X, y, factors = example(kind, seed)
    return lmm.fit(X, y, factors, reml=False), factors


def interval(fit: lmm.LmmFit, *quantity: object) -> Interval:
    return profile(fit, [Quantity(*quantity)])[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["mixed blocks", "crossed slopes", "three"])
def test_derivatives(kind: str) -> None:
    fit, factors = fitted(kind)
    rng = np.random.default_rng(3)
    for held in quantities(fit, [f.blocks for f in factors]):
        system, x, free = coordinates(fit, held)
        curve = Curve(fit, system, held)
        z = np.append(x, free)
        z = z * (1 + 0.05 * rng.normal(size=z.size)) + 0.02
        at = curve.point(z[0], z[1:])
        for a in range(z.size):
            e = np.zeros(z.size)
            e[a] = 1e-5 * max(abs(z[a]), 0.1)
            up, down = (curve.point((z + s * e)[0], (z + s * e)[1:]) for s in (1, -1))
            slope = (up.deviance - down.deviance) / (2 * e[a])
            bend = (up.gradient - down.gradient) / (2 * e[a])
            size = np.abs(at.hessian).max()
            assert abs(slope - at.gradient[a]) < HALF_DIGITS * max(size, 1.0)
            assert np.abs(bend - at.hessian[a]).max() < HALF_DIGITS * max(size, 1.0)


def test_balanced_one_way_from_sums_of_squares() -> None:
    a, m = 12, 5
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(a), m)
    y = rng.normal(size=a)[g] + rng.normal(size=a * m)
    factor = lmm.RandomFactor(g, a, np.ones((a * m, 1)), ((0,),))
    fit = lmm.fit(np.ones((a * m, 1)), y, [factor], reml=False)
    means = y.reshape(a, m).mean(1)
    within = float(((y.reshape(a, m) - means[:, None]) ** 2).sum())
    between = float(((means - means.mean()) ** 2).sum()) * m
    shift = m * a  # sum of squares of the overall mean per unit of its squared error

    def deviance(s2: float, sb2: float, miss: float = 0.0) -> float:
        big = s2 + m * sb2
        fixed = a * m * np.log(2 * np.pi) + a * (m - 1) * np.log(s2) + a * np.log(big)
        return float(fixed + within / s2 + (between + shift * miss**2) / big)

    def free(f: object) -> float:
        return float(minimize_scalar(f, bounds=(-9.0, 5.0), method="bounded",
                                     options={"xatol": 1e-12}).fun)  # fmt: skip

    def over_both(miss: float) -> float:
        s2, big = within / (a * (m - 1)), (between + shift * miss**2) / a
        return deviance(s2, (big - s2) / m, miss)

    best = over_both(0.0)
    rise = {
        "sigma": lambda v: free(lambda b: deviance(v**2, np.exp(b))) - best - Z2,
        "sd": lambda v: free(lambda s: deviance(np.exp(s), v**2)) - best - Z2,
        "beta": lambda v: over_both(v) - best - Z2,
    }
    for kind, low, high in (("sigma", 0.5, 3.0), ("sd", 0.1, 4.0), ("beta", -3.0, 3.0)):
        found = interval(fit, kind)
        centre = found.estimate
        shifted = y.mean() if kind == "beta" else 0.0
        limits = [
            brentq(rise[kind], *sorted((end, centre - shifted)), xtol=1e-12) + shifted
            for end in (low, high)
        ]
        assert np.allclose([found.low, found.high], limits, rtol=HALF_DIGITS, atol=0)


@pytest.mark.parametrize("kind", ["slope", "crossed", "nested"])
def test_a_coefficient_held_at_its_limit_costs_the_quantile(kind: str) -> None:
    X, y, factors = example(kind)
    fit = lmm.fit(X, y, factors, reml=False)
    for j in range(3):
        found = interval(fit, "beta", j)
        for limit in (found.low, found.high):
            rest = lmm.fit(np.delete(X, j, 1), y - limit * X[:, j], factors, reml=False)
            assert abs(rest.criterion - fit.criterion - Z2) < CONVERGED * fit.n


@pytest.mark.parametrize("held", [("sd", 0), ("sd", 1), ("cor", 0, 1), ("sigma",)])
def test_dense_minimum_at_the_limits(held: tuple[object, ...]) -> None:
    X, y, factors = example("slope")
    fit = lmm.fit(X, y, factors, reml=False)
    n = len(y)

    def deviance(free: Array, value: float) -> float:
        sd0, sd1, angle, sigma = np.exp(free[0]), np.exp(free[1]), free[2], np.exp(free[3])
        sd0 = value if held == ("sd", 0) else sd0
        sd1 = value if held == ("sd", 1) else sd1
        sigma = value if held == ("sigma",) else sigma
        rho = value if held[0] == "cor" else np.tanh(angle)
        psi = np.array([[sd0**2, rho * sd0 * sd1], [rho * sd0 * sd1, sd1**2]]) / sigma**2
        profiled, _, s2, _ = dense(X, y, factors, [psi], reml=False)
        ratio = s2 / sigma**2
        return float(profiled + n * (ratio - 1.0 - np.log(ratio)))

    found = interval(fit, *held)
    S = fit.psi[0]
    start = [np.log(S[0, 0]) / 2, np.log(S[1, 1]) / 2,
             np.arctanh(S[0, 1] / np.sqrt(S[0, 0] * S[1, 1])), np.log(fit.sigma2) / 2]  # fmt: skip
    for limit in (found.low, found.high):
        least = minimize(deviance, start, args=(limit,), options={"gtol": 1e-4}).fun
        assert abs(least - fit.criterion - Z2) < INVARIANCE


def test_boundaries_are_limits_not_errors() -> None:
    X, _, factors = example("slope", 2)
    y = np.random.default_rng(5).normal(size=len(X))
    fit = lmm.fit(X, y, factors, reml=False)
    assert fit.singular
    assert interval(fit, "sd", 0).low == 0.0
    found = interval(fit, "cor", 0, 1)
    assert (found.low, found.high) == (-1.0, 1.0)
    fit = lmm.fit(X, y, [lmm.RandomFactor(f.codes, f.levels, f.Z[:, :1], ((0,),)) for f in factors],
                  reml=False)  # fmt: skip
    found = interval(fit, "sd", 0)
    assert found.low == found.estimate == 0.0
    assert found.high > 0.1


def test_units_and_origin_do_not_matter() -> None:
    X, y, factors = example("slope")
    one = lmm.fit(X, y, factors, reml=False)
    moved = X + np.outer(X[:, 0], [0.0, 2015.0, 0.0])
    Z = factors[0].Z + np.array([0.0, 2015.0])
    other = lmm.fit(moved, 1e6 * y, [lmm.RandomFactor(factors[0].codes, 18, Z, ((0, 1),))],
                    reml=False)  # fmt: skip
    for held in (("beta", 1), ("sd", 1), ("sigma",)):
        a, b = interval(one, *held), interval(other, *held)
        assert np.allclose([b.low, b.high], [1e6 * a.low, 1e6 * a.high], rtol=INVARIANCE, atol=0)
