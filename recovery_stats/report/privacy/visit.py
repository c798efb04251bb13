"""Go through every cell of a document, always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from recovery_stats.core.document import (
    Block,
    Bullets,
    Cell,
    Checks,
    CurveFigure,
    Document,
    Flow,
    Paragraph,
    Table,
)

Place = tuple[int, int, int]  # block; row, item or step; cell
Change = Callable[[Place, Cell], Cell]


def map_cells(document: Document, change: Change) -> Document:
    """The document with every cell replaced by `change(place, cell)`."""
    blocks = (_block(block, b, change) for b, block in enumerate(document.blocks))
    return replace(document, blocks=tuple(blocks))


def cells(document: Document) -> dict[Place, Cell]:
    """Every cell by its place."""
    found: dict[Place, Cell] = {}

    def note(place: Place, cell: Cell) -> Cell:
        found[place] = cell
        return cell

    map_cells(document, note)
    return found


def _block(block: Block, b: int, change: Change) -> Block:  # noqa: PLR0911 (one case a block)
    def line(i: int, parts: Iterable[Cell]) -> tuple[Cell, ...]:
        return tuple(change((b, i, j), cell) for j, cell in enumerate(parts))

    match block:
        case Paragraph(parts):
            return replace(block, parts=line(0, parts))
        case Bullets(items):
            return replace(block, items=tuple(line(i, item) for i, item in enumerate(items)))
        case Table(rows=rows):
            done = (replace(row, cells=line(i, row.cells)) for i, row in enumerate(rows))
            return replace(block, rows=tuple(done))
        case Checks(checks):
            said = (replace(c, parts=line(i, c.parts)) for i, c in enumerate(checks))
            return Checks(tuple(said))
        case CurveFigure():
            return replace(block, risk=tuple(line(i, row) for i, row in enumerate(block.risk)))
        case Flow():
            return _flow(block, b, change)
        case _:
            return block


def _flow(flow: Flow, b: int, change: Change) -> Flow:
    """Cell 0 of a step is what remained, 1 what it lost, 2 the people."""
    steps = tuple(
        (label, change((b, i, 0), kept), change((b, i, 1), lost))
        for i, (label, kept, lost) in enumerate(flow.steps)
    )
    return Flow(steps, tuple(change((b, i, 2), cell) for i, cell in enumerate(flow.people)))
