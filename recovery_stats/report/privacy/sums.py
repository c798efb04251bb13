"""The sums that a table declares, and those that a reader would find in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from recovery_stats.core.cell import Cell, Count, Share, Spread
from recovery_stats.core.document import Flow, Table, Total
from recovery_stats.report.privacy.suppress import Sum
from recovery_stats.report.privacy.visit import KEPT, LOST, Place, arm_place, line_place


def flow_sums(flow: Flow, b: int) -> list[Sum]:
    """What remained after a step and what it lost make up what remained before it.

    So it is in each arm, and arms make up the whole, as lines of a step do what they are lines of.
    """
    steps = range(1, len(flow.steps))
    found = [Sum(((b, i, KEPT), (b, i, LOST)), (b, i - 1, KEPT)) for i in steps]
    for i, arms in enumerate(flow.by_arm):
        for a in range(len(arms)):
            left, lost = (arm_place(b, i, a, cell) for cell in (KEPT, LOST))
            found.append(Sum((left, lost), arm_place(b, i - 1, a, KEPT)))
        for cell in (KEPT, LOST) if arms else ():
            places = tuple(arm_place(b, i, a, cell) for a in range(len(arms)))
            found.append(Sum(places, (b, i, cell)))
    return [*found, *_line_sums(flow, b)]


def _line_sums(flow: Flow, b: int) -> Iterator[Sum]:
    """Each line across its arms; all lines of a step down each column."""
    for i, lines in enumerate(flow.within):
        cell = KEPT if i == flow.allocation else LOST
        wholes = [(b, i, cell), *(arm_place(b, i, a, cell) for a in range(len(flow.arms)))]
        for k in range(len(lines)):
            parts = tuple(line_place(b, i, k, j + 1) for j in range(len(flow.arms)))
            yield Sum(parts, line_place(b, i, k, 0))
        for j, whole in enumerate(wholes) if lines else ():
            yield Sum(tuple(line_place(b, i, k, j) for k in range(len(lines))), whole)


def table_sums(table: Table, b: int) -> list[Sum]:
    """Sums of the declared totals, and of columns that add up in every row without saying so."""
    rows = {row.key: i for i, row in enumerate(table.rows)}
    found = [s for total in table.totals for s in _declared(table, total, b, rows)]
    whole = whole_column(table)
    if whole is not None:
        parts = tuple(column for column in _count_columns(table) if column != whole)
        found += _across(table, b, whole, parts)
    return [*found, *_own_totals(table, b)]


def _own_totals(table: Table, b: int) -> Iterator[Sum]:
    """Runs of counts whose first or last row is the sum of the others."""
    for j in _count_columns(table):
        for stretch in _stretches(table, j):
            numbers = {i: cell.n for i in stretch if isinstance(cell := _cell(table, i, j), Count)}
            for whole in (stretch[0], stretch[-1]) if len(numbers) > 2 else ():
                if 2 * numbers[whole] == sum(numbers.values()):
                    yield Sum(tuple((b, i, j) for i in stretch if i != whole), (b, whole, j))


def runs(table: Table, b: int) -> Iterator[tuple[Place, ...]]:
    """Counts whose sum could be printed elsewhere: each row, and each run of a column.

    A run is a stretch of rows of one depth without a heading between them.
    """
    whole = whole_column(table)
    columns = [column for column in _count_columns(table) if column != whole]
    for i in range(len(table.rows)):
        yield tuple((b, i, j) for j in columns if _is_count(_cell(table, i, j)))
    for j in _count_columns(table):
        for stretch in _stretches(table, j):
            yield tuple((b, i, j) for i in stretch)


def whole_column(table: Table) -> int | None:
    """The column that is the sum of all other columns of counts in every row, or None."""
    columns = _count_columns(table)
    lines = [[_cell(table, i, j) for j in columns] for i in range(len(table.rows))]
    numbers = [[cell.n for cell in line if isinstance(cell, Count | Share)] for line in lines]
    rows = [row for row in numbers if len(row) == len(columns)]
    if len(columns) < 3 or not rows:
        return None
    adds_up = [k for k in range(len(columns)) if all(2 * r[k] == sum(r) for r in rows)]
    return columns[adds_up[0]] if len(adds_up) == 1 else None


def _declared(table: Table, total: Total, b: int, rows: Mapping[str, int]) -> list[Sum]:
    if total.axis == "rows":
        parts = [rows[key] for key in total.parts if key in rows]
        whole = rows.get(total.whole)
        return [_column_sum(table, b, j, whole, parts) for j in range(len(table.columns))]
    columns = {column.key: j for j, column in enumerate(table.columns)}
    if total.whole not in columns:
        return []
    places = tuple(columns[key] for key in total.parts if key in columns)
    return _across(table, b, columns[total.whole], places)


def _column_sum(table: Table, b: int, j: int, whole: int | None, parts: list[int]) -> Sum:
    """Down one column; without a row for the whole, the base of the shares is the whole."""
    places = tuple((b, i, j) for i in parts)
    if whole is not None and _is_count(_cell(table, whole, j)):
        return Sum(places, (b, whole, j))
    bases = {cell.of for i in parts if isinstance(cell := _cell(table, i, j), Share)}
    return Sum(places, total=bases.pop(), printed=places) if len(bases) == 1 else Sum(())


def _across(table: Table, b: int, whole: int, parts: tuple[int, ...]) -> list[Sum]:
    """Across each row; the means of parts and whole are tied like their counts."""
    sums = []
    for i in range(len(table.rows)):
        cells = [_cell(table, i, j) for j in (whole, *parts)]
        if all(_is_count(cell) for cell in cells):
            sums.append(Sum(tuple((b, i, j) for j in parts), (b, i, whole)))
        elif all(isinstance(cell, Spread) for cell in cells):
            sums.append(Sum(tuple((b, i, j) for j in parts), (b, i, whole), counted=False))
    return sums


def _count_columns(table: Table) -> list[int]:
    return [
        j
        for j in range(len(table.columns))
        if any(_is_count(_cell(table, i, j)) for i in range(len(table.rows)))
    ]


def _stretches(table: Table, j: int) -> Iterator[list[int]]:
    """Neighbouring rows of one depth and one kind of cell, shares on one base."""
    for kind, run in groupby(range(len(table.rows)), key=lambda i: _kind(table, i, j)):
        stretch = list(run)
        if kind is not None:
            yield stretch


def _kind(table: Table, i: int, j: int) -> tuple[int, int | None] | None:
    match _cell(table, i, j):
        case Share(of=of):
            return (table.rows[i].depth, of)
        case Count():
            return (table.rows[i].depth, None)
        case _:
            return None


def _cell(table: Table, i: int, j: int) -> Cell:
    cells = table.rows[i].cells
    return cells[j] if j < len(cells) else None


def _is_count(cell: Cell) -> bool:
    return isinstance(cell, Count | Share)
