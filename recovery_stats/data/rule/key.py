"""Columns exist, keys are complete and unique, people are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from recovery_stats.core.cell import Count
from recovery_stats.core.study import Study
from recovery_stats.data.one_row import varying
from recovery_stats.data.problem import Problem
from recovery_stats.data.rule.bound import (
    Bound,
    Finding,
    Use,
    blank,
    caution,
    is_text,
    line_of,
    rows_where,
)
from recovery_stats.errors import nearest, rows_phrase, unknown

TOTALS = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "mean", "average", "all", "count", "n"}
)


def resolve(study: Study, uses: Iterable[Use]) -> tuple[tuple[Use, ...], tuple[Problem, ...]]:
    """Sort the uses into those whose column exists, each once, and the Problems of the others.

    A column that an analysis names may stand in another table than its own (a covariate of the
    persons in a file of waves); a role must stand in the table it is declared for.
    """
    found: dict[tuple[str, str, str], Use] = {}
    problems = []
    for use in uses:
        tables = [t for t in (use.table, *study.tables) if _has(study, t, use.column)]
        declared = use.at.startswith("roles.")
        if not tables or (declared and tables[0] != use.table):
            problems.append(_no_column(study, use))
            continue
        table = tables[0]
        found.setdefault((table, use.role, use.column), Use(table, use.role, use.column, use.at))
    return tuple(found.values()), tuple(dict.fromkeys(problems))


def _has(study: Study, table: str, column: str) -> bool:
    return table in study and column in study[table].frame.columns


def _no_column(study: Study, use: Use) -> Problem:
    here = study.tables.get(use.table)
    columns = [str(c) for c in here.frame.columns] if here else _all_columns(study)
    where = f"table {use.table!r}, {use.role}"
    message, cure = unknown("column", use.column, columns), _wide(use, columns)
    optional = use.at.startswith("analysis.")  # a role may be read by every analysis
    asked = (use.role, use.column) if optional else ("", "")
    return Problem(line_of(study, use.at), where, message, cure, *asked)


def _all_columns(study: Study) -> list[str]:
    return [str(c) for data in study.tables.values() for c in data.frame.columns]


def _wide(use: Use, columns: Sequence[str]) -> str:
    """What to do when waves stand side by side: sat_0, sat_1, sat_2."""
    if use.table != "waves" or nearest(use.column, columns):
        return ""
    stems = [m[1] for c in columns if (m := re.fullmatch(r"(.*?[A-Za-z]_?)\d{1,2}", c))]
    repeated = sorted({s for s in stems if stems.count(s) > 1}, key=lambda s: -stems.count(s))
    if not repeated:
        return ""
    return (
        f"Columns such as {repeated[0]}… look like one row a person with the waves side by side; "
        "reshape to one row a person and wave (SPSS: VARSTOCASES)."
    )


def key_columns_exist(bound: Bound) -> Iterator[Finding]:
    """Columns named by key, filter and missing codes."""
    for table, spec in bound.study.protocol.tables.items():
        if table not in bound.study:
            continue
        columns = [str(c) for c in bound.study[table].frame.columns]
        named = [(c, f"tables.{table}.key", "key") for c in spec.key]
        named += [(c, f"tables.{table}.where", "where") for c, _, _ in spec.where]
        named += [(c, f"missing.codes.{table}.{c}", "missing") for c in spec.missing if c != "*"]
        for column, at, role in named:
            if column not in columns:
                yield _no_column(bound.study, Use(table, role, column, at))


def tables_have_rows(bound: Bound) -> Iterator[Finding]:
    for table, data in bound.study.tables.items():
        if not len(data):
            cure = "See the filter (where) of the table." if data.source.rows else ""
            yield bound.table_problem(table, "No rows.", cure)


def keys_complete(bound: Bound) -> Iterator[Finding]:
    """No empty cell in a key, or in the column that identifies a person."""
    for table, data in bound.study.tables.items():
        person = [u.column for u in bound.playing("person", table=table)]
        for column in dict.fromkeys((*bound.key(table), *person)):
            rows = rows_where(blank(data.frame[column]))
            if rows:
                message = f"Key column {column!r} is empty in {rows_phrase(rows)}."
                cure = "Every row needs its key: complete or remove these rows."
                yield bound.table_problem(table, message, cure)


def keys_unique(bound: Bound) -> Iterator[Finding]:
    """One row a key; rows identical in every column are said apart from those that disagree."""
    for table, data in bound.study.tables.items():
        key = list(bound.key(table))
        if not key:
            continue
        repeated = data.frame.duplicated(key) & data.frame[key].notna().all(axis=1)
        rows = rows_where(repeated)
        if rows:
            same = int(
                data.frame[repeated | data.frame.duplicated(key, keep="last")].duplicated().sum()
            )
            yield bound.table_problem(
                table,
                f"{_rows(len(rows))} the key ({', '.join(key)}) of an earlier row: "
                f"{rows_phrase(rows)}; {same} of {len(rows)} identical in every column"
                f"{_differing(bound, table, key)}.",
                "Remove the repeats, or name a key that tells the rows apart.",
                f"tables.{table}.key",
            )


def _differing(bound: Bound, table: str, key: Sequence[str]) -> str:
    """The columns in use by which a person's rows disagree."""
    if table != "persons" or len(key) != 1:
        return ""
    used = [u.column for u in bound.uses if u.table == table]
    found = varying(bound.study[table], key[0], used)
    return f"; {', '.join(map(repr, found))} differ between rows of one person" if found else ""


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'} repeat{'s' if n == 1 else ''}"


def no_totals_row(bound: Bound) -> Iterator[Finding]:
    """A spreadsheet's summary row among the people."""
    for table, data in bound.study.tables.items():
        for column in dict.fromkeys((*data.frame.columns[:1], *bound.key(table))):
            values = data.frame[column]
            if not is_text(values):
                continue
            words = values.astype("string").str.strip().str.rstrip(":").str.casefold()
            rows = rows_where(words.isin(TOTALS))
            if rows:
                message = f"Column {column!r} looks like a totals row in {rows_phrase(rows)}."
                yield bound.table_problem(table, message, "Remove it from the file.")


def people_known(bound: Bound) -> Iterator[Finding]:
    """Rows of people that the persons table does not have."""
    known = bound.first("persons", "person")
    if known is None:
        return
    persons = bound.values(known)
    for use in bound.playing("person"):
        values = bound.values(use)
        if use.table == "persons" or not len(values):
            continue
        if is_text(values) != is_text(persons):
            message = "Text here and numbers in table 'persons' (or the reverse): nobody matches."
            yield bound.problem(use, message, "Give both the same type.")
            continue
        strange = values.notna() & ~values.isin(persons)
        if strange.all():
            message = "None of these people is in table 'persons'."
            yield bound.problem(use, message, "See whether both name the same identifier.")
        elif strange.any():
            yield caution(
                "people",
                f"{use.table}.{use.column}",
                Count(int(strange.sum()), "rows"),
                " of ",
                Count(int(values[strange].nunique())),
                f" in table {use.table} are not in table persons and are left out.",
            )


RULES = (
    key_columns_exist,
    tables_have_rows,
    keys_complete,
    keys_unique,
    no_totals_row,
    people_known,
)
