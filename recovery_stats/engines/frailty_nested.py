"""Nested log-normal frailty: houses within sites, each with a hazard ratio of its own, by chance.

House h in site s multiplies the hazard by exp(omega_h), omega_h = a_s + b_h with a_s ~ N(0, t1),
b_h ~ N(0, t2). The covariance of the omegas, V = t1 AA' + t2 I with A telling each house's site,
has a symmetric root L in closed form, also where t1 or t2 is 0; with omega = L u the penalised
likelihood is l(beta, L u) - u'u / 2, and Laplace's approximation of what integrating u leaves is
its maximum over (beta, u) less log det(I + L O L) / 2, with O the information of the omegas.
Newton's method on (log t1, log t2) maximises it; where it runs to the edge, the model is the
shared frailty of sites or of houses alone.

Source: Ripatti & Palmgren 2000; Sastry 1997 (nested frailty). Checked: brute-force quadrature;
sites of one house each; no variation between sites or houses; recovery of truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from recovery_stats.engines import cox, frailty
from recovery_stats.engines.cox import CoxFit, Summit
from recovery_stats.engines.cox_likelihood import Moments, Ties, with_offset
from recovery_stats.engines.frailty import Shared, curvature
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import ConvergenceError, NotEstimable

STEP = 1e-3  # of log t in first differences
WIDE = 0.05  # of log t in second differences
LONGEST = 1.0  # step in log t
EDGE = 1e-5  # a variance this small is looked at as none
DIGITS = 1e-5  # of log t
MAX_STEPS = 40
FLAT = 1e-8  # curvature in log t taken for none


@dataclass(frozen=True, slots=True, eq=False)
class Nesting:
    """J houses in S sites: site (J,) of each house, size (S,) houses of each site."""

    site: Ints
    size: Ints

    @classmethod
    def of(cls, house: Ints, site: Ints) -> Nesting:
        """From the codes of each row (n,)."""
        of_house = np.zeros(int(house.max()) + 1, dtype=np.int64)
        of_house[house] = site
        return cls(of_house, np.bincount(of_house, minlength=int(site.max()) + 1))

    def root(self, t: Array) -> Array:
        """Symmetric square root of V (J, J): sqrt(t2) I plus a constant within each site."""
        own = np.sqrt(t[1])
        level = (np.sqrt(t[1] + self.size * t[0]) - own) / np.maximum(self.size, 1)
        same = self.site[:, None] == self.site[None, :]
        return np.asarray(own * np.eye(len(self.site)) + same * level[self.site])

    def sites(self, t: Array) -> Array:
        """K (S, J) with E[a | omega] = K omega."""
        share = t[0] / np.maximum(t[1] + self.size * t[0], 1e-300)
        K = np.zeros((len(self.size), len(self.site)))
        K[self.site, np.arange(len(self.site))] = share[self.site]
        return K


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """The penalised likelihood at (beta, u) with its derivatives, and the parts without it."""

    loglik: float
    score: Array
    information: Array
    own: Array
    moments: Moments


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Maximum over (beta, u) for variances t (2,); root: L; loglik: with u integrated out."""

    t: Array
    at: Array
    point: Point
    root: Array
    loglik: float


class Profiler:
    """Profiles one pair of variances after another, each from where the last one ended."""

    def __init__(self, shared: Shared, nesting: Nesting) -> None:
        self.shared, self.nesting = shared, nesting
        self.start = np.zeros(shared.p + shared.J)

    def __call__(self, t: Array) -> Profile:
        p, L = self.shared.p, self.nesting.root(t)

        def evaluate(at: Array) -> Point | None:
            u = at[p:]
            found = curvature(self.shared, at[:p], L @ u)
            if found is None:
                return None
            moments, pull, own, mixed = found
            mixed, inner = L @ mixed, L @ own @ L
            information = np.block(
                [[moments.information, mixed.T], [mixed, inner + np.eye(len(u))]]
            )
            score = np.concatenate([moments.score, L @ pull - u])
            return Point(moments.hazard.loglik - float(u @ u) / 2, score, information, own, moments)

        first = evaluate(self.start)
        if first is None:
            self.start = np.zeros_like(self.start)
            first = evaluate(self.start)
        if first is None:
            raise ConvergenceError("The likelihood is not finite without any effect.")
        at, top, _ = cox.maximise(evaluate, first, start=self.start)
        assert isinstance(top, Point)
        self.start = at
        inside = np.eye(self.shared.J) + L @ top.own @ L
        loglik = top.loglik - float(np.log(np.diag(cho_factor(inside)[0])).sum())
        return Profile(t, at, top, L, loglik)


@dataclass(frozen=True, slots=True, eq=False)
class NestedFit:
    """A Cox model with nested log-normal frailty, on the caller's scale of X.

    cox: with the frailties as an offset, their law integrated out of its log-likelihood; its
    covariance counts that the variances are estimated. variance (2,): of sites, of houses
    within sites; log_se (2,): errors of their logarithms, nan at 0. site, house: effects
    (log) with errors for the variances known. loglik_sites, loglik_houses, loglik_without: of
    the models with one of the frailties, and with none.
    """

    cox: CoxFit
    variance: Array
    log_se: Array
    site: Array
    site_se: Array
    house: Array
    house_se: Array
    loglik_sites: float
    loglik_houses: float
    loglik_without: float


def fit(
    X: Array,
    stop: Array,
    event: NDArray[Any],
    house: Ints,
    site: Ints,
    *,
    start: Array | None = None,
    strata: Ints | None = None,
    weights: Array | None = None,
    offset: Array | None = None,
    ties: Ties = "efron",
) -> NestedFit:
    """Fit houses (n,) within sites (n,), both numbered from 0; the rest as for frailty.fit.

    Raises NotEstimable with fewer than two sites, or where every site has one house.
    """
    nesting = Nesting.of(house, site)
    if len(nesting.size) < 2 or nesting.size.max() < 2:
        raise NotEstimable(
            "Nested frailties need two sites or more, and a site with two houses or more; "
            "frailty(x) of one of them is what these data can tell."
        )
    more = {"start": start, "strata": strata, "weights": weights, "offset": offset, "ties": ties}
    houses = frailty.fit(X, stop, event, house, law="gaussian", **more)  # type: ignore[arg-type]
    sites = frailty.fit(X, stop, event, site, law="gaussian", **more)  # type: ignore[arg-type]
    profile = Profiler(houses.shared, nesting)
    best = _best(profile, sites.theta, houses.theta, sites.cox.loglik, houses.cox.loglik)
    return _finish(profile, best, sites, houses)


def _best(
    profile: Profiler, by_site: float, by_house: float, site_loglik: float, house_loglik: float
) -> Profile:
    """The best pair of variances: inside, or with one of them (or both) 0."""
    edges = [
        (max(site_loglik, house_loglik), np.array([0.0, by_house])),
        (site_loglik, np.array([by_site, 0.0])),
    ]
    edge = edges[0] if house_loglik >= site_loglik else edges[1]
    inside = _climb(profile, np.log([max(by_site, 0.05), max(by_house - by_site, 0.05)]))
    if inside is not None and inside.loglik > edge[0]:
        return inside
    return profile(edge[1])


def _climb(profile: Profiler, log_t: Array) -> Profile | None:
    """Newton's method on the logarithms of the variances; None where one runs to 0."""
    here = profile(np.exp(log_t))
    for _ in range(MAX_STEPS):
        slope, curve = _slope(profile, log_t), _curve(profile, log_t, here)
        step = _uphill(slope, curve)
        for _ in range(20):
            there = profile(np.exp(log_t + step))
            if there.loglik >= here.loglik - 1e-10:
                break
            step = step / 2
        log_t, here = log_t + step, there
        if np.exp(log_t).min() < EDGE:
            return None
        if np.abs(step).max() < DIGITS:
            return here
    raise ConvergenceError(f"The variances of the frailties did not settle in {MAX_STEPS} steps.")


def _slope(profile: Profiler, log_t: Array) -> Array:
    ends = [[profile(np.exp(log_t + s * STEP * e)).loglik for s in (1, -1)] for e in np.eye(2)]
    return np.array([(up - down) / (2 * STEP) for up, down in ends])


def _curve(profile: Profiler, log_t: Array, here: Profile) -> Array:
    """Second derivatives of the integrated likelihood in the logarithms of the variances."""

    def at(a: float, b: float) -> float:
        return profile(np.exp(log_t + WIDE * np.array([a, b]))).loglik

    H = np.empty((2, 2))
    H[0, 0] = at(1, 0) - 2 * here.loglik + at(-1, 0)
    H[1, 1] = at(0, 1) - 2 * here.loglik + at(0, -1)
    H[0, 1] = H[1, 0] = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    return H / WIDE**2


def _uphill(slope: Array, curve: Array) -> Array:
    """Newton's step with the curvature's sign made right, and no longer than LONGEST.

    Towards a variance of 0 slope and curvature fade together; FLAT is below both as far as EDGE.
    """
    value, vector = np.linalg.eigh(curve)
    step = vector @ ((vector.T @ slope) / np.maximum(np.abs(value), FLAT))
    return np.asarray(step * min(1.0, LONGEST / max(float(np.abs(step).max()), 1e-300)))


def _finish(
    profile: Profiler, best: Profile, sites: frailty.FrailtyFit, houses: frailty.FrailtyFit
) -> NestedFit:
    """Errors, effects, and the Cox model with the frailties as an offset."""
    shared, nesting, p = profile.shared, profile.nesting, profile.shared.p
    plain, scale = houses.cox, shared.problem.scale
    inverse = np.asarray(cho_solve(cho_factor(best.point.information), np.eye(len(best.at))))
    omega = best.root @ best.at[p:]
    moved, spread = _moved(profile, best)
    covariance = (inverse[:p, :p] + moved @ spread @ moved.T) / np.outer(scale, scale)
    beta = best.at[:p] / scale
    raised = with_offset(shared.problem, shared.problem.offset + omega[shared.group])
    fitted = replace(
        plain,
        beta=beta,
        covariance=covariance,
        loglik=best.loglik,
        wald=float(beta @ np.linalg.solve(covariance, beta)),
        reach=partial(Summit, raised, best.at[:p], best.point.moments),
    )
    a, a_se, b, b_se = _effects(nesting, best, omega, inverse[p:, p:])
    log_se = np.sqrt(np.diag(spread))
    return NestedFit(
        fitted, best.t, np.where(best.t > 0, log_se, np.nan), a, a_se, b, b_se,
        sites.cox.loglik, houses.cox.loglik, houses.loglik_without,
    )  # fmt: skip


def _moved(profile: Profiler, best: Profile) -> tuple[Array, Array]:
    """How beta moves with the log variances (p, 2), and their covariance (2, 2); 0 at an edge."""
    p = profile.shared.p
    moved, spread = np.zeros((p, 2)), np.zeros((2, 2))
    free = np.flatnonzero(best.t > 0)
    if len(free) == 2:
        log_t = np.log(best.t)
        spread = _inverse_of(-_curve(profile, log_t, best))
    elif len(free) == 1:
        ends = [profile(best.t * np.exp(s * WIDE)).loglik for s in (1, -1)]
        fall = -(ends[0] - 2 * best.loglik + ends[1]) / WIDE**2
        spread[free[0], free[0]] = 1 / fall if fall > 0 else 0.0
    for j in free:
        step = np.exp(STEP * np.eye(2)[j])
        ends_at = [profile(best.t * s).at[:p] for s in (step, 1 / step)]
        moved[:, j] = (ends_at[0] - ends_at[1]) / (2 * STEP)
    return moved, spread


def _inverse_of(information: Array) -> Array:
    value, vector = np.linalg.eigh(information)
    return np.asarray((vector / np.where(value > 1e-8, value, np.inf)) @ vector.T)


def _effects(
    nesting: Nesting, best: Profile, omega: Array, of_u: Array
) -> tuple[Array, Array, Array, Array]:
    """Effects of sites and of houses within them, with errors for the variances known."""
    t1, t2 = best.t
    V = best.root @ of_u @ best.root
    K = nesting.sites(best.t)
    left = t1 * t2 / np.maximum(t2 + nesting.size * t1, 1e-300)  # of a given omega
    a = K @ omega
    within = np.eye(len(omega)) - K[nesting.site]
    a_se = np.sqrt(np.einsum("sj,jk,sk->s", K, V, K) + left)
    b_se = np.sqrt(np.einsum("sj,jk,sk->s", within, V, within) + left[nesting.site])
    return a, a_se, omega - a[nesting.site], b_se
