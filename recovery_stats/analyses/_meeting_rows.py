"""Attendance from a diary: before each day at risk, before a landmark, and as usually coded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._meeting_groups import LANDMARK_GROUPS, grouped
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked, terms
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError
from recovery_stats.models import reshape
from recovery_stats.models.formula import quote

WEEKDAY = "weekday"
WINDOWS = (7, 14, 28)


def diary_rows(asked: Asked, study: Study, people: Dataset, lag: int = 0) -> Dataset:
    """(start, stop] rows with attendance strictly before the day at risk."""
    q = asked.q
    rows = reshape.person_days(
        people,
        person=asked.person,
        stop=TIME,
        event=EVENT,
        start=q.entry,
        windows=WINDOWS,
        half_life=q.half_life,
        diary_from=q.diary_from,
        diary_to=q.diary_to,
        lag=lag,
        **diary_columns(asked, study),
        **stay_columns(asked, study),
    )
    rows = asked.custody.at_risk(rows, reshape.PERSON)
    return with_weekday(asked, rows) if asked.weekday else rows


def with_weekday(asked: Asked, rows: Dataset) -> Dataset:
    """Add the calendar weekday of each day at risk, from the day or date of entry."""
    entry = rows.frame[asked.q.entry_date]
    day = np.ceil(rows.frame["stop"].to_numpy()).astype(np.int64)
    if pd.api.types.is_datetime64_any_dtype(entry):
        entry = (entry - pd.Timestamp("1970-01-05")).dt.days  # a Monday
    code = (np.floor(entry.to_numpy(dtype=float)).astype(np.int64) + day) % 7
    values = pd.Categorical.from_codes(code, [str(j) for j in range(7)])
    return rows.with_column(Variable(WEEKDAY, "Weekday", measure="nominal"), values)


def model_formula(
    asked: Asked, *exposure: str, event: str = "event", adjust: bool = True, house: bool = True
) -> str:
    """Survival on person-days by exposure and covariates, stratified by site.

    Residence and the weekday are covariates wherever the study tells them.
    """
    covariates = asked.q.adjust if adjust else ()
    residence = ("in_house",) if house and asked.stays else ()
    weekday = (WEEKDAY,) if asked.weekday else ()
    right = terms(*exposure, *covariates, *residence, *weekday) or "1"
    return f"Surv(start, stop, {quote(event)}) ~ {right}{asked.strata}"


def stay_columns(asked: Asked, study: Study) -> dict[str, Any]:
    """The table of stays and its columns, as arguments; none without stays."""
    q = asked.q
    if not asked.stays:
        return {}
    return {
        "stays": study["stays"],
        "stay_person": q.stay_person,
        "stay_start": q.stay_start,
        "stay_stop": q.stay_stop,
    }


def diary_columns(asked: Asked, study: Study) -> dict[str, Any]:
    """The diary and its columns, as arguments."""
    q = asked.q
    return {
        "meetings": _meetings(asked, study),
        "meeting_person": q.meeting_person,
        "meeting_day": q.meeting_day,
        "meeting_count": q.meeting_count,
    }


def _meetings(asked: Asked, study: Study) -> Dataset:
    """The diary with days; a weekly count stands on the last day of its week."""
    q, diary = asked.q, study["meetings"]
    diary.require(*(c for c in (q.meeting_person, q.meeting_day) if c), table="meetings")
    if q.period == "day":
        return diary
    days = diary.frame[q.meeting_day] * 7.0 - 1.0
    return diary.with_column(replace(diary.variable(q.meeting_day), unit="days"), days)


def known_rows(asked: Asked, rows: Dataset) -> Dataset:
    """Rows whose last seven days the diary covers, with attendance per week added."""
    data = rows.with_frame(rows.frame[rows.frame[f"meetings_last{WINDOWS[0]}"].notna()])
    if not len(data):
        raise DataError(
            f"The diary covers no day at risk of anyone: column {asked.q.meeting_day!r} of table "
            f"'meetings' must count days from entry, and {asked.q.diary_from!r} and "
            f"{asked.q.diary_to!r} must bound the days it covers."
        )
    for window in WINDOWS:
        weekly = data.frame[f"meetings_last{window}"] * (7.0 / window)
        label = f"Attendance a week, last {window} days"
        data = data.with_column(Variable(f"weekly_{window}", label, measure="scale"), weekly)
    return data


def landmark_data(asked: Asked, study: Study, people: Dataset) -> Dataset | None:
    """Those free of relapse at the landmark, grouped by attendance before it."""
    q = asked.q
    data = reshape.landmark(
        people,
        at=float(q.landmark),
        person=asked.person,
        stop=TIME,
        event=EVENT,
        start=q.entry,
        diary_from=q.diary_from,
        diary_to=q.diary_to,
        **diary_columns(asked, study),
    )
    return grouped(data, "meetings_per_week", LANDMARK_GROUPS)


def naive_data(asked: Asked, study: Study, people: Dataset) -> Dataset:
    """Attendance over the whole follow-up as if it had been known at entry."""
    return reshape.naive_frequency(
        people,
        person=asked.person,
        stop=TIME,
        start=asked.q.entry,
        **diary_columns(asked, study),
    )
