"""Outcomes of every kind in two arms: closed forms, R, a collapse of clusters, refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import recovery_stats as rs
from recovery_stats.engines.glm import logistic
from recovery_stats.engines.log_linear import log_linear
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models import comparison
from tests.tolerance import CLOSED_FORM, CONVERGED

FROM_R = json.loads((Path(__file__).parent / "log_linear.json").read_text())


def people():
    return pd.DataFrame({k: FROM_R[k] for k in ("x", "arm", "count", "money", "days")})


@pytest.mark.parametrize(
    ("kind", "column", "family"),
    [("count", "count", "poisson"), ("money", "money", "gamma"), ("days", "days", "fraction")],
)
def test_regressions_against_r(kind, column, family):
    data = people()
    X = np.column_stack([np.ones(len(data)), data["arm"], data["x"]]).astype(float)
    y = data[column].to_numpy(float)
    powers = {"poisson": 1.0, "gamma": 2.0}
    fit = log_linear(X, y, powers[family]) if family in powers else logistic(X, y / 30)
    # R's glm stops when its deviance no longer changes: some digits before the score is zero.
    np.testing.assert_allclose(fit.beta, FROM_R[family]["beta"], rtol=1e-7)
    assert np.abs(fit.X_white.T @ fit.residual_white).max() < 1e-8
    np.testing.assert_allclose(fit.covariance, FROM_R[family]["covariance"], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "column", "more"),
    [("count", "count", {}), ("money", "money", {}), ("days", "days", {"out_of": 30}),
     ("number", "money", {})],
)  # fmt: skip
def test_without_covariates_it_is_welch(kind, column, more):
    """Difference of means with the error of Welch; the ratio is that of the means."""
    data = people()
    found = rs.compare_arms(data, column, "arm", kind=kind, **more).tidy().set_index("term")
    a, b = (data.loc[data["arm"] == k, column] for k in (1, 0))
    row = found.loc["mean_difference"]
    se = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert row["estimate"] == pytest.approx(a.mean() - b.mean(), rel=CLOSED_FORM)
    assert row["std_error"] == pytest.approx(se, rel=CLOSED_FORM)
    if kind != "number":
        ratio = found.loc["mean_ratio"]
        spread = np.sqrt(a.var() / len(a) / a.mean() ** 2 + b.var() / len(b) / b.mean() ** 2)
        assert ratio["estimate"] == pytest.approx(a.mean() / b.mean(), rel=CLOSED_FORM)
        assert ratio["std_error"] == pytest.approx(spread, rel=CLOSED_FORM)


def test_yes_no_of_the_oxford_house_trial():
    data = pd.DataFrame({
        "house": [1] * 67 + [0] * 54, "used": [1] * 21 + [0] * 46 + [1] * 35 + [0] * 19
    })  # fmt: skip
    fit = rs.compare_arms(data, "used", "house")
    found = fit.tidy().set_index("term")["estimate"]
    assert round(found["risk_ratio"], 3) == 0.484
    assert round(found["odds_ratio"], 3) == 0.248
    assert round(fit.number_needed.value, 2) == 2.99


def test_clusters_of_one_are_no_clusters():
    data = people().assign(house=np.arange(60))
    alone = rs.compare_arms(data, "count", "arm", kind="count", adjust=["x"]).tidy()
    each = rs.compare_arms(data, "count", "arm", kind="count", adjust=["x"], cluster="house")
    pd.testing.assert_frame_equal(alone, each.tidy(), rtol=1e-8)


def test_the_bootstrap_of_money_has_the_error_of_welch():
    data = people()
    fit = rs.compare_arms(data, "money", "arm", kind="money", replicates=2000, seed=2)
    row = fit.tidy().set_index("term").loc["mean_difference_bootstrap"]
    a, b = (data.loc[data["arm"] == k, "money"] for k in (1, 0))
    # the bootstrap's variance has n where the estimate has n - 1; 2000 draws know it to 1.6 %
    se = np.sqrt(a.var(ddof=0) / len(a) + b.var(ddof=0) / len(b))
    assert row["std_error"] == pytest.approx(se, rel=0.05)
    assert row["estimate"] == pytest.approx(a.mean() - b.mean(), rel=CLOSED_FORM)


def test_values_that_a_kind_cannot_have():
    data = people()
    with pytest.raises(UsageError, match="out_of"):
        rs.compare_arms(data, "days", "arm", kind="days")
    with pytest.raises(DataError, match="outside 0 to 7"):
        rs.compare_arms(data, "days", "arm", kind="days", out_of=7)
    with pytest.raises(DataError, match="whole numbers"):
        rs.compare_arms(data, "money", "arm", kind="count")
    nobody = data.assign(count=np.where(data["arm"] == 1, 0, data["count"]))
    with pytest.raises(NotEstimable, match="least"):
        rs.compare_arms(nobody, "count", "arm", kind="count")


# --- subgroups -----------------------------------------------------------------------------


def test_two_subgroups_are_four_means():
    data = people().assign(sex=lambda d: np.where(d["x"] > 0, "a", "b"))
    found = rs.subgroups(data, "money", "arm", ["sex"])
    cells = data.groupby(["sex", "arm"])["money"].agg(["mean", "var", "size"])
    each = cells["var"] / cells["size"]
    rows = found.tidy().set_index("level")
    for sex in ("a", "b"):
        difference = cells["mean"][sex, 1] - cells["mean"][sex, 0]
        assert rows.loc[sex, "estimate"] == pytest.approx(difference, rel=CLOSED_FORM)
        se = np.sqrt(each[sex].sum())
        assert rows.loc[sex, "std_error"] == pytest.approx(se, rel=CLOSED_FORM)
    row = found.interactions().iloc[0]
    gap = rows.loc["b", "estimate"] - rows.loc["a", "estimate"]
    assert row["slope"] == pytest.approx(gap, rel=CLOSED_FORM)
    assert row["statistic"] == pytest.approx(gap**2 / each.sum(), rel=1e-9)


def test_three_subgroups_by_brute_force():
    """Wald of both contrasts with HC2, scaled by (df - 1) / (2 df)."""
    data = people().assign(place=lambda d: pd.cut(d["x"], 3, labels=["a", "b", "c"]).astype(str))
    row = rs.subgroups(data, "count", "arm", ["place"]).interactions().iloc[0]
    cells = data.groupby(["place", "arm"])["count"].agg(["mean", "var", "size"])
    usual, compared = (cells.xs(a, level="arm") for a in (0, 1))
    d = (compared["mean"] - usual["mean"]).to_numpy()
    v = (usual["var"] / usual["size"] + compared["var"] / compared["size"]).to_numpy()
    C = np.array([[-1.0, 1, 0], [-1, 0, 1]])
    wald = C @ d @ np.linalg.solve(C @ np.diag(v) @ C.T, C @ d)
    df = row["den_df"] + 1
    assert row["statistic"] == pytest.approx(wald * row["den_df"] / (df * 2), rel=1e-9)


def test_a_number_moderates_by_its_slope():
    rng = np.random.default_rng(4)
    n = 4000
    ace, arm = rng.integers(0, 11, n).astype(float), rng.integers(0, 2, n)
    y = 0.3 * ace + arm * (2 - 0.25 * ace) + rng.normal(size=n)
    data = pd.DataFrame({"ace": ace, "arm": arm, "y": y})
    found = rs.subgroups(data, "y", "arm", ["ace"])
    slope = found.found[0].slope
    assert abs(slope.value + 0.25) < 4 * slope.se
    middle = found.tidy().set_index("level").loc["mean"]
    assert abs(middle["estimate"] - (2 - 0.25 * ace.mean())) < 4 * middle["std_error"]


def test_a_subgroup_with_one_arm_is_refused():
    data = people().assign(only=lambda d: np.where(d["arm"] == 1, "a", "b"))
    with pytest.raises(NotEstimable, match="one"):
        rs.subgroups(data, "count", "arm", ["only"])


def test_holm_over_the_declared_family():
    data = people().assign(s=np.tile([0, 0, 1], 20).astype(str), t=np.tile([1, 2, 2, 1], 15))
    data["t"] = data["t"].astype(str)
    found = rs.subgroups(data, "count", "arm", ["s", "t"])
    p = found.interactions()["p_value"].to_numpy()
    assert found.holm == pytest.approx(tuple(rs.adjust_p(p)))


def sites(people: int = 240, seed: int = 9) -> pd.DataFrame:
    """Arms drawn within five sites that differ; the effect is larger in women."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "site": rng.integers(0, 5, people), "arm": rng.integers(0, 2, people),
        "sex": rng.integers(0, 2, people), "age": rng.normal(40, 9, people),
    })  # fmt: skip
    noise = rng.normal(size=people)
    effect = frame["arm"] * (1 + frame["sex"])
    return frame.assign(y=2.0 * frame["site"] + effect + 0.1 * frame["age"] + noise)


def test_subgroups_within_strata_are_those_of_a_coefficient_a_stratum():
    data = sites()
    found = rs.subgroups(data, "y", "arm", ["sex"], adjust=["age"], cluster="site", strata="site")
    X = pd.get_dummies(data["site"], prefix="site", dtype=float).assign(
        age=data["age"], sex=data["sex"], arm=data["arm"], both=data["arm"] * data["sex"]
    )
    fit = sm.OLS(data["y"], X).fit(cov_type="HC2")
    men, women = found.found[0].effects
    assert men.value == pytest.approx(fit.params["arm"], rel=CONVERGED)
    assert men.se == pytest.approx(fit.bse["arm"], rel=CONVERGED)
    told = fit.t_test("arm + both = 0")
    assert women.value == pytest.approx(float(told.effect[0]), rel=CONVERGED)
    assert women.se == pytest.approx(float(told.sd[0, 0]), rel=CONVERGED)


def test_strata_that_are_the_clusters_leave_people_alone_whatever_their_codes():
    data = sites()
    data = data.assign(name=data["site"].map(dict(enumerate("ecadb"))))
    one = rs.compare_arms(data, "y", "arm", adjust=["age"], cluster="name", strata="name")
    assert one.glance()["errors"].item() == "people"
    same = rs.compare_arms(data, "y", "arm", adjust=["age"], strata="name")
    assert one.estimates()[0].value == pytest.approx(same.estimates()[0].value, rel=CONVERGED)


@pytest.mark.parametrize("most", [20_000_000, 100])
def test_arms_that_meet_in_no_stratum_are_refused(most, monkeypatch):
    """Strata that are the arms themselves, or finer: nothing can be compared within them."""
    monkeypatch.setattr(comparison, "MOST_CELLS", most)
    data = sites()
    data = data.assign(block=2 * data["site"] + data["arm"])
    for strata in ("arm", "block"):
        with pytest.raises(NotEstimable, match="people of one arm only"):
            rs.compare_arms(data, "y", "arm", strata=strata)


@pytest.mark.parametrize(("large", "verdict"), [(4, "ok"), (0, "caution")])
def test_strata_taken_together_are_counted(large, verdict):
    """People of five sites; of those from site `large` on each pair is a block of its own."""
    data = sites()
    pairs = np.arange(len(data)) // 2 + 10
    data = data.assign(block=data["site"].where(data["site"] < large, pairs))
    (check,) = [c for c in rs.compare_arms(data, "y", "arm", strata="block").checks()
                if c.name == "strata"]  # fmt: skip
    blocks = data["block"].nunique()
    assert check.verdict == verdict
    assert [part.n for part in check.parts[:3:2]] == [blocks - large, blocks]


def test_means_of_strata_are_as_good_as_a_coefficient_each(monkeypatch):
    data = sites()
    asked = {"adjust": ["age"], "cluster": "site", "strata": "site"}
    each = rs.compare_arms(data, "y", "arm", **asked)
    monkeypatch.setattr(comparison, "MOST_CELLS", 100)
    absorbed = rs.compare_arms(data, "y", "arm", **asked)
    assert absorbed.found.absorbed
    assert absorbed.glance()["errors"].item() == "clusters"
    assert absorbed.sample.X.shape == each.sample.X.shape
    assert absorbed.estimates()[0].value == pytest.approx(each.estimates()[0].value, rel=CONVERGED)
