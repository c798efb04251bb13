"""Cox's proportional hazards model: the maximum of the partial likelihood, and its tests.

Newton's method from beta = 0 with halved steps, on centred and scaled covariates; what leaves is
on the caller's scale. Columns that have no finite estimate are found and named, never returned.

Source: Cox 1972; Efron 1977; Therneau & Grambsch 2000, ch. 3 and appendix E.
Checked: appendix E.1 on paper; brute force; finite differences; R survival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from recovery_stats.engines import cox_dense, cox_ordered
from recovery_stats.engines.cox_exact import evaluate_exact
from recovery_stats.engines.cox_likelihood import (
    Moments,
    Problem,
    Ties,
    evaluate_moments,
    prepare,
)
from recovery_stats.engines.linalg import all_finite
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import ConvergenceError, NotEstimable

DECREMENT = 1e-18  # score' information^-1 score: the squared step left, in standard errors
RUNAWAY = 1e-8  # information along the step has fallen by this since beta = 0: no finite maximum
CONSTANT = 1e-14  # share of a column's variance among those at risk together: rounding leaves more
ALIASED = 1e-9  # share of a column's variation left once the columns before it are taken out
NEARLY = 1e-6  # the decrement below which a step is looked at for whether it is
NEAR = 3e-11  # a step this short, of columns of unit variance, leaves all else as it is
MAX_STEPS = 60


class Evaluation(Protocol):
    """What Newton's method needs to know at a point."""

    @property
    def loglik(self) -> float: ...
    @property
    def score(self) -> Array: ...
    @property
    def information(self) -> Array: ...


class ColumnsNotEstimable(NotEstimable):
    """Columns of X (numbered from 0) without a finite estimate, and why; the caller names them."""

    def __init__(self, columns: tuple[int, ...], reason: str) -> None:
        self.columns, self.reason = columns, reason
        numbers = ", ".join(str(j + 1) for j in columns)
        super().__init__(f"Column {numbers} of the design: {reason}.")


@dataclass(frozen=True, slots=True, eq=False)
class Summit:
    """The maximum among sorted rows; scaled_beta and moments belong to `problem`.

    moments is None for exact ties.
    """

    problem: Problem
    scaled_beta: Array
    moments: Moments | None


@dataclass(frozen=True, eq=False)
class CoxFit:
    """A maximised partial likelihood, on the caller's scale of X.

    beta (p,), log hazard ratios; covariance (p, p), inverse information. score_statistic and
    wald: tests of beta = 0 with p degrees of freedom. idle_strata: strata without an event.
    reach: finds the summit, when residuals or the baseline hazard first ask for it.
    """

    beta: Array
    covariance: Array
    loglik_null: float
    loglik: float
    score_statistic: float
    wald: float
    n: int
    n_events: int
    steps: int
    idle_strata: int
    ties: Ties
    reach: Callable[[], Summit]

    @cached_property
    def summit(self) -> Summit:
        """The maximum among sorted rows."""
        return self.reach()

    @property
    def problem(self) -> Problem:
        """The rows, sorted, centred and scaled."""
        return self.summit.problem

    @property
    def scaled_beta(self) -> Array:
        """Log hazard ratios per standard deviation of X (p,)."""
        return self.summit.scaled_beta

    @property
    def moments(self) -> Moments | None:
        """Sums over the risk sets at the maximum; None for exact ties."""
        return self.summit.moments

    @property
    def likelihood_ratio(self) -> float:
        """Twice the gain in log-likelihood over beta = 0."""
        return 2 * (self.loglik - self.loglik_null)


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
    """Maximise the Cox partial likelihood.

    X (n, p). stop (n,), any unit; a row is at risk on (start, stop], from the beginning when
    start is None. event (n,) in {0, 1}. strata (n,) whole numbers from 0. weights (n,) > 0.
    offset (n,) joins the log hazard. Returns log hazard ratios per unit of X.
    Raises NotEstimable without events; ColumnsNotEstimable for columns that are constant in
    every risk set, combinations of others, or separate the events (infinite coefficient).
    """
    given = cox_dense.Rows(X, stop, event, start, strata, weights, offset)
    n_events = int(np.count_nonzero(event))
    at: Callable[[Array], Evaluation | None]
    problem = ordered = None
    if ties != "exact" and n_events and cox_ordered.suits(given):
        ordered = cox_ordered.prepare(given, ties)
    if ordered is not None:
        at = partial(cox_ordered.evaluate, ordered)
        scale, weight = ordered.scale, ordered.total_weight
    elif ties != "exact" and cox_dense.suits(len(stop), n_events):
        dense = cox_dense.prepare(given, ties)
        at = partial(cox_dense.evaluate, dense)
        scale, weight = dense.scale, dense.total_weight
    else:
        problem = prepare(*given, ties)
        at, scale = partial(evaluate, problem, ties), problem.scale
        weight = float(problem.mean_weight @ problem.risk.n_events)
    # A coefficient that runs away overflows before it is refused: no news for the screen.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        null = at(np.zeros(X.shape[1]))
        if null is None:
            raise ConvergenceError("The partial likelihood is not finite at a hazard ratio of one.")
        refuse_aliased(null.information, weight)
        beta, last, steps = maximise(at, null)
    inverse = _invert(last.information)
    return CoxFit(
        beta=beta / scale,
        covariance=inverse / (scale[:, None] * scale),
        loglik_null=null.loglik,
        loglik=last.loglik,
        score_statistic=float(null.score @ _solve(null.information, null.score)),
        wald=float(beta @ last.information @ beta),
        n=len(stop),
        n_events=n_events,
        steps=steps,
        idle_strata=count_idle(strata, event),
        ties=ties,
        reach=partial(_climbed, given, ties, beta / scale)
        if problem is None
        else partial(Summit, problem, beta, last if isinstance(last, Moments) else None),
    )


def count_idle(strata: Ints | None, event: NDArray[Any]) -> int:
    """How many strata have no event."""
    if strata is None:
        return 0
    people, events = np.bincount(strata), np.bincount(strata[np.asarray(event) != 0])
    return int(np.count_nonzero(people) - np.count_nonzero(events))


def _climbed(given: cox_dense.Rows, ties: Ties, beta: Array) -> Summit:
    """The summit of few rows, once somebody asks for what it leaves."""
    problem = prepare(*given, ties)
    scaled = beta * problem.scale
    return Summit(problem, scaled, evaluate_moments(problem, scaled))


def evaluate(problem: Problem, ties: Ties, beta: Array) -> Evaluation | None:
    """The likelihood at beta (scaled) as the treatment of ties has it; None where not finite."""
    # A coefficient that runs away overflows before it is refused: no news for the screen.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return (evaluate_exact if ties == "exact" else evaluate_moments)(problem, beta)


# --- Newton's method -----------------------------------------------------------------------


def _invert(information: Array) -> Array:
    """Inverse of a positive definite matrix."""
    return _solve(information, np.eye(len(information)))


def _solve(information: Array, right: Array) -> Array:
    """Solve a positive definite system, by LAPACK itself: of few columns its wrapper takes longer.

    Raises LinAlgError where the matrix is not positive definite, or not finite.
    """
    if not len(information):
        return right
    _, solved, failed = lapack.dposv(information, right)
    if failed or not all_finite(solved):
        raise np.linalg.LinAlgError("The information is not positive definite.")
    return np.asarray(solved)


def refuse_aliased(information: Array, events: float) -> None:
    """Raise ColumnsNotEstimable for columns without variation of their own in any risk set.

    information (p, p): at beta = 0, of columns scaled to unit variance; events: their weight.
    Gaussian elimination in the order of the columns, each measured against its own variation.
    """
    if not len(information):
        return
    own = information.diagonal()
    factor, singular = lapack.dpotrf(information)
    if not singular and (np.square(factor.diagonal()) > ALIASED * np.maximum(own, events)).all():
        return
    left, own = information.copy(), own.copy()
    constant = tuple(np.flatnonzero(own <= CONSTANT * events).tolist())
    if constant:
        raise ColumnsNotEstimable(
            constant, "no variation among those at risk together, so nothing to compare"
        )
    combined = []
    for j in range(len(left)):
        if left[j, j] <= ALIASED * own[j]:
            combined.append(j)
            continue
        left -= np.outer(left[:, j], left[j]) / left[j, j]
    if combined:
        raise ColumnsNotEstimable(
            tuple(combined), "a combination of the terms before; leave one of them out"
        )


def maximise(
    evaluate: Callable[[Array], Evaluation | None],
    first: Evaluation,
    start: Array | None = None,
    settled: float = DECREMENT,
) -> tuple[Array, Evaluation, int]:
    """Newton steps from `start` (0), halved while the log-likelihood falls or is not finite.

    first: the evaluation at the start. settled: the decrement at which to stop. Returns the
    scaled beta, the evaluation there and the number of steps.
    """
    at_start = first.information
    beta, here = np.zeros(len(at_start)) if start is None else start, first
    for step_number in range(MAX_STEPS):
        step = _newton_step(here.score, here.information, beta)
        decrement = float(here.score @ step)
        if decrement <= settled:
            return beta, here, step_number
        if decrement < NEARLY and np.abs(step).max() <= NEAR:
            return beta + step, here, step_number
        # On separated data Newton's steps keep their length while the information along them
        # (the decrement) falls by a constant factor; at a finite maximum the steps vanish.
        if decrement <= RUNAWAY * float(step @ at_start @ step):
            raise _runaway(step)
        beta, here = _advance(evaluate, beta, step, here, decrement)
    raise ConvergenceError(f"The Cox model did not converge in {MAX_STEPS} Newton steps.")


def _newton_step(score: Array, information: Array, beta: Array) -> Array:
    """Solve information · step = score; a singular information means a coefficient ran away."""
    try:
        return _solve(information, score)
    except np.linalg.LinAlgError:
        raise _runaway(beta) from None


def _runaway(direction: Array) -> ColumnsNotEstimable:
    """Name the columns along which the likelihood rises for ever."""
    size = np.abs(direction)
    columns = tuple(np.flatnonzero(size > 0.1 * size.max(initial=0)).tolist())
    return ColumnsNotEstimable(
        columns,
        "separation of those with the event from those without: the likelihood rises for ever "
        "and no finite estimate exists; merge levels, leave it out, or fit with penalty='firth'",
    )


def _advance(
    evaluate: Callable[[Array], Evaluation | None],
    beta: Array,
    step: Array,
    here: Evaluation,
    decrement: float,
) -> tuple[Array, Evaluation]:
    """Take the step, or half of it, until the log-likelihood does not fall."""
    floor = here.loglik - 1e-11 * (1 + abs(here.loglik))
    for _ in range(40):
        there = evaluate(beta + step)
        if there is not None and there.loglik >= floor:
            return beta + step, there
        step = step / 2
    raise ConvergenceError(
        f"No step raises the partial likelihood further (Newton decrement {decrement:.1e})."
    )
