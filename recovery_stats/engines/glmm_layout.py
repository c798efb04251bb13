"""How random effects meet rows, and the equations I + E'WE that couple the effects.

Effects stand in one vector of independent standard normals u, factor by factor, each factor
(q, levels) flattened. E (Q, n) holds what a row's Q effects contribute per unit of u. Rows are
sorted by the first factor, which is eliminated level by level; all other factors share one dense
block (Schur complement), met through sparse cross-products.
Checked: dense algebra (tests/engines/test_glmm.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

MAX_SECOND = 4_000  # random effects in the dense block: 128 MB each copy
DENSE_ENTRIES = 4_000_000  # of a product with the dense block held at once


class Equations(Protocol):
    """H = I + E'WE, solved. log_det is -inf or nan where H is not positive definite."""

    @property
    def log_det(self) -> float: ...
    def solve(self, values: Array) -> Array: ...
    def own(self, E: Array) -> Array:
        """The rows' own part of H⁻¹E', (Q, n)."""
        ...

    def blocks(self) -> list[Array]:
        """The diagonal blocks of H⁻¹ by factor, (levels, q, q)."""
        ...


class Layout(Protocol):
    """Where the effects of every row stand."""

    @property
    def size(self) -> int: ...
    def rows(self, u: Array) -> Array:
        """Every row's own effects, (Q, n)."""
        ...

    def sums(self, values: Array) -> Array:
        """The sums of values (Q, n) over the rows of every effect."""
        ...

    def equations(self, E: Array, weights: Array) -> Equations: ...
    def along(self, a: Array, b: Array) -> Array:
        """Inner products of two effect vectors, apart for parts that do not meet."""
        ...

    def scaled(self, u: Array, factors: Array) -> Array:
        """u with every such part multiplied by its factor."""
        ...

    def heights(self, u: Array, log_f: Array) -> Array:
        """u'u / 2 less the sum of log_f (n,), for every such part."""
        ...

    def split(self, u: Array) -> list[Array]:
        """u by factor, (levels, q)."""
        ...


# --- one factor ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneFactor:
    """Rows sorted by level: `starts` and `counts` (m,) of every level's rows; q effects each."""

    codes: IntArray
    starts: IntArray
    counts: IntArray
    q: int

    even: int  # rows of every level, 0 where levels differ

    @property
    def levels(self) -> int:
        return int(self.starts.size)

    @property
    def size(self) -> int:
        return self.q * self.levels

    def rows(self, u: Array) -> Array:
        return self.rows_of(u.reshape(self.q, -1))

    def rows_of(self, by_level: Array) -> Array:
        """Values of every level (k, m) on its rows (k, n)."""
        return np.repeat(by_level, self.even or self.counts, axis=1)

    def sums(self, values: Array) -> Array:
        return self.by_level(values).ravel()

    def by_level(self, values: Array) -> Array:
        """Sums of values (k, n) over the rows of every level, (k, m)."""
        if self.even:
            return np.asarray(values.reshape(len(values), -1, self.even) @ np.ones(self.even))
        return np.array([self.total(v) for v in values])

    def total(self, values: Array) -> Array:
        """Sums of values (n,) over the rows of every level, (m,).

        Levels of one size are summed by a product with ones, three times as fast.
        """
        if self.even:
            return np.asarray(values.reshape(-1, self.even) @ np.ones(self.even))
        return np.asarray(np.add.reduceat(values, self.starts))

    def spread(self, by_level: Array) -> Array:
        """A value of every level (m,) on its rows (n,)."""
        return np.repeat(by_level, self.even or self.counts)

    def equations(self, E: Array, weights: Array) -> OneFactorEquations:
        H = np.empty((self.q, self.q, self.levels))
        for a in range(self.q):
            weighted = weights * E[a]
            for b in range(a + 1):
                H[a, b] = H[b, a] = self.total(weighted * E[b])
            H[a, a] += 1.0
        return OneFactorEquations(self, *_inverse(H))

    def along(self, a: Array, b: Array) -> Array:
        return np.asarray((a * b).reshape(self.q, -1).sum(0))

    def scaled(self, u: Array, factors: Array) -> Array:
        return (u.reshape(self.q, -1) * factors).ravel()

    def heights(self, u: Array, log_f: Array) -> Array:
        return 0.5 * self.along(u, u) - self.total(log_f)

    def split(self, u: Array) -> list[Array]:
        return [u.reshape(self.q, -1).T]

    def blocks(self, size: int) -> Iterator[tuple[slice, slice]]:
        """The levels a few at a time, about `size` rows, and the rows that belong to them."""
        ends = self.starts + self.counts
        first = 0
        while first < self.levels:
            last = int(np.searchsorted(ends, self.starts[first] + size, side="right"))
            last = max(last, first + 1)
            yield slice(first, last), slice(int(self.starts[first]), int(ends[last - 1]))
            first = last

    def part(self, levels: slice, rows: slice) -> OneFactor:
        """The layout of some neighbouring levels, whose rows are `rows`."""
        return OneFactor(
            self.codes[rows] - levels.start, self.starts[levels] - rows.start, self.counts[levels],
            self.q, self.even,
        )  # fmt: skip

    def subset(self, chosen: IntArray) -> tuple[OneFactor, IntArray]:
        """The layout of some levels alone, and the rows that belong to them."""
        counts = self.counts[chosen]
        ends = np.cumsum(counts)
        rows = np.arange(int(ends[-1])) + np.repeat(self.starts[chosen] - (ends - counts), counts)
        codes = np.repeat(np.arange(chosen.size), counts)
        return OneFactor(codes, (ends - counts).astype(np.intp), counts, self.q, self.even), rows


def _inverse(H: Array) -> tuple[Array, Array]:
    """H⁻¹ (q, q, m) and log|H| (m,); nan where not positive definite."""
    q = H.shape[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        if q == 1:
            return 1.0 / H, np.log(H[0, 0])
        if q == 2:
            det = H[0, 0] * H[1, 1] - H[0, 1] ** 2
            det = np.where(H[0, 0] > 0, det, np.nan)
            inverse = np.empty_like(H)
            inverse[0, 0], inverse[1, 1] = H[1, 1] / det, H[0, 0] / det
            inverse[0, 1] = inverse[1, 0] = -H[0, 1] / det
            return inverse, np.log(det)
    stacked = np.ascontiguousarray(H.transpose(2, 0, 1))
    try:
        root = np.linalg.cholesky(stacked)
    except np.linalg.LinAlgError:
        return np.full_like(H, np.nan), np.full(H.shape[2], np.nan)
    log_det = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)
    inverse = np.asarray(np.linalg.inv(stacked))
    symmetric = 0.5 * (inverse + inverse.transpose(0, 2, 1))
    return np.ascontiguousarray(symmetric.transpose(1, 2, 0)), log_det


@dataclass(frozen=True, slots=True)
class OneFactorEquations:
    """inverse (q, q, m), log_dets (m,)."""

    layout: OneFactor
    inverse: Array
    log_dets: Array

    @property
    def log_det(self) -> float:
        return float(self.log_dets.sum())

    def solve(self, values: Array) -> Array:
        if self.layout.q == 1:
            return np.asarray(self.inverse[0, 0] * values)
        whole = np.einsum("abm,bm->am", self.inverse, values.reshape(self.layout.q, -1))
        return np.asarray(whole).ravel()

    def own(self, E: Array) -> Array:
        out = np.empty_like(E)
        for a in range(self.layout.q):
            out[a] = self.layout.spread(self.inverse[a, 0]) * E[0]
            for b in range(1, self.layout.q):
                out[a] += self.layout.spread(self.inverse[a, b]) * E[b]
        return out

    def blocks(self) -> list[Array]:
        return [self.inverse.transpose(2, 0, 1)]


# --- several factors ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeveralFactors:
    """The first factor and all others: `columns` (Q2, n) places their effects in the dense block.

    pair (Q2, n): which of the P (level of the first, column) meetings each row is; at those,
    `pair_level` and `pair_column` (P,). shapes: (levels, q) of every further factor.
    """

    first: OneFactor
    columns: IntArray
    pair: IntArray
    pair_level: IntArray
    pair_column: IntArray
    shapes: tuple[tuple[int, int], ...]

    @property
    def second_size(self) -> int:
        return sum(m * q for m, q in self.shapes)

    @property
    def size(self) -> int:
        return self.first.size + self.second_size

    def rows(self, u: Array) -> Array:
        own = self.first.size
        return np.vstack([self.first.rows(u[:own]), u[own:][self.columns]])

    def sums(self, values: Array) -> Array:
        q, M = self.first.q, self.second_size
        rest = np.bincount(self.columns.ravel(), values[q:].ravel(), M)
        return np.concatenate([self.first.sums(values[:q]), rest])

    def equations(self, E: Array, weights: Array) -> SeveralEquations:
        q, M = self.first.q, self.second_size
        one, rest = E[:q], E[q:]
        inner = self.first.equations(one, weights)
        cross = np.zeros((q, self.pair_level.size))
        H22 = np.zeros(M * M)
        for c, values in enumerate(rest):
            weighted = weights * values
            for a in range(q):
                cross[a] += np.bincount(self.pair[c], weighted * one[a], self.pair_level.size)
            for d, others in enumerate(rest):
                H22 += np.bincount(self.columns[c] * M + self.columns[d], weighted * others, M * M)
        solved = np.einsum("abp,bp->ap", inner.inverse[:, :, self.pair_level], cross)
        S = H22.reshape(M, M)
        S[np.diag_indices(M)] += 1.0
        for a in range(q):
            S -= (self._sparse(cross[a]).T @ self._sparse(solved[a])).toarray()
        return SeveralEquations(self, inner, solved, *_dense_inverse(0.5 * (S + S.T)))

    def _sparse(self, values: Array) -> sparse.csr_array:
        """Values (P,) of the meetings as a matrix, levels of the first by columns."""
        counts = np.bincount(self.pair_level, minlength=self.first.levels)
        pointers = np.append(0, np.cumsum(counts))
        return sparse.csr_array(
            (values, self.pair_column, pointers), shape=(self.first.levels, self.second_size)
        )

    def along(self, a: Array, b: Array) -> Array:
        return np.array([a @ b])

    def scaled(self, u: Array, factors: Array) -> Array:
        return np.asarray(u * factors[0])

    def heights(self, u: Array, log_f: Array) -> Array:
        return np.array([0.5 * float(u @ u) - float(log_f.sum())])

    def split(self, u: Array) -> list[Array]:
        found, at = self.first.split(u[: self.first.size]), self.first.size
        for m, q in self.shapes:
            found.append(u[at : at + m * q].reshape(q, m).T)
            at += m * q
        return found


def _dense_inverse(S: Array) -> tuple[Array, float]:
    try:
        root = cho_factor(S, lower=True, check_finite=False)
    except (np.linalg.LinAlgError, ValueError):
        return np.full_like(S, np.nan), float("nan")
    inverse = cho_solve(root, np.eye(len(S)), check_finite=False)
    return 0.5 * (inverse + inverse.T), 2.0 * float(np.log(np.diag(root[0])).sum())


@dataclass(frozen=True, slots=True)
class SeveralEquations:
    """B = H11⁻¹H12 at the meetings (q, P); P22 the inverse of the Schur complement."""

    layout: SeveralFactors
    inner: OneFactorEquations
    B: Array
    P22: Array
    log_det_second: float

    @property
    def log_det(self) -> float:
        return self.inner.log_det + self.log_det_second

    def solve(self, values: Array) -> Array:
        lay, own = self.layout, self.layout.first.size
        B = [lay._sparse(b) for b in self.B]
        one = values[:own].reshape(lay.first.q, -1)
        x2 = values[own:] - sum(b.T @ v for b, v in zip(B, one, strict=True))
        x2 = self.P22 @ x2
        x1 = self.inner.solve(values[:own]).reshape(lay.first.q, -1)
        x1 = x1 - np.stack([b @ x2 for b in B])
        return np.concatenate([x1.ravel(), x2])

    def own(self, E: Array) -> Array:
        lay, q = self.layout, self.layout.first.q
        one, rest = E[:q], E[q:]
        G, P11 = self._reach()
        out = np.zeros_like(E)
        for a in range(q):
            for b in range(q):
                out[a] += lay.first.spread(P11[a, b]) * one[b]
        for c, values in enumerate(rest):
            for a in range(q):
                met = G[a][lay.pair[c]]
                out[a] -= met * values
                out[q + c] -= met * one[a]
            for d, others in enumerate(rest):
                out[q + c] += self.P22[lay.columns[c], lay.columns[d]] * others
        return out

    def _reach(self) -> tuple[Array, Array]:
        """B P22 at the meetings (q, P), and the first factor's blocks of H⁻¹ (q, q, m)."""
        lay, q = self.layout, self.layout.first.q
        G = np.stack([self._times_dense(b) for b in self.B])
        P11 = self.inner.inverse.copy()
        for a in range(q):
            for b in range(q):
                P11[a, b] += np.bincount(lay.pair_level, G[a] * self.B[b], lay.first.levels)
        return G, P11

    def _times_dense(self, b: Array) -> Array:
        lay = self.layout
        out = np.empty_like(b)
        whole = lay._sparse(b)
        step = max(1, DENSE_ENTRIES // lay.second_size)
        for start in range(0, lay.first.levels, step):
            low, high = whole.indptr[start], whole.indptr[min(start + step, lay.first.levels)]
            dense = whole[start : start + step] @ self.P22
            out[low:high] = dense[lay.pair_level[low:high] - start, lay.pair_column[low:high]]
        return out

    def blocks(self) -> list[Array]:
        found, at = [self._reach()[1].transpose(2, 0, 1)], 0
        for m, q in self.layout.shapes:
            block = self.P22[at : at + m * q, at : at + m * q].reshape(q, m, q, m)
            each = np.arange(m)
            found.append(np.asarray(block[:, each, :, each]))
            at += m * q
        return found


# --- making it -----------------------------------------------------------------------------------


def arrange(
    codes: Sequence[IntArray], levels: Sequence[int], q: Sequence[int]
) -> tuple[OneFactor | SeveralFactors, IntArray]:
    """The layout of factors given largest first, and the order of rows that it needs."""
    order = np.argsort(codes[0], kind="stable")
    counts = np.bincount(codes[0], minlength=levels[0])
    starts = (np.cumsum(counts) - counts).astype(np.intp)
    even = int(counts[0]) if counts.min() == counts.max() else 0
    first = OneFactor(codes[0][order], starts, counts, q[0], even)
    if len(codes) == 1:
        return first, order
    widths = [m * k for m, k in zip(levels[1:], q[1:], strict=True)]
    if sum(widths) > MAX_SECOND:
        raise NotEstimable(
            f"The smaller grouping factors have {sum(widths)} random effects together; at most "
            f"{MAX_SECOND} are handled beside the largest factor."
        )
    columns, at = [], 0
    for code, m, k, width in zip(codes[1:], levels[1:], q[1:], widths, strict=True):
        columns += [at + a * m + code[order] for a in range(k)]
        at += width
    places = np.stack(columns)
    keys = first.codes.astype(np.int64) * at + places
    met, pair = np.unique(keys, return_inverse=True)
    return (
        SeveralFactors(
            first,
            places,
            pair.reshape(places.shape),
            (met // at).astype(np.intp),
            (met % at).astype(np.intp),
            tuple(zip(levels[1:], q[1:], strict=True)),
        ),
        order,
    )
