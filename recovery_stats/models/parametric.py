"""Curves of every parametric model of time: survival, hazard, quantiles, means, standardisation.

A model brings two functions of people and times with gradients: survival and log hazard. Errors
are by the delta method, robust where the model's are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import curves
from recovery_stats.engines.surface import Surface
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.argument import read_horizon, read_level, read_shares, read_times
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import columns_of
from recovery_stats.models.maximum import MaximumFit
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
class ParametricFit(MaximumFit):
    """A fitted parametric model of time."""

    observation: Spans

    # --- what a model brings

    @abstractmethod
    def _survival(self, people: People, times: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def _log_hazard(self, people: People, times: Array) -> tuple[Array, Array]: ...

    @abstractmethod
    def _log_quantile(self, people: People, p: Array) -> tuple[Array, Array]: ...

    # --- curves

    def _people(self, new_data: Frame | None) -> People:
        """Rows of new_data, or the rows analysed."""
        seen, recipe = self.observation, self.observation.design.recipe
        if new_data is None:
            offset = np.zeros(len(seen)) if seen.offset is None else seen.offset
            codes = np.zeros(len(seen), np.intp) if seen.strata is None else seen.strata.codes
            return People(seen.X, offset, codes, seen.index)
        X, offset = recipe.matrix(new_data), recipe.offset(new_data)
        index = (new_data.frame if isinstance(new_data, Dataset) else new_data).index.to_numpy()
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
        if not len(people.X):
            raise DataError("The new data have no rows.")
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
        surface = self._surface(people)
        value, J = self._log_hazard(people, at)
        spread = surface.errors(J)
        return _frame(people.index, at, *_on_log_scale(value, spread, level))

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
        asked = read_shares(p)
        if not (len(asked) and ((asked > 0) & (asked < 1)).all()):
            raise UsageError("Quantiles are shares between 0 and 1.")
        people = self._people(new_data)
        surface = self._surface(people)
        value, J = self._log_quantile(people, asked)
        spread = surface.errors(J)
        frame = _frame(people.index, asked, *_on_log_scale(value, spread, level))
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
        value, J = surface.means(read_horizon(tau))
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
        at = np.array([read_horizon(tau)]) if tau is not None else _times(times)  # type: ignore[arg-type]
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
    at = read_times(times)
    if not len(at):
        raise UsageError("Say at which times: times=[30, 90].")
    if not (np.isfinite(at) & (at >= 0)).all():
        raise UsageError("Times are numbers from 0 on.")
    return at


def _on_log_scale(value: Array, spread: Array, level: float) -> tuple[Array, Array, Array, Array]:
    """exp(value), its delta error, and limits; an upper one may be beyond any number."""
    half = norm.isf((1 - read_level(level)) / 2) * spread
    with np.errstate(over="ignore", under="ignore"):
        x = np.exp(value)
        return x, x * spread, np.exp(value - half), np.exp(value + half)


def _limits(S: Array, se: Array, level: float) -> tuple[Array, Array]:
    level = read_level(level)
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
    half = norm.isf((1 - read_level(level)) / 2) * se
    limits = {"conf_low": value - half, "conf_high": value + half}
    return pd.DataFrame({**keys, "estimate": value, "std_error": se, **limits})
