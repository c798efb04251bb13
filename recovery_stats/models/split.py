"""Split a time-varying predictor into its within-person and between-person parts.

Person means and deviations (Mundlak 1978), the person's own linear trend taken out as well
(Curran & Bauer 2011, Annu Rev Psychol 62:583), and the value one wave before or after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.columns import Array, Columns, IntArray

WITHIN, BETWEEN, DETRENDED = "within", "between", "detrended"
BEFORE, AFTER = "before", "after"


def split(data: Dataset, column: str, person: str) -> Dataset:
    """Add `column (within)` (value minus the person's mean) and `column (between)` (mean, centred).

    Means are over the rows present, so drop incomplete rows first. `between` is centred at the
    mean of the person means, each person counting once.
    """
    values = data.frame[column]
    mean = values.groupby(data.frame[person]).transform("mean")
    centre = mean.groupby(data.frame[person]).first().mean()
    label = data.label(column)
    data = _add(data, column, WITHIN, f"{label}, this wave against own mean", values - mean)
    return _add(data, column, BETWEEN, f"{label}, own mean against other people", mean - centre)


def within_between(
    data: pd.DataFrame | Dataset,
    columns: str | Sequence[str],
    group: str,
    *,
    weights: str | None = None,
    complete: Sequence[str] = (),
) -> pd.DataFrame | Dataset:
    """Add `x_within` (value minus the group's mean) and `x_between` (the mean, centred) for each x.

    In `lmm("y ~ x_within + x_between + (1 | group)", …)` the slope of x_within is the fixed-effects
    estimate, free of whatever differs between groups; that of x_between compares groups, and their
    difference is the contextual effect. Means are over the rows observed on x and on the columns
    of `complete` (name the outcome and covariates there, so that they are the means of the rows
    that the model will use); other rows get NaN. weights: of rows, for the same equality in a
    weighted model. x_between is centred at the mean over groups, each counting once.
    Raises DataError for text, UsageError where a new column would replace an old one.
    Source: Mundlak 1978; Bell & Jones 2015. Checked: least squares with a dummy a group.
    """
    read = Columns.of(data)
    names = [columns] if isinstance(columns, str) else list(columns)
    further = (*complete, *((weights,) if weights else ()))
    whole = read.grouping((group,)).codes >= 0
    for name in dict.fromkeys((*names, *further)):
        whole &= ~read.series(name).isna().to_numpy()
    w = read.numbers(weights) if weights else np.ones(len(read))
    if not (w[whole] > 0).all():
        raise DataError(f"Weights in column {weights!r} must be above 0.")
    for name in names:
        for part in (WITHIN, BETWEEN):
            if f"{name}_{part}" in read.frame.columns:
                raise UsageError(f"The data have a column {name}_{part!s} already; rename it.")
    for name in names:
        within, between = _parts(read.numbers(name), read.grouping((group,)).codes, w, whole)
        data = _join(data, name, f"{name}_{WITHIN}", within, "against the group's mean")
        data = _join(data, name, f"{name}_{BETWEEN}", between, "the group's mean")
    return data


def _parts(x: Array, codes: IntArray, w: Array, whole: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Deviations from the weighted mean of the group, and the mean less the mean of the means."""
    within, between = np.full(len(x), np.nan), np.full(len(x), np.nan)
    here, weight = codes[whole], w[whole]
    sums = np.bincount(here, weight)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(here, weight * x[whole]) / sums
    within[whole] = x[whole] - mean[here]
    between[whole] = mean[here] - mean[sums > 0].mean()
    return within, between


def _join(
    data: pd.DataFrame | Dataset, column: str, name: str, values: Array, words: str
) -> pd.DataFrame | Dataset:
    if isinstance(data, pd.DataFrame):
        return data.assign(**{name: values})
    label = f"{data.label(column)}, {words}"
    return _with(data, column, name, label, pd.Series(values, index=data.frame.index))


def detrend(data: Dataset, column: str, person: str, time: str) -> Dataset:
    """Add `column (detrended)`: the residual of each person's own straight line over `time`.

    NaN for people with fewer than three rows (two points lie on every line).
    """
    frame = data.frame
    grouped = frame.groupby(person)[[column, time]]
    centred = frame[[column, time]] - grouped.transform("mean")
    products = (centred[column] * centred[time]).groupby(frame[person]).transform("sum")
    squares = (centred[time] ** 2).groupby(frame[person]).transform("sum")
    slope = products / squares.where(squares > 0)
    enough = frame.groupby(person)[column].transform("size") >= 3
    residual = (centred[column] - slope.fillna(0.0) * centred[time]).where(enough)
    return _add(
        data, column, DETRENDED, f"{data.label(column)}, this wave against own trend", residual
    )


def shift(data: Dataset, column: str, person: str, wave: str) -> Dataset:
    """Add `column (before)` and `column (after)`: the value at the scheduled wave before and after.

    Scheduled waves are the distinct values of `wave` in the data; a wave that a person missed
    leaves NaN rather than reaching back to an earlier one.
    """
    frame = data.frame
    waves = np.sort(frame[wave].dropna().unique())
    position = pd.Series(np.searchsorted(waves, frame[wave]), index=frame.index)
    known = pd.Series(
        frame[column].to_numpy(), index=pd.MultiIndex.from_arrays([frame[person], position])
    )
    label = data.label(column)
    for part, step, words in ((BEFORE, -1, "the wave before"), (AFTER, 1, "the wave after")):
        at = pd.MultiIndex.from_arrays([frame[person], position + step])
        values = pd.Series(known.reindex(at).to_numpy(), index=frame.index)
        data = _add(data, column, part, f"{label}, {words}", values)
    return data


def part_name(column: str, part: str) -> str:
    """The name under which a part of `column` is added."""
    return f"{column} ({part})"


def _add(data: Dataset, column: str, part: str, label: str, values: pd.Series[float]) -> Dataset:
    return _with(data, column, part_name(column, part), label, values)


def _with(data: Dataset, column: str, name: str, label: str, values: pd.Series[float]) -> Dataset:
    """Join a computed column: a plain number, whatever the column it came from was."""
    variable = replace(
        data.variable(column),
        name=name,
        label=label,
        measure="scale",
        values={},
        kind="number",
        spss_format="F8.2",
    )
    return data.with_column(variable, values)
