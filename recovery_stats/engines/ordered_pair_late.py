"""The pairs of `ordered_pair` where rows enter late: a partner is at risk at the time of the event.

A row with moment m and entry e is the partner of the events at moments in (e, m). Where the rows
at risk at a moment lie close together in the order of their moments (person-weeks, visits), each
event is compared with them outright; else the partners that are yet to enter are taken out of
those that leave later.

Checked: all pairs by brute force (tests/engines/test_ordered_pair.py); the wavelet matrix of
`concordance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.ordered_pair import Mask, PairCounts, count_pairs
from recovery_stats.engines.risk_set import Array, Ints, number_times, smallest_unsigned

OUTRIGHT = 60  # comparisons a row at most, for comparing outright to be the shorter way
FEW_PAIRS = 1 << 16  # events times rows up to which all are compared with all
TOGETHER = 200  # events compared at once: their counts fit into a byte


def count_late(
    x: Array, moment: Ints, entry: Ints, stratum: Ints | None, event: Mask
) -> tuple[Ints | None, PairCounts]:
    """Count for every row (n,) the pairs it is part of, by the order of their x.

    moment, entry (n,): whole numbers from 0, in each stratum above those of the strata before;
    event (n,). Events at one moment are no partners. Returns which rows the counts are of (None
    for rows as given), and the counts.
    """
    band = _Band.of(moment, entry, event)
    if band.work <= OUTRIGHT * len(x):
        return band.order, band.count(x[band.order])
    return None, _less_those_to_come(x, moment, entry, stratum, event)


def count_few(x: Array, moment: Ints, entry: Ints | None, event: Mask) -> PairCounts:
    """The same for few rows: every event beside every row. entry None: all from the beginning.

    Products with ones count the pairs: as floats of 32 bits they are exact up to 2^24.
    """
    died = np.flatnonzero(event)
    wide = np.min_scalar_type(len(x))  # holds every rank and every count
    rank, moment = number_times(x)[1].astype(wide), smallest_unsigned(moment)
    at, own = moment[died], rank[died]
    when, of = at[:, None], own[:, None]
    pair = moment > when
    if entry is not None:
        pair &= entry < when
    counts = np.zeros((6, len(x)), np.int64)
    for kind, pairs in enumerate(((rank < of) & pair, (rank == of) & pair, pair)):
        ones = pairs.view(np.uint8)
        counts[kind].put(died, np.add.reduce(ones, axis=1, dtype=wide))
        np.add.reduce(ones, axis=0, dtype=wide, out=counts[3 + kind])
    counts[2::3] -= counts[:5:3] + counts[1::3]
    return PairCounts.of(list(counts), _pairs_alike(at * np.int64(len(x)) + own))


def _pairs_alike(values: Ints) -> int:
    """How many pairs have the same value."""
    values.sort()
    same = values[1:] == values[:-1]
    if not same.any():
        return 0
    size = np.bincount(np.cumsum(np.append(True, ~same)))
    return int(size @ (size - 1)) // 2


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """Rows in the order of their moment; for each moment with events the rows at risk lie within.

    died: sorted positions of the events, in runs `starts` of one moment `at` (T,). low, high (T,):
    between which sorted positions those that outlive the moment and have entered by it lie.
    """

    order: Ints
    moment: NDArray[Any]
    entry: NDArray[Any]
    died: Ints
    starts: Ints
    at: Ints
    low: Ints
    high: Ints

    @classmethod
    def of(cls, moment: Ints, entry: Ints, event: Mask) -> _Band:
        """How far up the order those reach who have entered by each moment of an event."""
        kind = np.min_scalar_type(int(moment.max()) + 1)
        moment, entry = moment.astype(kind), entry.astype(kind)
        order = np.argsort(moment, kind="stable")
        sorted_moment, sorted_entry = moment[order], entry[order]
        died = np.flatnonzero(event[order])
        when = sorted_moment[died]
        starts = np.flatnonzero(np.diff(when.astype(np.int64), prepend=-1))
        at = when[starts]
        last = np.zeros(int(sorted_moment[-1]) + 2, kind)
        np.maximum.at(last[1:], sorted_entry, sorted_moment)
        reach = np.maximum.accumulate(last)[at]
        low = np.searchsorted(sorted_moment, at, side="right")
        high = np.searchsorted(sorted_moment, reach, side="right")
        starts = np.append(starts, len(died))
        return cls(order, sorted_moment, sorted_entry, died, starts, at, low, np.maximum(low, high))

    @property
    def work(self) -> int:
        """Comparisons that all events need."""
        return int((self.high - self.low) @ np.diff(self.starts))

    def count(self, x: Array) -> PairCounts:
        """Compare the events of each moment with the band of rows beside them; x (n,) sorted.

        Products with ones count: as floats of 32 bits they are exact up to 2^24.
        """
        ones = np.ones(int((self.high - self.low).max(initial=0)), np.float32)
        counts = np.zeros((6, len(x)), np.int32)
        lower, equal, higher, over, same, under = counts
        for rows, band, active in self._pieces():
            ours, theirs, each = x[rows][:, None], x[band], ones[: len(active)]
            entered = np.count_nonzero(active)
            for pairs, own, met in (
                (theirs < ours, lower, over),
                (theirs == ours, equal, same),
            ):
                if entered < len(active):
                    pairs &= active
                if np.count_nonzero(pairs):
                    own[rows] = pairs.astype(np.float32) @ each
                    met[band] += np.add.reduce(pairs.view(np.uint8), 0, dtype=np.uint8)
            higher[rows] = entered
        higher -= lower
        higher -= equal
        events = np.bincount(self.moment[self.died], minlength=int(self.moment[-1]) + 2)
        upto = np.concatenate(([0], np.cumsum(events))).astype(np.int32)
        np.subtract(upto[self.moment], upto[1:][self.entry], out=under)
        under -= over
        under -= same
        return PairCounts.of(list(counts), self._tied(x))

    def _pieces(self) -> Iterator[tuple[Ints, slice, Mask]]:
        """Positions of events at one moment, the band beside them, and who in it has entered."""
        for k, when in enumerate(self.at):
            band = slice(int(self.low[k]), int(self.high[k]))
            active = self.entry[band] < when
            for begin in range(int(self.starts[k]), int(self.starts[k + 1]), TOGETHER):
                end = min(begin + TOGETHER, int(self.starts[k + 1]))
                yield self.died[begin:end], band, active

    def _tied(self, x: Array) -> int:
        """Pairs of events at one moment with the same x."""
        when, of = self.moment[self.died], x[self.died]
        order = np.lexsort((of, when))
        when, of = when[order], of[order]
        changes = (when[1:] != when[:-1]) | (of[1:] != of[:-1])
        size = np.diff(np.concatenate(([0], np.flatnonzero(changes) + 1, [len(of)])))
        return int(size @ (size - 1)) // 2


def _less_those_to_come(
    x: Array, moment: Ints, entry: Ints, stratum: Ints | None, event: Mask
) -> PairCounts:
    """Take out the partners that enter after the event: an event stands beside its row for it."""
    all_later = count_pairs(x, moment, stratum, event)
    n, events = len(x), np.flatnonzero(event)
    rows = np.append(np.arange(n), events)
    is_event = np.arange(len(rows)) >= n
    value = np.append(entry + 1, moment[events])  # who enters at an event's time comes after it
    to_come = count_pairs(
        x[rows], value, None if stratum is None else stratum[rows], is_event, ~is_event
    )
    left = []
    for counts, out in zip(all_later.kinds[:3], to_come.kinds[:3], strict=True):
        left.append(counts.copy())
        left[-1][events] -= out[n:]
    partners = zip(all_later.kinds[3:], to_come.kinds[3:], strict=True)
    left += [counts - out[:n] for counts, out in partners]
    return PairCounts.of(left, all_later.tied_x)
