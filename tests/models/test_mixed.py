"""`lmm` through its public face: reference cases, conventions, refusals."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.formula import quote
from recovery_stats.models.mixed import MixedFit, lmm
from tests.tolerance import CONVERGED, INVARIANCE, R_DIGITS

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
CASES = sorted(REFERENCE.glob("lmm_*.json")) + sorted(REFERENCE.glob("oneway_reml*.json"))


def in_r(term: str) -> str:
    """The name R gives to our term."""
    if term == "Intercept":
        return "(Intercept)"
    return re.sub(r"\[T?\.?([^\]]*)\]", r"\1", term)


def values_of(fit: MixedFit, kr: MixedFit | None) -> dict[str, float]:
    """The fit in the vocabulary of the reference cases."""
    wald = lmm(fit.formula, fit.data, reml=fit.engine.reml, df="normal").confint()
    found = {**one_number_each(fit), **variances(fit)}
    for r in fit.tidy().itertuples():
        for key, value in (
            ("beta", r.estimate), ("se", r.std_error), ("df_satt", r.df), ("df", r.df),
            ("t", r.statistic), ("p_satt", r.p_value),
        ):  # fmt: skip
            found[f"{key}[{in_r(r.term)}]"] = value
    for r in wald.itertuples():
        found[f"wald.lo[{in_r(r.term)}]"] = r.conf_low
        found[f"wald.hi[{in_r(r.term)}]"] = r.conf_high
    for kind in (1, 2, 3):
        found |= terms_tested(fit, f"F{kind}", "satt", kind)
    return found if kr is None else found | kenward_roger(kr)


def one_number_each(fit: MixedFit) -> dict[str, float]:
    row = fit.glance().iloc[0]
    return {
        "sigma2": row.sigma**2,
        "loglik": row.log_likelihood,
        "aic": row.aic,
        "bic": row.bic,
        "nobs": row.n_obs,
        "singular": float(row.singular),
        "icc": fit.icc(),
        "npar": fit.engine.n_parameters,
        **{f"ngroups[{group}]": m for group, m in fit.groups.items()},
    }


def variances(fit: MixedFit) -> dict[str, float]:
    found = {}
    for r in fit.variance_components().itertuples():
        kind = "var" if r.term_1 == r.term_2 else "cov"
        a, b = in_r(r.term_1), in_r(r.term_2)
        inside = a if a == b else f"{a},{b}"
        for group in (r.group, f"{r.group}.1"):  # lme4 numbers the parts of a double bar
            found[f"{kind}[{group}|{inside}]"] = r.covariance
    for r in fit.random_effects().itertuples():
        found[f"ranef[{r.group}|{r.level}|{in_r(r.term)}]"] = r.estimate
    return found


def terms_tested(fit: MixedFit, name: str, df: str, kind: int) -> dict[str, float]:
    found = {}
    for r in fit.anova(kind).itertuples():
        found |= {
            f"{name}_{df}[{r.term}]": r.statistic,
            f"{name}_numdf[{r.term}]": r.num_df,
            f"{name}_dendf_{df}[{r.term}]": r.den_df,
            f"{name}_p_{df}[{r.term}]": r.p_value,
        }
    return found


def kenward_roger(fit: MixedFit) -> dict[str, float]:
    found = terms_tested(fit, "F3", "kr", 3)
    for r in fit.tidy().itertuples():
        for key, value in (("se_kr", r.std_error), ("df_kr", r.df), ("p_kr", r.p_value)):
            found[f"{key}[{in_r(r.term)}]"] = value
    return found


def scale_of(key: str, values: dict[str, float]) -> float:
    if key.startswith("cov"):
        group, terms = re.match(r"cov\[(.*)\|(.*)\]", key).groups()  # type: ignore[union-attr]
        a, b = terms.split(",")
        return math.sqrt(values[f"var[{group}|{a}]"] * values[f"var[{group}|{b}]"])
    if re.match(r"(p_|F._p)", key):
        return max(abs(values[key]), 1e-3)
    return abs(values[key]) or 1.0


@pytest.mark.skipif(not CASES, reason="reference cases are not beside this checkout")
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_reference_case(path: Path) -> None:
    case = json.loads(path.read_text())
    frame = pd.read_csv(path.with_suffix(".csv"))
    for column, levels in case["factors"].items():
        frame[column] = pd.Categorical(frame[column].astype(str), categories=levels)
    formula, reml = case["model"]["formula"], case["model"]["REML"]
    fit = lmm(formula, frame, reml=reml)
    kr = lmm(formula, frame, df="kenward-roger") if reml else None
    ours, theirs, tol = values_of(fit, kr), case["values"], case["tol"]
    missing = []
    for key, value in theirs.items():
        if key not in ours:
            missing.append(key)
            continue
        kind = key.split("[")[0]
        allowed = tol.get(kind, tol["var"] if kind in ("cov", "sigma2") else 1e-4)
        assert abs(ours[key] - value) <= allowed * scale_of(key, theirs), key
    assert all(k.startswith("prof.") for k in missing), missing


# --- conventions ---------------------------------------------------------------------------------


def waves(people: int = 60, each: int = 5, seed: int = 1) -> pd.DataFrame:
    """People with repeated waves, in houses; every structure the analyses use."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each)
    t = np.tile(np.arange(each, dtype=float), people)
    house = (np.arange(people) % 8)[person]
    x = rng.normal(size=people * each)
    arm = np.where(rng.random(people) < 0.5, "usual", "house")[person]
    site = np.array(["north", "south", "west"])[(np.arange(people) % 3)[person]]
    y = (
        10 + 0.4 * t + 0.8 * x + 0.7 * (arm == "house") + rng.normal(size=people)[person]
        + 0.6 * rng.normal(size=8)[house] + 0.4 * rng.normal(size=people)[person] * t
        + rng.normal(size=people * each)
    )  # fmt: skip
    return pd.DataFrame(
        {"y": y, "t": t, "x": x, "arm": arm, "site": site, "person": person, "house": house}
    )


HOUSE = [f"H{h}" for h in waves().house]
PERSON, TWICE_T = waves().person.astype(float), 2.0 * waves().t + 1.0


def assert_same(ours: pd.Series, theirs: pd.Series) -> None:  # type: ignore[type-arg]
    assert ours.to_numpy() == pytest.approx(theirs.to_numpy())


def test_columns_of_every_table() -> None:
    fit = lmm("y ~ t + x + arm + (1 + t | house/person)", waves())
    shared = ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]
    assert list(fit.tidy().columns) == ["term", *shared]
    assert list(fit.tidy().term) == ["Intercept", "t", "x", "arm[T.usual]"]
    assert list(fit.glance().columns)[:6] == [
        "n_obs", "n_groups", "log_likelihood", "aic", "bic", "converged",
    ]  # fmt: skip
    assert fit.groups == {"house": 8, "house:person": 60}
    assert fit.glance().n_groups[0] == 60
    parts = fit.variance_components()
    assert list(parts.columns) == ["group", "term_1", "term_2", "covariance", "correlation"]
    assert list(parts.group) == ["house"] * 3 + ["house:person"] * 3 + ["Residual"]
    effects = fit.random_effects()
    assert list(effects.columns) == ["group", "level", "term", "estimate", "std_error"]
    assert len(effects) == 2 * 68
    assert list(fit.anova().columns) == ["term", "num_df", "den_df", "statistic", "p_value"]
    assert fit.covariance().loc["t", "t"] == pytest.approx(fit.tidy().std_error[1] ** 2)
    assert "300 rows" in repr(fit)
    assert len(repr(fit)) < 200


def test_exponentiate_changes_estimate_and_limits_only() -> None:
    fit = lmm("y ~ t + (1 | person)", waves())
    plain, turned = fit.tidy(), fit.tidy(exponentiate=True)
    assert_same(turned.estimate, np.exp(plain.estimate))
    assert_same(turned.conf_low, np.exp(plain.conf_low))
    assert_same(turned.std_error, plain.std_error)


def test_an_estimate_is_a_combination_with_its_interval() -> None:
    fit = lmm("y ~ t + x + (1 | person)", waves())
    both = fit.estimate({"t": 1.0, "x": 2.0}, name="both", label="Both")
    V = fit.covariance()
    variance = V.loc["t", "t"] + 4 * V.loc["x", "x"] + 4 * V.loc["t", "x"]
    assert both.value == pytest.approx(fit.coefficient("t") + 2 * fit.coefficient("x"))
    assert both.se == pytest.approx(np.sqrt(variance))
    assert both.low < both.value < both.high
    assert both.n == 60
    assert both.method == "linear mixed model, REML, Satterthwaite df"
    with pytest.raises(UsageError, match="Did you mean 'x'"):
        fit.estimate({"X": 1.0}, name="", label="")


def test_fitted_residuals_and_predictions_fit_together() -> None:
    data = waves()
    fit = lmm("y ~ t + x + arm + (1 + t | person) + (1 | house)", data)
    assert_same(fit.fitted() + fit.residuals(), data.y)
    assert_same(fit.predict(data), fit.fitted())
    assert_same(fit.predict(data, random=False), fit.fitted(random=False))
    stranger = data.iloc[[0]].assign(person=999, house=999)
    average = fit.predict(stranger, random=False)
    assert_same(fit.predict(stranger), average)
    holed = data.iloc[:2].assign(x=[np.nan, 1.0])
    assert np.isnan(fit.predict(holed).iloc[0])
    assert np.isfinite(fit.predict(holed).iloc[1])


def test_missing_rows_are_left_out_and_said() -> None:
    data = waves()
    data.loc[[3, 7], "x"] = np.nan
    fit = lmm("y ~ x + (1 | person)", data)
    same = lmm("y ~ x + (1 | person)", data.dropna())
    assert_same(fit.tidy().estimate, same.tidy().estimate)
    assert list(fit.residuals().index) == [i for i in data.index if i not in (3, 7)]
    lost = [c for c in fit.checks() if c.name == "missing"]
    assert [c.about for c in lost] == ["x"]


def test_labelled_codes_are_factors_in_code_order() -> None:
    data = waves().assign(group=lambda d: (d.person % 3 + 1).astype(float))
    labels = {1.0: "none", 2.0: "some", 3.0: "much"}
    book = Codebook({"group": Variable("group", "Meetings", labels, measure="ordinal")})
    fit = lmm("y ~ group + (1 | person)", Dataset(data, book))
    assert fit.terms == ("Intercept", "group[T.some]", "group[T.much]")
    assert fit.labels[1] == "Meetings: some vs none"
    partial = Codebook({"group": Variable("group", "", {1.0: "none"}, measure="ordinal")})
    assert lmm("y ~ group + (1 | person)", Dataset(data, partial)).terms == ("Intercept", "group")


def test_reference_level_changes_the_question_not_the_fit() -> None:
    first = lmm("y ~ site + (1 | person)", waves())
    other = lmm("y ~ site + (1 | person)", waves(), reference={"site": "west"})
    assert other.terms == ("Intercept", "site[T.north]", "site[T.south]")
    assert other.coefficient("site[T.north]") == pytest.approx(-first.coefficient("site[T.west]"))
    assert other.glance().log_likelihood[0] == pytest.approx(first.glance().log_likelihood[0])
    assert other.anova().statistic[0] == pytest.approx(first.anova().statistic[0], rel=CONVERGED)
    with pytest.raises(UsageError, match="level of column 'site'"):
        lmm("y ~ site + (1 | person)", waves(), reference={"site": "H99"})


def test_adjusted_means_and_slopes() -> None:
    fit = lmm("y ~ x * arm + site + (1 | person)", waves())
    means = fit.margins("arm")
    assert list(means.arm) == ["house", "usual"]
    x = waves().x.mean()
    gap = means.estimate[0] - means.estimate[1]
    expected = -(fit.coefficient("arm[T.usual]") + x * fit.coefficient("x:arm[T.usual]"))
    assert gap == pytest.approx(expected)
    pair = fit.pairwise("arm")
    assert pair.contrast[0] == "house - usual"
    assert pair.estimate[0] == pytest.approx(gap)
    slope = fit.slopes("x", by="arm")
    assert slope.estimate[0] == pytest.approx(fit.coefficient("x"))
    whole = fit.coefficient("x") + fit.coefficient("x:arm[T.usual]")
    assert slope.estimate[1] == pytest.approx(whole)
    at = fit.margins("arm", at={"x": [0.0, 1.0]})
    assert len(at) == 4
    three = fit.pairwise("site", adjust="none")
    holm = fit.pairwise("site")
    assert (holm.p_value >= three.p_value).all()


def test_weights_columns_and_arrays_agree() -> None:
    data = waves().assign(w=lambda d: 1.0 + (d.person % 2))
    by_name = lmm("y ~ t + (1 | person)", data, weights="w")
    by_array = lmm("y ~ t + (1 | person)", data, weights=data.w.to_numpy())
    assert_same(by_name.tidy().estimate, by_array.tidy().estimate)
    with pytest.raises(DataError, match="row 3"):
        lmm("y ~ t + (1 | person)", data.assign(w=data.w.where(data.index != 2, -1.0)), weights="w")
    shifted = lmm("y ~ t + offset(x) + (1 | person)", data)
    moved = lmm("z ~ t + (1 | person)", data.assign(z=data.y - data.x))
    assert_same(shifted.tidy().estimate, moved.tidy().estimate)
    assert_same(shifted.predict(data), moved.predict(data) + data.x)


def test_robust_errors_stand_beside_the_models() -> None:
    plain = lmm("y ~ t + arm + (1 + t | person)", waves())
    robust = lmm("y ~ t + arm + (1 + t | person)", waves(), cluster="person").tidy()
    assert list(robust.columns)[-1] == "std_error_model"
    assert_same(robust.std_error_model, plain.tidy().std_error)
    assert_same(robust.estimate, plain.tidy().estimate)
    assert (robust.df < 61).all()


def test_r2_and_icc_are_shares() -> None:
    fit = lmm("y ~ t + x + (1 + t | person) + (1 | house)", waves())
    r2 = fit.r2()
    assert 0 < r2["marginal"] < r2["conditional"] < 1
    assert fit.icc() == pytest.approx(fit.icc("person") + fit.icc("house"))


# --- invariance through the public face --------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign(y=d.y * 1e-12),
        lambda d: d.assign(y=d.y + 1e7),
        lambda d: d.assign(t=d.t + 2015),
        lambda d: d.assign(x=d.x * 1e6),
        lambda d: d.sample(frac=1.0, random_state=3),
        lambda d: d.assign(person=d.person.map(lambda p: f"P{999 - p}")),
    ],
    ids=["y × 1e-12", "y + 1e7", "years", "x × 1e6", "shuffled", "renamed"],
)
def test_the_answer_does_not_depend_on_units_order_or_names(change: object) -> None:
    formula = "y ~ t + x + (1 + t | person) + (1 | house)"
    before = lmm(formula, waves()).tidy().set_index("term")
    after = lmm(formula, change(waves())).tidy().set_index("term")  # type: ignore[operator]
    for term in ("t", "x"):
        for column in ("statistic", "df", "p_value"):
            expected = before.loc[term, column]
            assert after.loc[term, column] == pytest.approx(expected, rel=INVARIANCE), column


@pytest.mark.parametrize(
    "name",
    ["yield", "class", "lambda", "C", "Q", "I", "np", "1", "a-b", "a b", "x:y", "σ²", "满意度",
     "it`s", "@id", "Surv", "T.x", ".5", "0"],
)  # fmt: skip
def test_columns_may_have_any_name(name: str) -> None:
    data = waves().rename(columns={"y": name})
    expected = lmm("y ~ t + (1 | person)", waves()).tidy().estimate
    assert lmm(f"{quote(name)} ~ t + (1 | person)", data).tidy().estimate.equals(expected)
    data = waves().rename(columns={"x": name, "person": "p q"})
    fit = lmm(f"y ~ {quote(name)} + (1 + {quote(name)} | `p q`)", data)
    assert fit.terms == ("Intercept", name)


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "change", "error", "words"),
    [
        ("y ~ t + (1 | person)", {"y": 3.0}, NotEstimable, "'y' has the same value"),
        ("y ~ t + (1 | person)", {"y": np.nan}, NotEstimable, "'y' is missing in 300"),
        ("y ~ t + (1 | person)", {"y": "low"}, DataError, "'y' holds text"),
        ("y ~ t + (1 | person)", {"person": 1}, NotEstimable, "'person' has one level"),
        ("y ~ t + (1 | row)", {}, NotEstimable, "as many levels as there are rows"),
        ("y ~ t + (1 + t + x + I(x^2) + I(x^3) | person)", {}, NotEstimable, "300 effects"),
        ("y ~ x + (1 | person)", {"x": 2.0}, NotEstimable, "'x' has the same value in all 300"),
        ("y ~ t + (1 + cons | person)", {}, NotEstimable, "'cons' does not vary within"),
        ("y ~ y + (1 | person)", {}, UsageError, "'y' is the outcome and a predictor"),
        ("y ~ t", {}, UsageError, "no random term"),
        ("y ~ t + (1 | persn)", {}, DataError, "Did you mean 'person'"),
        ("y ~ C(row) + (1 | person)", {}, NotEstimable, "'row' alone has 300 levels"),
        ("y ~ t + strata(site) + (1 | person)", {}, UsageError, "survival"),
        ("cbind(t, x) ~ t2 + (1 | person)", {"t2": 1.0}, UsageError, "one numeric column"),
        (
            "y ~ x + (1 | person)",
            {"x": np.inf},
            DataError,
            "5 and 295 more; correct",
        ),
        ("y ~ t + (1 | row)", {}, NotEstimable, "Take its random term out, or group"),
        ("y ~ site + (1 | site/person)", {}, NotEstimable, "levels of 'site' apart"),
        ("y ~ t + (1 | site/row)", {}, NotEstimable, "'site:row' has as many levels"),
        ("y ~ t + (1 | house) + (1 | cons)", {"cons": "x"}, NotEstimable, "'cons' has one level"),
        (
            "y ~ t + (1 | house) + (1 | h2)",
            {"h2": HOUSE},
            NotEstimable,
            "'house' and 'h2' make",
        ),
        (
            "y ~ t + (1 | person)",
            {"y": PERSON},
            NotEstimable,
            "'y' has one value within",
        ),
        ("y ~ t + (1 | person)", {"y": TWICE_T}, NotEstimable, "'y' has no variation left"),
        ("y ~ t + (1 | person)", {"y": TWICE_T * 1e299}, DataError, "larger units"),
        ("y ~ t + (1 | person)", {"person": np.nan}, NotEstimable, "'person' is missing in 300"),
        ("y ~ t + (1 + t + twice | person)", {}, NotEstimable, "'twice' of 'person' is a combin"),
    ],
)
def test_what_has_no_answer_is_refused(
    formula: str, change: dict[str, object], error: type[Exception], words: str
) -> None:
    data = waves().assign(
        row=np.arange(300), cons=lambda d: (d.person % 5).astype(float), twice=TWICE_T
    )
    with pytest.raises(error, match=re.escape(words)):
        lmm(formula, data.assign(**change))


def test_collinear_columns_are_named_and_dropped_unless_required() -> None:
    data = waves().assign(twice=lambda d: 2 * d.t + 1)
    fit = lmm("y ~ t + twice + (1 | person)", data)
    assert fit.terms == ("Intercept", "t")
    assert [c.about for c in fit.checks() if c.name == "collinear"] == ["twice"]
    with pytest.raises(NotEstimable, match="'twice' is a combination"):
        lmm("y ~ t + twice + (1 | person)", data, required=("twice",))


def test_few_rows_name_both_counts() -> None:
    formula = "y ~ t + x + arm + site + (1 | person)"
    with pytest.raises(NotEstimable, match="5 rows cannot estimate 5 coefficients"):
        lmm(formula.replace("arm + ", ""), waves().iloc[[0, 1, 7, 13, 14]])


def test_a_singular_fit_is_an_answer_with_a_check() -> None:
    data = waves().assign(y=lambda d: d.x - d.groupby("house").x.transform("mean"))
    data["y"] += np.random.default_rng(1).normal(size=300)
    data["y"] -= data.groupby("house").y.transform("mean")
    fit = lmm("y ~ t + (1 | house)", data)
    assert fit.glance().singular[0]
    assert [c.verdict for c in fit.checks() if c.name == "singular"] == ["caution"]
    assert fit.tidy().df[1] == pytest.approx(298)


# --- R --------------------------------------------------------------------------------------------

FROM_R = json.loads((Path(__file__).parent / "mixed.json").read_text())


def in_formulaic(term: str) -> str:
    term = term.replace("(Intercept)", "Intercept")
    return re.sub(r"arm(both|house|usual)", r"arm[T.\1]", term)


@pytest.mark.parametrize("number", range(len(FROM_R["fits"])))
def test_lmertest_and_pbkrtest(number: int) -> None:
    theirs, data = FROM_R["fits"][number], pd.DataFrame(FROM_R["data"])
    fit = lmm(theirs["formula"], data)
    kr = lmm(theirs["formula"], data, df="kenward-roger")
    assert fit.glance().log_likelihood[0] == pytest.approx(theirs["loglik"], abs=1e-6)
    if "arm:x" not in fit.formula.text:  # R names the columns of a lone interaction otherwise
        assert list(fit.terms) == [in_formulaic(t) for t in theirs["term"]]
    for ours, column in ((fit, "estimate"), (fit, "std_error"), (fit, "df")):
        assert_close(ours.tidy()[column], theirs[column])
    assert_close(kr.tidy().std_error, theirs["se_kr"])
    assert_close(kr.tidy().df, theirs["df_kr"])
    for kind, name in ((3, "anova3"), (2, "anova2"), (1, "anova1")):
        assert_anova(fit.anova(kind), theirs[name])
    assert_anova(kr.anova(), theirs["anova3_kr"])


def assert_close(ours: pd.Series, theirs: list[float]) -> None:  # type: ignore[type-arg]
    assert ours.to_numpy() == pytest.approx(np.array(theirs), rel=R_DIGITS, abs=1e-8)


def assert_anova(ours: pd.DataFrame, theirs: dict[str, list[float]]) -> None:
    several = theirs if isinstance(theirs["term"], list) else {k: [v] for k, v in theirs.items()}
    assert list(ours.term) == several["term"]
    for column in ("num_df", "den_df", "statistic"):
        assert_close(ours[column], several[column])


def test_emmeans_and_nakagawa() -> None:
    data = pd.DataFrame(FROM_R["data"])
    fit = lmm("y ~ wave * arm + x + (1 + wave | person) + (1 | house)", data)
    means, theirs = fit.margins("arm"), FROM_R["means"]
    assert list(means.arm) == theirs["arm"]
    for column, name in (("estimate", "emmean"), ("std_error", "SE"), ("df", "df")):
        assert_close(means[column], theirs[name])
    assert_close(means.conf_low, theirs["lower.CL"])
    slopes = fit.slopes("wave", by="arm")
    assert_close(slopes.estimate, FROM_R["slopes"]["wave.trend"])
    assert_close(slopes.df, FROM_R["slopes"]["df"])
    pairs = fit.pairwise("arm")
    assert list(pairs.contrast) == FROM_R["pairs"]["contrast"]
    assert_close(pairs.p_value, FROM_R["pairs"]["p.value"])
    assert list(fit.r2()) == pytest.approx(FROM_R["r2"], rel=R_DIGITS)
