"""study.toml: text to Protocol. Every fault is collected and told at once, with line and cure.

Nothing in the file is ever evaluated: a string is a name, a level or a word of a report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from recovery_stats.core.study import PROFILES, AnalysisSpec, Privacy, Protocol, TableSpec
from recovery_stats.data.problem import Problem, ProtocolError, listed
from recovery_stats.data.protocol_key import (
    FORMATS,
    LEVEL,
    MISSING_KEYS,
    PRIVACY_KEYS,
    SCHEMA,
    SEED,
    STUDY_KEYS,
    TOP,
    Key,
    plain,
    short,
)
from recovery_stats.data.protocol_lock import content_of, read_lock
from recovery_stats.data.protocol_reading import Kinds, OptionSpec, Reading, Section
from recovery_stats.data.protocol_table import read_tables
from recovery_stats.data.protocol_text import decode, parse, read_bytes

__all__ = ["OptionSpec", "Problem", "ProtocolError", "listed", "read_protocol"]

OUTCOME_OPTIONS = frozenset({"outcome", "time", "event", "satisfaction", "arm", "frequency"})
ANALYSIS_PLACE = re.compile(r"analysis\.\d+")
PARTS_OF_A_TABLE = ("tables", "missing.codes", "derive")  # without them its values mislead
ANALYSIS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


def read_protocol(
    path: str | Path,
    *,
    analyses: Kinds,
    formats: Collection[str] = FORMATS,
    allow_outside: bool = False,
    data_to_come: bool = False,
) -> Protocol:
    """Read the study file at `path`; `analyses` gives the options that each kind has.

    allow_outside: tables may lie outside the folder of the study file; it cannot say so itself.
    data_to_come: their files need not be there yet. What was locked beforehand is read as well.
    Raises ProtocolError (a UsageError) that lists every fault; its `.problems` has them one by
    one. Tables are not opened: that their files exist is all that is looked at.
    """
    path = Path(path)
    raw = read_bytes(path)
    text = decode(raw, path.name)
    lines, document = parse(text, path.name)
    reading = Reading(path, lines, analyses, allow_outside, data_to_come)
    protocol = _protocol(reading, document, tuple(formats))
    protocol = replace(
        protocol, sha256=sha256(raw).hexdigest(), file=path.name, lines=reading.lines
    )
    if reading.problems:
        problems = sorted(reading.problems, key=lambda p: p.line)
        raise ProtocolError(problems, path.name, _sound(reading, protocol), _doubtful(reading))
    content = content_of(document)
    return replace(protocol, content=content, lock=read_lock(path, content))


def _sound(reading: Reading, protocol: Protocol) -> Protocol:
    """The tables in which nothing is wrong, and the analyses: one fault hides no other."""
    whole = ("tables", "missing", "missing.codes", "derive")
    tables = {
        name: spec
        for name, spec in protocol.tables.items()
        if reading.told.isdisjoint(whole)
        and not reading.at_fault(*(f"{section}.{name}" for section in PARTS_OF_A_TABLE))
    }
    return replace(protocol, tables=tables, lines=_renumbered(reading.lines, protocol.analyses))


def _renumbered(lines: Mapping[str, int], kept: Sequence[AnalysisSpec]) -> dict[str, int]:
    """The lines of the analyses under their places among those `kept`."""
    place = {spec.line: f"analysis.{number}" for number, spec in enumerate(kept)}
    found = {at: line for at, line in lines.items() if not at.startswith("analysis.")}
    for at, line in lines.items():
        head = ".".join(at.split(".")[:2])
        if ANALYSIS_PLACE.fullmatch(head) and lines[head] in place:
            found[place[lines[head]] + at.removeprefix(head)] = line
    return found


def _doubtful(reading: Reading) -> frozenset[int]:
    """The lines of the analyses whose options may not be as they were meant."""
    given = {at: line for at, line in reading.lines.items() if ANALYSIS_PLACE.fullmatch(at)}
    told = {".".join(at.split(".")[:2]) for at in reading.told}
    roles = reading.at_fault("roles")
    return frozenset(line for at, line in given.items() if roles or at in told)


def _protocol(reading: Reading, document: Section, formats: tuple[str, ...]) -> Protocol:
    _check_top(reading, document)
    study = reading.keys(reading.section(document, "study"), "study", STUDY_KEYS)
    missing = reading.keys(reading.section(document, "missing"), "missing", MISSING_KEYS)
    report_keys = (LEVEL, SEED, Key("formats", str, choices=formats, many=True))
    report = reading.keys(reading.section(document, "report"), "report", report_keys)
    tables = read_tables(reading, document, missing.get("codes", {}))
    return Protocol(
        title=study.get("title", ""),
        population=study.get("population", Protocol().population),
        synthetic=study.get("synthetic", False),
        tables=tables,
        analyses=_analyses(reading, document, tables),
        privacy=_privacy(reading, document),
        structural=missing.get("structural", ()),
        **report,
    )


def _check_top(reading: Reading, document: Section) -> None:
    for name in document:
        if name not in TOP:
            reading.unknown(name, f"[{short(name, quotes=False)}]", "section", name, TOP)
    schema = document.get("schema", SCHEMA)
    if type(schema) is not int or schema != SCHEMA:
        cure = f"This version reads schema = {SCHEMA}."
        reading.tell("schema", "schema", "A form of study file that is not known.", cure)


def _privacy(reading: Reading, document: Section) -> Privacy:
    found = reading.keys(reading.section(document, "privacy"), "privacy", PRIVACY_KEYS)
    return replace(PROFILES[found.pop("profile", "cms")], **found)


def _analyses(
    reading: Reading, document: Section, tables: Mapping[str, TableSpec]
) -> tuple[AnalysisSpec, ...]:
    given = document.get("analysis", [])
    if not isinstance(given, list):
        cure = "Write [[analysis]] in two brackets: there may be several."
        reading.tell("analysis", "[analysis]", "Must be a list.", cure)
        given = [given]
    if not given:
        cure = f'Add [[analysis]] and under it kind = "…", one of {_kinds(reading)}.'
        reading.tell("", "[[analysis]]", "No analysis given.", cure)
    found = [_analysis(reading, number, one, tables) for number, one in enumerate(given)]
    return _unique(reading, [a for a in found if a])


def _kinds(reading: Reading) -> str:
    return ", ".join(reading.analyses)


def _analysis(
    reading: Reading, number: int, given: Any, tables: Mapping[str, TableSpec]
) -> AnalysisSpec | None:
    at = f"analysis.{number}"
    if not isinstance(given, dict):
        reading.tell(at, "[[analysis]]", "Must be a section.", "Write [[analysis]] on a line.")
        return None
    kind = given.get("kind")
    if not isinstance(kind, str):
        cure = f"Add kind = one of {_kinds(reading)}."
        reading.tell(f"{at}.kind", "[[analysis]] kind", "No kind given.", cure)
        return None
    if kind not in reading.analyses:
        reading.unknown(f"{at}.kind", "[[analysis]] kind", "analysis", kind, reading.analyses)
        return None
    specs = reading.analyses[kind]
    options = _options(reading, number, kind, given, specs)
    name = _name(reading, at, given.get("name", kind), kind)
    analysis = AnalysisSpec(kind, name, options, reading.line(at))
    _check_covariates(reading, at, analysis, specs, tables)
    return analysis


def _name(reading: Reading, at: str, name: Any, kind: str) -> str:
    if isinstance(name, str) and ANALYSIS_NAME.fullmatch(name) and name.lower() != "index":
        return name
    cure = (
        "Letters, digits, - and _ (it becomes the name of the report's file; "
        "'index' is that of the page over all reports)."
    )
    reading.tell(f"{at}.name", "[[analysis]] name", "Cannot be a name.", cure)
    return kind


def _options(
    reading: Reading, number: int, kind: str, given: Section, specs: Mapping[str, OptionSpec]
) -> dict[str, Any]:
    keys = {name: _option_key(spec) for name, spec in specs.items()}
    found: dict[str, Any] = {}
    for name, value in given.items():
        at, where = f"analysis.{number}.{name}", f"[[analysis]] {short(name, quotes=False)}"
        if name in ("kind", "name"):
            continue
        if name not in keys:
            reading.unknown(at, where, f"option of {kind!r}", name, ("kind", "name", *keys))
        elif reading.fits(value, keys[name], at, where):
            found[name] = plain(value, keys[name])
    return found


def _check_covariates(
    reading: Reading,
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
            reading.tell(f"{at}.adjust", where, message, "Take it out of adjust.")


def _unique(reading: Reading, analyses: Sequence[AnalysisSpec]) -> tuple[AnalysisSpec, ...]:
    seen: set[str] = set()
    for analysis in analyses:
        folded = analysis.name.casefold()  # two files may not differ by case alone
        if folded in seen:
            where, message = "[[analysis]]", f"Two analyses are called {analysis.name!r}."
            cure = 'Give one of them a name = "…" of its own.'
            reading.problems.append(Problem(analysis.line, where, message, cure))
        seen.add(folded)
    return tuple(analyses)


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
