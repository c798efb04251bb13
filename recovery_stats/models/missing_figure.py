"""How much is missing, as bars over the tables that a report prints of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Count, Share
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.result import Result
from recovery_stats.models.missing_reason import is_outside

NAME = "missingness"
MOST_BARS = 60  # beyond which only the rows of whole columns are drawn
NOTE = "Values to which the question does not apply are not missing."


def missing_by_reason(
    table: Table, bases: Mapping[str, CellOf] | None = None, *, caption: str, axis: str
) -> BarFigure | None:
    """Bars of the empty cells in `table`, reasons one after another; None where none is empty.

    table: of `missing_table` or `missing_by_table`. bases: by key of a row, the cell that says of
    how many, where that is not column "all"; rows of levels without one are not drawn.
    """
    of = bases or {row.key: CellOf(table.name, row.key, "all") for row in table.rows}
    named = [c for c in table.columns if c.key.startswith("reason")]
    lost = [column for column in named if not is_outside(column.label)]
    whole = [row for row in table.rows if row.depth == 0 and _any(row, table, lost)]
    drawn = [bar for row in whole for bar in _of_column(table, row, lost, of)]
    if len(drawn) > MOST_BARS:
        drawn = [_bar(table, row, lost, of, row.label) for row in whole]
    if not drawn:
        return None
    return BarFigure(NAME, caption, axis, tuple(drawn), tuple(c.label for c in lost), (NOTE,))


def with_missing_bars(result: Result, axis: str) -> Result:
    """The result with the bars of its table "missing"; unchanged where nothing is missing."""
    table = result.tables.get("missing")
    caption = "Share missing, by reason"
    drawn = missing_by_reason(table, caption=caption, axis=axis) if table else None
    return replace(result, figures={**result.figures, NAME: drawn}) if drawn else result


def _any(row: Row, table: Table, lost: Sequence[Column]) -> bool:
    pairs = zip(table.columns, row.cells, strict=True)
    return any(column in lost and isinstance(c, Count) and c.n > 0 for column, c in pairs)


def _of_column(
    table: Table, whole: Row, lost: Sequence[Column], bases: Mapping[str, CellOf]
) -> Iterator[Bar]:
    own = f"{whole.key}."
    levels = [r for r in table.rows if r.depth and r.key.startswith(own) and r.key in bases]
    if levels:
        yield Bar(whole.label)
    yield _bar(table, whole, lost, bases, "All" if levels else whole.label)
    for row in levels:
        yield _bar(table, row, lost, bases, row.label)


def _bar(
    table: Table, row: Row, lost: Sequence[Column], bases: Mapping[str, CellOf], label: str
) -> Bar:
    parts = (CellOf(table.name, row.key, c.key) for c in table.columns if c in lost)
    return Bar(label, tuple(parts), bases[row.key])


def missing_by_group(
    table: Table | None, first: Sequence[Bar] = (), *, caption: str, axis: str = "Share of people"
) -> BarFigure | None:
    """Bars of the rows "missing" of a Table 1 (if any), by its groups; None of nothing missing.

    first: bars that come before, of another table.
    """
    drawn = list(first)
    if table is not None:
        drawn += [bar for row in table.rows for bar in _of_characteristic(table, row)]
    return BarFigure(NAME, caption, axis, tuple(drawn), ("Missing",), (NOTE,)) if drawn else None


def _of_characteristic(table: Table, row: Row) -> Iterator[Bar]:
    column, _, what = row.key.rpartition(".")
    if what != "missing" or row.depth != 1:
        return
    label = next((r.label for r in table.rows if r.key == column), column)
    cells = [
        (head, cell)
        for head, cell in zip(table.columns, row.cells, strict=False)
        if isinstance(cell, Share)
    ]
    if len(cells) == 1:
        yield Bar(label, (CellOf(table.name, row.key, cells[0][0].key),))
        return
    yield Bar(label)
    for head, _ in cells:
        yield Bar(head.label, (CellOf(table.name, row.key, head.key),))
