"""How alike the members of a cluster are, and what that costs; tests on cluster summaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Intraclass:
    """Share of the variance that lies between clusters, its interval, sizes and design effect."""

    icc: float
    low: float
    high: float
    clusters: int
    mean_size: float
    cv_size: float
    design_effect: float


@dataclass(frozen=True, slots=True)
class Welch:
    """Difference of two means with unequal variances (Welch 1947)."""

    difference: float
    se: float
    df: float


def intraclass(y: Array, cluster: NDArray[Any], arm: NDArray[Any], *, level: float) -> Intraclass:
    """ICC by one-way analysis of variance, arm means taken out.

    y (n,) outcome, 0/1 or any number; cluster (n,) labels; arm (n,) labels: an effect of the arm
    is not taken for likeness within clusters. Where every cluster lies in one arm, arms cost
    degrees of freedom between clusters, else within.
    Source: Donner 1986 (unequal sizes); interval of Searle 1971, exact for equal sizes.
    Raises NotEstimable with no cluster of two people. Checked: closed form; R (script in tests).
    """
    arms = np.unique(arm, return_inverse=True)[1]
    ids = np.unique(cluster, return_inverse=True)[1]
    size = np.bincount(ids).astype(float)
    pairs = np.unique(np.stack([ids, arms]), axis=1).shape[1]
    nested, a = pairs == len(size), int(arms.max()) + 1
    between_df = len(size) - (a if nested else 1)
    within_df = len(y) - len(size) - (0 if nested else a - 1)
    if between_df < 1 or within_df < 1:
        raise NotEstimable(
            "No intraclass correlation: it needs more clusters than arms, and clusters of two."
        )
    centred = y - (np.bincount(arms, y) / np.bincount(arms))[arms]
    mean = np.bincount(ids, centred) / size
    between = float(np.sum(size * mean**2)) / between_df
    within = float(np.sum((centred - mean[ids]) ** 2)) / within_df
    n0 = _effective_size(size, ids, arms if nested else np.zeros_like(arms), between_df)
    ratio, tail = between / within if within > 0 else float("inf"), (1 - level) / 2
    icc = _from_ratio(ratio, n0)
    return Intraclass(
        icc=icc,
        low=_from_ratio(ratio / f_distribution.isf(tail, between_df, within_df), n0),
        high=_from_ratio(ratio / f_distribution.ppf(tail, between_df, within_df), n0),
        clusters=len(size),
        mean_size=float(size.mean()),
        cv_size=float(size.std() / size.mean()),
        design_effect=design_effect(size, icc),
    )


def design_effect(size: Array, icc: float) -> float:
    """How many times clustering multiplies the variance of a difference between clusters.

    size (G,). 1 + ((cv^2 + 1) mean - 1) icc (Eldridge, Ashby & Kerry 2006); an ICC below 0 counts
    as 0, because clustering is not to be relied upon to gain precision.
    """
    return float(1 + (np.sum(size**2) / np.sum(size) - 1) * max(icc, 0.0))


def _effective_size(size: Array, ids: NDArray[Any], arms: NDArray[Any], between_df: int) -> float:
    """n0 of the analysis of variance with unequal sizes: near the mean size, never above."""
    arm_of = np.zeros(len(size), dtype=int)
    arm_of[ids] = arms
    squares = np.bincount(arm_of, size**2) / np.bincount(arm_of, size)
    return float((size.sum() - squares.sum()) / between_df)


def welch(x: Array, y: Array) -> Welch:
    """mean(y) - mean(x) with its standard error and degrees of freedom; two values a group."""
    if min(len(x), len(y)) < 2:
        raise NotEstimable("A comparison of cluster means needs two clusters in each arm.")
    a, b = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if a + b == 0:
        raise NotEstimable("The cluster means do not vary within either arm.")
    df = (a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1))
    return Welch(float(y.mean() - x.mean()), float(np.sqrt(a + b)), float(df))


def weighted_mean_t(d: Array, weights: Array) -> Welch:
    """Weighted mean of within-cluster differences d (G,) with a t on G - 1: the paired version."""
    if len(d) < 2:
        raise NotEstimable("Differences within clusters need two clusters in which both arms meet.")
    w = weights / weights.sum()
    mean = float(w @ d)
    # The HC2 form of the variance of a weighted mean: unbiased when the d share one variance.
    variance = float(np.sum(w**2 * (d - mean) ** 2 / (1 - w)))
    return Welch(mean, float(np.sqrt(variance)), float(len(d) - 1))


def two_sided(value: float, se: float, df: float, level: float) -> tuple[float, float, float]:
    """Lower and upper limit and p of a t (normal when df is inf) for null 0."""
    if not se > 0:
        return float("nan"), float("nan"), float("nan")
    reach = float(student.isf((1 - level) / 2, df)) * se
    return value - reach, value + reach, float(2 * student.sf(abs(value / se), df))


def _from_ratio(ratio: float, n0: float) -> float:
    if np.isinf(ratio):
        return 1.0
    return float((ratio - 1) / (ratio + n0 - 1))
