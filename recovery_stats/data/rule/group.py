"""Groups and clusters: enough of them, with events in each, and the reference among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from recovery_stats.core.cell import Count
from recovery_stats.data.problem import Problem
from recovery_stats.data.rule.bound import (
    Bound,
    Finding,
    Use,
    caution,
    is_text,
    line_of,
)
from recovery_stats.data.rule.value import MANY_LEVELS
from recovery_stats.errors import nearest

ROWS_A_LEVEL = 5  # with fewer rows than this a level, a factor leaves nothing to estimate from
COMPARED = ("arm", "frequency")
GROUPING = (*COMPARED, "cluster", "house", "site")


def several_people(bound: Bound) -> Iterator[Finding]:
    for use in bound.playing("person"):
        if use.table in ("persons", "waves") and bound.values(use).nunique() == 1:
            cure = "A variance between people cannot be estimated from one."
            yield bound.unanswerable(use, "One person only.", cure)


def several_clusters(bound: Bound) -> Iterator[Finding]:
    """One cluster tells nothing of the variation between clusters."""
    for use in bound.playing("cluster", "house", "site"):
        if use.table in ("houses", "sites") or bound.values(use).nunique() != 1:
            continue
        if use.role == "cluster":
            cure = "Leave the role out when everybody is in the same place."
            yield bound.unanswerable(use, "One cluster only.", cure)
        else:
            about, words = f"{use.table}.{use.column}", f"One {use.role} only: {use.column}."
            yield caution("clusters", about, words)


def groups_have_events(bound: Bound) -> Iterator[Finding]:
    """A group in which nobody relapsed has no finite hazard ratio."""
    event = bound.first("persons", "event")
    seen = bound.numbers(event)
    if event is None or seen is None or not seen.notna().any():
        return
    if not (seen == 1).any():
        words = "No event at all: curves are flat and no ratio can be estimated."
        yield caution("events", f"persons.{event.column}", words)
        return
    for use in bound.playing(*COMPARED, "site", table="persons"):
        groups = bound.values(use)
        if not 2 <= groups.nunique() <= MANY_LEVELS:
            continue
        counts = (seen == 1).groupby(groups).sum()
        for level in counts.index[counts == 0]:
            words = f"No event among {use.column} = {bound.variable(use).level(level)} ("
            people = Count(int((groups == level).sum()))
            yield caution("events", f"persons.{use.column}", words, people, " people).")


def covariates_have_few_levels(bound: Bound) -> Iterator[Finding]:
    """Text with about a level a row is a name or a remark, not a covariate."""
    for use in bound.playing("adjust", *COMPARED):
        values = bound.values(use)
        levels = values.nunique() if is_text(values) else 0
        if levels > MANY_LEVELS and levels * ROWS_A_LEVEL > len(values):
            message = f"Text with {levels} levels in {len(values)} rows."
            yield bound.problem(use, message, "Group the levels, or leave the column out.")


def references_exist(bound: Bound) -> Iterator[Finding]:
    """The reference level of an analysis is a level of a group in the data."""
    for number, analysis in enumerate(bound.study.protocol.analyses):
        wanted = analysis.options.get("reference")
        if wanted is None:
            continue
        named = [analysis.options.get(option) for option in COMPARED]
        columns = [*_named(bound, named)] or [*bound.playing(*COMPARED)]
        columns = columns or [*bound.playing(*GROUPING)]
        word = f"{wanted:g}" if isinstance(wanted, int | float) else str(wanted)
        if not any(word in level for use in columns for level in _levels(bound, use)):
            problem = _no_reference(bound, f"analysis.{number}.reference", word, columns)
            yield replace(problem, analysis=number)


def _named(bound: Bound, columns: Iterable[object]) -> Iterator[Use]:
    for column in columns:
        for table, data in bound.study.tables.items():
            if isinstance(column, str) and column in data.frame.columns:
                yield Use(table, "group", column)


def _levels(bound: Bound, use: Use) -> list[tuple[str, str]]:
    """(label, code) of each level that occurs, in the order of the codes."""
    variable = bound.variable(use)
    codes = bound.values(use).dropna().unique()
    order = sorted(codes, key=str) if is_text(bound.values(use)) else sorted(codes)
    return [(variable.level(code).strip(), _code(code).strip()) for code in order]


def _code(code: object) -> str:
    return f"{code:g}" if isinstance(code, int | float) else str(code)


def _no_reference(bound: Bound, at: str, word: str, columns: list[Use]) -> Problem:
    where = "[[analysis]] reference"
    line = line_of(bound.study, at)
    if not columns:
        return Problem(line, where, f"Level {word!r}: there is no group that could have it.")
    use, levels = columns[0], [label for label, _ in _levels(bound, columns[0])]
    message = f"{word!r} is not a level of {use.column!r} in table {use.table!r}."
    if len(levels) > MANY_LEVELS and not is_text(bound.values(use)):
        return Problem(line, where, message, "It is a number, not a group.")
    close = nearest(word, levels)
    hint = f"Did you mean {close!r}? " if close else ""
    shown = ", ".join(levels[:MANY_LEVELS]) + (", …" if len(levels) > MANY_LEVELS else "")
    return Problem(line, where, message, f"{hint}Levels: {shown}.")


RULES = (
    several_people,
    several_clusters,
    groups_have_events,
    covariates_have_few_levels,
    references_exist,
)
