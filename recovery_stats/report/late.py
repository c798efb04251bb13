"""Mark in a report what was added to the study file after it had been locked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from recovery_stats.core.cell import Ref, Shown
from recovery_stats.core.document import (
    Block,
    Document,
    ForestFigure,
    Heading,
    Paragraph,
    Row,
    Table,
)
from recovery_stats.core.study import Change, Lock

LATE = "added after the protocol was locked"
OF_COLUMN = re.compile(r"\w+\[([^\],]+)[\],]")  # secondary[craving], level[sex,0]


def mark_late(document: Document, lock: Lock | None) -> Document:
    """The document with what came after the lock named: the analysis itself, or rows of it."""
    if lock is None or not lock.asked:
        return document
    if lock.asked not in lock.analyses:
        return replace(document, blocks=_warned(document.blocks, lock))
    late = frozenset(name for change in lock.since for name in _added(change))
    blocks = tuple(_labelled(block, late) for block in document.blocks)
    return replace(document, blocks=blocks) if late else document


def _warned(blocks: tuple[Block, ...], lock: Lock) -> tuple[Block, ...]:
    """A warning that ends the first screen."""
    words = f"This analysis was {LATE} on {lock.date}."
    first = next((i for i, b in enumerate(blocks) if isinstance(b, Heading)), len(blocks))
    return (*blocks[:first], Paragraph((words,), "warning"), *blocks[first:])


def _added(change: Change) -> Iterator[str]:
    """The members of a list that it did not have when it was locked."""
    new, old = _members(change.new), _members(change.old)
    yield from (name for name in new if name not in old)


def _members(value: str) -> list[str]:
    found = json.loads(value) if value else []
    return [m for m in (found if isinstance(found, list) else [found]) if isinstance(m, str)]


def _labelled(block: Block, late: frozenset[str]) -> Block:
    if isinstance(block, Table):
        return replace(block, rows=tuple(_row(row, late) for row in block.rows))
    if isinstance(block, ForestFigure):
        return replace(block, rows=tuple(_estimate(row, late) for row in block.rows))
    return block


def _row(row: Row, late: frozenset[str]) -> Row:
    return replace(row, label=f"{row.label} ({LATE})") if _is_late(row.key, late) else row


def _estimate(row: Ref | Shown, late: frozenset[str]) -> Ref | Shown:
    if not isinstance(row, Shown) or not _is_late(row.estimate.name, late):
        return row
    label = f"{row.estimate.label} ({LATE})"
    return replace(row, estimate=replace(row.estimate, label=label))


def _is_late(key: str, late: frozenset[str]) -> bool:
    found = OF_COLUMN.match(key)
    return found is not None and found[1] in late
