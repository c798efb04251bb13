"""A multivariate normal distribution from incomplete rows, and Little's test of MCAR.

Rows with the same columns observed are one pattern. The EM algorithm works on the sums of each
pattern, so that its steps do not depend on the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Array = NDArray[np.floating[Any]]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The rows that have the same columns: which (p,), how many, their mean and scatter.

    scatter: sum of (y - mean)(y - mean)' over the rows, of the columns seen.
    """

    seen: Bool
    n: int
    mean: Array
    scatter: Array


@dataclass(frozen=True, slots=True)
class NormalFit:
    """Maximum likelihood mean (p,) and covariance (p, p), with the steps taken."""

    mean: Array
    covariance: Array
    iterations: int
    converged: bool


@dataclass(frozen=True, slots=True)
class LittleTest:
    """Little's statistic against chi-squared, and the patterns it rests on."""

    statistic: float
    df: int
    p: float
    patterns: int
    rows: int


def patterns(Y: Array) -> tuple[Pattern, ...]:
    """The patterns of `Y` (n, p) with nan where missing; rows without any value are left out."""
    seen = np.isfinite(Y)
    some = seen.any(axis=1)
    kinds, which = np.unique(seen[some], axis=0, return_inverse=True)
    found = []
    for k, kind in enumerate(kinds):
        rows = Y[some][which.ravel() == k][:, kind]
        mean = rows.mean(axis=0)
        centred = rows - mean
        found.append(Pattern(kind, len(rows), mean, centred.T @ centred))
    return tuple(found)


def fit(Y: Array, *, tol: float = 1e-10, steps: int = 20_000) -> NormalFit:
    """Fit a normal distribution to `Y` (n, p), nan where missing; every column varies.

    tol: the largest change of a mean or covariance, in standard deviations, at which to stop.
    Source: Dempster, Laird & Rubin 1977; Little & Rubin 2019, ch. 11. Checked: Anderson's closed
    form for monotone data; R lavaan.
    """
    centre, scale = np.nanmean(Y, axis=0), np.nanstd(Y, axis=0)
    parts = patterns((Y - centre) / scale)
    p = Y.shape[1]
    mean: Array = np.zeros(p)
    covariance: Array = np.eye(p)
    done, step = False, 0
    while not done and step < steps:
        new_mean, new_covariance = _step(parts, mean, covariance)
        moved = max(np.abs(new_mean - mean).max(), np.abs(new_covariance - covariance).max())
        mean, covariance, done, step = new_mean, new_covariance, bool(moved < tol), step + 1
    return NormalFit(centre + scale * mean, covariance * np.outer(scale, scale), step, done)


def _step(parts: tuple[Pattern, ...], mean: Array, covariance: Array) -> tuple[Array, Array]:
    """One step of EM: expected sums and cross-products given what is seen, then their moments."""
    p = len(mean)
    total, first, second = 0, np.zeros(p), np.zeros((p, p))
    for part in parts:
        seen, hidden = part.seen, ~part.seen
        slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, hidden)])
        spread = np.zeros((p, seen.sum()))  # how every column follows those seen
        spread[seen] = np.eye(int(seen.sum()))
        spread[hidden] = slope.T
        expected = mean + spread @ (part.mean - mean[seen])
        rest = np.zeros((p, p))
        rest[np.ix_(hidden, hidden)] = (
            covariance[np.ix_(hidden, hidden)] - covariance[np.ix_(hidden, seen)] @ slope
        )
        total += part.n
        first += part.n * expected
        second += spread @ part.scatter @ spread.T + part.n * (rest + np.outer(expected, expected))
    average = first / total
    return average, second / total - np.outer(average, average)


def little(Y: Array) -> LittleTest:
    """Little's test that values are missing completely at random, `Y` (n, p) with nan.

    The means of each pattern against the maximum likelihood means, in the metric of the maximum
    likelihood covariance; chi-squared where many rows share each pattern.
    Source: Little 1988, JASA 83:1198. Checked: R lavaan's moments; naniar's airquality; Anderson's
    closed form.
    """
    found = fit(Y)
    parts = patterns(Y)
    n = sum(part.n for part in parts)
    statistic, df = 0.0, -Y.shape[1]
    for part in parts:
        gap = part.mean - found.mean[part.seen]
        of_part = found.covariance[np.ix_(part.seen, part.seen)]
        statistic += part.n * float(gap @ np.linalg.solve(of_part, gap))
        df += int(part.seen.sum())
    return LittleTest(statistic, df, float(chi2.sf(statistic, df)) if df else 1.0, len(parts), n)
