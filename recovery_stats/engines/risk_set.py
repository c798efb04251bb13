"""Who is at risk when: numbering of event times, and sums over risk sets in one pass.

The distinct (stratum, event time) pairs are numbered k = 0 … K-1. A row is at risk for
`entry <= k <= exit`, whole numbers found once; every sum the Cox model needs is then a sum
over rows that share an exit, followed by a cumulative sum over k. Rows fall into three classes:

    0  at risk from the first event time of the stratum (right-censored data): tail sums
    1  at risk for one event time only (person-days): counted where it stands
    2  entering late and staying: tail sum at exit minus tail sum at entry, of rows that share
       both (weeks of a diary, visits) together; where that
       subtraction would cost digits, the sum over canonical nodes of a binary tree

Source: numbering as in Therneau & Grambsch 2000, ch. 3; the tree is a segment tree.
Checked: brute force over rows and event times (tests/engines/test_cox.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 4096  # rows whose covariates stay in the processor's second cache
FEW = 1024  # numbers that are sorted sooner than counted in a table
PIECE = 32768  # numbers looked at together: they stay in the processor's second cache
SAME_TIME = 1e-9  # times closer than this share of their size are one time
ROUNDING = 1e-12  # and closer than this share of the median: what is left of dates subtracted


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `begin:end`, which belong to the groups `group:group + len(starts)`."""

    begin: int
    end: int
    group: int
    starts: Ints


@dataclass(frozen=True, eq=False)
class Runs:
    """Sorted rows in runs of equal `value` (C,), each `counts` (C,) rows long."""

    value: Ints
    counts: Ints

    @classmethod
    def of(cls, values: Ints, size: int) -> Runs:
        """The runs of `values` once sorted, whole numbers below `size`."""
        counts = np.bincount(values, minlength=size)
        present = np.flatnonzero(counts)
        return cls(present, counts[present])

    @cached_property
    def starts(self) -> Ints:
        """The first row of each run."""
        return np.concatenate(([0], np.cumsum(self.counts)[:-1])).astype(np.int64)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The rows in pieces of BLOCK, with the runs each piece touches."""
        n = int(self.counts.sum())
        found = []
        for begin in range(0, n, BLOCK):
            end = min(begin + BLOCK, n)
            low = int(np.searchsorted(self.starts, begin, side="right")) - 1
            high = int(np.searchsorted(self.starts, end, side="left"))
            found.append(Block(begin, end, low, np.maximum(self.starts[low:high] - begin, 0)))
        return tuple(found)

    def sum(self, values: Array) -> Array:
        """Sum `values` (rows,) by run: (C,)."""
        if not len(values):
            return np.zeros(0)
        return np.add.reduceat(values, self.starts)

    def spread(self, per_run: NDArray[Any]) -> NDArray[Any]:
        """Give every row the value of its run."""
        return np.repeat(per_run, self.counts)


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Risk sets of n rows; `order` lists the rows ever at risk, sorted by exit, class and entry.

    time, stratum (K,): of each event time. spans: first and one-past-last number of each
    stratum's event times. cells: runs of rows (C of them) with the same exit, class, end and
    entry, valued 6*exit + 2*class + (1 if they end with the event); enter (C,): their entry.
    died (D,): sorted positions of event rows; died_at (D,): their time.
    """

    n: int
    time: Array
    stratum: Ints
    spans: tuple[tuple[int, int], ...]
    order: Ints
    cells: Runs
    enter: Ints
    died: Ints
    died_at: Ints

    @property
    def K(self) -> int:
        """Number of distinct (stratum, event time) pairs."""
        return len(self.time)

    @cached_property
    def n_events(self) -> Ints:
        """Events at each time; at least one."""
        return np.bincount(self.died_at, minlength=self.K)

    @cached_property
    def deaths(self) -> Runs:
        """The event rows in runs of equal time."""
        return Runs(np.arange(self.K), self.n_events)

    @cached_property
    def entry(self) -> Ints:
        """First event time of each sorted row (m,)."""
        return np.asarray(self.cells.spread(self.enter))

    @cached_property
    def exit(self) -> Ints:
        """Last event time of each sorted row (m,)."""
        return np.asarray(self.cells.spread(self._ends[0]))

    @cached_property
    def late(self) -> Ints:
        """Cells of class 2, by entry."""
        late = np.flatnonzero(self.cells.value % 6 // 2 == 2)
        return late[np.argsort(smallest_unsigned(self.enter[late]), kind="stable")]

    @cached_property
    def _coming(self) -> tuple[Ints, Ints]:
        """Among late cells, where those of one entry begin; the event time before each entry."""
        before = self.enter[self.late] - 1
        starts = np.flatnonzero(np.diff(before, prepend=-1))
        return starts, before[starts]

    @cached_property
    def tree(self) -> Tree:
        """Canonical nodes of the late cells' intervals; built only when digits are at stake."""
        return Tree.of(self.enter[self.late], self._ends[0][self.late] + 1, self.K)

    def tail(self, bins: Array) -> Array:
        """Sum `bins` (…, K) from each time to the last of its stratum."""
        out = np.empty_like(bins)
        for begin, end in self.spans:
            np.cumsum(bins[..., begin:end][..., ::-1], axis=-1, out=out[..., begin:end][..., ::-1])
        return out

    def head(self, bins: Array) -> Array:
        """Sum `bins` (…, K) from the first time of each stratum up to and with each time."""
        out = np.empty_like(bins)
        for begin, end in self.spans:
            np.cumsum(bins[..., begin:end], axis=-1, out=out[..., begin:end])
        return out

    @cached_property
    def _classes(self) -> tuple[Ints, Ints]:
        """Where cells of one exit and class begin, and their place among 3 classes of K times."""
        group = self.cells.value // 2
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        exits, kind = np.divmod(group[starts], 3)
        return starts, kind * self.K + exits

    def by_class(self, sums: Array) -> tuple[Array, Array, Array]:
        """Split sums by cell (…, C) into three arrays by time of exit (…, K)."""
        starts, place = self._classes
        split = np.zeros((*sums.shape[:-1], 3 * self.K))
        split[..., place] = np.add.reduceat(sums, starts, axis=-1)
        K = self.K
        return split[..., :K], split[..., K : 2 * K], split[..., 2 * K :]

    @cached_property
    def _with_event(self) -> tuple[Ints, Ints]:
        """The cells of those who end with the event, and where those of one time begin."""
        here = np.flatnonzero(self.cells.value % 2)
        return here, np.flatnonzero(np.diff(self.cells.value[here] // 6, prepend=-1))

    def with_event(self, sums: Array) -> Array:
        """Of sums by cell (…, C), those of the events, by time (…, K)."""
        here, starts = self._with_event
        return np.asarray(np.add.reduceat(sums[..., here], starts, axis=-1))

    def not_yet(self, sums: Array) -> Array:
        """Sums by cell (…, C) to sums over late rows that enter after each time (…, K)."""
        bins = np.zeros((*sums.shape[:-1], self.K))
        if len(self.late):
            starts, before = self._coming
            bins[..., before] = np.add.reduceat(sums[..., self.late], starts, axis=-1)
        return self.tail(bins)

    def at_risk(self, sums: Array) -> Array:
        """Sum over risk sets (…, K), from sums by cell (…, C)."""
        always, once, late = self.by_class(sums)
        if not len(self.late):
            return self.tail(always) + once
        return (self.tail(always + late) - self.not_yet(sums)) + once

    def at_risk_by_tree(self, sums: Array) -> Array:
        """The same without subtraction: late cells go through the tree."""
        always, once, _ = self.by_class(sums)
        return self.tail(always) + once + self.tree.sum_over_rows(sums[..., self.late])

    @cached_property
    def _ends(self) -> tuple[Ints, Ints, Ints]:
        """Exits of the cells; which are at risk once; which end with the event."""
        value = self.cells.value
        return value // 6, np.flatnonzero(value % 6 // 2 == 1), np.flatnonzero(value % 2)

    def accumulate(self, h: Array, g: Array | None = None, *, by_tree: bool) -> Array:
        """Sum h (K,) over the times each sorted row is at risk, less g (K,) at its event: (m,)."""
        at, once, ended = self._ends
        H = self.head(h)
        total = H[at]
        total[once] = h[at[once]]
        if len(self.late) and by_tree:
            total[self.late] = self.tree.sum_over_times(h)
        elif len(self.late):
            total[self.late] -= H[self.enter[self.late] - 1]
        if g is not None:
            total[ended] -= g[at[ended]]
        return self.cells.spread(total)

    def unsort(self, values: Array) -> Array:
        """Sorted rows (m, …) back to the n rows given; rows never at risk get 0."""
        out = np.zeros((self.n, *values.shape[1:]))
        out[self.order] = values
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A binary tree over K leaves; `member` (L, 2*size) marks the nodes that tile each interval."""

    size: int
    K: int
    member: Any

    @classmethod
    def of(cls, low: Ints, high: Ints, K: int) -> Tree:
        """Tile the half-open intervals [low, high) with at most 2*log2(K) nodes each."""
        size = 1 << max(K - 1, 0).bit_length()
        left, right = low + size, high + size
        rows, nodes = [], []
        everyone = np.arange(len(low))
        while np.any(left < right):
            odd = (left < right) & (left % 2 == 1)
            rows.append(everyone[odd])
            nodes.append(left[odd])
            left = left + odd
            odd = (left < right) & (right % 2 == 1)
            right = right - odd
            rows.append(everyone[odd])
            nodes.append(right[odd])
            left, right = left // 2, right // 2
        at = (np.concatenate(rows), np.concatenate(nodes))
        member = sparse.csr_matrix((np.ones(len(at[0])), at), shape=(len(low), 2 * size))
        return cls(size, K, member)

    def sum_over_rows(self, values: Array) -> Array:
        """Sum `values` (…, L) over the rows whose interval holds each leaf: (…, K)."""
        flat = values.reshape(-1, values.shape[-1])
        node = np.asarray(self.member.T @ flat.T).T
        level = node[:, 1:2]
        width = 1
        while width < self.size:
            width *= 2
            level = np.repeat(level, 2, axis=1) + node[:, width : 2 * width]
        return level[:, : self.K].reshape(*values.shape[:-1], self.K)

    def sum_over_times(self, h: Array) -> Array:
        """Sum h (K,) over the leaves of each row's interval: (L,)."""
        node = np.zeros(2 * self.size)
        node[self.size : self.size + self.K] = h
        width = self.size
        while width > 1:
            half = width // 2
            node[half:width] = node[width : 2 * width : 2] + node[width + 1 : 2 * width : 2]
            width = half
        return np.asarray(self.member @ node)


def merge_close(*times: Array) -> tuple[Array, ...]:
    """Make times that differ by rounding only equal (0.1 + 0.2 and 0.3 are one time).

    Whole numbers come back untouched. Otherwise times within SAME_TIME of each other take
    the value of the earliest of their run; beside 0, where shares are of nothing, within
    ROUNDING of the median.
    """
    if all(map(are_whole, times)):
        return times
    together = np.concatenate(times)
    distinct = np.unique(together)
    least = ROUNDING * abs(float(distinct[len(distinct) // 2]))
    apart = np.diff(distinct) > np.maximum(SAME_TIME * np.abs(distinct[1:]), least)
    if apart.all():
        return times
    kept = distinct[np.concatenate(([True], apart))]
    return tuple(kept[np.searchsorted(kept, t, side="right") - 1] for t in times)


def are_whole(values: Array) -> bool:
    """Say whether all are whole numbers; in pieces, so that one of many says no at once."""
    pieces = (values[b : b + PIECE] for b in range(0, len(values), PIECE))
    return not any(np.count_nonzero(piece != np.rint(piece)) for piece in pieces)


def are_days(distinct: Array, n: int) -> bool:
    """Say whether sorted values are whole and so dense that a table over their range is short."""
    if not len(distinct) or distinct[-1] - distinct[0] > 4 * n + 1000:
        return False
    return are_whole(distinct)


def rank(values: NDArray[Any], distinct: NDArray[Any]) -> Ints:
    """Count the sorted `distinct` values that are <= each value; by a table where all are days."""
    if len(values) < 1000 or not are_days(distinct, len(values)):
        return np.searchsorted(distinct, values, side="right")
    low = distinct[0] - 1
    width = int(distinct[-1] - low)
    table = np.cumsum(np.bincount((distinct - low).astype(np.int64)))
    out = np.empty(len(values), np.int64)
    for begin in range(0, len(values), PIECE):
        # values below `low` truncate upwards to 0 at most, which counts none
        place = np.subtract(values[begin : begin + PIECE], low)
        np.clip(place, 0, width, out=place)
        np.take(table, place.astype(np.int64), out=out[begin : begin + PIECE], mode="clip")
    return out


def number_times(values: Array) -> tuple[Array, Ints]:
    """The distinct values, sorted, and the position of each among them; none is missing."""
    if len(values) <= FEW:
        return _number_few(values)
    low, high = values.min(), values.max()
    place = _days_since(values, low) if high - low <= 4 * len(values) + 1000 else None
    if place is not None:
        seen = np.bincount(place) > 0
        if seen.all():
            return np.arange(len(seen)) + low, place
        return np.flatnonzero(seen) + low, (np.cumsum(seen) - 1)[place]
    distinct, place = np.unique(values, return_inverse=True)
    return distinct, place.reshape(-1)


def _days_since(values: Array, low: Any) -> Ints | None:
    """Whole numbers less the lowest of them; None where one is not whole."""
    place = np.empty(len(values), np.int64)
    for begin in range(0, len(values), PIECE):
        piece, here = values[begin : begin + PIECE], place[begin : begin + PIECE]
        np.subtract(piece, low, out=here, casting="unsafe")
        if np.count_nonzero(here + low != piece):
            return None
    return place


def _number_few(values: Array) -> tuple[Array, Ints]:
    """The same by one sort, which is shorter than a table where values are few."""
    order = np.argsort(values)
    ascending = values[order]
    first = np.ones(len(values), dtype=bool)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    place = np.empty(len(values), np.int64)
    place[order] = np.add.accumulate(first, dtype=np.int64)
    place -= 1
    return ascending[first], place


def smallest_unsigned(values: Ints) -> NDArray[Any]:
    """The same numbers in the narrowest unsigned type: a stable sort of 16 bits is a radix sort."""
    top = int(values.max(initial=0))
    return values.astype(np.min_scalar_type(top))


def number(
    stop: Array, event: NDArray[np.bool_], start: Array | None = None, strata: Ints | None = None
) -> RiskSets:
    """Number the event times and place every row: at risk on (start, stop], in its stratum.

    stop (n,), event (n,) bool, start (n,) or None (at risk from the beginning), strata (n,)
    whole numbers from 0. At least one event.
    """
    if start is None:
        (stop,) = merge_close(stop)
    else:
        stop, start = merge_close(stop, start)
    distinct, place = number_times(stop[event])
    if strata is None:
        entry = None if start is None else rank(start, distinct)
        zero = np.zeros(len(distinct), np.int64)
        return _sort(distinct, zero, entry, rank(stop, distinct) - 1, None, event)
    base = strata * (len(distinct) + 1)
    pairs = number_times((base[event] + place + 1).astype(float))[0].astype(np.int64)
    exit_ = rank(base + rank(stop, distinct), pairs) - 1
    opening = rank(np.arange(int(strata.max()) + 1) * (len(distinct) + 1), pairs)[strata]
    entry = None if start is None else rank(base + rank(start, distinct), pairs)
    stratum, at = np.divmod(pairs, len(distinct) + 1)
    return _sort(distinct[at - 1], stratum, entry, exit_, opening, event)


def _sort(
    time: Array,
    stratum: Ints,
    entry: Ints | None,
    exit_: Ints,
    opening: Ints | None,
    event: NDArray[np.bool_],
) -> RiskSets:
    """Sort the rows that are ever at risk by exit and class.

    entry None: everyone is at risk from the opening; opening None: the number 0 for all.
    """
    K, n = len(time), len(exit_)
    nobody_late, entry = entry is None, opening if entry is None else entry
    ever = np.flatnonzero(exit_ >= (0 if entry is None else entry))
    if len(ever) < n:
        exit_, event = exit_[ever], event[ever]
        entry, opening = (None if e is None else e[ever] for e in (entry, opening))
    run = 6 * exit_
    run += event
    once = exit_ == (0 if entry is None else entry)
    run += 2 * once
    if not nobody_late:
        run += 4 * ~(once | (entry == (0 if opening is None else opening)))
    order, cells, enter = _sort_cells(run, None if nobody_late else entry, 6 * K)
    if nobody_late and entry is not None:
        enter = entry[order[cells.starts]]
    died = np.flatnonzero(cells.spread(cells.value % 2 == 1))
    begins = np.flatnonzero(np.diff(stratum, prepend=-1))
    return RiskSets(
        n=n,
        time=time,
        stratum=stratum,
        spans=tuple(pairwise([*begins.tolist(), K])),
        order=order if len(ever) == n else ever[order],
        cells=cells,
        enter=enter,
        died=died,
        died_at=np.repeat(cells.value // 6, np.where(cells.value % 2 == 1, cells.counts, 0)),
    )


def _sort_cells(run: Ints, entry: Ints | None, size: int) -> tuple[Ints, Runs, Ints]:
    """The order of the rows by run and entry, the cells of one of both, and the cells' entries.

    run (m,): whole numbers below `size`; entry (m,), or None where runs are not divided.
    """
    if entry is None:
        cells = Runs.of(run, size)
        order = np.argsort(smallest_unsigned(run), kind="stable")
        return order, cells, np.zeros(len(cells.value), np.int64)
    order = np.argsort(smallest_unsigned(entry), kind="stable")
    order = order[np.argsort(smallest_unsigned(run)[order], kind="stable")]
    run, entry = run[order], entry[order]
    changes = run[1:] != run[:-1]
    changes |= entry[1:] != entry[:-1]
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    counts = np.diff(starts, append=len(run))
    return order, Runs(run[starts], counts), entry[starts]
