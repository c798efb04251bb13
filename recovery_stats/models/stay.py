"""Length of stay as what is known on each day: in the house, since leaving, days so far.

    found = residence_hazards(persons, stays, person="pid", stop="t_relapse", event="relapse",
                              stay_start="in_day", stay_stop="out_day", adjust=["severity"])
    found.tidy()       hazard ratios, with lags, and the naive total beside them
    found.checks()

A total of the days stayed is known only at the end, and relapse ends stays: who stayed six months
had not relapsed for six months. Here residence is what it was on the day, or `lag` days before
it, so that an eviction which came with a relapse that was dated later cannot pass for its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.document import Count
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.columns import Array, Mask
from recovery_stats.models.follow_up import read_spells
from recovery_stats.models.formula import quote
from recovery_stats.models.reshape import person_days
from recovery_stats.models.residence import LONG_STAY_DAYS
from recovery_stats.models.survival import cox

RECENT_DAYS = 30  # after leaving: the days told apart from later ones
MONTH = 30.0
STATES = ("in_house", "left_recently", "left_earlier")
MONTHS, NAIVE = "months_in_house", "stayed_six_months"
FEW_EVENTS = 10  # up to so many a state is thin; the verdict must not tell 10 from fewer


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


def residence_hazards(
    persons: Dataset | pd.DataFrame,
    stays: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    stay_start: str,
    stay_stop: str,
    start: str | None = None,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    lags: Sequence[int] = (0, 7, 30),
    level: float = 0.95,
) -> ResidenceFit:
    """Hazard of the event by residence on the day, time since leaving and months so far.

    persons: one row a person, (start, stop] in days and event 0/1. stays: one row a stay, under
    the same `person`; overlapping stays and stays in two houses count once. adjust: baseline
    covariates. cluster: robust errors by it. lags: days back at which residence is read; days
    before entry without a stay count as not resident.
    Raises UsageError, DataError, NotEstimable.
    """
    if not lags or any(lag < 0 for lag in lags):
        raise UsageError("Lags are whole days, 0 or more, and at least one.")
    columns = StayColumns(person, stop, event, stay_start, stay_stop, start, tuple(adjust), cluster)
    people, homes = as_dataset(persons), as_dataset(stays)
    rows = [stay_rows(people, homes, columns, lag) for lag in lags]
    parts = [
        _fit(data, columns, STATES, "state", lag, level)
        for data, lag in zip(rows, lags, strict=True)
    ]
    longer = _fit(rows[0], columns, (*STATES, MONTHS), "state and months", lags[0], level)
    naive = _naive(people, homes, columns, level)
    table = pd.concat([*parts, longer, *naive], ignore_index=True)
    return ResidenceFit(table, person_time(rows[0]), *overlapping_stays(homes, columns))


@dataclass(frozen=True)
class ResidenceFit:
    """Hazard ratios of residence; see `residence_hazards`.

    person_time: days and events by state at the first lag. moved: people with more than one stay;
    overlapping: of these, people whose stays overlap.
    """

    table: pd.DataFrame = field(repr=False)
    person_time: pd.DataFrame
    moved: int
    overlapping: int

    def tidy(self) -> pd.DataFrame:
        """Hazard ratios by model, lag and term, each against `reference`.

        reference: "never" having lived in a house; "in_house" where everybody has.

        model: "state", "state and months" (each 30 days so far), "naive" (stayed six months in
        all, against less: known only later and never to be used).
        """
        return self.table.copy()

    def checks(self) -> tuple[Check, ...]:
        """Whether each state saw events, and how stays that overlap were counted."""
        least = self.person_time.set_index("state").loc[list(STATES), "events"].min()
        return (
            Check(
                "residence", "caution" if least <= FEW_EVENTS else "ok",
                ("The fewest events in a state of residence are ", Count(int(least)), "."),
            ),
            Check(
                "overlapping stays", "caution" if self.overlapping else "ok",
                (Count(self.moved), " people have several stays; those of ",
                 Count(self.overlapping), " overlap, and a day in two houses counts once."),
            ),
        )  # fmt: skip


# --- rows ----------------------------------------------------------------------------------------


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


# --- fits ----------------------------------------------------------------------------------------


def _fit(
    rows: Dataset, columns: StayColumns, terms: Sequence[str], model: str, lag: int, level: float
) -> pd.DataFrame:
    """Hazard ratios of the terms that vary, adjusted."""
    never = rows.frame[list(STATES)].sum(axis=1) == 0
    known = terms if never.any() else [t for t in terms if t != "in_house"]
    seen = [t for t in known if rows.frame.loc[rows.frame["event"] == 1, t].max() > 0]
    if not seen:
        raise NotEstimable("Nobody had the event in or after a house: residence has no ratio.")
    right = " + ".join(quote(c) for c in (*seen, *columns.adjust))
    fit = cox(f"Surv(start, stop, event) ~ {right}", rows, cluster=columns.cluster, person="person")
    reference = "never" if never.any() else "in_house"
    return _told(fit.tidy(level, exponentiate=True), seen, model, lag, reference)


def _told(
    table: pd.DataFrame, terms: Sequence[str], model: str, lag: int, reference: str
) -> pd.DataFrame:
    wanted = ["term", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
    found = table[table["term"].isin(list(terms))][wanted].reset_index(drop=True)
    found.insert(0, "model", model)
    found.insert(1, "lag", lag)
    found.insert(2, "reference", reference)
    return found


def _naive(
    persons: Dataset, stays: Dataset, columns: StayColumns, level: float
) -> list[pd.DataFrame]:
    """Six months in all against less, as if it were known at entry; nothing if it separates."""
    first, last = read_spells(stays, columns.person, columns.stay_start, columns.stay_stop)
    total = pd.Series(last - first).groupby(stays.frame[columns.person].to_numpy()).sum()
    stayed = persons.frame[columns.person].map(total).fillna(0.0) >= LONG_STAY_DAYS
    coded = persons.with_frame(persons.frame.assign(**{NAIVE: stayed.astype(float)}))
    times = ", ".join(quote(c) for c in (columns.start, columns.stop, columns.event) if c)
    right = " + ".join(quote(c) for c in (NAIVE, *columns.adjust))
    try:
        fit = cox(f"Surv({times}) ~ {right}", coded, cluster=columns.cluster)
    except NotEstimable:
        return []
    return [_told(fit.tidy(level, exponentiate=True), (NAIVE,), "naive", 0, "stayed less")]


def overlapping_stays(stays: Dataset, columns: StayColumns) -> tuple[int, int]:
    """People with more than one stay, and people whose stays overlap."""
    first, last = read_spells(stays, columns.person, columns.stay_start, columns.stay_stop)
    who = pd.factorize(stays.frame[columns.person])[0]
    order = np.lexsort((first, who))
    reach = pd.Series(last[order]).groupby(who[order]).cummax().to_numpy()
    same: Mask = who[order][1:] == who[order][:-1]
    over = same & (first[order][1:] < reach[:-1])
    return len(np.unique(who[order][1:][same])), len(np.unique(who[order][1:][over]))
