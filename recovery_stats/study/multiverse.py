"""One analysis over many definitions of its endpoint: a function over analyses, and its options.

Each specification is a study like the one given, with the endpoint read off a pattern of visits
in the place of time and event, or of the outcome. The analysis does not know that it is one of
many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import Any

from recovery_stats import analyses
from recovery_stats.analyses import _multiverse
from recovery_stats.analyses._specification import Specification
from recovery_stats.core import progress
from recovery_stats.core.result import Result
from recovery_stats.core.study import AnalysisSpec, Study, TableSpec
from recovery_stats.core.worker import end_with_parent
from recovery_stats.data.endpoint.missing import MISSING_RULES, PUBLISHED
from recovery_stats.data.endpoints import ENDPOINTS
from recovery_stats.data.protocol_reading import OptionSpec
from recovery_stats.errors import OutputError, UsageError, unknown
from recovery_stats.study.binding import bind
from recovery_stats.study.specification import (
    OUTCOME,
    TABLE,
    TIMES,
    Multiverse,
    answer_specification,
    fits,
    slots_of,
    study_with,
)
from recovery_stats.study.workflow import completed

ALL = "all"
READ = {  # the words of the library for the rules that can take the place of its own
    "positive": "as use",
    "negative": "as no use",
    "ignored": "left out",
    "carried": "as the last one attended",
}
REPLACED = frozenset({*TIMES, *OUTCOME, "outcome_level"})
OPTIONS = (  # what makes an [[analysis]] of the study file one over many definitions
    OptionSpec("pattern"),
    OptionSpec("endpoints", many=True),
    OptionSpec("missing", choices=tuple(MISSING_RULES), many=True),
    OptionSpec("estimate"),
    OptionSpec("per_week", int),
)


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
    if not slots_of(kind):
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
    return bool(slots_of(analyses.get(analysis)))


def _try(asked: Multiverse, study: Study) -> None:
    """Raise what would fail every specification: a pattern that is none, a wrong option."""
    analysis = analyses.get(asked.analysis)
    entry = next(e for n in asked.endpoints if fits(e := ENDPOINTS[n], analysis))
    one = study_with(study, asked, entry, PUBLISHED)
    bind(analysis, one, asked.options, to_answer=True)


def answer(asked: Multiverse, study: Study, *, jobs: int = 1) -> Result:
    """Answer every specification and put the answers together."""
    plan = [*_plan(asked)]
    brought = _each(partial(answer_specification, asked, study), plan, jobs)
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
        if fits(entry, analysis):
            group.append(name)
            groups[ALL].append(name)
    found: dict[str, None] = {}
    for word in endpoints:
        if word not in ENDPOINTS and word.casefold() not in groups:
            raise UsageError(unknown("endpoint", word, (*groups, *ENDPOINTS)))
        found.update(dict.fromkeys(groups.get(word.casefold(), [word])))
    if not any(fits(ENDPOINTS[name], analysis) for name in found):
        raise UsageError(
            f"None of the definitions named fits {analysis.name}, which takes "
            f'{" and ".join(sorted(slots_of(analysis)))}. Name others, or "all".'
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
