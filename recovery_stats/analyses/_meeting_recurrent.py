"""Relapse that comes again: its rate by attendance in the seven days before, over all follow-up."""

from __future__ import annotations

from typing import Any

import numpy as np

from recovery_stats.analyses._meeting_people import TIME, Asked
from recovery_stats.analyses._meeting_rows import (
    diary_columns,
    model_formula,
    stay_columns,
    with_weekday,
)
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import ConvergenceError, DataError, NotEstimable, UsageError, unknown
from recovery_stats.models import reshape
from recovery_stats.models.recurrent import recurrent
from recovery_stats.models.reshape import PERSON

END, NEVER, AGAIN = "end of observation", "no event", "relapse, first or again"
WORD = "relapse"
EXPOSURE = "meetings_last7"


def recurrent_estimate(asked: Asked, study: Study, people: Dataset) -> Estimate | None:
    """Rate ratio per meeting in the last seven days (LWYY); None where relapse is told once."""
    q = asked.q
    if "events" not in study or q.event_day is None:
        return None
    happened = relapses(asked, study)
    days = happened.groupby(q.event_person)[q.event_day].nunique()
    if not (days.reindex(people.frame[asked.person]) > 1).any():
        return None
    rows = _rows(asked, study, people, happened)
    try:
        fit = recurrent(
            model_formula(asked, EXPOSURE, event=AGAIN), rows, person=PERSON, weights=q.weights
        )
    except (NotEstimable, ConvergenceError):
        return None
    return fit.estimate(
        {EXPOSURE: 1.0}, name="recurrent", label="All relapses, first and later", level=q.level,
        rank="sensitivity",
    )  # fmt: skip


def relapses(asked: Asked, study: Study) -> Any:
    """The rows of the table of events that are relapses; UsageError for a kind it does not have."""
    q, events = asked.q, study["events"]
    used = (q.event_person, q.event_day, q.event_kind, q.event_known)
    events.require(*(c for c in used if c), table="events")
    if q.event_known is not None:  # on the first day it can have happened
        first = np.fmin(events.frame[q.event_day], events.frame[q.event_known] + 1.0)
        events = events.with_column(events.variable(q.event_day), first)
    if q.event_kind is None:
        return events.frame
    variable = events.variable(q.event_kind)
    codes = sorted(float(c) for c in events.frame[q.event_kind].dropna().unique())
    names = {c: variable.level(c) for c in codes}
    wanted = q.event_code
    if wanted:
        found = [c for c, n in names.items() if wanted in (n, f"{c:g}")]
        if not found:
            raise UsageError(unknown("kind of event", wanted, names.values()))
    else:
        found = [c for c, n in names.items() if WORD in n.casefold()]
    return events.frame[events.frame[q.event_kind].isin(found)]


def _rows(asked: Asked, study: Study, people: Dataset, happened: Any) -> Dataset:
    """Person-days to the last record of each person, those with a relapse marked.

    At risk of the next relapse from the day after the last. Days that the diary does not cover
    are left out.
    """
    q = asked.q
    last = study["events"].frame.groupby(q.event_person)[q.event_day].max()
    end = np.fmax(people.frame[TIME], people.frame[asked.person].map(last))
    longer = people.with_column(Variable(END, unit="days"), end)
    longer = longer.with_column(Variable(NEVER), 0.0 * end)
    rows = reshape.person_days(
        longer, person=asked.person, stop=END, event=NEVER, start=q.entry, windows=(7,),
        daily=True, diary_from=q.diary_from, diary_to=q.diary_to,
        **diary_columns(asked, study), **stay_columns(asked, study),
    )  # fmt: skip
    rows = asked.custody.at_risk(rows, PERSON)
    frame = rows.frame[rows.frame[EXPOSURE].notna()]
    if not len(frame):
        raise DataError("The diary covers no day at risk.")
    rows = rows.with_frame(frame)
    day = np.ceil(frame["stop"])
    keys = set(zip(happened[q.event_person], np.ceil(happened[q.event_day]), strict=True))
    marked = [float(k in keys) for k in zip(frame[PERSON], day, strict=True)]
    rows = rows.with_column(Variable(AGAIN), np.array(marked))
    return with_weekday(asked, rows) if asked.weekday else rows
