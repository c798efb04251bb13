"""State occupation of a person with given covariates, from Cox models of the transitions.

With Q(t) the matrix of the person's hazard increments at event time t, p = p(0) prod exp(Q):
the exponential keeps probabilities between 0 and 1, and two states give exp(-H) as for any Cox
model. Errors follow from those of the increments, which vary apart from each other given the
coefficients, and from the coefficients:

    C <- exp(Q)' (C + Σ_m p_j² var_m (e_k - e_j)(e_k - e_j)') exp(Q),   G likewise, linearly

Source: Andersen, Borgan, Gill & Keiding 1993, sec. VII.2; Putter, Fiocco & Geskus 2007.
Checked: a Cox model's survival curve; finite differences; survival 3.5 (survfit of coxph).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from recovery_stats.engines import cox_residual
from recovery_stats.engines.cox import CoxFit
from recovery_stats.engines.risk_set import Array


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Increments at the T event times of M transitions, for one person.

    hazard, variance (T, M); slope (T, M, p): change per unit of the scaled coefficients.
    """

    time: Array
    hazard: Array
    variance: Array
    slope: Array


def steps(fit: CoxFit, X: Array, strata: Sequence[int], offset: float) -> Steps:
    """The person's increments of each transition's hazard; X (M, p), strata (M,): of the fit."""
    base = cox_residual.baseline(fit)
    x = (X - fit.problem.centre) / fit.problem.scale
    relative = np.exp(x @ fit.scaled_beta + offset)
    time = np.unique(base.time[np.isin(base.stratum, strata)])
    T, M, p = len(time), len(strata), x.shape[1]
    hazard, variance, slope = np.zeros((T, M)), np.zeros((T, M)), np.zeros((T, M, p))
    for m, stratum in enumerate(strata):
        here = np.flatnonzero(base.stratum == stratum)
        at = np.searchsorted(time, base.time[here])
        hazard[at, m] = relative[m] * base.hazard[here]
        variance[at, m] = relative[m] ** 2 * base.variance[here]
        slope[at, m] = relative[m] * (np.outer(base.hazard[here], x[m]) - base.drift[here])
    return Steps(time, hazard, variance, slope)


def occupation(
    fit: CoxFit, found: Steps, moves: Sequence[tuple[int, int]], p0: Array
) -> tuple[Array, Array]:
    """Probabilities (T, S) just after each event time, from p0 (S,), and their errors."""
    S = len(p0)
    origin = np.array([j for j, _ in moves])
    # column m: what a unit of transition m takes from one state and gives to another
    D = np.eye(S)[[k for _, k in moves]] - np.eye(S)[origin]
    E = expm(np.einsum("tm,mi,mk->tik", found.hazard, np.eye(S)[origin], D))
    V = fit.covariance * np.outer(fit.problem.scale, fit.problem.scale)
    p, C, G = p0, np.zeros((S, S)), np.zeros((V.shape[0], S))
    estimate, error = np.empty((len(found.time), S)), np.empty((len(found.time), S))
    for t in range(len(found.time)):
        from_ = p[origin]
        C = E[t].T @ (C + (D.T * (from_**2 * found.variance[t])) @ D) @ E[t]
        G = (G + (found.slope[t].T * from_) @ D) @ E[t]
        p = p @ E[t]
        estimate[t], error[t] = p, np.diag(C) + np.einsum("is,ij,js->s", G, V, G)
    return estimate, np.sqrt(np.maximum(error, 0.0))
