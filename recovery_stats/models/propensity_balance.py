"""Balance of the columns of a propensity model, before and after weighting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.models.design import Design

Array = NDArray[np.floating[Any]]
ROUNDING = 1e-9  # a difference that only arithmetic left


def balance_frame(design: Design, arm: Array, weights: Array) -> pd.DataFrame:
    """One row a column: standardised differences, and variance ratios of what is not 0/1.

    Differences before and after are divided by the same spread, the root of the mean of the two
    unweighted variances (n - 1), so that weighting cannot change the yardstick. Where neither
    arm varies but the means differ, the difference is infinite. Source: Austin 2009; Austin &
    Stuart 2015. Checked: R (reference case iptw_lalonde).
    """
    one = np.ones(len(arm))
    rows = []
    for j, name in enumerate(design.names):
        x = design.X[:, j]
        if np.ptp(x) == 0:
            continue
        spread = np.sqrt((x[arm == 1].var(ddof=1) + x[arm == 0].var(ddof=1)) / 2)
        (gap, ratio), (after, ratio_after) = (_compare(x, arm, w) for w in (one, weights))
        with np.errstate(divide="ignore", invalid="ignore"):
            smd = np.array([gap, after]) / spread
        smd[np.abs(smd) < ROUNDING] = 0.0
        rows.append((name, design.labels[j], smd[0], smd[1], ratio, ratio_after))
    names = ["term", "label", "smd_before", "smd_after", "variance_ratio_before"]
    return pd.DataFrame(rows, columns=[*names, "variance_ratio_after"])


def _compare(x: Array, arm: Array, w: Array) -> tuple[float, float]:
    """Weighted difference of means; ratio of weighted variances, nan for a 0/1 column."""
    (mean, spread), (usual, usual_spread) = (_moments(x[arm == a], w[arm == a]) for a in (1, 0))
    yes_no = set(np.unique(x)) <= {0.0, 1.0}
    ratio = float("nan") if yes_no or not usual_spread > 0 else spread / usual_spread
    return mean - usual, ratio


def _moments(x: Array, w: Array) -> tuple[float, float]:
    """Weighted mean, and variance unbiased for weights that do not depend on x."""
    share = w / w.sum()
    mean = float(share @ x)
    return mean, float(share @ (x - mean) ** 2 / (1 - share @ share))
