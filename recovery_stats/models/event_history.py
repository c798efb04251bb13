"""From persons and a list of events to rows for models of recurrent events, in one call.

    counting   (start, stop] from one event to the next in time since entry: Andersen-Gill, LWYY,
               PWP in total time
    gap        the same rows with the clock set to 0 at each event: PWP in gap time
    marginal   for every event number a row from entry to that event: Wei, Lin & Weissfeld

Checked: rows of survival::bladder and bladder2; by hand (tests/models/test_event_history.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.follow_up import People, check_events, match_people, read_days
from recovery_stats.models.reshape import join_rows

Layout = Literal["counting", "gap", "marginal"]
TERMINAL = 2  # the code that ends a person's history, beside 0 censored and 1 the event


def recurrent_rows(
    persons: pd.DataFrame | Dataset,
    events: pd.DataFrame | Dataset,
    *,
    person: str,
    stop: str,
    event_day: str,
    start: str | None = None,
    event_person: str | None = None,
    terminal: str | None = None,
    layout: Layout = "counting",
    events_at_most: int | None = None,
    keep: Sequence[str] | None = None,
) -> Dataset:
    """Rows of everybody's recurrent events, as `Surv(start, stop, event)` takes them.

    persons: one row a person, with the days of entry (0 without `start`) and end of follow-up.
    events: one row an event, with its person and day. terminal: column of persons, 1 where the
    follow-up ended by death or the like; such rows end with event code 2. events_at_most: how
    many events a person counts for; "marginal" has as many rows a person (default: the most that
    anybody had). keep: which columns of persons come along (all).
    Returns person, start, stop, event, event_number (the event a row leads to) and the columns.
    Raises DataError for events outside the follow-up, twice on one day, or of strangers.
    """
    if layout not in get_args(Layout):
        raise UsageError(unknown("layout", layout, get_args(Layout)))
    if events_at_most is not None and events_at_most < 1:
        raise UsageError("events_at_most is a whole number from 1.")
    table, list_ = _dataset(persons), _dataset(events)
    people = People.of(table, person, stop, None, start, None, None)
    who, day = _read_events(people, list_, event_person or person, event_day)
    ended = _ended(table, terminal)
    _refuse_impossible(people, who, day, ended)
    columns = _chain(people, who, day, ended)
    if events_at_most is not None:
        columns = _some(columns, columns["event_number"] <= events_at_most)
    if layout == "gap":
        origin = columns["start"]
        columns |= {"start": np.zeros(len(origin)), "stop": columns["stop"] - origin}
    elif layout == "marginal":
        columns = _marginal(columns, people.start, events_at_most)
    return join_rows(table, person, columns, keep)


def _dataset(data: pd.DataFrame | Dataset) -> Dataset:
    """A frame as a table, its rows numbered from 1."""
    if isinstance(data, Dataset):
        return data
    return Dataset(data.set_axis(pd.RangeIndex(1, len(data) + 1), axis=0))


def _read_events(people: People, events: Dataset, person: str, day: str) -> tuple[IntArray, Array]:
    """Position among people and day of each event, sorted."""
    events.require(person, day, table="events")
    who = match_people(people, events, person, "events")
    when = read_days(events, day)
    empty, strange = int(np.isnan(when).sum()), int((who < 0).sum())
    if empty or strange:
        raise DataError(
            f"Table 'events' has {empty} rows without a day in {day!r} and {strange} rows whose "
            f"{person!r} is not among the persons; complete them or leave them out."
        )
    order = np.lexsort((when, who))
    return who[order], when[order]


def _ended(persons: Dataset, terminal: str | None) -> NDArray[np.bool_]:
    if terminal is None:
        return np.zeros(len(persons), dtype=bool)
    persons.require(terminal)
    values = read_days(persons, terminal)
    check_events(persons, values, terminal)
    return np.asarray(values == 1)


def _refuse_impossible(people: People, who: IntArray, day: Array, ended: NDArray[np.bool_]) -> None:
    """Events that no follow-up can hold, counted by people."""
    same = np.append(False, (who[1:] == who[:-1]) & (day[1:] == day[:-1]))
    for wrong, what in (
        (day <= people.start[who], "have an event on or before the day of entry"),
        (day > people.stop[who], "have an event after the end of follow-up"),
        (same, "have two events on one day; keep one of them"),
        (ended[who] & (day == people.stop[who]), "have an event on the day of the terminal one"),
    ):
        if wrong.any():
            raise DataError(
                f"{len(np.unique(who[wrong]))} people {what} ({int(wrong.sum())} events). A person "
                "is followed on (start, stop], with one event at a time."
            )


def _chain(
    people: People, who: IntArray, day: Array, ended: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """One row to each event, and one from the last to the end of follow-up where that is later."""
    last = people.start.copy()
    np.maximum.at(last, who, day)
    open_ = np.flatnonzero(people.stop > last)
    everyone = np.concatenate([who, open_])
    stop = np.concatenate([day, people.stop[open_]])
    event = np.concatenate([np.ones(len(who)), np.where(ended[open_], TERMINAL, 0)])
    order = np.lexsort((stop, everyone))
    everyone, stop, event = everyone[order], stop[order], event[order]
    first = np.append(True, everyone[1:] != everyone[:-1])
    start = np.where(first, people.start[everyone], np.append(0.0, stop[:-1]))
    place = np.arange(len(everyone))
    number = place - np.maximum.accumulate(np.where(first, place, 0)) + 1
    return {"who": everyone, "start": start, "stop": stop, "event": event, "event_number": number}


def _marginal(
    columns: dict[str, NDArray[Any]], entry: Array, at_most: int | None
) -> dict[str, NDArray[Any]]:
    """For each person and number the row to that event, or to the end of a person with fewer."""
    number, who = columns["event_number"], columns["who"]
    K = at_most or int(number[columns["event"] == 1].max(initial=1))
    final = np.append(who[1:] != who[:-1], True)
    times = np.where(final, np.maximum(K - number + 1, 1), 1)
    rows = np.repeat(np.arange(len(who)), times)
    later = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    out = _some(columns, rows)
    # a row repeated for numbers that its person did not reach is censored there
    reached = (later == 0) | (out["event"] == TERMINAL)
    out |= {"start": entry[out["who"]], "event": np.where(reached, out["event"], 0.0)}
    out["event_number"] = out["event_number"] + later
    return _some(out, out["event_number"] <= K)


def _some(columns: dict[str, NDArray[Any]], rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in columns.items()}
