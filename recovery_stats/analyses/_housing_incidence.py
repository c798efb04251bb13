"""Cumulative incidence of relapse by arm, where other events end the follow-up of some people.

It takes the place of the Kaplan–Meier curves: one minus these takes a death for a loss, and the
gap between the two curves would tell how few deaths there were.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recovery_stats.analyses._ending import Ends, read_ends, refuse_disagreement
from recovery_stats.analyses._housing_case import ARM, Asked
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._wording import phrase
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import CurveFigure, Series
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.incidence import IncidenceCurves
from recovery_stats.models.residence import Times, behind, mean_estimates
from recovery_stats.models.survival import cumulative_incidence

FIRST = "first event|"
RELAPSE, OTHER = 1.0, 2.0
CAPTION = "Cumulative incidence of relapse"
NOTE = (
    "Relapse as first event, {} competing (Aalen–Johansen). At risk: no event so far. The "
    "Kaplan–Meier curve is not drawn: the gap between the two would tell how few the other events "
    "were."
)


def ends_of(asked: Asked, people: Dataset) -> Ends | None:
    """What else ended the follow-up, where there is a column of it."""
    if asked.cause is None:
        return None
    assert asked.event is not None
    known = people.with_frame(people.frame[people.frame[asked.cause].notna()])
    refuse_disagreement(known, asked.event, asked.cause, asked.event)
    return read_ends(known, asked.event, asked.cause, asked.lost_cause)


def incidence_by_arm(asked: Asked, people: Dataset, drawn: CurveFigure) -> Part:
    """The figure `drawn` with incidences for its curves; nothing where no event competes."""
    ends = ends_of(asked, people)
    if ends is None or not ends.competing:
        return Part()
    names = " and ".join(phrase(ends.labels[c]) for c in ends.competing)
    figure = CurveFigure(
        drawn.name, drawn.caption.replace("Share of people who have not relapsed", CAPTION),
        drawn.x_label, "Had relapsed", _curves(asked, people, ends), drawn.risk_times,
        notes=(NOTE.format(names),), rounded=True,
    )  # fmt: skip
    return Part(
        figures=(figure,), facts={"competing_ends": names}, said=frozenset({"incidence"})
    )  # fmt: skip


def with_days_lost(asked: Asked, times: Times) -> Times:
    """Days lost to relapse for the restricted means of Kaplan–Meier, where other events compete.

    Beside an incidence a mean time free of relapse, death taken for a loss, would be of another
    quantity; and the gap between the two would tell how few the other events were.
    """
    ends = ends_of(asked, times.data)
    if ends is None or not ends.competing:
        return times
    kept = tuple(e for e in times.estimates if not e.name.startswith("rmst_"))
    try:
        frame = _incidence(asked, times.data, ends).time_lost(f"{RELAPSE:g}", times.horizon)
    except NotEstimable:
        return replace(times, estimates=kept)
    lost = mean_estimates(
        frame, "lost", ("Days lost to relapse", "Difference in days lost"), level=asked.level,
        method="area under the Aalen–Johansen curve",
        sizes=behind(times.data, ARM, str(asked.event)),
    )  # fmt: skip
    return replace(times, estimates=(*kept, *lost))


def _curves(asked: Asked, people: Dataset, ends: Ends) -> tuple[Series, ...]:
    """One a group; whose end is not known, or is a loss, is followed until then."""
    return _incidence(asked, people, ends).series(f"{RELAPSE:g}")


def _incidence(asked: Asked, people: Dataset, ends: Ends) -> IncidenceCurves:
    frame = people.frame
    other = frame[str(asked.cause)].isin(ends.competing).to_numpy()
    relapsed = frame[str(asked.event)].to_numpy(float) == 1
    first = np.where(relapsed, RELAPSE, np.where(other, OTHER, 0.0))
    data = people.with_column(Variable(FIRST, "first event"), first)
    times = ", ".join(quote(str(c)) for c in (asked.entry, asked.time) if c)
    formula = f"Surv({times}, {quote(FIRST)}) ~ {quote(ARM)}"
    return cumulative_incidence(formula, data, level=asked.level)
