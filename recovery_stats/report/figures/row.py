"""Figures of one row an estimate, covariate or group: forest, love and caterpillar plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas

from recovery_stats.core.cell import Shown
from recovery_stats.core.document import CaterpillarFigure, ForestFigure, LoveFigure
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data, style
from recovery_stats.report.figures.panel import finish, log_axis, new_panel, stacked, stub
from recovery_stats.report.numbers import column

ROW_INCHES = 0.29
NARROW_ROW_INCHES = 0.46
ABOVE = 5.0  # points from an interval up to its name
ROW_CHARACTERS, NARROW_ROW_CHARACTERS = 36, 28  # of a line of a label
MOST_CHARACTERS = 112  # of a label
LINE_SPACING = 1.15
LINE, NARROW_LINE = 0.5, 0.32  # rows that a further line of a label takes
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # hides lines behind a name


def forest(figure: ForestFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    """One row an estimate; on a narrow figure its name and numbers stand above its interval."""
    rows = figure_data.estimates(figure)
    narrow = width < style.WIDTH_INCHES
    heads = {i: text for i, text in figure.groups if i < len(rows)}
    texts = column([Shown(e, "interval") for e in rows])
    named = [n for i, e in enumerate(rows) for n in (*_head(heads.get(i)), (e.label, False))]
    names, whole = stack(named, above=narrow)
    if narrow:
        canvas, axes = rows_canvas(whole, [], 0.2, height=NARROW_ROW_INCHES, width=width)
    else:
        canvas, axes = rows_canvas(whole, [n.text for n in names], stub(texts, 0.35, 40))
    if figure.log_x:
        axes.set_xscale("log")
    axes.axvline(figure.null, color=style.FAINT, linewidth=0.9, zorder=1)
    places = [n.y for n in names if not n.head]
    for y, estimate, text in zip(places, rows, texts, strict=True):
        _interval(axes, estimate, y, figure)
        _beside(axes, y, text, above=narrow)
    name_rows(axes, names, indent=bool(heads) and not narrow, above=narrow)
    _forest_limits(axes, rows, figure)
    finish(axes, figure.x_label, "")
    return canvas


@dataclass(frozen=True, slots=True)
class _Name:
    """A label in its lines, where its row stands, and whether it heads the rows under it."""

    text: str
    y: float
    head: bool


def _head(text: str | None) -> tuple[tuple[str, bool], ...]:
    return () if text is None else ((text, True),)


def stack(named: Sequence[tuple[str, bool]], *, above: bool = False) -> tuple[list[_Name], float]:
    """The labels one under another, each in as many lines as it needs; height of all, in rows.

    above: the label stands over its interval, so that its lines push the interval down.
    """
    width, line = (NARROW_ROW_CHARACTERS, NARROW_LINE) if above else (ROW_CHARACTERS, LINE)
    texts = stacked([label for label, _ in named], width, MOST_CHARACTERS // width)
    names: list[_Name] = []
    start = 0.0
    for text, (_, head) in zip(texts, named, strict=True):
        height = 1 + line * text.count("\n")
        middle = start + height - 1 if above else start + (height - 1) / 2
        names.append(_Name(text, middle, head))
        start += height
    return names, start


def _interval(axes: Any, e: Estimate, y: float, figure: ForestFigure) -> None:
    primary = e.level == "primary"
    pen = style.pen(0) if primary else style.pen(4)
    if math.isfinite(e.low) and math.isfinite(e.high):
        axes.plot([e.low, e.high], [y, y], color=pen.colour, linewidth=1.6, solid_capstyle="butt")
    if math.isfinite(e.value) and (e.value > 0 or not figure.log_x):
        axes.plot([e.value], [y], marker="s" if primary else "o", color=pen.colour, markersize=6)


def _forest_limits(axes: Any, rows: Sequence[Estimate], figure: ForestFigure) -> None:
    numbers = [x for e in rows for x in (e.value, e.low, e.high) if math.isfinite(x)]
    numbers = [x for x in (*numbers, figure.null) if x > 0 or not figure.log_x]
    low, high = min(numbers), max(numbers)
    if figure.log_x:
        margin = (high / low) ** 0.06 if high > low else 1.2
        axes.set_xlim(low / margin, high * margin)
        log_axis(axes.xaxis, (low / margin, high * margin))
    else:
        margin = 0.06 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)


def love(figure: LoveFigure) -> Canvas:
    names, whole = stack([(label, False) for label in figure.labels])
    canvas, axes = rows_canvas(whole, [n.text for n in names], 0.3, top=0.34)
    rows = [n.y for n in names]
    axes.axvline(figure.threshold, color=style.FAINT, linewidth=1, linestyle=(0, (4, 2)))
    before, after = [abs(x) for x in figure.before], [abs(x) for x in figure.after]
    open_, filled = style.pen(1), style.pen(0)
    axes.plot(
        before,
        rows,
        linestyle="",
        marker="o",
        markerfacecolor="white",
        markersize=6,
        color=open_.colour,
        markeredgewidth=1.5,
        label="Before",
    )
    if after:
        axes.plot(
            after, rows, linestyle="", marker="D", color=filled.colour, markersize=5, label="After"
        )
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=2,
            frameon=False,
            borderaxespad=0.1,
            handletextpad=0.2,
        )
    largest = max((x for x in (*before, *after) if math.isfinite(x)), default=0.1)
    axes.set_xlim(0, 1.08 * max(largest, figure.threshold))
    name_rows(axes, names)
    finish(axes, "Absolute standardised mean difference", "")
    return canvas


def caterpillar(figure: CaterpillarFigure) -> Canvas:
    order = sorted(range(len(figure.value)), key=lambda i: figure.value[i])
    height = 1.0 + min(max(0.12 * len(order), 0.9), 6.0)
    canvas, axes = new_panel(height, 0.62, 0.4, 0.3, top=0.12)
    axes.axvline(0, color=style.FAINT, linewidth=0.9)
    pen = style.pen(0)
    for y, i in enumerate(order):
        axes.plot([figure.low[i], figure.high[i]], [y, y], color=pen.colour, linewidth=1.3)
    axes.plot(
        [figure.value[i] for i in order],
        range(len(order)),
        linestyle="",
        marker="o",
        color=style.INK,
        markersize=3.5,
    )
    axes.set_yticks([])
    axes.set_ylim(-0.8, max(len(order), 1) - 0.2)
    axes.grid(visible=True, axis="x")
    finish(axes, figure.x_label, "Groups in order")
    return canvas


def rows_canvas(
    lines: float,
    labels: Sequence[str],
    right: float,
    top: float = 0.12,
    *,
    height: float = ROW_INCHES,
    width: float = style.WIDTH_INCHES,
) -> tuple[Canvas, Any]:
    left = stub(labels, 0.4, ROW_CHARACTERS) if labels else right
    whole = height * max(lines, 1) + 0.62 + top + 0.1
    canvas, axes = new_panel(whole, 0.62, left, right, top, width)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    return canvas, axes


def name_rows(
    axes: Any,
    names: Sequence[_Name],
    *,
    indent: bool = False,
    above: bool = False,
) -> None:
    """Write the label of each row left of the panel, or above it; heads of groups in bold."""
    left = axes.get_position().x0 * axes.figure.get_figwidth() * 72
    for name in names:
        axes.annotate(
            name.text,
            (0, name.y),
            xycoords=("axes fraction", "data"),
            xytext=(-left + (14 if indent and not name.head else 4), ABOVE if above else 0),
            textcoords="offset points",
            va="bottom" if above else "center",
            linespacing=LINE_SPACING,
            bbox=PAPER if above else None,
            fontweight="bold" if name.head else "normal",
            annotation_clip=False,
        )


def _beside(axes: Any, y: float, text: str, *, above: bool = False) -> None:
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, ABOVE if above else 0),
        textcoords="offset points",
        ha="right" if above else "left",
        va="bottom" if above else "center",
        bbox=PAPER if above else None,
        annotation_clip=False,
    )
