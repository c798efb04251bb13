"""External covariates of Fine-Gray models: R's survival, and the steps they collapse to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED

FORMULA = "Surv(time, cause) ~ age + mspike"


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """survival 3.5 by finegray_external.R, beside this file."""
    path = Path(__file__).with_name("finegray_external.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {**found, "data": pd.DataFrame(found["data"]).astype(float)}


@pytest.mark.parametrize(("key", "cause"), [("progression", 1), ("death", 2)])
def test_as_survival(stored: dict[str, Any], key: str, cause: int) -> None:
    fit, r = rs.fine_gray(FORMULA, stored["data"], cause, external={"law": "law"}), stored[key]
    assert fit.terms == ("age", "mspike", "law")
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    assert fit.engine.loglik_null == pytest.approx(r["loglik"][0], rel=CLOSED_FORM)
    assert fit.engine.loglik == pytest.approx(r["loglik"][1], rel=CLOSED_FORM)


def test_a_condition_of_some_from_one_day_on_is_a_step_of_their_effect(
    stored: dict[str, Any],
) -> None:
    """z(t) = x·1(t > 20): estimates, errors and curves of the model with a step."""
    data = stored["data"].assign(high=lambda d: (d["age"] > 72) * 1.0)
    data["day"] = np.where(data["high"] == 1, 20.0, np.nan)
    formula = "Surv(time, cause) ~ high + mspike"
    step = rs.fine_gray(formula, data, 2, varying={"high": (20,)})
    course = rs.fine_gray(formula, data, 2, external={"later": "day"})
    np.testing.assert_allclose(course.beta, step.beta, rtol=CONVERGED)
    np.testing.assert_allclose(course.engine.covariance, step.engine.covariance, rtol=CONVERGED)
    new = data.iloc[[0, 5]]
    ours, theirs = (fit.incidence(new, times=[10, 30]) for fit in (course, step))
    np.testing.assert_allclose(
        ours[["estimate", "std_error"]], theirs[["estimate", "std_error"]], rtol=CONVERGED
    )


def test_a_function_gives_what_the_column_gives(stored: dict[str, Any]) -> None:
    """Also where rows are left out for a missing value or a weight of 0."""
    data = stored["data"].copy()
    data.loc[3, "age"] = np.nan
    data["w"] = np.where(np.arange(len(data)) % 5 == 0, 0.0, 1.0)
    by_column, by_function = (
        rs.fine_gray(FORMULA, data, weights="w", external={"law": course}, varying={"age": "sqrt"})
        for course in ("law", lambda rows, t: rows["law"] < t)
    )
    assert by_column.terms == ("age", "mspike", "age:sqrt(t)", "law")
    np.testing.assert_allclose(by_function.beta, by_column.beta, rtol=CLOSED_FORM)
    kept = data[data["w"] > 0]
    np.testing.assert_allclose(
        rs.fine_gray(FORMULA, kept, external={"law": "law"}, varying={"age": "sqrt"}).beta,
        by_column.beta,
        rtol=CONVERGED,
    )


def test_every_term_has_a_test(stored: dict[str, Any]) -> None:
    fit = rs.fine_gray(FORMULA, stored["data"], external={"law": "law"})
    tests = fit.anova().set_index("term")
    z = fit.tidy().set_index("term")["statistic"]
    assert tests.loc["law", "statistic"] == pytest.approx(z["law"] ** 2, rel=CLOSED_FORM)


def test_a_course_that_ends_with_the_person_is_told(stored: dict[str, Any]) -> None:
    data = stored["data"].assign(left=lambda d: np.where(d.index % 3 == 0, d["time"] / 2, np.nan))
    verdicts = {c.name: c.verdict for c in rs.fine_gray(
        FORMULA, data, external={"law": "law", "left": "left"}).checks()}  # fmt: skip
    assert verdicts["course of law"] == "ok"
    assert verdicts["course of left"] == "caution"


@pytest.mark.parametrize(
    ("external", "error", "said"),
    [
        ({"law": "lwa"}, DataError, "law"),
        ({"age": "law"}, UsageError, "name of a term"),
        ({"law": 3}, UsageError, "a column's name or a function"),
        ({"law": lambda rows, t: np.ones(3)}, UsageError, "3 values for 456 rows"),
        ({"law": lambda rows, t: rows["law"]}, DataError, "no value at time"),
        ({"law": lambda rows: 1}, UsageError, "TypeError"),
    ],
)
def test_what_is_no_course(
    stored: dict[str, Any], external: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        rs.fine_gray(FORMULA, stored["data"], external=external)
