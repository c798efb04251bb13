"""Figures with an axis of time or dose: step curves with their risk table, lines with bands."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.transforms import ScaledTranslation

from recovery_stats.core.cell import Cell
from recovery_stats.core.document import CurveFigure, LineFigure, Series
from recovery_stats.core.panel import PanelFigure
from recovery_stats.report import figure_data, style
from recovery_stats.report.digits import ticks
from recovery_stats.report.figures.panel import (
    CHARACTER_INCHES,
    LINE_INCHES,
    distinct,
    finish,
    log_axis,
    new_panel,
    short,
    stacked,
    stub,
    whole_ticks,
    write,
)
from recovery_stats.report.numbers import cell
from recovery_stats.report.words import clean

HEAD_INCHES = 0.06  # from the corner of a panel to its letter
BOLD = 1.15  # letters of a head are wider
PANEL_INCHES = 2.6  # of height, one of several
TICK_CHARACTERS = 24
BESIDE_CHARACTERS = 20  # of a name in the risk table; longer ones stand above their numbers
MOST_CHARACTERS = 45  # of a name above them
TICK_INCHES = 0.58 * style.SMALL_POINTS / 72  # that a character of a tick's name takes
TILT = 40  # degrees of names too long to stand side by side
SINE, COSINE = math.sin(math.radians(TILT)), math.cos(math.radians(TILT))
MOST_NARROW = 18  # letters of a word beside a narrow panel
LINES_BESIDE, MOST_LINES = 17, 8  # of all names beside a panel, and of one of them
DODGE = 5.0  # points between two lines with bars
EARLY = 0.97  # share of the width before which a line has ended early


def curves(figure: CurveFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    risk = figure_data.risk_rows(figure)
    above = width < style.WIDTH_INCHES or any(len(name) > BESIDE_CHARACTERS for name, _ in risk)
    lines_under = (2 if above else 1) * len(risk) + 1
    below = 0.62 + (0.22 * lines_under if risk else 0)
    names = [*(name for name, _ in risk), *["Number at risk"] * bool(risk)]
    left = max(0.75, stub(names, 0.0) + _half_number(risk)) if risk and not above else 0.75
    canvas, axes = new_panel(3.3 + below, below, left, _aside(figure, width), width=width)
    start = figure_data.beginning(figure)
    for i, series in enumerate(figure.series):
        if series.x:
            # a curve coarsened for privacy is known at its points only, so lines join them
            _band(axes, _from_start(series, start), i, step="post" if series.n_at else None)
    highest = max((max(s.high or s.y) for s in figure.series if s.y), default=1.0)
    never = highest <= 0  # a cause that happened to nobody of those drawn
    axes.set_ylim(0, 1.0 if highest > 0.6 or never else min(1.0, 1.15 * highest))
    _span(axes, figure)
    finish(axes, figure.x_label, figure.y_label)
    _marks(axes, figure.marks)
    _end_labels(axes, figure.series, width, inside=True)
    if risk:
        _risk_table(axes, figure, named_above=above)
    return canvas


def lines(figure: LineFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    aside = _aside(figure, width)
    names = [short(text, TICK_CHARACTERS) for _, text in figure.x_ticks]
    room = (width - 0.75 - aside) / max(len(names), 1)
    longest = TICK_INCHES * max(map(len, names), default=0)
    tilted = longest > room  # names that would run into each other
    below = 0.62 + (SINE * longest if tilted else 0)
    left = max(0.75, COSINE * TICK_INCHES * len(names[0])) if tilted else 0.75
    canvas, axes = new_panel(2.98 + below, below, left, aside, width=width)
    _plot(axes, figure)
    if tilted:
        axes.tick_params(axis="x", labelrotation=TILT)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    finish(axes, figure.x_label, figure.y_label)
    _end_labels(axes, figure.series, width)
    return canvas


def panels(figure: PanelFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    """Two panels abreast, one on a narrow figure, each under its letter and name."""
    across = 2 if width >= style.WIDTH_INCHES else 1
    down = max(math.ceil(len(figure.panels) / across), 1)
    lettered = figure_data.lettered(figure)
    longest = int((width / across - 2 * HEAD_INCHES) / (BOLD * CHARACTER_INCHES))
    heads = stacked([head for head, _ in lettered], longest, 2)
    above = 0.36 + LINE_INCHES * max((head.count("\n") for head in heads), default=0)
    each = PANEL_INCHES + above - 0.36
    canvas = Canvas(figsize=(width, each * down))
    wide, high = 1 / across, 1 / down
    for k, (head, (_, panel)) in enumerate(zip(heads, lettered, strict=True)):
        left, below = wide * (k % across), 1 - high * (k // across + 1)
        room = (0.68 / width, 0.6 / (each * down))
        size = (wide - room[0] - 0.12 / width, high - room[1] - above / (each * down))
        axes = canvas.add_axes((left + room[0], below + room[1], *size))
        _plot(axes, panel)
        whole_ticks(axes, 5)
        finish(axes, panel.x_label, panel.y_label, across)
        canvas.text(left + HEAD_INCHES / width, below + high - HEAD_INCHES / (each * down), head,
                    va="top", fontweight="bold")  # fmt: skip
    return canvas


def _plot(axes: Any, figure: LineFigure) -> None:
    """Everything inside the axes of a figure of lines, and its ticks."""
    if figure.log_y:
        axes.set_yscale("log")
    if figure.horizontal is not None:
        axes.axhline(figure.horizontal, color=style.FAINT, linewidth=0.9, zorder=1)
    if figure.expected:
        _expected(axes, figure.expected)
    for i, series in enumerate(figure.series):
        if series.x:
            _band(axes, series, i, marker=figure.points, joined=figure.joined,
                  beside=_beside(i, figure))  # fmt: skip
    if figure.share:
        axes.set_ylim(0, 1)
    _ticks(axes, figure)


def _beside(i: int, figure: LineFigure) -> float:
    """Points to the right of its place for a line with bars, so that no bar hides another's."""
    barred = [k for k, s in enumerate(figure.series) if s.x and figure.points and s.low and s.high]
    return DODGE * (barred.index(i) - (len(barred) - 1) / 2) if i in barred else 0.0


def _ticks(axes: Any, figure: LineFigure) -> None:
    if figure.x_ticks:
        axes.set_xticks(
            [x for x, _ in figure.x_ticks], [short(t, TICK_CHARACTERS) for _, t in figure.x_ticks]
        )
        axes.margins(x=0.5 / max(len(figure.x_ticks), 1))
    else:
        whole_ticks(axes)
    if figure.log_y:
        log_axis(axes.yaxis, axes.get_ylim())
    if figure.log_x:
        axes.set_xscale("log")
        log_axis(axes.xaxis, axes.get_xlim())


def _expected(axes: Any, s: Series) -> None:
    if s.low and s.high:
        axes.fill_between(
            s.x, s.low, s.high, color=style.FAINT, alpha=style.BAND_OPACITY, linewidth=0
        )
    axes.plot(s.x, s.y, color=style.FAINT, linewidth=0.9, dashes=(4, 2))


def _band(
    axes: Any,
    s: Series,
    i: int,
    *,
    step: str | None = None,
    marker: bool = False,
    joined: bool = True,
    beside: float = 0.0,
) -> None:
    pen = style.pen(i)
    shift = ScaledTranslation(beside / 72, 0, axes.figure.dpi_scale_trans)
    place = axes.transData + shift if beside else axes.transData
    bars = len(s.x) == 1 or (marker and not step)
    if beside:  # what is moved is not in the data, for the limits of its axes
        ends = (*zip(s.x, s.low, strict=True), *zip(s.x, s.high, strict=True))
        axes.update_datalim(ends)
    if s.low and s.high and bars:
        axes.vlines(s.x, s.low, s.high, color=pen.colour, linewidth=1.3, transform=place)
    elif s.low and s.high:
        axes.fill_between(
            s.x, s.low, s.high, step=step, color=pen.colour, alpha=style.BAND_OPACITY, linewidth=0
        )
    (line,) = axes.plot(
        s.x,
        s.y,
        color=pen.colour,
        drawstyle=f"steps-{step}" if step else "default",
        linestyle="-" if joined else "",
        marker=pen.marker if marker or len(s.x) == 1 else "",
        transform=place,
    )
    if pen.dashes and joined:
        line.set_dashes(pen.dashes)


def _from_start(series: Series, start: float) -> Series:
    """The curve from the time at which it begins: survival at 1, incidence at 0."""
    if series.x[0] <= start:
        return series
    y = 1.0 if series.y[-1] <= series.y[0] and series.y[0] > 0.5 else 0.0
    low, high = ((y, *band) if band else () for band in (series.low, series.high))
    return Series(series.name, (start, *series.x), (y, *series.y), low, high)


def _span(axes: Any, figure: CurveFigure) -> None:
    last = max((s.x[-1] for s in figure.series if s.x), default=1.0)
    axes.set_xlim(0, max([last, *figure.risk_times]))
    if figure.risk_times:
        axes.set_xticks(figure.risk_times, ticks(figure.risk_times))


def _marks(axes: Any, marks: Sequence[tuple[float, str]]) -> None:
    for x, label in marks:
        axes.axvline(x, color=style.FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
        write(axes, short(label, 22), (x, 1), (3, -2), x="data", va="top",
              fontsize=style.SMALL_POINTS, color=style.FAINT)  # fmt: skip


def _aside(figure: CurveFigure | LineFigure, width: float) -> float:
    """Inches that the names of the lines need at their right."""
    return stub(_stacked([series.name for series in figure.series], width), 0.5)


def _stacked(names: Sequence[str], width: float) -> list[str]:
    """Names in lines that fit beside a panel of a figure `width` inches wide, words whole."""
    longest = style.LABEL_CHARACTERS
    if width < style.WIDTH_INCHES:
        words = (word for name in names for word in re.split(r"\s|(?<=-)", clean(name)))
        longest = min(max(map(len, words), default=0), MOST_NARROW)
        longest = max(longest, style.NARROW_CHARACTERS)
    made = [stacked(names, longest, lines) for lines in range(MOST_LINES, 0, -1)]
    high = (sum(1 + text.count("\n") for text in texts) <= LINES_BESIDE for texts in made)
    return next((texts for texts, fits in zip(made, high, strict=True) if fits), made[-1])


def _end_labels(axes: Any, series: Sequence[Series], width: float, *, inside: bool = False) -> None:
    """Name each line at its right end, moved apart where the ends are close.

    With `inside` a line that ends well before the edge is named where it ends.
    """
    drawn = [(i, s) for i, s in enumerate(series) if s.x]
    named = _stacked([s.name for _, s in drawn], width)
    texts = dict(zip((i for i, _ in drawn), named, strict=True))
    ends = {i: _in_panel(axes, s.x[-1], s.y[-1]) for i, s in drawn}
    early = [i for i, (x, _) in ends.items() if inside and x < EARLY]
    for i in early:
        _name_line(axes, texts[i], ends[i], i, above=True)
    edge = [i for i in ends if i not in early]
    line = 1.3 * style.FONT_POINTS / (axes.get_position().height * axes.figure.get_figheight() * 72)
    room = [line * (1 + texts[i].count("\n")) for i in edge]
    for i, y in zip(edge, _apart([ends[i][1] for i in edge], room), strict=True):
        _name_line(axes, texts[i], (1, y), i)


def _in_panel(axes: Any, x: float, y: float) -> tuple[float, float]:
    """A point of the data as shares of the panel's width and height."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    return float(across), float(up)


def _name_line(
    axes: Any, text: str, at: tuple[float, float], i: int, *, above: bool = False
) -> None:
    write(axes, text, at, (6, 3 if above else 0), va="bottom" if above else "center",
          linespacing=1.15, color=style.pen(i).ink)  # fmt: skip


def _apart(heights: Sequence[float], room: Sequence[float]) -> list[float]:
    """Move labels up or down as little as keeps each its `room` and all within 0 to 1."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [heights[i] for i in order]
    gaps = [(room[a] + room[b]) / 2 for a, b in pairwise(order)]
    for _ in range(100):
        for j, gap in enumerate(gaps):
            if placed[j + 1] - placed[j] < gap - 1e-9:
                middle = (placed[j] + placed[j + 1]) / 2
                placed[j], placed[j + 1] = middle - gap / 2, middle + gap / 2
        shift = max(0.0, -placed[0]) - max(0.0, placed[-1] - 1) if placed else 0.0
        placed = [y + shift for y in placed]
    result = [0.0] * len(heights)
    for i, y in zip(order, placed, strict=True):
        result[i] = y
    return result


def _risk_table(axes: Any, figure: CurveFigure, *, named_above: bool) -> None:
    """The numbers at risk, each under its time on the axis; names beside or above them."""
    rows = figure_data.risk_rows(figure)
    pens = [i for i, cells in enumerate(figure.risk) if cells]
    top, step = -46.0, 15.5
    names = distinct([name for name, _ in rows], MOST_CHARACTERS)
    aside = -10 - 72 * _half_number(rows)
    side, at = ("left", -30.0) if named_above else ("right", aside)
    _under(axes, 0, (at, top), "Number at risk", style.INK, side, weight="bold")
    y = top
    for i, name, (_, cells) in zip(pens, names, rows, strict=True):
        y -= step
        ink = style.INK if figure.competing else style.pen(i).ink
        _under(axes, 0, (at, y), name, ink, side)
        y -= step if named_above else 0
        for time, number in zip(figure.risk_times, cells, strict=True):
            _under(axes, time, (0, y), cell(number), style.INK, "center", data=True)


def _half_number(rows: Sequence[tuple[str, Sequence[Cell]]]) -> float:
    """Inches that the widest number under the first tick reaches to its left."""
    return max((len(cell(cells[0])) for _, cells in rows), default=0) * CHARACTER_INCHES / 2


def _under(
    axes: Any,
    x: float,
    offset: tuple[float, float],
    text: str,
    ink: str,
    side: str,
    *,
    data: bool = False,
    weight: str = "normal",
) -> None:
    write(axes, text, (x, 0), offset, x="data" if data else "axes", ha=side, va="center",
          color=ink, fontsize=style.SMALL_POINTS, fontweight=weight)  # fmt: skip
