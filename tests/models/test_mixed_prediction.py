"""Predictions and their intervals, for known people and new ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as t_distribution

from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.mixed import MixedFit, lmm
from tests.models.test_mixed import waves
from tests.tolerance import CONVERGED, DERIVATIVE

FORMULA = "y ~ t + x + arm + (1 + t | person) + (1 | house)"


def dense(fit: MixedFit, data: pd.DataFrame) -> np.ndarray:
    """Var(x'b_hat + z'(u_hat - u)) of every row, from V and its inverse."""
    n = len(data)
    w = np.ones(n) if fit.weights is None else fit.weights
    R = np.diag(fit.engine.sigma2 / w)
    K = sum(
        (f.Z @ P @ f.Z.T) * (f.codes[:, None] == f.codes)
        for f, P in zip(fit.factors, fit.engine.psi, strict=True)
    )
    Vi = np.linalg.inv(K + R)
    X = fit.X
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = Vi - Vi @ X @ Phi @ X.T @ Vi
    cross = -X @ Phi @ X.T @ Vi @ K
    return np.diag(X @ Phi @ X.T + cross + cross.T + K - K @ P @ K)


@pytest.mark.parametrize("weights", [None, "w"])
def test_known_rows_have_hendersons_variance(weights: str | None) -> None:
    data = waves().assign(w=lambda d: 1.0 + d.person % 3)
    fit = lmm(FORMULA, data, weights=weights, df="normal")
    found = fit.predict(data, interval="confidence")
    assert list(found.columns) == ["estimate", "std_error", "df", "conf_low", "conf_high"]
    assert found.std_error.to_numpy() ** 2 == pytest.approx(dense(fit, data), rel=CONVERGED)
    further = fit.predict(data, interval="prediction")
    assert further.std_error.to_numpy() ** 2 == pytest.approx(
        dense(fit, data) + fit.engine.sigma2, rel=CONVERGED
    )
    assert found.estimate.to_numpy() == pytest.approx(fit.fitted().to_numpy())
    assert fit.predict(interval="confidence").equals(found)


def test_the_mean_is_a_combination_of_the_coefficients() -> None:
    data = waves()
    for df in ("satterthwaite", "kenward-roger"):
        fit = lmm(FORMULA, data, df=df)  # type: ignore[arg-type]
        row = data.iloc[[5]].drop(columns=["person", "house"])
        found = fit.predict(row, random=False, interval="confidence", level=0.9).iloc[0]
        weights = {"Intercept": 1.0, "t": row.t.iloc[0], "x": row.x.iloc[0],
                   "arm[T.usual]": float(row.arm.iloc[0] == "usual")}  # fmt: skip
        same = fit.estimate(weights, name="", label="", level=0.9)
        assert [found.estimate, found.std_error, found.df, found.conf_low] == pytest.approx(
            [same.value, same.se, same.df, same.low]
        )


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_balanced_groups_on_paper(df: str) -> None:
    """One-way data: every variance is a sum of two mean squares, its df by Satterthwaite 1946."""
    rng = np.random.default_rng(3)
    m, n = 7, 4
    g = np.repeat(np.arange(m), n)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=m)[g] * 2 + rng.normal(size=m * n)})
    fit = lmm("y ~ 1 + (1 | g)", data, df=df)  # type: ignore[arg-type]
    means = data.groupby("g").y.mean()
    between = n * means.var()
    inside = float(((data.y - means[g].to_numpy()) ** 2).sum() / (m * (n - 1)))

    def combined(a: float, b: float) -> tuple[float, float]:
        v = a * between + b * inside
        return v**0.5, v**2 / ((a * between) ** 2 / (m - 1) + (b * inside) ** 2 / (m * (n - 1)))

    stranger = pd.DataFrame({"g": [99]})
    for interval, a, b in (
        ("confidence", 1 / (m * n) + 1 / n, -1 / n),
        ("prediction", 1 / (m * n) + 1 / n, 1 - 1 / n),
    ):
        for random, row in ((True, stranger), (False, stranger)):
            if not random and interval == "confidence":
                continue
            found = fit.predict(row, random=random, interval=interval).iloc[0]  # type: ignore[call-overload]
            se, nu = combined(a, b)
            assert found.std_error == pytest.approx(se, rel=CONVERGED)
            assert found.df == pytest.approx(nu, rel=DERIVATIVE)
            half = t_distribution.isf(0.025, nu) * se
            assert found.conf_high == pytest.approx(data.y.mean() + half, rel=DERIVATIVE)
    mean = fit.predict(stranger, random=False, interval="confidence").iloc[0]
    assert [mean.std_error, mean.df] == pytest.approx([(between / (m * n)) ** 0.5, m - 1])


def test_df_agree_with_those_of_a_coefficient() -> None:
    """The mean of a new level, less that level's own variance, is x'b: same df either way."""
    from recovery_stats.engines.lmm_delta import satterthwaite_of
    from recovery_stats.engines.lmm_joint import join

    fit = lmm(FORMULA, waves())
    L = np.array([[1.0, 2.0, 0.3, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    blank = [np.zeros((3, f.q)) for f in fit.factors]
    nobody = [np.full(3, -1)] * 2

    def variance(psi: list[np.ndarray], sigma2: float) -> np.ndarray:
        return join(fit.X, fit.factors, psi, sigma2).variance(L, blank, nobody)

    v, df = satterthwaite_of(fit.engine, fit.information, variance)  # type: ignore[arg-type]
    expected = fit.combine(L)
    assert v == pytest.approx(expected.std_error**2, rel=CONVERGED)
    assert df == pytest.approx(expected.df, rel=DERIVATIVE)


def test_new_people_vary_more_and_missing_values_stay_missing() -> None:
    data = waves()
    fit = lmm(FORMULA, data)
    rows = data.iloc[[0, 1, 2]].copy()
    rows["person"] = [int(data.person[0]), 999, np.nan]
    rows["x"] = 0.0
    found = fit.predict(rows, interval="prediction")
    assert found.std_error.iloc[0] < found.std_error.iloc[1]
    assert found.notna().all(axis=None)
    holed = fit.predict(rows.assign(x=[0.0, np.nan, 1.0]), interval="prediction")
    assert holed.isna().all(axis=1).tolist() == [False, True, False]


def test_a_singular_fit_has_intervals_too() -> None:
    rng = np.random.default_rng(11)
    for draw in range(20):
        data = waves(seed=draw).assign(y=rng.normal(size=300))
        fit = lmm("y ~ t + (1 + t | person)", data)
        if fit.engine.singular:
            break
    found = fit.predict(data.head(4), interval="confidence")
    assert fit.engine.singular
    assert np.isfinite(found.to_numpy()).all()


def test_refusals() -> None:
    fit = lmm("y ~ t + (1 | person)", waves())
    with pytest.raises(UsageError, match="Did you mean 'prediction'"):
        fit.predict(interval="predicton")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="between 0 and 1"):
        fit.predict(interval="prediction", level=95)
    with pytest.raises(DataError, match="No column named 'person'"):
        fit.predict(waves().drop(columns="person"), interval="prediction")
    assert len(fit.predict(waves()[["t"]].head(), random=False, interval="prediction")) == 5
