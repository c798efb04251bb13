"""Who is followed from when to when, and what was recorded of them: meetings and stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, rows_phrase
from recovery_stats.models.columns import Array, IntArray

CELLS = 2_000_000  # person-days worked on at a time


@dataclass(frozen=True, slots=True)
class People:
    """Follow-up of each person: (start, stop], event, and the days the diary covers."""

    key: pd.Index[Any]
    start: Array
    stop: Array
    event: Array
    diary_from: Array
    diary_to: Array

    @classmethod
    def of(
        cls,
        persons: Dataset,
        person: str,
        stop: str,
        event: str | None,
        start: str | None,
        diary_from: str | None,
        diary_to: str | None,
    ) -> People:
        persons.require(*(c for c in (person, stop, event, start, diary_from, diary_to) if c))
        if not len(persons):
            raise DataError("The table of persons has no rows.")
        key = pd.Index(persons.frame[person])
        repeated = key.duplicated()
        if repeated.any() or key.hasnans:
            raise DataError(
                f"Column {person!r} must name each person once: {int(repeated.sum())} rows repeat "
                f"an earlier one and {int(key.isna().sum())} are empty."
            )
        n = len(persons)
        begin = read_days(persons, start) if start else np.zeros(n)
        end = read_days(persons, stop)
        check_times(persons, begin, end, start or "entry (day 0)", stop)
        happened = read_days(persons, event) if event else np.zeros(n)
        check_events(persons, happened, event or "")
        first = read_days(persons, diary_from, np.inf) if diary_from else np.zeros(n)
        last = read_days(persons, diary_to, -np.inf) if diary_to else np.full(n, np.inf)
        return cls(key, begin, end, happened, first, last)

    def __len__(self) -> int:
        return len(self.start)

    def blocks(self, reach: int) -> Iterator[IntArray]:
        """People in runs whose days fit into CELLS."""
        cells = np.cumsum(np.ceil(self.stop) + reach + 2)
        ends = np.flatnonzero(np.diff(cells // CELLS)) + 1
        yield from np.split(np.arange(len(self)), ends)


def read_days(data: Dataset, column: str, missing: float = np.nan) -> Array:
    """A column as floats; empty cells become `missing`."""
    values = data.frame[column]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(f"Column {column!r} must hold numbers (days).")
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(numbers), missing, numbers)


def check_times(data: Dataset, start: Array, stop: Array, start_name: str, stop_name: str) -> None:
    rows = data.frame.index.to_numpy()
    for wrong, what in (
        (np.isnan(start), f"Column {start_name!r} is empty"),
        (np.isnan(stop), f"Column {stop_name!r} is empty"),
        (start < 0, f"Column {start_name!r} is negative"),
        (stop < 0, f"Column {stop_name!r} is negative"),
        (~(start < stop), f"{start_name!r} is not before {stop_name!r}"),
    ):
        if wrong.any():
            raise DataError(
                f"{what} in {int(wrong.sum())} rows ({rows_phrase(rows[wrong].tolist())}); a "
                "person is observed on (start, stop] in days from entry, at least for a moment."
            )


def check_events(data: Dataset, event: Array, column: str) -> None:
    wrong = (event != 0) & (event != 1)
    if wrong.any():
        rows = data.frame.index.to_numpy()[wrong]
        raise DataError(
            f"Column {column!r} must be 1 for the event and 0 for censored; "
            f"{int(wrong.sum())} rows are neither ({rows_phrase(rows.tolist())})."
        )


@dataclass(frozen=True, slots=True)
class Records:
    """Meetings sorted by person: whose (position among people), day, how many (nan: unknown)."""

    person: IntArray
    day: IntArray
    count: Array
    asked: bool

    def of(self, block: IntArray) -> tuple[IntArray, IntArray, Array]:
        """The records of people `block`, who are numbered without gaps."""
        low, high = np.searchsorted(self.person, (block[0], block[-1] + 1))
        return self.person[low:high] - block[0], self.day[low:high], self.count[low:high]


def match_people(people: People, table: Dataset, column: str, what: str) -> IntArray:
    """Position of each row's person among people, -1 for others."""
    table.require(column, table=what)
    found = people.key.get_indexer(pd.Index(table.frame[column]))
    if len(table) and (found < 0).all():
        raise DataError(
            f"No row of table {what!r} belongs to a person of the study: column {column!r} shares "
            "no value with the key of persons. Are both numbers, or both text?"
        )
    return np.asarray(found, dtype=np.int64)


def read_meetings(
    people: People,
    meetings: Dataset | None,
    person: str,
    day: str | None,
    count: str | None,
) -> Records:
    if meetings is None:
        none = np.zeros(0, np.int64)
        return Records(none, none, np.zeros(0), False)
    if day is None:
        raise UsageError("Meetings need the name of the column with their day (meeting_day).")
    meetings.require(*(c for c in (person, day, count) if c), table="meetings")
    who = match_people(people, meetings, person, "meetings")
    when = np.floor(read_days(meetings, day))
    many = read_days(meetings, count) if count else np.ones(len(meetings))
    if (many < 0).any():
        raise DataError(
            f"Column {count!r} of table 'meetings' is negative in {int((many < 0).sum())} rows."
        )
    known = (who >= 0) & ~np.isnan(when)
    order = np.argsort(who[known], kind="stable")
    return Records(who[known][order], when[known][order].astype(np.int64), many[known][order], True)


def read_spells(
    stays: Dataset, person: str, start: str, stop: str, what: str = "stays"
) -> tuple[Array, Array]:
    """First and last day of each stay; one that has not ended stays open (inf).

    Raises DataError for a stay without a beginning or that ends before it begins.
    """
    stays.require(person, start, stop, table=what)
    first, last = read_days(stays, start), read_days(stays, stop, np.inf)
    for wrong, says in (
        (np.isnan(first), f"no {start!r}"),
        (last < first, f"{stop!r} before {start!r}"),
    ):
        if wrong.any():
            rows = stays.frame.index.to_numpy()[wrong]
            raise DataError(
                f"Table {what!r} has {int(wrong.sum())} rows with {says}: "
                f"{rows_phrase(rows.tolist())}."
            )
    return first, last


def read_stays(
    people: People, stays: Dataset | None, person: str, start: str | None, stop: str | None
) -> Records | None:
    """Stays as two records each: +1 from the day after moving in, -1 after the last day."""
    if stays is None:
        return None
    if start is None or stop is None:
        raise UsageError("Stays need the columns of their first and last day.")
    first, last = read_spells(stays, person, start, stop)
    who = match_people(people, stays, person, "stays")
    known = who >= 0
    who, first, last = who[known], np.floor(first[known]) + 1, np.floor(last[known]) + 1
    last = np.minimum(last, 2.0**40)
    both = np.concatenate([who, who])
    order = np.argsort(both, kind="stable")
    day = np.concatenate([first, last]).astype(np.int64)
    step = np.repeat([1.0, -1.0], len(who))
    return Records(both[order], day[order], step[order], True)
