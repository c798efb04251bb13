"""Files to Study: read each file once, apply the protocol's missing codes and row filters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from recovery_stats import analyses
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import PROFILES, Privacy, Protocol, Study, TableSpec
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.study.binding import Option, options_of

if TYPE_CHECKING:
    from recovery_stats.data.protocol import OptionSpec
    from recovery_stats.data.rules import Use
    from recovery_stats.data.table import TextForm

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PATTERN = "pattern"  # of a multiverse: the column of the patterns of visits
TEXT_OPTIONS = ("codebook", "delimiter", "skip_rows")


def read_study(path: str | Path, *, allow_outside: bool = False, prune: bool = False) -> Study:
    """Read the study file at `path` and the tables it names; the rules are checked.

    allow_outside: tables may lie outside the study file's folder. prune: read only the columns
    that the study file mentions. Raises UsageError for the study file, DataError for the data.
    """
    from recovery_stats.data.rules import enforce

    study = load_study(path, allow_outside=allow_outside, prune=prune)
    return replace(study, checks=(*study.checks, *enforce(study, uses_of(study))))


def load_study(path: str | Path, *, allow_outside: bool = False, prune: bool = False) -> Study:
    """Read as `read_study` does, and leave the rules of the data unchecked."""
    path = Path(path)
    protocol = protocol_of(path, allow_outside=allow_outside)
    tables = _read_tables(protocol, path.parent, columns_used(protocol) if prune else None)
    if prune and _names_unknown(protocol, tables):
        tables = _read_tables(protocol, path.parent, None)  # to say which columns there are
    return completed(Study(tables, protocol))


def protocol_of(path: Path, *, allow_outside: bool = False, data_to_come: bool = False) -> Protocol:
    """Read the study file alone; ProtocolError with every fault of it."""
    from recovery_stats.data.protocol import read_protocol
    from recovery_stats.report import FORMATS

    _refuse_absent(path)
    return read_protocol(
        path,
        analyses=kinds(),
        formats=tuple(FORMATS),
        allow_outside=allow_outside,
        data_to_come=data_to_come,
    )


def completed(study: Study) -> Study:
    """What the tables need of one another, once they are read: weights, events, people.

    What was noticed in scoring questionnaires joins the checks.
    """
    from recovery_stats.data.rules import recode_events
    from recovery_stats.data.weight import with_file_weights

    study = replace(study, checks=(*study.checks, *_of_questionnaires(study)))
    return _people_of_a_shared_file(recode_events(with_file_weights(study)))


def _of_questionnaires(study: Study) -> tuple[Check, ...]:
    """The checks of columns that the study file scores; reliabilities load for these only."""
    if not any(d.scoring for spec in study.protocol.tables.values() for d in spec.derive):
        return ()
    from recovery_stats.study.scoring_check import scoring_checks

    return tuple(scoring_checks(study))


def _people_of_a_shared_file(study: Study) -> Study:
    """One row a person where the persons stand in a file that serves another table too."""
    from recovery_stats.data.one_row import one_row_a_person

    files = [spec.file for spec in study.protocol.tables.values()]
    persons = study.protocol.tables.get("persons")
    if persons is None or files.count(persons.file) < 2:
        return study
    return one_row_a_person(study, (u.column for u in uses_of(study) if u.table == "persons"))


def _read_tables(
    protocol: Protocol, folder: Path, wanted: frozenset[str] | None
) -> dict[str, Dataset]:
    read = Reader(folder, wanted)
    found: dict[str, Dataset] = {}
    for spec in in_order(protocol):
        found[spec.name] = prepared(read(spec), spec, found)
    return found


def in_order(protocol: Protocol) -> list[TableSpec]:
    """The tables, one with patterns made from another after it."""
    return sorted(protocol.tables.values(), key=lambda s: any(d.source for d in s.derive))


def _names_unknown(protocol: Protocol, tables: Mapping[str, Dataset]) -> bool:
    """Whether an analysis names a column that no table has."""
    known = {str(c) for data in tables.values() for c in data.frame.columns}
    return any(
        column not in known
        for analysis in protocol.analyses
        for option in options_of(analyses.get(analysis.kind).question)
        if option.column
        for column in several(analysis.options.get(option.name, ()))
    ) or any(a.options.get(PATTERN, "") not in {*known, ""} for a in protocol.analyses)


def _refuse_absent(path: Path) -> None:
    """Say that there is no study file before the analyses load, which takes a second."""
    from recovery_stats.data.protocol_text import read_bytes

    read_bytes(path)


def kinds() -> dict[str, dict[str, OptionSpec]]:
    """Every analysis with its options, as the reader of the study file wants them."""
    from recovery_stats.data.protocol import OptionSpec

    def spec(o: Option) -> OptionSpec:
        return OptionSpec(o.name, o.type, o.choices, o.many, o.column, o.table, o.role)

    from recovery_stats.study.multiverse import OPTIONS, takes_endpoints

    questions = {name: analyses.get(name).question for name in analyses.names()}
    many = {o.name: o for o in OPTIONS}
    return {
        name: {o.name: spec(o) for o in options_of(q)} | (many if takes_endpoints(name) else {})
        for name, q in questions.items()
    }


def uses_of(study: Study) -> tuple[Use, ...]:
    """The columns that the analyses of the study file name by option rather than by role."""
    from recovery_stats.data.rules import Use

    found = []
    for number, spec in enumerate(study.protocol.analyses):
        for option in options_of(analyses.get(spec.kind).question):
            given = spec.options.get(option.name)
            if option.column and given and option.table in study:
                at = f"analysis.{number}.{option.name}"
                found += [Use(option.table, option.role, c, at) for c in several(given)]
    return tuple(found)


def columns_used(protocol: Protocol) -> frozenset[str]:
    """Every column name that the protocol or an option's default mentions, in any table."""
    names = {c for spec in protocol.tables.values() for c in _declared(spec)}
    sources = (d.source for spec in protocol.tables.values() for d in spec.derive if d.source)
    names.update(c for source in sources for c in (source.result, source.time))
    for analysis in protocol.analyses:
        for option in options_of(analyses.get(analysis.kind).question):
            if option.column:
                names.update(several(analysis.options.get(option.name, ())))
                names.update(several(option.fallback or ()))
        names.update(several(analysis.options.get(PATTERN, ())))
    return frozenset(names)


def _declared(spec: TableSpec) -> frozenset[str]:
    """The columns that a table of the protocol names: roles, key, filters, sources of others."""
    made = {d.name for d in spec.derive}
    roles = {c for columns in spec.roles.values() for c in several(columns)}
    sources = {c for d in spec.derive for c in d.columns}
    filters = {column for column, _, _ in spec.where}
    return frozenset(({*spec.key, *spec.missing} | roles | sources | filters) - made - {"*"})


def several(columns: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several as a tuple of names."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


@dataclass(slots=True)
class Reader:
    """Reads each file once, however many tables it serves; only `wanted` columns where given."""

    folder: Path
    wanted: frozenset[str] | None = None
    read: dict[tuple[Path, str], Dataset] = field(default_factory=dict)

    def __call__(self, spec: TableSpec) -> Dataset:
        path = self.folder / spec.file
        key = (path.resolve(), repr(sorted(spec.options.items())))
        if key not in self.read:
            self.read[key] = self._dataset(path, spec)
        return self.read[key]

    def _dataset(self, path: Path, spec: TableSpec) -> Dataset:
        from recovery_stats.data.table import TextForm, read_table

        how = {k: v for k, v in spec.options.items() if k in TEXT_OPTIONS}
        if "codebook" in how:
            how["codebook"] = self.folder / how["codebook"]
        form = TextForm(**how)
        return read_table(path, _pruned(path, spec, form, self.wanted), form)


def _pruned(
    path: Path, spec: TableSpec, form: TextForm, wanted: frozenset[str] | None
) -> list[str] | None:
    """The wanted columns; None (all) where the table declares one that is not there.

    Then whoever tells of the missing one can list those there are.
    """
    from recovery_stats.data.table import column_names

    if wanted is None or not path.is_file():
        return None
    there = column_names(path, form)
    if not _declared(spec) <= set(there):
        return None
    wanted |= _items(there, spec)
    return [name for name in there if name in {*wanted, *_weight(path)}] or None


def _items(there: Sequence[str], spec: TableSpec) -> frozenset[str]:
    """The items of the questionnaires that the table scores."""
    if not any(d.scoring for d in spec.derive):
        return frozenset()
    from recovery_stats.data.derive_score import items_among

    return items_among(there, spec.derive)


def _weight(path: Path) -> tuple[str, ...]:
    """The weight variable of an SPSS file."""
    from recovery_stats.data.sav_codebook import read_dictionary
    from recovery_stats.data.signature import kind_of

    weight = read_dictionary(path).codebook.weight if kind_of(path) == "sav" else None
    return (weight,) if weight else ()


def prepared(
    dataset: Dataset, spec: TableSpec, tables: Mapping[str, Dataset] = MappingProxyType({})
) -> Dataset:
    """The table with its missing codes, the columns made from others, and the rows it keeps.

    tables: those made ready before, from which it may take patterns of visits.
    """
    from recovery_stats.data.derive import derive

    for column, codes in spec.missing.items():
        dataset = _without_codes(dataset, column, codes, spec.name)
    person = spec.roles.get("person") or next(iter(spec.key), "")
    dataset = derive(dataset, spec.derive, spec.name, tables, str(person))
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


def profile(name: str) -> Privacy:
    """The privacy rules of that name; UsageError with the nearest when there are none."""
    if name not in PROFILES:
        raise UsageError(unknown("privacy profile", name, PROFILES))
    return PROFILES[name]
