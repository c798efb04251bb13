"""impute(): what is asked for, what is kept, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import impute_smc as smc
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import build_design
from recovery_stats.models.imputation_plan import Planner
from recovery_stats.models.imputation_request import Request
from recovery_stats.models.imputation_survival import read_hazards
from tests.tolerance import EXACT

# --- a table with everything -----------------------------------------------------------------


def _table(n: int = 300, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), rng.choice(["care", "house"], n)
    z = 0.5 * x + rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "x": x, "z": z, "arm": arm, "race": rng.choice(list("pqr"), n),
            "stage": pd.Categorical(np.digitize(x + rng.logistic(size=n), [-1, 0.5]), ordered=True),
            "days": rng.poisson(np.exp(0.3 * x)).astype(float),
            "time": rng.exponential(np.exp(-x / 2)), "event": (rng.random(n) < 0.7).astype(int),
        }
    )  # fmt: skip
    for column, share in {"x": 0.2, "arm": 0.1, "race": 0.1, "stage": 0.1, "days": 0.15}.items():
        frame.loc[rng.random(n) < share, column] = None
    return frame


TABLE = _table()


def test_types_survive_and_nothing_observed_is_touched() -> None:
    whole = rs.impute(TABLE, 2, seed=1, sweeps=3)[1]
    assert not whole.isna().any().any()
    assert (whole.dtypes == TABLE.dtypes).all()
    for column in TABLE:
        seen = TABLE[column].notna()
        assert whole[column][seen].equals(TABLE[column][seen])


def test_every_method_is_taken(recwarn: pytest.WarningsRecorder) -> None:
    for method in ("poisson", "negative-binomial", "normal", "pmm", "ordered", "multinomial"):
        imputed = rs.impute(TABLE, 2, seed=1, sweeps=2, methods={"days": method})
        assert imputed[0]["days"].notna().all()
        if method not in ("normal",):
            assert (imputed[0]["days"] % 1 == 0).all()


def test_the_same_whatever_the_processes_and_the_number() -> None:
    one = rs.impute(TABLE, 3, seed=5, sweeps=2)
    two = rs.impute(TABLE, 3, seed=5, sweeps=2, jobs=2)
    pd.testing.assert_frame_equal(one.long(), two.long())
    grown = rs.impute(TABLE, 1, seed=5, sweeps=2).more(2)
    pd.testing.assert_frame_equal(one.long(), grown.long())
    other = rs.impute(TABLE, 3, seed=6, sweeps=2)
    assert not one.long().equals(other.long())


def test_progress_is_told_to_whom_asked(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    rs.impute(TABLE, 3, seed=1, sweeps=1, progress=lambda done, m: seen.append((done, m)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert capsys.readouterr() == ("", "")


def test_tables_of_a_dataset_keep_their_codebook() -> None:
    book = Codebook({"x": Variable("x", "Severity")})
    imputed = rs.impute(Dataset(TABLE, book), 2, seed=1, sweeps=1)
    assert isinstance(imputed[0], Dataset)
    assert imputed[0].label("x") == "Severity"


def test_passive_columns_hold_and_do_not_predict_their_parts() -> None:
    data = TABLE.assign(total=TABLE["x"] + TABLE["days"])
    imputed = rs.impute(data, 2, seed=1, sweeps=3, passive={"total": "x + days", "sq": "x^2"})
    for whole in imputed:
        np.testing.assert_allclose(whole["total"], whole["x"] + whole["days"], atol=EXACT)
        np.testing.assert_allclose(whole["sq"], whole["x"] ** 2, atol=EXACT)
    used = imputed.describe().set_index("column")["predictors"]
    assert "total" not in used["x"]
    assert "sq" not in used["x"]
    assert "sq" in used["days"]


def test_items_predict_items_and_scores_everything_else() -> None:
    rng = np.random.default_rng(2)
    trait = rng.normal(size=200)
    items = {f"i{k}": np.clip(np.round(3 + trait + rng.normal(size=200)), 1, 5) for k in range(6)}
    data = pd.DataFrame({**items, "y": trait + rng.normal(size=200)})
    for column in ("i0", "i3", "y"):
        data.loc[rng.random(200) < 0.2, column] = np.nan
    scores = {"a": "(i0 + i1 + i2) / 3", "b": "(i3 + i4 + 6 - i5) / 3"}
    imputed = rs.impute(data, 2, seed=1, sweeps=3, scores=scores)
    used = imputed.describe().set_index("column")["predictors"]
    assert used["i0"] == "i1, i2, y, b"
    assert used["y"] == "a, b"
    whole = imputed[0]
    np.testing.assert_allclose(whole["a"], whole[["i0", "i1", "i2"]].mean(axis=1), atol=EXACT)


def test_products_predict_what_they_are_not_made_of() -> None:
    imputed = rs.impute(TABLE, 1, seed=1, sweeps=2, interactions="arm:z")
    used = imputed.describe().set_index("column")["predictors"]
    assert "arm:z" in used["x"]
    assert "arm:z" not in used["arm"]


def test_survival_outcome_predicts_and_is_left_alone() -> None:
    imputed = rs.impute(TABLE, 2, seed=1, sweeps=2, survival="Surv(time, event)")
    used = imputed.describe().set_index("column")["predictors"]
    assert used["x"].endswith("event, hazard")
    assert "time" not in used["x"]


def test_nelson_aalen_on_paper() -> None:
    data = pd.DataFrame({"t": [1.0, 2.0, 2.0, 4.0], "e": [1, 0, 1, 1], "c": [1, 0, 2, 1]})
    found = read_hazards("Surv(t, e)", data, 4)
    steps = [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1]
    np.testing.assert_allclose(found.hazard[0], steps, rtol=EXACT)
    by_cause = read_hazards("Surv(t, c)", data, 4)
    np.testing.assert_allclose(by_cause.hazard[1], [0, 1 / 3, 1 / 3, 1 / 3], atol=EXACT)
    late = read_hazards("Surv(s, t, e)", data.assign(s=[0.0, 1.0, 0.0, 2.0]), 4)
    # at 1: rows 1 and 3 at risk; at 2: rows 2 and 3; at 4: row 4
    np.testing.assert_allclose(late.hazard[0], [1 / 2, 1 / 2, 1, 1], rtol=EXACT)


def test_delta_by_number_by_row_and_by_expression() -> None:
    data = TABLE[["x", "z"]].assign(arm=(TABLE.index % 2).astype(float))
    options: dict[str, Any] = {"methods": {"x": "normal"}, "sweeps": 1}
    plain = rs.impute(data, 1, seed=1, **options)[0]["x"]
    number = rs.impute(data, 1, seed=1, delta={"x": 2.0}, **options)[0]["x"]
    rows = rs.impute(data, 1, seed=1, delta={"x": 2.0 * data["arm"]}, **options)[0]["x"]
    words = rs.impute(data, 1, seed=1, delta={"x": "2 * arm"}, **options)[0]["x"]
    empty = data["x"].isna()
    np.testing.assert_allclose(number - plain, 2.0 * empty, atol=EXACT)
    np.testing.assert_allclose(rows - plain, 2.0 * empty * data["arm"], atol=EXACT)
    assert words.equals(rows)


def test_a_shift_of_a_matched_visit_is_carried_to_the_next() -> None:
    """y2 is twice y1 and one donor is drawn: the next visit is 2 (donor + delta) + its own delta,
    as far as there are donors."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"z": rng.normal(size=400), "y1": rng.integers(0, 60, 400).astype(float)})
    data["y2"] = 2 * data["y1"]
    empty = rng.random(400) < 0.3
    data.loc[empty, ["y1", "y2"]] = np.nan
    whole = rs.impute(
        data, 1, seed=2, donors=1, methods={"y1": "pmm", "y2": "pmm"},
        predictors={"y1": ["z"], "y2": ["y1"]}, delta={"y1": 20.0, "y2": -3.0},
    )[0][empty]  # fmt: skip
    highest = data["y2"].max()
    assert set(whole["y1"] - 20) <= set(data["y1"].dropna())
    assert (2 * whole["y1"] > highest).any()
    np.testing.assert_allclose(whole["y2"] + 3, np.minimum(2 * whole["y1"], highest), rtol=EXACT)


def test_shifts_of_columns_that_predict_each_other_feed_back() -> None:
    """The fixed point of s1 = d1 + c s2 and s2 = d2 + b s1, b and c the regressions on each other;
    by one visit after the other it is d2 + b d1."""
    rng = np.random.default_rng(5)
    y1, z = rng.normal(size=(2, 2000))
    data = pd.DataFrame({"y1": y1, "y2": 0.6 * y1 + 0.8 * rng.normal(size=2000), "z": z})
    empty = rng.random(2000) < 0.3
    data.loc[empty, ["y1", "y2"]] = np.nan
    b, c = (
        np.polyfit(data[x].dropna(), data[y].dropna(), 1)[0]
        for x, y in (("y1", "y2"), ("y2", "y1"))
    )
    d1, d2 = 0.1, 0.2
    options: dict[str, Any] = {"methods": {"y1": "normal", "y2": "normal"}, "sweeps": 20}
    in_order = {"predictors": {"y1": ["z"], "y2": ["y1", "z"]}}
    for more, want in (
        ({}, [(d1 + c * d2) / (1 - b * c), (d2 + b * d1) / (1 - b * c)]),
        (in_order, [d1, d2 + b * d1]),
    ):
        plain, moved = (
            rs.impute(data, 1, seed=4, delta=delta, **options, **more)[0]
            for delta in ({}, {"y1": d1, "y2": d2})
        )
        found = (moved - plain).loc[empty, ["y1", "y2"]].mean()
        np.testing.assert_allclose(found, want, rtol=0.05)  # coefficients are drawn


# --- not applicable ----------------------------------------------------------------------------


def _partners() -> Dataset:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"age": rng.normal(size=120), "ras": rng.normal(size=120)})
    frame.index += 1
    frame.loc[1:40, "ras"] = np.nan
    codes = pd.Series([-97.0] * 30 + [-99.0] * 10, index=range(1, 41))
    rule = MissingRule((-97.0, -99.0))
    return Dataset(frame, Codebook({"ras": Variable("ras", missing=rule)}), {"ras": codes})


def test_what_is_not_applicable_stays_empty() -> None:
    data = _partners()
    imputed = rs.impute(data, 2, seed=1)
    whole = imputed[0]
    assert whole.frame["ras"].isna().sum() == 30
    assert set(whole.missing["ras"]) == {-97.0}
    assert imputed.describe().loc[0, "not_applicable"] == 30
    assert imputed.describe().loc[0, "missing"] == 10


def test_what_is_not_applicable_still_predicts_by_an_indicator() -> None:
    data = _partners()
    frame = data.frame.assign(y=np.where(data.frame.index <= 30, 5.0, 0.0))
    frame["y"] += np.random.default_rng(1).normal(size=120) * 0.1
    frame.loc[[3, 100], "y"] = np.nan
    whole = rs.impute(data.with_frame(frame), 2, seed=1)[0].frame
    assert whole.loc[3, "y"] > 4
    assert whole.loc[100, "y"] < 1


def test_masks_for_a_plain_table() -> None:
    data = TABLE[["x", "z"]]
    mask = data["x"].isna() & (data["z"] > 0)
    whole = rs.impute(data, 1, seed=1, not_applicable={"x": mask})[0]
    assert whole["x"].isna().equals(mask)


# --- enough ------------------------------------------------------------------------------------


def test_impute_until_enough() -> None:
    few = rs.impute(TABLE[["x", "z"]], 3, seed=1)
    whole, fit = few.fit_enough(lambda d: rs.glm("z ~ x", d), cv=0.1)
    assert whole.m >= fit.m > 3
    assert fit.m == few.fit(lambda d: rs.glm("z ~ x", d)).imputations_needed(0.1)
    np.testing.assert_array_equal(whole[0]["x"], few[0]["x"])


def test_checks_and_traces() -> None:
    imputed = rs.impute(TABLE, 4, seed=1, sweeps=10)
    assert imputed.checks()[0].verdict == "ok"
    assert len(imputed.traces()) == 4 * 10 * 5
    assert set(imputed.convergence().columns) == {"column", "r_hat_mean", "r_hat_sd", "p_value"}


def test_perfect_prediction_is_checked() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"site": rng.choice(list("abc"), 200), "x": rng.normal(size=200)})
    data["medication"] = np.where(data["site"] == "a", "yes", "no")
    data.loc[rng.random(200) < 0.2, "medication"] = None
    imputed = rs.impute(data, 2, seed=1)
    told = [c for c in imputed.checks() if c.name == "perfect prediction"]
    assert [c.about for c in told] == ["medication"]
    assert told[0].verdict == "caution"
    same = imputed[0]["medication"].eq("yes") == data["site"].eq("a")
    assert same.mean() > 0.95


def test_perfect_prediction_within_clusters_is_checked() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"house": np.arange(240) % 12, "x": rng.normal(size=240)})
    data["medication"] = np.where(data["x"] > 0, "yes", "no")
    other = np.where(rng.random(240) < 0.5, "yes", "no")
    empty = rng.random(240) < 0.2
    for column, names in ((data["medication"], ["medication"]), (other, [])):
        holes = data.assign(medication=np.where(empty, None, column))
        imputed = rs.impute(holes, 2, seed=1, cluster="house", sweeps=2)
        told = [c for c in imputed.checks() if c.name == "perfect prediction"]
        assert [c.about for c in told] == names


def test_counts_that_are_all_zero_at_one_site_are_imputed_small_there() -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"site": np.repeat(["a", "b"], 100)})
    data["drinks"] = np.where(data["site"] == "b", rng.poisson(3.0, 200), 0).astype(float)
    data.loc[::9, "drinks"] = np.nan
    imputed = rs.impute(data, 2, seed=1, methods={"drinks": "poisson"})
    assert imputed[0].loc[data["site"] == "a", "drinks"].max() <= 3
    told = [c for c in imputed.checks() if c.name == "perfect prediction"]
    assert [c.about for c in told] == ["drinks"]


def test_an_identifier_among_the_predictors_is_named() -> None:
    data = TABLE[["x", "z"]].iloc[:45].assign(id=[f"P{k}" for k in range(45)])
    with pytest.raises(NotEstimable, match=r"'id' alone has 44: .* \(exclude=\['id'\]\)"):
        rs.impute(data, 2, seed=1)
    assert rs.impute(data, 2, seed=1, exclude="id").m == 2


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({"empty": np.nan}, {}, DataError, r"'empty' has no observed value.*exclude=\['empty'\]"),
        (
            {"same": np.where(np.arange(300) < 9, np.nan, 7.0)}, {}, DataError,
            r"'same' has the same value in all 291 observed rows and is missing in 9.*exclude",
        ),
        ({}, {"delta": {"z": 1}}, UsageError, "'z' has no missing value. Imputed columns: .*x"),
        ({}, {"delta": {"race": 1}}, UsageError, "'race' has 3 levels without an order"),
        ({}, {"delta": {"xx": 1}}, UsageError, "'xx' takes no part"),
        ({}, {"delta": {"x": float("nan")}}, UsageError, "is a finite number, not nan"),
        ({}, {"delta": {"x": None}}, UsageError, "is a finite number, not None"),
        ({}, {"delta": {"x": ["low"] * 300}}, UsageError, "a number, one number for each row"),
        ({}, {"delta": {"x": [np.inf] * 300}}, DataError, r"'x'\] is empty or infinite in \d+ of"),
        ({}, {"methods": {"x": "pm"}}, UsageError, "No method for column 'x' named 'pm'.*'pmm'"),
        ({}, {"methods": {"y": "pmm"}}, DataError, "No column named 'y'"),
        ({}, {"methods": {"x": "poisson"}}, DataError, "'x' has .* that are no counts.*'pmm'"),
        ({}, {"methods": {"race": "normal"}}, DataError, "'race' holds words"),
        ({}, {"methods": {"race": "logistic"}}, DataError, "'race' has 3 values; 'logistic'"),
        ({}, {"predictors": {"x": ["zz"]}}, UsageError, "No predictor of 'x' named 'zz'"),
        ({}, {"passive": {"q": "race + 1"}}, UsageError, "'race' holds words"),
        ({}, {"survival": "Surv(days, event)"}, DataError, r"is missing in \d+ of 300 rows"),
        ({}, {"m": 0}, UsageError, "m= is a whole number from 1"),
        ({}, {"cluster": "race"}, DataError, "cluster column 'race' is empty in"),
        ({}, {"constant": "x"}, UsageError, "constant= names 'x', but no cluster="),
        (
            {"site": np.arange(300) % 9}, {"cluster": "site", "constant": "x"}, DataError,
            "'x' is said to be constant in each site, and differs within 9 of them",
        ),
    ],
)  # fmt: skip
def test_refusals_name_the_column_and_the_cure(
    change: dict[str, Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rs.impute(TABLE.assign(**change), **{"m": 2, "seed": 1, **options})


def test_nothing_missing_is_said() -> None:
    with pytest.raises(DataError, match="nothing to impute"):
        rs.impute(TABLE[["z", "time"]], 2, seed=1)


def test_more_predictors_than_rows_are_refused() -> None:
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 15)))
    wide.columns = [f"v{k}" for k in range(15)]
    wide.loc[0, "v3"] = np.nan
    with pytest.raises(NotEstimable, match=r"'v3' has 11 observed .*predictors=\{'v3'"):
        rs.impute(wide, 2, seed=1)


def test_what_takes_no_part_is_told() -> None:
    data = TABLE.assign(when=pd.Timestamp("2020-01-01"), one=1, note=[f"n{k}" for k in range(300)])
    told = {c.about: c.parts[0] for c in rs.impute(data, 1, seed=1, sweeps=1).checks()}
    assert "dates" in told["when"]
    assert "300 levels" in told["note"]
    assert "one value" in told["one"]


def test_combinations_of_others_are_left_out_and_told() -> None:
    data = TABLE.assign(twice=2 * TABLE["z"])
    told = [c for c in rs.impute(data, 1, seed=1, sweeps=1).checks() if c.about == "x"]
    assert "twice" in told[0].parts[0]


# --- clusters ------------------------------------------------------------------------------------


def _waves(seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Five waves of 150 people in 10 sites: whole, and with holes; the person's sd is 1."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(150), 5)
    site = person % 10
    u = rng.normal(size=150)[person] + 0.4 * rng.normal(size=10)[site]
    x = rng.normal(size=750) + 0.5 * u
    severe = rng.normal(size=150)[person]
    whole = pd.DataFrame(
        {
            "person": person, "site": site, "wave": np.tile(np.arange(5.0), 150), "x": x,
            "severe": severe, "y": 1 + 0.5 * x + severe + u + rng.normal(size=750),
        }
    )  # fmt: skip
    holes = whole.copy()
    for column in ("x", "y"):
        holes.loc[rng.random(750) < 0.3, column] = np.nan
    holes.loc[np.isin(person, rng.choice(150, 30, False)), "severe"] = np.nan
    return whole, holes


def _persons_variance(fits: Any) -> float:
    tables = [f.variance_components().set_index("group")["covariance"] for f in fits]
    return float(np.mean([t["person"] for t in tables]))


def test_people_stay_alike_when_their_clusters_are_in_the_model() -> None:
    whole, holes = _waves()

    def model(d: Any) -> Any:
        return rs.lmm("y ~ x + severe + (1 | person)", d)

    truth = _persons_variance([model(whole)])
    methods = {"x": "normal", "y": "normal"}
    within = rs.impute(holes, 8, seed=1, cluster="site/person", methods=methods).fit(model)
    ignoring = rs.impute(holes, 8, seed=1, exclude=["site", "person"], methods=methods).fit(model)
    assert _persons_variance(within.fits) == pytest.approx(truth, rel=0.2)
    assert _persons_variance(ignoring.fits) < 0.85 * truth
    want = model(whole).tidy()
    assert (abs(within.tidy()["estimate"] - want["estimate"]) < 2.5 * want["std_error"]).all()


def test_what_is_constant_in_a_cluster_is_imputed_once() -> None:
    _, holes = _waves()
    imputed = rs.impute(holes, 2, seed=1, cluster="person", sweeps=2, delta={"severe": 100.0})
    for table in imputed:
        assert (table.groupby("person")["severe"].agg(np.ptp) == 0).all()
        assert (table["severe"][holes["severe"].isna()] > 90).all()
    used = imputed.describe().set_index("column")["predictors"]
    assert "mean of x by person" in used["severe"]
    assert "mean of x by person" not in used["x"]


def test_a_constant_known_at_one_wave_is_known_at_all() -> None:
    _, holes = _waves()
    holes["severe"] = holes["severe"].where(holes["wave"] == 2)
    known = holes.groupby("person")["severe"].transform("max")
    options: dict[str, Any] = {"seed": 1, "cluster": "person", "sweeps": 1}
    table = rs.impute(holes, 1, constant="severe", **options)[0]
    assert table["severe"][known.notna()].equals(known[known.notna()])


def test_slopes_vary_over_clusters() -> None:
    rng = np.random.default_rng(2)
    person = np.repeat(np.arange(120), 8)
    slope = 1 + rng.normal(size=120)[person]
    t = np.tile(np.linspace(-1, 1, 8), 120)
    whole = pd.DataFrame({"person": person, "t": t, "y": slope * t + 0.3 * rng.normal(size=960)})
    holes = whole.assign(y=whole["y"].mask(rng.random(960) < 0.4))

    def variance(d: Any) -> float:
        table = rs.lmm("y ~ t + (1 + t | person)", d).variance_components()
        return float(
            table.loc[(table["term_1"] == "t") & (table["term_2"] == "t"), "covariance"].iloc[0]
        )

    options: dict[str, Any] = {"cluster": "person", "methods": {"y": "normal"}}
    with_slopes = rs.impute(holes, 3, seed=1, slopes="t", **options)
    without = rs.impute(holes, 3, seed=1, **options)
    assert np.mean([variance(d) for d in with_slopes]) == pytest.approx(variance(whole), rel=0.1)
    assert np.mean([variance(d) for d in without]) < 0.7 * variance(whole)


# --- substantive models -----------------------------------------------------------------------


def test_compiled_columns_are_those_of_the_design() -> None:
    whole = TABLE.dropna().reset_index(drop=True)
    whole["site"] = np.arange(len(whole)) % 12
    holes = whole.copy()
    holes.loc[:10, "x"] = np.nan
    text = "y ~ race * x + rcs(z, 3) + I(x^2) + log(time) + days_within + days_between + (1 | site)"
    holes["y"] = whole["y"] = np.sqrt(np.arange(float(len(whole))))
    asked = Request(
        {}, {}, (), (), {}, {}, None, text, (), (), (), True, True, {}, (), 1, 5
    )  # fmt: skip
    plan = Planner(Columns.of(holes), holes, asked)
    plan.lay_out()
    plan.finish()
    values = np.array(plan.values)
    values[plan.places["x"]] = whole["x"]
    values[plan.places["race"]] = np.searchsorted(list("pqr"), whole["race"])
    split = rs.within_between(whole, "days", "site")
    design = build_design(text, split)
    assert isinstance(plan.model, smc.Mixed)
    found = plan.model.surface(values).T
    ours, theirs = (np.linalg.qr(np.asarray(M)).Q for M in (found, design.X))
    assert found.shape == design.X.shape
    np.testing.assert_allclose(ours @ (ours.T @ theirs), theirs, atol=1e-8)


def _interaction(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    z = (rng.random(500) < 0.5) * 1.0
    x = rng.normal(size=500) + 0.5 * z
    time = rng.exponential(np.exp(-(0.7 * x + 0.5 * z - 0.8 * x * z)))
    data = pd.DataFrame({"x": x, "z": z, "time": np.minimum(time, 3.0), "event": (time <= 3) * 1})
    data["x"] = data["x"].mask(rng.random(500) < 0.5)
    return data


def test_an_interaction_survives_where_its_model_is_named() -> None:
    def model(d: Any) -> Any:
        return rs.cox("Surv(time, event) ~ x * z", d)

    tables = [_interaction(seed) for seed in range(6)]
    options: dict[str, Any] = {"m": 3, "seed": 1}
    named = [
        rs.impute(d, substantive="Surv(time, event) ~ x * z", **options).fit(model) for d in tables
    ]
    plain = [rs.impute(d, survival="Surv(time, event)", **options).fit(model) for d in tables]
    mean = {k: np.mean([f.rules.estimate[2] for f in v]) for k, v in (("a", named), ("b", plain))}
    assert mean["a"] == pytest.approx(-0.8, abs=0.12)
    assert mean["b"] > mean["a"] + 0.05  # drawn towards none


def test_the_outcome_of_a_substantive_model_is_drawn_from_it() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=300), "g": np.arange(300) % 30})
    data["y"] = 1 + data["x"] ** 2 + rng.normal(size=30)[data["g"]] + 0.5 * rng.normal(size=300)
    data.loc[::4, "y"] = np.nan
    text = "y ~ x + I(x^2) + (1 | g)"
    imputed = rs.impute(data, 4, seed=1, substantive=text)
    fit = imputed.fit(lambda d: rs.lmm(text, d)).tidy().set_index("term")["estimate"]
    assert fit["I(x^2)"] == pytest.approx(1.0, abs=0.1)
    yes = data.assign(y=(data["y"] > 1.5).astype(float).mask(data["y"].isna()))
    drawn = rs.impute(yes, 2, seed=1, substantive="y ~ x + I(x^2)")[0]["y"]
    assert set(drawn) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"substantive": "log(z) ~ x"}, "one column or Surv"),
        ({"substantive": "z ~ x + q"}, "No column of the substantive model named 'q'"),
        ({"substantive": "z ~ x_within + x_between"}, "need cluster="),
        ({"substantive": "z ~ x", "exclude": "z"}, "outcome 'z' .* takes no part"),
        ({"substantive": "race ~ x"}, "'race' has levels; a substantive model is linear"),
        ({"substantive": "z ~ x", "delta": {"x": 1}}, "cannot shift 'x'"),
        ({"substantive": "Surv(time, event) ~ x + frailty(race)"}, "frailty"),
    ],
)
def test_refusals_of_substantive_models(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rs.impute(TABLE, 2, seed=1, **options)


# --- small print ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["boolean", "object", "Int64", "float"])
def test_yes_or_no_of_any_type(dtype: str) -> None:
    used = pd.Series(np.arange(120) % 3 == 0)
    column = used.astype(dtype if dtype != "Int64" else "boolean").astype(dtype)
    column[::7] = None
    data = pd.DataFrame({"used": column, "z": np.random.default_rng(1).normal(size=120)})
    whole = rs.impute(data, 1, seed=1)[0]["used"]
    assert whole.notna().all()
    assert whole.dtype == column.dtype
    assert set(map(type, whole)) == set(map(type, column.dropna()))


def test_a_column_that_numbers_the_rows_predicts_nothing() -> None:
    imputed = rs.impute(TABLE.assign(pid=np.arange(300) + 7), 1, seed=1, sweeps=1)
    assert "pid" not in imputed.describe()["predictors"][0]
    assert "numbers the rows" in {c.about: c.parts[0] for c in imputed.checks()}["pid"]


def test_methods_are_told_in_words() -> None:
    _, holes = _waves()
    plain = rs.impute(TABLE, 1, seed=1, sweeps=1).describe().set_index("column")["method"]
    assert plain["stage"] == "proportional odds"
    within = rs.impute(holes, 1, seed=1, sweeps=1, cluster="person").describe()
    assert "predictive mean matching within clusters" in set(within["method"])
    named = rs.impute(holes, 1, seed=1, sweeps=1, substantive="y ~ x + (1 | person)").describe()
    told = named.set_index("column")["method"]
    assert told["x"] == "compatible with the substantive model, normal"
    assert told["y"] == "substantive model"


def test_diaries_are_completed_before_exposures_are_made() -> None:
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"id": np.arange(40) + 1.0, "day": 60.0, "relapse": np.arange(40) % 2})
    people.loc[people["relapse"] == 1, "day"] = 20.0 + np.arange(20)
    diary = pd.DataFrame({"id": np.repeat(people["id"], 60), "day": np.tile(np.arange(60.0), 40)})
    rate = np.repeat(rng.gamma(2, 0.2, 40), 60)
    diary = diary.reset_index(drop=True).assign(meetings=rng.poisson(rate).astype(float))
    diary.loc[rng.random(len(diary)) < 0.2, "meetings"] = np.nan
    imputed = rs.impute(diary, 2, seed=1, cluster="id", sweeps=2)

    def model(whole: pd.DataFrame) -> Any:
        attended = whole.loc[whole.index.repeat(whole["meetings"].astype(int)), ["id", "day"]]
        rows = rs.person_days(
            people, person="id", stop="day", event="relapse", meetings=attended, meeting_day="day",
            windows=(7,),
        )  # fmt: skip
        exposure = next(c for c in rows.frame if str(c).endswith("7"))
        return rs.cox(f"Surv(start, stop, relapse) ~ {exposure}", rows)

    assert imputed.fit(model).m == 2


def test_a_shift_of_ordered_codes_within_clusters_is_refused_and_a_number_is_not():
    rng = np.random.default_rng(1)
    answers = pd.Series(pd.Categorical(rng.integers(1, 5, 120), ordered=True))
    answers[:20] = np.nan
    data = pd.DataFrame({"site": rng.integers(0, 8, 120), "answer": answers})
    with pytest.raises(UsageError, match="a shifted code is no level"):
        rs.impute(data, m=2, seed=1, cluster="site", delta={"answer": -1.0})
    data["answer"] = data["answer"].astype(float)
    rs.impute(
        data, m=2, seed=1, cluster="site", methods={"answer": "normal"}, delta={"answer": -1.0}
    )
