"""The residual covariance of a person's rows: variances by level, correlation over waves.

R0 of a person's rows relative to the variance of the first level. `Separable` has a standard
deviation for every level (of wave, arm, ...) times a correlation family; `Unstructured` any
positive definite matrix over the waves. Either may hold separately for groups of people (arms).
The search moves eta, unbounded; Kenward and Roger's second derivatives are taken in the natural
parameters: variances, correlations, the range of car1. Covariances of the unstructured, and of
equal variances with compound symmetry or Toeplitz, are linear in theirs: no second derivative.
Checked: finite differences (tests/engines/test_lmm_residual.py), dense formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.residual_correlation import Correlation


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of P patterns of k rows: wave, level (of variance), group (P, k), place in time.

    same (P, k, k): whether two rows are of one person.
    """

    wave: IntArray
    level: IntArray
    group: IntArray
    time: Array
    same: Array

    @property
    def lag(self) -> Array:
        return np.asarray(np.abs(self.time[:, :, None] - self.time[:, None, :]))


class Residual(Protocol):
    """A residual structure: `size` numbers eta, R0 of patterns with its derivatives."""

    @property
    def size(self) -> int: ...
    @property
    def linear(self) -> bool: ...
    @property
    def bounds(self) -> tuple[Array, Array]: ...
    @property
    def may_vanish(self) -> NDArray[np.bool_]: ...
    @property
    def positive(self) -> bool: ...
    def matrix(self, eta: Array, cells: Cells) -> tuple[Array, Array]: ...
    def bend(self, eta: Array, weighted: Sequence[tuple[Cells, Array]]) -> Array: ...


@dataclass(frozen=True, slots=True)
class Separable:
    """sd_j sd_l C_jl. eta: log sd of every level but the first, then C's, group by group.

    paired: variances differ by group of people only, so that covariances can be parameters.
    """

    correlation: Correlation
    levels: int
    groups: int
    paired: bool

    @property
    def size(self) -> int:
        return self.levels - 1 + self.groups * self.correlation.size

    @property
    def linear(self) -> bool:
        """Equal variances are linear with some families; a family without correlation always."""
        alone = self.correlation.family == "independent"
        return alone or (self.correlation.linear and self.paired)

    @property
    def bounds(self) -> tuple[Array, Array]:
        low, high = self.correlation.bounds
        c = self.groups * self.correlation.size
        spread = np.full(self.levels - 1, 18.0)
        return np.append(-spread, np.full(c, low)), np.append(spread, np.full(c, high))

    @property
    def may_vanish(self) -> NDArray[np.bool_]:
        """Numbers whose upper end is an ordinary answer: a car1 correlation of zero."""
        fades = self.correlation.family == "car1"
        return np.arange(self.size) >= (self.levels - 1 if fades else self.size)

    @property
    def positive(self) -> bool:
        """Whether every eta gives a covariance that is positive definite."""
        return self.correlation.family not in ("toeplitz", "free")

    def split(self, eta: Array) -> tuple[Array, Array]:
        """Log sd of all levels, the first 0; the numbers behind the correlations (groups, c)."""
        log_sd = np.append(0.0, eta[: self.levels - 1])
        return log_sd, eta[self.levels - 1 :].reshape(self.groups, self.correlation.size)

    def matrix(self, eta: Array, cells: Cells) -> tuple[Array, Array]:
        """R0 (P, k, k) and its derivatives (size, P, k, k)."""
        spread, C, first, _ = self._parts(eta, cells, second=False)
        R = spread * C
        steps = [self._counts(cells, a) * R for a in range(1, self.levels)]
        slopes = self.correlation.natural(self.split(eta)[1])[1].ravel()
        steps += [slope * spread * part for slope, part in zip(slopes, first, strict=True)]
        return R, np.array(steps).reshape(self.size, *R.shape)

    def bend(self, eta: Array, weighted: Sequence[tuple[Cells, Array]]) -> Array:
        """Sum over patterns of <G, d²R0/deta_a deta_b>, G (P, k, k) symmetric."""
        out = np.zeros((self.size, self.size))
        s = self.levels - 1
        _, slope, curve = (v.ravel() for v in self.correlation.natural(self.split(eta)[1]))
        for cells, G in weighted:
            spread, C, first, second = self._parts(eta, cells, second=True)
            counts = np.array([self._counts(cells, a) for a in range(1, self.levels)])
            counts = counts.reshape(s, G.size)
            along = np.array([(G * spread * part).ravel() for part in first])
            along = along.reshape(len(first), G.size)
            out[:s, :s] += (counts * (G * spread * C).ravel()) @ counts.T
            cross = (counts @ along.T) * slope
            out[:s, s:] += cross
            out[s:, :s] += cross.T
            flat = (G * spread).ravel()
            bent = second.reshape(len(first), len(first), G.size) @ flat
            out[s:, s:] += bent * np.outer(slope, slope) + np.diag(curve * along.sum(1))
        return out

    def natural_curvature(self, eta: Array, W: Array, cells: Cells) -> Array:
        """Sum over a, b of W_ab d²R0/dgamma_a dgamma_b, (P, k, k).

        gamma: log variances of all levels, as numbers whose second derivative is taken in the
        variance itself, then rho group by group; W in these coordinates.
        """
        spread, C, first, second = self._parts(eta, cells, second=True)
        s = self.levels
        R = spread * C
        counts = np.array([self._counts(cells, a) for a in range(s)])
        out = np.einsum("ab,apjk,bpjk->pjk", W[:s, :s], counts, counts) / 4.0 * R
        out -= np.einsum("a,apjk->pjk", np.diag(W)[:s], counts) / 2.0 * R
        weights = np.einsum("ac,apjk->cpjk", W[:s, s:], counts)
        out += (weights * first).sum(0) * spread
        return np.asarray(out + np.einsum("ab,abpjk->pjk", W[s:, s:], second) * spread)

    def natural_jacobian(self, eta: Array) -> Array:
        """d gamma / d (eta, log s2), gamma as in `natural_curvature`."""
        s = self.levels
        slopes = self.correlation.natural(self.split(eta)[1])[1].ravel()
        J = np.zeros((s + slopes.size, self.size + 1))
        J[:s, -1] = 1.0
        J[np.arange(1, s), np.arange(s - 1)] = 2.0
        J[s + np.arange(slopes.size), s - 1 + np.arange(slopes.size)] = slopes
        return J

    def _counts(self, cells: Cells, level: int) -> Array:
        at = (cells.level == level).astype(float)
        return np.asarray(at[:, :, None] + at[:, None, :])

    def _parts(
        self, eta: Array, cells: Cells, *, second: bool
    ) -> tuple[Array, Array, Array, Array]:
        """sd_j sd_l, C, dC/drho (g c, P, k, k), d²C (g c, g c, P, k, k); 0 between people."""
        log_sd, numbers = self.split(eta)
        log_row = log_sd[cells.level]
        spread = np.exp(log_row[:, :, None] + log_row[:, None, :])
        c = self.correlation.size
        C = np.zeros_like(spread)
        first = np.zeros((self.groups * c, *C.shape))
        bent = np.zeros((self.groups * c, self.groups * c, *C.shape)) if second else first[:0]
        for g in range(self.groups):
            mine = cells.same * (cells.group == g)[:, :, None]
            rho = self.correlation.natural(numbers[g])[0]
            value, slope, curve = self._looked_up(rho, cells)
            C += mine * value
            at = slice(g * c, (g + 1) * c)
            first[at] = mine * slope
            if second:
                bent[at, at] = mine * curve
        return spread, C, first, bent

    def _looked_up(self, rho: Array, cells: Cells) -> tuple[Array, Array, Array]:
        if self.correlation.family == "car1":
            C, slope, curve = self.correlation.of_lag(float(rho[0]), cells.lag)
            return C, slope[None], curve[None, None]
        if self.correlation.family == "independent":  # by row: a wave may occur twice
            k = cells.wave.shape[1]
            return np.eye(k)[None], np.zeros((0, 1, k, k)), np.zeros((0, 0, 1, k, k))
        C, slope, curve = self.correlation.table(rho)
        row, column = cells.wave[:, :, None], cells.wave[:, None, :]
        return C[row, column], slope[:, row, column], curve[:, :, row, column]


@dataclass(frozen=True, slots=True)
class Unstructured:
    """L L' over K waves, a matrix for each group of people.

    eta, group by group: the entries of L by rows, the diagonal as logarithms; the very first
    diagonal entry is 1, the scale being profiled.
    """

    waves: int
    groups: int

    @property
    def size(self) -> int:
        return self.groups * self.waves * (self.waves + 1) // 2 - 1

    @property
    def linear(self) -> bool:
        return True

    @property
    def bounds(self) -> tuple[Array, Array]:
        on = np.array([i == j for _, i, j in self.entries()])
        wide = np.where(on, 18.0, np.inf)
        return -wide, wide

    @property
    def may_vanish(self) -> NDArray[np.bool_]:
        return np.zeros(self.size, dtype=bool)

    @property
    def positive(self) -> bool:
        return True

    def entries(self) -> list[tuple[int, int, int]]:
        """(group, row, column) of each number."""
        every = [
            (g, i, j) for g in range(self.groups) for i in range(self.waves) for j in range(i + 1)
        ]
        return every[1:]

    def factors(self, eta: Array) -> Array:
        """L (groups, K, K)."""
        L = np.zeros((self.groups, self.waves, self.waves))
        L[0, 0, 0] = 1.0
        for value, (g, i, j) in zip(eta, self.entries(), strict=True):
            L[g, i, j] = np.exp(value) if i == j else value
        return L

    def pack(self, matrices: Array) -> tuple[Array, float]:
        """eta of positive definite matrices (groups, K, K), and the scale taken out."""
        scale = float(matrices[0, 0, 0])
        L = np.linalg.cholesky(matrices / scale)
        eta = [np.log(L[g, i, j]) if i == j else L[g, i, j] for g, i, j in self.entries()]
        return np.array(eta), scale

    def matrix(self, eta: Array, cells: Cells) -> tuple[Array, Array]:
        """R0 (P, k, k) and its derivatives (size, P, k, k)."""
        L = self.factors(eta)
        whole = L @ L.transpose(0, 2, 1)
        group, row, column = self._places(cells)
        R = whole[group, row, column] * cells.same
        steps = np.zeros((self.size, *R.shape))
        for a, (g, i, j) in enumerate(self.entries()):
            one = np.zeros((self.groups, self.waves, self.waves))
            one[g, i] = L[g, :, j] * (L[g, i, i] if i == j else 1.0)
            steps[a] = (one + one.transpose(0, 2, 1))[group, row, column] * cells.same
        return R, steps

    def bend(self, eta: Array, weighted: Sequence[tuple[Cells, Array]]) -> Array:
        """Sum over patterns of <G, d²R0/deta_a deta_b>, G (P, k, k) symmetric."""
        L = self.factors(eta)
        total = np.zeros((self.groups, self.waves, self.waves))
        for cells, G in weighted:
            np.add.at(total, self._places(cells), G * cells.same)
        out = np.zeros((self.size, self.size))
        places = self.entries()
        for a, (g, i, j) in enumerate(places):
            for b, (g2, i2, j2) in enumerate(places):
                if g == g2 and j == j2:
                    size = (L[g, i, i] if i == j else 1.0) * (L[g, i2, i2] if i2 == j2 else 1.0)
                    out[a, b] = 2.0 * size * total[g, i, i2]
            if i == j:
                out[a, a] += 2.0 * L[g, i, i] * float(total[g, i] @ L[g, :, i])
        return out

    def _places(self, cells: Cells) -> tuple[IntArray, IntArray, IntArray]:
        group = np.broadcast_to(cells.group[:, :, None], cells.same.shape)
        row = np.broadcast_to(cells.wave[:, :, None], cells.same.shape)
        column = np.broadcast_to(cells.wave[:, None, :], cells.same.shape)
        return group, row, column
