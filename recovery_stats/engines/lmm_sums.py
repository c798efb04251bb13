"""Sums of a mixed model's rows over the levels of its largest factor, at the speed of memory.

Z_i = Q_i R_i within level i, c_i = Q_i'F_i for the columns F = [X y], and what F leaves within
levels, F'F - sum c_i'c_i. Sums by level of many rows are products with a sparse matrix whose rows
are the levels: one pass over a column, no copy, whatever the order of the rows.
Sources: Pinheiro & Bates 2000, ch. 2. Checked: dense formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

FEW = 3_000  # rows below which a sparse matrix costs more to set up than the sums
ALONE = 1e-20  # share of a column's square left within a level that is rounding


class Factor(Protocol):
    """What is read of a random factor."""

    @property
    def codes(self) -> IntArray: ...
    @property
    def levels(self) -> int: ...
    @property
    def name(self) -> str: ...
    def effect(self, column: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Levels:
    """Rows by level: those of level i are order[pointers[i] : pointers[i + 1]]; order None: as they
    stand."""

    codes: IntArray
    pointers: NDArray[np.int32]
    order: NDArray[np.int32] | None

    @classmethod
    def of(cls, codes: IntArray, levels: int) -> Levels:
        counts = np.bincount(codes, minlength=levels)
        pointers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        if bool((codes[1:] >= codes[:-1]).all()):
            return cls(codes, pointers, None)
        return cls(codes, pointers, np.argsort(codes, kind="stable").astype(np.int32))

    def summed(self, weights: Array, columns: Sequence[Array] | Array) -> Array:
        """Sums by level of each column (n,) times weights (n,): (columns, m)."""
        if weights.size < FEW and bool((self.pointers[1:] > self.pointers[:-1]).all()):
            values = weights * np.asarray(columns)
            if self.order is not None:
                values = values[:, self.order]
            return np.add.reduceat(values, self.pointers[:-1], axis=1)
        matrix, found = self._weighted_by(weights), np.empty((len(columns), self.pointers.size - 1))
        for row, column in zip(found, columns, strict=True):
            row[:] = matrix @ column
        return found

    def _weighted_by(self, values: Array) -> sparse.csr_array:
        n = values.size
        inside = values if self.order is None else values[self.order]
        order = np.arange(n, dtype=np.int32) if self.order is None else self.order
        return sparse.csr_array((inside, order, self.pointers), shape=(self.pointers.size - 1, n))

    def spread(self, values: Array) -> Array:
        """A value of every level (m,) on its rows (n,)."""
        if self.order is None:
            return np.repeat(values, np.diff(self.pointers))
        return np.asarray(values[self.codes])


def eliminate(factor: Factor, Z: Array) -> tuple[Levels, Array, Array]:
    """Orthogonalise Z (n, q) within levels by modified Gram and Schmidt.

    Returns the levels, Q (q, n) and R (q, q, m), Z_i = Q_i R_i. A column that the columns before
    it span within a level gets Q = 0 there.
    """
    levels, q, m = Levels.of(factor.codes, factor.levels), Z.shape[1], factor.levels
    Q: Array = np.array(Z.T, dtype=np.float64, order="C")
    R = np.zeros((q, q, m))
    for a in range(q):
        whole = levels.summed(Z[:, a], [Z[:, a]])[0]
        square = levels.summed(Q[a], [Q[a]])[0] if a else whole
        alive = square > ALONE * whole
        if not alive.any():
            raise NotEstimable(
                f"Random effect {factor.effect(a)!r} does not vary within any level of "
                f"{factor.name!r}: its variance cannot be told from the intercept's. Take it out "
                "of the random term."
            )
        np.sqrt(square, out=R[a, a], where=alive)
        Q[a] *= levels.spread(np.divide(1.0, R[a, a], out=np.zeros(m), where=alive))
        if a + 1 < q:
            R[a, a + 1 :] = levels.summed(Q[a], Q[a + 1 :])
        for b in range(a + 1, q):
            Q[b] -= Q[a] * levels.spread(R[a, b])
    return levels, Q, R


def summed_up(
    levels: Levels, Q: Array, columns: Sequence[Array], known: Mapping[int, Array]
) -> Array:
    """c (q, s, m) = Q_i'F_i for the columns F (s of length n); known: c (q, m) of some of them."""
    c = np.empty((len(Q), len(columns), levels.pointers.size - 1))
    for j, part in known.items():
        c[:, j] = part
    fresh = [j for j in range(len(columns)) if j not in known]
    for of_effect, weights in zip(c, Q, strict=True):
        of_effect[fresh] = levels.summed(weights, [columns[j] for j in fresh])
    return c


def left_over(levels: Levels, Q: Array, F: Array) -> tuple[Array, Array]:
    """c (q, s, m), and F (s, n) in place less Q Q'F: digits that subtracted sums would lose."""
    c = np.empty((len(Q), len(F), levels.pointers.size - 1))
    for of_effect, weights in zip(c, Q, strict=True):
        of_effect[:] = levels.summed(weights, F)
        for column, part in zip(F, of_effect, strict=True):
            column -= weights * levels.spread(part)
    return c, F
