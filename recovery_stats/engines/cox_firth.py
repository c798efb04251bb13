"""Firth's penalty for Cox's model: finite estimates where a covariate separates the events.

The penalised likelihood adds log det I(beta) / 2, with I the information: Jeffreys' prior, which
takes out the first-order bias and bounds the estimate. Its slope needs the derivative of I, taken
by central differences of four points. Wald intervals are no good under separation; `limits`
follows the profile.

Source: Firth 1993; Heinze & Schemper 2001. Checked: on paper; brute force.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2

from recovery_stats.engines.cox import (
    CoxFit,
    Evaluation,
    Summit,
    count_idle,
    evaluate,
    refuse_aliased,
)
from recovery_stats.engines.cox_likelihood import Moments, Problem, Ties, prepare
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import ConvergenceError

STEP = (
    1e-3  # of the differences, in standard deviations of a covariate; their error is its 4th power
)
DECREMENT = 1e-18
MAX_STEPS = 200
FARTHEST = 50.0  # limits beyond this many standard deviations are infinite


@dataclass(frozen=True, slots=True, eq=False)
class Penalised:
    """The penalised log-likelihood at a point; `plain` is the evaluation without penalty."""

    loglik: float
    plain: Evaluation


def evaluate_penalised(problem: Problem, ties: Ties, beta: Array) -> Penalised | None:
    """Log-likelihood plus half the log-determinant of the information; None where not finite.

    The information is that of the covariates in the caller's units, in which it is told.
    """
    plain = evaluate(problem, ties, beta)
    if plain is None:
        return None
    sign, logdet = np.linalg.slogdet(plain.information)
    in_units = float(np.log(problem.scale).sum())
    return Penalised(plain.loglik + logdet / 2 + in_units, plain) if sign > 0 else None


def slope(problem: Problem, ties: Ties, beta: Array, here: Penalised) -> Array:
    """Derivative of the penalised log-likelihood (p,)."""
    out = here.plain.score.copy()
    for j in range(len(beta)):
        logdet = []
        for s in (-2, -1, 1, 2):
            moved = beta.copy()
            moved[j] += s * STEP
            there = evaluate_penalised(problem, ties, moved)
            if there is None:
                raise ConvergenceError("Firth's penalty is not finite beside the estimate.")
            logdet.append(2 * (there.loglik - there.plain.loglik))
        out[j] += (logdet[0] - 8 * logdet[1] + 8 * logdet[2] - logdet[3]) / (24 * STEP)
    return out


def maximise(
    problem: Problem, ties: Ties, start: Array, free: NDArray[np.bool_]
) -> tuple[Array, Penalised, int]:
    """Climb from `start` in the coefficients that are `free` (p,), by BFGS from the information."""
    beta, here = start, evaluate_penalised(problem, ties, start)
    if here is None:
        raise ConvergenceError("Firth's penalised likelihood is not finite at the start.")
    uphill = slope(problem, ties, beta, here)[free]
    inverse = np.linalg.inv(here.plain.information[np.ix_(free, free)])
    for number in range(MAX_STEPS):
        step = np.zeros(len(beta))
        step[free] = inverse @ uphill
        if float(uphill @ step[free]) <= DECREMENT:
            return beta, here, number
        step, here = _advance(problem, ties, beta, step, here)
        beta = beta + step
        before, uphill = uphill, slope(problem, ties, beta, here)[free]
        inverse = _updated(inverse, step[free], before - uphill)
    raise ConvergenceError(f"Firth's Cox model did not converge in {MAX_STEPS} steps.")


def _advance(
    problem: Problem, ties: Ties, beta: Array, step: Array, here: Penalised
) -> tuple[Array, Penalised]:
    """The step, or half of it, that does not lower the penalised likelihood, and where it leads."""
    for _ in range(40):
        there = evaluate_penalised(problem, ties, beta + step)
        if there is not None and there.loglik >= here.loglik - 1e-11 * (1 + abs(here.loglik)):
            return step, there
        step = step / 2
    raise ConvergenceError("No step raises Firth's penalised likelihood further.")


def _updated(inverse: NDArray[Any], step: Array, fall: NDArray[Any]) -> Array:
    """BFGS: the inverse curvature that turns the fall of the slope into the step taken."""
    along = float(step @ fall)
    if along <= 0:
        return inverse
    keep = np.eye(len(step)) - np.outer(step, fall) / along
    return np.asarray(keep @ inverse @ keep.T + np.outer(step, step) / along)


def fit(
    X: Array,
    stop: Array,
    event: NDArray[Any],
    *,
    start: Array | None = None,
    strata: Ints | None = None,
    weights: Array | None = None,
    offset: Array | None = None,
    ties: Ties = "efron",
) -> CoxFit:
    """As cox.fit, with Firth's penalty: log-likelihoods are the penalised ones."""
    problem = prepare(X, stop, event, start, strata, weights, offset, ties)
    p = X.shape[1]
    null = evaluate(problem, ties, np.zeros(p))
    if null is None:
        raise ConvergenceError("The partial likelihood is not finite at a hazard ratio of one.")
    refuse_aliased(null.information, float(problem.mean_weight @ problem.risk.n_events))
    first = evaluate_penalised(problem, ties, np.zeros(p))
    assert first is not None
    beta, top, steps = maximise(problem, ties, np.zeros(p), np.ones(p, dtype=bool))
    inverse = np.linalg.inv(top.plain.information)
    return CoxFit(
        beta=beta / problem.scale,
        covariance=inverse / np.outer(problem.scale, problem.scale),
        loglik_null=first.loglik,
        loglik=top.loglik,
        score_statistic=float("nan"),
        wald=float(beta @ top.plain.information @ beta),
        n=len(stop),
        n_events=int(np.count_nonzero(event)),
        steps=steps,
        idle_strata=count_idle(strata, event),
        ties=ties,
        reach=partial(Summit, problem, beta, top.plain if isinstance(top.plain, Moments) else None),
    )


def gain(fit: CoxFit, columns: list[int]) -> float:
    """Twice the penalised log-likelihood that is lost with the coefficients `columns` at 0."""
    free = np.ones(len(fit.beta), dtype=bool)
    free[columns] = False
    start = np.where(free, fit.scaled_beta, 0.0)
    _, without, _ = maximise(fit.problem, fit.ties, start, free)
    return max(2 * (fit.loglik - without.loglik), 0.0)


def limits(fit: CoxFit, j: int, level: float = 0.95) -> tuple[float, float]:
    """Profile limits of coefficient j on the caller's scale; infinite where the profile is flat."""
    low, high = (_limit(fit, j, level, sign) for sign in (-1.0, 1.0))
    return low / float(fit.problem.scale[j]), high / float(fit.problem.scale[j])


def _limit(fit: CoxFit, j: int, level: float, sign: float) -> float:
    """Where the profile has fallen by half the quantile, on one side (scaled)."""
    drop = float(chi2.isf(1 - level, 1)) / 2
    free = np.arange(len(fit.beta)) != j
    last = fit.scaled_beta
    begin = float(last[j])

    def above(distance: float) -> float:
        nonlocal last
        start = last.copy()
        start[j] = begin + sign * distance
        last, top, _ = maximise(fit.problem, fit.ties, start, free)
        return top.loglik - fit.loglik + drop

    width = float(np.sqrt(2 * drop * fit.covariance[j, j])) * float(fit.problem.scale[j])
    inside, outside = 0.0, width
    while above(outside) > 0:
        inside, outside = outside, 1.6 * outside
        if outside > FARTHEST:
            return sign * float("inf")
    return begin + sign * float(brentq(above, inside, outside, xtol=1e-9))
