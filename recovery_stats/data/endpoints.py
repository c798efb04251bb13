"""The library of endpoints: relapse, abstinence and reduction of use by their published names.

    rs.endpoints()                                  what there is
    rs.endpoint(patterns, "Ab_kosten_1993")         one of them, for each pattern
    rs.endpoint(patterns, "Rs_lee_2016")            a time and an event: two columns

A pattern has one symbol a week: + positive, - negative, * mixed, o missed, _ not scheduled (see
data/endpoint/pattern.py for its rules). Published results are kept under their published names
also where they differ from the published words; the entry then says so in its note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import pandas as pd

from recovery_stats.data.endpoint import (
    abstinence,
    reduction_negative,
    reduction_use,
    relapse,
)
from recovery_stats.data.endpoint.entry import Endpoint
from recovery_stats.data.endpoint.measure import Numbers
from recovery_stats.data.endpoint.missing import MISSING_RULES, PUBLISHED, with_missing
from recovery_stats.data.endpoint.pattern import Codes, Visits, read_patterns, visits_of
from recovery_stats.data.endpoint.piece import VISITS, Rule, TimeRule
from recovery_stats.data.endpoint.visit import weekly_codes
from recovery_stats.errors import UsageError, unknown

__all__ = ["ENDPOINTS", "VISITS", "endpoint", "endpoints"]

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        entry.name: entry
        for library in (abstinence, reduction_use, reduction_negative, relapse)
        for entry in library.DEFINITIONS
    }
)
_OF_COLUMN = {column: entry for entry in ENDPOINTS.values() for column in entry.columns}


def endpoints() -> pd.DataFrame:
    """The library as a table, a row each.

    name, group, kind, class (logical, count, ratio, time and event), missing (the published rule
    for missed screens), reads_missed (how the published results read them), frequency, citation,
    doi, text (the published words), computed (what is computed), note (where results and words
    differ), better (more or less of it is recovery), columns (the published column names).
    """
    return pd.DataFrame(
        {
            "name": e.name,
            "group": e.group,
            "kind": e.kind,
            "class": e.class_,
            "missing": e.missing,
            "reads_missed": e.reads_missed,
            "frequency": e.frequency,
            "citation": e.paper.citation,
            "doi": e.paper.doi,
            "text": e.text,
            "computed": e.computed,
            "note": e.note,
            "better": e.better,
            "columns": ", ".join(e.columns),
        }
        for e in ENDPOINTS.values()
    )


def endpoint(
    patterns: Iterable[str | None],
    name: str | Rule | TimeRule,
    *,
    missing: str = PUBLISHED,
    per_week: int = 1,
) -> pd.Series | pd.DataFrame:
    """The endpoint `name` of each pattern: a Series, or a DataFrame with `time` and `event`.

    A logical endpoint comes back as booleans, the others as numbers; times are in weeks. A name
    of one published column (`RsT_lee_2016`) gives that column, and a rule made of pieces
    (`rs.VISITS.weeks(1, 12).share("-")`) its numbers. Where there is no pattern, or nothing that
    the endpoint reads was scheduled, the value is missing. The index of a Series is kept.

    missing: "published", the definition's own rule, or another one put in its place before
    anything is read: "positive", "negative", "ignored" (as if not scheduled), "carried" (the
    last result carried forward). per_week: visits a week in the patterns (3, 7); after the
    missing rule they are put together into weeks, for a rule of pieces too.

    Raises UsageError for an unknown name or rule and where patterns are no list, DataError for a
    symbol that is none.
    Checked: all published results of a quarter of the CTN-0094 participants.
    """
    if patterns is None or isinstance(patterns, str):
        raise UsageError(
            "patterns is a list or a column with one pattern a person; put a single pattern into "
            "a list. A person without one (None, empty) has a missing value."
        )
    series = (
        patterns if isinstance(patterns, pd.Series) else pd.Series(list(patterns), dtype=object)
    )
    entry = known_endpoint(name) if isinstance(name, str) else name
    visits = prepared_visits(read_patterns(series), missing, per_week)
    found = evaluate(entry, visits, missing)
    if len(found) == 1:
        return _series(found[0], entry, series.index)
    if isinstance(entry, Endpoint) and name in entry.columns:
        return pd.Series(found[entry.columns.index(str(name))], index=series.index, name=name)
    return pd.DataFrame(dict(zip(("time", "event"), found, strict=True)), index=series.index)


def known_endpoint(name: str) -> Endpoint:
    """The entry called `name`, or that has a column of that name; UsageError otherwise."""
    entry = ENDPOINTS.get(name) or _OF_COLUMN.get(name)
    if entry is None:
        raise UsageError(unknown("endpoint", name, ENDPOINTS))
    return entry


def prepared_visits(codes: Codes, missing: str = PUBLISHED, per_week: int = 1) -> Visits:
    """Weekly visits under a missing rule; what was attended stays what happened.

    Raises UsageError for a rule or a number of visits a week that is none.
    """
    if missing not in MISSING_RULES:
        raise UsageError(unknown("rule for missed visits", missing, MISSING_RULES))
    if per_week < 1:
        raise UsageError(f"per_week is the number of visits a week, 1 or more, not {per_week}.")
    happened = visits_of(weekly_codes(codes, per_week))
    read = visits_of(weekly_codes(with_missing(codes, missing), per_week))
    return replace(read, attended=happened.attended)


def evaluate(
    entry: Endpoint | Rule | TimeRule, visits: Visits, missing: str = PUBLISHED
) -> tuple[Numbers, ...]:
    """The columns of one endpoint: one, or the time and the event."""
    if isinstance(entry, Rule):
        return (entry(visits),)
    if isinstance(entry, TimeRule):
        return entry(visits)
    if entry.of_missing and missing != PUBLISHED:
        raise UsageError(
            f"{entry.name} counts missed visits: it has no other rule for them. "
            f'Leave missing = "{PUBLISHED}".'
        )
    return evaluate(entry.rule, visits)


def _series(values: Numbers, entry: Endpoint | Rule | TimeRule, index: pd.Index) -> pd.Series:
    name = entry.name if isinstance(entry, Endpoint) else None
    series = pd.Series(values, index=index, name=name)
    logical = isinstance(entry, Endpoint) and entry.class_ == "logical"
    return series.astype("boolean") if logical else series
