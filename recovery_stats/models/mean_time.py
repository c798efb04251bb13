"""Restricted mean times of curves, with their differences and ratios."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.engines import curves
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_horizon
from recovery_stats.models.columns import Array

if TYPE_CHECKING:
    from recovery_stats.models.curve import Curves


def tabulate_means(fitted: Curves, tau: float) -> pd.DataFrame:
    """group, estimate, std_error and limits; with two groups a row `difference`."""
    means, V = mean_times(fitted, tau)
    rows = list(zip(fitted.levels, means, np.sqrt(np.diag(V)), strict=True))
    if len(rows) == 2:
        rows.append(("difference", means[1] - means[0], _error(V, np.array([-1.0, 1.0]))))
    frame = pd.DataFrame(rows, columns=["group", "estimate", "std_error"])
    half = norm.isf((1 - fitted.level) / 2) * frame["std_error"]
    return frame.assign(conf_low=frame["estimate"] - half, conf_high=frame["estimate"] + half)


def mean_times(fitted: Curves, tau: float) -> tuple[Array, Array]:
    """Mean times up to tau (G,) and their covariance (G, G): clusters may lie in several groups.

    Raises NotEstimable naming the group whose curve is unknown before tau.
    """
    tau = read_horizon(tau)
    found = []
    for name, curve in zip(fitted.levels, fitted.fitted, strict=True):
        try:
            found.append(curves.restricted_mean(curve, tau))
        except NotEstimable as error:
            raise NotEstimable(f"Group {name!r}: {error}") from None
    means, errors = np.array(found).T
    if fitted.n_clusters is None:
        return means, np.diag(errors**2)
    U = np.stack([curves.mean_influence(c, tau, fitted.n_clusters) for c in fitted.fitted])
    return means, U @ U.T


def contrast_means(fitted: Curves, taus: Array, reference: str | None) -> pd.DataFrame:
    """Differences and ratios of each group's mean time with the reference's."""
    if len(fitted.levels) < 2:
        raise NotEstimable("A contrast of mean times needs two groups; there is one.")
    base = fitted.levels[0] if reference is None else reference
    if base not in fitted.levels:
        raise UsageError(unknown("group", base, fitted.levels))
    rows = [row for tau in taus for row in _contrasts(fitted, float(tau), base)]
    return pd.DataFrame(rows)


def _contrasts(fitted: Curves, tau: float, base: str) -> Iterator[dict[str, object]]:
    means, V = mean_times(fitted, tau)
    at = fitted.levels.index(base)
    z = norm.isf((1 - fitted.level) / 2)
    for g, name in enumerate(fitted.levels):
        if g == at:
            continue
        for scale in ("difference", "ratio"):
            c = np.zeros(len(means))
            c[[at, g]] = (-1.0, 1.0) if scale == "difference" else (-1 / means[at], 1 / means[g])
            gap = means[g] - means[at] if scale == "difference" else np.log(means[g] / means[at])
            se = _error(V, c)
            turn = np.exp if scale == "ratio" else float
            yield {
                "tau": tau,
                "contrast": f"{name} - {base}" if scale == "difference" else f"{name} / {base}",
                "scale": scale,
                "estimate": float(turn(gap)),
                "std_error": se,
                "statistic": gap / se,
                "p_value": float(2 * norm.sf(abs(gap / se))),
                "conf_low": float(turn(gap - z * se)),
                "conf_high": float(turn(gap + z * se)),
            }


def _error(V: Array, c: Array) -> float:
    return float(np.sqrt(c @ V @ c))
