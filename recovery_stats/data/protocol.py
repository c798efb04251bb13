"""study.toml: text to Protocol. Every fault is collected and told at once, with line and cure.

Nothing in the file is ever evaluated: a string is a name, a level or a word of a report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from recovery_stats.core.study import (
    PROFILES,
    AnalysisSpec,
    Derived,
    Privacy,
    Protocol,
    TableSpec,
)
from recovery_stats.data.problem import Problem, ProtocolError, listed
from recovery_stats.data.protocol_key import (
    FORMATS,
    LEVEL,
    MISSING_KEYS,
    OPERATORS,
    PRIVACY_KEYS,
    SCHEMA,
    SEED,
    STUDY_KEYS,
    TABLE_FIELDS,
    TABLE_KEYS,
    TOP,
    Key,
    fault,
    plain,
    short,
)
from recovery_stats.data.protocol_text import decode, near_file, parse, read_bytes
from recovery_stats.data.role import TABLES, roles_of
from recovery_stats.errors import nearest

__all__ = ["OptionSpec", "Problem", "ProtocolError", "listed", "read_protocol"]

ANALYSIS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")

Section = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option of an analysis, as its Question declares it.

    type: bool, int, float or str. choices: the only words allowed, when not empty. many: takes
    a list. column: names a column of `table`, by default the one that plays `role` there.
    """

    name: str
    type: type = str
    choices: tuple[str, ...] = ()
    many: bool = False
    column: bool = False
    table: str = ""
    role: str = ""


Kinds = Mapping[str, Mapping[str, OptionSpec]]


def read_protocol(
    path: str | Path,
    *,
    analyses: Kinds,
    formats: Collection[str] = FORMATS,
    allow_outside: bool = False,
) -> Protocol:
    """Read the study file at `path`; `analyses` gives the options that each kind has.

    allow_outside: tables may lie outside the folder of the study file, as if each said so.
    Raises ProtocolError (a UsageError) that lists every fault; its `.problems` has them one by
    one. Tables are not opened: that their files exist is all that is looked at.
    """
    path = Path(path)
    raw = read_bytes(path)
    text = decode(raw, path.name)
    lines, document = parse(text, path.name)
    reading = _Reading(path, lines, analyses, allow_outside)
    protocol = reading.protocol(document, tuple(formats))
    if reading.problems:
        raise ProtocolError(sorted(reading.problems, key=lambda p: p.line), path.name)
    return replace(protocol, sha256=sha256(raw).hexdigest(), file=path.name, lines=reading.lines)


@dataclass(slots=True)
class _Reading:
    """One reading of one file: its lines, and the faults found so far."""

    path: Path
    lines: Mapping[str, int]
    analyses: Kinds
    allow_outside: bool = False
    problems: list[Problem] = field(default_factory=list)

    # --- telling

    def tell(self, at: str, where: str, message: str, cure: str = "") -> None:
        self.problems.append(Problem(self.line(at), where, message, cure))

    def line(self, at: str) -> int:
        """The line of the key at the dotted path, or of the nearest section around it."""
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        return self.lines.get(at, 0)

    def unknown(
        self, at: str, where: str, what: str, name: str, known: Iterable[str], cure: str = ""
    ) -> None:
        known = list(known)
        close = nearest(name, known)
        hint = f"Did you mean {close!r}? " if close else ""
        cure = cure or f"{hint}Known: {', '.join(known) or 'none'}."
        self.tell(at, where, f"No {what} named {short(name)}.", cure)

    # --- sections

    def protocol(self, document: Section, formats: tuple[str, ...]) -> Protocol:
        self._check_top(document)
        study = self.keys(self.section(document, "study"), "study", STUDY_KEYS)
        missing = self.keys(self.section(document, "missing"), "missing", MISSING_KEYS)
        report_keys = (LEVEL, SEED, Key("formats", str, choices=formats, many=True))
        report = self.keys(self.section(document, "report"), "report", report_keys)
        tables = self._tables(document, missing.get("codes", {}))
        return Protocol(
            title=study.get("title", ""),
            population=study.get("population", Protocol().population),
            synthetic=study.get("synthetic", False),
            tables=tables,
            analyses=self._analyses(document, tables),
            privacy=self._privacy(document),
            structural=missing.get("structural", ()),
            **report,
        )

    def _check_top(self, document: Section) -> None:
        for name in document:
            if name not in TOP:
                self.unknown(name, f"[{short(name, quotes=False)}]", "section", name, TOP)
        schema = document.get("schema", SCHEMA)
        if type(schema) is not int or schema != SCHEMA:
            cure = f"This version reads schema = {SCHEMA}."
            self.tell("schema", "schema", "A form of study file that is not known.", cure)

    def section(self, document: Section, name: str) -> Section:
        value = document.get(name, {})
        if isinstance(value, dict):
            return value
        self.tell(name, f"[{name}]", "Must be a section.", f"Write [{name}] on a line of its own.")
        return {}

    def keys(self, section: Section, at: str, known: Sequence[Key]) -> dict[str, Any]:
        """The values of a section that are right; the others are told."""
        specs = {k.name: k for k in known}
        found: dict[str, Any] = {}
        for name, value in section.items():
            path, where = f"{at}.{name}", f"[{at}] {short(name, quotes=False)}"
            if name not in specs:
                self.unknown(path, where, "key", name, specs)
            elif self.fits(value, specs[name], path, where):
                found[name] = plain(value, specs[name])
        return found

    def fits(self, value: Any, key: Key, at: str, where: str) -> bool:
        """Say whether `value` is what `key` takes; tell when it is not."""
        items = value if key.many and isinstance(value, list) else [value]
        faults = [found for item in items if (found := fault(item, key))]
        if faults:
            self.tell(at, where, faults[0])
        return not faults

    def _privacy(self, document: Section) -> Privacy:
        found = self.keys(self.section(document, "privacy"), "privacy", PRIVACY_KEYS)
        return replace(PROFILES[found.pop("profile", "cms")], **found)

    # --- tables, roles, missing codes

    def _tables(self, document: Section, codes: Section) -> dict[str, TableSpec]:
        declared = self.section(document, "tables")
        roles, codes = self._roles(document, declared), self._codes(codes, declared)
        derive = self._derived(document, declared)
        if not declared:
            cure = 'Say where the data are: [tables.persons] with file = "persons.sav".'
            self.tell("tables", "[tables]", "No table given.", cure)
        found = {}
        for name, table in declared.items():
            if name not in TABLES:
                self.unknown(f"tables.{name}", "[tables]", "table", name, TABLES)
            elif not isinstance(table, dict):
                cure = f'Write [tables.{name}] and under it file = "…".'
                self.tell(f"tables.{name}", f"[tables] {name}", "Must be a section.", cure)
            else:
                spec = self._table(name, table, roles.get(name, {}), codes.get(name, {}))
                found[name] = replace(spec, derive=derive.get(name, ()))
        return found

    def _table(self, name: str, table: Section, roles: Section, codes: Section) -> TableSpec:
        at = f"tables.{name}"
        values = self.keys(table, at, TABLE_KEYS)
        outside = self.allow_outside or values.get("allow_outside", False)
        if "file" not in table:
            self.tell(at, f"[{at}]", "No file given.", 'Add file = "….sav".')
        for key in ("file", "codebook"):
            if key in values:
                self._check_file(values[key], f"{at}.{key}", f"[{at}] {key}", outside)
        return TableSpec(
            name=name,
            file=values.get("file", ""),
            key=values.get("key", ()),
            roles=roles,
            missing=codes,
            where=self._where(values.get("where", []), at),
            options={k: v for k, v in values.items() if k not in TABLE_FIELDS},
        )

    def _check_file(self, name: str, at: str, where: str, outside: bool) -> None:
        folder = self.path.parent.resolve()
        try:
            target = (folder / name).resolve()
            inside = target.is_relative_to(folder)
            is_file, is_dir = target.is_file(), target.is_dir()
        except (OSError, ValueError, RuntimeError):
            self.tell(at, where, f"{short(name)} is not the name of a file.")
            return
        if not inside and not outside:
            cure = "Move the file there, or add allow_outside = true to the table."
            self.tell(at, where, f"{short(name)} is outside the study file's folder.", cure)
        elif is_dir:
            self.tell(at, where, f"{short(name)} is a folder.", "Name the file in it.")
        elif not is_file:
            cure = near_file(target).strip() or "Files are named relative to the study file."
            if "\\" in name:
                cure += " Separate folders by / rather than \\."
            self.tell(at, where, f"No file {short(name)}.", cure)

    def _where(self, rows: Any, at: str) -> tuple[tuple[str, str, float | str], ...]:
        where, form = f"[{at}] where", '[["column", "==", 1]]'
        found = []
        for row in rows:
            if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
                self.tell(f"{at}.where", where, "Each filter is [column, operator, value].", form)
            elif row[1] not in OPERATORS:
                cure = f"Known: {' '.join(OPERATORS)}."
                self.tell(f"{at}.where", where, "Not an operator between column and value.", cure)
            elif fault(row[2], Key("", float)) and not isinstance(row[2], str):
                self.tell(f"{at}.where", where, "A filter compares with a number or text.", form)
            else:
                found.append((row[0], row[1], row[2]))
        return tuple(found)

    def _roles(self, document: Section, tables: Section) -> dict[str, Section]:
        sections = self._by_table(self.section(document, "roles"), "roles", tables)
        return {name: self._table_roles(name, given) for name, given in sections.items()}

    def _table_roles(self, table: str, given: Section) -> dict[str, str | tuple[str, ...]]:
        many = self._known_roles(table)
        found: dict[str, str | tuple[str, ...]] = {}
        for role, columns in given.items():
            at, where = f"roles.{table}.{role}", f"[roles.{table}] {short(role, quotes=False)}"
            if role not in many:
                self.unknown(at, where, f"role of table {table!r}", role, many)
            elif self.fits(columns, Key(role, str, many=True), at, where):
                names = tuple(columns) if isinstance(columns, list) else (columns,)
                if len(names) > 1 and not many[role]:
                    self.tell(at, where, "Takes one column.", "Name one of them.")
                found[role] = names if many[role] and isinstance(columns, list) else names[:1][0]
        return found

    def _known_roles(self, table: str) -> dict[str, bool]:
        """The roles of `table`, each with whether it takes several columns."""
        known = {name: role.many for name, role in roles_of(table).items()}
        for options in self.analyses.values():
            for option in options.values():
                if option.column and option.table == table:
                    role = option.role or option.name
                    known[role] = known.get(role, False) or option.many
        return known

    def _codes(self, codes: Section, tables: Section) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for table, columns in self._by_table(codes, "missing.codes", tables).items():
            at = f"missing.codes.{table}"
            keys = [Key(column, object, many=True) for column in columns]
            found[table] = self.keys(columns, at, keys)
        return found

    def _derived(self, document: Section, tables: Section) -> dict[str, tuple[Derived, ...]]:
        """Columns made from others; read only where there are some, as the endpoints are large."""
        given = self._by_table(self.section(document, "derive"), "derive", tables)
        return {table: tuple(self._derive(table, columns)) for table, columns in given.items()}

    def _derive(self, table: str, columns: Section) -> Iterator[Derived]:
        from recovery_stats.data.derive import derived

        for name, body in columns.items():
            at, where = f"derive.{table}.{name}", f"[derive.{table}] {short(name, quotes=False)}"
            if not isinstance(body, dict):
                self.tell(at, where, "Must be a section.", 'Write { cross = ["a", "b"] }.')
                continue
            spec, faults = derived(name, body)
            for message in faults:
                self.tell(at, where, message)
            if spec:
                yield spec

    def _by_table(self, given: Section, at: str, tables: Section) -> dict[str, Section]:
        """The subsections of `given`, one a table; those of no declared table are told."""
        found: dict[str, Section] = {}
        for name, section in given.items():
            path, where = f"{at}.{name}", f"[{at}] {short(name, quotes=False)}"
            if not isinstance(section, dict):
                cure = f"Say of which table: [{at}.persons] on a line of its own, then the key."
                self.tell(path, where, "Must stand under a table.", cure)
            elif name not in tables:
                what = "table in [tables]"
                self.unknown(path, where, what, name, tables)
            else:
                found[name] = section
        return found

    # --- analyses

    def _analyses(
        self, document: Section, tables: Mapping[str, TableSpec]
    ) -> tuple[AnalysisSpec, ...]:
        given = document.get("analysis", [])
        if isinstance(given, dict) or not isinstance(given, list):
            self.tell("analysis", "[analysis]", "Must be a list.", "Write [[analysis]].")
            return ()
        if not given:
            cure = f'Add [[analysis]] and under it kind = "…", one of {self._kinds()}.'
            self.tell("", "[[analysis]]", "No analysis given.", cure)
        found = [self._analysis(number, one, tables) for number, one in enumerate(given)]
        return self._unique([a for a in found if a])

    def _kinds(self) -> str:
        return ", ".join(self.analyses)

    def _analysis(
        self, number: int, given: Any, tables: Mapping[str, TableSpec]
    ) -> AnalysisSpec | None:
        at = f"analysis.{number}"
        if not isinstance(given, dict):
            self.tell(at, "[[analysis]]", "Must be a section.", "Write [[analysis]] on a line.")
            return None
        kind = given.get("kind")
        if not isinstance(kind, str):
            cure = f"Add kind = one of {self._kinds()}."
            self.tell(f"{at}.kind", "[[analysis]] kind", "No kind given.", cure)
            return None
        if kind not in self.analyses:
            self.unknown(f"{at}.kind", "[[analysis]] kind", "analysis", kind, self.analyses)
            return None
        specs = self.analyses[kind]
        options = self._options(number, kind, given, specs)
        name = self._name(at, given.get("name", kind), kind)
        analysis = AnalysisSpec(kind, name, options, self.line(at))
        self._check_covariates(at, analysis, specs, tables)
        return analysis

    def _name(self, at: str, name: Any, kind: str) -> str:
        if isinstance(name, str) and ANALYSIS_NAME.fullmatch(name):
            return name
        cure = "Letters, digits, - and _ (it becomes the name of the report's file)."
        self.tell(f"{at}.name", "[[analysis]] name", "Cannot be a name.", cure)
        return kind

    def _options(
        self, number: int, kind: str, given: Section, specs: Mapping[str, OptionSpec]
    ) -> dict[str, Any]:
        keys = {name: _option_key(spec) for name, spec in specs.items()}
        found: dict[str, Any] = {}
        for name, value in given.items():
            at, where = f"analysis.{number}.{name}", f"[[analysis]] {short(name, quotes=False)}"
            if name in ("kind", "name"):
                continue
            if name not in keys:
                self.unknown(at, where, f"option of {kind!r}", name, ("kind", "name", *keys))
            elif self.fits(value, keys[name], at, where):
                found[name] = plain(value, keys[name])
        return found

    def _check_covariates(
        self,
        at: str,
        analysis: AnalysisSpec,
        specs: Mapping[str, OptionSpec],
        tables: Mapping[str, TableSpec],
    ) -> None:
        """An outcome that is also adjusted for explains itself."""
        taken = {n: _columns(analysis, s, tables) for n, s in specs.items() if s.column}
        covariates = set(taken.pop("adjust", ()))
        for name, columns in taken.items():
            both = sorted(covariates.intersection(columns))
            if both and name in OUTCOME_OPTIONS:
                where = f"[[analysis]] {analysis.name}"
                message = f"Column {both[0]!r} is {name} and also a covariate to adjust for."
                self.tell(f"{at}.adjust", where, message, "Take it out of adjust.")

    def _unique(self, analyses: Sequence[AnalysisSpec]) -> tuple[AnalysisSpec, ...]:
        seen: set[str] = set()
        for analysis in analyses:
            folded = analysis.name.casefold()  # two files may not differ by case alone
            if folded in seen:
                where, message = "[[analysis]]", f"Two analyses are called {analysis.name!r}."
                cure = 'Give one of them a name = "…" of its own.'
                self.problems.append(Problem(analysis.line, where, message, cure))
            seen.add(folded)
        return tuple(analyses)


OUTCOME_OPTIONS = frozenset({"outcome", "time", "event", "satisfaction", "arm", "frequency"})


def _option_key(option: OptionSpec) -> Key:
    if option.name == "level":
        return LEVEL
    if option.name == "seed":
        return SEED
    # A level may be given by its code: reference = 0 says the same as reference = "0".
    free = option.type is str and not option.column and not option.choices
    return Key(option.name, object if free else option.type, option.choices, option.many)


def _columns(
    analysis: AnalysisSpec, option: OptionSpec, tables: Mapping[str, TableSpec]
) -> tuple[str, ...]:
    """The columns an option stands for: its own, else those that play its role."""
    table = tables.get(option.table)
    default = table.roles.get(option.role or option.name, ()) if table else ()
    value = analysis.options.get(option.name, default)
    return (value,) if isinstance(value, str) else tuple(value)
