"""Simultaneous bands by the multiplier bootstrap: influences of clusters under random signs.

Source: Callaway & Sant'Anna 2021, algorithm 1 and section 4.1; signs for few clusters: Webb 2023.
Checked: the normal quantile of one estimate; independent and equal estimates in closed form
(tests/engines/test_staggered.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.change_effect import Array

WEBB = np.sqrt([0.5, 1.0, 1.5])
WEBB_BELOW = 20  # clusters: two signs have few distinct draws, and six weights more
BLOCK = 200  # draws at a time


def critical_value(
    sums: Array, level: float, replicates: int, generator: np.random.Generator
) -> float:
    """The multiple of standard errors within which all k estimates lie together with `level`.

    sums (C, k): influences summed by cluster. Estimates without spread take no part; nan
    without any.
    """
    se = np.sqrt((sums**2).sum(axis=0))
    moving = np.isfinite(se) & (se > 0)
    if not moving.any():
        return float("nan")
    standard = sums[:, moving] / se[moving]
    largest = np.concatenate(
        [
            np.abs(_signs(min(BLOCK, replicates - at), len(sums), generator) @ standard).max(axis=1)
            for at in range(0, replicates, BLOCK)
        ]
    )
    return float(np.quantile(largest, level, method="weibull"))


def _signs(draws: int, clusters: int, generator: np.random.Generator) -> Array:
    """Mean 0 and variance 1: signs, or Webb's six values where clusters are few."""
    sign = 2.0 * generator.integers(0, 2, (draws, clusters)) - 1.0
    return sign * generator.choice(WEBB, (draws, clusters)) if clusters < WEBB_BELOW else sign
