"""Satisfaction and outcome: closed forms, brute force, invariance, truth, caution, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.errors import DataError, NotEstimable, RecoveryError, UsageError
from recovery_stats.study import workflow
from tests.tolerance import CONVERGED, INVARIANCE, MONTE_CARLO_SES

ROLES = {"person": "pid", "wave": "wave", "outcome": "y", "satisfaction": "x"}


def panel(people: int = 60, waves: int = 4, seed: int = 1, within: float = -1.0) -> pd.DataFrame:
    """A balanced panel: y falls by `within` per point of x at the wave, by 2 between people."""
    rng = np.random.default_rng(seed)
    pid, wave = np.repeat(np.arange(people), waves), np.tile(np.arange(waves), people)
    usual = rng.normal(3, 0.6, people)[pid]
    moved = rng.normal(0, 0.5, people * waves)
    y = 15 - 0.5 * wave - 2 * (usual - 3) + within * moved
    y += rng.normal(0, 2, people)[pid] + rng.normal(0, 1.5, people * waves)
    return pd.DataFrame({"pid": pid, "wave": wave, "x": usual + moved, "y": y})


def study_of(
    waves: pd.DataFrame, persons: pd.DataFrame | None = None, codebook: Codebook | None = None
) -> Study:
    rows = waves.set_axis(range(1, len(waves) + 1))
    tables = {"waves": Dataset(rows, codebook or Codebook())}
    specs = {"waves": TableSpec("waves", roles=ROLES)}
    if persons is not None:
        tables["persons"] = Dataset(persons.set_axis(range(1, len(persons) + 1)))
        specs["persons"] = TableSpec("persons", roles={"person": "pid"})
    return Study(tables, Protocol(tables=specs, structural=(-97.0,)))


def ask(waves: pd.DataFrame, persons: pd.DataFrame | None = None, **options: Any) -> Result:
    return rs.answer("relationship_satisfaction", study_of(waves, persons), **options)


def demeaned(frame: pd.DataFrame, *columns: str) -> np.ndarray:
    means = frame.groupby("pid")[list(columns)].transform("mean")
    return (frame[list(columns)] - means).to_numpy()


def least_squares(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(X, y, rcond=None)[0]


def check(result: Result, name: str) -> Any:
    return next(c for c in result.checks if c.name == name)


def words(result: Result) -> str:
    """The report as Markdown: composing and hiding must work for every result of these tests."""
    return workflow.render(workflow.report(result), "x", ["md"])["x.md"].decode()


# --- the numbers -------------------------------------------------------------------------------


def test_balanced_panel_has_the_within_and_between_slopes_of_least_squares():
    """Person means and deviations are orthogonal in a balanced panel, whatever the variances."""
    frame = panel(waves=2)  # two waves: random intercepts only
    result = ask(frame)
    moved = demeaned(frame, "x", "wave", "y")
    within = least_squares(moved[:, :2], moved[:, 2])
    means = frame.groupby("pid")[["x", "y"]].mean()
    between = np.polyfit(means["x"], means["y"], 1)[0]
    assert_allclose(result["within"].value, within[0], rtol=CONVERGED)
    assert_allclose(result["time"].value, within[1], rtol=CONVERGED)
    assert_allclose(result["between"].value, between, rtol=CONVERGED)
    assert_allclose(result["contextual"].value, between - within[0], rtol=CONVERGED)
    assert_allclose(result["fixed[x (within)]"].value, within[0], rtol=CONVERGED)


def test_within_error_of_a_balanced_panel_is_that_of_the_dummy_regression():
    frame = panel(waves=2)
    moved = demeaned(frame, "x", "wave", "y")
    X, y = moved[:, :2], moved[:, 2]
    residual = y - X @ least_squares(X, y)
    df = len(frame) - frame["pid"].nunique() - 2
    variance = residual @ residual / df * np.linalg.inv(X.T @ X)
    found = ask(frame)["within"]
    assert_allclose(found.se, np.sqrt(variance[0, 0]), rtol=CONVERGED)
    assert_allclose(found.df, df, rtol=1e-4)  # Satterthwaite by a Hessian; exact only on paper


def test_simple_slopes_are_those_of_least_squares_with_the_product():
    frame = panel(waves=2)
    result = ask(frame)
    usual = frame.groupby("pid")["x"].transform("mean")
    centred = usual - frame.groupby("pid")["x"].mean().mean()
    moved = demeaned(frame, "x", "wave", "y")
    X = np.column_stack([moved[:, 0], moved[:, 1], moved[:, 0] * centred])
    slope, _, product = least_squares(X, moved[:, 2])
    sd = frame.groupby("pid")["x"].mean().std()
    for step in (-1, 0, 1):
        assert_allclose(
            result[f"simple[{step}]"].value, slope + step * sd * product, rtol=CONVERGED
        )
    assert_allclose(result["interaction"].value, product, rtol=CONVERGED)


def test_adjusted_means_move_by_one_sd_of_each_part():
    frame = panel()
    result = ask(frame)
    for part, sd in (
        ("within", demeaned(frame, "x").std(ddof=1)),
        ("between", frame.groupby("pid")["x"].mean().std()),
    ):
        rise = result[f"mean_{part}[1]"].value - result[f"mean_{part}[0]"].value
        assert_allclose(rise, sd * result[part].value, rtol=CONVERGED)
    assert_allclose(result["mean_within[0]"].value, result["mean_between[0]"].value)


def test_naive_answer_is_pooled_least_squares():
    frame = panel()
    X = np.column_stack([np.ones(len(frame)), frame["wave"], frame["x"]])
    pooled = ask(frame)["pooled"]
    assert_allclose(pooled.value, least_squares(X, frame["y"].to_numpy())[2], rtol=CONVERGED)
    assert pooled.level == "naive"


def neighbours(frame: pd.DataFrame) -> pd.DataFrame:
    """Wave before, wave after and own trend, person by person."""
    parts = []
    for _, own in frame.groupby("pid"):
        own = own.sort_values("wave").copy()
        value = dict(zip(own["wave"], own["x"], strict=True))
        usual = own["x"].mean()
        own["w"], own["b"] = own["x"] - usual, usual
        own["before"] = [value.get(w - 1, np.nan) - usual for w in own["wave"]]
        own["after"] = [value.get(w + 1, np.nan) - usual for w in own["wave"]]
        line = np.polyfit(own["wave"], own["x"], 1)
        own["own_trend"] = own["x"] - np.polyval(line, own["wave"])
        parts.append(own)
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("name", "fixed", "term"),
    [
        ("lagged", "before + b", "before"),
        ("lead", "w + after + b", "after"),
        ("detrended", "own_trend + b", "own_trend"),
    ],
)
def test_rivals_are_the_model_on_columns_made_person_by_person(name, fixed, term):
    frame = panel(waves=3)
    data = neighbours(frame)
    data = data[data[term].notna()]
    slope = " + wave" if len(data) > 2 * data["pid"].nunique() else ""
    fit = rs.lmm(f"y ~ wave + {fixed} + (1{slope} | pid)", data).tidy().set_index("term")
    assert_allclose(ask(frame)[name].value, fit.loc[term, "estimate"], rtol=1e-5)


def test_robust_errors_are_clustered_by_person():
    frame = panel(waves=3)
    fit = rs.lmm("y ~ wave + w + b + (1 + wave | pid)", neighbours(frame), cluster="pid")
    row = fit.tidy().set_index("term").loc["w"]
    found = ask(frame)["robust"]
    assert_allclose(
        (found.value, found.se, found.df), row[["estimate", "std_error", "df"]].astype(float), 1e-5
    )
    assert "CR2" in found.method


def test_rows_in_any_order_and_units_of_any_size_say_the_same():
    frame = panel()
    plain = ask(frame)
    mixed = ask(frame.sample(frac=1, random_state=3))
    scaled = ask(frame.assign(x=frame["x"] * 10, y=frame["y"] * 1e-12, wave=frame["wave"] + 2010))
    for e in plain.estimates:
        assert_allclose(mixed[e.name].value, e.value, rtol=INVARIANCE, atol=1e-9)
    assert_allclose(scaled["within"].value, plain["within"].value * 1e-13, rtol=INVARIANCE)
    assert_allclose(scaled["within"].p, plain["within"].p, rtol=1e-3)


def test_truth_of_the_synthetic_cohort_is_found():
    """Without careless answers, which are errors in the predictor and flatten every slope."""
    careful = Mess(straight_line=0.0, miskeyed=0.0, item_skip=0.0)
    errors, variances = [], []
    for seed in (1, 2, 3):
        study = rs.synthetic_study("plain-without-frailty", persons=1000, seed=seed, mess=careful)
        found = rs.answer("relationship_satisfaction", study, sensitivity=False)["within"]
        errors.append(found.value - study.truth["pacs_within"])
        variances.append(found.se**2)
    assert abs(sum(errors)) < MONTE_CARLO_SES * np.sqrt(sum(variances))


# --- rows, time and random terms ----------------------------------------------------------------


def with_separations() -> pd.DataFrame:
    frame = panel()
    frame["partner"] = (frame.index % 5 != 0).astype(float)
    frame.loc[frame["partner"] == 0, "x"] = np.nan
    return frame


def test_waves_without_a_partner_are_counted_and_never_filled_in():
    frame = with_separations()
    frame.loc[1, "x"] = np.nan  # missing while partnered
    result = ask(frame, partnered="partner")
    apart = int((frame["partner"] == 0).sum())
    cells = [row.cells for row in result.tables["waves"].rows]
    assert sum(c[1].n for c in cells) == apart
    assert sum(c[2].n for c in cells) == 1
    assert sum(c[3].n for c in cells) == len(frame) - apart - 1 == result.facts["rows"].n
    same = ask(frame[(frame["partner"] == 1) & frame["x"].notna()])
    assert_allclose(result["within"].value, same["within"].value, rtol=CONVERGED)
    assert "unpartnered" in result.said
    table = result.tables["missing_waves"]
    empty = [int(f["x"].isna().sum()) for _, f in frame.groupby("wave")]
    assert [row.cells[0].n for row in table.rows] == [sum(empty), *empty]
    assert table.totals[0].parts == tuple(row.key for row in table.rows[1:])


def test_a_structural_code_is_not_applicable_not_missing():
    frame = panel()
    codes = pd.Series({1: -97.0, 2: -97.0, 3: -99.0})
    frame.loc[[0, 1, 2], "x"] = np.nan
    data = Dataset(
        frame.set_axis(range(1, len(frame) + 1)),
        Codebook({"x": Variable("x", values={-97.0: "Not applicable", -99.0: "Lost"})}),
        {"x": codes},
    )
    study = Study({"waves": data}, Protocol(tables={"waves": TableSpec("waves", roles=ROLES)}))
    result = rs.answer("relationship_satisfaction", study)
    assert result.facts["outside"].n == 2
    assert result.facts["lost"].n == 1


def test_time_runs_in_years_when_the_interview_day_is_known():
    frame = panel().assign(day=lambda f: f["wave"] * 182.625)
    by_wave, by_day = ask(frame), ask(frame, day="day")
    assert_allclose(by_day["time"].value, 2 * by_wave["time"].value, rtol=1e-5)
    assert by_day["time"].label == "Years since entry"
    assert "interview_day" in by_day.said


def test_few_rows_carry_fewer_random_slopes_and_the_check_says_so():
    frame = panel(waves=4)
    thin = frame[(frame["wave"] + frame["pid"]) % 4 < 2]  # two of four waves a person
    result = ask(thin)
    assert check(result, "random slopes").verdict == "caution"
    assert not {"random_time", "random_within"} & result.said
    assert {"random_time", "random_within"} <= ask(panel(waves=6)).said


def test_clusters_get_their_own_variance_and_few_of_them_a_caution():
    frame = panel(80).assign(site=lambda f: f["pid"] % 8)
    result = ask(frame, cluster="site")
    assert check(result, "clusters").verdict == "caution"
    assert any(row.label.startswith("Site") for row in result.tables["variance"].rows)
    assert "clusters_figure" in result.figures
    assert {"diagnostics"} == {f for check in result.checks for f in check.figures}
    assert sum(result.figures["clusters_figure"].n_at) == 80


def test_variance_table_holds_person_and_residual_and_the_shares_are_shares():
    result = ask(panel())
    labels = [row.label for row in result.tables["variance"].rows]
    assert labels[0] == "Person: intercept"
    assert labels[-1] == "Residual"
    marginal, conditional = (result.facts[n].value for n in ("r2_marginal", "r2_conditional"))
    assert 0 < marginal < conditional < 1
    assert 0 < result.facts["icc"].value < 1


# --- cautions ------------------------------------------------------------------------------------


def feedback_panel(seed: int, people: int = 500, waves: int = 5) -> pd.DataFrame:
    """No effect of x on y at any wave, but y moves the x of the wave after."""
    rng = np.random.default_rng(seed)
    person = rng.normal(0, 1, people)
    x, rows = rng.normal(0, 1, people), []
    for wave in range(waves):
        y = person + rng.normal(0, 1, people)
        rows.append(pd.DataFrame({"pid": range(people), "wave": wave, "x": x, "y": y}))
        x = 0.8 * (y - person) + rng.normal(0, 1, people)
    return pd.concat(rows, ignore_index=True)


def test_feedback_alone_makes_a_slope_and_is_given_away_by_the_wave_after():
    result = ask(feedback_panel(1))
    assert check(result, "strict exogeneity").verdict == "caution"
    assert "feedback" in result.said
    assert result["within"].p < 0.05  # the artefact itself: there is no effect
    assert "must not be read as an effect" in words(result)


def test_without_feedback_the_wave_after_says_nothing():
    z = []
    for seed in range(4):
        lead = ask(panel(300, 3, seed))["lead"]
        z.append(lead.value / lead.se)
    assert abs(np.mean(z)) < MONTE_CARLO_SES / np.sqrt(len(z))


def test_a_bounded_count_gets_a_caution():
    study = rs.synthetic_study("plain", persons=400, seed=1)
    result = rs.answer("relationship_satisfaction", study, outcome="abst30", sensitivity=False)
    assert check(result, "bounded outcome").verdict == "caution"
    assert "bounded count" in words(result)
    craving = rs.answer("relationship_satisfaction", study, sensitivity=False)
    assert check(craving, "bounded outcome").verdict == "ok"


def test_an_outcome_of_zero_wherever_the_predictor_is_zero_is_doubted():
    frame = panel()
    frame["x"] = frame["x"].round().clip(0)
    frame.loc[::3, ["x", "y"]] = 0.0
    name = "zero where nothing was recorded"
    assert check(ask(frame), name).verdict == "caution"
    assert all(c.name != name for c in ask(panel()).checks)


def test_covariates_known_once_are_named():
    persons = pd.DataFrame({"pid": range(60), "age": np.linspace(20, 60, 60)})
    result = ask(panel(), persons, adjust=["age"])
    assert "Age" in str(check(result, "known once a person").parts)
    assert {"adjusted", "unadjusted"} <= result.said


def dropout() -> pd.DataFrame:
    """Whoever rises steeply stops coming: lines carried on lie above every row observed."""
    frame = panel(200, 8, seed=5)
    steep = np.random.default_rng(5).exponential(3.0, 200)[frame["pid"]]
    frame["y"] += steep * frame["wave"]
    return frame[(frame["y"] <= 23).groupby(frame["pid"]).cummin()]


def test_means_that_no_row_comes_near_are_not_told():
    result = ask(dropout())
    level = check(result, "level of the outcome")
    assert level.verdict == "caution"
    assert not [e.name for e in result.estimates if e.name.startswith("mean_")]
    assert "means" not in result.tables
    figure = result.figures["slopes_figure"]
    assert figure.y_label.startswith("Difference")
    for series, name in zip(figure.series, ("within", "between"), strict=True):
        slope = result[name]
        assert_allclose(series.y, slope.value * np.array(series.x), rtol=CONVERGED)
        ends = np.sort([slope.low * series.x[-1], slope.high * series.x[-1]])
        assert_allclose((series.low[-1], series.high[-1]), ends, rtol=CONVERGED)
    text = words(result)
    assert "In other words" not in text
    assert "No mean of the outcome is told" in text


def test_means_near_the_rows_are_told():
    result = ask(panel())
    assert check(result, "level of the outcome").verdict == "ok"
    assert "In other words" in words(result)
    assert "No mean of the outcome" not in words(result)


def with_gaps() -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = panel(80)
    frame.loc[frame.index % 40 == 1, "y"] = np.nan
    age = np.where(np.arange(80) % 2, np.linspace(20, 60, 80), np.nan)
    return frame, pd.DataFrame({"pid": range(80), "age": age})


def test_the_column_that_most_waves_lack_is_named():
    frame, persons = with_gaps()
    result = ask(frame, persons, adjust=["age"])
    assert "lacked a value, most often age." in words(result).split("## What is estimated")[0]
    assert check(result, "missing values").about == "age"
    assert "most often" not in words(ask(panel()))


def test_without_covariates_every_row_that_lacked_only_those_is_used():
    frame, persons = with_gaps()
    result = ask(frame, persons, adjust=["age"])
    plain = ask(frame)
    found = result["unadjusted"]
    assert found.label == "Without covariates, on all waves"
    assert_allclose(found.value, plain["within"].value, rtol=CONVERGED)
    assert_allclose(found.se, plain["within"].se, rtol=CONVERGED)
    assert found.n == 80 > result["within"].n
    whole = pd.DataFrame({"pid": range(60), "age": np.linspace(20, 60, 60)})
    assert ask(panel(), whole, adjust=["age"])["unadjusted"].label == "Without covariates"


def test_limits_of_the_observed_course_are_students():
    frame = panel(7)
    series = ask(frame).figures["trajectory"].series[0]
    own = frame.loc[frame["wave"] == 2, "y"]
    reach = 2.4469118511449692 * own.std() / np.sqrt(7)  # t of 6 df, two-sided 95%
    assert_allclose(series.y[2], own.mean(), rtol=CONVERGED)
    assert_allclose((series.low[2], series.high[2]), own.mean() + reach * np.array([-1, 1]))


# --- words ---------------------------------------------------------------------------------------


def variants() -> Iterator[Any]:
    persons = pd.DataFrame({"pid": range(60), "age": np.linspace(20, 60, 60)})
    yield pytest.param(panel(), None, {}, id="plain")
    yield pytest.param(panel(waves=2), None, {"sensitivity": False}, id="short")
    yield pytest.param(panel(within=0.0), persons, {"adjust": ["age"]}, id="null")
    yield pytest.param(with_separations(), None, {"partnered": "partner"}, id="partnered")
    yield pytest.param(panel(), None, {"notes": ["Known & <b>once</b>."]}, id="notes")
    yield pytest.param(panel().assign(w=1.5), None, {"weights": "w"}, id="weights")


@pytest.mark.parametrize(("frame", "persons", "options"), list(variants()))
def test_every_report_composes_and_never_speaks_of_cause(frame, persons, options):
    text = words(ask(frame, persons, **options))
    first = text.split("## What is estimated")[0]
    assert "95% confidence interval" in first
    for causal in ("causes", "leads to", "impact", "no effect"):
        assert causal not in first
    assert ("Known" in first) == ("notes" in options)


def test_partners_are_spoken_of_only_where_the_data_know_them():
    plain = words(ask(panel(), outcome="y"))
    for word in ("partner", "separation", "Does not apply"):
        assert word not in plain
    apart = words(ask(with_separations(), partnered="partner"))
    for word in ("partner", "separation", "Does not apply"):
        assert word in apart


def test_a_report_takes_the_title_it_is_given():
    assert words(ask(panel(), title="Visits & <b>days</b>")).startswith("# Visits &amp;")
    assert words(ask(panel())).startswith("# Relationship satisfaction and outcome")


def test_confidence_is_printed_as_asked():
    assert "99.9% confidence interval" in words(ask(panel(), level=0.999))


def test_labels_read_as_words():
    codebook = Codebook(
        {
            "x": Variable("x", "Clinic visits attended in the week"),
            "y": Variable("y", "Days of use in the week (timeline follow-back)"),
        }
    )
    study = study_of(panel(), codebook=codebook)
    result = rs.answer(
        "relationship_satisfaction", study, unit="visit", outcome_unit="day", occasion="week"
    )
    first = words(result)
    assert "Do weeks with clinic visits attended in the week above a person's own" in first
    assert "days in days of use in the week at the same week" in first


# --- bad input -----------------------------------------------------------------------------------


def spoilt() -> Iterator[Any]:
    frame = panel()
    yield "text outcome", frame.assign(y="good"), {}, DataError, ["'y'", "text"]
    yield "constant outcome", frame.assign(y=3.0), {}, NotEstimable, ["'y'", "same value"]
    yield "constant predictor", frame.assign(x=2.0), {}, NotEstimable, ["'x'"]
    still = frame.assign(x=frame["pid"] * 1.0)
    yield "no change within", still, {}, NotEstimable, ["'x'", "within a person"]
    yield "one person", frame[frame["pid"] == 0], {}, NotEstimable, ["'pid'"]
    one_site = frame.assign(site=1)
    yield "one cluster", one_site, {"cluster": "site"}, NotEstimable, ["'site'", "one level"]
    yield "all missing", frame.assign(x=np.nan), {}, DataError, ["'x'", "'y'"]
    twice = pd.concat([frame, frame.iloc[[7]]])
    yield "repeated wave", twice, {}, DataError, ["wave", f"row {len(twice)}"]
    nameless = frame.assign(pid=frame["pid"].where(frame.index != 4).astype(float))
    yield "no person", nameless, {}, DataError, ["'pid'", "row 5"]
    yield "its own predictor", frame, {"satisfaction": "y"}, UsageError, ["'y'"]
    many = frame.assign(code=[f"c{i}" for i in range(len(frame))])
    yield "levels", many, {"adjust": ["code"]}, NotEstimable, ["'code'", str(len(frame))]
    arm = frame.assign(arm=frame["pid"] % 2)
    yield "still slope", arm, {"random_slope": ["arm"]}, NotEstimable, ["'arm'"]
    five = frame.iloc[:5].assign(age=range(5), arm=[0, 1, 0, 1, 1])
    yield "few rows", five, {"adjust": ["age", "arm"]}, NotEstimable, ["5 rows"]
    odd = frame.assign(partner=frame.index % 3)
    yield "partner codes", odd, {"partnered": "partner"}, DataError, ["'partner'"]
    light = frame.assign(w=np.where(frame.index == 2, -1.0, 1.0))
    yield "weights", light, {"weights": "w"}, DataError, ["'w'", "row 3"]
    yield "no column", frame, {"outcome": "yy"}, DataError, ["'yy'", "Did you mean 'y'"]


@pytest.mark.parametrize(
    ("frame", "options", "error", "named"), [pytest.param(*c[1:], id=c[0]) for c in spoilt()]
)
def test_bad_input_is_named(frame, options, error, named):
    with pytest.raises(error) as raised:
        ask(frame, **options)
    assert isinstance(raised.value, RecoveryError)
    for word in named:
        assert word in str(raised.value)


@pytest.mark.parametrize("name", ["yield", "class", "C", "a b", "x:y", "lambda", "np", "1", "Q"])
def test_any_name_of_a_column_works(name):
    plain = ask(panel())["within"].value
    as_outcome = ask(panel().rename(columns={"y": name}), outcome=name)
    assert_allclose(as_outcome["within"].value, plain, rtol=CONVERGED)
    as_predictor = ask(panel().rename(columns={"x": name}), satisfaction=name)
    assert_allclose(as_predictor["within"].value, plain, rtol=CONVERGED)
    words(as_predictor)


def test_people_with_huge_or_padded_names_stay_apart():
    frame = panel()
    big = frame.assign(pid=frame["pid"] + 900_000_000_000_000_000)
    padded = frame.assign(pid=[f"{i:03d}" if i != 7 else "7" for i in frame["pid"]])
    for other in (big, padded):
        assert ask(other).facts["people"].n == 60


def test_a_calendar_year_with_a_random_slope_fits_as_the_centred_one():
    frame = panel().assign(year=lambda f: f["wave"] + 2019)
    plain, year = (ask(frame, wave=w, random_slope=[w]) for w in ("wave", "year"))
    assert_allclose(year["within"].value, plain["within"].value, rtol=INVARIANCE)
    assert_allclose(year["within"].se, plain["within"].se, rtol=1e-4)
