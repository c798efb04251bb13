"""A fitted marginal model: coefficients with robust errors, tests, means, criteria, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.engines import gee as engine
from recovery_stats.engines.gee_correlation import Structure
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.mean_law import Law, Link
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models import margins
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design
from recovery_stats.models.formula import Formula
from recovery_stats.models.hypothesis import contrasts
from recovery_stats.models.kept import Kept
from recovery_stats.models.margins import Combination, Grid
from recovery_stats.models.mixed_check import left_out, rows_lost

Kind = Literal["response", "link"]
FEW, VERY_FEW = 40, 10  # clusters


@dataclass(frozen=True)
class GeeFit(Kept):
    """Solved estimating equations; see `recovery_stats.models.gee.gee`.

    Coefficients speak of the population's mean on the scale of the link, not of a cluster.
    """

    formula: Formula
    design: Design = field(repr=False)
    kept_columns: tuple[int, ...] = field(repr=False)
    dropped: tuple[str, ...]
    groups: str
    engine: engine.GeeFit = field(repr=False)
    law: Law = field(repr=False)
    link: Link = field(repr=False)
    structure: Structure
    small_sample: str
    df: str
    offset: Array | None = field(repr=False)
    weights: Array | None = field(repr=False)
    clusters: IntArray = field(repr=False)
    grid: Grid = field(repr=False)
    data: pd.DataFrame | Dataset = field(repr=False)

    # --- the coefficients --------------------------------------------------------------------

    @property
    def n_obs(self) -> int:
        return len(self.design.X)

    @property
    def n_groups(self) -> int:
        """How many clusters there are."""
        return self.engine.robust.clusters

    @property
    def family(self) -> str:
        return self.law.name

    def combine(self, L: Array) -> Combination:
        """Estimates, robust errors and degrees of freedom of L @ coefficients."""
        variance = np.einsum("ki,ij,kj->k", L, self.engine.covariance, L)
        return Combination(
            L @ self.engine.beta,
            np.sqrt(np.maximum(variance, 0.0)),
            np.array([self._df(row) for row in L]),
        )

    def _df(self, row: Array) -> float:
        if self.df == "satterthwaite":
            return self.engine.df(row)
        return float(self.n_groups - len(self.terms)) if self.df == "clusters" else float("inf")

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; std_error is robust, std_error_model the working model's."""
        found = self.combine(np.eye(len(self.terms)))
        table: dict[str, Any] = {"term": list(self.terms), **found.table(level)}
        if exponentiate:
            for name in ("estimate", "conf_low", "conf_high"):
                table[name] = np.exp(table[name])
        table["std_error_model"] = np.sqrt(np.diag(self.engine.naive))
        return pd.DataFrame(table)

    def covariance(self, kind: Literal["robust", "model"] = "robust") -> pd.DataFrame:
        """Covariance of the coefficients: the sandwich, or the working model's."""
        if kind not in ("robust", "model"):
            raise UsageError(unknown("covariance", kind, ("robust", "model")))
        V = self.engine.covariance if kind == "robust" else self.engine.naive
        return pd.DataFrame(V, list(self.terms), list(self.terms))

    def confint(self, method: str = "wald", level: float = 0.95) -> pd.DataFrame:
        """Intervals of the coefficients: "wald" alone, for want of a likelihood."""
        if method != "wald":
            raise UsageError(unknown("interval method", str(method), ("wald",)))
        return self.tidy(level)[["term", "estimate", "conf_low", "conf_high"]]

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
        """A linear combination of coefficients as an Estimate; scale "ratio" exponentiates it."""
        return margins.estimate(
            self, weights, name=name, label=label, level=level, rank=rank, scale=scale,
            method=self.method, n=self.n_groups if n is None else n,
        )  # fmt: skip

    def anova(self, type: int = 3) -> pd.DataFrame:
        """Wald tests of the terms: type 3 (default), 2 or 1.

        With Satterthwaite's df the F of Hotelling's approximation (Pustejovsky & Tipton 2018),
        with df="clusters" Wald / df on clusters less coefficients, with "normal" chi-squared.
        """
        rows = contrasts(self.recipe, self.kept, self.X, self.analysed, type)
        tests = [(term, *self.wald(L)) for term, L in rows.items()]
        return pd.DataFrame(tests, columns=["term", "num_df", "den_df", "statistic", "p_value"])

    def wald(self, L: Array) -> tuple[int, float, float, float]:
        """The test of L @ coefficients = 0: numerator and denominator df, statistic, p."""
        value, V, q = L @ self.engine.beta, L @ self.engine.covariance @ L.T, len(L)
        wald = float(value @ np.linalg.pinv(V) @ value)
        if self.df == "normal":
            return q, float("inf"), wald, float(chi2.sf(wald, q))
        if self.df == "clusters":
            den = float(self.n_groups - len(self.terms))
            return q, den, wald / q, float(f_distribution.sf(wald / q, q, den))
        eta = self.engine.robust.hotelling_df(L @ self.engine.A)
        den = eta - q + 1.0
        if not den > 0:
            return q, float("nan"), float("nan"), float("nan")
        F = den / (eta * q) * wald
        return q, den, F, float(f_distribution.sf(F, q, den))

    # --- contrasts and means ---------------------------------------------------------------------

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
        """Adjusted means over the levels of `by`; type "response": limits carried over."""
        found = margins.marginal_means(self, by, at=at, level=level)
        if _checked(type) == "link":
            return found
        found["std_error"] *= np.abs(self.link.slope(found["estimate"].to_numpy()))
        return self._responses(found).drop(columns=["statistic", "p_value"])

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

    def _responses(self, table: pd.DataFrame) -> pd.DataFrame:
        for column in ("estimate", "conf_low", "conf_high"):
            table[column] = self.link.inverse(table[column].to_numpy())
        if self.link.name == "inverse":
            table = table.rename(columns={"conf_low": "conf_high", "conf_high": "conf_low"})
        return table

    # --- rows ------------------------------------------------------------------------------------

    def predict(
        self, new_data: pd.DataFrame | Dataset | None = None, type: Kind = "response"
    ) -> pd.Series[float]:
        """The population's mean for every row, or (type "link") its predictor."""
        if new_data is None:
            eta, index = self.engine.eta, self.design.rows
        else:
            columns = Columns.of(new_data)
            eta = self.recipe.matrix(columns)[:, self.kept] @ self.engine.beta
            eta, index = eta + self.recipe.offset(columns), columns.frame.index.to_numpy()
        value = eta if _checked(type) == "link" else self.link.inverse(eta)
        return pd.Series(value, index=index)

    def fitted(self, type: Kind = "response") -> pd.Series[float]:
        """Fitted values of the rows analysed."""
        return self.predict(None, type)

    def residuals(self, type: Literal["pearson", "response"] = "pearson") -> pd.Series[float]:
        """Outcome minus fitted; Pearson's over the root of the variance function."""
        if type not in ("pearson", "response"):
            raise UsageError(unknown("type of residual", type, ("pearson", "response")))
        if type == "pearson":
            return pd.Series(self.engine.pearson, index=self.design.rows)
        root = np.sqrt(self.law.variance(self.engine.mu))
        return pd.Series(self.engine.pearson * root, index=self.design.rows)

    # --- the fit as a whole ----------------------------------------------------------------------

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        errors = {
            "none": "robust errors",
            "kauermann-carroll": "Kauermann–Carroll errors",
            "mancl-derouen": "Mancl–DeRouen errors",
        }[self.small_sample]
        return f"GEE, {self.structure}, {errors}"

    def glance(self) -> pd.DataFrame:
        """The fit in one row; there is no likelihood, QIC compares fits."""
        e = self.engine
        alpha = float(e.alpha[0]) if e.alpha.size == 1 else float("nan")
        return pd.DataFrame(
            {
                "n_obs": [self.n_obs],
                "n_groups": [self.n_groups],
                "log_likelihood": [np.nan],
                "aic": [np.nan],
                "bic": [np.nan],
                "converged": [True],
                "scale": [e.scale],
                "alpha": [alpha],
                "quasi_likelihood": [e.quasi],
                "qic": [e.qic],
                "qicu": [-2.0 * e.quasi + 2.0 * len(self.terms)],
                "cic": [e.cic],
                "method": [self.method],
            }
        )

    def working_correlation(self) -> pd.DataFrame:
        """The parameters of the working correlation: of every two times where unstructured."""
        alpha = self.engine.alpha
        if self.structure != "unstructured":
            names = ["correlation"] * alpha.size
        else:
            T = round((1.0 + np.sqrt(1.0 + 8.0 * alpha.size)) / 2.0)
            names = [f"{i + 1}:{j + 1}" for i, j in zip(*np.triu_indices(T, 1), strict=True)]
        return pd.DataFrame({"parameter": names, "estimate": alpha})

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        return (*self._few(), *left_out(self.dropped), *rows_lost(self.design.lost))

    def _few(self) -> list[Check]:
        few = self.n_groups < (FEW if self.small_sample == "none" else VERY_FEW)
        words = " clusters."
        if few and self.small_sample == "none":
            words = " clusters: robust errors are too small; use small_sample='kauermann-carroll'."
        elif few:
            words = " clusters: even corrected errors rest on little; read p-values as rough."
        parts = (f"{self.groups} has ", Quantity(float(self.n_groups), "whole"), words)
        return [Check("groups", "caution" if few else "ok", parts, self.groups)]

    def __repr__(self) -> str:
        return (
            f"<GeeFit {self.formula.text!r}: {self.family}, {self.structure}, {self.n_obs} rows, "
            f"{self.n_groups} clusters of {self.groups!r}>"
        )


def _checked(kind: str) -> str:
    if kind not in ("response", "link"):
        raise UsageError(unknown("type of prediction", kind, ("response", "link")))
    return kind
