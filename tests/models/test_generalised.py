"""`glmm` through its public face: reference cases, conventions, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, FormulaError, NotEstimable, RecoveryError, UsageError
from recovery_stats.models.generalised_fit import GlmmFit
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT, HALF_DIGITS, R_DIGITS

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
CASES = sorted(REFERENCE.glob("glmm_*.json"))


# --- reference cases -----------------------------------------------------------------------------


def in_r(term: str) -> str:
    """The name R gives to our term."""
    return "(Intercept)" if term == "Intercept" else re.sub(r"\[T?\.?([^\]]*)\]", r"\1", term)


def values_of(fit: GlmmFit) -> dict[str, float]:
    """The fit in the vocabulary of the reference cases."""
    row = fit.glance().iloc[0]
    found = {
        "loglik": row.log_likelihood, "aic": row.aic, "nobs": row.n_obs,
        "singular": float(row.singular),
    }  # fmt: skip
    for r in fit.tidy().itertuples():
        term = in_r(r.term)
        found |= {f"beta[{term}]": r.estimate, f"se[{term}]": r.std_error}
        found[f"z[{term}]"] = r.statistic
    for r in fit.variance_components().itertuples():
        if r.term_1 == r.term_2:
            found[f"var[{r.group}|{in_r(r.term_1)}]"] = r.covariance
    for r in fit.random_effects().itertuples():
        found[f"ranef[{r.group}|{r.level}|{in_r(r.term)}]"] = r.estimate
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_reference_case(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    data = pd.read_csv(path.with_suffix(".csv"))
    for column, levels in dict(case["factors"] or {}).items():
        data[column] = pd.Categorical(data[column].astype(str), levels)
    if "trt" in case["model"]["formula"]:  # the second level of treatment, as the note says
        data["trt"] = data["treatment"].rank(method="dense").astype(int) - 1
    formula, tol = case["model"]["formula"], case["tol"]
    values = values_of(rs.glmm(formula, data))
    if any(k.startswith("agq30.") for k in case["values"]):
        fine = rs.glmm(formula, data, quadrature=30)
        values |= {f"agq30.{k}": v for k, v in values_of(fine).items()}
    for key, theirs in case["values"].items():
        if key.removeprefix("agq30.").startswith("p["):
            continue  # not certified: glmer's own, from another standard error
        kind = key.removeprefix("agq30.").partition("[")[0]
        allowed = tol.get(kind, 10 * tol["beta"])
        scale = max(abs(theirs), 1e-3) if theirs else 1.0
        assert abs(values[key] - theirs) <= allowed * scale, key


# --- R -------------------------------------------------------------------------------------------

FROM_R = json.loads((Path(__file__).parent / "generalised.json").read_text())


@pytest.mark.parametrize("number", range(len(FROM_R["fits"])))
def test_lme4_told_to_converge(number: int) -> None:
    theirs, data = FROM_R["fits"][number], pd.DataFrame(FROM_R["data"])
    data["arm"] = pd.Categorical(data["arm"], ["house", "usual"])
    fit = rs.glmm(theirs["formula"], data, family=theirs["family"], quadrature=theirs["nodes"])
    found = fit.tidy()
    assert [in_r(t) for t in found.term] == theirs["term"]
    assert found.estimate.to_numpy() == pytest.approx(theirs["estimate"], rel=R_DIGITS, abs=1e-6)
    assert found.std_error.to_numpy() == pytest.approx(theirs["std_error"], rel=R_DIGITS)
    if theirs.get("loglik"):
        assert fit.engine.log_likelihood == pytest.approx(theirs["loglik"], abs=CONVERGED)
    variances = np.sort(np.atleast_1d(theirs["vcov"]))
    ours = np.sort(fit.variance_components().covariance)
    assert ours == pytest.approx(variances, rel=R_DIGITS, abs=1e-6)


# --- the face ------------------------------------------------------------------------------------


def people(seed: int = 3, m: int = 30, k: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = m * k
    d = pd.DataFrame({"person": np.repeat(np.arange(m), k), "x": rng.normal(size=n)})
    d["arm"], d["days"] = np.where(d["person"] % 2, "house", "usual"), 28
    u = rng.normal(0.0, 0.8, m)[d["person"]] + 0.5 * d["x"] + 0.6 * (d["arm"] == "house")
    d["used"] = (rng.random(n) < expit(u)).astype(int)
    d["visits"] = rng.poisson(np.exp(0.5 + u))
    d["days_used"] = rng.binomial(28, rng.beta(3 * expit(u), 3 * expit(-u)))
    grade = np.digitize(u + rng.logistic(size=n), [-0.8, 0.9])
    d["health"] = pd.Categorical(
        np.array(["poor", "fair", "good"])[grade], ["poor", "fair", "good"]
    )
    return d


FITS = {
    "binomial": "used ~ x + arm + (1 | person)",
    "poisson": "visits ~ x + arm + (1 | person)",
    "negative-binomial": "visits ~ x + arm + (1 | person)",
    "beta-binomial": "cbind(days_used, days - days_used) ~ x + arm + (1 | person)",
    "ordinal": "health ~ x + arm + (1 | person)",
}


def fitted(family: str, **options: object) -> GlmmFit:
    return rs.glmm(FITS[family], people(), family=family, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FITS)
def test_tables_hold_together(family: str) -> None:
    fit = fitted(family)
    found = fit.tidy()
    assert list(found.columns) == [
        "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    assert np.isinf(found.df).all()
    odds = fit.tidy(exponentiate=True)
    assert odds.estimate.to_numpy() == pytest.approx(np.exp(found.estimate.to_numpy()), rel=EXACT)
    assert np.diag(fit.covariance()) == pytest.approx(found.std_error.to_numpy() ** 2, rel=EXACT)
    row = fit.glance().iloc[0]
    own = len(fit.family_parameters())
    assert row.aic == pytest.approx(2 * (len(found) + 1 + own) - 2 * row.log_likelihood, rel=EXACT)
    assert (row.n_obs, row.n_groups, row.converged) == (240, 30, True)
    effects = fit.random_effects()
    assert list(effects.columns) == ["group", "level", "term", "estimate", "std_error"]
    assert (effects.std_error > 0).all()
    one = fit.estimate({"x": 1.0}, name="x", label="x", scale="ratio")
    assert one.value == pytest.approx(odds.estimate[list(found.term).index("x")], rel=EXACT)
    assert one.n == 30
    assert family in repr(fit)
    assert {c.name for c in fit.checks()} >= {"singular", "groups"}


@pytest.mark.parametrize("family", FITS)
def test_predictions(family: str) -> None:
    fit, data = fitted(family), people()
    for random in (True, False, "average"):
        inside, outside = fit.predict(random=random), fit.predict(data, random=random)
        assert np.asarray(inside) == pytest.approx(np.asarray(outside), rel=CLOSED_FORM)
    if family == "ordinal":
        assert fit.predict().sum(axis=1).to_numpy() == pytest.approx(np.ones(240), rel=EXACT)
    link = fit.predict(type="link").to_numpy()
    assert link == pytest.approx(fit.engine.eta, rel=CLOSED_FORM)
    stranger = data.head(1).assign(person=999)
    assert np.asarray(fit.predict(stranger)) == pytest.approx(
        np.asarray(fit.predict(stranger, random=False)), rel=EXACT
    )
    assert np.isnan(np.asarray(fit.predict(data.head(1).assign(x=np.nan)))).all()


def test_the_population_mean_is_a_simulated_one() -> None:
    fit = rs.glmm(FITS["binomial"], people(), quadrature=15)
    rng = np.random.default_rng(1)
    sd = float(np.sqrt(fit.engine.psi[0][0, 0]))
    eta = fit.predict(people().assign(arm="house"), random=False, type="link").to_numpy()
    draws = expit(eta[:, None] + sd * rng.standard_normal((1, 20_000)))
    means = fit.population_means("arm").set_index("arm")
    assert means.estimate["house"] == pytest.approx(draws.mean(), abs=0.005)
    inside = fit.margins("arm", type="response").set_index("arm")
    assert abs(means.estimate["house"] - 0.5) < abs(inside.estimate["house"] - 0.5)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_errors_of_the_population_by_differences(family: str) -> None:
    """The delta method in all parameters at once, against a numerical one."""
    fit = fitted(family)
    effect = fit.population_effects("arm").iloc[0]
    sd, (b0, b1, b2) = float(np.sqrt(fit.engine.psi[0][0, 0])), fit.engine.beta
    x = people()["x"].to_numpy()
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def difference(s: float, b: np.ndarray) -> float:  # type: ignore[type-arg]
        inverse = np.exp if family == "poisson" else expit
        means = [
            (inverse((b[0] + b[1] * x + b[2] * a)[:, None] + s * points) @ weights).mean()
            for a in (1, 0)
        ]
        return float(means[0] - means[1])  # house comes first

    value = difference(sd, np.array([b0, b1, b2]))
    assert effect.estimate == pytest.approx(value, rel=HALF_DIGITS)
    assert fit.engine.joint.shape == (4, 4)
    h = 1e-5
    units = fit.engine.units
    jump = [(difference(sd + h, fit.engine.beta) - difference(sd - h, fit.engine.beta)) / (2 * h)]
    for column in units.A.T:
        up, down = fit.engine.beta + h * column, fit.engine.beta - h * column
        jump.append((difference(sd, up) - difference(sd, down)) / (2 * h))
    variance = np.array(jump) @ fit.engine.joint @ np.array(jump)
    assert effect.std_error == pytest.approx(np.sqrt(variance), rel=HALF_DIGITS)


def test_population_coefficients_of_a_log_link_move_the_intercept_alone() -> None:
    fit = fitted("poisson")
    inside, outside = fit.tidy(), fit.population_coefficients()
    shift = outside.estimate - inside.estimate
    assert shift.to_numpy() == pytest.approx([fit.engine.psi[0][0, 0] / 2, 0, 0], abs=CONVERGED)
    assert outside.std_error[1:].to_numpy() == pytest.approx(
        inside.std_error[1:].to_numpy(), rel=CONVERGED
    )


def test_population_coefficients_of_a_logit_are_smaller() -> None:
    fit = fitted("binomial")
    inside, outside = fit.tidy(), fit.population_coefficients()
    assert (outside.estimate.abs() < inside.estimate.abs()).all()
    attenuation = 1 / np.sqrt(1 + 0.346 * fit.engine.psi[0][0, 0])  # Zeger, Liang & Albert 1988
    assert outside.estimate[1] / inside.estimate[1] == pytest.approx(attenuation, abs=0.01)


def test_weights_are_repetitions_of_rows() -> None:
    data = people()
    twice = data.loc[data.index.repeat(1 + data.index % 2)]
    weighted = rs.glmm(FITS["binomial"], data, weights=1 + data.index % 2)
    assert weighted.engine.beta == pytest.approx(
        rs.glmm(FITS["binomial"], twice).engine.beta, rel=CONVERGED
    )


def test_trials_are_rows_of_zeros_and_ones() -> None:
    data = people(m=12, k=4)
    long = data.loc[data.index.repeat(28)]
    at = np.tile(np.arange(28), len(data))
    long = long.assign(y=(at < long["days_used"].to_numpy()).astype(int))
    short = rs.glmm("cbind(days_used, days - days_used) ~ x + (1 | person)", data)
    rows = rs.glmm("y ~ x + (1 | person)", long)
    assert short.engine.beta == pytest.approx(rows.engine.beta, rel=CONVERGED)
    assert short.engine.psi[0] == pytest.approx(rows.engine.psi[0], rel=CONVERGED)


def test_an_offset_is_a_coefficient_of_one() -> None:
    data = people().assign(time=np.arange(240) % 5 + 1.0)
    inside = rs.glmm("visits ~ x + offset(log(time)) + (1 | person)", data, family="poisson")
    given = rs.glmm(
        "visits ~ x + (1 | person)", data, family="poisson", offset=np.log(data["time"])
    )
    assert inside.engine.beta == pytest.approx(given.engine.beta, rel=CONVERGED)
    twice = data.assign(time=2 * data["time"])
    assert inside.predict(twice).to_numpy() == pytest.approx(2 * inside.predict(data), rel=EXACT)


def test_a_labelled_dataset_and_missing_rows() -> None:
    data = people().assign(arm=lambda d: (d["arm"] == "house") + 1.0)
    data.loc[[3, 5], "x"] = np.nan
    arm = Variable("arm", "Arm", measure="nominal", values={1.0: "usual", 2.0: "house"})
    fit = rs.glmm(FITS["binomial"], Dataset(data, Codebook({"arm": arm})))
    assert "arm[T.house]" in fit.terms
    assert fit.n_obs == 238
    assert "missing" in {c.name for c in fit.checks()}
    assert list(fit.population_means("arm").arm) == ["usual", "house"]


def test_anova_of_one_coefficient_is_its_z_squared() -> None:
    fit = fitted("binomial")
    found, z = fit.anova().set_index("term"), fit.tidy().set_index("term")
    assert found.statistic["x"] == pytest.approx(z.statistic["x"] ** 2, rel=CLOSED_FORM)
    assert found.p_value["x"] == pytest.approx(z.p_value["x"], rel=CLOSED_FORM)


# --- checks --------------------------------------------------------------------------------------


def verdicts(fit: GlmmFit) -> dict[str, str]:
    return {c.name: c.verdict for c in fit.checks()}


def test_overdispersion_is_seen_and_gone_in_the_wider_family() -> None:
    data = people(m=60)
    outcome = "cbind(days_used, days - days_used) ~ x + (1 | person)"
    assert verdicts(rs.glmm(outcome, data))["overdispersion"] == "caution"
    assert "overdispersion" not in verdicts(rs.glmm(outcome, data, family="beta-binomial"))
    counts = rs.glmm("visits ~ x + arm + (1 | person)", data, family="poisson")
    assert verdicts(counts)["overdispersion"] == "ok"
    assert verdicts(counts)["zeros"] == "ok"


def test_zeros_too_many() -> None:
    data = people(m=80)
    never = np.random.default_rng(2).random(len(data)) < 0.4
    data["visits"] = np.where(never, 0, data["visits"] + 1)
    fit = rs.glmm("visits ~ x + (1 | person)", data, family="poisson")
    assert verdicts(fit)["zeros"] == "caution"


def test_laplace_too_rough() -> None:
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(100), 4)
    y = (rng.random(400) < expit(rng.normal(0, 3, 100)[person])).astype(int)
    data = pd.DataFrame({"person": person, "y": y})
    assert verdicts(rs.glmm("y ~ 1 + (1 | person)", data))["approximation"] == "caution"
    assert verdicts(fitted("poisson"))["approximation"] == "ok"


def test_no_variance_is_reported() -> None:
    rng = np.random.default_rng(12)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "x": rng.normal(size=120)})
    data["y"] = np.tile([0, 1], 60)
    fit = rs.glmm("y ~ x + (1 | g)", data)
    assert fit.glance().singular[0]
    assert verdicts(fit)["singular"] == "caution"
    assert fit.random_effects().estimate.eq(0).all()


# --- refusals ------------------------------------------------------------------------------------


def refused(error: type[RecoveryError], formula: str, data: pd.DataFrame, **options: object) -> str:
    with pytest.raises(error) as caught:
        rs.glmm(formula, data, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_wrong_counts_are_named_with_their_rows() -> None:
    data = people()
    negative = data.assign(visits=data["visits"].where(data.index != 4, -2))
    message = refused(DataError, FITS["poisson"], negative, family="poisson")
    assert "'visits'" in message
    assert "row 5" in message
    assert "-2" not in message
    half = data.assign(visits=data["visits"].where(~data.index.isin([1, 6]), 1.5))
    message = refused(DataError, FITS["poisson"], half, family="negative-binomial")
    assert "whole" in message
    assert "rows 2 and 7" in message
    more = data.assign(days_used=data["days_used"].where(data.index != 9, 40))
    message = refused(DataError, FITS["beta-binomial"], more, family="beta-binomial")
    assert "days - days_used in cbind()" in message
    assert "row 10" in message
    none = data.assign(days=0, days_used=0)
    assert "no trial" in refused(DataError, FITS["beta-binomial"], none)


def test_a_binomial_outcome_is_zero_or_one() -> None:
    data = people()
    assert "neither 0 nor 1" in refused(DataError, "visits ~ x + (1 | person)", data)
    message = refused(DataError, "arm ~ x + (1 | person)", data)
    assert "text" in message
    constant = refused(NotEstimable, FITS["binomial"], data.assign(used=1))
    assert "same in all" in constant
    assert "0 in all" in refused(
        NotEstimable, FITS["poisson"], data.assign(visits=0), family="poisson"
    )


def test_groups_that_cannot_be_told() -> None:
    data = people()
    assert "one level" in refused(NotEstimable, FITS["binomial"], data.assign(person=1))
    assert "as many levels" in refused(
        NotEstimable, FITS["binomial"], data.assign(person=np.arange(240))
    )
    stuck = data.assign(used=data["person"] % 2)
    assert "never varies" in refused(NotEstimable, "used ~ x + (1 | person)", stuck)
    twice = data.assign(again=data["person"] + 1000)
    formula = "used ~ x + (1 | person) + (1 | again)"
    assert "'person' and 'again' make the same groups" in refused(NotEstimable, formula, twice)
    few = "used ~ x + (1 + x | person)"
    assert "keep fewer random slopes" in refused(NotEstimable, few, people(k=2))
    counts = data.assign(person=np.arange(240))  # a row each is a law of its own for counts
    assert rs.glmm(FITS["poisson"], counts, family="poisson").n_groups == 240


def test_separation_names_the_predictor() -> None:
    data = people()
    apart = data.assign(z=np.where(data["used"] == 1, 2.0, -1.0) + 0.1 * data["x"])
    message = refused(NotEstimable, "used ~ x + z + (1 | person)", apart)
    assert "'z'" in message
    assert "'x'" not in message
    level = data.assign(arm=np.where(data.index < 20, "never", data["arm"]))
    level.loc[level["arm"] == "never", "used"] = 0
    message = refused(NotEstimable, "used ~ x + arm + (1 | person)", level)
    assert "'arm[T.never]'" in message
    level.loc[level["arm"] == "never", "visits"] = 0
    message = refused(NotEstimable, FITS["poisson"], level, family="poisson")
    assert "'arm[T.never]'" in message
    assert "all counts are 0" in message


def test_the_separated_reference_case() -> None:
    path = REFERENCE / "glm_separation.csv"
    if not path.exists():
        pytest.skip("the reference cases are not beside the project")
    data = pd.read_csv(path)
    data["g"] = np.arange(len(data)) % 3
    assert "'x'" in refused(NotEstimable, "y ~ x + (1 | g)", data)


def test_requests_that_make_no_sense() -> None:
    data = people()
    assert "binomial" in refused(UsageError, FITS["binomial"], data, family="binominal")
    assert "no random term" in refused(UsageError, "used ~ x", data)
    two = "used ~ x + (1 | person) + (1 | visits)"
    assert "single grouping" in refused(UsageError, two, data, quadrature=5)
    slope = "used ~ x + (1 + x | person)"
    assert "at most" in refused(UsageError, slope, data, quadrature=60)
    assert "nodes" in refused(UsageError, FITS["binomial"], data, quadrature=0)
    assert "cbind" in refused(UsageError, FITS["binomial"], data, family="beta-binomial")
    assert "No column" in refused(DataError, "used ~ z + (1 | person)", data)
    with pytest.raises(FormulaError):
        rs.glmm("used ~ (1 | ", data)
    assert "above 0" in refused(DataError, FITS["binomial"], data, weights=[0.0] * 240)
    constant = data.assign(x=1.0)
    assert "'x'" in refused(NotEstimable, FITS["binomial"], constant)
    fit = fitted("binomial")
    for call in (
        lambda: fit.population_means("x"),
        lambda: fit.predict(type="odds"),  # type: ignore[arg-type]
        lambda: fit.predict(random="average", type="link"),
        lambda: fitted("ordinal").population_means("arm"),
    ):
        with pytest.raises(UsageError):
            call()


def test_missing_and_infinite_values() -> None:
    data = people()
    gone = data.assign(x=data["x"].where(data.index > 2))
    assert fitted("binomial").n_obs - rs.glmm(FITS["binomial"], gone).n_obs == 3
    infinite = data.assign(x=data["x"].where(data.index != 7, np.inf))
    assert "row 8" in refused(DataError, FITS["binomial"], infinite)
    empty = data.assign(used=np.nan)
    assert "No row is left" in refused(NotEstimable, FITS["binomial"], empty)


# --- whatever comes -------------------------------------------------------------------------------

OUTCOMES = {
    "binomial": "y", "poisson": "count", "negative-binomial": "count",
    "beta-binomial": "cbind(hit, miss)", "ordinal": "grade",
}  # fmt: skip
RANDOM = ("(1 | g)", "(1 + x | g)", "(1 | g) + (1 | h)", "(1 + x || g)", "(0 + x | g)")


@pytest.mark.parametrize("seed", range(40))
def test_small_odd_data_give_a_whole_answer_or_a_refusal(seed: int) -> None:
    """Few groups, x in any unit, any variance: finite errors above zero, or a RecoveryError."""
    rng = np.random.default_rng(seed)
    m, k = int(rng.integers(3, 40)), int(rng.integers(2, 9))
    n = m * k
    d = pd.DataFrame({"g": np.repeat(np.arange(m), k), "h": rng.integers(0, max(2, m // 3), n)})
    shape = rng.normal(size=n)
    d["x"], d["f"] = shape * 10 ** rng.uniform(-3, 3), rng.choice(list("abc"), n)
    eta = rng.normal(0, rng.choice([0, 0.3, 1, 3]), m)[d["g"]] + rng.normal() + 0.3 * shape
    d["y"], d["hit"] = (rng.random(n) < expit(eta)).astype(int), rng.binomial(14, expit(eta))
    d["miss"], d["count"] = 14 - d["hit"], rng.poisson(np.exp(np.minimum(eta, 6)))
    d["grade"] = np.digitize(eta + rng.logistic(size=n), [-1, 0, 1.5])
    family = list(OUTCOMES)[seed % 5]
    random = str(rng.choice(RANDOM))
    nodes = int(rng.choice([1, 9])) if random in ("(1 | g)", "(0 + x | g)") else 1
    formula = f"{OUTCOMES[family]} ~ x + f + {random}"
    try:
        fit = rs.glmm(formula, d, family=family, quadrature=nodes)  # type: ignore[arg-type]
    except RecoveryError:
        return
    found = fit.tidy()
    assert np.isfinite(found[["estimate", "std_error"]].to_numpy()).all()
    assert (found.std_error > 0).all()
    assert np.isfinite(np.asarray(fit.predict(random="average"))).all()
    assert all(c.verdict in ("ok", "caution") for c in fit.checks())
    if family != "ordinal":
        assert np.isfinite(fit.population_means("f").estimate).all()
