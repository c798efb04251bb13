"""How long people were followed: the total, and the median of the reverse Kaplan–Meier curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.models.curve import kaplan_meier
from recovery_stats.models.formula import quote

DAYS_A_WEEK, DAYS_A_YEAR = 7, 365.25
CENSORED = "followed to the end|"
NAME = "follow_up"


def follow_up_table(
    people: Dataset,
    time: str,
    event: str,
    entry: str | None = None,
    *,
    sizes: Sequence[int] = (),
    away: bool = False,
) -> Table:
    """People, person-years and median follow-up of everybody.

    The median is that of the time until observation ends otherwise than by the event (reverse
    Kaplan–Meier; Schemper & Smith 1996), in whole weeks: the day would be somebody's. sizes: of
    groups whose person-years stand elsewhere, so that the smallest would follow from the total.
    away: some were in custody meanwhile.
    """
    frame = people.frame
    begin = frame[entry] if entry else 0.0
    years = float((frame[time] - begin).sum()) / DAYS_A_YEAR
    left = int((frame[event] != 1).sum())
    rows = (
        Row("people", "People followed", (Count(len(frame)),)),
        Row("years", "Person-years", (Quantity(years, n=min(sizes, default=None)),)),
        Row("median", "Median follow-up, weeks", (_median(people, time, event, entry, left),)),
    )
    note = (
        "Median of the time until observation ended otherwise than by the event (reverse "
        "Kaplan–Meier): how long people would have been followed without it."
    )
    notes = (note, "Time in custody is included here.") if away else (note,)
    return Table(NAME, "Follow-up", (Column("value", "Value"),), rows, notes)


def _median(people: Dataset, time: str, event: str, entry: str | None, left: int) -> Cell:
    """The median in whole weeks; words where fewer than half are seen to leave."""
    ended = (people.frame[event] != 1).astype(float)
    data = people.with_column(Variable(CENSORED), ended)
    times = f"{quote(entry)}, {quote(time)}" if entry else quote(time)
    found = kaplan_meier(f"Surv({times}, {quote(CENSORED)}) ~ 1", data).median() if left else None
    days = math.nan if found is None else float(found["median"].iloc[0])
    if math.isnan(days):
        return "not reached"
    return Quantity(float(round(days / DAYS_A_WEEK)), "whole", n=left)
