"""Figure to a matplotlib figure, and that to SVG or PNG: the only importer of matplotlib."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from html import escape
from io import BytesIO
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from recovery_stats.core.document import (
    CaterpillarFigure,
    CurveFigure,
    Figure,
    ForestFigure,
    LineFigure,
    LoveFigure,
    Series,
    Shown,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data, style
from recovery_stats.report.numbers import cell, ticks
from recovery_stats.report.words import clean

LOG_TICKS = (1, 2, 5)
FINE_LOG_TICKS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
ROW_INCHES = 0.29
CHARACTER_INCHES = 0.55 * style.FONT_POINTS / 72


def svg(figure: Figure, prefix: str) -> str:
    """The drawing as one SVG element with title and description; ids begin with `prefix`."""
    with _look():
        canvas = draw(figure)
        FigureCanvasSVG(canvas)
        buffer = BytesIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _tidy(buffer.getvalue().decode(), prefix, figure)


def png(figure: Figure, dpi: int = 200) -> bytes:
    """The drawing as PNG, for word processors."""
    with _look():
        canvas = draw(figure)
        FigureCanvasAgg(canvas)
        buffer = BytesIO()
        canvas.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def draw(figure: Figure) -> Canvas:
    """The matplotlib figure; it looks as intended inside `rc_context(style.MATPLOTLIB)`."""
    match figure:
        case CurveFigure():
            return _curves(figure)
        case LineFigure():
            return _lines(figure)
        case ForestFigure():
            return _forest(figure)
        case LoveFigure():
            return _love(figure)
        case CaterpillarFigure():
            return _caterpillar(figure)


class _look:  # noqa: N801 (used as a statement)
    """Our style, and silence about characters that the measuring font lacks."""

    def __enter__(self) -> None:
        self._style = mpl.rc_context(style.MATPLOTLIB)
        self._warnings = warnings.catch_warnings()
        self._style.__enter__()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")

    def __exit__(self, *error: Any) -> None:
        self._warnings.__exit__(*error)
        self._style.__exit__(*error)


# --- lines and curves --------------------------------------------------------------------


def _curves(figure: CurveFigure) -> Canvas:
    risk = figure_data.risk_rows(figure)
    below = 0.62 + (0.22 * (len(risk) + 1) if risk else 0)
    names = [name for name, _ in risk] + ["Number at risk"] * bool(risk)
    canvas, axes = _canvas(3.3 + below, below, _stub(names, 0.75), _stub(_names(figure), 0.5))
    for i, series in enumerate(figure.series):
        if series.x:
            # a curve coarsened for privacy is known at its points only, so lines join them
            _band(axes, _from_start(series), i, step="post" if series.n_at else None)
    highest = max((max(s.high or s.y) for s in figure.series if s.y), default=1.0)
    axes.set_ylim(0, 1.0 if highest > 0.6 else min(1.0, 1.15 * highest))
    _span(axes, figure)
    _finish(axes, figure.x_label, figure.y_label)
    _marks(axes, figure.marks)
    _end_labels(axes, figure.series)
    if risk:
        _risk_table(axes, figure)
    return canvas


def _lines(figure: LineFigure) -> Canvas:
    canvas, axes = _canvas(3.6, 0.62, 0.75, _stub(_names(figure), 0.5))
    if figure.log_y:
        axes.set_yscale("log")
    if figure.horizontal is not None:
        axes.axhline(figure.horizontal, color=style.FAINT, linewidth=0.9, zorder=1)
    for i, series in enumerate(figure.series):
        if series.x:
            _band(axes, series, i, marker=figure.points)
    if figure.x_ticks:
        axes.set_xticks([x for x, _ in figure.x_ticks], [_short(t, 24) for _, t in figure.x_ticks])
        axes.margins(x=0.5 / max(len(figure.x_ticks), 1))
    else:
        _whole_ticks(axes)
    if figure.log_y:
        _log_axis(axes.yaxis, axes.get_ylim())
    _finish(axes, figure.x_label, figure.y_label)
    _end_labels(axes, figure.series)
    return canvas


def _band(axes: Any, s: Series, i: int, *, step: str | None = None, marker: bool = False) -> None:
    pen = style.pen(i)
    bars = len(s.x) == 1 or (marker and not step)
    if s.low and s.high and bars:
        axes.vlines(s.x, s.low, s.high, color=pen.colour, linewidth=1.3)
    elif s.low and s.high:
        axes.fill_between(
            s.x, s.low, s.high, step=step, color=pen.colour, alpha=style.BAND_OPACITY, linewidth=0
        )
    (line,) = axes.plot(
        s.x,
        s.y,
        color=pen.colour,
        drawstyle=f"steps-{step}" if step else "default",
        marker=pen.marker if marker or len(s.x) == 1 else "",
    )
    if pen.dashes:
        line.set_dashes(pen.dashes)


def _from_start(series: Series) -> Series:
    """The curve from time 0: survival begins at 1, incidence at 0."""
    if series.x[0] <= 0:
        return series
    start = 1.0 if series.y[-1] <= series.y[0] and series.y[0] > 0.5 else 0.0
    low, high = ((start, *band) if band else () for band in (series.low, series.high))
    return Series(series.name, (0.0, *series.x), (start, *series.y), low, high)


def _span(axes: Any, figure: CurveFigure) -> None:
    last = max((s.x[-1] for s in figure.series if s.x), default=1.0)
    axes.set_xlim(0, max([last, *figure.risk_times]))
    if figure.risk_times:
        axes.set_xticks(figure.risk_times, ticks(figure.risk_times))


def _marks(axes: Any, marks: Sequence[tuple[float, str]]) -> None:
    for x, label in marks:
        axes.axvline(x, color=style.FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(
            _short(label, 22),
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            fontsize=style.SMALL_POINTS,
            color=style.FAINT,
        )


def _end_labels(axes: Any, series: Sequence[Series]) -> None:
    """Name each line at its right end, moved apart where the ends are close."""
    drawn = [(i, s) for i, s in enumerate(series) if s.x]
    if not drawn:
        return
    heights = [
        axes.transAxes.inverted().transform(axes.transData.transform((s.x[-1], s.y[-1])))[1]
        for _, s in drawn
    ]
    panel = axes.get_position().height * axes.figure.get_figheight() * 72
    for (i, s), y in zip(drawn, _apart(heights, 1.35 * style.FONT_POINTS / panel), strict=True):
        axes.annotate(
            _short(s.name),
            (1, y),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=style.pen(i).ink,
            annotation_clip=False,
        )


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move labels up or down as little as keeps `gap` between neighbours and all within 0 to 1."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [heights[i] for i in order]
    for _ in range(100):
        for j, (a, b) in enumerate(pairwise(placed)):
            if b - a < gap - 1e-9:
                middle = (a + b) / 2
                placed[j], placed[j + 1] = middle - gap / 2, middle + gap / 2
        shift = max(0.0, -placed[0]) - max(0.0, placed[-1] - 1)
        placed = [y + shift for y in placed]
    result = [0.0] * len(heights)
    for i, y in zip(order, placed, strict=True):
        result[i] = y
    return result


def _risk_table(axes: Any, figure: CurveFigure) -> None:
    """The numbers at risk, each under its time on the axis."""
    rows = figure_data.risk_rows(figure)
    pens = [i for i, cells in enumerate(figure.risk) if cells]
    top, step = -46.0, 15.5
    _under(axes, 0, top, "Number at risk", style.INK, "right", weight="bold")
    for line, (i, (name, cells)) in enumerate(zip(pens, rows, strict=True), 1):
        y = top - step * line
        _under(axes, 0, y, _short(name), style.pen(i).ink, "right")
        for time, number in zip(figure.risk_times, cells, strict=True):
            _under(axes, time, y, cell(number), style.INK, "center", data=True)


def _under(
    axes: Any,
    x: float,
    y: float,
    text: str,
    ink: str,
    side: str,
    *,
    data: bool = False,
    weight: str = "normal",
) -> None:
    axes.annotate(
        text,
        (x, 0),
        xycoords=("data" if data else "axes fraction", "axes fraction"),
        xytext=(0 if data else -14, y),
        textcoords="offset points",
        ha=side,
        va="center",
        color=ink,
        fontsize=style.SMALL_POINTS,
        fontweight=weight,
        annotation_clip=False,
    )


# --- rows ---------------------------------------------------------------------------------


def _forest(figure: ForestFigure) -> Canvas:
    rows = figure_data.estimates(figure)
    heads = {i: text for i, text in figure.groups if i < len(rows)}
    lines = len(rows) + len(heads)
    texts = [cell(Shown(e, "interval")) for e in rows]
    labels = [e.label for e in rows] + list(heads.values())
    canvas, axes = _rows_canvas(lines, labels, _stub(texts, 0.35, 40))
    if figure.log_x:
        axes.set_xscale("log")
    axes.axvline(figure.null, color=style.FAINT, linewidth=0.9, zorder=1)
    y = 0
    names: list[tuple[int, str, bool]] = []
    for i, (estimate, text) in enumerate(zip(rows, texts, strict=True)):
        if i in heads:
            names.append((y, heads[i], True))
            y += 1
        names.append((y, estimate.label, False))
        _interval(axes, estimate, y, figure)
        _beside(axes, y, text)
        y += 1
    _name_rows(axes, names, indent=bool(heads))
    _forest_limits(axes, rows, figure)
    _finish(axes, figure.x_label, "")
    return canvas


def _interval(axes: Any, e: Estimate, y: int, figure: ForestFigure) -> None:
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
        _log_axis(axes.xaxis, (low / margin, high * margin))
    else:
        margin = 0.06 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)


def _love(figure: LoveFigure) -> Canvas:
    canvas, axes = _rows_canvas(len(figure.labels), figure.labels, 0.3, top=0.34)
    rows = range(len(figure.labels))
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
    _name_rows(axes, [(i, label, False) for i, label in enumerate(figure.labels)])
    _finish(axes, "Absolute standardised mean difference", "")
    return canvas


def _caterpillar(figure: CaterpillarFigure) -> Canvas:
    order = sorted(range(len(figure.value)), key=lambda i: figure.value[i])
    height = 1.0 + min(max(0.12 * len(order), 0.9), 6.0)
    canvas, axes = _canvas(height, 0.62, 0.4, 0.3, top=0.12)
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
    _finish(axes, figure.x_label, "Groups in order")
    return canvas


def _rows_canvas(
    lines: int, labels: Sequence[str], right: float, top: float = 0.12
) -> tuple[Canvas, Any]:
    canvas, axes = _canvas(
        ROW_INCHES * max(lines, 1) + 0.62 + top + 0.1, 0.62, _stub(labels, 0.4, 36), right, top=top
    )
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    return canvas, axes


def _name_rows(axes: Any, rows: Sequence[tuple[int, str, bool]], *, indent: bool = False) -> None:
    """Write the label of each row left of the panel; heads of groups in bold, further left."""
    left = axes.get_position().x0 * axes.figure.get_figwidth() * 72
    for y, label, head in rows:
        axes.annotate(
            _short(label, 36),
            (0, y),
            xycoords=("axes fraction", "data"),
            xytext=(-left + (14 if indent and not head else 4), 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if head else "normal",
            annotation_clip=False,
        )


def _beside(axes: Any, y: int, text: str) -> None:
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
    )


# --- panels ------------------------------------------------------------------------------


def _canvas(
    height: float, below: float, left: float, right: float, top: float = 0.15
) -> tuple[Canvas, Any]:
    """A figure of our width with one panel; margins in inches."""
    width = style.WIDTH_INCHES
    canvas = Canvas(figsize=(width, height))
    panel = (left / width, below / height, 1 - (left + right) / width, 1 - (below + top) / height)
    return canvas, canvas.add_axes(panel)


def _finish(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlabel(_short(x_label, 80))
    if y_label:
        axes.set_ylabel(_short(y_label, 48))
    for axis in (axes.xaxis, axes.yaxis):
        locator = axis.get_major_locator()
        if not isinstance(locator, FixedLocator | NullLocator):
            _label_ticks(axis)


def _label_ticks(axis: Any) -> None:
    """Fix the ticks that matplotlib chose, labelled by our one printer of numbers."""
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    values = [v for v in axis.get_major_locator()() if low - margin <= v <= high + margin]
    axis.set_ticks(values, ticks(values))


def _whole_ticks(axes: Any) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))


def _log_axis(axis: Any, view: tuple[float, float]) -> None:
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


def _names(figure: CurveFigure | LineFigure) -> list[str]:
    return [series.name for series in figure.series]


def _stub(texts: Sequence[str], least: float, longest: int = style.LABEL_CHARACTERS) -> float:
    """Inches that the longest of `texts` needs beside the panel."""
    widest = max((len(_short(text, longest)) for text in texts), default=0)
    return max(least, 0.3 + CHARACTER_INCHES * widest)


def _short(text: str, longest: int = style.LABEL_CHARACTERS) -> str:
    """A label that fits; the whole of it stands in the table under the figure."""
    line = clean(text)
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


# --- SVG ---------------------------------------------------------------------------------

_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r' id="([^"]+)"')
_LINK = re.compile(r'(?:url\(#|href="#)([^)"]+)')


def _tidy(raw: str, prefix: str, figure: Figure) -> str:
    """Keep the drawing, drop the file around it.

    Ids are made unique on the page and kept only where something points at them; coordinates
    have two decimals; the style rule that would apply to the whole page goes onto the element.
    """
    body = raw[raw.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    used = set(_LINK.findall(body))
    body = _TAG.sub(lambda tag: _tidy_tag(tag[0], prefix, used), body)
    body = re.sub(r"\n\s*", "\n", body[body.index(">") + 1 :]).strip()
    return _opening(raw, prefix, figure) + body


def _tidy_tag(tag: str, prefix: str, used: set[str]) -> str:
    """One tag; what stands between tags is text and stays as it is."""
    tag = _ID.sub(lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", tag)
    tag = _LINK.sub(lambda m: m[0].replace(f"#{m[1]}", f"#{prefix}-{m[1]}"), tag)
    tag = _NUMBER.sub(_two_decimals, tag)
    return re.sub(r"'?DejaVu Sans'?(, [^;\"]*)?", style.SVG_FONTS, tag)


def _opening(raw: str, prefix: str, figure: Figure) -> str:
    box = re.search(r'viewBox="([^"]+)"', raw)
    view = _NUMBER.sub(_two_decimals, box[1]) if box else "0 0 1 1"
    title, alt = escape(clean(figure.caption)), escape(clean(figure_data.alt_text(figure)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc" '
        f'stroke-linejoin="round" stroke-linecap="butt">\n'
        f'<title id="{prefix}-title">{title}</title>\n<desc id="{prefix}-desc">{alt}</desc>\n'
    )


def _two_decimals(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
