"""Survival averaged over people, as if all had the same value of a covariate (g-computation).

With H the baseline hazard of a person's stratum, r = exp(x·beta) and S_i(t) = exp(-H(t) r_i),
a standardised curve is the weighted mean of S_i, and a restricted mean time a sum of its values.
Any such sum F = Σ_u ω_u S̄(u) depends on the data through beta, through the increments of H and
through who is in the sample; row j moves it by its weight times

    b·(dbeta/dw_j)  -  Σ_k G_k (dH_k/dw_j)  +  (F_j - F) / W

with G_k = Σ_{u >= t_k} ω_u mean(S_i(u) r_i) over the stratum of k, and b the derivative in beta.
The squares of these, summed by cluster, are the variance (infinitesimal jackknife): it is right
whether or not the model is, and counts that the people are a sample.

Source: Robins 1986; Makuch 1982; Reid 1981 (influence of a Cox model's curve).
Checked: without covariates it is exp(-Nelson-Aalen); weights moved one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines import cox_residual
from recovery_stats.engines.cox import CoxFit
from recovery_stats.engines.risk_set import Array, Ints

CELLS = 4_000_000  # people by times held at once


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """People to average over: X (m, p), stratum (m,), weight (m,), relative (m,) beside exp(xb)."""

    X: Array
    stratum: Ints
    weight: Array
    relative: Array


@dataclass(frozen=True, slots=True, eq=False)
class Standardised:
    """value (F,) of each sum; model (n, F): what each row of the fit moves it by way of the model;
    people (m, F): what each of the population adds as one of a sample."""

    value: Array
    model: Array
    people: Array


def event_times(fit: CoxFit) -> Array:
    """Distinct event times of all strata."""
    return np.unique(fit.problem.risk.time)


def restriction(fit: CoxFit, tau: float) -> tuple[Array, Array]:
    """Times (U,) and widths ω (U,) whose sum over a step curve is its area up to tau."""
    inside = event_times(fit)
    knots = np.concatenate(([0.0], inside[inside < tau], [tau]))
    return knots[:-1], np.diff(knots)


def standardise(fit: CoxFit, people: Population, times: Array, omega: Array) -> Standardised:
    """Sums Σ_u ω_fu S̄(u) over times (U,), omega (F, U), with all that moves them."""
    base = cox_residual.baseline(fit)
    x = (people.X - fit.problem.centre) / fit.problem.scale
    r = np.exp(x @ fit.scaled_beta) * people.relative
    share = people.weight / people.weight.sum()
    own = np.zeros((len(r), len(omega)))
    b = np.zeros((x.shape[1], len(omega)))
    G = np.zeros((len(omega), len(base.time)))
    for s in np.unique(people.stratum):
        rows = np.flatnonzero(people.stratum == s)
        at = base.stratum == s
        H, D = _upto(base.time[at], base.hazard[at], base.drift[at], times)
        step = max(CELLS // max(len(rows), 1), 1)
        for first in range(0, len(times), step):
            u = slice(first, first + step)
            S = np.exp(-np.outer(r[rows], H[u]))
            own[rows] += S @ omega[:, u].T
            S *= (share[rows] * r[rows])[:, None]
            fall = S.sum(axis=0)
            b -= (x[rows].T @ S * H[u] - D[u].T * fall) @ omega[:, u].T
            later = np.searchsorted(times[u], base.time[at], side="left")
            tails = np.cumsum((omega[:, u] * fall)[:, ::-1], axis=1)[:, ::-1]
            G[:, at] += np.hstack([tails, np.zeros((len(omega), 1))])[:, later]
    value = share @ own
    return Standardised(value, _by_model(fit, b, G), share[:, None] * (own - value))


def _upto(time: Array, hazard: Array, drift: Array, at: Array) -> tuple[Array, Array]:
    """Cumulative hazard (U,) and drift (U, p) of one stratum at each time."""
    place = np.searchsorted(time, at, side="right")
    H = np.concatenate(([0.0], np.cumsum(hazard)))[place]
    D = np.vstack([np.zeros((1, drift.shape[1])), np.cumsum(drift, axis=0)])[place]
    return H, D


def _by_model(fit: CoxFit, b: Array, G: Array) -> Array:
    """What each row moves the sums by way of beta (b per scaled beta) and the baseline: (n, F)."""
    problem, z = fit.problem, cox_residual.moments_of(fit).hazard
    risk, unshift = problem.risk, np.exp(-z.shift)
    relative = z.r / problem.weight
    out = cox_residual.dfbeta(fit) * problem.scale @ b
    for f, g in enumerate(G):
        moved = -relative * risk.accumulate(z.A * g, z.B * g, by_tree=z.by_tree)
        moved[risk.died] += (g * z.a1 / risk.n_events)[risk.died_at]
        out[:, f] -= risk.unsort(unshift * problem.weight * moved)
    return np.asarray(out)
