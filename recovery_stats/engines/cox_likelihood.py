"""The partial likelihood of Cox's model with its score and information, in two passes of the data.

Notation: r_i = w_i exp(eta_i); at event time k, S0, S1 sum r and r*x over the risk set, S0D,
S1D over the d events. Efron spreads the d tied events over l = 0 … d-1, each with c = l/d and
a = 1 / (S0 - c S0D); Breslow has c = 0. With w̄ the mean weight of the events at k,

    h = w̄ Σa,  g = w̄ Σca,  A = w̄ Σa²,  B = w̄ Σca²,  C = w̄ Σc²a²
    v_i = r_i (Σ_{k: i at risk} h_k  -  [i has the event at k] g_k)
    score       = Xᵀ(wδ - v), Xᵀ times the weighted martingale residuals
    information = Xᵀ diag(v) X - Σ_k [A S1S1ᵀ - B (S1 S1Dᵀ + S1D S1ᵀ) + C S1D S1Dᵀ]

Covariates are centred and scaled inside; what leaves is on the caller's scale.

Source: Cox 1972; Efron 1977; Therneau & Grambsch 2000, ch. 3 and appendix E.
Checked: appendix E.1 on paper; brute force; finite differences; R survival.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import risk_set
from recovery_stats.engines.risk_set import Array, Ints, RiskSets
from recovery_stats.errors import NotEstimable

Ties = Literal["efron", "breslow", "exact"]

LOST_DIGITS = 1e5  # a difference this much smaller than its parts goes to the tree


class NoEvent(NotEstimable):
    """Nobody had the event; the caller knows who they are and which column said so."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What an evaluation needs, rows sorted as in `risk`.

    X (p, m) centred and scaled. weight, offset (m,); observed (p,), observed_offset: the events'
    weighted sums of X and offset. mean_weight (K,): of the events. centre, scale (p,).
    share, share_at (E,): c and k of each element of the tied sets; empty when none is needed.
    """

    risk: RiskSets
    ties: Ties
    X: Array
    observed: Array
    weight: Array
    offset: Array
    observed_offset: float
    mean_weight: Array
    centre: Array
    scale: Array
    share: Array
    share_at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Hazard:
    """The part of an evaluation that needs no covariates; arrays are (m,) or (K,).

    loglik, r, and the sums over tied elements named in the module's docstring; a1 = Σa and
    ca1 = Σca without weights. S0 stands for exp(eta - shift). by_tree: sums avoid subtraction.
    """

    loglik: float
    shift: float
    r: Array
    S0: Array
    a1: Array
    ca1: Array
    h: Array
    g: Array
    A: Array
    B: Array
    C: Array
    by_tree: bool


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """A whole evaluation: score (p,), information (p, p), S1 and S1D (p, K), v (m,)."""

    hazard: Hazard
    score: Array
    information: Array
    S1: Array
    S1D: Array
    v: Array

    @property
    def loglik(self) -> float:
        """Log partial likelihood."""
        return self.hazard.loglik


def prepare(
    X: Array,
    stop: Array,
    event: NDArray[Any],
    start: Array | None,
    strata: Ints | None,
    weights: Array | None,
    offset: Array | None,
    ties: Ties,
) -> Problem:
    """Number the risk sets, sort the rows, centre and scale the covariates."""
    died = np.asarray(event) != 0
    if not died.any():
        raise NoEvent("No event was observed, so no hazard ratio can be estimated.")
    if ties == "exact" and weights is not None:
        raise NotEstimable("Exact ties have no likelihood with weights; use ties='efron'.")
    risk = risk_set.number(stop, died, start, strata)
    sorted_weight = (
        np.ones(len(risk.order)) if weights is None else np.asarray(weights, float)[risk.order]
    )
    event_weight = sorted_weight[risk.died]
    sorted_offset = np.zeros(len(risk.order)) if offset is None else np.asarray(offset)[risk.order]
    ended = np.zeros(len(risk.order))
    ended[risk.died] = event_weight
    centre, scale, Xs, observed = _standardise(X, risk.order, ended)
    share, share_at = _tied_elements(risk.n_events, ties)
    return Problem(
        risk=risk,
        ties=ties,
        X=Xs,
        observed=observed,
        weight=sorted_weight,
        offset=sorted_offset,
        observed_offset=float(event_weight @ sorted_offset[risk.died]),
        mean_weight=risk.deaths.sum(event_weight) / risk.n_events,
        centre=centre,
        scale=scale,
        share=share,
        share_at=share_at,
    )


def with_offset(problem: Problem, offset: Array) -> Problem:
    """The same problem with another offset (m,)."""
    risk = problem.risk
    observed = float(problem.weight[risk.died] @ offset[risk.died])
    return replace(problem, offset=offset, observed_offset=observed)


def _standardise(X: Array, order: Ints, weight: Array) -> tuple[Array, Array, Array, Array]:
    """Centre, scale, the sorted (p, m) copy and its sums by weight (m,), for each column.

    A constant column keeps scale 1 and becomes 0.
    """
    Xs = np.empty((X.shape[1], len(order)))
    centre, scale, total = np.zeros(X.shape[1]), np.ones(X.shape[1]), np.zeros(X.shape[1])
    pieces = [slice(b, b + risk_set.PIECE) for b in range(0, len(order), risk_set.PIECE)]
    for j, column in enumerate(Xs):
        given = np.ascontiguousarray(X[:, j], dtype=float)
        for here in pieces:
            np.take(given, order[here], out=column[here], mode="clip")
        centre[j] = column.mean()
        squares = 0.0
        for here in pieces:
            piece = column[here]
            piece -= centre[j]
            squares += float(piece @ piece)
            total[j] += piece @ weight[here]
        spread = float(np.sqrt(squares / len(column)))
        if spread > 1e-13 * abs(centre[j]):
            scale[j] = spread
            column *= 1 / spread
            total[j] /= spread
        else:
            column[:], total[j] = 0.0, 0.0
    return centre, scale, Xs, total


def _tied_elements(n_events: Ints, ties: Ties) -> tuple[Array, Ints]:
    """One element for each event l of d: its share c = l/d and its time; empty without ties."""
    if ties != "efron" or n_events.max() == 1:
        return np.zeros(0), np.zeros(0, np.int64)
    share = np.arange(float(n_events.sum()))
    share -= np.repeat((np.cumsum(n_events) - n_events).astype(float), n_events)
    share /= np.repeat(n_events.astype(float), n_events)
    return share, np.repeat(np.arange(len(n_events)), n_events)


def evaluate_hazard(problem: Problem, beta: Array) -> Hazard | None:
    """Risk sums and log-likelihood at beta (scaled); None where they are not finite."""
    risk = problem.risk
    eta = beta @ problem.X if beta.any() else np.zeros(len(problem.offset))
    eta += problem.offset
    shift = float(eta.max())
    eta -= shift
    r = np.exp(eta, out=eta)
    r *= problem.weight
    sums = risk.cells.sum(r)
    S0, by_tree = _sum_at_risk(risk, sums)
    S0D = risk.with_event(sums)
    if not (np.isfinite(shift) and np.all(S0 > 0)):
        return None
    elements = _sum_elements(problem, S0, S0D)
    if elements is None:
        return None
    log_sum, a1, ca1, a2, ca2, cca2 = elements
    w = problem.mean_weight
    reached = float(problem.observed @ beta) + problem.observed_offset
    loglik = reached - shift * float(w @ risk.n_events) - float(w @ log_sum)
    return Hazard(
        loglik, shift, r, S0, a1, ca1, w * a1, w * ca1, w * a2, w * ca2, w * cca2, by_tree
    )


def _sum_at_risk(risk: RiskSets, sums: Array) -> tuple[Array, bool]:
    """S0 from r by cell, and whether subtraction would cost digits (then the tree did it)."""
    S0 = risk.at_risk(sums)
    if len(risk.late) and np.any(risk.not_yet(sums) >= LOST_DIGITS * S0):
        return risk.at_risk_by_tree(sums), True
    return S0, False


def _sum_elements(problem: Problem, S0: Array, S0D: Array) -> tuple[Array, ...] | None:
    """Σlog(1/a), Σa, Σca, Σa², Σca², Σc²a² over the tied elements of each time."""
    d = problem.risk.n_events.astype(float)
    if not len(problem.share):
        zero = np.zeros(len(S0))
        return d * np.log(S0), d / S0, zero, d / S0**2, zero, zero
    sums, room = np.zeros((6, len(S0))), np.empty((6, risk_set.BLOCK))
    for b in problem.risk.deaths.blocks:
        c, at = problem.share[b.begin : b.end], problem.share_at[b.begin : b.end]
        total = S0[at] - c * S0D[at]
        if not total.min() > 0:
            return None
        log, a, ca, a2, ca2, cca2 = rows = room[:, : len(at)]
        np.log(total, out=log)
        np.divide(1, total, out=a)
        for left, right, out in ((c, a, ca), (a, a, a2), (ca, a, ca2), (ca, ca, cca2)):
            np.multiply(left, right, out=out)
        sums[:, b.group : b.group + len(b.starts)] += np.add.reduceat(rows, b.starts, axis=1)
    return tuple(sums)


def evaluate_moments(problem: Problem, beta: Array) -> Moments | None:
    """Log-likelihood, score and information at beta (scaled); None where not finite."""
    hazard = evaluate_hazard(problem, beta)
    if hazard is None:
        return None
    risk = problem.risk
    v = expected_events(problem, hazard, hazard.h, hazard.g)
    sums, quadratic, expected = _sweep(problem, hazard.r, v)
    S1 = risk.at_risk_by_tree(sums) if hazard.by_tree else risk.at_risk(sums)
    S1D = risk.with_event(sums)
    information = quadratic - between(S1, S1D, hazard.A, hazard.B, hazard.C)
    return Moments(hazard, problem.observed - expected, information, S1, S1D, v)


def expected_events(problem: Problem, hazard: Hazard, h: Array, g: Array) -> Array:
    """v (m,): each row's share of the hazard increments h (K,), tied events corrected by g."""
    risk = problem.risk
    v = risk.accumulate(h, g if len(problem.share) else None, by_tree=hazard.by_tree)
    v *= hazard.r
    return v


def _sweep(problem: Problem, r: Array, v: Array) -> tuple[Array, Array, Array]:
    """One pass over the covariates: sums of r*x by cell, Xᵀ diag(v) X, and Xᵀ v."""
    p = len(problem.X)
    expected = np.zeros(p)
    sums = np.zeros((p, len(problem.risk.cells.value)))
    quadratic = np.zeros((p, p))
    for b in problem.risk.cells.blocks:
        x = problem.X[:, b.begin : b.end]
        here = v[b.begin : b.end]
        expected += x @ here
        quadratic += (x * here) @ x.T
        part = np.add.reduceat(x * r[b.begin : b.end], b.starts, axis=1)
        sums[:, b.group : b.group + len(b.starts)] += part
    return sums, quadratic, expected


def between(S1: Array, S1D: Array, A: Array, B: Array, C: Array) -> Array:
    """Σ_k [A S1S1ᵀ - B (S1 S1Dᵀ + S1D S1ᵀ) + C S1D S1Dᵀ]."""
    out = (S1 * A) @ S1.T
    if B.any():
        cross = (S1 * B) @ S1D.T
        out += (S1D * C) @ S1D.T - cross - cross.T
    return out


def information_at(problem: Problem, moments: Moments, weight: Array) -> Array:
    """Information with each event time's share multiplied by `weight` (K,)."""
    z = moments.hazard
    v = expected_events(problem, z, z.h * weight, z.g * weight)
    _, quadratic, _ = _sweep(problem, z.r, v)
    lost = between(moments.S1, moments.S1D, z.A * weight, z.B * weight, z.C * weight)
    return np.asarray(quadratic - lost)
