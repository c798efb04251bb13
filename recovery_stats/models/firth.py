"""Cox models with Firth's penalty: estimates and intervals where a term separates the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines import cox_firth as engine
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.errors import UsageError
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.observation import Observation, naming_columns


def fit_firth(seen: Observation, ties: Ties) -> FirthFit:
    """Fit with the penalty; robust errors have no place in it."""
    if seen.cluster is not None or (seen.weights is not None and np.any(seen.weights % 1)):
        raise UsageError(
            "Firth's penalty belongs to a likelihood: no cluster=, no sampling weights."
        )
    with naming_columns(seen):
        fit = engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            start=seen.start,
            strata=seen.strata,
            weights=seen.weights,
            offset=seen.offset,
            ties=ties,
        )
    return FirthFit(seen, fit, None, None)


@dataclass(frozen=True)
class FirthFit(CoxFit):
    """A Cox model with Firth's penalty; tests and limits follow the penalised likelihood."""

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        return f"{super().method}, Firth's penalty"

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """As for any Cox model, with profile limits; statistic is signed √ of the ratio test's."""
        frame = super().tidy(level, exponentiate)
        gains = np.array([engine.gain(self.engine, [j]) for j in range(len(self.terms))])
        limits = np.array(
            [engine.limits(self.engine, j, level) for j in range(len(self.terms))]
        ).reshape(-1, 2)
        with np.errstate(over="ignore"):
            turned = np.exp(limits) if exponentiate else limits
        return frame.assign(
            statistic=np.sign(self.beta) * np.sqrt(gains),
            p_value=chi2.sf(gains, 1),
            conf_low=turned[:, 0],
            conf_high=turned[:, 1],
        )

    def anova(self, type: Literal[1, 2, 3] = 3) -> pd.DataFrame:
        """Penalised likelihood ratio test of each term, the others as they are; one type only."""
        design = self.observation.design
        columns = [design.columns_of(t) for t in design.terms]
        gains = [engine.gain(self.engine, c) for c in columns]
        df = [len(c) for c in columns]
        return pd.DataFrame(
            {
                "term": design.terms,
                "num_df": df,
                "den_df": np.inf,
                "statistic": gains,
                "p_value": chi2.sf(gains, df),
            }
        )

    def estimate(
        self, weights: Mapping[str, float], *, level: float = 0.95, **named: Any
    ) -> Estimate:
        """As for any Cox model; one coefficient has its profile limits, a combination Wald's."""
        found = super().estimate(weights, level=level, **named)
        used = {term: w for term, w in weights.items() if w}
        if len(used) != 1:
            return found
        ((term, weight),) = used.items()
        j = self.terms.index(term)
        low, high = sorted(weight * x for x in engine.limits(self.engine, j, level))
        turn = np.exp if found.scale == "ratio" else float
        p = float(chi2.sf(engine.gain(self.engine, [j]), 1))
        return replace(found, low=float(turn(low)), high=float(turn(high)), p=p)

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the hazard ratios."""
        note = (
            "Firth's penalty keeps estimates finite where a term separates the events; intervals "
            "follow the penalised likelihood and are rightly wide."
        )
        return (*super().checks(), Check("penalised likelihood", "ok", (note,)))
