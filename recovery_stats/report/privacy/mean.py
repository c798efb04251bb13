"""Means, deviations and intervals that give back the number of people behind them.

A mean of whole numbers at full precision is a fraction, and its denominator the number of
people (1786/132 is no other); a standard deviation and the width of a confidence interval give
it too. So a count that stands beside such a summary cannot protect another; where it is hidden
all the same, the summaries of as many people go; and a mean whose number of people is not
printed with it is kept at the digits that the page shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Spread
from recovery_stats.core.document import Block, Document, Flow, LineFigure, Series, Table
from recovery_stats.core.study import Privacy
from recovery_stats.report.digits import rounded, spread_decimals
from recovery_stats.report.privacy.visit import Place, cells, map_cells

_Line = tuple[int, str, int]  # block, "row" or "column", its number


def betrayed(document: Document) -> frozenset[Place]:
    """The counts that a mean in the same row or column, or a point of a line, gives back."""
    found = cells(document)
    means = {(line, c.n) for p, c in found.items() if isinstance(c, Spread) for line in _lines(p)}
    drawn = {n for block in document.blocks for n in _drawn(block)}
    return frozenset(
        p
        for p, c in found.items()
        if isinstance(c, Count | Share)
        and (c.n in drawn or any((line, c.n) in means for line in _lines(p)))
    )


def withhold_means(before: Document, after: Document, privacy: Privacy) -> Document:
    """`after` without what gives back the counts of `before` that it hides."""
    was, left = cells(before), cells(after)
    gone = [was[p] for p, cell in left.items() if isinstance(cell, Hidden)]
    hidden = frozenset(c.n for c in gone if isinstance(c, Count | Share))
    safe = _without_means(after, hidden, exact=privacy.round_to <= 1)
    return _without_points(safe, hidden, privacy.minimum)


def _without_means(document: Document, hidden: frozenset[int], *, exact: bool) -> Document:
    found = cells(document)
    told = _told(found)
    beside = {(line, n) for p, c in found.items() for n in _numbers(c) for line in _lines(p)}

    def is_told(place: Place, n: int) -> bool:
        if isinstance(document.blocks[place[0]], Table):
            return any((line, n) in beside for line in _lines(place))
        return n in told

    def change(place: Place, cell: Cell) -> Cell:
        match cell:
            case Spread(n=n) | Quantity(n=int(n)) if n in hidden:
                return Hidden(0)
            case Spread(n=n) if not (exact and is_told(place, n)):
                return _as_printed(cell)
            case _:
                return cell

    return map_cells(document, change)


def _without_points(document: Document, hidden: frozenset[int], minimum: int) -> Document:
    """Lines without the points of as many people as are hidden, or of a few less than a step."""
    told, steps = _told(cells(document)), _steps(document)

    def gives_back(n: int) -> bool:
        return n in hidden or (n not in told and any(0 < step - n < minimum for step in steps))

    def line(block: Block) -> Block:
        if not isinstance(block, LineFigure):
            return block
        series = tuple(_without(s, [gives_back(n) for n in s.n_at]) for s in block.series)
        return replace(block, series=series)

    return replace(document, blocks=tuple(map(line, document.blocks)))


def _lines(place: Place) -> tuple[_Line, _Line]:
    block, row, column = place
    return (block, "row", row), (block, "column", column)


def _drawn(block: Block) -> Iterable[int]:
    return [n for s in block.series for n in s.n_at] if isinstance(block, LineFigure) else ()


def _told(found: dict[Place, Cell]) -> set[int]:
    return {n for cell in found.values() for n in _numbers(cell)}


def _numbers(cell: Cell) -> tuple[int, ...]:
    """The counts that a cell prints; beside its percentage a share tells its base."""
    match cell:
        case Count(n):
            return (n,)
        case Share(n, of):
            return (n, of)
        case _:
            return ()


def _steps(document: Document) -> set[int]:
    flows = [block for block in document.blocks if isinstance(block, Flow)]
    boxes = [c for flow in flows for c in (*(kept for _, kept, _ in flow.steps), *flow.people)]
    boxes += [kept for flow in flows for arms in flow.by_arm for kept, _ in arms]
    return {cell.n for cell in boxes if isinstance(cell, Count)}


def _as_printed(cell: Spread) -> Spread:
    places = spread_decimals(cell.mean, cell.sd)
    return Spread(rounded(cell.mean, places), rounded(cell.sd, places), cell.n)


def _without(series: Series, gone: list[bool]) -> Series:
    """The series without some of its points, and without the counts behind the rest."""
    out = gone or [False] * len(series.x)
    parts = (series.x, series.y, series.low, series.high)
    x, y, low, high = (
        tuple(v for v, drop in zip(part, out, strict=True) if not drop) if part else ()
        for part in parts
    )
    return Series(series.name, x, y, low, high)
