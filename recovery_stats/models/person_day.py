"""Exposures of each person on each day, from what was recorded on the days before.

A day before entry (day 0) without a record counts as a day without a meeting, not as unknown, so
the windows of the first days at risk count what is known since entry. A day from entry on that
the diary does not cover is unknown, and so is every window that holds one.

The days of a block of people lie one after the other in one long grid; running totals over it
give every window by two look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.follow_up import People, Records

NOBODY = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Exposures:
    windows: tuple[int, ...]
    half_life: float | None
    daily: bool
    lag: int
    total: bool = False
    decayed: bool = False
    house_windows: bool = False

    @property
    def reach(self) -> int:
        """How many days back an exposure looks."""
        return self.lag + max(self.windows, default=0) + 1


@dataclass(frozen=True, slots=True)
class Grid:
    """Days of a block of people, one after the other: person i has days first[i] … from base[i].

    The grid of everyone starts at or before day 0 and as far back as any exposure looks.
    """

    first: IntArray
    base: IntArray
    size: int

    @classmethod
    def of(cls, start: Array, stop: Array, reach: int) -> Grid:
        first = np.minimum(np.floor(start).astype(np.int64) + 1 - reach, 0)
        length = np.ceil(stop).astype(np.int64) - first + 1
        base = np.concatenate(([0], np.cumsum(length)))
        return cls(first, base[:-1], int(base[-1]))

    def put(self, person: IntArray, day: IntArray, values: Array) -> Array:
        """Sum `values` by cell; days beyond the grid are left out, earlier ones too."""
        at = day - self.first[person]
        ends = np.append(self.base[1:], self.size)
        inside = (at >= 0) & (at < (ends - self.base)[person])
        cell = self.base[person[inside]] + at[inside]
        return np.bincount(cell, values[inside], self.size).astype(float)


def rows_of(
    people: People, block: IntArray, diary: Records, homes: Records | None, asked: Exposures
) -> dict[str, NDArray[Any]]:
    """The rows of a block of people, as columns; `who` is the position among people."""
    start, stop = people.start[block], people.stop[block]
    grid = Grid.of(start, stop, asked.reach)
    first = np.floor(start).astype(np.int64) + 1
    days = np.ceil(stop).astype(np.int64) - first + 1
    who = np.repeat(np.arange(len(block)), days)
    ends = np.cumsum(days)
    day = np.arange(len(who)) - np.repeat(ends - days - first, days)
    cell = grid.base[who] + day - grid.first[who]
    exposures: dict[str, Array] = {}
    if diary.asked:
        exposures |= _attendance(people, block, diary.of(block), grid, who, day, cell, asked)
    if homes is not None:
        exposures |= _residence(homes.of(block), grid, who, cell, asked)
    begin = np.maximum(day - 1.0, start[who])
    end = np.minimum(day.astype(float), stop[who])
    happened = np.zeros(len(who))
    happened[ends - 1] = people.event[block]
    columns = {"who": who + block[0], "start": begin, "stop": end, "event": happened, **exposures}
    return columns if asked.daily else _merged(columns)


def _attendance(
    people: People,
    block: IntArray,
    records: tuple[IntArray, IntArray, Array],
    grid: Grid,
    who: IntArray,
    day: IntArray,
    cell: IntArray,
    asked: Exposures,
) -> dict[str, Array]:
    """Meetings in each window before the day, and the time since the last.

    nan where the window holds an unknown day from entry on; before entry silence is 0.
    """
    person, when, count = records
    known = ~np.isnan(count)
    met = grid.put(person[known], when[known], count[known])
    unknown = _uncovered(people, block, grid)
    unknown |= grid.put(person[~known], when[~known], np.ones(int((~known).sum()))) > 0
    total = np.concatenate(([0.0], np.cumsum(met)))
    blind = np.concatenate(([0], np.cumsum(unknown)))
    upto = cell - asked.lag
    out = {}
    for width in asked.windows:
        values = total[upto] - total[upto - width]
        values[blind[upto] > blind[upto - width]] = np.nan
        out[f"meetings_last{width}"] = values
    if asked.total:
        entry = grid.base - grid.first  # day 0
        out["meetings_total"] = np.where(
            blind[upto] > blind[np.minimum(entry[who], upto)],
            np.nan,
            total[upto] - total[np.minimum(entry[who], upto)],
        )
    if asked.decayed and asked.half_life is not None:
        decayed = _decayed(met, records, grid, asked.half_life)
        values = np.exp2(-(1 + asked.lag) / asked.half_life) * decayed[upto - 1]
        early_unknown = np.isnan(count) & (when < grid.first[person])
        never_known = np.bincount(person[early_unknown], minlength=len(block)) > 0
        unclear_now = (blind[upto] > blind[grid.base[who]]) | never_known[who]
        out["meetings_decayed"] = np.where(unclear_now, np.nan, values)
    if not asked.daily:
        return out
    early = when < grid.first[person]
    before_grid = _latest(person, when, early & (count > 0), len(block))
    unclear = _latest(person, when, early & np.isnan(count), len(block)) > before_grid
    since = _days_since(met, blind, grid, before_grid, unclear, who, day, upto)
    out["days_since_meeting"] = np.where(np.isinf(since), np.nan, since)
    if asked.half_life is not None:
        out["recency"] = np.exp2(-since / asked.half_life)
    return out


def _decayed(
    met: Array, records: tuple[IntArray, IntArray, Array], grid: Grid, half_life: float
) -> Array:
    """Meetings up to and with each cell's day, each halved every `half_life` days since."""
    person, when, count = records
    before = (when < grid.first[person]) & ~np.isnan(count)
    age = (grid.first[person] - when)[before]
    earlier = count[before] * np.exp2(-age / half_life)
    added = met.copy()
    added[grid.base] += np.bincount(person[before], earlier, len(grid.base))
    keep = 2.0 ** (-1 / half_life)
    running = lfilter([1.0], [1.0, -keep], added)
    # what the person before in the grid left behind is not this one's
    left = np.concatenate(([0.0], running))[grid.base]
    lengths = np.diff(np.append(grid.base, grid.size))
    age = np.arange(grid.size) - np.repeat(grid.base, lengths) + 1
    return np.asarray(running - np.repeat(left, lengths) * np.exp2(-age / half_life))


def _uncovered(people: People, block: IntArray, grid: Grid) -> NDArray[np.bool_]:
    """Cells from entry (day 0) on that the diary does not cover."""
    lengths = np.diff(np.append(grid.base, grid.size))
    who = np.repeat(np.arange(len(block)), lengths)
    day = np.arange(grid.size) - np.repeat(grid.base - grid.first, lengths)
    low, high = np.ceil(people.diary_from[block]), np.floor(people.diary_to[block])
    return np.asarray((day >= 0) & ((day < low[who]) | (day > high[who])))


def _days_since(
    met: Array,
    blind: IntArray,
    grid: Grid,
    before_grid: IntArray,
    unclear: NDArray[np.bool_],
    who: IntArray,
    day: IntArray,
    upto: IntArray,
) -> Array:
    """Days from the last meeting (before cell `upto`); inf before the first, nan if unknown.

    before_grid (people,): the last meeting on a day before the grid, NOBODY without one;
    unclear: an unknown count came after it.
    """
    last_cell = np.maximum.accumulate(np.where(met > 0, np.arange(grid.size), -1))
    last = np.concatenate(([-1], last_cell))[upto]
    base = grid.base[who]
    seen = last >= base
    last_day = np.where(seen, last - base + grid.first[who], before_grid[who])
    since = np.where(last_day == NOBODY, np.inf, day - last_day.astype(float))
    after = np.where(seen, last + 1, base)
    unknown = (blind[upto] > blind[after]) | (~seen & unclear[who])
    return np.where(unknown, np.nan, since)


def _latest(person: IntArray, when: IntArray, these: NDArray[np.bool_], people: int) -> IntArray:
    """The last day among `these` records of each person, NOBODY without one."""
    latest = np.full(people, NOBODY)
    np.maximum.at(latest, person[these], when[these])
    return latest


def _residence(
    records: tuple[IntArray, IntArray, Array],
    grid: Grid,
    who: IntArray,
    cell: IntArray,
    asked: Exposures,
) -> dict[str, Array]:
    """Whether resident when the day begins, and the days resident before it."""
    person, when, step = records
    moved = grid.put(person, np.maximum(when, grid.first[person]), step)
    level = np.cumsum(moved)
    level -= np.repeat(
        np.concatenate(([0.0], level))[grid.base], np.diff(np.append(grid.base, grid.size))
    )
    resident = (level > 0.5).astype(float)
    out = {"in_house": resident[cell]}
    if asked.daily:
        nights = np.concatenate(([0.0], np.cumsum(resident)))
        entry = nights[grid.base - grid.first + 1]  # day 1, the first day after entry
        out["house_days"] = nights[cell] - entry[who]
        for width in asked.windows if asked.house_windows else ():
            out[f"house_days_last{width}"] = nights[cell] - nights[cell - width]
    return out


def _merged(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Join neighbouring days of one person on which every exposure is the same."""
    new = np.ones(len(columns["who"]), dtype=bool)
    new[1:] = columns["who"][1:] != columns["who"][:-1]
    for name, values in columns.items():
        if name not in ("who", "start", "stop", "event"):
            a, b = values[1:], values[:-1]
            new[1:] |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(new)) - 1
    return {k: v[last if k in ("stop", "event") else first] for k, v in columns.items()}
