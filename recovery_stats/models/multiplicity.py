"""Several comparisons at once: p-values and limits that hold for all of them together.

    none         each by itself
    holm         step-down Bonferroni; its limits are Bonferroni's
    bonferroni   any dependence
    sidak        a little sharper than Bonferroni
    tukey        all pairs of means, by the studentised range (Tukey and Kramer)
    dunnett      against one control, by the joint t distribution of the comparisons
    mvt          any comparisons, by their joint t distribution
    hochberg     step-up, for independent or positively dependent p-values
    bh, by       false discovery rate (Benjamini & Hochberg; & Yekutieli: any dependence)

Each row keeps its own degrees of freedom. Sources: Holm 1979; Šidák 1967; Kramer 1956; Dunnett
1955; Hothorn, Bretz & Westfall 2008. Checked: emmeans (tests/models/margins.R).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from recovery_stats.engines import simultaneous
from recovery_stats.errors import DataError, UsageError, unknown

Array = NDArray[np.float64]

BY_COUNT = ("none", "holm", "bonferroni", "sidak")
STEP_UP = ("hochberg", "bh", "by")
JOINT = ("tukey", "dunnett", "mvt")
ADJUSTMENTS = (*BY_COUNT, *JOINT)


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons judged together: their covariance (k, k), and the means they compare."""

    covariance: Array
    means: int

    @property
    def correlation(self) -> Array:
        size = np.sqrt(np.diag(self.covariance))
        return np.asarray(self.covariance / np.outer(size, size))


def check_adjustment(method: str, known: Sequence[str] = ADJUSTMENTS) -> None:
    """UsageError with the nearest name when there is no such adjustment."""
    if method not in known:
        raise UsageError(unknown("adjustment", method, known))


def adjusted(p: Array, method: str) -> Array:
    """P-values (k,) adjusted by their number alone: those of BY_COUNT and STEP_UP."""
    check_adjustment(method, (*BY_COUNT, *STEP_UP))
    if method == "none":
        return p
    if method in STEP_UP:
        return _stepped_up(p, method)
    from statsmodels.stats.multitest import multipletests  # a second to load: on demand

    return np.asarray(multipletests(p, method=method)[1])


def adjust_p(p: Sequence[float] | Array, method: str = "holm") -> Array:
    """P-values adjusted for their number; a missing one stays missing and does not count.

    method: "holm", "hochberg", "bonferroni", "sidak", "bh", "by" or "none".
    Raises DataError for what is no p-value. Checked: R's p.adjust (reference case padjust).
    """
    values = np.asarray(p, dtype=float)
    seen = ~np.isnan(values)
    if values.ndim != 1 or not np.all((values[seen] >= 0) & (values[seen] <= 1)):
        raise DataError("P-values are a list of numbers from 0 to 1, or missing.")
    found = np.full(len(values), np.nan)
    if seen.any():
        found[seen] = adjusted(values[seen], method)
    return found


def _stepped_up(p: Array, method: str) -> Array:
    """From the largest p downward, each no larger than the one before.

    Sources: Hochberg 1988; Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001.
    """
    k = len(p)
    order = np.argsort(p)[::-1]
    rank = np.arange(k, 0, -1)  # of each p in `order`, from the smallest
    factor = k - rank + 1.0 if method == "hochberg" else k / rank
    if method == "by":
        factor = factor * np.sum(1.0 / np.arange(1, k + 1))
    found = np.empty(k)
    found[order] = np.minimum(np.minimum.accumulate(factor * p[order]), 1.0)
    return found


def p_values(statistic: Array, df: Array, method: str, family: Family) -> Array:
    """Adjusted p-values (k,) of t statistics with their df."""
    if method in BY_COUNT:
        return adjusted(np.asarray(2.0 * t_distribution.sf(np.abs(statistic), df)), method)
    if method == "tukey":
        chance = partial(_of_range, simultaneous.range_sf, family.means)
    else:
        chance = partial(_of_joint, simultaneous.largest_sf, family.correlation)
    return np.array([chance(t, nu) for t, nu in zip(statistic, df, strict=True)])


def critical_values(df: Array, level: float, method: str, family: Family) -> Array:
    """How many standard errors (k,) the simultaneous limits of each row lie away."""
    p, k = 1.0 - level, df.size
    if method in BY_COUNT:
        each = {"none": p, "sidak": -np.expm1(np.log1p(-p) / k)}.get(method, p / k)
        return np.asarray(t_distribution.isf(each / 2.0, df))
    if method == "tukey":
        limit = partial(_of_range, simultaneous.range_isf, family.means)
    else:
        limit = partial(_of_joint, simultaneous.largest_isf, family.correlation)
    found = {nu: limit(p, nu) for nu in set(df.tolist())}
    return np.array([found[nu] for nu in df.tolist()])


def _of_range(function: Callable[[float, int, float], float], k: int, x: float, df: float) -> float:
    return function(x, k, df) if np.isfinite(x) and df > 0 else float("nan")


def _of_joint(
    function: Callable[[float, Array, float], float], correlation: Array, x: float, df: float
) -> float:
    return function(x, correlation, df) if np.isfinite(x) and df > 0 else float("nan")
