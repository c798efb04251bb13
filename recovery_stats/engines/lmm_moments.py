"""Cross-products of a mixed model in the metric of its covariance, at one value of theta.

Notation: V0 = I + sum_k Z_k (I x Psi_k) Z_k', Psi_k = L_k L_k', theta the free entries of the L.
First factor: N_i = (I + R_i Psi R_i')⁻¹, V1 its share of V0; the others: `lmm_eliminated`.
S = [X y]'V0⁻¹[X y], H = Z'V0⁻¹[X y], T = Z'V0⁻¹Z. Every group's part is a sum of positive terms,
so extreme variance ratios lose no digits.
Sources: Pinheiro & Bates 2000, ch. 2; Bates, Mächler, Bolker & Walker 2015. Checked: dense
formulas (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recovery_stats.engines import lmm_root
from recovery_stats.engines.linalg import (
    Array,
    half_of_inverse,
    inverse_lower,
    inverse_of_identity_plus,
    times,
    transposed,
)
from recovery_stats.engines.lmm_eliminated import SecondMoments, eliminate
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_second import Second
from recovery_stats.engines.lmm_single import Sums, sums
from recovery_stats.errors import ConvergenceError


@dataclass(frozen=True)
class Moments:
    """Cross-products in the metric V0⁻¹.

    v (s,) = (-beta, 1): what turns [X y] into the residual. S (s, s); S_inverse (p, p) of its X
    part. sums: those of a factor alone. left (q, s, m): c after the other factors.
    """

    problem: Problem
    L: tuple[Array, ...]
    log_det: float
    log_det_x: float
    r2: float
    beta: Array
    v: Array
    S: Array
    S_inverse: Array
    left: Array
    second: SecondMoments | None
    sums: Sums | None

    @cached_property
    def changes(self) -> Array:
        """dPsi for every entry of the first factor's L, (r, q, q)."""
        L = self.L[0]
        return (self.problem.places[0].turning @ L.ravel()).reshape(-1, *L.shape)

    @cached_property
    def met(self) -> Array:
        """`Sums.met` by v v' and, in X, by Sxx⁻¹: (2, 1 + k, q, q), for a factor alone."""
        assert self.sums is not None
        M = np.zeros((2, *self.S.shape))
        np.multiply(self.v[:, None], self.v, out=M[0])
        M[1, :-1, :-1] = self.S_inverse
        return self.sums.met(M)

    @cached_property
    def RN(self) -> Array:
        """R'N (q, q, m)."""
        R = self.problem.R
        N, _ = inverse_of_identity_plus(times(R, self.L[0][:, :, None]))
        return times(transposed(R), N)

    @cached_property
    def H1(self) -> Array:
        """Z1'V0⁻¹[X y] of every level of the first factor, (q, s, m)."""
        return times(self.RN, self.left)

    @cached_property
    def T1(self) -> Array:
        """Z1'V1⁻¹Z1 (q, q, m), before the other factors."""
        return times(self.RN, self.problem.R)

    @cached_property
    def taken(self) -> Array:
        """What the other factors take from the blocks of T1, (q, q, m)."""
        assert self.second is not None
        inside = times(self.RN, self.second.gathered())
        return times(inside, transposed(self.RN))


def moments(problem: Problem, L: Sequence[Array]) -> Moments:
    """All cross-products at L; ConvergenceError where the residual variance vanishes."""
    if problem.second is None:
        alone = sums(problem, L[0])
        return _solved(problem, L, alone.S, alone.log_det, problem.c, None, alone)
    second, S, taken, log_det = _eliminated(problem, problem.second, L)
    c = problem.c
    left = c - taken.reshape(len(c), c.shape[2], -1).transpose(0, 2, 1)
    return _solved(problem, L, 0.5 * (S + S.T), log_det, left, second, None)


def _eliminated(
    problem: Problem, others: Second, L: Sequence[Array]
) -> tuple[SecondMoments, Array, Array, float]:
    """All factors but the first eliminated: with S, what they take of c, and log|V0|."""
    c, M = problem.c, times(problem.R, L[0][:, :, None])
    if others.triangle is not None:
        half, log_dets = half_of_inverse(M)
        roots, S, taken, log_det = lmm_root.eliminate(others, L[1:], half, c)
        return roots, S, taken, log_det + float(log_dets.sum())
    N, log_dets = inverse_of_identity_plus(M)
    Nc = times(N, c)
    second, square, taken, log_det = eliminate(others, L[1:], N, Nc)
    S = problem.within + summed(c, Nc) - square
    return second, S, taken, log_det + float(log_dets.sum())


def _solved(
    problem: Problem,
    L: Sequence[Array],
    S: Array,
    log_det: float,
    left: Array,
    second: SecondMoments | None,
    alone: Sums | None,
) -> Moments:
    """Solve S for beta and the residual's square.

    The last row of the inverse Cholesky factor W of S is (-beta, 1) / sqrt(r2), the others give
    Sxx⁻¹ as a product.
    """
    p = problem.p
    W, sizes, failed = inverse_lower(S)
    if failed > p:
        raise ConvergenceError("The residual variance is estimated as zero.")
    if failed:
        raise ConvergenceError("The fixed effects cannot be told apart at these variances.")
    log_det_x = 2.0 * float(np.log(sizes[:p]).sum())
    v = W[p] * sizes[p]
    inverse = W[:p, :p].T @ W[:p, :p]
    r2 = float(sizes[p]) ** 2
    return Moments(
        problem, tuple(L), log_det, log_det_x, r2, -v[:p], v, S, inverse, left, second, alone
    )  # fmt: skip


def summed(A: Array, B: Array) -> Array:
    """Sum over groups of A_i' B_i for A (q, s, m), B (q, t, m)."""
    total: Array = A[0] @ B[0].T
    for a in range(1, A.shape[0]):
        total = total + A[a] @ B[a].T
    return total


def first_blocks(at: Moments) -> Array:
    """The diagonal blocks of Z1'V0⁻¹Z1, (q, q, m)."""
    return at.T1 if at.second is None else at.T1 - at.taken
