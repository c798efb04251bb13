"""The main hazard ratio asked otherwise: sites, dates, loss, controls, and the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._ending import lost_codes
from recovery_stats.analyses._meeting_causes import FEWEST_EVENTS
from recovery_stats.analyses._meeting_definition import definitions, redefined
from recovery_stats.analyses._meeting_loss import label_of
from recovery_stats.analyses._meeting_models import MAIN, Made, Models, fit_hazard
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked, read_people, terms
from recovery_stats.analyses._meeting_rows import (
    diary_columns,
    diary_rows,
    known_rows,
    landmark_data,
    model_formula,
)
from recovery_stats.analyses._missing_rows import Attempt, attempted
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable
from recovery_stats.models.censoring import WEIGHT, censoring_weights
from recovery_stats.models.formula import quote
from recovery_stats.models.linear import ols
from recovery_stats.models.reshape import PERSON
from recovery_stats.models.survival import CoxFit, cox

ENDED = "another end of observation"
AHEAD = 8  # days by which the diary is moved so that the window holds the seven days after
SITES = ("sites_pooled", "site_frailty")
DATES = ("as_recorded", "one_a_day")
LOSS = ("loss_weighted", "lost_relapse")
CONTROLS = ("control_event",)
FUTURE = ("future",)
CUT = (0.01, 0.99)  # percentiles to which weights for loss are cut


def rival_attempts(models: Models) -> Iterator[Attempt]:
    """Every rival that the data allow; one that cannot be fitted stands with the reason."""
    for name, label, term, made in (
        *_sites(models), *_dates(models), *_definitions(models), *_loss(models),
        *_controls(models), *_future(models),
    ):  # fmt: skip
        yield attempted(name, label, partial(_row, models, made, term))


def _row(models: Models, made: Made, term: str) -> Estimate:
    return models.row(made(), term, "", "")


Rival = tuple[str, str, str, Made]


def _sites(models: Models) -> Iterator[Rival]:
    """The sites as one, and with a frailty in place of a baseline each."""
    asked = models.asked
    if asked.q.site is None:
        return
    pooled = replace(asked, q=replace(asked.q, site=None))
    yield "sites_pooled", "Sites as one", MAIN, lambda: fit_hazard(pooled, models.rows, (MAIN,))
    if asked.q.weights is None:
        formula = f"{model_formula(pooled, MAIN)} + frailty({quote(asked.q.site)})"
        yield (
            "site_frailty", "Site as a shared frailty", MAIN,
            lambda: cox(formula, models.rows, person=PERSON),
        )  # fmt: skip


def _dates(models: Models) -> Iterator[Rival]:
    """Relapse on the recorded day, and one meeting a day at most."""
    asked, study = models.asked, models.study
    if asked.q.known is not None:
        recorded = replace(asked, q=replace(asked.q, known=None))
        yield (
            "as_recorded", "Relapse dated as recorded", MAIN,
            lambda: _refitted(recorded, study, read_people(recorded, study)),
        )  # fmt: skip
    if asked.daily_diary and (once := _once_a_day(models)) is not None:
        yield (
            "one_a_day", "One a day at most", MAIN,
            lambda: _refitted(asked, once, models.people),
        )  # fmt: skip


def _definitions(models: Models) -> Iterator[Rival]:
    """Relapse by other definitions, each with its own time."""
    study, people = models.study, models.people
    for name, label, asked in definitions(models.asked, study, people):
        yield name, label, MAIN, partial(_defined, asked, study, people)


def _defined(asked: Asked, study: Study, people: Dataset) -> CoxFit:
    return _refitted(asked, study, redefined(asked, study, people))


def _refitted(asked: Any, study: Study, people: Dataset) -> CoxFit:
    return fit_hazard(asked, known_rows(asked, diary_rows(asked, study, people)), (MAIN,))


def _once_a_day(models: Models) -> Study | None:
    """The study with the diary's days instead of its rows; None where they are the same."""
    q, diary = models.asked.q, models.study["meetings"]
    day = np.floor(diary.frame[q.meeting_day])
    frame = diary.frame.assign(**{q.meeting_day: day})
    kept = frame[~frame.duplicated([q.meeting_person, q.meeting_day])]
    if q.meeting_count:
        kept = kept.assign(**{q.meeting_count: kept[q.meeting_count].clip(upper=1.0)})
    if len(kept) == len(frame) and not q.meeting_count:
        return None
    return _with_diary(models.study, diary.with_frame(kept))


def _with_diary(study: Study, diary: Dataset) -> Study:
    return replace(study, tables={**study.tables, "meetings": diary})


# --- other ends of observation --------------------------------------------------------------------


def ended_by(models: Models, codes: list[float]) -> Dataset:
    """The rows with a column for the ends of observation by one of these causes."""
    frame = models.rows.frame
    there = frame[models.asked.q.cause].isin(codes) & (frame["stop"] == frame[TIME])
    return models.rows.with_column(Variable(ENDED), there.astype(float))


def other_codes(models: Models) -> tuple[list[float], list[float]]:
    """Codes of loss to follow-up, and of events that are neither loss nor relapse."""
    column, people = models.asked.q.cause, models.people
    if column is None:
        return [], []
    values, variable = people.frame[column], people.variable(column)
    codes = sorted(float(c) for c in values[people.frame[EVENT] == 0].dropna().unique() if c)
    lost = lost_codes(models.asked.q.lost_cause, {c: variable.level(c) for c in codes})
    return lost, [c for c in codes if c not in lost]


def _loss(models: Models) -> Iterator[Rival]:
    """Weighted for loss to follow-up, and with each loss as a relapse."""
    lost, _ = other_codes(models)
    rows = ended_by(models, lost) if lost else None
    if rows is None or rows.frame[ENDED].sum() < FEWEST_EVENTS:
        return
    if models.asked.q.weights is None:
        yield "loss_weighted", "Weighted for loss", MAIN, lambda: _weighted(models, rows)
    happened = np.maximum(rows.frame["event"], rows.frame[ENDED])
    worst = rows.with_column(Variable("event"), happened)
    yield "lost_relapse", label_of(inf), MAIN, lambda: fit_hazard(
        models.asked, worst, (MAIN,)
    )  # fmt: skip


def _weighted(models: Models, rows: Dataset) -> CoxFit:
    house = ("in_house",) if models.asked.stays else ()
    right = terms(MAIN, *models.asked.q.adjust, *house)
    found = censoring_weights(
        f"Surv(start, stop, {quote(ENDED)}) ~ {right}", rows, person=PERSON, event="event",
        truncate=CUT,
    )  # fmt: skip
    formula = model_formula(models.asked, MAIN)
    return cox(formula, found.rows, weights=WEIGHT, cluster=PERSON, person=PERSON)


def _controls(models: Models) -> Iterator[Rival]:
    """Events that meetings cannot be thought to prevent: who attends differs if they seem to."""
    _, others = other_codes(models)
    rows = ended_by(models, others) if others else None
    if rows is not None and rows.frame[ENDED].sum() >= FEWEST_EVENTS:
        yield "control_event", "Events of other kinds", MAIN, lambda: fit_hazard(
            models.asked, rows, (MAIN,), event=ENDED
        )  # fmt: skip


def control_estimates(models: Models) -> Iterator[Estimate]:
    """What was measured at entry 'predicted' by attendance up to the landmark, which is later."""
    data = landmark_data(models.asked, models.study, models.people)
    if data is None:
        return
    for column in models.asked.q.adjust:
        values = data.frame[column]
        if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 2:
            continue
        if data.variable(column).values:
            continue
        others = [c for c in models.asked.q.adjust if c != column]
        try:
            fit = ols(f"{quote(column)} ~ {terms('meetings_per_week', *others)}", data)
        except NotEstimable:
            continue
        yield fit.estimate(
            {"meetings_per_week": 1.0}, name=f"before[{column}]", label=data.label(column),
            level=models.asked.q.level, rank="sensitivity",
        )  # fmt: skip


# --- the future -----------------------------------------------------------------------------------


def _future(models: Models) -> Iterator[Rival]:
    """Attendance in the seven days after the day at risk, where the diary goes on beyond it."""
    if models.asked.q.diary_to is not None:
        yield "future", "Seven days AFTER (demonstration)", MAIN, lambda: _ahead(models)


def _ahead(models: Models) -> CoxFit:
    q = models.asked.q
    diary = diary_columns(models.asked, models.study)["meetings"]
    day = diary.frame[q.meeting_day] - AHEAD
    study = _with_diary(models.study, diary.with_column(diary.variable(q.meeting_day), day))
    people = models.people
    for column in (q.diary_from, q.diary_to):
        if column is not None:
            moved = people.frame[column] - AHEAD
            people = people.with_column(people.variable(column), moved)
    return _refitted(replace(models.asked, q=replace(q, period="day")), study, people)
