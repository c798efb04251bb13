"""Kinds of houses as moderators: house means, R, the cap on df, refusals, recovery."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CONVERGED, MONTE_CARLO_SES, R_DIGITS

R = json.loads(Path(__file__).with_name("house_moderator.json").read_text())


def place(houses=12, residents=6, *, alone=True, seed=3, slope=0.0, sd=0.6, sd_slope=0.0):
    """Houses of one size with a number `w` and a kind; people alone, or arms by house."""
    rng = np.random.default_rng(seed)
    h = np.repeat(np.arange(houses), residents)
    w, u, v = rng.normal(size=(3, houses))
    x = rng.normal(size=len(h))
    y = sd * u[h] + slope * w[h] + (0.3 + sd_slope * v[h]) * x + rng.normal(size=len(h))
    people = pd.DataFrame({"house": h * 1.0, "arm": 1, "x": x, "y": y})
    if not alone:
        people["arm"] = h % 2
    n = len(h) if alone else 0
    others = pd.DataFrame({"house": np.nan, "arm": 0, "x": rng.normal(size=n),
                           "y": rng.normal(size=n)})  # fmt: skip
    homes = pd.DataFrame({"house": np.arange(houses) * 1.0, "w": w,
                          "kind": np.array(list("aabb"))[np.arange(houses) % 4]})  # fmt: skip
    return pd.concat([people, others], ignore_index=True), homes


def ask(people, homes, **more):
    given = {"outcome": "y", "arm": "arm", "house": "house", "by": ["w"]}
    return rs.house_moderators(people, homes, **given | more)


# --- one arm with houses -------------------------------------------------------------------------


def test_houses_of_one_size_are_a_regression_on_their_means():
    """Balanced, no covariates: slope, error, F and df are those of 12 means."""
    people, homes = place(sd=1.2)
    row = ask(people, homes).tests().iloc[0]
    means = people[people["arm"] == 1].groupby("house")["y"].mean().to_numpy()
    X = np.column_stack([np.ones(12), homes["w"]])
    beta, rss = np.linalg.lstsq(X, means, rcond=None)[:2]
    variance = rss[0] / 10 * np.linalg.inv(X.T @ X)[1, 1]
    assert row["slope"] == pytest.approx(beta[1], rel=CONVERGED)
    assert row["statistic"] == pytest.approx(beta[1] ** 2 / variance, rel=CONVERGED)
    assert row["den_df"] == pytest.approx(10, rel=CONVERGED)
    assert row["p_value"] == pytest.approx(
        f_distribution.sf(row["statistic"], 1, 10), rel=CONVERGED
    )


def test_kinds_of_houses_are_an_analysis_of_variance_of_their_means():
    people, homes = place()
    homes["kind"] = np.array(list("abc"))[np.arange(12) % 3]
    row = ask(people, homes, by=["kind"]).tests().iloc[0]
    means = people[people["arm"] == 1].groupby("house")["y"].mean().to_numpy().reshape(4, 3)
    between = 4 * ((means.mean(0) - means.mean()) ** 2).sum() / 2
    within = ((means - means.mean(0)) ** 2).sum() / 9
    assert row["statistic"] == pytest.approx(between / within, rel=CONVERGED)
    assert (row["num_df"], row["den_df"]) == pytest.approx((2, 9), rel=CONVERGED)
    assert np.isnan(row["slope"])


def test_each_kind_is_compared_with_the_people_alone():
    people, homes = place()
    found = ask(people, homes, by=["kind"]).tidy().set_index("level")
    joined = people.merge(homes, on="house", how="left")
    usual = people.loc[people["arm"] == 0, "y"].mean()
    for kind in "ab":
        effect = joined.loc[joined["kind"] == kind, "y"].mean() - usual
        assert found.loc[kind, "estimate"] == pytest.approx(effect, rel=CONVERGED)
        assert found.loc[kind, "n"] == 36


def test_no_variance_between_houses_does_not_make_people_into_houses():
    """House means nearer each other than chance: Satterthwaite alone would count residents."""
    people, homes = place(sd=0.0)
    resident = people["arm"] == 1
    by = people[resident].groupby("house")["y"]
    people.loc[resident, "y"] -= 0.9 * by.transform("mean")
    assert ask(people, homes).tests()["den_df"].iloc[0] == 10


def test_a_resident_of_the_other_arm_stays_in_it():
    people, homes = place()
    before = ask(people, homes).tests().iloc[0]
    people.loc[people.index[-3:], "house"] = 2.0  # crossed over
    after = ask(people, homes).tests().iloc[0]
    assert after["p_value"] == pytest.approx(before["p_value"], rel=CONVERGED)


# --- houses in both arms; cross-level ------------------------------------------------------------


def uneven():
    """The table of house_moderator.csv: 16 houses of unequal size, arms by house."""
    rng = np.random.default_rng(21)
    size = rng.integers(4, 11, 16)
    h = np.repeat(np.arange(16), size)
    w, u, v = rng.normal(size=(3, 16))
    x = rng.normal(size=len(h)) + 0.5 * rng.normal(size=16)[h]
    z = rng.normal(size=len(h))
    arm = h % 2
    y = 2 + u[h] - 0.5 * arm + 0.4 * arm * w[h] + (0.5 + 0.6 * v[h] + 0.4 * w[h]) * x + 0.3 * z
    y = y + rng.normal(size=len(h))
    people = pd.DataFrame({"house": h * 1.0, "arm": arm, "x": x, "z": z, "y": y})
    homes = pd.DataFrame({"house": np.arange(16) * 1.0, "w": w,
                          "kind": np.array(list("aabbcc"))[np.arange(16) % 6]})  # fmt: skip
    return people, homes


@pytest.mark.parametrize("name", ["effect_w", "effect_kind", "slope_w", "slope_kind"])
def test_kenward_roger_tests_are_those_of_r(name):
    """lmerTest with pbkrtest (house_moderator.R), where the cap of houses does not bind."""
    people, homes = uneven()
    what, by = name.split("_")
    across = ["x"] if what == "slope" else []
    found = ask(people, homes, by=[by], adjust=["z"], cross_level=across).tests()
    row = found[found["across"] == ("x" if across else "")].iloc[0]
    assert row["statistic"] == pytest.approx(R[name]["f"], rel=R_DIGITS)
    cap = {"effect_w": 12, "effect_kind": 10, "slope_w": 14, "slope_kind": 13}[name]
    assert row["den_df"] == pytest.approx(min(R[name]["df"], cap), rel=10 * R_DIGITS)


def test_arms_that_meet_in_houses_have_a_random_difference():
    people, homes = place(20, 8, alone=False, sd=0.3)
    people["arm"] = np.arange(len(people)) % 2
    row = ask(people, homes).tests().iloc[0]
    d = people.pivot_table(index="house", columns="arm", values="y")
    X = np.column_stack([np.ones(20), homes["w"]])
    slope = np.linalg.lstsq(X, (d[1] - d[0]).to_numpy(), rcond=None)[0][1]
    assert row["slope"] == pytest.approx(slope, rel=1e-6)  # balanced: house differences
    assert row["den_df"] <= 18


def test_holm_holds_over_the_family():
    people, homes = uneven()
    found = ask(people, homes, by=["w", "kind"], cross_level=["x", "z"]).tests()
    assert list(found["across"]) == ["", "x", "z"] * 2
    assert found["p_holm"].to_numpy() == pytest.approx(rs.adjust_p(found["p_value"], "holm"))


def test_a_slope_that_grows_with_the_house_is_found():
    """Truth 0.8 a unit of w; the interval holds it in 95 of 100 cohorts, less chance."""
    held = 0
    for seed in range(40):
        people, homes = place(16, 6, slope=0.8, seed=seed)
        row = ask(people, homes).tests().iloc[0]
        held += row["conf_low"] < 0.8 < row["conf_high"]
    assert held / 40 > 0.95 - MONTE_CARLO_SES * np.sqrt(0.95 * 0.05 / 40)


def test_a_correlation_of_intercept_and_slope_that_cannot_be_told_is_left_out():
    """Houses whose slopes differ, drawn so that both random effects pull on one another."""
    rng = np.random.default_rng([20, False, 62])
    h = np.repeat(np.arange(20), 6)
    w, u, v = rng.normal(size=(3, 20))
    x = rng.normal(size=120)
    y = u[h] / 3 + 0.5 * v[h] * x + rng.normal(size=120)
    people = pd.DataFrame({"house": h * 1.0, "arm": h % 2, "x": x, "y": y})
    found = ask(people, pd.DataFrame({"house": np.arange(20) * 1.0, "w": w}), cross_level=["x"])
    assert not found.refused
    assert 0 < found.tests()["den_df"].iloc[1] <= 18


# --- what is refused -----------------------------------------------------------------------------


def test_five_houses_are_too_few_and_six_are_not():
    people, homes = place(5)
    with pytest.raises(NotEstimable, match="5 houses with people leave 3 degrees of freedom"):
        ask(people, homes)
    assert ask(*place(6)).tests()["den_df"].iloc[0] == pytest.approx(4, rel=CONVERGED)


def test_a_level_of_one_house_is_refused_and_the_others_answered():
    people, homes = place()
    homes.loc[0, "kind"] = "alone in its kind"
    found = ask(people, homes, by=["kind", "w"])
    assert [r.by for r in found.refused] == ["kind"]
    assert [m.by for m in found.asked] == ["w"]
    told = [c for c in found.checks() if c.about == "kind"]
    assert "one house cannot be told from its kind" in str(told[0].parts)


def test_houses_unknown_are_counted_and_left_out():
    people, homes = place()
    found = ask(people, homes[homes["house"] > 1])
    assert found.unknown == 12
    assert found.tests()["houses"].iloc[0] == 10


def test_labels_come_from_the_codebook():
    people, homes = place()
    homes["rule"] = np.arange(12) % 2 * 1.0
    book = Codebook({"rule": Variable("rule", "30 days abstinent", {0.0: "No", 1.0: "Yes"})})
    found = ask(people, Dataset(homes, book), by=["rule"])
    assert found.asked[0].label == "30 days abstinent"
    assert list(found.tidy()["level"]) == ["No", "Yes"]


def test_bad_tables_are_told():
    people, homes = place()
    with pytest.raises(DataError, match="1 rows whose 'house' occurred before"):
        ask(people, pd.concat([homes, homes.iloc[:1]]))
    with pytest.raises(DataError, match="name houses in the same way"):
        ask(people, homes.assign(house=homes["house"] + 100))
    with pytest.raises(DataError, match="No column of table 'houses' named 'density'"):
        ask(people, homes, by=["density"])
    with pytest.raises(UsageError, match="characteristics"):
        ask(people, homes, by=[])
    people["race"] = np.array(list("abc"))[np.arange(len(people)) % 3]
    with pytest.raises(UsageError, match="3 levels"):
        ask(people, homes, cross_level=["race"])
