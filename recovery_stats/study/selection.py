"""A study read for a run: what stops everything, and what fails one analysis alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from recovery_stats import analyses
from recovery_stats.core.check import Check
from recovery_stats.core.study import AnalysisSpec, Study
from recovery_stats.data.problem import Problem, StudyDataError
from recovery_stats.data.rules import validate
from recovery_stats.errors import RecoveryError
from recovery_stats.study.batch import chosen
from recovery_stats.study.binding import options_of
from recovery_stats.study.table import load_study, uses_of

# Keys and places join the tables and are read beside the options; a weight speaks for all.
SHARED_BY_NATURE = frozenset({"person", "wave", "site", "house", "weights"})


@dataclass(frozen=True, slots=True)
class Selection:
    """A study and those of its analyses that are to be done.

    faults: what the data of an analysis have wrong, by its name, where no other asks for them.
    """

    study: Study
    specs: tuple[AnalysisSpec, ...]
    faults: Mapping[str, RecoveryError] = field(default_factory=dict)


def select(
    path: str | Path, names: Sequence[str] = (), *, allow_outside: bool = False
) -> Selection:
    """Read the study at `path` for the analyses `names`, all of them when none is named.

    A fault in a column that one analysis alone asks for is that analysis' own. Raises
    StudyDataError, with all faults, where one concerns several or nothing is left to do.
    """
    study = load_study(path, allow_outside=allow_outside, prune=True)
    specs = chosen(study, names)
    found = validate(study, uses_of(study))
    problems = [f for f in found if isinstance(f, Problem)]
    declared = study.protocol.analyses
    asked = _asked(study, (*declared, *(spec for spec in specs if spec not in declared)))
    owners = [_owner(problem, study, asked) for problem in problems]
    own = {
        spec.name: [p for p, owner in zip(problems, owners, strict=True) if owner == spec.name]
        for spec in specs
    }
    if problems and (None in owners or all(own.values())):
        raise StudyDataError(problems, study.protocol.file)
    faults = {name: StudyDataError(mine, study.protocol.file) for name, mine in own.items() if mine}
    checks = (f for f in found if isinstance(f, Check))
    return Selection(replace(study, checks=(*study.checks, *checks)), specs, faults)


Asked = Mapping[str, frozenset[tuple[str, str]]]


def _asked(study: Study, specs: Sequence[AnalysisSpec]) -> Asked:
    """The roles and columns that each analysis asks for, by its name."""
    return {spec.name: frozenset(_columns(study, spec)) for spec in specs}


def _columns(study: Study, spec: AnalysisSpec) -> Iterator[tuple[str, str]]:
    for option in options_of(analyses.get(spec.kind).question):
        if not option.column:
            continue
        given = spec.options.get(option.name) or study.roles(option.table, option.role)
        for column in (given,) if isinstance(given, str) else given:
            yield option.role, column


def _owner(problem: Problem, study: Study, asked: Asked) -> str | None:
    """The name of the one analysis that has this problem, or None."""
    if problem.analysis is not None:
        return study.protocol.analyses[problem.analysis].name
    if problem.role in SHARED_BY_NATURE:
        return None
    asking = [name for name, columns in asked.items() if (problem.role, problem.column) in columns]
    return asking[0] if len(asking) == 1 else None
