"""Relapse defined otherwise: the same people with another time and event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recovery_stats.analyses._meeting_people import EVENT, Asked, read_people
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.errors import UsageError

MOST = 9  # definitions told beside the main one
NAMES = tuple(f"definition[{j}]" for j in range(1, MOST + 1))


def definitions(asked: Asked, study: Study, people: Dataset) -> Iterator[tuple[str, str, Asked]]:
    """Name, label and question of each other definition; UsageError where columns do not pair."""
    q = asked.q
    if len(q.other_time) != len(q.other_event):
        raise UsageError(
            f"Options 'other_time' ({len(q.other_time)}) and 'other_event' "
            f"({len(q.other_event)}) must name as many columns: a time and an event for each "
            "definition, in the same order."
        )
    if len(q.other_time) > MOST:
        raise UsageError(f"At most {MOST} other definitions of relapse can be told.")
    for name, time, event in zip(NAMES, q.other_time, q.other_event, strict=False):
        there = replace(q, time=time, event=event, known=None)
        label = study["persons"].label(event)
        yield name, label, replace(asked, q=there, event=event)


def redefined(asked: Asked, study: Study, people: Dataset) -> Dataset:
    """The people under a definition; who relapsed by the main one alone is censored, uncaused.

    people: under the main definition.
    """
    found, cause = read_people(asked, study), asked.q.cause
    if cause is None or not (people.frame[EVENT] == 1).any():
        return found
    relapse = people.frame.loc[people.frame[EVENT] == 1, cause].iloc[0]
    values = found.frame[cause]
    return found.with_column(found.variable(cause), values.where(values != relapse, 0.0))
