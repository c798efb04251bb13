"""Accelerated failure time models from a formula: names, predictions and checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import aft as engine
from recovery_stats.engines import aft_curve, aft_residual
from recovery_stats.engines.aft import DISTRIBUTIONS, Distribution
from recovery_stats.engines.aft_likelihood import Spans as LogSpans
from recovery_stats.engines.score_sandwich import sandwich
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.observation import naming_columns
from recovery_stats.models.parametric import ParametricFit, People, clusters_of
from recovery_stats.models.span import Spans, observe_spans

Residual = Literal["cox_snell", "martingale", "deviance"]
LAW_NAMES = {
    "weibull": "Weibull",
    "exponential": "exponential",
    "rayleigh": "Rayleigh",
    "log-logistic": "log-logistic",
    "log-normal": "log-normal",
    "generalised-gamma": "generalised gamma",
}
PROPORTIONAL = ("weibull", "exponential", "rayleigh")
NESTED = ("weibull", "exponential", "rayleigh", "log-normal")  # within the generalised gamma


def aft(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    distribution: Distribution = "weibull",
    entry: str | None = None,
    cluster: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
) -> AftFit:
    """Fit a model in which covariates stretch time: log t = x'b + scale z.

    formula: `Surv(time, event) ~ x`, `Surv(low, high, type="interval2") ~ x`, or any other Surv;
    strata(x) gives each stratum a scale of its own. entry: column with the time from which a row
    was under observation (left truncation; Surv(start, stop, event) says it too). cluster: robust
    errors; weights that are not whole numbers bring them as well. offset: column added to log
    time. Raises UsageError, DataError, NotEstimable (no events, a term without finite estimate).
    """
    if distribution not in DISTRIBUTIONS:
        raise UsageError(unknown("distribution of times", distribution, DISTRIBUTIONS))
    seen = observe_spans(
        formula, data, what="aft", entry=entry, weights=weights, offset=offset, cluster=cluster
    )
    fit = _maximise(seen, distribution)
    clusters = clusters_of(seen)
    robust = (
        None
        if clusters is None
        else sandwich(fit.scores, fit.covariance, clusters, seen.rows.weights)
    )
    return AftFit(seen, fit.covariance, clusters, robust, fit)


def _maximise(seen: Spans, distribution: str) -> engine.AftFit:
    with naming_columns(seen):
        return engine.fit(
            seen.X,
            seen.rows,
            distribution=distribution,
            offset=seen.offset,
            strata=seen.strata.codes if seen.strata else None,
        )


@dataclass(frozen=True, repr=False)
class AftFit(ParametricFit):
    """A fitted accelerated failure time model.

    Coefficients are log time ratios per unit of the term: above 0, relapse comes later.
    """

    engine: engine.AftFit = field(repr=False)

    # --- what was found

    @property
    def distribution(self) -> str:
        """Its name, as asked for."""
        return self.engine.distribution

    @property
    def parameters(self) -> tuple[str, ...]:
        """Terms, then `Log(scale)` (of each stratum), then the `Shape` of a generalised gamma."""
        strata, free = self.observation.strata, self.engine.scales_free
        if free and strata is not None:
            scales = tuple(f"Log(scale)[{level}]" for level in strata.levels)
        else:
            scales = ("Log(scale)",) * free
        return (*self.terms, *scales, *(("Shape",) if self.engine.q is not None else ()))

    @property
    def theta(self) -> Array:
        """All parameters (k,)."""
        return self.engine.theta

    @property
    def beta(self) -> Array:
        """Log time ratios (p,)."""
        return self.engine.beta

    @property
    def scale(self) -> Array:
        """Sigma of each stratum (1,) or (S,)."""
        return np.exp(self.engine.log_sigma)

    @property
    def loglik(self) -> float:
        """Maximised log-likelihood."""
        return self.engine.loglik

    @property
    def loglik_null(self) -> float:
        """The same with an intercept alone."""
        return self.engine.loglik_null

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = f"{LAW_NAMES[self.distribution]} accelerated failure time model"
        if self.observation.strata is not None:
            words += f", scales by {self.observation.strata.name}"
        if self.robust is None:
            return words
        return words + f", {'cluster-' if self.observation.cluster_name else ''}robust errors"

    @property
    def _not_ratios(self) -> tuple[str, ...]:
        return ("Shape",)

    def glance(self) -> pd.DataFrame:
        """The whole model in one row."""
        scale = float(self.scale[0]) if len(self.scale) == 1 else np.nan
        return super().glance().assign(scale=scale, distribution=self.distribution)

    def hazard_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """Weibull coefficients as hazard ratios, exp(-b/scale), with delta errors of their log.

        term, estimate (log), std_error, hazard_ratio, conf_low, conf_high (of the ratio). Raises
        UsageError where hazards are not proportional: other laws, or scales by stratum.
        """
        if self.distribution not in PROPORTIONAL or len(self.scale) > 1:
            raise UsageError(
                "Only a Weibull model (or its special cases) with one scale has proportional "
                f"hazards; this is a {self.method}."
            )
        at = [j for j, t in enumerate(self.terms) if t != "Intercept"]
        sigma = float(self.scale[0])
        value = -self.beta[at] / sigma
        J = np.zeros((len(at), len(self.theta)))
        J[range(len(at)), at] = -1 / sigma
        if self.engine.scales_free:
            J[:, self.engine.p] = -value
        se = np.sqrt(np.einsum("ij,jk,ik->i", J, self.covariance_matrix, J))
        half = norm.isf((1 - level) / 2) * se
        return pd.DataFrame(
            {
                "term": [self.terms[j] for j in at],
                "estimate": value,
                "std_error": se,
                "hazard_ratio": np.exp(value),
                "conf_low": np.exp(value - half),
                "conf_high": np.exp(value + half),
            }
        )

    # --- for other people

    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        kind: Literal["time", "log_time"] = "time",
    ) -> pd.Series[float]:
        """exp(x'b), the time at which z is 0, or its logarithm; nan where a value is missing."""
        if kind not in ("time", "log_time"):
            raise UsageError(unknown("prediction", kind, ("time", "log_time")))
        people = self._people(new_data)
        value = people.X @ self.beta + people.offset
        return pd.Series(np.exp(value) if kind == "time" else value, people.index, name=kind)

    def _survival(self, people: People, times: Array) -> tuple[Array, Array]:
        return aft_curve.survival(self.engine, people.X, people.offset, people.stratum, times)

    def _log_hazard(self, people: People, times: Array) -> tuple[Array, Array]:
        return aft_curve.log_hazard(self.engine, people.X, people.offset, people.stratum, times)

    def _log_quantile(self, people: People, p: Array) -> tuple[Array, Array]:
        return aft_curve.log_quantile(self.engine, people.X, people.offset, people.stratum, p)

    def _loglik_of(self, columns: list[int]) -> float:
        return _maximise(self._with_columns(columns), self.distribution).loglik

    def _with_columns(self, columns: list[int]) -> Spans:
        return replace(self.observation, X=self.observation.X[:, columns])

    # --- whether to believe it

    def residuals(self, kind: Residual = "cox_snell") -> pd.Series[float]:
        """Residuals by row of the data.

        cox_snell: cumulative hazard at the time, its mean where the event lies in an interval;
        unit exponential in a true model. martingale: events less expected. deviance: survreg's.
        """
        if kind not in get_args(Residual):
            raise UsageError(unknown("residual", kind, get_args(Residual)))
        fit, rows = self.engine, self.observation.rows
        people = self._people(None)
        eta, tau = people.X @ fit.beta + people.offset, fit.log_sigma[people.stratum]
        if kind == "deviance":
            found = aft_residual.deviance(fit.law, LogSpans.of(rows), eta, tau)
        else:
            low, high = aft_residual.cumulative_hazards(fit.law, rows, eta, tau)
            found = getattr(aft_residual, kind)(low, high)
        return pd.Series(found, people.index, name=kind)

    def _checks(self) -> Iterator[Check]:
        yield from super()._checks()
        yield from self._law_check()

    def _law_check(self) -> Iterator[Check]:
        """Likelihood ratio of the law within the generalised gamma, where it is part of one."""
        if self.distribution not in NESTED or self.observation.rows.weights is not None:
            return
        try:
            wide = _maximise(self.observation, "generalised-gamma")
        except NotEstimable:
            return
        gain = max(2 * (wide.loglik - self.loglik), 0.0)
        p = float(chi2.sf(gain, len(wide.theta) - len(self.theta)))
        yield Check(
            "distribution of times",
            "caution" if p < 0.05 else "ok",
            (
                f"Test of the {LAW_NAMES[self.distribution]} law within the generalised gamma: ",
                Quantity(p, "p"),
                "; times are distributed otherwise, and medians and tails are off."
                if p < 0.05
                else ".",
            ),
        )

    def __repr__(self) -> str:
        seen = self.observation
        return (
            f"<{LAW_NAMES[self.distribution]} AFT model: {', '.join(self.terms) or 'no terms'}; "
            f"{len(seen)} rows, {seen.n_events} events, log-likelihood {self.loglik:.3f}"
            f"{self._word_errors()}>"
        )
