"""Figures of one row an estimate, covariate or group: forest, love and caterpillar plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure as Canvas

from recovery_stats.core.cell import Shown
from recovery_stats.core.document import CaterpillarFigure, ForestFigure, LoveFigure
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data, style
from recovery_stats.report.figures.panel import finish, log_axis, new_panel, stacked, stub, write
from recovery_stats.report.numbers import column

ROW_INCHES = 0.29
NARROW_ROW_INCHES = 0.46
ABOVE = 5.0  # points from an interval up to its name
ROW_CHARACTERS, NARROW_ROW_CHARACTERS = 36, 28  # of a line of a label
WHOLE_ROW_CHARACTERS = 44  # of a narrow figure
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
    canvas, axes = rows_canvas(names, whole, stub(texts, 0.35, 40), width=width)
    if figure.log_x:
        axes.set_xscale("log")
    axes.axvline(figure.null, color=style.FAINT, linewidth=0.9, zorder=1)
    places = [n.y for n in names if not n.head]
    _intervals(axes, list(zip(places, rows, strict=True)), figure)
    for y, text in zip(places, texts, strict=True):
        _beside(axes, y, text, above=narrow)
    name_rows(axes, names, indent=bool(heads) and not narrow, above=narrow)
    _forest_limits(axes, rows, figure)
    finish(axes, figure.x_label, "")
    return canvas


@dataclass(frozen=True, slots=True)
class Name:
    """A label in its lines, where its row stands, and whether it heads the rows under it."""

    text: str
    y: float
    head: bool


def _head(text: str | None) -> tuple[tuple[str, bool], ...]:
    return () if text is None else ((text, True),)


def stack(
    named: Sequence[tuple[str, bool]],
    *,
    above: bool = False,
    width: int = NARROW_ROW_CHARACTERS,
    under: Sequence[str] = (),
) -> tuple[list[Name], float]:
    """The labels one under another, each in as many lines as it needs; height of all, in rows.

    above: the label stands over its interval, in lines of `width` letters that push the interval
    down. under: what further lines say under each label.
    """
    wide, line = (width, NARROW_LINE) if above else (ROW_CHARACTERS, LINE)
    texts = stacked([label for label, _ in named], wide, math.ceil(MOST_CHARACTERS / wide))
    for i, said in enumerate(under):
        texts[i] = "\n".join((texts[i], *wrap(said, WHOLE_ROW_CHARACTERS)))
    names: list[Name] = []
    start = 0.0
    for text, (_, head) in zip(texts, named, strict=True):
        height = 1 + line * text.count("\n")
        middle = start + height - 1 if above else start + (height - 1) / 2
        names.append(Name(text, middle, head))
        start += height
    return names, start


def _intervals(axes: Any, rows: Sequence[tuple[float, Estimate]], figure: ForestFigure) -> None:
    """Lines and markers at their heights, those of a kind at once."""
    for primary, pen, marker in ((False, style.pen(4), "o"), (True, style.pen(0), "s")):
        drawn = [(y, e) for y, e in rows if (e.level == "primary") is primary]
        wide = [(y, e) for y, e in drawn if math.isfinite(e.low) and math.isfinite(e.high)]
        known = [(y, e) for y, e in drawn if math.isfinite(e.value)]
        known = [(y, e) for y, e in known if e.value > 0 or not figure.log_x]
        heights, lows, highs = ([y for y, _ in wide], [e.low for _, e in wide],
                                [e.high for _, e in wide])  # fmt: skip
        axes.hlines(heights, lows, highs, color=pen.colour, linewidth=1.6)
        axes.plot([e.value for _, e in known], [y for y, _ in known], linestyle="", marker=marker,
                  color=pen.colour, markersize=6)  # fmt: skip


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


def love(figure: LoveFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    """One row a covariate; on a narrow figure its name stands above its marks."""
    narrow = width < style.WIDTH_INCHES
    named = [(label, False) for label in figure.labels]
    names, whole = stack(named, above=narrow, width=WHOLE_ROW_CHARACTERS)
    canvas, axes = rows_canvas(names, whole, 0.3, top=0.34, width=width)
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
        clip_on=False,  # a difference of nothing is marked on the edge
        label="Before",
    )
    if after:
        axes.plot(
            after,
            rows,
            linestyle="",
            marker="D",
            color=filled.colour,
            markersize=5,
            clip_on=False,
            label="After",
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
    name_rows(axes, names, above=narrow)
    finish(axes, "Absolute standardised mean difference", "")
    return canvas


def caterpillar(figure: CaterpillarFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    order = sorted(range(len(figure.value)), key=lambda i: figure.value[i])
    height = 1.0 + min(max(0.12 * len(order), 0.9), 6.0)
    canvas, axes = new_panel(height, 0.62, 0.4, 0.3, top=0.12, width=width)
    axes.axvline(0, color=style.FAINT, linewidth=0.9)
    low, high = ([ends[i] for i in order] for ends in (figure.low, figure.high))
    axes.hlines(range(len(order)), low, high, color=style.pen(0).colour, linewidth=1.3)
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
    names: Sequence[Name], whole: float, right: float, top: float = 0.12, *, width: float
) -> tuple[Canvas, Any]:
    """A panel of rows `whole` high in all, with room at its left for names that are not above."""
    narrow = width < style.WIDTH_INCHES
    left = 0.2 if narrow else stub([name.text for name in names], 0.4, ROW_CHARACTERS)
    height = (NARROW_ROW_INCHES if narrow else ROW_INCHES) * max(whole, 1) + 0.62 + top + 0.1
    canvas, axes = new_panel(height, 0.62, left, 0.2 if narrow else right, top, width)
    axes.set_ylim(whole - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    return canvas, axes


def name_rows(
    axes: Any,
    names: Sequence[Name],
    *,
    indent: bool = False,
    above: bool = False,
) -> None:
    """Write the label of each row left of the panel, or above it; heads of groups in bold."""
    left = axes.get_position().x0 * axes.figure.get_figwidth() * 72
    for name in names:
        by = (-left + (14 if indent and not name.head else 4), ABOVE if above else 0)
        write(axes, name.text, (0, name.y), by, y="data", va="bottom" if above else "center",
              linespacing=LINE_SPACING, bbox=PAPER if above else None,
              fontweight="bold" if name.head else "normal")  # fmt: skip


def _beside(axes: Any, y: float, text: str, *, above: bool = False) -> None:
    write(axes, text, (1, y), (8, ABOVE if above else 0), y="data",
          ha="right" if above else "left", va="bottom" if above else "center",
          bbox=PAPER if above else None)  # fmt: skip
