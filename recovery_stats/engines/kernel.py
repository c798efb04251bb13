"""How long a meeting protects: exposure on each day from the meetings before it, for a half-life.

With lag = day - day of the meeting (1 or more) and H the half-life,

    last        2^(-lag/H) of the last meeting
    sum         the sum of 2^(-lag/H) over all meetings before
    saturating  1 - the product of 1 - 2^(-lag/H) over all meetings before

and 0 before the first meeting. Each has its derivative in log H.
Checked: a loop over days and meetings, finite differences (tests/engines/test_kernel.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray

Shape = Literal["last", "sum", "saturating"]
LN2 = float(np.log(2.0))
SPARSE = 50  # days on the line for each row and meeting, up to which a line is the shorter way
FADED = 30.0  # half-lives after which less than 1e-9 of a meeting is left


@dataclass(frozen=True, slots=True)
class Exposed:
    """Rows (days at risk) and the meetings before each.

    day (n,): day at risk. last (n,): index of the last meeting strictly before it, -1 for none.
    meeting_day (J,), count (J,): meetings sorted by person and day, one entry a day.
    first (J,): index of the first meeting of the same person.
    """

    day: IntArray
    last: IntArray
    meeting_day: IntArray
    count: Array
    first: IntArray

    @classmethod
    def of(
        cls, person: IntArray, day: IntArray, who: IntArray, when: IntArray, count: Array
    ) -> Exposed:
        """Match rows (person, day) to meetings (who, when, count), persons numbered from 0."""
        span = int(max(day.max(initial=0), when.max(initial=0))) + 2
        low = int(min(day.min(initial=0), when.min(initial=0)))
        span -= low
        keys, inverse = np.unique(who * span + (when - low), return_inverse=True)
        total = np.bincount(inverse, count, len(keys)).astype(float)
        met = total > 0
        keys, total = keys[met], total[met]
        owner, at = keys // span, keys % span + low
        last = np.searchsorted(keys, person * span + (day - low)) - 1
        mine = (last >= 0) & (owner[np.maximum(last, 0)] == person) if len(keys) else last >= 0
        first = np.searchsorted(owner, owner)
        return cls(day, np.where(mine, last, -1), at, total, first)

    @property
    def lag(self) -> Array:
        """Days since the last meeting (n,), inf before the first."""
        if not len(self.meeting_day):
            return np.full(len(self.day), np.inf)
        since = (self.day - self.meeting_day[np.maximum(self.last, 0)]).astype(float)
        return np.where(self.last >= 0, since, np.inf)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One shape of protection on given rows; call `at` for its values at a half-life."""

    shape: Shape
    rows: Exposed
    lag: Array
    chain: Chain | None

    @classmethod
    def of(cls, shape: Shape, rows: Exposed) -> Kernel:
        return cls(shape, rows, rows.lag, Chain.of(rows) if shape == "sum" else None)

    def at(self, half_life: float) -> Array:
        """Exposure (n,) at a half-life in days."""
        return self.with_slope(half_life)[0]

    def with_slope(self, half_life: float) -> tuple[Array, Array]:
        """Exposure (n,) and its derivative in log half-life (n,)."""
        if self.shape == "last":
            return last_meeting(self.lag, half_life)
        if self.chain is not None:
            return self._sum(self.chain, half_life)
        return self._saturating(half_life)

    def _sum(self, chain: Chain, half_life: float) -> tuple[Array, Array]:
        """A running sum from meeting to meeting, carried on to the day."""
        if not len(chain.count):
            return np.zeros(len(self.lag)), np.zeros(len(self.lag))
        at_meeting, slope = chain.running(half_life)
        have, here = self.rows.last >= 0, chain.place
        lag = np.where(have, self.lag, 0.0)
        fade = np.where(have, np.exp2(-lag / half_life), 0.0)
        value, rise = at_meeting[here] * fade, slope[here] * fade
        return value, rise + value * lag * (LN2 / half_life)

    def _saturating(self, half_life: float) -> tuple[Array, Array]:
        """Back from meeting to meeting, for the rows whose meetings have not faded yet."""
        rows = self.rows
        log_left, slope = np.zeros(len(rows.day)), np.zeros(len(rows.day))
        active = np.flatnonzero((rows.last >= 0) & (self.lag < FADED * half_life))
        at = rows.last[active]
        while len(active):
            lag = (rows.day[active] - rows.meeting_day[at]).astype(float)
            near = lag < FADED * half_life
            active, at, lag = active[near], at[near], lag[near]
            fade = np.exp2(-lag / half_life)
            log_left[active] += rows.count[at] * np.log1p(-fade)
            slope[active] += rows.count[at] * (fade / (1.0 - fade)) * lag * (LN2 / half_life)
            more = at > rows.first[at]
            active, at = active[more], at[more] - 1
        return -np.expm1(log_left), np.exp(log_left) * slope


def last_meeting(lag: Array, half_life: float) -> tuple[Array, Array]:
    """2^(-lag/H) and its derivative in log H, for lags in days (inf: no meeting yet)."""
    value = np.exp2(-lag / half_life)
    finite = np.where(np.isfinite(lag), lag, 0.0)
    return value, value * finite * (LN2 / half_life)


def weigh_by_lag(rows: Exposed, weight: Array) -> Array:
    """Meetings before each row, weighed by how many days ago: (q, n).

    weight (longest, q): of a meeting 1, 2, … `longest` days before. The days of every person with
    a meeting lie behind each other on one line, with room for the longest lag between them.
    """
    longest, q = weight.shape
    out = np.zeros((q, len(rows.day)))
    if not len(rows.meeting_day):
        return out
    begins = np.flatnonzero(rows.first == np.arange(len(rows.first)))
    line = rows.meeting_day - rows.meeting_day[rows.first]
    length = line[np.append(begins[1:], len(line)) - 1] + longest + 1
    if int(length.sum()) > SPARSE * (len(rows.day) + len(line)):
        return _weigh_one_by_one(rows, weight, out)
    offset = np.repeat(np.cumsum(length) - length, np.diff(np.append(begins, len(line))))
    counts = np.bincount(line + offset, rows.count, int(length.sum()))
    reached = np.flatnonzero((rows.last >= 0) & (rows.lag <= longest))
    last = rows.last[reached]
    at = line[last] + offset[last] + rows.day[reached] - rows.meeting_day[last]
    for column, of in zip(out, weight.T, strict=True):
        column[reached] = np.convolve(counts, np.append(0.0, of))[at]
    return out


def _weigh_one_by_one(rows: Exposed, weight: Array, out: Array) -> Array:
    """The same where meetings are years apart: back from meeting to meeting, for all rows."""
    longest = len(weight)
    active = np.flatnonzero(rows.last >= 0)
    at = rows.last[active]
    while len(active):
        lag = rows.day[active] - rows.meeting_day[at]
        near = lag <= longest
        active, at, lag = active[near], at[near], lag[near]
        out[:, active] += rows.count[at] * weight[lag - 1].T
        more = at > rows.first[at]
        active, at = active[more], at[more] - 1
    return out


@dataclass(frozen=True, slots=True)
class Chain:
    """Meetings in the order of a running sum: everyone's first, then everyone's second, …

    count, gap (J,): how many, and days since the person's meeting before. before (J,): where
    that one stands, for all but the first ones. ends: where each rank ends. place (n,): where
    the last meeting of each row of `Exposed` stands.
    """

    count: Array
    gap: Array
    before: IntArray
    ends: IntArray
    place: IntArray

    @classmethod
    def of(cls, rows: Exposed) -> Chain:
        J = len(rows.meeting_day)
        rank = np.arange(J) - rows.first
        order = np.argsort(rank, kind="stable")
        stands = np.empty(J, dtype=np.intp)
        stands[order] = np.arange(J)
        gap = np.where(rank > 0, np.diff(rows.meeting_day, prepend=0), 0).astype(float)
        ends = np.cumsum(np.bincount(rank)) if J else np.zeros(0, dtype=np.intp)
        place = stands[np.maximum(rows.last, 0)] if J else np.zeros(len(rows.day), dtype=np.intp)
        return cls(rows.count[order], gap[order], stands[order - 1], ends, place)

    def running(self, half_life: float) -> tuple[Array, Array]:
        """Sum up to each meeting, discounted to its day, and its derivative in log H (J,)."""
        total, slope = self.count.copy(), np.zeros(len(self.count))
        fade = np.exp2(-self.gap / half_life)
        rise = self.gap * (LN2 / half_life)
        for low, high in pairwise(self.ends):
            now, before = slice(low, high), self.before[low:high]
            carried = total[before] * fade[now]
            total[now] += carried
            slope[now] = slope[before] * fade[now] + carried * rise[now]
        return total, slope
