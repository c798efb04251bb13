"""A mixed model with one factor: every sum over its levels in one pass.

With N_i = (I + R_i Psi R_i')⁻¹, H_i = R_i'N_i c_i and T_i = R_i'N_i R_i, criterion, gradient,
Hessian and the pieces of the degrees of freedom are all contractions of the sums over levels of

    log|N_i|,  c_i'N_i c_i,  T_i,  T_i ⊗ T_i,  H_i ⊗ H_i,  T_i ⊗ H_i ⊗ H_i,

which depend on neither beta nor s2. So one visit to each level's numbers is enough, and the levels
are taken by blocks that stay in the processor's cache, or once per pattern (`lmm_alike`).
Checked: dense formulas, finite differences (tests/engines/test_lmm.py, test_lmm_df.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
class Sums:
    """Over all levels: log_det, S (s, s), T (q, q), TT (q, q, q, q), HH (q, s, q, s) and
    THH (q, q, q, s, q, s), T's indices first."""

    log_det: float
    S: Array
    T: Array
    TT: Array
    HH: Array
    THH: Array

    # Below, E and F are symmetric (q, q) changes of Psi, given stacked as (r, q, q).

    def once(self, E: Array) -> Array:
        """Sum of H'E H, (r, s, s)."""
        q, s = self.HH.shape[:2]
        flat = self.HH.transpose(0, 2, 1, 3).reshape(q * q, s * s)
        return np.asarray((E.reshape(-1, q * q) @ flat).reshape(-1, s, s))

    def twice(self, E: Array, F: Array) -> Array:
        """Sum of H'E T F H, (r, r', s, s)."""
        q, s = self.HH.shape[:2]
        flat = self.THH.transpose(2, 0, 1, 4, 3, 5).reshape(q * q, q * q * s * s)  # (ce)(fd st)
        half = (E.reshape(-1, q * q) @ flat).reshape(len(E), q * q, s * s)
        return np.asarray((F.reshape(-1, q * q) @ half).reshape(len(E), len(F), s, s))

    def twice_in(self, E: Array, F: Array, M: Array) -> Array:
        """Sum of tr(H'E T F H M) for symmetric M (s, s): (r, r')."""
        q = len(self.T)
        inside = np.einsum("efcsdt,st->cefd", self.THH, M).reshape(q * q, q * q)
        return np.asarray(E.reshape(-1, q * q) @ inside @ F.reshape(-1, q * q).T)

    def traces(self, E: Array, F: Array) -> Array:
        """Sum of tr(E T F T), (r, r')."""
        q = len(self.T)
        inside = self.TT.transpose(3, 0, 1, 2).reshape(q * q, q * q)  # (ce)(fd) of T_ef T_dc
        return np.asarray(E.reshape(-1, q * q) @ inside @ F.reshape(-1, q * q).T)

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
    pairs = [(e, f) for e in range(q) for f in range(e, q)]
    width = q * s
    S, log_det = problem.within.copy(), 0.0
    T, TT = np.zeros(len(pairs)), np.zeros((len(pairs), len(pairs)))
    HTH = np.zeros(((1 + len(pairs)) * width, width))
    room = np.empty((2 + len(pairs), q, s, min(m, BLOCK)))  # one for all: new pages are dear
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        R, c = problem.R[:, :, part], problem.c[:, :, part]
        size = c.shape[2]
        if size < room.shape[3]:
            room = np.empty((*room.shape[:3], size))
        N, log_dets = inverse_of_identity_plus(times(R, L[:, :, None]))
        Nc = times(N, c, room[0])
        for a in range(q):
            S += c[a] @ Nc[a].T
        H, blocks = times(transposed(R), Nc, room[1]), times(transposed(R), times(N, R))
        own = np.stack([blocks[e, f] for e, f in pairs])
        np.multiply(own[:, None, None, :], H, out=room[2:])
        HTH += room[1:].reshape(-1, size) @ H.reshape(width, size).T
        log_det += float(log_dets.sum())
        T += own.sum(1)
        TT += own @ own.T
    places = _places(q, pairs)
    return Sums(
        log_det,
        0.5 * (S + S.T),
        T[places],
        TT[places][:, :, places],
        HTH[:width].reshape(q, s, q, s),
        HTH[width:].reshape(-1, q, s, q, s)[places],
    )


def _sums_of_patterns(alike: Alike, within: Array, L: Array) -> Sums:
    """The same where levels share R: with G = R'N, H ⊗ H is G ⊗ G times the products of c."""
    q, s = alike.R.shape[0], len(within)
    pairs = [(e, f) for e in range(q) for f in range(e, q)]
    N, log_dets = inverse_of_identity_plus(times(alike.R, L[:, :, None]))
    G = times(transposed(alike.R), N)
    blocks = times(G, alike.R)
    own = np.stack([blocks[e, f] for e, f in pairs])
    GG = (G[:, None, :, None] * G[None, :, None, :]).reshape(q * q, -1)  # (ef)(abk)
    TGG = (own[:, None, None] * GG.reshape(q * q, q * q, -1)).reshape(-1, GG.shape[1])
    products = alike.products.reshape(-1, s * s)
    S, HH, THH = np.split(np.vstack([N.reshape(1, -1), GG, TGG]) @ products, [1, 1 + q * q])
    S = within + S.reshape(s, s)
    places, counted = _places(q, pairs), own * alike.count
    return Sums(
        float(alike.count @ log_dets),
        0.5 * (S + S.T),
        counted.sum(1)[places],
        (counted @ own.T)[places][:, :, places],
        HH.reshape(q, q, s, s).transpose(0, 2, 1, 3),
        THH.reshape(-1, q, q, s, s).transpose(0, 1, 3, 2, 4)[places],
    )


def _places(q: int, pairs: Sequence[tuple[int, int]]) -> IntArray:
    """Where each entry of a symmetric (q, q) stands in the list of its upper triangle."""
    at = np.empty((q, q), dtype=np.intp)
    for number, (e, f) in enumerate(pairs):
        at[e, f] = at[f, e] = number
    return at
