"""Survival curves that cannot be read back: steps of many events at round times.

A Kaplan–Meier curve with a risk table gives back every event (drop times number at risk) and
every censoring (number at risk before, less events, less number after). So a curve is printed
only at times of a regular grid, between which either no event or at least `grid_events` fell,
and either nobody or at least the minimum left; the number at risk is printed at such times
only; and the curve ends where fewer than the minimum remain. Ordinates have three decimals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from recovery_stats.core.document import Cell, Count, CurveFigure, Hidden, Numbers, Series
from recovery_stats.core.study import Privacy

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
    """The figure on a coarse grid, its risk table blanked where it would give counts back."""
    pairs = [_series(series, figure.risk_times, privacy) for series in figure.series]
    risk = tuple(cells for _, cells in pairs)
    return replace(figure, series=tuple(s for s, _ in pairs), risk=risk if any(risk) else ())


def _series(series: Series, times: Numbers, privacy: Privacy) -> tuple[Series, tuple[Cell, ...]]:
    if not series.n_at:
        return replace(series, events_at=(), censored_at=()), ()
    if series.n_at[0] < privacy.minimum:
        return Series(series.name, (), ()), tuple(Hidden(privacy.minimum) for _ in times)
    marks = [_mark(series, time) for time in _grid(series, times)]
    marks.append(_after_all(series))
    end = _last_mark(marks, series, privacy)
    shown = _risk_marks(marks, end, times, privacy)
    at_risk = {marks[i].time: marks[i].at_risk for i in reversed(shown)}
    risk = tuple(_risk_cell(series, time, at_risk, privacy) for time in times)
    return _at(series, _steps(marks, end, shown, privacy)), risk


def _grid(series: Series, times: Numbers) -> list[float]:
    """Round times over the span of the series, with those of the risk table among them."""
    last = series.x[-1]
    step = _nice(last / GRID_STEPS)
    regular = (step * i for i in range(math.floor(last / step) + 1))
    return sorted({0.0, *regular, *(t for t in times if 0 < t <= last)})


def _nice(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((m * power for m in (1, 2, 5) if m * power >= step * (1 - 1e-9)), 10 * power)


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
    events, left = b.events - a.events, abs(b.left - a.left)
    return (events == 0 or events >= privacy.grid_events) and (left == 0 or left >= privacy.minimum)


def _enough(mark: _Mark, privacy: Privacy) -> bool:
    return mark.at_risk == 0 or mark.at_risk >= privacy.minimum


def _last_mark(marks: list[_Mark], series: Series, privacy: Privacy) -> int:
    """The last time that leaves enough people at risk, and nothing small to be told after it."""
    for i in range(len(marks) - 1, 0, -1):
        mark = marks[i]
        behind = series.n_at[max(mark.index, 0)] >= privacy.minimum
        between = _safe(marks[0], mark, privacy) and _safe(mark, marks[-1], privacy)
        if behind and between and _enough(mark, privacy):
            return i
    return 0


def _risk_marks(marks: list[_Mark], end: int, times: Numbers, privacy: Privacy) -> list[int]:
    """Places in `marks` whose number at risk may be printed: far enough from each other."""
    kept = [0]
    for i in range(1, min(end, len(marks) - 2) + 1):
        wanted = marks[i].time in times and _enough(marks[i], privacy)
        before, after = (marks[kept[-1]], marks[i]), (marks[i], marks[end])
        if wanted and _safe(*before, privacy) and _safe(*after, privacy):
            kept.append(i)
    return kept


def _steps(marks: list[_Mark], end: int, fixed: list[int], privacy: Privacy) -> list[_Mark]:
    """Times at which the curve is drawn: as fine as every step stays safe between fixed times."""
    last = 0
    steps = [0]
    for stop in sorted({*fixed, end} - {0}):
        for i in range(last + 1, stop):
            here, ahead = (marks[last], marks[i]), (marks[i], marks[stop])
            if _moves(*here) and _safe(*here, privacy) and _safe(*ahead, privacy):
                steps.append(i)
                last = i
        steps.append(stop)
        last = stop
    return [marks[i] for i in steps]


def _moves(a: _Mark, b: _Mark) -> bool:
    return b.events > a.events or b.left != a.left


def _risk_cell(series: Series, time: float, shown: dict[float, int], privacy: Privacy) -> Cell:
    if time in shown:
        return Count(shown[time])
    later = [n for x, n in zip(series.x, series.n_at, strict=True) if x >= time]
    if not later:
        return None
    return Hidden(privacy.minimum if later[0] < privacy.minimum else 0)


def _at(series: Series, steps: list[_Mark]) -> Series:
    """The series at the steps only, without the counts behind it."""
    start = 1.0 if series.y[-1] <= series.y[0] and series.y[0] > 0.5 else 0.0

    def values(numbers: Numbers) -> Numbers:
        if not numbers:
            return ()
        return tuple(start if m.index < 0 else round(numbers[m.index], DECIMALS) for m in steps)

    times = tuple(m.time for m in steps)
    return Series(series.name, times, values(series.y), values(series.low), values(series.high))
