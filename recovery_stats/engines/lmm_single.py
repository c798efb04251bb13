"""A mixed model with one factor: every sum over its levels in one pass.

With N_i = (I + R_i Psi R_i')⁻¹, H_i = R_i'N_i c_i and T_i = R_i'N_i R_i, criterion, gradient,
Hessian and the pieces of the degrees of freedom are all contractions of the sums over levels of

    log|N_i|,  c_i'N_i c_i,  T_i,  T_i ⊗ T_i,  H_i ⊗ H_i,  T_i ⊗ H_i ⊗ H_i,

which depend on neither beta nor s2. So one visit to each level's numbers is enough, and the levels
are taken by blocks that stay in the processor's cache, or once per pattern (`lmm_alike`). T_i is
kept as the k = q (q + 1) / 2 entries of its upper triangle.
Checked: dense formulas, finite differences (tests/engines/test_lmm.py, test_lmm_df.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.engines.linalg import (
    Array,
    IntArray,
    inverse_of_identity_plus,
    times,
    transposed,
)

if TYPE_CHECKING:
    from recovery_stats.engines.lmm_alike import Alike
    from recovery_stats.engines.lmm_groups import Problem

BLOCK = 4096  # levels at once: few enough for the cache, many enough that Python's share is small


@dataclass(frozen=True, slots=True)
class Triangle:
    """Places in the upper triangle of T (q, q), whose entry e, f is number `places[e, f]`.

    TT, THH: where T_ef T_dc stands in the sums (k, k) of T ⊗ T, and T_ef H_c H_d in those
    (k, q, q) of T ⊗ H ⊗ H, in rows (c, e) and columns (f, d): then E · F is tr(E T F T), and
    H'E T F H, for symmetric E and F (q, q).
    """

    rows: IntArray
    columns: IntArray
    places: IntArray
    TT: IntArray
    THH: IntArray

    @property
    def size(self) -> int:
        return self.rows.size


@cache
def triangle(q: int) -> Triangle:
    rows, columns = np.triu_indices(q)
    places = np.empty((q, q), dtype=np.intp)
    places[rows, columns] = places[columns, rows] = np.arange(rows.size)
    c, e, f, d = np.indices((q, q, q, q)).reshape(4, q * q, q * q)
    of_T = places[e, f]
    return Triangle(
        rows, columns, places, of_T * rows.size + places[d, c], (of_T * q + c) * q + d
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sums:
    """Over all levels: log_det, S (s, s), T (q, q), TT (k, k), and HTH (1 + k, q, q, s, s): first
    H ⊗ H, then that times each entry of T, indices of effects before those of columns."""

    log_det: float
    S: Array
    T: Array
    TT: Array
    HTH: Array

    # Below, E and F are symmetric (q, q) changes of Psi, given stacked as (r, q, q).

    def once(self, E: Array) -> Array:
        """Sum of H'E H, (r, s, s)."""
        return _contracted(E, self.HTH[0])

    def twice(self, E: Array, F: Array) -> Array:
        """Sum of H'E T F H, (r, r', s, s)."""
        q, s = self.HTH.shape[2:4]
        inside = self.HTH[1:].reshape(-1, s, s)[triangle(q).THH]  # (ce)(fd)
        half = _contracted(E, inside.reshape(q, q, q * q, s * s))
        return np.asarray((F.reshape(-1, q * q) @ half).reshape(len(E), len(F), s, s))

    def traces(self, E: Array, F: Array) -> Array:
        """Sum of tr(E T F T), (r, r')."""
        q = len(self.T)
        return _between(E, self.TT.take(triangle(q).TT), F)

    def through(self, E: Array, F: Array, met: Array) -> Array:
        """Sum of tr(E T F H M H') from the sums (k, q, q) of T ⊗ H M H', as (r, r')."""
        return _between(E, met.take(triangle(len(self.T)).THH), F)

    def met(self, M: Array) -> Array:
        """Sums of H M H' and T ⊗ H M H' for symmetric M, given as (j, s, s): (j, 1 + k, q, q)."""
        size = M[0].size
        found = M.reshape(-1, size) @ self.HTH.reshape(-1, size).T
        return found.reshape(len(M), *self.HTH.shape[:3])

    def pieces(self, E: Array, Psi: Array, n: int, s2: float) -> tuple[Array, Array, Array]:
        """P (r + 1, s, s), Q (r + 1, r + 1, s, s) and tr (r + 1, r + 1) of `lmm_df`.

        For r changes E of Psi / s2 and, last, for the residual variance, whose dV / ds2 = I:
        V0⁻¹ Z Psi Z'V0⁻¹ = V0⁻¹ - V0⁻² turns its powers into the same sums.
        """
        r = len(E)
        both = np.concatenate([E, Psi[None]])
        once, twice = self.once(both), self.twice(both, both)
        in_trace, in_traces = both.reshape(r + 1, -1) @ self.T.ravel(), self.traces(both, both)
        return with_residual(once, twice, in_trace, in_traces, self.S, n, s2)


def _contracted(E: Array, values: Array) -> Array:
    """E (r, q, q) with values (q, q, ...) over both q: (r, ...)."""
    size = E[0].size
    return (E.reshape(-1, size) @ values.reshape(size, -1)).reshape(len(E), *values.shape[2:])


def _between(E: Array, inside: Array, F: Array) -> Array:
    return np.asarray(E.reshape(len(E), -1) @ inside @ F.reshape(len(F), -1).T)


def with_residual(
    once: Array,
    twice: Array,
    in_trace: Array,
    in_traces: Array,
    S: Array,
    n: int,
    s2: float,
) -> tuple[Array, Array, Array]:
    """P, Q and tr of `lmm_df` from H'E H (r + 1, s, s), H'E T F H, tr(E T), tr(E T F T).

    The last direction is Psi itself; its place is taken by the residual variance.
    """
    r = len(once) - 1
    P, Q, tr = once.copy(), twice.copy(), in_traces.copy()
    P[r] = S - once[r]
    Q[:r, r] = once[:r] - twice[:r, r]
    Q[r, :r] = Q[:r, r].transpose(0, 2, 1)
    Q[r, r] = S - 2.0 * once[r] + twice[r, r]
    tr[:r, r] = tr[r, :r] = in_trace[:r] - in_traces[:r, r]
    tr[r, r] = n - 2.0 * in_trace[r] + in_traces[r, r]
    return P / s2**2, Q / s2**3, tr / s2**2


def sums(problem: Problem, L: Array) -> Sums:
    """All sums at Psi = L L'."""
    if problem.alike is not None:
        return _sums_of_patterns(problem.alike, problem.within, L)
    q, s, m = problem.c.shape
    at, width = triangle(q), q * s
    S, log_det = problem.within.copy(), 0.0
    T, TT = np.zeros(at.size), np.zeros((at.size, at.size))
    HTH = np.zeros(((1 + at.size) * width, width))
    room = np.empty((2 + at.size, q, s, min(m, BLOCK)))  # one for all: new pages are dear
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        R, c = problem.R[:, :, part], problem.c[:, :, part]
        size = c.shape[2]
        if size < room.shape[3]:
            room = np.empty((*room.shape[:3], size))
        N, log_dets = inverse_of_identity_plus(np.matmul(L.T, R))
        Nc = times(N, c, room[0])
        for a in range(q):
            S += c[a] @ Nc[a].T
        H = times(transposed(R), Nc, room[1])
        own = times(transposed(R), times(N, R))[at.rows, at.columns]
        np.multiply(own[:, None, None, :], H, out=room[2:])
        HTH += room[1:].reshape(-1, size) @ H.reshape(width, size).T
        log_det += float(log_dets.sum())
        T += own.sum(1)
        TT += own @ own.T
    by_effect = HTH.reshape(-1, q, s, q, s).transpose(0, 1, 3, 2, 4)
    return Sums(log_det, 0.5 * (S + S.T), T[at.places], TT, np.ascontiguousarray(by_effect))


def _sums_of_patterns(alike: Alike, within: Array, L: Array) -> Sums:
    """The same where levels share R: with G = R'N, H ⊗ H is G ⊗ G times the products of c."""
    q, s = alike.R.shape[0], len(within)
    at = triangle(q)
    N, log_dets = inverse_of_identity_plus(np.matmul(L.T, alike.R))
    G = times(transposed(alike.R), N)
    own = times(G, alike.R)[at.rows, at.columns]
    GG = (G[:, None, :, None] * G[None, :, None, :]).reshape(q * q, -1)  # (ef)(abk)
    TGG = (own[:, None, None] * GG.reshape(q * q, q * q, -1)).reshape(-1, GG.shape[1])
    products = alike.products.reshape(-1, s * s)
    S, HTH = np.split(np.vstack([N.reshape(1, -1), GG, TGG]) @ products, [1])
    S, counted = within + S.reshape(s, s), own * alike.count
    return Sums(
        float(alike.count @ log_dets),
        0.5 * (S + S.T),
        counted.sum(1)[at.places],
        counted @ own.T,
        HTH.reshape(-1, q, q, s, s),
    )
