"""Where people lived on each day: in a house, since leaving one, months so far; rows for a model.

Residence is what it was on the day, or some days before it: never a total that is known only at
the end. Checked by hand in tests/models/test_stay.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.columns import Array, Mask
from recovery_stats.models.follow_up import read_spells
from recovery_stats.models.reshape import person_days

RECENT_DAYS = 30  # after leaving: the days told apart from later ones
MONTH = 30.0
STATES = ("in_house", "left_recently", "left_earlier")
MONTHS = "months_in_house"


@dataclass(frozen=True, slots=True)
class StayColumns:
    """Columns of persons and stays, by what they hold."""

    person: str
    stop: str
    event: str
    stay_start: str
    stay_stop: str
    start: str | None = None
    adjust: tuple[str, ...] = ()
    cluster: str | None = None


def stay_rows(persons: Dataset, stays: Dataset, columns: StayColumns, lag: int = 0) -> Dataset:
    """Person-days with STATES (0/1) and MONTHS as they were `lag` days before."""
    known = stays.frame[stays.frame[columns.person].isin(persons.frame[columns.person])]
    ends = {c: known[c] + lag for c in (columns.stay_start, columns.stay_stop)}
    days = person_days(
        persons, person=columns.person, start=columns.start, stop=columns.stop,
        event=columns.event, stays=stays.with_frame(known.assign(**ends)),
        stay_start=columns.stay_start, stay_stop=columns.stay_stop, windows=(), daily=True,
        keep=tuple(c for c in (*columns.adjust, columns.cluster) if c),
    )  # fmt: skip
    frame = days.frame
    since = _days_since_resident(frame, _left_before(known, ends, columns))
    left = ~np.isnan(since)
    found = {
        "left_recently": (left & (since <= RECENT_DAYS)).astype(float),
        "left_earlier": (left & (since > RECENT_DAYS)).astype(float),
        MONTHS: frame["house_days"] / MONTH,
    }
    return days.with_frame(frame.assign(**found))


def _left_before(
    stays: pd.DataFrame, ends: dict[str, pd.Series[float]], columns: StayColumns
) -> pd.DataFrame:
    """The days on which stays ended, by person."""
    return pd.DataFrame({"who": stays[columns.person], "out": ends[columns.stay_stop]}).dropna()


def _days_since_resident(frame: pd.DataFrame, ended: pd.DataFrame) -> Array:
    """Days since the last day resident, nan while resident and for those never resident yet.

    ended: who, out; the last stay that ended before a person's first row counts as well.
    """
    resident = frame["in_house"].to_numpy() > 0
    day, who = np.floor(frame["start"].to_numpy(float)), frame["person"]
    last = pd.Series(np.where(resident, day, np.nan)).groupby(who.to_numpy()).ffill()
    entry = frame.groupby("person")["start"].min()
    before = ended[ended["out"] <= ended["who"].map(entry)].groupby("who")["out"].max() - 1
    last = last.fillna(pd.Series(who.map(before).to_numpy(float)))
    return np.where(resident, np.nan, day - last.to_numpy(float))


def person_time(rows: Dataset) -> pd.DataFrame:
    """Days and events by state."""
    frame = rows.frame
    state = np.select([frame[s].to_numpy() > 0 for s in STATES], STATES, "never")
    days = (frame["stop"] - frame["start"]).groupby(state).sum()
    found = pd.DataFrame({"days": days, "events": frame["event"].groupby(state).sum()})
    return found.reindex(["never", *STATES], fill_value=0).rename_axis("state").reset_index()


def overlapping_stays(stays: Dataset, columns: StayColumns) -> tuple[int, int]:
    """People with more than one stay, and people whose stays overlap."""
    first, last = read_spells(stays, columns.person, columns.stay_start, columns.stay_stop)
    who = pd.factorize(stays.frame[columns.person])[0]
    order = np.lexsort((first, who))
    reach = pd.Series(last[order]).groupby(who[order]).cummax().to_numpy()
    same: Mask = who[order][1:] == who[order][:-1]
    over = same & (first[order][1:] < reach[:-1])
    return len(np.unique(who[order][1:][same])), len(np.unique(who[order][1:][over]))
