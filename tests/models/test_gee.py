"""The marginal difference against least squares, and its few-cluster correction."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.gee import difference
from recovery_stats.models.sample import Sample
from tests.tolerance import CONVERGED


def sample_of(rng, n=60):
    arm = np.repeat([0.0, 1.0], n // 2)
    X = np.column_stack([np.ones(n), arm, rng.normal(size=n)])
    return Sample(X @ [1.0, 0.5, 0.3] + rng.normal(size=n), X, ("Intercept", "arm", "x"))


def ask(sample, codes):
    return difference(sample, codes, level=0.95, name="gee", label="GEE")


def test_clusters_of_one_are_least_squares_with_the_jackknife_like_errors():
    sample = sample_of(np.random.default_rng(1))
    beta = np.linalg.lstsq(sample.X, sample.y, rcond=None)[0]
    found = ask(sample, np.arange(60))
    hc3 = sandwich(sample.X, sample.y - sample.X @ beta, kind="CR3").covariance
    assert found.value == pytest.approx(beta[1], rel=CONVERGED)
    assert found.se == pytest.approx(np.sqrt(hc3[1, 1]), rel=CONVERGED)
    assert found.df == 57


def test_equal_clusters_in_one_arm_each_give_the_difference_of_arm_means():
    rng = np.random.default_rng(2)
    whole = sample_of(rng).crude()
    codes = np.repeat(np.arange(12), 5)
    found = ask(whole, codes)
    means = whole.y.reshape(12, 5).mean(axis=1)
    assert found.value == pytest.approx(means[6:].mean() - means[:6].mean(), rel=CONVERGED)
    # Balanced and without covariates the correction divides each arm's spread by (n - 1)^2:
    # the jackknife variance of a mean of n clusters.
    spread = sum(((m - m.mean()) ** 2).sum() / 5**2 for m in (means[:6], means[6:]))
    assert found.se == pytest.approx(np.sqrt(spread), rel=CONVERGED)


def test_too_few_clusters_are_refused():
    sample = sample_of(np.random.default_rng(3))
    with pytest.raises(NotEstimable, match="3 clusters"):
        ask(sample, np.repeat([0, 1, 2], 20))


# --- the public face -------------------------------------------------------------------------


STORED = json.loads((Path(__file__).parent / "gee.json").read_text())
FRAME = pd.DataFrame(STORED["data"])


@pytest.mark.parametrize("case", STORED["fits"], ids=lambda c: f"{c['formula']} {c['correlation']}")
def test_geepack(case: dict[str, Any]) -> None:
    keys = ("family", "link", "correlation", "weights", "time")
    asked = {k: case[k] for k in keys if case.get(k)}
    fit = rs.gee(case["formula"], FRAME, groups="id", small_sample="none", df="normal", **asked)
    table, whole = fit.tidy(), fit.glance().iloc[0]
    assert table["estimate"].to_numpy() == pytest.approx(case["estimate"], rel=CONVERGED)
    assert table["std_error"].to_numpy() == pytest.approx(case["robust"], rel=CONVERGED)
    assert table["std_error_model"].to_numpy() == pytest.approx(case["model"], rel=CONVERGED)
    assert whole["scale"] == pytest.approx(case["scale"], rel=CONVERGED)
    alpha = np.atleast_1d(case["alpha"]) if case["alpha"] else []
    assert fit.working_correlation()["estimate"].tolist() == pytest.approx(alpha, abs=CONVERGED)


@pytest.fixture(scope="module")
def fit() -> Any:
    return rs.gee("used ~ x * arm + wave", FRAME, groups="id", family="binomial")


def test_the_table_holds_together(fit: Any) -> None:
    table = fit.tidy()
    assert list(table.columns) == [
        "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
        "std_error_model",
    ]  # fmt: skip
    assert table["std_error"].to_numpy() == pytest.approx(np.sqrt(np.diag(fit.covariance())))
    assert table["df"].between(1, fit.n_groups).all()
    ratios = fit.tidy(exponentiate=True)
    assert ratios["conf_low"].to_numpy() == pytest.approx(np.exp(table["conf_low"]))
    assert "clusters of 'id'" in repr(fit)


def test_one_coefficient_has_the_same_test_as_its_term(fit: Any) -> None:
    row = fit.tidy().set_index("term").loc["wave"]
    for kind in (2, 3):
        test = fit.anova(type=kind).set_index("term").loc["wave"]
        assert test["statistic"] == pytest.approx(row["statistic"] ** 2, rel=CONVERGED)
        assert test["den_df"] == pytest.approx(row["df"], rel=CONVERGED)
        assert test["p_value"] == pytest.approx(row["p_value"], rel=CONVERGED)


def test_means_and_predictions_agree(fit: Any) -> None:
    means = fit.margins("arm", type="response").set_index("arm")
    at = pd.DataFrame({"arm": ["house"], "x": [FRAME["x"].mean()], "wave": [FRAME["wave"].mean()]})
    assert means.loc["house", "estimate"] == pytest.approx(fit.predict(at)[0], rel=CONVERGED)
    assert fit.predict().to_numpy() == pytest.approx(fit.predict(FRAME).to_numpy(), rel=CONVERGED)
    residual = FRAME["used"] - fit.fitted()
    assert fit.residuals("response").to_numpy() == pytest.approx(residual.to_numpy(), abs=CONVERGED)


def test_a_missing_value_drops_its_row_and_says_so() -> None:
    frame = FRAME.astype({"x": float})
    frame.loc[3, "x"] = np.nan
    fit = rs.gee("score ~ x", frame, groups="id")
    assert len(fit.predict()) == len(FRAME) - 1
    assert any(c.name == "missing" or "x" in c.about for c in fit.checks())


def test_few_clusters_are_a_caution() -> None:
    some = FRAME[FRAME["id"] <= 30]
    plain = rs.gee("score ~ x", some, groups="id", small_sample="none")
    assert [c.verdict for c in plain.checks() if c.name == "groups"] == ["caution"]
    better = rs.gee("score ~ x", some, groups="id")
    assert [c.verdict for c in better.checks() if c.name == "groups"] == ["ok"]


def test_corrections_are_ordered() -> None:
    def errors(correction: str) -> np.ndarray:
        found = rs.gee("score ~ x + arm", FRAME, groups="id", small_sample=correction)
        return found.tidy()["std_error"].to_numpy()

    none, kc, md = (errors(c) for c in ("none", "kauermann-carroll", "mancl-derouen"))
    assert (none < kc).all()
    assert (kc < md).all()


@pytest.mark.parametrize(
    ("formula", "options", "error", "words"),
    [
        ("used ~ x", {"family": "binomal"}, UsageError, "Did you mean 'binomial'"),
        ("used ~ x", {"correlation": "exch"}, UsageError, "correlation"),
        ("used ~ x", {"small_sample": "md"}, UsageError, "small-sample"),
        ("used ~ x", {"df": "kenward-roger"}, UsageError, "degrees of freedom"),
        ("used ~ x + (1 | id)", {}, UsageError, "no random terms"),
        ("used ~ x", {"groups": "idd"}, DataError, "Did you mean 'id'"),
        ("used ~ x", {"groups": "one"}, NotEstimable, "one level"),
        ("score ~ x", {"family": "binomial"}, DataError, "between 0 and 1"),
        ("score ~ x", {"family": "poisson"}, DataError, "0 or more"),
        ("used ~ x", {"family": "gamma"}, DataError, "above 0"),
        ("one ~ x", {}, NotEstimable, "same in all"),
        ("used ~ x", {"time": "one"}, DataError, "distinct times"),
        ("used ~ x", {"scale": -1.0}, UsageError, "above 0"),
        ("used ~ x", {"weights": "zero"}, DataError, "above 0"),
        ("told ~ x + arm", {"family": "binomial"}, NotEstimable, "separated by 'x'"),
        ("nobody ~ arm", {"family": "binomial"}, NotEstimable, r"separated by 'arm\[T.usual\]'"),
        ("none ~ arm", {"family": "poisson"}, NotEstimable, r"separated by 'arm\[T.usual\]'"),
    ],
)
def test_bad_input(
    formula: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    frame = FRAME.assign(
        one=1, zero=0, told=(FRAME["x"] > 0).astype(int),
        nobody=FRAME["used"] * (FRAME["arm"] == "house"),
        none=FRAME["count"] * (FRAME["arm"] == "house"),
    )  # fmt: skip
    with pytest.raises(error, match=words):
        rs.gee(formula, frame, **{"groups": "id", **options})
