"""Fine and Gray's model with covariates that change: x beta + x g(t) gamma + z(t) delta.

The covariates of everybody in the weighted risk set change from event time to event time, along
a known function of time (x g) or along a course of the row's own that goes on after another
cause (z, external): a law, a season, a price. An evaluation sums over rows and event times, n K
in all.

Source: Fine & Gray 1999, sec. 5; Zhou et al. 2011; Beyersmann & Schumacher 2008 (external).
Checked: g = 1 (a column twice is refused), cmprsk 2.2 (cov2, tf), survival 3.5 (finegray and
rows cut where z changes); finite differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.cox import maximise, refuse_aliased
from recovery_stats.engines.finegray import FineGrayFit
from recovery_stats.engines.finegray_influence import by_cluster, through_censoring
from recovery_stats.engines.finegray_risk import CensoringGroup, Evaluation, Problem, prepare
from recovery_stats.engines.risk_set import Array, Ints, merge_close
from recovery_stats.errors import ConvergenceError


@dataclass(frozen=True, slots=True, eq=False)
class VaryingFit(FineGrayFit):
    """As FineGrayFit; beta (p + M + E,) ends with the M effects that go with g, and E of z.

    columns (M,): of X; g (M, K): their functions at the event times; external (n, E, K): z of
    the rows. Both are scaled by `spread` (M + E,).
    """

    columns: Ints
    g: Array
    external: Array
    spread: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """The problem with columns A = [X, X[:, columns]] whose last M are multiplied by g(t)."""

    problem: Problem
    A: Array
    g: Array
    external: Array

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return int(self.A.shape[1] + self.external.shape[1])

    def covariates(self, k: int) -> Array:
        """Of each row at event time k: (n, p + M + E)."""
        return _covariates(self.A, self.g, self.external, k)

    def present(self, k: int) -> Array:
        """w_i(t) of each row at event time k: (n,)."""
        p = self.problem
        return np.asarray(np.where(p.exit > k, 1.0, p.gone * p.G[p.group, k]))

    def relative(self, x: Array, beta: Array) -> Array:
        """exp(eta) of each row with covariates x."""
        return np.asarray(np.exp(x @ beta + self.problem.offset))


def _covariates(A: Array, g: Array, external: Array, k: int) -> Array:
    constant = np.ones(A.shape[1] - len(g))
    return np.hstack([A * np.append(constant, g[:, k]), external[:, :, k]])


def fit(
    X: Array,
    stop: Array,
    cause: Ints,
    columns: Ints,
    g: Array,
    time: Array,
    external: Array | None = None,
    *,
    of: int = 1,
    weights: Array | None = None,
    offset: Array | None = None,
    cluster: Ints | None = None,
    censoring: Ints | None = None,
) -> VaryingFit:
    """Fit the subdistribution hazard of cause `of`; arguments as finegray.fit.

    columns (M,): columns of X whose effects change; g (M, T): how, at times (T,) that hold all
    times of the cause's events. external (n, E, T): further covariates of the rows at those
    times, known after another cause too. Raises as finegray.fit does.
    """
    (stop,) = merge_close(stop)
    problem = prepare(X, stop, cause, of, weights, offset, censoring)
    if external is None:
        external = np.zeros((len(X), 0, len(time)))
    at = np.minimum(np.searchsorted(time, problem.time * (1 - 1e-9)), len(time) - 1)
    path, own_path = g[:, at], external[:, :, at]
    spread = np.sqrt(np.append((path**2).mean(axis=1), (own_path**2).mean(axis=(0, 2))))
    spread = np.where(spread > 0, spread, 1.0)
    M = len(columns)
    course = _Course(
        problem,
        np.hstack([problem.X, problem.X[:, columns]]),
        path / spread[:M, None],
        own_path / spread[M:, None],
    )
    null = _evaluate(course, np.zeros(course.size))
    if null is None:
        raise ConvergenceError("The likelihood is not finite at a hazard ratio of one.")
    refuse_aliased(null.information, float(problem.d.sum()))
    beta, last, steps = maximise(lambda b: _evaluate(course, b), null)
    assert isinstance(last, Evaluation)
    residual = _score_residuals(course, last, beta)
    influence = problem.weight[:, None] * residual @ np.linalg.inv(last.information)
    scale = np.append(problem.scale, np.append(problem.scale[columns], np.ones(len(spread) - M)))
    scale[len(problem.scale) :] *= spread
    summed, units = by_cluster(influence, cluster), np.outer(scale, scale)
    return VaryingFit(
        beta=beta / scale,
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
        columns=columns,
        g=course.g,
        external=course.external,
        spread=spread,
    )


def _course(fit: VaryingFit) -> _Course:
    p = fit.problem
    return _Course(p, np.hstack([p.X, p.X[:, fit.columns]]), fit.g, fit.external)


def _evaluate(course: _Course, beta: Array) -> Evaluation | None:
    """Log-likelihood with derivatives at beta (scaled); None where it is not finite."""
    p, K, q = course.problem, len(course.problem.time), len(beta)
    S0, mean, information = np.empty(K), np.empty((q, K)), np.zeros((q, q))
    loglik, score = 0.0, np.zeros(q)
    for k in range(K):
        x = course.covariates(k)
        with np.errstate(over="ignore", invalid="ignore"):
            relative = course.relative(x, beta)
            r = p.weight * course.present(k) * relative
        S0[k] = r.sum()
        if not (np.isfinite(S0[k]) and S0[k] > 0):
            return None
        mean[:, k] = (r @ x) / S0[k]
        second = (x * r[:, None]).T @ x / S0[k]
        information += p.d[k] * (second - np.outer(mean[:, k], mean[:, k]))
        own = np.flatnonzero(p.own & (p.exit == k + 1))
        w = p.weight[own]
        loglik += float(w @ np.log(relative[own]) - p.d[k] * np.log(S0[k]))
        score += w @ x[own] - p.d[k] * mean[:, k]
    return Evaluation(loglik, score, information, np.zeros(0), S0, mean)


def _score_residuals(course: _Course, at: Evaluation, beta: Array) -> Array:
    """Each row's part of the score (n, q), directly and through the censoring curves."""
    p, q = course.problem, len(beta)
    out = np.zeros((len(p.weight), q))
    pulls = [np.zeros((q, len(c.time))) for c in p.censoring]
    for k in range(len(p.time)):
        x = course.covariates(k)
        share = course.present(k) * course.relative(x, beta) * p.d[k] / at.S0[k]
        distance = x - at.mean[:, k]
        own = np.flatnonzero(p.own & (p.exit == k + 1))
        out[own] += distance[own]
        moved = share[:, None] * distance
        out -= moved
        for c, group in enumerate(p.censoring):
            pulls[c] += _pull(p, group, k, moved.T)
    for pull, group in zip(pulls, p.censoring, strict=True):
        out[group.rows] += through_censoring(p, group, pull).T
    return out


def _pull(problem: Problem, group: CensoringGroup, k: int, moved: Array) -> Array:
    """What those gone by another cause before each time up to event k take away: (q, T).

    moved (q, n): each row's part of the sum at event time k.
    """
    rows = group.rows[problem.gone[group.rows] > 0]
    place = group.place[problem.gone[group.rows] > 0]
    T = len(group.time)
    bins = np.stack([np.bincount(place, problem.weight[rows] * m[rows], T) for m in moved])
    return np.asarray((np.cumsum(bins, axis=1) - bins) * (group.passed <= k))


def cumulative_hazard(
    fit: VaryingFit, X: Array, times: Array, offset: Array, external: Array | None = None
) -> tuple[Array, Array]:
    """Cumulative subdistribution hazard of new rows X (m, p) at times (T,), with errors: (m, T).

    external (m, E, K): their courses at the event times of the fit.
    """
    p = fit.problem
    x = (X - p.centre) / p.scale
    A = np.hstack([x, x[:, fit.columns]])
    upto = np.searchsorted(p.time, times, side="right")
    H, se = np.zeros((len(X), len(times))), np.zeros((len(X), len(times)))
    if external is None:
        external = np.zeros((len(X), 0, len(p.time)))
    scaled = external / fit.spread[len(fit.columns) :, None]
    course, events = _course(fit), range(len(p.time))
    at_risk = [
        course.present(k) * course.relative(course.covariates(k), fit.scaled_beta) for k in events
    ]
    for m, shift in enumerate(offset):
        path = [_covariates(A[[m]], fit.g, scaled[[m]], k)[0] for k in events]
        for k, hazard, error in _follow(fit, at_risk, path, float(shift)):
            H[m, upto == k + 1], se[m, upto == k + 1] = hazard, error
    return H, se


def _follow(
    fit: VaryingFit, at_risk: Sequence[Array], path: Sequence[Array], offset: float
) -> Iterator[tuple[int, float, float]]:
    """After each event time: a new row's cumulative hazard and its error.

    at_risk: w_i exp(eta_i) of the rows (n,) at each; path: the new row's covariates at each.
    """
    p, last, beta = fit.problem, fit.last, fit.scaled_beta
    total, slope = 0.0, np.zeros(len(beta))
    own = np.zeros(len(p.weight))
    pulls = [np.zeros((1, len(c.time))) for c in p.censoring]
    for k in range(len(p.time)):
        step = float(np.exp(path[k] @ beta + offset)) * p.d[k] / last.S0[k]
        total += step
        slope = slope + step * (path[k] - last.mean[:, k])
        moved = at_risk[k] * step / last.S0[k]
        own -= moved
        here = np.flatnonzero(p.own & (p.exit == k + 1))
        own[here] += step / p.d[k]
        all_ = own.copy()
        for c, group in enumerate(p.censoring):
            pulls[c] = pulls[c] + _pull(p, group, k, moved[None])
            all_[group.rows] += through_censoring(p, group, pulls[c])[0]
        psi = by_cluster(p.weight * all_ + fit.influence @ slope, fit.cluster)
        yield k, total, float(np.sqrt(psi @ psi))
