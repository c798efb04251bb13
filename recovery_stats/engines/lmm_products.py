"""Products of T = Z'V0⁻¹Z over all factors, without forming it.

A direction is (k, E): the change of Psi_k by the symmetric matrix E, the same in every level.
Checked: dense formulas (tests/engines/test_lmm_df.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_eliminated import Part, SecondMoments
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import Moments, first_blocks
from recovery_stats.engines.lmm_second import Second


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


def lift(problem: Problem, at: Moments, k: int, values: Array) -> Part:
    """Effects (q, s, levels) of factor k as the factors beside the first meet them."""
    if problem.second is None:
        return Part(np.zeros((0, values.shape[1])))
    second, moments = _second(problem, at)
    if k == 0:
        inner = times(transposed(at.RN), values)
        return moments.lift_first(inner.transpose(0, 2, 1).reshape(-1, inner.shape[1]))
    return moments.lift(_placed(second, k, values))


def through(
    at: Moments,
    directions: list[tuple[int, Array]],
    EH: list[Array],
    lifted: list[Part],
    a: int,
    b: int,
) -> Array:
    """H'E_a T E_b H (s, s), T = Z'V0⁻¹Z over all factors."""
    s = EH[a].shape[1]
    first = directions[a][0] == 0 and directions[b][0] == 0
    out = np.einsum("qsm,qtm->st", EH[a], times(at.T1, EH[b])) if first else np.zeros((s, s))
    return np.asarray(out if at.second is None else out + at.second.meet(lifted[a], lifted[b]))


def trace_once(problem: Problem, at: Moments, k: int, E: Array) -> float:
    """tr(E T_kk)."""
    if k == 0:
        return float(np.sum(E * first_blocks(at).sum(2)))
    _, moments = _second(problem, at)
    return float(np.sum(E * moments.blocks(k - 1).sum(0)))
