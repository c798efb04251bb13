"""What must hold of a study's data before an analysis may look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recovery_stats.core.check import Check
from recovery_stats.core.study import Study
from recovery_stats.data.problem import Problem, StudyDataError


@dataclass(frozen=True, slots=True)
class Use:
    """A column that something needs: the role it plays in `table`. A plain tuple will do.

    at: the dotted path of the key that names it ("analysis.0.outcome"), for the line number.
    """

    table: str
    role: str
    column: str
    at: str = ""


def validate(
    study: Study, uses: Sequence[Use | tuple[str, str, str]] = ()
) -> tuple[Problem | Check, ...]:
    """Apply every rule: Problems make an answer wrong, Checks are to be known."""
    return ()


def enforce(study: Study, uses: Sequence[Use | tuple[str, str, str]] = ()) -> tuple[Check, ...]:
    """Raise StudyDataError (a DataError) that lists every Problem; return the Checks."""
    found = validate(study, uses)
    problems = [f for f in found if isinstance(f, Problem)]
    if problems:
        raise StudyDataError(problems, study.protocol.file)
    return tuple(f for f in found if isinstance(f, Check))
