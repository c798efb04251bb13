"""tr(E T F T) with T = Z'V0⁻¹Z over all factors, for all pairs of directions at once.

The trace is bilinear in E and F, so it is worked out once for each pair of free entries of the
factors' Psi and combined from there: dense products over the other factors are needed for the
entries of the first factor only, however many directions there are.
Checked: dense formulas, finite differences (tests/engines/test_lmm.py, test_lmm_df.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_eliminated import SecondMoments
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import Moments

Direction = tuple[int, Array]  # (k, E): the change of Psi_k by the symmetric E


def pair_traces(problem: Problem, at: Moments, directions: Sequence[Direction]) -> Array:
    """tr(E_a T E_b T), (r, r)."""
    units = [_units(q) for q in problem.q]
    offsets = np.cumsum([0, *(len(U) for U in units)])
    rows = np.zeros((len(directions), offsets[-1]))
    for row, (k, E) in zip(rows, directions, strict=True):
        row[offsets[k] : offsets[k + 1]] = E[np.triu_indices(len(E))]
    return np.asarray(rows @ _table(at, units) @ rows.T)


def _units(q: int) -> Array:
    """The symmetric changes of one entry each, (q (q + 1) / 2, q, q)."""
    rows, columns = np.triu_indices(q)
    each, out = np.arange(rows.size), np.zeros((rows.size, q, q))
    out[each, rows, columns] = out[each, columns, rows] = 1.0
    return out


def _table(at: Moments, units: Sequence[Array]) -> Array:
    """The traces for all pairs of single entries, factor by factor."""
    if at.second is None:
        return _within_first(at, units[0])
    second = at.second
    weighed = [second.weighed(_lowered(at, U)) for U in units[0]]
    sent_on = np.stack([second.sent(G) for G in weighed])
    own = _within_first(at, units[0]) + np.tensordot(
        sent_on, sent_on.transpose(0, 2, 1), ((1, 2), (1, 2))
    )
    turned = [second.carried(G) for G in weighed]
    others = range(len(second.second.q))
    across = [_across(second, k, turned, units[k + 1]) for k in others]
    blocks: list[list[Array]] = [[own, *across]]
    for k in others:
        row = [_between(second, k, j, units[k + 1], units[j + 1]) for j in others]
        blocks.append([across[k].T, *row])
    return np.asarray(np.block(blocks))


def _lowered(at: Moments, U: Array) -> Array:
    """N R U R'N for every group: what G'U G is a scatter of, G = Z1'V1⁻¹Z2."""
    return times(times(transposed(at.RN), U[:, :, None]), at.RN)


def _within_first(at: Moments, units: Array) -> Array:
    """Group by group: with T1 before the other factors and J what they take from it,
    tr(E T1 F T1) - tr(E T1 F J) - tr(E J F T1)."""
    q, _, m = at.T1.shape
    T = at.T1.reshape(q * q, m)
    if at.second is None:
        inside = T @ T.T
    else:
        taken = T @ at.taken.reshape(q * q, m).T
        inside = T @ T.T - taken - taken.T
    return _contracted(inside.reshape(q, q, q, q), units, units)


def _contracted(inside: Array, units: Array, others: Array) -> Array:
    """Sum E_ab F_cd inside[b, c, d, a] for all E of `units`, F of `others`."""
    rows, columns = units[0].size, others[0].size
    flat = inside.transpose(3, 0, 1, 2).reshape(rows, columns)
    return np.asarray(units.reshape(-1, rows) @ flat @ others.reshape(-1, columns).T)


def _across(second: SecondMoments, k: int, turned: Sequence[Array], units: Array) -> Array:
    """The first factor's entries with those of factor k + 1, by its blocks of J'G J."""
    shape = second.second
    at, m, q = shape.offsets[k], shape.levels[k], shape.q[k]
    columns = slice(at, at + m * q)
    carrier = second.carrier[:, columns].reshape(-1, q)
    blocks = np.stack([carrier.T @ part[:, columns].reshape(-1, q) for part in turned])
    return np.asarray(blocks.reshape(-1, q * q) @ units.reshape(-1, q * q).T)


def _between(second: SecondMoments, k: int, j: int, units: Array, others: Array) -> Array:
    """The entries of factor k + 1 with those of factor j + 1, by their block of T22."""
    shape = second.second
    (a, m, q), (b, n, r) = ((shape.offsets[f], shape.levels[f], shape.q[f]) for f in (k, j))
    block = second.T22[a : a + m * q, b : b + n * r].reshape(m, q, n, r)
    flat = block.transpose(1, 3, 0, 2).reshape(q * r, m * n)
    inside = (flat @ flat.T).reshape(q, r, q, r).transpose(0, 1, 3, 2)  # (b c)(a d) to b c d a
    return _contracted(inside, units, others)
