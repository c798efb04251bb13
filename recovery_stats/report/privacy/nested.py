"""People told of in two tables, of whom the second describes a part: who left follows.

Of 400 people 16 have a degree, of the 295 still there later 14: two of those who left had one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from recovery_stats.core.cell import Cell, Count, Share
from recovery_stats.core.document import Document, Table
from recovery_stats.report.privacy.suppress import Sum
from recovery_stats.report.privacy.visit import Place

PEOPLE_ROW = "n"  # the row of a table of people that tells how many they are
LEFT = 10_000  # rows of a table for those who left it: more than a table has


@dataclass(frozen=True, slots=True)
class Left:
    """People of a row who are in the larger table only, at a place of their own.

    n: how many; others: how many of those who left are not of this row.
    """

    place: Place
    n: int
    others: int
    sum: Sum

    def secret(self, minimum: int) -> bool:
        """Whether their number, or that of the others who left, is small."""
        return 0 < self.n < minimum or 0 < self.others < minimum


def left_out(document: Document) -> Iterator[Left]:
    """Those who are in the first of two tables only, by row and column of the same keys."""
    tables = [(b, t) for b, t in enumerate(document.blocks) if isinstance(t, Table) and _people(t)]
    for at, ((a, whole), (b, part)) in enumerate(permutations(tables, 2)):
        rows = {row.key: i for i, row in enumerate(whole.rows)}
        columns = {column.key: j for j, column in enumerate(whole.columns)}
        for i, row in enumerate(part.rows):
            for j, column in enumerate(part.columns[: len(row.cells)]):
                if row.key in rows and column.key in columns:
                    there = rows[row.key], columns[column.key]
                    gap = _gap(_at(whole, *there), row.cells[j])
                    if gap:
                        place = (b, LEFT * (at + 1) + i, j)
                        yield Left(place, *gap, Sum(((b, i, j), place), (a, *there)))


def _people(table: Table) -> bool:
    return any(row.key == PEOPLE_ROW for row in table.rows)


def _at(table: Table, i: int, j: int) -> Cell:
    cells = table.rows[i].cells
    return cells[j] if j < len(cells) else None


def _gap(whole: Cell, part: Cell) -> tuple[int, int] | None:
    """How many more the whole counts, and how many others; None where `part` is no part."""
    match whole, part:
        case Count(n, "people"), Count(m, "people") if n > m:
            return n - m, 0
        case Share(n, of), Share(m, base) if of > base and n >= m and of - base >= n - m:
            return n - m, of - base - (n - m)
        case _:
            return None
