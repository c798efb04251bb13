"""Days in custody or another controlled environment: on them nobody is at risk.

A spell (first, last] covers the days after going in up to the last day inside, as a stay in a
house does; the day of going in is still at risk, and the day after the last is again.
Checked: day by day in a loop (tests/models/test_custody.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.columns import Array, IntArray, Mask
from recovery_stats.models.follow_up import read_days, read_spells

Keys = Any  # what names people, in any order and as often as there are rows
OPEN = 2.0**40  # the last day of a spell that has not ended
FAR = 2**20  # days beyond which nobody is followed


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """Spells of people, sorted by person and day, none meeting another of the same person.

    key (P,): who has a spell. person (m,): position in key; first, last (m,): days.
    """

    key: pd.Index[Any]
    person: IntArray
    first: Array
    last: Array

    @classmethod
    def of(cls, table: Dataset, *, person: str, start: str, stop: str | None) -> Spells:
        """Read one row a spell, or one row a day where there is no `stop`; an empty stop is open.

        Raises DataError for a spell without a beginning or that ends before it begins.
        """
        if stop is None:
            table.require(person, start, table="spells")
            last = np.floor(read_days(table, start))
            first = last - 1.0
        else:
            first, last = read_spells(table, person, start, stop, "spells")
            first, last = np.floor(first), np.floor(np.minimum(last, OPEN))
        who = table.frame[person]
        real = (who.notna() & (last > first)).to_numpy()
        code, key = pd.factorize(who[real], sort=True)
        order = np.lexsort((first[real], code))
        return _joined(pd.Index(key), code[order], first[real][order], last[real][order])

    def __len__(self) -> int:
        return len(self.person)

    def spell_of(self, people: Keys, day: Array) -> IntArray:
        """Position of the spell that covers each (person, day), -1 where there is none (k,)."""
        code = self.key.get_indexer(pd.Index(people))
        if not len(self):
            return np.full(len(code), -1)
        before = np.searchsorted(_ranked(self.person, self.first), _ranked(code, day)) - 1
        at = np.maximum(before, 0)
        inside = (before >= 0) & (code >= 0) & (self.person[at] == code) & (day <= self.last[at])
        return np.where(inside, at, -1)

    def covers(self, people: Keys, day: Array) -> Mask:
        """Whether each (person, day) lies in a spell (k,)."""
        return self.spell_of(people, day) >= 0

    def next_after(self, people: Keys, day: Array) -> Array:
        """The first day of the first spell that begins on `day` or later, inf without one (k,)."""
        code = self.key.get_indexer(pd.Index(people))
        if not len(self):
            return np.full(len(code), np.inf)
        at = np.searchsorted(_ranked(self.person, self.first), _ranked(code, day))
        there = (at < len(self)) & (code >= 0)
        at = np.where(there, at, 0)
        return np.where(there & (self.person[at] == code), self.first[at], np.inf)

    def days(self, people: Keys, zero: Array, horizon: int) -> Mask:
        """Whether each person is inside on days zero + 1 … zero + horizon (n, horizon)."""
        n = len(zero)
        day = zero[:, None] + 1.0 + np.arange(horizon)
        repeated = np.repeat(np.asarray(people), horizon)
        return self.covers(repeated, day.ravel()).reshape(n, horizon)

    def outside(self, people: Keys, start: Array, stop: Array) -> tuple[IntArray, Array, Array]:
        """The parts of each (start, stop] outside every spell: whose, from and to."""
        code = self.key.get_indexer(pd.Index(people))
        place = np.full(len(self.key), -1)
        place[code[code >= 0]] = np.flatnonzero(code >= 0)
        mine = place[self.person]
        kept = mine >= 0
        who = np.concatenate([np.arange(len(start)), mine[kept]])
        begins = np.concatenate([start, self.last[kept]])
        ends = np.concatenate([stop, self.first[kept]])
        # the i-th beginning of a person belongs to the i-th end, as spells do not meet
        begins = begins[np.lexsort((begins, who))]
        ends = ends[np.lexsort((ends, who))]
        who = np.sort(who)
        begins, ends = np.maximum(begins, start[who]), np.minimum(ends, stop[who])
        real = begins < ends
        return who[real], begins[real], ends[real]


def _joined(key: pd.Index[Any], person: IntArray, first: Array, last: Array) -> Spells:
    """Spells of one person that meet or overlap are one."""
    if not len(person):
        return Spells(key, person.astype(np.intp), first, last)
    reach = pd.Series(last).groupby(person).cummax().to_numpy()
    new = np.ones(len(person), dtype=bool)
    new[1:] = (person[1:] != person[:-1]) | (first[1:] > reach[:-1])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(person)) - 1
    return Spells(key, person[begins].astype(np.intp), first[begins], reach[ends])


def _ranked(person: IntArray, day: Array) -> IntArray:
    """Pairs of person and whole day as numbers that compare by person, then by day."""
    whole = np.clip(np.ceil(day), -FAR, FAR).astype(np.int64)
    return np.asarray(np.asarray(person, dtype=np.int64) * (2 * FAR + 1) + whole)
