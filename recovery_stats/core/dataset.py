"""A table with its codebook, the reason of every empty cell, and the account of rows lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["people", "rows", "houses", "sites", "events"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table came from: file name without its folder, sha256 of the bytes, rows read."""

    name: str = "memory"
    sha256: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the participant flow: who remained after it, in which unit, and why.

    `kept` people or rows remained; `people` counts the persons among them where known.
    """

    reason: str
    kept: int
    unit: Unit = "rows"
    people: int | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows, codebook, missing reasons, source and flow; never mutated.

    frame: numeric where SPSS is numeric; user-missing cells are NaN (None for strings);
    its index is the row number of the file, counted from 1, and survives every subset.
    missing: for each column with user-missing cells, a Series of the codes, indexed by row
    number (rows no longer in `frame` may remain in it).
    """

    frame: pd.DataFrame
    codebook: Codebook = Codebook()
    missing: Mapping[str, pd.Series[Any]] = field(default_factory=dict)
    source: Source = Source()
    flow: tuple[Step, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def weight(self) -> str | None:
        """The weight variable that SPSS would apply; never applied by itself here."""
        return self.codebook.weight

    def variable(self, column: str) -> Variable:
        """What the codebook knows of `column`."""
        return self.codebook[column]

    def label(self, column: str) -> str:
        """The variable label, or the name where it has none."""
        return self.codebook[column].title

    def require(self, *columns: str, table: str = "") -> None:
        """Raise DataError for the first of `columns` that does not exist, with the nearest name."""
        where = f" of table {table!r}" if table else ""
        for column in columns:
            if column not in self.frame.columns:
                raise DataError(unknown(f"column{where}", column, map(str, self.frame.columns)))

    def reasons(self, column: str) -> dict[str, int]:
        """Count the empty cells of `column` by reason: label of the code, or 'system-missing'.

        A date that no calendar holds is 'impossible date'; its number is not told.
        """
        variable = self.variable(column)
        empty = self.frame.index[self.frame[column].isna()]
        codes = self.missing.get(column)
        counts: dict[str, int] = {}
        coded = 0
        if codes is not None:
            here = codes[codes.index.isin(empty)]
            coded = len(here)
            for code, n in here.value_counts().items():
                known = variable.missing.covers(code) or variable.kind not in ("date", "datetime")
                reason = variable.level(code) if known else "impossible date"
                counts[reason] = counts.get(reason, 0) + int(n)
        if len(empty) > coded:
            counts["system-missing"] = len(empty) - coded
        return counts

    def with_frame(self, frame: pd.DataFrame) -> Dataset:
        """The same codebook and provenance over other rows or added columns."""
        return replace(self, frame=frame)

    def with_column(self, variable: Variable, values: Any) -> Dataset:
        """Add (or replace) one column and its entry in the codebook."""
        return replace(
            self,
            frame=self.frame.assign(**{variable.name: values}),
            codebook=self.codebook.with_variables(variable),
        )

    def keep(self, rows: Any, reason: str, *, person: str | None = None) -> Dataset:
        """Keep the rows where the boolean `rows` holds and write the loss into the flow."""
        frame = self.frame[rows]
        people = int(frame[person].nunique()) if person else None
        first = self.flow or (Step("in the file", len(self.frame), "rows", self._people(person)),)
        return replace(self, frame=frame, flow=(*first, Step(reason, len(frame), "rows", people)))

    def complete(self, *columns: str, person: str | None = None) -> Dataset:
        """Keep the rows observed on all `columns`: the only way analyses lose rows to missing data.

        One step of the flow for each column that loses rows, named by its label.
        """
        self.require(*columns)
        data = self
        for column in dict.fromkeys(columns):
            observed = data.frame[column].notna()
            if not observed.all():
                data = data.keep(observed, f"{self.label(column)} observed", person=person)
        return data

    def _people(self, person: str | None) -> int | None:
        return int(self.frame[person].nunique()) if person else None


@overload
def as_dataset(table: Dataset | pd.DataFrame) -> Dataset: ...
@overload
def as_dataset(table: Dataset | pd.DataFrame | None) -> Dataset | None: ...
def as_dataset(table: Dataset | pd.DataFrame | None) -> Dataset | None:
    """A plain frame as a Dataset without a codebook; None stays None."""
    if table is None or isinstance(table, Dataset):
        return table
    return Dataset(table)
