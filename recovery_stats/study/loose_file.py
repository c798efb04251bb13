"""Files without a study file to a Study: the columns that the options of one analysis name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recovery_stats import analyses
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Privacy, Protocol, Study, TableSpec
from recovery_stats.errors import UsageError
from recovery_stats.study.binding import options_of
from recovery_stats.study.table import Reader, profile, several

if TYPE_CHECKING:
    from recovery_stats.data.rules import Use

SHARED = ("person", "wave", "house")  # roles of one column name in every table that has it
ONE_FILE = "data"
PEOPLE = "persons"


def study_from_files(
    analysis: analyses.Analysis,
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    privacy: str = "cms",
) -> Study:
    """A study for one analysis from a file a table, or one file ("data") for everything.

    The columns that `options` name become roles, so that keys are known and rules apply. Only
    these columns are read, and all where one of them is not there: to say which there are.
    """
    from recovery_stats.data.rules import enforce

    rules = profile(privacy)
    study = _read(analysis, files, options, rules, columns_named(analysis, options))
    if _absent(analysis, options, study) or _unfilled(analysis, options, study):
        study = _read(analysis, files, options, rules, None)
    absent = _absent(analysis, options, study)
    _require_files(analysis, options, study, {use.column for use in absent})
    return replace(study, checks=(*study.checks, *enforce(study, absent)))


def columns_named(analysis: analyses.Analysis, options: Mapping[str, Any]) -> frozenset[str]:
    """Every column that `options`, or the default of one, speak of, in any table."""
    return frozenset(
        column
        for option in options_of(analysis.question)
        if option.column
        for column in (
            *several(options.get(option.name) or ()),
            *several(option.fallback or ()),
        )
    )


def _read(
    analysis: analyses.Analysis,
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    privacy: Privacy,
    wanted: frozenset[str] | None,
) -> Study:
    """The study of the files, with the columns `wanted` alone where there are some."""
    from recovery_stats.data.one_row import one_row_a_person

    paths, read = _paths(analysis, files, options), Reader(Path(), wanted)
    tables = {name: read(TableSpec(name, str(path))) for name, path in paths.items()}
    one = len(set(paths.values())) < len(paths)
    specs = {
        name: TableSpec(name, path.name, roles=_roles(name, analysis, options, tables[name], one))
        for name, path in paths.items()
    }
    study = Study(tables, Protocol(tables=specs, privacy=privacy))
    return one_row_a_person(study, ()) if ONE_FILE in files else study


def _unfilled(analysis: analyses.Analysis, options: Mapping[str, Any], study: Study) -> bool:
    """Whether a column that the analysis cannot do without is named by nobody."""
    known = {str(c) for data in study.tables.values() for c in data.frame.columns}
    return any(
        option.required and not options.get(option.name) and option.fallback not in known
        for option in options_of(analysis.question)
        if option.column
    )


def _absent(
    analysis: analyses.Analysis, options: Mapping[str, Any], study: Study
) -> tuple[Use, ...]:
    """The columns that options name and no table has: the rules tell them with all other faults."""
    from recovery_stats.data.rules import Use

    known = {str(c) for data in study.tables.values() for c in data.frame.columns}
    return tuple(
        Use(option.table, option.role, column)
        for option in options_of(analysis.question)
        if option.column
        for column in several(options.get(option.name) or ())
        if column not in known
    )


def _require_files(
    analysis: analyses.Analysis, options: Mapping[str, Any], study: Study, absent: set[str]
) -> None:
    """Refuse an option whose table was not given; what is of people may stand in any table."""
    for option in options_of(analysis.question):
        if not option.column or option.table in study or option.role in SHARED:
            continue
        given = set(several(options.get(option.name) or ()))
        if given and (option.table != PEOPLE or given & absent):
            raise UsageError(
                f"{option.flag} names a column of the table {option.table!r}, which was not given: "
                f"add --{option.table} FILE."
            )


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
        names = tuple(c for c in several(given) if c in dataset.frame.columns)
        if names and not (one_file and shared and option.role == "wave"):
            roles[option.role] = names if option.many else names[0]
    return roles
