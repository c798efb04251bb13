"""Pairs of treated and untreated people with nearly the same propensity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.glm import dependent_columns, least_squares
from recovery_stats.engines.propensity import clustered_variance

Array = NDArray[np.floating[Any]]


def nearest_pairs(score: Array, arm: Array, caliper: float) -> NDArray[np.intp]:
    """Rows (m, 2) of treated and of the untreated matched to them, each used once.

    score (n,): log odds of the propensity. Treated are served from the highest score down, as
    they have fewest like them; nobody further than `caliper` is taken. Ties go to the earlier row.
    Source: Rosenbaum & Rubin 1985; Austin 2011 (caliper 0.2 SD). Checked: brute force.
    """
    treated, free = np.flatnonzero(arm == 1), np.flatnonzero(arm == 0)
    free = free[np.argsort(score[free], kind="stable")]
    ordered = score[free]
    taken = np.zeros(len(free), dtype=bool)
    pairs = []
    for i in treated[np.argsort(-score[treated], kind="stable")]:
        gap = np.where(taken, np.inf, np.abs(ordered - score[i]))
        j = int(np.argmin(gap)) if len(gap) else -1
        if j >= 0 and gap[j] <= caliper:
            taken[j] = True
            pairs.append((i, free[j]))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def matched_means(
    pairs: NDArray[np.intp], y: Array, X: Array, cluster: NDArray[Any] | None
) -> tuple[Array, Array, int]:
    """Means (usual, compared) of the pairs, their covariance (2, 2), and how many units it has.

    y (n,), X (n, p): covariates without intercept; what they still differ by within the pairs is
    taken out by least squares (none left out: p = 0 is the mean of the pairs). Errors by pair
    (Abadie & Spiess 2022, valid where each person is used once). With clusters the pairs' and the
    clusters' likeness both count (two-way), and no less than by pair alone: the larger variance
    of the difference decides. Units: pairs, or clusters where those decide.
    """
    m = len(pairs)
    rows, arm = pairs.T.ravel(), np.repeat([1.0, 0.0], m)
    centred = X[rows] - X[rows].mean(axis=0)
    D = np.column_stack([1 - arm, arm, centred])
    D = np.delete(D, dependent_columns(D), axis=1)
    fit = least_squares(D, y[rows])
    influence = ((y[rows] - fit.mu)[:, None] * D) @ np.linalg.inv(D.T @ D)[:, :2]
    by_pair, units = clustered_variance(influence, np.tile(np.arange(m), 2))
    if cluster is None:
        return fit.beta[:2], by_pair, units
    by_house, G = clustered_variance(influence, cluster[rows])
    both = by_pair + by_house - clustered_variance(influence, None)[0]
    g = np.array([-1.0, 1.0])
    wider = g @ both @ g > g @ by_pair @ g
    return (fit.beta[:2], both, G) if wider else (fit.beta[:2], by_pair, units)
