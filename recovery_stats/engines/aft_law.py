"""Laws of the error of log time: extreme value, logistic, normal, and the generalised gamma.

log t = eta + sigma z. Each law gives the log density of z with two derivatives, the logarithms of
survival and distribution function, and quantiles; all far into both tails.

Source: Kalbfleisch & Prentice 2002, ch. 2; Prentice 1974 (generalised gamma, with its shape q so
that q = 1 is Weibull, q = 0 log-normal, q = sigma gamma).
Checked: scipy.stats; finite differences; the collapses (tests/engines/test_aft.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.special import (
    expit,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    gammaln,
    log_expit,
    log_ndtr,
    logit,
    ndtri,
)

Array = NDArray[np.float64]

LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)
NEARLY_NORMAL = 1e-4  # |q| below which incomplete gammas lose digits: interpolate through q = 0


class Law(Protocol):
    """What the likelihood needs to know of z; every method takes and gives arrays (n,)."""

    def log_density(self, z: Array) -> tuple[Array, Array, Array]:
        """log f and its first two derivatives."""
        ...

    def log_survival(self, z: Array) -> Array: ...

    def log_distribution(self, z: Array) -> Array: ...

    def quantile(self, p: Array) -> Array: ...

    def densest(self, width: Array) -> Array:
        """Where an interval of this width must begin to hold the most probability."""
        ...


@runtime_checkable
class Shaped(Law, Protocol):
    """A law with a shape parameter of its own."""

    @property
    def q(self) -> float: ...

    def shaped(self, q: float) -> Shaped: ...


@dataclass(frozen=True, slots=True)
class ExtremeValue:
    """Minimum extreme value: t is Weibull."""

    def log_density(self, z: Array) -> tuple[Array, Array, Array]:
        e = _exp(z)
        return z - e, 1 - e, -e

    def log_survival(self, z: Array) -> Array:
        return -_exp(z)

    def log_distribution(self, z: Array) -> Array:
        return _log1mexp(_exp(z))

    def quantile(self, p: Array) -> Array:
        return np.asarray(np.log(-np.log1p(-p)))

    def densest(self, width: Array) -> Array:
        return np.asarray(np.log(width) - np.log(np.expm1(width)))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic: t is log-logistic."""

    def log_density(self, z: Array) -> tuple[Array, Array, Array]:
        p = expit(z)
        return log_expit(z) + log_expit(-z), 1 - 2 * p, -2 * p * (1 - p)

    def log_survival(self, z: Array) -> Array:
        return np.asarray(log_expit(-z))

    def log_distribution(self, z: Array) -> Array:
        return np.asarray(log_expit(z))

    def quantile(self, p: Array) -> Array:
        return np.asarray(logit(p))

    def densest(self, width: Array) -> Array:
        return -width / 2


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal: t is log-normal."""

    def log_density(self, z: Array) -> tuple[Array, Array, Array]:
        return -0.5 * z * z - LOG_ROOT_2PI, -z, np.full_like(z, -1.0)

    def log_survival(self, z: Array) -> Array:
        return np.asarray(log_ndtr(-z))

    def log_distribution(self, z: Array) -> Array:
        return np.asarray(log_ndtr(z))

    def quantile(self, p: Array) -> Array:
        return np.asarray(ndtri(p))

    def densest(self, width: Array) -> Array:
        return -width / 2


@dataclass(frozen=True, slots=True)
class GeneralisedGamma:
    """The law of which exp(q z)/q² is gamma with shape 1/q².

    The density is written around the normal one, so that nothing cancels near q = 0:
    log f = -log sqrt(2 pi) - stirling(1/q²) - z² phi2(q z), phi2(u) = (e^u - 1 - u)/u².
    """

    q: float

    def shaped(self, q: float) -> GeneralisedGamma:
        return replace(self, q=q)

    def log_density(self, z: Array) -> tuple[Array, Array, Array]:
        u = self.q * z
        bend, slope = _phi(u)
        constant = -LOG_ROOT_2PI - _stirling(self.q**2)
        with np.errstate(over="ignore"):
            return constant - z * z * bend, -z * slope, -_exp(u)

    def log_survival(self, z: Array) -> Array:
        return self._tail(z, upper=True)

    def log_distribution(self, z: Array) -> Array:
        return self._tail(z, upper=False)

    def _tail(self, z: Array, *, upper: bool) -> Array:
        if abs(self.q) >= NEARLY_NORMAL:
            return _gamma_tail(self.q, z, upper=upper)
        h, x = NEARLY_NORMAL, self.q / NEARLY_NORMAL
        here = np.asarray(log_ndtr(-z if upper else z))
        after, before = (_gamma_tail(k, z, upper=upper) for k in (h, -h))
        with np.errstate(invalid="ignore"):
            bent = here + 0.5 * x * (after - before) + 0.5 * x * x * (after - 2 * here + before)
        return np.where(np.isfinite(bent), bent, here)

    def quantile(self, p: Array) -> Array:
        if abs(self.q) >= NEARLY_NORMAL:
            a = 1 / self.q**2
            x = gammaincinv(a, p) if self.q > 0 else gammainccinv(a, p)
            return np.asarray(np.log(x / a) / self.q)
        z = np.asarray(ndtri(p))
        for _ in range(3):
            error = np.exp(self.log_distribution(z)) - p
            z = z - error / np.exp(self.log_density(z)[0])
        return z

    def densest(self, width: Array) -> Array:
        u = self.q * width
        small = np.abs(u) < 1e-8
        safe = np.where(small, 1.0, u)
        with np.errstate(over="ignore"):
            away = np.log(safe / np.expm1(safe)) / (self.q if self.q else 1.0)
        return np.where(small, -width / 2, away)


def _exp(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(z))


def _log1mexp(x: Array) -> Array:
    """log(1 - exp(-x)) for x ≥ 0 without losing digits at either end."""
    with np.errstate(divide="ignore"):
        near = np.log(-np.expm1(-np.minimum(x, 1.0)))
        return np.where(x < np.log(2), near, np.log1p(-np.exp(-x)))


def _phi(u: Array) -> tuple[Array, Array]:
    """(e^u - 1 - u)/u² and (e^u - 1)/u, by their series near 0."""
    small = np.abs(u) < 0.05
    safe = np.where(small, 1.0, u)
    with np.errstate(over="ignore"):
        e = np.expm1(safe)
    s = np.where(small, u, 0.0)
    bend = 1 / 40320.0 + s / 362880.0
    for factorial in (5040.0, 720.0, 120.0, 24.0, 6.0, 2.0):
        bend = 1 / factorial + s * bend
    return np.where(small, bend, (e - safe) / safe**2), np.where(small, 1 + s * bend, e / safe)


def _stirling(q2: float) -> float:
    """log Gamma(a) minus Stirling's formula, at a = 1/q²."""
    if q2 < 0.01:
        return q2 / 12 - q2**3 / 360 + q2**5 / 1260 - q2**7 / 1680
    a = 1 / q2
    return float(gammaln(a) - (a - 0.5) * np.log(a) + a - LOG_ROOT_2PI)


def _gamma_tail(q: float, z: Array, *, upper: bool) -> Array:
    a = 1 / q**2
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        x = a * np.exp(q * z)
        tail = gammaincc(a, x) if upper == (q > 0) else gammainc(a, x)
        return np.asarray(np.log(tail))
