"""One common factor: closed form for three items, lavaan and factanal, Heywood, derivative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recovery_stats.engines.factor import _discrepancy, _gradient, fit
from tests.tolerance import CLOSED_FORM, DERIVATIVE, R_CONVERGED, R_DIGITS

R = json.loads(Path(__file__).with_suffix(".json").with_name("factor.json").read_text())
X = np.column_stack([R["data"][f"V{i}"] for i in range(1, 8)]).astype(float)


@pytest.mark.parametrize("items", [[0.8, 0.6, 0.7], [0.4, 0.3, 0.2]])
def test_three_items_have_a_closed_form(items):
    loadings = np.array(items)
    S = np.outer(loadings, loadings) + np.diag(1 - loadings**2)
    found = fit(S, 100)
    assert found.loadings == pytest.approx(loadings, abs=CLOSED_FORM)
    assert found.uniqueness == pytest.approx(1 - loadings**2, abs=CLOSED_FORM)
    assert found.discrepancy == pytest.approx(0, abs=CLOSED_FORM)
    assert found.df == 0


def test_units_of_the_items_only_rescale():
    S, unit = np.cov(X.T), np.array([1, 10, 0.1, 1, 3, 1, 7.0])
    one, other = fit(S, 300), fit(S * np.outer(unit, unit), 300)
    assert other.loadings / unit == pytest.approx(one.loadings, rel=CLOSED_FORM)
    assert other.discrepancy == pytest.approx(one.discrepancy, abs=CLOSED_FORM)


def test_lavaan_finds_the_same_loadings_and_errors():
    n = len(X)
    found = fit(np.cov(X.T, ddof=0), n)  # lavaan divides by n
    assert found.converged
    assert found.loadings == pytest.approx(np.array(R["loadings"]), rel=R_DIGITS)
    assert found.uniqueness == pytest.approx(np.array(R["uniqueness"]), rel=R_DIGITS)
    se = np.sqrt(np.diag(found.covariance))
    assert se[:7] == pytest.approx(np.array(R["loading_se"]), rel=R_DIGITS)
    assert se[7:] == pytest.approx(np.array(R["uniqueness_se"]), rel=R_DIGITS)
    assert n * found.discrepancy == pytest.approx(R["chisq"], rel=R_DIGITS)
    assert found.df == R["df"]


def test_factanal_finds_the_same_on_correlations():
    found = fit(np.corrcoef(X.T), len(X))
    assert found.loadings == pytest.approx(np.abs(R["standardised"]), abs=R_CONVERGED)
    assert found.uniqueness == pytest.approx(
        np.array(R["standardised_uniqueness"]), abs=R_CONVERGED
    )


def test_the_gradient_is_that_of_the_criterion():
    S, x, h = np.corrcoef(X.T), np.log(np.linspace(0.2, 0.8, 7)), 1e-6
    numeric = [
        (_discrepancy(S, np.exp(x + h * e)) - _discrepancy(S, np.exp(x - h * e))) / (2 * h)
        for e in np.eye(7)
    ]
    assert _gradient(S, np.exp(x)) == pytest.approx(np.array(numeric), abs=DERIVATIVE)


def test_a_heywood_case_is_told_and_has_no_errors():
    S = np.array([[1, 0.9, 0.9], [0.9, 1, 0.7], [0.9, 0.7, 1.0]])  # first loading would be > 1
    found = fit(S, 50)
    assert found.boundary
    assert np.isnan(found.covariance).all()


def test_a_known_factor_is_recovered_from_many_people():
    rng = np.random.default_rng(5)
    loadings = np.array([0.9, 0.7, 0.5, 0.4, 0.8])
    n = 20_000
    common = rng.standard_normal((n, 1)) * loadings
    found = fit(np.cov((common + rng.standard_normal((n, 5)) * np.sqrt(1 - loadings**2)).T), n)
    error = np.sqrt(np.diag(found.covariance))[:5]
    assert np.all(np.abs(found.loadings - loadings) < 4 * error)
