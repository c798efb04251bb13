"""The bars of a document, filled from its tables as they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share
from recovery_stats.core.document import Document, Row, Table

Printed = Mapping[CellOf, Cell]
OUTLINE = "Dashed outlines: a count withheld because it is small lies somewhere within."


def filled(document: Document) -> Document:
    """The document with every bar drawn from the cells that its tables show."""
    if not any(isinstance(block, BarFigure) for block in document.blocks):
        return document
    printed = {
        CellOf(table.name, row.key, column.key): cell
        for table in document.blocks
        if isinstance(table, Table)
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=False)
    }
    blocks = (_drawn(b, printed) if isinstance(b, BarFigure) else b for b in document.blocks)
    return replace(document, blocks=tuple(blocks))


def _drawn(figure: BarFigure, printed: Printed) -> BarFigure:
    rows = tuple(_rows(figure, printed))
    small = any(isinstance(c, Hidden) and c.below for row in rows for c in row.cells)
    notes = (*figure.notes, *((OUTLINE,) if small else ()))
    return replace(figure, rows=rows, notes=notes)


def _rows(figure: BarFigure, printed: Printed) -> Iterator[Row]:
    """A row a bar, its base after its parts; those whose cells are in no table are left out."""
    headed = any(not bar.parts for bar in figure.bars)
    for i, bar in enumerate(figure.bars, 1):
        wanted = (*bar.parts, *((bar.of,) if bar.of else ()))
        if all(place in printed for place in wanted):
            cells = tuple(_share(printed[place], _base(bar, printed)) for place in bar.parts)
            base = (_base(bar, printed),) if bar.of else ()
            yield Row(f"bar {i}", bar.label, (*cells, *base), int(headed and bool(bar.parts)))


def _base(bar: Bar, printed: Printed) -> Cell:
    return printed[bar.of] if bar.of else None


def _share(cell: Cell, base: Cell) -> Cell:
    """A cell as a share of its base; as it is printed where either is not known."""
    match cell, base:
        case (Share(), None) | (Quantity(), None) | (Hidden(), None):
            return cell
        case Count(n), Count(of):
            return Share(min(n, of), of)
        case Hidden(below), _:
            return Hidden(below)
        case _:
            return Hidden(0)
