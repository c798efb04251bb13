"""Figure to SVG: the only importer of matplotlib."""

from __future__ import annotations

from html import escape

from recovery_stats.core.document import Figure
from recovery_stats.report import figure_data
from recovery_stats.report.words import clean


def svg(figure: Figure, prefix: str) -> str:
    """The drawing as an SVG element; ids begin with `prefix`."""
    return f'<p id="{prefix}-alt">{escape(clean(figure_data.alt_text(figure)))}</p>'
