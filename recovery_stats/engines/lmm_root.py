"""Several factors where random effects dwarf the residual: square roots in place of products.

With a variance of groups 1e9 times the residual's, Z2'V1⁻¹Z2 holds numbers of order n beside the
1e-9 n that decide, and its digits are gone before anything is subtracted. Here the rows themselves
are kept: the triangle of a QR of what the first factor leaves of [Z2 X y], and N_i^½ [C_i c_i] of
every group, N_i = (I + R_i Psi R_i')⁻¹. With B these rows of Z2 L2 and F any columns of them,

    [B; I] = O T,  O'[F; 0] = (top, tail):  I + B'B = T'T,  F'V0⁻¹F = tail'tail.

Every cross-product is a sum of squares of numbers that an orthogonal matrix gave; with the large
rows first and the columns pivoted each row keeps its own digits (Cox & Higham 1998).
Sources: Björck 1996, ch. 4; Pinheiro & Bates 2000, ch. 2; Cox & Higham 1998. Checked: the dense
formulas in 50 digits (tests/engines/test_lmm_root.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_eliminated import Part, SecondMoments
from recovery_stats.engines.lmm_second import Second


@dataclass(frozen=True)
class FromRoots(SecondMoments):
    """tail (·, M2): of Z2, its squares are T22. met (q1, M2, m1): C_i L2 T⁻¹, its squares are
    C_i K2 C_i'. rest (q1, M2, m1): C_i rest."""

    tail: Array
    met: Array
    rest: Array

    @cached_property
    def T22(self) -> Array:
        return np.asarray(self.tail.T @ self.tail)

    def blocks(self, k: int) -> Array:
        second = self.second
        at, m, q = second.offsets[k], second.levels[k], second.q[k]
        columns = self.tail[:, at : at + m * q].reshape(-1, m, q)
        return np.asarray(np.einsum("nla,nlb->lab", columns, columns))

    def gathered(self) -> Array:
        return times(self.met, transposed(self.met))

    def weighed(self, N: Array) -> Array:
        return N

    def sent(self, weighed: Array) -> Array:
        return np.asarray(_flat(self.met).T @ _flat(times(weighed, self.met)))

    @cached_property
    def carrier(self) -> Array:
        return _flat(self.rest)

    def carried(self, weighed: Array) -> Array:
        return _flat(times(weighed, self.rest))

    def lift_first(self, inner: Array) -> Part:
        return Part(_flat(self.met).T @ inner, crossed=self.carrier.T @ inner)

    def lift(self, placed: Array) -> Part:
        return Part(self.tail @ placed, placed=placed)

    def meet(self, a: Part, b: Part) -> Array:
        if (a.placed is None) == (b.placed is None):
            found = a.lifted.T @ b.lifted
            return np.asarray(-found if a.placed is None else found)
        if a.crossed is not None and b.placed is not None:
            return np.asarray(a.crossed.T @ b.placed)
        return self.meet(b, a).T


def eliminate(
    second: Second, L: Sequence[Array], half: Array, c: Array
) -> tuple[FromRoots, Array, Array, float]:
    """The moments, S = [X y]'V0⁻¹[X y], what the other factors take of c (q1 m1, s) and
    log|I + L2'S22 L2|.

    half (q, q, m): N_i^½ of the first factor; c (q, s, m).
    """
    assert second.triangle is not None
    (q, _, m), size = c.shape, second.size
    C = second.C.toarray()
    groups = np.concatenate([_by_group(C, q, m), c], axis=1)
    rows = np.vstack([second.triangle, _flat(times(half, groups))])
    T, order, top, tail = _turned(second.scaled(L, rows[:, :size].T).T, rows)
    inverse = np.empty((size, size))
    inverse[order] = solve_triangular(T, np.eye(size), check_finite=False)
    met = second.C @ second.scaled([factor.T for factor in L], inverse)
    of_Z, of_xy = tail[:, :size], tail[:, size:]
    taken = met @ top
    moments = FromRoots(
        second, of_Z.T @ of_xy, of_Z, _by_group(met, q, m), _by_group(C - taken[:, :size], q, m)
    )
    log_det = 2.0 * float(np.log(np.abs(np.diag(T))).sum())
    return moments, of_xy.T @ of_xy, taken[:, size:], log_det


def _flat(A: Array) -> Array:
    """(q, s, m) to (q m, s)."""
    return A.transpose(0, 2, 1).reshape(-1, A.shape[1])


def _by_group(A: Array, q: int, m: int) -> Array:
    """(q m, s) to (q, s, m)."""
    return np.ascontiguousarray(A.reshape(q, m, -1).transpose(0, 2, 1))


def _turned(B: Array, F: Array) -> tuple[Array, Array, Array, Array]:
    """T and the order of its columns for [B; I] = O T, and O'[F; 0] in its two parts."""
    size, width = B.shape[1], F.shape[1]
    both, extended = np.vstack([B, np.eye(size)]), np.vstack([F, np.zeros((size, width))])
    large = np.argsort(-np.abs(both).max(1), kind="stable")
    (packed, tau), T, order = qr(both[large], mode="raw", pivoting=True, check_finite=False)
    moved, _, _ = lapack.dormqr("L", "T", packed, tau, extended[large], lwork=64 * width)
    return T[:size], order, moved[:size], moved[size:]
