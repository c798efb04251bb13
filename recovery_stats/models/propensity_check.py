"""What to look at before a weighted comparison: positivity, weights, balance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.cell import Count, Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.models.balance import ALIKE

Array = NDArray[np.floating[Any]]
NEAR = 0.05  # a propensity within this of 0 or 1 is told
LARGE = 10.0  # multiples of an arm's mean weight from which a weight is told
EXPLORATORY = 20  # clusters below which weighted errors are exploratory


def checks_of(
    balance: pd.DataFrame, arm: Array, propensity: Array, weights: Array, most: float,
    clusters: int | None,
) -> Iterator[Check]:  # fmt: skip
    """Positivity, weights above the truncation (or large), balance, number of clusters."""
    yield _positivity(arm, propensity)
    yield _weights(arm, weights, most)
    yield balance_check(balance)
    if clusters is not None and clusters < EXPLORATORY:
        yield Check(
            "weighted clusters", "caution",
            (Count(clusters, "clusters"), " clusters hold the group that is in fewer: with under "
             f"{EXPLORATORY}, errors of weighted and doubly robust comparisons are exploratory."),
        )  # fmt: skip


def _positivity(arm: Array, propensity: Array) -> Check:
    """People whose propensity lies outside the other arm's range, or near 0 or 1."""
    e1, e0 = propensity[arm == 1], propensity[arm == 0]
    low, high = max(e1.min(), e0.min()), min(e1.max(), e0.max())
    outside = int(np.sum((propensity < low) | (propensity > high)))
    near = int(np.sum((propensity < NEAR) | (propensity > 1 - NEAR)))
    n = len(propensity)
    return Check(
        "positivity", "caution" if outside or near else "ok",
        (Share(near, n), f" have a propensity under {NEAR} or over {1 - NEAR}; ", Share(outside, n),
         " lie beyond the range that both groups share."),
    )  # fmt: skip


def _weights(arm: Array, weights: Array, most: float) -> Check:
    if np.isfinite(most):
        above = int(np.sum(weights > most))
        return Check(
            "large weights", "caution" if above else "ok",
            (Share(above, len(weights)), " have a weight above the truncation at ",
             Quantity(most, "ratio"), " and count as that weight."),
        )  # fmt: skip
    multiple = np.empty(len(weights))
    for a in (0, 1):
        multiple[arm == a] = weights[arm == a] / weights[arm == a].mean()
    above = int(np.sum(multiple > LARGE))
    return Check(
        "large weights", "caution" if above else "ok",
        (Share(above, len(weights)), f" weigh over {LARGE:g} times the mean of their group; none "
         "was truncated."),
    )  # fmt: skip


def balance_check(balance: pd.DataFrame) -> Check:
    """The largest difference left."""
    after = balance["smd_after"].abs()
    worst, over = float(after.max()), int((after > ALIKE).sum())
    return Check(
        "balance after weighting", "caution" if over else "ok",
        (f"{over} of {len(after)} columns differ by more than {ALIKE} standard deviations after "
         "weighting; the largest difference is ", Quantity(worst), "."),
    )  # fmt: skip
