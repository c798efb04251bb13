"""From what is known of times to one row for each person and period between visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.censoring import Censored
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.columns import Array, IntArray

MOST_PERIODS = 120
PERIOD, END = "period", "period_end"


@dataclass(frozen=True)
class PersonPeriods:
    """One row a person and period at risk.

    row (n,): which of the rows observed; period (n,) from 1. event (n,): -1 where the period was
    survived, else the number of the event, shared by the periods in which it may have happened.
    ends (K,): when each period ends. dropped: rows of which no whole period was observed.
    """

    row: IntArray
    period: IntArray
    event: IntArray
    ends: Array
    dropped: int

    def columns(self, data: pd.DataFrame | Dataset, *, factor: bool) -> pd.DataFrame | Dataset:
        """The data row by row of self, with `period` (from 1, a factor on request) and
        `period_end`."""
        frame = data.frame if isinstance(data, Dataset) else data
        for taken in (PERIOD, END):
            if taken in frame.columns:
                raise UsageError(
                    f"The data have a column {taken!r}, which discrete_time makes itself; "
                    "rename it."
                )
        period: object = self.period
        if factor:
            period = pd.Categorical(self.period, categories=list(range(1, len(self.ends) + 1)))
        wide = frame.iloc[self.row].reset_index(drop=True)
        wide = wide.assign(**{PERIOD: period, END: self.ends[self.period - 1]})
        return data.with_frame(wide) if isinstance(data, Dataset) else wide


def periods_of(rows: Censored, visits: Sequence[float] | None) -> Array:
    """Ends of the periods: the visits, or every time at which an event is known to begin or end."""
    if visits is not None:
        ends = np.unique(np.asarray(visits, float))
        if not (ends.size and np.isfinite(ends).all()):
            raise UsageError("visits are the times of the visits, numbers above 0.")
        return ends[ends > 0]
    known = np.isfinite(rows.high)
    ends = np.unique(np.concatenate([rows.low[known], rows.high[known]]))
    ends = ends[ends > 0]
    if not ends.size:
        raise NotEstimable(f"No row of {len(rows)} has the event.")
    if len(ends) > MOST_PERIODS:
        raise UsageError(
            f"The events begin and end at {len(ends)} different times; name the visits, such as "
            "visits=[30, 60, 90], or use a model of continuous time."
        )
    return ends


def expand(rows: Censored, ends: Array) -> PersonPeriods:
    """A period is (end before, end]; whoever enters or is lost within one is not in it.

    An event known to an interval may be in any period that meets the interval; after the last
    end people are censored.
    """
    exact = rows.low == rows.high
    event = np.isfinite(rows.high)
    after = np.searchsorted(ends, rows.low, side="right")
    through = np.where(exact & event, np.searchsorted(ends, rows.low, side="left"), after)
    last = np.where(event, np.searchsorted(ends, rows.high, side="left") + 1, through)
    event &= last <= len(ends)
    last = np.where(event, last, np.minimum(through, len(ends)))
    begins = np.zeros(len(rows)) if rows.entry is None else rows.entry
    first = np.searchsorted(np.append(0.0, ends), begins, side="left")
    through = np.maximum(through, first)
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(len(rows)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + first[row]
    happened = event[row] & (place >= through[row])
    number = np.full(len(row), -1, np.intp)
    number[happened] = np.unique(row[happened], return_inverse=True)[1]
    return PersonPeriods(row, place + 1, number, ends, int((count == 0).sum()))


def refuse_certain_periods(found: PersonPeriods) -> None:
    """A period of its own without events, or without survivors, has no finite coefficient."""
    K = len(found.ends)
    events = np.bincount(found.period[found.event >= 0], minlength=K + 1)[1:]
    survivors = np.bincount(found.period[found.event < 0], minlength=K + 1)[1:]
    for count, what in ((events, "no event"), (survivors, "nobody who passes it")):
        at = np.flatnonzero(count == 0) + 1
        if at.size:
            numbers = ", ".join(map(str, at[:8])) + (", …" if at.size > 8 else "")
            raise NotEstimable(
                f"{at.size} of {K} periods ({numbers}) have {what}, so their own hazards have no "
                "finite coefficient; merge periods with visits=, or take baseline='linear', 'log' "
                "or 'spline'."
            )
