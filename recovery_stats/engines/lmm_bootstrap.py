"""Parametric bootstrap of a mixed model: simulate its sufficient statistics, refit, collect.

A simulated outcome needs no rows. With everything in units of the residual sd and beta = 0, which
changes no answer by more than a shift, the engine's sums are

    Q'y = R b1 + C b2 + e1,  [X Z2]'y_w = [Wxz Wzz]' b2 + f,
    y_w'y_w = b2'Wzz b2 + 2 b2'f_z + |e_w|²,

where y_w is what the first factor leaves of y, W its cross-products, f ~ N(0, W) and |e_w|² is f's
length in W's units plus an independent chi-squared. One factor: all refits together (`lmm_batch`).
The same functions serve power: any truth may be simulated on a design.
Checked: against simulated rows, moments on paper (tests/engines/test_lmm_bootstrap.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import lmm_batch
from recovery_stats.engines.linalg import Array, lower_factor, single_thread
from recovery_stats.engines.lmm import LmmFit
from recovery_stats.engines.lmm_batch import Outcomes
from recovery_stats.engines.lmm_groups import Frame, Problem
from recovery_stats.engines.lmm_optimum import NEAR_ZERO, minimise
from recovery_stats.engines.lmm_second import Second
from recovery_stats.errors import RecoveryError

CHUNK = 60_000  # numbers per vector of a batch: half a megabyte, so that they stay in the cache
WITHIN_RANK = 1e-10  # share of a column's square that is left within groups by rounding alone


@dataclass(frozen=True, slots=True)
class Truth:
    """What is simulated: beta (p,), psi (q_k, q_k) per factor as given by the user, sigma2."""

    beta: Array
    psi: tuple[Array, ...]
    sigma2: float

    @classmethod
    def of(cls, fit: LmmFit) -> Truth:
        """The model as it was estimated."""
        return cls(fit.beta, fit.psi, fit.sigma2)


@dataclass(frozen=True, slots=True)
class Refits:
    """Estimates of B simulated outcomes, in the user's units; failed ones are NaN.

    beta (B, p), covariance (B, p, p) of beta, sigma2 (B,), psi: (B, q_k, q_k) per factor,
    criterion (B,): deviance (REML or ML), up to a constant that all share. failed (B,).
    """

    beta: Array
    covariance: Array
    sigma2: Array
    psi: tuple[Array, ...]
    criterion: Array
    failed: NDArray[np.bool_]


def refits(
    problem: Problem, frame: Frame, truth: Truth, replicates: int, rng: np.random.Generator
) -> Refits:
    """Simulate outcomes from a truth on the problem's design and fit the model to each."""
    start = _theta(problem, frame, truth)
    size = chunk(problem, replicates)
    found = []
    with single_thread():
        simulator = Simulator.of(problem, problem.unpack(start), rng)
        shared = lmm_batch.Shared.of(problem) if problem.second is None else None
        for first, last in pairwise([*range(0, replicates, size), replicates]):
            outcomes, lifted = simulator.draw(last - first)
            if shared is not None:
                found.append(together(shared, outcomes, start))
            else:
                found.append(alone(problem, outcomes, lifted, start))
    return _in_users_units(problem, frame, truth, found)


def chunk(problem: Problem, replicates: int) -> int:
    """How many outcomes are worked on together."""
    if problem.second is not None:
        return 1
    return max(1, min(replicates, CHUNK // int(problem.R.shape[2])))


def _theta(problem: Problem, frame: Frame, truth: Truth) -> Array:
    L = []
    for k, user in enumerate(frame.order):
        inverse = np.linalg.inv(frame.T[k])
        psi = inverse @ truth.psi[user] @ inverse.T / truth.sigma2
        factor = np.zeros_like(psi)
        for block in problem.blocks[k]:
            index = np.ix_(block, block)
            values, vectors = np.linalg.eigh(psi[index])
            factor[index] = lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))
        L.append(factor)
    return problem.pack(L)


# --- simulation ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Simulator:
    """Draws sufficient statistics of outcomes with beta = 0 and residual variance 1.

    live (q, m): where Q has a column. W: cross-products of [X Z2] within levels of the first
    factor, half a square root of it. spare: df of what is left of the residual.
    """

    problem: Problem
    L: list[Array]
    rng: np.random.Generator
    live: NDArray[np.bool_]
    W: Array
    half: Array
    spare: int

    @classmethod
    def of(cls, problem: Problem, L: list[Array], rng: np.random.Generator) -> Simulator:
        live = np.stack([problem.R[a, a] > 0 for a in range(problem.q[0])])
        W = _within(problem)
        values, vectors = np.linalg.eigh(W)
        kept = values > WITHIN_RANK * problem.n
        half = vectors[:, kept] * np.sqrt(values[kept])
        return cls(problem, L, rng, live, W, half, problem.n - int(live.sum() + kept.sum()))

    def draw(self, count: int) -> tuple[Outcomes, Array]:
        """`count` outcomes; and Z2'y_w of the other factors, (M2, count)."""
        problem, rng, p = self.problem, self.rng, self.problem.p
        q, m = self.live.shape
        b1 = np.einsum("ab,bmr->amr", self.L[0], rng.standard_normal((q, m, count)))
        c = np.einsum("abm,bmr->amr", problem.R, b1)
        c += self.live[:, :, None] * rng.standard_normal((q, m, count))
        z = rng.standard_normal((self.half.shape[1], count))
        f, yy = self.half @ z, (z**2).sum(0)
        if self.spare > 0:
            yy += rng.chisquare(self.spare, count)
        if problem.second is not None:
            b2 = self._other_effects(count)
            c += np.asarray(problem.second.C @ b2).reshape(q, m, count)
            Wb = self.W[:, p:] @ b2
            yy += (b2 * (Wb[p:] + 2.0 * f[p:])).sum(0)
            f = f + Wb
        return Outcomes(c, f[:p], yy), f[p:]

    def _other_effects(self, count: int) -> Array:
        second = self.problem.second
        assert second is not None
        parts = [
            np.einsum("ab,lbr->lar", L, self.rng.standard_normal((levels, len(L), count)))
            for L, levels in zip(self.L[1:], second.levels, strict=True)
        ]
        return np.concatenate([part.reshape(-1, count) for part in parts])


def _within(problem: Problem) -> Array:
    """Cross-products of [X Z2] within the levels of the first factor."""
    p, second = problem.p, problem.second
    Wxx = problem.within[:p, :p]
    if second is None:
        return Wxx
    Wxz = second.within_xy[:, :p].T
    return np.block([[Wxx, Wxz], [Wxz.T, second.within]])


# --- refits --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Estimates of some outcomes in the engine's units; the outcome comes first."""

    theta: Array
    r2: Array
    beta: Array
    S_inverse: Array
    criterion: Array
    failed: NDArray[np.bool_]


def together(shared: lmm_batch.Shared, outcomes: Outcomes, start: Array) -> Part:
    """Many outcomes of a model with one factor; what does not settle so is fitted alone."""
    at, done = lmm_batch.minimise(shared, outcomes, start)
    found = Part(at.theta.T, at.r2, at.beta.T, at.S_inverse, at.criterion, ~done)
    for r in np.flatnonzero(~done):
        one = alone(shared.problem, outcomes.only(np.array([r])), np.empty((0, 1)), start)
        for name in Part.__slots__:
            getattr(found, name)[r] = getattr(one, name)[0]
    return found


def alone(problem: Problem, outcomes: Outcomes, lifted: Array, start: Array) -> Part:
    """One outcome, with any factors."""
    try:
        at, _ = minimise(with_outcome(problem, outcomes, lifted), start)
    except RecoveryError:
        p, nothing = problem.p, np.array([np.nan])
        beta, inverse = np.full((1, p), np.nan), np.full((1, p, p), np.nan)
        return Part(start[None], nothing, beta, inverse, nothing, np.array([True]))
    m = at.moments
    criterion = np.array([at.criterion])
    return Part(
        at.theta[None], np.array([m.r2]), m.beta[None], m.S_inverse[None], criterion,
        np.array([False]),
    )  # fmt: skip


def with_outcome(problem: Problem, outcomes: Outcomes, lifted: Array) -> Problem:
    """The problem with its outcome replaced by a simulated one."""
    p, c, within = problem.p, problem.c.copy(), problem.within.copy()
    c[:, p] = outcomes.c[..., 0]
    within[p, :p] = within[:p, p] = outcomes.within_xy[:, 0]
    within[p, p] = outcomes.within_yy[0]
    second = problem.second
    if second is not None:
        within_xy = second.within_xy.copy()
        within_xy[:, p] = lifted[:, 0]
        second = replace(second, within_xy=within_xy, triangle=_triangle(second, within, lifted))
    return replace(problem, c=c, within=within, second=second, alike=None)


def _triangle(second: Second, within: Array, lifted: Array) -> Array | None:
    """The triangle with its last column from the cross-products of another outcome."""
    if second.triangle is None:
        return None
    found, p = second.triangle.copy(), len(within) - 1
    onto = np.concatenate([lifted[:, 0], within[:p, p]])
    column = np.linalg.lstsq(found[:-1, :-1].T, onto, rcond=WITHIN_RANK)[0]
    left = float(within[p, p] - column @ column)
    found[:-1, -1], found[-1, -1] = column, np.sqrt(max(left, 1e-15 * float(within[p, p])))
    return found


def _in_users_units(problem: Problem, frame: Frame, truth: Truth, parts: list[Part]) -> Refits:
    theta = np.concatenate([p.theta for p in parts])
    beta = np.concatenate([p.beta for p in parts])
    S_inverse = np.concatenate([p.S_inverse for p in parts])
    r2 = np.concatenate([p.r2 for p in parts])
    criterion = np.concatenate([p.criterion for p in parts])
    gone = np.concatenate([p.failed for p in parts])
    sigma2 = truth.sigma2 * r2 / problem.nu
    psi = []
    for k in np.argsort(frame.order).tolist():
        L = np.zeros((len(theta), problem.q[k], problem.q[k]))
        for value, (which, i, j) in zip(theta.T, problem.entries(), strict=True):
            if which == k:
                L[:, i, j] = value
        TL = frame.T[k] @ _snapped(L, problem.blocks[k])
        psi.append(sigma2[:, None, None] * (TL @ TL.transpose(0, 2, 1)))
    for values in (sigma2, beta, S_inverse, criterion, *psi):
        values[gone] = np.nan
    return Refits(
        truth.beta + np.sqrt(truth.sigma2) * beta @ frame.A.T,
        sigma2[:, None, None] * (frame.A @ S_inverse @ frame.A.T),
        sigma2,
        tuple(psi),
        criterion,
        gone,
    )


def _snapped(L: Array, blocks: tuple[tuple[int, ...], ...]) -> Array:
    """Directions as good as zero put exactly there, as `lmm_optimum.settle` does."""
    out = np.zeros_like(L)
    for block in blocks:
        rows, columns = np.ix_(block, block)
        U, sizes, _ = np.linalg.svd(L[:, rows, columns])
        out[:, rows, columns] = U * np.where(sizes < NEAR_ZERO, 0.0, sizes)[:, None, :]
    return out
