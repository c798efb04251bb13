"""Attendance week by week while at risk: whole weeks that the diary covers, and their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.follow_up import People, read_meetings

WEEK = 7


def person_weeks(
    persons: Dataset,
    *,
    person: str,
    stop: str,
    event: str,
    start: str | None = None,
    meetings: Dataset,
    meeting_person: str | None = None,
    meeting_day: str,
    meeting_count: str | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
) -> Dataset:
    """One row for each person and whole week before the event that the diary covers.

    Weeks count from the day on which a person comes under observation, 1 first; the last day of a
    week lies before the day of the event or of leaving. Returns person (position among persons),
    week, attended (meetings on its days), to_event (whole weeks from its end to the event; nan
    for those without). Raises DataError as `reshape.person_days`.
    Checked: day by day in a loop (tests/models/test_attendance.py).
    """
    people = People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
    zero = np.floor(people.start)
    whole = np.floor((np.floor(people.stop) - zero) / WEEK).astype(np.int64)
    total = _totals(diary.person, diary.day, diary.count, zero, whole)
    who = np.repeat(np.arange(len(people)), whole)
    week = np.arange(len(who)) - np.repeat(np.cumsum(whole) - whole, whole)
    first = zero[who] + WEEK * week
    seen = (people.diary_from[who] <= first) & (people.diary_to[who] >= first + WEEK - 1)
    seen &= ~np.isnan(total)
    left = np.floor((people.stop[who] - first - WEEK) / WEEK)
    frame = pd.DataFrame(
        {
            "person": who,
            "week": week + 1,
            "attended": total,
            "to_event": np.where(people.event[who] > 0, left, np.nan),
        }
    )[seen]
    variable = Variable("attended", "Meetings in the week", measure="scale")
    return Dataset(frame.set_axis(range(1, len(frame) + 1))).with_column(
        variable, frame["attended"].to_numpy()
    )


def _totals(person: IntArray, day: IntArray, count: Array, zero: Array, whole: IntArray) -> Array:
    """Meetings in each week of each person, all weeks of a person after one another."""
    base = np.cumsum(whole) - whole
    week = (day - zero[person]) // WEEK
    inside = (week >= 0) & (week < whole[person])
    at = (base[person] + week.astype(np.int64))[inside]
    return np.bincount(at, count[inside], int(whole.sum())).astype(float)


def mean_by_person(value: Array, person: IntArray) -> tuple[float, float]:
    """Mean of all rows and its standard error, rows of a person taken together.

    The mean is a ratio of two totals over people; its error is that of their linear form, with
    the factor P / (P - 1) of P people. nan error for one person.
    Source: Cochran 1977, section 6.5. Checked: one row a person gives s / sqrt(n).
    """
    codes = np.unique(person, return_inverse=True)[1]
    mean = float(value.mean())
    residual = np.bincount(codes, value - mean)
    people = len(residual)
    if people < 2:
        return mean, float("nan")
    variance = float(residual @ residual) * people / (people - 1)
    return mean, float(np.sqrt(variance)) / len(value)
