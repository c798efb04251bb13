"""Who is followed for how long: the persons of the question about meetings, each loss told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from recovery_stats.analyses import _meeting_custody as custody_rule
from recovery_stats.analyses._meeting_custody import Custody
from recovery_stats.analyses._meeting_custody_follow_up import held_by
from recovery_stats.analyses._meeting_groups import GROUP, with_groups
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError, rows_phrase
from recovery_stats.models.formula import quote
from recovery_stats.models.summary import is_factor

TIME, EVENT = "days to relapse", "relapse"
SECONDS_IN_A_DAY = 86_400
SHOWN_LEVELS = 8
MOST_ARMS = 5  # groups that a flow can stand beside each other


@dataclass(frozen=True, slots=True)
class Asked:
    """The question with its required columns known to be named; `q` is the Question itself."""

    q: Any
    person: str
    event: str
    diary: bool
    stays: bool
    custody: Custody

    @classmethod
    def of(cls, q: Any, study: Study) -> Asked:
        """Decide between diary and column known at entry; UsageError where neither is named."""
        if q.person is None or q.event is None:
            raise UsageError("meeting_frequency needs columns for 'person' and 'event'.")
        if q.time is None and (q.entry_date is None or q.exit_date is None):
            raise UsageError(
                "meeting_frequency needs a column for 'time', or both 'entry_date' and "
                "'exit_date' to count the days from."
            )
        diary = q.meeting_day is not None and "meetings" in study and q.frequency is None
        if not diary and q.frequency is None:
            raise UsageError(
                "meeting_frequency needs attendance: a diary (table 'meetings' with "
                "'meeting_day') or a column known at entry ('frequency')."
            )
        _check_days(q, diary)
        _check_design(q, diary)
        stays = q.stay_start is not None and q.stay_stop is not None and "stays" in study
        custody = Custody.of(q, study)
        return cls(custody_rule.named(q, custody), q.person, q.event, diary, stays, custody)

    @property
    def shared_source(self) -> bool:
        """Attendance and relapse read off the same records: the answer would be circular."""
        one, other = (s.strip().casefold() for s in (self.q.exposure_source, self.q.event_source))
        return bool(one) and one == other

    @property
    def drawn(self) -> bool:
        """Whether chance decided the groups of the column known at entry."""
        return bool(self.q.design == "randomised")

    @property
    def by_strategy(self) -> bool:
        """Whether the primary estimand compares sustained strategies."""
        return bool(self.q.primary == "strategy")

    @property
    def daily_diary(self) -> bool:
        """Whether the diary tells days; weekly counts cannot tell how long ago a meeting was."""
        return bool(self.q.period == "day")

    @property
    def weekday(self) -> bool:
        """Whether the calendar is known: days from entry and the day of entry itself."""
        return self.q.time is not None and self.q.entry_date is not None

    @property
    def strata(self) -> str:
        """The end of a formula that lets the baseline hazard differ between sites."""
        return f" + strata({quote(self.q.site)})" if self.q.site else ""

    @property
    def time_column(self) -> str:
        """What the file calls the time that ends observation."""
        return str(self.q.time or self.q.exit_date)


def _check_days(q: Any, diary: bool) -> None:
    for name in ("landmark", "horizon"):
        if getattr(q, name) < 1:
            raise UsageError(f"Option {name!r} must be a day after entry (1 or more).")
    if diary and q.horizon <= q.landmark:
        raise UsageError(
            f"Option 'horizon' (day {q.horizon}) must lie beyond 'landmark' (day {q.landmark}), "
            "from which the curves are drawn."
        )


def _check_design(q: Any, diary: bool) -> None:
    if diary and q.design != "chosen":
        raise UsageError(
            "design 'randomised' says that chance decided the groups of a column known at entry: "
            "give --frequency COLUMN. How often people of a diary went was not drawn by lot."
        )


def terms(*names: str) -> str:
    """Names as the right side of a formula."""
    return " + ".join(map(quote, names))


def read_people(asked: Asked, study: Study) -> Dataset:
    """One row a person with `days to relapse` and `relapse`; every loss written into the flow.

    Raises DataError for repeated or unnamed people, events other than 0 and 1, times that are
    negative or end before they begin; NotEstimable without a single relapse.
    """
    q, data = asked.q, study["persons"]
    data.require(asked.event, table="persons")
    data = custody_rule.with_columns(q, asked.custody, data)
    optional = (q.time, q.entry, q.entry_date, q.exit_date, q.frequency, q.site, q.cause)
    named = (asked.person, asked.event, *optional, q.diary_from, q.diary_to, q.weights)
    data.require(*(c for c in named if c), *q.described, table="persons")
    data = _allocated(asked, data.in_people())
    _check_keys(asked, data)
    data = _with_time(asked, data)
    _check_event(asked, data)
    data = _dated_early(asked, data)
    needed = (TIME, asked.event, q.entry, q.site, q.frequency, q.weights, *q.adjust)
    data = _complete(data, [c for c in needed if c])
    if not len(data):
        raise DataError("No row of table 'persons' has time, event and the covariates together.")
    _check_times(asked, data)
    data = held_by(q, asked.custody, study, data, TIME)
    if asked.diary:
        data = _beyond_entry(data)
    data = data.with_column(
        Variable(EVENT, data.label(asked.event)), data.frame[asked.event].astype(float)
    )
    _check_happened(asked, data)
    return data


def _allocated(asked: Asked, data: Dataset) -> Dataset:
    """The flow is counted by group from the draw on, or where attendance is known at entry.

    A drawn number has no groups; a diary makes them at the landmark, where they have a table.
    """
    if asked.diary:
        return data
    name = str(asked.q.frequency)
    reason = "Randomised" if asked.drawn else f"{data.label(name)} known"
    if is_factor(data, name):
        if data.frame[name].nunique() <= MOST_ARMS:
            return data.allocated(name, reason)
    elif not asked.drawn and (by_attendance := with_groups(data, name)):
        return by_attendance.allocated(GROUP, reason)
    return data.keep(data.frame[name].notna(), reason, unit="people")


def _complete(data: Dataset, columns: list[str]) -> Dataset:
    """Keep the people observed on all columns, one step of the flow for each that loses any."""
    for name in columns:
        observed = data.frame[name].notna()
        if not observed.all():
            reason = f"{data.label(name)} observed"
            data = data.keep(observed, reason, unit="people", why=name)
    return data


def _beyond_entry(data: Dataset) -> Dataset:
    """A diary counts days before the day at risk; on the day of entry there is none."""
    later = data.frame[TIME] > 0
    if later.all():
        return data
    return data.keep(later, "Observed beyond the day of entry", unit="people")


def _check_keys(asked: Asked, data: Dataset) -> None:
    person = data.frame[asked.person]
    for wrong, what in (
        (person.isna(), "is empty"),
        (person.notna() & person.duplicated(), "names a person for the second time"),
    ):
        rows = data.frame.index[wrong]
        if len(rows):
            raise DataError(
                f"Column {asked.person!r} of table 'persons' {what} in {rows_phrase(list(rows))}; "
                "this table needs one row a person."
            )


def _with_time(asked: Asked, data: Dataset) -> Dataset:
    q = asked.q
    if q.time is not None:
        values = data.frame[q.time]
        if not pd.api.types.is_numeric_dtype(values):
            raise DataError(
                f"Column {q.time!r} of table 'persons' is text; a time must be a number of days."
            )
        return data.with_column(
            Variable(TIME, data.label(q.time), unit="days"), values.astype(float)
        )
    for name in (q.entry_date, q.exit_date):
        if not pd.api.types.is_datetime64_any_dtype(data.frame[name]):
            raise DataError(f"Column {name!r} of table 'persons' is not a date.")
    length = data.frame[q.exit_date] - data.frame[q.entry_date]
    days = length.dt.total_seconds() / SECONDS_IN_A_DAY
    return data.with_column(Variable(TIME, "Days from entry to exit", unit="days"), days)


def _dated_early(asked: Asked, data: Dataset) -> Dataset:
    """Date a relapse known to an interval on the first day it can have happened.

    Attendance after that day may follow from the relapse; before it, it cannot.
    """
    if asked.q.known is None:
        return data
    first = data.frame[asked.q.known] + 1.0
    late = (data.frame[asked.event] == 1) & (first < data.frame[TIME])
    values = data.frame[TIME].where(~late, first)
    return data.with_column(data.variable(TIME), values)


def _check_event(asked: Asked, data: Dataset) -> None:
    values = data.frame[asked.event].dropna()
    if pd.api.types.is_numeric_dtype(values) and set(values.unique()) <= {0.0, 1.0}:
        return
    labels = [str(label) for label in data.variable(asked.event).values.values()]
    declared = f" Declared levels: {', '.join(labels[:SHOWN_LEVELS])}." if labels else ""
    raise DataError(
        f"Column {asked.event!r} of table 'persons' must be 1 (relapse) or 0 (censored); it has "
        f"{values.nunique()} different values, not all of them 0 and 1.{declared} Recode it in "
        "the file."
    )


def _check_times(asked: Asked, data: Dataset) -> None:
    name = asked.time_column
    negative = data.frame.index[data.frame[TIME] < 0]
    if len(negative):
        raise DataError(
            f"Column {name!r} of table 'persons' is negative in {rows_phrase(list(negative))}; "
            "time runs from entry (day 0)."
        )
    if asked.q.entry is None:
        return
    entry = data.frame[asked.q.entry]
    # Day 0 alone is no contradiction; a diary says below that such a person cannot be used.
    same_day = asked.diary & (entry == 0) & (data.frame[TIME] == 0)
    late = data.frame.index[(entry >= data.frame[TIME]) & ~same_day]
    if len(late):
        raise DataError(
            f"Column {asked.q.entry!r} of table 'persons' is not before {name!r} in "
            f"{rows_phrase(list(late))}; observation must begin before it ends."
        )


def _check_happened(asked: Asked, data: Dataset) -> None:
    if not data.frame[EVENT].any():
        raise NotEstimable(
            f"Column {asked.event!r} has no relapse among {len(data)} people with complete "
            "values; without one there is no rate of relapse to compare."
        )
