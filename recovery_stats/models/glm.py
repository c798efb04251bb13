"""Generalised linear models of independent rows: `glm("used ~ arm", data, family="binomial")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import chi2, gamma
from scipy.stats import f as f_distribution

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import gee as engine
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.mean_law import Law, Link
from recovery_stats.errors import ConvergenceError, NotEstimable
from recovery_stats.models import gee as marginal
from recovery_stats.models.design import Trials
from recovery_stats.models.formula import Formula
from recovery_stats.models.gee_fit import GeeFit
from recovery_stats.models.margins import Combination
from recovery_stats.models.mixed_check import left_out, rows_lost

__all__ = ["GlmFit", "glm"]

EXCESS, UNLIKELY = 1.2, 0.05  # a dispersion from which errors are visibly too small, and its p


@dataclass(frozen=True)
class GlmFit(GeeFit):
    """A fitted generalised linear model; see `recovery_stats.models.glm.glm`.

    dispersion: phi of the variance, 1 for chances and counts. With clusters the errors are CR2's
    with Satterthwaite's df, else the model's (t where phi is estimated).
    """

    dispersion: float
    log_likelihood: float
    deviance: float
    null_deviance: float
    clustered: bool = field(repr=False)

    @property
    def df_residual(self) -> int:
        """Rows less coefficients."""
        return self.n_obs - len(self.terms)

    @property
    def estimated(self) -> bool:
        """Whether the dispersion is estimated."""
        return self.law.name in ("gaussian", "gamma")

    @property
    def n_parameters(self) -> int:
        """Coefficients, and the dispersion where it is estimated."""
        return len(self.terms) + self.estimated

    @property
    def _model(self) -> Array:
        return self.engine.naive * (self.dispersion / self.engine.scale)

    def combine(self, L: Array) -> Combination:
        """Estimates, errors and degrees of freedom of L @ coefficients."""
        if self.clustered:
            return super().combine(L)
        variance = np.einsum("ki,ij,kj->k", L, self._model, L)
        df = float(self.df_residual) if self.estimated else float("inf")
        se = np.sqrt(np.maximum(variance, 0.0))
        return Combination(L @ self.engine.beta, se, np.full(len(L), df))

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; with clusters std_error_model stands beside the robust one."""
        table = super().tidy(level, exponentiate)
        if not self.clustered:
            return table.drop(columns="std_error_model")
        return table.assign(std_error_model=np.sqrt(np.diag(self._model)))

    def covariance(self, kind: Literal["robust", "model"] | None = None) -> pd.DataFrame:
        """Covariance of the coefficients, of the kind that `tidy` shows unless asked."""
        chosen = kind or ("robust" if self.clustered else "model")
        if chosen == "robust":
            return super().covariance(chosen)
        return pd.DataFrame(self._model, list(self.terms), list(self.terms))

    def wald(self, L: Array) -> tuple[int, float, float, float]:
        """The test of L @ coefficients = 0: numerator and denominator df, statistic, p."""
        if self.clustered:
            return super().wald(L)
        value, q = L @ self.engine.beta, len(L)
        wald = float(value @ np.linalg.solve(L @ self._model @ L.T, value))
        if not self.estimated:
            return q, float("inf"), wald, float(chi2.sf(wald, q))
        den = float(self.df_residual)
        return q, den, wald / q, float(f_distribution.sf(wald / q, q, den))

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        errors = f", CR2 errors by {self.groups}" if self.clustered else ""
        return f"generalised linear model ({self.family}, {self.link.name}){errors}"

    def glance(self) -> pd.DataFrame:
        """The fit in one row."""
        k = self.n_parameters
        return pd.DataFrame(
            {
                "n_obs": [self.n_obs],
                "n_groups": [self.n_groups if self.clustered else self.n_obs],
                "log_likelihood": [self.log_likelihood],
                "aic": [2.0 * k - 2.0 * self.log_likelihood],
                "bic": [k * np.log(self.n_obs) - 2.0 * self.log_likelihood],
                "converged": [True],
                "deviance": [self.deviance],
                "null_deviance": [self.null_deviance],
                "df_residual": [self.df_residual],
                "dispersion": [self.dispersion],
                "method": [self.method],
            }
        )

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        clusters = self._few() if self.clustered else []
        lost = rows_lost(self.design.lost)
        return (*clusters, *self._dispersion(), *left_out(self.dropped), *lost)

    def _dispersion(self) -> list[Check]:
        """Pearson's chi-squared over its df, where the family fixes the variance."""
        single = self.law.name == "binomial" and not isinstance(self.design.response, Trials)
        if self.estimated or single:
            return []
        w = np.ones(self.n_obs) if self.weights is None else self.weights
        statistic = float(w @ self.engine.pearson**2)
        ratio = statistic / self.df_residual
        more = ratio > EXCESS and float(chi2.sf(statistic, self.df_residual)) < UNLIKELY
        words = " times what the family allows"
        words += ". Errors are too small; use cluster=, or a family that allows it." * more
        parts = ("The outcome varies ", Quantity(ratio, "ratio"), words if more else words + ".")
        return [Check("overdispersion", "caution" if more else "ok", parts, "family")]

    def __repr__(self) -> str:
        return (
            f"<GlmFit {self.formula.text!r}: {self.family}, {self.n_obs} rows, "
            f"log-likelihood {self.log_likelihood:.3f}>"
        )


def glm(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    family: marginal.FamilyName = "gaussian",
    link: str | None = None,
    cluster: str | None = None,
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    required: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
) -> GlmFit:
    """Fit a generalised linear model by maximum likelihood.

    family, link, weights, offset, required, reference: as in `gee`. cluster: a column whose levels
    are independent; errors are then CR2's. Counts over person-time: `events ~ x +
    offset(log(time))`. Raises UsageError, DataError, NotEstimable (separation names the column).
    """
    asked = marginal.prepare(
        formula, data, groups=cluster, family=family, link=link, correlation="independence",
        weights=weights, offset=offset, required=required, reference=reference,
    )  # fmt: skip
    n, p = asked.X.shape
    if n <= p:
        raise NotEstimable(f"{n} rows cannot estimate {p} coefficients and their errors.")
    spread = family in ("gaussian", "gamma")  # the other families know their own dispersion
    solved = asked.solve("CR2" if cluster else "CR0", None if spread else 1.0)
    y, w = asked.y, np.ones(n) if asked.weights is None else asked.weights
    dispersion = 1.0
    if spread:
        dispersion = float(w @ solved.pearson**2) / (n - p)
    deviance = _deviance(asked.law, y, solved.mu, w)
    log_likelihood = _log_likelihood(asked.law, y, solved.mu, w, deviance)
    if isinstance(asked.design.response, Trials):
        log_likelihood += _choices(asked.design.response)
    null = _null(asked.law, asked.link, y, w, asked.shift)
    return GlmFit(
        asked.formula, asked.design, asked.kept, asked.dropped, cluster or "", solved, asked.law,
        asked.link, "independence", "kauermann-carroll", "satterthwaite", asked.shift,
        asked.weights, asked.codes, asked.grid, asked.table, dispersion, log_likelihood, deviance,
        null, cluster is not None,
    )  # fmt: skip


def log_likelihood_at(fit: GlmFit, beta: Array) -> float:
    """The log-likelihood of the rows of `fit` at other coefficients, a dispersion at its best."""
    mu = fit.link.inverse(fit.X @ beta + (0.0 if fit.offset is None else fit.offset))
    w = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    y = fit.engine.mu + fit.residuals("response").to_numpy()
    found = _log_likelihood(fit.law, y, mu, w, _deviance(fit.law, y, mu, w))
    trials = fit.design.response
    return found + (_choices(trials) if isinstance(trials, Trials) else 0.0)


def _deviance(law: Law, y: Array, mu: Array, w: Array) -> float:
    """Twice the quasi-likelihood short of a perfect fit (McCullagh & Nelder 1989, 2.3)."""
    return 2.0 * float(w @ (law.quasi(y, y) - law.quasi(y, mu)))


def _null(law: Law, link: Link, y: Array, w: Array, shift: Array | None) -> float:
    """The deviance of an intercept (beside the offset)."""
    one = np.ones((y.size, 1))
    try:
        at = engine.fit(
            one, y, law, link, np.arange(y.size), structure="independence", weights=w, offset=shift
        )
    except ConvergenceError:
        return float("nan")
    return _deviance(law, y, at.mu, w)


def _log_likelihood(law: Law, y: Array, mu: Array, w: Array, deviance: float) -> float:
    """With all constants; a dispersion at its maximum (gaussian) or deviance / n (gamma)."""
    if law.name == "gaussian":
        peak = -0.5 * y.size * (np.log(2.0 * np.pi * deviance / y.size) + 1.0)
        return float(peak + 0.5 * np.log(w).sum())
    if law.name == "gamma":
        spread = deviance / float(w.sum())
        return float(w @ gamma.logpdf(y, 1.0 / spread, scale=mu * spread))
    constant = gammaln(y + 1.0) if law.name == "poisson" else np.zeros_like(y)
    return float(w @ (law.quasi(y, mu) - constant))


def _choices(response: Trials) -> float:
    k, m = response.successes, response.successes + response.failures
    return float((gammaln(m + 1.0) - gammaln(k + 1.0) - gammaln(m - k + 1.0)).sum())
