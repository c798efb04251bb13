"""Fit one mixed model with a single factor to many outcomes at once.

The outcomes share X and Z, so that a group costs a few vector operations along the outcomes; what
is summed over groups with X are matrix products. Newton steps on the average information as in
`lmm_optimum`, each outcome with a step length of its own.
Checked: against `lmm_optimum.minimise` outcome by outcome (tests/engines/test_lmm_bootstrap.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import (
    Array,
    IntArray,
    inverse_of_identity_plus,
    times,
    transposed,
)
from recovery_stats.engines.lmm_groups import Problem

SETTLED = 1e-9  # Newton decrement: the estimate is within 3e-5 of its standard error
NEAR_SADDLE = 1e-3  # decrement below which a negative curvature is left instead of approached
MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Sufficient statistics of B outcomes: c (q, m, B) = Q'y, within_xy (p, B), within_yy (B,)."""

    c: Array
    within_xy: Array
    within_yy: Array

    def only(self, which: IntArray) -> Outcomes:
        return Outcomes(self.c[..., which], self.within_xy[:, which], self.within_yy[which])


@dataclass(frozen=True, slots=True)
class Batch:
    """Solutions of B outcomes: theta (k, B), r2 (B,), beta (p, B), S_inverse (B, p, p)."""

    theta: Array
    criterion: Array
    gradient: Array
    hessian: Array
    r2: Array
    beta: Array
    S_inverse: Array

    def replaced(self, which: IntArray, other: Batch, part: NDArray[np.bool_]) -> Batch:
        """A copy with the outcomes `which` (positions) taken from `part` (a mask) of another."""

        def put(mine: Array, theirs: Array) -> Array:
            value = mine.copy()
            value[..., which] = theirs[..., part]
            return value

        inverse = self.S_inverse.copy()
        inverse[which] = other.S_inverse[part]
        return Batch(
            put(self.theta, other.theta), put(self.criterion, other.criterion),
            put(self.gradient, other.gradient), put(self.hessian, other.hessian),
            put(self.r2, other.r2), put(self.beta, other.beta), inverse,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shared:
    """What all outcomes share: products of X's columns by group, for a ≤ b, (p p, m)."""

    problem: Problem
    products: dict[tuple[int, int], Array]

    @classmethod
    def of(cls, problem: Problem) -> Shared:
        c, p = problem.c[:, : problem.p], problem.p
        found = {}
        for a in range(len(c)):
            for b in range(a, len(c)):
                both = c[a][:, None] * c[b][None]
                found[a, b] = (both if a == b else both + both.transpose(1, 0, 2)).reshape(
                    p * p, -1
                )
        return cls(problem, found)


def minimise(shared: Shared, outcomes: Outcomes, start: Array) -> tuple[Batch, NDArray[np.bool_]]:
    """The solutions, all started near theta `start` (k,), and which of them converged."""
    count, first = outcomes.within_yy.size, _off_the_boundary(shared.problem, start)
    at = evaluate(shared, outcomes, np.repeat(first[:, None], count, 1))
    done = np.zeros(count, dtype=bool)
    share = np.ones(count)
    for _ in range(MAX_STEPS):
        step, decrement, saddle = _steps(at)
        done |= (decrement < SETTLED) & ~saddle
        left = np.flatnonzero(~done & (share > 1e-8))
        if not left.size:
            break
        theta = at.theta[:, left] + share[left] * step[:, left]
        new = evaluate(shared, outcomes.only(left), theta)
        allowed = at.criterion[left] - 1e-4 * share[left] * decrement[left]
        better = new.criterion <= allowed + 1e-13 * shared.problem.n
        at = at.replaced(left[better], new, better)
        share[left] = np.where(better, 1.0, 0.3 * share[left])
    return at, done


def _off_the_boundary(problem: Problem, theta: Array) -> Array:
    """A start whose diagonal entries are worth at least a third of a residual in a group: zero
    variances and perfect correlations are stationary for every outcome, and the best for few."""
    out = theta.copy()
    for at, (k, i, j) in enumerate(problem.entries()):
        least = 0.3 / max(float(np.sqrt((problem.R[i, i] ** 2).mean())), 1e-6) if k == 0 else 0.0
        if i == j and abs(out[at]) < least:
            out[at] = least
    return out


def _steps(at: Batch) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Newton steps on |curvature| (k, B), shortened where they are wild, their decrements, and
    where an outcome stands on a saddle: a variance of zero that is not the best. Its step leaves
    along the descent, and promises nothing."""
    values, vectors = np.linalg.eigh(at.hessian.transpose(2, 0, 1))
    sizes = np.abs(values)
    sizes = np.maximum(sizes, 1e-10 * np.maximum(sizes[:, -1:], sizes[:, :1]))
    along = np.einsum("bij,ib->bj", vectors, at.gradient) / sizes
    step = -np.einsum("bij,bj->ib", vectors, along)
    longest = np.abs(step).max(0)
    reach = 0.5 + 3.0 * np.abs(at.theta).max(0)
    step *= np.minimum(1.0, reach / np.maximum(longest, 1e-300))
    decrement = -(at.gradient * step).sum(0)
    bent = values[:, 0] < -1e-5 * np.maximum(sizes[:, -1], sizes[:, 0])
    saddle = (decrement < NEAR_SADDLE) & bent
    down = np.where(along[:, 0] > 0, -0.1, 0.1)[:, None] * vectors[:, :, 0]
    step[:, saddle] = down[saddle].T
    return step, np.where(saddle, 0.0, decrement), saddle


def evaluate(shared: Shared, outcomes: Outcomes, theta: Array) -> Batch:
    """Criterion, gradient and average information of every outcome at its own theta (k, B)."""
    problem = shared.problem
    q, m, count = outcomes.c.shape
    p, nu = problem.p, problem.nu
    L = np.zeros((q, q, count))
    for value, (_, i, j) in zip(theta, problem.entries(), strict=True):
        L[i, j] = value
    R = np.repeat(problem.R, count, 2)
    N, log_dets = inverse_of_identity_plus(
        np.einsum("abm,bjr->ajmr", problem.R, L).reshape(R.shape)
    )
    RN = times(transposed(R), N)
    T = times(RN, R)
    S_inverse, beta, r2, log_det_x = _least_squares(shared, outcomes, N)
    u = outcomes.c - np.einsum("asm,sr->amr", problem.c[:, :p], beta, optimize=True)
    t = times(RN, u.reshape(q, 1, -1)).reshape(q, m, count)
    criterion = log_dets.reshape(m, count).sum(0) + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    criterion += log_det_x if problem.reml else 0.0
    G = T.reshape(q, q, m, count).sum(2) - (nu / r2) * _crossed(t, t)
    if problem.reml:
        K = _leverage(shared, S_inverse, m)
        G -= times(times(RN, K), transposed(RN)).reshape(q, q, m, count).sum(2)
    slope = 2.0 * np.einsum("abr,bjr->ajr", G, L)
    gradient = np.array([slope[i, j] for _, i, j in problem.entries()])
    hessian = _average(problem, L, t, T, RN, G, r2, S_inverse)
    return Batch(theta, criterion, gradient, hessian, r2, beta, S_inverse)


def _crossed(a: Array, b: Array) -> Array:
    """Sums over groups of the products of (k, m, B) and (l, m, B): (k, l, B)."""
    return np.array([[np.einsum("mr,mr->r", x, y) for y in b] for x in a])


def _least_squares(
    shared: Shared, outcomes: Outcomes, N: Array
) -> tuple[Array, Array, Array, Array]:
    """Sxx⁻¹ (B, p, p), beta (p, B), r2 (B,) and log|Sxx| (B,)."""
    problem, p = shared.problem, shared.problem.p
    q, m, count = outcomes.c.shape
    Nc = times(N, outcomes.c.reshape(q, 1, -1)).reshape(q, m, count)
    S = np.repeat(problem.within[:p, :p].reshape(-1, 1), count, 1)
    for (a, b), products in shared.products.items():
        S += products @ N[a, b].reshape(m, count)
    Sxx = S.reshape(p, p, count).transpose(2, 0, 1)
    Sxy = outcomes.within_xy + sum(problem.c[a, :p] @ Nc[a] for a in range(q))
    Syy = outcomes.within_yy + np.einsum("amr,amr->r", outcomes.c, Nc)
    inverse = np.linalg.inv(Sxx)
    inverse = 0.5 * (inverse + inverse.transpose(0, 2, 1))
    beta = np.einsum("rst,tr->sr", inverse, Sxy)
    return inverse, beta, Syy - (Sxy * beta).sum(0), np.linalg.slogdet(Sxx)[1]


def _leverage(shared: Shared, S_inverse: Array, m: int) -> Array:
    """c_x Sxx⁻¹ c_x' of every group and outcome, (q, q, m B)."""
    q, count = shared.problem.q[0], len(S_inverse)
    flat = S_inverse.reshape(count, -1).T
    K = np.empty((q, q, m * count))
    for (a, b), products in shared.products.items():
        value = (products.T @ flat).reshape(-1)
        K[a, b] = K[b, a] = value if a == b else 0.5 * value
    return K


def _average(
    problem: Problem, L: Array, t: Array, T: Array, RN: Array, G: Array, r2: Array, S_inverse: Array
) -> Array:
    """Average information and the curvature of L L', (k, k, B)."""
    entries, p = problem.entries(), problem.p
    q, m, count = t.shape
    W, TW, hx = [], [], []
    for _, i, j in entries:
        w = L[:, j][:, None, :] * t[i]
        w[i] += np.einsum("ar,amr->mr", L[:, j], t)
        flat = w.reshape(q, 1, -1)
        W.append(w)
        TW.append(times(T, flat).reshape(q, m, count))
        back = times(transposed(RN), flat).reshape(q, m, count)
        hx.append(sum(problem.c[a, :p] @ back[a] for a in range(q)))
    k = len(entries)
    reach = np.einsum("asr,rst->atr", np.array(hx), S_inverse)
    g = np.array([np.einsum("amr,amr->r", w, t) for w in W])
    out = np.empty((k, k, count))
    for a in range(k):
        for b in range(a + 1):
            Q = np.einsum("cmr,cmr->r", W[a], TW[b]) - (reach[a] * hx[b]).sum(0)
            out[a, b] = (problem.nu / r2) * (Q - g[a] * g[b] / r2)
            if entries[a][2] == entries[b][2]:
                out[a, b] += 2.0 * G[entries[a][1], entries[b][1]]
            out[b, a] = out[a, b]
    return out
