"""The exact interval of the ratio of two variances: one random intercept, any design.

With y = X beta + Z b + e and lambda = var(b) / var(e), let t_j be the components of Z'(I - X X⁺)y
along the eigenvectors of Z'(I - X X⁺)Z, whose eigenvalues d_j > 0 number r. Then

    sum t_j² / (d_j (1 + lambda d_j)) / r  over  the residual mean square within groups

has the F(r, f) distribution whatever the sizes of the groups, and falls as lambda grows.
Source: Wald 1940; Seely & El-Bassiouni 1983. Checked: Searle's balanced interval, psych's ICC,
coverage in small unbalanced data (tests/engines/test_variance_ratio.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import f as f_distribution

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

MOST_GROUPS = 3_000  # eigenvalues of a matrix of that size take seconds
KNOWN = 1e-9  # share of the largest eigenvalue below which a direction holds no information


@dataclass(frozen=True, slots=True)
class RatioTest:
    """Squares t (r,) with eigenvalues d (r,), and the mean square within on f df."""

    squares: Array
    d: Array
    within: float
    f: int

    def statistic(self, ratio: float) -> float:
        """F of the hypothesis that var(b) / var(e) is `ratio` >= 0."""
        r = len(self.d)
        return float((self.squares / (self.d * (1.0 + ratio * self.d))).sum() / r / self.within)

    def limits(self, level: float) -> tuple[float, float]:
        """Limits of the ratio; 0 where every ratio is too large."""
        tail, r = 0.5 * (1.0 - level), len(self.d)
        return (
            self._solve(float(f_distribution.isf(tail, r, self.f))),
            self._solve(float(f_distribution.ppf(tail, r, self.f))),
        )

    def _solve(self, target: float) -> float:
        if self.statistic(0.0) <= target:
            return 0.0
        # F(lambda) <= F(0) / (1 + lambda min d): beyond this it is below the target
        high = (self.statistic(0.0) / target - 1.0) / float(self.d.min())
        return float(brentq(lambda v: self.statistic(v) - target, 0.0, high * 1.01, xtol=1e-14))


def ratio_test(X: Array, y: Array, codes: IntArray, z: Array) -> RatioTest:
    """X (n, p), outcome y (n,), groups (n,) and the column z (n,) of the effect (1: intercept).

    Rows are to have equal residual variance. Raises NotEstimable where groups and predictors
    leave no residual, or groups differ in no direction that the predictors do not take up.
    """
    n, m = len(y), int(codes.max()) + 1
    if m > MOST_GROUPS:
        raise NotEstimable(f"The exact interval is for up to {MOST_GROUPS} groups; there are {m}.")
    Q = np.linalg.qr(X / np.sqrt((X**2).sum(0))).Q
    ZQ = np.stack([np.bincount(codes, z * q, m) for q in Q.T], axis=1)
    left = y - Q @ (Q.T @ y)
    left = left - Q @ (Q.T @ left)
    A = np.diag(np.bincount(codes, z * z, m).astype(float)) - ZQ @ ZQ.T
    values, vectors = np.linalg.eigh(A)
    live = values > KNOWN * values[-1]
    d = np.asarray(values[live], dtype=float)
    squares = np.asarray((vectors[:, live].T @ np.bincount(codes, z * left, m)) ** 2, dtype=float)
    f = n - X.shape[1] - int(live.sum())
    within = float(left @ left) - float((squares / d).sum())
    if f < 1 or not live.any() or not within > 0:
        raise NotEstimable("Groups and predictors leave no residual to compare variances with.")
    return RatioTest(squares, d, within / f, f)
