"""Columns that a study file derives from others before anything is asked: `[derive.TABLE]`.

    cluster = { cross = ["PROJECT", "SITE"], label = "Protocol and site" }
    relapsed = { endpoint = "Rs_ctnFiftyOne_2018", pattern = "UDSPUB", part = "event" }
    days = { endpoint = "Rs_ctnFiftyOne_2018", pattern = "UDSPUB", part = "days" }
    clean = { endpoint = "Rd_fiellin_2006", pattern = "UDSPUB", missing = "ignored" }
    satisfaction = { scale = "RAS", score = "mean" }
    negative = { count = "-", among = "+-*o", pattern = "UDSPUB", visits = 24 }
    screens = { result = "UDS", table = "weeks", time = "WEEK", scheduled = 24 }

`cross` numbers the combinations of columns (a site number may occur in several trials).
`endpoint` reads a definition of the library (`rs.endpoints()`) off a pattern of visits. One with
a time and an event has three parts: the event (1 reached, 0 censored), and its time in weeks or
days; the others give one value, 1 or 0 where they are logical. `missing` puts another rule for
missed visits in the place of the published one; `per_week` tells of patterns with several visits
a week. `scale` scores a questionnaire from its items. `count` counts visits by their symbols, as a
share of those `among`; with `o` among them a missed visit counts as not in `count`. `result`
makes the pattern of each person from a table of visits or days (`derive_pattern`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Derived
from recovery_stats.data.derive_count import COUNTING_KEYS, count_column, counted
from recovery_stats.data.derive_pattern import SOURCE_KEYS, pattern_column, patterned
from recovery_stats.data.derive_score import SCORING_KEYS, score_column, scored
from recovery_stats.data.endpoint.entry import RELAPSE, Endpoint
from recovery_stats.data.endpoint.missing import MISSING_RULES, PUBLISHED
from recovery_stats.data.endpoint.pattern import read_patterns
from recovery_stats.data.endpoints import ENDPOINTS, evaluate, prepared_visits
from recovery_stats.errors import unknown

PARTS = ("event", "weeks", "days")
KEYS = (
    "cross",
    "endpoint",
    "pattern",
    "part",
    "missing",
    "per_week",
    "label",
    *SCORING_KEYS,
    *COUNTING_KEYS,
    *SOURCE_KEYS,
)
READERS = MappingProxyType({"scale": scored, "count": counted, "result": patterned})
DAYS_IN_A_WEEK = 7.0


def derived(name: str, body: Mapping[str, Any]) -> tuple[Derived | None, Sequence[str]]:
    """Read one entry: the column it makes, or what is wrong with it, a sentence each."""
    faults = [unknown("key", key, KEYS) for key in body if key not in KEYS]
    cross, definition = body.get("cross"), body.get("endpoint")
    own = next((k for k in READERS if k in body), "")
    if own and cross is None and definition is None:
        made, more = READERS[own](name, body)
        return (None, (*faults, *more)) if faults or more else (made, ())
    if (cross is None) == (definition is None):
        faults.append(
            'Give either cross = [columns], or endpoint = "NAME" with pattern and part, or '
            'scale = "NAME" with score, or count = "SYMBOLS" with pattern, or '
            'result = "COLUMN" with table and time.'
        )
    if cross is not None and not _words(cross, at_least=2):
        faults.append("cross takes a list of two columns or more.")
    if definition is not None:
        faults += _endpoint_faults(body)
    if faults:
        return None, faults
    columns = tuple(cross) if cross is not None else (str(body["pattern"]),)
    label = str(body.get("label", ""))
    if definition is None:
        return Derived(name, columns, label=label), ()
    part, missing = str(body.get("part", "")), str(body.get("missing", PUBLISHED))
    per_week = int(body.get("per_week", 1))
    return Derived(name, columns, str(definition), part, label, missing, per_week), ()


def derive(
    data: Dataset, columns: Sequence[Derived], table: str = "",
    tables: Mapping[str, Dataset] = MappingProxyType({}), person: str = "",
) -> Dataset:  # fmt: skip
    """Add the derived columns in the order given; DataError for a column that is not there.

    tables: those from which patterns of visits are made. person: the column of people in all.
    """
    for spec in columns:
        data.require(*spec.columns, table=table)
        if spec.scoring:
            data = score_column(data, spec, table)
        elif spec.count:
            data = count_column(data, spec, table)
        elif spec.source:
            data = pattern_column(data, spec, table, tables, person)
        else:
            data = _endpoint(data, spec, table) if spec.endpoint else _cross(data, spec)
    return data


def _endpoint_faults(body: Mapping[str, Any]) -> list[str]:
    faults = []
    entry = ENDPOINTS.get(str(body["endpoint"]))
    if entry is None:
        faults.append(unknown("endpoint", str(body["endpoint"]), ENDPOINTS))
    if not isinstance(body.get("pattern"), str):
        faults.append("pattern names the column with the symbols of the visits.")
    missing, per_week = body.get("missing", PUBLISHED), body.get("per_week", 1)
    if missing not in MISSING_RULES:
        faults.append(unknown("rule for missed visits", str(missing), MISSING_RULES))
    if isinstance(per_week, bool) or not isinstance(per_week, int) or per_week < 1:
        faults.append("per_week is the number of visits a week: 1 or more.")
    return faults + (_part_faults(entry, body) if entry else [])


def _part_faults(entry: Endpoint, body: Mapping[str, Any]) -> list[str]:
    timed = entry.class_ == "time and event"
    if timed and str(body.get("part")) not in PARTS:
        return [f"{entry.name} has a time and an event: part is one of {', '.join(PARTS)}."]
    if not timed and "part" in body:
        return [f"{entry.name} has one value and no parts: leave part out."]
    if entry.of_missing and body.get("missing", PUBLISHED) != PUBLISHED:
        return [f"{entry.name} counts missed visits: leave missing out."]
    return []


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


def _endpoint(data: Dataset, spec: Derived, table: str) -> Dataset:
    pattern, entry = spec.columns[0], ENDPOINTS[spec.endpoint]
    place = f"column {pattern!r}" + (f" of table {table!r}" if table else "")
    codes = read_patterns(data.frame[pattern], list(data.frame.index), place)
    found = evaluate(entry, prepared_visits(codes, spec.missing, spec.per_week), spec.missing)
    values = found[spec.part == "event"] if len(found) > 1 else found[0]
    scale = DAYS_IN_A_WEEK if spec.part == "days" else 1.0
    return data.with_column(_described(spec, entry), values * scale)


def _described(spec: Derived, entry: Endpoint) -> Variable:
    """Label, value labels and unit of a column read off a pattern."""
    rule = "" if spec.missing == PUBLISHED else f"; {MISSING_RULES[spec.missing]}"
    label = spec.label or f"{_what(spec, entry)} ({entry.paper.citation}{rule})"
    if spec.part == "event":
        labels: Mapping[float | str, str] = {0.0: "Censored", 1.0: _event(entry)}
        return Variable(spec.name, label, labels, measure="nominal")
    if entry.class_ == "logical":
        return Variable(spec.name, label, {0.0: "No", 1.0: "Yes"}, measure="nominal")
    return Variable(spec.name, label, measure="scale", unit=spec.part)


def _what(spec: Derived, entry: Endpoint) -> str:
    if not spec.part:
        return entry.kind
    return _event(entry) if spec.part == "event" else f"{spec.part.capitalize()} to {_end(entry)}"


def _event(entry: Endpoint) -> str:
    return _end(entry).capitalize()


def _end(entry: Endpoint) -> str:
    """What the time of an endpoint runs to."""
    if entry.of_missing:
        return "dropout"
    return "relapse" if entry.group == RELAPSE else "first use"
