"""A mixed model's data as sums by group: what the criterion needs, in orthogonal units.

X is orthogonalised, y is its least-squares residual brought to length 1 per row, each Z is
orthogonalised within its correlated block: units and origins cannot matter. The factor with most
random effects is then eliminated group by group, Z_i = Q_i R_i and c_i = Q_i'[X y]; all other
factors share one dense block (`lmm_second`).
Sources: Pinheiro & Bates 2000, ch. 2. Checked: dense formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg import solve_triangular

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm_alike import Alike
from recovery_stats.engines.lmm_second import Second
from recovery_stats.errors import NotEstimable


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

    @property
    def acting(self) -> int:
        """Levels that have an effect in some row: people without a house have rows of zeros."""
        if bool((self.Z[:, 0] != 0).all()):
            return self.levels
        return int(np.unique(self.codes[(self.Z != 0).any(axis=1)]).size)

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

    @property
    def rooted(self) -> bool:
        """Whether several factors are met through their roots (`lmm_root`)."""
        return self.second is not None and self.second.triangle is not None

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


def beside_first(X: Array) -> tuple[Array, Array]:
    """X C with what every column has along the first taken out, and C (p, p), unit triangular.

    Beside a constant column the difference has no rounding: calendar years keep all their digits.
    """
    along = (X[:, 0] @ X) / (X[:, 0] @ X[:, 0])
    along[0] = 0.0
    C = np.eye(X.shape[1])
    C[0] -= along
    return X - X[:, :1] * along, C


def orthogonal_blocks(Z: Array, factor: RandomFactor) -> tuple[Array, Array]:
    """Zo = Z T with Zo'Zo = n I within each correlated block; T is block diagonal."""
    Zo, T = np.empty(Z.shape), np.zeros((Z.shape[1], Z.shape[1]))
    for block in factor.blocks:
        index = list(block)
        length = np.sqrt((Z[:, index] ** 2).sum(0))
        if not (length > 0).all():
            name = factor.effect(index[int(np.argmin(length))])
            raise NotEstimable(f"Random effect {name!r} of {factor.name!r} is zero in every row.")
        beside, C = beside_first(Z[:, index])
        R = np.linalg.qr(beside / length).R
        size = np.abs(np.diag(R))
        if size.min() < 1e-9:
            name = factor.effect(index[int(np.argmin(size))])
            raise NotEstimable(
                f"Random effect {name!r} of {factor.name!r} is a combination of the effects before "
                "it in every row; leave it out."
            )
        inner = np.sqrt(len(Z)) * solve_triangular(R, np.eye(len(index))) / length[:, None]
        Zo[:, index] = beside @ inner
        T[np.ix_(index, index)] = C @ inner
    return Zo, T
