"""Fine-Gray models with effects that change: cmprsk, derivatives, collapses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines import finegray, finegray_time
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.competing_time import VaryingFineGrayFit
from tests.tolerance import CLOSED_FORM, CONVERGED

FORMULA = "Surv(time, cause) ~ age + mspike"


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """cmprsk 2.2 by finegray_time.R, beside this file."""
    path = Path(__file__).with_name("finegray_time.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {**found, "data": pd.DataFrame(found["data"])}


@pytest.mark.parametrize(
    ("key", "cause", "varying"),
    [
        ("log", 1, {"mspike": "log"}),
        ("linear", 2, {"age": "linear"}),
        ("steps", 1, {"mspike": (5, 12)}),
    ],
)
def test_as_cmprsk(stored: dict[str, Any], key: str, cause: int, varying: Any) -> None:
    fit, r = rs.fine_gray(FORMULA, stored["data"], cause, varying=varying), stored[key]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.engine.covariance, r["var"], rtol=CONVERGED)
    assert fit.glance()["log_likelihood"][0] == pytest.approx(r["loglik"], rel=CLOSED_FORM)


def test_a_step_before_all_events_is_the_term_itself(stored: dict[str, Any]) -> None:
    """Every event is later: the change is a combination of the terms before, and refused."""
    with pytest.raises(NotEstimable, match="combination"):
        rs.fine_gray(FORMULA, stored["data"], varying={"age": (0.5,)})


def test_incidence_is_that_of_the_plain_model_where_nothing_changes(stored: dict[str, Any]) -> None:
    """The engine of changing effects, given the plain model's coefficients."""
    data = stored["data"]
    X = data[["age", "mspike"]].to_numpy(float)
    stop, cause = data["time"].to_numpy(float), data["cause"].to_numpy(int)
    plain = finegray.fit(X, stop, cause)
    none = np.zeros(0, dtype=int)
    time = np.unique(stop[cause == 1])
    same = finegray_time.fit(X, stop, cause, none, np.zeros((0, len(time))), time)
    np.testing.assert_allclose(same.beta, plain.beta, rtol=CONVERGED)
    np.testing.assert_allclose(same.covariance, plain.covariance, rtol=CONVERGED)
    new, at = np.array([[70.0, 1.0], [50.0, 2.0]]), np.array([3.0, 10.0, 20.0])
    ours = finegray_time.cumulative_hazard(same, new, at, np.zeros(2))
    theirs = finegray.cumulative_hazard(plain, new, at)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=CONVERGED)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=CONVERGED)


def test_ratios_over_time_and_prediction(stored: dict[str, Any]) -> None:
    data = stored["data"]
    fit = rs.fine_gray(FORMULA, data, varying={"mspike": "log"})
    assert isinstance(fit, VaryingFineGrayFit)
    assert fit.terms == ("age", "mspike", "mspike:log(t)")
    table = fit.ratio_at("mspike", [1, 10], exponentiate=False)
    assert table["estimate"][0] == pytest.approx(fit.beta[1])
    assert table["estimate"][1] == pytest.approx(fit.beta[1] + np.log(10) * fit.beta[2])
    assert table["std_error"][0] == pytest.approx(fit.tidy()["std_error"][1])
    assert fit.anova()["num_df"].tolist() == [1, 2]
    new = pd.DataFrame({"age": [70.0], "mspike": [1.5]})
    curve = fit.incidence(new, times=[2, 10, 20])
    assert curve["estimate"].is_monotonic_increasing
    assert (curve["conf_low"] < curve["estimate"]).all()
    assert {c.name for c in fit.checks()} >= {"events per coefficient"}
    with pytest.raises(UsageError, match="ratio_at"):
        fit.predict(new)


def test_refusals(stored: dict[str, Any]) -> None:
    data = stored["data"]
    with pytest.raises(UsageError, match="term named 'ages'"):
        rs.fine_gray(FORMULA, data, varying={"ages": "log"})
    with pytest.raises(UsageError, match="function of time named 'exp'"):
        rs.fine_gray(FORMULA, data, varying={"age": "exp"})
    with pytest.raises(UsageError, match="rising order"):
        rs.fine_gray(FORMULA, data, varying={"age": (12, 5)})
    with pytest.raises(UsageError, match="time 0"):
        rs.fine_gray(FORMULA, data.assign(time=data["time"] - 2), varying={"age": "log"})
