"""The specification curve: estimates in order above, what each of them chose below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from recovery_stats.core.document import SpecificationFigure
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data, style
from recovery_stats.report.figures.panel import finish, log_axis, short, stub

CURVE_INCHES = 2.5
CHOICE_INCHES = 0.17
GAP_INCHES = 0.2
MOST_NAMED = 64  # more names than this do not fit side by side
NAME_CHARACTERS = 32
NAME_POINTS = 6.5
CROWD = 250.0  # points of all markers side by side, where they are many
CHOICE_CHARACTERS = 34


def specifications(figure: SpecificationFigure) -> Canvas:
    rows = figure_data.estimates(figure)
    lines = _lines(figure, rows)
    names = dict(figure.ids)
    named = [short(names.get(e.name, ""), NAME_CHARACTERS) for e in rows]
    below = 0.15
    if len(rows) <= MOST_NAMED:
        below += stub(named, 0.3, NAME_CHARACTERS) * NAME_POINTS / style.FONT_POINTS
    left = max(stub([word for word, _, _ in lines], 0.8, CHOICE_CHARACTERS), 0.8)
    grid_inches = CHOICE_INCHES * max(len(lines), 1)
    height = 0.25 + CURVE_INCHES + GAP_INCHES + grid_inches + below
    canvas = Canvas(figsize=(style.WIDTH_INCHES, height))
    width = 1 - (left + 0.15) / style.WIDTH_INCHES
    corner = left / style.WIDTH_INCHES
    curve = canvas.add_axes(
        (corner, (below + grid_inches + GAP_INCHES) / height, width, CURVE_INCHES / height)
    )
    grid = canvas.add_axes((corner, below / height, width, grid_inches / height))
    _curve(curve, figure, rows)
    _grid(grid, lines, named if len(rows) <= MOST_NAMED else [])
    for axes in (curve, grid):
        axes.set_xlim(-0.7, max(len(rows), 1) - 0.3)
    return canvas


def _curve(axes: Any, figure: SpecificationFigure, rows: Sequence[Estimate]) -> None:
    if figure.log_x:
        axes.set_yscale("log")
    axes.axhline(figure.null, color=style.FAINT, linewidth=0.9, zorder=1)
    size = max(2.0, min(4.5, CROWD / max(len(rows), 1)))
    for x, e in enumerate(rows):
        pen = style.pen(int((e.value > figure.null) == figure.good_below))
        clear = e.low > figure.null or e.high < figure.null
        if math.isfinite(e.low) and math.isfinite(e.high):
            axes.plot([x, x], [e.low, e.high], color=pen.colour, linewidth=1.2)
        axes.plot(
            [x], [e.value], marker=pen.marker, color=pen.colour, markersize=size,
            markerfacecolor=pen.colour if clear else "white",
        )  # fmt: skip
    axes.set_xticks([])
    _limits(axes, figure, rows)
    finish(axes, "", figure.x_label)
    _say_sides(axes, figure)


def _limits(axes: Any, figure: SpecificationFigure, rows: Sequence[Estimate]) -> None:
    numbers = [x for e in rows for x in (e.value, e.low, e.high) if math.isfinite(x)]
    numbers = [x for x in (*numbers, figure.null) if x > 0 or not figure.log_x]
    low, high = min(numbers), max(numbers)
    if figure.log_x:
        margin = (high / low) ** 0.12 if high > low else 1.2
        axes.set_ylim(low / margin, high * margin)
        log_axis(axes.yaxis, (low / margin, high * margin))
        return
    margin = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _say_sides(axes: Any, figure: SpecificationFigure) -> None:
    """What lies above and below the line, in the ink of its points."""
    for text, y, va, pen in (
        (figure.above, 0.98, "top", style.pen(int(figure.good_below))),
        (figure.below, 0.02, "bottom", style.pen(int(not figure.good_below))),
    ):
        axes.text(
            0.01, y, text, transform=axes.transAxes, va=va, ha="left", color=pen.ink,
            fontsize=style.SMALL_POINTS,
        )  # fmt: skip


Line = tuple[str, bool, tuple[int, ...]]  # a word, whether it heads, the places that chose it


def _lines(figure: SpecificationFigure, rows: Sequence[Estimate]) -> list[Line]:
    """The rows of the grid: each dimension's name, then its words."""
    choices = dict(figure.choices)
    found: list[Line] = []
    for d, dimension in enumerate(figure.dimensions):
        words = [choices.get(e.name, ())[d : d + 1] for e in rows]
        found.append((dimension, True, ()))
        for word in sorted({w[0] for w in words if w}):
            places = tuple(i for i, w in enumerate(words) if w == (word,))
            found.append((word, False, places))
    return found


def _grid(axes: Any, lines: Sequence[Line], named: Sequence[str]) -> None:
    axes.set_ylim(len(lines) - 0.4, -0.6)
    for y, (word, heads, places) in enumerate(lines):
        axes.plot(
            places, [y] * len(places), linestyle="", marker="s", color=style.INK, markersize=3
        )
        axes.annotate(
            short(word, CHOICE_CHARACTERS), (0, y), xycoords=("axes fraction", "data"),
            xytext=(-6, 0), textcoords="offset points", va="center", ha="right",
            fontweight="bold" if heads else "normal", fontsize=style.SMALL_POINTS,
            annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks([])
    axes.set_xticks(range(len(named)), named, rotation=90, fontsize=NAME_POINTS)
    axes.tick_params(axis="x", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
