"""Counts, means and levels of every column, by group: never a single person's value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from recovery_stats.core import progress
from recovery_stats.core.cell import Cell, Count, Spread
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table, Total

MOST_LEVELS = 12
FEW_CODES = 10  # a column of unknown level with at most so many whole numbers is read as levels
OLDEST = 90  # ages above 89 are one of HIPAA's identifiers
AGE = re.compile(r"(^|[^a-z])age([^a-z]|$)", re.IGNORECASE)
OTHER = "other levels"
STEP = "columns counted"


@dataclass(frozen=True, slots=True)
class Split:
    """The groups that columns of the table stand for: all rows, then the levels of `by`."""

    groups: tuple[tuple[str, str, Any], ...]  # key, label, boolean rows
    label: str = ""

    @classmethod
    def of(cls, dataset: Dataset, by: str | None, minimum: int) -> Split:
        """Split by the levels of `by`; undeclared rare ones and empty cells go together."""
        everyone = dataset.frame.index.notna()
        if by is None:
            return cls((("all", "All", everyone),))
        variable, values = dataset.variable(by), dataset.frame[by]
        shown = [level for level, _ in _levels(variable, values, minimum)]
        groups = [(f"by.{_code(c)}", variable.level(c), (values == c).to_numpy()) for c in shown]
        rest = ~values.isin(shown).to_numpy()
        if rest.any():
            groups.append(("by.other", "other or missing", rest))
        return cls((("all", "All", everyone), *groups), variable.title)


def distribution(
    dataset: Dataset, split: Split, *, identifiers: Collection[str], minimum: int
) -> Table:
    """One block of rows a column: valid, missing, mean and SD or its levels."""
    everyone = Row("rows", "Rows", tuple(Count(int(g.sum()), "rows") for _, _, g in split.groups))
    rows, totals = [everyone], []
    names = list(map(str, dataset.frame.columns))
    for number, name in enumerate(names):
        progress.tell(STEP, number, len(names))
        found = _Summary(dataset, name, split, minimum)
        rows += [Row(name, dataset.label(name)), *found.counts()]
        totals.append(Total("rows", (f"{name}.valid", f"{name}.missing")))
        if name in identifiers:
            rows.append(found.note("identifier: not tabulated"))
            continue
        rows += list(found.rows())
        totals += found.totals
    columns = tuple(Column(k, t, split.label if k != "all" else "") for k, t, _ in split.groups)
    if len(columns) > 1:
        totals.append(Total("all", tuple(c.key for c in columns[1:]), "columns"))
    notes = ("M (SD) of numbers; the largest levels of categories; free text is not tabulated.",)
    return Table("values", "Values", columns, tuple(rows), notes, tuple(totals), stub="Column")


class _Summary:
    """The rows of one column."""

    def __init__(self, dataset: Dataset, name: str, split: Split, minimum: int) -> None:
        self.name, self.split, self.minimum = name, split, minimum
        self.variable = dataset.variable(name)
        self.values = dataset.frame[name]
        self.is_age = bool(AGE.search(name) or AGE.search(self.variable.label))
        self.totals: list[Total] = []

    def cells(self, matches: Any) -> tuple[Cell, ...]:
        return tuple(Count(int((matches & g).sum()), "rows") for _, _, g in self.split.groups)

    def counts(self) -> Iterator[Row]:
        present = self.values.notna().to_numpy()
        yield Row(f"{self.name}.valid", "valid", self.cells(present), 1)
        yield Row(f"{self.name}.missing", "missing", self.cells(~present), 1)

    def note(self, text: str) -> Row:
        return Row(f"{self.name}.note", text, (None,) * len(self.split.groups), 1)

    def rows(self) -> Iterator[Row]:
        if _is_levels(self.variable, self.values):
            yield from self.levels()
        elif _is_text(self.variable, self.values):
            yield self.note("free text: not tabulated")
        elif self.values.dtype.kind in "fiub":
            yield from self.mean()

    def mean(self) -> Iterator[Row]:
        numbers = self.values.astype(float)
        if self.is_age:
            old = (numbers >= OLDEST).to_numpy()
            numbers = numbers.clip(upper=OLDEST)
        yield Row(f"{self.name}.mean", "M (SD)", tuple(self.spreads(numbers)), 1)
        if self.is_age and old.any():
            yield Row(f"{self.name}.90", f"{OLDEST}+ (counted as {OLDEST})", self.cells(old), 1)

    def spreads(self, numbers: Any) -> Iterator[Cell]:
        for _, _, group in self.split.groups:
            chosen = numbers[group].dropna()
            n = len(chosen)
            yield Spread(float(chosen.mean()), float(chosen.std()), n) if n > 1 else None

    def levels(self) -> Iterator[Row]:
        values = self.values
        if self.is_age and values.dtype.kind in "fiu":
            values = values.clip(upper=OLDEST)
        levels = _levels(self.variable, values, self.minimum)[:MOST_LEVELS]
        keys = []
        for code, label in levels:
            keys.append(f"{self.name}={_code(code)}")
            shown = f"{OLDEST}+" if self.is_age and code == OLDEST else label
            yield Row(keys[-1], shown, self.cells((values == code).to_numpy()), 1)
        rest = (values.notna() & ~values.isin([c for c, _ in levels])).to_numpy()
        if rest.any():
            keys.append(f"{self.name}.other")
            yield Row(keys[-1], OTHER, self.cells(rest), 1)
        self.totals.append(Total(f"{self.name}.valid", tuple(keys)))


def _levels(variable: Variable, values: Any, minimum: int) -> list[tuple[Any, str]]:
    """Declared codes in their order, then undeclared ones frequent enough to be named."""
    counts = values.value_counts()
    declared = [c for c in variable.values if not variable.missing.covers(c)]
    further = sorted(c for c, n in counts.items() if c not in declared and n >= minimum)
    return [(c, variable.level(c)) for c in (*declared, *further)]


def _is_levels(variable: Variable, values: Any) -> bool:
    """Whether a column is read as categories rather than as a number or free text."""
    if variable.kind in ("date", "datetime", "time") or values.dtype.kind == "M":
        return False
    distinct = values.nunique()
    if _is_text(variable, values):
        return bool(variable.values) or (distinct <= MOST_LEVELS and 2 * distinct <= len(values))
    if variable.measure in ("nominal", "ordinal") or variable.values:
        return bool(variable.values) or distinct <= MOST_LEVELS
    whole = bool((values.dropna() % 1 == 0).all())
    return variable.measure == "unknown" and whole and distinct <= FEW_CODES


def _is_text(variable: Variable, values: Any) -> bool:
    return variable.kind == "string" or values.dtype.kind not in "fiubmM"


def _code(code: Any) -> str:
    return code if isinstance(code, str) else f"{code:g}"
