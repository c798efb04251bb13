"""Go through every cell of a document, always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from recovery_stats.core.cell import Cell
from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    CurveFigure,
    Document,
    Flow,
    FlowLine,
    Paragraph,
    Table,
)

Place = tuple[int, int, int]  # block; row, item or step; cell
Change = Callable[[Place, Cell], Cell]

# Cells of a step of the flow: what remained, what it lost, the people; then two of each arm; then
# the lines within it.
KEPT, LOST, PEOPLE = 0, 1, 2
LINE = 1000  # places of a line: more than there are arms


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
    """Every cell at its place (see `arm_place`, `line_place`)."""
    steps = tuple(
        (label, change((b, i, KEPT), kept), change((b, i, LOST), lost))
        for i, (label, kept, lost) in enumerate(flow.steps)
    )
    people = tuple(change((b, i, PEOPLE), cell) for i, cell in enumerate(flow.people))
    by_arm = tuple(_arms(arms, b, i, change) for i, arms in enumerate(flow.by_arm))
    within = tuple(_lines(lines, b, i, change) for i, lines in enumerate(flow.within))
    return replace(flow, steps=steps, people=people, by_arm=by_arm, within=within)


def _arms(
    arms: tuple[tuple[Cell, Cell], ...], b: int, i: int, change: Change
) -> tuple[tuple[Cell, Cell], ...]:
    return tuple(
        (change(arm_place(b, i, a, KEPT), kept), change(arm_place(b, i, a, LOST), lost))
        for a, (kept, lost) in enumerate(arms)
    )


def _lines(lines: tuple[FlowLine, ...], b: int, i: int, change: Change) -> tuple[FlowLine, ...]:
    return tuple(
        FlowLine(
            line.label,
            tuple(change(line_place(b, i, k, j), cell) for j, cell in enumerate(line.cells)),
        )
        for k, line in enumerate(lines)
    )


def arm_place(block: int, step: int, arm: int, cell: int) -> Place:
    """Where `cell` (KEPT or LOST) of an arm stands."""
    return block, step, 3 + 2 * arm + cell


def is_lost(place: Place) -> bool:
    """Whether a cell of the flow says what everybody or an arm lost at a step."""
    return not in_line(place) and (place[2] == LOST or (place[2] > PEOPLE and place[2] % 2 == 0))


def in_line(place: Place) -> bool:
    """Whether a cell stands in a line within a step of the flow."""
    return place[2] >= LINE


def line_place(block: int, step: int, line: int, column: int) -> Place:
    """Where a cell of a line within a step stands: column 0 for all, then the arms."""
    return block, step, LINE * (line + 1) + column
