"""Products of T = Z'V0⁻¹Z over all factors, without forming it.

A direction is (k, E): the change of Psi_k by the symmetric matrix E, the same in every level.
Checked: dense formulas (tests/engines/test_lmm_df.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_groups import Problem, Second
from recovery_stats.engines.lmm_moments import Moments, SecondMoments, first_blocks


def effects_of(problem: Problem, at: Moments, k: int) -> Array:
    """H of factor k as (q, s, levels)."""
    if k == 0:
        return at.H1
    second, moments = _second(problem, at)
    return second.effects(k - 1, moments.H2).transpose(1, 2, 0)


def _second(problem: Problem, at: Moments) -> tuple[Second, SecondMoments]:
    assert problem.second is not None
    assert at.second is not None
    return problem.second, at.second


def times_effects(problem: Problem, at: Moments, k: int, E: Array) -> Array:
    """E H_l for every level, (q, s, levels)."""
    return np.tensordot(E, effects_of(problem, at, k), (1, 0))


def _placed(second: Second, k: int, values: Array) -> Array:
    """(q, s, levels) of factor k ≥ 1 among all second-level effects, (M2, s)."""
    at, m, q = second.offsets[k - 1], second.levels[k - 1], second.q[k - 1]
    out = np.zeros((second.size, values.shape[1]))
    out[at : at + m * q] = values.transpose(2, 0, 1).reshape(m * q, -1)
    return out


def lift(problem: Problem, at: Moments, k: int, values: Array) -> Array:
    """Z2'V1⁻¹ Z_k values: the part of T that reaches the second level, (M2, s)."""
    if problem.second is None:
        return np.zeros((0, values.shape[1]))
    second, moments = _second(problem, at)
    if k == 0:
        inner = times(transposed(at.RN), values)
        flat = inner.transpose(0, 2, 1).reshape(-1, inner.shape[1])
        return np.asarray(second.Ct @ flat)
    return moments.S22 @ _placed(second, k, values)


def through(
    problem: Problem,
    at: Moments,
    directions: list[tuple[int, Array]],
    EH: list[Array],
    lifted: list[Array],
    a: int,
    b: int,
) -> Array:
    """H'E_a T E_b H (s, s), T = Z'V0⁻¹Z over all factors."""
    ka, kb = directions[a][0], directions[b][0]
    if problem.second is None:
        return np.asarray(np.einsum("qsm,qtm->st", EH[a], times(at.T1, EH[b])))
    second, moments = _second(problem, at)
    if ka == 0 and kb == 0:
        out = np.einsum("qsm,qtm->st", EH[a], times(at.T1, EH[b]))
    elif ka == 0:
        out = lifted[a].T @ _placed(second, kb, EH[b])
    else:
        out = _placed(second, ka, EH[a]).T @ lifted[b]
    return np.asarray(out - lifted[a].T @ moments.K2 @ lifted[b])


def trace_once(problem: Problem, at: Moments, k: int, E: Array) -> float:
    """tr(E T_kk)."""
    if k == 0:
        return float(np.sum(E * first_blocks(at).sum(2)))
    _, moments = _second(problem, at)
    return float(np.sum(E * moments.blocks(k - 1).sum(0)))
