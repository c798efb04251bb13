"""Length of stay as what is known on each day: in the house, since leaving, days so far.

    found = residence_hazards(persons, stays, person="pid", stop="t_relapse", event="relapse",
                              stay_start="in_day", stay_stop="out_day", adjust=["severity"])
    found.tidy()       hazard ratios, with lags, and the naive total beside them
    found.checks()

A total of the days stayed is known only at the end, and relapse ends stays: who stayed six months
had not relapsed for six months. Here residence is what it was on the day, or `lag` days before
it, so that an eviction which came with a relapse that was dated later cannot pass for its cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.residence import (
    TimeColumns,
    days_resident,
    long_stay_ratio,
    with_clusters,
)
from recovery_stats.models.residence_lags import History, residence_history

NAIVE = "stayed_six_months"


def residence_hazards(
    persons: Dataset | pd.DataFrame,
    stays: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    stay_start: str,
    stay_stop: str,
    start: str | None = None,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    lags: Sequence[int] = (0, 7, 30),
    level: float = 0.95,
) -> ResidenceFit:
    """Hazard of the event by residence on the day, time since leaving and months so far.

    persons: one row a person, (start, stop] in days and event 0/1. stays: one row a stay, under
    the same `person`; overlapping stays and stays in two houses count once. adjust: baseline
    covariates. cluster: robust errors by it, with t of two degrees of freedom less than there are
    clusters, and never a shorter interval than without; people without one are alone. lags: days
    back at which residence is read; days before entry without a stay count as not resident.
    Raises UsageError, DataError, NotEstimable.
    """
    if not lags or any(lag < 0 for lag in lags):
        raise UsageError("Lags are whole days, 0 or more, and at least one.")
    people, homes = as_dataset(persons), as_dataset(stays)
    clusters = clusters_of(people, cluster, np.zeros(len(people)))
    people = with_clusters(people, clusters)
    columns = TimeColumns("", stop, event, start, tuple(adjust), person=person)
    history = residence_history(
        people, columns, clusters, homes, person=person, start=stay_start, stop=stay_stop,
        level=level, lags=lags,
    )  # fmt: skip
    if history.refused:
        raise NotEstimable(history.refused[0].reason)
    total = people.frame[person].map(days_resident(homes, person, stay_start, stay_stop))
    naive = long_stay_ratio(people, columns, clusters, total.fillna(0.0), level=level)
    return ResidenceFit(history, naive)


@dataclass(frozen=True)
class ResidenceFit:
    """Hazard ratios of residence; see `residence_hazards`.

    history: the ratios, with days and events by state at the first lag. naive: six months in all
    against less; None where it separates those who had the event from the others.
    """

    history: History = field(repr=False)
    naive: Estimate | None

    @property
    def person_time(self) -> pd.DataFrame:
        """Days and events by state at the first lag."""
        return self.history.person_time

    @property
    def moved(self) -> int:
        """People with more than one stay."""
        return self.history.moved

    @property
    def overlapping(self) -> int:
        """People whose stays overlap."""
        return self.history.overlapping

    def tidy(self) -> pd.DataFrame:
        """Hazard ratios by model, lag and term, each against `reference`.

        reference: "never" having lived in a house; "in_house" where everybody has. std_error: of
        the log ratio. df: of its reference, inf for the normal.

        model: "state", "state and months" (each 30 days so far), "naive" (stayed six months in
        all, against less: known only later and never to be used).
        """
        return pd.DataFrame(list(self._rows()))

    def _rows(self) -> Iterator[dict[str, object]]:
        for ratio in self.history.ratios:
            first = {"model": ratio.model, "lag": ratio.lag, "reference": self.history.reference}
            yield first | {"term": ratio.term} | _told(ratio.estimate)
        if self.naive:
            first = {"model": "naive", "lag": 0, "reference": "stayed less"}
            yield first | {"term": NAIVE} | _told(self.naive)

    def checks(self) -> tuple[Check, ...]:
        """Whether each state saw events, and how stays that overlap were counted."""
        return self.history.checks()


def _told(e: Estimate) -> dict[str, object]:
    return {
        "estimate": e.value, "std_error": e.se, "df": e.df, "conf_low": e.low,
        "conf_high": e.high, "p_value": e.p, "method": e.method,
    }  # fmt: skip
