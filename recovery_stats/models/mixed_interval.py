"""Intervals for every part of a linear mixed model, and its conditional AIC.

Names: coefficients as in `tidy`, then `sd(Intercept|g)`, `cor(a,b|g)` and `sigma`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from recovery_stats.engines import lmm as engine
from recovery_stats.engines.lmm_conditional import conditional
from recovery_stats.engines.lmm_coordinate import Quantity, quantities
from recovery_stats.engines.lmm_profile import profile
from recovery_stats.engines.lmm_ratio import Design
from recovery_stats.errors import UsageError

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit


def by_ml(fit: MixedFit) -> engine.LmmFit:
    """The same model by ML; the fit itself when it is one."""
    if not fit.engine.reml:
        return fit.engine
    return engine.fit(
        fit.X, fit.outcome, fit.factors, reml=False, weights=fit.weights, offset=fit.offset
    )


def profile_intervals(fit: MixedFit, level: float) -> pd.DataFrame:
    """Profile-likelihood intervals, around the ML estimates."""
    refuse_robust(fit, "Profile-likelihood")
    found = by_ml(fit)
    wanted = quantities(found, [f.blocks for f in fit.factors])
    intervals = profile(found, wanted, level)
    return pd.DataFrame(
        {
            "term": names(fit.terms, fit.factors, wanted),
            "estimate": [i.estimate for i in intervals],
            "conf_low": [i.low for i in intervals],
            "conf_high": [i.high for i in intervals],
        }
    )


def conditional_aic(fit: MixedFit) -> pd.DataFrame:
    """See `MixedFit.caic`."""
    outcome = fit.outcome if fit.offset is None else fit.outcome - fit.offset
    found = conditional(Design(fit.engine, fit.X, fit.factors), outcome, weights=fit.weights)
    return pd.DataFrame(
        {
            "log_likelihood": [found.log_likelihood],
            "effective_df": [found.df],
            "effective_df_known": [found.known],
            "caic": [found.caic],
        }
    )


def refuse_robust(fit: MixedFit, what: str) -> None:
    if fit.robust is not None:
        raise UsageError(
            f"{what} intervals rest on the model's own likelihood, cluster-robust errors do not; "
            "leave out cluster=, or ask for method='wald'."
        )


def names(
    terms: Sequence[str], factors: Sequence[engine.RandomFactor], wanted: Sequence[Quantity]
) -> list[str]:
    """What the quantities are called in tables."""
    return [_name(terms, factors, quantity) for quantity in wanted]


def _name(terms: Sequence[str], factors: Sequence[engine.RandomFactor], quantity: Quantity) -> str:
    if quantity.kind == "beta":
        return terms[quantity.a]
    if quantity.kind == "sigma":
        return "sigma"
    factor = factors[quantity.factor]
    effects = [quantity.a] if quantity.kind == "sd" else [quantity.a, quantity.b]
    return f"{quantity.kind}({','.join(factor.effects[j] for j in effects)}|{factor.name})"
