"""The outcome's law in a generalised mixed model: log-likelihood of every row in its predictor.

A family holds the outcome of n rows and knows log f(eta) with three derivatives, and how they
change with its own further parameters (a dispersion, thresholds). Terms without parameters are
left out of log f and summed in `constant`. Overdispersion is the square of its parameter, so that
the family without it is an interior point, reached smoothly from both sides.
Checked: finite differences and scipy's distributions (tests/engines/test_glmm.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, logit

from recovery_stats.engines.linalg import Array, IntArray

Truth = NDArray[np.bool_]

LARGEST = 200.0  # linear predictors beyond it are met by no data, only by a search gone astray


@dataclass(frozen=True, slots=True)
class Change:
    """How a row's log f, slope and curvature change with one of the family's own parameters."""

    log_f: Array
    slope: Array
    curvature: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """At eta (n,): log f, slope d log f, curvature -d² log f, and bend, the curvature's slope."""

    log_f: Array
    slope: Array
    curvature: Array
    bend: Array
    changes: tuple[Change, ...] = ()


class Family(Protocol):
    """What the engine asks of a family; `own` is the vector of its own parameters."""

    @property
    def start(self) -> Array: ...
    @property
    def constant(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def weights(self) -> Array: ...
    @property
    def outcome(self) -> Array: ...
    @property
    def single(self) -> bool:
        """Whether every row is one yes or no."""
        ...

    @property
    def dispersed(self) -> bool:
        """Whether the own parameter is the root of a dispersion."""
        ...

    def take(self, rows: IntArray) -> Self: ...
    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        """Slope and curvature alone: what a search for the mode needs."""
        ...

    def rows(self, eta: Array, own: Array) -> Rows: ...
    def log_f(self, eta: Array, own: Array) -> Array: ...
    def intercept(self) -> float:
        """The predictor that fits the whole sample without any column."""
        ...

    def comparisons(self, X: Array) -> tuple[Array, Array]:
        """Rows and 0/1 outcomes that X tells apart exactly where no finite optimum exists."""
        ...


@runtime_checkable
class Smooth(Protocol):
    """A family without parameters of its own that knows the slope of the bend."""

    def twist(self, eta: Array, rows: slice) -> Array:
        """Minus the fourth derivative of log f, for some of the rows."""
        ...


def _softplus(eta: Array, mu: Array) -> Array:
    """log(1 + exp(eta)), given mu = expit(eta): no further exponential."""
    return np.asarray(np.maximum(eta, 0.0) - np.log(np.maximum(mu, 1.0 - mu)))


def _logistic(eta: Array) -> Array:
    """1 / (1 + exp(-eta)) to 1e-16 (absolute), in half the time of scipy's expit."""
    mu = np.tanh(0.5 * eta)
    mu += 1.0
    mu *= 0.5
    return np.asarray(mu)


def _log_choose(trials: Array, successes: Array) -> Array:
    return np.asarray(
        gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    )


def _two_sided(X: Array, failed: Truth, succeeded: Truth) -> tuple[Array, Array]:
    """Each distinct row with outcome 0 where `failed` holds and with 1 where `succeeded` does."""
    rows = np.vstack([np.unique(X[failed], axis=0), np.unique(X[succeeded], axis=0)])
    zeros = len(np.unique(X[failed], axis=0))
    return rows, (np.arange(len(rows)) >= zeros).astype(float)


# --- without parameters of their own --------------------------------------------------------


@dataclass(frozen=True)
class Binomial:
    """Successes out of trials, logit link; weights (n,) multiply a row's log-likelihood."""

    successes: Array
    trials: Array
    weights: Array

    @property
    def dispersed(self) -> bool:
        return False

    @property
    def start(self) -> Array:
        return np.empty(0)

    @property
    def n(self) -> int:
        return int(self.successes.size)

    @property
    def outcome(self) -> Array:
        return self.successes

    @property
    def single(self) -> bool:
        return bool((self.trials == 1).all())

    @property
    def constant(self) -> float:
        if self.single:
            return 0.0
        return float(self.weights @ _log_choose(self.trials, self.successes))

    def take(self, rows: IntArray) -> Self:
        return replace(
            self,
            successes=self.successes[rows],
            trials=self.trials[rows],
            weights=self.weights[rows],
        )

    def intercept(self) -> float:
        share = float(self.weights @ self.successes) / float(self.weights @ self.trials)
        return float(logit(share))

    def comparisons(self, X: Array) -> tuple[Array, Array]:
        return _two_sided(X, self.successes < self.trials, self.successes > 0)

    @cached_property
    def _hits(self) -> Array:
        return self.weights * self.successes

    @cached_property
    def _mass(self) -> Array:
        return self.weights * self.trials

    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        mu = _logistic(eta)
        expected = self._mass * mu
        np.subtract(1.0, mu, out=mu)
        mu *= expected
        return np.subtract(self._hits, expected, out=expected), mu

    def rows(self, eta: Array, own: Array) -> Rows:
        mu = _logistic(eta)
        expected = self._mass * mu
        log_f = self._hits * eta - self._mass * _softplus(eta, mu)
        curvature = expected * (1.0 - mu)
        return Rows(log_f, self._hits - expected, curvature, curvature * (1.0 - 2.0 * mu))

    def twist(self, eta: Array, rows: slice) -> Array:
        mu = _logistic(eta[rows])
        v = mu * (1.0 - mu)
        return np.asarray(self._mass[rows] * v * (1.0 - 6.0 * v))

    def log_f(self, eta: Array, own: Array) -> Array:
        return np.asarray(self._hits * eta - self._mass * _softplus(eta, _logistic(eta)))


@dataclass(frozen=True, slots=True)
class Poisson:
    """Counts, log link."""

    counts: Array
    weights: Array

    @property
    def dispersed(self) -> bool:
        return False

    @property
    def start(self) -> Array:
        return np.empty(0)

    @property
    def n(self) -> int:
        return int(self.counts.size)

    @property
    def outcome(self) -> Array:
        return self.counts

    @property
    def single(self) -> bool:
        return False

    @property
    def constant(self) -> float:
        return -float(self.weights @ gammaln(self.counts + 1))

    def take(self, rows: IntArray) -> Self:
        return replace(self, counts=self.counts[rows], weights=self.weights[rows])

    def intercept(self) -> float:
        return float(np.log(self.weights @ self.counts / self.weights.sum()))

    def comparisons(self, X: Array) -> tuple[Array, Array]:
        return _two_sided(X, np.ones(self.n, dtype=bool), self.counts > 0)

    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        mu = self.weights * np.exp(np.minimum(eta, LARGEST))
        return self.weights * self.counts - mu, mu

    def rows(self, eta: Array, own: Array) -> Rows:
        mu = self.weights * np.exp(np.minimum(eta, LARGEST))
        y = self.weights * self.counts
        return Rows(y * eta - mu, y - mu, mu, mu)

    def twist(self, eta: Array, rows: slice) -> Array:
        return np.asarray(self.weights[rows] * np.exp(np.minimum(eta[rows], LARGEST)))

    def log_f(self, eta: Array, own: Array) -> Array:
        return self.weights * (self.counts * eta - np.exp(np.minimum(eta, LARGEST)))


# --- with overdispersion ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NegativeBinomial(Poisson):
    """Counts with variance mu + alpha mu², log link; own parameter: the root of alpha.

    Source: Lawless 1987. Sums over k < y replace differences of log gamma, which lose their
    digits as alpha falls towards the Poisson.
    """

    @property
    def dispersed(self) -> bool:
        return True

    @property
    def start(self) -> Array:
        return np.array([0.7])

    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        alpha = own[0] ** 2
        mu = np.exp(np.minimum(eta, LARGEST))
        v = 1.0 + alpha * mu
        y = self.counts
        return self.weights * (y - mu) / v, self.weights * mu * (1.0 + alpha * y) / v**2

    def rows(self, eta: Array, own: Array) -> Rows:
        alpha, weights, y = own[0] ** 2, self.weights, self.counts
        mu = np.exp(np.minimum(eta, LARGEST))
        x = alpha * mu
        v = 1.0 + x
        sums, slopes = _count_sums(y, alpha)
        log_v = np.log1p(x)
        log_f = sums + y * (eta - log_v) - mu * _log_ratio(x, log_v)
        curvature = mu * (1.0 + alpha * y) / v**2
        change = Change(
            weights * (slopes - y * mu / v + mu**2 * _log_excess(x, log_v)) * 2.0 * own[0],
            weights * (-(y - mu) * mu / v**2) * 2.0 * own[0],
            weights * mu * (y / v**2 - 2.0 * (1.0 + alpha * y) * mu / v**3) * 2.0 * own[0],
        )
        return Rows(
            weights * log_f,
            weights * (y - mu) / v,
            weights * curvature,
            weights * curvature * (1.0 - x) / v,
            (change,),
        )

    def log_f(self, eta: Array, own: Array) -> Array:
        alpha = own[0] ** 2
        mu = np.exp(np.minimum(eta, LARGEST))
        log_v = np.log1p(alpha * mu)
        found = _count_sums(self.counts, alpha)[0] + self.counts * (eta - log_v)
        return np.asarray(self.weights * (found - mu * _log_ratio(alpha * mu, log_v)))


def _count_sums(y: Array, alpha: float) -> tuple[Array, Array]:
    """Sum over k < y of log(1 + alpha k), and of its derivative k / (1 + alpha k)."""
    k = np.arange(int(y.max()))
    at = y.astype(np.intp)
    sums = np.append(0.0, np.cumsum(np.log1p(alpha * k)))
    slopes = np.append(0.0, np.cumsum(k / (1.0 + alpha * k)))
    return sums[at], slopes[at]


def _log_ratio(x: Array, log_v: Array) -> Array:
    """log(1 + x) / x, 1 at x = 0."""
    return np.divide(log_v, x, out=np.ones_like(x), where=x > 0)


def _log_excess(x: Array, log_v: Array) -> Array:
    """(log(1 + x) - x / (1 + x)) / x², by its series where the difference would cancel."""
    small = np.minimum(x, 0.01)
    series = np.zeros_like(x)
    for n in range(9, -1, -1):
        series = series * small + (-1.0) ** n * (n + 1) / (n + 2)
    large = np.maximum(x, 0.01)
    return np.where(x < 0.01, series, (log_v - large / (1.0 + large)) / large**2)


@dataclass(frozen=True)
class BetaBinomial(Binomial):
    """Successes out of trials whose chance varies by a beta law, logit link.

    Own parameter: the root of gamma, with correlation gamma / (1 + gamma) between the trials of
    a row. Source: Griffiths 1973. Sums over k < y replace differences of log gamma.
    """

    @property
    def dispersed(self) -> bool:
        return True

    @property
    def start(self) -> Array:
        return np.array([0.4])

    @cached_property
    def _up(self) -> _Terms:
        return _Terms.of(self.successes)

    @cached_property
    def _down(self) -> _Terms:
        return _Terms.of(self.trials - self.successes)

    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        p, q = _chances(eta)
        up, down = (t.powers(x, own[0] ** 2, 2) for t, x in ((self._up, p), (self._down, q)))
        first, second = up[0] - down[0], -up[1] - down[1]
        v = p * q
        return self.weights * first * v, -self.weights * (second * v**2 + first * v * (q - p))

    def log_f(self, eta: Array, own: Array) -> Array:
        p, q = _chances(eta)
        gamma = own[0] ** 2
        found = self._up.log(p, gamma) + self._down.log(q, gamma) - self._whole(gamma)[0]
        return np.asarray(self.weights * found)

    def rows(self, eta: Array, own: Array) -> Rows:
        gamma, weights = own[0] ** 2, self.weights
        p, q = _chances(eta)
        up, down = self._up.powers(p, gamma, 3), self._down.powers(q, gamma, 3)
        k_up, k_down = self._up.mixed(p, gamma), self._down.mixed(q, gamma)
        v = p * q
        v1, v2 = v * (q - p), v * (1.0 - 6.0 * v)
        first, second, third = up[0] - down[0], -up[1] - down[1], 2.0 * (up[2] - down[2])
        mixed, bent = k_down[1] - k_up[1], 2.0 * (k_up[2] + k_down[2])
        whole, whole_slope = self._whole(gamma)
        change = Change(
            weights * (k_up[0] + k_down[0] - whole_slope) * 2.0 * own[0],
            weights * mixed * v * 2.0 * own[0],
            -weights * (bent * v**2 + mixed * v1) * 2.0 * own[0],
        )
        return Rows(
            weights * (self._up.log(p, gamma) + self._down.log(q, gamma) - whole),
            weights * first * v,
            -weights * (second * v**2 + first * v1),
            -weights * (third * v**3 + 3.0 * second * v * v1 + first * v2),
            (change,),
        )

    def _whole(self, gamma: float) -> tuple[Array, Array]:
        """Sum over k < trials of log(1 + k gamma), and of its derivative."""
        return _count_sums(self.trials, gamma)


def _chances(eta: Array) -> tuple[Array, Array]:
    bounded = np.clip(eta, -LARGEST, LARGEST)
    return expit(bounded), expit(-bounded)


@dataclass(frozen=True, slots=True)
class _Terms:
    """All pairs (row, k) with k < y of the row, laid end to end."""

    n: int
    row: IntArray
    k: Array

    @classmethod
    def of(cls, y: Array) -> _Terms:
        counts = y.astype(np.intp)
        row = np.repeat(np.arange(y.size), counts)
        k = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(y.size, row, k.astype(float))

    def _sum(self, values: Array) -> Array:
        return np.bincount(self.row, values, self.n).astype(float)

    def log(self, p: Array, gamma: float) -> Array:
        return self._sum(np.log(p[self.row] + gamma * self.k))

    def powers(self, p: Array, gamma: float, most: int) -> list[Array]:
        """Sums of (p + k gamma)⁻¹, ⁻² …"""
        inverse = 1.0 / (p[self.row] + gamma * self.k)
        return [self._sum(inverse**j) for j in range(1, most + 1)]

    def mixed(self, p: Array, gamma: float) -> list[Array]:
        """The same sums of k times the powers."""
        inverse = 1.0 / (p[self.row] + gamma * self.k)
        return [self._sum(self.k * inverse**j) for j in range(1, 4)]


# --- ordered categories ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ordinal:
    """Ordered categories 0..K-1 by cumulative logits; own parameters: the K - 1 thresholds.

    P(Y <= k) = expit(threshold_k - eta). Source: McCullagh 1980. With logits the derivatives are
    sums of logistic functions at the two thresholds around the category.
    """

    category: IntArray
    weights: Array
    size: int

    @property
    def dispersed(self) -> bool:
        return False

    @property
    def start(self) -> Array:
        totals = np.bincount(self.category, self.weights, self.size)
        return np.asarray(logit(np.cumsum(totals)[:-1] / totals.sum()))

    @property
    def n(self) -> int:
        return int(self.category.size)

    @property
    def outcome(self) -> Array:
        return self.category.astype(float)

    @property
    def single(self) -> bool:
        return True

    @property
    def constant(self) -> float:
        return 0.0

    def take(self, rows: IntArray) -> Self:
        return replace(self, category=self.category[rows], weights=self.weights[rows])

    def intercept(self) -> float:
        return 0.0

    def comparisons(self, X: Array) -> tuple[Array, Array]:
        """Every threshold is an intercept of its own."""
        parts = []
        for k in range(self.size - 1):
            edge = np.zeros((self.n, self.size - 1))
            edge[:, k] = 1.0
            parts.append((np.hstack([X, edge]), (self.category > k).astype(float)))
        return np.vstack([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    def _around(self, eta: Array, own: Array) -> tuple[Array, Array]:
        """The distances of eta from the thresholds above and below; infinite at the ends."""
        edges = np.concatenate([[-np.inf], own, [np.inf]])
        return edges[self.category + 1] - eta, edges[self.category] - eta

    def steps(self, eta: Array, own: Array) -> tuple[Array, Array]:
        a, b = self._around(eta, own)
        above, below = expit(a), expit(b)
        curvature = above * (1.0 - above) + below * (1.0 - below)
        return self.weights * (above + below - 1.0), self.weights * curvature

    def log_f(self, eta: Array, own: Array) -> Array:
        if (np.diff(own) <= 0).any():
            return np.full(eta.size, -np.inf)
        a, b = self._around(eta, own)
        gap = np.append(np.append(np.inf, np.diff(own)), np.inf)[self.category]
        inside = np.log(-np.expm1(-gap)) if own.size else np.zeros_like(a)
        return self.weights * (-np.logaddexp(0.0, -a) - np.logaddexp(0.0, b) + inside)

    def rows(self, eta: Array, own: Array) -> Rows:
        a, b = self._around(eta, own)
        above, below = expit(a), expit(b)
        fa, fb = above * (1.0 - above), below * (1.0 - below)
        log_f = self.log_f(eta, own)
        share = np.exp(log_f / self.weights)
        changes = []
        for k in range(self.size - 1):
            upper, lower = self.category == k, self.category == k + 1
            with np.errstate(divide="ignore", invalid="ignore"):
                value = np.where(upper, fa / share, 0.0) - np.where(lower, fb / share, 0.0)
            changes.append(
                Change(
                    self.weights * value,
                    self.weights * (upper * fa + lower * fb),
                    self.weights
                    * (upper * fa * (1.0 - 2.0 * above) + lower * fb * (1.0 - 2.0 * below)),
                )
            )
        return Rows(
            log_f,
            self.weights * (above + below - 1.0),
            self.weights * (fa + fb),
            -self.weights * (fa * (1.0 - 2.0 * above) + fb * (1.0 - 2.0 * below)),
            tuple(changes),
        )
