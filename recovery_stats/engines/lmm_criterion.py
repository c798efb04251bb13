"""The mixed model's profiled criterion with gradient and curvature, at one value of theta.

With v = (-beta, 1) and Om = (nu / r2) v v' [+ Sxx⁻¹ under REML], the derivative in Psi_k is
sum T_ll - sum H_l Om H_l'; see `lmm_moments` for the notation. The Hessian comes in two forms:
the average information (Gilmour, Thompson & Cullis 1995) and the exact one, both with the
curvature of L L'. Sources: Lindstrom & Bates 1988; Bates, Mächler, Bolker & Walker 2015.
Checked: dense formulas, finite differences (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_eliminated import SecondMoments
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import (
    Moments,
    first_blocks,
    moments,
)
from recovery_stats.engines.lmm_products import (
    effects_of,
    lift,
    through,
    times_effects,
)
from recovery_stats.engines.lmm_second import Second
from recovery_stats.engines.lmm_single import Sums
from recovery_stats.engines.lmm_traces import Direction, pair_traces

EXACT_SECOND = 300  # effects of the other factors up to which the exact Hessian is cheap


@dataclass(frozen=True)
class Solution:
    """The criterion at theta with its derivatives; grad_psi: the derivative in each Psi_k."""

    theta: Array
    criterion: float
    gradient: Array
    grad_psi: tuple[Array, ...]
    moments: Moments

    @cached_property
    def information(self) -> tuple[Array, Array]:
        """Q_ab = y'P V_a P V_b P y and g_a = y'P V_a P y in units of V0, for all pairs of theta."""
        return _information(self.moments.problem, self.moments)

    @cached_property
    def average(self) -> Array:
        """The average information, a Hessian that is robust far from the minimum."""
        return _average(self)

    @property
    def L(self) -> tuple[Array, ...]:
        return self.moments.L


def evaluate(problem: Problem, theta: Array) -> Solution:
    """The criterion (REML or ML deviance) at theta with its derivatives.

    Raises ConvergenceError where the residual variance vanishes or X'V⁻¹X is singular.
    """
    at = moments(problem, problem.unpack(theta))
    nu = problem.nu
    criterion = at.log_det + nu * (1.0 + np.log(2.0 * np.pi * at.r2 / nu))
    criterion += at.log_det_x if problem.reml else 0.0
    grad_psi = _gradient(problem, at)
    gradient = problem.pack([2.0 * G @ L for G, L in zip(grad_psi, at.L, strict=True)])
    return Solution(theta, float(criterion), gradient, grad_psi, at)


# --- derivatives ---------------------------------------------------------------------------------


def _gradient(problem: Problem, at: Moments) -> tuple[Array, ...]:
    """The derivative of the criterion in every Psi_k, symmetric."""
    if at.sums is not None:
        yy, xx = at.met[:, 0]
        G = at.sums.T - (problem.nu / at.r2) * yy
        return (G - xx if problem.reml else G,)
    Om = (problem.nu / at.r2) * np.outer(at.v, at.v)
    if problem.reml:
        Om[:-1, :-1] += at.S_inverse
    found = [_first_trace(problem, at) - _contracted(at.H1, Om)]
    if problem.second is not None and at.second is not None:
        for k in range(len(problem.second.q)):
            H = problem.second.effects(k, at.second.H2)
            trace = at.second.blocks(k).sum(0)
            found.append(trace - np.einsum("las,st,lbt->ab", H, Om, H))
    return tuple(0.5 * (G + G.T) for G in found)


def _first_trace(problem: Problem, at: Moments) -> Array:
    """Sum over groups of the blocks of Z1'V0⁻¹Z1."""
    return np.asarray(first_blocks(at).sum(2))


def _contracted(H: Array, Om: Array) -> Array:
    """Sum over groups of H_i Om H_i'."""
    q = H.shape[0]
    out = np.empty((q, q))
    for a in range(q):
        for b in range(a, q):
            out[a, b] = out[b, a] = float(np.vdot(H[a] @ H[b].T, Om))
    return out


def _average(solution: Solution) -> Array:
    """Average information of the profiled criterion plus the curvature of L L'.

    With Y_ab = y'P V_a P V_b P y, the Hessian is 2 Y less the traces, and their average is Y; the
    curvature is 2 Gr[i, k] for two entries of one column of L.
    """
    at, (Q, g) = solution.moments, solution.information
    average = (at.problem.nu / at.r2) * (Q - g[:, None] * (g / at.r2))
    for places, G in zip(at.problem.places, solution.grad_psi, strict=True):
        rows = places.rows
        average[places.own, places.own] += 2.0 * G[rows[:, None], rows] * places.same
    return np.asarray(average)


def observed_information(problem: Problem, solution: Solution) -> Array | None:
    """The exact Hessian; None where the other factors are too many for it to pay."""
    second, at = problem.second, solution.moments
    if second is not None and second.size > EXACT_SECOND:
        return None
    if at.sums is None:
        traces = _traces(problem, at)
    else:
        traces = single_traces(problem, at, at.sums, at.changes)
    return solution.average + (problem.nu / at.r2) * solution.information[0] - traces


def _direction(problem: Problem, at: Moments, k: int, i: int, j: int) -> Direction:
    """dPsi_k for the entry (i, j) of L_k."""
    E = np.zeros((problem.q[k], problem.q[k]))
    E[i] += at.L[k][:, j]
    E[:, i] += at.L[k][:, j]
    return k, E


def _traces(problem: Problem, at: Moments) -> Array:
    """tr(V⁻¹V_aV⁻¹V_b), under REML tr(P V_a P V_b)."""
    directions = [_direction(problem, at, *entry) for entry in problem.entries()]
    out = pair_traces(problem, at, directions)
    if not problem.reml:
        return out
    count, p = len(directions), problem.p
    EH = [times_effects(problem, at, k, E) for k, E in directions]
    lifted = [lift(problem, at, k, part) for (k, _), part in zip(directions, EH, strict=True)]
    PS = [
        at.S_inverse @ np.einsum("qsm,qtm->st", effects_of(problem, at, k), part)[:p, :p]
        for (k, _), part in zip(directions, EH, strict=True)
    ]
    for a in range(count):
        for b in range(a + 1):
            Q = through(at, directions, EH, lifted, a, b)[:p, :p]
            value = float(np.sum(PS[a] * PS[b].T) - 2.0 * np.sum(at.S_inverse * Q.T))
            out[a, b] += value
            out[b, a] += value if a != b else 0.0
    return out


def single_traces(problem: Problem, at: Moments, alone: Sums, E: Array) -> Array:
    """The same for one factor alone and any changes E (r, q, q) of Psi, all pairs at once."""
    traces = alone.traces(E, E)
    if problem.reml:
        p = problem.p
        P = at.S_inverse @ alone.once(E)[:, :p, :p]
        traces += P.reshape(len(E), -1) @ P.transpose(0, 2, 1).reshape(len(E), -1).T
        traces -= 2.0 * alone.through(E, E, at.met[1, 1:])
    return traces


def _single_information(at: Moments, alone: Sums) -> tuple[Array, Array]:
    """`_information` for one factor alone."""
    E = at.changes
    Hv = alone.once(E) @ at.v
    Hx = Hv[:, :-1]
    Q = alone.through(E, E, at.met[0, 1:]) - Hx @ at.S_inverse @ Hx.T
    return 0.5 * (Q + Q.T), Hv @ at.v


def _information(problem: Problem, at: Moments) -> tuple[Array, Array]:
    """Q_ab = y'P V_a P V_b P y and g_a = y'P V_a P y in units of V0, for all pairs of theta."""
    if at.sums is not None:
        return _single_information(at, at.sums)
    p, second, entries = problem.p, problem.second, problem.entries()
    t1 = np.tensordot(at.v, at.H1, (0, 1))  # (q, m)
    firsts = [a for a, e in enumerate(entries) if e[0] == 0]
    W1 = np.zeros((len(entries), *t1.shape))
    TW = np.zeros_like(W1)
    for a in firsts:
        _, i, j = entries[a]
        column = at.L[0][:, j]
        W1[a, i] = column @ t1
        W1[a] += column[:, None] * t1[i]
        TW[a] = times(at.T1, W1[a][:, None])[:, 0]
    Q = np.tensordot(W1, TW, ((1, 2), (1, 2)))
    g = np.tensordot(W1, t1, ((1, 2), (0, 1)))
    hx = np.tensordot(W1, at.H1[:, :p], ((1, 2), (0, 2)))
    if second is not None and at.second is not None:
        m2 = at.second
        W2 = _second_directions(problem, at, second, m2)
        inner = np.zeros((t1.size, len(entries)))
        for a in firsts:
            inner[:, a] = times(transposed(at.RN), W1[a][:, None]).reshape(-1)
        Q = Q + m2.information(inner, W2.T)
        g = g + W2 @ (m2.H2 @ at.v)
        hx = hx + W2 @ m2.H2[:, :p]
    Q = Q - hx @ at.S_inverse @ hx.T
    return 0.5 * (Q + Q.T), g


def _second_directions(problem: Problem, at: Moments, second: Second, m2: SecondMoments) -> Array:
    """dPsi_k t for the entries of the other factors, (entries, M2)."""
    entries = problem.entries()
    W = np.zeros((len(entries), second.size))
    for a, (k, i, j) in enumerate(entries):
        if k == 0:
            continue
        column = at.L[k][:, j]
        t = second.effects(k - 1, m2.H2) @ at.v
        w = np.outer(t[:, i], column)
        w[:, i] += t @ column
        start = second.offsets[k - 1]
        W[a, start : start + w.size] = w.ravel()
    return W
