"""The codebook of the synthetic cohort, read from codebook.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset, Source

CONTROLLED, NOT_APPLICABLE, REFUSED, NOT_ASKED = -96.0, -97.0, -98.0, -99.0
MOST_DISCRETE_CODES = 3  # SPSS allows three discrete codes, or one range and one code
ITEM = {
    "measure": "ordinal",
    "values": {"1": "Low", "2": "2", "3": "Middle", "4": "4", "5": "High"},
    "missing": [NOT_APPLICABLE, REFUSED, NOT_ASKED],
}


def columns(table: str) -> tuple[str, ...]:
    """The columns of `table` in file order."""
    return tuple(_read()[table])


def codebook(table: str, *, truth: bool = False) -> Codebook:
    """The codebook of `table`; with `truth`, the latent columns join those of persons."""
    names = dict(_read()[table])
    if truth and table == "persons":
        names |= _read()["truth"]
    variables = {name: _variable(name, entry) for name, entry in names.items()}
    return Codebook(variables, label=f"Synthetic recovery cohort: {table}")


def dataset(table: str, frame: pd.DataFrame) -> Dataset:
    """Split coded missing values from `frame` into NaN and reasons, and add the codebook."""
    book = codebook(table, truth="tr_frail" in frame.columns)
    keep = {name: v for name, v in book.variables.items() if name in frame.columns}
    frame = frame[list(keep)].astype(float)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    reasons: dict[str, Any] = {}
    for name, variable in keep.items():
        if variable.missing:
            coded = frame[name] <= CONTROLLED
            if coded.any():
                reasons[name] = frame.loc[coded, name]
                frame[name] = frame[name].mask(coded)
    source = Source(f"{table}.sav", "", len(frame))
    return Dataset(frame, Codebook(keep, book.label), reasons, source)


def _variable(name: str, entry: dict[str, Any]) -> Variable:
    entry = {**ITEM, **entry} if entry.get("item") else entry
    codes = tuple(float(c) for c in entry.get("missing", ()))
    values: dict[float | str, str] = {
        float(c): label for c, label in entry.get("values", {}).items()
    }
    values |= {code: _reasons()[code] for code in codes}
    return Variable(
        name,
        entry["label"],
        values,
        _rule(codes),
        entry.get("measure", "nominal"),
        spss_format=entry.get("format", "F8.0"),
        alignment="right",
    )


def _rule(codes: tuple[float, ...]) -> MissingRule:
    if len(codes) <= MOST_DISCRETE_CODES:
        return MissingRule(codes)
    return MissingRule(low=float(np.min(codes)), high=float(np.max(codes)))


@cache
def _reasons() -> dict[float, str]:
    return {float(code): text for code, text in _read()["reasons"].items()}


@cache
def _read() -> dict[str, dict[str, Any]]:
    text = files(__package__).joinpath("codebook.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
