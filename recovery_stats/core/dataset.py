"""A table with its codebook, the reason of every empty cell, and the account of rows lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 6  # names of columns at a prompt
UNTOLD = frozenset({"system-missing"})
Unit = Literal["people", "rows", "houses", "sites", "events"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table came from: file name without its folder, sha256 of the bytes, rows read."""

    name: str = "memory"
    sha256: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Detail:
    """Some people of a step: who received what they were allocated to, or why people left.

    arms: how many of the `n` are in each arm, in the order of the step's arms.
    """

    label: str
    n: int
    arms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the participant flow: who remained after it, in which unit, and why.

    `kept` people or rows remained; `people` counts the persons among them where known. arms: from
    allocation on (or from where the exposure is known), each arm by name with how many of it
    remained. details: at allocation of those who remained, at later steps of those who left.
    """

    reason: str
    kept: int
    unit: Unit = "rows"
    people: int | None = None
    arms: tuple[tuple[str, int], ...] = ()
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows, codebook, missing reasons, source and flow; never mutated.

    frame: numeric where SPSS is numeric; user-missing cells are NaN (None for strings);
    its index is the row number of the file, counted from 1, and survives every subset.
    missing: for each column with user-missing cells, a Series of the codes, indexed by row
    number (rows no longer in `frame` may remain in it). arm: the column by which the steps of the
    flow are counted too, once people are in it, drawn or not.
    """

    frame: pd.DataFrame
    codebook: Codebook = Codebook()
    missing: Mapping[str, pd.Series[Any]] = field(default_factory=dict)
    source: Source = Source()
    flow: tuple[Step, ...] = ()
    arm: str | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        names = ", ".join(map(str, self.frame.columns[:SHOWN]))
        more = ", …" if columns > SHOWN else ""
        return f"<Dataset of {rows:,} rows, {columns} columns ({names}{more}): {self.source.name}>"

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

    def keep(
        self,
        rows: Any,
        reason: str,
        *,
        person: str | None = None,
        unit: Unit = "rows",
        why: str | None = None,
    ) -> Dataset:
        """Keep the rows where the boolean `rows` holds and write the loss into the flow.

        why: the column whose missing codes say why the others left; told by arm.
        """
        frame = self.frame[rows]
        people = int(frame[person].nunique()) if person else None
        first = self.flow or (Step("in the file", len(self.frame), "rows", self._people(person)),)
        details = self._reasons_by_arm(self.frame[~rows], why) if why else ()
        step = Step(reason, len(frame), unit, people, self._by_arm(frame), details)
        return replace(self, frame=frame, flow=(*first, step))

    def allocated(self, arm: str, reason: str, *, unit: Unit = "people") -> Dataset:
        """Keep the rows with an `arm`; from this step on the flow is counted by it too."""
        return replace(self, arm=arm).keep(self.frame[arm].notna(), reason, unit=unit)

    def in_people(self) -> Dataset:
        """The flow so far in people, of whom the table has one row each.

        A flow that counted other rows than are there begins anew.
        """
        whole = bool(self.flow) and self.flow[-1].kept == len(self)
        first = self.flow[0] if whole else Step("", len(self))
        rest = self.flow[1:] if whole else ()
        steps = (replace(first, reason="People in the file"), *rest)
        return replace(self, flow=tuple(replace(s, unit="people") for s in steps))

    def detailed(self, *details: tuple[str, pd.Series[bool]]) -> Dataset:
        """The last step of the flow with some of its people apart: label and rows of each."""
        told = tuple(
            Detail(label, int(rows.sum()), tuple(n for _, n in self._by_arm(self.frame[rows])))
            for label, rows in details
        )
        *before, step = self.flow
        return replace(self, flow=(*before, replace(step, details=told)))

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

    def _by_arm(self, frame: pd.DataFrame) -> tuple[tuple[str, int], ...]:
        """How many rows of `frame` each arm has; an arm that has lost everybody stays, with 0."""
        if self.arm is None:
            return ()
        counts = self._arm_of(frame).value_counts()
        return tuple((name, int(counts.get(name, 0))) for name in self._arms())

    def _arms(self) -> list[str]:
        """The names of the arms there were at allocation, in the order of their codes."""
        assert self.arm is not None
        if told := next((step.arms for step in self.flow if step.arms), ()):
            return [name for name, _ in told]
        column = self.frame[self.arm]
        seen = column.dropna().unique()
        known = getattr(column.dtype, "categories", None)  # of a categorical: in its own order
        levels = sorted(seen) if known is None else [c for c in known if c in seen]
        return list(map(self.variable(self.arm).level, levels))

    def _arm_of(self, frame: pd.DataFrame) -> pd.Series[Any]:
        assert self.arm is not None
        return frame[self.arm].map(self.variable(self.arm).level)

    def _reasons_by_arm(self, lost: pd.DataFrame, column: str) -> tuple[Detail, ...]:
        """The reasons for which `column` is empty in the rows lost, where codes tell them."""
        found = self.with_frame(lost).reasons(column)
        if self.arm is None or sum(found.values()) != len(lost) or set(found) <= UNTOLD:
            return ()
        of = self._arm_of(lost)
        each = [self.with_frame(lost[of == name]).reasons(column) for name in self._arms()]
        return tuple(
            Detail(reason, n, tuple(e.get(reason, 0) for e in each))
            for reason, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        )

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
