"""Where the search for a mixed model's variances begins: moments of the sums by group.

First factor: E c_i c_i' = s2 (I + R_i Psi R_i') for the outcome's column of c, s2 from within
groups, which also finds variances that dwarf the residual's. Others: squared sums of the outcome
over the levels of each effect have expectations that are linear in all variances at once (Rao's
MINQUE with prior 0); the equations are solved with variances kept from falling below zero.
Source: Rao & Kleffe 1988, ch. 5. Checked: the fits that begin here (tests/engines/test_lmm.py).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import nnls

from recovery_stats.engines.linalg import Array, times, transposed
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_second import Second

SMALLEST = 0.05  # ratio of standard deviations: zero itself would be a stationary point
LARGEST = 10.0
FARTHEST = 1e7  # the same where digits for it are there


def starting_values(problem: Problem) -> Array:
    """theta to begin with: standard deviations from moments, no correlation."""
    sizes = [_first(problem)]
    if problem.second is not None:
        ratios = _several(problem, problem.second)
        sizes.append(ratios[problem.q[0] :])
    L, at, flat = [np.zeros((q, q)) for q in problem.q], 0, np.concatenate(sizes)
    for factor in L:
        np.fill_diagonal(factor, flat[at : at + len(factor)])
        at += len(factor)
    return problem.pack(L)


def _first(problem: Problem) -> Array:
    """Ratios of standard deviations of the first factor's effects, against s2 within groups."""
    p, each = problem.p, np.arange(problem.q[0])
    alive = (problem.R[each, each] > 0).sum(1)
    outcome = np.einsum("qm,qm->q", problem.c[:, p], problem.c[:, p])
    left = max(problem.n - int(alive.sum()), 1)
    within = float(problem.within[p, p])
    s2 = max(within / left, 1e-12 * (within + float(outcome.sum())) / problem.n)
    weight = np.einsum("qrm,qrm->q", problem.R, problem.R)
    ratio = (outcome / s2 - alive) / weight
    return np.asarray(np.sqrt(np.clip(ratio, 0.01 * problem.R.shape[2] / weight, 1e12)))


def _several(problem: Problem, second: Second) -> Array:
    """Ratios of standard deviations of every effect, first factor first, to the residual's."""
    p, q = problem.p, problem.q[0]
    RT = transposed(problem.R)
    outcome = times(RT, problem.c[:, p : p + 1])[:, 0]
    own = times(RT, problem.R)
    belongs = _belongs(second)
    r = q + belongs.shape[1]
    norms, squares = np.empty((r + 1, r + 1)), np.empty(r + 1)
    norms[:q, :q] = (own**2).sum(2)
    squares[:q] = (outcome**2).sum(1)
    crossed = [_crossed(problem, second, a) @ belongs for a in range(q)]
    norms[:q, q:r] = crossed
    norms[q:r, :q] = np.transpose(crossed)
    whole = second.within + (second.C.T @ second.C).toarray()
    norms[q:r, q:r] = belongs.T @ whole**2 @ belongs
    flat = problem.c[:, p].reshape(-1)
    squares[q:r] = (second.within_xy[:, p] + second.Ct @ flat) ** 2 @ belongs
    norms[:, r] = norms[r] = problem.n  # Z'Z = n I in orthogonal units
    squares[r] = float(problem.within[p, p] + flat @ flat)
    size = np.sqrt(np.diag(norms))
    variances = nnls(norms / np.outer(size, size), squares / size)[0] / size
    if second.triangle is not None:
        ratios = variances[:r] / _left_by_all(problem, second.triangle)
        return np.asarray(np.sqrt(np.clip(ratios, SMALLEST**2, FARTHEST**2)))
    s2 = max(float(variances[r]), 1e-6 * squares[r] / problem.n)
    return np.asarray(np.clip(np.sqrt(variances[:r] / s2), SMALLEST, LARGEST))


def _left_by_all(problem: Problem, triangle: Array) -> float:
    """The residual variance from what all factors and X leave of the outcome."""
    diagonal = np.abs(np.diag(triangle))[:-1]
    ranks = sum(int((problem.R[a, a] > 0).sum()) for a in range(problem.q[0]))
    ranks += int((diagonal > 1e-9 * np.sqrt(problem.n)).sum())
    return max(float(triangle[-1, -1] ** 2) / max(problem.n - ranks, 1), 1e-300)


def _belongs(second: Second) -> Array:
    """Which effect, over all factors but the first, each of the M2 columns is of: 0 or 1."""
    labels, at = [], 0
    for levels, q in zip(second.levels, second.q, strict=True):
        labels.append(np.tile(np.arange(at, at + q), levels))
        at += q
    return np.asarray(np.concatenate(labels)[:, None] == np.arange(at), dtype=float)


def _crossed(problem: Problem, second: Second, a: int) -> Array:
    """Column sums of squares of Z1'Z2 for effect a of the first factor, (M2,)."""
    m = problem.R.shape[2]
    met = sum(
        sparse.diags_array(problem.R[b, a]) @ second.C[b * m : (b + 1) * m] for b in range(a + 1)
    )
    return np.asarray(met.multiply(met).sum(0)).ravel()
