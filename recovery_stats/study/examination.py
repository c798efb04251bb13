"""Everything that is wrong with a study file and its data, at once: one fault hides no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from recovery_stats import analyses
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol, Study
from recovery_stats.data.problem import Problem, ProtocolError
from recovery_stats.data.rules import misnamed, validate
from recovery_stats.errors import DataError, RecoveryError, UsageError
from recovery_stats.study import multiverse
from recovery_stats.study.binding import bind
from recovery_stats.study.table import Reader, completed, in_order, prepared, protocol_of, uses_of


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found: problems in the order of the study file, and what is worth knowing.

    exit_code: 2 where the study file is at fault, else 3 where the data are, else 4 where they
    hold no answer, else 0.
    """

    problems: tuple[Problem, ...]
    checks: tuple[Check, ...]
    protocol: Protocol
    exit_code: int


@dataclass(slots=True)
class _Tables:
    """The tables in order; those whose columns alone are known; what was wrong with a file."""

    sound: dict[str, Dataset] = field(default_factory=dict)
    half: dict[str, Dataset] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def examine(path: Path, *, allow_outside: bool = False) -> Examination:
    """Read what can be read of the study at `path` and tell all that is wrong with it.

    Raises UsageError where there is no study file or nothing in it can be read.
    """
    written: Sequence[Problem] = ()
    doubtful: frozenset[int] = frozenset()
    try:
        protocol = protocol_of(path, allow_outside=allow_outside)
    except ProtocolError as error:
        if error.sound is None:
            raise
        written, protocol, doubtful = error.problems, error.sound, error.doubtful
    tables = _read(protocol, path.parent)
    study, found = _looked_at(protocol, tables)
    wrong = [*tables.problems, *(f for f in found if isinstance(f, Problem))]
    unasked = [*_unbound(study, doubtful, bool(wrong))] if _whole(protocol, tables) else []
    codes = [UsageError.exit_code] * bool(written) + sorted({p.exit_code for p in wrong})
    problems = dict.fromkeys((*written, *wrong, *(problem for problem, _ in unasked)))
    return Examination(
        tuple(sorted(problems, key=lambda p: p.line)),
        (*study.checks, *(f for f in found if isinstance(f, Check))),
        protocol,
        next(iter((*codes, *(code for _, code in unasked))), 0),
    )


def _read(protocol: Protocol, folder: Path) -> _Tables:
    tables, read = _Tables(), Reader(folder)
    for spec in in_order(protocol):
        name = spec.name
        try:
            tables.half[name] = read(spec)
            tables.sound[name] = prepared(tables.half[name], spec, tables.sound)
            del tables.half[name]
        except DataError as error:
            line = protocol.lines.get(f"tables.{name}.file", 0)
            tables.problems.append(Problem(line, f"table {name!r}", str(error)))
    return tables


def _whole(protocol: Protocol, tables: _Tables) -> bool:
    """Whether every table that the study file speaks of was read and made ready."""
    spoken = {at.split(".")[1] for at in protocol.lines if at.startswith("tables.")}
    return spoken <= set(tables.sound)


def _looked_at(protocol: Protocol, tables: _Tables) -> tuple[Study, tuple[Problem | Check, ...]]:
    """The study of the tables there are, and what the rules find in it.

    While a table lacks, nobody can say that a column an analysis names, or its reference level,
    is nowhere.
    """
    names = _study(protocol, tables.half)
    study = completed(_study(protocol, tables.sound))
    uses = uses_of(study)
    if not _whole(protocol, tables):
        known = {column for data in study.tables.values() for column in data.frame.columns}
        uses = tuple(use for use in uses if use.column in known)
        study = replace(study, protocol=_without_references(study.protocol))
    return study, (*misnamed(names), *validate(study, uses))


def _study(protocol: Protocol, tables: dict[str, Dataset]) -> Study:
    specs = {name: protocol.tables[name] for name in tables}
    return Study(tables, replace(protocol, tables=specs))


def _without_references(protocol: Protocol) -> Protocol:
    kept = [
        replace(spec, options={k: v for k, v in spec.options.items() if k != "reference"})
        for spec in protocol.analyses
    ]
    return replace(protocol, analyses=tuple(kept))


def _unbound(
    study: Study, doubtful: frozenset[int], data_are_wrong: bool
) -> Iterator[tuple[Problem, int]]:
    """What keeps an analysis from being asked: a role nobody plays, a choice that is none.

    Where the data are wrong the rules have told of the columns already.
    """
    for spec in study.protocol.analyses:
        if spec.line in doubtful:
            continue
        try:
            if not multiverse.of_spec(study, spec):
                bind(analyses.get(spec.kind), study, spec.options)
        except RecoveryError as error:
            if isinstance(error, UsageError) or not data_are_wrong:
                where = f"[[analysis]] {spec.name}"
                yield Problem(spec.line, where, str(error)), error.exit_code
