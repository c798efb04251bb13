"""A column of the study file with the pattern of each person's visits, made from another table.

screens = { result = "UDS", table = "weeks", time = "WEEK", scheduled = 24, not_scheduled = [8] }
days = { result = "drinks", table = "waves", time = "day", kind = "diary", scheduled = "due" }

`result` and `time` are columns of `table`, `scheduled` (a number or a column) and `start` (the
first day, where `time` is a date) of the persons. The options are those of `rs.visit_patterns`.
`per_week` puts several visits or days a week into weeks; one with positive and negative days is
`mixed_week`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Derived, VisitSource
from recovery_stats.data.endpoint.visit import KINDS, visit_patterns, weekly_patterns
from recovery_stats.errors import DataError, UsageError, unknown

CODES = ("negative", "positive", "mixed", "not_scheduled")
SOURCE_KEYS = ("result", "table", "time", "kind", "start", "scheduled", *CODES, "mixed_week")
KNOWN = (*SOURCE_KEYS, "per_week", "label")
START = "start|"


def patterned(name: str, body: Mapping[str, Any]) -> tuple[Derived | None, list[str]]:
    """Read one entry with `result`: the column it makes, or what is wrong with it."""
    faults = [f"{k} has no meaning beside result." for k in body if k not in KNOWN]
    for key, what in (("table", "table that has a row a visit"), ("time", "column of its places")):
        if key not in body:
            faults.append(f"{key} names the {what}.")
    if body.get("kind", "screen") not in KINDS:
        faults.append(unknown("kind of visits", str(body["kind"]), KINDS))
    if body.get("kind") == "diary" and any(k in body for k in CODES[:3]):
        faults.append("A diary holds amounts, of which more than 0 is positive: leave codes out.")
    faults += _number_faults(body)
    if faults:
        return None, faults
    given: dict[str, Any] = {k: body[k] for k in SOURCE_KEYS if k in body}
    given |= {k: _codes(body[k]) for k in CODES if k in body}
    columns = [body[k] for k in ("scheduled", "start") if isinstance(body.get(k), str)]
    return Derived(
        name, tuple(columns), label=str(body.get("label", "")), per_week=body.get("per_week", 1),
        source=VisitSource(**given),
    ), []  # fmt: skip


def _number_faults(body: Mapping[str, Any]) -> list[str]:
    faults = []
    due, per_week = body.get("scheduled", 1), body.get("per_week", 1)
    if not isinstance(due, str) and (not isinstance(due, int) or due < 1):
        faults.append("scheduled is the number of visits: 1 or more, or a column of the persons.")
    if isinstance(per_week, bool) or not isinstance(per_week, int) or per_week < 1:
        faults.append("per_week is the number of visits a week: 1 or more.")
    if body.get("mixed_week", "*") not in ("*", "+", "-"):
        faults.append("mixed_week is one of * + -, for a week with positive and negative days.")
    elif "mixed_week" in body and per_week == 1:
        faults.append("mixed_week needs per_week, the number of visits or days a week.")
    return faults


def _codes(given: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, given if isinstance(given, list) else [given]))


def pattern_column(
    data: Dataset, spec: Derived, table: str, tables: Mapping[str, Dataset], person: str
) -> Dataset:
    """Add the patterns; DataError where a person has none, or a visit does not fit."""
    how = spec.source
    assert how is not None
    if how.table not in tables:
        raise DataError(f"Column {spec.name!r} is made of table {how.table!r}, which is not read.")
    visits = tables[how.table]
    data.require(person, table=table)
    visits.require(person, how.time, how.result, table=how.table)
    people = data.frame.dropna(subset=person).drop_duplicates(person).set_index(person)
    try:
        found = _patterns(_of(people, visits, person), how, person, people)
    except (DataError, UsageError) as error:
        where = f"[derive.{table}] {spec.name}, made of table {how.table!r}"
        raise type(error)(f"{where}: {error}") from None
    if spec.per_week > 1:
        found = weekly_patterns(found, spec.per_week, how.mixed_week)
    label = spec.label or f"Pattern of visits: {visits.label(how.result)}"
    values = data.frame[person].map(found)
    return data.with_column(Variable(spec.name, label, measure="nominal"), values)


def _of(people: pd.DataFrame, visits: Dataset, person: str) -> Dataset:
    """The visits of these people, and those of nobody, which are refused."""
    whose = visits.frame[person]
    return visits.with_frame(visits.frame[whose.isin(people.index) | whose.isna()])


def _patterns(visits: Dataset, how: VisitSource, person: str, people: pd.DataFrame) -> pd.Series:
    if how.start:
        first = visits.frame[person].map(people[how.start])
        visits = visits.with_column(Variable(START), first)
    due = _scheduled(how, people)
    if due is None:
        _refuse_without(visits.frame[person], people)
    return visit_patterns(
        visits, person=person, time=how.time, result=how.result,
        kind="diary" if how.kind == "diary" else "screen", start=START if how.start else None,
        scheduled=due, negative=how.negative, positive=how.positive, mixed=how.mixed,
        not_scheduled=how.not_scheduled,
    )  # fmt: skip


def _scheduled(how: VisitSource, people: pd.DataFrame) -> pd.Series | None:
    """Places scheduled for each person; None where every row is a place scheduled."""
    if not isinstance(how.scheduled, str):
        return pd.Series(how.scheduled, index=people.index) if how.scheduled else None
    due = pd.to_numeric(people[how.scheduled], errors="coerce")
    odd = due.isna() | (due < 0) | (due % 1 != 0)
    if odd.any():
        raise DataError(
            f"{int(odd.sum())} of {len(due)} people have no number of visits in column "
            f"{how.scheduled!r}; it holds whole numbers, 0 or more."
        )
    return due.astype(int)


def _refuse_without(whose: pd.Series, people: pd.DataFrame) -> None:
    none = int((~people.index.isin(whose)).sum())
    if none:
        raise DataError(
            f"{none} of {len(people)} people have no visit. Give scheduled, a number or a column "
            "of the persons with how many each was due: without a row all of them were missed."
        )
