"""Custody declared as competing or as suspending the risk: by hand, by other calls, by truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import UsageError
from recovery_stats.models.reshape import landmark
from tests.analyses.test_meeting_frequency import ask, check, cohort, day_by_day, study_of, words
from tests.analyses.test_meeting_sensitivity import FEW
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES

ROLES = {"person": "pid", "start": "in", "stop": "out"}


def with_spells(persons: Any, meetings: Any, spells: pd.DataFrame, book: Any = None) -> Study:
    cause = {"cause": "cause"} if "cause" in persons else {}
    study = study_of(persons, meetings, book, **cause)
    table = Dataset(spells.set_axis(range(1, len(spells) + 1)))
    specs = {**study.protocol.tables, "spells": TableSpec("spells", roles=ROLES)}
    return Study({**study.tables, "spells": table}, Protocol(tables=specs))


def inside(persons: pd.DataFrame, seed: int = 5) -> pd.DataFrame:
    """Spells of every third person, none on the day on which follow-up ends; some at entry."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in persons[persons.index % 3 == 0].itertuples():
        first = 0.0 if p.Index % 9 == 0 else float(rng.integers(1, 40))
        last = first + float(rng.integers(1, 20))
        if last < p.days - 1:
            rows += [(p.pid, first, last), (p.pid, p.days + 3, p.days + 9)]
    return pd.DataFrame(rows, columns=["pid", "in", "out"])


def days_outside(persons: pd.DataFrame, meetings: pd.DataFrame, spells: pd.DataFrame) -> Any:
    rows = day_by_day(persons, meetings)
    gone = {(s.pid, d) for s in spells.itertuples() for d in range(int(s[2]) + 1, int(s[3]) + 1)}
    return rows[[(p, d) not in gone for p, d in zip(rows["pid"], rows["stop"], strict=True)]]


@pytest.fixture(scope="module")
def suspended() -> Any:
    persons, meetings = cohort(240)
    spells = inside(persons)
    result = ask(with_spells(persons, meetings, spells), custody="suspended", horizon=100, **FEW)
    return result, persons, meetings, spells


# --- suspended ------------------------------------------------------------------------------------


def test_days_inside_are_in_no_risk_set(suspended: Any):
    result, persons, meetings, spells = suspended
    rows = days_outside(persons, meetings, spells)
    fit = rs.cox("Surv(start, stop, event) ~ met", rows)
    assert_allclose(np.log(result["weekly_7"].value), fit.beta[0], rtol=CONVERGED)
    assert result["weekly_7"].events == int(rows["event"].sum()) == int(persons["relapse"].sum())


def test_curves_leave_and_re_enter(suspended: Any):
    result, persons, meetings, spells = suspended
    entered = spells[spells["in"] < 1].set_index("pid")["out"]
    late = persons.assign(entry=persons["pid"].map(entered).fillna(0.0))
    data = landmark(
        late, 28, person="pid", stop="days", event="relapse", start="entry", meetings=meetings,
        meeting_day="mday",
    ).frame  # fmt: skip
    weekly = data.set_index("pid")["meetings_per_week"]
    group = weekly.index[weekly >= 3]
    rows = days_outside(persons, meetings, spells)
    rows = rows[rows["pid"].isin(group) & (rows["start"] >= 28)]
    left = 1.0
    for day in range(29, 101):
        there = rows[rows["stop"] == day]
        left *= 1 - there["event"].sum() / len(there)
    assert_allclose(result["free[3 or more]"].value, left, rtol=CLOSED_FORM)
    assert result["free[3 or more]"].n == len(group)


def test_it_is_said_in_methods_estimand_and_checks(suspended: Any):
    result, persons, _, spells = suspended
    text = words(result)
    assert "Custody suspends the risk, as declared before the run" in text
    assert "time in custody is no time at risk" in result.estimand.intercurrent
    found = check(result, "custody")
    counts = [p.n for p in found.parts if isinstance(p, Count)]
    early = spells["in"] < 1
    middle = spells[~early & (spells["in"] < spells["pid"].map(persons.set_index("pid")["days"]))]
    assert counts == [spells["pid"].nunique(), int(early.sum()), middle["pid"].nunique(), 0, 0]
    assert found.verdict == "ok"


def test_a_relapse_inside_ends_observation_on_going_in():
    persons, meetings = cohort()
    who = persons[(persons["relapse"] == 1) & (persons["days"] > 9)].iloc[:12]
    spells = pd.DataFrame({"pid": who["pid"], "in": who["days"] - 5, "out": who["days"] + 30})
    result = ask(with_spells(persons, meetings, spells), custody="suspended", **FEW)
    cut = persons.assign(
        days=persons["days"] - 5.0 * persons["pid"].isin(who["pid"]),
        relapse=persons["relapse"].where(~persons["pid"].isin(who["pid"]), 0.0),
    )
    plain = ask(study_of(cut, meetings), sensitivity=False, **FEW)
    assert_allclose(result["weekly_7"].value, plain["weekly_7"].value, rtol=CONVERGED)
    assert check(result, "custody").verdict == "caution"


def test_who_ended_by_going_in_goes_on_with_the_events_after_release():
    persons, meetings = cohort(200)
    held = persons["pid"].isin(persons.loc[persons["relapse"] == 1, "pid"].iloc[:40])
    end = persons["days"].where(held, 0.0)
    went = np.floor(end / 2)
    book = Codebook(
        {"cause": Variable("cause", values={0.0: "None", 1.0: "Relapse", 3.0: "Incarceration"})}
    )
    file = persons.assign(
        days=persons["days"].where(~held, went + 1), relapse=persons["relapse"].where(~held, 0.0),
        cause=persons["relapse"].where(~held, 3.0),
    )  # fmt: skip
    spells = pd.DataFrame({"pid": persons["pid"], "in": went + 1, "out": went + 2})[held]
    events = [(p.pid, p.days, 3.0) for p in file[held].itertuples()]
    events += [(p.pid, p.days, 1.0) for p in persons[held].itertuples()]
    events += [(p.pid, 200.0, 5.0) for p in persons.itertuples()]
    table = pd.DataFrame(events, columns=["pid", "eday", "etype"])
    kinds = Variable("etype", values={1.0: "Relapse", 3.0: "Incarceration", 5.0: "End of study"})
    study = with_spells(file, meetings, spells, book)
    spec = TableSpec("events", roles={"person": "pid", "day": "eday", "cause": "etype"})
    study = Study(
        {**study.tables, "events": Dataset(table, Codebook({"etype": kinds}))},
        Protocol(tables={**study.protocol.tables, "events": spec}),
    )
    result = ask(study, custody="suspended", sensitivity=False, **FEW)
    rows = days_outside(persons, meetings, spells)
    fit = rs.cox("Surv(start, stop, event) ~ met", rows)
    assert_allclose(np.log(result["weekly_7"].value), fit.beta[0], rtol=CONVERGED)
    competing = ask(study, sensitivity=False, **FEW)
    assert competing["weekly_7"].events == int(file["relapse"].sum())


def test_a_constant_hazard_outside_is_found_whatever_the_time_inside():
    """Everyone spends days 30 to 60 inside; half the days of the others would say otherwise."""
    rng, n, hazard = np.random.default_rng(2), 3_000, 0.01
    outside = np.ceil(rng.exponential(1 / hazard, n))
    days = np.where(outside <= 30, outside, outside + 30)
    persons = pd.DataFrame(
        {"pid": np.arange(n), "days": np.minimum(days, 150.0), "relapse": (days <= 150) * 1.0}
    )
    arm = np.where(rng.random(n) < 0.5, "Often", "Seldom")
    spells = pd.DataFrame({"pid": persons["pid"], "in": 30.0, "out": 60.0})
    study = with_spells(persons.assign(arm=arm), None, spells)
    result = ask(study, frequency="arm", custody="suspended", horizon=150)
    for group in ("Often", "Seldom"):
        found = result[f"free[{group}]"]
        truth = np.exp(-hazard * 120)
        assert abs(found.value - truth) < MONTE_CARLO_SES * found.se


def test_a_block_with_a_day_inside_ends_no_strategy():
    persons, meetings = cohort(150)
    relapse = persons.index % 3 == 1
    persons = persons.assign(days=np.where(relapse, 70.0, 120.0), relapse=relapse * 1.0)
    never = pd.DataFrame({"pid": persons["pid"], "in": 1.0, "out": 2.0})
    blocks = pd.concat([never.assign(**{"in": 28.0 * b + 1, "out": 28.0 * b + 2}) for b in (1, 2)])
    spells = pd.concat([never, blocks])
    options = {**FEW, "more_from": 20, "grace_blocks": 0, "custody": "suspended"}
    result = ask(with_spells(persons, meetings, spells), sensitivity=False, **options)
    rows = result.tables["adherence"].rows
    assert rows[-1].cells[0] == Quantity(150.0, "whole", 150)
    flow = {r.key: r.cells[0] for r in result.tables["trial_flow"].rows}
    assert flow["flow[deviated]"] == Count(0)
    assert flow["flow[event]"] == Count(int(relapse.sum()))


def test_rows_of_going_in_and_of_release_are_spells():
    persons, meetings = cohort(240)
    spells = inside(persons)
    table = with_spells(persons, meetings, spells)
    rows = [(s.pid, s[2], 3.0) for s in spells.itertuples()]
    rows += [(s.pid, s[3], 6.0) for s in spells.itertuples()]
    events = pd.DataFrame(rows, columns=["pid", "eday", "etype"])
    kinds = Variable("etype", values={3.0: "Incarceration", 6.0: "Release from jail"})
    spec = TableSpec("events", roles={"person": "pid", "day": "eday", "cause": "etype"})
    study = study_of(persons, meetings)
    study = Study(
        {**study.tables, "events": Dataset(events, Codebook({"etype": kinds}))},
        Protocol(tables={**study.protocol.tables, "events": spec}),
    )
    one, other = (
        ask(s, custody="suspended", sensitivity=False, **FEW)["weekly_7"] for s in (study, table)
    )
    assert_allclose(one.value, other.value, rtol=CLOSED_FORM)
    assert one.n == other.n


# --- competing ------------------------------------------------------------------------------------


def test_going_in_first_is_an_event_of_its_own():
    persons, meetings = cohort(500)
    spells = inside(persons)
    options = {**FEW, "more_from": 5, "fewer_to": 9, "horizon": 100}
    result = ask(with_spells(persons, meetings, spells), **options)
    goes = spells[spells["in"] >= 1].groupby("pid")["in"].min()
    goes = persons["pid"].map(goes)
    taken = goes < persons["days"]
    entered = spells[spells["in"] < 1].set_index("pid")["out"]
    by_hand = persons.assign(
        days=persons["days"].where(~taken, goes), relapse=persons["relapse"].where(~taken, 0.0),
        entry=persons["pid"].map(entered).fillna(0.0),
        cause=persons["relapse"].where(~taken, 2.0),
    )  # fmt: skip
    by_hand = by_hand[by_hand["entry"] < by_hand["days"]]
    book = Codebook(
        {"cause": Variable("cause", values={0.0: "None", 1.0: "Relapse", 2.0: "Incarceration"})}
    )
    plain = ask(study_of(by_hand, meetings, book, cause="cause", entry="entry"), **options)
    for name in ("weekly_7", "incidence[1]", "incidence[2]", "strategy_difference"):
        assert_allclose(result[name].value, plain[name].value, rtol=CONVERGED)
    assert "is an event of its own that competes" in words(result)
    ended = [p.n for p in check(result, "custody").parts if isinstance(p, Count)][-1]
    assert ended == int(taken.sum())


def test_suspending_without_releases_is_refused():
    with pytest.raises(UsageError, match="nothing tells when people came out"):
        ask(study_of(*cohort()), custody="suspended")
