"""What a fading protection means for people who keep to k meetings a week.

From a fitted `kernel_cox` model of the last meeting: the mean hazard ratio over the days of a
week, the share of days on which less than half of the protection is left, and the risk of the
event by a horizon, standardised over the people at hand.

Survival is exp(-L - V/2), L the cumulative hazard of a person and V its variance given the
coefficients: the product limit to second order. exp(-L) alone is too small on average where L is
estimated in strata of few people; with some 40 a site, 12-month risks were 0.008 too low.

Standard errors by the delta method: the gradient in (beta, theta, log H) by central differences
with their joint information, and the variance of each day's baseline hazard (Tsiatis 1981).
Checked: brute-force day loops, refits by resampling people, the truth of the synthetic cohort
(tests/engines/test_kernel.py, scripts/meeting_recovery.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.kernel import last_meeting
from recovery_stats.engines.kernel_cox import AtHalfLife, Days, evaluate
from recovery_stats.engines.kernel_survivor import Courses, mean_effect
from recovery_stats.engines.linalg import Array, IntArray, single_thread

Spacing = Literal["even", "random"]
WEEK = 7
Mask = NDArray[np.bool_]
BEND = 1e-3  # step in log H of the second derivative of the exposure


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Values (m,) and their covariance (m, m)."""

    value: Array
    covariance: Array

    @property
    def se(self) -> Array:
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))


def joint_covariance(
    days: Days, exposure: Callable[[float], tuple[Array, Array]], fit: AtHalfLife
) -> Array:
    """Covariance (p + 2, p + 2) of (beta, theta, log H) from their joint observed information.

    exposure(H): the column (n,) and its derivative in log H. At theta near 0 the half-life drops
    out of the likelihood and its variance is not finite.
    """
    value, slope = exposure(fit.half_life)
    up, down = (exposure(fit.half_life * float(np.exp(s)))[1] for s in (BEND, -BEND))
    # the column of the derivative enters the information, not the hazard: its coefficient is 0
    at = np.append(fit.beta, [fit.theta, 0.0])
    point = evaluate(days, np.stack([value, fit.theta * slope]), at)
    bent = np.zeros_like(point.information)
    bent[-1, -2] = bent[-2, -1] = point.residual @ slope
    bent[-1, -1] = fit.theta * float(point.residual @ (up - down)) / (2.0 * BEND)
    observed = point.information - bent
    information = observed if np.linalg.eigvalsh(observed)[0] > 0 else point.information
    return np.asarray(np.linalg.pinv(information, hermitian=True))


# --- one week ----------------------------------------------------------------------------------


def mean_hazard_ratio(theta: float, half_life: float, weekly: Array, spacing: Spacing) -> Array:
    """Mean over days of the hazard ratio against never attending, for k meetings a week (m,)."""
    return np.array([_multiplier(theta, half_life, k, spacing, 364)[-WEEK:].mean() for k in weekly])


def mean_hazard_ratios(
    fit: AtHalfLife, covariance: Array, weekly: Array, spacing: Spacing = "even"
) -> Estimates:
    """Logarithms of `mean_hazard_ratio` (m,) with their covariance."""

    def log_ratio(theta: float, log_h: float) -> Array:
        return np.log(mean_hazard_ratio(theta, float(np.exp(log_h)), weekly, spacing))

    at = np.array([fit.theta, np.log(fit.half_life)])
    J = _gradient(lambda a: log_ratio(a[0], a[1]), at)
    return Estimates(log_ratio(at[0], at[1]), J @ covariance[-2:, -2:] @ J.T)


def share_below_half(half_life: float, weekly: Array) -> Array:
    """Share of the week with less than half of the protection left, meetings evenly spaced.

    max(0, 1 - k H / 7) for k meetings a week; 1 for none.
    """
    return np.maximum(0.0, 1.0 - weekly * half_life / WEEK)


def attends(day: IntArray, k: int) -> Mask:
    """Whether k evenly spaced meetings a week fall on these days; the first on day 0."""
    return np.asarray((day * k) % WEEK < k)


def _multiplier(theta: float, half_life: float, k: float, spacing: Spacing, days: int) -> Array:
    """Hazard ratio on days 1 … `days` against never attending, meetings from day 0 on."""
    day = np.arange(1, days + 1)
    if k == 0:
        return np.ones(days)
    if spacing == "even":
        met = np.where(attends(np.arange(days), int(k)), np.arange(days), -1)
        lag = day - np.maximum.accumulate(met)
        return np.exp(theta * np.exp2(-lag / half_life))
    chance = min(k / WEEK, 1.0)
    lag = np.arange(1, days + 1)
    weight = chance * (1.0 - chance) ** (lag - 1)
    met_by = np.cumsum(weight * np.exp(theta * np.exp2(-lag / half_life)))
    return np.asarray(met_by + (1.0 - chance) ** lag)


# --- up to a horizon -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The people over whom risks are standardised, and where they stand in the baseline hazard.

    X (N, p): covariates of each person, 0 in the columns that change over time (`varying`, (p,)
    bool), which take their mean effect on those who would be at risk on the day. stratum (N,);
    set_stratum, set_day (K,): stratum and day of each set of `Days`. weight (N,). courses: the
    rows of `Days` by person.
    """

    X: Array
    varying: Mask
    stratum: IntArray
    set_stratum: IntArray
    set_day: IntArray
    weight: Array
    courses: Courses


def risks(
    days: Days,
    lag: Array,
    fit: AtHalfLife,
    covariance: Array,
    people: Population,
    *,
    weekly: Array,
    horizon: int,
    spacing: Spacing = "even",
) -> Estimates:
    """Risk (m,) of the event by day `horizon` under k meetings a week for each k of `weekly` (m,).

    Every other event is held off. covariance: from `joint_covariance`.
    """
    at = np.append(fit.beta, [fit.theta, np.log(fit.half_life)])
    with single_thread():
        value, by_hazard, hazard_variance = _risks(
            days, lag, people, at, weekly, horizon, spacing, errors=True
        )
        J = _gradient(
            lambda a: _risks(days, lag, people, a, weekly, horizon, spacing)[0],
            at,
            np.sqrt(np.maximum(np.diag(covariance), 1e-12)),
        )
    spread = J @ covariance @ J.T + (by_hazard * hazard_variance) @ by_hazard.T
    return Estimates(value, spread)


def _risks(
    days: Days,
    lag: Array,
    people: Population,
    at: Array,
    weekly: Array,
    horizon: int,
    spacing: Spacing,
    errors: bool = False,
) -> tuple[Array, Array, Array]:
    """Risks (m,); with `errors` their derivative (m, K) in each day's hazard, and its variance."""
    beta, theta, half_life = at[:-2], float(at[-2]), float(np.exp(at[-1]))
    base = _baseline(days, last_meeting(lag, half_life)[0], beta, theta, people.varying)
    within = people.set_day <= horizon
    multiplier = np.stack([_multiplier(theta, half_life, k, spacing, horizon) for k in weekly])
    by_set = multiplier[:, np.minimum(people.set_day, horizon) - 1]
    on_day = within * by_set * np.stack([base.effect(days, people, row) for row in by_set])
    strata = int(max(people.stratum.max(), people.set_stratum.max())) + 1

    def cumulative(value: Array) -> Array:
        rows = [np.bincount(people.set_stratum, row, strata) for row in value]
        return np.asarray(np.stack(rows)[:, people.stratum], dtype=float)

    relative = np.exp((people.X - days.centre) @ np.where(people.varying, 0.0, beta))
    share = people.weight / people.weight.sum()
    left = np.exp(
        -relative * cumulative(base.hazard * on_day)
        - 0.5 * relative**2 * cumulative(base.variance * on_day**2)
    )
    risk = 1.0 - left @ share
    if not errors:
        return risk, np.zeros((0, 0)), np.zeros(0)
    mass = np.stack([np.bincount(people.stratum, row * relative * share, strata) for row in left])
    return risk, mass[:, people.set_stratum] * on_day, base.variance


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Hazard and its variance in each set (K,); of each row (n,) the weighted hazard ratio of the
    covariates that stay, that of those that vary, and that of its own attendance.
    """

    hazard: Array
    variance: Array
    still: Array
    moving: Array
    attending: Array

    def effect(self, days: Days, people: Population, multiplier: Array) -> Array:
        """Mean effect of the varying covariates in each set under `multiplier` (K,) of hazards."""
        if not people.varying.any():
            return np.ones(len(self.hazard), dtype=np.float64)
        own = self.hazard[days.set_of] * self.still * self.moving / days.weight
        extra = own * (multiplier[days.set_of] - self.attending)
        return mean_effect(people.courses, days.first, self.still, self.moving, extra)


def _baseline(days: Days, column: Array, beta: Array, theta: float, varying: Mask) -> Baseline:
    """The hazard of each set and what multiplies it in each row."""
    fixed = np.where(varying, 0.0, beta) @ days.X
    still = days.weight * np.exp(fixed)
    moving = np.exp(np.where(varying, beta, 0.0) @ days.X)
    attending = np.exp(theta * column)
    r = still * moving * attending
    e, sets, K = days.event, days.element_set, len(days.first)
    S0 = np.add.reduceat(r, days.first)
    a = 1.0 / (S0[sets] - days.share * np.bincount(sets, r[e], K)[sets])
    wbar = days.mean_weight[sets]
    hazard, variance = (np.bincount(sets, v, K).astype(float) for v in (wbar * a, wbar * a**2))
    return Baseline(hazard, variance, still, moving, attending)


def _gradient(function: Callable[[Array], Array], at: Array, scale: Array | None = None) -> Array:
    """Central differences (m, len(at)), a thousandth of `scale` to either side."""
    steps = 1e-3 * np.minimum(1.0, np.ones(len(at)) if scale is None else scale)
    columns = []
    for j, step in enumerate(steps):
        move = np.zeros(len(at))
        move[j] = step
        columns.append((function(at + move) - function(at - move)) / (2.0 * step))
    return np.stack(columns, axis=1)
