"""Times and events that cannot be: every fault of a table in one message, with its cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.errors import DataError
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.design import Times
from recovery_stats.models.formula import Surv

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What is to be checked, (n,): times, events as read, whose rows, in which stratum.

    person, stratum: whole numbers, None where not known. count: says how many rows and people a
    condition concerns. once: whether a person's follow-up ends with the event.
    """

    times: Times
    surv: Surv
    person: IntArray | None
    stratum: IntArray | None
    count: Callable[[Mask], str]
    competing: bool
    once: bool = False

    def refuse_faults(self) -> None:
        """Raise DataError with every fault found, its people, rows, columns and cure."""
        faults = [*self._times(), *self._events()]
        # overlaps of rows that run backwards are no news
        faults = faults or [*self._overlaps(), *self._after_the_event()]
        if len(faults) == 1:
            raise DataError(faults[0])
        if faults:
            told = " ".join(f"({j}) {fault}" for j, fault in enumerate(faults, 1))
            raise DataError(f"{len(faults)} faults of times and events: {told}")

    def _times(self) -> Iterator[str]:
        start, stop = self.times.start, self.times.stop
        for column, values in ((self.surv.start, start), (self.surv.stop, stop)):
            if values is not None and (values < 0).any():
                yield (
                    f"{column} is negative in {self.count(values < 0)}; time runs from entry, "
                    "which is 0."
                )
        if start is not None and (start >= stop).any():
            yield (
                f"{self.surv.start} is not before {self.surv.stop} in "
                f"{self.count(start >= stop)}; a row is observed on (start, stop] and must have "
                "a length: add half a unit to stays of one day, or correct the dates."
            )

    def _events(self) -> Iterator[str]:
        event = self.times.event
        column = self.surv.event.column if self.surv.event else "event"
        if self.competing:
            wrong = (event < 0) | (event != np.rint(event))
            rule = "0 for censored and 1, 2, … for the causes"
        else:
            wrong = (event != 0) & (event != 1)
            rule = "0 for censored and 1 for the event"
        if wrong.any():
            cure = cure_of_codes(event, column)
            yield f"Column {column!r} must be {rule}; it is neither in {self.count(wrong)}.{cure}"

    def _overlaps(self) -> Iterator[str]:
        """A person cannot be at risk twice at one time, nor come back after censoring at 0."""
        if self.person is None:
            return
        start, stop = self.times.start, self.times.stop
        begin = np.zeros(len(stop)) if start is None else start
        who = self._who() if start is None else self.person
        where, after = overlapping(who, begin, stop, self.times.event)
        if not where.any():
            return
        if start is None:
            yield (
                f"In {self.count(where)} a person is observed again from the beginning, for no "
                f"row says when it starts{self._after(after)}; give Surv(start, stop, event), one "
                "stratum for each kind of event, or cluster= in the place of person=."
            )
        else:
            yield (
                f"In {self.count(where)} {self.surv.start} lies before the {self.surv.stop} of "
                f"the person's row before{self._after(after)}; the rows of one person must not "
                "overlap: cut the earlier row short, or take out what is there twice."
            )

    def _after_the_event(self) -> Iterator[str]:
        """Nobody is at risk of a first event after it."""
        if not self.once or self.person is None or self.times.start is None:
            return
        where = following_an_event(self._who(), self.times.start, self.times.event)
        if where.any():
            yield (
                f"{self.count(where)} come after the row in which the person had the event by "
                f"{self.surv.event.column if self.surv.event else 'the formula'!r}; end follow-up "
                "at the first event, take repeated events to rs.recurrent, or name people by "
                "cluster= in the place of person=."
            )

    def _who(self) -> IntArray:
        """People, or people within each stratum: an event there ends nothing elsewhere."""
        assert self.person is not None
        if self.stratum is None:
            return self.person
        return self.person * (int(self.stratum.max(initial=0)) + 1) + self.stratum

    def _after(self, after: Mask) -> str:
        if not after.any():
            return ""
        people = len(np.unique(self.person[after])) if self.person is not None else 0
        return f" ({people} of the people have the event after the row that censored them)"


def cure_of_codes(event: Array, column: str) -> str:
    """What to write where the event is coded otherwise."""
    if set(np.unique(event).tolist()) == {1.0, 2.0}:
        return f" If 2 is the event, as R and SPSS often have it, write {column} == 2."
    return f" Recode it, or name the event in the formula: {column} == 2."


def following_an_event(who: IntArray, start: Array, event: Array) -> Mask:
    """Rows (n,) of a person that come after a row with the event; rows do not overlap."""
    order = np.lexsort((start, who))
    happened = event[order] != 0
    begins = np.flatnonzero(np.diff(who[order], prepend=-1))
    before = np.cumsum(happened) - happened
    size = np.diff(np.append(begins, len(who)))
    after = np.zeros(len(who), dtype=bool)
    after[order] = before > np.repeat(before[begins], size)
    return after


def overlapping(who: IntArray, start: Array, stop: Array, event: Array) -> tuple[Mask, Mask]:
    """Rows (n,) that start before the row before them has stopped; those of them with an event
    after one that ended without."""
    order = _by_person(who, start, stop)
    person, begin, end, happened = who[order], start[order], stop[order], event[order] != 0
    bad = (person[1:] == person[:-1]) & (begin[1:] < end[:-1])
    where, after = np.zeros(len(who), dtype=bool), np.zeros(len(who), dtype=bool)
    where[order[1:][bad]] = True
    after[order[1:][bad & happened[1:] & ~happened[:-1]]] = True
    return where, after


def _by_person(who: IntArray, start: Array, stop: Array) -> IntArray:
    """Positions of the rows person by person in time; rows that lie so already are not sorted."""
    same = who[1:] == who[:-1]
    later = (start[1:] > start[:-1]) | ((start[1:] == start[:-1]) & (stop[1:] >= stop[:-1]))
    if ((who[1:] > who[:-1]) | (same & later)).all():
        return np.arange(len(who))
    return np.lexsort((stop, start, who))
