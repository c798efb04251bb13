"""Shared frailty: Cox's model in which each group of rows has a hazard ratio of its own, by chance.

Group j multiplies the hazard by exp(omega_j). With the partial likelihood l and the log-density
of the frailties, Newton's method on (beta, omega) maximises for each variance theta

    gamma      l(beta, omega) + Σ (omega_j - exp omega_j) / theta
    gaussian   l(beta, omega) - Σ omega_j² / (2 theta)

and theta maximises what is left when the frailties are integrated out. For the gamma that is a
closed form: with nu = 1/theta and d_j the events of group j, add

    Σ [nu + d_j + logΓ(nu + d_j) - logΓ(nu) + nu log nu - (nu + d_j) log(nu + d_j)]

and the slope in nu is known, so theta is a root. For the gaussian (log-normal frailty) it is
Laplace's approximation: subtract log det(1 + theta I) / 2 with I the information of the omegas.
The gaussian's theta may also solve theta = (omega'omega + tr C) / J with C the omegas' part of
the inverse information of (beta, omega), known as REML: it counts that beta is estimated, and
takes the information as it stands. `sparse` leaves out what groups tell about each other, as
R's coxph does to save time.

Both start from the partial likelihood without frailty at theta = 0, so they compare with it.

Source: Therneau, Grambsch & Pankratz 2003; Nielsen et al. 1992; Ripatti & Palmgren 2000;
McGilchrist 1993 (REML).
Checked: the marginal likelihood of the gamma written out; finite differences; recovery of truth;
R survival 3.5 driven to convergence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammaln, polygamma, psi
from scipy.stats import chi2

from recovery_stats.engines import cox
from recovery_stats.engines.cox import CoxFit, Summit
from recovery_stats.engines.cox_likelihood import (
    Hazard,
    Moments,
    Problem,
    Ties,
    between,
    evaluate_moments,
    with_offset,
)
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import ConvergenceError, NotEstimable

Law = Literal["gamma", "gaussian"]

SMALLEST, LARGEST = 1e-6, 1e3  # variances between which a maximum is looked for
FIRST = 0.3  # variance at which the search begins
TRIED = (0.05, 0.5)  # variances tried before the maximum at 0 is believed
DIGITS = 1e-7  # of log theta in the last Newton step, which squares it
LONGEST = 1.5  # step in log theta
MAX_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A Cox problem with rows (sorted) in J groups.

    group (m,): of the sorted rows; events (J,): weight of each group's events. leaving (m,):
    place of each sorted row in a table of classes by groups by times of exit. late (L,): sorted
    positions of class 2; coming (L,): their place in one of groups by times before entry.
    """

    problem: Problem
    law: Law
    J: int
    group: Ints
    events: Array
    leaving: Ints
    late: Ints
    coming: Ints

    @classmethod
    def of(cls, problem: Problem, law: Law, group: Ints) -> Shared:
        risk = problem.risk
        J = int(group.max()) + 1
        mine = group[risk.order]
        events = np.bincount(mine[risk.died], problem.weight[risk.died], J).astype(float)
        kind = np.asarray(risk.cells.spread(risk.cells.value % 6 // 2))
        late = np.flatnonzero(kind == 2)
        leaving = (kind * J + mine) * risk.K + risk.exit
        coming = mine[late] * risk.K + risk.entry[late] - 1
        return cls(problem, law, J, mine, events, leaving, late, coming)

    @property
    def p(self) -> int:
        """Number of covariates."""
        return len(self.problem.X)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """The penalised likelihood at (beta, omega): score (p+J,), information (p+J, p+J).

    partial: the partial likelihood without the penalty; own (J, J): information of the omegas
    without it. moments: the Cox evaluation with omega as an offset.
    """

    loglik: float
    score: Array
    information: Array
    partial: float
    own: Array
    moments: Moments


def evaluate(shared: Shared, theta: float, at: Array) -> Point | None:
    """Penalised partial likelihood with its derivatives; None where it is not finite."""
    p = shared.p
    beta, omega = at[:p], at[p:]
    found = curvature(shared, beta, omega)
    with np.errstate(over="ignore"):
        penalty, slope, curve = _penalty(shared.law, theta, omega)
    if found is None or not np.isfinite(penalty):
        return None
    moments, pull, own, mixed = found
    information = np.block([[moments.information, mixed.T], [mixed, own + np.diag(curve)]])
    score = np.concatenate([moments.score, pull + slope])
    loglik = moments.hazard.loglik
    return Point(loglik + penalty, score, information, loglik, own, moments)


def curvature(
    shared: Shared, beta: Array, omega: Array
) -> tuple[Moments, Array, Array, Array] | None:
    """The partial likelihood at (beta, omega), without any law of the frailties.

    Returns the Cox evaluation, the score of omega (J,), its information (J, J), and that of
    omega and beta together (J, p); None where they are not finite.
    """
    moments = evaluate_moments(_with_frailty(shared, omega), beta)
    if moments is None:
        return None
    z = moments.hazard
    G, GD = _groups_at_risk(shared, z)
    v = np.bincount(shared.group, moments.v, shared.J)
    own = np.diag(v) - between(G, GD, z.A, z.B, z.C)
    mixed = _mixed(shared, moments, G, GD) if shared.p else np.zeros((shared.J, 0))
    return moments, np.asarray(shared.events - v), own, mixed


def _with_frailty(shared: Shared, omega: Array) -> Problem:
    return with_offset(shared.problem, shared.problem.offset + omega[shared.group])


def _penalty(law: Law, theta: float, omega: Array) -> tuple[float, Array, Array]:
    """Log-density of the frailties up to a constant, its slope and minus its curvature (J,)."""
    if law == "gamma":
        u = np.exp(omega)
        return float((omega - u).sum()) / theta, (1 - u) / theta, u / theta
    return float(-omega @ omega) / (2 * theta), -omega / theta, np.full(len(omega), 1 / theta)


def _groups_at_risk(shared: Shared, z: Hazard) -> tuple[Array, Array]:
    """Sums of r by group over each risk set and over the events there: (J, K) twice."""
    risk = shared.problem.risk
    J, K = shared.J, risk.K
    always, once, late = _sum_by(shared.leaving, z.r, (3, J, K))
    died = _sum_by(shared.group[risk.died] * K + risk.died_at, z.r[risk.died], (J, K))
    if z.by_tree:
        return risk.tail(always) + once + risk.tree.sum_over_rows(_late_cells(shared, z)), died
    coming = _sum_by(shared.coming, z.r[shared.late], (J, K))
    return risk.tail(always + late) - risk.tail(coming) + once, died


def _sum_by(place: Ints, values: Array, shape: tuple[int, ...]) -> Array:
    """Sum values (n,) by their place (n,) in a table of that shape."""
    return np.bincount(place, values, int(np.prod(shape))).reshape(shape).astype(float)


def _late_cells(shared: Shared, z: Hazard) -> Array:
    """Sums of r by group over the late cells (J, L)."""
    risk = shared.problem.risk
    place = np.empty(len(risk.cells.value), np.int64)
    place[risk.late] = np.arange(len(risk.late))
    cell = np.asarray(risk.cells.spread(place))[shared.late]
    row = shared.group[shared.late] * len(risk.late) + cell
    return _sum_by(row, z.r[shared.late], (shared.J, len(risk.late)))


def _mixed(shared: Shared, moments: Moments, G: Array, GD: Array) -> Array:
    """Information of omega and beta: (J, p)."""
    z = moments.hazard
    inside = np.stack(
        [np.bincount(shared.group, moments.v * x, shared.J) for x in shared.problem.X], axis=1
    )
    cross = (G * z.A) @ moments.S1.T
    if z.B.any():
        cross += (GD * z.C) @ moments.S1D.T
        cross -= (G * z.B) @ moments.S1D.T + (GD * z.B) @ moments.S1.T
    return np.asarray(inside - cross)


# --- the variance of the frailty -------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Maximum over (beta, omega) for one theta: its place, its evaluation, theta's likelihood.

    drift (p+J,): how the place moves with log theta.
    """

    theta: float
    at: Array
    point: Point
    loglik: float
    drift: Array


class Profiler:
    """Profiles one theta after another, each from where the last one points to."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.start = np.zeros(shared.p + shared.J)
        self.last: Profile | None = None

    def __call__(self, theta: float) -> Profile:
        """Maximise for theta."""

        def at(place: Array) -> Point | None:
            return evaluate(self.shared, theta, place)

        start = self.start
        if self.last is not None:
            step = self.last.drift * np.log(theta / self.last.theta)
            start = self.last.at + step / max(1.0, float(np.abs(step).max()))
        first = at(start)
        if first is None:
            start = np.zeros_like(start)
            first = at(start)
        if first is None:
            raise ConvergenceError("The likelihood is not finite without any effect.")
        place, top, _ = cox.maximise(at, first, start=start)
        assert isinstance(top, Point)
        loglik = top.loglik + integrated(self.shared, theta, top)
        self.last = Profile(theta, place, top, loglik, self._drift(theta, place, top))
        return self.last

    def _drift(self, theta: float, place: Array, top: Point) -> Array:
        """From the change of the penalty's slope: expm1(omega)/theta or omega/theta."""
        push = np.zeros_like(place)
        push[self.shared.p :] = _push(self.shared, place) / theta
        return np.asarray(cho_solve(cho_factor(top.information), push))


def _push(shared: Shared, place: Array) -> Array:
    omega = place[shared.p :]
    return np.expm1(omega) if shared.law == "gamma" else omega


def integrated(shared: Shared, theta: float, point: Point) -> float:
    """What integrating the frailties adds to the penalised likelihood."""
    if shared.law == "gaussian":
        inside = np.eye(shared.J) + theta * point.own
        return -float(np.log(np.diag(cho_factor(inside)[0])).sum())
    nu, d = 1 / theta, shared.events
    d = d[d > 0]  # a group without events adds nu, which its penalty takes away
    whole = nu + d + gammaln(nu + d) - gammaln(nu) - d * np.log(nu) - (nu + d) * np.log1p(d * theta)
    return float(whole.sum()) + nu * (shared.J - len(d))


def slope(shared: Shared, profile: Profile) -> tuple[float, float]:
    """First and second derivative of the gamma's likelihood in log theta, at its maximum."""
    nu, d = 1 / profile.theta, shared.events
    omega, drift = profile.at[shared.p :], profile.drift[shared.p :]
    first = float(np.sum(omega - np.expm1(omega)))
    first += float(np.sum(psi(nu + d) - psi(nu) - np.log1p(d / nu)))
    second = float(np.expm1(omega) @ drift) / nu
    second += float(np.sum(polygamma(1, nu + d) - polygamma(1, nu) + d / (nu * (nu + d))))
    return -nu * first, nu * first + nu**2 * second


def slope_at_zero(shared: Shared, moments: Moments) -> float:
    """Derivative in theta at theta = 0 of either law, from the Cox model without frailty."""
    v = np.bincount(shared.group, moments.v, shared.J)
    spread = float(((shared.events - v) ** 2).sum())
    if shared.law == "gamma":
        return (spread - float(shared.events.sum())) / 2
    z = moments.hazard
    G, GD = _groups_at_risk(shared, z)
    within = (z.A * G**2 - 2 * z.B * G * GD + z.C * GD**2).sum()
    return (spread - float(v.sum() - within)) / 2


def best(profile: Profiler, plain: CoxFit) -> Profile | None:
    """Profile at the best theta; None where nothing is gained over theta = 0."""
    assert plain.moments is not None
    profile.start[: profile.shared.p] = plain.scaled_beta
    rising = slope_at_zero(profile.shared, plain.moments) > 0
    if not rising and all(profile(t).loglik <= plain.loglik for t in TRIED):
        return None
    find = _root_of_slope if profile.shared.law == "gamma" else _top
    found = profile(float(np.exp(find(profile))))
    return found if found.loglik > plain.loglik else None


def _root_of_slope(profile: Profiler) -> float:
    """log theta at which the gamma's likelihood is level: Newton's steps inside a bracket."""
    low, high, here = np.log(SMALLEST), np.log(LARGEST), np.log(FIRST)
    for _ in range(MAX_STEPS):
        first, second = slope(profile.shared, profile(float(np.exp(here))))
        low, high = (here, high) if first > 0 else (low, here)
        step = -first / second if second < 0 else np.sign(first) * LONGEST
        there = here + float(np.clip(step, -LONGEST, LONGEST))
        if abs(step) < DIGITS:
            return float(there)
        here = there if low < there < high else (low + high) / 2
        if high - low < DIGITS:
            break
    if here > np.log(LARGEST) - 1:
        raise ConvergenceError("The variance of the frailty grows without bound.")
    return float(here)


def _top(profile: Profiler) -> float:
    """log theta at which Laplace's approximation is highest."""
    found = minimize_scalar(
        lambda log_theta: -profile(float(np.exp(log_theta))).loglik,
        bounds=(np.log(SMALLEST), np.log(LARGEST)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(found.x)


# --- REML -------------------------------------------------------------------------------------


def best_restricted(profile: Profiler, plain: CoxFit, *, sparse: bool) -> Profile | None:
    """Profile where theta is what the estimated frailties say it is; None where that is 0."""
    profile.start[: profile.shared.p] = plain.scaled_beta

    def excess(log_theta: float) -> float:
        theta = float(np.exp(log_theta))
        found = profile(theta)
        omega = found.at[profile.shared.p :]
        inverse = _of_omegas(profile.shared, found, sparse=sparse)
        return float(omega @ omega + np.trace(inverse)) / (profile.shared.J * theta) - 1

    low, high = np.log(SMALLEST), np.log(FIRST)
    while excess(high) > 0:
        low, high = high, high + 1.0
        if high > np.log(LARGEST):
            raise ConvergenceError("The variance of the frailty grows without bound.")
    while low == np.log(SMALLEST) and excess(high - 1.0) < 0:
        high -= 1.0
        if high < low + 1.0:
            return None
    return profile(float(np.exp(brentq(excess, max(low, high - 1.0), high, xtol=DIGITS))))


def _of_omegas(shared: Shared, found: Profile, *, sparse: bool) -> Array:
    """The omegas' part of the inverse information of (beta, omega): (J, J)."""
    p, information = shared.p, found.point.information
    if sparse:
        information = information.copy()
        information[p:, p:] = np.diag(np.diag(information)[p:])
    return np.asarray(cho_solve(cho_factor(information), np.eye(len(information)))[p:, p:])


def _restricted(found: FrailtyFit, top: Profile, *, sparse: bool) -> FrailtyFit:
    """The error of log theta as Ripatti & Palmgren 2000 have it, and what follows from it."""
    C = _of_omegas(found.shared, top, sparse=sparse) / found.theta
    lost = found.shared.J + float(np.sum(C * C.T)) - 2 * float(np.trace(C))
    error = float(np.sqrt(2 / lost)) if lost > 0 else float("inf")
    moved = top.drift[: found.shared.p] / found.shared.problem.scale
    covariance = found.covariance_fixed + error**2 * np.outer(moved, moved)
    beta = found.cox.beta
    wald = float(beta @ np.linalg.solve(covariance, beta))
    fitted = replace(found.cox, covariance=covariance, wald=wald)
    return replace(found, cox=fitted, log_theta_se=error, reml=True)


# --- the fit ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class FrailtyFit:
    """A Cox model with shared frailty, on the caller's scale of X.

    cox: the Cox model with the frailties as an offset; its log-likelihood has them integrated
    out, its covariance counts that theta is estimated. theta: variance of the frailty (gamma) or
    of its logarithm (gaussian), 0 where the data show none; log_theta_se: error of log theta.
    omega, omega_se (J,): log frailties with errors for theta known. covariance_fixed (p, p):
    for theta known. loglik_without: of the Cox model without frailty.
    """

    cox: CoxFit
    law: Law
    theta: float
    log_theta_se: float
    omega: Array
    omega_se: Array
    covariance_fixed: Array
    loglik_without: float
    shared: Shared
    reml: bool = False


def fit(
    X: Array,
    stop: Array,
    event: NDArray[Any],
    group: Ints,
    *,
    law: Law = "gamma",
    start: Array | None = None,
    strata: Ints | None = None,
    weights: Array | None = None,
    offset: Array | None = None,
    ties: Ties = "efron",
    reml: bool = False,
    sparse: bool = False,
) -> FrailtyFit:
    """Fit a Cox model in which the rows of each group (n,), 0 … J-1, share a frailty.

    reml, sparse: for the gaussian law, how theta is found. The rest as for cox.fit; weights
    count rows. Raises NotEstimable with one group, and as
    cox.fit does.
    """
    plain = cox.fit(
        X, stop, event, start=start, strata=strata, weights=weights, offset=offset, ties=ties
    )
    J = int(group.max()) + 1
    if J < 2:
        raise NotEstimable("A frailty needs at least two groups; there is one.")
    if plain.moments is None:
        raise NotEstimable("A frailty is not defined for exact ties; fit with ties='efron'.")
    shared = Shared.of(plain.problem, law, group)
    profile = Profiler(shared)
    top = best_restricted(profile, plain, sparse=sparse) if reml else best(profile, plain)
    if top is None:
        nothing = np.zeros(J)
        return FrailtyFit(
            plain, law, 0.0, np.nan, nothing, nothing, plain.covariance, plain.loglik, shared
        )
    found = _finish(shared, profile, plain, top)
    return _restricted(found, top, sparse=sparse) if reml else found


def _finish(shared: Shared, profile: Profiler, plain: CoxFit, top: Profile) -> FrailtyFit:
    """Errors, and the Cox model with the frailties as an offset."""
    p, scale = shared.p, plain.problem.scale
    omega = top.at[p:]
    inverse = np.asarray(cho_solve(cho_factor(top.point.information), np.eye(len(top.at))))
    moved = top.drift[:p]
    log_theta_se = _error_of_log_theta(profile, top)
    fixed = inverse[:p, :p] / np.outer(scale, scale)
    covariance = fixed + log_theta_se**2 * np.outer(moved, moved) / np.outer(scale, scale)
    beta = top.at[:p] / scale
    fitted = replace(
        plain,
        beta=beta,
        covariance=covariance,
        loglik=top.loglik,
        wald=float(beta @ np.linalg.solve(covariance, beta)),
        reach=partial(Summit, _with_frailty(shared, omega), top.at[:p], top.point.moments),
    )
    errors = np.sqrt(np.diag(inverse)[p:])
    return FrailtyFit(
        fitted, shared.law, top.theta, log_theta_se, omega, errors, fixed, plain.loglik, shared
    )


def _error_of_log_theta(profile: Profiler, top: Profile) -> float:
    """From the curvature of the profile likelihood in log theta; inf where it is flat."""
    if profile.shared.law == "gamma":
        curvature = -slope(profile.shared, top)[1]
    else:
        h = 0.02
        up, down = (profile(top.theta * np.exp(s)).loglik for s in (h, -h))
        curvature = -(up - 2 * top.loglik + down) / h**2
    return float(1 / np.sqrt(curvature)) if curvature > 0 else float("inf")


def limits(fit: FrailtyFit, level: float = 0.95) -> tuple[float, float]:
    """Profile-likelihood limits of theta; the lower one is 0 where 0 is not excluded.

    By its logarithm's error under REML, whose estimate is the top of no likelihood.
    """
    if fit.reml:
        reach = float(np.sqrt(chi2.isf(1 - level, 1))) * fit.log_theta_se
        return float(fit.theta * np.exp(-reach)), float(fit.theta * np.exp(reach))
    drop = float(chi2.isf(1 - level, 1)) / 2
    profile = Profiler(fit.shared)
    best = max(fit.cox.loglik, fit.loglik_without)

    def above(log_theta: float) -> float:
        return profile(float(np.exp(log_theta))).loglik - best + drop

    start = float(np.log(max(fit.theta, SMALLEST)))
    low = 0.0
    if fit.loglik_without < best - drop:
        low = float(np.exp(brentq(above, np.log(SMALLEST), start, xtol=1e-8)))
    inside, outside = start, start + 1.0
    while above(outside) > 0:
        inside, outside = outside, outside + 1.0
        if outside > np.log(LARGEST):
            return low, float("inf")
    return low, float(np.exp(brentq(above, inside, outside, xtol=1e-8)))
