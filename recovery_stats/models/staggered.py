"""Difference in differences where treatment begins at different times: `difference_in_differences`.

Houses open in one town before another; people of towns without one yet say how things would have
gone. Effects by group and period, and everything that is summed from them, are in
`models.staggered_fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.change_effect import Method
from recovery_stats.engines.staggered import Base, Controls, Design, Panel, group_time_effects
from recovery_stats.errors import DataError, NotEstimable, UsageError, rows_phrase
from recovery_stats.models.columns import Array, Columns, IntArray, Mask
from recovery_stats.models.staggered_fit import Errors, Lost, Staggered

METHODS = ("dr", "regression", "ipw")
CONTROLS = ("not-yet", "never")
BASES = ("universal", "varying")
ERRORS = ("auto", "influence", "jackknife")


def difference_in_differences(
    outcome: str,
    data: Dataset | pd.DataFrame,
    *,
    unit: str,
    time: str,
    first: str,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    weights: str | None = None,
    method: Method = "dr",
    controls: Controls = "not-yet",
    base: Base = "universal",
    anticipation: int = 0,
    errors: Errors = "auto",
    level: float = 0.95,
    replicates: int = 1999,
    seed: int = 1,
) -> Staggered:
    """Effects on the treated by the time treatment began and the time since, and sums of them.

    data: one row a unit and time (long). outcome: a number, or 0 and 1. unit: who is measured
    again and again (a person, a site). first: the time at which treatment begins for the unit,
    on the scale of `time`; empty: never in this study. adjust: covariates; where one changes over
    time its value before treatment counts. cluster: what treatment comes to as one (the site,
    the town): default the unit. weights: of the units, the same at every time.

    method: "dr" (doubly robust), "regression" or "ipw"; the same without covariates. controls:
    compare with units not treated yet, or with those never treated. base: "universal" measures
    every period from the last one before treatment; "varying" each period before treatment from
    the one before it. anticipation: periods before the start in which units may react already.
    errors: "influence" (right with many clusters in each group), "jackknife" (each cluster left
    out in turn), or "auto": the jackknife with fewer than 40 clusters, or 10 in a group.
    replicates: draws for the simultaneous bands.

    Units treated from the first period on have no time before and are left out, counted. Rows
    without outcome or covariates are left out of the comparisons that need them. Assumes that,
    without treatment, outcomes of those treated would have changed as those of the compared
    (given the covariates), and that nobody reacts earlier than `anticipation` says.

    Raises UsageError, DataError, or NotEstimable where no group has a comparison.
    Source: Callaway & Sant'Anna 2021; Sant'Anna & Zhao 2020.
    Checked: means by hand, brute force, csdid on the same data (tests/models/test_staggered.py).
    """
    for value, known, name in ((method, METHODS, "method"), (controls, CONTROLS, "controls"),
                               (base, BASES, "base"), (errors, ERRORS, "errors")):  # fmt: skip
        if value not in known:
            raise UsageError(f"{name} is one of {', '.join(known)}, not {value!r}.")
    if anticipation < 0 or not 0 < level < 1 or replicates < 99:
        raise UsageError("anticipation is 0 or more, level within 0 and 1, replicates 99 or more.")
    table = as_dataset(data)
    named = tuple(dict.fromkeys(
        c for c in (outcome, unit, time, first, *adjust, cluster, weights) if c))  # fmt: skip
    table.require(*named)
    long = _Long.of(table, outcome, unit, time, first, adjust, cluster, weights)
    panel, clusters, lost = _panel(long)
    if clusters.max() < 1:
        raise NotEstimable(f"Errors need at least two clusters by {cluster or unit!r}.")
    design = Design(method, controls, base, anticipation)
    cells = group_time_effects(panel, design)
    if not any(np.isfinite(c.value) and c.after for c in cells):
        reasons = sorted({c.why for c in cells if c.after and c.why})
        raise NotEstimable(
            f"No group by {first!r} has an effect that can be told: "
            f"{'; '.join(reasons) or 'nobody has a period before treatment and one after'}."
        )
    return Staggered(panel, clusters, design, cells, lost, tuple(adjust), unit,
                     cluster or unit, level, replicates, seed, errors)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Long:
    """Rows of the data as numbers: unit and cluster are codes from 0; first inf for never."""

    unit: IntArray
    cluster: IntArray
    time: Array
    first: Array
    y: Array
    X: Array
    w: Array
    left: int

    @classmethod
    def of(
        cls, table: Dataset, outcome: str, unit: str, time: str, first: str,
        adjust: Sequence[str], cluster: str | None, weights: str | None,
    ) -> _Long:  # fmt: skip
        read = Columns.of(table)
        when, units = read.numbers(time), read.levels(unit).codes
        groups = read.levels(cluster).codes if cluster else units
        known = np.isfinite(when) & (units >= 0) & (groups >= 0)
        start = read.numbers(first)
        w = read.numbers(weights) if weights else np.ones(len(when))
        if (w[known] <= 0).any() or np.isnan(w[known]).any():
            raise DataError(f"Weights {weights!r} are above 0 in every row; leave others out.")
        long = cls(
            _codes(units[known]), _codes(groups[known]), when[known],
            np.where(np.isnan(start), np.inf, start)[known], read.numbers(outcome)[known],
            _covariates(read, adjust)[known], w[known], int((~known).sum()),
        )  # fmt: skip
        _refuse_repeats(read, long, np.flatnonzero(known), unit, time)
        for values, name in ((long.first, first), (long.cluster, cluster), (long.w, weights)):
            _refuse_changes(read, long, values, np.flatnonzero(known), name, unit)
        return long


def _codes(codes: IntArray) -> IntArray:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)


def _covariates(read: Columns, adjust: Sequence[str]) -> Array:
    """Ones, then numbers and the indicators of every level but the first (rows, p)."""
    parts = [np.ones(len(read))]
    for name in adjust:
        if not read.is_factor(name):
            parts.append(read.numbers(name))
            continue
        levels = read.levels(name)
        parts.extend(
            np.where(levels.codes < 0, np.nan, levels.codes == j)
            for j in range(1, len(levels.names))
        )
    return np.stack(parts, axis=1)


def _refuse_repeats(read: Columns, long: _Long, row: IntArray, unit: str, time: str) -> None:
    keys = pd.DataFrame({"unit": long.unit, "time": long.time})
    repeated = keys.duplicated().to_numpy()
    if repeated.any():
        where = _where(read, row[repeated])
        raise DataError(
            f"{int(repeated.sum())} rows repeat a {unit!r} at the same {time!r} ({where}); one row "
            "a unit and time is needed. People who differ from time to time: give the mean of "
            "each site as a row, with the site as unit and the number of people as weights."
        )


def _refuse_changes(
    read: Columns, long: _Long, values: Array | IntArray, row: IntArray, name: str | None, unit: str
) -> None:
    """DataError where a column that belongs to the unit differs within it."""
    first = np.full(int(long.unit.max(initial=-1)) + 1, -1, dtype=np.intp)
    first[long.unit[::-1]] = np.arange(len(long.unit))[::-1]
    differs = values != values[first[long.unit]]
    if name and differs.any():
        raise DataError(
            f"Column {name!r} changes within {len(np.unique(long.unit[differs]))} of the units "
            f"by {unit!r} ({_where(read, row[differs])}); it is the same at every time."
        )


def _where(read: Columns, row: IntArray) -> str:
    mask: Mask = np.zeros(len(read), dtype=bool)
    mask[row] = True
    return read.rows(mask) if len(row) else rows_phrase([])


def _panel(long: _Long) -> tuple[Panel, IntArray, Lost]:
    """Units over the times that occur; those treated from the first time on left out."""
    times, at = np.unique(long.time, return_inverse=True)
    if len(times) < 2:
        raise NotEstimable(f"{len(times)} time in the data; a change needs two.")
    n, T, p = int(long.unit.max()) + 1, len(times), long.X.shape[1]
    y, X = np.full((n, T), np.nan), np.full((n, T, p), np.nan)
    y[long.unit, at], X[long.unit, at] = long.y, long.X
    w, first = np.zeros(n), np.zeros(n)
    cluster = np.zeros(n, dtype=np.intp)
    w[long.unit], first[long.unit], cluster[long.unit] = long.w, long.first, long.cluster
    start = _periods(first, times)
    kept = (start > 0) & np.isfinite(y).any(axis=1)
    lost = Lost(n, int((start == 0).sum()), int((~np.isfinite(y).any(axis=1)).sum()), long.left,
                int((~np.isfinite(y[kept])).sum()))  # fmt: skip
    if not np.isfinite(start[kept]).any():
        raise NotEstimable(
            f"No unit begins treatment after the first time: {lost.treated_always} of {n} are "
            "treated from the start, the others never."
        )
    panel = Panel(y[kept], start[kept], X[kept], w[kept], times)
    return panel, _codes(cluster[kept]), lost


def _periods(first: Array, times: Array) -> Array:
    """The number of the first period at or after the start; inf after the last one."""
    place = np.searchsorted(times, first, side="left").astype(float)
    return np.where(place >= len(times), np.inf, place)
