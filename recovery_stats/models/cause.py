"""Causes of competing events: codes and names, from numbers, value labels or a Categorical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Codebook
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Columns
from recovery_stats.models.formula import Formula
from recovery_stats.models.observation import read_survival

MOST_CAUSES = 99  # a curve for every code up to the highest; beyond this it is 999, an ICD code, …


def code_causes(formula: Formula | str, data: pd.DataFrame | Dataset) -> pd.DataFrame | Dataset:
    """The data with codes in the column of causes, where it is a Categorical of words.

    Its first category means censored and gets 0, as in R's Surv of a factor; value labels keep
    the others' names.
    """
    event = read_survival(formula, "this model").response.event  # type: ignore[union-attr]
    if event is None or event.equals is not None:
        return data
    name = event.column
    coded = code_categories(data, name)
    if coded is not None:
        return coded
    columns = Columns.of(data)
    series = columns.series(name)
    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        raise DataError(
            f"Column {name!r} holds text; make it a Categorical whose first category means "
            "censored, or codes with value labels (0: censored)."
        )
    beyond = columns.numbers(name) > MOST_CAUSES
    if beyond.any():
        raise DataError(
            f"Column {name!r} holds codes above {MOST_CAUSES} in {int(beyond.sum())} rows "
            f"({columns.rows(beyond)}); causes are numbered 1, 2, …: leave a code that means "
            "missing empty, or number the causes anew."
        )
    return data


def code_categories(data: pd.DataFrame | Dataset, name: str) -> Dataset | None:
    """The data with 0, 1, … in place of a Categorical of words; None where it is none."""
    columns = Columns.of(data)
    series = columns.series(name)
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return None
    words = series.cat.categories
    if pd.api.types.is_numeric_dtype(words.dtype):
        return None
    codes = series.cat.codes.astype(float).where(series.notna())
    labels: dict[float | str, str] = {float(k): str(word) for k, word in enumerate(words)}
    known = data if isinstance(data, Dataset) else Dataset(data, Codebook())
    variable = replace(columns.codebook[name], values=labels)
    return known.with_column(variable, codes)


def name_causes(
    formula: Formula | str, data: pd.DataFrame | Dataset, causes: int
) -> tuple[str, ...]:
    """What the codebook calls the causes 1 … J, or their codes."""
    event = read_survival(formula, "this model").response.event  # type: ignore[union-attr]
    columns = Columns.of(data)
    if event is not None:
        refuse_censored_as_cause(columns, event.column)
    values = columns.codebook[event.column].values if event else {}
    return tuple(values.get(float(j), str(j)) for j in range(1, causes + 1))


def refuse_censored_as_cause(columns: Columns, name: str) -> None:
    """A code above 0 that the codebook calls censored: the column is not coded from 0."""
    for code, label in columns.codebook[name].values.items():
        if isinstance(code, str) or not code > 0 or "censor" not in str(label).casefold():
            continue
        rows = int((columns.numbers(name) == code).sum())
        if rows:
            raise DataError(
                f"Code {code:g} of column {name!r} is labelled {str(label)!r} ({rows} rows), but 0 "
                "means censored and 1, 2, … the causes; recode it."
            )


def check_censored(censored: float) -> Iterator[Check]:
    """A caution where no row is censored: codes of causes that begin at 1 are mistaken for it."""
    if censored == 0:
        yield Check(
            "coding of causes",
            "caution",
            (
                "No row has the code 0, which means censored, so everybody had one of the events; "
                "if the lowest code of the column means censored, recode it to 0.",
            ),
        )


def code_of(cause: int | str) -> int:
    """The code that a cause is named by; 0 where it is named by a word."""
    return cause if isinstance(cause, int) else 0


def number_of(cause: int | str, names: tuple[str, ...]) -> int:
    """The code of a cause, from its code or one of the names of causes 1 … J."""
    if isinstance(cause, str):
        if cause not in names:
            raise UsageError(unknown("cause", cause, names))
        return names.index(cause) + 1
    if not isinstance(cause, int) or cause < 1:
        raise UsageError("cause is the code of an event, from 1; 0 is censored.")
    return cause
