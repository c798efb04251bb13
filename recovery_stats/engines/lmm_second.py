"""All grouping factors of a mixed model but the first: one dense block of cross-products.

They are met through the sparse cross-products C = Q1'Z2 with the first factor and through what it
leaves of them, as cross-products or, where random effects dwarf the residual, as the triangle of a
QR (`lmm_root`). Checked: dense formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

if TYPE_CHECKING:
    from recovery_stats.engines.lmm_groups import RandomFactor

MAX_SECOND = 6_000  # random effects in the dense block: 300 MB each copy
MAX_PAIRS = 40_000_000  # products of cross-products kept: 12 bytes each
CHUNK = 8_000_000  # numbers of the dense rows that one step of a QR takes
DEAREST = 1e10  # products in a QR a visit, from which on it takes longer than its digits are worth


@dataclass(frozen=True, slots=True)
class Second:
    """All factors but the first. `C` (q1 m1, M2) sparse is Q1'Z2; `pairs` maps a symmetric
    matrix per group, N (q1, q1, m1), to C'NC (M2, M2) and back. triangle (M2 + s, M2 + s): of a QR
    of what the first factor leaves of [Z2 X y], where asked for."""

    offsets: tuple[int, ...]
    levels: tuple[int, ...]
    q: tuple[int, ...]
    within: Array  # (M2, M2) Z2'(I - Q1 Q1')Z2
    within_xy: Array  # (M2, s)
    C: sparse.csr_array
    Ct: sparse.csr_array
    pairs: tuple[tuple[int, int, sparse.csr_array, sparse.csr_array], ...]
    triangle: Array | None = None

    @property
    def size(self) -> int:
        return int(self.within.shape[0])

    def largest(self) -> float:
        """The largest square of Z2 over the rows of a level."""
        met = np.bincount(self.C.indices, self.C.data**2, self.size)
        return float((np.diag(self.within) + met).max())

    def scatter(self, N: Array) -> Array:
        """C' N C."""
        total = np.zeros(self.size**2)
        for a, b, _, back in self.pairs:
            total += back @ N[a, b]
        return total.reshape(self.size, self.size)

    def gather(self, K: Array) -> Array:
        """C_i K C_i' for every group: (q1, q1, m1)."""
        q = max(b for _, b, _, _ in self.pairs) + 1
        m = self.pairs[0][2].shape[0]
        out = np.empty((q, q, m))
        flat = K.reshape(-1)
        for a, b, forth, _ in self.pairs:
            value = forth @ flat
            out[a, b] = out[b, a] = value if a == b else 0.5 * value
        return out

    def effects(self, k: int, values: Array) -> Array:
        """The rows of factor k+1 in `values` (M2, ...) as (levels, q, ...)."""
        at, m, q = self.offsets[k], self.levels[k], self.q[k]
        return values[at : at + m * q].reshape(m, q, *values.shape[1:])

    def diagonal(self, k: int, M: Array) -> Array:
        """The diagonal blocks of factor k+1 in M (M2, M2), (levels, q, q)."""
        at, m, q = self.offsets[k], self.levels[k], self.q[k]
        each = np.arange(m)
        block = M[at : at + m * q, at : at + m * q].reshape(m, q, m, q)
        return np.asarray(block[each, :, each, :])

    def sandwiched(self, L: Sequence[Array], M: Array) -> Array:
        """L2' M L2 for symmetric M (M2, M2)."""
        if max(self.q) == 1:
            size = np.repeat([float(factor[0, 0]) for factor in L], self.levels)
            out: Array = M * size
            out *= size[:, None]
            return out
        return self.scaled(L, self.scaled(L, M).T)

    def scaled(self, L: Sequence[Array], values: Array) -> Array:
        """L2' values for values (M2, ...)."""
        out = np.empty_like(values)
        for k, factor in enumerate(L):
            at, m, q = self.offsets[k], self.levels[k], self.q[k]
            block = self.effects(k, values).reshape(m, q, -1)
            out[at : at + m * q] = np.matmul(factor.T, block).reshape(m * q, *values.shape[1:])
        return out


# --- making it --------------------------------------------------------------------------------


def second_factors(
    factors: Sequence[RandomFactor],
    Zs: Sequence[Array],
    first: RandomFactor,
    Q: Array,
    F: Array,
    subtracted: Array | None,
) -> Second:
    """All factors but the first; F (s, n): [X y], or what the first factor leaves of it.

    subtracted: c (q1, s, m1) where F is still whole; None where digits matter: then the triangle
    is made too, where that is affordable.
    """
    q1, m1 = Q.shape[0], first.levels
    offsets, size = _placed(factors)
    columns = [o + f.codes[:, None] * f.q for o, f in zip(offsets, factors, strict=True)]
    places = [c + np.arange(f.q) for c, f in zip(columns, factors, strict=True)]
    Z2 = _sparse(np.hstack(list(Zs)), np.hstack(places), size)
    Q1 = _sparse(Q.T, first.codes[:, None] + m1 * np.arange(q1), q1 * m1)
    C = sparse.csr_array(Q1.T @ Z2)
    C.sum_duplicates()
    within, within_xy = _within(Z2, C), Z2.T @ F.T
    if subtracted is not None:
        within_xy -= C.T @ subtracted.transpose(0, 2, 1).reshape(q1 * m1, -1)
    levels, q = tuple(f.levels for f in factors), tuple(f.q for f in factors)
    pairs, Ct = tuple(_pairs(C, q1, m1, size)), sparse.csr_array(C.T)
    found = Second(offsets, levels, q, within, within_xy, C, Ct, pairs)
    if subtracted is not None or not affordable(found):
        return found
    return replace(found, triangle=triangle(sparse.csr_array(Z2 - Q1 @ C), F))


def affordable(second: Second) -> bool:
    """Whether a QR for each visit is worth its time."""
    return float(2 * second.size + second.C.shape[0]) * second.size**2 < DEAREST


def _placed(factors: Sequence[RandomFactor]) -> tuple[tuple[int, ...], int]:
    """Where each factor's effects begin among all of them, and how many there are."""
    widths = [f.levels * f.q for f in factors]
    size = sum(widths)
    if size > MAX_SECOND:
        raise NotEstimable(
            f"The smaller grouping factors have {size} random effects together; at most "
            f"{MAX_SECOND} are handled beside the largest factor."
        )
    return tuple(int(v) for v in np.cumsum([0, *widths[:-1]])), size


def _sparse(values: Array, columns: IntArray, size: int) -> sparse.csr_array:
    """Rows of values (n, k) at their columns (n, k) of a matrix (n, size)."""
    n, k = values.shape
    pointers = np.arange(0, n * k + 1, k)
    return sparse.csr_array((values.ravel(), columns.ravel(), pointers), shape=(n, size))


def _within(Z2: sparse.csr_array, C: sparse.csr_array) -> Array:
    """Z2'(I - Q1 Q1')Z2, (M2, M2)."""
    within = (Z2.T @ Z2).toarray() - (C.T @ C).toarray()
    within[np.abs(within) <= 1e-13 * Z2.shape[0]] = 0.0
    return np.asarray(0.5 * (within + within.T))


def triangle(Z2: sparse.csr_array, F: Array) -> Array:
    """Upper triangle (w, w) of a QR of [Z2 F'], w = M2 + s, for Z2 (n, M2) and F (s, n).

    Chunk by chunk, so that its memory does not depend on n.
    """
    width = Z2.shape[1] + len(F)
    step, found = max(width, CHUNK // width), np.empty((0, width))
    for start in range(0, F.shape[1], step):
        rows = slice(start, start + step)
        dense = np.hstack([Z2[rows].toarray(), F[:, rows].T])
        found = np.asarray(np.linalg.qr(np.vstack([found, dense]), mode="r"))
    return np.vstack([found, np.zeros((width - len(found), width))])


def _pairs(
    C: sparse.csr_array, q: int, m: int, size: int
) -> list[tuple[int, int, sparse.csr_array, sparse.csr_array]]:
    rows = [sparse.csr_array(C[a * m : (a + 1) * m]) for a in range(q)]
    count = sum(
        float(np.diff(rows[a].indptr) @ np.diff(rows[b].indptr).astype(float))
        for a in range(q)
        for b in range(a, q)
    )
    if count > MAX_PAIRS:
        raise NotEstimable(
            "The grouping factors cross too densely: a group of the largest factor meets too "
            "many levels of the others."
        )
    found = []
    for a in range(q):
        for b in range(a, q):
            forth = _row_products(rows[a], rows[b], size)
            if a != b:
                forth = forth + _row_products(rows[b], rows[a], size)
            forth = sparse.csr_array(forth)
            found.append((a, b, forth, sparse.csr_array(forth.T)))
    return found


def _row_products(A: sparse.csr_array, B: sparse.csr_array, size: int) -> sparse.csr_array:
    """Row i of the result is the Kronecker product of row i of A and row i of B."""
    in_a, in_b = np.diff(A.indptr), np.diff(B.indptr)
    per_entry = np.repeat(in_b, in_a)  # entries of B beside each entry of A
    starts = np.repeat(B.indptr[:-1], in_a)
    total = int(per_entry.sum())
    before = np.repeat(np.cumsum(per_entry) - per_entry, per_entry)
    partner = np.arange(total) - before + np.repeat(starts, per_entry)
    columns = np.repeat(A.indices.astype(np.int64), per_entry) * size + B.indices[partner]
    values = np.repeat(A.data, per_entry) * B.data[partner]
    indptr = np.concatenate([[0], np.cumsum(in_a * in_b)])
    return sparse.csr_array((values, columns, indptr), shape=(A.shape[0], size * size))
