"""Residence, time since leaving and months so far, each as it was some days before: estimates.

    found = residence_history(times, columns, clusters, stays, person="pid", start="in_day",
                              stop="out_day", level=0.95)

The states of `stay.stay_rows` in the Cox regression of `residence.compare_times`, with its
covariates, weights, strata and the wider of its two intervals. A relapse that is dated after the
eviction it caused is read, at a lag, with the residence that came before both.

Checked: residence on the day against `compare_residence`; a relapse dated after the eviction it
caused (tests/models/test_residence_lags.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.residence import CLUSTER, TimeColumns, Times, fit_hazard, hazard_ratio
from recovery_stats.models.stay import (
    MONTHS,
    STATES,
    StayColumns,
    overlapping_stays,
    person_time,
    stay_rows,
)

LABELS = {
    "in_house": "in a house",
    "left_recently": "left within 30 days",
    "left_earlier": "left earlier",
    MONTHS: "each 30 days in a house so far",
}


@dataclass(frozen=True, slots=True)
class History:
    """Hazard ratios by lag, each against `reference` ("never" or "in_house").

    person_time: days and events by state at the first lag. refused: lags without an answer. moved,
    overlapping: people with several stays, and of these those whose stays overlap.
    """

    estimates: tuple[Estimate, ...]
    reference: str
    person_time: pd.DataFrame
    refused: tuple[int, ...]
    moved: int
    overlapping: int


def residence_history(
    found: Times,
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

    stays: under the same `person`; overlapping stays count once. Names: `stay_LAG_STATE`, and
    `stay_months` with the states of the first lag beside it.
    """
    extra = tuple(c for c in (columns.weights, columns.strata) if c)
    asked = StayColumns(
        person, columns.time, columns.event, start, stop, columns.entry,
        (*columns.adjust, *extra), CLUSTER,
    )  # fmt: skip
    first = stay_rows(found.data, stays, asked, lags[0])
    never = first.frame[list(STATES)].sum(axis=1).eq(0).any()
    states = STATES if never else STATES[1:]
    estimates: list[Estimate] = []
    refused = []
    for lag in lags:
        rows = first if lag == lags[0] else stay_rows(found.data, stays, asked, lag)
        made = list(_ratios(_merged(rows), states, columns, clusters, lag=lag, level=level))
        estimates += made
        refused += [] if made else [lag]
    terms = (*states, MONTHS)
    longer = [e for e in _ratios(first, terms, columns, clusters, lag=lags[0], level=level)
              if e.name.endswith(MONTHS)]  # fmt: skip
    estimates += [replace(e, name="stay_months", level="sensitivity") for e in longer]
    return History(
        tuple(estimates), "never" if never else "in_house", person_time(first), tuple(refused),
        *overlapping_stays(stays, asked),
    )  # fmt: skip


def _ratios(
    rows: Dataset,
    states: Sequence[str],
    columns: TimeColumns,
    clusters: Clusters,
    *,
    lag: int,
    level: float,
) -> Iterator[Estimate]:
    """The ratio of every state in which somebody had the event; nothing where the fit has none."""
    events = rows.frame[rows.frame["event"] == 1]
    terms = tuple(s for s in states if len(events) and events[s].max() > 0)
    daily = replace(columns, time="stop", event="event", entry="start", person="person")
    if not terms:
        return
    try:
        fit = fit_hazard(rows, daily, terms, clusters)
    except NotEstimable:
        return
    for term in terms:
        yield hazard_ratio(
            fit, term, clusters, name=f"stay_{lag}_{term}", label=_label(term, lag), level=level,
            rank="sensitivity" if lag else "secondary",
        )  # fmt: skip


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
