"""Meetings and relapse: brute force, no look into the future, collapse, cautions, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.analyses import _meeting_dose, _meeting_models, _meeting_strategy
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.study import workflow
from tests.tolerance import CLOSED_FORM, CONVERGED, INVARIANCE, MONTE_CARLO_SES

ROLES = {
    "persons": {"person": "pid", "time": "days", "event": "relapse"},
    "meetings": {"person": "pid", "meeting_day": "mday"},
}


def study_of(
    persons: pd.DataFrame,
    meetings: pd.DataFrame | None = None,
    codebook: Codebook | None = None,
    **roles: str,
) -> Study:
    numbered = persons.set_axis(range(1, len(persons) + 1))
    tables = {"persons": Dataset(numbered, codebook or Codebook())}
    specs = {"persons": TableSpec("persons", roles=ROLES["persons"] | roles)}
    if meetings is not None:
        tables["meetings"] = Dataset(meetings.set_axis(range(1, len(meetings) + 1)))
        specs["meetings"] = TableSpec("meetings", roles=ROLES["meetings"])
    return Study(tables, Protocol(tables=specs))


def ask(study: Study, **options: Any) -> Result:
    return rs.answer("meeting_frequency", study, **options)


def cohort(people: int = 120, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """People followed for up to 120 days, with a diary; time and attendance are unrelated."""
    rng = np.random.default_rng(seed)
    days = np.clip(rng.exponential(70, people).round() + 1, 1, 120)
    persons = pd.DataFrame(
        {
            "pid": np.arange(people) + 10,
            "days": days,
            "relapse": (days < 120).astype(float),
            "age": rng.normal(40, 10, people),
            "site": np.arange(people) % 3,
        }
    )
    rate = rng.choice([0.05, 0.25, 0.6], people)
    met = [
        (pid, day)
        for pid, r, end in zip(persons["pid"], rate, days, strict=True)
        for day in range(int(end))
        if rng.random() < r
    ]
    return persons, pd.DataFrame(met, columns=["pid", "mday"])


def in_arms(people: int = 80, seed: int = 2) -> pd.DataFrame:
    persons, _ = cohort(people, seed)
    return persons.assign(arm=np.where(np.arange(people) % 2, "House", "Usual"))


def check(result: Result, name: str) -> Any:
    return next(c for c in result.checks if c.name == name)


def words(result: Result) -> str:
    """The report as Markdown: composing and hiding must work for every result of these tests."""
    return workflow.render(workflow.report(result), "x", ["md"])["x.md"].decode()


# --- attendance strictly before the day at risk -------------------------------------------------


def day_by_day(persons: pd.DataFrame, meetings: pd.DataFrame, lag: int = 0) -> pd.DataFrame:
    """One row a person and day; meetings of the seven days before it, counted in a loop."""
    diary = {pid: list(g["mday"]) for pid, g in meetings.groupby("pid")}
    rows = []
    for p in persons.itertuples():
        for day in range(1, int(p.days) + 1):
            window = range(day - lag - 7, day - lag)
            met = sum(m in window for m in diary.get(p.pid, []))
            happened = float(p.relapse and day == p.days)
            rows.append((p.pid, day - 1, day, happened, met, p.age))
    return pd.DataFrame(rows, columns=["pid", "start", "stop", "event", "met", "age"])


def test_hazard_ratio_is_that_of_rows_made_day_by_day():
    persons, meetings = cohort(60)
    result = ask(study_of(persons, meetings), adjust=["age"], primary="weekly")
    fit = rs.cox("Surv(start, stop, event) ~ met + age", day_by_day(persons, meetings))
    row = fit.tidy().set_index("term").loc["met"]
    found = result["weekly_7"]
    assert_allclose(np.log(found.value), row["estimate"], rtol=CONVERGED)
    assert_allclose(found.se, row["std_error"], rtol=CONVERGED)
    assert found.level == "primary"
    assert (found.n, found.events) == (60, int(persons["relapse"].sum()))


def test_attendance_counted_earlier_is_the_same_with_an_earlier_window():
    persons, meetings = cohort(60)
    result = ask(study_of(persons, meetings))
    fit = rs.cox("Surv(start, stop, event) ~ met", day_by_day(persons, meetings, lag=7))
    assert_allclose(np.log(result["lag_7"].value), fit.beta[0], rtol=CONVERGED)


def test_from_day_seven_is_the_model_of_windows_that_begin_at_entry():
    persons, meetings = cohort(60)
    result = ask(study_of(persons, meetings))
    rows = day_by_day(persons, meetings)
    fit = rs.cox("Surv(start, stop, event) ~ met", rows[rows["stop"] - 7 >= 0])
    assert_allclose(np.log(result["from_day_7"].value), fit.beta[0], rtol=CONVERGED)


def test_meetings_on_the_day_of_relapse_or_after_change_nothing_but_the_naive_answer():
    persons, meetings = cohort()
    last = persons[["pid", "days"]].rename(columns={"days": "mday"})
    last = last[last["pid"] % 2 == 0]
    later = pd.concat([meetings, last, last.assign(mday=last["mday"] + 3)])
    before, after = (ask(study_of(persons, m)) for m in (meetings, later))
    for name in ("weekly_7", "recency", "lag_14", "group[3 or 4]"):
        assert_allclose(after[name].value, before[name].value, rtol=CLOSED_FORM)
    assert abs(after["naive_total"].value - before["naive_total"].value) > 1e-3


def test_naive_answer_is_the_whole_diary_coded_at_entry():
    persons, meetings = cohort()
    total = persons["pid"].map(meetings.groupby("pid").size()).fillna(0)
    data = persons.assign(total=total, weekly=7 * total / persons["days"])
    result = ask(study_of(persons, meetings))
    for name, column, step in (("naive_weekly", "weekly", 1), ("naive_total", "total", 10)):
        fit = rs.cox(f"Surv(days, relapse) ~ {column}", data)
        assert_allclose(np.log(result[name].value), step * fit.beta[0], rtol=CONVERGED)
        assert result[name].level == "naive"
    assert "uses the future" in words(result)


def test_weekly_counts_are_a_diary_too():
    persons, _ = cohort()
    weeks = pd.DataFrame(
        [(pid, w, (pid + w) % 4) for pid in persons["pid"] for w in range(1, 19)],
        columns=["pid", "mday", "n"],
    )
    result = ask(study_of(persons, weeks), period="week", meeting_count="n")
    days = weeks.loc[weeks.index.repeat(weeks["n"])].assign(mday=lambda f: f["mday"] * 7 - 1)
    same = ask(study_of(persons, days))
    assert_allclose(result["weekly_7"].value, same["weekly_7"].value, rtol=CLOSED_FORM)


def test_null_cohort_fools_the_naive_answer_only():
    z, naive = [], []
    for seed in (1, 2, 3):
        study = rs.synthetic_study("null", persons=500, seed=seed)
        result = ask(study)
        main = result["weekly_7"]
        z.append(np.log(main.value) / main.se)
        naive.append(result["naive_total"].p)
    assert abs(np.mean(z)) < MONTE_CARLO_SES / np.sqrt(len(z))
    assert max(naive) < 0.05


# --- curves -------------------------------------------------------------------------------------


def test_landmark_curves_are_in_order_of_attendance_and_begin_there():
    result = ask(study_of(*cohort(200)), landmark=14)
    names = [s.name for s in result.figures["curves"].series]
    assert names == ["Less than 1", "1 or 2", "3 or more"]
    assert [r.label for r in result.tables["curves_table"].rows][:3] == names
    for series in result.figures["curves"].series:
        assert series.x[0] == 14.0
        assert series.y[0] == 1.0


def test_number_at_risk_is_a_count_of_people():
    persons, meetings = cohort(200)
    result = ask(study_of(persons, meetings), landmark=14, horizon=60)
    persons = persons[persons["days"] > 14]
    met = meetings[meetings["mday"] < 14].groupby("pid").size()
    weekly = persons["pid"].map(met).fillna(0) / 2
    figure = result.figures["curves"]
    bounds = (0.0, 1.0, 3.0, np.inf)
    for series, (low, high) in zip(figure.series, pairwise(bounds), strict=True):
        here = persons[(weekly >= low) & (weekly < high)]
        assert series.n_at[0] == len(here)
        assert series.x[-1] <= 60
        assert series.n_at[-1] == (here["days"] >= series.x[-1]).sum()


def two_arms() -> pd.DataFrame:
    """Six people: times 1 to 6, arms in turn, no censoring but the last."""
    return pd.DataFrame(
        {
            "pid": range(6),
            "days": [1.0, 2, 3, 4, 5, 6],
            "relapse": [1.0, 1, 1, 1, 1, 0],
            "arm": ["A", "B", "A", "B", "A", "B"],
        }
    )


def test_logrank_test_is_the_one_on_paper():
    result = ask(study_of(two_arms()), frequency="arm", horizon=5)
    # at risk in A of all before each event: 3/6, 2/5, 2/4, 1/3, 1/2; events in A: 3
    p = np.array([3 / 6, 2 / 5, 2 / 4, 1 / 3, 1 / 2])
    chisq = (3 - p.sum()) ** 2 / (p * (1 - p)).sum()
    found = result["logrank"]
    assert_allclose(found.value, chisq, rtol=CLOSED_FORM)
    assert found.df == 1
    assert "log-rank test: chi-squared" in words(result)


def test_mean_time_and_shares_are_areas_and_heights_on_paper():
    result = ask(study_of(two_arms()), frequency="arm", horizon=5)
    # A falls at 1, 3, 5 by thirds; B at 2 and 4
    assert_allclose(result["rmst[A]"].value, 1 + 2 * 2 / 3 + 2 / 3, rtol=CLOSED_FORM)
    assert_allclose(result["rmst[B]"].value, 2 + 2 * 2 / 3 + 1 / 3, rtol=CLOSED_FORM)
    assert_allclose(result["rmst_difference"].value, 2 / 3, rtol=CLOSED_FORM)
    assert_allclose(result["free[B]"].value, 1 / 3, rtol=CLOSED_FORM)
    early = ask(study_of(two_arms()), frequency="arm", horizon=3)
    assert_allclose(early["free_difference"].value, 2 / 3 - 1 / 3, rtol=CLOSED_FORM)
    # Greenwood by hand: S² times the sum of d / (n (n - d))
    se = np.sqrt((1 / 3) ** 2 * (1 / 6 + 1 / 2) + (2 / 3) ** 2 / 6)
    assert_allclose(early["free_difference"].se, se, rtol=CLOSED_FORM)


def test_difference_has_the_root_of_both_variances_and_its_p():
    result = ask(study_of(in_arms()), frequency="arm", horizon=60)
    one, other, gap = (result[f"rmst{x}"] for x in ("[House]", "[Usual]", "_difference"))
    assert_allclose(gap.se, np.hypot(one.se, other.se), rtol=CLOSED_FORM)
    assert abs(gap.value) == pytest.approx(abs(one.value - other.value))
    assert (gap.p < 0.05) == (gap.low > 0 or gap.high < 0)


# --- known at entry ---------------------------------------------------------------------------


def test_group_known_at_entry_is_a_cox_model_with_the_reference_asked_for():
    persons = in_arms()
    fit = rs.cox("Surv(days, relapse) ~ arm", persons)
    usual = ask(study_of(persons), frequency="arm", reference="House")
    house = ask(study_of(persons), frequency="arm", reference="Usual")
    assert_allclose(np.log(usual["group[Usual]"].value), fit.beta[0], rtol=CONVERGED)
    assert_allclose(house["group[House]"].value * usual["group[Usual]"].value, 1.0, rtol=CONVERGED)
    assert "Where it was “Usual”" in words(usual)


def test_count_known_at_entry_is_a_slope_with_grouped_curves():
    persons = in_arms().assign(weekly=lambda f: f["pid"] % 7 * 1.0)
    result = ask(study_of(persons), frequency="weekly")
    fit = rs.cox("Surv(days, relapse) ~ weekly", persons)
    assert_allclose(np.log(result["frequency"].value), fit.beta[0], rtol=CONVERGED)
    names = [s.name for s in result.figures["curves"].series]
    assert names == ["Less than 1", "1 or 2", "3 or 4", "5 or more"]
    assert "Per unit more of weekly" in words(result)


def test_dates_are_counted_in_days():
    persons = in_arms()
    begin = pd.Timestamp("2020-02-28") + pd.to_timedelta(persons["pid"] * 11, unit="D")
    end = begin + pd.to_timedelta(persons["days"], unit="D")
    dated = persons.drop(columns="days").assign(begin=begin, end=end)
    study = study_of(dated)
    spec = TableSpec("persons", roles={"person": "pid", "event": "relapse"})
    study = Study(study.tables, Protocol(tables={"persons": spec}))
    result = ask(study, entry_date="begin", exit_date="end", frequency="arm")
    plain = ask(study_of(persons), frequency="arm")
    assert_allclose(result["group[Usual]"].value, plain["group[Usual]"].value, rtol=CLOSED_FORM)


def test_late_entry_is_at_risk_from_entry_only():
    persons = in_arms().assign(entry=lambda f: np.minimum(f["pid"] % 9, f["days"] - 1))
    result = ask(study_of(persons), frequency="arm", entry="entry")
    fit = rs.cox("Surv(entry, days, relapse) ~ arm", persons)
    assert_allclose(np.log(result["group[Usual]"].value), fit.beta[0], rtol=CONVERGED)
    assert "late_entry" in result.said
    assert result.facts["late"].n == int((persons["entry"] > 0).sum())


def test_sites_are_strata_of_the_model_and_of_the_test():
    persons = in_arms()
    result = ask(study_of(persons), frequency="arm", site="site")
    fit = rs.cox("Surv(days, relapse) ~ arm + strata(site)", persons)
    assert_allclose(np.log(result["group[Usual]"].value), fit.beta[0], rtol=CONVERGED)
    test = rs.logrank("Surv(days, relapse) ~ arm + strata(site)", persons).tidy()
    assert_allclose(result["logrank"].value, test["statistic"][0], rtol=CLOSED_FORM)


def test_order_of_rows_changes_nothing():
    persons, meetings = cohort()
    plain = ask(study_of(persons, meetings))
    mixed = ask(
        study_of(persons.sample(frac=1, random_state=1), meetings.sample(frac=1, random_state=2))
    )
    for e in plain.estimates:
        assert_allclose(mixed[e.name].value, e.value, rtol=INVARIANCE)


# --- cautions -----------------------------------------------------------------------------------


def test_a_shared_source_fails_its_check_and_shows_no_effect():
    source = {"exposure_source": "clinic visits", "event_source": "Clinic visits "}
    result = ask(study_of(*cohort()), **source)
    assert result.estimates == ()
    assert check(result, "shared source").verdict == "fail"
    assert "refused" in result.said
    assert "hazard ratio" not in words(result).split("## What is estimated")[0]


def test_a_refused_report_tells_no_relapses_by_attendance():
    source = {"exposure_source": "visits", "event_source": "visits"}
    result = ask(study_of(*cohort()), **source)
    assert [c.key for c in result.tables["attendance"].columns] == ["people", "share"]
    assert all(len(row.cells) == 2 for row in result.tables["attendance"].rows)
    assert "No estimate is given" in words(result)
    assert "relapses" not in str(check(result, "diary coverage").parts)


def first_week_cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half attend daily in the first week, and only the others relapse in it; later all alike."""
    persons, meetings = cohort(400, 3)
    daily = persons["pid"] % 2 == 0
    days = persons["days"].where(persons["days"] > 7, 60.0)
    early = ~daily & (persons["pid"] % 4 == 1)
    days = days.where(~early, 2.0 + persons["pid"] % 5)
    first = [(pid, day) for pid in persons["pid"][daily] for day in range(7)]
    met = [*first, *meetings[meetings["mday"] > 6].itertuples(index=False)]
    persons = persons.assign(days=days, relapse=(days < 120) * 1.0)
    return persons, pd.DataFrame(met, columns=["pid", "mday"])


def test_a_finding_that_rests_on_the_first_week_says_so_on_the_first_screen():
    result = ask(study_of(*first_week_cohort()), primary="weekly")
    assert result["weekly_7"].p < 0.05 < result["from_day_7"].p
    first = words(result).split("## What is estimated")[0]
    assert "From day 7 on the answer would be “No association shown”" in first
    beside = words(ask(study_of(*first_week_cohort())))
    assert "From day 7 on it would be “No association shown”" in beside.split("## Sensitivity")[0]
    plain = ask(study_of(*cohort()), primary="weekly")
    assert "first six days" not in words(plain).split("## What is estimated")[0]
    assert "Days before entry (day 0) count as days without" in words(plain)


def test_the_day_of_a_single_relapse_is_nowhere():
    """A median is an event time: the curve is coarsened, and so no table tells it."""
    result = ask(study_of(in_arms()), frequency="arm")
    assert not [e.name for e in result.estimates if e.name.startswith("median")]
    told = [line for line in words(result).splitlines() if "median" in line.casefold()]
    assert all("follow-up" in line or "observation ended" in line for line in told)


def test_days_without_a_diary_are_unknown_and_counted():
    persons, meetings = cohort()
    persons = persons.assign(until=np.where(persons.index % 2, 200, 20), since=0)
    whole = ask(study_of(persons, meetings))
    half = ask(study_of(persons, meetings), diary_from="since", diary_to="until")
    assert check(whole, "diary coverage").verdict == "ok"
    assert check(half, "diary coverage").verdict == "caution"
    assert half["weekly_7"].events < whole["weekly_7"].events


def test_relapse_on_the_day_of_entry_is_kept_at_entry_and_told_with_a_diary():
    persons, meetings = cohort()
    persons.loc[:2, ["days", "relapse"]] = [0.0, 1.0]
    result = ask(study_of(persons, meetings))
    assert check(result, "events on day 0").verdict == "caution"
    assert result.flow[-1].kept == len(persons) - 3
    persons["arm"] = np.where(persons.index % 2, "a", "b")
    at_entry = ask(study_of(persons), frequency="arm")
    assert at_entry.facts["people"].n == len(persons)
    assert check(at_entry, "events on day 0").about == "days"


def with_causes(persons: pd.DataFrame) -> pd.DataFrame:
    cause = persons["relapse"].where(persons.index % 4 > 0, 2.0)
    return persons.assign(cause=cause, relapse=(cause == 1).astype(float))


def test_first_events_are_told_by_cause():
    persons, meetings = cohort(160)
    persons = with_causes(persons)
    labels = {0.0: "None", 1.0: "Relapse", 2.0: "Death"}
    study = study_of(
        persons, meetings, Codebook({"cause": Variable("cause", values=labels)}), cause="cause"
    )
    result = ask(study, horizon=60)
    cells = {row.label: row.cells[0].n for row in result.tables["causes"].rows}
    assert cells["Relapse"] + cells["Death"] + cells["None until the end of observation"] == 160
    assert_allclose(result["hr_cause[1]"].value, result["weekly_7"].value, rtol=CLOSED_FORM)
    rows = day_by_day(persons, meetings)
    died = persons.set_index("pid")["cause"].eq(2.0)
    ends = persons.set_index("pid")["days"]
    rows["event"] = (rows["pid"].map(died) & rows["stop"].eq(rows["pid"].map(ends))) * 1.0
    fit = rs.cox("Surv(start, stop, event) ~ met", rows)
    assert_allclose(np.log(result["hr_cause[2]"].value), fit.beta[0], rtol=CONVERGED)
    assert 0 < result["incidence[2]"].value < result["incidence[1]"].value < 1
    assert "Death" in words(result)
    figure = result.figures["causes_figure"]
    assert [s.name for s in figure.series] == ["Relapse", "Death"]
    for code, series in zip((1, 2), figure.series, strict=True):
        assert_allclose(series.y[-1], result[f"incidence[{code}]"].value, rtol=CLOSED_FORM)
        assert sum(series.events_at) == (persons["cause"].eq(code) & persons["days"].le(60)).sum()


def test_the_hazard_ratio_over_time_stands_at_the_check_that_it_shows():
    result = ask(study_of(*cohort(160)))
    assert check(result, "proportional hazards").figures == ("schoenfeld",)
    assert "schoenfeld" in result.figures


def test_a_cause_that_contradicts_the_event_is_refused():
    persons, meetings = cohort()
    persons = with_causes(persons).assign(relapse=lambda f: f["relapse"].where(f.index > 9, 1.0))
    with pytest.raises(DataError, match="'cause' and 'relapse'"):
        ask(study_of(persons, meetings, cause="cause"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f["cause"].where(f.index % 3 > 0, 3.0 * f["relapse"]), "2 different causes"),
        (lambda f: f["cause"].where(f["relapse"] == 1, 1.0), "without a relapse carry the cause"),
        (lambda f: f["cause"].where(f["relapse"] == 0), "no relapse has a cause"),
    ],
)
def test_how_a_cause_contradicts_the_event_is_said_in_words(spoil, words):
    persons, meetings = cohort()
    persons = with_causes(persons)
    persons["cause"] = spoil(persons)
    with pytest.raises(DataError, match=words):
        ask(study_of(persons, meetings, cause="cause"))


def test_notes_and_confidence_stand_on_the_first_screen():
    result = ask(
        study_of(*cohort()), notes=["Diaries were kept on paper."], level=0.9, primary="weekly"
    )
    first = words(result).split("## What is estimated")[0]
    assert "Diaries were kept on paper." in first
    assert "90% confidence interval" in first
    for causal in ("causes", "leads to", "no effect"):
        assert causal not in first


def test_what_is_attended_has_its_own_name():
    text = words(ask(study_of(*cohort()), meeting_name="clinic visit", primary="weekly"))
    assert "a week with more clinic visits?" in text
    assert "meeting" not in text.split("## Checks")[0].replace("meeting frequency", "")


def test_labels_of_the_forest_are_short():
    result = ask(study_of(*cohort()), adjust=["age"])
    figure = result.figures["forest"]
    assert max(len(result[row.name].label) for row in figure.rows) <= 30
    assert len({row.name for row in figure.rows}) == len(figure.rows)


def test_weights_bring_robust_errors_by_person():
    persons, meetings = cohort()
    persons["w"] = 0.5 + persons["pid"] % 3
    result = ask(study_of(persons, meetings), weights="w")
    assert "robust errors" in result["weekly_7"].method
    assert result["weekly_7"].n == len(persons)
    assert "logrank" not in [e.name for e in result.estimates]
    rows = day_by_day(persons, meetings).assign(w=lambda f: f["pid"] % 3 + 0.5)
    fit = rs.cox("Surv(start, stop, event) ~ met", rows, weights="w", cluster="pid")
    row = fit.tidy().iloc[0]
    assert_allclose(np.log(result["weekly_7"].value), row["estimate"], rtol=CONVERGED)
    assert_allclose(result["weekly_7"].se, row["std_error"], rtol=CONVERGED)
    assert "weighted" in words(result)


def test_a_horizon_before_the_landmark_and_days_before_entry_are_refused():
    study = study_of(*cohort())
    with pytest.raises(UsageError, match="beyond 'landmark'"):
        ask(study, landmark=28, horizon=20)
    with pytest.raises(UsageError, match="'landmark'"):
        ask(study, landmark=0)
    late = ask(study, landmark=119)
    assert "curves" not in late.figures or late.figures["curves"].series
    words(late)


def test_a_difference_stands_on_its_smaller_group():
    persons = in_arms().assign(arm=lambda f: np.where(f.index < 12, "Few", "Many"))
    result = ask(study_of(persons), frequency="arm", horizon=60)
    assert result["free_difference"].n == 12


# --- bad input ----------------------------------------------------------------------------------


def spoilt() -> Iterator[Any]:
    arms = in_arms()
    arm = {"frequency": "arm"}
    first = arms.index == 4
    yield (
        "negative time",
        arms.assign(days=arms["days"].where(~first, -3)),
        arm,
        DataError,
        [
            "'days'",
            "row 5",
        ],
    )
    late = arms.assign(start=arms["days"].where(first, 0))
    yield "entry after exit", late, arm | {"entry": "start"}, DataError, ["'start'", "row 5"]
    yield "text time", arms.assign(days="12 days"), arm, DataError, ["'days'", "text"]
    yield "event codes", arms.assign(relapse=arms["relapse"] + 1), arm, DataError, ["'relapse'"]
    yield "text event", arms.assign(relapse="Y"), arm, DataError, ["'relapse'"]
    yield "no events", arms.assign(relapse=0.0), arm, NotEstimable, ["'relapse'", "80 people"]
    one = arms.assign(arm=arms["arm"].where(arms["arm"] == "House"))
    yield "one level", one, arm, NotEstimable, ["'arm'", "40 rows were dropped"]
    spared = arms.assign(relapse=arms["relapse"].where(arms["arm"] == "House", 0.0))
    yield "no relapse in one arm", spared, arm, NotEstimable, ["'arm'", "'Usual'"]
    yield "constant count", arms.assign(n=2.0), {"frequency": "n"}, NotEstimable, ["'n'"]
    light = arms.assign(w=np.where(first, -1.0, 1.0))
    yield "weights", light, arm | {"weights": "w"}, DataError, ["'w'", "row 5"]
    twice = pd.concat([arms, arms.iloc[[3]]])
    yield "repeated person", twice, arm, DataError, ["'pid'", "row 81"]
    nameless = arms.assign(pid=arms["pid"].where(~first))
    yield "no person", nameless, arm, DataError, ["'pid'", "row 5"]
    yield "reference", arms, arm | {"reference": "Hous"}, UsageError, ["'Hous'", "House, Usual"]
    yield "no attendance", arms, {}, UsageError, ["'frequency'", "diary"]
    yield "no column", arms, {"frequency": "arn"}, DataError, ["'arn'", "Did you mean 'arm'"]
    yield "empty", arms.assign(days=np.nan), arm, DataError, ["time, event"]


@pytest.mark.parametrize(
    ("persons", "options", "error", "named"), [pytest.param(*c[1:], id=c[0]) for c in spoilt()]
)
def test_bad_input_is_named(persons, options, error, named):
    with pytest.raises(error) as raised:
        ask(study_of(persons), **options)
    for word in named:
        assert word in str(raised.value)


def test_declared_levels_of_a_wrong_event_are_listed_and_values_are_not():
    persons = in_arms().assign(relapse=lambda f: f["relapse"] + 7)
    codebook = Codebook({"relapse": Variable("relapse", values={7.0: "No", 8.0: "Yes"})})
    with pytest.raises(DataError, match="Declared levels: No, Yes"):
        ask(study_of(persons, codebook=codebook), frequency="arm")


def test_a_diary_of_strangers_is_refused():
    persons, meetings = cohort()
    with pytest.raises(DataError, match="belongs to a person of the study"):
        ask(study_of(persons, meetings.assign(pid=meetings["pid"] + 10_000)))


def test_attendance_that_never_differs_is_named():
    persons, _ = cohort()
    daily = pd.DataFrame(
        [(pid, day) for pid in persons["pid"] for day in range(-28, 120)], columns=["pid", "mday"]
    )
    with pytest.raises(NotEstimable, match="'mday'"):
        ask(study_of(persons, daily))


@pytest.mark.parametrize("name", ["yield", "class", "C", "a b", "x:y", "lambda", "np", "1", "Q"])
def test_any_name_of_a_column_works(name):
    persons = in_arms()
    plain = ask(study_of(persons), frequency="arm")
    for old, option in (("arm", "frequency"), ("days", "time"), ("relapse", "event")):
        renamed = study_of(persons.rename(columns={old: name}))
        spec = TableSpec("persons", roles={"person": "pid"})
        study = Study(renamed.tables, Protocol(tables={"persons": spec}))
        options = {"frequency": "arm", "time": "days", "event": "relapse"} | {option: name}
        result = ask(study, **options)
        assert_allclose(result["group[Usual]"].value, plain["group[Usual]"].value, rtol=CONVERGED)
    words(result)


# --- rows without a number ----------------------------------------------------------------------


def short_follow_up() -> Study:
    """Six days at most: no window of days before reaches back beyond entry."""
    persons, meetings = cohort()
    relapsed = (persons["pid"] % 3 > 0).astype(float)
    return study_of(persons.assign(days=persons["days"].clip(upper=6), relapse=relapsed), meetings)


def test_rivals_that_cannot_be_fitted_keep_their_rows_and_say_why() -> None:
    result = ask(short_follow_up(), primary="weekly", landmark=2, horizon=6)
    table = result.tables["rivals"]
    cells = {row.key: row.cells for row in table.rows}
    for name in ("lag_7", "lag_14", "lag_30", "from_day_7"):
        assert cells[name] == ("not estimable", None, None)
    lags = "Counted 7 days earlier; Counted 14 days earlier; Counted 30 days earlier are not "
    assert f"{lags}estimable. It varies too little among those at risk together." in table.notes
    assert any(n.startswith("From day 7 on (whole week) is not estimable. ") for n in table.notes)
    assert "Counted 14 days earlier" in words(result)


def test_the_rows_of_how_often_beside_how_long_ago_stand_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> Any:
        raise NotEstimable("It did not settle.")

    monkeypatch.setattr(_meeting_dose, "fit_hazard", fails)
    table = ask(study_of(*cohort()), primary="weekly").tables["ratios"]
    cells = {row.key: row.cells for row in table.rows}
    assert cells["recency_beside"] == cells["frequency_beside"] == ("not estimable", None)
    (note,) = (n for n in table.notes if "not estimable" in n)
    labels = "Just after one, at equal count; Last 7 days, at equal recency"
    assert note == f"{labels} are not estimable. It did not settle."


@pytest.mark.parametrize("term", ["weekly_28", "meeting group", "recency", "meetings_per_week"])
def test_every_row_that_fails_stands_with_its_reason(
    term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _meeting_models.cox

    def fails(formula: str, *given: Any, **asked: Any) -> Any:
        if f"~ {term}" in formula or f"~ `{term}`" in formula:
            raise NotEstimable(f"Nobody of 12 people has {term!r}. It did not settle.")
        return real(formula, *given, **asked)

    monkeypatch.setattr(_meeting_models, "cox", fails)
    result = ask(study_of(*cohort()), primary="weekly")
    key = {"meeting group": "groups", "meetings_per_week": "naive_weekly"}.get(term, term)
    tables = [result.tables[name] for name in ("ratios", "rivals")]
    (row,) = (row for table in tables for row in table.rows if row.key == key)
    assert row.cells[0] == "not estimable"
    (note,) = (n for table in tables for n in table.notes if "not estimable" in n)
    assert note == f"{row.label} is not estimable. It did not settle."
    assert note in words(result)


def test_a_primary_that_fails_says_why_without_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise NotEstimable("Column 'age' of 3 people. Nobody is left. Leave it out.")

    monkeypatch.setattr(_meeting_strategy, "sustained", fails)
    result = ask(study_of(*cohort()), replicates=20)
    failed = check(result, "primary estimand")
    assert failed.parts == ("Leave it out.",)


# --- a trial -----------------------------------------------------------------------------------


def test_a_trial_has_its_flow_by_arm_and_the_checklist_of_trials() -> None:
    persons = in_arms()
    persons.loc[persons.index[:3], "age"] = np.nan
    found = ask(study_of(persons), frequency="arm", adjust=("age",), design="randomised")
    kept = persons[persons["age"].notna()]
    assert [s.reason for s in found.flow] == ["People in the file", "Randomised", "age observed"]
    for step, rows in zip(found.flow[1:], (persons, kept), strict=True):
        assert dict(step.arms) == rows["arm"].value_counts().to_dict()
    assert check(found, "design").verdict == "ok"
    assert "as randomised" in found.estimand.treatment
    page = words(found)
    assert "CONSORT 2025 checklist" in page
    assert "Unless it was drawn by lot" not in page


def test_without_a_design_nothing_is_taken_as_drawn() -> None:
    persons = in_arms()
    found = ask(study_of(persons), frequency="arm")
    assert dict(found.flow[-1].arms) == persons["arm"].value_counts().to_dict()
    assert found.flow[-1].reason == "arm known"
    page = words(found)
    assert "House: Remaining" in page
    assert "STROBE checklist" in page
    assert "14c. Follow-up time, average and total | [Participants](#participants) |" in page


def test_characteristics_make_the_tables_of_people_without_adjusting_for_them() -> None:
    persons = in_arms()
    plain, told = (ask(study_of(persons), frequency="arm", describe=d) for d in ((), ("age",)))
    assert not {"table_one", "table_groups"} & plain.tables.keys()
    assert [row.label for row in told.tables["table_groups"].rows] == ["People", "age"]
    assert "table_one" not in told.tables  # it would say the same
    assert [e.value for e in told.estimates] == [e.value for e in plain.estimates]
    cure, left = "--describe COLUMN", "25. Baseline table by group |  | all of it"
    assert cure in words(plain)
    assert cure not in words(told)
    trials = (ask(study_of(persons), frequency="arm", describe=d, design="randomised")
              for d in ((), ("age",)))  # fmt: skip
    assert [left in words(found) for found in trials] == [True, False]


def test_characteristics_stand_beside_a_diary_too() -> None:
    persons, meetings = cohort()
    result = ask(study_of(persons, meetings), describe=("age",), primary="weekly")
    assert [row.label for row in result.tables["table_groups"].rows] == ["People", "age"]
    assert "unadjusted" not in result.tables["rivals"].rows
    with pytest.raises(DataError, match="'agee'"):
        ask(study_of(persons, meetings), describe=("agee",))


def test_a_number_known_at_entry_has_its_flow_by_the_groups_of_the_curves() -> None:
    persons = cohort()[0].assign(weekly=np.arange(120) % 6 * 1.0)
    persons.loc[:19, "weekly"] = np.nan
    persons.loc[20:39, "age"] = np.nan
    step, last = ask(study_of(persons), frequency="weekly", adjust=("age",)).flow[1:]
    groups = ("Less than 1", "1 or 2", "3 or 4", "5 or more")
    assert step.reason == "weekly known"
    assert tuple(name for name, _ in step.arms) == groups
    for told, rows in ((step, persons.loc[20:]), (last, persons.loc[40:])):
        counts = [int(rows["weekly"].isin(v).sum()) for v in ((0,), (1, 2), (3, 4), (5,))]
        assert [n for _, n in told.arms] == counts


def test_many_levels_have_no_flow_of_their_own() -> None:
    persons = cohort()[0].assign(town=[f"t{i % 6}" for i in range(120)])
    assert not any(step.arms for step in ask(study_of(persons), frequency="town").flow)


def test_who_is_in_a_group_of_the_curves_and_who_went_before() -> None:
    persons, meetings = cohort()
    persons["entry"] = np.where(np.arange(120) % 10, 0, 30)
    persons["days"] = persons["days"].clip(lower=persons["entry"] + 1)
    persons["to"] = np.where(np.arange(120) % 7, 200, 20)
    result = ask(
        study_of(persons, meetings), entry="entry", diary_to="to", landmark=28, primary="weekly"
    )
    cells = {row.key: row.cells[0].n for row in result.tables["group_flow"].rows}
    over, late = persons["days"] <= 28, persons["entry"] >= 28
    known = ~over & ~late & (persons["to"] >= 27)
    assert cells["people"] == 120
    assert cells["relapsed"] == int((over & (persons["relapse"] == 1)).sum()) > 0
    assert cells["ended"] == int((over & (persons["relapse"] == 0)).sum())
    assert cells["late"] == int(late.sum()) > 0
    assert cells["unknown"] == int((~over & ~late & ~known).sum()) > 0
    assert cells["in_groups"] == int(known.sum())
    assert sum(n for key, n in cells.items() if key.startswith("in[")) == cells["in_groups"]
    page = words(result)
    item = "13a. Numbers of people at each stage, by group of exposure where there are groups"
    assert f"{item} | [Participants](#participants) |" in page


def test_attendance_in_a_diary_was_not_drawn() -> None:
    with pytest.raises(UsageError, match="--frequency"):
        ask(study_of(*cohort()), design="randomised")
