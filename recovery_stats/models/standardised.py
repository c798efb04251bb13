"""Standardised survival from a Cox model: everybody with one value of a column, then with another.

Predicted curves are averaged over the people analysed (g-computation), so that differences and
ratios of risks and of mean times are about the whole population, not a person of average
covariates, and mean something where a hazard ratio does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import cox_standardised as engine
from recovery_stats.engines import curves
from recovery_stats.engines.curves import Interval
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_horizon, read_level, read_times
from recovery_stats.models.columns import Array, Columns
from recovery_stats.models.dose_response import analysed, columns_used, like, spread
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.life_table import know_interval

MOST_LEVELS = 12


def standardise(
    fit: CoxFit,
    column: str,
    levels: Sequence[Any] | None,
    on: pd.DataFrame | Dataset | None,
) -> StandardisedCurves:
    """Set the column to each level for everybody in `on` (the people analysed)."""
    _refuse_what_has_no_population(fit)
    used = columns_used(fit)
    if column not in used:
        raise UsageError(unknown("column of the model's terms", column, used))
    frame = analysed(fit)
    if levels is None:
        levels = spread(frame[column])
        if len(levels) > MOST_LEVELS:
            raise UsageError(f"{column!r} has many values; say which to compare: levels=[0, 3].")
    return StandardisedCurves(fit, column, tuple(levels), on)


def _refuse_what_has_no_population(fit: CoxFit) -> None:
    seen = fit.observation
    if seen.frailty is not None:
        raise NotEstimable(
            "Standardised curves of a model with frailty need the frailty integrated out, which "
            "is not offered; use cluster= in its place."
        )
    several = seen.people is None or seen.people < len(seen)
    if seen.start is not None and several:
        raise NotEstimable(
            "Standardised curves average over people known at entry, one row each; this model has "
            "several rows a person (or person= is not given). Use survival(path, person=…)."
        )


@dataclass(frozen=True)
class StandardisedCurves:
    """Mean survival of the population with `column` at each of `levels`.

    Errors are the infinitesimal jackknife's, by cluster where the model has one: they count the
    estimation of hazard ratios and baseline and, without `on`, that the people are a sample.
    """

    fit: CoxFit = field(repr=False)
    column: str
    levels: tuple[Any, ...]
    on: pd.DataFrame | Dataset | None = field(default=None, repr=False)

    def at(
        self, times: Sequence[float] | float | Array, *, level: float = 0.95,
        conf_type: Interval = "log-log",
    ) -> pd.DataFrame:  # fmt: skip
        """level, time, estimate (survival), std_error, conf_low, conf_high."""
        know_interval(conf_type)
        level = read_level(level)
        asked = self._times(times)
        S, U = self._sums(asked, np.eye(len(asked)))
        se = np.sqrt((U**2).sum(axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = curves.limits(S, se / S, level=level, kind=conf_type)
        rows = {"level": np.repeat(np.array(self.levels, dtype=object), len(asked))}
        return pd.DataFrame(
            rows
            | {
                "time": np.tile(asked, len(self.levels)),
                "estimate": S.ravel(),
                "std_error": se.ravel(),
                "conf_low": low.ravel(),
                "conf_high": high.ravel(),
            }
        )

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The columns of `at` at every event time."""
        return self.at(engine.event_times(self.fit.engine), level=level)

    def contrasts(
        self, times: Sequence[float] | float, *, reference: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Risk differences and ratios (risk: of the event by each time) against the reference.

        time, contrast, scale, estimate, std_error (of a ratio: of its logarithm), statistic,
        p_value, conf_low, conf_high. reference: the first level.
        """
        asked = self._times(times)
        S, U = self._sums(asked, np.eye(len(asked)))
        rows = [
            row
            for j, t in enumerate(asked)
            for row in self._compare(1 - S[:, j], -U[:, :, j], "risk", t, reference, level)
        ]
        return pd.DataFrame(rows)

    def rmst(self, tau: float, *, level: float = 0.95) -> pd.DataFrame:
        """level, estimate (mean time free of the event up to tau), std_error, limits."""
        mean, U = self._means(tau)
        level = read_level(level)
        se = np.sqrt((U**2).sum(axis=1))
        half = norm.isf((1 - level) / 2) * se
        columns = {"level": list(self.levels), "tau": tau, "estimate": mean, "std_error": se}
        return pd.DataFrame(columns | {"conf_low": mean - half, "conf_high": mean + half})

    def rmst_contrasts(
        self, tau: float, *, reference: Any = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Differences and ratios of mean times up to tau, as `contrasts` has them."""
        mean, U = self._means(tau)
        return pd.DataFrame(self._compare(mean, U, "mean_time", tau, reference, level))

    def _means(self, tau: float) -> tuple[Array, Array]:
        tau = read_horizon(tau)
        self._refuse_beyond(tau)
        times, widths = engine.restriction(self.fit.engine, tau)
        value, U = self._sums(times, widths[None])
        return value[:, 0], U[:, :, 0]

    def _times(self, times: Sequence[float] | float | Array) -> Array:
        asked = np.sort(read_times(times))
        if not len(asked):
            raise UsageError("Say at which times: at([30, 90]).")
        self._refuse_beyond(float(asked[-1]))
        return asked

    def _refuse_beyond(self, time: float) -> None:
        last = float(self.fit.observation.stop.max())
        if time > last:
            raise NotEstimable(f"Observation ends at {last:g}; {time:g} is beyond it.")

    def _sums(self, times: Array, omega: Array) -> tuple[Array, Array]:
        """Values (levels, F) and what each cluster moves them (levels, clusters, F)."""
        found = [engine.standardise(self.fit.engine, p, times, omega) for p in self._populations]
        values = np.array([f.value for f in found])
        moves = np.array([f.model for f in found])
        if self.on is None:
            moves = moves + np.array([f.people for f in found])
        units = self.fit.clusters
        if units is not None:
            size = int(units.max()) + 1
            flat = moves.transpose(1, 0, 2).reshape(len(units), -1)
            summed = np.column_stack([np.bincount(units, c, size) for c in flat.T])
            moves = summed.reshape(size, len(values), -1).transpose(1, 0, 2)
        return values, moves

    @cached_property
    def _populations(self) -> list[engine.Population]:
        """Everybody with each level; their own strata, weights and offsets."""
        seen, recipe = self.fit.observation, self.fit.observation.design.recipe
        source = seen.source if self.on is None else self.on
        assert source is not None
        frame = source.frame if isinstance(source, Dataset) else source
        if self.on is None:
            frame = frame.iloc[seen.places]
        if self.column not in frame.columns:
            raise UsageError(unknown("column", self.column, frame.columns))
        stratum, weight, offset = self._whose(frame)
        found = []
        for level in self.levels:
            rows = frame.assign(**{self.column: like(frame[self.column], [level] * len(frame))})
            data: Any = source.with_frame(rows) if isinstance(source, Dataset) else rows
            X = recipe.matrix(Columns.of(data))
            if np.isnan(X).any():
                raise DataError(
                    f"The model does not know level {level!r} of {self.column!r}, or rows lack a "
                    "value that it needs."
                )
            found.append(engine.Population(X, stratum, weight, np.exp(offset)))
        return found

    def _whose(self, frame: pd.DataFrame) -> tuple[Any, Array, Array]:
        """Stratum, weight and offset of the people averaged over."""
        seen, n = self.fit.observation, len(frame)
        if self.on is None:
            stratum = np.zeros(n, dtype=int) if seen.strata is None else seen.strata
            weight = np.ones(n) if seen.weights is None else seen.weights
            return stratum, weight, np.zeros(n) if seen.offset is None else seen.offset
        stratum = np.zeros(n, dtype=int)
        for s, rows in self.fit.strata_of(self.on):
            stratum[rows] = s
        return stratum, np.ones(n), seen.design.recipe.offset(self.on)

    def _compare(
        self, value: Array, U: Array, what: str, time: float, reference: Any, level: float
    ) -> Iterator[dict[str, Any]]:
        """Differences and ratios of one quantity between the levels and the reference."""
        base, level = self.levels[0] if reference is None else reference, read_level(level)
        if base not in self.levels:
            raise UsageError(unknown("level", str(base), map(str, self.levels)))
        named = [f"{v:g}" if isinstance(v, float) else str(v) for v in self.levels]
        at, z = self.levels.index(base), norm.isf((1 - level) / 2)
        for j, name in enumerate(named):
            if j == at:
                continue
            for scale in ("difference", "ratio"):
                if scale == "difference":
                    gap, moves = value[j] - value[at], U[j] - U[at]
                else:
                    with np.errstate(divide="ignore", invalid="ignore"):
                        gap = np.log(value[j] / value[at])
                        moves = U[j] / value[j] - U[at] / value[at]
                se = float(np.sqrt(moves @ moves))
                turn = np.exp if scale == "ratio" else float
                yield {
                    "time": time,
                    "contrast": f"{name} {'/' if scale == 'ratio' else '-'} {named[at]}",
                    "scale": f"{what}_{scale}",
                    "estimate": float(turn(gap)),
                    "std_error": se,
                    "statistic": gap / se if se > 0 else np.nan,
                    "p_value": float(2 * norm.sf(abs(gap / se))) if se > 0 else np.nan,
                    "conf_low": float(turn(gap - z * se)),
                    "conf_high": float(turn(gap + z * se)),
                }

    def __repr__(self) -> str:
        levels = ", ".join(map(str, self.levels))
        return f"<Standardised survival: {self.column} at {levels}>"
