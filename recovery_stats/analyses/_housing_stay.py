"""Length of stay in `collaborative_housing`: residence as known on each day, and when to leave.

Secondary throughout: a stay is lived, not given. Three answers to what "stayed six months" asks
wrongly: the hazard by residence on the day, the same read some days before the relapse, and the
risk if everyone who moved in had left at a set time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recovery_stats.analyses._ending import Ends
from recovery_stats.analyses._housing_case import STRATUM, Asked
from recovery_stats.analyses._housing_incidence import ends_of
from recovery_stats.analyses._housing_stay_tables import leaving_figure, stay_figures, stay_tables
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._refusal import safely
from recovery_stats.core.cell import Cell, Count, Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.leaving import MONTH, leave_at, stay_courses
from recovery_stats.models.residence import CLUSTER, Times
from recovery_stats.models.residence_lags import History, residence_history
from recovery_stats.models.strategy import StrategyFit, TooFewFollow, sustained

LEAVE_AT = (3, 6, 12)  # months of 30 days
REPLICATES = 200
AFTER = 30  # days after a relapse within which a stay that ends counts as ended by it


@dataclass(frozen=True, slots=True)
class Leave:
    """The strategies of leaving: their fit with the months, or why there is none."""

    months: tuple[int, ...]
    horizon: int
    fit: StrategyFit | None
    reason: str = ""
    never: int = 0
    ends: Ends | None = None


def stay_section(
    asked: Asked, times: Times | None, clusters: Clusters | None, study: Study, *,
    horizon: int, seed: int,
) -> Part:  # fmt: skip
    """Everything told of length of stay, where there are times to relapse and stays."""
    if times is None or clusters is None or asked.stays is None or not asked.sensitivity:
        return Part()
    assert asked.person is not None
    key, start, stop = asked.stays
    stays = study["stays"]
    stays = stays.with_frame(stays.frame.rename(columns={key: asked.person}))
    strata = STRATUM if STRATUM in times.data.frame.columns else None
    history = residence_history(
        times.data, asked.times(strata), clusters, stays, person=asked.person, start=start,
        stop=stop, level=asked.level,
    )  # fmt: skip
    leave = _leave(asked, times.data, stays, horizon, seed)
    naive = next((e.name for e in times.estimates if e.name == "stayed_six_months"), None)
    figures = [*stay_figures(history, naive), *(leaving_figure(leave.fit) if leave.fit else ())]
    return Part(
        (*history.estimates, *(_risks(leave, leave.fit, asked.level) if leave.fit else ())),
        tuple(_checks(history, leave)),
        tuple(stay_tables(history, naive, leave.fit, leave.months)),
        tuple(figures),
        _facts(asked, times, stays, leave, study.role("stays", "house")),
        frozenset(_said(history, leave, _movers(asked, stays, study.role("stays", "house")))),
    )


# --- leave at a set time ---------------------------------------------------------------------


def _leave(asked: Asked, people: Dataset, stays: Dataset, horizon: int, seed: int) -> Leave:
    """Emulate the strategies that end within the horizon; what cannot be is told, not raised."""
    assert asked.time is not None
    assert asked.event is not None
    assert asked.person is not None
    assert asked.stays is not None
    months = tuple(m for m in LEAVE_AT if m * MONTH <= horizon)
    _, start, stop = asked.stays
    ends = ends_of(asked, people)
    found = Leave(months, horizon, None, ends=ends)
    if len(months) < 2:
        return replace(found, reason="The days named leave fewer than two times of leaving.")
    try:
        lived = stay_courses(
            people, stays, person=asked.person, stop=asked.time, event=asked.event,
            start=asked.entry, stay_start=start, stay_stop=stop, baseline=asked.adjust,
            cluster=CLUSTER, horizon=horizon, **(ends.arguments if ends else {}),
        )  # fmt: skip
        fit = sustained(
            lived.courses, leave_at(months), replicates=REPLICATES, seed=seed, level=asked.level
        )
    except TooFewFollow as error:
        return replace(found, reason=_too_few(error))
    except (NotEstimable, DataError) as error:
        return replace(found, reason=safely(error))
    return replace(found, fit=fit, never=lived.never)


def _too_few(error: TooFewFollow) -> str:
    return (
        f"Too few people lived as “{error.strategy}” asks: from month {error.block} of "
        f"{error.blocks} on, those who did carry the weight of fewer than {error.least:g} people. "
        "A shorter follow-up (stay_days) asks less. No risk is told for any time of leaving."
    )


def _risks(leave: Leave, fit: StrategyFit, level: float) -> Iterator[Estimate]:
    """The risk of each strategy, and the difference of the first from each other."""
    first = leave.months[0]
    course = fit.people.course
    names = {f"leave at {m} months": m for m in leave.months}
    pairs = {f"leave at {first} months minus {name}": m for name, m in names.items()}
    for row in fit.tidy().itertuples(index=False):
        if row.measure == "risk":
            m = names[row.strategy]
            name, label = f"leave_{m}", f"Leave at {m} months"
        elif row.measure == "risk_difference":
            m = pairs[row.strategy]
            name, label = f"leave_{first}_{m}", f"Leaving at {first} rather than {m} months"
        else:
            continue
        yield Estimate(
            name, label, row.estimate, row.conf_low, row.conf_high, row.std_error, row.p_value,
            scale="probability" if row.measure == "risk" else "difference", level="secondary",
            method=fit.method, confidence=level, n=len(course.time),
            events=int((course.cause == 1).sum()),
        )  # fmt: skip


# --- words -----------------------------------------------------------------------------------


def _movers(asked: Asked, stays: Dataset, house: str | None) -> tuple[int, int]:
    """How many houses there are, and how many people lived in several."""
    if house is None:
        return 0, 0
    lived = stays.frame[[asked.person, house]].dropna().drop_duplicates()
    return lived[house].nunique(), int((lived[asked.person].value_counts() > 1).sum())


def _said(history: History, leave: Leave, movers: tuple[int, int]) -> Iterator[str]:
    yield "stay"
    yield "leave" if leave.fit else "no_leave"
    if leave.fit:
        yield "leave_competing" if leave.ends and leave.ends.competing else "leave_censored"
    yield "stay_never" if history.reference == "never" else "stay_always"
    houses, several = movers
    present = {
        "stay_refused": bool(history.refused),
        "stay_months": any(e.name == "stay_months" for e in history.estimates),
        "one_house": houses == 1,
        # beside another number of people with several stays it would tell who came back
        "houses_known": houses > 1 and several == history.moved,
        "stays_counted": houses > 1 and several != history.moved,
    }
    yield from (name for name, holds in present.items() if holds)


def _facts(
    asked: Asked, times: Times, stays: Dataset, leave: Leave, house: str | None
) -> dict[str, Cell]:
    evicted, inside = _ended_by_relapse(asked, times, stays)
    return {
        "leave_reason": leave.reason,
        "competing": " and ".join(leave.ends.labels[c] for c in leave.ends.competing)
        if leave.ends
        else "",
        "leave_days": Quantity(float(leave.horizon), "whole"),
        "moved_in": Count(len(leave.fit.people) if leave.fit else 0),
        "several_houses": Count(_movers(asked, stays, house)[1]),
        "evicted": Share(evicted, inside),
        "eviction_days": Quantity(float(AFTER), "whole"),
    }


def _ended_by_relapse(asked: Asked, times: Times, stays: Dataset) -> tuple[int, int]:
    """People who relapsed while resident, and how many of them were out within AFTER days."""
    assert asked.stays is not None
    _, start, stop = asked.stays
    people = times.data.frame.set_index(asked.person)
    relapsed = people.loc[people[asked.event] == 1, asked.time]
    day = stays.frame[asked.person].map(relapsed)
    out = stays.frame[stop].fillna(np.inf)
    inside = (stays.frame[start] < day) & (day <= out)
    ended: pd.Series[bool] = inside & (out <= day + AFTER)
    who = stays.frame[asked.person]
    return int(who[ended].nunique()), int(who[inside].nunique())


def _checks(history: History, leave: Leave) -> Iterator[Check]:
    yield from history.checks()
    if leave.fit:
        yield from leave.fit.checks()
