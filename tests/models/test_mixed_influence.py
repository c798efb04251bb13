"""Residuals, leverage and influence of groups: lme4, dense formulas, brute refits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.mixed import lmm
from tests.models.test_mixed import waves
from tests.tolerance import CLOSED_FORM, CONVERGED, R_DIGITS, REFITS

HERE = Path(__file__).parent
FROM_R = json.loads((HERE / "mixed_influence.json").read_text())
DATA = pd.DataFrame(json.loads((HERE / "mixed.json").read_text())["data"])
FORMULA = "y ~ wave + arm + x + (1 + wave | person) + (1 | house)"


def test_hat_values_and_studentised_residuals_of_lme4() -> None:
    fit = lmm(FORMULA, DATA)
    assert fit.leverage().overall.to_numpy() == pytest.approx(np.array(FROM_R["hat"]), rel=R_DIGITS)
    assert fit.residuals("studentised").to_numpy() == pytest.approx(
        np.array(FROM_R["student"]), rel=R_DIGITS, abs=1e-6
    )


def test_houses_left_out_as_lme4_does() -> None:
    found = lmm(FORMULA, DATA).influence("house", refit=True)
    assert list(found.level) == FROM_R["house"]
    assert found.cooks_distance.to_numpy() == pytest.approx(np.array(FROM_R["cook"]), rel=REFITS)
    ours = -found.filter(like="dfbetas").to_numpy()  # lme4 has without minus with, lm the reverse
    assert ours == pytest.approx(np.array(FROM_R["dfbetas"]), rel=REFITS, abs=REFITS)


def test_fixed_leverage_sums_to_the_coefficients() -> None:
    for formula in ("y ~ t + x + (1 | person)", "y ~ t * arm + (1 + t | house/person)"):
        fit = lmm(formula, waves())
        found = fit.leverage()
        assert list(found.columns) == ["fixed", "random", "overall"]
        assert found.fixed.sum() == pytest.approx(len(fit.terms), rel=CONVERGED)
        assert (found.overall < 1).all()
        assert (found.overall > 0).all()


def test_marginal_residuals_have_their_own_errors() -> None:
    data = waves().assign(w=lambda d: 1.0 + d.person % 3)
    fit = lmm("y ~ t + x + (1 + t | person)", data, weights="w")
    (factor,), (psi,) = fit.factors, fit.engine.psi
    V = (factor.Z @ psi @ factor.Z.T) * (factor.codes[:, None] == factor.codes)
    V += np.diag(fit.engine.sigma2 / data.w)
    own = V - fit.X @ np.linalg.solve(fit.X.T @ np.linalg.solve(V, fit.X), fit.X.T)
    left = data.y - fit.fitted(random=False)
    for kind, size in (
        ("marginal", np.ones(300)),
        ("marginal_pearson", np.sqrt(np.diag(V))),
        ("marginal_studentised", np.sqrt(np.diag(own))),
    ):
        expected = (left / size).to_numpy()
        assert fit.residuals(kind).to_numpy() == pytest.approx(expected, rel=CONVERGED)
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ (V - own) @ inverse
    noise = np.diag(fit.engine.sigma2 / data.w)
    error = np.sqrt(np.diag(noise @ P @ noise))
    expected = (fit.residuals() / error).to_numpy()
    assert fit.residuals("studentised").to_numpy() == pytest.approx(expected, rel=CONVERGED)
    with pytest.raises(UsageError, match="Did you mean 'pearson'"):
        fit.residuals("person")


@pytest.mark.parametrize("group", ["house", "person", "site"])
def test_refits_are_fits_on_the_rows_left(group: str) -> None:
    data = waves(people=24)
    formula = "y ~ t + x + (1 | house) + (1 | person)"
    fit = lmm(formula, data)
    found = fit.influence(group, refit=True).set_index("level")
    for level in (data[group].iloc[0], data[group].iloc[-1]):
        left = lmm(formula, data[data[group] != level])
        row = found.loc[str(level)]
        moved = fit.tidy().estimate - left.tidy().estimate
        assert row.filter(like="dfbetas").to_numpy(dtype=float) == pytest.approx(
            (moved / left.tidy().std_error).to_numpy(), rel=1e-5, abs=1e-6
        )
        ours, whole = left.covariance().to_numpy(), fit.covariance().to_numpy()
        assert row.covariance_ratio == pytest.approx(
            np.linalg.det(ours) / np.linalg.det(whole), rel=1e-5
        )
        cook = moved @ np.linalg.solve(whole, moved) / 3
        assert row.cooks_distance == pytest.approx(cook, rel=1e-5, abs=1e-9)
        parts = left.variance_components().covariance
        assert [row["sd(Intercept|house)"], row["sd(Intercept|person)"], row.sigma] == (
            pytest.approx(list(np.sqrt(parts)), rel=1e-5, abs=1e-7)
        )


def test_without_refits_the_variances_stay() -> None:
    """Given the variances the coefficients without a house are those of V's own block."""
    data = waves(people=24)
    fit = lmm("y ~ t + x + (1 | house) + (1 | person)", data, weights=1.0 + data.person % 2)
    found = fit.influence("house")
    V = np.diag(fit.engine.sigma2 / fit.weights)
    for f, psi in zip(fit.factors, fit.engine.psi, strict=True):
        V += psi[0, 0] * (f.codes[:, None] == f.codes)
    for i, level in enumerate(found.level):
        left = (data.house.astype(str) != level).to_numpy()
        inner = np.linalg.inv(V[np.ix_(left, left)])
        inverse = np.linalg.inv(fit.X[left].T @ inner @ fit.X[left])
        moved = fit.engine.beta - inverse @ fit.X[left].T @ inner @ data.y[left]
        expected = moved / np.sqrt(np.diag(inverse))
        assert found.filter(like="dfbetas").iloc[i].to_numpy() == pytest.approx(
            expected, rel=1e-6, abs=1e-9
        )
    assert (found["rows"] == data.groupby("house").size().to_numpy()).all()


def test_an_odd_house_stands_out() -> None:
    data = waves()
    data.loc[data.house == 3, "y"] += 25 * (data.arm == "house")[data.house == 3]
    found = lmm("y ~ t + arm + (1 | house)", data).influence()
    assert found.level[found.cooks_distance.idxmax()] == "3"


def test_a_level_that_carries_a_coefficient_alone() -> None:
    data = waves().assign(only=lambda d: (d.house == 2).astype(float))
    fit = lmm("y ~ t + only + (1 | house) + (1 | person)", data)
    for refit in (False, True):
        found = fit.influence("house", refit=refit).set_index("level")
        assert np.isnan(found.cooks_distance["2"])
        assert found.cooks_distance.notna().sum() == 7


def test_influence_refusals() -> None:
    fit = lmm("y ~ t + (1 | person)", waves().assign(same=1))
    with pytest.raises(DataError, match="Did you mean 'house'"):
        fit.influence("hous")
    with pytest.raises(UsageError, match="two levels or more"):
        fit.influence("same")


def test_fitted_is_the_hat_matrix_times_the_outcome() -> None:
    """Each row's overall leverage is how its fitted value moves with its own outcome."""
    data = waves(people=12)
    fit = lmm("y ~ t + (1 | person)", data)
    (factor,), (psi,) = fit.factors, fit.engine.psi
    V = psi[0, 0] * (factor.codes[:, None] == factor.codes) + fit.engine.sigma2 * np.eye(len(data))
    Vi = np.linalg.inv(V)
    fixed = fit.X @ np.linalg.solve(fit.X.T @ Vi @ fit.X, fit.X.T @ Vi)
    hat = fixed + (np.eye(len(data)) - fit.engine.sigma2 * Vi) @ (np.eye(len(data)) - fixed)
    assert hat @ data.y.to_numpy() == pytest.approx(fit.fitted().to_numpy(), rel=CLOSED_FORM)
    assert fit.leverage().overall.to_numpy() == pytest.approx(np.diag(hat), rel=CONVERGED)
