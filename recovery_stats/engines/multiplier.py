"""Simultaneous bands by the multiplier bootstrap: influences of clusters under random signs.

The bootstrap tells how estimates go together, and takes each error as known. With few clusters it
is not: each estimate then has the t quantile of its own degrees of freedom, at the level that the
bootstrap's multiple has in a normal distribution (a Gaussian copula with t margins).

Source: Callaway & Sant'Anna 2021, algorithm 1 and section 4.1; signs for few clusters: Webb 2023;
degrees of freedom: Welch 1947, Satterthwaite 1946.
Checked: the normal quantile of one estimate; independent and equal estimates in closed form;
Welch's df of two groups (tests/engines/test_staggered.py); scripts/openings_recovery.md.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from recovery_stats.engines.change_effect import Array
from recovery_stats.engines.linalg import IntArray

WEBB = np.sqrt([0.5, 1.0, 1.5])
WEBB_BELOW = 20  # clusters: two signs have few distinct draws, and six weights more
BLOCK = 200  # draws at a time


def critical_value(
    sums: Array, level: float, replicates: int, generator: np.random.Generator
) -> float:
    """The multiple of standard errors within which all k estimates lie together with `level`.

    sums (C, k): influences summed by cluster. Estimates without spread take no part; nan
    without any.
    """
    se = np.sqrt((sums**2).sum(axis=0))
    moving = np.isfinite(se) & (se > 0)
    if not moving.any():
        return float("nan")
    standard = sums[:, moving] / se[moving]
    largest = np.concatenate(
        [
            np.abs(_signs(min(BLOCK, replicates - at), len(sums), generator) @ standard).max(axis=1)
            for at in range(0, replicates, BLOCK)
        ]
    )
    return float(np.quantile(largest, level, method="weibull"))


def welch_df(sums: Array, group: IntArray) -> Array:
    """Degrees of freedom (k,) of the variances of sums over clusters of independent groups.

    sums (C, k): influences summed by cluster. group (C,): the group of each. A group's part of a
    variance rests on its clusters less one; one alone counts as if there were two. nan without
    spread.
    """
    codes, sizes = np.unique(group, return_counts=True)
    part = np.stack([(sums[group == g] ** 2).sum(axis=0) for g in codes])
    free = np.maximum(sizes - 1, 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part.sum(axis=0) ** 2 / (part**2 / free).sum(axis=0))


def student_multiples(multiple: float, df: Array) -> Array:
    """The multiple of normal errors as t quantiles (k,) at the same level, by `df` (k,)."""
    return np.asarray(student.isf(norm.sf(multiple), df))


def _signs(draws: int, clusters: int, generator: np.random.Generator) -> Array:
    """Mean 0 and variance 1: signs, or Webb's six values where clusters are few."""
    sign = 2.0 * generator.integers(0, 2, (draws, clusters)) - 1.0
    return sign * generator.choice(WEBB, (draws, clusters)) if clusters < WEBB_BELOW else sign
