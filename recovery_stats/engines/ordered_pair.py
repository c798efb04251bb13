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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    lower: Ints
    equal: Ints
    higher: Ints
    over: Ints
    same: Ints
    under: Ints
    tied_x: int


def count_pairs(
    x: Array, value: Ints, stratum: Ints | None, event: Mask, partner: Mask | None = None
) -> PairCounts:
    """Count for every row the pairs it is part of, by the order of their x.

    x (n,); value (n,) from 0, higher in every later stratum than in those before; stratum (n,) or
    None for one; event (n,); partner (n,), everyone when None.
    """
    n = len(x)
    partner = np.ones(n, dtype=bool) if partner is None else partner
    by_value = np.argsort(smallest_unsigned(value), kind="stable")
    order = by_value[np.argsort(x[by_value], kind="stable")]
    if stratum is not None:
        order = order[np.argsort(smallest_unsigned(stratum[order]), kind="stable")]
    later, earlier = _of_value(value, by_value, stratum, event, partner)
    run, part = _runs(x, value, stratum, order)
    before, after = inversions(value[order], event[order], partner[order])
    equal, same, tied = np.zeros(n, np.int64), np.zeros(n, np.int64), 0
    if len(run) <= n:
        equal[order], same[order], tied = _ties(run, part, event[order], partner[order])
    lower, over = np.empty(n, np.int64), np.empty(n, np.int64)
    lower[order], over[order] = before, after
    return PairCounts(lower, equal, later - lower - equal, over, same, earlier - over - same, tied)


def _running(mask: Mask) -> Ints:
    """How many of the first i hold, i = 0 … n."""
    return np.concatenate(([0], np.cumsum(mask)))


def _ends(changes: Mask) -> Ints:
    """Where runs begin, and the end; `changes` (n - 1,): the next row begins a run."""
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [len(changes) + 1]))


def _of_value(
    value: Ints, by_value: Ints, stratum: Ints | None, event: Mask, partner: Mask
) -> tuple[Ints, Ints]:
    """Partners of a higher value of each event, and events of a lower value of each partner."""
    at = value[by_value]
    runs = _ends(at[1:] != at[:-1])
    partners, events = _running(partner[by_value]), _running(event[by_value])
    first, last = np.zeros(len(runs) - 1, np.int64), np.full(len(runs) - 1, len(value))
    if stratum is not None:
        of = stratum[by_value]
        strata = _ends(of[1:] != of[:-1])
        first = strata[np.searchsorted(strata, runs[:-1], side="right") - 1]
        last = strata[np.searchsorted(strata, runs[:-1], side="right")]
    size = np.diff(runs)
    later, earlier = np.empty(len(value), np.int64), np.empty(len(value), np.int64)
    later[by_value] = np.repeat(partners[last] - partners[runs[1:]], size)
    earlier[by_value] = np.repeat(events[runs[:-1]] - events[first], size)
    return np.where(event, later, 0), np.where(partner, earlier, 0)


def _runs(x: Array, value: Ints, stratum: Ints | None, order: Ints) -> tuple[Ints, Ints]:
    """Where rows of one stratum and x begin in `order`, and of one value within them."""
    sorted_x, at = x[order], value[order]
    changes = sorted_x[1:] != sorted_x[:-1]
    if stratum is not None:
        of = stratum[order]
        changes |= of[1:] != of[:-1]
    if changes.all():
        return np.arange(len(x) + 1), np.arange(len(x) + 1)
    return _ends(changes), _ends(changes | (at[1:] != at[:-1]))


def _ties(run: Ints, part: Ints, event: Mask, partner: Mask) -> tuple[Ints, Ints, int]:
    """Pairs with the same x, of each event and each partner, and of events with one value too."""
    partners, events = _running(partner), _running(event)
    of = np.searchsorted(run, part[:-1], side="right")
    size = np.diff(part)
    equal = np.repeat(partners[run[of]] - partners[part[1:]], size)
    same = np.repeat(events[part[:-1]] - events[run[of - 1]], size)
    both = np.diff(events[part])
    return np.where(event, equal, 0), np.where(partner, same, 0), int(both @ (both - 1)) // 2


# --- inversions ---------------------------------------------------------------------------------


def inversions(value: Ints, event: Mask, partner: Mask) -> tuple[Ints, Ints]:
    """For each event the partners before it with a higher value; for each partner the events
    after it with a lower one. value (n,) from 0."""
    n, size = len(value), int(value.max(initial=0)) + 1
    block = np.arange(n) // BLOCK
    kind = np.min_scalar_type(size + 1)
    near = _compare(
        np.where(partner, value, 0).astype(kind), np.where(event, value, size).astype(kind)
    )
    after, before = near[0].astype(np.int64), near[1].astype(np.int64)
    column = value
    if size > FEW and n > BLOCK:
        by_value = np.argsort(smallest_unsigned(value), kind="stable")
        column = np.empty(n, np.int64)
        column[by_value] = block
        of, is_event, is_partner = block[by_value], event[by_value], partner[by_value]
        kind = np.min_scalar_type(int(block[-1]) + 2)
        own, others = _compare(
            np.where(is_event, of, 0).astype(kind),
            np.where(is_partner, of, block[-1] + 1).astype(kind),
        )
        before[by_value] += own
        after[by_value] += others
    _count_far(block, column, event, partner, before, after)
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
    block: Ints, column: Ints, event: Mask, partner: Mask, before: Ints, after: Ints
) -> None:
    """Add the pairs of different blocks and columns, a slab of blocks at a time."""
    C, B = int(column.max(initial=0)) + 1, int(block[-1]) + 1 if len(block) else 0
    height = max(SLAB // C, 1)
    events = np.bincount(column[event], minlength=C)
    # what is yet to come: events below each column in the blocks after
    below = np.cumsum(events) - events
    behind = np.zeros(C, np.int64)
    for begin in range(0, B, height):
        rows = slice(begin * BLOCK, (begin + height) * BLOCK)
        cell = (block[rows] - begin) * C + column[rows]
        here = min(height, B - begin)
        come = np.bincount(cell[partner[rows]], minlength=here * C).reshape(here, C)
        gone = np.bincount(cell[event[rows]], minlength=here * C).reshape(here, C)
        total = np.cumsum(come, axis=0)
        total += behind
        behind = total[-1].copy()
        total -= come
        above = total.sum(axis=1)[:, None] - np.cumsum(total, axis=1)
        before[rows] += np.where(event[rows], above.reshape(-1)[cell], 0)
        passed = np.cumsum(np.cumsum(gone, axis=0), axis=1)
        left = below - (passed - np.cumsum(gone, axis=0))
        after[rows] += np.where(partner[rows], left.reshape(-1)[cell], 0)
        below = left[-1]
