"""Draws for people within clusters: a linear mixed model with variances of its own per cluster.

    y_i = x_i'b + sum over factors of z_i'u[cluster of i] + e_i,   e_i ~ N(0, sigma^2[cluster])

A Gibbs sampler that goes on from where the last visit left it. Variances of random effects have
half-t priors with uniform correlations (Huang & Wand 2013); residual variances differ between the
clusters of the last factor around a common one (Kasim & Raudenbush 1998), or are one. Clusters
without an observed value get effects and variances from these distributions. Categories are
latent normals (Albert & Chib 1993): two by one, more by one against the first for each other.
Checked: lme4 on complete data, closed forms, recovery (tests/engines/test_impute_multilevel.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, gammaln, logit, ndtr, ndtri

from recovery_stats.engines.impute import State, Target, gather, regression
from recovery_stats.engines.impute_category import perfectly_predicted
from recovery_stats.engines.impute_normal import match
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

FIRST, LATER = 100, 5  # steps of the sampler at the first visit and at each later one
NU, WIDTH = 2.0, 10.0  # of the half-t priors, in standard deviations of the outcome
NEAREST_ONE = 1e-12
SEPARATED = "perfect prediction within clusters"


@dataclass(frozen=True, slots=True)
class Factor:
    """Clusters: codes (n,) of all rows, how many, and the rows of the design that vary over them
    (row 0, the intercept, among them)."""

    codes: IntArray
    size: int
    slopes: IntArray


@dataclass(slots=True)
class Gibbs:
    """Where the sampler stands: beta (p,), effects (J, q) and covariance (q, q) of each factor
    with its mixing weights a (q,), residual precisions (J,) of the last factor with their shape
    and mean, and latent values."""

    beta: Array
    effects: list[Array]
    psi: list[Array]
    mixing: list[Array]
    precision: Array
    shape: float
    mean: float


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that are fitted: X (p, n), codes and Z (q, n) of each factor."""

    X: Array
    codes: tuple[IntArray, ...]
    Z: tuple[Array, ...]

    def fixed(self, at: Gibbs) -> Array:
        return at.beta @ self.X

    def random(self, at: Gibbs, without: int | None = None) -> Array:
        """The sum of the effects of all factors (but one)."""
        total = np.zeros(self.X.shape[1])
        for f, (code, Z) in enumerate(zip(self.codes, self.Z, strict=True)):
            if f != without:
                total += _dot(at.effects[f][code], Z)
        return total


def _dot(u: Array, Z: Array) -> Array:
    """Row by row u (n, q) times Z (q, n)."""
    return np.asarray(u[:, 0] * Z[0] if len(Z) == 1 else np.einsum("nq,qn->n", u, Z))


def start(X: Array, y: Array, factors: tuple[Factor, ...], fixed_variance: bool) -> Gibbs:
    """Least squares, no cluster effects yet, and one residual variance."""
    p, n = X.shape
    if n <= p:
        raise NotEstimable(f"{n} observed values cannot estimate {p} coefficients.")
    G = X @ X.T
    G.flat[:: p + 1] *= 1.0 + 1e-8
    beta = np.asarray(np.linalg.solve(G, X @ y), dtype=float)
    left = y - beta @ X
    variance = 1.0 if fixed_variance else max(float(left @ left) / (n - p), 1e-12)
    return Gibbs(
        beta,
        [np.zeros((f.size, f.slopes.size)) for f in factors],
        [np.eye(f.slopes.size) * 0.1 * variance for f in factors],
        [np.ones(f.slopes.size) for f in factors],
        np.full(factors[-1].size, 1.0 / variance),
        5.0,
        1.0 / variance,
    )


def step(
    at: Gibbs, rows: Rows, y: Array, rng: np.random.Generator, residual: str, scale: float
) -> None:
    """One round: coefficients, effects, their covariance, residual variances."""
    w = at.precision[rows.codes[-1]]
    _draw_beta(at, rows, y, w, rng)
    for f in range(len(rows.codes)):
        _draw_effects(at, f, rows, y, w, rng)
        _draw_covariance(at, f, rng, scale)
    if residual != "fixed":
        left = y - rows.fixed(at) - rows.random(at)
        _draw_precision(at, rows.codes[-1], left, rng, residual)


def _draw_beta(at: Gibbs, rows: Rows, y: Array, w: Array, rng: np.random.Generator) -> None:
    Xw = rows.X * w
    G = Xw @ rows.X.T
    G.flat[:: len(G) + 1] *= 1.0 + 1e-10
    factor = np.linalg.cholesky(G)
    mean = np.asarray(np.linalg.solve(G, Xw @ (y - rows.random(at))), dtype=float)
    noise = np.asarray(np.linalg.solve(factor.T, rng.standard_normal(mean.size)), dtype=float)
    at.beta = mean + noise


def _draw_effects(
    at: Gibbs, f: int, rows: Rows, y: Array, w: Array, rng: np.random.Generator
) -> None:
    """Effects of every cluster given all else; those without rows come from their prior."""
    code, Z = rows.codes[f], rows.Z[f]
    J, q = at.effects[f].shape
    left = (y - rows.fixed(at) - rows.random(at, without=f)) * w
    prior = np.linalg.inv(at.psi[f])
    P = np.empty((J, q, q))
    b = np.empty((J, q))
    for i in range(q):
        b[:, i] = np.bincount(code, Z[i] * left, J)
        for j in range(i + 1):
            P[:, i, j] = P[:, j, i] = np.bincount(code, Z[i] * Z[j] * w, J) + prior[i, j]
    if q == 1:
        spread = 1.0 / P[:, 0, 0]
        at.effects[f] = (b[:, 0] * spread + np.sqrt(spread) * rng.standard_normal(J))[:, None]
        return
    factor = np.linalg.cholesky(P)
    half = np.linalg.solve(factor, b[:, :, None]) + rng.standard_normal((J, q, 1))
    at.effects[f] = np.linalg.solve(factor.transpose(0, 2, 1), half)[:, :, 0]


def _draw_covariance(at: Gibbs, f: int, rng: np.random.Generator, scale: float) -> None:
    """Inverse Wishart given its mixing weights, which are inverse gamma (Huang & Wand 2013)."""
    u, a = at.effects[f], at.mixing[f]
    J, q = u.shape
    S = u.T @ u + np.diag(2.0 * NU / a)
    at.psi[f] = _inverse_wishart(J + NU + q - 1.0, S, rng)
    rate = NU * np.diag(np.linalg.inv(at.psi[f])) + 1.0 / (WIDTH * scale) ** 2
    at.mixing[f] = rate / rng.gamma((NU + q) / 2.0, size=q)


def _inverse_wishart(df: float, S: Array, rng: np.random.Generator) -> Array:
    """By Bartlett's decomposition of the Wishart of S^-1."""
    q = len(S)
    A = np.diag(np.sqrt(rng.chisquare(df - np.arange(q))))
    A[np.tril_indices(q, -1)] = rng.standard_normal(q * (q - 1) // 2)
    factor = np.linalg.cholesky(S)
    half = np.linalg.solve(A, factor.T)  # S^(1/2)' over A: psi = half' half
    return np.asarray(half.T @ half)


def _draw_precision(
    at: Gibbs, code: IntArray, left: Array, rng: np.random.Generator, residual: str
) -> None:
    """One residual variance, or one for each cluster around a common mean."""
    J = at.precision.size
    if residual == "one":
        at.precision[:] = rng.gamma(left.size / 2.0) * 2.0 / (left @ left)
        return
    n = np.bincount(code, minlength=J)
    squares = np.bincount(code, left**2, J)
    h = at.shape
    at.precision = rng.gamma(h + n / 2.0) / (h / at.mean + squares / 2.0)
    total, logs = float(at.precision.sum()), float(np.log(at.precision).sum())
    # gamma(h, rate h / mean): 1 / mean has a gamma posterior; the shape by random walks on log h
    at.mean = h * total / float(rng.gamma(J * h + 1.0))
    for _ in range(3):
        trial = h * float(np.exp(0.4 * rng.standard_normal()))
        gain = _of_shape(trial, at.mean, total, logs, J) - _of_shape(h, at.mean, total, logs, J)
        if np.log(rng.random()) < gain:
            h = trial
    at.shape = h


def _of_shape(h: float, mean: float, total: float, logs: float, J: int) -> float:
    """Log posterior of the shape on the log scale: precisions, and a half-Cauchy prior on
    1 / sqrt(h), the coefficient of variation of the precisions."""
    prior = -np.log1p(1.0 / h) - 0.5 * np.log(h)
    rate = h / mean
    return float(J * (h * np.log(rate) - gammaln(h)) + (h - 1.0) * logs - rate * total + prior)


# --- visits ---------------------------------------------------------------------------------


def draw_sampler(
    state: State, key: str, rows: Rows, y: Array, factors: tuple[Factor, ...],
    rng: np.random.Generator, residual: str, scale: float,
) -> Gibbs:  # fmt: skip
    """The sampler kept under `key`, some steps on: many at the first visit."""
    at: Gibbs | None = state.memory.get(key)
    steps = LATER if at is not None else FIRST
    if at is None:
        at = state.memory[key] = start(rows.X, y, factors, residual == "fixed")
    for _ in range(steps):
        step(at, rows, y, rng, residual, scale)
    return at


def draw_latent(
    state: State, key: str, rows: Rows, z: Array, k: int, code: IntArray,
    factors: tuple[Factor, ...], rng: np.random.Generator,
) -> Gibbs:  # fmt: skip
    """Draw utilities z[k] of level k + 1 within the bounds set by the categories, and their model.

    z (K - 1, n), of all levels but the first, changes in place; code (n,) from 0.
    """
    others = np.delete(z, k, axis=0)
    rival = np.maximum(others.max(axis=0, initial=-np.inf), 0.0)
    chosen = code == k + 1
    low = np.where(chosen, rival, -np.inf)
    # where another is chosen, this utility stays below the chosen one's
    winner = np.where(code == 0, 0.0, z[np.maximum(code - 1, 0), np.arange(code.size)])
    high = np.where(chosen, np.inf, winner)
    at: Gibbs | None = state.memory.get(key)
    steps = LATER if at is not None else FIRST
    if at is None:
        at = state.memory[key] = start(rows.X, z[k], factors, True)
    for _ in range(steps):
        z[k] = _between(rows.fixed(at) + rows.random(at), low, high, rng)
        step(at, rows, z[k], rng, "fixed", 1.0)
    return at


# --- methods --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clustered:
    """Draw a Target by the mixed model; `factors` from the outermost to the innermost.

    kind: "normal"; "matched" (donors by the mean with its cluster effects); "binary" and
    "nominal" with `levels` (latent normals with residual variance 1).
    """

    kind: Literal["normal", "matched", "binary", "nominal"]
    factors: tuple[Factor, ...]
    heterogeneous: bool = True
    donors: int = 5
    levels: int = 2

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        X, y, new = regression(state, target)
        have, want = (self._rows(state, x, at) for x, at in self._parts(target, X, new))
        if self.kind in ("binary", "nominal"):
            return self._category(state, target, have, want, y, rng)
        centre, scale = float(y.mean()), float(y.std()) or 1.0
        z = (y - centre) / scale
        residual = "each" if self.heterogeneous else "one"
        at = draw_sampler(state, target.name, have, z, self.factors, rng, residual, 1.0)
        mean = want.fixed(at) + want.random(at)
        if self.kind == "matched":
            near = match(have.fixed(at) + have.random(at), mean, self.donors, rng)
            return np.asarray(y[near] + target.delta)
        spread = 1.0 / np.sqrt(at.precision[want.codes[-1]])
        drawn = mean + spread * rng.standard_normal(mean.size)
        return np.asarray(centre + scale * drawn + target.delta)

    def _parts(
        self, target: Target, X: Array, new: Array
    ) -> tuple[tuple[Array, IntArray], tuple[Array, IntArray]]:
        return (X, target.observed), (new, target.missing)

    def _rows(self, state: State, X: Array, at: IntArray) -> Rows:
        codes = tuple(f.codes[at] for f in self.factors)
        return Rows(X, codes, tuple(gather(state.design, f.slopes, at) for f in self.factors))

    def _category(
        self, state: State, target: Target, have: Rows, want: Rows, y: Array,
        rng: np.random.Generator,
    ) -> Array:  # fmt: skip
        """Latent utilities of every level but the first, whose utility is 0, and the largest."""
        K = self.levels - 1
        means = np.empty((K, want.X.shape[1]))
        code = y.astype(np.intp)
        z = state.memory.get(f"{target.name} latent")
        if z is None:
            if perfectly_predicted(have.X, y, self.levels):
                state.notes.add((target.name, SEPARATED))
            z = np.where(code == np.arange(1, K + 1)[:, None], 0.8, -0.8)
        for k in range(K):
            at = draw_latent(state, f"{target.name} {k}", have, z, k, code, self.factors, rng)
            means[k] = want.fixed(at) + want.random(at)
        state.memory[f"{target.name} latent"] = z
        if K == 1:
            chance = ndtr(means[0])
            if np.any(target.delta):
                chance = expit(logit(np.clip(chance, NEAREST_ONE, 1 - NEAREST_ONE)) + target.delta)
            return np.asarray(rng.random(chance.size) < chance, dtype=float)
        utility = np.vstack([np.zeros(means.shape[1]), means + rng.standard_normal(means.shape)])
        return np.asarray(utility.argmax(axis=0), dtype=float)


def _between(mean: Array, low: Array, high: Array, rng: np.random.Generator) -> Array:
    """Normal draws with standard deviation 1, cut off at low and high."""
    # reflect so that the tail used is the lower one, where the distribution function has digits
    flip = low - mean > 0
    a = np.where(flip, mean - high, low - mean)
    b = np.where(flip, mean - low, high - mean)
    fa, fb = ndtr(a), ndtr(b)
    z = ndtri(np.clip(fa + rng.random(mean.size) * (fb - fa), 1e-300, 1 - NEAREST_ONE))
    z = np.clip(z, a, b)
    return np.asarray(mean + np.where(flip, -z, z))
