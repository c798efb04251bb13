"""Times and days in their order: entry, meetings, stays, events, exit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.data.rule.bound import (
    Bound,
    Finding,
    Use,
    Values,
    caution,
    rows_where,
    to_frame,
)

NOBODY = "Nobody was observed for any time: see whether the right column is named."
DEATH = re.compile(r"\b(death|dead|died|deceased)\b", re.IGNORECASE)


def times_are_possible(bound: Bound) -> Iterator[Finding]:
    """Times are finite and not negative; time 0 is told."""
    for use in bound.uses:
        times = bound.numbers(use) if use.nature == "time" else None
        if times is None:
            continue
        rows = rows_where((times < 0) | np.isinf(times))
        if rows:
            message = f"Negative or infinite time in {bound.told(use.table, rows)}."
            cure = (
                f"Correct it; if a code means missing, declare it in [missing.codes.{use.table}]."
            )
            yield bound.problem(use, message, cure)
        zeros = int((times == 0).sum())
        if zeros and use.role == "time":
            words = f" of {use.column} are 0: an event there counts on the day of entry itself."
            yield caution("time", f"{use.table}.{use.column}", Count(zeros, "rows"), words)


def entry_precedes_exit(bound: Bound) -> Iterator[Finding]:
    """Late entry comes before the time observed until; the day of entry is not after the exit."""
    entry, time = bound.first("persons", "entry"), bound.first("persons", "time")
    began, ended = bound.numbers(entry), bound.numbers(time)
    if entry and time and began is not None and ended is not None:
        rows = rows_where(began >= ended)
        if rows:
            message = f"Entry at or after {time.column!r} in {bound.told(entry.table, rows)}."
            yield bound.problem(entry, message, "Nobody was observed there: correct or filter.")
    first, last = _dates(bound)
    if first and last and _one_clock(bound, first, last):
        rows = rows_where(_days(bound, first) > _days(bound, last))
        if rows:
            message = f"Entry after {last.column!r} in {bound.told(first.table, rows)}."
            yield bound.problem(first, message, "Correct the days.")


def somebody_is_observed(bound: Bound) -> Iterator[Finding]:
    """Observation lasts longer than its first moment for somebody."""
    time = bound.first("persons", "time")
    times = bound.numbers(time)
    if time and times is not None and times.notna().any() and (times.dropna() == 0).all():
        yield bound.problem(time, f"All {int(times.notna().sum())} times are 0.", NOBODY)
    first, last = _dates(bound)
    if first and last and _one_clock(bound, first, last):
        span = (_days(bound, last) - _days(bound, first)).dropna()
        if len(span) and not (span != span.iloc[0] * 0).any():
            message = f"The same as {last.column!r} for all {len(span)} people who have both."
            yield bound.problem(first, message, NOBODY)


def events_precede_exit(bound: Bound) -> Iterator[Finding]:
    """No relapse later than the person was observed."""
    time, event = bound.first("persons", "time"), bound.first("persons", "event")
    first, last = _dates(bound)
    times, seen = bound.numbers(time), bound.numbers(event)
    if not (time and first and last and _one_clock(bound, first, last)):
        return
    if times is None or seen is None:
        return
    span = _days(bound, last) - _days(bound, first)
    if pd.api.types.is_timedelta64_dtype(span.dtype):
        span = span / pd.Timedelta(days=1)
    late = bound.numbers(bound.first("persons", "entry"))
    rows = rows_where((seen == 1) & (times > span + (0 if late is None else late.fillna(0)) + 1))
    if rows:
        told = bound.told(time.table, rows)
        message = f"Event after the end of observation ({last.column!r}) in {told}."
        yield bound.problem(time, message, "Censor at the exit, or correct the exit.")


def recorded_events_precede_exit(bound: Bound) -> Iterator[Finding]:
    """Rows of the events table lie before the person's exit, and none follows a death."""
    day = bound.first("events", "day")
    person = bound.first("events", "person")
    if day is None or person is None or bound.days(day) is None:
        return
    last = bound.first("persons", "exit_date")
    exits = _person_days(bound, last, person) if last and _one_clock(bound, day, last) else None
    if last is not None and exits is not None:
        rows = rows_where(_days(bound, day) > exits)
        if rows:
            message = f"After the person's exit ({last.column!r}) in {bound.told(day.table, rows)}."
            yield bound.problem(day, message, "Remove events after exit, or correct the exit.")
    rows = _after_death(bound, person, day)
    if rows:
        message = f"An event after the same person's death in {bound.told(day.table, rows)}."
        yield bound.problem(day, message, "Correct the days or the people.")


def _after_death(bound: Bound, person: Use, day: Use) -> list[int]:
    cause = bound.first("events", "cause")
    if cause is None:
        return []
    labels = bound.variable(cause).values
    fatal = [code for code, label in labels.items() if DEATH.search(label)]
    days, died = _days(bound, day), bound.values(cause).isin(fatal)
    death = days.where(died).groupby(bound.values(person)).transform("min")
    return list(rows_where(days > death))


def stays_run_forward(bound: Bound) -> Iterator[Finding]:
    """A stay ends after it starts; stays of one person that overlap are told."""
    person, start, stop = (bound.first("stays", r) for r in ("person", "start", "stop"))
    if not (person and start and stop and _one_clock(bound, start, stop)):
        return
    begins, ends = _days(bound, start), _days(bound, stop)
    rows = rows_where(begins > ends)
    if rows:
        message = f"Starts after its end ({stop.column!r}) in {bound.told(start.table, rows)}."
        yield bound.problem(start, message, "Correct the days.")
    empty = int((begins == ends).sum())
    if empty:
        words = " start and end on one day and add no time in a house."
        yield caution("stays", f"stays.{start.column}", Count(empty, "stays"), words)
    overlaps = _overlaps(bound.values(person), begins, ends)
    if overlaps.any():
        yield caution(
            "stays",
            f"stays.{start.column}",
            Count(int(overlaps.sum()), "stays"),
            " begin before an earlier stay of the same person has ended (",
            Count(int(bound.values(person)[overlaps].nunique())),
            " people).",
        )


def _overlaps(person: Values, start: Values, stop: Values) -> Values:
    """Stays that begin before an earlier one of the same person ends; moving on one day is none."""
    rows = to_frame(("person", person), ("start", start), ("stop", stop)).dropna()
    rows = rows.sort_values(["person", "start", "stop"], kind="stable")
    so_far = rows.groupby("person")["stop"].cummax()
    before = so_far.groupby(rows["person"]).shift()
    return (rows["start"] < before).reindex(person.index, fill_value=False)


def meetings_lie_within(bound: Bound) -> Iterator[Finding]:
    """Meetings before entry or after exit, and those without a day, are told with their number."""
    day, person = bound.first("meetings", "meeting_day"), bound.first("meetings", "person")
    if day is None or person is None or bound.days(day) is None:
        return
    days = _days(bound, day)
    undated = int(days.isna().sum())
    if undated:
        yield _meetings(day, undated, " meetings have no day and cannot be used.")
    early = int((days < _first_day(bound, day, person)).sum())
    if early:
        yield _meetings(day, early, " meetings lie before the person's entry.")
    for role, words in (("exit_date", "exit"), ("diary_to", "last day of the diary")):
        last = bound.first("persons", role)
        if last and _one_clock(bound, day, last):
            late = int((days > _person_days(bound, last, person)).sum())
            if late:
                yield _meetings(day, late, f" meetings lie after the person's {words}.")


def _first_day(bound: Bound, day: Use, person: Use) -> Values | float:
    """Entry, on the clock of the meetings: a date, or day 0, as numbered days run from entry."""
    first = bound.first("persons", "entry_date")
    if bound.numbers(day) is not None:
        return 0.0
    if first and _one_clock(bound, day, first):
        return _person_days(bound, first, person)
    return _days(bound, day)


def _meetings(day: Use, n: int, words: str) -> Finding:
    return caution("meetings", f"meetings.{day.column}", Count(n, "meetings"), words)


def _dates(bound: Bound) -> tuple[Use | None, Use | None]:
    return bound.first("persons", "entry_date"), bound.first("persons", "exit_date")


def _days(bound: Bound, use: Use) -> Values:
    days = bound.days(use)
    if days is None:
        raise TypeError(f"{use.column} cannot be ordered")  # _one_clock was not asked first
    return days


def _one_clock(bound: Bound, a: Use, b: Use) -> bool:
    """Say whether two columns count on one clock: both dates, or both numbers of days."""
    left, right = bound.days(a), bound.days(b)
    if left is None or right is None or left.dtype.kind != right.dtype.kind:
        return False
    return bound.variable(a).kind == bound.variable(b).kind


def _person_days(bound: Bound, use: Use, person: Use) -> Values:
    """A day of the persons table, for each row of the table of `person`."""
    key = bound.first("persons", "person")
    rows = bound.values(person)
    if key is None:
        return pd.Series(np.nan, index=rows.index)
    known = to_frame(("key", bound.values(key)), ("day", _days(bound, use))).dropna(subset=["key"])
    by_person = known.drop_duplicates("key").set_index("key")["day"]
    found = by_person.reindex(rows)
    found.index = rows.index
    return found


RULES = (
    times_are_possible,
    entry_precedes_exit,
    somebody_is_observed,
    events_precede_exit,
    recorded_events_precede_exit,
    stays_run_forward,
    meetings_lie_within,
)
