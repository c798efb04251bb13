"""Cox models with nested frailty from a formula: `Surv(time, event) ~ x + frailty(site/house)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines import frailty_nested as engine
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.models.columns import Grouping
from recovery_stats.models.frailty import FEW_GROUPS
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.observation import Observation, naming_columns


def fit_nested(seen: Observation, ties: Ties) -> NestedFrailtyFit:
    """Fit the model with the groups of `seen` within their outer groups."""
    assert seen.frailty is not None
    assert seen.frailty_outer is not None
    fit = _maximise(seen, ties)
    return NestedFrailtyFit(seen, fit.cox, None, None, seen.frailty_outer, seen.frailty, fit)


def _maximise(seen: Observation, ties: Ties) -> engine.NestedFit:
    assert seen.frailty is not None
    assert seen.frailty_outer is not None
    with naming_columns(seen):
        return engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            seen.frailty.codes,
            seen.frailty_outer.codes,
            start=seen.start,
            strata=seen.strata,
            weights=seen.weights,
            offset=seen.offset,
            ties=ties,
        )


@dataclass(frozen=True)
class NestedFrailtyFit(CoxFit):
    """A Cox model whose sites, and houses within them, have hazards of their own.

    Ratios hold within a house. Errors count that the variances are estimated. Residuals,
    proportionality tests, baseline and survival take the frailties as known.
    """

    outer: Grouping
    inner: Grouping
    frailty: engine.NestedFit

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        return f"{super().method}, log-normal frailties of {self.outer.name} and {self.inner.name}"

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; frailties are integrated out of the log-likelihood.

        lr_statistic tests the covariates beside the frailties. outer_lr, inner_lr: one of the
        frailties beside the other, with half the p of one degree of freedom.
        """
        p, best, nested = len(self.terms), self.engine.loglik, self.frailty
        gain = max(2 * (best - self._without_covariates), 0.0)
        frame = (
            super()
            .glance()
            .assign(
                aic=2 * (p + 2) - 2 * best,
                bic=(p + 2) * np.log(self.engine.n_events) - 2 * best,
                lr_statistic=gain,
                lr_p=float(chi2.sf(gain, p)),
                score=np.nan,
                score_p=np.nan,
                n_groups=self.inner.size,
            )
        )
        for name, without in (("outer", nested.loglik_houses), ("inner", nested.loglik_sites)):
            over = max(2 * (best - without), 0.0)
            frame[f"{name}_lr"] = over
            frame[f"{name}_p"] = float(chi2.sf(over, 1)) / 2 if over > 0 else 1.0
        return frame

    @cached_property
    def _without_covariates(self) -> float:
        return self._loglik([])

    def _loglik(self, terms: list[int]) -> float:
        columns = [j for j, a in enumerate(self.observation.design.assign) if a in terms]
        seen = replace(self.observation, X=self.observation.X[:, columns])
        return _maximise(seen, self.engine.ties).cox.loglik

    def variance_components(self, level: float = 0.95) -> pd.DataFrame:
        """group, variance, log_std_error (of its logarithm) and limits by it."""
        nested, z = self.frailty, norm.isf((1 - level) / 2)
        reach = np.exp(z * nested.log_se)
        return pd.DataFrame(
            {
                "group": [self.outer.name, self.inner.name],
                "variance": nested.variance,
                "log_std_error": nested.log_se,
                "conf_low": nested.variance / reach,
                "conf_high": nested.variance * reach,
            }
        )

    def random_effects(self) -> pd.DataFrame:
        """group, level, term, estimate (log frailty), std_error for the variances as estimated.

        A house's own effect is beside its site's: its whole log frailty is the sum of both.
        """
        nested = self.frailty
        parts = (
            (self.outer, nested.site, nested.site_se),
            (self.inner, nested.house, nested.house_se),
        )
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "group": group.name,
                        "level": group.levels,
                        "term": "frailty",
                        "estimate": estimate,
                        "std_error": error,
                    }
                )
                for group, estimate, error in parts
            ],
            ignore_index=True,
        )

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the hazard ratios."""
        sizes = (self.outer, self.inner)
        own = (self._check(g, float(v)) for g, v in zip(sizes, self.frailty.variance, strict=True))
        return (*super().checks(), *own)

    @staticmethod
    def _check(group: Grouping, variance: float) -> Check:
        few, none = group.size < FEW_GROUPS, variance == 0
        reading = (
            "; the data show no difference between them beside the other level."
            if none
            else "; so few tell little about the variance."
            if few
            else "."
        )
        return Check(
            "frailty",
            "caution" if few or none else "ok",
            (
                "Hazards differ between ",
                Quantity(group.size, "whole"),
                f" groups ({group.name}) with variance ",
                Quantity(variance),
                reading,
            ),
            group.name,
        )

    def __repr__(self) -> str:
        a, b = self.frailty.variance
        groups = f"{self.outer.name} {a:.4g}, {self.inner.name} {b:.4g}"
        return f"{super().__repr__()[:-1]}, log-normal frailties with variances: {groups}>"
