"""Bars over cells of the tables of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recovery_stats.core.document import Row


@dataclass(frozen=True, slots=True)
class CellOf:
    """A cell of a table of the same report: name of the table, keys of row and column."""

    table: str
    row: str
    column: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Counts of a table as shares of another cell, or shares; without parts it heads others."""

    label: str
    parts: tuple[CellOf, ...] = ()
    of: CellOf | None = None


@dataclass(frozen=True, slots=True)
class BarFigure:
    """Shares as bars, `series` naming their parts. It holds no number: cells of tables alone.

    `rows` are filled from the tables of the document when these have been disclosed, so that a
    bar can tell nothing that they withhold.
    """

    name: str
    caption: str
    x_label: str
    bars: tuple[Bar, ...]
    series: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
