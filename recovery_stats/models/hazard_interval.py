"""Intervals of log hazard ratios: Wald's, or those of the profile of the partial likelihood.

A profile fits the other coefficients anew at every value of one, so that limits need not lie
alike on both sides. Source: Venzon & Moolgavkar 1988. Checked: R's coxph with an offset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from recovery_stats.engines import cox as engine
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Array

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit

METHODS = ("wald", "profile")
FARTHEST = 64.0  # standard errors from the estimate; beyond them a limit is infinite


def confint(fit: CoxFit, method: str, level: float) -> pd.DataFrame:
    """term, estimate, conf_low, conf_high."""
    if method not in METHODS:
        raise UsageError(unknown("interval method", str(method), METHODS))
    table = fit.tidy(level)[["term", "estimate", "conf_low", "conf_high"]]
    if method == "wald":
        half = norm.isf((1 - level) / 2) * np.sqrt(np.diag(fit.covariance()))
        return table.assign(conf_low=fit.beta - half, conf_high=fit.beta + half)
    from recovery_stats.models.firth import FirthFit
    from recovery_stats.models.hazard import CoxFit

    if isinstance(fit, FirthFit):
        return table
    if fit.robust is not None or type(fit) is not CoxFit:
        raise UsageError(
            "Profile limits are for Cox models without robust errors, frailty(x) and pspline(x); "
            "use method='wald'."
        )
    limits = [_limits(fit, j, level) for j in range(len(fit.terms))]
    low, high = zip(*limits, strict=True) if limits else ((), ())
    return table.assign(conf_low=low, conf_high=high)


def _limits(fit: CoxFit, j: int, level: float) -> tuple[float, float]:
    """Where the profile of coefficient j has fallen by half the chi-squared quantile."""
    drop = float(chi2.isf(1 - level, 1)) / 2
    se = float(np.sqrt(fit.engine.covariance[j, j]))
    profile = _profile(fit, j)
    best, found = fit.engine.loglik - drop, []
    for side in (-1.0, 1.0):
        far = 2.0
        while far <= FARTHEST and profile(fit.beta[j] + side * far * se) > best:
            far *= 2
        ends = (0.0, far * se)
        found.append(
            side * np.inf
            if far > FARTHEST
            else fit.beta[j]
            + side
            * brentq(lambda d, s=side: profile(fit.beta[j] + s * d) - best, *ends, xtol=1e-10 * se)
        )
    return found[0], found[1]


def _profile(fit: CoxFit, j: int) -> Callable[[float], float]:
    seen = fit.observation
    rest = np.delete(seen.X, j, axis=1)
    x: Array = seen.X[:, j] - seen.X[:, j].mean()
    given = np.zeros(len(seen)) if seen.offset is None else seen.offset

    def loglik(b: float) -> float:
        try:
            return engine.fit(
                rest, seen.stop, seen.cause, start=seen.start, strata=seen.strata,
                weights=seen.weights, offset=given + b * x, ties=fit.engine.ties,
            ).loglik  # fmt: skip
        except NotEstimable:
            return -np.inf

    return loglik
