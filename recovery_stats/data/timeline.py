"""A calendar of days (timeline follow-back) summed up for each person.

A day that is not in the calendar is not known: it is never taken as abstinent, it is in no
denominator, and it ends a run of abstinent days. A day in a controlled environment (jail, a
hospital) is by default no day on which one could have used: it is in no denominator, and neither
makes nor ends a run; counted "in" it is what was recorded for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.errors import DataError, UsageError, rows_phrase

Array = NDArray[np.float64]
Index = NDArray[np.int64]
UNKNOWN, ABSTINENT, USED, NEUTRAL = -1, 0, 1, 2

LABELS = {
    "days": "Days of the calendar",
    "days_known": "Days with known status",
    "days_controlled": "Days in a controlled environment",
    "days_unknown": "Days not known",
    "abstinent_days": "Days abstinent",
    "pda": "Percent days abstinent, of days known",
    "ddd": "Drinks per drinking day",
    "hdd": "Heavy days",
    "phd": "Percent heavy days, of days known",
    "longest_run": "Longest run of abstinent days",
    "first_use": "Days until the first use",
    "unknown_before_use": "Days not known before the first use",
}


@dataclass(frozen=True, slots=True)
class Calendar:
    """Every day of every person, one after the other.

    start (n + 1,): where each person's days begin. state: UNKNOWN … NEUTRAL; amount: drinks of the
    day, nan where not known; controlled: in a controlled environment.
    """

    people: pd.Index
    start: Index
    state: Index
    amount: Array
    controlled: NDArray[np.bool_]

    def total(self, of_day: NDArray[np.bool_] | Array) -> Array:
        """The sum over each person's days."""
        sums = np.concatenate(([0.0], np.cumsum(np.asarray(of_day, dtype=float))))
        return sums[self.start[1:]] - sums[self.start[:-1]]


def timeline(
    data: Dataset | pd.DataFrame,
    *,
    person: str,
    day: str,
    drinks: str | None = None,
    used: str | None = None,
    controlled: str | None = None,
    controlled_days: Literal["out", "in"] = "out",
    heavy: float | Mapping[float, float] | None = None,
    sex: str | None = None,
    window: tuple[int, int] | None = None,
) -> Dataset:
    """Sum up a calendar of days: one row a person.

    data: one row a person and day. drinks: standard drinks of the day (0 is abstinent), or used:
    1 where any was used; empty is not known. controlled: 1 in a controlled environment, left "out"
    of the denominators or counted "in". heavy: drinks from which a day is heavy, one number or one
    for each code of `sex` ({1: 5, 2: 4}); definitions differ, so there is no default. window:
    first and last day; days outside are left out, days without a row are not known, and who has
    no row inside keeps a row of the result, nothing known. By default a person's days run from the
    first to the last recorded.

    Columns: days, days_known, days_controlled, days_unknown, abstinent_days, pda, with drinks also
    ddd, hdd, phd (with `heavy`), then longest_run (ended by a day not known; days left out neither
    make nor end one), first_use (days from the first day on; empty where none was seen) and
    unknown_before_use. Raises DataError for a person's day told twice,
    amounts below 0, flags other than 0 and 1.
    Checked: by hand; brute force over days.
    """
    table = as_dataset(data)
    amount = _source(drinks, used)
    named = (person, day, amount, controlled, sex)
    table.require(*(c for c in named if c is not None))
    if controlled_days not in ("out", "in"):
        raise UsageError(f"controlled_days is 'out' or 'in', not {controlled_days!r}.")
    rows = _rows(table.frame, person, day, window)
    _refuse_impossible(rows, amount, drinks is None, controlled)
    people = pd.Index(np.sort(table.frame[person].unique()))
    calendar = _calendar(rows, people, person, day, amount, controlled, controlled_days, window)
    columns = _abstinence(calendar)
    if drinks is not None:
        columns |= _amounts(calendar, _thresholds(table.frame, people, person, heavy, sex))
    columns |= _runs(calendar)
    return _labelled(table, person, calendar, columns)


def _source(drinks: str | None, used: str | None) -> str:
    if (drinks is None) == (used is None):
        raise UsageError("Name either drinks (an amount a day) or used (1 where any was used).")
    return str(drinks or used)


def _rows(
    frame: pd.DataFrame, person: str, day: str, window: tuple[int, int] | None
) -> pd.DataFrame:
    """The rows of the window, in the order of people and days; one a person and day."""
    nobody = frame.index[frame[[person, day]].isna().any(axis=1)]
    if len(nobody):
        raise DataError(
            f"Person or day ({person!r}, {day!r}) is empty in {rows_phrase(list(nobody))}."
        )
    if (frame[day] % 1 != 0).any():
        raise DataError(f"Days in {day!r} must be whole numbers.")
    if window is not None:
        if window[0] > window[1]:
            raise UsageError("The window's first day comes after its last.")
        frame = frame[frame[day].between(*window)]
    twice = frame.index[frame.duplicated([person, day])]
    if len(twice):
        raise DataError(
            f"{len(twice)} rows tell of a person's day a second time ({rows_phrase(list(twice))}); "
            "keep one row a person and day."
        )
    if frame.empty:
        raise DataError("The calendar has no day in the window.")
    return frame.sort_values([person, day])


def _refuse_impossible(rows: pd.DataFrame, amount: str, flag: bool, controlled: str | None) -> None:
    flags = [c for c in (amount if flag else None, controlled) if c is not None]
    for column in dict.fromkeys([amount, *flags]):
        if not pd.api.types.is_numeric_dtype(rows[column]):
            raise DataError(f"Column {column!r} is text; a calendar needs numbers there.")
    for column in flags:
        wrong = rows.index[rows[column].notna() & ~rows[column].isin([0, 1])]
        if len(wrong):
            raise DataError(f"Column {column!r} must be 0 or 1; see {rows_phrase(list(wrong))}.")
    below = rows.index[rows[amount] < 0]
    if len(below):
        raise DataError(
            f"Column {amount!r} is below 0 in {rows_phrase(list(below))}; if a code for missing, "
            "declare it."
        )


def _calendar(
    rows: pd.DataFrame,
    people: pd.Index,
    person: str,
    day: str,
    amount: str,
    controlled: str | None,
    controlled_days: str,
    window: tuple[int, int] | None,
) -> Calendar:
    """The days of all people; without a window everybody has rows."""
    who = people.get_indexer(rows[person])
    days = rows[day].to_numpy(dtype=np.int64)
    edges = np.flatnonzero(np.diff(who, prepend=-1))
    first = days[edges] if window is None else np.full(len(people), window[0])
    last = (
        days[np.append(edges[1:], len(days)) - 1]
        if window is None
        else np.full(len(people), window[1])
    )
    start = np.concatenate(([0], np.cumsum(last - first + 1)))
    place = start[who] + days - first[who]
    quantity = np.full(start[-1], np.nan)
    quantity[place] = rows[amount].to_numpy(dtype=float)
    inside = np.zeros(start[-1], dtype=bool)
    if controlled is not None:
        inside[place] = rows[controlled].to_numpy(dtype=float) == 1
    state = np.where(np.isnan(quantity), UNKNOWN, np.where(quantity > 0, USED, ABSTINENT))
    if controlled_days == "out":
        state[inside] = NEUTRAL
    return Calendar(people, start, state, quantity, inside)


def _share(part: Array, whole: Array) -> Array:
    shares = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return np.asarray(shares)


def _abstinence(calendar: Calendar) -> dict[str, Array]:
    state = calendar.state
    abstinent, used = calendar.total(state == ABSTINENT), calendar.total(state == USED)
    return {
        "days": np.diff(calendar.start).astype(float),
        "days_known": abstinent + used,
        "days_controlled": calendar.total(calendar.controlled),
        "days_unknown": calendar.total(state == UNKNOWN),
        "abstinent_days": abstinent,
        "pda": 100 * _share(abstinent, abstinent + used),
    }


def _amounts(calendar: Calendar, threshold: Array | None) -> dict[str, Array]:
    used = calendar.state == USED
    drinks = np.where(used, calendar.amount, 0.0)
    found = {"ddd": _share(calendar.total(drinks), calendar.total(used))}
    if threshold is None:
        return found
    of_day = np.repeat(threshold, np.diff(calendar.start))
    known = calendar.total(used | (calendar.state == ABSTINENT))
    heavy = calendar.total(used & (calendar.amount >= of_day))
    heavy[np.isnan(threshold)] = np.nan
    return {**found, "hdd": heavy, "phd": 100 * _share(heavy, known)}


def _thresholds(
    frame: pd.DataFrame,
    people: pd.Index,
    person: str,
    heavy: float | Mapping[float, float] | None,
    sex: str | None,
) -> Array | None:
    """From how many drinks on each person's day is heavy; nan for a sex without a number."""
    if heavy is None:
        return None
    if not isinstance(heavy, Mapping):
        return np.full(len(people), float(heavy))
    if sex is None:
        raise UsageError("heavy by sex needs the column: sex = …, or give one number.")
    of_person = frame.groupby(person)[sex].agg(["nunique", "first"]).loc[people]
    if (of_person["nunique"] > 1).any():
        raise DataError(f"Column {sex!r} changes within a person.")
    return np.asarray(of_person["first"].map(dict(heavy)), dtype=float)


def _runs(calendar: Calendar) -> dict[str, Array]:
    """The longest run of abstinent days, and when use was first seen."""
    n = len(calendar.people)
    who = np.repeat(np.arange(n), np.diff(calendar.start))
    lived = calendar.state != NEUTRAL  # neutral days neither make nor end a run
    state, owner = calendar.state[lived], who[lived]
    abstinent = state == ABSTINENT
    opens = abstinent & ~np.append(False, abstinent[:-1] & (owner[1:] == owner[:-1]))
    run = np.cumsum(opens)[abstinent] - 1
    longest = np.zeros(n)
    if run.size:
        np.maximum.at(longest, owner[opens], np.bincount(run).astype(float))
    used = np.flatnonzero(calendar.state == USED)
    first = np.full(n, np.nan)
    people, place = np.unique(who[used], return_index=True)
    first[people] = used[place] - calendar.start[people]
    seen = np.where(np.isnan(first), np.diff(calendar.start), first)
    before = np.arange(len(who)) - calendar.start[who] < seen[who]
    unknown = calendar.total(before & (calendar.state == UNKNOWN))
    return {"longest_run": longest, "first_use": first, "unknown_before_use": unknown}


def _labelled(
    table: Dataset, person: str, calendar: Calendar, columns: Mapping[str, Array]
) -> Dataset:
    rows = pd.RangeIndex(1, len(calendar.people) + 1)
    frame = pd.DataFrame({person: np.asarray(calendar.people), **columns}, index=rows)
    measured = (Variable(name, LABELS[name], measure="scale") for name in columns)
    book = Codebook().with_variables(table.variable(person), *measured)
    return Dataset(frame, book, source=table.source)
