"""What must hold of a study's data before an analysis may look at them.

A fault that makes any answer wrong is a Problem; what only has to be known is a Check. Every
rule is tried, so that all faults are told at once. The rules are in `data/rule/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from recovery_stats.core import progress
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import MissingRule
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.data.problem import Problem, StudyDataError
from recovery_stats.data.rule import group, key, time, value
from recovery_stats.data.rule.bound import Bound, Use, declared_uses

__all__ = ["Use", "enforce", "misnamed", "recode_events", "validate"]

STEP = "rules applied"
RULES = (*key.RULES, *value.RULES, *time.RULES, *group.RULES)

Triple = Use | tuple[str, str, str]


def validate(study: Study, uses: Sequence[Triple] = ()) -> tuple[Problem | Check, ...]:
    """Apply every rule to the tables and the columns that roles and `uses` name.

    uses: (table, role, column) of the columns that only an analysis' options name. Problems
    come first, in the order of the study file, then Checks.
    """
    wanted = (*declared_uses(study), *_uses(uses))
    known, missing = key.resolve(study, wanted)
    bound = Bound(study, known)
    found: list[Problem | Check] = [*missing]
    for number, rule in enumerate(RULES, 1):
        found += rule(bound)
        progress.tell(STEP, number, len(RULES))
    problems = list(dict.fromkeys(f for f in found if isinstance(f, Problem)))
    checks = [f for f in found if isinstance(f, Check)]
    return (*sorted(problems, key=lambda p: p.line), *checks)


def misnamed(study: Study) -> tuple[Problem, ...]:
    """The roles whose column is not there, in tables whose values cannot be judged yet."""
    uses = [u for u in declared_uses(study) if u.column not in _made(study, u.table)]
    return key.resolve(study, uses)[1]


def _made(study: Study, table: str) -> frozenset[str]:
    return frozenset(derived.name for derived in study.protocol.tables[table].derive)


def enforce(study: Study, uses: Sequence[Triple] = ()) -> tuple[Check, ...]:
    """Raise StudyDataError (a DataError) that lists every Problem; return the Checks."""
    found = validate(study, uses)
    problems = [f for f in found if isinstance(f, Problem)]
    if problems:
        raise StudyDataError(problems, study.protocol.file)
    return tuple(f for f in found if isinstance(f, Check))


def _uses(uses: Iterable[Triple]) -> Iterator[Use]:
    for use in uses:
        yield use if isinstance(use, Use) else Use(*use)


def recode_events(study: Study) -> Study:
    """Turn the event column of each table with an `event_code` into 0 and 1.

    A code that does not occur leaves the column alone, and a rule then tells.
    """
    tables = {name: _recoded(study, name, data) for name, data in study.tables.items()}
    return replace(study, tables=tables)


def _recoded(study: Study, table: str, data: Dataset) -> Dataset:
    spec = study.protocol.tables.get(table)
    code = spec.options.get("event_code") if spec else None
    column = study.role(table, "event")
    if code is None or column is None or column not in data.frame.columns:
        return data
    values = data.frame[column]
    text = isinstance(code, str)
    plain = values.astype("string").str.strip() if text else values
    hit = (plain == code).fillna(False).astype(bool)
    if not hit.any():
        return data
    label = data.variable(column).level(code)
    variable = replace(
        data.variable(column),
        values={0.0: f"not {label}", 1.0: label},
        missing=MissingRule(),
        kind="number",
        spss_format="F1.0",
        width=0,
    )
    return data.with_column(variable, hit.astype("float64").where(values.notna()))
