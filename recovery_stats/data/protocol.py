"""study.toml: text to Protocol. Every fault is collected and told at once, with line and cure.

Nothing in the file is ever evaluated: a string is a name, a level or a word of a report.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from recovery_stats.core.study import PROFILES, AnalysisSpec, Privacy, Protocol, TableSpec
from recovery_stats.data import toml_position
from recovery_stats.data.problem import Problem, ProtocolError, listed
from recovery_stats.data.role import TABLES, roles_of
from recovery_stats.errors import UsageError, nearest

__all__ = ["OptionSpec", "Problem", "ProtocolError", "listed", "read_protocol"]

LARGEST = 1_000_000  # bytes; a study file of a thousand roles has 50,000
SCHEMA = 1
FORMATS = ("html", "md", "docx", "json", "csv", "pdf")
WEIGHT_USES = ("none", "sampling", "frequency")
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
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
    raw = _read_bytes(path)
    text = _decode(raw, path.name)
    lines, document = _parse(text, path.name)
    reading = _Reading(path, lines, analyses, allow_outside)
    protocol = reading.protocol(document, tuple(formats))
    if reading.problems:
        raise ProtocolError(sorted(reading.problems, key=lambda p: p.line), path.name)
    return replace(protocol, sha256=sha256(raw).hexdigest(), file=path.name, lines=reading.lines)


# --- bytes to document ---------------------------------------------------------------------


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the study file in it (study.toml).")
    if not path.exists():
        raise UsageError(f"No study file {str(path)!r}.{_near_file(path)}")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file.")
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    if len(raw) > LARGEST:
        raise _single(path.name, 0, f"The study file is larger than {LARGEST // 1000} kB.")
    return raw


def _decode(raw: bytes, file: str) -> str:
    if 0 in raw:
        line = raw[: raw.index(0)].count(b"\n") + 1
        raise _single(file, line, "A null byte: this is not a text file.", "Save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _single(file, line, "Not UTF-8 text.", "Save the file as UTF-8.") from error


def _parse(text: str, file: str) -> tuple[Mapping[str, int], dict[str, Any]]:
    try:
        lines = {".".join(map(str, k)): n for k, n in toml_position.positions(text).items()}
        return lines, tomllib.loads(text)
    except toml_position.TooDeep as error:
        raise _single(file, error.line, str(error)) from error
    except RecursionError as error:
        raise _single(file, 0, "Nested too deep.") from error
    except ValueError as error:
        message, line = _toml_fault(str(error), text)
        cure = "Text needs quotes, a list needs brackets, a key stands once in its section."
        raise _single(file, line, f"Not valid TOML: {message}.", cure) from error


def _toml_fault(message: str, text: str) -> tuple[str, int]:
    """Split '… (at line 3, column 5)' as tomllib writes it; shorten what it quotes."""
    if message.endswith("(at end of document)"):
        return message.removesuffix(" (at end of document)")[:200], text.rstrip().count("\n") + 1
    if "integer string" in message:
        return "a number of thousands of digits", 0
    found = re.search(r"\s*\(at line (\d+), column (\d+)\)$", message)
    if not found:
        return message[:200], 0
    return f"{message[: found.start()][:200]} at column {found[2]}", int(found[1])


def _single(file: str, line: int, message: str, cure: str = "") -> ProtocolError:
    return ProtocolError((Problem(line, "", message, cure),), file)


def _near_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f" There is no folder {str(path.parent)!r}."
    close = nearest(path.name, names)
    return f" Did you mean {close!r}?" if close else ""


# --- the keys of each section --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: the type of its value, and what else must hold."""

    name: str
    type: type
    choices: tuple[str, ...] = ()
    many: bool = False
    low: float | None = None
    above: float | None = None
    below: float | None = None


LEVEL = Key("level", float, above=0, below=1)
SEED = Key("seed", int, low=0)

STUDY_KEYS = (Key("title", str), Key("population", str), Key("synthetic", bool))
MISSING_KEYS = (Key("structural", float, many=True), Key("codes", dict))
PRIVACY_KEYS = (
    Key("profile", str, choices=tuple(PROFILES)),
    Key("minimum", int, low=1),
    Key("round_to", int, low=1),
    Key("hide_zero", bool),
    Key("grid_events", int, low=1),
)
TABLE_KEYS = (
    Key("file", str),
    Key("key", str, many=True),
    Key("where", list),
    Key("weight", str, choices=WEIGHT_USES),
    Key("event_code", object),  # which value of the event column means relapse, when not 1
    Key("allow_outside", bool),
    Key("codebook", str),
    Key("delimiter", str),
    Key("decimal", str, choices=(".", ",")),
    Key("encoding", str),
    Key("skip_rows", int, low=0),
)
TABLE_FIELDS = frozenset({"file", "key", "where"})
TOP = ("schema", "study", "tables", "roles", "missing", "privacy", "analysis", "report")

_TYPE_WORDS = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a section",
}


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
        self.tell(at, where, f"No {what} named {_short(name)}.", cure)

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
                self.unknown(name, f"[{_short(name, quotes=False)}]", "section", name, TOP)
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
            path, where = f"{at}.{name}", f"[{at}] {_short(name, quotes=False)}"
            if name not in specs:
                self.unknown(path, where, "key", name, specs)
            elif self.fits(value, specs[name], path, where):
                found[name] = _plain(value, specs[name])
        return found

    def fits(self, value: Any, key: Key, at: str, where: str) -> bool:
        """Say whether `value` is what `key` takes; tell when it is not."""
        items = value if key.many and isinstance(value, list) else [value]
        faults = [fault for item in items if (fault := _fault(item, key))]
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
                found[name] = self._table(name, table, roles.get(name, {}), codes.get(name, {}))
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
            self.tell(at, where, f"{_short(name)} is not the name of a file.")
            return
        if not inside and not outside:
            cure = "Move the file there, or add allow_outside = true to the table."
            self.tell(at, where, f"{_short(name)} is outside the study file's folder.", cure)
        elif is_dir:
            self.tell(at, where, f"{_short(name)} is a folder.", "Name the file in it.")
        elif not is_file:
            cure = _near_file(target).strip() or "Files are named relative to the study file."
            if "\\" in name:
                cure += " Separate folders by / rather than \\."
            self.tell(at, where, f"No file {_short(name)}.", cure)

    def _where(self, rows: Any, at: str) -> tuple[tuple[str, str, float | str], ...]:
        where, form = f"[{at}] where", '[["column", "==", 1]]'
        found = []
        for row in rows:
            if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
                self.tell(f"{at}.where", where, "Each filter is [column, operator, value].", form)
            elif row[1] not in OPERATORS:
                cure = f"Known: {' '.join(OPERATORS)}."
                self.tell(f"{at}.where", where, "Not an operator between column and value.", cure)
            elif _fault(row[2], Key("", float)) and not isinstance(row[2], str):
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
            at, where = f"roles.{table}.{role}", f"[roles.{table}] {_short(role, quotes=False)}"
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

    def _by_table(self, given: Section, at: str, tables: Section) -> dict[str, Section]:
        """The subsections of `given`, one a table; those of no declared table are told."""
        found: dict[str, Section] = {}
        for name, section in given.items():
            path, where = f"{at}.{name}", f"[{at}] {_short(name, quotes=False)}"
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
            at, where = f"analysis.{number}.{name}", f"[[analysis]] {_short(name, quotes=False)}"
            if name in ("kind", "name"):
                continue
            if name not in keys:
                self.unknown(at, where, f"option of {kind!r}", name, ("kind", "name", *keys))
            elif self.fits(value, keys[name], at, where):
                found[name] = _plain(value, keys[name])
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

# --- values --------------------------------------------------------------------------------


def _option_key(option: OptionSpec) -> Key:
    if option.name == "level":
        return LEVEL
    if option.name == "seed":
        return SEED
    # A level may be given by its code: reference = 0 says the same as reference = "0".
    free = option.type is str and not option.column and not option.choices
    return Key(option.name, object if free else option.type, option.choices, option.many)


def _fault(value: Any, key: Key) -> str:
    """What is wrong with one value, or nothing."""
    if not _has_type(value, key.type):
        several = " (or a list of them)" if key.many else ""
        return f"Must be {_TYPE_WORDS.get(key.type, 'a number or text')}{several}."
    if key.choices and value not in key.choices:
        close = nearest(str(value), key.choices)
        hint = f" Did you mean {close!r}?" if close else ""
        return f"{_short(str(value))} is none of {', '.join(key.choices)}.{hint}"
    if key.type is str and not value.strip() and key.name != "delimiter":
        return "Must not be empty."
    return _range_fault(value, key)


def _range_fault(value: Any, key: Key) -> str:
    if key.low is not None and not value >= key.low:
        return f"Must be {key.low:g} or more."
    if key.above is not None and key.below is not None and not key.above < value < key.below:
        return f"Must lie between {key.above:g} and {key.below:g}."
    return ""


def _has_type(value: Any, wanted: type) -> bool:
    if wanted is float:
        return type(value) in (int, float) and abs(value) < float("inf")
    if wanted is object:
        return isinstance(value, str) or _has_type(value, float)
    return type(value) is wanted


def _plain(value: Any, key: Key) -> Any:
    """The value as the Protocol holds it: lists as tuples, level and codes as float."""
    if key.many:
        items = value if isinstance(value, list) else [value]
        return tuple(_plain(item, replace(key, many=False)) for item in items)
    return float(value) if key.type is float else value


def _columns(
    analysis: AnalysisSpec, option: OptionSpec, tables: Mapping[str, TableSpec]
) -> tuple[str, ...]:
    """The columns an option stands for: its own, else those that play its role."""
    table = tables.get(option.table)
    default = table.roles.get(option.role or option.name, ()) if table else ()
    value = analysis.options.get(option.name, default)
    return (value,) if isinstance(value, str) else tuple(value)


def _short(name: str, *, quotes: bool = True) -> str:
    """A name from the file, cut and without control characters, for a message on a screen."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    clean = clean if len(clean) <= 60 else clean[:59] + "…"
    return repr(clean) if quotes else clean
