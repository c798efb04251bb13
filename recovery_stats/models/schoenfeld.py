"""A coefficient of a Cox model over time: its scaled Schoenfeld residuals, smoothed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.engines import cox_residual
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.basis import learn

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit

POINTS = 41
OUTER = 0.05  # share of the events beyond either end of the line: few, and loosely fitted


def over_time(fit: CoxFit, term: str, df: int = 4, level: float = 0.95) -> pd.DataFrame:
    """The log hazard ratio of coefficient `term` at each time, if it may change with time.

    A natural spline of `df` degrees of freedom through the scaled Schoenfeld residuals by event
    time, from the 5th to the 95th centile of the event times. Columns time, estimate, conf_low,
    conf_high; the band takes each residual to vary as the number of events times the variance of
    the coefficient. A level line means that the hazard ratio stays the same.
    Raises UsageError for a term that there is not, NotEstimable with fewer event times than
    4 × df, or where so many share a time that knots of the spline fall together.
    Source: Grambsch & Therneau 1994. Checked: R survival, splines::ns.
    """
    if term not in fit.terms:
        raise UsageError(unknown("coefficient", term, fit.terms))
    j = list(fit.terms).index(term)
    values, _, time = cox_residual.scaled_schoenfeld(fit.engine)
    if len(np.unique(time)) < 4 * df:
        raise NotEstimable(
            f"A curve over time with {df} degrees of freedom needs {4 * df} event times; there "
            f"are {len(np.unique(time))}."
        )
    if (np.diff(np.quantile(time, np.linspace(0, 1, df))) <= 0).any():
        raise NotEstimable(
            f"A curve over time with {df} degrees of freedom needs knots apart from each other; "
            "too many events share their time here."
        )
    spline = learn("ns", time, df - 1)
    B = np.column_stack([np.ones(len(time)), spline(time)])
    first, last = np.quantile(time, (OUTER, 1 - OUTER))
    at = np.linspace(float(first), float(last), POINTS)
    P = np.column_stack([np.ones(len(at)), spline(at)])
    inverse = np.linalg.inv(B.T @ B)
    y = P @ (inverse @ (B.T @ values[:, j]))
    spread = np.sqrt(len(time) * fit.engine.covariance[j, j] * np.sum((P @ inverse) * P, axis=1))
    half = norm.isf((1 - level) / 2) * spread
    return pd.DataFrame({"time": at, "estimate": y, "conf_low": y - half, "conf_high": y + half})
