"""Draws of categories and counts: R's estimates, derivatives, chances, perfect prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import nbinom

from recovery_stats.engines import impute_category as category
from recovery_stats.engines import impute_count as count
from recovery_stats.engines.linalg import Array
from tests.tolerance import MONTE_CARLO_SES

R: dict[str, Any] = json.loads(Path(__file__).with_name("impute_category.json").read_text())
X = np.vstack([np.ones(300), R["x"], R["z"]])
ORDER_OF = {"logistic": "y2", "ordered": "y4", "nominal": "y3"}


def _model(name: str) -> tuple[category.Model, Array, Any]:
    y = np.array(R[ORDER_OF[name]])
    if name == "logistic":
        return category.logistic, X, y.astype(float)
    if name == "ordered":
        return category.proportional(4), X[1:], y
    return category.multinomial(3), X, y


def _converged(name: str) -> category.Fitted:
    model, design, y = _model(name)
    levels = {"logistic": 2, "ordered": 4, "nominal": 3}[name]
    size = {"logistic": 3, "ordered": None, "nominal": 6}[name]
    fitted, _ = category._fit(model, design, y, levels, None, size)
    for _ in range(2):  # the draws stop early; go on for the comparison
        fitted, _ = category._fit(model, design, y, levels, fitted.theta, size)
    return fitted


@pytest.mark.parametrize("name", ORDER_OF)
def test_maximum_as_in_r(name: str) -> None:
    fitted, want = _converged(name), R[name]
    tol = 1e-5 if name != "nominal" else 1e-4  # nnet stops when it no longer moves
    np.testing.assert_allclose(fitted.theta, want["beta"], rtol=tol, atol=tol)
    L = np.tril(fitted.factor)
    se = np.sqrt(np.diag(np.linalg.inv(L @ L.T)))
    np.testing.assert_allclose(se, want["se"], rtol=1e-3)


@pytest.mark.parametrize("name", ORDER_OF)
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives(name: str, weighted: bool) -> None:
    model, design, y = _model(name)
    rng = np.random.default_rng(1)
    theta = np.array(R[name]["beta"]) + 0.1 * rng.random(len(R[name]["beta"]))
    w = rng.random(300) if weighted else None
    value, score, information = model(theta, design, y, w)
    assert np.isfinite(value)
    np.testing.assert_allclose(
        score, approx_fprime(theta, lambda t: model(t, design, y, w)[0]), atol=2e-4
    )
    slopes = approx_fprime(theta, lambda t: model(t, design, y, w)[1])
    np.testing.assert_allclose(-information, slopes, atol=2e-4 * abs(information).max())


def test_draws_have_the_large_sample_covariance() -> None:
    fitted = _converged("ordered")
    rng = np.random.default_rng(2)
    draws = np.array([fitted.draw(rng) for _ in range(20_000)])
    z = (draws.mean(0) - fitted.theta) / (draws.std(0) / np.sqrt(len(draws)))
    assert (abs(z) < MONTE_CARLO_SES).all()
    np.testing.assert_allclose(draws.std(0), R["ordered"]["se"], rtol=0.03)


@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("kind", ["ordered", "nominal"])
def test_without_predictors_the_chances_are_the_shares(levels: int, kind: str) -> None:
    rng = np.random.default_rng(levels)
    y = np.repeat(np.arange(levels), 40 * (1 + np.arange(levels))).astype(float)
    one, new = np.ones((1, y.size)), np.ones((1, 400))
    draw = category.impute_ordered if kind == "ordered" else category.impute_nominal
    shares = np.mean(
        [
            np.bincount(draw(one, y, new, levels, rng).codes.astype(int), minlength=levels) / 400
            for _ in range(400)
        ],
        axis=0,
    )
    true = np.bincount(y.astype(int)) / y.size
    np.testing.assert_allclose(shares, true, atol=0.012)  # 4 x sqrt(.25 / n / 400 + ...)


def test_delta_is_a_log_odds_ratio() -> None:
    rng = np.random.default_rng(4)
    y = (rng.random(4000) < 0.5).astype(float)
    one, new = np.ones((1, 4000)), np.ones((1, 50_000))
    moved = category.impute_binary(one, y, new, rng, None, np.log(3.0)).codes.mean()
    odds = y.mean() / (1 - y.mean())
    assert np.log(moved / (1 - moved)) == pytest.approx(np.log(3 * odds), abs=0.15)


@pytest.mark.parametrize("kind", ["binary", "ordered", "nominal"])
def test_perfect_prediction_stays_finite_and_is_told(kind: str) -> None:
    rng = np.random.default_rng(6)
    x = np.repeat([0.0, 1.0, 2.0], 30)
    y = x.copy() if kind != "binary" else (x > 0).astype(float)
    design = np.vstack([np.ones(90), x > 0, x > 1])
    if kind == "binary":
        found = category.impute_binary(design, y, design, rng)
    elif kind == "ordered":
        found = category.impute_ordered(design, y, design, 3, rng)
    else:
        found = category.impute_nominal(design, y, design, 3, rng)
    assert found.augmented
    assert (found.codes == y).mean() > 0.8
    assert abs(found.estimate).max() < 15


def test_augmented_rows_weigh_what_they_should() -> None:
    design = np.vstack([np.ones(20), np.arange(20.0), np.arange(20.0) % 2])
    more, y, w = category.augment(design, np.zeros(20, dtype=int), 3)
    assert more.shape == (3, 20 + 2 * 2 * 3)
    assert w[20:].sum() == pytest.approx(3.0)  # two predictors and one
    assert (np.bincount(y[20:]) == 4).all()
    np.testing.assert_allclose(more[1, 20:24], [9.5 + 5.766281, 9.5 - 5.766281, 9.5, 9.5])


def test_rates_as_in_r() -> None:
    y = np.array(R["count"], dtype=float)
    fitted = count.fit_rates(X, y, 0.0)
    np.testing.assert_allclose(fitted.beta, R["poisson"]["beta"], rtol=1e-5)
    L = np.tril(fitted.factor)
    se = np.sqrt(np.diag(np.linalg.inv(L @ L.T)))
    np.testing.assert_allclose(se, R["poisson"]["se"], rtol=1e-3)


def test_dispersed_counts_as_in_r() -> None:
    y, want = np.array(R["count"], dtype=float), R["negative_binomial"]
    rates, log_alpha, se = count.fit_dispersed(X, y)
    np.testing.assert_allclose(rates.beta, want["beta"], rtol=1e-4)
    assert np.exp(log_alpha) == pytest.approx(want["alpha"], rel=1e-3)
    # the delta method: log alpha = -log theta; R's error is by the expected information
    assert se == pytest.approx(want["se_theta"] * want["alpha"], rel=0.2)


def test_counts_without_extra_variance_are_poisson() -> None:
    rng = np.random.default_rng(3)
    one, y = np.ones((1, 5000)), rng.binomial(5, 0.5, 5000).astype(float)
    drawn = count.impute_negative_binomial(one, y, np.ones((1, 20_000)), rng).codes
    assert drawn.var() == pytest.approx(2.5, rel=0.06)


@pytest.mark.parametrize("draw", [count.impute_poisson, count.impute_negative_binomial])
def test_where_every_count_is_zero_small_counts_are_drawn_and_told(draw: Any) -> None:
    """A cell mean by hand: the rows added at g = 0 weigh (p + 1) / (2 p) with p = 1, one of the
    mean count on each side, so that the fitted mean there is mean / (n + 1)."""
    rng = np.random.default_rng(4)
    g = np.repeat([0.0, 1.0], 100)
    y = np.where(g == 1, rng.poisson(3.0, 200), 0.0)
    design = np.vstack([np.ones(200), g])
    rates = count.fit_rates(design, y, 0.0)
    assert rates.augmented
    assert np.exp(rates.beta[0]) == pytest.approx(y.mean() / 101, rel=1e-6)
    drawn = draw(design, y, design[:, :100], rng)
    assert drawn.augmented
    assert drawn.codes.max() <= 3
    assert not count.fit_rates(design, y + 1, 0.0).augmented


def test_a_dispersion_that_the_data_hardly_tell_is_drawn_from_its_likelihood() -> None:
    """Poisson counts: the mean of sqrt(alpha) by quadrature of the likelihood that SciPy has."""
    rng = np.random.default_rng(6)
    y, one = rng.poisson(3.0, 60).astype(float), np.ones((1, 60))
    size = 1 / (v := np.linspace(1e-3, 3, 4000)) ** 2  # v: coefficient of variation of the rates
    share = size / (size + y.mean())
    loglik = nbinom.logpmf(y[:, None], size, share).sum(axis=0)
    weight = np.exp(loglik - loglik.max())
    drawn = [np.sqrt(count.draw_dispersed(one, y, rng)[1]) for _ in range(400)]
    want = (weight @ v) / weight.sum()
    spread = np.sqrt((weight @ (v - want) ** 2) / weight.sum() / 400)
    assert abs(np.mean(drawn) - want) < MONTE_CARLO_SES * spread
    assert max(drawn) < 1
