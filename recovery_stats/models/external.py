"""Covariates whose course is known whatever happens to the person: a law, a season, a price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.columns import Array, Columns, IntArray

External = str | Callable[[pd.DataFrame, float], Any]


def courses(
    external: Mapping[str, External],
    data: pd.DataFrame | Dataset,
    rows: IntArray,
    times: Array,
) -> Array:
    """Values (n, E, T) of the rows at those positions of the data, at each time.

    Raises UsageError for what is neither a column nor a function, or gives no number for each
    row; DataError for columns that are not numbers.
    """
    source = Columns.of(data)
    out = np.empty((len(rows), len(external), len(times)))
    frame = source.frame.iloc[rows]
    for e, (name, course) in enumerate(external.items()):
        if isinstance(course, str):
            begins = begin_of(source, course, rows)
            out[:, e] = times > begins[:, None]
        elif callable(course):
            for k, time in enumerate(times.tolist()):
                out[:, e, k] = _called(name, course, frame, time)
        else:
            raise UsageError(
                f"external[{name!r}] is a column's name or a function of the rows and a time."
            )
    return out


def begin_of(source: Columns, column: str, rows: IntArray) -> Array:
    """When the condition begins for each row, infinite where the column is empty."""
    begins = source.numbers(column)[rows]
    return np.where(np.isnan(begins), np.inf, begins)


def _called(name: str, course: Callable[..., Any], frame: pd.DataFrame, time: float) -> Array:
    try:
        values = np.asarray(course(frame, time), dtype=float)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(
            f"external[{name!r}] gives no numbers ({type(error).__name__}); it is called with the "
            "rows (a DataFrame) and a time."
        ) from None
    if values.shape not in ((), (len(frame),)):
        raise UsageError(
            f"external[{name!r}] gives {values.size} values for {len(frame)} rows at time {time:g}."
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"external[{name!r}] has no value at time {time:g} for "
            f"{int(np.count_nonzero(~np.isfinite(values)))} rows; its course must be known for "
            "everybody up to the last event."
        )
    return values
