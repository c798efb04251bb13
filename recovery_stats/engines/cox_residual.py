"""What a fitted Cox model leaves: residuals, robust covariance, proportionality, baseline hazard.

All of it comes from the sums of the last evaluation (engines/cox.py), without another pass
over risk sets. Rows come back in the caller's order.

Source: Therneau & Grambsch 2000, chapters 4, 6 and 7 and appendix E; Grambsch & Therneau 1994;
Lin & Wei 1989. Checked: appendix E.1; brute force; R survival 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import xlogy

from recovery_stats.engines.cox import CoxFit
from recovery_stats.engines.cox_likelihood import Moments, information_at
from recovery_stats.engines.risk_set import PIECE, Array, Ints
from recovery_stats.errors import NotEstimable

Transform = Literal["km", "identity", "log", "rank"]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Hazard increments at each event time (K,) for average covariates and offset 0.

    time, stratum (K,); hazard (K,); drift (K, p): hazard times the risk set's mean
    covariates (scaled); variance (K,): increments of the variance with beta known.
    """

    time: Array
    stratum: Ints
    hazard: Array
    drift: Array
    variance: Array


def moments_of(fit: CoxFit) -> Moments:
    """The evaluation at the estimate; the discrete likelihood has none."""
    if fit.moments is None:
        raise NotEstimable(
            "Residuals, robust errors and baseline hazards are not defined for exact ties; "
            "fit with ties='efron'."
        )
    return fit.moments


def linear_predictor(fit: CoxFit, X: Array) -> Array:
    """log hazard relative to a row with average covariates: (n,)."""
    return np.asarray((X - fit.problem.centre) @ fit.beta)


def row_by_row(X: Array, beta: Array) -> Array:
    """X beta (n,), each row summed in one order: equal rows give equal numbers, to the last bit.

    A matrix product may round equal rows apart. By pieces that stay in the processor's cache.
    """
    out = np.zeros(len(X))
    room = np.empty(min(len(X), PIECE))
    for begin in range(0, len(X), PIECE):
        here = slice(begin, begin + PIECE)
        total, product = out[here], room[: len(out[here])]
        for j, b in enumerate(beta):
            np.multiply(X[here, j], b, out=product)
            total += product
    return out


def martingale(fit: CoxFit) -> Array:
    """Events observed minus expected, one for each row (n,), not multiplied by the weight."""
    problem = fit.problem
    expected = moments_of(fit).v / problem.weight
    residual = -expected
    residual[problem.risk.died] += 1.0
    return problem.risk.unsort(residual)


def symmetric(martingale: Array, events: Array) -> Array:
    """Martingale residuals made symmetric: signed square roots of the deviance, (n,).

    events (n,): how many each row (or person, where their rows were summed) had.
    """
    inside = martingale + xlogy(events, np.maximum(events - martingale, np.finfo(float).tiny))
    inside -= xlogy(events, events)
    return np.asarray(np.sign(martingale) * np.sqrt(np.maximum(-2 * inside, 0.0)))


def score(fit: CoxFit) -> Array:
    """Each row's share of the score vector (n, p), not multiplied by the weight."""
    return np.asarray(_scaled_score(fit) * fit.problem.scale)


def _scaled_score(fit: CoxFit) -> Array:
    """Score residuals for the scaled covariates, in the caller's order."""
    problem, moments = fit.problem, moments_of(fit)
    risk, z = problem.risk, moments.hazard
    p = len(problem.X)
    out = np.empty((len(risk.order), p))
    relative = z.r / problem.weight
    martingale_part = -moments.v / problem.weight
    martingale_part[risk.died] += 1.0
    mean = mean_covariates(fit)
    Q = z.A * moments.S1 - z.B * moments.S1D
    q = z.B * moments.S1 - z.C * moments.S1D
    for j in range(p):
        column = problem.X[j] * martingale_part
        column += relative * risk.accumulate(Q[j], by_tree=z.by_tree)
        column[risk.died] -= relative[risk.died] * q[j][risk.died_at] + mean[j][risk.died_at]
        out[:, j] = column
    return risk.unsort(out)


def mean_covariates(fit: CoxFit) -> Array:
    """Average over each time's tied elements of the weighted mean of X at risk (p, K), scaled."""
    moments = moments_of(fit)
    z = moments.hazard
    return np.asarray((moments.S1 * z.a1 - moments.S1D * z.ca1) / fit.problem.risk.n_events)


def schoenfeld(fit: CoxFit) -> tuple[Array, Ints, Array]:
    """Covariates of each event less their expectation.

    Returns residuals (D, p) on the caller's scale, the row numbers (D,) and the event times,
    sorted by stratum and time.
    """
    risk = fit.problem.risk
    residual = fit.problem.X[:, risk.died] - mean_covariates(fit)[:, risk.died_at]
    return residual.T * fit.problem.scale, risk.order[risk.died], risk.time[risk.died_at]


def scaled_schoenfeld(fit: CoxFit) -> tuple[Array, Ints, Array]:
    """Schoenfeld residuals as estimates of beta(t): beta + D · residual · covariance."""
    residual, rows, time = schoenfeld(fit)
    return len(rows) * residual @ fit.covariance + fit.beta, rows, time


def dfbeta(fit: CoxFit) -> Array:
    """About how much each row moves beta (n, p), times its weight."""
    weight = np.ones(fit.n)
    weight[fit.problem.risk.order] = fit.problem.weight
    return np.asarray((score(fit) @ fit.covariance) * weight[:, None])


def robust_covariance(fit: CoxFit, cluster: Ints | None = None) -> Array:
    """Sandwich covariance (p, p) of Lin & Wei; rows of one `cluster` (n,) are summed first."""
    influence = dfbeta(fit)
    if cluster is not None:
        size = int(cluster.max()) + 1
        influence = np.column_stack(
            [np.bincount(cluster, influence[:, j], size) for j in range(influence.shape[1])]
        )
    return np.asarray(influence.T @ influence)


@dataclass(frozen=True, slots=True, eq=False)
class Proportionality:
    """Score tests of beta_j(t) = beta_j + gamma_j g(t): one for each term, one for all."""

    statistic: Array
    df: Ints
    overall: float
    overall_df: int


def proportionality(
    fit: CoxFit,
    g: Array,
    terms: tuple[tuple[int, ...], ...],
    penalty: Array | None = None,
) -> Proportionality:
    """Test proportional hazards against effects that change with g(t).

    g (K,): value at each event time. terms: the columns of each term. The score of
    (beta, gamma) at (beta-hat, 0) against the information of both, as in survival >= 3.0.
    penalty (p, p): on scaled beta, in a smoothed model, and then on gamma too.
    """
    moments = moments_of(fit)
    problem = fit.problem
    g = g - np.average(g, weights=problem.risk.n_events)
    residual = problem.X[:, problem.risk.died] - mean_covariates(fit)[:, problem.risk.died_at]
    weight = problem.weight[problem.risk.died] * g[problem.risk.died_at]
    U = residual @ weight
    cross = information_at(problem, moments, g)
    own = information_at(problem, moments, g * g)
    P = np.zeros_like(own) if penalty is None else penalty
    V = own + P - cross @ np.linalg.solve(moments.information + P, cross)
    tests = [_quadratic(U, V, list(columns)) for columns in terms]
    everything = list(range(len(U)))
    return Proportionality(
        np.array(tests),
        np.array([len(columns) for columns in terms]),
        _quadratic(U, V, everything),
        len(U),
    )


def _quadratic(U: Array, V: Array, columns: list[int]) -> float:
    block = V[np.ix_(columns, columns)]
    return float(U[columns] @ np.linalg.lstsq(block, U[columns], rcond=None)[0])


def transform_times(
    fit: CoxFit, kind: Transform, stop: Array, survival_before: Array | None = None
) -> Array:
    """g(t) at each event time (K,): 'identity', 'log', 'rank' or 'km'.

    stop (n,): the times of all rows, among which 'rank' takes the mean rank.
    survival_before (K,): Kaplan-Meier of everyone just before each event time, for 'km'.
    """
    time = fit.problem.risk.time
    if kind == "log":
        return np.log(time)
    if kind == "rank":
        ordered = np.sort(stop)
        below = np.searchsorted(ordered, time, side="left")
        return (below + np.searchsorted(ordered, time, side="right") + 1) / 2
    if kind == "km" and survival_before is not None:
        return 1.0 - survival_before
    return time


def baseline(fit: CoxFit) -> Baseline:
    """Breslow's (with Efron ties: Efron's) hazard increments at average covariates."""
    moments = moments_of(fit)
    z, risk = moments.hazard, fit.problem.risk
    unshift = np.exp(-z.shift)
    drift = (z.A * moments.S1 - z.B * moments.S1D).T * unshift
    a2 = z.A * unshift**2
    return Baseline(risk.time, risk.stratum, z.h * unshift, drift, a2)


def _scaled_covariance(fit: CoxFit, covariance: Array | None) -> Array:
    V = fit.covariance if covariance is None else covariance
    return np.asarray(V * np.outer(fit.problem.scale, fit.problem.scale))


def cumulative_hazard(
    fit: CoxFit, X: Array, stratum: int = 0, covariance: Array | None = None
) -> tuple[Array, Array, Array]:
    """Expected cumulative hazard of new rows X (n, p) in a stratum.

    covariance (p, p): of beta, where another than the model's is to be believed.

    Returns event times (T,), hazard (n, T) and its standard error (n, T), which counts the
    estimation of both the baseline and beta. `stratum` is the number given to `fit`.
    """
    base = baseline(fit)
    here = base.stratum == stratum
    x = (X - fit.problem.centre) / fit.problem.scale
    relative = np.exp(x @ fit.scaled_beta)[:, None]
    H = np.cumsum(base.hazard[here])
    drift = np.cumsum(base.drift[here], axis=0)
    q = x[:, None, :] * H[None, :, None] - drift[None]
    V = _scaled_covariance(fit, covariance)
    spread = np.einsum("nti,ij,ntj->nt", q, V, q)
    se = relative * np.sqrt(np.cumsum(base.variance[here])[None] + spread)
    return base.time[here], relative * H, se


def hazard_along(
    fit: CoxFit,
    X: Array,
    start: Array,
    stop: Array,
    relative: Array,
    stratum: int = 0,
    covariance: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Expected cumulative hazard of one person along a path of covariates.

    X (m, p), relative (m,): covariates and further factor of the hazard on (start, stop], rows
    in order without overlap. Returns the event times (T,) in these rows, hazard (T,) and its
    standard error (T,), which counts the estimation of the baseline and of beta.
    """
    base = baseline(fit)
    row = np.searchsorted(stop, base.time, side="left")
    inside = (base.stratum == stratum) & (row < len(stop))
    inside &= start[np.minimum(row, len(stop) - 1)] < base.time
    row = row[inside]
    x = (X[row] - fit.problem.centre) / fit.problem.scale
    r = np.exp(x @ fit.scaled_beta) * relative[row]
    dH = base.hazard[inside]
    q = np.cumsum(r[:, None] * (x * dH[:, None] - base.drift[inside]), axis=0)
    V = _scaled_covariance(fit, covariance)
    variance = np.cumsum(r**2 * base.variance[inside]) + np.einsum("ti,ij,tj->t", q, V, q)
    return base.time[inside], np.cumsum(r * dH), np.sqrt(variance)
