"""From one row a person and a diary to (start, stop] rows, without looking into the future.

Day d of follow-up is the interval (d-1, d]; day 0 is entry. What counts on day d was recorded
before it:

    meetings_lastW      meetings on days d-W … d-1
    days_since_meeting  d minus the last day with a meeting before d; nan before the first
    recency             2 ** -(days_since_meeting / half_life); 0 before the first
    in_house            1 on days first < d <= last of a stay: resident when the day begins
    house_days          days resident before d, from day 1

A stay that ends on the day of relapse thus counts on that day: a house that asks people to
leave when they use must not make leaving look like the cause. With `lag`, meetings of the last
`lag` days do not count yet. Days from entry on which the diary does not cover are unknown, and
an exposure that needs one is nan, never 0; before entry nothing happened unless recorded.
Checked: day by day in a loop over people (tests/models/test_reshape.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.errors import DataError, UsageError, rows_phrase
from recovery_stats.models.columns import Array, IntArray

CELLS = 2_000_000  # person-days worked on at a time
PERSON = "person"  # the key of persons, under one name whatever the study calls it
NOBODY = np.iinfo(np.int64).min


def person_days(
    persons: Dataset,
    *,
    person: str,
    stop: str,
    event: str,
    start: str | None = None,
    meetings: Dataset | None = None,
    meeting_person: str | None = None,
    meeting_day: str | None = None,
    meeting_count: str | None = None,
    stays: Dataset | None = None,
    stay_person: str | None = None,
    stay_start: str | None = None,
    stay_stop: str | None = None,
    windows: Sequence[int] = (7, 14, 28),
    half_life: float | None = None,
    daily: bool | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
    lag: int = 0,
    keep: Sequence[str] | None = None,
) -> Dataset:
    """Split each person's follow-up where an exposure changes.

    persons: one row a person, with days of entry (0 without `start`) and exit and the event.
    meetings: one row a meeting, or `meeting_count` a row. stays: first and last day; without a
    last day the person still lives there. diary_from, diary_to: days covered, columns of
    persons. daily: one row per person-day, with days_since_meeting, recency and house_days,
    which change every day; it is the default with a half_life. keep: which columns of persons
    come along (all). Returns person, start, stop, event, the exposures and the
    columns of persons.
    Raises DataError for repeated persons, times that do not run forward, events other than 0/1.
    """
    if half_life is not None and not half_life > 0:
        raise UsageError("A half-life is a number of days above 0.")
    if lag < 0 or any(w < 1 for w in windows):
        raise UsageError("Windows are whole days above 0, and a lag is 0 or more.")
    people = _People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = _diary(people, meetings, meeting_person or person, meeting_day, meeting_count)
    homes = _homes(people, stays, stay_person or person, stay_start, stay_stop)
    asked = _Asked(
        tuple(windows), half_life, half_life is not None if daily is None else daily, lag
    )
    parts = [_rows(people, block, diary, homes, asked) for block in people.blocks(asked.reach)]
    columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return _joined(persons, person, columns, keep)


def landmark(
    persons: Dataset,
    at: float,
    *,
    person: str,
    stop: str,
    event: str,
    start: str | None = None,
    meetings: Dataset,
    meeting_person: str | None = None,
    meeting_day: str | None = None,
    meeting_count: str | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
) -> Dataset:
    """Those observed and free of the event at day `at`, with their attendance before it.

    Adds `landmark` (the day, entry of Surv(landmark, stop, event)), `meetings_before` (on days
    from entry to at-1) and `meetings_per_week`; nan where the diary does not cover all of them.
    """
    people = _People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = _diary(people, meetings, meeting_person or person, meeting_day, meeting_count)
    first = np.ceil(people.start)
    inside = (diary.day >= first[diary.person]) & (diary.day < at)
    total = np.bincount(diary.person[inside], diary.count[inside], len(people))
    covered = (people.diary_from <= first) & (people.diary_to >= np.ceil(at) - 1)
    total = np.where(covered, total, np.nan)
    free = (people.stop > at) & (people.start < at)
    with np.errstate(divide="ignore", invalid="ignore"):
        weekly = total / (at - first) * 7
    data = (
        persons.with_column(Variable("landmark", "Landmark day", unit="days"), float(at))
        .with_column(Variable("meetings_before", "Meetings before the landmark"), total)
        .with_column(Variable("meetings_per_week", "Meetings a week before the landmark"), weekly)
    )
    return data.keep(free, "Observed and without the event at the landmark", person=person)


def naive_frequency(
    persons: Dataset,
    *,
    person: str,
    stop: str,
    start: str | None = None,
    meetings: Dataset,
    meeting_person: str | None = None,
    meeting_day: str | None = None,
    meeting_count: str | None = None,
) -> Dataset:
    """Attendance over the whole follow-up as if it had been known at entry: the usual mistake.

    Adds `meetings_total` and `meetings_per_week`. Whoever stays in longer has more time to
    attend, so the totals protect by construction (immortal time); for comparison only.
    """
    people = _People.of(persons, person, stop, None, start, None, None)
    diary = _diary(people, meetings, meeting_person or person, meeting_day, meeting_count)
    inside = (diary.day >= people.start[diary.person]) & (diary.day <= people.stop[diary.person])
    total = np.bincount(diary.person[inside], diary.count[inside], len(people)).astype(float)
    weekly = total / (people.stop - people.start) * 7
    return persons.with_column(
        Variable("meetings_total", "Meetings over the whole follow-up"), total
    ).with_column(Variable("meetings_per_week", "Meetings a week over the whole follow-up"), weekly)


def check_rows(data: Dataset, *, person: str, start: str, stop: str, event: str) -> None:
    """Raise DataError unless the (start, stop] rows of each person run forward without overlap.

    Gaps are allowed. An event is allowed at the end of any row; times must be >= 0.
    """
    data.require(person, start, stop, event)
    begin, end = (_numbers(data, c) for c in (start, stop))
    _check_times(data, begin, end, start, stop)
    _check_events(data, _numbers(data, event), event)
    who = pd.factorize(data.frame[person])[0]
    order = np.lexsort((begin, who))
    again = (who[order][1:] == who[order][:-1]) & (begin[order][1:] < end[order][:-1])
    if again.any():
        rows = data.frame.index.to_numpy()[order[1:][again]]
        raise DataError(
            f"{int(again.sum())} rows of {len(np.unique(who[order][1:][again]))} people start "
            f"before the row before has stopped ({rows_phrase(np.sort(rows).tolist())}); rows of "
            "one person must not overlap."
        )


# --- who is followed, and what was recorded --------------------------------------------------


@dataclass(frozen=True, slots=True)
class _People:
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
    ) -> _People:
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
        begin = _numbers(persons, start) if start else np.zeros(n)
        end = _numbers(persons, stop)
        _check_times(persons, begin, end, start or "entry (day 0)", stop)
        happened = _numbers(persons, event) if event else np.zeros(n)
        _check_events(persons, happened, event or "")
        first = _numbers(persons, diary_from, np.inf) if diary_from else np.zeros(n)
        last = _numbers(persons, diary_to, -np.inf) if diary_to else np.full(n, np.inf)
        return cls(key, begin, end, happened, first, last)

    def __len__(self) -> int:
        return len(self.start)

    def blocks(self, reach: int) -> Iterator[IntArray]:
        """People in runs whose days fit into CELLS."""
        cells = np.cumsum(np.ceil(self.stop) + reach + 2)
        ends = np.flatnonzero(np.diff(cells // CELLS)) + 1
        yield from np.split(np.arange(len(self)), ends)


def _numbers(data: Dataset, column: str, missing: float = np.nan) -> Array:
    """A column as floats; empty cells become `missing`."""
    values = data.frame[column]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(f"Column {column!r} must hold numbers (days).")
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(numbers), missing, numbers)


def _check_times(data: Dataset, start: Array, stop: Array, start_name: str, stop_name: str) -> None:
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


def _check_events(data: Dataset, event: Array, column: str) -> None:
    wrong = (event != 0) & (event != 1)
    if wrong.any():
        rows = data.frame.index.to_numpy()[wrong]
        raise DataError(
            f"Column {column!r} must be 1 for the event and 0 for censored; "
            f"{int(wrong.sum())} rows are neither ({rows_phrase(rows.tolist())})."
        )


@dataclass(frozen=True, slots=True)
class _Diary:
    """Meetings sorted by person: whose (position among people), day, how many (nan: unknown)."""

    person: IntArray
    day: IntArray
    count: Array
    asked: bool

    def of(self, block: IntArray) -> tuple[IntArray, IntArray, Array]:
        """The records of people `block`, who are numbered without gaps."""
        low, high = np.searchsorted(self.person, (block[0], block[-1] + 1))
        return self.person[low:high] - block[0], self.day[low:high], self.count[low:high]


def _matched(people: _People, table: Dataset, column: str, what: str) -> IntArray:
    """Position of each row's person among people, -1 for others."""
    table.require(column, table=what)
    found = people.key.get_indexer(pd.Index(table.frame[column]))
    if len(table) and (found < 0).all():
        raise DataError(
            f"No row of table {what!r} belongs to a person of the study: column {column!r} shares "
            "no value with the key of persons. Are both numbers, or both text?"
        )
    return np.asarray(found, dtype=np.int64)


def _diary(
    people: _People,
    meetings: Dataset | None,
    person: str,
    day: str | None,
    count: str | None,
) -> _Diary:
    if meetings is None:
        none = np.zeros(0, np.int64)
        return _Diary(none, none, np.zeros(0), False)
    if day is None:
        raise UsageError("Meetings need the name of the column with their day (meeting_day).")
    meetings.require(*(c for c in (person, day, count) if c), table="meetings")
    who = _matched(people, meetings, person, "meetings")
    when = np.floor(_numbers(meetings, day))
    many = _numbers(meetings, count) if count else np.ones(len(meetings))
    if (many < 0).any():
        raise DataError(
            f"Column {count!r} of table 'meetings' is negative in {int((many < 0).sum())} rows."
        )
    known = (who >= 0) & ~np.isnan(when)
    order = np.argsort(who[known], kind="stable")
    return _Diary(who[known][order], when[known][order].astype(np.int64), many[known][order], True)


def _homes(
    people: _People, stays: Dataset | None, person: str, start: str | None, stop: str | None
) -> _Diary | None:
    """Stays as two records each: +1 from the day after moving in, -1 after the last day."""
    if stays is None:
        return None
    if start is None or stop is None:
        raise UsageError("Stays need the columns of their first and last day.")
    stays.require(person, start, stop, table="stays")
    who = _matched(people, stays, person, "stays")
    first, last = _numbers(stays, start), _numbers(stays, stop, np.inf)
    wrong = first > last
    if wrong.any():
        rows = stays.frame.index.to_numpy()[wrong]
        raise DataError(
            f"Table 'stays' ends before it begins in {int(wrong.sum())} rows "
            f"({rows_phrase(rows.tolist())}): {start!r} is after {stop!r}."
        )
    known = (who >= 0) & ~np.isnan(first)
    who, first, last = who[known], np.floor(first[known]) + 1, np.floor(last[known]) + 1
    last = np.minimum(last, 2.0**40)
    both = np.concatenate([who, who])
    order = np.argsort(both, kind="stable")
    day = np.concatenate([first, last]).astype(np.int64)
    step = np.repeat([1.0, -1.0], len(who))
    return _Diary(both[order], day[order], step[order], True)


# --- day by day ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    windows: tuple[int, ...]
    half_life: float | None
    daily: bool
    lag: int

    @property
    def reach(self) -> int:
        """How many days back an exposure looks."""
        return self.lag + max(self.windows, default=0) + 1


@dataclass(frozen=True, slots=True)
class _Grid:
    """Days of a block of people, one after the other: person i has days first[i] … from base[i].

    The grid of everyone starts at or before day 0 and as far back as any exposure looks.
    """

    first: IntArray
    base: IntArray
    size: int

    @classmethod
    def of(cls, start: Array, stop: Array, reach: int) -> _Grid:
        first = np.minimum(np.floor(start).astype(np.int64) + 1 - reach, 0)
        length = np.ceil(stop).astype(np.int64) - first + 1
        base = np.concatenate(([0], np.cumsum(length)))
        return cls(first, base[:-1], int(base[-1]))

    def put(self, person: IntArray, day: IntArray, values: Array) -> Array:
        """Sum `values` by cell; days beyond the grid are left out, earlier ones too."""
        at = day - self.first[person]
        ends = np.append(self.base[1:], self.size)
        inside = (at >= 0) & (at < (ends - self.base)[person])
        cell = self.base[person[inside]] + at[inside]
        return np.bincount(cell, values[inside], self.size).astype(float)


def _rows(
    people: _People, block: IntArray, diary: _Diary, homes: _Diary | None, asked: _Asked
) -> dict[str, NDArray[Any]]:
    """The rows of a block of people, as columns; `who` is the position among people."""
    start, stop = people.start[block], people.stop[block]
    grid = _Grid.of(start, stop, asked.reach)
    first = np.floor(start).astype(np.int64) + 1
    days = np.ceil(stop).astype(np.int64) - first + 1
    who = np.repeat(np.arange(len(block)), days)
    ends = np.cumsum(days)
    day = np.arange(len(who)) - np.repeat(ends - days - first, days)
    cell = grid.base[who] + day - grid.first[who]
    exposures: dict[str, Array] = {}
    if diary.asked:
        exposures |= _attendance(people, block, diary.of(block), grid, who, day, cell, asked)
    if homes is not None:
        exposures |= _residence(homes.of(block), grid, who, cell, asked)
    begin = np.maximum(day - 1.0, start[who])
    end = np.minimum(day.astype(float), stop[who])
    happened = np.zeros(len(who))
    happened[ends - 1] = people.event[block]
    columns = {"who": who + block[0], "start": begin, "stop": end, "event": happened, **exposures}
    return columns if asked.daily else _merged(columns)


def _attendance(
    people: _People,
    block: IntArray,
    records: tuple[IntArray, IntArray, Array],
    grid: _Grid,
    who: IntArray,
    day: IntArray,
    cell: IntArray,
    asked: _Asked,
) -> dict[str, Array]:
    """Meetings in each window before the day, and the time since the last."""
    person, when, count = records
    known = ~np.isnan(count)
    met = grid.put(person[known], when[known], count[known])
    unknown = _uncovered(people, block, grid)
    unknown |= grid.put(person[~known], when[~known], np.ones(int((~known).sum()))) > 0
    total = np.concatenate(([0.0], np.cumsum(met)))
    blind = np.concatenate(([0], np.cumsum(unknown)))
    upto = cell - asked.lag
    out = {}
    for width in asked.windows:
        values = total[upto] - total[upto - width]
        values[blind[upto] > blind[upto - width]] = np.nan
        out[f"meetings_last{width}"] = values
    if not asked.daily:
        return out
    early = when < grid.first[person]
    before_grid = _latest(person, when, early & (count > 0), len(block))
    unclear = _latest(person, when, early & np.isnan(count), len(block)) > before_grid
    since = _days_since(met, blind, grid, before_grid, unclear, who, day, upto)
    out["days_since_meeting"] = np.where(np.isinf(since), np.nan, since)
    if asked.half_life is not None:
        out["recency"] = np.exp2(-since / asked.half_life)
    return out


def _uncovered(people: _People, block: IntArray, grid: _Grid) -> NDArray[np.bool_]:
    """Cells from entry (day 0) on that the diary does not cover."""
    lengths = np.diff(np.append(grid.base, grid.size))
    who = np.repeat(np.arange(len(block)), lengths)
    day = np.arange(grid.size) - np.repeat(grid.base - grid.first, lengths)
    low, high = np.ceil(people.diary_from[block]), np.floor(people.diary_to[block])
    return np.asarray((day >= 0) & ((day < low[who]) | (day > high[who])))


def _days_since(
    met: Array,
    blind: IntArray,
    grid: _Grid,
    before_grid: IntArray,
    unclear: NDArray[np.bool_],
    who: IntArray,
    day: IntArray,
    upto: IntArray,
) -> Array:
    """Days from the last meeting (before cell `upto`); inf before the first, nan if unknown.

    before_grid (people,): the last meeting on a day before the grid, NOBODY without one;
    unclear: an unknown count came after it.
    """
    last_cell = np.maximum.accumulate(np.where(met > 0, np.arange(grid.size), -1))
    last = np.concatenate(([-1], last_cell))[upto]
    base = grid.base[who]
    seen = last >= base
    last_day = np.where(seen, last - base + grid.first[who], before_grid[who])
    since = np.where(last_day == NOBODY, np.inf, day - last_day.astype(float))
    after = np.where(seen, last + 1, base)
    unknown = (blind[upto] > blind[after]) | (~seen & unclear[who])
    return np.where(unknown, np.nan, since)


def _latest(person: IntArray, when: IntArray, these: NDArray[np.bool_], people: int) -> IntArray:
    """The last day among `these` records of each person, NOBODY without one."""
    latest = np.full(people, NOBODY)
    np.maximum.at(latest, person[these], when[these])
    return latest


def _residence(
    records: tuple[IntArray, IntArray, Array],
    grid: _Grid,
    who: IntArray,
    cell: IntArray,
    asked: _Asked,
) -> dict[str, Array]:
    """Whether resident when the day begins, and the days resident before it."""
    person, when, step = records
    moved = grid.put(person, np.maximum(when, grid.first[person]), step)
    level = np.cumsum(moved)
    level -= np.repeat(
        np.concatenate(([0.0], level))[grid.base], np.diff(np.append(grid.base, grid.size))
    )
    resident = (level > 0.5).astype(float)
    out = {"in_house": resident[cell]}
    if asked.daily:
        nights = np.concatenate(([0.0], np.cumsum(resident)))
        entry = nights[grid.base - grid.first + 1]  # day 1, the first day after entry
        out["house_days"] = nights[cell] - entry[who]
    return out


def _merged(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Join neighbouring days of one person on which every exposure is the same."""
    new = np.ones(len(columns["who"]), dtype=bool)
    new[1:] = columns["who"][1:] != columns["who"][:-1]
    for name, values in columns.items():
        if name not in ("who", "start", "stop", "event"):
            a, b = values[1:], values[:-1]
            new[1:] |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(new)) - 1
    return {k: v[last if k in ("stop", "event") else first] for k, v in columns.items()}


# --- back to a table -------------------------------------------------------------------------

LABELS = {
    "start": "Start of the interval",
    "stop": "End of the interval",
    "event": "Event at the end of the interval",
    "days_since_meeting": "Days since the last meeting",
    "recency": "Recency of the last meeting",
    "in_house": "Resident in a recovery house",
    "house_days": "Days lived in recovery houses",
}


def _joined(
    persons: Dataset, person: str, columns: dict[str, NDArray[Any]], keep: Sequence[str] | None
) -> Dataset:
    """The rows with the columns of their person and a codebook."""
    who = columns.pop("who")
    kept = list(persons.frame.columns if keep is None else keep)
    persons.require(*kept)
    kept = [c for c in kept if c not in columns and c != PERSON]
    made = {PERSON: persons.frame[person].array.take(who)}
    made |= {c: persons.frame[c].array.take(who) for c in kept}
    # column by column and uncopied: a consolidated frame of this length costs more than all else
    frame = pd.DataFrame(made | columns, index=pd.RangeIndex(1, len(who) + 1), copy=False)
    variables = [Variable(name, _label(name), unit=_unit(name)) for name in columns]
    variables.append(replace(persons.variable(person), name=PERSON))
    step = Step("Intervals of follow-up", len(who), "rows", len(persons))
    return Dataset(
        frame,
        persons.codebook.with_variables(*variables),
        {},
        persons.source,
        (*persons.flow, step),
    )


def _label(name: str) -> str:
    if name.startswith("meetings_last"):
        return f"Meetings in the {name.removeprefix('meetings_last')} days before"
    return LABELS[name]


def _unit(name: str) -> str:
    return "" if name.startswith("meetings") or name in ("event", "recency", "in_house") else "days"
