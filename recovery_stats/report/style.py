"""Colours, lines and type of every figure: one place to change how the reports look.

Colours are those of Okabe & Ito (2008), told apart by people with any colour vision; each has
a darker ink for words, at least 4.5:1 on white (WCAG 2.2). No two lines differ by colour alone:
each also has its own dashes and a label at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INK = "#1a1a1a"
FAINT = "#595959"
GRID = "#e4e4e4"
BAND_OPACITY = 0.16
WIDTH_INCHES = 7.2
NARROW_INCHES = 3.6  # for a telephone, 390 pixels wide: there the smallest letters are 11 high
FONT_POINTS = 9.0
SMALL_POINTS = 8.0
LABEL_CHARACTERS = 30
NARROW_CHARACTERS = 13


@dataclass(frozen=True, slots=True)
class Pen:
    """How one series is drawn: colour of its line, ink of its label, dashes, marker."""

    colour: str
    ink: str
    dashes: tuple[float, ...]
    marker: str


PENS = (
    Pen("#0072B2", "#005a8c", (), "o"),
    Pen("#D55E00", "#a34700", (5.0, 1.6), "s"),
    Pen("#009E73", "#00694c", (1.2, 1.4), "^"),
    Pen("#CC79A7", "#8f4069", (6.0, 1.5, 1.2, 1.5), "D"),
    Pen("#000000", "#000000", (8.0, 2.0), "v"),
    Pen("#E69F00", "#7a5300", (3.0, 1.0, 1.0, 1.0, 1.0, 1.0), "P"),
    Pen("#56B4E9", "#1b6796", (2.5, 1.2), "X"),
)

HATCHES = ("", "////", "....", "xxxx", "----", "oooo", "++++")  # of bars, beside their colours


def pen(i: int) -> Pen:
    """The pen of series `i`; they repeat after seven."""
    return PENS[i % len(PENS)]


# Text stays text in the SVG, in the reader's own sans-serif; layout is measured in the font that
# travels with matplotlib, so that it is the same on every machine.
MATPLOTLIB: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_POINTS,
    "text.parse_math": False,
    "text.usetex": False,
    "text.hinting": "no_hinting",  # pictures for print are measured and drawn as the SVG is
    "text.color": INK,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # letters as letters, to be searched and edited
    "hatch.color": "white",
    "hatch.linewidth": 0.8,
    "svg.hashsalt": "recovery_stats",
    "axes.unicode_minus": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelsize": FONT_POINTS,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_POINTS,
    "ytick.labelsize": SMALL_POINTS,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "path.simplify": False,
    "figure.dpi": 72,
    "savefig.dpi": 72,
}
SVG_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
