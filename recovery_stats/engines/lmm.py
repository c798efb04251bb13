"""Linear mixed models by REML or ML, for grouping factors nested, crossed or alone.

y = X beta + sum_k Z_k b_k + e,  e ~ N(0, s2 / w),  b_k of a level ~ N(0, s2 Psi_k).

`lmm_groups` sums the data up by group in orthogonal units, `lmm_criterion` gives the profiled
criterion with its derivatives, `lmm_optimum` finds its minimum; here the answer is brought back
into the user's units. `lmm_df` adds degrees of freedom, `lmm_robust` errors by cluster.
Checked: dense formulas, finite differences, collapse to least squares, balanced closed forms,
units and origins, the reference cases (tests/engines/test_lmm.py, tests/models/test_mixed.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from recovery_stats.engines.linalg import Array, clearly_full, single_thread
from recovery_stats.engines.lmm_criterion import Solution, evaluate
from recovery_stats.engines.lmm_groups import Frame, Problem, RandomFactor
from recovery_stats.engines.lmm_moments import Moments, first_blocks
from recovery_stats.engines.lmm_optimum import NEAR_ZERO, lifted, minimise, settle
from recovery_stats.engines.lmm_prepare import loses_digits, prepare
from recovery_stats.engines.lmm_second import affordable
from recovery_stats.engines.lmm_start import starting_values
from recovery_stats.errors import ConvergenceError

HOPELESS = 2e3  # ratio of standard deviations beyond which quick sums only lead astray
MAX_SHIFTS = 3
CLOSE = 1e3  # the outcome's square over the residual's that costs three digits

__all__ = ["LmmFit", "RandomFactor", "evaluate", "fit", "minimise", "prepare"]


@dataclass(frozen=True)
class LmmFit:
    """A fitted model in the user's units.

    beta (p,), covariance (p, p) of beta, sigma2; psi: covariance (q_k, q_k) of each factor's
    effects, in the order given; effects: (levels, q_k), effect_variance: (levels, q_k, q_k), the
    variance of predicted minus true effect, beta unknown. criterion: deviance (REML or ML).
    rank: rank of each psi; singular when any is short. boundary: the derivative test that the
    zero directions belong at zero. The last three fields are for the degrees of freedom.
    """

    beta: Array
    covariance: Array
    sigma2: float
    psi: tuple[Array, ...]
    criterion: float
    reml: bool
    n: int
    p: int
    n_theta: int
    rank: tuple[int, ...]
    singular: bool
    boundary: bool
    iterations: int
    problem: Problem
    solution: Solution
    frame: Frame

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.criterion

    @property
    def n_parameters(self) -> int:
        return self.p + self.n_theta + 1

    @property
    def effects(self) -> tuple[Array, ...]:
        return self._modes[0]

    @property
    def effect_variance(self) -> tuple[Array, ...]:
        return self._modes[1]

    @cached_property
    def _modes(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Effects and their variances; only when asked for, as they are as many as the groups."""
        effects, variances = [], []
        for k in np.argsort(self.frame.order).tolist():
            T, L = self.frame.T[k], self.solution.L[k]
            mode, spread = _effects(self.problem, self.solution.moments, k, L @ L.T)
            effects.append(self.frame.scale * mode @ T.T)
            variances.append(self.sigma2 * T @ spread @ T.T)
        return tuple(effects), tuple(variances)


def fit(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    *,
    reml: bool = True,
    weights: Array | None = None,
    offset: Array | None = None,
) -> LmmFit:
    """Fit by REML (or ML) with prior weights (n,) > 0 and offset (n,).

    X (n, p) of full column rank with p < n; no missing values.
    Raises NotEstimable when the outcome has no residual variation, when an effect does not vary
    within any group, ConvergenceError when the criterion has no minimum.
    """
    made = partial(prepare, X, y, factors, reml=reml, weights=weights, offset=offset)
    with single_thread():
        problem, frame, solution, visits = _quickly(made)
        if loses_digits(problem, solution.L):
            problem, frame, solution, more = _carefully(made, solution)
            visits += more
        solution, boundary = settle(problem, solution)
        return _finish(problem, solution, frame, visits, boundary)


Made = Callable[..., tuple[Problem, Frame]]
Found = tuple[Problem, Frame, Solution, int]


def _quickly(made: Made) -> Found:
    """The minimum by quick sums; where several factors lead these astray, by careful ones, or, as
    far as careful ones lose digits yet, their start."""
    problem, frame = made()
    if problem.second is None or not affordable(problem.second):
        return problem, frame, *minimise(problem)
    try:
        return problem, frame, *minimise(problem, largest=HOPELESS)
    except ConvergenceError:
        problem, frame = made(careful=True)
    start = evaluate(problem, starting_values(problem))
    if loses_digits(problem, start.L):
        return problem, frame, start, 1
    return problem, frame, *minimise(problem)


def _carefully(made: Made, near: Solution) -> Found:
    """The minimum by careful sums, with the coefficients near it taken out of the outcome, so that
    what the residual has left is no difference of large squares."""
    shift, visits = near.moments.beta, 0
    for _ in range(MAX_SHIFTS):
        problem, frame = made(careful=True, shift=shift)
        solution, more = minimise(problem, lifted(problem, near.theta))
        visits, near, at = visits + more, solution, solution.moments
        if at.S[-1, -1] < CLOSE * at.r2:
            break
        shift = shift + at.beta
    return problem, frame, solution, visits


def _finish(
    problem: Problem,
    at: Solution,
    frame: Frame,
    iterations: int,
    boundary: bool,
) -> LmmFit:
    s2 = at.moments.r2 / problem.nu
    sigma2 = s2 * frame.scale**2
    criterion = at.criterion + problem.nu * 2.0 * np.log(frame.scale) - frame.log_weights
    if problem.reml:
        criterion -= 2.0 * float(np.log(np.abs(np.diagonal(frame.A))).sum())  # A is triangular
    psi, rank = [], []
    for k in np.argsort(frame.order).tolist():
        T, Psi = frame.T[k], at.L[k] @ at.L[k].T
        psi.append(sigma2 * T @ Psi @ T.T)
        rank.append(_rank(at.L[k], problem.blocks[k]))
    sizes = [len(P) for P in psi]
    return LmmFit(
        frame.start + frame.scale * frame.A @ at.moments.beta,
        sigma2 * frame.A @ at.moments.S_inverse @ frame.A.T,
        sigma2,
        tuple(psi),
        float(criterion),
        problem.reml,
        problem.n,
        problem.p,
        len(at.theta),
        tuple(rank),
        any(r < q for r, q in zip(rank, sizes, strict=True)),
        boundary,
        iterations,
        problem,
        at,
        frame,
    )


def _rank(L: Array, blocks: tuple[tuple[int, ...], ...]) -> int:
    if clearly_full(L, NEAR_ZERO):
        return len(L)
    sizes = [np.linalg.svd(L[np.ix_(b, b)], compute_uv=False) for b in blocks]
    return int(sum((s > 0).sum() for s in sizes))


def _effects(problem: Problem, at: Moments, k: int, Psi: Array) -> tuple[Array, Array]:
    """Predicted effects (levels, q) and the variance (levels, q, q) of their error, over s2.

    Psi - Psi (T - H Sxx⁻¹ H') Psi: Henderson's prediction error variance.
    """
    if k == 0:
        blocks, H = first_blocks(at).transpose(2, 0, 1), at.H1.transpose(2, 0, 1)
    else:
        assert problem.second is not None
        assert at.second is not None
        blocks = at.second.blocks(k - 1)
        H = problem.second.effects(k - 1, at.second.H2)
    Hx = H[:, :, : problem.p]
    known = blocks - Hx @ at.S_inverse @ Hx.transpose(0, 2, 1)
    return (H @ at.v) @ Psi.T, Psi - Psi @ known @ Psi
