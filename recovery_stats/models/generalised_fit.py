"""A fitted generalised linear mixed model: coefficients, tests, means, variance parts, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.engines import glmm as engine
from recovery_stats.engines.glmm_family import Family
from recovery_stats.engines.glmm_population import inverse_link
from recovery_stats.engines.glmm_profile import limits
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models import (
    generalised_component,
    generalised_population,
    generalised_prediction,
    generalised_residual,
    generalised_variance,
    margins,
)
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, RandomDesign
from recovery_stats.models.formula import Formula
from recovery_stats.models.generalised_check import examine
from recovery_stats.models.hypothesis import contrasts, contrasts_beside_thresholds
from recovery_stats.models.kept import Grouped
from recovery_stats.models.margins import Combination, Grid
from recovery_stats.models.mixed_fit import group_columns

Kind = Literal["response", "link"]


@dataclass(frozen=True)
class GlmmFit(Grouped):
    """A fitted generalised mixed model; see `recovery_stats.models.generalised.glmm`.

    Coefficients are conditional: effects within a group, on the scale of the link (log odds, log
    rate). `population_means`, `population_effects` and `population_coefficients` integrate over
    the random effects and speak of the whole population. categories: of an ordinal outcome.
    """

    formula: Formula
    design: Design = field(repr=False)
    kept_columns: tuple[int, ...] = field(repr=False)
    dropped: tuple[str, ...]
    factors: tuple[engine.RandomFactor, ...] = field(repr=False)
    law: Family = field(repr=False)
    engine: engine.GlmmFit = field(repr=False)
    family: str
    categories: tuple[str, ...]
    offset: Array | None = field(repr=False)
    grid: Grid = field(repr=False)
    data: pd.DataFrame | Dataset = field(repr=False)

    # --- the coefficients --------------------------------------------------------------------

    @property
    def link(self) -> Literal["logit", "log"]:
        """The scale of the coefficients: log odds, or log rates."""
        return "log" if self.family in ("poisson", "negative-binomial") else "logit"

    def combine(self, L: Array) -> Combination:
        """Estimates and standard errors of L @ coefficients; the reference is normal."""
        variance = np.einsum("ki,ij,kj->k", L, self.engine.covariance, L)
        return Combination(
            L @ self.engine.beta, np.sqrt(np.maximum(variance, 0.0)), np.full(len(L), np.inf)
        )

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; `exponentiate` gives odds ratios or rate ratios."""
        found = self.combine(np.eye(len(self.terms)))
        return generalised_population.tidied(self.terms, found, level, exponentiate)

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients, variances estimated beside them."""
        return pd.DataFrame(self.engine.covariance, list(self.terms), list(self.terms))

    def confint(self, method: str = "wald", level: float = 0.95) -> pd.DataFrame:
        """Intervals of the coefficients: "wald", or "profile" of the likelihood.

        A profile is fitted anew for every limit; it is infinite where the likelihood has none.
        """
        if method not in ("wald", "profile"):
            raise UsageError(unknown("interval method", method, ("wald", "profile")))
        table = self.tidy(level)[["term", "estimate", "conf_low", "conf_high"]]
        if method == "profile":
            z = float(norm.isf((1.0 - level) / 2.0))
            found = [
                limits(self.X, self.law, self.factors, self.engine, j, z, offset=self.offset)
                for j in range(len(self.terms))
            ]
            table["conf_low"], table["conf_high"] = zip(*found, strict=True)
        return table

    def estimate(
        self,
        weights: Mapping[str, float],
        *,
        name: str,
        label: str,
        level: float = 0.95,
        rank: Level = "secondary",
        n: int | None = None,
        scale: Scale = "difference",
    ) -> Estimate:
        """A linear combination of coefficients as an Estimate; scale "ratio" exponentiates it.

        n: people behind it; by default the levels of the largest random factor.
        """
        people = self.n_groups if n is None else n
        return margins.estimate(
            self, weights, name=name, label=label, level=level, rank=rank, scale=scale,
            method=self.method, n=people,
        )  # fmt: skip

    def anova(self, type: int = 3) -> pd.DataFrame:
        """Wald chi-squared tests of the terms: type 3 (default), 2 or 1."""
        ordinal = self.family == "ordinal" and self.formula.intercept
        tested = contrasts_beside_thresholds if ordinal else contrasts
        rows = tested(self.recipe, self.kept, self.X, self.analysed, type)
        tests = [self._wald(L) for L in rows.values()]
        return pd.DataFrame(
            {
                "term": list(rows),
                "num_df": [df for _, df in tests],
                "den_df": [np.inf] * len(tests),
                "statistic": [value for value, _ in tests],
                "p_value": [float(chi2.sf(value, df)) for value, df in tests],
            }
        )

    def _wald(self, L: Array) -> tuple[float, int]:
        value, V = L @ self.engine.beta, L @ self.engine.covariance @ L.T
        return float(value @ np.linalg.pinv(V) @ value), int(np.linalg.matrix_rank(V))

    # --- contrasts and means, within a group ----------------------------------------------------

    def contrast(
        self, weights: Mapping[str, Mapping[str, float]], level: float = 0.95
    ) -> pd.DataFrame:
        """Named linear combinations: {"a over b": {"x": 1, "z": -1}}."""
        return margins.contrast(self, weights, level=level)

    def margins(
        self,
        by: str | Sequence[str],
        at: Mapping[str, float | Sequence[float]] | None = None,
        level: float = 0.95,
        type: Kind = "link",
    ) -> pd.DataFrame:
        """Adjusted means over the levels of `by` in an average group.

        type "response": as chances or rates, limits carried over from the link.
        """
        found = margins.marginal_means(self, by, at=at, level=level)
        if _checked(type) == "link" or self.family == "ordinal":
            return found
        found["std_error"] *= inverse_link(self.link, found["estimate"].to_numpy())[1]
        for column in ("estimate", "conf_low", "conf_high"):
            found[column] = inverse_link(self.link, found[column].to_numpy())[0]
        return found.drop(columns=["statistic", "p_value"])

    def pairwise(
        self,
        by: str | Sequence[str],
        adjust: str = "holm",
        level: float = 0.95,
        *,
        within: str | Sequence[str] = (),
        reference: Any = None,
    ) -> pd.DataFrame:
        """Differences between adjusted means on the scale of the link."""
        return margins.pairwise(
            self, by, within=within, adjust=adjust, reference=reference, level=level
        )

    def slopes(self, of: str, by: str | Sequence[str] = (), level: float = 0.95) -> pd.DataFrame:
        """Slopes in a number, by levels of factors, on the scale of the link."""
        return margins.slopes(self, of, by, level=level)

    # --- the population, integrated over the random effects ---------------------------------------

    def population_means(
        self,
        by: str,
        level: float = 0.95,
        *,
        at: Sequence[float] | None = None,
        above: str | None = None,
    ) -> pd.DataFrame:
        """The mean outcome with everybody at each level of `by`: risks, or rates.

        at: values of a numeric `by`. above: of an ordinal outcome, the chance of a category above
        this one. Every row keeps its other columns; chances are integrated over the random effects
        and averaged over the rows. Errors by the delta method in coefficients and variances.
        """
        return generalised_population.means(self, by, at, above, level)

    def population_effects(
        self,
        by: str,
        scale: generalised_population.Scale = "difference",
        level: float = 0.95,
        *,
        at: Sequence[float] | None = None,
        above: str | None = None,
    ) -> pd.DataFrame:
        """Differences or ratios of the population's means, each level (or value) against the first.

        at, above: as in `population_means`.
        """
        return generalised_population.effects(self, by, at, above, scale, level)

    def population_coefficients(
        self, level: float = 0.95, exponentiate: bool = False
    ) -> pd.DataFrame:
        """Coefficients of the model that holds for the population, on the scale of the link.

        The least-squares projection of the link of every row's integrated mean on the columns.
        """
        return generalised_population.coefficients(self, level, exponentiate)

    def _Z(self) -> list[Array]:
        return [f.Z for f in self.factors]

    # --- the fit as a whole -----------------------------------------------------------------------

    @property
    def log_likelihood(self) -> float:
        """The maximised log-likelihood, constants included."""
        return self.engine.log_likelihood

    @property
    def n_parameters(self) -> int:
        """Coefficients, variances and covariances, and the family's own parameters."""
        return self.engine.n_parameters

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        law = {
            "binomial": "logistic", "poisson": "Poisson", "negative-binomial": "negative binomial",
            "beta-binomial": "beta-binomial", "ordinal": "cumulative logit",
        }[self.family]  # fmt: skip
        return f"{law} mixed model, {self.approximation}"

    @property
    def approximation(self) -> str:
        """How the random effects were integrated over, in words."""
        nodes = self.engine.nodes
        return "Laplace" if nodes == 1 else f"adaptive quadrature with {nodes} nodes"

    def glance(self) -> pd.DataFrame:
        """The fit in one row."""
        e = self.engine
        k = e.n_parameters
        return pd.DataFrame(
            {
                "n_obs": [e.n],
                "n_groups": [self.n_groups],
                "log_likelihood": [e.log_likelihood],
                "aic": [2.0 * k - 2.0 * e.log_likelihood],
                "bic": [k * np.log(e.n) - 2.0 * e.log_likelihood],
                "converged": [True],
                "criterion": [-2.0 * e.log_likelihood],
                "sigma": [np.nan],
                "singular": [e.singular],
                "method": [self.approximation],
            }
        )

    def variance_components(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, on the scale of the link."""
        return generalised_component.variances(self)

    def family_parameters(self, level: float = 0.95) -> pd.DataFrame:
        """The family's own parameters: dispersion, or an ordinal outcome's thresholds.

        "dispersion" alpha of a negative binomial: variance mu + alpha mu². "correlation" of a
        beta-binomial: between the trials of a row. Limits from the log and logit scales.
        """
        return generalised_component.own_parameters(self, level)

    def _by_factor(self) -> list[list[RandomDesign]]:
        return [[r for r in self.design.random if r.grouping.name == f.name] for f in self.factors]

    def icc(self, group: str | None = None, method: str | None = None) -> float:
        """Share of the link's variance that lies between groups (or between those of one factor).

        method: the outcome's own variance there, see `generalised_variance`.
        """
        return generalised_variance.icc(self, group, method)

    def r2(self, method: str | None = None) -> pd.Series[float]:
        """Marginal and conditional R² on the scale of the link, see `generalised_variance`."""
        return generalised_variance.r2(self, method)

    # --- rows ---------------------------------------------------------------------------------

    def fitted(self, random: bool = True, type: Kind = "response") -> Any:
        """Fitted values of the rows analysed: `predict` without new data."""
        return self.predict(None, random, type)

    @overload
    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool | Literal["average"] = True,
        type: Kind = "response",
        interval: None = None,
        level: float = 0.95,
    ) -> Any: ...

    @overload
    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool | Literal["average"] = True,
        type: Kind = "response",
        *,
        interval: Literal["confidence"],
        level: float = 0.95,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool | Literal["average"] = True,
        type: Kind = "response",
        interval: Literal["confidence"] | None = None,
        level: float = 0.95,
    ) -> Any:
        """Predictions: chances, rates, or (type "link") the linear predictor.

        random=True adds the predicted effects (an unseen level has 0); False predicts for an
        average group; "average" integrates over the random effects, for the population. A missing
        value gives NaN. An ordinal outcome gives a column of chances for every category. interval
        "confidence": a table with std_error and limits (see `generalised_prediction`).
        """
        _check_prediction(type, random, interval)
        if interval is not None:
            return generalised_prediction.intervals(
                self, new_data, random=random, type=type, level=level
            )
        eta, Z, index = self._predictor(new_data)
        if random is True:
            eta = eta + self._effects(new_data, Z)
        if type == "link":
            return pd.Series(eta, index=index)
        spread = np.zeros_like(eta)
        if random == "average":
            for z, psi in zip(Z, self.engine.psi, strict=True):
                spread += np.einsum("nq,qr,nr->n", z, psi, z)
        return self._responses(eta, np.sqrt(spread), index)

    def _predictor(
        self, new_data: pd.DataFrame | Dataset | None
    ) -> tuple[Array, list[Array], pd.Index | NDArray[Any]]:
        """The predictor of an average group, the columns of the effects, the rows' labels."""
        if new_data is None:
            shift = np.zeros(self.n_obs) if self.offset is None else self.offset
            return self.X @ self.engine.beta + shift, self._Z(), self.design.rows
        columns = Columns.of(new_data)
        eta = self.recipe.matrix(columns)[:, self.kept] @ self.engine.beta
        eta = eta + self.recipe.offset(columns)
        return eta, self.effect_columns(columns), columns.frame.index

    def _responses(self, eta: Array, sd: Array, index: Any) -> Any:
        from recovery_stats.engines.glmm_population import mean_over

        if self.family != "ordinal":
            return pd.Series(mean_over(self.link, eta, sd)[0], index=index)
        below = [mean_over("logit", edge - eta, sd)[0] for edge in self.engine.own]
        edges = np.column_stack([np.zeros_like(eta), *below, np.ones_like(eta)])
        return pd.DataFrame(np.diff(edges, axis=1), index=index, columns=list(self.categories))

    def _effects(self, new_data: pd.DataFrame | Dataset | None, Z: list[Array]) -> Array:
        total = np.zeros(len(Z[0]))
        for k, (factor, z) in enumerate(zip(self.factors, Z, strict=True)):
            known = new_data is None
            codes = factor.codes if known else self.level_codes(k, Columns.of(new_data))
            total = total + np.einsum("nq,nq->n", z, self.effects_at(k, codes))
        return total

    def effects_at(self, which: int, codes: IntArray) -> Array:
        """The predicted effects of a factor's levels (n, q); 0 for an unseen one."""
        return np.asarray(self.engine.effects[which][codes] * (codes >= 0)[:, None])

    def level_codes(self, which: int, columns: Columns) -> IntArray:
        """The levels of a factor in other rows; -1 where the fit has not seen it."""
        grouping = self.groupings[which]
        known = {level: j for j, level in enumerate(grouping.levels)}
        found = columns.grouping(tuple(group_columns(self.formula, grouping.name)))
        places = np.array([*(known.get(v, -1) for v in found.levels), -1], dtype=np.intp)
        return places[found.codes]

    def effect_columns(self, columns: Columns) -> list[Array]:
        """What each factor's effects multiply in other rows, (n, q) by factor."""
        return [np.hstack([p.recipe.matrix(columns) for p in ps]) for ps in self._by_factor()]

    def residuals(self, kind: str = "quantile", seed: int = 1) -> pd.Series[float]:
        """Residuals around the predictions with random effects, by the rows analysed.

        kind: "quantile" (randomised; standard normal where the model is right, of any family),
        "pearson", "response".
        """
        return generalised_residual.residuals(self, kind, seed)

    def simulate(self, n: int = 1, seed: int = 1, effects: str = "new") -> pd.DataFrame:
        """New outcomes for the rows analysed: columns `sim_1` to `sim_n`.

        effects: "new" draws random effects anew; "predicted" keeps those of these groups.
        """
        return generalised_residual.simulate(self, n, seed, effects)

    # --- checks -------------------------------------------------------------------------------

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        return examine(self.factors, self.law, self.engine, self.dropped, self.design.lost)

    def __repr__(self) -> str:
        e = self.engine
        groups = ", ".join(f"{name} {m}" for name, m in self.groups.items())
        note = ", singular" if e.singular else ""
        return (
            f"<GlmmFit {self.formula.text!r}: {self.family}, {e.n} rows, groups {groups}, "
            f"{self.approximation} log-likelihood {e.log_likelihood:.3f}{note}>"
        )


def _check_prediction(kind: str, random: bool | str, interval: str | None) -> None:
    if interval not in (None, "confidence"):
        raise UsageError(unknown("kind of interval", str(interval), ("confidence",)))
    if _checked(kind) == "link" and random == "average":
        raise UsageError("random='average' averages chances or rates; use type='response'.")


def _checked(kind: str) -> str:
    known = ("response", "link")
    if kind not in known:
        raise UsageError(unknown("type of prediction", kind, known))
    return kind
