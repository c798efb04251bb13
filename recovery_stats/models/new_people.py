"""Survival of new people from a Cox model: covariates that stay, or that follow a path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import cox_residual, curves
from recovery_stats.engines.curves import Interval
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.argument import read_level, read_times
from recovery_stats.models.calculate import evaluate
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.life_table import know_interval

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit


def survive(
    fit: CoxFit,
    new_data: pd.DataFrame | Dataset,
    times: Sequence[float] | None,
    level: float,
    conf_type: Interval,
    person: str | None,
) -> pd.DataFrame:
    """Curves of the rows of new_data, or of the people whose paths they are."""
    know_interval(conf_type)
    level = read_level(level)
    columns = Columns.of(new_data)
    X = fit.observation.design.recipe.matrix(columns)
    relative = np.exp(fit.observation.design.recipe.offset(columns))
    if np.isnan(X).any():
        lacking = int(np.isnan(X).any(axis=1).sum())
        raise DataError(f"{lacking} of the new rows lack a value that the model needs.")
    if not len(columns):
        raise DataError("The new data have no rows.")
    asked = None if times is None else read_times(times)
    make = _curves if person is None else _paths
    parts = make(fit, columns, X, relative, person)
    return pd.concat([_frame(fit, p, asked, level, conf_type) for p in parts], ignore_index=True)


# label, stratum, times, cumulative hazard and its error
Part = tuple[Any, int, Array, Array, Array]


def _curves(fit: CoxFit, columns: Columns, X: Array, relative: Array, _: str | None) -> list[Part]:
    """One curve a row, in its stratum, or in every one where new_data does not say which."""
    index = columns.frame.index
    parts: list[Part] = []
    for stratum, rows in strata_of(fit, columns):
        time, H, se = cox_residual.cumulative_hazard(fit.engine, X[rows], stratum, fit.robust)
        for j, row in enumerate(rows):
            parts.append((index[row], stratum, time, H[j] * relative[row], se[j] * relative[row]))
    return parts


def _paths(
    fit: CoxFit, columns: Columns, X: Array, relative: Array, person: str | None
) -> list[Part]:
    """One curve a person, whose rows tell the covariates on (start, stop].

    The error counts the whole path, by the derivative of its hazard in beta.
    """
    surv = fit.observation.surv
    if surv is None or surv.start is None:
        raise UsageError(
            "Paths of covariates need a model of Surv(start, stop, event); person= belongs to it."
        )
    start, stop = evaluate(surv.start, columns), evaluate(surv.stop, columns)
    people = columns.grouping((str(person),))
    stratum = np.zeros(len(X), dtype=int)
    for s, rows in strata_of(fit, columns, one=True):
        stratum[rows] = s
    parts: list[Part] = []
    for code, level in enumerate(people.levels):
        rows = np.flatnonzero(people.codes == code)
        rows = rows[np.argsort(start[rows], kind="stable")]
        _refuse_broken(start[rows], stop[rows], stratum[rows])
        s = int(stratum[rows[0]])
        time, H, se = cox_residual.hazard_along(
            fit.engine, X[rows], start[rows], stop[rows], relative[rows], s, fit.robust
        )
        parts.append((level, s, time, H, se))
    return parts


def _refuse_broken(start: Array, stop: Array, stratum: IntArray) -> None:
    if (start >= stop).any() or (start[1:] < stop[:-1]).any() or len(np.unique(stratum)) > 1:
        raise DataError(
            "The rows of a new person must run forward without overlap, in one stratum."
        )


def expect(fit: CoxFit, new_data: pd.DataFrame | Dataset, kind: str) -> pd.Series[float]:
    """Expected events on (start, stop] of each row, or the chance of none; nan where unknown."""
    columns, surv = Columns.of(new_data), fit.observation.surv
    assert surv is not None
    stop = evaluate(surv.stop, columns)
    start = np.full(len(stop), -np.inf) if surv.start is None else evaluate(surv.start, columns)
    X = fit.observation.design.recipe.matrix(columns)
    relative = np.exp(fit.observation.design.recipe.offset(columns))
    found = np.full(len(X), np.nan)
    base = cox_residual.baseline(fit.engine)
    known = ~(np.isnan(X).any(axis=1) | np.isnan(start) | np.isnan(stop))
    for stratum, rows in strata_of(fit, columns, one=True):
        some = rows[known[rows]]
        here = base.stratum == stratum
        time, H = base.time[here], np.append(0.0, np.cumsum(base.hazard[here]))
        gone = H[curves.position(time, stop[some]) + 1] - H[curves.position(time, start[some]) + 1]
        log_hazard = cox_residual.linear_predictor(fit.engine, X[some])
        found[some] = gone * np.exp(log_hazard) * relative[some]
    value = found if kind == "expected" else np.exp(-found)
    return pd.Series(value, columns.frame.index, name=kind)


def strata_of(fit: CoxFit, columns: Columns, *, one: bool = False) -> list[tuple[int, IntArray]]:
    """Which new rows are wanted in which stratum."""
    everyone = np.arange(len(columns))
    strata = fit.observation.design.strata
    if strata is None:
        return [(0, everyone)]
    names = strata.name.split(":")
    if not all(name in columns.frame.columns for name in names):
        if one:
            raise UsageError(f"The new rows need the column of the strata: {strata.name}.")
        return [(s, everyone) for s in range(strata.size)]
    found = columns.grouping(names)
    known = {level: s for s, level in enumerate(strata.levels)}
    strange = [level for level in found.levels if level not in known]
    if strange:
        raise UsageError(unknown(f"stratum of {strata.name}", strange[0], known))
    codes = np.array([known[level] for level in found.levels])[found.codes]
    return [(int(s), np.flatnonzero(codes == s)) for s in np.unique(codes)]


def _last(fit: CoxFit, stratum: int) -> float:
    seen = fit.observation
    stop = seen.stop if seen.strata is None else seen.stop[seen.strata == stratum]
    return float(stop.max(initial=-np.inf))


def _frame(
    fit: CoxFit, part: Part, asked: Array | None, level: float, conf_type: Interval
) -> pd.DataFrame:
    label, stratum, time, H, se = part
    if asked is not None:
        at = curves.position(time, asked) + 1
        # beyond the last observation of the stratum nothing is known
        known = np.where(asked <= _last(fit, stratum), 1.0, np.nan)
        H, se = known * np.append(0.0, H)[at], known * np.append(0.0, se)[at]
        time = asked
    S = np.exp(-H)
    low, high = curves.limits(S, se, level=level, kind=conf_type)
    return pd.DataFrame(
        {
            "row": label,
            "stratum": fit.stratum_names(np.array([stratum]))[0],
            "time": time,
            "estimate": S,
            "std_error": S * se,
            "conf_low": low,
            "conf_high": high,
        }
    )
