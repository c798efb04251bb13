"""What every parametric model of time offers: tables, tests, curves, means and standardisation.

A model brings its engine's parameters and two functions of people and times with gradients:
survival and log hazard. Errors are by the delta method, robust where the model's are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Count, Quantity
from recovery_stats.engines import curves
from recovery_stats.engines.surface import Surface
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.coefficient import tabulate_coefficients
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import columns_of
from recovery_stats.models.hazard_check import FEW_EVENTS, check_clusters
from recovery_stats.models.span import Spans

Frame: TypeAlias = pd.DataFrame | Dataset
MANY_GROUPS = 20


@dataclass(frozen=True)
class People:
    """New rows as arrays; stratum (m,) of each."""

    X: Array
    offset: Array
    stratum: IntArray
    index: NDArray[Any]

    def take(self, rows: IntArray) -> People:
        return People(self.X[rows], self.offset[rows], self.stratum[rows], self.index[rows])


@dataclass(frozen=True)
class ParametricFit(ABC):
    """A fitted parametric model of time.

    observation: the rows. model_covariance (k, k): inverse information. clusters (n,): codes of
    independent groups of rows, None without robust errors; robust (k, k): their covariance.
    """

    observation: Spans
    model_covariance: Array = field(repr=False)
    clusters: IntArray | None = field(repr=False)
    robust: Array | None = field(repr=False)

    # --- what a model brings

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """Names of theta (k,)."""

    @property
    @abstractmethod
    def theta(self) -> Array:
        """All parameters (k,)."""

    @property
    @abstractmethod
    def loglik(self) -> float:
        """Maximised log-likelihood."""

    @property
    @abstractmethod
    def loglik_null(self) -> float:
        """The same without covariates."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it was estimated, for tables."""

    @abstractmethod
    def _survival(self, people: People, times: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def _log_hazard(self, people: People, times: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def _log_quantile(self, people: People, p: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def _loglik_of(self, columns: list[int]) -> float:
        """Log-likelihood with these columns of X only."""

    @property
    def _not_ratios(self) -> tuple[str, ...]:
        """Parameters that exponentiate leaves alone."""
        return ()

    # --- what was found

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients of X."""
        return self.observation.design.names

    @property
    def covariance_matrix(self) -> Array:
        """Covariance of theta (k, k); the robust one where there is one."""
        return self.model_covariance if self.robust is None else self.robust

    @property
    def n_clusters(self) -> int | None:
        """Independent clusters behind robust errors; None without."""
        return None if self.clusters is None else int(self.clusters.max()) + 1

    def covariance(self) -> pd.DataFrame:
        """Covariance of the parameters; the robust one where there is one."""
        return pd.DataFrame(self.covariance_matrix, list(self.parameters), list(self.parameters))

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per parameter; exponentiate turns estimate and limits into ratios."""
        se = np.sqrt(np.diag(self.covariance_matrix))
        frame = tabulate_coefficients(
            self.parameters, self.theta, se, level=level, exponentiate=exponentiate
        )
        for name in self._not_ratios if exponentiate else ():
            row = frame["term"] == name
            for column in ("estimate", "conf_low", "conf_high"):
                frame.loc[row, column] = np.log(frame.loc[row, column])
        if self.robust is not None:
            frame.insert(3, "std_error_model", np.sqrt(np.diag(self.model_covariance)))
        return frame

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; bic counts rows."""
        n, k = len(self.observation), len(self.theta)
        gain = max(2 * (self.loglik - self.loglik_null), 0.0)
        df = sum(t != "Intercept" for t in self.terms)
        row = {
            "n_obs": n,
            "n_events": self.observation.n_events,
            "log_likelihood": self.loglik,
            "aic": 2 * k - 2 * self.loglik,
            "bic": k * np.log(n) - 2 * self.loglik,
            "converged": True,
            "log_likelihood_null": self.loglik_null,
            "lr_statistic": gain,
            "lr_df": df,
            "lr_p": float(chi2.sf(gain, df)) if df else np.nan,
            "method": self.method,
        }
        return pd.DataFrame([row])

    def anova(self, type: Literal[1, 2, 3] = 3) -> pd.DataFrame:
        """Chi-squared test of each term: Wald (3), or likelihood ratio as terms enter (1, 2).

        2 compares with all terms that do not contain it. Robust errors allow the Wald test only.
        """
        if type not in (1, 2, 3):
            raise UsageError("anova has types 1, 2 and 3.")
        design = self.observation.design
        coded = [j for j, c in enumerate(design.recipe.coded) if c.term.factors]
        found = []
        for j in coded:
            columns = [i for i, a in enumerate(design.assign) if a == j]
            wald = type == 3 or self.robust is not None
            value = self._wald(columns) if wald else self._gain(j, type)
            found.append((str(design.recipe.coded[j].term), len(columns), np.inf, value))
        frame = pd.DataFrame(found, columns=["term", "num_df", "den_df", "statistic"])
        return frame.assign(p_value=chi2.sf(frame["statistic"], frame["num_df"]))

    def _wald(self, columns: list[int]) -> float:
        at = self._places_of(columns)
        b = self.theta[at]
        return float(b @ np.linalg.solve(self.covariance_matrix[np.ix_(at, at)], b))

    def _places_of(self, columns: list[int]) -> list[int]:
        """Where the coefficients of these columns of X stand in theta."""
        return columns

    def _gain(self, term: int, type: int) -> float:
        """Twice the log-likelihood that a term adds to those before it, or not containing it."""
        coded, assign = self.observation.design.recipe.coded, self.observation.design.assign
        own = set(coded[term].term.factors)
        others = {
            j
            for j, c in enumerate(coded)
            if not c.term.factors
            or (j != term and (j < term if type == 1 else not own < set(c.term.factors)))
        }  # fmt: skip

        def fitted(terms: set[int]) -> float:
            return self._loglik_of([i for i, a in enumerate(assign) if a in terms])

        return 2 * (fitted(others | {term}) - fitted(others))

    # --- curves

    def _people(self, new_data: Frame | None) -> People:
        """Rows of new_data, or the rows analysed."""
        seen, recipe = self.observation, self.observation.design.recipe
        if new_data is None:
            offset = np.zeros(len(seen)) if seen.offset is None else seen.offset
            codes = np.zeros(len(seen), np.intp) if seen.strata is None else seen.strata.codes
            return People(seen.X, offset, codes, seen.index)
        index = (new_data.frame if isinstance(new_data, Dataset) else new_data).index.to_numpy()
        X, offset = recipe.matrix(new_data), recipe.offset(new_data)
        if seen.offset_name:
            offset = offset + Columns.of(new_data).numbers(seen.offset_name)
        return People(X, offset, self._strata_of(new_data, len(X)), index)

    def _strata_of(self, new_data: Frame, n: int) -> IntArray:
        strata = self.observation.strata
        if strata is None:
            return np.zeros(n, np.intp)
        found = Columns.of(new_data).grouping(strata.name.split(":"))
        known = {level: s for s, level in enumerate(strata.levels)}
        strange = [level for level in found.levels if level not in known]
        if strange:
            raise UsageError(unknown(f"stratum of {strata.name}", strange[0], known))
        return np.array([known[level] for level in found.levels], dtype=np.intp)[found.codes]

    def _surface(self, people: People) -> Surface:
        return Surface(
            lambda rows, times: self._survival(people.take(rows), times),
            len(people.X),
            self.covariance_matrix,
        )

    def survival(
        self,
        new_data: Frame | None = None,
        *,
        times: Sequence[float] | float,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Survival of new rows (or the rows analysed) at `times`; limits on the log-log scale.

        row (label in new_data), time, estimate, std_error, conf_low, conf_high.
        """
        people, at = self._people(new_data), _times(times)
        S, se = self._surface(people).points(at)
        return _frame(people.index, at, S, se, *_limits(S, se, level))

    def hazard(
        self,
        new_data: Frame | None = None,
        *,
        times: Sequence[float] | float,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Hazard of new rows at `times` above 0; limits on the log scale. Columns as survival."""
        people, at = self._people(new_data), _times(times)
        if (at == 0).any():
            raise UsageError("The hazard is asked for at times above 0.")
        value, J = self._log_hazard(people, at)
        spread = self._surface(people).errors(J)
        half, h = norm.isf((1 - level) / 2) * spread, np.exp(value)
        return _frame(people.index, at, h, h * spread, h * np.exp(-half), h * np.exp(half))

    def quantile(
        self,
        new_data: Frame | None = None,
        p: Sequence[float] | float = (0.25, 0.5, 0.75),
        *,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Times by which shares p have had the event; limits on the log scale of time.

        row, quantile, estimate, std_error, conf_low, conf_high.
        """
        asked = np.atleast_1d(np.asarray(p, float))
        if not ((asked > 0) & (asked < 1)).all():
            raise UsageError("Quantiles are shares between 0 and 1.")
        people = self._people(new_data)
        value, J = self._log_quantile(people, asked)
        spread = self._surface(people).errors(J)
        half, t = norm.isf((1 - level) / 2) * spread, np.exp(value)
        frame = _frame(people.index, asked, t, t * spread, t * np.exp(-half), t * np.exp(half))
        return frame.rename(columns={"time": "quantile"})

    def median(self, new_data: Frame | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """row, median, std_error, conf_low, conf_high."""
        found = self.quantile(new_data, 0.5, level=level).drop(columns="quantile")
        return found.rename(columns={"estimate": "median"})

    # --- means

    def rmst(
        self, tau: float, new_data: Frame | None = None, *, level: float = 0.95
    ) -> pd.DataFrame:
        """Mean time free of the event up to tau: row, estimate, std_error, conf_low, conf_high."""
        people = self._people(new_data)
        surface = self._surface(people)
        value, J = surface.means(_horizon(tau))
        return _symmetric({"row": people.index}, value, surface.errors(J), level)

    def standardised(
        self,
        by: str,
        *,
        times: Sequence[float] | float | None = None,
        tau: float | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Survival at `times`, or mean time up to tau, were everyone in each group of `by`.

        Averages over the rows analysed, with their weights (g-computation); errors are those of
        the parameters, the people taken as given. Rows of group hold each level; those of
        `difference` each level minus the first. Source: Gail & Byar 1986.
        """
        if (times is None) == (tau is None):
            raise UsageError("standardised() takes times, or tau for a restricted mean.")
        at = np.array([_horizon(tau)]) if tau is not None else _times(times)  # type: ignore[arg-type]
        parts = list(self._averages(by, at, mean=tau is not None))
        rows = [
            (f"{name}", t, v, g)
            for name, v_, g_ in parts
            for t, v, g in zip(at, v_, g_, strict=True)
        ]
        first, v0, g0 = parts[0]
        for name, v_, g_ in parts[1:]:
            rows += [
                (f"{name} - {first}", t, v - b, g - h)
                for t, v, b, g, h in zip(at, v_, v0, g_, g0, strict=True)
            ]
        label = "tau" if tau is not None else "time"
        surface = self._surface(self._people(None))
        return _symmetric(
            {"group": [r[0] for r in rows], label: [r[1] for r in rows]},
            np.array([r[2] for r in rows]),
            surface.errors(np.array([r[3] for r in rows])),
            level,
        )

    def _averages(self, by: str, at: Array, *, mean: bool) -> Iterator[tuple[str, Array, Array]]:
        """Each level's name, means over the rows (T,), gradients (T, k)."""
        data, weights = self.observation.analysed, self.observation.rows.w
        known = _predictors(self.observation)
        if by not in known:
            raise UsageError(unknown("predictor of this model", by, known))
        levels = Columns.of(data).levels(by)
        if len(levels.names) > MANY_GROUPS:
            raise UsageError(
                f"Column {by!r} has {len(levels.names)} values; standardised() compares at most "
                f"{MANY_GROUPS} groups."
            )
        for name, value in zip(levels.names, levels.values, strict=True):
            surface = self._surface(self._people(_with_column(data, by, value)))
            if mean:
                v, g = surface.average_mean(float(at[0]), weights)
                yield name, np.array([v]), g[None]
            else:
                yield name, *surface.average(at, weights)

    # --- whether to believe it

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the estimates."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        events, p = self.observation.n_events, sum(t != "Intercept" for t in self.terms)
        if p:
            yield Check(
                "events per coefficient",
                "caution" if events < FEW_EVENTS * p else "ok",
                (Count(events, "events"), " events for ", Quantity(p, "whole"), " coefficients."),
            )
        if self.robust is not None:
            name, n = self.observation.cluster_name or "rows", self.n_clusters or 0
            model = self.model_covariance
            yield from check_clusters(name, n, self.parameters, self.robust, model)
        lost = sum(self.observation.design.lost.values())
        if lost:
            yield Check(
                "complete rows",
                "caution",
                (Count(lost, "rows"), " rows lack a value that the model needs and were left out."),
            )
        if self.observation.weightless:
            yield Check(
                "weights",
                "ok",
                (Count(self.observation.weightless, "rows"), " rows have weight 0 and were left "
                 "out."),
            )  # fmt: skip


def clusters_of(seen: Spans) -> IntArray | None:
    """Whose rows are summed in robust errors; None for errors that trust the model.

    Weights that are not counts of people have no likelihood, so they call for robust errors.
    """
    if seen.cluster is not None:
        return seen.cluster
    if seen.rows.weights is None or not np.any(seen.rows.weights % 1):
        return None
    return np.arange(len(seen))


def _predictors(seen: Spans) -> set[str]:
    factors = (f for c in seen.design.recipe.coded for f in c.term.factors)
    strata = seen.strata.name.split(":") if seen.strata else ()
    return {n for f in factors for n in columns_of(f)} | set(strata)


def _with_column(data: Frame, name: str, value: Any) -> Frame:
    frame = data.frame if isinstance(data, Dataset) else data
    key = next(c for c in frame.columns if str(c) == name)
    column = frame[key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        moved = pd.Categorical([value] * len(frame), dtype=column.dtype)
        frame = frame.assign(**{str(key): moved})
    else:
        frame = frame.assign(**{str(key): value})
    return data.with_frame(frame) if isinstance(data, Dataset) else frame


def _times(times: Sequence[float] | float) -> Array:
    at = np.atleast_1d(np.asarray(times, float))
    if not (np.isfinite(at) & (at >= 0)).all():
        raise UsageError("Times are numbers from 0 on.")
    return at


def _horizon(tau: float) -> float:
    if not (np.isfinite(tau) and tau > 0):
        raise UsageError("The horizon of a restricted mean must be above 0.")
    return float(tau)


def _limits(S: Array, se: Array, level: float) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = curves.limits(S, se / S, level=level, kind="log-log")
    known = (S > 0) & (S < 1)
    return np.where(known, low, S), np.where(known, high, S)


def _frame(
    index: NDArray[Any], at: Array, value: Array, se: Array, low: Array, high: Array
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": np.repeat(index, len(at)),
            "time": np.tile(at, len(index)),
            "estimate": value.ravel(),
            "std_error": se.ravel(),
            "conf_low": low.ravel(),
            "conf_high": high.ravel(),
        }
    )


def _symmetric(keys: dict[str, Any], value: Array, se: Array, level: float) -> pd.DataFrame:
    half = norm.isf((1 - level) / 2) * se
    limits = {"conf_low": value - half, "conf_high": value + half}
    return pd.DataFrame({**keys, "estimate": value, "std_error": se, **limits})
