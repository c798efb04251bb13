"""Working correlations of estimating equations: their estimate, and how they whiten rows.

Rows stand in cluster order and, within a cluster, in order of time. Each correlation is
estimated by moments of all pairs of standardised residuals, a pair weighted by the product of
its rows' weights and divided by the scale (no degrees of freedom taken off). Whitening applies a
square root of the inverse correlation, each in closed form: a share of the cluster mean taken
off (exchangeable), of the row before (first-order autoregression).
Sources: Liang & Zeger 1986; Yan & Fine 2004. Checked: dense inverses; R geepack
(tests/engines/test_gee.py, tests/models/test_gee.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import brentq

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

Structure = Literal["independence", "exchangeable", "ar1", "unstructured"]
MOST_TIMES = 60  # times of an unstructured correlation


@dataclass(frozen=True)
class Clusters:
    """codes (n,) ascending; time (n,) ascending within a cluster; weights (n,) > 0."""

    codes: IntArray
    time: Array
    weights: Array

    @cached_property
    def sizes(self) -> IntArray:
        return np.bincount(self.codes)

    @cached_property
    def starts(self) -> IntArray:
        return np.cumsum(self.sizes) - self.sizes

    @property
    def n(self) -> int:
        return int(self.codes.size)


class Correlation(Protocol):
    """One structure: alpha () estimated, rows whitened."""

    def estimate(self, r: Array, scale: float, before: Array) -> Array: ...
    def whiten(self, rows: Array, alpha: Array) -> Array:
        """rows (n, k) times an inverse root of the correlation, cluster by cluster."""
        ...


@dataclass(frozen=True, slots=True)
class Independence:
    """No correlation."""

    clusters: Clusters

    def estimate(self, r: Array, scale: float, before: Array) -> Array:
        return np.empty(0)

    def whiten(self, rows: Array, alpha: Array) -> Array:
        return rows


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """One correlation of any two rows of a cluster."""

    clusters: Clusters

    def estimate(self, r: Array, scale: float, before: Array) -> Array:
        at, w = self.clusters.starts, self.clusters.weights
        products = np.add.reduceat(w * r, at) ** 2 - np.add.reduceat((w * r) ** 2, at)
        pairs = np.add.reduceat(w, at) ** 2 - np.add.reduceat(w**2, at)
        total = float(pairs[self.clusters.sizes > 1].sum())
        if not total > 0:
            raise NotEstimable(
                "Every cluster is a single row: no correlation can be estimated; use "
                "correlation='independence'."
            )
        return np.array([float(products.sum()) / (scale * total)])

    def whiten(self, rows: Array, alpha: Array) -> Array:
        a, size = float(alpha[0]), self.clusters.sizes.astype(float)
        inner = 1.0 + (size - 1.0) * a
        if not (a < 1.0 and inner.min() > 0.0):
            raise NotEstimable(_not_positive("exchangeable", a))
        share = 1.0 - np.sqrt((1.0 - a) / inner)
        mean = np.add.reduceat(rows, self.clusters.starts) / size[:, None]
        return np.asarray(
            (rows - np.repeat(share[:, None] * mean, self.clusters.sizes, axis=0))
            / np.sqrt(1.0 - a)
        )


@dataclass(frozen=True)
class Autoregressive:
    """Correlation alpha to the power of the distance in time.

    alpha solves sum over pairs of the power's slope times (product - power) = 0.
    """

    clusters: Clusters

    @cached_property
    def _lags(self) -> tuple[Array, IntArray, IntArray, IntArray]:
        """Distinct distances; of every pair of rows: the later, the earlier, its distance."""
        codes, time, n = self.clusters.codes, self.clusters.time, self.clusters.n
        later, earlier = [], []
        for shift in range(1, int(self.clusters.sizes.max(initial=1))):
            same = np.flatnonzero(codes[shift:] == codes[:-shift]) if shift < n else np.empty(0)
            later.append(same.astype(np.intp) + shift)
            earlier.append(same.astype(np.intp))
        if not later or not sum(x.size for x in later):
            raise NotEstimable(
                "Every cluster is a single row: no correlation can be estimated; use "
                "correlation='independence'."
            )
        i, j = np.concatenate(later), np.concatenate(earlier)
        distance, which = np.unique(time[i] - time[j], return_inverse=True)
        return distance, i, j, which.reshape(-1)

    @property
    def _whole(self) -> bool:
        distance = self._lags[0]
        return bool((distance == np.round(distance)).all())

    def estimate(self, r: Array, scale: float, before: Array) -> Array:
        distance, i, j, which = self._lags
        w = self.clusters.weights
        pair = w[i] * w[j]
        product = np.bincount(which, pair * r[i] * r[j]) / scale
        count = np.bincount(which, pair)

        def equation(a: float) -> float:
            power = np.sign(a) ** (distance - 1.0) * np.abs(a) ** (distance - 1.0)
            return float((distance * power) @ (product - count * power * a))

        return np.array([_root_near(equation, float(before[0]) if before.size else 0.3, self._low)])

    @property
    def _low(self) -> float:
        return -1.0 if self._whole else 0.0

    def whiten(self, rows: Array, alpha: Array) -> Array:
        a = float(alpha[0])
        if not abs(a) < 1.0:
            raise NotEstimable(_not_positive("ar1", a))
        codes, time = self.clusters.codes, self.clusters.time
        gap = np.diff(time)
        inside = codes[1:] == codes[:-1]
        sign = np.where(np.round(gap) % 2 == 1, -1.0, 1.0) if a < 0 else 1.0
        power = np.where(inside, sign * np.abs(a) ** np.where(inside, gap, 1.0), 0.0)[:, None]
        out = rows.copy()
        out[1:] = (rows[1:] - power * rows[:-1]) / np.sqrt(1.0 - power**2)
        return out


def _root_near(f: Callable[[float], float], guess: float, low: float) -> float:
    """The root in (low, 1) nearest to the guess, from a grid; the end where there is none."""
    grid = np.linspace(low, 1.0, 201)[1:-1]
    if low == 0.0:
        grid = np.concatenate([[1e-6], grid])
    values = np.array([f(a) for a in grid.tolist()])
    falls = np.flatnonzero((values[:-1] >= 0) & (values[1:] < 0))  # a least-squares minimum
    if not falls.size:
        return float(grid[0] if values[0] < 0 else 1.0)
    at = int(falls[np.argmin(np.abs(grid[falls] - guess))])
    if values[at] == 0:
        return float(grid[at])
    return float(brentq(f, grid[at], grid[at + 1], xtol=1e-15, rtol=1e-14))


@dataclass(frozen=True)
class Unstructured:
    """A correlation of its own for every two times; `times` (T,) distinct, ascending."""

    clusters: Clusters

    @cached_property
    def times(self) -> Array:
        return np.unique(self.clusters.time)

    @cached_property
    def _patterns(self) -> list[tuple[IntArray, IntArray]]:
        """Per distinct set of times: its positions (s,), and rows (clusters, s)."""
        place = np.searchsorted(self.times, self.clusters.time)
        T = self.times.size
        if T > MOST_TIMES:
            raise NotEstimable(
                f"An unstructured correlation of {T} times has {T * (T - 1) // 2} parameters; use "
                "correlation='ar1' or 'exchangeable'."
            )
        seen = np.zeros((self.clusters.sizes.size, T), dtype=bool)
        seen[self.clusters.codes, place] = True
        kinds, which = np.unique(seen, axis=0, return_inverse=True)
        found = []
        for k, kind in enumerate(kinds):
            members = np.flatnonzero(which.reshape(-1) == k)
            at = np.flatnonzero(kind)
            rows = self.clusters.starts[members][:, None] + np.arange(at.size)
            found.append((at, rows))
        return found

    def estimate(self, r: Array, scale: float, before: Array) -> Array:
        T = self.times.size
        product, count = np.zeros((T, T)), np.zeros((T, T))
        w = self.clusters.weights
        for at, rows in self._patterns:
            block = np.ix_(at, at)
            weighted, part = (w * r)[rows], w[rows]
            product[block] += weighted.T @ weighted
            count[block] += part.T @ part
        upper = np.triu_indices(T, 1)
        if not (count[upper] > 0).all():
            i, j = (int(x[np.argmin(count[upper])]) for x in upper)
            raise NotEstimable(
                f"No cluster was seen at both times {i + 1} and {j + 1} in order; an unstructured "
                "correlation needs every pair. Use correlation='ar1' or 'exchangeable'."
            )
        return np.asarray(product[upper] / (scale * count[upper]))

    def matrix(self, alpha: Array) -> Array:
        """The correlation matrix (T, T)."""
        T = self.times.size
        R = np.eye(T)
        R[np.triu_indices(T, 1)] = alpha
        return np.asarray(np.triu(R) + np.triu(R, 1).T)

    def whiten(self, rows: Array, alpha: Array) -> Array:
        R, out = self.matrix(alpha), np.empty_like(rows)
        for at, where in self._patterns:
            try:
                root = np.linalg.cholesky(R[np.ix_(at, at)])
            except np.linalg.LinAlgError:
                raise NotEstimable(
                    "The unstructured correlation is not positive definite: too few clusters for "
                    "its parameters. Use correlation='ar1' or 'exchangeable'."
                ) from None
            out[where] = np.einsum("st,ctk->csk", np.linalg.inv(root), rows[where])
        return out


def _not_positive(name: str, value: float) -> str:
    return (
        f"The {name} correlation is estimated as {value:.2f}, at which it is not positive definite "
        "for these clusters; use correlation='independence'."
    )


def working(structure: Structure, clusters: Clusters) -> Correlation:
    """The working correlation of a name, over these clusters."""
    match structure:
        case "independence":
            return Independence(clusters)
        case "exchangeable":
            return Exchangeable(clusters)
        case "ar1":
            return Autoregressive(clusters)
        case "unstructured":
            return Unstructured(clusters)
