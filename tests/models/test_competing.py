"""Competing events from a formula: cmprsk and survival, names, checks and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT

REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "reference"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="no ../shared/reference")


def case(name: str) -> tuple[pd.DataFrame, dict[str, float]]:
    about = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
    return pd.read_csv(REFERENCE / f"{name}.csv"), about["values"]


@needs_reference
def test_fine_gray_reference_case() -> None:
    """cmprsk 2.2: coefficients and the errors that count the estimated censoring curve."""
    data, values = case("finegray_mgus2")
    fit = rs.fine_gray("Surv(etime, ev) ~ age + male + mspike", data)
    for row in fit.tidy().itertuples():
        assert row.estimate == pytest.approx(values[f"fg.beta[{row.term}]"], rel=CONVERGED)
        assert row.std_error == pytest.approx(values[f"fg.se[{row.term}]"], rel=CONVERGED)
    assert fit.glance()["log_likelihood"][0] == pytest.approx(values["fg.loglik"], rel=CLOSED_FORM)


@needs_reference
def test_gray_reference_case() -> None:
    data, values = case("aj_mgus2")
    tests = rs.cumulative_incidence("Surv(etime, ev) ~ sex", data).gray_test().tidy()
    assert list(tests) == ["cause", "statistic", "df", "p_value"]
    assert tests["statistic"].tolist() == pytest.approx(
        [values["gray_pcm"], values["gray_death"]], rel=CLOSED_FORM
    )
    assert tests["p_value"][0] == pytest.approx(values["gray_pcm_p"], rel=CLOSED_FORM)


@pytest.fixture(scope="module")
def pbc() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Values of survival 3.5 from competing_pbc.R, beside this file."""
    stored = json.loads(Path(__file__).with_name("competing_pbc.json").read_text(encoding="utf-8"))
    return pd.DataFrame(stored["data"]), stored


@pytest.mark.parametrize(("key", "cause"), [("death", 1), ("transplant", 2)])
def test_weighted_rows_of_survival_give_the_same(
    pbc: tuple[pd.DataFrame, dict[str, Any]], key: str, cause: int
) -> None:
    data, stored = pbc
    fit = rs.fine_gray("Surv(time, cause) ~ age + bili + edema", data, cause)
    r = stored[key]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    row = fit.glance().iloc[0]
    found = row[["log_likelihood_null", "log_likelihood"]].tolist()
    assert found == pytest.approx(r["loglik"], rel=CONVERGED)
    new = pd.DataFrame({"age": [40, 60], "bili": [1, 5], "edema": [0, 0.5]})
    curve = fit.incidence(new, times=[500, 1500, 3000])
    np.testing.assert_allclose(
        curve["estimate"].to_numpy().reshape(2, 3).T, r["incidence"], rtol=CONVERGED
    )
    assert (curve["conf_low"] <= curve["estimate"]).all()
    assert (curve["estimate"] <= curve["conf_high"]).all()


def test_a_weight_counts_as_so_many_rows(pbc: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    data = pbc[0].assign(w=1 + np.arange(len(pbc[0])) % 3)
    formula = "Surv(time, cause) ~ age + bili + edema"
    weighted = rs.fine_gray(formula, data, weights="w")
    repeated = rs.fine_gray(formula, data.loc[data.index.repeat(data["w"])])
    np.testing.assert_allclose(weighted.beta, repeated.beta, rtol=CONVERGED)
    assert weighted.engine.loglik == pytest.approx(repeated.engine.loglik, rel=CONVERGED)


def cohort(n: int = 300) -> Dataset:
    """Leaving a house: by relapse, by moving on; an arm, a site, a score."""
    rng = np.random.default_rng(3)
    arm, age = rng.integers(0, 2, n), rng.normal(40, 9, n)
    frame = pd.DataFrame(
        {
            "days": np.ceil(rng.exponential(60 * np.exp(0.3 * arm), n)),
            "why": rng.choice([0.0, 1.0, 2.0], n),
            "arm": arm.astype(float),
            "age": age,
            "site": rng.integers(1, 7, n).astype(float),
            "entry": 0.5,
        },
        index=pd.RangeIndex(1, n + 1),
    )
    why = Variable("why", "Why", {0.0: "there still", 1.0: "relapse", 2.0: "moved on"})
    arms = Variable("arm", "Arm", {0.0: "usual", 1.0: "house"}, measure="nominal")
    return Dataset(frame, Codebook({"why": why, "arm": arms}))


def test_names_tables_and_estimates() -> None:
    data = cohort()
    fit = rs.fine_gray("Surv(days, why) ~ arm + age", data, cause="moved on")
    assert fit.beta == pytest.approx(
        rs.fine_gray("Surv(days, why) ~ arm + age", data, cause=2).beta, rel=EXACT
    )
    assert fit.terms == ("arm[T.house]", "age")
    assert list(fit.tidy()) == [
        "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    assert "moved on" in repr(fit)
    row = fit.glance().iloc[0]
    assert row["n_events"] + row["n_other"] + row["n_censored"] == row["n_obs"] == 300
    assert fit.covariance().loc["age", "age"] == pytest.approx(fit.tidy()["std_error"][1] ** 2)
    ratio = fit.estimate({"arm[T.house]": 1.0}, name="arm", label="House")
    tidy = fit.tidy(exponentiate=True)
    assert (ratio.value, ratio.low) == pytest.approx((tidy["estimate"][0], tidy["conf_low"][0]))
    assert ratio.scale == "ratio"
    anova = fit.anova()
    assert anova["statistic"][1] == pytest.approx(fit.tidy()["statistic"][1] ** 2)
    new = data.frame.iloc[:2]
    gap = fit.predict(new).diff().iloc[1]
    assert gap == pytest.approx(fit.beta @ (new[["arm", "age"]].diff().iloc[1].to_numpy()))
    beyond = fit.incidence(new, times=[30, 1e6])
    assert beyond["estimate"].isna().tolist() == [False, True, False, True]


def test_clusters_and_groups_of_censoring() -> None:
    data = cohort()
    plain = rs.fine_gray("Surv(days, why) ~ arm", data)
    fit = rs.fine_gray("Surv(days, why) ~ arm", data, cluster="site")
    assert fit.tidy()["std_error_model"][0] == pytest.approx(plain.tidy()["std_error"][0])
    assert {c.name: c.verdict for c in fit.checks()}["clusters"] == "caution"
    wider = max(fit.tidy().loc[0, ["std_error", "std_error_model"]])
    assert fit.estimate({"arm[T.house]": 1.0}, name="arm", label="").se == pytest.approx(wider)
    apart = rs.fine_gray("Surv(days, why) ~ arm", data, censoring="arm")
    assert apart.beta[0] != plain.beta[0]
    assert apart.beta == pytest.approx(plain.beta, abs=0.1)


def test_curves_of_all_causes_can_exceed_one() -> None:
    """A strong covariate with opposite effects: at its extremes the two models overshoot."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=400)
    frame = pd.DataFrame({"x": x, "t": rng.exponential(1, 400), "c": rng.integers(1, 3, 400)})
    frame["c"] = np.where(rng.random(400) < 1 / (1 + np.exp(-2 * x)), 1, 2)
    fit = rs.fine_gray("Surv(t, c) ~ x", frame)
    total = fit.probability_of_any()
    assert total is not None
    assert total.max() > 1
    check = {c.name: c for c in fit.checks()}["sum over causes"]
    assert check.verdict == "caution"
    mild = rs.fine_gray("Surv(days, why) ~ arm", cohort())
    assert {c.name for c in mild.checks()} >= {"sum over causes", "events per coefficient"}


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("Surv(entry, days, why) ~ arm", {}, "do not exist after another cause"),
        ("Surv(days, why) ~ arm + strata(site)", {}, "no strata"),
        ("Surv(days, why) ~ arm", {"cause": "relapsed"}, "Did you mean 'relapse'"),
        ("Surv(days, why) ~ arm", {"cause": 0}, "0 is censored"),
    ],
)
def test_what_is_refused(formula: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rs.fine_gray(formula, cohort(), **options)


def test_what_has_no_answer() -> None:
    data = cohort()
    with pytest.raises(NotEstimable, match="cause 4"):
        rs.fine_gray("Surv(days, why) ~ arm", data, cause=4)
    twice = data.frame.assign(twice=2 * data.frame["age"])
    with pytest.raises(NotEstimable, match=r"'twice'.*combination"):
        rs.fine_gray("Surv(days, why) ~ age + twice", twice)
    with pytest.raises(NotEstimable, match="there is one"):
        rs.cumulative_incidence("Surv(days, why) ~ 1", data).gray_test()


def test_causes_coded_from_one_are_told():
    """With 1 for censored nobody is censored; right codes say nothing."""
    frame = pd.DataFrame({"time": range(1, 61), "cause": [0, 1, 2] * 20, "x": [0.0, 1, 1, 0] * 15})
    wrong = frame.assign(cause=frame["cause"] + 1)
    for data, told in ((frame, False), (wrong, True)):
        found = rs.fine_gray("Surv(time, cause) ~ x", data).checks()
        found += rs.cumulative_incidence("Surv(time, cause) ~ 1", data).checks()
        assert sum(c.name == "coding of causes" for c in found) == 2 * told
