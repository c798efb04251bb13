"""The chance of not being lost to follow-up so far, and rows cut where it changes.

An event comes before a loss of the same time: whoever has the event at t was not at risk of being
lost at t. Times are numbered so that this holds in any model of the loss: with r the rank of a
time, an event stands at 2r, any other end at 2r + 1, and a start after all of its time, 2r + 1.

Source: Robins & Rotnitzky 1992; Robins & Finkelstein 2000; Satten & Datta 2001.
Checked: with G by group the weighted Kaplan-Meier curve is the mean of the groups' curves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.risk_set import Array, Ints

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Rows cut in pieces: the row of each, where it starts and stops, whether it is the last."""

    row: Ints
    start: Array
    stop: Array
    last: Mask


def order_times(start: Array, stop: Array, event: Mask) -> tuple[Array, Array]:
    """Starts and stops (n,) as numbers in which events come before losses."""
    time = np.unique(np.concatenate([start, stop]))
    begin, end = (np.searchsorted(time, t).astype(np.float64) * 2 for t in (start, stop))
    return begin + 1, end + ~event


def cut(start: Array, stop: Array, at: Array) -> Pieces:
    """Cut rows at the times `at` (sorted) that lie within them."""
    low, high = np.searchsorted(at, start, side="right"), np.searchsorted(at, stop, side="left")
    n = high - low + 1
    row = np.repeat(np.arange(len(start)), n)
    first = np.cumsum(n) - n
    step = np.arange(len(row)) - first[row]
    begin, end = start[row], stop[row]
    inner = step > 0
    begin[inner] = at[(low[row] + step - 1)[inner]]
    last = step == n[row] - 1
    end[~last] = at[(low[row] + step)[~last]]
    return Pieces(row, begin, end, last)


def lost_hazard(
    pieces: Pieces,
    person: Ints,
    start: Array,
    stop: Array,
    hazard: Callable[[Ints, Array], Array],
) -> Array:
    """-log of the chance to be in view still when each piece begins.

    hazard(rows, times): cumulative hazard of loss of these rows, with the covariates they have,
    up to and with these times. A person's hazard adds up over rows from the first entry on.
    """
    rows = np.arange(len(start))
    at_start = hazard(rows, start)
    own = hazard(rows, stop) - at_start
    order = np.lexsort((start, person))
    who = person[order]
    total = np.cumsum(own[order]) - own[order]
    first = np.append(True, who[1:] != who[:-1])
    place = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    before = np.empty(len(order))
    before[order] = total - total[place]
    return before[pieces.row] + hazard(pieces.row, pieces.start) - at_start[pieces.row]


def product_limit(
    begin: Array, end: Array, lost: Mask, group: Ints, weight: Array | None = None
) -> tuple[list[Array], list[Array]]:
    """For each group its times of loss (in ordered numbers) and -log G after each."""
    w = np.ones(len(end)) if weight is None else weight
    times, values = [], []
    for g in range(int(group.max()) + 1):
        here = group == g
        at = np.unique(end[here & lost])
        d = np.bincount(np.searchsorted(at, end[here & lost]), w[here & lost], len(at))
        come, gone = (
            np.bincount(np.searchsorted(at, t[here], side="right"), w[here], len(at) + 1)
            for t in (begin, end)
        )
        at_risk = np.cumsum(come - gone)[:-1]
        with np.errstate(divide="ignore"):
            step = -np.log1p(-np.minimum(d / np.maximum(at_risk, d), 1.0))
        # when all that are left are lost, nobody comes after to carry their weight
        step[~np.isfinite(step)] = 0.0
        times.append(at)
        values.append(np.concatenate(([0.0], np.cumsum(step))))
    return times, values
