"""Chances of the largest of several t statistics: the studentised range, and the joint one.

The joint distribution is integrated by Genz's transformation to the unit cube over one fixed
lattice, so that the same question has the same answer to the last digit.
Sources: Genz & Bretz 2009, sections 4.2 and 5.1; Tukey 1953; Kramer 1956; Dunnett 1964.
Checked: R's ptukey, mvtnorm's exact algorithms, Dunnett's tables, the collapse to one t and to
independent ones (tests/engines/test_simultaneous.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, studentized_range
from scipy.stats import t as t_distribution

from recovery_stats.engines.linalg import Array

POINTS = 1 << 16  # chances are known to about 2e-5
DEPENDENT = 1e-7  # share of a statistic's spread below which those before it fix it
MANY_DF = 1e6  # from here the t distribution is normal to more digits than the lattice holds


def range_sf(t: float, means: int, df: float) -> float:
    """Chance that some pair of `means` equal means differs by |t| standard errors or more."""
    return float(studentized_range.sf(np.sqrt(2.0) * abs(t), means, df))


def range_isf(p: float, means: int, df: float) -> float:
    """The t that the largest pairwise difference of `means` means exceeds with chance p."""
    return float(studentized_range.isf(p, means, df) / np.sqrt(2.0))


def largest_sf(t: float, correlation: Array, df: float) -> float:
    """Chance that the largest of |T_1|, …, |T_k| is |t| or more.

    T: multivariate t with df > 0 (inf: normal) and correlation (k, k), singular or not.
    """
    if len(correlation) == 1:
        return float(2.0 * t_distribution.sf(abs(t), df))
    return 1.0 - _Joint.of(correlation, df).inside(abs(t))


def largest_isf(p: float, correlation: Array, df: float) -> float:
    """The t that the largest of |T_1|, …, |T_k| exceeds with chance p."""
    k = len(correlation)
    low = float(t_distribution.isf(p / 2.0, df))
    if k == 1:
        return low
    high = float(t_distribution.isf(p / (2.0 * k), df))  # Bonferroni: never below
    joint = _Joint.of(correlation, df)
    if joint.inside(low) >= 1.0 - p:
        return low
    return float(brentq(lambda t: joint.inside(t) - (1.0 - p), low, 1.01 * high, xtol=1e-7))


@dataclass(frozen=True, slots=True)
class _Joint:
    """L (k, k): factor of the correlation; u (r, n): the lattice; scale (n,): the common root."""

    L: Array
    u: Array
    scale: Array

    @classmethod
    def of(cls, correlation: Array, df: float) -> _Joint:
        L = _factor(correlation)
        rank = int((np.abs(np.diag(L)) > 0).sum())
        u = _lattice(rank + 1)
        scale = np.ones(POINTS) if df > MANY_DF else np.sqrt(chi2.ppf(u[rank], df) / df)
        return cls(L, u[:rank], scale)

    def inside(self, t: float) -> float:
        """Chance that every |T_i| stays below t.

        Rows that others fix bound the last coordinate they use, beside that coordinate's own row
        (Genz & Kwong 2000), so that the integrand stays continuous.
        """
        limit, chance, z = t * self.scale, np.ones(POINTS), np.zeros_like(self.u)
        last = np.array([np.flatnonzero(np.abs(row) > DEPENDENT)[-1] for row in self.L])
        for j in range(len(z)):
            low, high = np.full(POINTS, -np.inf), np.full(POINTS, np.inf)
            for row in self.L[last == j]:
                centre = row[:j] @ z[:j]
                ends = np.sort([(-limit - centre) / row[j], (limit - centre) / row[j]], axis=0)
                low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
            below = ndtr(low)
            share = np.maximum(ndtr(high) - below, 0.0)
            chance = chance * share
            z[j] = ndtri(np.clip(below + self.u[j] * share, 1e-300, 1.0 - 1e-16))
        return float(chance.mean())


def _factor(correlation: Array) -> Array:
    """Rows in an order that puts independent statistics first, and their lower factor (k, r).

    Greedy pivoting: a statistic that those before it fix has a zero in its own column.
    """
    k = len(correlation)
    left, order, L = correlation.copy(), list(range(k)), np.zeros((k, k))
    for j in range(k):
        spread = np.array([left[i, i] for i in order[j:]])
        pick = j + int(np.argmax(spread))
        order[j], order[pick] = order[pick], order[j]
        at = order[j]
        if left[at, at] <= DEPENDENT:
            break
        column = left[:, at] / np.sqrt(left[at, at])
        column[order[:j]] = 0.0
        L[:, j] = column
        left = left - np.outer(column, column)
    return L[order]


def _lattice(dimensions: int) -> Array:
    """Richtmyer's lattice of square roots of primes, folded to be periodic: (dimensions, n)."""
    roots = np.sqrt(np.array(_primes(dimensions), dtype=float))
    steps = np.arange(1, POINTS + 1)
    return np.asarray(np.abs(2.0 * np.mod(roots[:, None] * steps, 1.0) - 1.0))


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return found
