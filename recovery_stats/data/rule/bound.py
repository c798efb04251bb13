"""A study with its columns bound to their roles: what every rule looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from recovery_stats.core.cell import Cell
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.study import Study
from recovery_stats.data.problem import Problem
from recovery_stats.data.role import TABLES, Nature, nature_of
from recovery_stats.errors import NotEstimable, rows_phrase

Finding = Problem | Check
Values = Any  # a pandas Series; its element type is not known here


@dataclass(frozen=True, slots=True)
class Use:
    """A column that something needs: the role it plays in `table`. A plain tuple will do.

    at: the dotted path of the key that names it ("analysis.0.outcome"), for the line number.
    """

    table: str
    role: str
    column: str
    at: str = ""

    @property
    def nature(self) -> Nature:
        return nature_of(self.role)


@dataclass(frozen=True, slots=True)
class Bound:
    """A study and those uses of its columns that exist, each once."""

    study: Study
    uses: tuple[Use, ...]

    def playing(self, *roles: str, table: str | None = None) -> Iterator[Use]:
        """The uses in any of `roles`."""
        return (u for u in self.uses if u.role in roles and table in (None, u.table))

    def first(self, table: str, role: str) -> Use | None:
        return next(self.playing(role, table=table), None)

    def values(self, use: Use) -> Values:
        return self.study[use.table].frame[use.column]

    def numbers(self, use: Use | None) -> Values | None:
        """The column as numbers; None when it is text (another rule tells) or not there."""
        if use is None:
            return None
        values = self.values(use)
        return values.astype(float) if is_numeric_dtype(values.dtype) else None

    def days(self, use: Use | None) -> Values | None:
        """The column as numbers or time stamps, whatever can be ordered."""
        if use is None:
            return None
        values = self.values(use)
        return values if is_datetime64_any_dtype(values.dtype) else self.numbers(use)

    def variable(self, use: Use) -> Variable:
        return self.study[use.table].variable(use.column)

    def key(self, table: str) -> tuple[str, ...]:
        """The key columns of `table`: declared, else those of the roles that make its key.

        A person's rows repeat where one file serves several tables, so an undeclared key of
        `persons` says nothing there.
        """
        spec = self.study.protocol.tables.get(table)
        if spec and spec.key:
            return tuple(c for c in spec.key if c in self.study[table].frame.columns)
        kind = TABLES.get(table)
        if kind is None or (table == "persons" and self._shares_file(table)):
            return ()
        columns = [self.first(table, role) for role in kind.key]
        return tuple(c.column for c in columns if c) if all(columns) else ()

    def _shares_file(self, table: str) -> bool:
        mine = self.study[table]
        others = [name for name in self.study.tables if name != table]
        return any(
            self.study[other].frame is mine.frame or self._file(other) == self._file(table) != ""
            for other in others
        )

    def _file(self, table: str) -> str:
        spec = self.study.protocol.tables.get(table)
        return (spec.file if spec else "") or self.study[table].source.sha256

    def told(self, table: str, rows: Sequence[int]) -> str:
        """Which rows, and of how many people where the table says: 'rows 2 and 5 (1 person)'."""
        person = self.first(table, "person")
        if person is None:
            return rows_phrase(rows)
        people = self.values(person).loc[list(rows)].nunique()
        return f"{rows_phrase(rows)} ({people} {'person' if people == 1 else 'people'})"

    def unanswerable(self, use: Use, message: str, cure: str) -> Problem:
        """Sound values that hold no answer: one group, or no variation."""
        return replace(self.problem(use, message, cure), exit_code=NotEstimable.exit_code)

    def problem(self, use: Use, message: str, cure: str = "") -> Problem:
        where = f"table {use.table!r}, column {use.column!r} ({use.role})"
        line = line_of(self.study, use.at)
        return Problem(line, where, message, cure, use.role, use.column)

    def table_problem(self, table: str, message: str, cure: str = "", at: str = "") -> Problem:
        line = line_of(self.study, at or f"tables.{table}")
        return Problem(line, f"table {table!r}", message, cure)


def caution(name: str, about: str, *parts: Cell) -> Check:
    """A condition of the data that the reader must know; it stops nothing."""
    return Check(name, "caution", parts, about)


def line_of(study: Study, at: str) -> int:
    """The line of the key at the dotted path, or of the nearest section around it."""
    lines = study.protocol.lines
    while at and at not in lines:
        at = at.rpartition(".")[0]
    return lines.get(at, 0)


def declared_uses(study: Study) -> Iterator[Use]:
    """The roles of the study file as uses."""
    for table in study.tables:
        spec = study.protocol.tables.get(table)
        for role in spec.roles if spec else ():
            for column in study.roles(table, role):
                yield Use(table, role, column, f"roles.{table}.{role}")


def rows_where(mask: Values) -> Sequence[int]:
    """Row numbers (counted from 1 in the file) where `mask` holds."""
    return [int(row) for row in mask.index[mask.to_numpy(dtype=bool)]]


def is_text(values: Values) -> bool:
    """Say whether a column holds text, plain or categorical."""
    return not is_numeric_dtype(values.dtype) and not is_datetime64_any_dtype(values.dtype)


def blank(values: Values) -> Values:
    """Where a cell is empty; text of blanks alone is empty too."""
    empty = values.isna()
    return (
        empty | (values.astype("string").str.strip() == "").fillna(False)
        if is_text(values)
        else empty
    )


def to_frame(*named: tuple[str, Values]) -> pd.DataFrame:
    """Series of one table side by side."""
    return pd.DataFrame(dict(named))
