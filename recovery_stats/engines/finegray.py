"""Fine and Gray's model: proportional hazards of the subdistribution of one cause.

The maximum of the likelihood of engines/finegray_risk.py by Newton's method; the covariance is
the sandwich of what each row contributes (engines/finegray_influence.py), which counts that the
censoring curve is estimated.

Source: Fine & Gray 1999; Zhou et al. 2012 (clusters). Checked: without other causes it is
Breslow's Cox model with robust errors; derivatives in the weight of a row; cmprsk 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines import finegray_influence
from recovery_stats.engines.cox import maximise, refuse_aliased
from recovery_stats.engines.finegray_influence import by_cluster, score_residuals
from recovery_stats.engines.finegray_risk import Evaluation, Problem, evaluate, prepare
from recovery_stats.engines.risk_set import Array, Ints, merge_close
from recovery_stats.errors import ConvergenceError


@dataclass(frozen=True, slots=True, eq=False)
class FineGrayFit:
    """Maximum on the caller's scale: beta (p,), log subdistribution hazard ratios.

    covariance (p, p): the sandwich, by cluster where given; by_row (p, p): without clusters.
    influence (n, p): each row's step of the scaled beta, times its weight. scaled_beta and last
    belong to `problem`.
    """

    beta: Array
    covariance: Array
    by_row: Array
    loglik_null: float
    loglik: float
    n_events: int
    n_other: int
    n_censored: int
    steps: int
    problem: Problem
    last: Evaluation
    scaled_beta: Array
    influence: Array
    cluster: Ints | None


def fit(
    X: Array,
    stop: Array,
    cause: Ints,
    *,
    of: int = 1,
    weights: Array | None = None,
    offset: Array | None = None,
    cluster: Ints | None = None,
    censoring: Ints | None = None,
) -> FineGrayFit:
    """Fit the subdistribution hazard of cause `of`.

    X (n, p), fixed in time. stop (n,), everyone observed from 0. cause (n,): 0 censored, else
    the cause. weights (n,) > 0. offset (n,) joins the log hazard. cluster (n,): rows of one are
    summed in the sandwich. censoring (n,): groups, whole numbers from 0, that each have a
    censoring curve.
    Raises NotEstimable without events of the cause, and as cox.fit does for columns without a
    finite estimate.
    """
    (stop,) = merge_close(stop)
    problem = prepare(X, stop, cause, of, weights, offset, censoring)
    null = evaluate(problem, np.zeros(X.shape[1]))
    if null is None:
        raise ConvergenceError("The likelihood is not finite at a hazard ratio of one.")
    refuse_aliased(null.information, float(problem.d.sum()))
    beta, last, steps = maximise(lambda b: evaluate(problem, b), null)
    assert isinstance(last, Evaluation)
    inverse = np.linalg.inv(last.information)
    influence = problem.weight[:, None] * score_residuals(problem, last) @ inverse
    summed = by_cluster(influence, cluster)
    units = np.outer(problem.scale, problem.scale)
    return FineGrayFit(
        beta=beta / problem.scale,
        covariance=summed.T @ summed / units,
        by_row=influence.T @ influence / units,
        loglik_null=null.loglik,
        loglik=last.loglik,
        n_events=int(problem.own.sum()),
        n_other=int((problem.gone > 0).sum()),
        n_censored=int(problem.censored.sum()),
        steps=steps,
        problem=problem,
        last=last,
        scaled_beta=beta,
        influence=influence,
        cluster=cluster,
    )


def cumulative_hazard(
    fit: FineGrayFit, X: Array, times: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """Cumulative subdistribution hazard of new rows X (m, p) at times (T,), with errors: (m, T)."""
    problem = fit.problem
    base = finegray_influence.baseline(problem, fit.last, fit.influence, fit.cluster, times)
    x = (X - problem.centre) / problem.scale
    shift = 0.0 if offset is None else offset
    relative = np.exp(x @ fit.scaled_beta + shift)[:, None]
    V = fit.covariance * np.outer(problem.scale, problem.scale)
    q = x[:, None, :] * base.hazard[None, :, None] - base.drift[None]
    spread = base.variance + 2 * (q * base.cross).sum(axis=-1) + ((q @ V) * q).sum(axis=-1)
    return relative * base.hazard, relative * np.sqrt(np.maximum(spread, 0.0))
