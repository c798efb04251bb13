"""Products and traces of T = Z'V0⁻¹Z over all factors, without forming it.

A direction is (k, E): the change of Psi_k by the symmetric matrix E, the same in every level.
Checked: dense formulas (tests/engines/test_lmm_df.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_groups import Problem, Second
from recovery_stats.engines.lmm_moments import Moments, SecondMoments, first_blocks

Direction = tuple[int, Array]


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


def trace(
    problem: Problem, at: Moments, first: tuple[int, Array], other: tuple[int, Array]
) -> float:
    """tr(E_a T E_b T)."""
    (ka, Ea), (kb, Eb) = first, other
    if ka > kb:
        return trace(problem, at, other, first)
    if kb == 0:
        return _trace_first(problem, at, Ea, Eb)
    second, moments = _second(problem, at)
    if ka > 0:
        left, right = (_spread(second, k, E, moments.T22) for k, E in (first, other))
        return float(np.einsum("ij,ji->", left, right))
    J = np.eye(second.size) - moments.K2 @ moments.S22
    inner = J.T @ second.scatter(_lowered(at, _each(Ea, at))) @ J
    return float(np.einsum("ij,ji->", _spread(second, kb, Eb, np.eye(second.size)), inner))


def _trace_first(problem: Problem, at: Moments, Ea: Array, Eb: Array) -> float:
    """tr(E_a T E_b T) for two directions of the first factor."""
    ET = np.tensordot(Ea, at.T1, (1, 0)), np.tensordot(Eb, at.T1, (1, 0))
    total = float(np.einsum("abm,bam->", *ET))
    if problem.second is None:
        return total
    second, moments = _second(problem, at)
    middle = times(times(_each(Ea, at), at.T1), _each(Eb, at))
    middle = second.scatter(_lowered(at, 0.5 * (middle + transposed(middle))))
    KA, KB = (moments.K2 @ second.scatter(_lowered(at, _each(E, at))) for E in (Ea, Eb))
    total -= 2.0 * float(np.einsum("ij,ji->", moments.K2, middle))
    return total + float(np.einsum("ij,ji->", KA, KB))


def _each(E: Array, at: Moments) -> Array:
    """E for every group, (q, q, m)."""
    return np.broadcast_to(E[:, :, None], (*E.shape, at.T1.shape[2]))


def _lowered(at: Moments, middle: Array) -> Array:
    """N R (middle) R'N for every group: what U'(middle) U is a scatter of, U = Z1'V1⁻¹Z2."""
    return times(times(transposed(at.RN), middle), at.RN)


def _spread(second: Second, k: int, E: Array, M: Array) -> Array:
    """(I x E) M for the rows of factor k ≥ 1, zero elsewhere."""
    at, m, q = second.offsets[k - 1], second.levels[k - 1], second.q[k - 1]
    out = np.zeros_like(M)
    out[at : at + m * q] = np.matmul(E, M[at : at + m * q].reshape(m, q, -1)).reshape(m * q, -1)
    return out


def trace_once(problem: Problem, at: Moments, k: int, E: Array) -> float:
    """tr(E T_kk)."""
    if k == 0:
        return float(np.sum(E * first_blocks(problem, at).sum(2)))
    _, moments = _second(problem, at)
    return float(np.sum(E * moments.blocks(k - 1).sum(0)))
