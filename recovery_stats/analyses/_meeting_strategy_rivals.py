"""The strategies asked otherwise: fewer assumptions here, other ones there, each with its draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Cell, Column, Ref, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable
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
TRIED = ("untruncated", "past")  # told also where they are not estimable


def strategy_rivals(found: Strategies, study: Study, people: Dataset) -> Iterator[Estimate]:
    """The primary risk difference under each change; one that is not estimable is left out."""
    if found.fit is None:
        return
    yield from _after_loss(found, found.fit)
    others = tuple(definitions(found.asked, study, people))
    labels = LABELS | {name: label for name, label, _ in others}
    redrawn: list[Change] = [
        (name, redefined(asked, study, people), found.asked.q.truncate, {})
        for name, _, asked in others
    ]
    for key, data, truncate, changes in (*_changes(found, study, people), *redrawn):
        try:
            course = read_courses(found.asked, study, data, **changes)
            q = found.asked.q
            fit = sustained(
                course, strategies(found.asked), grace=q.grace_blocks, truncate=truncate,
                replicates=min(DRAWS, q.replicates), seed=q.seed, level=q.level,
            )  # fmt: skip
        except (NotEstimable, DataError):
            continue
        made = {e.name: e for e in strategy_estimates(Strategies(found.asked, course, fit))}
        yield replace(
            made[PRIMARY], name=f"strategy[{key}]", label=labels[key], level="sensitivity"
        )


def _after_loss(found: Strategies, fit: StrategyFit) -> Iterator[Estimate]:
    """The primary difference with the hazard of those lost multiplied; none where nobody is."""
    if found.people is None or not found.people.course.lost.any():
        return
    q = found.asked.q
    table = fit.after_loss(DELTAS, replicates=min(DRAWS, q.replicates), seed=q.seed)
    for row in table[table["measure"] == "risk_difference"].itertuples(index=False):
        key = f"loss_{row.delta:g}"
        yield Estimate(
            f"strategy[{key}]", LABELS[key], row.estimate, row.conf_low, row.conf_high,
            row.std_error, scale="difference", level="sensitivity", method=fit.method,
            confidence=fit.level, n=len(found.people),
        )  # fmt: skip


Change = tuple[str, Dataset, float, dict[str, Any]]


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


def rival_table(named: dict[str, Estimate]) -> Table | None:
    """The risk difference as declared, and under each change; None where it has none itself."""
    if PRIMARY not in named:
        return None
    rows: list[Row] = []
    for head, keys in HEADS:
        told = [k for k in keys if f"strategy[{k}]" in named or k in TRIED]
        if told:
            rows.append(Row(f"head[{head}]", head))
        rows += [_rival_row(k, named) for k in told]
    declared = Row(PRIMARY, "As declared", (Ref(PRIMARY, "interval"),))
    return Table(
        "strategy_rivals",
        "The difference between the strategies, asked in other ways",
        (Column("difference", "Risk difference"),),
        (declared, *rows),
        (f"Intervals of the rivals are percentiles of at most {DRAWS} bootstrap draws.",),
    )


def _rival_row(key: str, named: dict[str, Estimate]) -> Row:
    name = f"strategy[{key}]"
    cell: Cell = Ref(name, "interval") if name in named else "not estimable: too few follow"
    return Row(name, named[name].label if name in named else LABELS[key], (cell,), 1)
