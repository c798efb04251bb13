"""What a survival formula knows of each row's time, for the models that read every censoring.

Surv(time, event), Surv(time, event, type="left"), Surv(start, stop, event), and intervals as R
writes them: Surv(low, high, type="interval2") with a missing or infinite end that is not known,
and Surv(time, time2, code, type="interval") with code 0 right, 1 event, 2 left, 3 interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.censoring import Censored
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.design import Design, Times, build_design
from recovery_stats.models.formula import Formula, Surv, Variable, parse
from recovery_stats.models.observation import RowNames, add_offset, read_survival, read_weights
from recovery_stats.models.time_check import cure_of_codes

KINDS = ("right", "left", "counting", "interval", "interval2")
INTERVAL_CODES = "0 (right-censored), 1 (event), 2 (left-censored) or 3 (interval)"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Spans:
    """The rows analysed: what is known of their times, their covariates, groups and weights.

    X (n, p) with `design.names`. cluster (n,): whole numbers from 0, or None. index (n,): labels.
    weightless: rows left out because their weight is 0.
    """

    rows: Censored
    X: Array
    offset: Array | None
    strata: Grouping | None
    cluster: IntArray | None
    cluster_name: str
    index: NDArray[Any]
    design: Design
    weightless: int
    offset_name: str
    data: pd.DataFrame | Dataset = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_events(self) -> int:
        """Rows known to have the event, at whatever time."""
        return len(self) - len(self.rows.right)

    @property
    def analysed(self) -> pd.DataFrame | Dataset:
        """The rows of the data that were analysed."""
        if isinstance(self.data, Dataset):
            return self.data.with_frame(self.data.frame.iloc[self._places])
        return self.data.iloc[self._places]

    @property
    def _places(self) -> IntArray:
        places = np.flatnonzero(self.design.kept)
        if not self.weightless:
            return places
        # rows of weight 0 are kept by the design and were left out after it
        return places[next(iter(self.design.numbers.values())) > 0]


def observe_spans(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    what: str,
    entry: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    cluster: str | None = None,
    complete: tuple[str, ...] = (),
    zero_events: bool = False,
    drop_intercept: bool = False,
) -> Spans:
    """Read a survival formula's columns and check the times.

    what: the caller's name, for messages. entry: column with the time from which a row was under
    observation. complete: further columns that rows must have. zero_events: an event at time 0 is
    allowed. Raises UsageError, DataError (an end before its beginning, negative times, an event
    not after entry, codes that mean nothing), NotEstimable (no row says anything).
    """
    given = parse(formula) if isinstance(formula, str) else formula
    asked = read_survival(given, what, KINDS)
    if not drop_intercept:
        asked = replace(asked, terms=given.terms)  # a model of times may go without an intercept
    if asked.frailty is not None:
        raise UsageError(f"{what} has no frailty term; cluster= gives errors for clusters.")
    design = build_design(
        asked,
        data,
        numbers=tuple(c for c in (weights, offset, entry) if c),
        groups=tuple(c for c in (cluster, *complete) if c),
        drop_intercept=drop_intercept,
    )
    columns = Columns.of(data)
    grouping = design.groups[cluster] if cluster else design.cluster
    count = RowNames(columns, design, cluster=grouping).count
    surv = asked.response
    assert isinstance(surv, Surv)
    _refuse_infinite(surv, columns)
    low, high, begins = _ends(design, surv, entry, count)
    entered = entry or str(surv.start)
    _check(low, high, begins, surv, count, entered=entered, zero_events=zero_events)
    if np.isinf(high).all():
        raise NotEstimable(_no_event(surv, design, what))
    w = read_weights(design.numbers[weights], weights, count) if weights else None
    whole = Spans(
        Censored(low, high, begins, w), design.X, add_offset(design, offset), design.strata,
        grouping.codes if grouping else None, grouping.name if grouping else "",
        design.rows, design, 0, offset or "", data,
    )  # fmt: skip
    return _of_rows(whole, w > 0) if w is not None and not (w > 0).all() else whole


def _ends(
    design: Design, surv: Surv, entry: str | None, count: Callable[[Mask], str]
) -> tuple[Array, Array, Array | None]:
    """low, high and entry of each row."""
    times = design.response
    assert isinstance(times, Times)
    begins = design.numbers[entry] if entry else None
    if surv.kind == "counting":
        if entry:
            raise UsageError("Surv(start, stop, event) says itself when a row enters.")
        begins = times.start
    low, high = _READERS[surv.kind](times, surv, count)
    return low, high, begins


def _one_time(times: Times, surv: Surv, count: Callable[[Mask], str]) -> tuple[Array, Array]:
    event = _coded(times, surv, count, (0, 1), "0 for censored and 1 for the event")
    if surv.kind == "left":
        return np.where(event == 1, times.stop, 0.0), times.stop
    return times.stop, np.where(event == 1, times.stop, np.inf)


def _two_times(times: Times, surv: Surv, count: Callable[[Mask], str]) -> tuple[Array, Array]:
    assert times.start is not None
    neither = np.isnan(times.start) & np.isnan(times.stop)
    if neither.any():
        raise DataError(
            f"{surv.start} and {surv.stop} are both missing in {count(neither)}: they say nothing "
            "about the time; leave them out."
        )
    low = np.where(np.isnan(times.start), 0.0, times.start)
    return low, np.where(np.isnan(times.stop), np.inf, times.stop)


def _by_code(times: Times, surv: Surv, count: Callable[[Mask], str]) -> tuple[Array, Array]:
    assert times.start is not None
    code = _coded(times, surv, count, (0, 1, 2, 3), INTERVAL_CODES)
    lost = (code == 3) & np.isnan(times.stop)
    if lost.any():
        raise DataError(
            f"{surv.stop} is missing in {count(lost)} whose code is 3, an "
            "interval; give its end, or code 0 for right-censored."
        )
    low = np.where(code == 2, 0.0, times.start)
    ends = [np.full_like(low, np.inf), times.start, times.start, times.stop]
    return low, np.choose(code.astype(int), ends)


_READERS = {
    "right": _one_time,
    "counting": _one_time,
    "left": _one_time,
    "interval2": _two_times,
    "interval": _by_code,
}


def _coded(
    times: Times, surv: Surv, count: Callable[[Mask], str], known: tuple[int, ...], rule: str
) -> Array:
    wrong = ~np.isin(times.event, known)
    if wrong.any():
        column = surv.event.column if surv.event else "event"
        cure = cure_of_codes(times.event, column) if len(known) == 2 else ""
        raise DataError(f"Column {column!r} must be {rule}; it is neither in {count(wrong)}.{cure}")
    return times.event


def _check(
    low: Array,
    high: Array,
    entry: Array | None,
    surv: Surv,
    count: Callable[[Mask], str],
    *,
    entered: str,
    zero_events: bool,
) -> None:
    start = surv.start if surv.kind.startswith("interval") else surv.stop
    negative = f"{start} or {surv.stop}" if start != surv.stop else f"{start}"
    begins = np.zeros_like(low) if entry is None else entry
    early = "time runs from 0, the entry into the study"
    for wrong, what, cure in (
        ((low < 0) | (high < 0), f"{negative} is negative", early),
        (low > high, f"{start} is after {surv.stop}", "an interval ends after it begins"),
        (begins < 0, f"{entered} is negative", early),
    ):
        if wrong.any():
            raise DataError(f"{what} in {count(wrong)}; {cure}.")
    empty = (begins >= high) | (begins > low) | ((begins == low) & np.isinf(high) & (begins > 0))
    empty &= begins > 0
    if empty.any():
        raise DataError(
            f"{entered} is not before {surv.stop} in {count(empty)}, or the event may have been "
            "before it; a person is under observation on (entry, time] and was without the event "
            "at entry: correct the times, or leave out who was never observed without it."
        )
    at_zero = (high == 0) & (not zero_events)
    if at_zero.any():
        raise DataError(
            f"{count(at_zero)} have the event at time 0, where this "
            "model's times have no density; give the interval in which it happened, "
            'such as Surv(low, high, type="interval2") with low 0, or the middle of the first day.'
        )
    if not ((high > 0) & ~((low == 0) & np.isinf(high))).any() and not zero_events:
        raise NotEstimable("No row says anything about the time of the event.")


def _no_event(surv: Surv, design: Design, what: str) -> str:
    """Who was observed without an event, and what may be wrong."""
    column = f" by column {surv.event.column!r}" if surv.event else ""
    check = "which code is the event, as in Surv(time, event == 2)"
    lost = sum(design.lost.values())
    rest = f" {lost} further rows lack a value of the model's columns." if lost else ""
    return (
        f"None of the {len(design.rows)} rows had the event{column}: every time is right-censored, "
        f"and {what} has nothing to estimate; check "
        f"{check if surv.event else f'that {surv.stop} holds the ends of the intervals'}.{rest}"
    )


def _refuse_infinite(surv: Surv, columns: Columns) -> None:
    """An interval that begins at inf or ends at -inf is an error, not one that is open."""
    if surv.kind != "interval2":
        return
    for end, sign in ((surv.start, 1.0), (surv.stop, -1.0)):
        if not isinstance(end, Variable) or columns.series(end.name).dtype.kind != "f":
            continue
        wrong = (columns.series(end.name) == sign * np.inf).to_numpy()
        if wrong.any():
            raise DataError(
                f"{end} is {'' if sign > 0 else '-'}inf in {int(wrong.sum())} rows "
                f"({columns.rows(wrong)}); an interval begins before inf and ends after 0."
            )


def _of_rows(seen: Spans, kept: Mask) -> Spans:
    def of(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[kept]

    def groups(found: Grouping | None) -> Grouping | None:
        if found is None:
            return None
        used, codes = np.unique(found.codes[kept], return_inverse=True)
        return Grouping(found.name, codes, tuple(found.levels[c] for c in used))

    cluster = None if seen.cluster is None else np.unique(of(seen.cluster), return_inverse=True)[1]
    return replace(
        seen,
        rows=seen.rows.take(kept),
        X=of(seen.X),
        offset=of(seen.offset),
        strata=groups(seen.strata),
        cluster=cluster,
        index=of(seen.index),
        weightless=int((~kept).sum()),
    )
