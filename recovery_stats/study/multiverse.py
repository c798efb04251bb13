"""One analysis over many definitions of its endpoint: a function over analyses, and its options.

Each specification is a study like the one given, with the endpoint read off a pattern of visits
in the place of time and event, or of the outcome. The analysis does not know that it is one of
many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

from recovery_stats import analyses
from recovery_stats.analyses import _multiverse
from recovery_stats.analyses._multiverse import Specification
from recovery_stats.core import progress
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import AnalysisSpec, Derived, Study, TableSpec
from recovery_stats.core.worker import end_with_parent
from recovery_stats.data.derive import derive
from recovery_stats.data.endpoint.entry import Endpoint
from recovery_stats.data.endpoint.missing import MISSING_RULES, PUBLISHED
from recovery_stats.data.endpoints import ENDPOINTS
from recovery_stats.data.protocol_reading import OptionSpec
from recovery_stats.errors import NotEstimable, OutputError, RecoveryError, UsageError, unknown
from recovery_stats.study.binding import bind, options_of
from recovery_stats.study.workflow import answer_question, completed

TABLE = "persons"
ALL = "all"
READ = {  # the words of the library for the rules that can take the place of its own
    "positive": "as use",
    "negative": "as no use",
    "ignored": "left out",
    "carried": "as the last one attended",
}
TIMES, OUTCOME = ("time", "event"), ("outcome",)
REPLACED = frozenset({*TIMES, *OUTCOME, "outcome_level"})
OPTIONS = (  # what makes an [[analysis]] of the study file one over many definitions
    OptionSpec("pattern"),
    OptionSpec("endpoints", many=True),
    OptionSpec("missing", choices=tuple(MISSING_RULES), many=True),
    OptionSpec("estimate"),
    OptionSpec("per_week", int),
)


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


def multiverse(
    analysis: str,
    study: Study,
    *,
    pattern: str,
    endpoints: Sequence[str] = (ALL,),
    missing: Sequence[str] = (PUBLISHED,),
    estimate: str = "",
    per_week: int = 1,
    jobs: int = 1,
    **options: Any,
) -> Result:
    """Answer the question `analysis` under many definitions of its endpoint.

    pattern: the column of the table of people that holds the patterns of visits. endpoints:
    names of `rs.endpoints()`, or "all", "abstinence", "reduction", "relapse". missing: rules for
    missed visits, each combined with each definition. estimate: the name of the estimate to take
    from each answer, where it is not the primary one. options: of the analysis; time, event and
    outcome are what the definitions replace. jobs: processes; the result is the same for any.

    Returns a Result: `.tidy()` has one row a specification, `.write("curve.html")` the report.
    A specification that fails is listed with its reason. Raises UsageError for unknown names.
    """
    asked = planned(
        analysis, study, pattern=pattern, endpoints=endpoints, missing=missing, estimate=estimate,
        per_week=per_week, options=options,
    )  # fmt: skip
    return answer(asked, study, jobs=jobs)


def planned(
    analysis: str,
    study: Study,
    *,
    pattern: str,
    endpoints: Sequence[str] = (ALL,),
    missing: Sequence[str] = (PUBLISHED,),
    estimate: str = "",
    per_week: int = 1,
    options: Mapping[str, Any],
) -> Multiverse:
    """What is asked, with every name checked before anything is computed."""
    kind = analyses.get(analysis)
    for rule in missing:
        if rule not in MISSING_RULES:
            raise UsageError(unknown("rule for missed visits", rule, MISSING_RULES))
    taken = sorted(REPLACED & {k for k, v in options.items() if v is not None})
    if taken:
        raise UsageError(
            f"The definitions take the place of {', '.join(taken)}: leave it out, or ask "
            f"{analysis} itself."
        )
    if not _slots(kind):
        raise UsageError(
            f"{analysis} has no outcome or time of each person for a definition to replace. "
            "Ask an analysis of people: collaborative_housing, meeting_frequency."
        )
    if per_week < 1:
        raise UsageError(f"per_week is the number of visits a week, 1 or more, not {per_week}.")
    study[TABLE].require(pattern, table=TABLE)
    given = {"sensitivity": False, **options}
    asked = Multiverse(
        analysis, given, _names(endpoints, kind), tuple(dict.fromkeys(missing)), pattern, estimate,
        per_week, given.get("level") or study.protocol.level,
        given["seed"] if given.get("seed") is not None else study.protocol.seed,
        str(given.get("title") or ""),
    )  # fmt: skip
    _try(asked, study)
    return asked


def of_spec(study: Study, spec: AnalysisSpec) -> Multiverse | None:
    """The multiverse that an [[analysis]] asks for; None where it asks for one answer."""
    names = [option.name for option in OPTIONS]
    own = {k: v for k, v in spec.options.items() if k in names and v not in (None, (), "")}
    if not own:
        return None
    if "pattern" not in own:
        raise UsageError(
            f"Analysis {spec.name!r} has {', '.join(own)} but no pattern: name the column of "
            f'table {TABLE!r} with the patterns of visits, as pattern = "COLUMN".'
        )
    options = {k: v for k, v in spec.options.items() if k not in names}
    return planned(spec.kind, study, options=options, **own)


def pattern_of(study: Study) -> str | None:
    """The column of patterns that the study file derives endpoints from, where it is one."""
    spec = study.protocol.tables.get(TABLE, TableSpec(TABLE))
    found = {d.columns[0] for d in spec.derive if d.endpoint}
    return found.pop() if len(found) == 1 else None


def takes_endpoints(analysis: str) -> bool:
    """Whether the analysis has an outcome or a time of each person."""
    return bool(_slots(analyses.get(analysis)))


def _try(asked: Multiverse, study: Study) -> None:
    """Raise what would fail every specification: a pattern that is none, a wrong option."""
    analysis = analyses.get(asked.analysis)
    entry = next(e for n in asked.endpoints if _fits(e := ENDPOINTS[n], analysis))
    one = _study_of(study, asked, entry, PUBLISHED)
    bind(analysis, one, asked.options, to_answer=True)


def answer(asked: Multiverse, study: Study, *, jobs: int = 1) -> Result:
    """Answer every specification and put the answers together."""
    plan = [*_plan(asked)]
    brought = _each(partial(_answered, asked, study), plan, jobs)
    analysis = analyses.get(asked.analysis)
    result = _multiverse.answer(
        brought,
        of=analysis.title,
        title=asked.title,
        sources=tuple(study[t].source for t in analysis.tables if t in study),
        synthetic=study.protocol.synthetic,
    )
    return completed(result, study, asked.level, asked.seed, described(asked))


def described(asked: Multiverse) -> str:
    """The options in words, for the table of provenance."""
    set_ = {k: v for k, v in asked.options.items() if v not in (None, (), "")}
    own = {
        "analysis": asked.analysis,
        "pattern": asked.pattern,
        "endpoints": ", ".join(asked.endpoints),
        "missing": ", ".join(asked.missing),
        **({"estimate": asked.estimate} if asked.estimate else {}),
        **({"per_week": asked.per_week} if asked.per_week != 1 else {}),
    }
    return "; ".join(f"{k} = {v}" for k, v in {**own, **set_}.items())


# --- the specifications --------------------------------------------------------------------


def _names(endpoints: Sequence[str], analysis: analyses.Analysis) -> tuple[str, ...]:
    """Names of definitions; a word stands for those of a group that fit the analysis."""
    groups: dict[str, list[str]] = {ALL: []}
    for name, entry in ENDPOINTS.items():
        group = groups.setdefault(entry.group.split()[0].casefold(), [])
        if _fits(entry, analysis):
            group.append(name)
            groups[ALL].append(name)
    found: dict[str, None] = {}
    for word in endpoints:
        if word not in ENDPOINTS and word.casefold() not in groups:
            raise UsageError(unknown("endpoint", word, (*groups, *ENDPOINTS)))
        found.update(dict.fromkeys(groups.get(word.casefold(), [word])))
    if not any(_fits(ENDPOINTS[name], analysis) for name in found):
        raise UsageError(
            f"None of the definitions named fits {analysis.name}, which takes "
            f'{" and ".join(sorted(_slots(analysis)))}. Name others, or "all".'
        )
    return tuple(found)


def _plan(asked: Multiverse) -> Iterator[Specification]:
    """Every definition with every rule; dropout has only its own."""
    for name in asked.endpoints:
        entry = ENDPOINTS[name]
        for rule in asked.missing:
            if entry.of_missing and rule != PUBLISHED:
                continue
            alone = rule == PUBLISHED
            yield Specification(
                name=name if alone else f"{name}, {rule}",
                endpoint=name,
                kind=entry.kind,
                missing=entry.reads_missed if alone else READ[rule],
                rule=rule,
                citation=entry.paper.citation,
                measure=entry.measure,
                more_is_recovery=entry.better == "more",
            )


def _answered(asked: Multiverse, study: Study, spec: Specification) -> Specification:
    """The specification with its estimate, or with why it has none."""
    entry, analysis = ENDPOINTS[spec.endpoint], analyses.get(asked.analysis)
    if not _fits(entry, analysis):
        has = "one value and no time" if _roles(entry) == OUTCOME else "a time and an event"
        return replace(spec, why=f"The definition has {has}, which the analysis does not take.")
    try:
        one = _study_of(study, asked, entry, spec.rule)
        question = bind(analysis, one, asked.options, to_answer=True)
        result = answer_question(analysis, question, one)
    except RecoveryError as error:
        return replace(spec, why=_reason(error, spec, study))
    estimate = _estimate(result, asked.estimate)
    if estimate is None:
        wanted = f"estimate {asked.estimate!r}" if asked.estimate else "primary estimate"
        return replace(spec, why=f"The analysis gave no {wanted} with it.")
    return replace(spec, estimate=estimate, estimand=result.estimand)


def _slots(analysis: analyses.Analysis) -> frozenset[str]:
    """Which of time, event and outcome of a person the analysis takes."""
    return frozenset(
        o.role
        for o in options_of(analysis.question)
        if o.column and o.table == TABLE and o.role in (*TIMES, *OUTCOME)
    )


def _roles(entry: Endpoint) -> tuple[str, ...]:
    """What the columns of an endpoint play."""
    return TIMES if entry.class_ == "time and event" else OUTCOME


def _fits(entry: Endpoint, analysis: analyses.Analysis) -> bool:
    return set(_roles(entry)) <= _slots(analysis)


def _study_of(study: Study, asked: Multiverse, entry: Endpoint, rule: str) -> Study:
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
    clauses = re.split(r"(?<=[.:,;]) ", message)
    told = " ".join(c for c in clauses if not re.search(r"\d", c)).rstrip(" :,;.")
    if not told or study.protocol.privacy.hide_zero:
        return f"{kind}: ask the analysis with this endpoint to see why."
    return f"{kind}. {told}."


# --- several at a time ---------------------------------------------------------------------


def _each(
    work: Callable[[Specification], Specification], plan: Sequence[Specification], jobs: int
) -> list[Specification]:
    """The work on every specification, in the order of the plan, in one process or several."""
    if jobs < 2 or len(plan) < 2:
        return list(_told(map(work, plan), len(plan)))
    pool = ProcessPoolExecutor(min(jobs, len(plan)), get_context("spawn"), end_with_parent)
    try:
        chunk = -(-len(plan) // (4 * jobs))
        return list(_told(pool.map(work, plan, chunksize=chunk), len(plan)))
    except BrokenProcessPool:
        raise OutputError(
            "A process was killed: memory may have run out. Close other programs, or work in one "
            "process (--jobs 1)."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _told(done: Iterator[Specification], of: int) -> Iterator[Specification]:
    for number, spec in enumerate(done, 1):
        progress.tell("specifications", number, of)
        yield spec
