"""Augmented inverse-propensity means of two arms, cross-fitted by cluster.

Each person's score uses models fitted without that person's fold; clusters are never split, so
that a house does not predict itself. The means are right when either the propensity or the
outcome model is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.engines.strategy_weight import ridge_logistic
from recovery_stats.errors import NotEstimable

Array = NDArray[Any]
RIDGE = 1e-3  # people: keeps a level that a fold lacks from running away


@dataclass(frozen=True, slots=True)
class Crossed:
    """Scores (n, 2) whose means are the outcome in the usual and the compared arm; held: how many
    propensities were held at the bound."""

    scores: Array
    held: int


def folds_of(
    arm: Array, cluster: NDArray[np.intp], folds: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """A fold (n,) for each person, whole clusters, each arm spread over the folds.

    Clusters in random order within their share of treated go round the folds. Raises
    NotEstimable where leaving a fold out leaves fewer than two people of an arm.
    """
    codes = np.unique(cluster, return_inverse=True)[1]
    treated = np.bincount(codes, arm) / np.bincount(codes)
    order = np.lexsort((rng.random(len(treated)), np.round(4 * treated)))
    of_cluster = np.empty(len(treated), dtype=np.intp)
    of_cluster[order] = (np.arange(len(treated)) + rng.integers(folds)) % folds
    fold: NDArray[np.intp] = of_cluster[codes]
    for k in range(folds):
        left = arm[fold != k]
        if min(left.sum(), len(left) - left.sum()) < 2:
            raise NotEstimable(
                f"With {len(treated)} clusters in {folds} folds, leaving a fold out leaves fewer "
                "than two people in an arm; take fewer folds, or do not cross-fit."
            )
    return fold


def cross_fit(
    X: Array, arm: Array, y: Array, fold: NDArray[np.intp], *, binary: bool, bound: float
) -> Crossed:
    """Scores from models fitted on the other folds.

    X (n, p) without intercept, arm (n,) 0/1, y (n,). Propensity logistic; outcome in each arm
    logistic if binary, else linear. bound: propensities are held within bound … 1 - bound.
    Source: Robins, Rotnitzky & Zhao 1994; Chernozhukov et al. 2018. Checked: with one stratum it
    is the difference of means; truth recovered with either model wrong (tests).
    """
    spread = X.std(axis=0)
    Z = np.column_stack([np.ones(len(X)), (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)])
    scores, held = np.empty((len(y), 2)), 0
    for k in np.unique(fold):
        out, kept = fold == k, fold != k
        e = expit(Z[out] @ ridge_logistic(Z[kept], arm[kept], np.ones(int(kept.sum()))))
        held += int(np.sum((e < bound) | (e > 1 - bound)))
        e = np.clip(e, bound, 1 - bound)
        for a, chance in ((0, 1 - e), (1, e)):
            own = kept & (arm == a)
            m = _predicted(Z[own], y[own], Z[out], binary)
            scores[out, a] = m + (arm[out] == a) / chance * (y[out] - m)
    return Crossed(scores, held)


def _predicted(Z: Array, y: Array, new: Array, binary: bool) -> Array:
    """The outcome that a model of Z, y expects at `new`."""
    if binary:
        return np.asarray(expit(new @ ridge_logistic(Z, y, np.ones(len(y)))))
    penalty = np.full(Z.shape[1], RIDGE)
    penalty[0] = 0.0
    return np.asarray(new @ np.linalg.solve(Z.T @ Z + np.diag(penalty), Z.T @ y))
