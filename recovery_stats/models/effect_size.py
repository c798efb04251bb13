"""Standardised effect sizes: the door to pingouin.

pingouin rounds intervals to two decimals unless told, and knows nothing of clusters: both are
dealt with here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import f as f_distribution
from scipy.stats import ncf, nct

from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
FULL_PRECISION = 15


def hedges_g(
    compared: Array,
    usual: Array,
    *,
    level: float,
    design_effect: float = 1.0,
    name: str = "hedges_g",
    label: str = "Standardised difference (Hedges g)",
    rank: Level = "secondary",
) -> Estimate:
    """Mean of `compared` minus mean of `usual` in pooled standard deviations, bias-corrected.

    compared, usual (n,): values, two or more each. design_effect > 1 shrinks the sample sizes in
    the interval to what they are worth under clustering.
    Source: Hedges 1981; Hedges & Olkin 1985 for the interval. Checked: by hand.
    """
    from pingouin import compute_effsize, compute_esci

    x, y = np.asarray(compared, dtype=float), np.asarray(usual, dtype=float)
    if min(len(x), len(y)) < 2 or np.ptp(x) == np.ptp(y) == 0:
        raise NotEstimable("A standardised difference needs values that vary, two in each arm.")
    g = float(compute_effsize(x, y, eftype="hedges"))
    nx, ny = len(x) / design_effect, len(y) / design_effect
    low, high = compute_esci(
        stat=g, nx=nx, ny=ny, eftype="hedges", confidence=level, decimals=FULL_PRECISION
    )
    # The standard error of Hedges and Olkin, which pingouin uses for its interval.
    se = float(np.sqrt((nx + ny) / (nx * ny) + g**2 / (2 * (nx + ny))))
    return Estimate(
        name, label, g, float(low), float(high), se, df=nx + ny - 2, level=rank,
        method="Hedges g", confidence=level, n=len(x) + len(y),
    )  # fmt: skip


def paired_d(first: Array, second: Array, *, level: float = 0.95) -> Estimate:
    """Mean change (first - second) in standard deviations of the change (d_z), exact interval.

    first, second (n,): the same people twice. The interval inverts the noncentral t, as R's
    effectsize does; pingouin's normal approximation is too narrow in small samples.
    Checked: reference case effsize_paired.
    """
    from pingouin import compute_effsize

    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n = len(x)
    if n < 2 or np.ptp(x - y) == 0:
        raise NotEstimable("A paired effect size needs two people and changes that differ.")
    d = float(compute_effsize(x - y, 0, eftype="cohen"))
    t, tail = d * np.sqrt(n), (1 - level) / 2
    low, high = (_noncentrality(t, n - 1, share) / np.sqrt(n) for share in (1 - tail, tail))
    return Estimate(
        "paired_d", "Standardised change (d_z)", d, float(low), float(high), df=n - 1.0,
        method="noncentral t", confidence=level, n=n,
    )  # fmt: skip


def partial_eta_squared(
    statistic: float, num_df: float, den_df: float, *, level: float = 0.95, sides: int = 1
) -> Estimate:
    """The share of what a term and the error leave, from its F, with limits by inversion.

    sides 1: a lower limit at `level` and 1 above, since a share cannot be shown to be small by
    testing zero; 2: limits on both sides. The limits are those of the noncentrality c of F as
    c / (c + den_df). pingouin has them for no design but one-way.
    Source: Steiger 2004. Checked: reference case effsize_anova (R's effectsize).
    """
    value = statistic * num_df / (statistic * num_df + den_df)
    tail = (1 - level) / sides

    def share(chance: float) -> float:
        c = _noncentrality_of_f(statistic, num_df, den_df, chance)
        return c / (c + den_df)

    high = 1.0 if sides == 1 else share(tail)
    return Estimate(
        "partial_eta2", "Partial eta squared", value, share(1 - tail), high, df=den_df,
        scale="probability", method="noncentral F", confidence=level,
    )  # fmt: skip


def _noncentrality_of_f(statistic: float, num_df: float, den_df: float, chance: float) -> float:
    """The noncentrality under which a share `chance` of F values lies below; 0 where none does."""

    def excess(c: float) -> float:
        below = f_distribution.cdf if c == 0 else ncf.cdf
        return float(below(statistic, num_df, den_df, *(() if c == 0 else (c,)))) - chance

    if not statistic > 0 or excess(0.0) <= 0:
        return 0.0
    end = max(statistic * num_df, 1.0)
    while excess(end) > 0:
        end *= 2
    return float(brentq(excess, 0.0, end, xtol=1e-12, rtol=1e-12))


def _noncentrality(t: float, df: int, share: float) -> float:
    """The noncentrality under which a share `share` of noncentral t values lies below t."""

    def excess(c: float) -> float:
        return float(nct.cdf(t, df, c)) - share

    # Walk outward from t: far out the distribution function is lost to underflow.
    step = 0.5 if excess(t) > 0 else -0.5
    end = t
    while excess(end) * step > 0:
        end += step
    return float(brentq(excess, *sorted((end - step, end)), xtol=1e-12, rtol=1e-12))
