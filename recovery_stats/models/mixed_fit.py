"""A fitted linear mixed model: coefficients, tests, means, variance parts, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import lmm as engine
from recovery_stats.engines import lmm_df
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm_hotelling import approximate_hotelling
from recovery_stats.engines.lmm_robust import Robust
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models import (
    margins,
    mixed_bootstrap,
    mixed_icc,
    mixed_influence,
    mixed_interval,
    mixed_prediction,
)
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, Outcome, RandomDesign
from recovery_stats.models.formula import Formula
from recovery_stats.models.grid import Averaging
from recovery_stats.models.hypothesis import contrasts
from recovery_stats.models.kept import Grouped
from recovery_stats.models.margins import Combination, Grid
from recovery_stats.models.mixed_check import examine
from recovery_stats.models.mixed_prediction import Interval

Method = Literal["satterthwaite", "kenward-roger", "normal"]


@dataclass(frozen=True)
class MixedFit(Grouped):
    """A fitted linear mixed model; see `recovery_stats.models.mixed.lmm`.

    kept: positions of the estimated columns in the design; dropped: names of collinear ones.
    """

    formula: Formula
    design: Design = field(repr=False)
    kept_columns: tuple[int, ...] = field(repr=False)
    dropped: tuple[str, ...]
    factors: tuple[engine.RandomFactor, ...] = field(repr=False)
    engine: engine.LmmFit = field(repr=False)
    df: Method
    cluster: str | None
    robust: Robust | None = field(repr=False)
    offset: Array | None = field(repr=False)
    weights: Array | None = field(repr=False)
    grid: Grid = field(repr=False)
    data: pd.DataFrame | Dataset = field(repr=False)

    # --- the coefficients --------------------------------------------------------------------

    @property
    def term_means(self) -> tuple[float, ...]:
        """The mean of each column of the design: the combination that gives the mean outcome."""
        return tuple(self.X.mean(0).tolist())

    @cached_property
    def information(self) -> lmm_df.Information:
        """What the degrees of freedom are computed from."""
        return lmm_df.information(self.engine)

    @cached_property
    def _covariance(self) -> Array:
        if self.robust is not None:
            return self.robust.covariance
        if self.df == "kenward-roger":
            return lmm_df.adjusted_covariance(self.information)
        return self.engine.covariance

    def combine(self, L: Array) -> Combination:
        """Estimates, standard errors and degrees of freedom of L @ coefficients."""
        variance = np.einsum("ki,ij,kj->k", L, self._covariance, L)
        return Combination(L @ self.engine.beta, np.sqrt(np.maximum(variance, 0.0)), self._df(L))

    def _df(self, L: Array) -> Array:
        if self.robust is not None:
            return self.robust.df(L)
        if self.df == "satterthwaite":
            return lmm_df.satterthwaite(self.information, L)
        if self.df == "kenward-roger":
            return lmm_df.kenward_roger(self.information, L)
        return np.full(len(L), np.inf)

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; `exponentiate` changes estimate and limits."""
        found = self.combine(np.eye(len(self.terms)))
        table: dict[str, Any] = {"term": list(self.terms), **found.table(level)}
        if exponentiate:
            for name in ("estimate", "conf_low", "conf_high"):
                table[name] = np.exp(table[name])
        if self.robust is not None:
            table["std_error_model"] = np.sqrt(np.diag(self.engine.covariance))
        return pd.DataFrame(table)

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients, of the kind that `tidy` shows."""
        return pd.DataFrame(self._covariance, list(self.terms), list(self.terms))

    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        *,
        replicates: int = 1000,
        seed: int = 1,
        kind: mixed_bootstrap.Limits = "percentile",
    ) -> pd.DataFrame:
        """Intervals: "wald" of the coefficients; "profile" or "bootstrap" of the whole model.

        profile: where the deviance, minimised over everything else, has risen by the square of
        the normal quantile, as lme4 defines it. Like there, a REML fit is fitted by ML for it,
        and the estimates beside the limits are those of ML. bootstrap: see `bootstrap`; kind:
        "percentile", "basic" or "normal".
        """
        known = ("wald", "profile", "bootstrap")
        if method not in known:
            raise UsageError(unknown("interval method", method, known))
        if method == "profile":
            return mixed_interval.profile_intervals(self, level)
        if method == "bootstrap":
            return mixed_bootstrap.bootstrap_intervals(self, level, replicates, seed, kind)
        columns = ["term", "estimate", "conf_low", "conf_high"]
        return self.tidy(level)[columns]

    def bootstrap(self, replicates: int = 1000, seed: int = 1) -> mixed_bootstrap.Bootstrap:
        """Parametric bootstrap: outcomes simulated with new random effects, each refitted.

        The same seed gives the same draws.
        """
        return mixed_bootstrap.bootstrap(self, replicates, seed)

    def simulate(self, n: int = 1, seed: int = 1, effects: str = "new") -> pd.DataFrame:
        """New outcomes for the rows analysed: columns `sim_1` to `sim_n`.

        effects: "new" draws random effects anew; "predicted" keeps those of these groups.
        """
        return mixed_bootstrap.simulate(self, n, seed, effects)

    def estimate(
        self,
        weights: Mapping[str, float],
        *,
        name: str,
        label: str,
        level: float = 0.95,
        rank: Level = "secondary",
        n: int | None = None,
    ) -> Estimate:
        """A linear combination of coefficients, by term name, as an Estimate.

        n: people behind it; by default the levels of the largest random factor.
        """
        people = self.n_groups if n is None else n
        return margins.estimate(
            self, weights, name=name, label=label, level=level, rank=rank,
            method=self.method, n=people,
        )  # fmt: skip

    def anova(self, type: int = 3) -> pd.DataFrame:
        """F tests of the terms: type 3 (default), 2 or 1."""
        rows = contrasts(self.recipe, self.kept, self.X, self.analysed, type)
        tests = [self.test(L) for L in rows.values()]
        return pd.DataFrame(
            {
                "term": list(rows),
                "num_df": [t.num_df for t in tests],
                "den_df": [t.den_df for t in tests],
                "statistic": [t.statistic for t in tests],
                "p_value": [t.p_value for t in tests],
            }
        )

    def test(self, L: Array) -> lmm_df.FTest:
        """F test of L @ coefficients = 0, by the fit's own kind of degrees of freedom.

        With cluster=, the approximate Hotelling test of Pustejovsky & Tipton 2018.
        """
        if self.robust is not None:
            return approximate_hotelling(self.robust, L, self.engine.beta)
        if self.df == "kenward-roger":
            return lmm_df.kenward_roger_f(self.information, L, self.engine.beta)
        if self.df == "satterthwaite":
            return lmm_df.satterthwaite_f(self.information, L, self.engine.beta)
        return lmm_df.normal_f(self.engine.covariance, L, self.engine.beta)

    # --- contrasts and means --------------------------------------------------------------------

    def contrast(
        self, weights: Mapping[str, Mapping[str, float]], adjust: str = "none", level: float = 0.95
    ) -> pd.DataFrame:
        """Named linear combinations: {"a over b": {"x": 1, "z": -1}}."""
        return margins.contrast(self, weights, adjust=adjust, level=level)

    def margins(
        self,
        by: str | Sequence[str],
        at: Mapping[str, Any] | None = None,
        weights: Averaging = "equal",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Adjusted means over the levels of `by`, other numbers at their means or at `at`."""
        return margins.marginal_means(self, by, at=at, weights=weights, level=level)

    def pairwise(
        self,
        by: str | Sequence[str],
        adjust: str = "holm",
        level: float = 0.95,
        *,
        within: str | Sequence[str] = (),
        reference: Any = None,
        of: str | None = None,
        at: Mapping[str, Any] | None = None,
        weights: Averaging = "equal",
    ) -> pd.DataFrame:
        """Differences between adjusted means, or slopes in `of`; see `margins.pairwise`."""
        return margins.pairwise(
            self, by, within=within, at=at, adjust=adjust, reference=reference, of=of,
            weights=weights, level=level,
        )  # fmt: skip

    def slopes(
        self,
        of: str,
        by: str | Sequence[str] = (),
        level: float = 0.95,
        at: Mapping[str, Any] | None = None,
        weights: Averaging = "equal",
    ) -> pd.DataFrame:
        """Slopes in a number, by levels of factors."""
        return margins.slopes(self, of, by, at=at, weights=weights, level=level)

    # --- the fit as a whole -----------------------------------------------------------------------

    @property
    def residual_structure(self) -> str:
        """Residuals are independent; fits with `residual=` say their structure."""
        return "independent"

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        kind = "REML" if self.engine.reml else "ML"
        if self.robust is not None:
            return f"linear mixed model, {kind}, cluster-robust errors (CR2)"
        words = {
            "satterthwaite": "Satterthwaite df",
            "kenward-roger": "Kenward–Roger",
            "normal": "normal reference",
        }[self.df]
        return f"linear mixed model, {kind}, {words}"

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
                "criterion": [e.criterion],
                "sigma": [float(np.sqrt(e.sigma2))],
                "singular": [e.singular],
                "method": ["REML" if e.reml else "ML"],
            }
        )

    def caic(self) -> pd.DataFrame:
        """Conditional AIC in one row: `log_likelihood, effective_df, effective_df_known, caic`.

        For prediction within these groups (`glance` has the AIC for new groups). The log-likelihood
        is given the predicted effects; effective_df_known takes the variances for known (Vaida &
        Blanchard 2005), effective_df and caic count their estimation (Greven & Kneib 2010) and one
        for sigma.
        """
        return mixed_interval.conditional_aic(self)

    def variance_components(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, and the residual variance."""
        rows: list[tuple[str, str, str, float, float]] = []
        for factor, psi in zip(self.factors, self.engine.psi, strict=True):
            for block in factor.blocks:
                for i, a in enumerate(block):
                    rows += [component(factor, psi, b, a) for b in block[: i + 1]]
        rows.append(("Residual", "", "", self.engine.sigma2, 1.0))
        return pd.DataFrame(
            rows, columns=["group", "term_1", "term_2", "covariance", "correlation"]
        )

    # --- rows ---------------------------------------------------------------------------------

    def _series(self, values: Array) -> pd.Series[Any]:
        return pd.Series(values, index=self.design.rows)

    def fitted(self, random: bool = True) -> pd.Series[Any]:
        """Fitted values of the rows analysed, with the predicted random effects or without."""
        value = self.X @ self.engine.beta
        if self.offset is not None:
            value = value + self.offset
        if random:
            for factor, effects in zip(self.factors, self.engine.effects, strict=True):
                value = value + np.einsum("nq,nq->n", factor.Z, effects[factor.codes])
        return self._series(value)

    def residuals(self, kind: str = "response") -> pd.Series[Any]:
        """Residuals: response, pearson, studentised, each "marginal" too; see `mixed_influence`."""
        return self._series(mixed_influence.residuals(self, kind))

    def leverage(self) -> pd.DataFrame:
        """How far each fitted value follows its own row: fixed, random, overall."""
        return mixed_influence.leverage(self)

    def influence(self, group: str | None = None, refit: bool = False) -> pd.DataFrame:
        """What leaving out each level of `group` changes (by default the largest random factor).

        Cook's distance, covariance ratio and DFBETAS; refit=True estimates the variances again.
        """
        return mixed_influence.influence(self, group, refit)

    @property
    def outcome(self) -> Array:
        """The outcome of the rows analysed."""
        assert isinstance(self.design.response, Outcome)
        return self.design.response.y

    @overload
    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool = True,
        interval: None = None,
        level: float = 0.95,
    ) -> pd.Series[Any]: ...

    @overload
    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool = True,
        *,
        interval: Interval,
        level: float = 0.95,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool = True,
        interval: Interval | None = None,
        level: float = 0.95,
    ) -> pd.Series[Any] | pd.DataFrame:
        """Predictions for new rows: an unseen level has effect 0, a missing value gives NaN.

        random=False predicts for a new level of every factor. interval: "confidence" of the mean
        or "prediction" of one outcome; then a table with std_error, df and limits comes back
        (see `recovery_stats.models.mixed_prediction`).
        """
        if interval is None:
            return mixed_prediction.predict(self, new_data, random)
        return mixed_prediction.predict_interval(
            self, new_data, random=random, interval=interval, level=level
        )

    def random_parts(self) -> list[tuple[RandomDesign, int]]:
        """Each random term with the number of its factor."""
        names = [f.name for f in self.factors]
        return [(part, names.index(part.grouping.name)) for part in self.design.random]

    def level_codes(self, which: int, columns: Columns) -> IntArray:
        """The levels of a factor in other rows; -1 where the fit has not seen it."""
        grouping = self.groupings[which]
        known = {level: j for j, level in enumerate(grouping.levels)}
        found = columns.grouping(tuple(group_columns(self.formula, grouping.name)))
        level = np.array([*(known.get(v, -1) for v in found.levels), -1], dtype=np.intp)
        return level[found.codes]

    # --- summaries of variance --------------------------------------------------------------------

    def icc(self, group: str | None = None) -> float:
        """Share of the variance around the fixed effects that lies between groups (or one factor).

        Source: Nakagawa, Johnson & Schielzeth 2017.
        """
        return mixed_icc.icc(self, group)

    def icc_interval(
        self, group: str | None = None, level: float = 0.95, replicates: int = 1000, seed: int = 1
    ) -> pd.DataFrame:
        """The correlation with its interval: exact with one random intercept, else bootstrap."""
        return mixed_icc.icc_interval(self, group, level, replicates, seed)

    def r2(self) -> pd.Series[Any]:
        """Marginal R² (fixed effects) and conditional R² (fixed and random effects).

        Source: Nakagawa & Schielzeth 2013; Johnson 2014 for slopes.
        """
        fixed = float(np.var(self.X @ self.engine.beta, ddof=1))
        random = sum(mixed_icc.random_variance(self))
        total = fixed + random + self.engine.sigma2
        return pd.Series({"marginal": fixed / total, "conditional": (fixed + random) / total})

    # --- checks -------------------------------------------------------------------------------

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        return examine(self)

    def __repr__(self) -> str:
        e = self.engine
        groups = ", ".join(f"{name} {m}" for name, m in self.groups.items())
        note = ", singular" if e.singular else ""
        return (
            f"<MixedFit {self.formula.text!r}: {e.n} rows, groups {groups}, "
            f"{'REML' if e.reml else 'ML'} log-likelihood {e.log_likelihood:.3f}{note}>"
        )


def component(
    factor: engine.RandomFactor, psi: Array, a: int, b: int
) -> tuple[str, str, str, float, float]:
    size = np.sqrt(psi[a, a] * psi[b, b])
    correlation = 1.0 if a == b else float(psi[a, b] / size) if size > 0 else float("nan")
    return factor.name, factor.effects[a], factor.effects[b], float(psi[a, b]), correlation


def group_columns(formula: Formula, name: str) -> tuple[str, ...]:
    return next(r.group for r in formula.random if r.name == name)
