"""Dose and response: attendance as a curve, and how often beside how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from recovery_stats.analyses._meeting_models import MAIN, Models, fit_hazard
from recovery_stats.analyses._meeting_rows import model_formula
from recovery_stats.analyses._missing_rows import Attempt
from recovery_stats.analyses._refusal import safely
from recovery_stats.analyses._wording import opening, plural
from recovery_stats.core.cell import Cell, Quantity
from recovery_stats.core.document import LineFigure, Series
from recovery_stats.errors import ConvergenceError, NotEstimable
from recovery_stats.models.dose_response import bend
from recovery_stats.models.reshape import PERSON
from recovery_stats.models.survival import CoxFit, cox

CURVED = "weekly_28"  # seven days hold few different counts; four weeks tell quarters of one
REFERENCE = 1.0  # a week
HIGHEST = 0.99  # quantile up to which the curve is drawn
POINTS = 25


@dataclass(frozen=True, slots=True)
class Dose:
    """The spline of weekly attendance, and the model of frequency and recency together.

    beside: the two rows of that model, or why they have no number; none of a diary of weeks.
    """

    models: Models
    curve: CoxFit | None
    beside: tuple[Attempt, ...]

    @classmethod
    def of(cls, models: Models) -> Dose:
        """Fit each; a curve that cannot be is left out. Four knots, or three where tied."""
        curve = next(filter(None, (_curve(models, knots) for knots in (4, 3))), None)
        return cls(models, curve, tuple(_beside(models)) if models.asked.daily_diary else ())

    @property
    def bend(self) -> float | None:
        """p of the Wald test that the curve is straight."""
        if self.curve is None:
            return None
        return bend(self.curve, [t for t in self.curve.terms if t.startswith("rcs(")])


def _curve(models: Models, knots: int) -> CoxFit | None:
    asked = models.asked
    formula = model_formula(asked, CURVED).replace(CURVED, f"rcs({CURVED}, {knots})", 1)
    with suppress(NotEstimable, ConvergenceError):
        return cox(formula, models.rows, weights=asked.q.weights, person=PERSON)
    return None


def _beside(models: Models) -> Iterator[Attempt]:
    """How often at equal time since the last, and just after one at equal frequency."""
    rows = (
        (MAIN, "frequency_beside", "Last 7 days, at equal recency"),
        ("recency", "recency_beside", "Just after one, at equal count"),
    )
    try:
        both = fit_hazard(models.asked, models.rows, (MAIN, "recency"))
    except NotEstimable as error:
        yield from (Attempt(name, label, reason=safely(error)) for _, name, label in rows)
        return
    for term, name, label in rows:
        level = models.asked.q.level
        yield Attempt(name, label, both.estimate({term: 1.0}, name=name, label=label, level=level))


def dose_facts(dose: Dose) -> dict[str, Cell]:
    return {} if dose.bend is None else {"bend_p": Quantity(dose.bend, "p")}


def dose_figure(dose: Dose) -> LineFigure | None:
    """Hazard ratio of weekly attendance over four weeks, against one a week."""
    if dose.curve is None:
        return None
    top = float(dose.models.rows.frame[CURVED].quantile(HIGHEST))
    asked = dose.models.asked
    table = dose.curve.dose_response(
        CURVED, np.linspace(0.0, top, POINTS).tolist(), reference=REFERENCE,
        level=asked.q.level, exponentiate=True,
    )  # fmt: skip
    columns = (CURVED, "estimate", "conf_low", "conf_high")
    x, y, low, high = (tuple(map(float, table[c])) for c in columns)
    name = plural(asked.q.meeting_name)
    return LineFigure(
        "dose",
        f"Hazard ratio of relapse by {name} a week, against one",
        f"{opening(name)} a week, last 28 days",
        "Hazard ratio of relapse",
        (Series("Restricted cubic spline", x, y, low, high),),
        horizontal=1.0,
        log_y=True,
        notes=("Drawn up to the attendance that one day at risk in a hundred goes beyond.",),
    )
