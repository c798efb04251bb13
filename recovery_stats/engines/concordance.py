"""Harrell's concordance of a predictor with survival, with its standard error.

A pair is comparable when one row has the event at t and the other is at risk at t and outlives
t; it is concordant when the one with the event has the higher predictor. C = (concordant +
half the pairs tied on the predictor) / comparable. The standard error is the infinitesimal
jackknife, summed by cluster. Pairs may count by the time of their event, with n at risk of the
N of its stratum, S survival and G the probability of being uncensored just before it:

    n       all alike (Harrell)          S      N S / n, which is 1 where nobody is censored
    n/G2    1 / G² (Uno): the limit does not depend on the censoring
    S/G     N S / (G n)                  I      1 / n

Each row needs the weight of its partners with a lower, an equal and a higher predictor: counts of
inversions where all pairs count alike (`ordered_pair`), else a rank query on a range of rows
ordered by time, answered for all rows at once by a wavelet matrix.

Source: Harrell et al. 1982; Uno et al. 2011; Therneau & Watson 2015; Claude, Navarro &
Ordóñez 2015 (the matrix).
Checked: all pairs by brute force; R survival 3.5 (counts exactly).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import curves
from recovery_stats.engines.ordered_pair import count_sorted
from recovery_stats.engines.ordered_pair_late import FEW_PAIRS, count_few, count_late
from recovery_stats.engines.risk_set import (
    PIECE,
    Array,
    Ints,
    merge_close,
    number_times,
    rank,
)
from recovery_stats.errors import NotEstimable

TimeWeight = Literal["n", "S", "S/G", "n/G2", "I"]


@dataclass(frozen=True, slots=True, eq=False)
class Concordance:
    """C and its standard error, with the weight of the pairs of each kind.

    tied_y: both have the event at one time; tied_xy: and the same predictor. Neither counts in C.
    influence (n,) or by cluster: what each adds to C, whose squares sum to the variance.
    """

    estimate: float
    std_error: float
    concordant: float
    discordant: float
    tied_x: float
    tied_y: float
    tied_xy: float
    influence: Array


@dataclass(frozen=True, slots=True, eq=False)
class WaveletMatrix:
    """Ranks y (m,) in the order given, with weights: sums of weight over position and rank ranges.

    given (m+1,): running weight. zeros[l] (m+1,): how many of the first i values have bit l
    unset; total[l] (m+1,): running weight in the order of level l; split[l]: zeros in all.
    """

    given: Array
    zeros: tuple[Ints, ...]
    total: tuple[Array, ...]
    split: tuple[int, ...]

    @classmethod
    def of(cls, y: Ints, weight: Array) -> WaveletMatrix:
        """Sort stably by one bit a level, the highest first."""
        given = np.concatenate(([0.0], np.cumsum(weight)))
        zeros, total, split = [], [], []
        for bit in range(int(y.max(initial=0)).bit_length() - 1, -1, -1):
            unset = (y >> bit) & 1 == 0
            zeros.append(np.concatenate(([0], np.cumsum(unset))))
            order = np.concatenate((np.flatnonzero(unset), np.flatnonzero(~unset)))
            y, weight = y[order], weight[order]
            total.append(np.concatenate(([0.0], np.cumsum(weight))))
            split.append(int(zeros[-1][-1]))
        return cls(given, tuple(zeros), tuple(total), tuple(split))

    def below(self, low: Ints, high: Ints, rank: Ints) -> Array:
        """Weight at positions [low, high) with y < rank, for each query (q,)."""
        levels = len(self.split)
        out = np.where(rank >> levels > 0, self.given[high] - self.given[low], 0.0)
        rank = np.where(rank >> levels > 0, 0, rank)
        for level in range(levels):
            zeros, total, split = self.zeros[level], self.total[level], self.split[level]
            low0, high0 = zeros[low], zeros[high]
            up = (rank >> (levels - 1 - level)) & 1 == 1
            out += np.where(up, total[high0] - total[low0], 0.0)
            low = np.where(up, split + low - low0, low0)
            high = np.where(up, split + high - high0, high0)
        return out


def concordance(
    x: Array,
    stop: Array,
    event: NDArray[Any],
    *,
    start: Array | None = None,
    strata: Ints | None = None,
    weights: Array | None = None,
    cluster: Ints | None = None,
    count_by: TimeWeight = "n",
) -> Concordance:
    """Concordance of x (n,), higher meaning earlier event, within strata.

    stop (n,), event (n,) in {0, 1}, start (n,) or None, strata and cluster (n,) whole numbers
    from 0, weights (n,). Raises NotEstimable when no pair is comparable.
    """
    if start is None:
        (stop,) = merge_close(stop)
    else:
        stop, start = merge_close(stop, start)
    died = event != 0
    if weights is None and count_by == "n":
        found = _count_alike(x, stop, died, start, strata)
    else:
        weight = np.ones(len(x)) if weights is None else weights
        found = _weigh(x, stop, died, start, strata, weight, count_by)
    return _summarise(found, weights, cluster)


@dataclass(frozen=True, slots=True, eq=False)
class _Partners:
    """Weight of each row's partners, as the event and as the partner, by the order of x.

    order (n,): which rows they are, None for rows as given. tied_y, tied_xy: pairs of events.
    """

    lower: NDArray[Any]
    equal: NDArray[Any]
    higher: NDArray[Any]
    over: NDArray[Any]
    same: NDArray[Any]
    under: NDArray[Any]
    tied_y: float
    tied_xy: float
    order: Ints | None = None

    def lead(self, rows: slice, C: float) -> Array:
        """By how much the pairs of each row that are concordant exceed their share C."""
        won = self.lower[rows] + self.over[rows]
        drawn = self.equal[rows] + self.same[rows]
        involved = won + drawn + self.higher[rows] + self.under[rows]
        return np.asarray(won + 0.5 * drawn - C * involved)


def _summarise(found: _Partners, weights: Array | None, cluster: Ints | None) -> Concordance:
    """C with its error: what each row, or each cluster, adds to it."""
    order = slice(None) if found.order is None else found.order
    weight = None if weights is None else weights[order]

    def total(parts: NDArray[Any]) -> float:
        return float(np.add.reduce(parts) if weight is None else weight @ parts)

    concordant, discordant = total(found.lower), total(found.higher)
    tied = total(found.equal)
    comparable = concordant + discordant + tied
    if comparable <= 0:
        raise NotEstimable("No two rows are comparable, so there is no concordance.")
    C = (concordant + tied / 2) / comparable
    influence = np.empty(len(found.lower))
    for begin in range(0, len(influence), PIECE):
        influence[begin : begin + PIECE] = found.lead(slice(begin, begin + PIECE), C)
    influence /= comparable
    if weight is not None:
        influence *= weight
    if cluster is not None:
        influence = np.bincount(cluster[order], influence).astype(float)
    elif found.order is not None:
        influence, given = np.empty_like(influence), influence
        influence[order] = given
    std_error = float(np.sqrt(influence @ influence))
    tied_y = found.tied_y - found.tied_xy
    return Concordance(C, std_error, concordant, discordant, tied, tied_y, found.tied_xy, influence)


def _count_alike(
    x: Array, stop: Array, died: NDArray[np.bool_], start: Array | None, strata: Ints | None
) -> _Partners:
    """Partners and events of each kind where all pairs count alike."""
    entry = None
    if start is None:
        moment, events = _moments(number_times(stop)[1], died)
    else:
        times, at = number_times(stop)
        moment, events = _moments(at, died)
        entry = rank(start, times[events > 0])
    if strata is not None:
        base = strata * (int(moment.max()) + 1)
        moment, entry = moment + base, base if entry is None else entry + base
        events = np.bincount(moment[died])
    tied_y = float(events @ (events - 1)) / 2
    order = None
    if np.count_nonzero(died) * len(x) <= FEW_PAIRS:
        pairs = count_few(x, moment, entry, died)
    elif start is None or entry is None:
        order, pairs = count_sorted(x, moment, strata, died)
    else:
        order, pairs = count_late(x, moment, entry, strata, died)
    return _Partners(
        pairs.lower, pairs.equal, pairs.higher, pairs.over, pairs.same, pairs.under,
        tied_y, pairs.tied_x, order,
    )  # fmt: skip


def _moments(at: Ints, died: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Each row's moment, and the events at each time (T,); at (n,): the row's time.

    The moment of an event at the k-th time with events, counted from 1, is k; of a censoring
    after k of them k + 1. A row is a partner of the events at moments below its own that come
    after it has entered, k of them before.
    """
    events = np.bincount(at[died], minlength=int(at.max()) + 1)
    moment = np.add.accumulate(events > 0, dtype=np.int64)[at]
    moment += ~died
    return moment, events


def _weigh(
    x: Array,
    stop: Array,
    died: NDArray[np.bool_],
    start: Array | None,
    strata: Ints | None,
    weight: Array,
    count_by: TimeWeight,
) -> _Partners:
    """The same with weights of rows or times."""
    stratum = np.zeros(len(x), np.int64) if strata is None else strata
    rank = np.unique(x, return_inverse=True)[1]
    pairs = _Pairs.of(stop, died, start, stratum, rank, weight)
    if count_by != "n":
        counts = _time_weight(stop, died, start, stratum, weight, count_by)
        pairs = replace(pairs, counts=counts)
    tied_y, tied_xy = _tied_events(died, weight, stratum, stop, rank)
    return _Partners(*pairs.as_event(), *pairs.as_partner(), tied_y, tied_xy)


def _tied_events(
    died: NDArray[np.bool_], weight: Array, stratum: Ints, stop: Array, rank: Ints
) -> tuple[float, float]:
    """Weight of pairs of events at one time of one stratum, and of those with the same rank."""
    when = np.unique(stop[died], return_inverse=True)[1]
    when = stratum[died] * (len(when) + 1) + when
    time = np.unique(when, return_inverse=True)[1]
    alike = np.unique(np.column_stack([when, rank[died]]), axis=0, return_inverse=True)[1]
    w = weight[died]
    squares = float(w @ w)
    found = [float((np.bincount(of.reshape(-1), w) ** 2).sum()) for of in (time, alike)]
    return (found[0] - squares) / 2, (found[1] - squares) / 2


def _time_weight(
    stop: Array,
    died: NDArray[np.bool_],
    start: Array | None,
    stratum: Ints,
    weight: Array,
    kind: TimeWeight,
) -> Array:
    """How much the pairs of each row's event count (n,), by the curves of its stratum."""
    if start is not None and "G" in kind:
        raise NotEstimable(
            f"Pairs counted by {kind!r} need the distribution of censoring, which late entry hides."
        )
    out = np.ones(len(stop))
    for s in np.unique(stratum):
        rows = np.flatnonzero(stratum == s)
        began = None if start is None else start[rows]
        out[rows] = _weights_in(stop[rows], died[rows], began, weight[rows], kind)
    return out


def _weights_in(
    stop: Array, died: NDArray[np.bool_], start: Array | None, weight: Array, kind: TimeWeight
) -> Array:
    table = curves.tabulate(stop, died.astype(int), start=start, weights=weight)
    at, n = table.exit, table.n_risk
    survival = _just_before(curves.kaplan_meier(table).estimate)
    # at one time events come before censorings, so those with the event were not at risk of it
    free = n - table.n_event
    N = float(weight.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(free > 0, 1 - table.n_censor / free, 1.0)
        uncensored = _just_before(np.cumprod(left, dtype=float))
        values = {
            "n": np.ones(len(n)),
            "S": N * survival / n,
            "S/G": N * survival / (uncensored * n),
            "n/G2": 1 / uncensored**2,
            "I": 1 / n,
        }[kind]
    return np.where(died, values[at], 1.0)


def _just_before(curve: Array) -> Array:
    return np.concatenate(([1.0], curve[:-1]))


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Positions in time order: what a row meets as the one with the event, and as partner.

    counts (n,): how much the pairs of a row's event count.
    """

    rank: Ints
    weight: Array
    counts: Array | None
    died: NDArray[np.bool_]
    leave: tuple[Ints, Ints, Ints]
    come: tuple[Ints, Ints, Ints] | None
    deaths: tuple[Ints, Ints, Ints]

    @classmethod
    def of(
        cls,
        stop: Array,
        died: NDArray[np.bool_],
        start: Array | None,
        stratum: Ints,
        rank: Ints,
        weight: Array,
    ) -> _Pairs:
        """Order the rows, and the events, by their moments in their stratum."""
        times, at = number_times(stop)
        moment, events = _moments(at, died)
        width = int(moment.max()) + 1
        base = stratum * width
        moment += base
        order = np.argsort(moment, kind="stable")
        low = np.searchsorted(moment[order], moment, side="right")
        high = np.searchsorted(moment[order], base + width, side="left")
        entry = (
            base
            if start is None
            else base + np.searchsorted(times[events > 0], start, side="right")
        )
        come = None
        if start is not None:
            by_entry = np.argsort(entry, kind="stable")
            come = (
                by_entry,
                np.searchsorted(entry[by_entry], moment, side="left"),
                np.searchsorted(entry[by_entry], base + width, side="left"),
            )
        ended = order[died[order]]
        first = np.searchsorted(moment[ended], entry, side="right")
        last = np.searchsorted(moment[ended], moment, side="left")
        return cls(rank, weight, None, died, (order, low, high), come, (ended, first, last))

    def as_event(self) -> tuple[Array, Array, Array]:
        """Weight of partners with lower, equal, higher predictor, of each row with the event."""
        order, low, high = self.leave
        parts = self._three(order, low, high, self.died)
        if self.come is not None:
            parts = parts - self._three(*self.come, self.died)
        if self.counts is not None:
            parts = parts * self.counts
        return parts[0], parts[1], parts[2]

    def as_partner(self) -> tuple[Array, Array, Array]:
        """Weight of events met at risk, with a higher (concordant), equal, lower predictor."""
        events, first, last = self.deaths
        everyone = np.ones(len(self.rank), dtype=bool)
        lower, equal, higher = self._three(
            events, first, np.maximum(first, last), everyone, self._event_weight
        )
        return higher, equal, lower

    @property
    def _event_weight(self) -> Array:
        return self.weight if self.counts is None else self.weight * self.counts

    def _three(
        self,
        order: Ints,
        low: Ints,
        high: Ints,
        asked: NDArray[np.bool_],
        weight: Array | None = None,
    ) -> Array:
        weight = self.weight if weight is None else weight
        out = np.zeros((3, len(self.rank)))
        matrix = WaveletMatrix.of(self.rank[order], weight[order])
        a, b, rank = low[asked], high[asked], self.rank[asked]
        everyone = matrix.given[b] - matrix.given[a]
        below = matrix.below(a, b, rank)
        upto = matrix.below(a, b, rank + 1)
        out[:, asked] = below, upto - below, everyone - upto
        return out
