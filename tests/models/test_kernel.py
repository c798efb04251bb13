"""Fading protection and sustained strategies from the study's tables, and their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.kernel import kernel_cox
from recovery_stats.models.policy import lag_cox, marginal_structural, one_more_meeting
from recovery_stats.models.reshape import person_days
from recovery_stats.models.strategy import Strategy, courses, sustained

FORMULA = "Surv(start, stop, event) ~ sev_z + motiv + in_house + strata(site_id)"
DIARY = {"meeting_person": "pid", "meeting_day": "mday"}
ASKED = (Strategy("three or more", 12, 28), Strategy("one", 2, 6))


@pytest.fixture(scope="module")
def study():
    return rs.synthetic_study("plain-without-frailty", persons=1500, seed=8)


@pytest.fixture(scope="module")
def rows(study):
    return person_days(
        study["persons"], person="pid", stop="t_relapse", event="relapse", start="entry",
        meetings=study["meetings"], stays=study["stays"], stay_person="pid", stay_start="in_day",
        stay_stop="out_day", diary_from="diary_from", diary_to="diary_to", windows=(7,),
        half_life=2.0, **DIARY,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(rows, study):
    return kernel_cox(FORMULA, rows, meetings=study["meetings"], **DIARY)


def test_it_is_the_cox_model_with_recency_at_the_same_half_life(fit, rows, study):
    """`reshape` made the recency column by another route: days since, at half-life 2."""
    once = kernel_cox(
        FORMULA, rows, meetings=study["meetings"], half_lives=(1.9, 2.0, 2.1), **DIARY
    )
    known = rows.with_frame(rows.frame[rows.frame["recency"].notna()])
    other = rs.cox(FORMULA.replace("in_house", "in_house + recency"), known)
    at_two = once.profile().set_index("half_life").loc[2.0]
    recency = other.tidy().set_index("term").loc["recency"]
    assert at_two["coefficient"] == pytest.approx(recency["estimate"], rel=1e-7)
    assert at_two["std_error"] == pytest.approx(recency["std_error"], rel=1e-6)
    assert fit.tidy()["term"].tolist() == ["sev_z", "motiv", "in_house", "meeting"]


def test_it_finds_the_truth_of_the_cohort(fit, study):
    """One study; the proof by a thousand stands in scripts/meeting_recovery.md."""
    row = fit.tidy().set_index("term").loc["meeting"]
    assert abs(row["estimate"] + study.truth["theta"]) < 3 * row["std_error"]
    found = fit.half_life()
    assert found.low < study.truth["half_life"] < found.high
    assert fit.test()["p_value"][0] < 1e-6
    assert fit.checks()[0].verdict == "ok"
    risks = fit.risks().set_index("weekly")
    for k in range(8):
        truth = study.truth[f"risk_12m_k{k}"]
        assert abs(risks.loc[k, "estimate"] - truth) < 3 * risks.loc[k, "std_error"]


def test_the_check_says_why_and_takes_no_effect_for_granted(fit):
    """A large p is no evidence of no effect; a caution names the end that is open."""
    noise = replace(fit, no_effect=replace(fit.no_effect, p=0.4))
    (check,) = noise.checks()
    assert check.parts[-1].startswith(" No effect is shown, and without one")
    open_ = replace(fit.half_life(), open_low=True, open_high=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fit), "half_life", lambda _: open_)
        (check,) = fit.checks()
    assert (check.verdict, check.parts[-1]) == (
        "caution", " The interval of the half-life has no lower limit.",
    )  # fmt: skip


def test_without_meetings_the_ratio_is_one_and_half_is_never_reached(fit):
    assert fit.hazard_ratios()["estimate"][0] == 1.0
    assert fit.below_half()["estimate"][0] == 1.0
    found, half = fit.half_life(), fit.below_half().set_index("weekly").loc[1]
    assert half["estimate"] == pytest.approx(1 - found.value / 7)
    assert half["conf_low"] == pytest.approx(1 - found.high / 7)
    assert half["conf_high"] == pytest.approx(1 - found.low / 7)


def test_a_meeting_every_day_makes_each_day_the_day_after_one(fit):
    """Against the definition and the delta method by hand, from the joint covariance."""
    row, theta, h = fit.hazard_ratios((7,)).iloc[0], fit.best.theta, fit.half_life().value
    left = 2 ** (-1 / h)
    assert np.log(row["estimate"]) == pytest.approx(theta * left)
    V = fit.covariance().iloc[-2:, -2:].to_numpy()
    gradient = np.array([left, theta * left * np.log(2) / h])
    assert row["std_error"] == pytest.approx(np.sqrt(gradient @ V @ gradient), rel=1e-5)


def test_differences_of_risk_are_differences_of_the_risks(fit):
    risks = fit.risks().set_index("weekly")["estimate"]
    difference = fit.risk_difference(3, 1)
    assert difference["estimate"][0] == pytest.approx(risks[3] - risks[1])
    assert difference["std_error"][0] < np.hypot(*fit.risks((3, 1))["std_error"])


def test_sums_tell_no_spacing(rows, study):
    fit = kernel_cox(
        FORMULA, rows, meetings=study["meetings"], shape="sum", half_lives=(1, 2, 4), **DIARY
    )
    with pytest.raises(UsageError, match="shape='last' only"):
        fit.risks()
    assert fit.glance()["n_events"][0] > 500


def test_rows_of_an_unknown_last_meeting_are_left_out(rows, study):
    frame = rows.frame.copy()
    frame.loc[frame.index[::50], "recency"] = np.nan
    fit = kernel_cox(
        FORMULA, rows.with_frame(frame), meetings=study["meetings"], half_lives=(1, 2, 4), **DIARY
    )
    assert fit.unknown == int(frame["recency"].isna().sum())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"shape": "lsat"}, UsageError, "Did you mean 'last'"),
        ({"half_lives": (2.0, 1.0, 3.0)}, UsageError, "increasing"),
        ({"meeting_day": "mdy"}, DataError, "table 'meetings' named 'mdy'"),
    ],
)
def test_what_is_asked_wrongly_is_said(rows, study, change, error, words):
    with pytest.raises((error, UsageError), match=words):
        kernel_cox(FORMULA, rows, meetings=study["meetings"], **DIARY | change)


def test_rows_longer_than_a_day_are_refused(study):
    pid = study["persons"].frame["pid"].to_numpy()[:2]
    data = Dataset(
        pd.DataFrame({"person": pid, "start": 0.0, "stop": [5.0, 9.0], "event": [1.0, 0.0]})
    )
    with pytest.raises(DataError, match="one row a person-day"):
        kernel_cox("Surv(start, stop, event) ~ 1", data, meetings=study["meetings"], **DIARY)


# --- strategies ----------------------------------------------------------------------------------


def cut(study, persons=None, **options):
    return courses(
        study["persons"] if persons is None else persons, person="pid", stop="t_first",
        event="relapse", cause="cause", competing=(2, 3), lost=(4,), start="entry",
        meetings=study["meetings"], diary_from="diary_from", diary_to="diary_to",
        stays=study["stays"], stay_person="pid", stay_start="in_day", stay_stop="out_day",
        baseline=("sev_z", "motiv"), **DIARY | options,
    )  # fmt: skip


def test_blocks_count_the_meetings_from_time_zero_on(study):
    found = cut(study)
    course, persons, diary = found.course, study["persons"].frame, study["meetings"].frame
    for i in range(0, 300, 7):
        person = persons.iloc[i]
        days = diary.loc[diary["pid"] == person["pid"], "mday"] - person["entry"]
        length = min(person["t_first"] - person["entry"], 365)
        assert course.time[i] == length
        for b in range(course.count.shape[1]):
            if length > 28 * (b + 1):
                assert course.count[i, b] == ((days >= 28 * b) & (days < 28 * (b + 1))).sum()
    assert found.names == ("resident in a house", "sev_z", "motiv")


def test_residence_is_that_of_the_first_day_at_risk_of_the_block(study):
    course, stays = cut(study).course, study["stays"].frame
    persons = study["persons"].frame
    for i in range(0, 200, 5):
        mine = stays[stays["pid"] == persons["pid"].iloc[i]]
        for b in range(3):
            day = persons["entry"].iloc[i] + 28 * b + 1
            here = ((mine["in_day"] < day) & (day <= mine["out_day"])).any()
            assert course.history[i, b, 0] == here


def test_the_last_value_before_a_block_counts(study):
    weekly = pd.DataFrame({"pid": np.repeat(study["persons"].frame["pid"].to_numpy(), 60),
                           "day": np.tile(np.arange(60) * 7.0, 1500)})  # fmt: skip
    weekly["value"] = weekly["day"] * 1.0
    found = cut(study, changing=Dataset(weekly), changing_person="pid", changing_day="day",
                changing_columns=("value",))  # fmt: skip
    j = found.names.index("value")
    starts = study["persons"].frame["entry"].to_numpy()[:, None] + 28 * np.arange(3)
    np.testing.assert_array_equal(found.course.history[:, :3, j], 7 * (starts // 7))


def test_a_day_the_diary_does_not_cover_ends_the_course(study):
    persons = study["persons"]
    short = persons.with_column(Variable("diary_to", ""), persons.frame["diary_to"] * 0 + 60.0)
    found = cut(study, short)
    assert found.cut > 500
    assert found.course.time.max() <= 61


def test_risks_and_contrasts_hang_together(study):
    found = sustained(cut(study, horizon=168), ASKED, replicates=40)
    table = found.tidy().set_index("measure")
    risk = table.loc["risk", "estimate"].to_numpy()
    assert table.loc["risk_difference", "estimate"] == pytest.approx(risk[0] - risk[1])
    assert table.loc["risk_ratio", "estimate"] == pytest.approx(risk[0] / risk[1])
    curves = found.curves()
    assert curves.groupby("strategy")["estimate"].last()["one"] == pytest.approx(risk[1])
    free = curves.pivot_table("estimate", index="time", columns="strategy")
    mean_free = np.trapezoid(1 - free.to_numpy(), axis=0)
    ours = table.loc["days_free_difference", "estimate"]
    names = list(free.columns)
    assert ours == pytest.approx(
        mean_free[names.index("three or more")] - mean_free[names.index("one")]
    )
    assert found.adherence()["followed"].max() == len(found.people)
    assert found.weights()["mean"].between(0.8, 1.2).all()
    assert {c.name for c in found.checks()} == {"weights", "adherence"}


def test_the_horizon_too_far_is_not_estimable(study):
    persons = study["persons"]
    few = persons.with_frame(persons.frame.iloc[:150])
    with pytest.raises(NotEstimable, match="too few"):
        sustained(cut(study, few), ASKED, replicates=2)


def test_one_strategy_is_no_comparison(study):
    with pytest.raises(UsageError, match="Two strategies"):
        sustained(cut(study), ASKED[:1])


# --- beside them ---------------------------------------------------------------------------------


def test_windows_of_lags_are_the_cox_model_of_their_counts(rows, study):
    """Days 1 to 7 as one window is the column that `reshape` made by another route."""
    known = rows.with_frame(rows.frame[rows.frame["meetings_last7"].notna()])
    ours = lag_cox(FORMULA, known, meetings=study["meetings"], steps=(7,), **DIARY)
    other = rs.cox(FORMULA.replace("in_house", "in_house + meetings_last7"), known).tidy()
    row = other.set_index("term").loc["meetings_last7"]
    assert np.log(ours.curve()["estimate"][0]) == pytest.approx(row["estimate"], rel=1e-7)
    assert ours.curve()["std_error"][6] == pytest.approx(row["std_error"], rel=1e-6)


def test_the_curve_over_lags_falls_to_nothing(rows, study):
    curve = lag_cox(FORMULA, rows, meetings=study["meetings"], steps=None, **DIARY).curve()
    assert curve["estimate"][0] < 0.85
    assert curve["estimate"].iloc[-1] == pytest.approx(1.0, abs=0.01)


def test_one_more_meeting_lowers_the_risk(rows):
    found = one_more_meeting(FORMULA, rows, replicates=10)
    assert 0.5 < found.policy < found.natural < 0.8
    fixed = one_more_meeting(FORMULA, rows, replicates=10)
    np.testing.assert_array_equal(found.draws, fixed.draws)


def test_the_marginal_structural_model_has_robust_errors(study):
    fit = marginal_structural(cut(study))
    table = fit.tidy().set_index("term")
    assert table.loc["weekly", "estimate"] < 0
    assert "std_error_model" in table
