"""The random part of a generalised mixed model as tables: variances, own parameters, effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.engines.glmm_family import BetaBinomial, Ordinal
from recovery_stats.models.mixed_fit import component

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit


def variances(fit: GlmmFit) -> pd.DataFrame:
    """Variances and covariances of the random effects, on the scale of the link."""
    rows = [
        component(factor, psi, b, a)
        for factor, psi in zip(fit.factors, fit.engine.psi, strict=True)
        for block in factor.blocks
        for i, a in enumerate(block)
        for b in block[: i + 1]
    ]
    return pd.DataFrame(rows, columns=["group", "term_1", "term_2", "covariance", "correlation"])


def own_parameters(fit: GlmmFit, level: float) -> pd.DataFrame:
    """Dispersion or thresholds, with limits from the log and logit scales."""
    own, V = fit.engine.own, fit.engine.own_covariance
    z = float(norm.isf((1.0 - level) / 2.0))
    columns = ["parameter", "estimate", "std_error", "conf_low", "conf_high"]
    se = np.sqrt(np.maximum(np.diag(V), 0.0))
    if isinstance(fit.law, Ordinal):
        names = [f"{a}|{b}" for a, b in zip(fit.categories, fit.categories[1:], strict=False)]
        rows = list(zip(names, own, se, own - z * se, own + z * se, strict=True))
        return pd.DataFrame(rows, columns=columns)
    if not own.size:
        return pd.DataFrame([], columns=columns)
    value = float(own[0] ** 2)
    spread = 2.0 * float(se[0] / own[0]) if own[0] else float("nan")  # of its logarithm
    low, high = value * np.exp(-z * spread), value * np.exp(z * spread)
    if isinstance(fit.law, BetaBinomial):
        share = value / (1.0 + value)
        row = ("correlation", share, spread * share * (1.0 - share), low / (1 + low),
               high / (1 + high))  # fmt: skip
    else:
        row = ("dispersion", value, spread * value, low, high)
    return pd.DataFrame([row], columns=columns)
