"""From one row a person and a diary to (start, stop] rows, without looking into the future.

Day d of follow-up is the interval (d-1, d]; day 0 is entry. What counts on day d was recorded
before it:

    meetings_lastW      meetings on days d-W … d-1
    days_since_meeting  d minus the last day with a meeting before d; nan before the first
    recency             2 ** -(days_since_meeting / half_life); 0 before the first
    in_house            1 on days first < d <= last of a stay: resident when the day begins
    house_days          days resident before d, from day 1

and on request (`also`)

    meetings_total      meetings on days 0 … d-1
    meetings_decayed    meetings before d, each counting 2 ** -(days since / half_life)
    house_days_lastW    days resident on days d-W … d-1

A stay that ends on the day of relapse thus counts on that day: a house that asks people to
leave when they use must not make leaving look like the cause. With `lag`, meetings of the last
`lag` days do not count yet. Days from entry on which the diary does not cover are unknown, and
an exposure that needs one is nan, never 0; before entry nothing happened unless recorded.
Checked: day by day in a loop over people (tests/models/test_reshape.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step, as_dataset
from recovery_stats.errors import DataError, UsageError, rows_phrase, unknown
from recovery_stats.models.follow_up import (
    People,
    check_events,
    check_times,
    read_days,
    read_meetings,
    read_stays,
)
from recovery_stats.models.person_day import Exposures, rows_of

Exposure = Literal["total", "decayed", "house_windows"]
PERSON = "person"  # the key of persons, under one name whatever the study calls it


def person_days(
    persons: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    start: str | None = None,
    meetings: Dataset | pd.DataFrame | None = None,
    meeting_person: str | None = None,
    meeting_day: str | None = None,
    meeting_count: str | None = None,
    stays: Dataset | pd.DataFrame | None = None,
    stay_person: str | None = None,
    stay_start: str | None = None,
    stay_stop: str | None = None,
    windows: Sequence[int] = (7, 14, 28),
    half_life: float | None = None,
    daily: bool | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
    lag: int = 0,
    also: Sequence[Exposure] = (),
    keep: Sequence[str] | None = None,
) -> Dataset:
    """Split each person's follow-up where an exposure changes.

    persons: one row a person, with days of entry (0 without `start`) and exit and the event.
    meetings: one row a meeting, or `meeting_count` a row. stays: first and last day; without a
    last day the person still lives there. diary_from, diary_to: days covered, columns of
    persons. daily: one row per person-day, with days_since_meeting, recency and house_days,
    which change every day; it is the default with a half_life. also: "total" and "decayed"
    meetings, "house_windows" (daily). keep: which columns of persons
    come along (all). Returns person, start, stop, event, the exposures and the
    columns of persons.
    Raises DataError for repeated persons, times that do not run forward, events other than 0/1.
    """
    persons, meetings, stays = as_dataset(persons), as_dataset(meetings), as_dataset(stays)
    if half_life is not None and not half_life > 0:
        raise UsageError("A half-life is a number of days above 0.")
    if lag < 0 or any(w < 1 for w in windows):
        raise UsageError("Windows are whole days above 0, and a lag is 0 or more.")
    people = People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
    homes = read_stays(people, stays, stay_person or person, stay_start, stay_stop)
    asked = Exposures(
        tuple(windows),
        half_life,
        half_life is not None if daily is None else daily,
        lag,
        *(kind in also for kind in get_args(Exposure)),
    )
    _refuse_what_cannot_be(also, asked)
    parts = [rows_of(people, block, diary, homes, asked) for block in people.blocks(asked.reach)]
    columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return join_rows(persons, person, columns, keep)


def _refuse_what_cannot_be(also: Sequence[str], asked: Exposures) -> None:
    for kind in also:
        if kind not in get_args(Exposure):
            raise UsageError(unknown("further exposure", kind, get_args(Exposure)))
    if asked.decayed and (asked.half_life is None or not asked.daily):
        raise UsageError('also="decayed" needs a half_life, and changes every day (daily).')
    if asked.house_windows and not asked.daily:
        raise UsageError('also="house_windows" changes every day: daily=True.')


def landmark(
    persons: Dataset | pd.DataFrame,
    at: float,
    *,
    person: str,
    stop: str,
    event: str,
    start: str | None = None,
    meetings: Dataset | pd.DataFrame,
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
    persons, meetings = as_dataset(persons), as_dataset(meetings)
    people = People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
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
    people = People.of(persons, person, stop, None, start, None, None)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
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
    begin, end = (read_days(data, c) for c in (start, stop))
    check_times(data, begin, end, start, stop)
    check_events(data, read_days(data, event), event)
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


# --- back to a table -------------------------------------------------------------------------

UNITLESS = ("event", "event_number", "recency", "in_house")
LABELS = {
    "start": "Start of the interval",
    "stop": "End of the interval",
    "event": "Event at the end of the interval",
    "event_number": "Number of the event that the interval leads to",
    "days_since_meeting": "Days since the last meeting",
    "recency": "Recency of the last meeting",
    "meetings_total": "Meetings since entry",
    "meetings_decayed": "Meetings before, weighted by how long ago",
    "in_house": "Resident in a recovery house",
    "house_days": "Days lived in recovery houses",
}


def join_rows(
    persons: Dataset, person: str, columns: dict[str, NDArray[Any]], keep: Sequence[str] | None
) -> Dataset:
    """The rows of people `who` (positions among persons) with their columns and a codebook."""
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
    if name.startswith("house_days_last"):
        return f"Days resident in the {name.removeprefix('house_days_last')} days before"
    if name.startswith("meetings_last"):
        return f"Meetings in the {name.removeprefix('meetings_last')} days before"
    return LABELS[name]


def _unit(name: str) -> str:
    return "" if name.startswith("meetings") or name in UNITLESS else "days"
