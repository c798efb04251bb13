"""Pooled logistic models of who deviates from a strategy, or is lost, with a weak prior.

Checked: against an unpenalised fit and brute-force clones (tests/engines/test_strategy.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.strategy_course import Course, Mask

PRIOR = 1.0 / 2.5**2  # ridge on coefficients of standardised columns: bootstraps may separate
NEWTON_STEPS = 25
CONSTANT = 1e-9  # spread of a column, over its mean, below which it is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """A pooled logistic model: rows (person, block) with design X (m, p) and outcome y (m,)."""

    person: IntArray
    block: IntArray
    X: Array
    y: Array

    @classmethod
    def of(cls, course: Course, rows: Mask, outcome: Mask) -> Weighting:
        person, block = np.nonzero(rows)
        late = block / max(course.count.shape[1] - 1, 1)
        X = np.column_stack([late, late**2, course.history[person, block]])
        return cls(person, block, standardised(X), outcome[person, block].astype(float))

    def chance(self, weight: Array) -> Array:
        """P(y = 1) of each row, fitted with `weight` (n,) by person."""
        return np.asarray(expit(self.X @ ridge_logistic(self.X, self.y, weight[self.person])))

    def shares(self, weight: Array, blocks: int) -> Array:
        """P(y = 1) by block alone (blocks,), the numerator of stabilised weights."""
        w = weight[self.person]
        total = np.bincount(self.block, w, blocks)
        with np.errstate(invalid="ignore"):
            share = np.bincount(self.block, w * self.y, blocks) / total
        return np.where(total > 0, share, 0.0)


def standardised(X: Array) -> Array:
    """1 and the columns of X (m, p) that vary, with mean 0 and standard deviation 1."""
    if not len(X):
        return np.ones((0, 1))
    mean, spread = X.mean(0), X.std(0)
    varies = spread > CONSTANT * (1.0 + np.abs(mean))
    return np.column_stack([np.ones(len(X)), (X - mean)[:, varies] / spread[varies]])


def ridge_logistic(X: Array, y: Array, weight: Array) -> Array:
    """Coefficients (p,) of a logistic model with a weak normal prior on all but the first.

    X (m, p): 1, then standardised columns. weight (m,) >= 0.
    """
    beta = np.zeros(X.shape[1])
    penalty = np.full(X.shape[1], PRIOR)
    penalty[0] = 1e-6
    for _ in range(NEWTON_STEPS):
        p = expit(X @ beta)
        score = X.T @ (weight * (y - p)) - penalty * beta
        information = (X.T * (weight * p * (1.0 - p))) @ X + np.diag(penalty)
        step = np.linalg.solve(information, score)
        beta = beta + step
        if float(step @ score) < 1e-10:
            break
    return beta
