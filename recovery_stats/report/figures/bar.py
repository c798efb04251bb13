"""Bars of shares: parts one after another, and how far a withheld one may reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from recovery_stats.core.bar import BarFigure
from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share
from recovery_stats.core.document import Row
from recovery_stats.report import style
from recovery_stats.report.digits import ticks
from recovery_stats.report.figures.panel import CHARACTER_INCHES, finish, short, stub, write
from recovery_stats.report.figures.row import WHOLE_ROW_CHARACTERS, name_rows, rows_canvas, stack
from recovery_stats.report.numbers import cell

HALF, NARROW_HALF = 0.32, 0.11  # of the height of a bar, in rows
KEY_INCHES = 0.2  # of a line of the names of the parts
KEY_CHARACTERS = 34
LEAST_SPAN = 0.05  # of the axis, so that a share of 1% is not drawn across the page


def bars(figure: BarFigure, width: float = style.WIDTH_INCHES) -> Canvas:
    """One row a bar: known parts first, then as an outline what is only known to be small.

    What the parts are stands beside a bar, and above it on a narrow figure.
    """
    narrow = width < style.WIDTH_INCHES
    texts = [_told(row) for row in figure.rows]
    named = [(row.label, not row.cells) for row in figure.rows]
    names, whole = stack(
        named, above=narrow, width=WHOLE_ROW_CHARACTERS, under=texts if narrow else ()
    )
    abreast = _abreast(figure.series, width)
    lines = math.ceil(len(figure.series) / abreast) if len(figure.series) > 1 else 0
    top = 0.12 + KEY_INCHES * lines
    canvas, axes = rows_canvas(names, whole, stub(texts, 0.35, 40), top, width=width)
    longest = LEAST_SPAN
    half = NARROW_HALF if narrow else HALF
    for name, row, text in zip(names, figure.rows, texts, strict=True):
        longest = max(longest, _bar(axes, row, name.y, half))
        if not narrow:
            write(axes, text, (1, name.y), (8, 0), y="data", va="center")
    axes.set_xlim(0, min(1.0, 1.04 * longest))
    if lines:
        _key(axes, figure, abreast)
    name_rows(axes, names, indent=any(n.head for n in names) and not narrow, above=narrow)
    finish(axes, figure.x_label, "")
    at = axes.get_xticks()
    axes.set_xticks(at, [f"{text}%" for text in ticks([100 * x for x in at])])
    return canvas


def _bar(axes: Any, row: Row, y: float, half: float) -> float:
    """Draw the parts of a bar; returns where it ends."""
    end = 0.0
    for i, part in enumerate(row.cells):
        if (share := _size(part)) is not None:
            axes.barh(y, share, 2 * half, end, **_look(i))
            end += share
    return end + _unknown(axes, row, y, end, half)


def _unknown(axes: Any, row: Row, y: float, start: float, half: float) -> float:
    """An outline as wide as the small parts may be together, where their base is known."""
    bases = {
        c.of if isinstance(c, Share) else c.n for c in row.cells if isinstance(c, Share | Count)
    }
    most = sum(c.below - 1 for c in row.cells if isinstance(c, Hidden) and c.below)
    if len(bases) != 1 or not most:
        return 0.0
    width = min(most / bases.pop(), 1.0 - start)
    axes.barh(y, width, 2 * half, start, facecolor="none", edgecolor=style.FAINT,
              linestyle=(0, (2, 2)), linewidth=0.8)  # fmt: skip
    return width


def _size(value: Cell) -> float | None:
    """The share that a cell tells."""
    match value:
        case Share(n, of) if of:
            return n / of
        case Quantity(share, "percent" | "whole_percent"):
            return share
        case _:
            return None


def _look(i: int) -> dict[str, Any]:
    pen = style.pen(i)
    return {
        "facecolor": pen.colour, "edgecolor": "white", "linewidth": 0.5,
        "hatch": style.HATCHES[i % len(style.HATCHES)],
    }  # fmt: skip


def _told(row: Row) -> str:
    """The parts in words: 14 (0.9%); < 11."""
    parts = (c for c in row.cells if not isinstance(c, Count | None))
    return "; ".join(cell(part) for part in parts)


def _abreast(names: Sequence[str], width: float) -> int:
    """How many names of parts stand in one line above the panel."""
    widest = max((len(short(n, KEY_CHARACTERS)) for n in names), default=0)
    room = width / (0.55 + CHARACTER_INCHES * widest)
    return max(1, min(len(names), int(room)))


def _key(axes: Any, figure: BarFigure, abreast: int) -> None:
    """The names of the parts above the panel, in the order in which they are drawn."""
    for i, name in enumerate(figure.series):
        axes.barh([0], [0], label=short(name, KEY_CHARACTERS), **_look(i))
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=abreast, frameon=False,
        borderaxespad=0.1, handletextpad=0.4,
    )  # fmt: skip
