"""Length of stay in the housing report: lags, times of leaving, the naive total, one house."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.cell import Count
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import DataError
from recovery_stats.report.compose import compose
from tests.tolerance import MONTE_CARLO_SES

MOVED = 60  # people with a second house


def residents(people: int = 1200, houses: int = 20) -> Study:
    """The house does nothing; half live in one; people leave at random, or on relapse."""
    rng = np.random.default_rng(7)
    arm = np.arange(people) % 2
    relapse = np.ceil(rng.exponential(700, people))
    leave = np.ceil(rng.exponential(120, people)) + 1
    persons = pd.DataFrame({
        "pid": np.arange(people) + 1.0, "arm": arm, "time": np.minimum(relapse, 600.0),
        "event": (relapse <= 600) * 1.0, "sev": rng.normal(size=people),
        "site": np.arange(people) // 2 % 30,
    }).astype(float)  # fmt: skip
    stays = pd.DataFrame({"pid": persons["pid"], "in_day": 0.0,
                          "out_day": np.minimum(relapse, leave),
                          "house": rng.integers(0, houses, people) + 1.0})[arm == 1]  # fmt: skip
    second = stays.iloc[:MOVED].assign(house=houses + 1.0) if houses > 1 else stays.iloc[:0]
    roles = {"person": "pid", "house": "house"}
    protocol = Protocol(tables={"persons": TableSpec("persons"),
                                "stays": TableSpec("stays", roles=roles)})  # fmt: skip
    tables = {"persons": Dataset(persons), "stays": Dataset(pd.concat([stays, second]))}
    return Study(tables, protocol)


def ask(study: Study, **options):
    given = {"person": "pid", "arm": "arm", "time": "time", "event": "event", "adjust": ("sev",),
             "cluster": "site", "stay_start": "in_day", "stay_stop": "out_day"}  # fmt: skip
    result = answer(Question(**given | options), study)
    analysis = analyses.get("collaborative_housing")
    return result, str(compose(result, analysis.title, analysis.template))


@pytest.fixture(scope="module")
def told():
    return ask(residents(), stay_days=360)


def test_residence_on_the_day_finds_nothing_where_the_total_finds_much(told):
    result, _ = told
    for lag in (0, 7, 30):
        assert result[f"stay_{lag}_in_house"].low < 1 < result[f"stay_{lag}_in_house"].high
    assert result["stayed_six_months"].high < 1
    assert [e.name for e in result.estimates if e.level == "primary"] == ["hazard_ratio"]
    levels = {e.level for e in result.estimates if e.name.startswith(("stay_", "leave_"))}
    assert levels == {"secondary", "sensitivity"}


def test_leaving_at_three_six_and_twelve_months_has_one_risk_where_the_house_does_nothing(told):
    result, _ = told
    truth = 1 - np.exp(-360 / 700)
    for months in (3, 6, 12):
        risk = result[f"leave_{months}"]
        assert risk.low < truth < risk.high
    assert "leaving_risks" in result.figures
    assert "leave" in result.said


def mortal(people: int = 1600) -> Study:
    """As `residents`, and people die at a rate of 1 in 500 days, or are lost."""
    study = residents(people)
    rng = np.random.default_rng(11)
    frame = study["persons"].frame
    death, gone = (np.ceil(rng.exponential(scale, people)) for scale in (500, 3000))
    time = np.minimum(frame["time"], np.minimum(death, gone))
    event = (frame["event"] == 1) & (time == frame["time"])
    cause = np.select([event, time == death, time == gone], [1.0, 2.0, 3.0], 0.0)
    died = frame.assign(time=time, event=event * 1.0, cause=cause)
    names = {0.0: "None", 1.0: "Relapse", 2.0: "Death", 3.0: "Lost to follow-up"}
    codebook = Codebook({"cause": Variable("cause", "First event", names, measure="nominal")})
    stays = study["stays"].frame
    ends = np.minimum(stays["out_day"], stays["pid"].map(died.set_index("pid")["time"]))
    tables = {"persons": Dataset(died, codebook), "stays": Dataset(stays.assign(out_day=ends))}
    return Study(tables, study.protocol)


def test_death_competes_with_relapse_under_every_time_of_leaving():
    result, _ = ask(mortal(), cause="cause", stay_days=360)
    relapse, death = 1 / 700, 1 / 500
    truth = relapse / (relapse + death) * -np.expm1(-360 * (relapse + death))
    alone = -np.expm1(-360 * relapse)  # of people who cannot die: 0.40 against 0.29
    without, _ = ask(mortal(), stay_days=360)
    for months in (3, 6, 12):
        risk, censored = result[f"leave_{months}"], without[f"leave_{months}"]
        assert abs(risk.value - truth) < MONTE_CARLO_SES * risk.se
        assert abs(censored.value - alone) < MONTE_CARLO_SES * censored.se
        assert risk.value < censored.value
    assert "leave_competing" in result.said
    assert result.facts["competing"] == "Death"
    assert "leave_censored" in without.said
    for series in result.figures["curves"].series:  # F(t) = rate over both rates, less the living
        day, told = series.x[200], series.y[200]
        expected = relapse / (relapse + death) * -np.expm1(-day * (relapse + death))
        assert abs(told - expected) < MONTE_CARLO_SES * (series.high[200] - series.low[200]) / 4
    assert result.figures["curves"].rounded
    assert "incidence" in result.said
    _days_lost_are_the_area_under_the_incidence(result, relapse, death)
    assert "rmst_difference" in {e.name for e in without.estimates}
    assert without.figures["curves"].series[0].y[0] == 1.0  # survival


def _days_lost_are_the_area_under_the_incidence(result, relapse, death):
    """Beside them no mean of a Kaplan–Meier curve: the gap would tell how few the deaths were."""
    assert not [e.name for e in result.estimates if "Kaplan" in e.method]
    rate, horizon = relapse + death, result.facts["horizon"].value
    truth = relapse / rate * (horizon + np.expm1(-rate * horizon) / rate)
    assert [result[f"lost_{end}"].n for end in ("usual", "compared", "difference")] == [800] * 3
    for end in ("usual", "compared"):
        lost = result[f"lost_{end}"]
        assert 0 < lost.events < 800
        assert abs(lost.value - truth) < MONTE_CARLO_SES * lost.se
    gap = result["lost_compared"].value - result["lost_usual"].value
    assert abs(result["lost_difference"].value - gap) < 1e-9
    rows = [row.key for row in result.tables["hazards"].rows]
    assert rows[-3:] == ["lost_compared", "lost_usual", "lost_difference"]


def test_a_cause_that_contradicts_the_event_is_refused():
    study = mortal(400)
    frame = study["persons"].frame
    for wrong, match in ((frame["cause"].replace(2.0, 1.0), "do not agree"),
                         (frame["cause"].astype(str), "is text")):  # fmt: skip
        persons = study["persons"].with_frame(frame.assign(cause=wrong))
        with pytest.raises(DataError, match=match):
            ask(Study({**study.tables, "persons": persons}, study.protocol), cause="cause")


def test_person_time_adds_up_and_evictions_are_counted(told):
    result, _ = told
    rows = {r.key: r.cells for r in result.tables["stay_time"].rows}
    events = [rows[s][1].n for s in ("never", "in_house", "left_recently", "left_earlier")]
    assert sum(events) == rows["all"][1].n
    evicted = result.facts["evicted"]
    assert evicted.n == evicted.of > 0


def test_residents_in_two_houses_are_counted_once_and_told(told):
    result, _ = told
    assert result.facts["several_houses"].n == MOVED
    overlap = next(c for c in result.checks if c.name == "overlapping stays")
    assert overlap.verdict == "caution"


def test_who_came_back_to_a_house_is_not_the_difference_of_two_counts():
    """60 people with several stays beside 57 in several houses: three returned to theirs."""
    study = residents()
    stays = study["stays"].frame.reset_index(drop=True)
    back = stays.index[-3:]  # second stays of the last three who moved
    first = stays.drop_duplicates("pid").set_index("pid")["house"]
    stays.loc[back, "house"] = first[stays.loc[back, "pid"]].to_numpy()
    tables = {**study.tables, "stays": study["stays"].with_frame(stays)}
    result, words = ask(Study(tables, study.protocol), stay_days=360)
    overlap = next(c for c in result.checks if c.name == "overlapping stays")
    assert Count(MOVED) in overlap.parts
    assert "people lived in more than one house" in words
    assert f"Count(n={MOVED - 3}" not in words


def test_too_few_who_leave_at_a_time_is_told_in_words():
    result, words = ask(residents(people=200))
    assert "no_leave" in result.said
    assert "Too few people lived as" in words
    assert "leaving_risks" not in result.figures


def test_one_house_says_what_cannot_be_done():
    result, words = ask(residents(people=200, houses=1))
    assert "one_house" in result.said
    assert "All stays were in one house" in words


def test_without_stays_or_sensitivity_there_is_no_section():
    study = residents(people=200)
    for result, _ in (
        ask(study, sensitivity=False),
        ask(replace(study, tables={"persons": study["persons"]})),
    ):
        assert "stay" not in result.said
