"""Cox models with shared frailty from a formula: `Surv(time, event) ~ x + frailty(site)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines import frailty as engine
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.columns import Grouping
from recovery_stats.models.formula import Frailty
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.observation import Observation, naming_columns

LAWS: dict[str, engine.Law] = {
    "gamma": "gamma",
    "gaussian": "gaussian",
    "gauss": "gaussian",
    "lognormal": "gaussian",
    "log-normal": "gaussian",
}
METHODS = ("ml", "reml")
LAW_NAMES = {"gamma": "gamma", "gaussian": "log-normal"}
FEW_GROUPS = 10  # the variance of fewer is known to an order of magnitude at best
MOST_GROUPS = 3000  # matrices of groups by groups; beyond this they ask for gigabytes


def fit_frailty(seen: Observation, asked: Frailty, ties: Ties) -> CoxFit:
    """Fit the model with the frailty groups of `seen`, or with groups within groups."""
    distribution = asked.distribution or ("gamma" if asked.inner is None else "lognormal")
    if distribution not in LAWS:
        raise UsageError(unknown("frailty distribution", distribution, LAWS))
    if asked.method not in METHODS:
        raise UsageError(unknown("way to estimate a frailty's variance", asked.method, METHODS))
    law, reml = LAWS[distribution], asked.method == "reml"
    if law == "gamma" and (reml or asked.inner is not None):
        raise UsageError(
            'Nested frailties, and method="reml", are of the log-normal kind: '
            'frailty(x, distribution="lognormal").'
        )
    grouping = seen.frailty
    assert grouping is not None
    refuse_what_has_no_theory(seen, grouping)
    if asked.inner is not None:
        from recovery_stats.models.frailty_nested import fit_nested  # it shares these refusals

        if reml:
            raise UsageError("Nested frailties are estimated by maximum likelihood only.")
        return fit_nested(seen, ties)
    fit = _maximise(seen, grouping, law, ties, reml=reml)
    return FrailtyFit(seen, fit.cox, None, None, grouping, fit)


def refuse_what_has_no_theory(seen: Observation, grouping: Grouping) -> None:
    """No cluster-robust errors, no sampling weights, no more groups than fit into memory."""
    if seen.cluster is not None:
        raise UsageError("frailty(x) models the dependence that cluster= corrects for; choose one.")
    if seen.weights is not None and np.any(seen.weights % 1):
        raise UsageError(
            "A frailty has a likelihood for weights that count rows only; use cluster=."
        )
    if grouping.size > MOST_GROUPS:
        raise UsageError(
            f"frailty({grouping.name}) has {grouping.size} groups; up to {MOST_GROUPS} are fitted. "
            "Use cluster=, or strata(x)."
        )


def _maximise(
    seen: Observation, grouping: Grouping, law: engine.Law, ties: Ties, *, reml: bool = False
) -> engine.FrailtyFit:
    with naming_columns(seen):
        return engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            grouping.codes,
            law=law,
            start=seen.start,
            strata=seen.strata,
            weights=seen.weights,
            offset=seen.offset,
            ties=ties,
            reml=reml,
        )


@dataclass(frozen=True)
class FrailtyFit(CoxFit):
    """A Cox model whose groups have hazards of their own; ratios hold within a group.

    Errors count that the variance is estimated. Residuals, proportionality tests, baseline and
    survival take the frailties as known; curves are those of a group of frailty one.
    """

    grouping: Grouping
    frailty: engine.FrailtyFit

    @property
    def theta(self) -> float:
        """Variance of the frailty (gamma), or of its logarithm (log-normal)."""
        return self.frailty.theta

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        law = LAW_NAMES[self.frailty.law]
        reml = " (REML)" if self.frailty.reml else ""
        return f"{super().method}, shared {law} frailty of {self.grouping.name}{reml}"

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; frailties are integrated out of the log-likelihood.

        lr_statistic tests the covariates beside the frailty; frailty_lr the frailty beside the
        covariates (its p halved: a variance is tested at the edge of what it can be).
        """
        p, best = len(self.terms), self.engine.loglik
        gain = max(2 * (best - self._without_covariates), 0.0)
        over = max(2 * (best - self.frailty.loglik_without), 0.0)
        frame = super().glance()
        frame["aic"] = 2 * (p + 1) - 2 * best
        frame["bic"] = (p + 1) * np.log(self.engine.n_events) - 2 * best
        frame["lr_statistic"], frame["lr_p"] = gain, float(chi2.sf(gain, p))
        frame["score"] = frame["score_p"] = np.nan
        frame["n_groups"] = self.grouping.size
        frame["frailty_variance"] = self.theta
        frame["frailty_lr"] = over
        frame["frailty_p"] = float(chi2.sf(over, 1)) / 2 if over > 0 else 1.0
        return frame

    @cached_property
    def _without_covariates(self) -> float:
        return self._loglik([])

    def _loglik(self, terms: list[int]) -> float:
        columns = [j for j, a in enumerate(self.observation.design.assign) if a in terms]
        seen = replace(self.observation, X=self.observation.X[:, columns])
        law, reml = self.frailty.law, self.frailty.reml
        return _maximise(seen, self.grouping, law, self.engine.ties, reml=reml).cox.loglik

    def variance_components(self, level: float = 0.95) -> pd.DataFrame:
        """group, variance and its limits, log_std_error (of its logarithm).

        Limits by the profile likelihood; under REML by the error of the logarithm.
        """
        low, high = engine.limits(self.frailty, level)
        row = (self.grouping.name, self.theta, self.frailty.log_theta_se, low, high)
        columns = ["group", "variance", "log_std_error", "conf_low", "conf_high"]
        return pd.DataFrame([row], columns=columns)

    def random_effects(self) -> pd.DataFrame:
        """group, level, term, estimate (log frailty), std_error for the variance as estimated."""
        return pd.DataFrame(
            {
                "group": self.grouping.name,
                "level": self.grouping.levels,
                "term": "frailty",
                "estimate": self.frailty.omega,
                "std_error": self.frailty.omega_se,
            }
        )

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the hazard ratios."""
        return (*super().checks(), self._frailty_check())

    def _frailty_check(self) -> Check:
        few = self.grouping.size < FEW_GROUPS
        none = self.theta == 0
        reading = (
            "; the data show no difference between groups, and the model is the one without."
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
                Quantity(self.grouping.size, "whole"),
                f" groups ({self.grouping.name}) with variance ",
                Quantity(self.theta),
                reading,
            ),
            self.grouping.name,
        )

    def __repr__(self) -> str:
        kind = f"{LAW_NAMES[self.frailty.law]} frailty of {self.grouping.name}"
        return f"{super().__repr__()[:-1]}, {kind} with variance {self.theta:.4g}>"
