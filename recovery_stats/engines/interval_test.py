"""Permutation test of scores between groups: k-sample linear rank tests for intervals.

Source: Fay 1996; Fay & Shaw 2010 (permutational central limit theorem).
Checked: by hand; every permutation of a small sample (tests/engines/test_turnbull.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from recovery_stats.errors import NotEstimable

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Scores:
    """n and score (G,) of each group; statistic with df, and its p."""

    n: Ints
    score: Array
    statistic: float
    df: int
    p: float


def compare(
    score: Array, group: Ints, G: int, permutations: int, generator: np.random.Generator
) -> Scores:
    """Test that scores (n,) do not depend on the group (n,) in 0 … G-1.

    Quadratic form of the groups' sums in their permutation covariance: S²/(n - 1) (diag(m) -
    m m'/n) for groups of m people and S² the centred scores' sum of squares. p from chi-squared
    with G - 1 degrees, or the share of so many random permutations that reach the statistic,
    the observed one among them.
    """
    if G < 2:
        raise NotEstimable("A test needs two groups.")
    n = np.bincount(group, minlength=G)
    centred = score - score.mean()
    spread = float(centred @ centred) / (len(score) - 1)
    if not spread > 0:
        raise NotEstimable("Every row has the same score: their intervals tell nobody apart.")

    def statistic(who: Ints) -> float:
        sums = np.bincount(who, centred, G)
        return float(np.sum(sums**2 / n) / spread)

    seen = statistic(group)
    p = float(chi2.sf(seen, G - 1))
    if permutations:
        reached = sum(
            statistic(generator.permutation(group)) >= seen * (1 - 1e-12)
            for _ in range(permutations)
        )
        p = (reached + 1) / (permutations + 1)
    return Scores(n, np.bincount(group, score, G).astype(float), seen, G - 1, p)
