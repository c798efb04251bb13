"""One panel of a figure: its margins, the labels that fit in them, ticks with our own numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, Literal

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from recovery_stats.report import style
from recovery_stats.report.digits import ticks
from recovery_stats.report.words import clean

TICK_STEPS = (1, 2, 2.5, 5, 10)
LOG_TICKS = (1, 2, 5)
FINE_LOG_TICKS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
MOST_LINES = 3  # of a label beside a line
Place = Literal["data", "axes"]  # what a coordinate counts
CHARACTER_INCHES = 0.55 * style.FONT_POINTS / 72
LINE_INCHES = 1.25 * style.FONT_POINTS / 72
Y_LABEL_OVER = 0.3  # inches by which the name of an axis may be longer than it


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


def finish(axes: Any, x_label: str, y_label: str, across: int = 1) -> None:
    """Name the axes and label their ticks; `across` panels share the width of the figure."""
    wide, high = axes.figure.get_size_inches()
    lines = _folded(x_label, 0.94 * wide / across)
    axes.set_xlabel(lines)
    if y_label:
        beside = _folded(y_label, axes.get_position().height * high + Y_LABEL_OVER)
        axes.set_ylabel(beside)
        _make_room(axes, LINE_INCHES * beside.count("\n") / wide)
    _centre(axes, lines, across)
    for axis in (axes.xaxis, axes.yaxis):
        locator = axis.get_major_locator()
        if not isinstance(locator, FixedLocator | NullLocator):
            _label_ticks(axis)


def _centre(axes: Any, label: str, across: int) -> None:
    """Centre a label on its share of the figure where it is too long to be centred on the panel."""
    share, place = 1 / across, axes.get_position()
    start = share * int((place.x0 + place.width / 2) / share)
    middle = place.x0 + place.width / 2 - start
    inches = CHARACTER_INCHES * max(map(len, label.split("\n")))
    if inches / axes.figure.get_figwidth() > 2 * min(middle, share - middle):
        axes.xaxis.label.set_x((start + share / 2 - place.x0) / place.width)


def _folded(label: str, inches: float) -> str:
    """A label of one or two lines of that length."""
    return stacked([label], int(inches / CHARACTER_INCHES), 2)[0]


def _make_room(axes: Any, share: float) -> None:
    """Begin the panel further right by a share of the figure's width."""
    place = axes.get_position()
    axes.set_position((place.x0 + share, place.y0, place.width - share, place.height))


def _label_ticks(axis: Any) -> None:
    """Fix the ticks that matplotlib chose, labelled by our one printer of numbers.

    Fewer of them where their numbers would run into each other.
    """
    values = _seen(axis, axis.get_major_locator()())
    while axis.axis_name == "x" and len(values) > 2 and _crowded(axis, ticks(values)):
        fewer = MaxNLocator(len(values) - 2, steps=TICK_STEPS)
        values = _seen(axis, fewer.tick_values(*axis.get_view_interval()))
    axis.set_ticks(values, ticks(values))


def _seen(axis: Any, values: Sequence[float]) -> list[float]:
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    return [float(v) for v in values if low - margin <= v <= high + margin]


def _crowded(axis: Any, labels: Sequence[str]) -> bool:
    """Whether the numbers under a panel, with a letter between them, are longer than it."""
    panel = axis.axes.get_position().width * axis.axes.figure.get_figwidth()
    each = CHARACTER_INCHES * style.SMALL_POINTS / style.FONT_POINTS * (max(map(len, labels)) + 1)
    return bool(each * (len(labels) - 1) > panel)


def write(axes: Any, text: str, at: tuple[float, float], by: tuple[float, float] = (0, 0),
          x: Place = "axes", y: Place = "axes", **look: Any) -> None:  # fmt: skip
    """Words at a point of the data or at a share of the panel, moved `by` points.

    What an annotation without an arrow is, in half of its time.
    """
    scale = axes.figure.dpi_scale_trans
    across = axes.transData if x == "data" else axes.transAxes
    up = axes.transData if y == "data" else axes.transAxes
    place = across if x == y else blended_transform_factory(across, up)
    shift = ScaledTranslation(by[0] / 72, by[1] / 72, scale)
    axes.text(*at, text, transform=place + shift, **look)


def whole_ticks(axes: Any, most: int = 8) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=TICK_STEPS))


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
            for v in MaxNLocator(6, steps=TICK_STEPS).tick_values(low, high)
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
    """A label that fits, cut between words; the whole of it stands in the table under the figure.

    Only a word without which two thirds of the room were empty is cut itself.
    """
    line = clean(text)
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    whole = cut if line[longest - 1] == " " else cut.rpartition(" ")[0]
    return f"{(whole if 3 * len(whole) >= longest else cut).rstrip(' ,;:')}…"


def distinct(texts: Sequence[str], longest: int = style.LABEL_CHARACTERS) -> list[str]:
    """Labels that fit, no two cut so that they become the same.

    Cut in the middle where cutting their ends would do that, and numbered where even that would.
    """
    whole = [clean(t) for t in texts]
    middle = [_without_middle(w, longest) for w in whole]
    numbered = [f"{short(w, longest - 4)} ({i})" for i, w in enumerate(whole, 1)]
    ways = ([short(w, longest) for w in whole], middle, numbered)
    return next((way for way in ways if len(set(way)) == len(set(whole))), numbered)


def _without_middle(line: str, longest: int) -> str:
    """Its beginning and its end, cut between words where that leaves enough of them."""
    if len(line) <= longest:
        return line
    half = max((longest - 3) // 2, 1)
    head, tail = line[:half].rpartition(" ")[0], line[-half:].partition(" ")[2]
    head = head if 3 * len(head) >= half else line[:half]
    return f"{head.rstrip()} … {(tail or line[-half:]).lstrip()}"


def stacked(
    texts: Sequence[str], width: int = style.LABEL_CHARACTERS, lines: int = MOST_LINES
) -> list[str]:
    """Labels of up to `lines` lines, no two of them cut to the same."""
    for longest in range(width * lines, width, -5):
        wrapped = [wrap(text, width) for text in distinct(texts, longest)]
        if all(len(rows) <= lines for rows in wrapped):
            return ["\n".join(rows) for rows in wrapped]
    return distinct(texts, width)
