"""One fit from the fits of m completed data sets: `pool(fits)`, by Rubin's rules.

Every model of the package takes part that has `tidy()` and `covariance()`; tables of estimates
(`margins`, `contrast`, curves at chosen times) are pooled by `pool_table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.engines import rubin
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models import margins
from recovery_stats.models.coding import Recipe
from recovery_stats.models.combination import Combination
from recovery_stats.models.grid import Averaging, Grid
from recovery_stats.models.pool_table import PooledTable, Transform, pool_table

if TYPE_CHECKING:
    from recovery_stats.models.pool_test import Likelihood

__all__ = ["PooledFit", "PooledTable", "pool"]

SPREAD = 0.05  # the standard error should not move by more than this share from seed to seed
WORST = ("ok", "caution", "fail")
LEVEL = re.compile(r"\[(?:T\.)?[^\]]*\]")


def pool(
    fits: Iterable[Any], *, df_complete: float | None = None, transform: Transform = "none"
) -> Any:
    """Pool fits of one model to m completed data sets, or tables of estimates, by Rubin's rules.

    fits: fits of any model here, or m tables with `estimate` and `std_error` (from `margins`,
    `contrast`, `.at(times)` …), which give a PooledTable; transform says on which scale tables
    are normal. df_complete: degrees of freedom as if nothing had been missing. By default those
    of the model; where its reference is normal, observations less coefficients (events for
    hazards, clusters for cluster-robust errors), as Barnard & Rubin 1999 have it.
    Raises UsageError for fewer than two fits, DataError where fits differ in their terms.
    """
    given = list(fits)
    if len(given) < 2:
        raise UsageError(
            f"Pooling needs the fits of two completed data sets or more; {len(given)} given."
        )
    if all(isinstance(f, pd.DataFrame) for f in given):
        return pool_table(given, df_complete=df_complete, transform=transform)
    if transform != "none":
        raise UsageError("transform= is for tables; fits are pooled on the scale of their terms.")
    for fit in given:
        if not (hasattr(fit, "tidy") and hasattr(fit, "covariance")):
            raise UsageError(
                f"A {type(fit).__name__} has no coefficients with a covariance; pool its tables."
            )
    return _pooled(given, df_complete)


def _pooled(fits: Sequence[Any], df_complete: float | None) -> PooledFit:
    tables = [fit.tidy().set_index("term") for fit in fits]
    terms = _shared_terms(tables)
    beta = np.array([t["estimate"].to_numpy(float) for t in tables])
    V = np.array([fit.covariance().loc[list(terms), list(terms)].to_numpy(float) for fit in fits])
    if df_complete is not None:
        df = np.full(len(terms), float(df_complete))
    else:
        given = [t["df"].to_numpy(float) for t in tables if "df" in t]
        own = np.mean(given, axis=0) if given else np.full(len(terms), np.inf)
        df = np.where(np.isinf(own), _residual_df(fits[0], len(terms)), own)
    return PooledFit(tuple(fits), terms, beta, V, df, df_complete)


def _shared_terms(tables: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    first = list(tables[0].index)
    for number, table in enumerate(tables[1:], 2):
        odd = sorted(set(first) ^ set(table.index))
        if odd or list(table.index) != first:
            named = ", ".join(map(repr, odd[:4])) or "their order"
            raise DataError(
                f"The fits to data sets 1 and {number} differ in their terms ({named}): a level "
                "occurs in some completed data sets only, or a column was dropped as collinear. "
                "Merge sparse levels, or fit a smaller model."
            )
    return tuple(map(str, first))


def _residual_df(fit: Any, coefficients: int) -> float:
    """What the observations of a model leave, whose own reference is normal."""
    if not hasattr(fit, "glance"):
        return float("inf")
    row = fit.glance().iloc[0]
    clusters = getattr(fit, "n_clusters", None)
    if clusters is not None:
        n = float(clusters)
    elif "n_events" in row:
        n = float(row["n_events"])
    else:  # estimating equations have no likelihood: their independent units are the clusters
        n = float(row["n_groups"] if np.isnan(row["log_likelihood"]) else row["n_obs"])
    return max(n - coefficients, 1.0)


@dataclass(frozen=True)
class PooledFit:
    """The fits of m completed data sets as one; see `pool`.

    estimates (m, k) and covariances (m, k, k) of the fits; df_complete (k,).
    """

    fits: tuple[Any, ...] = field(repr=False)
    terms: tuple[str, ...]
    estimates: Array = field(repr=False)
    covariances: Array = field(repr=False)
    df_complete: Array = field(repr=False)
    asked_df: float | None = field(repr=False)

    @property
    def m(self) -> int:
        """How many completed data sets."""
        return len(self.fits)

    @cached_property
    def rules(self) -> rubin.Pooled:
        """Rubin's rules for each coefficient."""
        variances = np.diagonal(self.covariances, axis1=1, axis2=2)
        return rubin.pool(self.estimates, variances, self.df_complete)

    @cached_property
    def parts(self) -> tuple[Array, Array]:
        """Covariance within and between the data sets, (k, k) each."""
        return rubin.pool_covariance(self.estimates, self.covariances)

    # --- the coefficients --------------------------------------------------------------------

    def combine(self, L: Array) -> Combination:
        """Estimates, errors and Barnard–Rubin df of L @ coefficients."""
        if hasattr(self.fits[0], "combine"):
            each = [fit.combine(L) for fit in self.fits]
            q, u = (np.array([getattr(c, n) for c in each]) for n in ("estimate", "std_error"))
            df = np.mean([c.df for c in each], axis=0)
        else:
            q = self.estimates @ L.T
            u = np.sqrt(np.einsum("ki,mij,kj->mk", L, self.covariances, L))
            df = np.full(len(L), np.inf)
        df = np.where(np.isinf(df) | (self.asked_df is not None), self._df_of(L), df)
        found = rubin.pool(q, u**2, df)
        return Combination(found.estimate, np.sqrt(found.total), found.df)

    def _df_of(self, L: Array) -> Array:
        """The least complete-data df among the coefficients that a row combines."""
        used = np.where(L != 0, self.df_complete, np.inf).min(axis=1)
        return np.asarray(np.where((L != 0).any(axis=1), used, self.df_complete.min()))

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; `exponentiate` changes estimate and limits."""
        r = self.rules
        found = Combination(r.estimate, np.sqrt(r.total), r.df)
        table: dict[str, Any] = {"term": list(self.terms), **found.table(level)}
        if exponentiate:
            for name in ("estimate", "conf_low", "conf_high"):
                table[name] = np.exp(table[name])
        return pd.DataFrame(table)

    def information(self) -> pd.DataFrame:
        """What missing values cost each coefficient.

        Columns term, within, between, total (variances), riv (relative increase in variance),
        lambda (share of the variance due to missing values), fmi (fraction of missing
        information), df_complete, monte_carlo_error (of the estimate, for m being finite).
        """
        r = self.rules
        return pd.DataFrame(
            {
                "term": self.terms, "within": r.within, "between": r.between, "total": r.total,
                "riv": r.riv, "lambda": r.share, "fmi": r.fmi, "df_complete": self.df_complete,
                "monte_carlo_error": np.sqrt(r.between / self.m),
            }
        )  # fmt: skip

    def imputations_needed(self, cv: float = SPREAD, level: float = 0.95) -> int:
        """How many imputations make every standard error reproducible within `cv` of itself.

        Source: von Hippel 2020, from the largest fraction of missing information seen here.
        """
        return rubin.imputations_needed(float(self.rules.fmi.max()), self.m, cv, level)

    def covariance(self) -> pd.DataFrame:
        """Total covariance of the coefficients, within and between the data sets."""
        within, between = self.parts
        total = within + (1.0 + 1.0 / self.m) * between
        return pd.DataFrame(total, list(self.terms), list(self.terms))

    def estimate(
        self, weights: Mapping[str, float], *, name: str, label: str, level: float = 0.95,
        rank: Level = "secondary", scale: Scale = "difference", n: int | None = None,
    ) -> Estimate:  # fmt: skip
        """A linear combination of coefficients as an Estimate; scale "ratio" exponentiates it."""
        return margins.estimate(
            self, weights, name=name, label=label, level=level, rank=rank, scale=scale,
            method=self.method, n=n,
        )  # fmt: skip

    # --- several coefficients ----------------------------------------------------------------

    def test(self, terms: str | Sequence[str], method: str = "D1") -> pd.DataFrame:
        """F test that these coefficients (or all those of these terms) are zero: "D1" or "D2".

        Columns num_df, den_df, statistic, p_value, riv, method.
        """
        from recovery_stats.models.pool_test import test_rows

        asked = [terms] if isinstance(terms, str) else list(terms)
        return pd.DataFrame([test_rows(self, self._rows_of(asked), method)])

    def anova(self, method: str = "D1") -> pd.DataFrame:
        """F test of every term (type 3): `term, num_df, den_df, statistic, p_value, riv, method`.

        "D1" combines the covariance of the coefficients (Li, Raghunathan & Rubin 1991; df of
        Reiter 2007), "D2" only the Wald statistics of the fits, and is rough.
        """
        from recovery_stats.models.pool_test import hypotheses, test_rows

        rows = hypotheses(self.fits[0], self.terms)
        return pd.DataFrame([{"term": t, **test_rows(self, L, method)} for t, L in rows.items()])

    def compare(self, smaller: PooledFit, method: str = "D3") -> pd.DataFrame:
        """Test this model against a smaller one fitted to the same data sets.

        "D3": likelihood ratio (Meng & Rubin 1992), for models with a likelihood; "D1", "D2":
        Wald tests of the coefficients that the smaller one lacks.
        """
        from recovery_stats.models.pool_test import compare

        return compare(self, smaller, method)

    def _rows_of(self, asked: Sequence[str]) -> Array:
        """Rows of the identity for coefficients, or all coefficients of terms, by name."""
        plain = [LEVEL.sub("", t) for t in self.terms]
        chosen = []
        for name in asked:
            found = [j for j, t in enumerate(self.terms) if t == name or plain[j] == name]
            if not found:
                raise UsageError(unknown("term", name, {*self.terms, *plain}))
            chosen += found
        return np.eye(len(self.terms))[sorted(set(chosen))]

    # --- contrasts and means -------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """How the first fit codes its columns."""
        recipe: Recipe = self._linear("recipe")
        return recipe

    @property
    def kept(self) -> list[int]:
        """The columns of the design that were estimated."""
        kept: list[int] = self._linear("kept")
        return kept

    @property
    def analysed(self) -> pd.DataFrame | Dataset:
        """The rows of the first completed data set."""
        rows: pd.DataFrame | Dataset = self._linear("analysed")
        return rows

    @cached_property
    def grid(self) -> Grid:
        """The columns behind the design, numbers at their means over all data sets."""
        first = self._linear("grid")
        means = {k: float(np.mean([f.grid.means[k] for f in self.fits])) for k in first.means}
        return Grid(means, first.levels, first.names)

    def _linear(self, name: str) -> Any:
        if not hasattr(self.fits[0], name):
            raise UsageError(
                f"{type(self.fits[0]).__name__} has no adjusted means; use test() or estimate()."
            )
        return getattr(self.fits[0], name)

    def contrast(
        self, weights: Mapping[str, Mapping[str, float]], adjust: str = "none", level: float = 0.95
    ) -> pd.DataFrame:
        """Named linear combinations: {"a over b": {"x": 1, "z": -1}}."""
        return margins.contrast(self, weights, adjust=adjust, level=level)

    def margins(
        self, by: str | Sequence[str], at: Mapping[str, Any] | None = None,
        weights: Averaging = "equal", level: float = 0.95,
    ) -> pd.DataFrame:  # fmt: skip
        """Adjusted means over the levels of `by`, other numbers at their pooled means."""
        return margins.marginal_means(self, by, at=at, weights=weights, level=level)

    def pairwise(
        self, by: str | Sequence[str], adjust: str = "holm", level: float = 0.95, *,
        within: str | Sequence[str] = (), reference: Any = None, of: str | None = None,
        at: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Differences between adjusted means, or slopes in `of`; see `margins.pairwise`."""
        return margins.pairwise(
            self, by, within=within, at=at, adjust=adjust, reference=reference, of=of, level=level
        )

    def slopes(
        self, of: str, by: str | Sequence[str] = (), level: float = 0.95,
        at: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Slopes in a number, by levels of factors."""
        return margins.slopes(self, of, by, at=at, level=level)

    def predict(self, new_data: pd.DataFrame | Dataset) -> pd.Series[float]:
        """The mean of the predictions of the fits for each new row."""
        each = [fit.predict(new_data) for fit in self.fits]
        return pd.Series(np.mean([e.to_numpy(float) for e in each], axis=0), each[0].index)

    # --- the fit as a whole -----------------------------------------------------------------------

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        own = str(getattr(self.fits[0], "method", type(self.fits[0]).__name__))
        return f"{own}; {self.m} imputations pooled by Rubin's rules"

    def glance(self) -> pd.DataFrame:
        """The pooled fit in one row; log_likelihood is the mean over data sets."""
        row: dict[str, Any] = {}
        if hasattr(self.fits[0], "glance"):
            each = pd.concat([fit.glance() for fit in self.fits], ignore_index=True)
            for name in ("n_obs", "n_groups", "n_events"):
                if name in each:
                    row[name] = round(float(each[name].mean()))
            row["log_likelihood"] = float(each["log_likelihood"].mean())
            row["converged"] = bool(each["converged"].all())
        largest = float(self.rules.fmi.max())
        return pd.DataFrame([{**row, "m": self.m, "largest_fmi": largest, "method": self.method}])

    def checks(self) -> tuple[Check, ...]:
        """Whether m is enough, and what the fits say, at their worst."""
        return (self._enough(), *self._of_fits())

    def _enough(self) -> Check:
        worst = int(np.argmax(self.rules.fmi))
        needed = self.imputations_needed()
        enough = self.m >= needed
        parts = (
            "At most ", Quantity(float(self.rules.fmi[worst]), "percent"),
            " of the information is missing; with ", Quantity(float(self.m), "whole"),
            " imputations standard errors are " + ("reproducible." if enough else "not yet "),
            *(() if enough else ("reproducible within 5%; ", Quantity(float(needed), "whole"),
                                 " imputations would make them so.")),
        )  # fmt: skip
        return Check("imputations", "ok" if enough else "caution", parts, self.terms[worst])

    def _of_fits(self) -> tuple[Check, ...]:
        """For every check of the fits the worst verdict, and in how many data sets it fell."""
        found: dict[tuple[str, str], list[Check]] = {}
        for fit in self.fits:
            for check in fit.checks() if hasattr(fit, "checks") else ():
                found.setdefault((check.name, check.about), []).append(check)
        merged = []
        for same in found.values():
            worst = max(same, key=lambda c: WORST.index(c.verdict))
            times = sum(c.verdict == worst.verdict for c in same)
            told = (f" (In {times} of {self.m} data sets.)",)
            parts = worst.parts if times == self.m else (*worst.parts, *told)
            merged.append(Check(worst.name, worst.verdict, parts, worst.about))
        return tuple(merged)

    @cached_property
    def likelihood(self) -> Likelihood:
        """The log-likelihoods behind D3."""
        from recovery_stats.models.pool_test import likelihood

        return likelihood(self)

    def __repr__(self) -> str:
        kind = type(self.fits[0]).__name__
        return f"<PooledFit of {self.m} {kind}: largest fmi {self.rules.fmi.max():.2f}>"
