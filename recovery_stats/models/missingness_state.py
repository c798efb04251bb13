"""The state of every cell of a table: observed, missing for a reason, or not applicable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, rows_phrase
from recovery_stats.models.missing_reason import is_outside
from recovery_stats.models.summary import levels_of

OBSERVED, NO_ROW = "observed", "no row"
SYMBOLS = {"seen": "+", "missing": "o", "outside": "_"}


def keys_of(
    table: Dataset, person: str | None, wave: str | None, arm: str | None
) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """Person, wave and arm of every row that is there or should be; `row` its label, if there."""
    given = {"person": person, "wave": wave, "arm": arm}
    frame = table.frame
    keys = pd.DataFrame({k: frame[c] for k, c in given.items() if c is not None}, index=frame.index)
    keys["row"] = frame.index
    waves: tuple[Any, ...] = ()
    if person is not None and wave is not None:
        _refuse_keys(keys, person, wave)
        waves = tuple(levels_of(table, wave))
        grid = pd.MultiIndex.from_product(
            [keys["person"].unique(), waves], names=["person", "wave"]
        )
        keys = keys.set_index(["person", "wave"]).reindex(grid).reset_index()
    if person is not None and arm is not None:
        keys["arm"] = _arm_of_person(keys, arm)
    keys.attrs = {k: c for k, c in given.items() if c is not None}
    return keys, waves


def _refuse_keys(keys: pd.DataFrame, person: str, wave: str) -> None:
    empty = keys.index[keys[["person", "wave"]].isna().any(axis=1)]
    if len(empty):
        raise DataError(
            f"Person or wave ({person!r}, {wave!r}) is empty in {rows_phrase(list(empty))}."
        )
    twice = keys.index[keys.duplicated(["person", "wave"])]
    if len(twice):
        raise DataError(
            f"{len(twice)} rows repeat the person and wave of a row above "
            f"({rows_phrase(list(twice))}); keep one row a person and wave."
        )


def _arm_of_person(keys: pd.DataFrame, arm: str) -> pd.Series[Any]:
    people = keys.groupby("person")["arm"]
    several = int((people.agg("nunique") > 1).sum())
    if several:
        raise DataError(f"Column {arm!r} changes within {several} people; an arm does not.")
    return people.transform("first")


def state_of(
    table: Dataset, column: str, structural: Sequence[float | str]
) -> tuple[pd.Series[str], set[str]]:
    """Each row's state, and which of the reasons mean that the question does not apply."""
    values, variable = table.frame[column], table.variable(column)
    state = pd.Series(OBSERVED, index=values.index, dtype=object)
    state[values.isna()] = "system-missing"
    outside = set()
    codes = table.missing.get(column, pd.Series(dtype=object))
    codes = codes[codes.index.isin(values.index[values.isna()])]
    for code in codes.unique():
        reason = _reason(variable, code)
        state[codes.index[codes == code]] = reason
        if code in structural or is_outside(reason):
            outside.add(reason)
    return state, outside


def _reason(variable: Variable, code: Any) -> str:
    known = variable.missing.covers(code) or variable.kind not in ("date", "datetime")
    return variable.level(code) if known else "impossible date"


def tally(states: pd.Series[str], outside: Iterable[str]) -> dict[str, Any]:
    """Cells to which a variable applies, how many are missing, their share."""
    applies = ~states.isin(set(outside))
    cells, lost = int(applies.sum()), int((applies & (states != OBSERVED)).sum())
    share = lost / cells if cells else float("nan")
    return {"cells": cells, "missing": lost, "share": share, "not_applicable": len(states) - cells}


def letters(states: pd.DataFrame, outside: Iterable[str]) -> pd.DataFrame:
    """One symbol a cell: + observed, o missing, _ not applicable."""
    seen = np.where(states == OBSERVED, SYMBOLS["seen"], SYMBOLS["missing"])
    signs = np.where(states.isin(set(outside)), SYMBOLS["outside"], seen)
    return pd.DataFrame(signs, index=states.index, columns=states.columns)


def joined(signs: pd.DataFrame) -> pd.Series[str]:
    """The symbols of each row side by side, as one word."""
    matrix = np.ascontiguousarray(signs.to_numpy(dtype="U1"))
    words = matrix.view(f"U{matrix.shape[1]}").ravel() if len(signs) else np.array([], dtype="U1")
    return pd.Series(words, index=signs.index, dtype=object)


def kind_of(pattern: str) -> str:
    """complete, monotone (lost for good), intermittent or never; waves outside do not count."""
    waves = pattern.replace(SYMBOLS["outside"], "")
    if not waves:
        return "outside"
    if "o" not in waves:
        return "complete"
    if "+" not in waves:
        return "never"
    return "monotone" if "o+" not in waves else "intermittent"
