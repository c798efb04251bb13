"""Survival models from a formula: reference cases, published facts, names, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.survival import cox, cumulative_incidence, kaplan_meier, logrank
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    EXACT,
    PRINTED_3,
    PRINTED_4,
    PRINTED_6,
    WALD_ROUNDED,
    ZPH,
)

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REFERENCE = SHARED / "reference"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="no ../shared/reference")
COX_CASES = (
    "cox_colon_two_events",
    "cox_heart_counting",
    "cox_lung_strata",
    "cox_scale_covariates",
    "cox_uis_hosmer",
    "cox_veteran_zph",
)


def case(name: str) -> tuple[pd.DataFrame, dict[str, float], dict[str, Any]]:
    about = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
    data = pd.read_csv(REFERENCE / f"{name}.csv")
    for column, levels in dict(about["factors"]).items():
        data[column] = pd.Categorical(data[column].astype(str), categories=levels)
    return data, about["values"], about["model"]


def as_in_r(term: str) -> str:
    return term.replace("[T.", "").replace("]", "")


def cox_values(fit: Any, transforms: tuple[str, ...]) -> dict[str, float]:
    """The fit in the vocabulary of the cases."""
    tidy, ratios = fit.tidy(), fit.tidy(exponentiate=True)
    found: dict[str, float] = {}
    model = "std_error_model" if "std_error_model" in tidy else "std_error"
    for j, term in enumerate(map(as_in_r, tidy["term"])):
        for key, column in {
            "beta": "estimate",
            "se": model,
            "se_robust": "std_error",
            "z": "statistic",
            "p": "p_value",
        }.items():
            found[f"{key}[{term}]"] = tidy[column][j]
        for key, column in {"hr": "estimate", "hr.lo": "conf_low", "hr.hi": "conf_high"}.items():
            found[f"{key}[{term}]"] = ratios[column][j]
    row = fit.glance().iloc[0]
    for key, column in {
        "loglik0": "log_likelihood_null",
        "loglik": "log_likelihood",
        "lrt": "lr_statistic",
        "lrt_df": "lr_df",
        "score": "score",
        "wald": "wald",
        "n": "n_obs",
        "nevent": "n_events",
        "aic": "aic",
        "concordance": "concordance",
        "concordance_se": "concordance_se",
    }.items():
        found[key] = row[column]
    for transform in transforms:
        for test in fit.proportionality(transform).itertuples():
            found[f"zph_{transform}.chisq[{test.term}]"] = test.chisq
            found[f"zph_{transform}.p[{test.term}]"] = test.p_value
    return found


@needs_reference
@pytest.mark.parametrize("name", COX_CASES)
def test_cox_reference_cases(name: str) -> None:
    data, values, model = case(name)
    fit = cox(model["formula"], data, ties=model["ties"], cluster=model.get("cluster"))
    transforms = tuple(
        t for t in ("km", "identity", "rank", "log") if f"zph_{t}.chisq[GLOBAL]" in values
    )
    found = cox_values(fit, transforms)
    assert set(values) <= set(found)
    for key, value in values.items():
        rounded = key == "wald" and fit.robust is None
        slack = WALD_ROUNDED if rounded else ZPH if "zph" in key else CONVERGED
        assert found[key] == pytest.approx(value, rel=slack, abs=CLOSED_FORM), key


def curve_values(curves: Any) -> dict[str, float]:
    """Survival, quantiles and hazards in the vocabulary of the cases."""
    found: dict[str, float] = {}
    for r in curves.at([30, 90, 180, 365]).itertuples():
        at = f"[TREAT={r.group}|{r.time:g}]"
        found |= {f"surv{at}": r.estimate, f"std.err{at}": r.std_error}
        found |= {f"lower{at}": r.conf_low, f"upper{at}": r.conf_high, f"n.risk{at}": r.n_risk}
    for r in curves.quantile([0.25, 0.5, 0.75]).itertuples():
        q, of = f"q{100 * r.quantile:g}", f"[TREAT={r.group}]"
        found |= {f"{q}{of}": r.estimate, f"{q}.lo{of}": r.conf_low, f"{q}.hi{of}": r.conf_high}
    hazard = curves.cumulative_hazard()
    for t in (90, 180, 365):
        for r in hazard[hazard["time"] <= t].groupby("group").last().reset_index().itertuples():
            found[f"cumhaz[TREAT={r.group}|{t}]"] = r.estimate
            found[f"cumhaz_se[TREAT={r.group}|{t}]"] = r.std_error
    return found


@needs_reference
def test_kaplan_meier_reference_case() -> None:
    data, values, _ = case("km_uis_relapse")
    surv = "Surv(TIME, CENSOR) ~ TREAT"
    curves, test = kaplan_meier(surv, data), logrank(surv, data)
    found = curve_values(curves)
    for r in curves.rmst(365).itertuples():
        name = "_diff" if r.group == "difference" else ""
        of = "" if name else f"[TREAT={r.group}]"
        found[f"rmst{name}{of}"], found[f"rmst{name}_se{of}"] = r.estimate, r.std_error
    found["logrank"], found["logrank_p"] = test.tidy()[["statistic", "p_value"]].iloc[0]
    found["peto"] = logrank(surv, data, rho=1).test.statistic
    for r in test.groups().itertuples():
        found[f"logrank_obs[TREAT={r.group}]"] = r.observed
        found[f"logrank_exp[TREAT={r.group}]"] = r.expected
    z = found["rmst_diff"] / found["rmst_diff_se"]
    found["rmst_diff_p"] = 2 * norm.sf(abs(z))
    for key, value in values.items():
        expected = np.nan if value is None else value
        assert found[key] == pytest.approx(expected, rel=CLOSED_FORM, nan_ok=True), key


@needs_reference
def test_logrank_reference_case() -> None:
    data, values, _ = case("logrank_lung_stratified")
    surv = "Surv(time, status == 2) ~"
    few = data[data["ph.ecog"] < 3]
    assert logrank(f"{surv} sex", data).test.p == pytest.approx(values["logrank_p"])
    for key, formula, rows, rho in (
        ("logrank", "sex", data, 0),
        ("logrank_strat", "sex + strata(ph.ecog)", data, 0),
        ("logrank_ecog", "ph.ecog", few, 0),
        ("peto", "sex", data, 1),
    ):
        test = logrank(f"{surv} {formula}", rows, rho=rho)
        assert test.test.statistic == pytest.approx(values[key], rel=CLOSED_FORM), key


@needs_reference
def test_cumulative_incidence_reference_case() -> None:
    data, values, _ = case("aj_mgus2")
    curves = cumulative_incidence("Surv(etime, ev) ~ sex", data)
    name = {"1": "pcm", "2": "death"}
    for r in curves.at([60, 120, 240]).itertuples():
        at = f"{name[r.cause]}[sex={r.group}|{r.time:g}]"
        assert r.estimate == pytest.approx(values[f"cif_{at}"], rel=CLOSED_FORM)
        assert r.std_error == pytest.approx(values[f"se_{at}"], rel=CLOSED_FORM)


# --- facts of real data ----------------------------------------------------------------------

PHARMACO = SHARED / "data" / "pharmaco_smoking.csv"


@pytest.mark.skipif(not PHARMACO.is_file(), reason="no ../shared/data")
def test_time_to_smoking_with_relapses_on_day_0() -> None:
    """Steinberg et al. 2009, 12 relapses on day 0; survival 3.8 gave the values."""
    data = pd.read_csv(PHARMACO)
    surv = "Surv(ttr, relapse) ~ grp"
    assert logrank(surv, data).test.statistic == pytest.approx(8.027634, abs=PRINTED_6)
    stratified = logrank(f"{surv} + strata(ageGroup2)", data)
    assert stratified.test.statistic == pytest.approx(7.034457, abs=PRINTED_6)
    means = kaplan_meier(surv, data).rmst(182).set_index("group").loc["difference"]
    sign = np.sign(means["estimate"])
    assert abs(means["estimate"]) == pytest.approx(36.922387, abs=PRINTED_6)
    limits = sorted(sign * means[["conf_low", "conf_high"]])
    assert limits == pytest.approx([10.985965, 62.858809], abs=PRINTED_6)


CTN = SHARED / "data" / "ctn0094" / "ctn0094_person.sav"


def four_positive_weeks(pattern: str) -> tuple[int, int]:
    """Rs_ctnFiftyOne_2018: from week 3 on, the first of four weeks not shown negative."""
    for week in range(2, len(pattern) - 3):
        if "-" not in pattern[week : week + 4]:
            return week + 1, 1
    return len(pattern) - 3, 0


@pytest.mark.skipif(not CTN.is_file(), reason="no ../shared/data")
def test_ties_and_few_sites_decide_the_answer_of_a_real_trial() -> None:
    """CTN-0051: 150 of 353 relapses fall in one week; arms were randomised within 8 sites."""
    pyreadstat = pytest.importorskip("pyreadstat")
    people = pyreadstat.read_sav(str(CTN))[0].query("PROJECT == 51 and ARM < 3")
    ends = [four_positive_weeks(p) for p in people["UDSPUB"]]
    people = people.assign(week=[t for t, _ in ends], relapse=[e for _, e in ends])
    assert people.groupby("ARM")["relapse"].agg(["sum", "size"]).to_numpy().tolist() == [
        [166, 287],
        [187, 283],
    ]
    surv = "Surv(week, relapse) ~ C(ARM)"
    assert np.exp(cox(surv, people).beta[0]) == pytest.approx(1.4053, abs=PRINTED_4)
    breslow = cox(surv, people, ties="breslow")
    assert np.exp(breslow.beta[0]) == pytest.approx(1.3312, abs=PRINTED_4)
    assert {c.name: c.verdict for c in breslow.checks()}["tied events"] == "caution"
    assert cox(surv, people, ties="exact").beta[0] == pytest.approx(0.3300, abs=PRINTED_4)
    by_site = cox(f"{surv} + strata(SITE)", people).tidy(exponentiate=True).iloc[0]
    found = by_site[["estimate", "conf_low", "conf_high"]].tolist()
    assert found == pytest.approx([1.431, 1.160, 1.765], abs=PRINTED_3)
    clustered = cox(surv, people, cluster="SITE")
    short = clustered.tidy(exponentiate=True).iloc[0]
    assert short[["conf_low", "conf_high"]].tolist() == pytest.approx([1.335, 1.479], abs=PRINTED_3)
    reported = clustered.estimate({clustered.terms[0]: 1}, name="arm", label="arm")
    assert (reported.low, reported.high) == pytest.approx((1.140, 1.732), abs=PRINTED_3)


# --- weights, clusters, delayed entry and new people, by R -----------------------------------


@pytest.fixture(scope="module")
def cgd() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Values of survival 3.5 from survival_cgd.R, beside this file."""
    stored = json.loads(Path(__file__).with_name("survival_cgd.json").read_text(encoding="utf-8"))
    return pd.DataFrame(stored["data"]), stored


def test_weights_and_clusters_as_in_r(cgd: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    data, stored = cgd
    fit = cox("Surv(tstart, tstop, status) ~ treat + age", data, weights="w", cluster="id")
    r = stored["weighted"]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.covariance(), r["robust"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.engine.covariance, r["naive"], rtol=CONVERGED)
    row = fit.glance().iloc[0]
    found = row[["log_likelihood_null", "log_likelihood", "concordance", "concordance_se"]]
    expected = [*r["loglik"], r["concordance"], r["concordance_se"]]
    assert found.tolist() == pytest.approx(expected, rel=CONVERGED)


def test_residuals_as_in_r(cgd: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    data, stored = cgd
    fit = cox("Surv(tstart, tstop, status) ~ treat + age + strata(sex)", data)
    r = stored["stratified"]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.covariance(), r["var"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.proportionality()["chisq"], r["zph"], rtol=ZPH)
    for kind in ("martingale", "deviance", "score", "dfbeta"):
        np.testing.assert_allclose(fit.residuals(kind), r[kind], atol=CONVERGED)  # type: ignore[arg-type]
    schoenfeld = fit.residuals("schoenfeld")[list(fit.terms)]
    np.testing.assert_allclose(
        np.sort(schoenfeld, axis=0), np.sort(r["schoenfeld"], axis=0), atol=CONVERGED
    )


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_curves_of_new_people_as_in_r(cgd: tuple[pd.DataFrame, dict[str, Any]], ties: Any) -> None:
    data, stored = cgd
    fit = cox("Surv(tstart, tstop, status) ~ treat + age", data, ties=ties)
    new = pd.DataFrame({"treat": ["placebo", "rIFN-g"], "age": [10.0, 30.0]})
    curves = fit.survival(new, times=[50, 150, 300])
    r = stored[ties]["curve"]
    np.testing.assert_allclose(
        curves["estimate"].to_numpy().reshape(2, 3).T, r["surv"], rtol=CONVERGED
    )
    np.testing.assert_allclose(
        curves["std_error"].to_numpy().reshape(2, 3).T, r["se"], rtol=CONVERGED
    )


def test_kaplan_meier_of_rows_as_in_r(cgd: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    data, stored = cgd
    curves = kaplan_meier(
        "Surv(tstart, tstop, status) ~ treat", data, person="id", conf_type="log"
    ).at([50, 150, 300])
    r = stored["km_plain"]
    np.testing.assert_allclose(curves["estimate"], r["surv"], rtol=CLOSED_FORM)
    np.testing.assert_allclose(curves["std_error"], r["se"], rtol=CLOSED_FORM)
    np.testing.assert_allclose(curves["conf_low"], r["low"], rtol=CLOSED_FORM)


# --- names, tables, predictions --------------------------------------------------------------


def cohort(seed: int = 1, n: int = 240) -> Dataset:
    """Relapse times with a factor, a site and a person for every two rows."""
    rng = np.random.default_rng(seed)
    arm, age, site = rng.integers(0, 3, n), rng.normal(40, 10, n), rng.integers(1, 5, n)
    days = np.ceil(rng.exponential(60 * np.exp(0.4 * arm - 0.02 * age)))
    frame = pd.DataFrame(
        {
            "pid": np.arange(n) // 2,
            "arm": arm.astype(float),
            "age": age,
            "site": site.astype(float),
            "days": days,
            "relapse": (rng.random(n) < 0.7).astype(float),
            "cause": rng.integers(0, 3, n).astype(float),
            "weight": rng.uniform(0.5, 2, n),
        },
        index=pd.RangeIndex(1, n + 1),
    )
    arms = Variable("arm", "Arm", {0.0: "usual", 1.0: "house", 2.0: "<both>"}, measure="nominal")
    cause = Variable("cause", "Cause", {0.0: "none", 1.0: "relapse", 2.0: "death"})
    return Dataset(frame, Codebook({"arm": arms, "cause": cause}))


def test_terms_are_named_by_value_labels() -> None:
    fit = cox("Surv(days, relapse) ~ arm + age", cohort())
    assert fit.terms == ("arm[T.house]", "arm[T.<both>]", "age")
    tidy = fit.tidy()
    assert list(tidy) == [
        "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    assert np.isinf(tidy["df"]).all()
    ratios = fit.tidy(exponentiate=True)
    np.testing.assert_allclose(ratios["estimate"], np.exp(tidy["estimate"]), rtol=EXACT)
    np.testing.assert_allclose(ratios["std_error"], tidy["std_error"], rtol=EXACT)
    assert fit.covariance().loc["age", "age"] == pytest.approx(tidy["std_error"][2] ** 2)
    tested = fit.proportionality()["term"].tolist()
    assert tested == ["arm", "age", "GLOBAL"]
    assert "3" not in repr(fit).split(";")[0]
    curves = kaplan_meier("Surv(days, relapse) ~ arm", cohort())
    assert curves.levels == ("usual", "house", "<both>")


def test_an_estimate_is_a_linear_combination() -> None:
    fit = cox("Surv(days, relapse) ~ arm + age", cohort())
    found = fit.estimate(
        {"arm[T.<both>]": 1, "arm[T.house]": -1}, name="x", label="Both against house"
    )
    V = fit.covariance().to_numpy()
    c = np.array([-1.0, 1, 0])
    assert found.value == pytest.approx(np.exp(c @ fit.beta))
    assert found.se == pytest.approx(np.sqrt(c @ V @ c))
    assert (found.scale, found.n, found.events) == ("ratio", 240, fit.engine.n_events)
    assert found.low < found.value < found.high
    log = fit.estimate({"age": 10}, name="x", label="", exponentiate=False)
    assert (log.scale, log.value) == ("difference", pytest.approx(10 * fit.beta[2]))
    with pytest.raises(UsageError, match="Did you mean 'age'"):
        fit.estimate({"agee": 1}, name="x", label="")


def test_few_clusters_do_not_shorten_an_interval() -> None:
    data = cohort()
    plain = cox("Surv(days, relapse) ~ age", data)
    clustered = cox("Surv(days, relapse) ~ age", data, cluster="site")
    assert clustered.n_clusters == 4
    assert list(clustered.tidy())[2:4] == ["std_error", "std_error_model"]
    weights = {"age": 1.0}
    wide = clustered.estimate(weights, name="a", label="a")
    assert wide.se >= plain.estimate(weights, name="a", label="a").se
    verdicts = {(c.name, c.verdict) for c in clustered.checks()}
    assert ("clusters", "caution") in verdicts
    assert any(name == "robust and model errors" for name, _ in verdicts)
    people = cox("Surv(days, relapse) ~ age", data, cluster="pid")
    assert ("clusters", "ok") in {(c.name, c.verdict) for c in people.checks()}


def test_fractional_weights_bring_robust_errors_and_zero_weights_leave() -> None:
    data = cohort()
    fit = cox("Surv(days, relapse) ~ age", data, weights="weight")
    assert "std_error_model" in fit.tidy()
    frame = data.frame.assign(weight=np.where(data.frame.index > 200, 0, data.frame["weight"]))
    without = cox("Surv(days, relapse) ~ age", data.with_frame(frame), weights="weight")
    short = cox(
        "Surv(days, relapse) ~ age", data.with_frame(data.frame.iloc[:200]), weights="weight"
    )
    np.testing.assert_allclose(without.beta, short.beta, atol=CONVERGED)
    assert len(without.residuals()) == 200
    assert any(c.name == "weights" for c in without.checks())


@pytest.mark.parametrize("estimate", [kaplan_meier, cumulative_incidence])
def test_groups_of_rows_without_weight_leave_with_them(estimate: Any) -> None:
    data = cohort()
    frame = data.frame.assign(weight=np.where(data.frame.index % 3 == 0, 0, data.frame["weight"]))
    frame.index = pd.Index(np.arange(len(frame)) // 2)  # labels that are not unique tell no rows
    formula = "Surv(days, relapse) ~ arm"
    found = estimate(formula, data.with_frame(frame), weights="weight").tidy()
    some = data.with_frame(frame[frame["weight"] > 0])
    pd.testing.assert_frame_equal(found, estimate(formula, some, weights="weight").tidy())


def test_standardised_curves_leave_rows_without_weight_out() -> None:
    data = cohort()
    frame = data.frame.assign(weight=np.where(data.frame.index % 3 == 0, 0, data.frame["weight"]))
    frame.index = pd.Index(np.arange(len(frame)) // 2)
    formula = "Surv(days, relapse) ~ arm + age"

    def curves(frame: pd.DataFrame) -> pd.DataFrame:
        fit = cox(formula, data.with_frame(frame), weights="weight")
        return fit.standardise("arm").at([30, 90])

    pd.testing.assert_frame_equal(curves(frame), curves(frame[frame["weight"] > 0]))


def test_residuals_carry_the_rows_of_the_file() -> None:
    data = cohort()
    frame = data.frame.copy()
    frame.loc[7, "age"] = np.nan
    fit = cox("Surv(days, relapse) ~ arm + age", data.with_frame(frame))
    martingale = fit.residuals()
    assert 7 not in martingale.index
    assert len(martingale) == 239
    schoenfeld = fit.residuals("schoenfeld")
    assert list(schoenfeld) == ["time", *fit.terms]
    assert frame.loc[schoenfeld.index, "relapse"].eq(1).all()
    assert list(fit.residuals("dfbeta")) == list(fit.terms)
    assert any(c.name == "complete rows" for c in fit.checks())
    with pytest.raises(UsageError, match="martingale"):
        fit.residuals("martingal")  # type: ignore[arg-type]


def test_survival_of_new_people() -> None:
    data = cohort()
    fit = cox("Surv(days, relapse) ~ arm + age + strata(site)", data)
    new = pd.DataFrame({"arm": ["house", "usual"], "age": [30.0, 50.0], "site": [2.0, 3.0]})
    curves = fit.survival(new, times=[0, 10, 50])
    assert curves["stratum"].tolist() == ["2"] * 3 + ["3"] * 3
    assert curves["time"].tolist() == [0, 10, 50] * 2
    assert curves["estimate"][[0, 3]].tolist() == [1, 1]
    base = fit.baseline()
    two = base[(base["stratum"] == "2") & (base["time"] <= 50)]
    H = two["cumulative_hazard"].iloc[-1] * fit.predict(new, "hazard").iloc[0]
    assert curves["estimate"][2] == pytest.approx(np.exp(-H), rel=CLOSED_FORM)
    everywhere = fit.survival(new.drop(columns="site"), times=[50])
    assert len(everywhere) == 8
    with pytest.raises(UsageError, match="stratum"):
        fit.survival(new.assign(site=9.0))


def test_an_offset_is_a_coefficient_of_one() -> None:
    data = cohort()
    known = data.frame.assign(known=0.03 * data.frame["age"])
    fit = cox("Surv(days, relapse) ~ arm + age + offset(known)", known)
    free = cox("Surv(days, relapse) ~ arm + age", known)
    np.testing.assert_allclose(fit.beta[-1], free.beta[-1] - 0.03, atol=CONVERGED)
    same = cox("Surv(days, relapse) ~ arm + age", known, offset="known")
    np.testing.assert_allclose(same.beta, fit.beta, atol=CONVERGED)


def test_anova_of_one_term_is_its_test() -> None:
    fit = cox("Surv(days, relapse) ~ arm", cohort())
    row = fit.glance().iloc[0]
    assert fit.anova()["statistic"][0] == pytest.approx(row["wald"])
    assert fit.anova(type=1)["statistic"][0] == pytest.approx(row["lr_statistic"])
    two = cox("Surv(days, relapse) ~ arm * age", cohort())
    assert two.anova(type=2)["num_df"].tolist() == [2, 1, 2]
    first, second = two.anova(type=1), two.anova(type=2)
    assert first["statistic"].sum() == pytest.approx(two.glance()["lr_statistic"][0])
    assert first["statistic"][2] == pytest.approx(second["statistic"][2])


def test_rows_of_one_person_are_one_censoring() -> None:
    rows = pd.DataFrame(
        {
            "pid": [1, 1, 2, 2, 3],
            "start": [0, 4, 0, 3, 0],
            "stop": [4, 9, 3, 6, 7],
            "event": [0, 1, 0, 0, 1],
        }
    )
    surv = "Surv(start, stop, event) ~ 1"
    tidy = kaplan_meier(surv, rows, person="pid").tidy()
    assert tidy["time"].tolist() == [6, 7, 9]
    assert tidy["n_censor"].tolist() == [1, 0, 0]
    assert tidy["estimate"].tolist() == pytest.approx([1, 1 / 2, 0])
    split = kaplan_meier(surv, rows).at([6, 7, 9])
    assert split["estimate"].tolist() == pytest.approx(tidy["estimate"].tolist())


def test_curves_at_times_before_and_beyond() -> None:
    data = pd.DataFrame({"t": [2.0, 4, 6], "e": [1, 0, 0]})
    at = kaplan_meier("Surv(t, e) ~ 1", data).at([1, 3, 6, 9])
    assert at["estimate"].tolist()[:3] == pytest.approx([1, 2 / 3, 2 / 3])
    assert np.isnan(at["estimate"][3])
    assert at["n_risk"].tolist() == [3, 2, 1, 0]
    assert at["n_event"].tolist() == [0, 1, 0, 0]
    assert at["n_censor"].tolist() == [0, 0, 2, 0]
    figure = kaplan_meier("Surv(t, e) ~ 1", data).series()[0]
    assert figure.x == (0, 2, 4, 6)
    assert figure.n_at == (3, 3, 2, 1)


def test_causes_are_named_by_value_labels() -> None:
    curves = cumulative_incidence("Surv(days, cause) ~ arm", cohort())
    assert curves.causes == ("relapse", "death")
    assert set(curves.tidy()["cause"]) == {"relapse", "death"}
    assert len(curves.series("death")) == 3
    last = curves.tidy().groupby(["group", "cause"]).last()["estimate"].groupby("group").sum()
    assert (last <= 1 + EXACT).all()


# --- what has no answer ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "change", "error", "words"),
    [
        ("days ~ age", {}, UsageError, "needs times on the left"),
        ("Surv(days, relapse) ~ age + (1 | site)", {}, UsageError, "no random terms"),
        ("Surv(days, relapse) ~ age", {"days": -1.0}, DataError, "negative in 1 row .row 3."),
        ("Surv(days, relapse) ~ age", {"relapse": 3.0}, DataError, "relapse == 2"),
        ("Surv(age, days, relapse) ~ arm", {"age": 1e6}, DataError, "is not before days"),
        ("Surv(days, relapse) ~ agee", {}, DataError, "Did you mean 'age'"),
    ],
)
def test_wrong_input_is_named(
    formula: str, change: dict[str, float], error: type[Exception], words: str
) -> None:
    data = cohort()
    frame = data.frame.copy()
    for column, value in change.items():
        frame.loc[3, column] = value
    with pytest.raises(error, match=words):
        cox(formula, data.with_frame(frame))


def test_terms_without_an_estimate_are_named() -> None:
    data = cohort()
    frame = data.frame.assign(
        twice=2 * data.frame["age"], none=0.0, never=(data.frame["relapse"] == 0).astype(float)
    )
    with pytest.raises(NotEstimable, match=r"'twice'.*combination"):
        cox("Surv(days, relapse) ~ age + twice", frame)
    with pytest.raises(NotEstimable, match=r"'never'.*for ever"):
        cox("Surv(days, relapse) ~ age + never", frame)
    with pytest.raises(NotEstimable, match="None of the 240 people had the event by column 'none'"):
        cox("Surv(days, none) ~ age", frame)
    with pytest.raises(NotEstimable, match="one"):
        logrank("Surv(days, relapse) ~ none", frame)
    with pytest.raises(NotEstimable, match=r"^Terms ('who[^ ]+,? ){6}and 10 more \(240"):
        cox("Surv(days, relapse) ~ who", frame.assign(who=frame.index.astype(str)))
    with pytest.raises(NotEstimable, match="ends at"):
        kaplan_meier("Surv(days, relapse) ~ arm", data).rmst(1e5)


def test_overlapping_rows_of_a_person_are_refused() -> None:
    rows = pd.DataFrame(
        {"pid": [1, 1, 2], "a": [0, 3, 0], "b": [4, 9, 5], "e": [0, 1, 1], "x": [1.0, 2, 3]}
    )
    with pytest.raises(DataError, match=r"1 row of 1 person \(row 2\) a lies before the b"):
        cox("Surv(a, b, e) ~ x", rows, person="pid")
