"""How many pairs of rows are ordered alike, ordered the other way or tied: counts for every row.

A pair is an event row i and a partner j of the same stratum with value_i < value_j. Rows lie in
the order of stratum, x and value, so the partners with a lower x than the event are those before
it that have a higher value: inversions. They are counted in three parts, each by plain array
work: pairs of far blocks of rows from a table of rows by block of rows and block of values,
pairs within a block of rows, and pairs within a block of values, both by comparing all with all.

Checked: all pairs by brute force (tests/engines/test_ordered_pair.py); the wavelet matrix of
`concordance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.digits import sort_numbers
from recovery_stats.engines.risk_set import Array, Ints, smallest_unsigned

BLOCK = 255  # rows compared all with all: their counts fit into a byte
LANES = 512  # blocks side by side: what is compared at once stays in the second cache
SLAB = 1 << 18  # cells of the table held at once
FEW = 2048  # distinct values that are columns of the table as they are

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """For each row (n,): its pairs as the event, by its partner's x, and as the partner, by the
    event's x. tied_x: pairs of events with the same x and value."""

    lower: NDArray[Any]
    equal: NDArray[Any]
    higher: NDArray[Any]
    over: NDArray[Any]
    same: NDArray[Any]
    under: NDArray[Any]
    tied_x: int

    @classmethod
    def of(cls, counts: Sequence[NDArray[Any]], tied_x: int) -> PairCounts:
        """The six kinds in their order."""
        lower, equal, higher, over, same, under = counts
        return cls(lower, equal, higher, over, same, under, tied_x)

    @property
    def kinds(self) -> tuple[NDArray[Any], ...]:
        """The six counts."""
        return self.lower, self.equal, self.higher, self.over, self.same, self.under


def count_pairs(
    x: Array, value: Ints, stratum: Ints | None, event: Mask, partner: Mask | None = None
) -> PairCounts:
    """Count for every row the pairs it is part of, by the order of their x.

    x (n,); value (n,) from 0, higher in every later stratum than in those before; stratum (n,) or
    None for one; event (n,); partner (n,), everyone when None.
    """
    order, found = count_sorted(x, value, stratum, event, partner)

    def unsort(counts: Ints) -> Ints:
        out = np.empty_like(counts)
        out[order] = counts
        return out

    return PairCounts.of([unsort(counts) for counts in found.kinds], found.tied_x)


def count_sorted(
    x: Array, value: Ints, stratum: Ints | None, event: Mask, partner: Mask | None = None
) -> tuple[Ints, PairCounts]:
    """The same for rows in the order of stratum, x and value, and that order (n,)."""
    narrow = smallest_unsigned(value)
    order, changes = _sort(x, narrow, stratum)
    sorted_value, is_event = narrow[order], event[order]
    is_partner = None if partner is None else partner[order]
    wide = _counting(len(x))
    later, earlier = (c.astype(wide) for c in _of_value(value, stratum, event, partner))
    before, after = inversions(sorted_value, is_event, is_partner)
    met, meets = _where(is_event, later[sorted_value]), _where(is_partner, earlier[sorted_value])
    if changes.all():
        none = np.zeros(len(x), wide)
        return order, PairCounts(before, none, met - before, after, none, meets - after, 0)
    run = _ends(changes)
    part = _ends(changes | (sorted_value[1:] != sorted_value[:-1]))
    equal, same, tied = _ties(run, part, is_event, is_partner)
    higher, under = met - before - equal, meets - after - same
    return order, PairCounts(before, equal, higher, after, same, under, tied)


def _counting(n: int) -> np.dtype[Any]:
    """Whole numbers that hold twice as many pairs as one of n rows can have."""
    return np.dtype(np.int32 if n < 1 << 30 else np.int64)


def _where(mask: Mask | None, counts: NDArray[Any]) -> NDArray[Any]:
    return counts if mask is None else np.where(mask, counts, 0)


def _sort(x: Array, value: NDArray[Any], stratum: Ints | None) -> tuple[Ints, Mask]:
    """The order by stratum, x and value, and where the next row has another stratum or x.

    Two quick sorts where a stable one would take longer: of x, then of whole numbers.
    """
    order, sorted_x = sort_numbers(x)
    changes = sorted_x[1:] != sorted_x[:-1]
    if stratum is None and changes.all():
        return order, changes
    rank = np.concatenate(([0], np.cumsum(changes)))
    group = rank if stratum is None else stratum[order] * (int(rank[-1]) + 1) + rank
    again = np.argsort(group * (int(value.max()) + 1) + value[order])
    group = group[again]
    return order[again], group[1:] != group[:-1]


def _running(mask: Mask | None, n: int) -> Ints:
    """How many of the first i hold, i = 0 … n; None holds always."""
    if mask is None:
        return np.arange(n + 1)
    return np.concatenate(([0], np.cumsum(mask)))


def _ends(changes: Mask) -> Ints:
    """Where runs begin, and the end; `changes` (n - 1,): the next row begins a run."""
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [len(changes) + 1]))


def _of_value(
    value: Ints, stratum: Ints | None, event: Mask, partner: Mask | None
) -> tuple[Ints, Ints]:
    """For each value its stratum's partners with a higher one, and events with a lower one."""
    size = int(value.max()) + 1
    partners = np.bincount(value if partner is None else value[partner], minlength=size)
    events = np.bincount(value[event], minlength=size)
    upto, until = np.cumsum(partners), np.cumsum(events)
    if stratum is None:
        return upto[-1] - upto, until - events
    of = np.zeros(size, np.int64)
    of[value] = stratum
    ends = np.zeros((2, int(stratum.max()) + 2), np.int64)
    for k, mask in enumerate((partner, event)):
        rows = stratum if mask is None else stratum[mask]
        ends[k, 1:] = np.cumsum(np.bincount(rows, minlength=ends.shape[1] - 1))
    return ends[0, of + 1] - upto, until - events - ends[1, of]


def _ties(run: Ints, part: Ints, event: Mask, partner: Mask | None) -> tuple[Ints, Ints, int]:
    """Pairs with the same x, of each event and each partner, and of events with one value too."""
    partners, events = _running(partner, len(event)), _running(event, len(event))
    of = np.searchsorted(run, part[:-1], side="right")
    size = np.diff(part)
    equal = np.repeat(partners[run[of]] - partners[part[1:]], size)
    same = np.repeat(events[part[:-1]] - events[run[of - 1]], size)
    both = np.diff(events[part])
    return np.where(event, equal, 0), _where(partner, same), int(both @ (both - 1)) // 2


# --- inversions ---------------------------------------------------------------------------------


def inversions(
    value: NDArray[Any], event: Mask, partner: Mask | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each event the partners before it with a higher value; for each partner the events
    after it with a lower one. value (n,) from 0; partner None: everyone."""
    n, size = len(value), int(value.max(initial=0)) + 1
    kind = np.min_scalar_type(size + 1)
    first = value if partner is None else np.where(partner, value, 0)
    near = _compare(first.astype(kind, copy=False), np.where(event, value, size).astype(kind))
    wide = _counting(n)
    after, before = near[0].astype(wide), near[1].astype(wide)
    column = value
    if size > FEW and n > BLOCK:
        block = np.repeat(np.arange(-(-n // BLOCK)), BLOCK)[:n]
        by_value = np.argsort(value, kind="stable")
        column = np.empty(n, np.int64)
        column[by_value] = block
        of, is_event = block[by_value], event[by_value]
        is_partner = True if partner is None else partner[by_value]
        kind = np.min_scalar_type(int(block[-1]) + 2)
        own, others = _compare(
            np.where(is_event, of, 0).astype(kind),
            np.where(is_partner, of, block[-1] + 1).astype(kind),
        )
        before[by_value] += own
        after[by_value] += others
    if n > BLOCK:
        _count_far(column, event, partner, before, after)
    return before, after


def _compare(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Within blocks: for each row the later ones whose `second` is below its `first`, and the
    earlier ones whose `first` is above its `second`."""
    n = len(first)
    width = min(BLOCK, max(n, 1))
    blocks = -(-n // width)
    u = np.zeros(blocks * width, first.dtype)
    v = np.full(blocks * width, np.iinfo(second.dtype).max, second.dtype)
    u[:n], v[:n] = first, second
    counts = np.zeros((2, blocks * width), np.uint8)
    shaped = counts.reshape(2, blocks, width)
    for begin in range(0, blocks, LANES):
        these = slice(begin * width, (begin + LANES) * width)
        own, others = _compare_lanes(
            np.ascontiguousarray(u[these].reshape(-1, width).T),
            np.ascontiguousarray(v[these].reshape(-1, width).T),
        )
        shaped[0, begin : begin + LANES], shaped[1, begin : begin + LANES] = own.T, others.T
    return counts[0, :n], counts[1, :n]


def _compare_lanes(u: NDArray[Any], v: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same for blocks side by side (rows of a block, blocks)."""
    own, others = np.zeros(u.shape, np.uint8), np.zeros(u.shape, np.uint8)
    room = np.empty(u.shape, dtype=bool)
    for i in range(1, len(u)):
        above = np.greater(u[:i], v[i], out=room[:i]).view(np.uint8)
        np.add.reduce(above, axis=0, dtype=np.uint8, out=others[i])
        own[:i] += above
    return own, others


def _count_far(
    column: NDArray[Any],
    event: Mask,
    partner: Mask | None,
    before: NDArray[Any],
    after: NDArray[Any],
) -> None:
    """Add the pairs of different blocks and columns, a slab of blocks at a time."""
    width, blocks = int(column.max()) + 2, -(-len(column) // BLOCK)
    height = max(SLAB // width, 1)
    events = np.bincount(column[event], minlength=width - 1)
    # running counts by column with a 0 before the first: those of earlier blocks, of all events
    wide = before.dtype
    earlier, gone = np.zeros(width, wide), np.zeros(width, wide)
    all_events = np.concatenate(([0], np.cumsum(events))).astype(wide)
    block_of = np.repeat(np.arange(height), BLOCK)
    for begin in range(0, blocks, height):
        rows = slice(begin * BLOCK, (begin + height) * BLOCK)
        here = min(height, blocks - begin)
        at = column[rows].astype(np.int64)
        row = block_of[: len(at)]
        cell = row * width
        cell += at
        is_event = event[rows]
        of_partners = cell if partner is None else cell[partner[rows]]
        come = _running_table(of_partners, here, width, wide)
        left = _running_table(cell[is_event], here, width, wide)
        # partners of earlier blocks in higher columns; `come` holds each block and those before
        come = np.concatenate((earlier[None], come + earlier))
        found = come[:, -1].take(row)
        found -= come.reshape(-1).take(cell + 1)
        found *= is_event
        before[rows] += found
        earlier = come[-1]
        left += gone
        gone = left[-1].copy()
        passed = all_events.take(at)
        passed -= left.reshape(-1).take(cell)
        if partner is not None:
            passed *= partner[rows]
        after[rows] += passed


def _running_table(cell: Ints, height: int, width: int, wide: np.dtype[Any]) -> NDArray[Any]:
    """Rows in cells of the blocks up to each (height,) and columns below each (width,)."""
    counts = np.bincount(cell + 1, minlength=height * width).reshape(height, width).astype(wide)
    np.cumsum(counts, axis=1, out=counts)
    return np.cumsum(counts, axis=0, out=counts)
