"""Read an outcome column as yes or no, or as a number, by its codebook; and two arms likewise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.summary import level_label, levels_of

Array = NDArray[np.floating[Any]]

NO = frozenset({"no", "n", "none", "false", "absent", "never", "not"})
MOST_LISTED = 20
YES = frozenset({"yes", "y", "true", "present"})


@dataclass(frozen=True, slots=True)
class Reading:
    """An outcome as numbers (n,), NaN where empty; `counted` names the level that is 1.

    counted is empty for a number. other: what 0 is called. heading: what the two names are
    levels of, where they say nothing alone ("Yes", "No").
    """

    values: Array
    binary: bool
    counted: str = ""
    other: str = ""
    heading: str = ""

    def whole(self, name: str) -> str:
        """A level as it reads where nothing was said of its column yet."""
        return f"{self.heading}: {name}" if self.heading else name


def read_outcome(data: Dataset, column: str, counted: str | None = None) -> Reading:
    """Binary where the column has two levels or `counted` names one of several; else a number.

    Raises DataError for a column that is empty, text with several levels, or whose two levels do
    not say which one counts; NotEstimable for a constant one; UsageError for a `counted` that is
    no level.
    """
    levels = levels_of(data, column)
    variable = data.variable(column)
    if not levels:
        raise DataError(
            f"Outcome {column!r} has no value in any of the {len(data)} rows. "
            "`recovery-stats inspect` shows the reasons recorded."
        )
    if len(levels) == 1:
        raise NotEstimable(
            f"Outcome {column!r} has the same value in all rows that have one; "
            "there is nothing to compare."
        )
    names = [level_label(variable, level) for level in levels]
    if counted is not None:
        return _binary(data, column, levels, names, _position(column, counted, levels, names))
    if len(levels) == 2:
        return _binary(data, column, levels, names, _yes(column, levels, names, variable))
    if not pd.api.types.is_numeric_dtype(data.frame[column]) or variable.measure == "nominal":
        raise DataError(
            f"Outcome {column!r} has {len(levels)} levels and is no number; "
            "say which level counts with --outcome-level."
        )
    return Reading(data.frame[column].to_numpy(dtype=float), binary=False)


def read_arms(data: Dataset, column: str, reference: str | None) -> Reading:
    """Two arms as 0 (the reference: first in code order unless named) and 1.

    Raises NotEstimable when only one level is left, DataError for more than two.
    """
    levels, variable = levels_of(data, column), data.variable(column)
    names = [level_label(variable, level) for level in levels]
    if len(levels) < 2:
        raise NotEstimable(
            f"Arm {column!r} has {len(levels)} level among {len(data)} rows "
            f"({int(data.frame[column].isna().sum())} of them empty); a comparison needs two."
        )
    if len(levels) > 2:
        shown = ", ".join(map(repr, names[:6]))
        raise DataError(
            f"Arm {column!r} has {len(levels)} levels ({shown}); this analysis compares two. Keep "
            "two of them with `where` in the study file, or name another column."
        )
    usual = 0 if reference is None else _position(column, reference, levels, names)
    read = _binary(data, column, levels, names, 1 - usual)
    empty = any(name.casefold() in YES | NO or name.isdigit() for name in names)
    return replace(read, heading=data.label(column)) if empty else read


def _binary(
    data: Dataset, column: str, levels: Sequence[Any], names: Sequence[str], at: int
) -> Reading:
    series = data.frame[column]
    values = series.eq(levels[at]).fillna(False).to_numpy(dtype=float)
    values[series.isna().to_numpy()] = np.nan
    rest = [n for i, n in enumerate(names) if i != at]
    return Reading(values, True, names[at], rest[0] if len(rest) == 1 else f"not {names[at]}")


def _position(column: str, wanted: str, levels: Sequence[Any], names: Sequence[str]) -> int:
    """Where the level stands that is called `wanted`, by label or by code."""
    codes = [f"{v:g}" if isinstance(v, int | float | np.number) else str(v) for v in levels]
    for spelled in (names, codes):
        if wanted in spelled:
            return list(spelled).index(wanted)
    if len(names) > MOST_LISTED:  # a number: its values are people's, not levels
        raise UsageError(
            f"No level {wanted!r} in column {column!r}: it holds {len(names)} different values. "
            "Name a column with levels."
        )
    raise UsageError(unknown(f"level of column {column!r}", wanted, names))


def _yes(column: str, levels: Sequence[Any], names: Sequence[str], variable: Variable) -> int:
    """The level that counts: the one that says yes, the other of one that says no, or code 1."""
    words = [n.casefold().strip() for n in names]
    for at in (0, 1):
        if words[at] in YES or words[1 - at] in NO:
            return at
    if set(words) == {"0", "1"}:
        return words.index("1")
    if variable.values:
        return 1  # labelled otherwise: the higher code
    raise DataError(
        f"Outcome {column!r} has two levels and no label says which of them counts; "
        "say it with --outcome-level."
    )
