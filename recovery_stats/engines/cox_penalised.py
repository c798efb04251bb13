"""Cox's model with smooth terms: a quadratic penalty on the coefficients of each.

The partial likelihood less Σ_j λ_j β'P_jβ / 2 is maximised. With I the information of the
partial likelihood, P = Σ λ_j P_j and V = (I + P)⁻¹, the effective degrees of freedom of a term
with the columns j are tr(V_jj⁻¹ (V I V)_jj): its number of columns without a penalty, one (a
straight line) under a very large one. λ_j follows from the degrees of freedom asked for, or
maximises the partial likelihood less the degrees of freedom (Akaike).

Source: Eilers & Marx 1996; Gray 1992. Checked: derivatives; the ends λ = 0 and λ → ∞;
R survival::pspline driven to convergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq, minimize_scalar

from recovery_stats.engines import cox
from recovery_stats.engines.cox import CoxFit, Summit, count_idle
from recovery_stats.engines.cox_likelihood import Moments, Problem, Ties, evaluate_moments, prepare
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import ConvergenceError, NotEstimable

SMOOTHEST, ROUGHEST = 18.0, -12.0  # log λ between which it is looked for, on the data's own scale
ROUNDS = 50  # of several smooth terms in turn
SETTLED = 1e-8  # degrees of freedom
DECREMENT = 1e-14  # a heavy penalty's own rounding leaves no more
STRIDE = 2.0  # in log λ, on the way to a bracket


@dataclass(frozen=True, slots=True, eq=False)
class Smooth:
    """A penalised term: its columns of X, the penalty's matrix, the df wanted (0: by Akaike)."""

    columns: tuple[int, ...]
    penalty: Array
    df: float


@dataclass(frozen=True, slots=True, eq=False)
class Penalised:
    """The likelihood with its penalty at a point; moments: without."""

    loglik: float
    score: Array
    information: Array
    moments: Moments


@dataclass(frozen=True, slots=True, eq=False)
class SmoothFit:
    """cox: estimates, with V as their covariance and the partial likelihood without penalty.

    sandwich (p, p): V I V, the covariance of the estimates about their own mean. penalty (p, p):
    P, of the scaled coefficients. lambdas (J,): of each smooth term.
    """

    cox: CoxFit
    sandwich: Array
    penalty: Array
    lambdas: Array

    def degrees(self, columns: list[int]) -> float:
        """Effective degrees of freedom of some of the columns."""
        own = np.ix_(columns, columns)
        return float(np.trace(np.linalg.solve(self.cox.covariance[own], self.sandwich[own])))


class Smoother:
    """Maximises for one set of λ after another, each from where the last one ended."""

    def __init__(self, problem: Problem, smooths: tuple[Smooth, ...], null: Moments) -> None:
        self.problem, self.smooths, self.null = problem, smooths, null
        self.at = np.zeros(len(problem.X))
        self.matrices = [self._scaled(s) for s in smooths]

    def _scaled(self, smooth: Smooth) -> Array:
        """The penalty over all (scaled) columns, in units of the information it competes with."""
        p, j = len(self.problem.X), list(smooth.columns)
        out = np.zeros((p, p))
        scale = self.problem.scale[j]
        out[np.ix_(j, j)] = smooth.penalty / np.outer(scale, scale)
        return out

    def unit(self, j: int) -> float:
        """The size of λ at which penalty and information weigh alike."""
        own = list(self.smooths[j].columns)
        trace = float(np.diag(self.null.information)[own].sum())
        return trace / float(np.trace(self.matrices[j]))

    def __call__(self, lambdas: Array) -> tuple[Array, Penalised]:
        P = np.einsum("j,jab->ab", lambdas, np.array(self.matrices))

        def evaluate(beta: Array) -> Penalised | None:
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                moments = evaluate_moments(self.problem, beta)
            if moments is None:
                return None
            pull = P @ beta
            loglik = moments.loglik - float(beta @ pull) / 2
            return Penalised(loglik, moments.score - pull, moments.information + P, moments)

        first = evaluate(self.at)
        if first is None:
            raise ConvergenceError("The partial likelihood is not finite at a hazard ratio of one.")
        self.at, top, _ = cox.maximise(evaluate, first, start=self.at, settled=DECREMENT)
        assert isinstance(top, Penalised)
        return self.at, top

    def degrees(self, j: int, top: Penalised) -> float:
        """Effective degrees of freedom of a smooth term."""
        V = invert(top.information)
        own = np.ix_(list(self.smooths[j].columns), list(self.smooths[j].columns))
        inner = (V @ top.moments.information @ V)[own]
        return float(np.trace(np.linalg.solve(V[own], inner)))


def invert(information: Array) -> Array:
    """Inverse of a positive definite matrix."""
    return np.asarray(cho_solve(cho_factor(information), np.eye(len(information))))


def fit(
    X: Array,
    stop: Array,
    event: NDArray[Any],
    smooths: tuple[Smooth, ...],
    *,
    start: Array | None = None,
    strata: Ints | None = None,
    weights: Array | None = None,
    offset: Array | None = None,
    ties: Ties = "efron",
) -> SmoothFit:
    """Fit a Cox model with at least one smooth term; the rest as for cox.fit.

    Raises NotEstimable for exact ties, without events, and where the data cannot tell as many
    degrees of freedom as asked.
    """
    if ties == "exact":
        raise NotEstimable("Smooth terms are not defined for exact ties; fit with ties='efron'.")
    problem = prepare(X, stop, event, start, strata, weights, offset, ties)
    null = cox.evaluate(problem, ties, np.zeros(X.shape[1]))
    assert isinstance(null, Moments)
    _refuse_aliased(problem, smooths, null)
    smoother = Smoother(problem, smooths, null)
    lambdas = _choose(smoother)
    beta, top = smoother(lambdas)
    return _finish(problem, smoother, lambdas, beta, top, null, stop, event, strata)


def _refuse_aliased(problem: Problem, smooths: tuple[Smooth, ...], null: Moments) -> None:
    """Columns that are not smooth must have variation of their own; the others have a penalty."""
    smooth = {j for s in smooths for j in s.columns}
    plain = [j for j in range(len(problem.X)) if j not in smooth]
    events = float(problem.mean_weight @ problem.risk.n_events)
    try:
        cox.refuse_aliased(null.information[np.ix_(plain, plain)], events)
    except cox.ColumnsNotEstimable as error:
        raise cox.ColumnsNotEstimable(
            tuple(plain[j] for j in error.columns), error.reason
        ) from None


def _choose(smoother: Smoother) -> Array:
    """λ of each smooth term in turn, the others as they stand, until none moves."""
    units = np.array([smoother.unit(j) for j in range(len(smoother.smooths))])
    logs = np.zeros(len(units))
    for _ in range(ROUNDS):
        before = logs.copy()
        for j in range(len(logs)):
            logs[j] = _choose_one(smoother, logs, units, j)
        if len(logs) == 1 or np.max(np.abs(logs - before)) < SETTLED:
            return np.asarray(units * np.exp(logs))
    raise ConvergenceError(f"The smooth terms did not settle in {ROUNDS} rounds.")


def _choose_one(smoother: Smoother, logs: Array, units: Array, j: int) -> float:
    wanted = smoother.smooths[j].df

    def at(log_lambda: float) -> Penalised:
        trial = logs.copy()
        trial[j] = log_lambda
        return smoother(units * np.exp(trial))[1]

    if wanted == 0:

        def cost(log_lambda: float) -> float:
            top = at(log_lambda)
            return smoother.degrees(j, top) - top.moments.loglik

        found = minimize_scalar(
            cost, bounds=(-8.0, 14.0), method="bounded", options={"xatol": 1e-7}
        )
        return float(found.x)

    def excess(log_lambda: float) -> float:
        return smoother.degrees(j, at(log_lambda)) - wanted

    here = logs[j]
    stride = STRIDE if excess(here) > 0 else -STRIDE
    while (excess(here + stride) > 0) == (stride > 0):
        here += stride
        if not ROUGHEST < here < SMOOTHEST:
            raise NotEstimable(
                f"The data cannot tell {wanted:g} degrees of freedom of a smooth term; ask for "
                "fewer."
            )
    return float(brentq(excess, *sorted((here, here + stride)), xtol=SETTLED))


def _finish(
    problem: Problem,
    smoother: Smoother,
    lambdas: Array,
    beta: Array,
    top: Penalised,
    null: Moments,
    stop: Array,
    event: NDArray[Any],
    strata: Ints | None,
) -> SmoothFit:
    scale = np.outer(problem.scale, problem.scale)
    V = invert(top.information)
    inner = V @ top.moments.information @ V
    fitted = CoxFit(
        beta=beta / problem.scale,
        covariance=V / scale,
        loglik_null=null.loglik,
        loglik=top.moments.loglik,
        score_statistic=float("nan"),
        wald=float(beta @ top.information @ beta),
        n=len(stop),
        n_events=int(np.count_nonzero(event)),
        steps=0,
        idle_strata=count_idle(strata, event),
        ties=problem.ties,
        reach=partial(Summit, problem, beta, top.moments),
    )
    P = top.information - top.moments.information
    return SmoothFit(fitted, inner / scale, P, lambdas)


def straight_line(beta: Array, V: Array, centres: Array) -> tuple[float, float, float]:
    """Slope of a smooth term, its error, and the Wald statistic of what is not straight.

    The line through the coefficients (k,) over the B-splines' centres, weighted by V⁻¹.
    """
    X = np.column_stack([np.ones(len(centres)), centres])
    WX = np.linalg.solve(V, X)
    C = np.linalg.solve(X.T @ WX, WX.T)[1]
    slope, variance = float(C @ beta), float(C @ V @ C)
    whole = float(beta @ np.linalg.solve(V, beta))
    return slope, float(np.sqrt(variance)), whole - slope**2 / variance
