"""Find the minimum of the mixed model's criterion, and say honestly where the boundary is.

The criterion is even in each column of L, so a zero variance or a correlation of ±1 is an
ordinary stationary point: no constraint is needed, and the sign of the derivative in Psi tells
whether the zero directions belong there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.engines.linalg import Array, clearly_full, eigen, lower_factor
from recovery_stats.engines.lmm_criterion import Solution, evaluate, observed_information
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_scoring import scored
from recovery_stats.engines.lmm_start import starting_values
from recovery_stats.errors import ConvergenceError

MAX_ITERATIONS = 200
DECREMENT = 1e-18  # Newton decrement at which theta is known to 1e-9 of its standard error
NEAR = 0.3  # decrement below which the observed information is trusted
SURE = 1e-4  # decrement after which the step's own curvature can tell whether it was the last
CLOSE = 1e-8  # decrement below which the criterion itself can no longer judge a step
FAR_APART = 1e-3  # ratio of curvatures' roots below which one unit for all theta loses the small
LARGEST = 1e9  # ratio of standard deviations taken for a residual variance of zero
PILOT = 20_000  # levels from which on a sample of them is fitted first
PILOT_SIZE = 4_096
LEAVING = 0.1  # length of the step that leaves a saddle, in ratios of standard deviations
LEAST = 0.05  # ratio of standard deviations to begin again from
NEAR_ZERO = 1e-4  # ratio of standard deviations below which exact zero is tried


@dataclass(frozen=True, slots=True)
class Curvature:
    """A Hessian by its eigenvalues, ascending, and eigenvectors, in units of its own where the
    curvatures in theta are far apart."""

    values: Array
    vectors: Array

    @classmethod
    def of(cls, hessian: Array) -> Curvature:
        unit = _units(hessian)
        values, vectors = eigen(hessian * unit * unit[:, None])
        return cls(values, unit[:, None] * vectors)

    def step(self, gradient: Array) -> Array:
        """The Newton step on |curvature|."""
        size = np.abs(self.values)
        np.maximum(size, 1e-10 * max(float(size.max()), 1e-300), out=size)
        return np.asarray(-self.vectors @ ((gradient @ self.vectors) / size))

    def downwards(self, gradient: Array) -> tuple[Array, float]:
        """A step along the most negative curvature, and what it promises by that curvature."""
        along = self.vectors[:, 0]
        sign = -1.0 if float(gradient @ along) > 0 else 1.0
        return np.asarray(sign * LEAVING * along), -(LEAVING**2) * float(self.values[0])

    def ends(self, gradient: Array) -> bool:
        """Whether a point with this gradient needs no further step."""
        return bool(self.values[0] > 0) and float(-gradient @ self.step(gradient)) < DECREMENT


def _units(hessian: Array) -> Array:
    """Units of theta (r,) in which curvatures can be compared: 1, but where they are far apart."""
    size = np.sqrt(np.abs(np.diag(hessian)))
    if not size.min() < FAR_APART * size.max():
        return np.ones(len(hessian))
    return np.asarray(1.0 / np.maximum(size, 1e-12 * size.max()))


def minimise(
    problem: Problem, start: Array | None = None, largest: float = LARGEST
) -> tuple[Solution, int]:
    """Newton steps on |curvature| with backtracking; returns the solution and the evaluations.

    largest: ratio of standard deviations to give up at.

    With one factor a step of scoring goes ahead. Near the optimum the average information is
    corrected to satisfy the last secant equation, which makes the end superlinear; there the
    gradient, not the criterion, is the judge, as the criterion itself is known to 1e-16 of its
    size only.
    """
    at, evaluations = _scored(problem, _start(problem) if start is None else start)
    last, stalled = (np.inf if evaluations == 1 else NEAR), 0
    before: Solution | None = None
    for _ in range(MAX_ITERATIONS):
        curvature = _curvature(problem, at, before, last)
        step = curvature.step(at.gradient)
        decrement = float(-at.gradient @ step)
        stalled += decrement < CLOSE and decrement > 0.5 * last
        if decrement < DECREMENT or stalled == 2:
            if curvature.values[0] > -1e-6 * problem.n:
                return at, evaluations
            step, decrement = curvature.downwards(at.gradient)  # a saddle: leave it
            stalled = 0
        new, used = _descend(problem, at, step, decrement)
        evaluations += used
        if new is None or (decrement < SURE and curvature.ends(new.gradient)):
            return new or at, evaluations
        before, last, at = at, decrement, new
        if float(np.abs(at.theta).max()) > largest:
            raise ConvergenceError(
                "The residual variance runs to zero: the random effects explain every row."
            )
    raise ConvergenceError(f"The mixed model did not converge in {MAX_ITERATIONS} iterations.")


def _scored(problem: Problem, start: Array) -> tuple[Solution, int]:
    """The start, or where a step of scoring goes from there; and the evaluations."""
    at = evaluate(problem, start)
    theta = scored(at)
    if theta is None:
        return at, 1
    step = theta - start
    new, used = _descend(problem, at, step, max(float(-at.gradient @ step), 0.0))
    return new or at, 1 + used


def _descend(
    problem: Problem, at: Solution, step: Array, decrement: float
) -> tuple[Solution | None, int]:
    """Take the step, or the largest share of it that lowers the criterion.

    None when the step, or a share of it, promises less than the rounding of the criterion and does
    not help.
    """
    largest = float(np.abs(at.theta).max())
    size = min(1.0, (0.5 + 3.0 * largest) / max(float(np.abs(step).max()), 1e-300))
    noise = 1e-13 * max(1.0, abs(at.criterion), problem.n)
    noise += 0.0 if problem.rooted else 2e-15 * largest**2
    used = 0
    while size > 1e-10:
        new = evaluate(problem, at.theta + size * step)
        used += 1
        allowed = 1e-7 if decrement < CLOSE else noise - 1e-4 * size * decrement
        if new.criterion <= at.criterion + allowed:
            return new, used
        size *= 0.3
        if decrement < CLOSE + 100 * noise or (problem.rooted and size * decrement < noise):
            return None, used
    raise ConvergenceError("The mixed model's criterion could not be lowered further.")


def _curvature(problem: Problem, at: Solution, before: Solution | None, last: float) -> Curvature:
    """The Hessian to step with; `last` is the decrement before.

    Close to the minimum the exact Hessian takes the place of the average information; where it
    is dear, a secant correction does. The end is superlinear either way.
    """
    exact = observed_information(problem, at) if last <= NEAR else None
    if exact is not None:
        curvature = Curvature.of(exact)
        if curvature.values[0] > 0:
            return curvature
    if before is not None and 1e-12 < last < NEAR:
        return Curvature.of(_with_secant(at.average, at, before))
    return Curvature.of(at.average)


def _with_secant(hessian: Array, at: Solution, before: Solution) -> Array:
    """The Hessian corrected by one rank to agree with the last change of the gradient."""
    moved = at.theta - before.theta
    missed = at.gradient - before.gradient - hessian @ moved
    along = float(missed @ moved)
    if abs(along) <= 0.1 * float(np.linalg.norm(missed) * np.linalg.norm(moved)):
        return hessian
    return hessian + np.outer(missed, missed) / along


def _start(problem: Problem) -> Array:
    """Where there are many levels, the minimum for a sample of them: that is five standard errors
    away at 25 levels in one, at a twentieth of the price of a step over all.

    A variance that is zero in the sample alone would be a stationary point: it is lifted.
    """
    plain, m = starting_values(problem), problem.R.shape[2]
    if problem.second is not None or problem.alike is not None or m < PILOT:
        return plain
    chosen = np.linspace(0, m - 1, PILOT_SIZE).astype(np.intp)
    share = PILOT_SIZE / m
    sample = replace(
        problem, n=max(round(problem.n * share), problem.p + 1), R=problem.R[:, :, chosen],
        c=problem.c[:, :, chosen], within=problem.within * share,
    )  # fmt: skip
    try:
        found = minimise(sample)[0].theta
    except ConvergenceError:
        return plain
    return lifted(problem, found, 0.2 * plain)


def lifted(problem: Problem, theta: Array, least: Array | float = LEAST) -> Array:
    """theta with no diagonal entry of an L below the least: zero would be stationary."""
    diagonal = np.array([i == j for _, i, j in problem.entries()])
    return np.asarray(np.where(diagonal, np.maximum(np.abs(theta), least), theta))


def settle(problem: Problem, at: Solution) -> tuple[Solution, bool]:
    """Put near-zero directions exactly at zero where that is no worse, and test that they belong.

    Returns the solution and whether every zero direction has a non-negative derivative.
    """
    if all(clearly_full(f, NEAR_ZERO) and (np.diagonal(f) >= 0).all() for f in at.L):
        return at, True
    L, touched = [f.copy() for f in at.L], False
    for k, blocks in enumerate(problem.blocks):
        for block in blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(L[k][index])
            if (sizes < NEAR_ZERO).any():
                touched = True
                L[k][index] = lower_factor(U * np.where(sizes < NEAR_ZERO, 0.0, sizes))
            elif (np.diag(L[k][index]) < 0).any():
                L[k][index] = lower_factor(L[k][index])
    theta = problem.pack(L)
    if not touched and np.array_equal(theta, at.theta):
        return at, True
    new = evaluate(problem, theta)
    if touched and new.criterion > at.criterion + 1e-9 * max(1.0, abs(at.criterion) * 1e-4):
        L = [lower_factor(f) for f in at.L]
        new = evaluate(problem, problem.pack(L))
    return new, _belongs(problem, new)


def _belongs(problem: Problem, at: Solution) -> bool:
    for k, blocks in enumerate(problem.blocks):
        for block in blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(at.L[k][index])
            null = U[:, sizes == 0]
            if null.size:
                slope = null.T @ at.grad_psi[k][index] @ null
                if float(np.linalg.eigvalsh(slope)[0]) < -1e-6 * problem.n:
                    return False
    return True
