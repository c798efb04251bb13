"""Files to Study: read each file once, apply the protocol's missing codes and row filters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recovery_stats import analyses
from recovery_stats.core.codebook import MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import PROFILES, Privacy, Protocol, Study, TableSpec
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.study.binding import Option, options_of

if TYPE_CHECKING:
    from recovery_stats.data.protocol import OptionSpec
    from recovery_stats.data.rules import Use

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SHARED = ("person", "wave")  # roles of one column name in every table that has it
ONE_FILE = "data"


def read_study(path: str | Path, *, allow_outside: bool = False, prune: bool = False) -> Study:
    """Read the study file at `path` and the tables it names; the rules are checked.

    allow_outside: tables may lie outside the study file's folder. prune: read only the columns
    that the study file mentions. Raises UsageError for the study file, DataError for the data.
    """
    from recovery_stats.data.rules import enforce

    study = load_study(path, allow_outside=allow_outside, prune=prune)
    return replace(study, checks=enforce(study, uses_of(study)))


def load_study(path: str | Path, *, allow_outside: bool = False, prune: bool = False) -> Study:
    """Read as `read_study` does, and leave the rules of the data unchecked."""
    from recovery_stats.data.protocol import read_protocol
    from recovery_stats.data.rules import recode_events

    path = Path(path)
    protocol = read_protocol(path, analyses=kinds())
    wanted = columns_used(protocol) if prune else None
    tables: dict[str, Dataset] = {}
    read = _Reader()
    for name, spec in protocol.tables.items():
        dataset = read(path.parent / spec.file, spec, wanted)
        tables[name] = _prepared(dataset, spec)
    return recode_events(Study(tables, protocol))


def kinds() -> dict[str, dict[str, OptionSpec]]:
    """Every analysis with its options, as the reader of the study file wants them."""
    from recovery_stats.data.protocol import OptionSpec

    def spec(o: Option) -> OptionSpec:
        return OptionSpec(o.name, o.type, o.choices, o.many, o.column, o.table, o.role)

    questions = {name: analyses.get(name).question for name in analyses.names()}
    return {name: {o.name: spec(o) for o in options_of(q)} for name, q in questions.items()}


def uses_of(study: Study) -> tuple[Use, ...]:
    """The columns that the analyses of the study file name by option rather than by role."""
    from recovery_stats.data.rules import Use

    found = []
    for number, spec in enumerate(study.protocol.analyses):
        for option in options_of(analyses.get(spec.kind).question):
            given = spec.options.get(option.name)
            if option.column and given and option.table in study:
                at = f"analysis.{number}.{option.name}"
                found += [Use(option.table, option.role, c, at) for c in _several(given)]
    return tuple(found)


def columns_used(protocol: Protocol) -> frozenset[str]:
    """Every column name that the protocol or an option's default mentions, in any table."""
    names: set[str] = set()
    for spec in protocol.tables.values():
        names.update(c for columns in spec.roles.values() for c in _several(columns))
        names.update((*spec.key, *(column for column, _, _ in spec.where)))
    given = {s.kind: s.options for s in protocol.analyses}
    for kind, options in given.items():
        for option in (o for o in options_of(analyses.get(kind).question) if o.column):
            names.update(_several(options.get(option.name, ())))
            names.update(_several(option.fallback or ()))
    return frozenset(names)


def _several(columns: str | Iterable[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)


class _Reader:
    """Reads a file once, however many tables it serves."""

    def __init__(self) -> None:
        self._read: dict[tuple[Path, str], Dataset] = {}

    def __call__(self, path: Path, spec: TableSpec, wanted: frozenset[str] | None) -> Dataset:
        key = (path.resolve(), repr(sorted(spec.options.items())))
        if key not in self._read:
            self._read[key] = _read(path, spec, wanted)
        return self._read[key]


def _read(path: Path, spec: TableSpec, wanted: frozenset[str] | None) -> Dataset:
    """Read the columns wanted, or all of them where one of those does not exist.

    Then whoever names the missing one can list the columns there are.
    """
    from recovery_stats.data.table import read_table

    if wanted is None:
        return read_table(path)
    try:
        return read_table(path, columns=sorted(wanted))
    except DataError:
        return read_table(path)


def _prepared(dataset: Dataset, spec: TableSpec) -> Dataset:
    for column, codes in spec.missing.items():
        dataset = _without_codes(dataset, column, codes, spec.name)
    for column, sign, value in spec.where:
        dataset = _filtered(dataset, column, sign, value, spec)
    return dataset


def _without_codes(
    dataset: Dataset, column: str, codes: Sequence[float | str], table: str
) -> Dataset:
    """Make `codes` user-missing in `column` ("*": in every column that can hold them)."""
    if column != "*":
        dataset.require(column, table=table)
    for name in dataset.frame.columns if column == "*" else (column,):
        fitting = tuple(c for c in codes if _fits(dataset.variable(name), dataset.frame[name], c))
        dataset = _coded_missing(dataset, str(name), fitting)
    return dataset


def _fits(variable: Variable, values: Any, code: float | str) -> bool:
    """A number cannot be a missing code of text, nor text of numbers, nor either of dates."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values) or variable.kind in ("date", "datetime"):
        return False
    return isinstance(code, str) is not bool(pd.api.types.is_numeric_dtype(values))


def _coded_missing(dataset: Dataset, column: str, codes: Sequence[float | str]) -> Dataset:
    import pandas as pd

    values = dataset.frame[column]
    found = values.isin(list(codes))
    variable = dataset.variable(column)
    rule = variable.missing
    known = (*rule.codes, *(c for c in codes if c not in rule.codes))
    widened = replace(variable, missing=MissingRule(known, rule.low, rule.high))
    emptied = dataset.with_column(widened, values.mask(found)) if found.any() else dataset
    reasons = [dataset.missing[column]] if column in dataset.missing else []
    if found.any():
        reasons.append(values[found].astype(object))
    missing = {**dataset.missing, column: pd.concat(reasons).sort_index()} if reasons else None
    codebook = emptied.codebook.with_variables(widened) if codes else emptied.codebook
    return replace(emptied, codebook=codebook, missing=missing or dataset.missing)


def _filtered(
    dataset: Dataset, column: str, sign: str, value: float | str, spec: TableSpec
) -> Dataset:
    dataset.require(column, table=spec.name)
    values = dataset.frame[column]
    if sign not in ("==", "!=") and isinstance(value, str) != (values.dtype.kind not in "biuf"):
        raise DataError(f"Table {spec.name!r}: column {column!r} cannot be compared by {sign}.")
    rows = COMPARISONS[sign](values, value) & values.notna()
    reason = f"{dataset.label(column)} {sign} {dataset.variable(column).level(value)}"
    person = spec.roles.get("person")
    return dataset.keep(rows, reason, person=person if isinstance(person, str) else None)


# --- without a study file ------------------------------------------------------------------


def study_from_files(
    analysis: analyses.Analysis,
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    privacy: str = "cms",
) -> Study:
    """A study for one analysis from a file a table, or one file ("data") for everything.

    The columns that `options` name become roles, so that keys are known and rules apply.
    """
    from recovery_stats.data.rules import enforce

    paths = _paths(analysis, files, options)
    read = _Reader()
    tables = {name: read(path, TableSpec(name), None) for name, path in paths.items()}
    one = len(set(paths.values())) < len(paths)
    specs = {
        name: TableSpec(name, path.name, roles=_roles(name, analysis, options, tables[name], one))
        for name, path in paths.items()
    }
    study = Study(tables, Protocol(tables=specs, privacy=profile(privacy)))
    return replace(study, checks=enforce(study))


def profile(name: str) -> Privacy:
    """The privacy rules of that name; UsageError with the nearest when there are none."""
    if name not in PROFILES:
        raise UsageError(unknown("privacy profile", name, PROFILES))
    return PROFILES[name]


def _paths(
    analysis: analyses.Analysis, files: Mapping[str, Path], options: Mapping[str, Any]
) -> dict[str, Path]:
    """Which file is which table. One file serves the tables that an option speaks of."""
    if ONE_FILE not in files:
        if not files:
            flags = " and ".join(f"--{t}" for t in analysis.tables)
            raise UsageError(f"{analysis.name} needs data: --data FILE, or {flags}.")
        return dict(files)
    if len(files) > 1:
        raise UsageError("--data stands for every table; leave the other file options out.")
    spoken = {
        o.table
        for o in options_of(analysis.question)
        if o.column and (o.required or options.get(o.name))
    }
    served = [t for t in analysis.tables if t in spoken] or list(analysis.tables)[:1]
    return dict.fromkeys(served, files[ONE_FILE])


def _roles(
    table: str,
    analysis: analyses.Analysis,
    options: Mapping[str, Any],
    dataset: Dataset,
    one_file: bool,
) -> dict[str, str | tuple[str, ...]]:
    """The roles of `table` that options or their defaults fill with a column it has."""
    roles: dict[str, str | tuple[str, ...]] = {}
    for option in (o for o in options_of(analysis.question) if o.column):
        given = options.get(option.name) or option.fallback or ()
        shared = option.role in SHARED and table != option.table
        if option.table != table and not shared:
            continue
        names = tuple(c for c in _several(given) if c in dataset.frame.columns)
        if names and not (one_file and shared and option.role == "wave"):
            roles[option.role] = names if option.many else names[0]
    return roles
