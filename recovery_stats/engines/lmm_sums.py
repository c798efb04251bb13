"""Sums of a mixed model's rows over the levels of its largest factor, at the speed of memory.

Z_i = Q_i R_i within level i, c_i = Q_i'F_i for the columns F = [X y], and what F leaves within
levels, F'F - sum c_i'c_i. Sums by level are products with a sparse matrix whose rows are the
levels: one pass over a column, no copy, whatever the order of the rows.
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

    def weighted_by(self, values: Array) -> sparse.csr_array:
        """The matrix (levels, n) that turns a column into its sums, weighted by `values` (n,)."""
        n = values.size
        inside = values if self.order is None else values[self.order]
        order = np.arange(n, dtype=np.int32) if self.order is None else self.order
        return sparse.csr_array((inside, order, self.pointers), shape=(self.pointers.size - 1, n))

    def spread(self, values: Array) -> Array:
        """A value of every level (m,) on its rows (n,)."""
        if self.order is None:
            return np.repeat(values, np.diff(self.pointers))
        return np.asarray(values[self.codes])


def eliminate(factor: Factor, Z: Array) -> tuple[Levels, Array, list[sparse.csr_array], Array]:
    """Orthogonalise Z (n, q) within levels by modified Gram and Schmidt.

    Returns the levels, Q (q, n), the matrices Q_a' and R (q, q, m), Z_i = Q_i R_i. A column that
    the columns before it span within a level gets Q = 0 there.
    """
    levels, q, m = Levels.of(factor.codes, factor.levels), Z.shape[1], factor.levels
    Q = np.array(Z.T, dtype=float, order="C")
    R, matrices = np.zeros((q, q, m)), []
    for a in range(q):
        whole = levels.weighted_by(Z[:, a]) @ Z[:, a]
        square = levels.weighted_by(Q[a]) @ Q[a] if a else whole.copy()
        square[square <= ALONE * whole] = 0.0
        if not square.any():
            raise NotEstimable(
                f"Random effect {factor.effect(a)!r} does not vary within any level of "
                f"{factor.name!r}: its variance cannot be told from the intercept's. Take it out "
                "of the random term."
            )
        R[a, a] = np.sqrt(square)
        Q[a] *= levels.spread(np.divide(1.0, R[a, a], out=np.zeros(m), where=square > 0))
        matrices.append(levels.weighted_by(Q[a]))
        for b in range(a + 1, q):
            R[a, b] = matrices[a] @ Q[b]
            Q[b] -= Q[a] * levels.spread(R[a, b])
    return levels, Q, matrices, R


def summed_up(
    matrices: Sequence[sparse.csr_array], columns: Sequence[Array], known: Mapping[int, Array]
) -> Array:
    """c (q, s, m) = Q_i'F_i for the columns F (s of length n); known: c (q, m) of some of them."""
    c = np.empty((len(matrices), len(columns), matrices[0].shape[0]))
    for j, column in enumerate(columns):
        for a, matrix in enumerate(matrices):
            c[a, j] = known[j][a] if j in known else matrix @ column
    return c


def left_over(
    levels: Levels, Q: Array, matrices: Sequence[sparse.csr_array], F: Array
) -> tuple[Array, Array]:
    """c (q, s, m), and F (s, n) in place less Q Q'F: digits that subtracted sums would lose."""
    c = np.empty((len(matrices), len(F), matrices[0].shape[0]))
    for a, matrix in enumerate(matrices):
        for j, column in enumerate(F):
            c[a, j] = matrix @ column
            column -= Q[a] * levels.spread(c[a, j])
    return c, F
