"""Pairs of treated and untreated people with nearly the same propensity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    pairs: NDArray[np.intp], y: Array, cluster: NDArray[Any] | None
) -> tuple[Array, Array, int]:
    """Means (usual, compared) of the pairs, their covariance (2, 2), and how many units it has.

    By pair (Abadie & Spiess 2022, valid where each person is used once). With clusters the pairs'
    and the clusters' likeness both count (two-way), and no contrast gets less than by pair alone:
    the larger difference variance decides. Units: pairs, or clusters where those decide.
    """
    m = len(pairs)
    values = y[pairs][:, ::-1]
    means = values.mean(axis=0)
    left = (values - means) / m
    by_pair = m / (m - 1) * left.T @ left
    if cluster is None:
        return means, by_pair, m
    influence = np.zeros((2 * m, 2))
    influence[:m, 0], influence[m:, 1] = left[:, 0], left[:, 1]
    houses = cluster[np.r_[pairs[:, 1], pairs[:, 0]]]
    by_house, G = clustered_variance(influence, houses)
    both = by_pair + by_house - clustered_variance(influence, None)[0]
    g = np.array([-1.0, 1.0])
    return (means, both, G) if g @ both @ g > g @ by_pair @ g else (means, by_pair, m)
