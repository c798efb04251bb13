"""Columns that a study file derives from others before anything is asked: `[derive.TABLE]`.

    cluster = { cross = ["PROJECT", "SITE"], label = "Protocol and site" }
    relapsed = { endpoint = "Rs_ctnFiftyOne_2018", pattern = "UDSPUB", part = "event" }
    days = { endpoint = "Rs_ctnFiftyOne_2018", pattern = "UDSPUB", part = "days" }

`cross` numbers the combinations of columns (a site number may occur in several trials).
`endpoint` reads a published relapse definition off a weekly pattern: its event (1 relapse,
0 censored), or its time in weeks or days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Derived
from recovery_stats.data.endpoints import ENDPOINTS, endpoint
from recovery_stats.errors import unknown

PARTS = ("event", "weeks", "days")
KEYS = ("cross", "endpoint", "pattern", "part", "label")
DAYS_IN_A_WEEK = 7.0


def derived(name: str, body: Mapping[str, Any]) -> tuple[Derived | None, Sequence[str]]:
    """Read one entry: the column it makes, or what is wrong with it, a sentence each."""
    faults = [unknown("key", key, KEYS) for key in body if key not in KEYS]
    cross, definition = body.get("cross"), body.get("endpoint")
    if (cross is None) == (definition is None):
        faults.append('Give either cross = [columns] or endpoint = "NAME" with pattern and part.')
    if cross is not None and not _words(cross, at_least=2):
        faults.append("cross takes a list of two columns or more.")
    if definition is not None:
        faults += _endpoint_faults(body)
    if faults:
        return None, faults
    columns = tuple(cross) if cross is not None else (str(body["pattern"]),)
    part = str(body.get("part", "")) if definition else ""
    return Derived(name, columns, str(definition or ""), part, str(body.get("label", ""))), ()


def derive(data: Dataset, columns: Sequence[Derived], table: str = "") -> Dataset:
    """Add the derived columns in the order given; DataError for a column that is not there."""
    for spec in columns:
        data.require(*spec.columns, table=table)
        data = _endpoint(data, spec) if spec.endpoint else _cross(data, spec)
    return data


def _endpoint_faults(body: Mapping[str, Any]) -> list[str]:
    faults = []
    if str(body["endpoint"]) not in ENDPOINTS:
        faults.append(unknown("endpoint", str(body["endpoint"]), ENDPOINTS))
    if not isinstance(body.get("pattern"), str):
        faults.append("pattern names the column with the weekly symbols.")
    if str(body.get("part")) not in PARTS:
        faults.append(f"part is one of {', '.join(PARTS)}.")
    return faults


def _words(value: object, *, at_least: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= at_least
        and all(isinstance(w, str) for w in value)
    )


def _cross(data: Dataset, spec: Derived) -> Dataset:
    """Number the combinations that occur; empty where one of the columns is."""
    parts = data.frame[list(spec.columns)]
    whole = parts.notna().all(axis=1)
    codes = np.full(len(parts), np.nan)
    codes[whole.to_numpy()] = pd.MultiIndex.from_frame(parts[whole]).factorize(sort=True)[0] + 1.0
    label = spec.label or " × ".join(data.label(c) for c in spec.columns)
    return data.with_column(Variable(spec.name, label, measure="nominal"), codes)


def _endpoint(data: Dataset, spec: Derived) -> Dataset:
    found = endpoint(data.frame[spec.columns[0]], spec.endpoint)
    definition = ENDPOINTS[spec.endpoint]
    if spec.part == "event":
        label = spec.label or f"Relapse ({definition.citation})"
        labels: Mapping[float | str, str] = {0.0: "Censored", 1.0: "Relapse"}
        variable = Variable(spec.name, label, labels, measure="nominal")
        return data.with_column(variable, found["event"])
    scale = DAYS_IN_A_WEEK if spec.part == "days" else 1.0
    label = spec.label or f"{spec.part.capitalize()} to relapse ({definition.citation})"
    variable = Variable(spec.name, label, measure="scale", unit=spec.part)
    return data.with_column(variable, found["time"] * scale)
