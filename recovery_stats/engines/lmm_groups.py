"""A mixed model's data as sums by group: what the criterion needs, in orthogonal units.

X is orthogonalised, y is its least-squares residual brought to length 1 per row, each Z is
orthogonalised within its correlated block: units and origins cannot matter. The factor with most
random effects is then eliminated group by group, Z_i = Q_i R_i and c_i = Q_i'[X y]; all other
factors share one dense block, met through the sparse cross-products C = Q'Z2.
Sources: Pinheiro & Bates 2000, ch. 2. Checked: dense formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm_alike import Alike
from recovery_stats.errors import NotEstimable

MAX_SECOND = 6_000  # random effects in the dense block: 300 MB each copy
MAX_PAIRS = 40_000_000  # products of cross-products kept: 12 bytes each


@dataclass(frozen=True, slots=True)
class RandomFactor:
    """codes (n,) in 0..levels-1, Z (n, q), and which columns of Z are correlated with which.

    name and effects: what messages call the factor and the columns of Z.
    """

    codes: IntArray
    levels: int
    Z: Array
    blocks: tuple[tuple[int, ...], ...]
    name: str = "group"
    effects: tuple[str, ...] = ()

    @property
    def q(self) -> int:
        return int(self.Z.shape[1])

    def effect(self, column: int) -> str:
        return self.effects[column] if self.effects else f"column {column + 1}"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the data were turned into: X = Xo A⁻¹, y = X start + scale · yo, Z_k = Zo_k T_k⁻¹."""

    A: Array
    start: Array
    scale: float
    T: tuple[Array, ...]
    order: tuple[int, ...]
    log_weights: float


@dataclass(frozen=True, slots=True)
class Second:
    """All factors but the first. `C` (q1 m1, M2) sparse is Q1'Z2; `pairs` maps a symmetric
    matrix per group, N (q1, q1, m1), to C'NC (M2, M2) and back."""

    offsets: tuple[int, ...]
    levels: tuple[int, ...]
    q: tuple[int, ...]
    within: Array  # (M2, M2) Z2'(I - Q1 Q1')Z2
    within_xy: Array  # (M2, s)
    C: sparse.csr_array
    Ct: sparse.csr_array
    pairs: tuple[tuple[int, int, sparse.csr_array, sparse.csr_array], ...]

    @property
    def size(self) -> int:
        return int(self.within.shape[0])

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


@dataclass(frozen=True, slots=True)
class Problem:
    """Sufficient statistics: R (q, q, m), c (q, s, m) with s = p + 1, within (s, s).

    alike: the same by patterns of R, where one factor alone has few of them.
    """

    n: int
    p: int
    reml: bool
    R: Array
    c: Array
    within: Array
    second: Second | None
    blocks: tuple[tuple[tuple[int, ...], ...], ...]
    q: tuple[int, ...]
    alike: Alike | None = None

    @property
    def nu(self) -> int:
        return self.n - self.p if self.reml else self.n

    def entries(self) -> list[tuple[int, int, int]]:
        """(factor, row, column) of every free entry of the L's, in the order of theta."""
        return list(_entries(self.blocks))

    @property
    def places(self) -> tuple[Places, ...]:
        """Where each factor's free entries stand in theta and in its L."""
        return _places(self.blocks)

    def unpack(self, theta: Array) -> list[Array]:
        L = [np.zeros((q, q)) for q in self.q]
        for factor, at in zip(L, self.places, strict=True):
            factor[at.rows, at.columns] = theta[at.own]
        return L

    def pack(self, L: Sequence[Array]) -> Array:
        """The free entries of matrices like the L's, in the order of theta."""
        found = [f[at.rows, at.columns] for f, at in zip(L, self.places, strict=True)]
        return found[0] if len(found) == 1 else np.concatenate(found)


@cache
def _entries(blocks: tuple[tuple[tuple[int, ...], ...], ...]) -> tuple[tuple[int, int, int], ...]:
    return tuple(
        (k, i, j)
        for k, of_factor in enumerate(blocks)
        for block in of_factor
        for j in block
        for i in block
        if i >= j
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Of a factor's r free entries: own, their part of theta, and rows and columns of L.

    same (r, r): which lie in one column. units (r, q, q): the change of a symmetric matrix by
    each. turning (r q q, q q): what makes of L the change of L L' by each.
    """

    own: slice
    rows: IntArray
    columns: IntArray
    same: Array
    units: Array
    turning: Array


@cache
def _places(blocks: tuple[tuple[tuple[int, ...], ...], ...]) -> tuple[Places, ...]:
    found, start = [], 0
    for k, of_factor in enumerate(blocks):
        own = [(i, j) for factor, i, j in _entries(blocks) if factor == k]
        rows, columns = np.array(own, dtype=np.intp).T
        r, q = len(own), sum(len(block) for block in of_factor)
        each = np.arange(r)
        units, turning = np.zeros((r, q, q)), np.zeros((r, q, q, q, q))
        units[each, rows, columns] = units[each, columns, rows] = 1.0
        for a, (i, j) in enumerate(own):
            for f in range(q):
                turning[a, i, f, f, j] += 1.0
                turning[a, f, i, f, j] += 1.0
        same = (columns[:, None] == columns).astype(float)
        part = slice(start, start + r)
        found.append(Places(part, rows, columns, same, units, turning.reshape(r * q * q, q * q)))
        start += r
    return tuple(found)


# --- making it --------------------------------------------------------------------------------


def weighted(values: Array, root: Array | None) -> Array:
    if root is None:
        return values
    return values * (root[:, None] if values.ndim == 2 else root)


def orthogonal_blocks(Z: Array, factor: RandomFactor) -> tuple[Array, Array]:
    """Zo = Z T with Zo'Zo = n I within each correlated block; T is block diagonal."""
    n, q = Z.shape
    T = np.zeros((q, q))
    for block in factor.blocks:
        index = list(block)
        length = np.sqrt((Z[:, index] ** 2).sum(0))
        if not (length > 0).all():
            name = factor.effect(index[int(np.argmin(length))])
            raise NotEstimable(f"Random effect {name!r} of {factor.name!r} is zero in every row.")
        R = np.linalg.qr(Z[:, index] / length).R
        size = np.abs(np.diag(R))
        if size.min() < 1e-9:
            name = factor.effect(index[int(np.argmin(size))])
            raise NotEstimable(
                f"Random effect {name!r} of {factor.name!r} is a combination of the effects before "
                "it in every row; leave it out."
            )
        T[np.ix_(index, index)] = solve_triangular(R, np.eye(len(index))) / length[:, None]
    T *= np.sqrt(n)
    return Z @ T, T


def second_factors(
    factors: Sequence[RandomFactor],
    Zs: Sequence[Array],
    first: RandomFactor,
    Q: Array,
    F: Array,
    subtracted: Array | None,
) -> Second:
    """All factors but the first; F (s, n): [X y], or what the first factor leaves of it.

    subtracted: c (q1, s, m1) where F is still whole.
    """
    n, q1, m1 = first.codes.size, Q.shape[0], first.levels
    widths = [f.levels * f.q for f in factors]
    offsets = tuple(int(v) for v in np.cumsum([0, *widths[:-1]]))
    size = sum(widths)
    if size > MAX_SECOND:
        raise NotEstimable(
            f"The smaller grouping factors have {size} random effects together; at most "
            f"{MAX_SECOND} are handled beside the largest factor."
        )
    columns = [
        o + f.codes[:, None] * f.q + np.arange(f.q) for o, f in zip(offsets, factors, strict=True)
    ]
    width = sum(f.q for f in factors)
    Z2 = sparse.csr_array(
        (
            np.hstack(list(Zs)).ravel(),
            np.hstack(columns).ravel(),
            np.arange(0, n * width + 1, width),
        ),
        shape=(n, size),
    )
    rows = first.codes[:, None] + m1 * np.arange(q1)
    Q1 = sparse.csr_array(
        (Q.T.ravel(), rows.ravel(), np.arange(0, n * q1 + 1, q1)), shape=(n, q1 * m1)
    )
    C = sparse.csr_array(Q1.T @ Z2)
    C.sum_duplicates()
    within = (Z2.T @ Z2).toarray() - (C.T @ C).toarray()
    within[np.abs(within) <= 1e-13 * n] = 0.0
    within_xy = Z2.T @ F.T
    if subtracted is not None:
        within_xy -= C.T @ subtracted.transpose(0, 2, 1).reshape(q1 * m1, -1)
    pairs = tuple(_pairs(C, q1, m1, size))
    return Second(
        offsets,
        tuple(f.levels for f in factors),
        tuple(f.q for f in factors),
        0.5 * (within + within.T),
        within_xy,
        C,
        sparse.csr_array(C.T),
        pairs,
    )


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
