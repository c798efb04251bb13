"""Firth's penalty: on paper, by brute force, and under separation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from recovery_stats.engines import cox, cox_firth
from tests.tolerance import CLOSED_FORM, CONVERGED

Data = dict[str, Any]


def draw(seed: int, n: int = 40) -> Data:
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(n, 2)),
        "stop": np.ceil(rng.exponential(8.0, n)),
        "event": (rng.random(n) < 0.7).astype(int),
        "weights": rng.integers(1, 3, n).astype(float),
        "strata": rng.integers(0, 2, n),
    }


def test_two_people_on_paper() -> None:
    """One of two relapses: l* = 3b/2 - 2 log(1 + e^b) is highest at b = log 3."""
    fit = cox_firth.fit(np.array([[1.0], [0.0]]), np.array([1.0, 2]), np.array([1, 0]))
    assert fit.beta[0] == pytest.approx(np.log(3), rel=CLOSED_FORM)
    assert fit.covariance[0, 0] == pytest.approx(16 / 3, rel=CLOSED_FORM)
    assert fit.loglik == pytest.approx(1.5 * np.log(3) - 2 * np.log(4), rel=CLOSED_FORM)
    assert fit.loglik_null == pytest.approx(-2 * np.log(2), rel=CLOSED_FORM)
    drop = 1.92072941034706
    low, high = cox_firth.limits(fit, 0)

    def profile(b: float) -> float:
        return 1.5 * b - 2 * np.log1p(np.exp(b)) - fit.loglik + drop

    assert low == pytest.approx(brentq(profile, -20, np.log(3)), rel=CONVERGED)
    assert high == pytest.approx(brentq(profile, np.log(3), 30), rel=CONVERGED)
    zero = 2 * (1.5 * np.log(3) - 2 * np.log(4) + 2 * np.log(2))
    assert cox_firth.gain(fit, [0]) == pytest.approx(zero, rel=CONVERGED)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_maximum_by_brute_force(ties: Any) -> None:
    data = draw(1)
    fit = cox_firth.fit(**data, ties=ties)

    def down(beta: Any) -> float:
        at = cox.evaluate(fit.problem, ties, beta * fit.problem.scale)
        assert at is not None
        information = at.information * np.outer(fit.problem.scale, fit.problem.scale)
        return -at.loglik - np.linalg.slogdet(information)[1] / 2

    found = minimize(down, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 0})
    np.testing.assert_allclose(fit.beta, found.x, atol=1e-7)
    assert fit.loglik == pytest.approx(-found.fun, rel=CLOSED_FORM)


def test_the_profile_falls_by_half_the_quantile() -> None:
    data = draw(2)
    fit = cox_firth.fit(**data)
    for limit in cox_firth.limits(fit, 1):
        start = fit.scaled_beta.copy()
        start[1] = limit * fit.problem.scale[1]
        _, at, _ = cox_firth.maximise(fit.problem, "efron", start, np.array([True, False]))
        assert 2 * (fit.loglik - at.loglik) == pytest.approx(3.841458820694124, rel=CONVERGED)


def test_separation_has_an_estimate() -> None:
    data = draw(3)
    never = (data["event"] == 0).astype(float)
    X = np.column_stack([data["X"][:, 0], never])
    with pytest.raises(cox.ColumnsNotEstimable, match="for ever"):
        cox.fit(**data | {"X": X})
    fit = cox_firth.fit(**data | {"X": X})
    assert -10 < fit.beta[1] < 0
    low, high = cox_firth.limits(fit, 1)
    assert low < fit.beta[1] < high < 0


def test_much_data_outweigh_the_penalty() -> None:
    data = draw(4, 4000)
    np.testing.assert_allclose(cox_firth.fit(**data).beta, cox.fit(**data).beta, atol=1e-3)


def test_without_covariates_there_is_nothing_to_penalise() -> None:
    data = draw(5) | {"X": np.zeros((40, 0))}
    assert cox_firth.fit(**data).loglik == pytest.approx(cox.fit(**data).loglik, rel=CLOSED_FORM)
