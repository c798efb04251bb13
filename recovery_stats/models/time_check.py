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

    person, stratum: whole numbers, None where not known. rows: names the rows of a condition.
    """

    times: Times
    surv: Surv
    person: IntArray | None
    stratum: IntArray | None
    rows: Callable[[Mask], str]
    competing: bool

    def refuse_faults(self) -> None:
        """Raise DataError with every fault found, its people, rows, columns and cure."""
        faults = [*self._times(), *self._events()]
        # overlaps of rows that run backwards are no news
        faults = faults or list(self._overlaps())
        if len(faults) == 1:
            raise DataError(faults[0])
        if faults:
            told = " ".join(f"({j}) {fault}" for j, fault in enumerate(faults, 1))
            raise DataError(f"{len(faults)} faults of times and events: {told}")

    def _count(self, where: Mask) -> str:
        """Rows and people, never who they are: '3 rows of 2 people (rows 4, 9 and 11)'."""
        n = int(where.sum())
        said = f"{n} row{'' if n == 1 else 's'}"
        if self.person is not None:
            people = len(np.unique(self.person[where]))
            said += f" of {people} {'person' if people == 1 else 'people'}"
        return f"{said} ({self.rows(where)})"

    def _times(self) -> Iterator[str]:
        start, stop = self.times.start, self.times.stop
        for column, values in ((self.surv.start, start), (self.surv.stop, stop)):
            if values is not None and (values < 0).any():
                yield (
                    f"{column} is negative in {self._count(values < 0)}; time runs from entry, "
                    "which is 0."
                )
        if start is not None and (start >= stop).any():
            yield (
                f"{self.surv.start} is not before {self.surv.stop} in "
                f"{self._count(start >= stop)}; a row is observed on (start, stop] and must have "
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
            cure = f"Recode it, or name the event in the formula: {column} == 2."
            if not self.competing and set(np.unique(event).tolist()) == {1.0, 2.0}:
                cure = f"If 2 is the event, as R and SPSS often have it, write {column} == 2."
            yield f"Column {column!r} must be {rule}; it is neither in {self._count(wrong)}. {cure}"

    def _overlaps(self) -> Iterator[str]:
        """A person cannot be at risk twice at one time, nor come back after censoring at 0."""
        if self.person is None:
            return
        start, stop = self.times.start, self.times.stop
        begin = np.zeros(len(stop)) if start is None else start
        who = self.person
        if start is None and self.stratum is not None:
            who = who * (int(self.stratum.max(initial=0)) + 1) + self.stratum
        where, after = overlapping(who, begin, stop, self.times.event)
        if not where.any():
            return
        if start is None:
            yield (
                f"In {self._count(where)} a person is observed again from the beginning, for no "
                f"row says when it starts{self._after(after)}; give Surv(start, stop, event), one "
                "stratum for each kind of event, or cluster= in the place of person=."
            )
        else:
            yield (
                f"In {self._count(where)} {self.surv.start} lies before the {self.surv.stop} of "
                f"the person's row before{self._after(after)}; the rows of one person must not "
                "overlap: cut the earlier row short, or take out what is there twice."
            )

    def _after(self, after: Mask) -> str:
        if not after.any():
            return ""
        people = len(np.unique(self.person[after])) if self.person is not None else 0
        return f" ({people} of the people have the event after the row that censored them)"


def overlapping(who: IntArray, start: Array, stop: Array, event: Array) -> tuple[Mask, Mask]:
    """Rows (n,) that start before the row before them has stopped; those of them with an event
    after one that ended without."""
    order = np.lexsort((stop, start, who))
    person, begin, end, happened = who[order], start[order], stop[order], event[order] != 0
    bad = (person[1:] == person[:-1]) & (begin[1:] < end[:-1])
    where, after = np.zeros(len(who), dtype=bool), np.zeros(len(who), dtype=bool)
    where[order[1:][bad]] = True
    after[order[1:][bad & happened[1:] & ~happened[:-1]]] = True
    return where, after
