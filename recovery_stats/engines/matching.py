"""Pairs of treated and untreated people with nearly the same propensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.glm import dependent_columns, least_squares
from recovery_stats.engines.propensity import clustered_variance

Array = NDArray[np.floating[Any]]


def nearest_pairs(score: Array, arm: Array, caliper: float) -> NDArray[np.intp]:
    """Rows (m, 2) of treated and of the untreated matched to them, each used once.

    score (n,): log odds of the propensity. Treated are served from the highest score down, as
    they have fewest like them; nobody further than `caliper` is taken. Of several as near the one
    with the lowest score is taken, then the earliest row. m people cost about m log m steps.
    Source: Rosenbaum & Rubin 1985; Austin 2011 (caliper 0.2 SD). Checked: brute force.
    """
    treated, free = np.flatnonzero(arm == 1), np.flatnonzero(arm == 0)
    free = free[np.argsort(score[free], kind="stable")]
    treated = treated[np.argsort(-score[treated], kind="stable")]
    left = _Free.of(score[free])
    pairs = []
    for i, wanted, place in zip(
        treated.tolist(),
        score[treated].tolist(),
        np.searchsorted(left.score, score[treated]).tolist(),
        strict=True,
    ):
        j = left.nearest(wanted, place)
        if j >= 0 and abs(left.score[j] - wanted) <= caliper:
            left.take(j)
            pairs.append((i, free[j]))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class _Free:
    """Those nobody has taken yet, in the order of their scores (m,).

    after, before: from each place on, the nearest that may still be free, followed until it
    points to itself (m, or -1 as 0 of `before`, for none); first: where a score's ties begin.
    A search costs a few steps however many are taken (Tarjan 1975).
    """

    score: Array
    first: list[int]
    after: list[int]
    before: list[int]

    @classmethod
    def of(cls, score: Array) -> _Free:
        m = len(score)
        first = np.searchsorted(score, score).tolist()
        return cls(score, first, list(range(m + 1)), list(range(m + 1)))

    def take(self, j: int) -> None:
        self.after[j], self.before[j + 1] = j + 1, j

    def nearest(self, wanted: float, place: int) -> int:
        """The free one nearest to `wanted`, the earliest of several; -1 where none is free.

        place: how many scores are below `wanted`.
        """
        above, below = _follow(self.after, place), self._tied(_follow(self.before, place) - 1)
        if below < 0:
            return above if above < len(self.score) else -1
        gap = abs(self.score[below] - wanted)
        if above < len(self.score) and abs(self.score[above] - wanted) < gap:
            return above
        while (other := self._tied(_follow(self.before, self.first[below]) - 1)) >= 0:
            if abs(self.score[other] - wanted) > gap:  # else as near, but for rounding
                break
            below = other
        return below

    def _tied(self, j: int) -> int:
        """The first free one with the score of place j; -1 stays."""
        return _follow(self.after, self.first[j]) if j >= 0 else -1


def _follow(pointer: list[int], i: int) -> int:
    """Where the pointers from i lead, each halved on the way."""
    while pointer[i] != i:
        pointer[i] = pointer[pointer[i]]
        i = pointer[i]
    return i


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
