"""Person-weeks of attendance: day by day in a loop, and the error of their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.attendance import mean_by_person, person_weeks
from tests.tolerance import CLOSED_FORM


def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(3)
    persons = pd.DataFrame(
        {
            "pid": np.arange(40) + 5,
            "stop": rng.integers(3, 60, 40).astype(float),
            "event": rng.integers(0, 2, 40).astype(float),
        }
    )
    persons["start"] = np.minimum(rng.integers(0, 9, 40), persons["stop"] - 1).astype(float)
    persons["since"], persons["until"] = 0.0, rng.integers(5, 80, 40).astype(float)
    met = pd.DataFrame({"pid": rng.integers(5, 45, 900), "day": rng.integers(-3, 70, 900)})
    return persons, met


def test_weeks_are_those_of_a_loop_over_days():
    persons, met = cohort()
    found = person_weeks(
        Dataset(persons), person="pid", stop="stop", event="event", start="start",
        meetings=Dataset(met), meeting_day="day", diary_from="since", diary_to="until",
    ).frame  # fmt: skip
    rows = []
    for i, p in enumerate(persons.itertuples()):
        first, week = int(p.start), 1
        while first + 7 <= p.stop:
            days = range(first, first + 7)
            if all(p.since <= d <= p.until for d in days):
                n = sum(int(((met["pid"] == p.pid) & (met["day"] == d)).sum()) for d in days)
                left = (p.stop - first - 7) // 7 if p.event else np.nan
                rows.append((i, week, float(n), left))
            first, week = first + 7, week + 1
    assert_allclose(found.to_numpy(float), np.array(rows, float), rtol=CLOSED_FORM)


def test_error_of_the_mean_collapses_and_counts_people():
    x = np.array([1.0, 4, 2, 7, 5])
    mean, se = mean_by_person(x, np.arange(5))
    assert_allclose((mean, se), (x.mean(), x.std(ddof=1) / np.sqrt(5)), rtol=CLOSED_FORM)
    # each row three times tells no more than once
    twice = mean_by_person(np.repeat(x, 3), np.repeat(np.arange(5), 3))
    assert_allclose(twice, (mean, se), rtol=CLOSED_FORM)
    assert np.isnan(mean_by_person(x, np.zeros(5, int))[1])
