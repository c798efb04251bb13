"""Residuals and curves of new people against survival (new_people.R)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines import cox_residual
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.survival import CoxFit
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE

R: dict[str, Any] = json.loads(Path(__file__).with_name("new_people.json").read_text())
HEART, PATH = pd.DataFrame(R["data"]), pd.DataFrame(R["path"])
TIMES = "Surv(start, stop, event)"
TWO = f"{TIMES} ~ age + transplant"


@pytest.fixture(scope="module")
def fit() -> CoxFit:
    return rs.cox(f"{TIMES} ~ age + surgery + transplant", HEART)


@pytest.fixture(scope="module")
def clustered() -> CoxFit:
    return rs.cox(TWO, HEART, cluster="id")


def test_the_curve_along_a_path_as_in_r(fit: CoxFit) -> None:
    """R 3.5 finds the error of a path from its last row alone: right where nothing changes."""
    ours = fit.survival(PATH, person="id")
    r = {k: np.split(np.array(v, float), [R["strata"][0]]) for k, v in R["along"].items()}
    for place, (_, rows) in enumerate(ours.groupby("row")):
        at = np.searchsorted(r["time"][place], rows["time"])
        np.testing.assert_allclose(rows["estimate"], r["surv"][place][at], rtol=CONVERGED)
        steady = rows["time"].to_numpy() <= (30 if place == 0 else np.inf)
        for name, theirs in (("std_error", "se"), ("conf_low", "low"), ("conf_high", "high")):
            expected = r[theirs][place][at][steady]
            np.testing.assert_allclose(rows[name][steady], expected, rtol=CONVERGED)


def test_the_error_along_a_path_is_a_numeric_derivative(fit: CoxFit) -> None:
    X, centre = HEART[list(fit.terms)].to_numpy(float), fit.engine.problem.centre
    P = PATH[list(fit.terms)].to_numpy(float)[:2] - centre

    def hazard(beta: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        known = HEART.assign(lp=(X - centre) @ beta)
        base = cox_residual.baseline(rs.cox(f"{TIMES} ~ offset(lp)", known).engine)
        row = np.searchsorted([30.0, 200.0], base.time)
        r = np.where(row < 2, np.exp(P[np.minimum(row, 1)] @ beta), 0.0)[row < 2]
        return np.cumsum(base.hazard[row < 2] * r), np.cumsum(base.variance[row < 2] * r**2)

    h = 1e-5
    slopes = [
        (hazard(fit.beta + h * e)[0] - hazard(fit.beta - h * e)[0]) / (2 * h) for e in np.eye(3)
    ]
    H, own = hazard(fit.beta)
    variance = own + np.einsum("it,ij,jt->t", slopes, fit.engine.covariance, slopes)
    ours = fit.survival(PATH.iloc[:2], person="id")
    np.testing.assert_allclose(ours["estimate"], np.exp(-H), rtol=CONVERGED)
    np.testing.assert_allclose(ours["std_error"], np.exp(-H) * np.sqrt(variance), rtol=DERIVATIVE)


def test_a_path_that_does_not_change_is_a_curve(fit: CoxFit) -> None:
    split = PATH.iloc[[0, 0, 0]].assign(start=[0, 10, 50], stop=[10, 50, 90])
    path = fit.survival(split, person="id", times=[5, 40, 90])
    plain = fit.survival(PATH.iloc[[0]], times=[5, 40, 90])
    np.testing.assert_allclose(path["std_error"], plain["std_error"], rtol=CLOSED_FORM)


def test_robust_errors_reach_the_curve_as_in_r() -> None:
    fit = rs.cox(TWO, HEART, weights="w", cluster="id")
    new = pd.DataFrame({"age": [3.0], "transplant": [1]})
    ours = fit.survival(new, times=[20, 100], conf_type="log-log")
    for name, theirs in (
        ("estimate", "surv"), ("std_error", "se"), ("conf_low", "low"), ("conf_high", "high"),
    ):  # fmt: skip
        np.testing.assert_allclose(ours[name], R["robust"][theirs], rtol=CONVERGED)
    np.testing.assert_allclose(fit.residuals("dfbeta"), R["weighted_dfbeta"], atol=CONVERGED)


@pytest.mark.parametrize(
    ("kind", "by", "key"),
    [
        ("dfbetas", "row", "dfbetas"),
        ("dfbeta", "cluster", "dfbeta_by"),
        ("martingale", "cluster", "martingale_by"),
        ("deviance", "cluster", "deviance_by"),
    ],
)
def test_residuals_as_in_r(clustered: CoxFit, kind: Any, by: Any, key: str) -> None:
    np.testing.assert_allclose(clustered.residuals(kind, by), R[key], atol=CONVERGED)


def test_scaled_schoenfeld_residuals_as_in_r(fit: CoxFit) -> None:
    ours = fit.residuals("scaled_schoenfeld")[list(fit.terms)]
    np.testing.assert_allclose(
        np.sort(ours, axis=0), np.sort(np.array(R["scaled"]), axis=0), atol=CONVERGED
    )


def test_partial_residuals_are_those_of_r_but_for_the_origin(clustered: CoxFit) -> None:
    """R leaves columns of 0 and 1 uncentred."""
    gap = clustered.residuals("partial").to_numpy() - np.array(R["partial"])
    np.testing.assert_allclose(gap, np.broadcast_to(gap[0], gap.shape), atol=CONVERGED)


def test_cox_snell_residuals_are_the_hazard_each_row_was_expected_to_meet(fit: CoxFit) -> None:
    residual = fit.residuals("cox_snell")
    assert residual.sum() == pytest.approx(HEART["event"].sum())
    both = residual + fit.residuals("martingale")
    assert list(both) == pytest.approx(list(HEART["event"]))


def test_what_is_refused(fit: CoxFit) -> None:
    with pytest.raises(UsageError, match="need person="):
        fit.residuals("martingale", "person")
    with pytest.raises(UsageError, match="belong to events"):
        fit.residuals("schoenfeld", "person")
    with pytest.raises(DataError, match="forward"):
        fit.survival(PATH.assign(stop=[60, 200, 100]), person="id")
    with pytest.raises(DataError, match="lack a value"):
        fit.survival(PATH.assign(age=np.nan))
    once = rs.cox("Surv(stop, event) ~ age", HEART)
    with pytest.raises(UsageError, match="Paths of covariates"):
        once.survival(PATH, person="id")
