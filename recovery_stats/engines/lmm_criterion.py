"""The mixed model's profiled criterion with gradient and curvature, at one value of theta.

Notation: V0 = I + sum_k Z_k (I x Psi_k) Z_k', Psi_k = L_k L_k', theta the free entries of the L.
First factor: N_i = (I + R_i Psi R_i')⁻¹, V1 its share of V0. Others: S22 = Z2'V1⁻¹Z2,
K2 = L2 (I + L2'S22 L2)⁻¹ L2'. S = [X y]'V0⁻¹[X y], H = Z'V0⁻¹[X y], T = Z'V0⁻¹Z.
Every group's part is a sum of positive terms, so extreme variance ratios lose no digits.

With v = (-beta, 1) and Om = (nu / r2) v v' [+ Sxx⁻¹ under REML], the derivative in Psi_k is
sum T_ll - sum H_l Om H_l'; the Hessian is approximated by the average information, to which the
exact curvature of L L' is added.
Sources: Lindstrom & Bates 1988; Gilmour, Thompson & Cullis 1995; Bates, Mächler, Bolker & Walker
2015. Checked: dense formulas, finite differences (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from recovery_stats.engines.linalg import Array, inverse_of_identity_plus, times, transposed
from recovery_stats.engines.lmm_groups import Problem, Second
from recovery_stats.errors import ConvergenceError


@dataclass(frozen=True, slots=True)
class SecondMoments:
    """Of all factors but the first: S22, K2, T22 (M2, M2) and H2 (M2, s)."""

    S22: Array
    K2: Array
    T22: Array
    H2: Array


@dataclass(frozen=True, slots=True)
class Moments:
    """Cross-products in the metric V0⁻¹.

    S (s, s); S_inverse (p, p) of its X part; H1 (q, s, m) of the first factor; T1 (q, q, m) =
    Z1'V1⁻¹Z1 and RN (q, q, m) = R'N, before the other factors.
    """

    L: tuple[Array, ...]
    log_det: float
    log_det_x: float
    r2: float
    beta: Array
    S: Array
    S_inverse: Array
    H1: Array
    T1: Array
    RN: Array
    second: SecondMoments | None

    @property
    def v(self) -> Array:
        """(-beta, 1): what turns [X y] into the residual."""
        return np.append(-self.beta, 1.0)


@dataclass(frozen=True, slots=True)
class Solution:
    """The criterion at theta; grad_psi: its derivative in each Psi_k."""

    theta: Array
    criterion: float
    gradient: Array
    hessian: Array
    grad_psi: tuple[Array, ...]
    moments: Moments

    @property
    def L(self) -> tuple[Array, ...]:
        return self.moments.L


def evaluate(problem: Problem, theta: Array) -> Solution:
    """The criterion (REML or ML deviance) at theta with its derivatives.

    Raises ConvergenceError where the residual variance vanishes or X'V⁻¹X is singular.
    """
    at = _moments(problem, problem.unpack(theta))
    nu = problem.nu
    criterion = at.log_det + nu * (1.0 + np.log(2.0 * np.pi * at.r2 / nu))
    criterion += at.log_det_x if problem.reml else 0.0
    grad_psi = _gradient(problem, at)
    slope = [2.0 * G @ L for G, L in zip(grad_psi, at.L, strict=True)]
    gradient = np.array([slope[k][i, j] for k, i, j in problem.entries()])
    hessian = _hessian(problem, at, grad_psi)
    return Solution(theta, float(criterion), gradient, hessian, grad_psi, at)


# --- moments -------------------------------------------------------------------------------------


def _moments(problem: Problem, L: list[Array]) -> Moments:
    R, c, p = problem.R, problem.c, problem.p
    N, log_dets = inverse_of_identity_plus(np.tensordot(R, L[0], (1, 0)).transpose(0, 2, 1))
    RN = times(transposed(R), N)
    S = problem.within + _summed(c, times(N, c))
    left, log_det, second = c, float(log_dets.sum()), None
    if problem.second is not None:
        second, S2, log_det2 = _eliminate_second(problem.second, L[1:], N, c)
        E = second.K2 @ S2
        S = S - S2.T @ E
        left = c - (problem.second.C @ E).reshape(len(c), c.shape[2], -1).transpose(0, 2, 1)
        log_det += log_det2
    S = 0.5 * (S + S.T)
    chol = _cholesky(S[:p, :p])
    beta = cho_solve(chol, S[:p, p], check_finite=False)
    r2 = float(S[p, p] - S[:p, p] @ beta)
    if not r2 > 0:
        raise ConvergenceError("The residual variance is estimated as zero.")
    inverse = cho_solve(chol, np.eye(p), check_finite=False)
    log_det_x = 2.0 * float(np.log(np.diag(chol[0])).sum())
    return Moments(
        tuple(L), log_det, log_det_x, r2, beta, S, inverse, times(RN, left), times(RN, R), RN,
        second,
    )  # fmt: skip


def _cholesky(A: Array) -> tuple[Array, bool]:
    try:
        found: tuple[Array, bool] = cho_factor(A, lower=True, check_finite=False)
    except np.linalg.LinAlgError as cause:
        words = "The fixed effects cannot be told apart at these variances."
        raise ConvergenceError(words) from cause
    return found


def _summed(A: Array, B: Array) -> Array:
    """Sum over groups of A_i' B_i for A (q, s, m), B (q, t, m)."""
    total: Array = A[0] @ B[0].T
    for a in range(1, A.shape[0]):
        total = total + A[a] @ B[a].T
    return total


def _flat(A: Array) -> Array:
    """(q, s, m) to (q m, s), the row order of Second.C."""
    return A.transpose(0, 2, 1).reshape(A.shape[0] * A.shape[2], A.shape[1])


def _eliminate_second(
    second: Second, L: Sequence[Array], N: Array, c: Array
) -> tuple[SecondMoments, Array, float]:
    """The second level's moments, S2 = Z2'V1⁻¹[X y] and log|I + L2'S22 L2|."""
    S22 = second.within + second.scatter(N)
    S22 = 0.5 * (S22 + S22.T)
    S2 = second.within_xy + second.Ct @ _flat(times(N, c))
    D = second.scaled(L, second.scaled(L, S22).T)
    D[np.diag_indices_from(D)] += 1.0
    chol = cho_factor(D, lower=True, check_finite=False)
    inverse = cho_solve(chol, np.eye(second.size), check_finite=False)
    Lt = [factor.T for factor in L]
    K2 = second.scaled(Lt, second.scaled(Lt, inverse).T)
    K2 = 0.5 * (K2 + K2.T)
    T22 = S22 - S22 @ (K2 @ S22)
    H2 = S2 - S22 @ (K2 @ S2)
    return SecondMoments(S22, K2, T22, H2), S2, 2.0 * float(np.log(np.diag(chol[0])).sum())


# --- derivatives ---------------------------------------------------------------------------------


def _gradient(problem: Problem, at: Moments) -> tuple[Array, ...]:
    """The derivative of the criterion in every Psi_k, symmetric."""
    Om = (problem.nu / at.r2) * np.outer(at.v, at.v)
    if problem.reml:
        Om[:-1, :-1] += at.S_inverse
    found = [_first_trace(problem, at) - _contracted(at.H1, Om)]
    if problem.second is not None and at.second is not None:
        for k in range(len(problem.second.q)):
            H = problem.second.effects(k, at.second.H2)
            trace = problem.second.diagonal(k, at.second.T22).sum(0)
            found.append(trace - np.einsum("las,st,lbt->ab", H, Om, H))
    return tuple(0.5 * (G + G.T) for G in found)


def _first_trace(problem: Problem, at: Moments) -> Array:
    """Sum over groups of the blocks of Z1'V0⁻¹Z1."""
    return np.asarray(first_blocks(problem, at).sum(2))


def first_blocks(problem: Problem, at: Moments) -> Array:
    """The diagonal blocks of Z1'V0⁻¹Z1, (q, q, m)."""
    if problem.second is None or at.second is None:
        return at.T1
    inside = times(at.RN, problem.second.gather(at.second.K2))
    return at.T1 - times(inside, transposed(at.RN))


def _contracted(H: Array, Om: Array) -> Array:
    """Sum over groups of H_i Om H_i'."""
    q = H.shape[0]
    out = np.empty((q, q))
    for a in range(q):
        for b in range(a, q):
            out[a, b] = out[b, a] = float(np.vdot(H[a] @ H[b].T, Om))
    return out


def _hessian(problem: Problem, at: Moments, grad_psi: Sequence[Array]) -> Array:
    """Average information of the profiled criterion, and 2 Gr[i, k] for two entries of a column."""
    Q, g = _information(problem, at)
    hessian = (problem.nu / at.r2) * (Q - np.outer(g, g) / at.r2)
    entries = problem.entries()
    for a, (k, i, j) in enumerate(entries):
        for b, (k2, i2, j2) in enumerate(entries):
            if k == k2 and j == j2:
                hessian[a, b] += 2.0 * grad_psi[k][i, i2]
    return np.asarray(hessian)


def _information(problem: Problem, at: Moments) -> tuple[Array, Array]:
    """Q_ab = y'P V_a P V_b P y and g_a = y'P V_a P y in units of V0, for all pairs of theta."""
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
        lifted = np.zeros((second.size, len(entries)))
        for a in firsts:
            lifted[:, a] = second.Ct @ times(transposed(at.RN), W1[a][:, None]).reshape(-1)
        cross = W2 @ lifted
        reach = lifted + m2.S22 @ W2.T
        Q = Q + cross + cross.T + W2 @ m2.S22 @ W2.T - reach.T @ m2.K2 @ reach
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
