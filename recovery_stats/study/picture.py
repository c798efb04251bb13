"""One figure of a report by itself: as a matplotlib figure, or a file to put in a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recovery_stats.core.document import Figure
from recovery_stats.core.result import Result
from recovery_stats.errors import UsageError, unknown
from recovery_stats.report import figures
from recovery_stats.study.folder import refused_by_system, write_whole
from recovery_stats.study.workflow import report

if TYPE_CHECKING:
    from recovery_stats.report.figures import Canvas


def drawn(result: Result, name: str) -> Canvas:
    """The figure `name` of the report of `result`, without what its privacy rules withhold.

    A matplotlib figure in the style of the reports. UsageError with the nearest name for a figure
    that the report does not have.
    """
    return figures.canvas(_figure(result, name))


def save_figure(result: Result, name: str, path: str | Path, *, dpi: int = 300) -> Path:
    """Write the figure `name` of the report of `result` as .svg, .png (in `dpi`) or .pdf.

    Whole or not at all, without what the privacy rules withhold; the same bytes again each time.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in figures.ENDINGS:
        raise UsageError(unknown("form of a figure", ending, figures.ENDINGS))
    content = figures.encoded(_figure(result, name), ending, dpi)
    with refused_by_system(path.parent):
        write_whole(path.parent, {path.name: content})
    return path


def _figure(result: Result, name: str) -> Figure:
    found = {block.name: block for block in report(result).blocks if isinstance(block, Figure)}
    if name not in found:
        raise UsageError(unknown("figure of this report", name, found))
    return found[name]
