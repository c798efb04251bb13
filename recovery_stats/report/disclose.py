"""Withhold small counts, wherever they stand and whatever they could be worked out from."""

from __future__ import annotations

from dataclasses import replace

from recovery_stats.core.document import (
    Block,
    Bullets,
    Cell,
    Checks,
    Count,
    Document,
    Flow,
    Hidden,
    Paragraph,
    Share,
    Spread,
    Table,
)
from recovery_stats.core.study import Privacy


def disclose(document: Document, privacy: Privacy) -> Document:
    """The document without the counts that `privacy` withholds."""

    def safe(cell: Cell) -> Cell:
        small = isinstance(cell, Count | Share | Spread) and 0 < cell.n < privacy.minimum
        return Hidden(privacy.minimum) if small else cell

    def visit(block: Block) -> Block:
        match block:
            case Paragraph(parts):
                return replace(block, parts=tuple(map(safe, parts)))
            case Bullets(items):
                return replace(block, items=tuple(tuple(map(safe, item)) for item in items))
            case Table(rows=rows):
                kept = (replace(row, cells=tuple(map(safe, row.cells))) for row in rows)
                return replace(block, rows=tuple(kept))
            case Flow(steps, people):
                new = tuple((label, safe(kept), safe(lost)) for label, kept, lost in steps)
                return Flow(new, tuple(map(safe, people)))
            case Checks(checks):
                return Checks(tuple(replace(c, parts=tuple(map(safe, c.parts))) for c in checks))
            case _:
                return block

    return replace(document, blocks=tuple(map(visit, document.blocks)))
