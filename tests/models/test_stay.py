"""Residence on the day: states by hand, lags, overlaps, and the naive total that misleads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.dataset import as_dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.residence_state import MONTHS, STATES, StayColumns, stay_rows
from tests.tolerance import CONVERGED, EXACT, MONTE_CARLO_SES

COLUMNS = {"person": "pid", "stop": "time", "event": "relapse", "stay_start": "in_day",
           "stay_stop": "out_day"}  # fmt: skip


def study(seed: int = 1, people: int = 1500) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A third never move in; a house does nothing; relapse ends seven in ten stays."""
    rng = np.random.default_rng(seed)
    relapse = np.ceil(rng.exponential(300, people))
    stop = np.minimum(relapse, 500)
    out = np.ceil(rng.exponential(250, people)) + 1
    evicted = (relapse <= 500) & (rng.random(people) < 0.7)
    out = np.where(evicted, np.minimum(out, relapse + 3), out)
    persons = pd.DataFrame({"pid": np.arange(people), "time": stop, "relapse": relapse <= 500})
    stays = pd.DataFrame({"pid": np.arange(people), "in_day": 1, "out_day": out})
    return persons.assign(relapse=persons["relapse"].astype(int)), stays[rng.random(people) < 0.67]


def states(stays: pd.DataFrame, lag: int = 0, entry: float = 0.0) -> pd.DataFrame:
    persons = pd.DataFrame({"pid": [1], "entry": [entry], "time": [60.0], "relapse": [1]})
    columns = StayColumns("pid", "time", "relapse", "in_day", "out_day", "entry")
    return stay_rows(as_dataset(persons), as_dataset(stays), columns, lag).frame


def test_each_day_has_the_state_of_that_day():
    rows = states(pd.DataFrame({"pid": [1], "in_day": [2], "out_day": [5]}))
    assert rows.loc[rows["in_house"] > 0, "stop"].tolist() == [3.0, 4.0, 5.0]
    assert rows.loc[rows["left_recently"] > 0, "stop"].tolist() == list(np.arange(6.0, 36.0))
    assert rows.loc[rows["left_earlier"] > 0, "stop"].tolist() == list(np.arange(36.0, 61.0))
    assert rows[MONTHS].iloc[-1] == pytest.approx(3 / 30, abs=EXACT)


def test_a_lag_moves_every_state_by_as_many_days():
    stays = pd.DataFrame({"pid": [1], "in_day": [2], "out_day": [5]})
    now, before = states(stays), states(stays, lag=7)
    for state in STATES:
        assert before[state].to_numpy()[7:].tolist() == now[state].to_numpy()[:-7].tolist()


def test_a_stay_that_ended_before_entry_is_remembered():
    rows = states(pd.DataFrame({"pid": [1], "in_day": [2], "out_day": [5]}), entry=10.0)
    assert not rows["in_house"].any()
    assert rows.loc[rows["left_recently"] > 0, "stop"].max() == 35.0
    assert (rows["left_recently"] + rows["left_earlier"] == 1).all()


def test_two_houses_on_a_day_count_once():
    persons, stays = study()
    split = stays.assign(out_day=np.minimum(stays["out_day"], 40.0))
    second = stays[stays["out_day"] > 40].assign(in_day=30)
    whole = rs.residence_hazards(persons, stays, **COLUMNS)
    halves = rs.residence_hazards(persons, pd.concat([split, second]), **COLUMNS)
    both = [f.tidy().query("model != 'naive'")["estimate"] for f in (whole, halves)]
    np.testing.assert_allclose(*both, rtol=CONVERGED)
    assert whole.overlapping == 0
    assert halves.overlapping == halves.moved == len(second)
    assert halves.checks()[1].verdict == "caution"


def test_where_the_house_does_nothing_residence_says_so_and_the_total_does_not():
    persons, stays = study(people=4000)
    found = rs.residence_hazards(persons, stays, **COLUMNS).tidy().set_index(["model", "lag"])
    state = found.loc[("state", 0)].set_index("term").loc["in_house"]
    assert abs(np.log(state["estimate"])) < MONTE_CARLO_SES * state["std_error"]
    assert found.loc[("naive", 0), "conf_high"].item() < 0.7


def test_where_everybody_lives_in_a_house_at_first_that_is_the_reference():
    persons, stays = study()
    persons = persons[persons["pid"].isin(stays["pid"])]
    found = rs.residence_hazards(persons, stays.assign(in_day=0), lags=[0], **COLUMNS).tidy()
    assert set(found.loc[found["model"] == "state", "reference"]) == {"in_house"}
    assert "in_house" not in set(found["term"])


def test_what_cannot_be_is_refused():
    persons, stays = study(people=200)
    with pytest.raises(UsageError, match="Lags"):
        rs.residence_hazards(persons, stays, lags=[-1], **COLUMNS)
    with pytest.raises(DataError, match="before"):
        rs.residence_hazards(persons, stays.assign(out_day=0), **COLUMNS)
    with pytest.raises(NotEstimable, match="moved into"):
        rs.stay_courses(persons, stays.assign(in_day=-5), **COLUMNS)


def test_days_of_a_stay_are_counted_from_moving_in():
    persons = pd.DataFrame({"pid": [1, 2], "time": [100.0, 100.0], "relapse": [1, 0]})
    stays = pd.DataFrame({"pid": [1, 2, 2], "in_day": [5, 0, 20], "out_day": [50, 25, 60]})
    found = rs.stay_courses(persons, stays, horizon=90, **COLUMNS)
    assert found.never == 0
    np.testing.assert_array_equal(found.courses.course.count, [[30, 15, 0], [30, 30, 0]])
