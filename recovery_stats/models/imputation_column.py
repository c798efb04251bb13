"""Read the columns of a table for imputation: what each is, and which cells are empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Array, Columns, Levels

Kind = Literal["number", "binary", "ordered", "nominal"]
Mask = NDArray[np.bool_]
NotApplicable = Sequence[float] | Mapping[str, Any]

MOST_LEVELS = 50  # a text column with more is an identifier or free text
FEW_ORDERED = 10  # an ordinal column with more levels is matched as a number
NAMES = {
    "pmm": "predictive mean matching",
    "normal": "normal linear model",
    "logistic": "logistic regression",
    "ordered": "proportional odds",
    "multinomial": "multinomial logistic regression",
    "poisson": "Poisson regression",
    "negative-binomial": "negative binomial regression",
    "none": "not imputed",
}
COUNTS = ("poisson", "negative-binomial")


@dataclass(frozen=True, slots=True)
class Variable:
    """A column to impute or to predict with.

    values (n,): numbers, or codes of `levels`; NaN where missing or not applicable. empty (n,):
    cells that are missing and could be imputed; applicable (n,): cells that could have a value.
    """

    name: str
    kind: Kind
    values: Array
    applicable: Mask
    levels: Levels | None = None

    @property
    def empty(self) -> Mask:
        return self.applicable & np.isnan(self.values)

    @property
    def observed(self) -> Mask:
        return ~np.isnan(self.values)

    @property
    def method(self) -> str:
        """How it is imputed unless asked otherwise."""
        if self.kind == "number" or (self.kind == "ordered" and self.size > FEW_ORDERED):
            return "pmm"
        return {"binary": "logistic", "ordered": "ordered", "nominal": "multinomial"}[self.kind]

    @property
    def size(self) -> int:
        """How many levels."""
        return 0 if self.levels is None else len(self.levels.names)

    @property
    def numbers(self) -> Array | None:
        """The number that each code stands for; None where levels are words."""
        if self.levels is None:
            return None
        try:
            return np.array([float(v) for v in self.levels.values])
        except (TypeError, ValueError):
            return None


def not_applicable(
    data: Columns, name: str, asked: NotApplicable, source: pd.DataFrame | Dataset
) -> Mask:
    """Which cells of a column can have no value: by the codes of missing reasons, or as given."""
    if isinstance(asked, Mapping):
        given = asked.get(name)
        if given is None:
            return np.zeros(len(data), dtype=bool)
        mask: Mask = np.asarray(given, dtype=bool)
        if mask.shape != (len(data),):
            raise UsageError(
                f"not_applicable[{name!r}] has {mask.size} entries for {len(data)} rows."
            )
        return mask
    reasons = source.missing.get(name) if isinstance(source, Dataset) else None
    if reasons is None:
        return np.zeros(len(data), dtype=bool)
    structural = reasons.index[reasons.isin(list(asked))]
    return np.asarray(data.frame.index.isin(structural)) & data.missing(name)


def read_variable(data: Columns, name: str, method: str | None, out: Mask) -> Variable:
    """One column; `method` as asked for, `out` (n,) where it is not applicable."""
    if method is not None and method not in NAMES:
        raise UsageError(unknown(f"method for column {name!r}", method, NAMES))
    if data.is_factor(name):
        found = _category(data, name, ~out)
    else:
        found = _number(data, name, ~out, method)
    return found if method is None else _as_asked(found, method)


def _number(data: Columns, name: str, applicable: Mask, method: str | None) -> Variable:
    values = np.where(applicable, data.numbers(name), np.nan)
    distinct = np.unique(values[~np.isnan(values)])
    if method in ("ordered", "multinomial", "logistic") or (method is None and distinct.size == 2):
        kind: Kind = "binary" if distinct.size == 2 else "ordered"
        kind = "nominal" if method == "multinomial" else kind
        codes = np.where(np.isnan(values), np.nan, np.searchsorted(distinct, values))
        names = tuple(f"{v:g}" for v in distinct)
        levels = Levels(np.nan_to_num(codes, nan=-1).astype(np.intp), names, tuple(distinct))
        return Variable(name, kind, codes, applicable, levels)
    return Variable(name, "number", values, applicable)


def _category(data: Columns, name: str, applicable: Mask) -> Variable:
    levels = data.levels(name)
    codes = np.where((levels.codes >= 0) & applicable, levels.codes, np.nan).astype(float)
    dtype = data.series(name).dtype
    ordered = data.codebook[name].measure == "ordinal" or getattr(dtype, "ordered", False)
    few = len(levels.names) <= 2
    kind: Kind = "binary" if few else "ordered" if ordered else "nominal"
    return Variable(name, kind, codes, applicable, levels)


def _as_asked(found: Variable, method: str) -> Variable:
    """The variable, where the method fits it; DataError where it cannot."""
    if method == "logistic" and found.size != 2:
        raise DataError(
            f"Column {found.name!r} has {found.size} values; 'logistic' is for two. Use "
            "'multinomial', 'ordered' or 'pmm'."
        )
    if method in ("normal", *COUNTS) and found.levels is not None:
        numbers = found.numbers
        if numbers is None:
            raise DataError(f"Column {found.name!r} holds words; {method!r} is for numbers.")
        seen = found.observed
        values = found.values.copy()
        values[seen] = numbers[values[seen].astype(int)]
        found = replace(found, kind="number", values=values, levels=None)
    if method in COUNTS:
        counts = found.values[found.observed]
        wrong = int(((counts < 0) | (counts % 1 != 0)).sum())
        if wrong:
            raise DataError(
                f"Column {found.name!r} has {wrong} values that are no counts; {method!r} needs "
                "whole numbers from 0. Use 'pmm'."
            )
    if method == "ordered" and found.kind == "nominal":
        found = replace(found, kind="ordered")
    return found


def numbers_rows(values: Array) -> bool:
    """Whether a column counts the rows: an identifier, not a measure."""
    whole = values.size > 1 and not np.isnan(values).any() and bool((values % 1 == 0).all())
    if not whole or np.ptp(values) != values.size - 1:
        return False
    return np.unique(values).size == values.size


def usable(data: Columns, name: str) -> str:
    """Why a column cannot take part: '' when it can."""
    dtype = data.series(name).dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or dtype.kind == "m":
        return "dates"
    if data.missing(name).all():
        return ""
    if data.is_factor(name) and not isinstance(dtype, pd.CategoricalDtype):
        count = len(data.levels(name).names)
        if count > MOST_LEVELS:
            return f"{count} levels"
    elif dtype.kind in "iuf" and numbers_rows(data.numbers(name)):
        return "it numbers the rows"
    return ""
