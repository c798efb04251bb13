"""People out of a file that has several rows for each: one row a person where nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study

TABLE = "persons"


def one_row_a_person(study: Study, used: Iterable[str]) -> Study:
    """Reduce the persons table to the first row of each person, and tell so in a Check.

    For a table that shares its file with others (waves in one long file). Done where none of the
    columns `used`, nor any that plays a role, differs between the rows of a person: then the
    rows say the same thing again. Else the table stays as it is and whoever needs one row a
    person says so.
    """
    person = study.role(TABLE, "person")
    data = study.tables.get(TABLE)
    if data is None or person is None or person not in data.frame.columns:
        return study
    repeated = data.frame[person].duplicated() & data.frame[person].notna()
    if not repeated.any() or varying(data, person, (*_roles(study), *used)):
        return study
    people = data.frame[~repeated]
    told = Check(
        "one row a person",
        "ok",
        (
            Count(len(data), "rows"),
            " rows stand for ",
            Count(len(people)),
            " people; the columns of table persons are the same in every row of a person, and the "
            "first one is used.",
        ),
        f"{TABLE}.{person}",
    )
    tables: Mapping[str, Dataset] = {**study.tables, TABLE: data.with_frame(people)}
    return replace(study, tables=tables, checks=(*study.checks, told))


def varying(data: Dataset, person: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Those of `columns` that differ between rows of one person; a gap beside a value differs."""
    there = [c for c in dict.fromkeys(columns) if c in data.frame.columns and c != person]
    if not there:
        return ()
    levels = data.frame.groupby(person, sort=False)[there].nunique(dropna=False)
    return tuple(c for c in there if (levels[c] > 1).any())


def _roles(study: Study) -> tuple[str, ...]:
    spec = study.protocol.tables.get(TABLE)
    return tuple(c for role in spec.roles for c in study.roles(TABLE, role)) if spec else ()
