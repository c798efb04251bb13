"""The specification curve: estimates in order above, what each of them chose below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from recovery_stats.core.document import SpecificationFigure
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data, style
from recovery_stats.report.figures.panel import finish, log_axis, short, stub, write

CURVE_INCHES = 2.5
CHOICE_INCHES, NARROW_CHOICE_INCHES = 0.17, 0.29
UNNAMED_INCHES = 0.45  # under the grid, for what is said instead of names
MARGIN_INCHES = 0.1
GAP_INCHES = 0.2
MOST_NAMED = 64  # more names than this do not fit side by side
NAME_CHARACTERS = 32
NAME_POINTS = 6.5
CROWD = 250.0  # points of all markers side by side, where they are many
CHOICE_CHARACTERS = 34


def specifications(figure: SpecificationFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    """Estimates over what each chose; on a narrow figure a choice is named above its marks."""
    rows = figure_data.estimates(figure)
    narrow = width < style.WIDTH_INCHES
    lines = _lines(figure, rows)
    named = [] if narrow else _names(figure, rows)
    left = 0.75 if narrow else stub([word for word, _, _ in lines], 0.8, CHOICE_CHARACTERS)
    below = UNNAMED_INCHES if narrow else 0.15
    if named:
        below += stub(named, 0.3, NAME_CHARACTERS) * NAME_POINTS / style.FONT_POINTS
    places, whole = _places(lines, narrow=narrow)
    height = 0.25 + CURVE_INCHES + GAP_INCHES + whole + below
    canvas = Canvas(figsize=(width, height))
    corner, across = left / width, 1 - (left + 0.15) / width
    foot = (below + whole + GAP_INCHES) / height
    curve = canvas.add_axes((corner, foot, across, CURVE_INCHES / height))
    if narrow:
        corner, across = MARGIN_INCHES / width, 1 - 2 * MARGIN_INCHES / width
    grid = canvas.add_axes((corner, below / height, across, whole / height))
    _curve(curve, figure, rows)
    _grid(grid, lines, places, narrow=narrow)
    grid.set_ylim(whole, 0)
    if narrow:
        grid.set_xlabel(f"{len(rows)} specifications in order,\nnamed in the numbers below")
    else:
        grid.set_xticks(range(len(named)), named, rotation=90, fontsize=NAME_POINTS)
        grid.tick_params(axis="x", length=0)
    for axes in (curve, grid):
        axes.set_xlim(-0.7, max(len(rows), 1) - 0.3)
    if narrow:
        _align(grid, curve)
    return canvas


def _names(figure: SpecificationFigure, rows: Sequence[Estimate]) -> list[str]:
    """What stands under each estimate; nothing where there is no room for so many."""
    names = dict(figure.ids)
    named = [short(names.get(e.name, ""), NAME_CHARACTERS) for e in rows]
    return named if len(named) <= MOST_NAMED else []


def _align(grid: Any, curve: Any) -> None:
    """Let the marks stand under their estimates, where the panel of the marks is wider."""
    low, high = curve.get_xlim()
    outer, inner = grid.get_position(), curve.get_position()
    unit = (high - low) / inner.width
    start = low - unit * (inner.x0 - outer.x0)
    grid.set_xlim(start, start + unit * outer.width)


def _curve(axes: Any, figure: SpecificationFigure, rows: Sequence[Estimate]) -> None:
    if figure.log_x:
        axes.set_yscale("log")
    axes.axhline(figure.null, color=style.FAINT, linewidth=0.9, zorder=1)
    size = max(2.0, min(4.5, CROWD / max(len(rows), 1)))
    for side in (False, True):
        pen = style.pen(int(side))
        some = [(x, e) for x, e in enumerate(rows)
                if ((e.value > figure.null) == figure.good_below) is side]  # fmt: skip
        wide = [(x, e) for x, e in some if math.isfinite(e.low) and math.isfinite(e.high)]
        axes.vlines([x for x, _ in wide], [e.low for _, e in wide], [e.high for _, e in wide],
                    color=pen.colour, linewidth=1.2)  # fmt: skip
        for clear in (False, True):
            drawn = [(x, e.value) for x, e in some if _clear(e, figure) is clear]
            axes.plot(
                [x for x, _ in drawn], [y for _, y in drawn], linestyle="", marker=pen.marker,
                color=pen.colour, markersize=size,
                markerfacecolor=pen.colour if clear else "white",
            )  # fmt: skip
    axes.set_xticks([])
    _limits(axes, figure, rows)
    finish(axes, "", figure.x_label)
    _say_sides(axes, figure)


def _clear(e: Estimate, figure: SpecificationFigure) -> bool:
    """Whether the interval lies on one side of no difference."""
    return e.low > figure.null or e.high < figure.null


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


def _places(lines: Sequence[Line], *, narrow: bool) -> tuple[list[float], float]:
    """Inches from the top of the grid to the marks of each line, and its height."""
    places, at = [], 0.0
    for _, heads, _ in lines:
        height = NARROW_CHOICE_INCHES if narrow and not heads else CHOICE_INCHES
        at += height
        places.append(at - CHOICE_INCHES / 2)
    return places, max(at, CHOICE_INCHES)


def _grid(axes: Any, lines: Sequence[Line], places: Sequence[float], *, narrow: bool) -> None:
    for y, (word, heads, chosen) in zip(places, lines, strict=True):
        axes.plot(
            chosen, [y] * len(chosen), linestyle="", marker="s", color=style.INK, markersize=3
        )
        up = 0 if heads or not narrow else 72 * (NARROW_CHOICE_INCHES - CHOICE_INCHES)
        write(axes, short(word, CHOICE_CHARACTERS), (0, y), (0 if narrow else -6, up), y="data",
              va="center", ha="left" if narrow else "right",
              fontweight="bold" if heads else "normal", fontsize=style.SMALL_POINTS)  # fmt: skip
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
