"""The tables of a study file: files, keys, filters, roles, missing codes, derived columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recovery_stats.core.study import Derived, TableSpec
from recovery_stats.data.protocol_key import OPERATORS, TABLE_FIELDS, TABLE_KEYS, Key, fault, short
from recovery_stats.data.protocol_reading import Reading, Section
from recovery_stats.data.protocol_text import near_file
from recovery_stats.data.role import TABLES, roles_of

DERIVED_WORDS = (  # one word each, never a list
    "endpoint", "pattern", "part", "missing", "label", "scale", "score", "rule", "against",
    "result", "table", "time", "kind", "start", "mixed_week",
)  # fmt: skip
DERIVED_TYPES = {
    "per_week": int, "visits": int, "coded_from": float, "reversed_already": bool,
    "scheduled": object,
}  # fmt: skip
DERIVED_CODES = ("negative", "positive", "mixed", "not_scheduled")
LEAVE = "allow_outside"  # a flag of the command line, never of the file


def read_tables(reading: Reading, document: Section, codes: Section) -> dict[str, TableSpec]:
    """The tables declared, with their roles and `codes`, the missing codes by table."""
    declared = reading.section(document, "tables")
    roles, codes = _roles(reading, document, declared), _codes(reading, codes, declared)
    derive = _derived(reading, document, declared)
    if not declared:
        cure = 'Say where the data are: [tables.persons] with file = "persons.sav".'
        reading.tell("tables", "[tables]", "No table given.", cure)
    found = {}
    for name, table in declared.items():
        if name not in TABLES:
            reading.unknown(f"tables.{name}", "[tables]", "table", name, TABLES)
        elif not isinstance(table, dict):
            cure = f'Write [tables.{name}] and under it file = "…".'
            reading.tell(f"tables.{name}", f"[tables] {name}", "Must be a section.", cure)
        else:
            spec = _table(reading, name, table, roles.get(name, {}), codes.get(name, {}))
            found[name] = replace(spec, derive=derive.get(name, ()))
    return found


def _table(
    reading: Reading, name: str, table: Section, roles: Section, codes: Section
) -> TableSpec:
    at = f"tables.{name}"
    if LEAVE in table:
        _refuse_own_leave(reading, at)
    values = reading.keys({k: v for k, v in table.items() if k != LEAVE}, at, TABLE_KEYS)
    if "file" not in table:
        reading.tell(at, f"[{at}]", "No file given.", 'Add file = "….sav".')
    for key in ("file", "codebook"):
        if key in values:
            _check_file(reading, values[key], f"{at}.{key}", f"[{at}] {key}")
    return TableSpec(
        name=name,
        file=values.get("file", ""),
        key=values.get("key", ()),
        roles=roles,
        missing=codes,
        where=_where(reading, values.get("where", []), at),
        options={k: v for k, v in values.items() if k not in TABLE_FIELDS},
    )


def _refuse_own_leave(reading: Reading, at: str) -> None:
    """A study file that comes from somebody else must not choose which files are read."""
    where = f"[{at}] {LEAVE}"
    message = "A study file cannot allow this itself."
    cure = "Remove the line; who runs it may give the flag --allow-outside."
    reading.tell(f"{at}.{LEAVE}", where, message, cure)


def _check_file(reading: Reading, name: str, at: str, where: str) -> None:
    folder = reading.path.parent.resolve()
    try:
        target = (folder / name).resolve()
        inside = target.is_relative_to(folder)
        is_file, is_dir = target.is_file(), target.is_dir()
    except (OSError, ValueError, RuntimeError):
        reading.tell(at, where, f"{short(name)} is not the name of a file.")
        return
    if not inside and not reading.allow_outside:
        cure = "Move the file there, or run with --allow-outside."
        reading.tell(at, where, f"{short(name)} is outside the study file's folder.", cure)
    elif is_dir:
        reading.tell(at, where, f"{short(name)} is a folder.", "Name the file in it.")
    elif not is_file and not reading.data_to_come:
        cure = near_file(target).strip() or "Files are named relative to the study file."
        if "\\" in name:
            cure += " Separate folders by / rather than \\."
        reading.tell(at, where, f"No file {short(name)}.", cure)


def _where(reading: Reading, rows: Any, at: str) -> tuple[tuple[str, str, float | str], ...]:
    where, form = f"[{at}] where", '[["column", "==", 1]]'
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
            reading.tell(f"{at}.where", where, "Each filter is [column, operator, value].", form)
        elif row[1] not in OPERATORS:
            cure = f"Known: {' '.join(OPERATORS)}."
            reading.tell(f"{at}.where", where, "Not an operator between column and value.", cure)
        elif fault(row[2], Key("", float)) and not isinstance(row[2], str):
            reading.tell(f"{at}.where", where, "A filter compares with a number or text.", form)
        else:
            found.append((row[0], row[1], row[2]))
    return tuple(found)


def _roles(reading: Reading, document: Section, tables: Section) -> dict[str, Section]:
    sections = reading.by_table(reading.section(document, "roles"), "roles", tables)
    return {name: _table_roles(reading, name, given) for name, given in sections.items()}


def _table_roles(reading: Reading, table: str, given: Section) -> dict[str, str | tuple[str, ...]]:
    many = _known_roles(reading, table)
    found: dict[str, str | tuple[str, ...]] = {}
    for role, columns in given.items():
        at, where = f"roles.{table}.{role}", f"[roles.{table}] {short(role, quotes=False)}"
        if role not in many:
            reading.unknown(at, where, f"role of table {table!r}", role, many)
        elif reading.fits(columns, Key(role, str, many=True), at, where):
            names = tuple(columns) if isinstance(columns, list) else (columns,)
            if not names or (len(names) > 1 and not many[role]):
                reading.tell(at, where, f"Takes one column{' or more' * many[role]}.")
            else:
                found[role] = names if many[role] and isinstance(columns, list) else names[0]
    return found


def _known_roles(reading: Reading, table: str) -> dict[str, bool]:
    """The roles of `table`, each with whether it takes several columns."""
    known = {name: role.many for name, role in roles_of(table).items()}
    for options in reading.analyses.values():
        for option in options.values():
            if option.column and option.table == table:
                role = option.role or option.name
                known[role] = known.get(role, False) or option.many
    return known


def _codes(reading: Reading, codes: Section, tables: Section) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for table, columns in reading.by_table(codes, "missing.codes", tables).items():
        at = f"missing.codes.{table}"
        keys = [Key(column, object, many=True) for column in columns]
        found[table] = reading.keys(columns, at, keys)
    return found


def _derived(
    reading: Reading, document: Section, tables: Section
) -> dict[str, tuple[Derived, ...]]:
    """Columns made from others; read only where there are some, as the endpoints are large."""
    given = reading.by_table(reading.section(document, "derive"), "derive", tables)
    return {
        table: tuple(_from_there(reading, table, _derive(reading, table, columns), tables))
        for table, columns in given.items()
    }


def _from_there(
    reading: Reading, table: str, made: Iterator[Derived], tables: Section
) -> Iterator[Derived]:
    """Patterns are made for persons, from another table that is declared."""
    for spec in made:
        at, where = f"derive.{table}.{spec.name}", f"[derive.{table}] {spec.name}"
        others = [t for t in tables if t != "persons"]
        if spec.source and table != "persons":
            reading.tell(
                at, where, "A pattern is made for each person: put it in [derive.persons]."
            )
        elif spec.source and spec.source.table not in others:
            reading.unknown(at, where, "other table in [tables]", spec.source.table, others)
        else:
            yield spec


def _derive(reading: Reading, table: str, columns: Section) -> Iterator[Derived]:
    from recovery_stats.data.derive import derived

    for name, body in columns.items():
        at, where = f"derive.{table}.{name}", f"[derive.{table}] {short(name, quotes=False)}"
        if not isinstance(body, dict):
            reading.tell(at, where, "Must be a section.", 'Write { cross = ["a", "b"] }.')
            continue
        keys = {k: _derived_key(k) for k in body}
        if not all(reading.fits(value, keys[k], at, where) for k, value in body.items()):
            continue
        spec, faults = derived(name, body)
        for message in faults:
            reading.tell(at, where, message)
        if spec:
            yield spec


def _derived_key(name: str) -> Key:
    if name in DERIVED_CODES:
        return Key(name, float, many=True)
    kind = DERIVED_TYPES.get(name, str)
    return Key(name, kind, many=kind is str and name not in DERIVED_WORDS)
