"""One panel of a figure: its margins, the labels that fit in them, ticks with our own numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from recovery_stats.report import style
from recovery_stats.report.digits import ticks
from recovery_stats.report.words import clean

LOG_TICKS = (1, 2, 5)
FINE_LOG_TICKS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
MOST_LINES = 3  # of a label beside a line
CHARACTER_INCHES = 0.55 * style.FONT_POINTS / 72


def new_panel(
    height: float,
    below: float,
    left: float,
    right: float,
    top: float = 0.15,
    width: float = style.WIDTH_INCHES,
) -> tuple[Canvas, Any]:
    """A figure with one panel; width and margins in inches."""
    canvas = Canvas(figsize=(width, height))
    panel = (left / width, below / height, 1 - (left + right) / width, 1 - (below + top) / height)
    return canvas, canvas.add_axes(panel)


def finish(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlabel(_folded(x_label, axes))
    if y_label:
        axes.set_ylabel(short(y_label, 48))
    for axis in (axes.xaxis, axes.yaxis):
        locator = axis.get_major_locator()
        if not isinstance(locator, FixedLocator | NullLocator):
            _label_ticks(axis)


def _folded(label: str, axes: Any) -> str:
    """A label of one or two lines, as long as the figure is wide."""
    longest = int(0.9 * axes.figure.get_figwidth() / CHARACTER_INCHES)
    return "\n".join(wrap(short(label, 2 * longest - 10), longest)[:2])


def _label_ticks(axis: Any) -> None:
    """Fix the ticks that matplotlib chose, labelled by our one printer of numbers."""
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    values = [v for v in axis.get_major_locator()() if low - margin <= v <= high + margin]
    axis.set_ticks(values, ticks(values))


def whole_ticks(axes: Any, most: int = 8) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def log_axis(axis: Any, view: tuple[float, float]) -> None:
    low, high = view
    values = _log_ticks(low, high)
    labels = dict(zip(values, _own_decimals(values), strict=True))
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: labels.get(v, "")))


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`: evenly spaced ones where the span is short."""
    if high / low < 2.5:
        return [
            float(v)
            for v in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
            if low <= v <= high
        ]
    steps = LOG_TICKS if high / low > 12 else FINE_LOG_TICKS
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
    return values[:: math.ceil(len(values) / 9)]


def _own_decimals(values: Sequence[float]) -> list[str]:
    return [ticks([float(f"{value:.3g}")])[0] for value in values]


def stub(texts: Sequence[str], least: float, longest: int = style.LABEL_CHARACTERS) -> float:
    """Inches that the longest of `texts` needs beside the panel."""
    lines = (line for text in texts for line in text.split("\n"))
    widest = max((len(short(line, longest)) for line in lines), default=0)
    return max(least, 0.3 + CHARACTER_INCHES * widest)


def short(text: str, longest: int = style.LABEL_CHARACTERS) -> str:
    """A label that fits; the whole of it stands in the table under the figure."""
    line = clean(text)
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def distinct(texts: Sequence[str], longest: int = style.LABEL_CHARACTERS) -> list[str]:
    """Labels that fit, no two cut so that they become the same.

    Cut in the middle where cutting their ends would do that, and numbered where even that would.
    """
    whole = [clean(t) for t in texts]
    half = (longest - 1) // 2
    middle = [w if len(w) <= longest else f"{w[: longest - 1 - half]}…{w[-half:]}" for w in whole]
    numbered = [f"{short(w, longest - 4)} ({i})" for i, w in enumerate(whole, 1)]
    ways = ([short(w, longest) for w in whole], middle, numbered)
    return next((way for way in ways if len(set(way)) == len(set(whole))), numbered)


def stacked(
    texts: Sequence[str], width: int = style.LABEL_CHARACTERS, lines: int = MOST_LINES
) -> list[str]:
    """Labels of up to `lines` lines, no two of them cut to the same."""
    for longest in range(width * lines, width, -5):
        wrapped = [wrap(text, width) for text in distinct(texts, longest)]
        if all(len(rows) <= lines for rows in wrapped):
            return ["\n".join(rows) for rows in wrapped]
    return distinct(texts, width)
