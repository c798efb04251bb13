"""A column of the study file that counts the visits of a pattern, or is a share of them.

negative = { count = "-", pattern = "UDS", visits = 24 }
clean = { count = "-", among = "+-*o", pattern = "UDS", visits = 24, label = "Share negative" }
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Derived
from recovery_stats.data.endpoint.pattern import CODE, NO_VISIT, SYMBOLS, Codes, read_patterns

COUNTING_KEYS = ("count", "among", "visits")
KNOWN = (*COUNTING_KEYS, "pattern", "label")
NAMES = {"+": "positive", "-": "negative", "*": "mixed", "o": "missed", "_": "not scheduled"}


def counted(name: str, body: Mapping[str, Any]) -> tuple[Derived | None, list[str]]:
    """Read one entry with `count`: the column it makes, or what is wrong with it."""
    faults = [f"{k} has no meaning beside count." for k in body if k not in KNOWN]
    if not isinstance(body.get("pattern"), str):
        faults.append("pattern names the column with the symbols of the visits.")
    for key in ("count", "among"):
        if key in body:
            faults += _symbol_faults(key, body[key])
    visits = body.get("visits", 0)
    if isinstance(visits, bool) or not isinstance(visits, int) or visits < 0:
        faults.append("visits is how many of the first visits are looked at: 1 or more.")
    if not faults and not set(body["count"]) <= set(body.get("among", body["count"])):
        faults.append("among holds every symbol of count: a share is of what it is taken from.")
    if faults:
        return None, faults
    return Derived(
        name, (str(body["pattern"]),), label=str(body.get("label", "")), count=body["count"],
        among=body.get("among", ""), visits=visits,
    ), []  # fmt: skip


def _symbol_faults(key: str, value: object) -> list[str]:
    if isinstance(value, str) and value and set(value) <= set(SYMBOLS):
        return []
    return [f"{key} takes symbols of visits, some of {' '.join(SYMBOLS)}."]


def count_column(data: Dataset, spec: Derived, table: str) -> Dataset:
    """Add the count or share; empty where there is no pattern, and a share of none."""
    place = f"column {spec.columns[0]!r}" + (f" of table {table!r}" if table else "")
    patterns = data.frame[spec.columns[0]]
    codes = read_patterns(patterns, list(data.frame.index), place)
    codes = codes[:, : spec.visits] if spec.visits else codes
    there = (codes != NO_VISIT).any(axis=1)
    values = np.where(there, _number(codes, spec.count), np.nan)
    if spec.among:
        whole = _number(codes, spec.among)
        values = np.divide(values, whole, out=np.full(len(values), np.nan), where=whole > 0)
    label = spec.label or _label(spec)
    return data.with_column(Variable(spec.name, label, measure="scale"), values)


def _number(codes: Codes, symbols: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(np.isin(codes, [CODE[s] for s in symbols]).sum(axis=1), dtype=float)


def _label(spec: Derived) -> str:
    what = " or ".join(NAMES[s] for s in spec.count)
    label = f"Visits {what}" + (f", share of the first {spec.visits}" if spec.among else "")
    return label if spec.visits else label.replace(" of the first 0", "")
