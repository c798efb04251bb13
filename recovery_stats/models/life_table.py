"""Groups of a survival formula counted in tables, and curves read off at chosen times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import curves
from recovery_stats.engines.curves import Interval, LifeTable
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.formula import Formula, Variable, columns_of
from recovery_stats.models.observation import Observation, read_survival

EVERYONE = "all"


def know_interval(kind: str) -> None:
    if kind not in get_args(Interval):
        raise UsageError(unknown("interval", kind, get_args(Interval)))


def only_times(formula: Formula | str, what: str, *, strata: bool = False) -> Formula:
    """The formula without its terms: groups are read apart, so that numbers may be groups."""
    asked = read_survival(formula, what)
    return replace(asked, terms=(), offsets=(), strata=asked.strata if strata else (), frailty=None)


def group_columns(
    formula: Formula | str,
    what: str,
    *,
    with_strata: bool = True,
    kinds: tuple[str, ...] = ("right", "counting"),
) -> tuple[str, ...]:
    asked = read_survival(formula, what, kinds)
    names: list[str] = []
    for factor in (f for term in asked.terms for f in term.factors):
        found = columns_of(factor)
        plain = isinstance(factor, Variable) or str(factor).startswith("C(")
        if not plain:
            raise UsageError(f"{what} makes groups of columns; {factor} is not one.")
        names += found
    return tuple(dict.fromkeys([*names, *(asked.strata if with_strata else ())]))


def read_groups(
    formula: Formula | str,
    what: str,
    data: pd.DataFrame | Dataset,
    seen: Observation,
    *,
    with_strata: bool = True,
) -> Grouping:
    """Each row's group by the combination of the formula's columns."""
    names = group_columns(formula, what, with_strata=with_strata)
    if not names:
        return Grouping("", np.zeros(len(seen), dtype=np.intp), (EVERYONE,))
    if len(names) == 1 and not seen.weightless:
        return seen.design.groups[names[0]]
    columns = Columns.of(data)
    return columns.over(columns.frame.iloc[seen.places]).grouping(names)


def count_tables(seen: Observation, groups: Grouping) -> tuple[LifeTable, ...]:
    """Count all groups: at once where rows are people observed from the start."""
    if seen.start is None and seen.weights is None:
        return curves.tabulate_groups(seen.stop, seen.cause != 0, groups.codes, groups.size)
    return tuple(count_table(seen, groups.codes == g) for g in range(groups.size))


def count_table(seen: Observation, rows: Any, causes: int = 1) -> LifeTable:
    """Count one group; rows of one person that follow each other are one spell."""
    return count_clusters(seen, rows, None, causes)[0]


def count_clusters(
    seen: Observation, rows: Any, cluster: IntArray | None, causes: int = 1
) -> tuple[LifeTable, IntArray | None]:
    """The same, with the cluster of each of the table's rows."""

    def of(values: Any) -> Any:
        return None if values is None else values[rows]

    start, stop, cause, weights, person, cluster = (
        of(v) for v in (seen.start, seen.stop, seen.cause, seen.weights, seen.person, cluster)
    )
    if person is not None and start is not None:
        begins, ends = spells(person, start, stop, cause, weights)
        start, stop, cause = start[begins], stop[ends], cause[ends]
        weights = None if weights is None else weights[ends]
        cluster = None if cluster is None else cluster[ends]
    table = curves.tabulate(stop, cause, start=start, weights=weights, causes=causes)
    return table, cluster


def spells(
    person: IntArray, start: Array, stop: Array, cause: IntArray, weights: Array | None
) -> tuple[IntArray, IntArray]:
    """First and last row of each run in which a person is observed without gap, event or change
    of weight."""
    order = np.lexsort((start, person))
    who, begin, end = person[order], start[order], stop[order]
    again = (who[1:] == who[:-1]) & (begin[1:] == end[:-1]) & (cause[order][:-1] == 0)
    if weights is not None:
        again &= weights[order][1:] == weights[order][:-1]
    return order[np.append(True, ~again)], order[np.append(~again, True)]


def read_frame(frame: pd.DataFrame, asked: Array, *, start: float, known_end: bool) -> pd.DataFrame:
    """Read step curves off `frame` (one group, sorted by time) at the times asked for."""
    time = frame["time"].to_numpy()
    place = curves.position(time, asked)
    before = place < 0
    out = frame.iloc[np.maximum(place, 0)].reset_index(drop=True)
    next_up = np.minimum(np.searchsorted(time, asked, side="left"), len(time) - 1)
    out["n_risk"] = np.where(asked > time[-1], 0.0, frame["n_risk"].to_numpy()[next_up])
    for column in ("n_event", "n_censor"):
        running = np.concatenate(([0.0], np.cumsum(frame[column].to_numpy())))[place + 1]
        out[column] = np.diff(running, prepend=0.0)
    out["time"] = asked
    out.loc[before, ["estimate", "conf_low", "conf_high"]] = start
    out.loc[before, "std_error"] = 0.0
    unknown_end = (asked > time[-1]) & (not known_end)
    out.loc[unknown_end, ["estimate", "std_error", "conf_low", "conf_high"]] = np.nan
    return out


def step_series(
    name: str,
    table: LifeTable,
    y: Array,
    low: Array,
    high: Array,
    *,
    first: float,
    events: Array | None = None,
) -> Series:
    """A step curve from time 0, with the counts behind each step.

    events: those that the curve tells, where others compete with them and count as exits.
    """
    events = table.n_event if events is None else events
    begins_at_zero = bool(len(table.time)) and table.time[0] == 0

    def line(values: Array, start: float) -> tuple[float, ...]:
        return tuple(map(float, values if begins_at_zero else np.append(start, values)))

    def count(values: Array, start: float) -> tuple[int, ...]:
        return tuple(round(v) for v in line(values, start))

    n_first = float(table.n_risk[0]) if len(table.time) else 0.0
    return Series(
        name,
        x=line(table.time, 0.0),
        y=line(y, first),
        low=line(np.where(np.isnan(low), y, low), first),
        high=line(np.where(np.isnan(high), y, high), first),
        n_at=count(table.n_risk, n_first),
        events_at=count(events, 0.0),
        censored_at=count(table.n_censor + table.n_event - events, 0.0),
    )
