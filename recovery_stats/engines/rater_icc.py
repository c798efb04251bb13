"""Intraclass correlations of judges (Shrout & Fleiss): do they agree about the same targets?

Three designs, each for one judge and for the mean of all:
    1  every target has judges of its own (one-way)
    2  the judges are a sample of judges; their levels count as disagreement (two-way random)
    3  these judges only; a judge who is always higher does not disagree (two-way, fixed judges)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher

from recovery_stats.engines.linalg import Array


@dataclass(frozen=True, slots=True)
class Squares:
    """Mean squares of n targets by k judges: targets, judges, what is left; within targets."""

    n: int
    k: int
    targets: float
    judges: float
    rest: float
    within: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """One correlation with its limits, and the F test that it is zero."""

    icc: float
    low: float
    high: float
    F: float
    num_df: int
    den_df: int
    p: float


def squares(y: Array) -> Squares:
    """Mean squares of y (n, k), n targets judged by the same k judges, none missing."""
    n, k = y.shape
    rows, columns, grand = y.mean(axis=1), y.mean(axis=0), y.mean()
    targets = k * np.sum((rows - grand) ** 2)
    judges = n * np.sum((columns - grand) ** 2)
    rest = np.sum((y - rows[:, None] - columns + grand) ** 2)
    return Squares(
        n, k, float(targets / (n - 1)), float(judges / (k - 1)),
        float(rest / ((n - 1) * (k - 1))), float((judges + rest) / (n * (k - 1))),
    )  # fmt: skip


def one_way(s: Squares, level: float) -> Correlation:
    """ICC(1): a target's judges are drawn anew, so that their levels are error."""
    return _exact(s, s.within, s.n * (s.k - 1), level)


def fixed(s: Squares, level: float) -> Correlation:
    """ICC(3): consistency of these judges, whatever their levels."""
    return _exact(s, s.rest, (s.n - 1) * (s.k - 1), level)


def random(s: Squares, level: float) -> Correlation:
    """ICC(2): absolute agreement of judges from a population of judges.

    The limits are approximate, with Satterthwaite's degrees of freedom.
    Source: Shrout & Fleiss 1979, p. 424. Checked: psych::ICC.
    """
    n, error = s.n, s.k * s.judges + (s.k * s.n - s.k - s.n) * s.rest
    icc = n * (s.targets - s.rest) / (error + n * s.targets)
    df = _satterthwaite(s, icc)
    tail = (1 - level) / 2
    up, down = fisher.isf(tail, n - 1, df), fisher.isf(tail, df, n - 1)
    low = n * (s.targets - up * s.rest) / (up * error + n * s.targets)
    high = n * (down * s.targets - s.rest) / (error + n * down * s.targets)
    test = fixed(s, level)
    return Correlation(icc, float(low), float(high), test.F, test.num_df, test.den_df, test.p)


def of_mean(r: Correlation, k: int) -> Correlation:
    """The same correlation for the mean of k judges (Spearman & Brown)."""
    icc, low, high = (k * x / (1 + (k - 1) * x) for x in (r.icc, r.low, r.high))
    return Correlation(icc, low, high, r.F, r.num_df, r.den_df, r.p)


def _exact(s: Squares, error: float, den_df: int, level: float) -> Correlation:
    """(F - 1) / (F + k - 1), and the same of the limits of F. Source: Shrout & Fleiss 1979."""
    F, num_df, tail = s.targets / error, s.n - 1, (1 - level) / 2
    ends = (F / fisher.isf(tail, num_df, den_df), F * fisher.isf(tail, den_df, num_df))
    icc, low, high = ((x - 1) / (x + s.k - 1) for x in (F, *ends))
    p = float(fisher.sf(F, num_df, den_df))
    return Correlation(icc, float(low), float(high), F, num_df, den_df, p)


def _satterthwaite(s: Squares, icc: float) -> float:
    """Degrees of freedom of the error of ICC(2)."""
    n, k, ratio = s.n, s.k, s.judges / s.rest
    mixed = n * (1 + (k - 1) * icc) - k * icc
    above = (k - 1) * (n - 1) * (k * icc * ratio + mixed) ** 2
    return float(above / ((n - 1) * (k * icc * ratio) ** 2 + mixed**2))
