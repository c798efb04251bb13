"""One specification of a multiverse: the study with its endpoint, and the answer to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recovery_stats import analyses
from recovery_stats.analyses._refusal import without_numbers
from recovery_stats.analyses._specification import Specification
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Derived, Study, TableSpec
from recovery_stats.data.derive import derive
from recovery_stats.data.endpoint.entry import Endpoint
from recovery_stats.data.endpoints import ENDPOINTS
from recovery_stats.errors import NotEstimable, RecoveryError
from recovery_stats.study.binding import bind, options_of
from recovery_stats.study.workflow import answer_question

TABLE = "persons"
TIMES, OUTCOME = ("time", "event"), ("outcome",)


@dataclass(frozen=True, slots=True)
class Multiverse:
    """An analysis and the definitions over which it is repeated.

    options: of the analysis. endpoints: names. missing: rules for missed visits. pattern: the
    column of the patterns in the table of people. estimate: the name of the one taken from each
    answer, "" for the primary one. per_week: visits a week in the patterns.
    """

    analysis: str
    options: Mapping[str, Any]
    endpoints: tuple[str, ...]
    missing: tuple[str, ...]
    pattern: str
    estimate: str = ""
    per_week: int = 1
    level: float = 0.95
    seed: int = 1
    title: str = ""


def answer_specification(asked: Multiverse, study: Study, spec: Specification) -> Specification:
    """The specification with its estimate, or with why it has none."""
    entry, analysis = ENDPOINTS[spec.endpoint], analyses.get(asked.analysis)
    if not fits(entry, analysis):
        has = "one value and no time" if _roles(entry) == OUTCOME else "a time and an event"
        return replace(spec, why=f"The definition has {has}, which the analysis does not take.")
    try:
        one = study_with(study, asked, entry, spec.rule)
        question = bind(analysis, one, asked.options, to_answer=True)
        result = answer_question(analysis, question, one)
    except RecoveryError as error:
        return replace(spec, why=_reason(error, spec, study))
    estimate = _estimate(result, asked.estimate)
    if estimate is None:
        wanted = f"estimate {asked.estimate!r}" if asked.estimate else "primary estimate"
        return replace(spec, why=f"The analysis gave no {wanted} with it.")
    return replace(spec, estimate=estimate, estimand=result.estimand)


def slots_of(analysis: analyses.Analysis) -> frozenset[str]:
    """Which of time, event and outcome of a person the analysis takes."""
    return frozenset(
        o.role
        for o in options_of(analysis.question)
        if o.column and o.table == TABLE and o.role in (*TIMES, *OUTCOME)
    )


def _roles(entry: Endpoint) -> tuple[str, ...]:
    """What the columns of an endpoint play."""
    return TIMES if entry.class_ == "time and event" else OUTCOME


def fits(entry: Endpoint, analysis: analyses.Analysis) -> bool:
    return set(_roles(entry)) <= slots_of(analysis)


def study_with(study: Study, asked: Multiverse, entry: Endpoint, rule: str) -> Study:
    """The study with the endpoint as columns that play `roles`, and nothing else in their place."""
    taken = frozenset(study[TABLE].frame.columns)
    columns = {role: _free(f"{entry.name} {role}", taken) for role in _roles(entry)}
    parts = {"time": "days", "event": "event", "outcome": ""}
    made = [
        Derived(column, (asked.pattern,), entry.name, parts[role], "", rule, asked.per_week)
        for role, column in columns.items()
    ]
    data = derive(study[TABLE], made, TABLE)
    spec = study.protocol.tables.get(TABLE, TableSpec(TABLE))
    kept = {r: c for r, c in spec.roles.items() if r not in (*TIMES, *OUTCOME)}
    tables = {**study.protocol.tables, TABLE: replace(spec, roles={**kept, **columns})}
    return replace(
        study,
        tables={**study.tables, TABLE: data},
        protocol=replace(study.protocol, tables=tables),
    )


def _free(name: str, taken: frozenset[str]) -> str:
    """A column name that no column has."""
    while name in taken:
        name += "'"
    return name


def _estimate(result: Result, name: str) -> Estimate | None:
    wanted = [e for e in result.estimates if (e.name == name if name else e.level == "primary")]
    return wanted[0] if wanted else None


def _reason(error: RecoveryError, spec: Specification, study: Study) -> str:
    """Its message without the clauses that hold a number: a report tells counts in cells.

    Where the privacy rules hide noughts as well, "nobody" is one.
    """
    kind = "Not estimable" if isinstance(error, NotEstimable) else "Not possible"
    message = re.sub(rf"'{re.escape(spec.endpoint)} \w+'*'", "the endpoint", str(error))
    told = without_numbers(message)
    if not told or study.protocol.privacy.hide_zero:
        return f"{kind}: ask the analysis with this endpoint to see why."
    return f"{kind}. {told}"
