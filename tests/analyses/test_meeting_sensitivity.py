"""What stands beside the main answer about meetings: each number by brute force or another call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2

import recovery_stats as rs
from recovery_stats.analyses._meeting_kernel_tables import _profile
from recovery_stats.core.cell import Quantity
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.progress import listening
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import UsageError
from recovery_stats.models.multiplicity import adjusted
from tests.analyses.test_meeting_frequency import (
    ask,
    check,
    cohort,
    day_by_day,
    study_of,
    words,
)
from tests.tolerance import CLOSED_FORM, CONVERGED

CAUSES = {0.0: "None", 1.0: "Relapse", 2.0: "Death", 4.0: "Lost to follow-up"}
FEW = {"replicates": 20, "more_from": 6, "fewer_from": 0, "fewer_to": 5, "strategy_days": 84}


def with_loss(people: int = 240) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cohort in which every third end before day 120 is a loss and every fifth a death."""
    persons, meetings = cohort(people)
    i = persons.index
    cause = persons["relapse"].where(i % 3 > 0, 4.0).where(i % 5 > 0, 2.0)
    cause = cause.where(persons["days"] < 120, 0.0)
    return persons.assign(cause=cause, relapse=(cause == 1) * 1.0), meetings


def loss_study(people: int = 240) -> tuple[Study, pd.DataFrame, pd.DataFrame]:
    persons, meetings = with_loss(people)
    book = Codebook({"cause": Variable("cause", values=CAUSES)})
    return study_of(persons, meetings, book, cause="cause"), persons, meetings


@pytest.fixture(scope="module")
def lossy() -> tuple[Result, pd.DataFrame, pd.DataFrame]:
    study, persons, meetings = loss_study()
    return ask(study, adjust=["age"], site="site", **FEW), persons, meetings


def rows_with(persons: pd.DataFrame, meetings: pd.DataFrame, codes: list[float]) -> pd.DataFrame:
    """Person-days with the end of observation by one of `codes` marked, and the site."""
    rows = day_by_day(persons, meetings)
    known = persons.set_index("pid")
    last = rows["stop"] == rows["pid"].map(known["days"])
    ended = (rows["pid"].map(known["cause"]).isin(codes) & last) * 1.0
    return rows.assign(ended=ended, site=rows["pid"].map(known["site"]))


# --- item 1: attendance described ----------------------------------------------------------------


def test_mean_attendance_is_that_of_whole_weeks_before_relapse():
    persons, meetings = cohort()
    result = ask(study_of(persons, meetings), sensitivity=False, **FEW)
    counts, who = [], []
    for p in persons.itertuples():
        mine = meetings.loc[meetings["pid"] == p.pid, "mday"]
        for first in range(0, int(p.days) - 6, 7):
            counts.append(int(mine.between(first, first + 6).sum()))
            who.append(p.pid)
    found = result["attended[all]"]
    assert_allclose(found.value, np.mean(counts), rtol=CLOSED_FORM)
    assert found.n == len(set(who))
    row = next(r for r in result.tables["weeks"].rows if r.key == "weeks[all]")
    shares = [c.value for c in row.cells if isinstance(c, Quantity)]
    bounds = [0, 1, 2, 3, 5, 99]
    expected = np.histogram(counts, bounds)[0] / len(counts)
    assert_allclose(shares, expected, rtol=CLOSED_FORM)


def test_rows_of_the_diary_are_counted_and_named():
    persons, meetings = cohort()
    last = persons.set_index("pid")["days"]
    extra = pd.DataFrame(
        {"pid": [10, 10, 11, 12, 99_999, 13], "mday": [-2.0, -2.0, last[11] + 5, np.nan, 3.0, 1.0]}
    )
    found = check(ask(study_of(persons, pd.concat([meetings, extra])), **FEW), "diary rows")
    numbers = [p.n for p in found.parts if hasattr(p, "n")]
    repeated = int(pd.concat([meetings, extra]).duplicated().sum())
    after = int((meetings["mday"] >= meetings["pid"].map(last)).sum()) + 1
    assert numbers == [len(meetings) + 6, 2, after, repeated, 1, 1]


def test_meetings_twice_on_a_day_count_once_in_the_row_that_says_so():
    persons, meetings = cohort()
    doubled = pd.concat([meetings, meetings[meetings["mday"] % 3 == 0]])
    result = ask(study_of(persons, doubled), **FEW)
    once = ask(study_of(persons, meetings), sensitivity=False, **FEW)
    assert_allclose(result["one_a_day"].value, once["weekly_7"].value, rtol=CONVERGED)
    assert check(result, "diary rows").verdict == "caution"


# --- items 2 and 3: landmarks and dose -----------------------------------------------------------


def test_a_later_landmark_is_the_analysis_with_that_landmark():
    study = study_of(*cohort(300))
    result, there = ask(study, horizon=110, **FEW), ask(study, horizon=110, landmark=56, **FEW)
    for name in ("free[Less than 1]", "rmst[3 or more]", "free_difference", "rmst_difference"):
        assert_allclose(result[f"day_56_{name}"].value, there[name].value, rtol=CLOSED_FORM)
        assert_allclose(result[f"day_56_{name}"].se, there[name].se, rtol=CLOSED_FORM)


def test_a_landmark_that_nobody_reaches_keeps_its_row():
    persons, meetings = cohort(300)
    last = persons["days"] > 80
    persons.loc[last, ["days", "relapse"]] = [80, 0]
    table = ask(study_of(persons, meetings), horizon=110, **FEW).tables["landmarks"]
    heads = {row.key: row.label for row in table.rows if row.key.startswith("head")}
    assert heads["head[56]"] == "Free of relapse at week 8"
    assert heads["head[84]"] == "Free of relapse at week 12: not estimable"
    assert any("Not estimable" in str(note) for note in table.notes)


def test_the_dose_curve_is_that_of_a_spline_on_days():
    persons, meetings = cohort(200)
    result = ask(study_of(persons, meetings), sensitivity=False, **FEW)
    rows = day_by_day(persons, meetings)
    diary = {pid: np.array(g["mday"]) for pid, g in meetings.groupby("pid")}
    none = np.zeros(0)
    rows["weekly"] = [
        ((diary.get(p, none) >= d - 28) & (diary.get(p, none) < d)).sum() / 4
        for p, d in zip(rows["pid"], rows["stop"], strict=True)
    ]
    series = result.figures["dose"].series[0]
    fit = rs.cox("Surv(start, stop, event) ~ rcs(weekly, 4)", rows)
    table = fit.dose_response("weekly", list(series.x), reference=1.0, exponentiate=True)
    assert_allclose(series.y, table["estimate"], rtol=CONVERGED)
    assert_allclose(series.high, table["conf_high"], rtol=CONVERGED)
    straight = rs.cox("Surv(start, stop, event) ~ weekly", rows)
    one, other = (f.glance()["log_likelihood"].iloc[0] for f in (fit, straight))
    likelihood = 2 * (one - other)
    # Wald and likelihood ratio agree to the order of the effect where it is none
    assert abs(result.facts["bend_p"].value - chi2.sf(likelihood, 2)) < 0.05


def test_how_often_and_how_long_ago_are_in_one_model():
    persons, meetings = cohort()
    result = ask(study_of(persons, meetings), sensitivity=False, **FEW)
    rows = day_by_day(persons, meetings)
    diary = {pid: np.array(g["mday"]) for pid, g in meetings.groupby("pid")}
    ago = [
        min((d - m for m in diary.get(p, ()) if m < d), default=np.inf)
        for p, d in zip(rows["pid"], rows["stop"], strict=True)
    ]
    rows["recent"] = 2.0 ** (-np.array(ago) / 2.0)
    fit = rs.cox("Surv(start, stop, event) ~ met + recent", rows)
    names = ("frequency_beside", "recency_beside")
    assert_allclose([np.log(result[n].value) for n in names], fit.beta, rtol=CONVERGED)


def test_three_or_four_stand_against_one():
    persons, meetings = cohort()
    result = ask(study_of(persons, meetings), sensitivity=False, **FEW)
    rows = day_by_day(persons, meetings)
    cut = pd.cut(rows["met"], [-1, 0, 1, 2, 4, 99], labels=["0", "1", "2", "3-4", "5+"])
    rows["g"] = pd.Categorical(cut, categories=["1", "0", "2", "3-4", "5+"])
    fit = rs.cox("Surv(start, stop, event) ~ g", rows)
    at = fit.terms.index("g[T.3-4]")
    assert_allclose(np.log(result["group[3 or 4]"].value), fit.beta[at], rtol=CONVERGED)


# --- item 6: other ends --------------------------------------------------------------------------


def test_loss_is_weighted_counted_as_relapse_and_other_events_are_a_control(lossy: Any):
    result, persons, meetings = lossy
    formula = "Surv(start, stop, {}) ~ met + age + strata(site)"
    rows = rows_with(persons, meetings, [2.0])
    died = rs.cox(formula.format("ended"), rows)
    assert_allclose(np.log(result["control_event"].value), died.beta[0], rtol=CONVERGED)
    rows = rows_with(persons, meetings, [4.0])
    worst = rs.cox(formula.format("event"), rows.assign(event=rows["event"] + rows["ended"]))
    assert_allclose(np.log(result["lost_relapse"].value), worst.beta[0], rtol=CONVERGED)
    weighted = rs.censoring_weights(
        "Surv(start, stop, ended) ~ met + age", rows, person="pid", event="event",
        truncate=(0.01, 0.99),
    )  # fmt: skip
    fit = rs.cox(formula.format("event"), weighted.rows, weights="ipcw", cluster="pid")
    row = fit.tidy().iloc[0]
    assert_allclose(np.log(result["loss_weighted"].value), row["estimate"], rtol=CONVERGED)
    assert_allclose(result["loss_weighted"].se, row["std_error"], rtol=CONVERGED)


def test_a_higher_hazard_after_loss_begins_at_kaplan_meier_and_ends_at_relapse(lossy: Any):
    result, persons, meetings = lossy
    assert_allclose(
        result["loss[1]"].value, result["free_difference"].value, rtol=CLOSED_FORM, atol=1e-12
    )
    worst = persons.assign(relapse=persons["cause"].isin([1.0, 4.0]) * 1.0)
    other = ask(study_of(worst, meetings), sensitivity=False, horizon=365, **FEW)
    found = result["loss[as relapse]"]
    assert_allclose(found.value, other["free_difference"].value, rtol=CLOSED_FORM, atol=1e-12)
    assert_allclose(found.se, other["free_difference"].se, rtol=0.25)  # 200 draws: one in twenty


def test_sites_are_pooled_and_frail(lossy: Any):
    result, persons, meetings = lossy
    rows = rows_with(persons, meetings, [])
    pooled = rs.cox("Surv(start, stop, event) ~ met + age", rows)
    frail = rs.cox("Surv(start, stop, event) ~ met + age + frailty(site)", rows)
    assert_allclose(np.log(result["sites_pooled"].value), pooled.beta[0], rtol=CONVERGED)
    assert_allclose(np.log(result["site_frailty"].value), frail.beta[0], rtol=1e-6)


def with_events(persons: pd.DataFrame, meetings: pd.DataFrame) -> tuple[Study, pd.DataFrame]:
    """A table of events: everyone watched to day 150, relapsing again every 25 days."""
    again = [
        (p.pid, float(d), 1.0)
        for p in persons.itertuples()
        if p.relapse
        for d in range(int(p.days), 150, 25)
    ]
    ends = [(pid, 150.0, 5.0) for pid in persons["pid"]]
    events = pd.DataFrame([*again, *ends], columns=["pid", "eday", "etype"])
    study = study_of(persons, meetings)
    kinds = Variable("etype", values={1.0: "Relapse", 5.0: "End of study"})
    table = Dataset(events.set_axis(range(1, len(events) + 1)), Codebook({"etype": kinds}))
    spec = TableSpec("events", roles={"person": "pid", "day": "eday", "cause": "etype"})
    tables = {**study.protocol.tables, "events": spec}
    return Study({**study.tables, "events": table}, Protocol(tables=tables)), events


def test_every_relapse_is_a_rate_model_on_days():
    persons, meetings = cohort(80)
    study, events = with_events(persons, meetings)
    result = ask(study, **FEW)
    rows = day_by_day(persons.assign(days=150.0, relapse=0.0), meetings)
    keys = set(zip(events["pid"], events["eday"], events["etype"], strict=True))
    rows["event"] = [
        float((p, d, 1.0) in keys) for p, d in zip(rows["pid"], rows["stop"], strict=True)
    ]
    fit = rs.recurrent("Surv(start, stop, event) ~ met", rows, person="pid")
    row = fit.tidy().iloc[0]
    assert_allclose(np.log(result["recurrent"].value), row["estimate"], rtol=CONVERGED)
    assert_allclose(result["recurrent"].se, row["std_error"], rtol=CONVERGED)
    assert "told_once" not in result.said
    assert "told_once" in ask(study_of(persons, meetings), **FEW).said


# --- item 7: controls, the future, families ------------------------------------------------------


def test_the_future_is_attendance_after_the_day_and_only_where_the_diary_goes_on():
    persons, meetings = cohort()
    persons = persons.assign(since=0.0, until=persons["days"] + 20)
    rng = np.random.default_rng(4)
    after = [
        (p.pid, day)
        for p in persons.itertuples()
        for day in range(int(p.days), int(p.days) + 20)
        if rng.random() < 0.15
    ]
    later = pd.DataFrame(after, columns=["pid", "mday"])
    meetings = pd.concat([meetings, later], ignore_index=True)
    result = ask(
        study_of(persons, meetings), diary_from="since", diary_to="until", primary="weekly", **FEW
    )
    rows = day_by_day(persons, meetings.assign(mday=meetings["mday"] - 8))
    fit = rs.cox("Surv(start, stop, event) ~ met", rows)
    assert_allclose(np.log(result["future"].value), fit.beta[0], rtol=CONVERGED)
    assert "demonstration of reverse causation" in words(result)
    plain = ask(study_of(persons, meetings), **FEW)
    assert "future" not in {e.name for e in plain.estimates}


def test_what_was_there_before_is_a_regression_at_the_landmark():
    persons, meetings = cohort(200)
    result = ask(study_of(persons, meetings), adjust=["age"], **FEW)
    there = persons[persons["days"] > 28]
    met = meetings[meetings["mday"] < 28].groupby("pid").size()
    x = there["pid"].map(met).fillna(0).to_numpy() / 4
    slope = np.polyfit(x, there["age"], 1)[0]
    assert_allclose(result["before[age]"].value, slope, rtol=CLOSED_FORM)


def test_holm_is_over_all_secondary_tests():
    result = ask(study_of(*cohort()), **FEW)
    tested = [e for e in result.estimates if e.level == "secondary" and np.isfinite(e.p)]
    rows = {r.key: r for r in result.tables["family"].rows if r.cells}
    assert set(rows) == {f"test[{e.name}]" for e in tested}
    rows = [rows[f"test[{e.name}]"] for e in tested]
    expected = adjusted(np.array([e.p for e in tested]), "holm")
    assert_allclose([r.cells[1].value for r in rows], expected, rtol=CLOSED_FORM)
    assert not any(e.name in ("strategy_difference", "lag_7") for e in tested)


def test_relapse_known_to_an_interval_is_dated_early_and_also_as_recorded():
    persons, meetings = cohort()
    persons = persons.assign(known=lambda f: np.maximum(f["days"] - 4, 0))
    result = ask(study_of(persons, meetings), known="known", primary="weekly", **FEW)
    late = persons["relapse"] == 1
    dated = persons.assign(days=persons["days"].where(~late, persons["known"] + 1))
    first = rs.cox("Surv(start, stop, event) ~ met", day_by_day(dated, meetings))
    assert_allclose(np.log(result["weekly_7"].value), first.beta[0], rtol=CONVERGED)
    recorded = rs.cox("Surv(start, stop, event) ~ met", day_by_day(persons, meetings))
    assert_allclose(np.log(result["as_recorded"].value), recorded.beta[0], rtol=CONVERGED)


def test_the_strategies_are_asked_otherwise_by_their_own_options():
    study, _, _ = loss_study()
    found = ask(study, **FEW)
    other = ask(study, sensitivity=False, **FEW | {"truncate": 0.0})
    assert_allclose(
        found["strategy[untruncated]"].value, other["strategy_difference"].value, rtol=CLOSED_FORM
    )
    assert found["strategy[past]"].level == "sensitivity"
    assert "strategy_rivals" in found.tables


# --- what the data allow -------------------------------------------------------------------------


def test_weekly_counts_tell_no_days_and_the_report_says_so():
    persons, _ = cohort()
    weeks = pd.DataFrame(
        [(pid, w, (pid * w + w) % 5) for pid in persons["pid"] for w in range(1, 19)],
        columns=["pid", "mday", "n"],
    )
    result = ask(study_of(persons, weeks), period="week", meeting_count="n", **FEW)
    names = {e.name for e in result.estimates}
    assert not names & {"recency", "protection", "half_life", "one_a_day"}
    assert not {"lags", "windows", "shapes"} & {*result.tables, *result.figures}
    assert "Weekly counts do not tell how long ago" in words(result)


def test_a_count_at_entry_says_what_it_cannot_do():
    persons, _ = cohort()
    text = words(ask(study_of(persons.assign(n=persons["pid"] % 6 * 1.0)), frequency="n"))
    assert "## What these data could not tell" in text
    assert "for want of a diary" in text


def test_progress_of_the_bootstrap_is_told_and_changes_nothing():
    study, told = loss_study()[0], []
    silent = ask(study, sensitivity=False, **FEW)
    with listening(lambda *step: told.append(step)):
        heard = ask(study, sensitivity=False, **FEW)
    assert told == [("Bootstrap of the strategies", r, 20) for r in range(1, 21)]
    assert repr(heard.estimates) == repr(silent.estimates)


def test_hazards_after_loss_lie_between_no_loss_and_relapse_at_once(lossy: Any):
    result, _, _ = lossy
    declared, worst = result["strategy_difference"], result["strategy[lost_relapse]"]
    steps = [declared, *(result[f"strategy[loss_{d}]"] for d in ("1.5", "2", "3")), worst]
    moves = np.diff([e.value for e in steps])
    assert (np.sign(moves) == np.sign(worst.value - declared.value)).all()


def test_relapse_defined_otherwise_is_the_analysis_with_that_definition():
    study, persons, meetings = loss_study()
    later = np.minimum(persons["days"] + 9, 120.0)
    persons = persons.assign(
        again=np.where(persons["relapse"] == 1, later, persons["days"]),
        strict=persons["relapse"].where(persons.index % 4 > 0, 0.0),
    )
    book = study["persons"].codebook.with_variables(Variable("strict", "Relapse, strict"))
    study = study_of(persons, meetings, book, cause="cause")
    result = ask(study, other_time=["again"], other_event=["strict"], **FEW)
    swapped = persons.assign(
        days=persons["again"], relapse=persons["strict"],
        cause=persons["cause"].where((persons["cause"] != 1) | (persons["strict"] == 1), 0.0),
    )  # fmt: skip
    other = ask(study_of(swapped, meetings, book, cause="cause"), sensitivity=False, **FEW)
    assert_allclose(result["definition[1]"].value, other["weekly_7"].value, rtol=CONVERGED)
    assert result["definition[1]"].label == "Relapse, strict"
    found, expected = result["strategy[definition[1]]"], other["strategy_difference"]
    assert_allclose(found.value, expected.value, rtol=CONVERGED)
    with pytest.raises(UsageError, match="must name as many columns"):
        ask(study, other_time=["again"], **FEW)


def test_later_relapses_known_to_an_interval_are_dated_early_as_well():
    persons, meetings = cohort(80)
    study, events = with_events(persons, meetings)
    early = events.assign(eday=events["eday"] - 3.0 * (events["etype"] == 1))
    coarse = events.assign(known=early["eday"] - 1)
    kinds = study["events"].codebook
    told = Study(
        {**study.tables, "events": Dataset(coarse.set_axis(range(1, len(coarse) + 1)), kinds)},
        study.protocol,
    )
    there = Study(
        {**study.tables, "events": Dataset(early.set_axis(range(1, len(early) + 1)), kinds)},
        study.protocol,
    )
    one, other = (ask(s, **FEW, **o)["recurrent"] for s, o in
                  ((told, {"event_known": "known"}), (there, {})))  # fmt: skip
    assert_allclose(one.value, other.value, rtol=CONVERGED)


def test_the_profile_of_the_half_life_is_read_at_its_level_line() -> None:
    """A parabola of the logarithm with an error of 0.3 is above it within 1.96 errors."""
    grid = np.geomspace(0.5, 60, 4001)
    below = 0.5 * (np.log(grid / 4) / 0.3) ** 2
    fit = SimpleNamespace(profile=lambda: pd.DataFrame({"half_life": grid, "below_maximum": below}))
    found = SimpleNamespace(
        asked=SimpleNamespace(q=SimpleNamespace(level=0.95)), fits={"last": fit}
    )
    figure = _profile(found)  # type: ignore[arg-type]
    (line,) = figure.series
    inside = [x for x, y in zip(line.x, line.y, strict=True) if y >= figure.horizontal]
    assert (inside[0], inside[-1]) == pytest.approx(
        (4 * np.exp(-1.959964 * 0.3), 4 * np.exp(1.959964 * 0.3)), rel=2e-3
    )
