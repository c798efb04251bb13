"""Trials with houses: partially nested model, likeness, table of methods, refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.latent_icc import alike
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models import comparison
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.partially_nested import partially_nested
from tests.models.test_instrument import houses
from tests.models.test_membership import kenward_roger_dense
from tests.tolerance import CLOSED_FORM, R_DIGITS

R = json.loads(Path(__file__).with_name("clustered_trial.json").read_text())


def trial_of():
    d = houses()
    d.loc[d["arm"] == 0, "house"] = None
    return d


def latent():
    """25 houses whose residents' answers are alike."""
    rng = np.random.default_rng(11)
    ids = np.repeat(np.arange(25), rng.integers(3, 14, 25))
    arm = (ids % 2).astype(float)
    p = 1 / (1 + np.exp(-(0.3 - 0.5 * arm + 1.1 * rng.normal(size=25)[ids])))
    return pd.DataFrame({"house": ids, "arm": arm, "used": (rng.random(len(ids)) < p).astype(int)})


def nested():
    """Houses unlike each other, and people alone who vary more."""
    rng = np.random.default_rng(5)
    house = np.r_[np.repeat(np.arange(12.0), rng.integers(3, 9, 12)), np.full(60, np.nan)]
    arm = (~np.isnan(house)).astype(float)
    x = rng.normal(size=len(house))
    u = np.where(arm == 1, rng.normal(0, 2.5, 12)[np.nan_to_num(house).astype(int)], 0.0)
    y = 10 + 1.5 * arm + u + 0.7 * x + rng.normal(size=len(house)) * np.where(arm == 1, 2, 3)
    return pd.DataFrame({"house": house, "arm": arm, "x": x, "y": y})


def test_the_partially_nested_model_is_that_of_r():
    """glmmTMB, REML, dispformula by arm (clustered_trial.R); the error is that of generalised
    least squares at its variances (glmmTMB's own adds what the variances are unsure of)."""
    d = Dataset(nested())
    found = clusters_of(d, "house", d.frame["arm"].to_numpy())
    fit = partially_nested(d, "y", "arm", found, ("x",))
    table = fit.tidy().set_index("term")
    for term in ("arm", "x"):
        assert table.loc[term, "estimate"] == pytest.approx(R[f"beta_{term}"], rel=R_DIGITS)
    house, arm = d.frame["house"].to_numpy(), d.frame["arm"].to_numpy()
    X = np.column_stack([np.ones(len(d)), arm, d.frame["x"]])
    V = R["house"] * (house[:, None] == house)
    V += np.diag(np.where(arm == 1, R["residual_compared"], R["residual_usual"]))
    error = np.sqrt(np.linalg.inv(X.T @ np.linalg.solve(V, X))[1, 1])
    assert table.loc["arm", "std_error"] == pytest.approx(error, rel=R_DIGITS)
    parts = fit.variance_components()["covariance"].to_numpy()
    expected = [R["house"], R["residual_compared"], R["residual_usual"]]
    assert sorted(parts) == pytest.approx(sorted(expected), rel=R_DIGITS)


def test_its_degrees_of_freedom_lie_between_houses_and_people():
    d = Dataset(nested())
    fit = partially_nested(d, "y", "arm", clusters_of(d, "house", d.frame["arm"].to_numpy()))
    assert 5 < fit.tidy().set_index("term").loc["arm", "df"] < len(d) - 2


def test_kenward_roger_by_its_dense_formulas():
    """Three variances, linear in V: of houses, and of residuals in each arm."""
    d = Dataset(nested())
    clusters = clusters_of(d, "house", d.frame["arm"].to_numpy())
    fit = partially_nested(d, "y", "arm", clusters, ("x",), df="kenward-roger")
    row = fit.tidy().set_index("term").loc["arm"]
    house, arm = d.frame["house"].to_numpy(), d.frame["arm"].to_numpy()
    X = np.column_stack([np.ones(len(d)), arm, d.frame["x"]])
    parts = ((house[:, None] == house) * 1.0, np.diag(arm), np.diag(1 - arm))
    table = fit.variance_components()
    residual = table[table["group"] == "Residual"].set_index("term_1")["covariance"]
    gamma = (table["covariance"].iloc[0], residual["compared"], residual["usual"])
    error, df = kenward_roger_dense(X, parts, gamma, 1)
    assert row["std_error"] == pytest.approx(error, rel=R_DIGITS)
    assert row["df"] == pytest.approx(df, rel=R_DIGITS)


def test_people_alone_are_no_houses():
    """The mixed model gives each a group of its own, without an effect: 12 houses, not 72."""
    d = nested()
    d["home"] = np.where(d["arm"] == 1, "house " + d["house"].astype(str), d.index.astype(str))
    fit = rs.lmm("y ~ arm + x + (0 + arm | home)", d)
    assert fit.glance()["n_groups"].iloc[0] == 12
    assert fit.groups == {"home": 12}
    assert rs.lmm("y ~ arm + x + (1 | home)", d).groups == {"home": 72}


def test_both_kinds_of_degrees_of_freedom_are_rows():
    found = rs.clustered_trial(nested(), outcome="y", arm="arm", cluster="house", adjust=["x"])
    rows = found.sensitivity().set_index("term")
    assert "Kenward" in rows.loc["mixed_kenward_roger", "method"]
    assert rows.loc["mixed_kenward_roger", "std_error"] > rows.loc["mixed_by_arm", "std_error"]
    assert found.mixed("kenward-roger").df == "kenward-roger"


def test_latent_likeness_and_its_limits_are_those_of_r():
    """lme4's glmer with 25 nodes, and its profile of the standard deviation."""
    d = latent()
    X = np.column_stack([np.ones(len(d)), d["arm"] - d["arm"].mean()])
    found = alike(X, d["used"].to_numpy(float), d["house"].to_numpy(), level=0.95)
    assert found.sigma[0] == pytest.approx(R["sigma"], rel=1e-4)
    assert found.sigma[1:] == pytest.approx((R["sigma_low"], R["sigma_high"]), rel=2e-3)
    assert found.latent[0] == pytest.approx(
        R["sigma"] ** 2 / (R["sigma"] ** 2 + np.pi**2 / 3), rel=1e-4
    )


def test_likeness_on_three_scales():
    table = rs.icc(latent(), outcome="used", cluster="house", arm="arm").tidy().set_index("term")
    assert list(table.index) == ["observed", "observed_model", "latent"]
    assert table.loc["observed_model", "estimate"] < table.loc["latent", "estimate"]
    assert (table["conf_low"] < table["estimate"]).all()
    assert (table["estimate"] < table["conf_high"]).all()


def test_design_effect_of_unequal_sizes_by_hand():
    found = rs.icc(nested(), outcome="y", cluster="house")
    row = found.tidy().iloc[0]
    m = found.sizes
    expected = 1 + ((1 + m.var() / m.mean() ** 2) * m.mean() - 1) * row["estimate"]
    assert row["design_effect"] == pytest.approx(expected, rel=CLOSED_FORM)


def test_risks_without_covariates_are_the_shares():
    d = trial_of()
    found = rs.clustered_trial(d, outcome="used", arm="arm", cluster="house")
    shares = d.groupby("arm")["used"].mean()
    table = found.tidy().set_index("term")["estimate"]
    assert table["risk_difference"] == pytest.approx(shares[1] - shares[0], rel=CLOSED_FORM)
    assert table["risk_ratio"] == pytest.approx(shares[1] / shares[0], rel=1e-8)
    assert found.number_needed().value == pytest.approx(1 / abs(shares[1] - shares[0]), rel=1e-8)


def test_every_method_stands_in_one_table():
    found = rs.clustered_trial(
        trial_of(), outcome="used", arm="arm", cluster="house", adjust=["age"]
    )
    names = set(found.sensitivity()["term"])
    assert {
        "by_cluster", "mixed_by_arm", "gee_kauermann_carroll", "gee_mancl_derouen",
        "gee_fay_graubard", "wild", "permutation", "left_out_low",
    } <= names  # fmt: skip
    spread = found.sensitivity()["estimate"]
    assert spread.max() - spread.min() < 0.15


def test_houses_randomised_are_permuted_as_houses():
    d = latent()[lambda x: x["house"] < 8]
    found = rs.clustered_trial(d, outcome="used", arm="arm", cluster="house", randomised="clusters")
    row = found.sensitivity().set_index("term").loc["permutation"]
    assert "by house" in row["method"]
    assert row["p_value"] * 70 == pytest.approx(round(row["p_value"] * 70))
    checks = {c.name: c for c in found.checks()}
    assert checks["clusters"].verdict == "caution"
    assert checks["smallest attainable p"].parts[3].value == 2 / 70


def test_one_house_is_refused():
    d = trial_of()
    d["house"] = d["house"].where(d["house"] == "h0")
    with pytest.raises(NotEstimable, match="one level"):
        rs.clustered_trial(d, outcome="used", arm="arm", cluster="house")


def test_houses_of_one_resident_have_no_likeness():
    d = trial_of()
    d["house"] = [f"h{i}" for i in range(len(d))]
    with pytest.raises(NotEstimable, match="two people"):
        rs.icc(d, outcome="used", cluster="house")
    assert len(rs.clustered_trial(d, outcome="used", arm="arm", cluster="house").tidy()) == 5


def test_an_outcome_that_everybody_of_an_arm_has_is_refused():
    d = trial_of()
    d.loc[d["arm"] == 1, "used"] = 0
    with pytest.raises(NotEstimable, match="nobody"):
        rs.clustered_trial(d, outcome="used", arm="arm", cluster="house")


def test_what_was_randomised_must_be_a_known_word():
    with pytest.raises(UsageError, match="people"):
        rs.clustered_trial(trial_of(), outcome="used", arm="arm", randomised="person")


def test_houses_too_many_to_be_left_out_in_turn_are_said(monkeypatch):
    asked = {"outcome": "y", "arm": "arm", "cluster": "house", "adjust": ["x"]}
    assert "left out in turn" not in {
        c.name for c in rs.clustered_trial(nested(), **asked).checks()
    }
    monkeypatch.setattr(comparison, "MOST_WORK", 100)
    trial = rs.clustered_trial(nested(), **asked)
    assert "left out in turn" in {c.name for c in trial.checks()}
    assert not trial.sensitivity()["term"].str.startswith("left_out").any()
