"""What each row contributes to a fitted Fine-Gray model: to the score, and to the baseline.

A row acts directly, and through the censoring curve that weighs those gone by another cause:
by dM(u)/π(u), its residual against the censoring hazard over the number at risk, at each time u.

Source: Fine & Gray 1999, eqs. 7-8 (those gone before u, events from u on). Checked: brute
force; the weight of a row moved; cmprsk 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.finegray_risk import CensoringGroup, Evaluation, Problem
from recovery_stats.engines.risk_set import Array, Ints


def score_residuals(problem: Problem, at: Evaluation) -> Array:
    """Each row's part of the score (n, p), not multiplied by its weight."""
    step = problem.d / at.S0
    residual = at.r * (problem.accumulate(at.mean * step) - problem.accumulate(step) * problem.X.T)
    own = np.flatnonzero(problem.own)
    residual[:, own] += problem.X[own].T - at.mean[:, problem.exit[own] - 1]
    for group in problem.censoring:
        residual[:, group.rows] += through_censoring(problem, group, _pull(problem, at, group))
    return residual.T


def through_censoring(problem: Problem, group: CensoringGroup, pull: Array) -> Array:
    """Σ_u pull(u) dM(u)/π(u) for each row of the group: (…, m)."""
    share = pull / group.at_risk
    paid = np.cumsum(share * group.left / group.at_risk, axis=-1)
    censored = problem.censored[group.rows]
    return np.asarray(share[..., group.place] * censored - paid[..., group.place])


def _gone_before(problem: Problem, group: CensoringGroup, values: Array) -> Array:
    """Σ of values (m,) over rows of the group gone by another cause before each time: (T,)."""
    bins = np.bincount(
        group.place, (problem.gone * problem.weight)[group.rows] * values, len(group.time)
    )
    return np.asarray(np.cumsum(bins) - bins)


def _from(step: Array, passed: Ints) -> Array:
    """Σ of step (K,) over the event times not yet `passed`."""
    return np.append(np.cumsum(step[::-1])[::-1], 0.0)[passed]


def _pull(problem: Problem, at: Evaluation, group: CensoringGroup) -> Array:
    """Change of the score per unit of censoring hazard at each time of the group: (p, T).

    Those gone by then lose weight at every later event; they pull by their distance from the
    mean covariates of the risk set.
    """
    r = at.r[group.rows]
    step = problem.d / at.S0 * problem.G[problem.group[group.rows[0]]]
    rest, gone = _from(step, group.passed), _gone_before(problem, group, r)
    return np.array(
        [
            _gone_before(problem, group, r * x) * rest - gone * _from(step * m, group.passed)
            for x, m in zip(problem.X[group.rows].T, at.mean, strict=True)
        ]
    ).reshape(-1, len(group.time))


def by_cluster(values: Array, cluster: Ints | None) -> Array:
    """Sum rows (n, …) of one cluster; each row is its own where there is none."""
    if cluster is None:
        return values
    out = np.zeros((int(cluster.max()) + 1, *values.shape[1:]))
    np.add.at(out, cluster, values)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Cumulative subdistribution hazard at average covariates, at T times.

    hazard (T,); drift (T, p): Σ mean covariates (scaled) times its steps; variance (T,): with
    beta known; cross (T, p): covariance with the score's part of beta (scaled).
    """

    time: Array
    hazard: Array
    drift: Array
    variance: Array
    cross: Array


def baseline(
    problem: Problem, at: Evaluation, influence: Array, cluster: Ints | None, times: Array
) -> Baseline:
    """The baseline at `times` (T,); influence (n, p): of each row on beta (scaled)."""
    step = problem.d / at.S0
    upto = np.searchsorted(problem.time, times, side="right")
    hazard = np.concatenate(([0.0], np.cumsum(step)))[upto]
    drift = np.column_stack([np.zeros(len(at.mean)), np.cumsum(at.mean * step, axis=1)]).T[upto]
    total = by_cluster(influence, cluster)
    variance, cross = np.zeros(len(times)), np.zeros((len(times), influence.shape[1]))
    for j, last in enumerate(upto):
        own = by_cluster(problem.weight * _hazard_residuals(problem, at, int(last)), cluster)
        variance[j], cross[j] = own @ own, own @ total
    return Baseline(times, hazard, drift, variance, cross)


def _hazard_residuals(problem: Problem, at: Evaluation, last: int) -> Array:
    """Each row's part of the cumulative hazard over the first `last` event times (n,)."""
    inside = np.arange(len(problem.time)) < last
    step = np.where(inside, problem.d / at.S0**2, 0.0)
    out = -at.r * problem.accumulate(step)
    own = np.flatnonzero(problem.own & (problem.exit <= last))
    out[own] += 1 / at.S0[problem.exit[own] - 1]
    for c, group in enumerate(problem.censoring):
        pull = _gone_before(problem, group, at.r[group.rows]) * _from(
            step * problem.G[c], group.passed
        )
        out[group.rows] += through_censoring(problem, group, pull)
    return np.asarray(out)
