"""Survival curves that cannot be read back: steps of many events at round times.

A Kaplan–Meier curve with a risk table gives back every event (drop times number at risk) and
every censoring (number at risk before, less events, less number after). So a curve is printed
only at times of a regular grid, between which either no event or at least `grid_events` fell;
it ends where fewer than the minimum remain, and its ordinates have three decimals. Numbers at
risk are printed exactly where between any two of them nobody or at least the minimum left;
else all but the first are rounded, so that those who left stay unknown by more than the minimum.
Where counts are rounded, the curve is that of rounded counts (`midpoint`), and it is drawn where
these have moved on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from recovery_stats.core.cell import Cell, Count, Hidden
from recovery_stats.core.document import CurveFigure, Numbers, Series
from recovery_stats.core.study import Privacy
from recovery_stats.report.figure_data import beginning, counted_under
from recovery_stats.report.privacy.coarse import nice
from recovery_stats.report.privacy.midpoint import from_rounded, midpoint

GRID_STEPS = 60
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class _Mark:
    """The account just before `time`: people still at risk, events and exits until then.

    index: the last point of the series before `time`; -1 where there is none.
    """

    time: float
    at_risk: int
    events: int
    left: int
    index: int


def coarsen(figure: CurveFigure, privacy: Privacy) -> CurveFigure:
    """The figure on a coarse grid, its risk table rounded where it would give counts back."""
    start = beginning(figure)
    counted = [series.n_at for series in figure.series if series.x]
    accounts = [
        _account(s, figure.risk_times, start, privacy) if s.n_at else None for s in figure.series
    ]
    # Of competing events each is an exit of the others: exact numbers at risk would leave the rest.
    hidden = figure.competing or figure.rounded
    exact = not hidden and all(a is None or a.exact for a in accounts)
    series = tuple(
        _at(s, a) if a else replace(s, events_at=(), censored_at=())
        for s, a in zip(_told(figure, privacy), accounts, strict=True)
    )
    risk = tuple(
        tuple(_risk_cell(s, time, exact, privacy) for time in figure.risk_times) if own else ()
        for s, own in zip(figure.series, counted_under(figure), strict=True)
    )
    told = not exact and any(counted) and bool(figure.risk_times)
    note = (f"Numbers at risk after the start are rounded to the nearest {_unit(privacy)}.",)
    notes = (*figure.notes, *_undrawn(figure, series), *(note if told else ()))
    return replace(figure, series=series, risk=risk if any(risk) else (), notes=notes)


def _told(figure: CurveFigure, privacy: Privacy) -> Sequence[Series]:
    """The curves themselves, or where counts are rounded those of the rounded counts."""
    if not privacy.rounds:
        return figure.series
    return [
        from_rounded(s, [r for r in figure.series if figure.competing and r is not s], privacy.bin)
        if s.x and s.n_at
        else s
        for s in figure.series
    ]


def _undrawn(figure: CurveFigure, safe: tuple[Series, ...]) -> Iterator[str]:
    """Names the competing events that are too rare to be drawn."""
    pairs = zip(figure.series, safe, strict=True)
    rare = [raw.name for raw, drawn in pairs if raw.x and not drawn.x]
    if figure.competing and rare:
        yield f"Too rare to be drawn: {', '.join(rare)}."


@dataclass(frozen=True, slots=True)
class _Account:
    """The times at which a series may be drawn, and whether its risk table may be exact."""

    steps: tuple[_Mark, ...]
    exact: bool


def _account(series: Series, times: Numbers, start: float, privacy: Privacy) -> _Account:
    if series.n_at[0] < privacy.minimum:
        return _Account((), exact=True)
    marks = [_mark(series, time) for time in _grid(series, times, start)]
    marks.append(_after_all(series))
    end = _last_mark(marks, series, privacy)
    fixed = [i for i in range(1, len(marks) - 1) if marks[i].time in times]
    exact = end > 0 and _risk_is_safe([0, *fixed, len(marks) - 1], marks, privacy)
    if privacy.rounds:
        return _Account(tuple(_rounded_steps(marks[: end + 1], privacy.bin)) if end else (), False)
    stops = [*(i for i in fixed if i < end), end] if exact else [end]
    return _Account(tuple(_steps(marks, stops, privacy)) if end else (), exact)


def _rounded_steps(marks: list[_Mark], width: int) -> Iterator[_Mark]:
    """Times by which the rounded events have moved on, the first and the last of `marks`."""
    yield marks[0]
    for before, mark in pairwise(marks):
        if mark is marks[-1] or midpoint(mark.events, width) > midpoint(before.events, width):
            yield mark


def _risk_is_safe(fixed: list[int], marks: list[_Mark], privacy: Privacy) -> bool:
    """Whether exact numbers at risk tell of no few events, exits or people."""
    between = all(_safe(a, b, privacy) for a, b in pairwise(marks[i] for i in fixed))
    return between and all(_enough(marks[i], privacy) for i in fixed)


def _grid(series: Series, times: Numbers, start: float) -> list[float]:
    """Round times from `start` on, with those of the risk table among them."""
    last = series.x[-1]
    step = nice(last / GRID_STEPS)
    regular = (step * i for i in range(math.floor(last / step) + 1))
    return sorted({start, *(t for t in (*regular, *times) if start < t <= last)})


def _mark(series: Series, time: float) -> _Mark:
    """Everyone at risk at the start is still at risk, has had the event, or left.

    Late entry makes people at risk without an exit; it counts against those who left.
    """
    index = sum(x < time for x in series.x) - 1
    events = sum(series.events_at[: index + 1])
    at_risk = series.n_at[index + 1]
    return _Mark(time, at_risk, events, series.n_at[0] - at_risk - events, index)


def _after_all(series: Series) -> _Mark:
    """The account when the last time is over: nobody is followed any further."""
    events = sum(series.events_at)
    return _Mark(series.x[-1], 0, events, series.n_at[0] - events, len(series.x) - 1)


def _safe(a: _Mark, b: _Mark, privacy: Privacy) -> bool:
    """Whether what happened from `a` to `b` is nothing or many, events and exits apart."""
    left = abs(b.left - a.left)
    return _many_events(a, b, privacy) and (left == 0 or left >= privacy.minimum)


def _many_events(a: _Mark, b: _Mark, privacy: Privacy) -> bool:
    events = b.events - a.events
    return events == 0 or events >= privacy.grid_events


def _enough(mark: _Mark, privacy: Privacy) -> bool:
    return mark.at_risk == 0 or mark.at_risk >= privacy.minimum


def _last_mark(marks: list[_Mark], series: Series, privacy: Privacy) -> int:
    """The last time that leaves enough people at risk, and no few events to be told after it."""
    for i in range(len(marks) - 1, 0, -1):
        mark = marks[i]
        behind = series.n_at[max(mark.index, 0)] >= privacy.minimum
        before, after = (marks[0], mark), (mark, marks[-1])
        many = _many_events(*before, privacy) and _many_events(*after, privacy)
        if behind and many and _enough(mark, privacy):
            return i
    return 0


def _steps(marks: list[_Mark], stops: list[int], privacy: Privacy) -> list[_Mark]:
    """Times at which the curve is drawn: as fine as every step holds many events or none."""
    last = 0
    steps = [0]
    for stop in stops:
        for i in range(last + 1, stop):
            here, ahead = (marks[last], marks[i]), (marks[i], marks[stop])
            moved = marks[i].events > marks[last].events
            if moved and _many_events(*here, privacy) and _many_events(*ahead, privacy):
                steps.append(i)
                last = i
        steps.append(stop)
        last = stop
    ends = [marks[i] for i in steps]
    same = len(ends) > 1 and ends[-1].time == ends[-2].time and ends[-1].events == ends[-2].events
    return ends[:-1] if same else ends


def _risk_cell(series: Series, time: float, exact: bool, privacy: Privacy) -> Cell:
    later = [n for x, n in zip(series.x, series.n_at, strict=True) if x >= time]
    n = later[0] if later else 0
    if 0 < n < privacy.minimum:
        return Hidden(privacy.minimum)
    if exact or n == series.n_at[0] or not n:
        return Count(n)
    unit = _unit(privacy)
    return Count(unit * ((n + unit // 2) // unit))


def _unit(privacy: Privacy) -> int:
    """The multiple of five that covers what may not be told."""
    return 5 * math.ceil((privacy.minimum - 1) / 5)


def _at(series: Series, account: _Account) -> Series:
    """The series at the steps only, without the counts behind it."""
    steps = account.steps
    start = 1.0 if series.y[-1] <= series.y[0] and series.y[0] > 0.5 else 0.0

    def values(numbers: Numbers) -> Numbers:
        if not numbers:
            return ()
        return tuple(start if m.index < 0 else round(numbers[m.index], DECIMALS) for m in steps)

    times = tuple(m.time for m in steps)
    return Series(series.name, times, values(series.y), values(series.low), values(series.high))
