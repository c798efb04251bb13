"""Figure or flow to a matplotlib figure, and that to SVG, PNG or PDF: the only importer of it.

Here what comes in and out; `line`, `row`, `specification` and `flow` draw, on panels of `panel`;
`markup` cleans the SVG.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from recovery_stats.core.bar import BarFigure
from recovery_stats.core.document import (
    CaterpillarFigure,
    CurveFigure,
    Figure,
    Flow,
    ForestFigure,
    LineFigure,
    LoveFigure,
    SpecificationFigure,
)
from recovery_stats.core.panel import PanelFigure
from recovery_stats.report import style
from recovery_stats.report.figures.bar import bars
from recovery_stats.report.figures.bitmap import encode
from recovery_stats.report.figures.flow import flow
from recovery_stats.report.figures.line import curves, lines, panels
from recovery_stats.report.figures.markup import tidy
from recovery_stats.report.figures.row import caterpillar, forest, love
from recovery_stats.report.figures.specification import specifications

__all__ = ["ENDINGS", "Canvas", "canvas", "draw", "encoded", "font_file", "png", "svg"]

Drawn = Figure | Flow
ENDINGS = (".svg", ".png", ".pdf")
# No date and no program in a file, so that the same figure gives the same bytes.
_UNSIGNED: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_CANVAS = {".svg": FigureCanvasSVG, ".pdf": FigureCanvasPdf}


def svg(figure: Drawn, prefix: str, width: float = style.WIDTH_INCHES) -> str:
    """The drawing as one SVG element with title and description; ids begin with `prefix`."""
    return tidy(_saved(figure, ".svg", width=width).decode(), prefix, figure)


def png(figure: Drawn, dpi: int = 200) -> bytes:
    """The drawing as PNG, for word processors."""
    with _look():
        drawn: Any = FigureCanvasAgg(draw(figure))
        drawn.figure.dpi = dpi
        drawn.draw()
        return encode(drawn.buffer_rgba(), dpi)


def encoded(figure: Drawn, ending: str, dpi: int = 300) -> bytes:
    """The drawing as a file of its own: .svg and .pdf with text as text, .png in `dpi`."""
    if ending == ".png":
        return png(figure, dpi)
    return svg(figure, "f").encode() if ending == ".svg" else _saved(figure, ending)


def canvas(figure: Drawn) -> Canvas:
    """The matplotlib figure in our style, to be changed or saved by its owner."""
    with _look():
        drawn = draw(figure)
        FigureCanvasAgg(drawn)
    return drawn


def _saved(figure: Drawn, ending: str, width: float = style.WIDTH_INCHES) -> bytes:
    with _look():
        drawn = draw(figure, width)
        _CANVAS[ending](drawn)
        buffer = BytesIO()
        drawn.savefig(buffer, format=ending[1:], metadata=_UNSIGNED[ending])
    return buffer.getvalue()


def font_file(name: str) -> Path:
    """A font that travels with matplotlib, by the name of its file."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"


def draw(  # noqa: C901, PLR0911 (one case a figure)
    figure: Drawn, width: float = style.WIDTH_INCHES
) -> Canvas:
    """The matplotlib figure; it looks as intended inside `rc_context(style.MATPLOTLIB)`.

    width: inches, `style.NARROW_INCHES` for a telephone; a flow has one width.
    """
    match figure:
        case CurveFigure():
            return curves(figure, width)
        case LineFigure():
            return lines(figure, width)
        case PanelFigure():
            return panels(figure, width)
        case SpecificationFigure():
            return specifications(figure, width)
        case ForestFigure():
            return forest(figure, width)
        case LoveFigure():
            return love(figure, width)
        case CaterpillarFigure():
            return caterpillar(figure, width)
        case BarFigure():
            return bars(figure, width)
        case Flow():
            return flow(figure)


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
