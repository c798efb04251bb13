"""Eighteen kinds of survival analysis as R gives them, each asked for in one public call.

Values: tests/models/survival_cases.R (survival 3.5-3, cmprsk 2.2-11).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.models.concordance import TimeWeight

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("survival_cases.json").read_text())
WEIGHTED = "Surv(tstart, tstop, status) ~ treat + age + weight + strata(hos)"


def data(name: str) -> pd.DataFrame:
    return pd.DataFrame(CASES[name])


def same(ours: Any, theirs: Any, rel: float = 1e-9, abs: float = 1e-12) -> None:
    found = np.asarray(ours, dtype=float).ravel()
    assert found == pytest.approx(np.asarray(theirs, dtype=float).ravel(), rel=rel, abs=abs)


@pytest.fixture(scope="module")
def weighted() -> Any:
    return rs.cox(WEIGHTED, data("cgd"), weights="w", cluster="id")


def test_weights_strata_and_persons(weighted: Any) -> None:
    theirs, table, whole = CASES["c1"], weighted.tidy(), weighted.glance().iloc[0]
    same(table["estimate"], theirs["beta"])
    same(table["std_error"], theirs["robust"])
    same(table["std_error_model"], theirs["model"])
    same(whole[["log_likelihood_null", "log_likelihood"]], theirs["loglik"])
    same(whole[["score", "wald"]], [theirs["score"], theirs["wald"]])
    same(whole[["concordance", "concordance_se"]], [theirs["concordance"], theirs["c_se"]])


def test_residuals_with_weights(weighted: Any) -> None:
    theirs = CASES["c1"]
    for kind in ("martingale", "deviance", "dfbeta", "dfbetas"):
        same(weighted.residuals(kind), theirs[kind])
    same(weighted.residuals("score"), theirs["score_rows"])
    same(weighted.residuals("dfbeta", by="cluster"), theirs["by_person"])
    ours = weighted.residuals("schoenfeld")[list(weighted.terms)].to_numpy()
    same(np.sort(ours, axis=0), np.sort(np.array(theirs["schoenfeld"]), axis=0))


@pytest.mark.parametrize("transform", ["km", "identity", "rank", "log"])
def test_proportionality_within_strata(transform: Any) -> None:
    formula = "Surv(tstart, tstop, status) ~ treat * age + weight + strata(hos)"
    test = rs.cox(formula, data("cgd")).proportionality(transform)
    # R and we put the interaction last, before GLOBAL
    same(test["chisq"], CASES["c2"][transform]["chisq"])
    same(test["p_value"], CASES["c2"][transform]["p"])


def test_counts_breslow_and_offset() -> None:
    formula, theirs = "Surv(tstart, tstop, status) ~ treat + age + offset(off)", CASES["c3"]
    frame = data("cgd").assign(off=lambda d: (d["weight"] / 100).round(2))
    fit = rs.cox(formula, frame, weights="count", ties="breslow")
    same(fit.tidy()["estimate"], theirs["beta"])
    same(fit.tidy()["std_error"], theirs["se"])
    same(fit.glance()[["log_likelihood_null", "log_likelihood"]], theirs["loglik"])


@pytest.mark.parametrize("weights", ["w", None])
def test_curves_with_entry_and_weights(weights: str | None) -> None:
    theirs = CASES["c4"]["weighted" if weights else "plain"]
    frame = data("veteran")
    curves = rs.kaplan_meier("Surv(start, time, status) ~ trt", frame, weights=weights)
    at = curves.at([20, 60, 120, 250])
    columns = {"estimate": "surv", "std_error": "se", "conf_low": "low", "conf_high": "high"}
    for ours, name in columns.items():
        same(at[ours], theirs[name])
    quantiles = rs.kaplan_meier("Surv(time, status) ~ trt", frame).quantile([0.25, 0.5, 0.75])
    for ours, name in {"estimate": "quantile", "conf_low": "lower", "conf_high": "upper"}.items():
        same(quantiles[ours], CASES["c4"]["quantile"][name])


@pytest.mark.parametrize(("name", "rho"), [("rho0", 0), ("rho1", 1), ("rho_half", 0.5)])
def test_log_rank_tests_within_strata(name: str, rho: float) -> None:
    test = rs.logrank("Surv(time, status) ~ celltype + strata(trt)", data("veteran"), rho=rho)
    same(test.tidy()["statistic"], CASES["c5"][name])


def test_subdistribution_with_effects_that_change() -> None:
    formula, frame, theirs = "Surv(time, cause) ~ age + male + mspike", data("mgus"), CASES["c6"]
    fit = rs.fine_gray(formula, frame, varying={"mspike": "log"})
    same(fit.tidy()["estimate"], theirs["beta"])
    same(fit.tidy()["std_error"], theirs["se"])
    same(fit.glance()["log_likelihood"], theirs["loglik"])
    same(rs.fine_gray(formula, frame, censoring="male").tidy()["estimate"], theirs["groups"])


def test_censoring_groups_that_are_alike_change_no_error() -> None:
    """Everybody twice, as two groups: cmprsk 2.2 fails this, so its errors are no witness."""
    formula, frame = "Surv(time, cause) ~ age + male", data("mgus")
    twice = pd.concat([frame.assign(half=0), frame.assign(half=1)])
    one, two = (rs.fine_gray(formula, twice, censoring=c).tidy() for c in (None, "half"))
    same(two["std_error"], one["std_error"])


def test_penalised_spline() -> None:
    fit = rs.cox("Surv(time, status == 2) ~ sex + pspline(karno, 3)", data("lung"))
    theirs, row = CASES["c7"], fit.tidy().set_index("term").loc["sex"]
    same([row["estimate"], row["std_error"]], [theirs["sex"], theirs["se"]], rel=1e-8)
    same(fit.glance()["log_likelihood"], theirs["loglik"])
    same(fit.glance()["effective_df"], sum(theirs["df"]), rel=1e-8)


@pytest.mark.parametrize(
    ("name", "method"),
    [("total", "pwp-total"), ("gap", "pwp-gap"), ("ag", "andersen-gill"), ("wlw", "wlw")],
)
def test_recurrent_events(name: str, method: Any) -> None:
    formula = "Surv(start, stop, event) ~ rx + number + size"
    fit = rs.recurrent(formula, data("bladder2"), person="id", method=method)
    same(fit.tidy()["estimate"], CASES["c8"][name]["beta"])
    same(fit.tidy()["std_error"], CASES["c8"][name]["se"])
    same(fit.glance()["log_likelihood"], CASES["c8"][name]["loglik"])


@pytest.mark.parametrize("law", ["weibull", "loglogistic", "lognormal", "exponential"])
def test_accelerated_failure_between_visits(law: str) -> None:
    ours: Any = {"loglogistic": "log-logistic", "lognormal": "log-normal"}.get(law, law)
    formula, theirs = 'Surv(low, high, type="interval2") ~ karno + trt', CASES["c9"][law]
    fit = rs.aft(formula, data("interval"), distribution=ours, weights="count")
    same(fit.tidy()["estimate"][:3], theirs["beta"])
    same(fit.tidy()["std_error"], theirs["se"])
    same(fit.glance()["log_likelihood"], theirs["loglik"][1])


def test_accelerated_failure_with_scales_and_clusters() -> None:
    frame, theirs = data("interval"), CASES["c9"]
    scales = rs.aft("Surv(time, status) ~ karno + strata(trt)", frame).tidy()
    same(scales["estimate"], [*theirs["strata"]["beta"], *np.log(theirs["strata"]["scale"])])
    same(scales["std_error"], theirs["strata"]["se"])
    table = rs.aft(
        "Surv(time, status) ~ karno + trt", frame, weights="w", cluster="celltype"
    ).tidy()
    same(table["estimate"][:3], theirs["robust"]["beta"])
    same(table["std_error"], theirs["robust"]["se"])
    same(table["std_error_model"], theirs["robust"]["model"])


def test_frailty_of_persons_with_entry_and_strata() -> None:
    """Our errors count that the variance is estimated; R's take it as known, so they are less."""
    formula = "Surv(tstart, tstop, status) ~ treat + age + strata(sex) + frailty(id)"
    fit, theirs = rs.cox(formula, data("cgd")), CASES["c10"]
    same(fit.tidy()["estimate"], theirs["beta"], rel=1e-6)
    same(fit.theta, theirs["theta"], rel=1e-6)  # type: ignore[attr-defined]
    same(fit.glance()["log_likelihood"], theirs["loglik"])
    ratio = fit.tidy()["std_error"] / np.array(theirs["se"])
    assert ((ratio > 1) & (ratio < 1.001)).all()


def test_products_with_strata() -> None:
    frame, theirs = data("lung"), CASES["c11"]
    frame = frame.assign(e=np.where(frame["karno"] < 80, "low", "high"))
    frame = frame.assign(s=np.where(frame["sex"] == 1, "m", "f"))
    fit = rs.cox("Surv(time, status == 2) ~ age * strata(s) + loss", frame)
    assert fit.terms == ("age", "loss", "age:strata(s)[T.m]")
    same(fit.beta, list(theirs["beta"].values()))
    same(fit.tidy()["std_error"], theirs["se"])
    assert sorted(fit.proportionality()["chisq"]) == pytest.approx(sorted(theirs["zph"]["chisq"]))
    factor = rs.cox("Surv(time, status == 2) ~ e * strata(s) + loss", frame)
    same(factor.beta, list(theirs["factor"]["beta"].values()))
    same(factor.tidy()["std_error"], theirs["factor"]["se"])
    curves = fit.survival(frame.iloc[:2], times=[100])
    assert len(curves) == 2


def test_a_term_that_is_the_stratum_has_nothing_to_compare() -> None:
    frame = data("lung").assign(s=lambda d: np.where(d["sex"] == 1, "m", "f"))
    words = r"'s\[T.m\]' \(213 people\): no variation among those"
    with pytest.raises(rs.errors.NotEstimable, match=words):
        rs.cox("Surv(time, status == 2) ~ s * age + strata(s)", frame)


def test_concordance_of_rows_and_by_time() -> None:
    cgd, frame = data("cgd"), data("veteran")
    asked: list[tuple[str, str, pd.DataFrame, TimeWeight, dict[str, Any]]] = [
        ("rows", "Surv(tstart, tstop, status) ~ x + strata(hos)", cgd, "n",
         {"weights": "w", "cluster": "id", "reverse": True}),
        ("S", "Surv(time, status) ~ karno", frame, "S", {}),
        ("SG", "Surv(time, status) ~ karno", frame, "S/G", {"weights": "w"}),
        ("I", "Surv(time, status) ~ karno + strata(trt)", frame, "I", {}),
    ]  # fmt: skip
    for name, formula, rows, count_by, more in asked:
        found = rs.concordance(formula, rows, count_by=count_by, **more).tidy().iloc[0]
        same(found[["estimate", "std_error"]], CASES["c12"][name])


def test_restricted_means_and_curves_of_clusters() -> None:
    frame, theirs = data("veteran"), CASES["c13"]
    means = rs.kaplan_meier("Surv(time, status) ~ trt", frame).rmst(200)
    same(means[["estimate", "std_error"]][:2], theirs["rmst"])
    curves = rs.kaplan_meier("Surv(time, status) ~ trt", frame, "log", cluster="celltype")
    at = curves.at([30, 100, 200])
    for ours, name in {"estimate": "surv", "std_error": "se", "conf_low": "low"}.items():
        same(at[ours], theirs["cluster"][name])


@pytest.mark.parametrize(("name", "weights"), [("plain", None), ("weighted", "w")])
def test_cumulative_incidence_with_entry_and_weights(name: str, weights: str | None) -> None:
    formula, frame = "Surv(entry, t, cause) ~ sex", data("progress")
    curves = rs.cumulative_incidence(formula, frame, weights=weights, person="id")
    at = curves.at([60, 120, 240]).sort_values(["group", "time", "cause"])
    same(at["estimate"], CASES["c14"][name]["p"])
    same(at["std_error"], CASES["c14"][name]["se"])


def test_new_people_in_their_strata(weighted: Any) -> None:
    people = pd.DataFrame(
        {"treat": ["placebo", "rIFN-g"], "age": [10, 30], "weight": [35, 60],
         "hos": ["US:other", "US:NIH"]}
    )  # fmt: skip
    found = weighted.survival(people, times=[50, 150, 300], conf_type="log-log")
    for row, name in enumerate(("one", "two")):
        curve = found[found["row"] == row]
        for ours, theirs in {"estimate": "surv", "std_error": "se", "conf_low": "low"}.items():
            same(curve[ours], CASES["c15"][name][theirs])


def test_mean_number_of_events() -> None:
    formula = "Surv(tstart, tstop, status) ~ treat"
    at = rs.mean_cumulative(formula, data("cgd"), person="id").at([100, 200, 300])
    same(at["estimate"], CASES["c15"]["mean"]["value"])
    same(at["std_error"], CASES["c15"]["mean"]["se"])


def test_robust_errors_by_row() -> None:
    frame, theirs = data("veteran").assign(row=lambda d: d.index), CASES["c16"]
    fit = rs.cox("Surv(time, status) ~ karno + celltype", frame, cluster="row")
    same(fit.tidy()["std_error"], theirs["se"])
    same(fit.tidy()["std_error_model"], theirs["model"])
    same(fit.glance()["wald"], theirs["wald"])
    same(fit.glance()[["concordance", "concordance_se"]], theirs["concordance"])


@pytest.mark.parametrize("ties", ["exact", "efron"])
def test_times_that_rounding_parts_are_tied(ties: Any) -> None:
    """Also beside 0, where a share of the time itself would part them."""
    fit = rs.cox("Surv(time, status) ~ x + strata(trt)", data("ties"), ties=ties)
    same(fit.tidy()["estimate"], CASES["c17"][ties]["beta"])
    same(fit.tidy()["std_error"], CASES["c17"][ties]["se"])
    same(fit.glance()["log_likelihood"], CASES["c17"][ties]["loglik"])


def test_relapse_between_visits() -> None:
    formula = 'Surv(low, high, type="interval2") ~ 1'
    found = rs.turnbull(formula, data("interval"), draws=2).tidy()
    theirs = np.array(CASES["c18"]["surv"])
    steps = theirs[np.flatnonzero(np.diff(theirs) < -1e-9) + 1]
    same(found["estimate"][: len(steps)], steps, rel=1e-6)
