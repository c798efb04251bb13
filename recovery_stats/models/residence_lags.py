"""Residence, time since leaving and months so far, each as it was some days before: estimates.

    found = residence_history(data, columns, clusters, stays, person="pid", start="in_day",
                              stop="out_day", level=0.95)

The states of `residence_state.stay_rows` in the Cox regression of `residence.compare_times`, with
its covariates, weights, strata and the wider of its two intervals. A relapse that is dated after
the eviction it caused is read, at a lag, with the residence that came before both.

Checked: against Cox regression on single days; a relapse dated after the eviction it caused
(tests/models/test_residence_lags.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.residence import CLUSTER, TimeColumns, fit_hazard, hazard_ratio
from recovery_stats.models.residence_state import (
    MONTHS,
    STATES,
    StayColumns,
    overlapping_stays,
    person_time,
    stay_rows,
)

Model = Literal["state", "state and months"]

LABELS = {
    "in_house": "in a house",
    "left_recently": "left within 30 days",
    "left_earlier": "left earlier",
    MONTHS: "each 30 days in a house so far",
}
FEW_EVENTS = 10  # up to so many a state is thin; the verdict must not tell 10 from fewer


@dataclass(frozen=True, slots=True)
class Ratio:
    """A hazard ratio of a term (one of STATES, or MONTHS) as it was `lag` days before."""

    model: Model
    lag: int
    term: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Refused:
    """A lag without an answer, and why."""

    lag: int
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """Hazard ratios by lag, each against `reference` ("never" or "in_house").

    ratios: of the states at every lag, then of the states and the months at the first. person_time:
    days and events by state at the first lag. moved, overlapping: people with several stays, and
    of these those whose stays overlap.
    """

    ratios: tuple[Ratio, ...]
    reference: str
    person_time: pd.DataFrame
    refused: tuple[Refused, ...]
    moved: int
    overlapping: int

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """Every state at every lag (`stay_LAG_STATE`), and the months (`stay_months`)."""
        states = [r.estimate for r in self.ratios if r.model == "state"]
        months = [
            replace(r.estimate, name="stay_months", level="sensitivity")
            for r in self.ratios
            if r.term == MONTHS
        ]
        return (*states, *months)

    def checks(self) -> tuple[Check, ...]:
        """Whether each state saw events, and how stays that overlap were counted."""
        least = self.person_time.set_index("state").loc[list(STATES), "events"].min()
        return (
            Check(
                "residence", "caution" if least <= FEW_EVENTS else "ok",
                ("The fewest events in a state of residence are ", Count(int(least), "events"),
                 "."),
            ),
            Check(
                "overlapping stays", "caution" if self.overlapping else "ok",
                (Count(self.moved), " people have several stays; those of ",
                 Count(self.overlapping), " overlap, and a day in two houses counts once."),
            ),
        )  # fmt: skip


def residence_history(
    data: Dataset,
    columns: TimeColumns,
    clusters: Clusters,
    stays: Dataset,
    *,
    person: str,
    start: str,
    stop: str,
    level: float,
    lags: Sequence[int] = (0, 7, 30),
) -> History:
    """Hazard ratios of the states of residence, read `lags` days back.

    data: one row a person, with its clusters (`residence.with_clusters`). stays: under the same
    `person`; overlapping stays count once.
    """
    extra = tuple(c for c in (columns.weights, columns.strata) if c)
    asked = StayColumns(
        person, columns.time, columns.event, start, stop, columns.entry,
        (*columns.adjust, *extra), CLUSTER,
    )  # fmt: skip
    first = stay_rows(data, stays, asked, lags[0])
    never = first.frame[list(STATES)].sum(axis=1).eq(0).any()
    states = STATES if never else STATES[1:]
    ratios: list[Ratio] = []
    refused = []
    for lag in lags:
        rows = first if lag == lags[0] else stay_rows(data, stays, asked, lag)
        try:
            ratios += _ratios(_merged(rows), states, columns, clusters, lag, level, "state")
        except NotEstimable as error:
            refused.append(Refused(lag, str(error)))
    with suppress(NotEstimable):  # the states alone, where they have an answer, stand without it
        ratios += _ratios(
            first, (*states, MONTHS), columns, clusters, lags[0], level, "state and months"
        )
    return History(
        tuple(ratios), "never" if never else "in_house", person_time(first), tuple(refused),
        *overlapping_stays(stays, asked),
    )  # fmt: skip


def _ratios(
    rows: Dataset,
    states: Sequence[str],
    columns: TimeColumns,
    clusters: Clusters,
    lag: int,
    level: float,
    model: Model,
) -> Iterator[Ratio]:
    """The ratio of every state in which somebody had the event; NotEstimable without any."""
    events = rows.frame[rows.frame["event"] == 1]
    terms = tuple(s for s in states if len(events) and events[s].max() > 0)
    if not terms:
        raise NotEstimable("Nobody had the event in or after a house: residence has no ratio.")
    daily = replace(columns, time="stop", event="event", entry="start", person="person")
    fit = fit_hazard(rows, daily, terms, clusters)
    for term in terms:
        yield Ratio(model, lag, term, hazard_ratio(
            fit, term, clusters, name=f"stay_{lag}_{term}", label=_label(term, lag), level=level,
            rank="sensitivity" if lag else "secondary",
        ))  # fmt: skip


def _label(term: str, lag: int) -> str:
    label = LABELS[term]
    return f"{lag} days before: {label}" if lag else label[0].upper() + label[1:]


def _merged(rows: Dataset) -> Dataset:
    """Days of one person that follow each other in one state, as one row: the same likelihood."""
    frame = rows.frame
    states = frame[list(STATES)].to_numpy()
    other = frame["person"].to_numpy()[1:] != frame["person"].to_numpy()[:-1]
    gap = frame["start"].to_numpy()[1:] != frame["stop"].to_numpy()[:-1]
    change = np.append(True, other | gap | (states[1:] != states[:-1]).any(axis=1))
    last = np.append(np.flatnonzero(change)[1:] - 1, len(frame) - 1)
    kept = frame[change].assign(**{c: frame[c].to_numpy()[last] for c in ("stop", "event")})
    return rows.with_frame(kept)
