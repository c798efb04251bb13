"""Residence some days back: a relapse dated after the eviction it caused, and what a lag cures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.residence import TimeColumns, Times, with_clusters
from recovery_stats.models.residence_lags import residence_history
from tests.tolerance import CONVERGED, MONTE_CARLO_SES

STAYS = {"person": "pid", "start": "in_day", "stop": "out_day"}
HAZARDS = {"person": "pid", "stop": "time", "event": "relapse", "stay_start": "in_day",
           "stay_stop": "out_day"}  # fmt: skip
LATEST = 14  # days from a relapse to the day under which it is recorded


def evictions(seed: int = 4, people: int = 4000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The house does nothing. Who relapses in it is out the same day; the record comes later."""
    rng = np.random.default_rng(seed)
    relapse = np.ceil(rng.exponential(300, people))
    recorded = relapse + rng.integers(1, LATEST + 1, people)
    leaves = np.ceil(rng.exponential(250, people)) + 1
    persons = pd.DataFrame({
        "pid": np.arange(people), "time": np.minimum(recorded, 500.0),
        "relapse": (recorded <= 500).astype(int), "sev": rng.normal(size=people),
        "house": rng.integers(0, 40, people).astype(float),
    })  # fmt: skip
    stays = pd.DataFrame({"pid": persons["pid"], "in_day": 1.0,
                          "out_day": np.maximum(np.minimum(relapse, leaves), 2.0)})  # fmt: skip
    return persons, stays[rng.random(people) < 0.67]


def history(persons: pd.DataFrame, stays: pd.DataFrame, cluster: str | None = None):
    data = Dataset(persons)
    arm = persons["pid"].isin(stays["pid"]).to_numpy(float)
    clusters = clusters_of(data, cluster, arm)
    times = Times(with_clusters(data, clusters), (0, 0), 500.0, (), (), 1.0, 1.0)
    columns = TimeColumns("arm", "time", "relapse", adjust=("sev",))
    return residence_history(times, columns, clusters, Dataset(stays), level=0.95, **STAYS)


def test_a_lag_cures_a_relapse_dated_after_the_eviction_it_caused():
    found = {e.name: e for e in history(*evictions()).estimates}
    assert found["stay_0_left_recently"].low > 2
    assert found["stay_0_in_house"].high < 0.7
    assert found["stay_7_left_recently"].value < found["stay_0_left_recently"].value
    for state in ("in_house", "left_recently", "left_earlier"):
        cured = found[f"stay_30_{state}"]
        assert abs(np.log(cured.value)) < MONTE_CARLO_SES * cured.se, state


def test_merged_days_have_the_likelihood_of_single_days():
    persons, stays = evictions(people=600)
    found = [e.value for e in history(persons, stays).estimates]
    table = rs.residence_hazards(persons, stays, adjust=["sev"], **HAZARDS).tidy()
    states = table.query("model == 'state' or term == 'months_in_house'")["estimate"]
    np.testing.assert_allclose(found, states, rtol=CONVERGED)


def test_an_interval_by_cluster_never_comes_out_shorter():
    persons, stays = evictions(people=600)
    alone = {e.name: e for e in history(persons, stays).estimates}
    for e in history(persons, stays, "house").estimates:
        assert e.value == pytest.approx(alone[e.name].value, rel=CONVERGED)
        assert e.high / e.low >= (1 - CONVERGED) * alone[e.name].high / alone[e.name].low


def test_where_everybody_lives_in_a_house_at_first_that_is_the_reference():
    persons, stays = evictions(people=600)
    persons = persons[persons["pid"].isin(stays["pid"])]
    found = history(persons, stays.assign(in_day=-40.0))
    assert found.reference == "in_house"
    assert "stay_0_in_house" not in {e.name for e in found.estimates}
