"""A mixed model with structured residuals as patterns: units whose rows share one covariance.

A unit is a person, or a small group that holds whole persons; all covariance inside it is dense.
Factors whose levels lie within one unit are `inner`; all others, above or across units, are
`outer` and enter as columns beside [X y]. Units with the same waves, variance levels and Z are
one pattern, and many units of a pattern are replaced by the triangle of a QR: every quadratic
form that the criterion needs is kept exactly. X, y and Z are in orthogonal units.
Checked: dense formulas (tests/engines/test_lmm_residual.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm_groups import (
    Frame,
    RandomFactor,
    orthogonal_blocks,
    weighted,
)
from recovery_stats.engines.lmm_prepare import fixed_base, left_by_fixed
from recovery_stats.engines.residual import Cells, Residual
from recovery_stats.errors import NotEstimable

LARGEST_UNIT = 60  # rows up to which a group of persons is taken as one unit
LARGEST_FEW = 400  # the same where few groups are as large and the others are nearly alone
FEW_OUTER = 60  # effects that cost less as columns than as larger units
MAX_OUTER = 800  # effects that are columns beside [X y]
MAX_CELLS = 150_000_000  # numbers in those columns


@dataclass(frozen=True, slots=True)
class Rows:
    """What the residual structure reads of each row (n,): all whole numbers but time.

    person: the subject within which residuals are correlated; wave, level (of variance) and
    group (of people) are numbers from 0.
    """

    person: IntArray
    wave: IntArray
    level: IntArray
    group: IntArray
    time: Array


@dataclass(frozen=True, slots=True)
class Inner:
    """Z (P, k, q) of an inner factor, and whether two rows share its level (P, k, k)."""

    Z: Array
    same: Array


@dataclass(frozen=True, slots=True)
class Batch:
    """All units of k rows: P patterns met `count` (P,) times.

    D (M, k, s): rows of [Z2 X y] of real or condensed units, in order of pattern (M,), whose
    stretches begin at starts (P,). rows (m, k), unit_pattern (m,): the units as they are.
    """

    cells: Cells
    inner: tuple[Inner, ...]
    count: Array
    D: Array
    pattern: IntArray
    starts: IntArray
    rows: IntArray
    unit_pattern: IntArray


@dataclass(frozen=True, slots=True)
class Structured:
    """The data of a criterion. Parameters: L of the inner factors, eta, L of the outer factors.

    order: inner factors, then outer ones, as numbers of the factors given.
    """

    n: int
    p: int
    reml: bool
    residual: Residual
    batches: tuple[Batch, ...]
    factors: tuple[RandomFactor, ...]
    inner: tuple[int, ...]
    outer: tuple[int, ...]
    F: Array  # (n, s) rows of [Z2 X y]
    Z: tuple[Array, ...]  # orthogonal, in the order of the factors
    rows: Rows
    root: Array | None  # square root of the prior weights

    @property
    def nu(self) -> int:
        return self.n - self.p if self.reml else self.n

    @property
    def n_outer(self) -> int:
        return int(self.F.shape[1]) - self.p - 1

    def entries(self, which: Sequence[int]) -> list[tuple[int, int, int]]:
        """(factor, row, column) of the free entries of L of these factors."""
        return [
            (k, i, j)
            for k in which
            for block in self.factors[k].blocks
            for j in block
            for i in block
            if i >= j
        ]

    @property
    def n_theta(self) -> int:
        return len(self.entries(self.inner)) + len(self.entries(self.outer))

    def unpack(self, parameters: Array) -> tuple[list[Array], Array]:
        """L of every factor, and eta."""
        L = [np.zeros((f.q, f.q)) for f in self.factors]
        inner, outer = self.entries(self.inner), self.entries(self.outer)
        end = len(inner) + self.residual.size
        for value, (k, i, j) in zip(parameters[: len(inner)], inner, strict=True):
            L[k][i, j] = value
        for value, (k, i, j) in zip(parameters[end:], outer, strict=True):
            L[k][i, j] = value
        return L, parameters[len(inner) : end]

    def pack(self, L: Sequence[Array], eta: Array) -> Array:
        inner = [L[k][i, j] for k, i, j in self.entries(self.inner)]
        outer = [L[k][i, j] for k, i, j in self.entries(self.outer)]
        return np.concatenate([inner, eta, outer])

    def offsets(self) -> dict[int, int]:
        """Where the columns of each outer factor begin."""
        found, at = {}, 0
        for k in self.outer:
            found[k] = at
            at += self.factors[k].levels * self.factors[k].q
        return found


def prepare(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    residual: Residual,
    rows: Rows,
    *,
    reml: bool,
    weights: Array | None = None,
    offset: Array | None = None,
) -> tuple[Structured, Frame]:
    """Orthogonal units, units and factors sorted, patterns found."""
    n, p = X.shape
    root = None if weights is None else np.sqrt(weights)
    outcome = y if offset is None else y - offset
    base = fixed_base(weighted(X, root))
    start, yo, scale = left_by_fixed(base, weighted(outcome, root))
    Zs, Ts = [], []
    for factor in factors:
        Z, T = orthogonal_blocks(weighted(factor.Z, root), factor)
        Zs.append(Z)
        Ts.append(T)
    units, inner, outer = _units(factors, rows.person)
    F = np.column_stack([_columns(factors, Zs, outer, n), base.columns(), yo])
    batches = _batches(units, rows, [(Zs[k], factors[k].codes) for k in inner], F)
    log_weights = 0.0 if weights is None else float(np.log(weights).sum())
    problem = Structured(
        n, p, reml, residual, batches, tuple(factors), inner, outer, F, tuple(Zs), rows, root
    )  # fmt: skip
    return problem, Frame(base.A, start, scale, tuple(Ts), tuple(range(len(factors))), log_weights)


def _units(
    factors: Sequence[RandomFactor], person: IntArray
) -> tuple[IntArray, tuple[int, ...], tuple[int, ...]]:
    """The units, and which factors lie within them; small groups of persons become units."""
    units = person
    for factor in sorted(factors, key=lambda f: -f.levels):
        small = _small(factor)
        many = factor.levels * factor.q > FEW_OUTER
        if small and many and not _within(factor.codes, units) and _within(units, factor.codes):
            units = factor.codes
    inner = tuple(k for k, f in enumerate(factors) if _within(f.codes, units))
    return units, inner, tuple(k for k in range(len(factors)) if k not in inner)


def _small(factor: RandomFactor) -> bool:
    """Whether levels are small enough to be units: all of them, or but for a few.

    Where only residents have a house and everybody else is a level alone, a column for each level
    costs the cube of their number, and a unit the cube of its few rows.
    """
    rows, effects = np.bincount(factor.codes).astype(float), factor.levels * factor.q
    inside, outside = float((rows**3).sum()), float(rows.sum() + effects) * effects**2
    return bool(rows.max() <= LARGEST_UNIT or (rows.max() <= LARGEST_FEW and inside < outside))


def _within(finer: IntArray, coarser: IntArray) -> bool:
    """Whether each level of `finer` lies in one level of `coarser`."""
    width = int(coarser.max()) + 1
    pairs = np.unique(finer.astype(np.int64) * width + coarser).size
    return bool(pairs == np.unique(finer).size)


def _columns(
    factors: Sequence[RandomFactor], Zs: Sequence[Array], outer: tuple[int, ...], n: int
) -> Array:
    """Z2 (n, effects), dense."""
    size = sum(factors[k].levels * factors[k].q for k in outer)
    if size > MAX_OUTER or size * n > MAX_CELLS:
        names = ", ".join(repr(factors[k].name) for k in outer)
        raise NotEstimable(
            f"Beside a residual structure the grouping {names} has {size} random effects; at most "
            f"{min(MAX_OUTER, MAX_CELLS // max(n, 1))} are handled for groupings that hold or "
            "cross persons. Take that random term out, or the residual structure."
        )
    parts = []
    for k in outer:
        f, Z = factors[k], Zs[k]
        wide = np.zeros((n, f.levels * f.q))
        for j in range(f.q):
            wide[np.arange(n), f.codes * f.q + j] = Z[:, j]
        parts.append(wide)
    return np.hstack([np.zeros((n, 0)), *parts])


def _batches(
    units: IntArray, rows: Rows, inner: Sequence[tuple[Array, IntArray]], F: Array
) -> tuple[Batch, ...]:
    order = np.lexsort((rows.time, rows.wave, rows.person, units))
    _, sizes = np.unique(units, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = []
    for k in np.unique(sizes).tolist():
        own = order[starts[sizes == k][:, None] + np.arange(k)]
        found.append(_batch(own, rows, inner, F))
    return tuple(found)


def _batch(own: IntArray, rows: Rows, inner: Sequence[tuple[Array, IntArray]], F: Array) -> Batch:
    """The units with rows `own` (m, k), all of one size."""
    features: list[Any] = [
        _place(rows.person[own]),
        rows.wave[own],
        rows.level[own],
        rows.group[own],
    ]
    features.append(rows.time[own] - rows.time[own][:, :1])
    for Z, codes in inner:
        features += [_place(codes[own]), *(Z[own, j] for j in range(Z.shape[1]))]
    key = np.stack([np.asarray(f, dtype=float) for f in features], axis=2)
    _, first, which, count = np.unique(
        key.reshape(len(own), -1), axis=0, return_index=True, return_inverse=True,
        return_counts=True,
    )  # fmt: skip
    which = which.reshape(-1)
    mine = own[first]
    person = rows.person[mine]
    cells = Cells(
        rows.wave[mine],
        rows.level[mine],
        rows.group[mine],
        rows.time[mine],
        (person[:, :, None] == person[:, None, :]).astype(float),
    )
    parts = []
    for Z, codes in inner:
        code = codes[mine]
        parts.append(Inner(Z[mine], (code[:, :, None] == code[:, None, :]).astype(float)))
    D, pattern = _condensed(F[own], which, count)
    starts = np.flatnonzero(np.r_[True, pattern[1:] != pattern[:-1]])
    return Batch(cells, tuple(parts), count.astype(float), D, pattern, starts, own, which)


def _place(codes: IntArray) -> IntArray:
    """Codes (m, k) numbered by the row of the unit where each first occurs."""
    same = codes[:, :, None] == codes[:, None, :]
    return np.asarray(same.argmax(2))


def _condensed(D: Array, which: IntArray, count: IntArray) -> tuple[Array, IntArray]:
    """Units sorted by pattern, those of a crowded pattern replaced by as few as keep D'D."""
    order = np.argsort(which, kind="stable")
    D, which = D[order], which[order]
    k, s = D.shape[1:]
    ends = np.cumsum(count)
    crowded = np.flatnonzero(count > 1.5 * k * s)
    if not crowded.size:
        return D, which
    parts, labels = [], []
    calm = ~np.isin(which, crowded)
    parts.append(D[calm])
    labels.append(which[calm])
    for w in crowded.tolist():
        block = D[ends[w] - count[w] : ends[w]].reshape(-1, k * s)
        R: Array = np.asarray(np.linalg.qr(block, mode="r"))
        parts.append(R.reshape(-1, k, s))
        labels.append(np.full(len(R), w))
    D, which = np.concatenate(parts), np.concatenate(labels)
    order = np.argsort(which, kind="stable")
    return D[order], which[order]
