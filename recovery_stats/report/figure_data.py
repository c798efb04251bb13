"""What a figure shows, as a table and as a sentence for those who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from recovery_stats.core.bar import BarFigure
from recovery_stats.core.cell import Cell, Quantity, Shown
from recovery_stats.core.document import (
    CaterpillarFigure,
    Column,
    CurveFigure,
    Figure,
    ForestFigure,
    LineFigure,
    LoveFigure,
    Row,
    Series,
    SpecificationFigure,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.report.digits import count, plain
from recovery_stats.report.numbers import cell, interval_columns

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LIMITS = (Column("low", "Lower limit"), Column("high", "Upper limit"))


def table(figure: Figure) -> Table:
    """The numbers drawn in `figure`, in the order a reader meets them."""
    columns, rows = _contents(figure)
    return Table(figure.name, f"Numbers of the figure: {figure.caption}", columns, rows)


def alt_text(figure: Figure) -> str:  # noqa: C901, PLR0911 (one case a figure)
    """One or two sentences that say what kind of figure this is and what its numbers are."""
    match figure:
        case CurveFigure():
            ends = "; ".join(_end(series, figure.x_label) for series in figure.series if series.x)
            return f"Curves of {figure.y_label} by {figure.x_label}. {ends}."
        case LineFigure():
            runs = "; ".join(_run(series) for series in figure.series if series.x)
            return f"Lines of {figure.y_label} by {figure.x_label}. {runs}."
        case PanelFigure():
            parts = " ".join(f"{head}: {_binned(p)}." for head, p in lettered(figure))
            return f"{count(len(figure.panels))} panels. {parts}"
        case SpecificationFigure():
            return _specifications(figure)
        case ForestFigure():
            rows = "; ".join(f"{e.label} {cell(Shown(e, 'interval'))}" for e in estimates(figure))
            return f"Forest plot of {figure.x_label}. {rows}."
        case LoveFigure():
            return _love(figure)
        case CaterpillarFigure():
            return _caterpillar(figure)
        case BarFigure():
            return _bars(figure)


def estimates(figure: ForestFigure) -> list[Estimate]:
    """The estimates of a composed forest figure."""
    return [row.estimate for row in figure.rows if isinstance(row, Shown)]


def lettered(figure: PanelFigure) -> list[tuple[str, LineFigure]]:
    """The panels with their headings: A. Residuals along the fitted values."""
    return [
        (f"{letter}. {p.caption}", p) for letter, p in zip(LETTERS, figure.panels, strict=False)
    ]


def risk_rows(figure: CurveFigure) -> list[tuple[str, tuple[Cell, ...]]]:
    """The lines under the axis of a curve: label and number at risk at each of `risk_times`."""
    pairs = zip_longest(figure.series, figure.risk, fillvalue=())
    people = "All people" if figure.competing else ""
    return [(people or s.name, cells) for s, cells in pairs if isinstance(s, Series) and cells]


def counted_under(figure: CurveFigure) -> tuple[bool, ...]:
    """Which series have a row of the risk table: those with counts, of competing events one."""
    counted = [bool(series.n_at) for series in figure.series]
    return tuple(
        own and not (figure.competing and any(counted[:i])) for i, own in enumerate(counted)
    )


def beginning(figure: CurveFigure) -> float:
    """When the curves begin: at 0, or at the first time of the risk table (a landmark)."""
    drawn = [s.x[0] for s in figure.series if s.x]
    first = figure.risk_times[0] if figure.risk_times else 0.0
    return first if first > 0 and all(x >= first for x in drawn) else 0.0


# --- tables ------------------------------------------------------------------------------

_Contents = tuple[tuple[Column, ...], tuple[Row, ...]]


def _contents(figure: Figure) -> _Contents:  # noqa: PLR0911 (one case a figure)
    match figure:
        case CurveFigure() | LineFigure():
            return _lines(figure)
        case PanelFigure():
            return _panels(figure)
        case SpecificationFigure():
            return _specified(figure)
        case ForestFigure():
            return _forest(figure)
        case LoveFigure():
            return _covariates(figure)
        case CaterpillarFigure():
            return _groups(figure)
        case BarFigure():
            heads = (Column(f"part {i}", name) for i, name in enumerate(figure.series, 1))
            based = any(bar.of for bar in figure.bars)
            return (*heads, *((Column("of", "Of"),) if based else ())), figure.rows


def _lines(figure: CurveFigure | LineFigure) -> _Contents:
    banded = any(series.low for series in figure.series)
    columns = (Column("x", figure.x_label), Column("y", figure.y_label))
    names = dict(figure.x_ticks) if isinstance(figure, LineFigure) else {}
    rows: list[Row] = []
    for s, series in enumerate(figure.series, 1):
        rows.append(Row(f"series {s}", series.name))
        rows += [
            Row(f"series {s} point {i + 1}", "", _point(series, i, banded, names), depth=1)
            for i in _told(series, names)
        ]
    if isinstance(figure, CurveFigure):
        rows += _risk(figure, 4 if banded else 2)
    return (columns + LIMITS if banded else columns), tuple(rows)


def _told(series: Series, names: Mapping[float, str]) -> list[int]:
    """The places of the points to tell: those that the axis names, where it names any of them.

    Between them x may be on another scale than the names, as a logarithm.
    """
    at = [i for i, x in enumerate(series.x) if x in names]
    return at or list(range(len(series.x)))


def _panels(figure: PanelFigure) -> _Contents:
    """The points of every panel, and where they should lie; x and y are named in its heading."""
    rows: list[Row] = []
    for k, (head, panel) in enumerate(lettered(figure), 1):
        rows.append(Row(f"panel {k}", f"{head}: {panel.y_label} by {panel.x_label}"))
        wanted = (panel.expected,) if panel.expected else ()
        for s, series in enumerate((*panel.series, *wanted), 1):
            rows += [
                Row(
                    f"panel {k} series {s} point {i + 1}",
                    series.name,
                    _point(series, i, True, {}),
                    1,
                )
                for i in range(len(series.x))
            ]
    return (Column("x", "Across"), Column("y", "Up"), *LIMITS), tuple(rows)


def _point(series: Series, i: int, banded: bool, names: dict[float, str]) -> tuple[Cell, ...]:
    x: Cell = names.get(series.x[i], Quantity(series.x[i], "days"))
    if not banded:
        return (x, Quantity(series.y[i]))
    low = Quantity(series.low[i]) if series.low else None
    high = Quantity(series.high[i]) if series.high else None
    return (x, Quantity(series.y[i]), low, high)


def _risk(figure: CurveFigure, width: int) -> list[Row]:
    rows: list[Row] = []
    for s, (name, cells) in enumerate(risk_rows(figure), 1):
        rows.append(Row(f"at risk {s}", f"{name}: number at risk"))
        for i, (time, number) in enumerate(zip(figure.risk_times, cells, strict=True), 1):
            padding: tuple[Cell, ...] = (None,) * (width - 2)
            row = (Quantity(time, "days"), number, *padding)
            rows.append(Row(f"at risk {s} time {i}", "", row, depth=1))
    return rows


def _forest(figure: ForestFigure) -> _Contents:
    columns = (Column("value", figure.x_label), *LIMITS)
    heads = dict(figure.groups)
    rows: list[Row] = []
    for i, row in enumerate(figure.rows):
        if i in heads:
            rows.append(Row(f"group {i + 1}", heads[i]))
        if isinstance(row, Shown):
            e = row.estimate
            cells = (Shown(e, "value"), Shown(e, "low"), Shown(e, "high"))
            rows.append(Row(e.name, e.label, cells, depth=int(bool(heads))))
    return columns, tuple(rows)


def _specified(figure: SpecificationFigure) -> _Contents:
    chosen = (Column(f"choice {i}", d) for i, d in enumerate(figure.dimensions, 1))
    choices, ids = dict(figure.choices), dict(figure.ids)
    empty = ("",) * len(figure.dimensions)
    rows = (
        Row(
            e.name,
            ids.get(e.name, e.label),
            (Shown(e, "value"), Shown(e, "low"), Shown(e, "high"), *choices.get(e.name, empty)),
        )
        for e in estimates(figure)
    )
    return (Column("value", figure.x_label), *LIMITS, *chosen), tuple(rows)


def _covariates(figure: LoveFigure) -> _Contents:
    columns = (Column("before", "Before"), *((Column("after", "After"),) if figure.after else ()))
    pairs = [figure.before, figure.after] if figure.after else [figure.before]
    rows = (
        Row(f"covariate {i}", label, tuple(Quantity(values[i - 1]) for values in pairs))
        for i, label in enumerate(figure.labels, 1)
    )
    return columns, tuple(rows)


def _groups(figure: CaterpillarFigure) -> _Contents:
    columns = (Column("value", figure.x_label), *LIMITS)
    numbers = zip(figure.value, figure.low, figure.high, strict=True)
    rows = (
        Row(f"group {i}", f"Group {i}", tuple(Quantity(x) for x in three))
        for i, three in enumerate(numbers, 1)
    )
    return columns, tuple(rows)


# --- sentences ---------------------------------------------------------------------------


def _end(series: Series, x_label: str) -> str:
    where = f"{x_label} {plain(series.x[-1], None, 'days')}"
    return f"{series.name}: {_value(series, len(series.x) - 1)} at {where}"


def _run(series: Series) -> str:
    last = _value(series, len(series.y) - 1)
    return f"{series.name}: from {_value(series, 0)} to {last}"


def _binned(panel: LineFigure) -> str:
    """How many points of a panel lie where they should, and how far the others go."""
    points = [(i, s) for s in panel.series for i in range(len(s.x))]
    if not points:
        return "too few people for a point"
    wanted, level = panel.expected, panel.horizontal
    within = [_as_expected(s, i, wanted, level) for i, s in points]
    told = f"{count(sum(within))} of {count(len(points))} points lie where they should"
    first, last = (_value(s, i) for i, s in (points[0], points[-1]))
    return f"{told}, within error; {panel.y_label.lower()} from {first} to {last}"


def _as_expected(s: Series, i: int, wanted: Series | None, level: float | None) -> bool:
    """Whether a point is inside the band it should be in, or its bar over the level."""
    if wanted is not None:
        bands = zip(wanted.x, wanted.low, wanted.high, strict=True)
        own = min(bands, key=lambda band: abs(band[0] - s.x[i]))
        return own[1] <= s.y[i] <= own[2]
    return level is None or s.low[i] <= level <= s.high[i]


def _value(series: Series, i: int) -> str:
    """A point of a line, with its limits where it has any."""
    if not series.low or not series.high or math.isnan(series.low[i]):
        return plain(series.y[i])
    three = [series.y[i], series.low[i], series.high[i]]
    (value,), (low,), (high,) = interval_columns([[Quantity(x)] for x in three])
    return f"{value} [{low}, {high}]"


def _specifications(figure: SpecificationFigure) -> str:
    rows = estimates(figure)
    if not rows:
        return f"{figure.x_label}: no specification has an estimate that can be shown."
    above, below = (
        sum(e.value > figure.null for e in rows),
        sum(e.value < figure.null for e in rows),
    )
    first, last = (cell(Shown(e, "interval")) for e in (rows[0], rows[-1]))
    return (
        f"Specification curve of {figure.x_label}: {count(len(rows))} estimates in order, from "
        f"{first} to {last}, over a grid of their choices of {' and '.join(figure.dimensions)}. "
        f"{count(above)} lie above {plain(figure.null)} ({figure.above}), {count(below)} below "
        f"({figure.below})."
    )


def _love(figure: LoveFigure) -> str:
    parts = [f"largest before {_largest(figure.before)}"]
    if figure.after:
        parts.append(f"largest after {_largest(figure.after)}")
        above = sum(abs(x) > figure.threshold for x in figure.after)
        parts.append(f"{count(above)} of {count(len(figure.after))} still above the line")
    return (
        f"Absolute standardised mean differences of {count(len(figure.labels))} covariates, "
        f"with a line at {plain(figure.threshold)}: {', '.join(parts)}."
    )


def _largest(values: Sequence[float]) -> str:
    finite = [abs(x) for x in values if math.isfinite(x)]
    return plain(max(finite)) if finite else "not known"


def _caterpillar(figure: CaterpillarFigure) -> str:
    if not figure.value:
        return f"{figure.x_label}: no group is large enough to be shown."
    return (
        f"{count(len(figure.value))} groups in order of {figure.x_label}, "
        f"from {plain(figure.value[0])} to {plain(figure.value[-1])}, with intervals."
    )


def _bars(figure: BarFigure) -> str:
    """Every bar by its label, under what heads it."""
    parts, head = [], ""
    for row in figure.rows:
        head = row.label if not row.cells else head
        told = zip(figure.series, row.cells, strict=False)
        numbers = ", ".join(f"{name} {cell(value)}" for name, value in told)
        where = f"{head}, {row.label}" if row.depth else row.label
        parts += [f"{where}: {numbers}"] if row.cells else []
    return f"Bars of {figure.x_label.lower()}. {'; '.join(parts)}."
