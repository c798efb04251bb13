"""Shares of variance of a linear mixed model: intraclass correlation and its interval.

Sources: Nakagawa & Schielzeth 2013; Johnson 2014 (slopes); Nakagawa, Johnson & Schielzeth 2017.
Checked: the R package performance, psych's ICC (tests/models/mixed_icc.R).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_bootstrap import Truth, refits
from recovery_stats.engines.variance_ratio import MOST_GROUPS, ratio_test
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.mixed_interval import refuse_robust

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit


def icc_interval(
    fit: MixedFit, group: str | None, level: float, replicates: int, seed: int
) -> pd.DataFrame:
    """estimate, conf_low, conf_high, method: exact with one random intercept, else bootstrap."""
    estimate = fit.icc(group)
    low, high, method = (
        (*_exact(fit, level), "exact")
        if _one_intercept(fit)
        else (*_drawn(fit, group, level, replicates, seed), "bootstrap")
    )
    return pd.DataFrame(
        {"estimate": [estimate], "conf_low": [low], "conf_high": [high], "method": [method]}
    )


def _one_intercept(fit: MixedFit) -> bool:
    """Whether the exact interval applies: one factor with an intercept, equal residuals."""
    (*others, factor) = fit.factors
    intercept = factor.q == 1 and bool((factor.Z == 1.0).all())
    return not others and intercept and fit.weights is None and factor.levels <= MOST_GROUPS


def _exact(fit: MixedFit, level: float) -> tuple[float, float]:
    y = fit.outcome if fit.offset is None else fit.outcome - fit.offset
    (factor,) = fit.factors
    low, high = ratio_test(fit.X, y, factor.codes, factor.Z[:, 0]).limits(level)
    return low / (1.0 + low), high / (1.0 + high)


def _drawn(
    fit: MixedFit, group: str | None, level: float, replicates: int, seed: int
) -> tuple[float, float]:
    """Percentiles of the correlation in refits of simulated outcomes."""
    refuse_robust(fit, "Bootstrap")
    least = int(np.ceil(2.0 / (1.0 - level)))
    if replicates < least:
        raise UsageError(f"replicates= must be at least {least} for level {level}.")
    e = fit.engine
    found = refits(e.problem, e.frame, Truth.of(e), replicates, np.random.default_rng(seed))
    parts = np.stack(
        [
            np.einsum("bqr,qr->b", P, mean_square(f.Z))
            for P, f in zip(found.psi, fit.factors, strict=True)
        ]
    )
    names = [f.name for f in fit.factors]
    wanted = parts.sum(0) if group is None else parts[names.index(group)]
    draws = (wanted / (parts.sum(0) + found.sigma2))[~found.failed]
    low, high = np.quantile(draws, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], method="weibull")
    return float(low), float(high)


def mean_square(Z: Array) -> Array:
    """Mean of z z' over rows: with it the mean of z'Psi z is a sum of products."""
    return np.asarray(Z.T @ Z / len(Z))


def icc(fit: MixedFit, group: str | None) -> float:
    """Share of the variance around the fixed effects that lies between groups (of one factor)."""
    parts = random_variance(fit)
    names = [f.name for f in fit.factors]
    if group is not None and group not in names:
        raise UsageError(unknown("random factor", group, names))
    wanted = sum(v for v, n in zip(parts, names, strict=True) if group in (None, n))
    return wanted / (sum(parts) + fit.engine.sigma2)


def random_variance(fit: MixedFit) -> list[float]:
    """Mean over rows of z'Psi z for each factor (Johnson 2014)."""
    return [
        float(np.sum(psi * mean_square(f.Z)))
        for f, psi in zip(fit.factors, fit.engine.psi, strict=True)
    ]
