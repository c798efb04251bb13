"""The strategies asked otherwise: fewer assumptions here, other ones there, each with its draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from recovery_stats.analyses._ending import lost_codes
from recovery_stats.analyses._meeting_definition import NAMES, definitions, redefined
from recovery_stats.analyses._meeting_loss import label_of
from recovery_stats.analyses._meeting_people import EVENT, read_people
from recovery_stats.analyses._meeting_strategy import (
    PRIMARY,
    Strategies,
    read_courses,
    strategies,
    strategy_estimates,
)
from recovery_stats.analyses._missing_rows import NOT_ESTIMABLE, Attempt, attempted, why_not
from recovery_stats.core.cell import Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.models.strategy import StrategyFit, sustained

DRAWS = 100  # of each rival's bootstrap, so that all of them take less than the primary
DELTAS = (
    0.0,
    1.5,
    2.0,
    3.0,
)  # hazard after loss over that of people like them in view
LABELS = {
    "untruncated": "Weights not cut",
    "past": "Weights also from past attendance",
    "as_recorded": "Relapse dated as recorded",
    "lost_relapse": label_of(inf),
    **{f"loss_{d:g}": label_of(d) for d in DELTAS},
}
HEADS = (
    ("Weights", ("untruncated", "past")),
    ("Dates", ("as_recorded",)),
    ("Relapse defined otherwise", NAMES),
)
Change = tuple[str, Dataset, float, dict[str, Any]]
REFUSED = "Neither strategy has a risk to tell; the checks say why."


def strategy_attempts(found: Strategies, study: Study, people: Dataset) -> Iterator[Attempt]:
    """The primary risk difference under each change, or why it has none under that change.

    Where the strategies have no risks at all, that they have none is the one row.
    """
    if found.fit is None:
        yield Attempt(PRIMARY, "As declared", reason=REFUSED)
        return
    yield from _after_loss(found, found.fit)
    others = tuple(definitions(found.asked, study, people))
    labels = LABELS | {name: label for name, label, _ in others}
    redrawn: list[Change] = [
        (name, redefined(asked, study, people), found.asked.q.truncate, {})
        for name, _, asked in others
    ]
    for change in (*_changes(found, study, people), *redrawn):
        key = change[0]
        yield attempted(f"strategy[{key}]", labels[key], partial(_changed, found, study, change))


def _changed(found: Strategies, study: Study, change: Change) -> Estimate:
    """The primary difference under one change."""
    _, data, truncate, changes = change
    course = read_courses(found.asked, study, data, **changes)
    q = found.asked.q
    fit = sustained(
        course, strategies(found.asked), grace=q.grace_blocks, truncate=truncate,
        replicates=min(DRAWS, q.replicates), seed=q.seed, level=q.level,
    )  # fmt: skip
    made = {e.name: e for e in strategy_estimates(Strategies(found.asked, course, fit))}
    return replace(made[PRIMARY], level="sensitivity")


def _after_loss(found: Strategies, fit: StrategyFit) -> Iterator[Attempt]:
    """The primary difference with the hazard of those lost multiplied; none where nobody is."""
    if found.people is None or not found.people.course.lost.any():
        return
    q, people = found.asked.q, len(found.people)
    table = fit.after_loss(DELTAS, replicates=min(DRAWS, q.replicates), seed=q.seed)
    for row in table[table["measure"] == "risk_difference"].itertuples(index=False):
        key = f"loss_{row.delta:g}"
        name, label = f"strategy[{key}]", LABELS[key]
        yield Attempt(name, label, Estimate(
            name, label, row.estimate, row.conf_low, row.conf_high, row.std_error,
            scale="difference", level="sensitivity", method=fit.method, confidence=fit.level,
            n=people,
        ))  # fmt: skip


def _changes(found: Strategies, study: Study, people: Dataset) -> Iterator[Change]:
    """What is changed: its name, the people, the share of weights cut, arguments of `courses`."""
    q = found.asked.q
    if q.truncate > 0:
        yield "untruncated", people, 0.0, {}
    yield "past", people, q.truncate, {"past_attendance": True}
    if q.known is not None:
        recorded = replace(found.asked, q=replace(q, known=None))
        yield "as_recorded", read_people(recorded, study), q.truncate, {}
    if (worst := _lost_as_relapse(found, people)) is not None:
        yield "lost_relapse", worst, q.truncate, {}


def _lost_as_relapse(found: Strategies, people: Dataset) -> Dataset | None:
    column = found.asked.q.cause
    if column is None:
        return None
    values, variable = people.frame[column], people.variable(column)
    free = people.frame[EVENT] == 0
    codes = sorted(float(c) for c in values[free].dropna().unique() if c)
    lost = lost_codes(found.asked.q.lost_cause, {c: variable.level(c) for c in codes})
    gone = values.isin(lost) & free
    if not gone.any():
        return None
    return people.with_column(people.variable(EVENT), np.where(gone, 1.0, people.frame[EVENT]))


def rival_table(named: Mapping[str, Estimate], failed: Mapping[str, Attempt]) -> Table | None:
    """The risk difference as declared, and under each change; None where it has none itself."""
    if PRIMARY not in named:
        return None
    rows: list[Row] = []
    notes = [f"Intervals of the rivals are percentiles of at most {DRAWS} bootstrap draws."]
    for head, keys in HEADS:
        names = [f"strategy[{k}]" for k in keys]
        told = [n for n in names if n in named or n in failed]
        if told:
            rows.append(Row(f"head[{head}]", head))
        rows += [_rival_row(n, named, failed) for n in told]
        notes += why_not([failed[n] for n in told if n in failed])
    declared = Row(PRIMARY, "As declared", (Ref(PRIMARY, "interval"),))
    return Table(
        "strategy_rivals",
        "The difference between the strategies, asked in other ways",
        (Column("difference", "Risk difference"),),
        (declared, *rows),
        tuple(notes),
    )


def _rival_row(name: str, named: Mapping[str, Estimate], failed: Mapping[str, Attempt]) -> Row:
    if name in failed:
        return Row(name, failed[name].label, (NOT_ESTIMABLE,), 1)
    return Row(name, named[name].label, (Ref(name, "interval"),), 1)
