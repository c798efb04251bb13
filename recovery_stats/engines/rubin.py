"""Rubin's rules: one answer from the answers of m completed data sets.

Sources: Rubin 1987, ch. 3; Barnard & Rubin 1999 (df); Li, Raghunathan & Rubin 1991 (D1); Li, Meng,
Raghunathan & Rubin 1991 (D2); Meng & Rubin 1992 (D3); Reiter 2007 (denominator df of D1); von
Hippel 2020 (how many imputations). Checked: mice's pool, D1, D2 and D3 (tests/engines/rubin.R).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import f as f_distribution
from scipy.stats import norm

from recovery_stats.engines.linalg import Array


@dataclass(frozen=True, slots=True)
class Pooled:
    """m answers to k questions as one.

    estimate (k,); within, between, total (k,): variances; df (k,): Barnard and Rubin's. riv: the
    relative increase in variance due to missing values; share: lambda, their share of the total
    variance; fmi: the fraction of missing information.
    """

    m: int
    estimate: Array
    within: Array
    between: Array
    df: Array

    @property
    def total(self) -> Array:
        return self.within + (1.0 + 1.0 / self.m) * self.between

    @property
    def riv(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (1.0 + 1.0 / self.m) * self.between / self.within

    @property
    def share(self) -> Array:
        return share_of(self.between, self.total, self.m)

    @property
    def fmi(self) -> Array:
        r, correction = self.riv, 2.0 / (self.df + 3.0)
        infinite = np.isinf(r)
        r = np.where(infinite, 0.0, r)
        return np.asarray(np.where(infinite, 1.0, (r + correction) / (1.0 + r)))


def share_of(between: Array, total: Array, m: int) -> Array:
    """lambda: which share of the total variance comes from between the data sets; 0 of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (1.0 + 1.0 / m) * between / total
    return np.where(total > 0, share, 0.0)


def pool(estimates: Array, variances: Array, df_complete: Array) -> Pooled:
    """Combine estimates (m, k) with variances (m, k); df_complete (k,) as if nothing were missing.

    Infinite df_complete gives Rubin's original df. m is at least 2.
    """
    m = len(estimates)
    between = estimates.var(axis=0, ddof=1)
    within = variances.mean(axis=0)
    share = share_of(between, within + (1.0 + 1.0 / m) * between, m)
    df = barnard_rubin(m, share, np.asarray(df_complete, dtype=float))
    return Pooled(m, estimates.mean(axis=0), within, between, df)


def pool_covariance(estimates: Array, covariances: Array) -> tuple[Array, Array]:
    """Within (k, k) and between (k, k) covariance of estimates (m, k), covariances (m, k, k)."""
    left = estimates - estimates.mean(axis=0)
    return covariances.mean(axis=0), left.T @ left / (len(estimates) - 1)


def barnard_rubin(m: int, share: Array, df_complete: Array) -> Array:
    """Degrees of freedom that never exceed those of complete data (Barnard & Rubin 1999, eq. 3)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        old = (m - 1) / share**2
        observed = (df_complete + 1.0) / (df_complete + 3.0) * df_complete * (1.0 - share)
        both = 1.0 / (1.0 / old + 1.0 / observed)
    return np.where(np.isinf(df_complete), old, np.where(share == 0, observed, both))


# --- several coefficients at once -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Test:
    """An F test of k coefficients; riv: the average relative increase in variance."""

    num_df: int
    den_df: float
    statistic: float
    riv: float

    @property
    def p_value(self) -> float:
        return float(f_distribution.sf(self.statistic, self.num_df, self.den_df))


def d1(estimate: Array, within: Array, between: Array, m: int, df_complete: float) -> Test:
    """Wald's test of estimate (k,) = 0, its missing information alike in every direction.

    Denominator df after Reiter 2007 where df_complete is finite, else Li et al. 1991. Reiter's
    is not defined for one coefficient with m up to 5, which is then tested by the square of its t,
    with Barnard and Rubin's df (which are those of Li et al. where df_complete is infinite).
    """
    k = len(estimate)
    riv = (1.0 + 1.0 / m) * float(np.trace(np.linalg.solve(within, between))) / k
    value = float(estimate @ np.linalg.solve(within, estimate)) / k / (1.0 + riv)
    return Test(k, _df_of_d1(k, m, riv, df_complete), value, riv)


def _df_of_d1(k: int, m: int, riv: float, df_complete: float) -> float:
    t = k * (m - 1.0)
    if riv <= 0:
        return df_complete
    if k == 1 and t <= 4:
        return float(barnard_rubin(m, np.array(riv / (1.0 + riv)), np.array(df_complete)))
    if t <= 4 or np.isinf(df_complete):
        return min(_df_large(k, t, riv), df_complete)  # Reiter's needs t above 4
    a = riv * t / (t - 2.0)
    v = (df_complete + 1.0) / (df_complete + 3.0) * df_complete
    c0, c1, c2 = 1.0 / (t - 4.0), v - 2.0 * (1.0 + a), v - 4.0 * (1.0 + a)
    z = (
        1.0 / c2
        + c0 * (a**2 * c1 / ((1.0 + a) ** 2 * c2))
        + c0 * (8.0 * a**2 * c1 / ((1.0 + a) * c2**2) + 4.0 * a**2 / ((1.0 + a) * c2))
        + c0 * (4.0 * a**2 / (c2 * c1) + 16.0 * a**2 * c1 / c2**3)
        + c0 * 8.0 * a**2 / c2**2
    )
    return 4.0 + 1.0 / z


def _df_large(k: int, t: float, riv: float) -> float:
    """Li, Raghunathan & Rubin 1991, for samples large enough for the normal distribution."""
    if t > 4:
        return 4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) / riv) ** 2
    return t * (1.0 + 1.0 / k) * (1.0 + 1.0 / riv) ** 2 / 2.0


def d2(statistics: Array, k: int) -> Test:
    """Combine m chi-squared statistics of k df, when only these are known: a rough test."""
    m = len(statistics)
    riv = (1.0 + 1.0 / m) * float(np.sqrt(np.maximum(statistics, 0.0)).var(ddof=1))
    value = (float(statistics.mean()) / k - (m + 1.0) / (m - 1.0) * riv) / (1.0 + riv)
    with np.errstate(divide="ignore"):
        df = k ** (-3.0 / m) * (m - 1.0) * (1.0 + np.divide(1.0, riv)) ** 2
    return Test(k, float(df), max(value, 0.0), riv)


def d3(gains: Array, gains_at_pooled: Array, k: int) -> Test:
    """The likelihood ratio test of k coefficients.

    gains (m,): twice the log-likelihood that the larger model gains in each data set at its own
    estimates; gains_at_pooled (m,): with both models at their pooled estimates.
    """
    m = len(gains)
    t = k * (m - 1.0)
    at_pooled = float(gains_at_pooled.mean())
    riv = max((m + 1.0) / t * (float(gains.mean()) - at_pooled), 0.0)
    df = _df_large(k, t, riv) if riv > 0 else float("inf")
    return Test(k, df, at_pooled / (k * (1.0 + riv)), riv)


# --- how many imputations -------------------------------------------------------------------


def imputations_needed(fmi: float, m: int, cv: float = 0.05, level: float = 0.95) -> int:
    """How many imputations keep the standard error within `cv` of itself over repetitions.

    fmi was estimated from m imputations; its upper confidence limit is used, so that a pilot of
    few imputations asks for enough. Source: von Hippel 2020, the two-stage rule.
    """
    if not 0.0 < fmi < 1.0:
        return m if fmi <= 0 else int(np.ceil(1.0 + 0.5 / cv**2))
    upper = float(expit(logit(fmi) + norm.isf((1.0 - level) / 2.0) * np.sqrt(2.0 / m)))
    return int(np.ceil(1.0 + 0.5 * (upper / cv) ** 2))
