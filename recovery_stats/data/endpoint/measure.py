"""What a rule measures: counts, runs, times and weighted costs of the visits it reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recovery_stats.data.endpoint.pattern import (
    CODE,
    MISSED,
    MIXED,
    NO_VISIT,
    POSITIVE,
    Codes,
    Mask,
    Visits,
)

Numbers = npt.NDArray[np.float64]
HALF = 0.5


def is_one_of(codes: Codes, symbols: str) -> Mask:
    """Where a visit is one of `symbols`."""
    table = np.zeros(len(CODE), dtype=np.bool_)
    table[[CODE[s] for s in symbols]] = True
    return table[codes]


def counted(codes: Codes, symbols: str, half: str = "") -> Numbers:
    """Number of visits of each person that are one of `symbols`, and half of those in `half`."""
    whole = np.count_nonzero(is_one_of(codes, symbols), axis=1)
    halves = np.count_nonzero(is_one_of(codes, half), axis=1) if half else 0
    return np.asarray(whole + HALF * halves, dtype=float)


def longest_run(codes: Codes, symbols: str) -> Numbers:
    """Longest run of `symbols`; places without a visit neither make nor break it."""
    match, there = is_one_of(codes, symbols), codes != NO_VISIT
    run = np.zeros(len(codes), dtype=int)
    longest = run.copy()
    for place in range(codes.shape[1]):
        run = np.where(match[:, place], run + 1, np.where(there[:, place], 0, run))
        np.maximum(longest, run, out=longest)
    return longest.astype(float)


def last_attended(visits: Visits) -> Numbers:
    """Week of the last visit with a result; 0 where there is none."""
    width = visits.attended.shape[1]
    if not width:
        return np.zeros(len(visits.codes))
    last = width - np.argmax(visits.attended[:, ::-1], axis=1)
    return np.where(visits.attended.any(axis=1), last, 0).astype(float)


def cost(codes: Codes, weights: Numbers, missed: float) -> Numbers:
    """Share of the worst cost that could have been reached in the weeks scheduled."""
    weeks = np.zeros((len(codes), len(weights)), dtype=codes.dtype)
    width = min(codes.shape[1], len(weights))
    weeks[:, :width] = codes[:, :width]
    worst = np.where(weeks != NO_VISIT, np.maximum(weights, missed), 0.0).sum(axis=1)
    choices = (weeks == POSITIVE, weeks == MIXED, weeks == MISSED)
    costs = np.select(choices, (weights, HALF * weights, missed), 0.0).sum(axis=1)
    return np.asarray(costs / np.where(worst > 0, worst, 1.0), dtype=float)


def time_to(
    visits: Visits, symbols: str, needed: int, width: int, start: int, shown: int
) -> tuple[Numbers, Numbers]:
    """Windows of `width` scheduled visits, those left out closed up; their first weeks."""
    there = visits.codes != NO_VISIT
    order = np.argsort(~there, axis=1, kind="stable")
    match = np.take_along_axis(is_one_of(visits.codes, symbols), order, axis=1)
    total = np.count_nonzero(there, axis=1)
    rows, windows = len(order), max(order.shape[1] - width + 1, 0)
    if not windows:
        return _nowhere(total)
    sums = np.concatenate([np.zeros((rows, 1), int), np.cumsum(match, axis=1)], axis=1)
    reached = sums[:, width:] - sums[:, :windows] >= needed
    week = order[:, :windows] + 1
    whole = np.arange(windows)[np.newaxis, :] + width <= total[:, np.newaxis]
    reached &= whole & (week >= start)
    event = reached.any(axis=1)
    place = np.where(event, np.argmax(reached, axis=1), np.maximum(total - width, 0))
    time = week[np.arange(rows), place] + shown
    none = ~event & (total < width)
    time = np.where(none, 0, time)
    empty = total == 0
    return np.where(empty, np.nan, time), np.where(empty, np.nan, event.astype(float))


def _nowhere(total: npt.NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """No pattern is long enough for the event: each is censored before the first week."""
    nothing = np.where(total == 0, np.nan, 0.0)
    return nothing, nothing
