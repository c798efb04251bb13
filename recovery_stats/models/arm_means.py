"""Effects from the means of two arms and their covariance: difference, and ratios of a risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.propensity import clustered_variance
from recovery_stats.models.risk import estimate

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A function of the means (usual, compared): value (log of a ratio) and gradient (2,)."""

    name: str
    label: str
    value: float
    gradient: Array


def contrasts(means: Array, *, binary: bool) -> tuple[Contrast, ...]:
    """The difference; of a risk also the ratios, where both means lie within 0 and 1."""
    r0, r1 = map(float, means)
    kind = "risk" if binary else "mean"
    label = f"{kind.capitalize()} difference"
    found = [Contrast(f"{kind}_difference", label, r1 - r0, np.array([-1.0, 1.0]))]
    if binary and min(r0, r1) > 0 and max(r0, r1) < 1:
        v0, v1 = r0 * (1 - r0), r1 * (1 - r1)
        odds = float(np.log(r1 / (1 - r1)) - np.log(r0 / (1 - r0)))
        found += [
            Contrast(
                "risk_ratio", "Risk ratio", float(np.log(r1 / r0)), np.array([-1 / r0, 1 / r1])
            ),
            Contrast("odds_ratio", "Odds ratio", odds, np.array([-1 / v0, 1 / v1])),
        ]
    return tuple(found)


def effects_of(
    means: Array, covariance: Array, df: float, y: Array, *, level: float, method: str
) -> tuple[Estimate, ...]:
    """Each contrast of means (2,) with the error that covariance (2, 2) gives it."""
    binary = is_binary(y)
    return tuple(
        estimate(
            c.name, c.label, c.value, float(np.sqrt(c.gradient @ covariance @ c.gradient)), df,
            scale="difference" if c.name.endswith("difference") else "ratio",
            level=level, method=method, n=len(y), events=int(y.sum()) if binary else None,
        )
        for c in contrasts(means, binary=binary)
    )  # fmt: skip


def careful_covariance(
    influence: Array, arm: Array, cluster: NDArray[Any] | None
) -> tuple[Array, float]:
    """Covariance (2, 2) of two means from influences (n, 2), and degrees of freedom.

    By cluster, or of people alone where that gives the difference the larger variance: few
    clusters can be alike by luck. df: clusters of the arm that is in fewer of them, less one,
    since the difference is known no better than that arm; inf without clusters.
    """
    alone, _ = clustered_variance(influence, None)
    if cluster is None:
        return alone, float("inf")
    together, _ = clustered_variance(influence, cluster)
    g = np.array([-1.0, 1.0])
    wider = g @ together @ g >= g @ alone @ g
    return (together if wider else alone), fewest_clusters(arm, cluster) - 1.0


def fewest_clusters(arm: Array, cluster: NDArray[Any]) -> int:
    """How many clusters hold people of the arm that is in fewer of them; at least 2."""
    return max(2, min(len(np.unique(cluster[arm == a])) for a in (0, 1)))


def is_binary(y: Array) -> bool:
    """Whether an outcome is a 0/1."""
    return set(np.unique(y)) <= {0.0, 1.0}


def effect_table(rows: Sequence[Estimate]) -> pd.DataFrame:
    """Estimates as a table; errors of ratios are on the log scale."""
    return pd.DataFrame(
        {
            "term": [e.name for e in rows],
            "estimate": [e.value for e in rows],
            "std_error": [e.se for e in rows],
            "df": [e.df for e in rows],
            "p_value": [e.p for e in rows],
            "conf_low": [e.low for e in rows],
            "conf_high": [e.high for e in rows],
        }
    )
