"""Split a time-varying predictor into its within-person and between-person parts.

Person means and deviations (Mundlak 1978), the person's own linear trend taken out as well
(Curran & Bauer 2011, Annu Rev Psychol 62:583), and the value one wave before or after.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset

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
    """Join a computed column: a plain number, whatever the column it came from was."""
    variable = replace(
        data.variable(column),
        name=part_name(column, part),
        label=label,
        measure="scale",
        values={},
        kind="number",
        spss_format="F8.2",
    )
    return data.with_column(variable, values)
