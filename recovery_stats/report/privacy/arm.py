"""Counts under the name of an arm that are a few from what the flow tells of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recovery_stats.core.cell import Cell, Count, Share
from recovery_stats.core.document import CurveFigure, Document, Flow, Table
from recovery_stats.report.privacy.visit import Place


def nearly_an_arm(
    document: Document, cells: Mapping[Place, Cell], minimum: int, *, bases: bool = False
) -> frozenset[Place]:
    """The places of counts, or of shares by their `bases`, whose gap to the arm is a small count.

    A count belongs to an arm where its row, its column or its curve is called so.
    """
    sizes = dict(_sizes(document))
    numbers = {p: n for p, c in cells.items() if (n := _number(c, bases=bases)) is not None}

    def near(n: int, told: frozenset[int]) -> bool:
        return n not in told and any(abs(size - n) < minimum for size in told)

    return frozenset(
        place
        for place, n in numbers.items()
        if any(near(n, sizes[arm]) for arm in _arms_of(document, place, sizes))
    )


def _sizes(document: Document) -> Iterator[tuple[str, frozenset[int]]]:
    """The numbers that the flow tells of each arm."""
    for flow in (block for block in document.blocks if isinstance(block, Flow)):
        for a, name in enumerate(flow.arms):
            told = (arms[a][0] for arms in flow.by_arm if arms)
            yield name, frozenset(cell.n for cell in told if isinstance(cell, Count))


def _number(cell: Cell, *, bases: bool) -> int | None:
    match cell:
        case Share(of=of) if bases:
            return of
        case Count(n, "people") if not bases:
            return n
        case _:
            return None


def _arms_of(document: Document, place: Place, names: Mapping[str, object]) -> list[str]:
    """The arms that the cell at `place` is said to be of."""
    b, i, j = place
    said = ""
    match document.blocks[b]:
        case Table(rows=rows, columns=columns):
            said = f"{rows[i].label} {columns[j].label}"
        case CurveFigure(series=series):
            said = series[i].name
    return [name for name in names if name in said]
