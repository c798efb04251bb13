"""Least squares against NIST's Wampler 2 and a case worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recovery_stats.errors import NotEstimable
from recovery_stats.models.linear import ols
from tests.tolerance import CLOSED_FORM, EXACT


def test_a_line_by_hand():
    # x = 0, 1, 2; y = 0, 1, 5: slope 2.5, residuals 0.5, -1, 0.5; s2 = 1.5, se = sqrt(1.5/2)
    data = pd.DataFrame({"x": [0.0, 1, 2], "y": [0.0, 1, 5]})
    slope = ols("y ~ x", data).estimate({"x": 1}, name="slope", label="slope")
    assert slope.value == pytest.approx(2.5, rel=EXACT)
    assert slope.se == pytest.approx(np.sqrt(0.75), rel=EXACT)
    assert slope.df == 1
    assert slope.high == pytest.approx(2.5 + stats.t.isf(0.025, 1) * np.sqrt(0.75), rel=EXACT)


def test_wampler_2_to_seven_digits():
    # NIST StRD, Wampler2: y = sum of (x / 10)^k, k = 0..5, at x = 0..20; higher difficulty
    x = np.arange(21.0)
    y = sum((x / 10) ** k for k in range(6))
    fit = ols("y ~ x + I(x^2) + I(x^3) + I(x^4) + I(x^5)", pd.DataFrame({"x": x, "y": y}))
    np.testing.assert_allclose(fit.beta, 10.0 ** -np.arange(6.0), rtol=1e-7)


def test_collinear_columns_are_named():
    data = pd.DataFrame({"x": [0.0, 1, 2, 3], "z": [0.0, 2, 4, 6], "y": [0.0, 1, 5, 2]})
    with pytest.raises(NotEstimable, match="combination of the others"):
        ols("y ~ x + z", data)


def unbalanced() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 40
    frame = pd.DataFrame(
        {
            "a": pd.Categorical(rng.choice(["p", "q"], n)),
            "b": pd.Categorical(rng.choice(["u", "v", "w"], n, p=[0.6, 0.25, 0.15])),
            "x": rng.normal(size=n),
        }
    )
    return frame.assign(y=(frame["a"] == "q") + frame["x"] + rng.normal(size=n))


def residual_squares(formula: str, data: pd.DataFrame) -> float:
    fit = ols(formula, data)
    return fit.sigma2 * fit.df_residual


def test_tests_of_terms_are_gains_over_smaller_models():
    data = unbalanced()
    fit = ols("y ~ x + a * b", data)
    first, second = (fit.anova(type=k).set_index("term")["sum_of_squares"] for k in (1, 2))

    def gain(without: str, with_: str) -> float:
        return residual_squares(f"y ~ {without}", data) - residual_squares(f"y ~ {with_}", data)

    assert first["a"] == pytest.approx(gain("x", "x + a"), rel=CLOSED_FORM)
    assert first["b"] == pytest.approx(gain("x + a", "x + a + b"), rel=CLOSED_FORM)
    assert second["a"] == pytest.approx(gain("x + b", "x + a + b"), rel=CLOSED_FORM)
    assert second["x"] == pytest.approx(gain("a * b", "x + a * b"), rel=CLOSED_FORM)
    assert second["a:b"] == pytest.approx(gain("x + a + b", "x + a * b"), rel=CLOSED_FORM)
    assert first.sum() == pytest.approx(((data["y"] - data["y"].mean()) ** 2).sum())


def test_all_types_agree_in_a_balanced_design():
    # 2 x 2 cells of two, half a unit either side of their means: residual sum of squares 2
    data = pd.DataFrame({"a": list("ppppqqqq"), "b": list("uuvvuuvv")})
    data["y"] = [0.5, -0.5, 1.0, 0.0, 2.0, 1.0, 3.5, 2.5]
    m = data["y"].mean()
    main = {f: 4 * ((data.groupby(f)["y"].mean() - m) ** 2).sum() for f in ("a", "b")}
    for kind in (1, 2, 3):
        table = ols("y ~ a * b", data).anova(type=kind).set_index("term")
        assert table.loc["a", "sum_of_squares"] == pytest.approx(main["a"])
        assert table.loc["b", "sum_of_squares"] == pytest.approx(main["b"])
        assert table.loc["Residuals", "sum_of_squares"] == pytest.approx(2.0)
        assert table.loc["a", "p_value"] == pytest.approx(stats.f.sf(2 * main["a"], 1, 4))


def test_one_coefficient_has_the_same_test_in_both_tables():
    data = unbalanced()
    data.loc[3, "x"] = np.nan
    fit = ols("y ~ x + a", data)
    row = fit.tidy().set_index("term").loc["a[T.q]"]
    test = fit.anova().set_index("term").loc["a"]
    assert test["statistic"] == pytest.approx(row["statistic"] ** 2, rel=CLOSED_FORM)
    assert test["p_value"] == pytest.approx(row["p_value"], rel=CLOSED_FORM)
    assert row["conf_low"] < row["estimate"] < row["conf_high"]
    assert len(fit.residuals) == 39
    assert fit.residuals.sum() == pytest.approx(0, abs=CLOSED_FORM)


def test_glance_is_the_normal_likelihood_of_the_residuals():
    """Summed density by density; AIC and BIC count the residual variance as R does."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=30)
    fit = ols("y ~ x", pd.DataFrame({"x": x, "y": 1 + x + rng.normal(size=30)}))
    row = fit.glance().iloc[0]
    left = fit.residuals.to_numpy()
    expected = stats.norm.logpdf(left, scale=np.sqrt((left**2).mean())).sum()
    assert row["log_likelihood"] == pytest.approx(expected, rel=1e-12)
    assert row["aic"] == pytest.approx(2 * 3 - 2 * expected, rel=1e-12)
    assert row["bic"] == pytest.approx(np.log(30) * 3 - 2 * expected, rel=1e-12)
