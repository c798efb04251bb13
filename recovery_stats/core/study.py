"""A study: what its protocol declares, and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown


@dataclass(frozen=True, slots=True)
class Privacy:
    """How small counts are hidden.

    minimum: the smallest count above zero that may be shown (11 under CMS). round_to: counts
    are rounded to this multiple (1: not). hide_zero: zeros are disclosive too. grid_events:
    events per step of a printed survival curve at the least.
    """

    profile: str = "cms"
    minimum: int = 11
    round_to: int = 1
    hide_zero: bool = False
    grid_events: int = 11

    @property
    def rounds(self) -> bool:
        """Whether counts are told rounded, and so what is computed of them."""
        return self.round_to > 1

    @property
    def bin(self) -> int:
        """How many counts have one midpoint in a curve: no fewer than rounding or hiding joins."""
        return max(self.round_to + 1, self.minimum - 2)


PROFILES: Mapping[str, Privacy] = {
    "cms": Privacy(),
    "acro": Privacy("acro", 10, 1, True, 10),
    "opensafely": Privacy("opensafely", 8, 5, False, 8),
    "ohdsi": Privacy("ohdsi", 5, 1, False, 5),
    "none": Privacy("none", 1, 1, False, 1),
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a column is scored from the items of a questionnaire.

    items: columns in the order of the items, or a pattern with {}; None to recognise them.
    coded_from: the code of the lowest answer where it is not the scale's own. against: a total
    that stands in the file already and should be the same.
    """

    scale: str
    score: str
    items: str | tuple[str, ...] | None = None
    rule: str | None = None
    coded_from: float | None = None
    reversed_already: bool = False
    against: str = ""


@dataclass(frozen=True, slots=True)
class VisitSource:
    """How patterns of visits are made from a table with a row a visit (`rs.visit_patterns`).

    table, result, time: the table and its columns. scheduled: places for each person, a number or
    a column of the persons; 0 where rows are the places. start: a column of the persons.
    """

    table: str
    result: str
    time: str
    kind: str = "screen"
    start: str = ""
    scheduled: int | str = 0
    negative: tuple[float, ...] = (0.0,)
    positive: tuple[float, ...] = (1.0,)
    mixed: tuple[float, ...] = (2.0,)
    not_scheduled: tuple[float, ...] = ()
    mixed_week: str = "*"


@dataclass(frozen=True, slots=True)
class Derived:
    """A column made from others.

    Combinations of `columns`, an endpoint of visits, or the score of a questionnaire (`scoring`).
    part: event, weeks or days of an endpoint with a time. missing: the rule for missed visits.
    per_week: visits a week in the pattern. count: symbols of visits that are counted, as a share
    of those in `among` where given, over the first `visits` of them (0: all). source: the table
    from which a pattern of visits is made.
    """

    name: str
    columns: tuple[str, ...]
    endpoint: str = ""
    part: str = ""
    label: str = ""
    missing: str = "published"
    per_week: int = 1
    scoring: Scoring | None = None
    count: str = ""
    among: str = ""
    visits: int = 0
    source: VisitSource | None = None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of the protocol: its file (relative to the study file), keys and roles.

    roles: role to column, or to several columns (`adjust`). `missing` adds user-missing codes
    to columns ("*" for all), for files that cannot declare them. `where` keeps rows by
    (column, operator, value).
    """

    name: str
    file: str = ""
    key: tuple[str, ...] = ()
    roles: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    missing: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)
    where: tuple[tuple[str, str, float | str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    derive: tuple[Derived, ...] = ()


@dataclass(frozen=True, slots=True)
class AnalysisSpec:
    """One `[[analysis]]`: its kind, its unique name (the file name of its report), options."""

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a study file that is not as it was: its values as text, empty where it is not."""

    key: str
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """A protocol as it was locked, and what became of it.

    date: of the first lock. sha256: of what was locked last. analyses: their names then. data:
    hash by file when it was locked first, empty for a file that was not there. amendments: date
    and changes of each later lock. since: changes that no lock holds. asked: the analysis to which
    the changes were narrowed, if to one. elsewhere: how many more concern other analyses only.
    """

    date: str
    sha256: str
    analyses: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    amendments: tuple[tuple[str, tuple[Change, ...]], ...] = ()
    since: tuple[Change, ...] = ()
    asked: str = ""
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Protocol:
    """What study.toml declares; machine matters (jobs, output folder) are flags, not protocol.

    file, lines: the name of the study file and the line of each key in it, by dotted path
    ("roles.persons.time", "analysis.0.outcome"), so that a fault found later names its line.
    content: what in it bears on the analyses, by key. lock: what was locked beforehand.
    """

    title: str = ""
    population: str = "the people in the study"
    synthetic: bool = False
    tables: Mapping[str, TableSpec] = field(default_factory=dict)
    analyses: tuple[AnalysisSpec, ...] = ()
    privacy: Privacy = Privacy()
    structural: tuple[float, ...] = ()
    seed: int = 1
    level: float = 0.95
    formats: tuple[str, ...] = ("html", "md")
    sha256: str = ""
    notes: tuple[str, ...] = ()
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)
    content: Mapping[str, str] = field(default_factory=dict)
    lock: Lock | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """Tables by name (persons, waves, meetings, stays, events, houses, sites), each a Dataset.

    truth: what the generator knows (synthetic studies only), by estimand name. checks: what
    the rules of the data found worth knowing when the study was read (about: "table.column").
    """

    tables: Mapping[str, Dataset]
    protocol: Protocol = Protocol()
    truth: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()

    def __contains__(self, table: object) -> bool:
        return table in self.tables

    def __repr__(self) -> str:
        tables = ", ".join(f"{name} {len(table):,} rows" for name, table in self.tables.items())
        return f"<Study{' ' if self.protocol.title else ''}{self.protocol.title}: {tables}>"

    def __getitem__(self, table: str) -> Dataset:
        if table not in self.tables:
            raise DataError(unknown("table", table, self.tables))
        return self.tables[table]

    def role(self, table: str, role: str) -> str | None:
        """The column that plays `role` in `table`, or None; several is a UsageError."""
        found = self.roles(table, role)
        if len(found) > 1:
            raise UsageError(
                f"Role {role!r} of table {table!r} takes one column, not {len(found)}."
            )
        return found[0] if found else None

    def roles(self, table: str, role: str) -> tuple[str, ...]:
        """All columns that play `role` in `table`."""
        spec = self.protocol.tables.get(table)
        columns = spec.roles.get(role, ()) if spec else ()
        return (columns,) if isinstance(columns, str) else tuple(columns)

    def joined(self, table: str, key: str | None = None, other: str = "persons") -> Dataset:
        """`table` with the columns of `other` that it lacks, matched on the person key.

        Rows of `table` stay as they are and in order; a person absent from `other` gets NaN.
        Without an `other` table, or where the two are one file, `table` comes back unchanged.
        """
        import pandas as pd

        left = self[table]
        if other not in self.tables or other == table:
            return left
        left_key = key or self.role(table, "person")
        right_key = self.role(other, "person") or left_key
        right = self.tables[other]
        if left_key is None or right_key not in right.frame.columns or right is left:
            return left
        new = [c for c in right.frame.columns if c not in left.frame.columns and c != right_key]
        if not new or right.frame is left.frame:
            return left
        repeated = int(right.frame[right_key].duplicated().sum())
        if repeated:
            raise DataError(
                f"Table {other!r} has {repeated} rows whose {right_key!r} occurred before; "
                f"it needs one row a person to be joined to {table!r}."
            )
        matched = right.frame.set_index(right_key)[new].reindex(left.frame[left_key])
        matched.index = left.frame.index
        codebook = left.codebook.with_variables(
            *(right.codebook[c] for c in new if c in right.codebook)
        )
        return Dataset(
            pd.concat([left.frame, matched], axis=1), codebook, left.missing, left.source, left.flow
        )
