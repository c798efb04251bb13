"""Residence some days back: a relapse dated after the eviction it caused, and what a lag cures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.residence import TimeColumns, with_clusters
from recovery_stats.models.residence_lags import residence_history
from recovery_stats.models.residence_state import StayColumns, stay_rows
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
    columns = TimeColumns("arm", "time", "relapse", adjust=("sev",))
    data = with_clusters(data, clusters)
    return residence_history(data, columns, clusters, Dataset(stays), level=0.95, **STAYS)


def test_a_lag_cures_a_relapse_dated_after_the_eviction_it_caused():
    found = {e.name: e for e in history(*evictions()).estimates}
    assert found["stay_0_left_recently"].low > 2
    assert found["stay_0_in_house"].high < 0.7
    assert found["stay_7_left_recently"].value < found["stay_0_left_recently"].value
    for state in ("in_house", "left_recently", "left_earlier"):
        cured = found[f"stay_30_{state}"]
        assert abs(np.log(cured.value)) < MONTE_CARLO_SES * cured.se, state


def single_days(persons: pd.DataFrame, stays: pd.DataFrame, terms: str) -> pd.DataFrame:
    """The Cox regression of the states written out, on one row a person and day."""
    columns = StayColumns("pid", "time", "relapse", "in_day", "out_day", adjust=("sev", "house"))
    rows = stay_rows(Dataset(persons), Dataset(stays), columns)
    return (
        rs.cox(f"Surv(start, stop, event) ~ {terms} + sev", rows, cluster="house")
        .tidy()
        .set_index("term")
    )


def test_merged_days_have_the_likelihood_of_single_days():
    persons, stays = evictions(people=600)
    table = rs.residence_hazards(persons, stays, adjust=["sev"], lags=[0], **HAZARDS).tidy()
    table = table.set_index(["model", "term"])
    for model in ("state", "state and months"):
        found = table.loc[model]
        direct = single_days(persons, stays, " + ".join(found.index)).loc[found.index]
        np.testing.assert_allclose(np.log(found["estimate"]), direct["estimate"], rtol=CONVERGED)
        np.testing.assert_allclose(found["std_error"], direct["std_error_model"], rtol=CONVERGED)


def test_few_clusters_take_the_wider_of_two_intervals_with_t_of_two_fewer():
    persons, stays = evictions(people=600)
    persons = persons.assign(house=persons["house"] % 8)
    found = rs.residence_hazards(
        persons, stays, adjust=["sev"], lags=[0], cluster="house", **HAZARDS
    ).tidy()
    found = found[found["model"] == "state"]
    direct = single_days(persons, stays, " + ".join(found["term"]))
    robust = 0
    for row in found.itertuples():
        beta, by_house, plain = direct.loc[
            row.term, ["estimate", "std_error", "std_error_model"]
        ].astype(float)
        reach = max(by_house * t.isf(0.025, 6), plain * norm.isf(0.025))
        robust += by_house * t.isf(0.025, 6) > plain * norm.isf(0.025)
        np.testing.assert_allclose(
            np.log([row.conf_low, row.conf_high]), [beta - reach, beta + reach], rtol=CONVERGED
        )
        assert row.df in (6.0, np.inf)
    assert robust  # the case tests what it is here to test


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
