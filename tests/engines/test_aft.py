"""engines/aft*: closed forms, finite differences, scipy's laws, collapses to simpler laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import gamma as gamma_function
from scipy.special import gammainc

from recovery_stats.engines.aft import DISTRIBUTIONS, AftFit, fit, law_of
from recovery_stats.engines.aft_curve import log_hazard, log_quantile, survival
from recovery_stats.engines.aft_law import ExtremeValue, GeneralisedGamma, Normal
from recovery_stats.engines.aft_likelihood import Spans, log_between, row_terms
from recovery_stats.engines.aft_residual import cox_snell, martingale
from recovery_stats.engines.censoring import Censored
from recovery_stats.engines.score_sandwich import sandwich
from recovery_stats.engines.surface import Surface
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE

Z = np.linspace(-6, 2.5, 30)
SHAPES = [-2.0, -0.5, -1e-3, -1e-5, 0.0, 1e-5, 1e-3, 0.3, 1.0, 2.5]


def mixed(n: int = 60, seed: int = 3) -> tuple[np.ndarray, Censored]:
    """Rows of every kind, some entering late, with weights."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(0, 2, n)])
    t = np.exp(1 + 0.4 * X[:, 1] + 0.8 * rng.logistic(size=n) / 1.8)
    kind = np.arange(n) % 4
    low = np.choose(kind, [t, t * 0.8, np.zeros(n), t * 0.7])
    high = np.choose(kind, [t, np.full(n, np.inf), t * 1.5, t * 1.3])
    entry = np.where((np.arange(n) % 5 == 0) & (kind != 2), low * 0.4, 0.0)
    return X, Censored(low, high, entry, 1.0 + np.arange(n) % 3)


# --- laws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", SHAPES)
def test_the_generalised_gamma_is_scipys(q: float) -> None:
    law = GeneralisedGamma(q)
    if abs(q) < 1e-2:  # scipy has no digits here: the normal law, off by O(q)
        np.testing.assert_allclose(law.log_density(Z)[0], stats.norm.logpdf(Z), rtol=60 * abs(q))
        np.testing.assert_allclose(law.log_survival(Z), stats.norm.logsf(Z), atol=9 * abs(q) + 1e-9)
        return
    a = 1 / q**2
    reference = stats.loggamma(a)  # log of a gamma with shape a is q z + log a
    u = q * Z + np.log(a)
    np.testing.assert_allclose(
        law.log_density(Z)[0], reference.logpdf(u) + np.log(abs(q)), rtol=1e-9, atol=1e-9
    )
    upper = reference.sf(u) if q > 0 else reference.cdf(u)
    np.testing.assert_allclose(np.exp(law.log_survival(Z)), upper, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("q", SHAPES)
def test_quantiles_and_tails_agree(q: float) -> None:
    law, p = GeneralisedGamma(q), np.array([1e-4, 0.2, 0.5, 0.9])
    z = law.quantile(p)
    np.testing.assert_allclose(np.exp(law.log_distribution(z)), p, rtol=1e-8)
    np.testing.assert_allclose(-np.expm1(law.log_survival(z)), p, rtol=1e-7)


def test_shape_one_is_the_extreme_value_and_shape_nought_normal() -> None:
    for law, simple in ((GeneralisedGamma(1.0), ExtremeValue()), (GeneralisedGamma(0.0), Normal())):
        for ours, theirs in zip(law.log_density(Z), simple.log_density(Z), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(law.log_survival(Z), simple.log_survival(Z), rtol=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_an_interval_far_out_keeps_its_digits(distribution: str) -> None:
    """Mid-point rule on the density, where both tails' difference has none."""
    law = law_of(distribution, 0.7)
    for low in (-30.0, 3.2):
        edges = np.linspace(low, low + 0.01, 2001)
        middle = (edges[1:] + edges[:-1]) / 2
        log_f = law.log_density(middle)[0]
        by_hand = np.log(np.exp(log_f - log_f.max()).mean() * 0.01) + log_f.max()
        found = log_between(law, np.array([low]), np.array([low + 0.01]))[0]
        assert found == pytest.approx(by_hand, rel=1e-8)


# --- likelihood --------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_derivatives_by_row_are_finite_differences(distribution: str) -> None:
    law, (_, rows) = law_of(distribution, 0.6), mixed()
    spans, h = Spans.of(rows), 1e-5
    rng = np.random.default_rng(5)
    eta, tau = 1 + rng.normal(size=len(rows)) / 3, rng.normal(size=len(rows)) / 4
    at = row_terms(law, spans, eta, tau)
    up, down = (row_terms(law, spans, eta + d, tau) for d in (h, -h))
    wide, narrow = (row_terms(law, spans, eta, tau + d) for d in (h, -h))
    for analytic, a, b in (
        (at.eta, up.value, down.value),
        (at.tau, wide.value, narrow.value),
        (at.eta_eta, up.eta, down.eta),
        (at.eta_tau, up.tau, down.tau),
        (at.tau_tau, wide.tau, narrow.tau),
    ):
        np.testing.assert_allclose((a - b) / (2 * h), analytic, rtol=DERIVATIVE, atol=DERIVATIVE)


def _found(distribution: str, seed: int = 3) -> tuple[AftFit, np.ndarray, Censored]:
    X, rows = mixed(240, seed)
    return fit(X, rows, distribution=distribution), X, rows


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_gradient_and_information_of_the_whole(distribution: str) -> None:
    """Score and information at another point than the maximum, the shape's among them."""
    found, *_ = _found(distribution)
    model = found.model
    theta = np.linalg.inv(found.scaled.widened(len(found.theta) - 3)) @ found.theta + 0.07
    at, h = model.evaluate(theta), 1e-5
    assert at is not None
    for j in range(len(theta)):
        step = h * np.eye(len(theta))[j]
        up, down = model.evaluate(theta + step), model.evaluate(theta - step)
        assert up is not None
        assert down is not None
        slope = (up.value - down.value) / (2 * h)
        assert at.score[j] == pytest.approx(slope, rel=1e-6, abs=1e-5)
        bend = -(up.score - down.score) / (2 * h)
        np.testing.assert_allclose(at.information[j], bend, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_scores_by_row_sum_to_nought(distribution: str) -> None:
    found, _, rows = _found(distribution)
    assert np.abs(rows.w @ found.scores).max() < 1e-6


# --- maxima ------------------------------------------------------------------------------------


def test_the_exponentials_closed_form() -> None:
    """Rate events/person-time by group, after late entry; errors 1/sqrt(events)."""
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1], 40)
    entry = rng.uniform(0, 1, 80)
    t = entry + rng.exponential(2.0 + group)
    died = rng.uniform(size=80) < 0.7
    X = np.column_stack([np.ones(80), group])
    w = rng.integers(1, 4, 80).astype(float)
    rows = Censored(t, np.where(died, t, np.inf), entry, w)
    found = fit(X, rows, distribution="exponential")
    events = np.array([(w * died)[group == g].sum() for g in (0, 1)])
    months = np.array([(w * (t - entry))[group == g].sum() for g in (0, 1)])
    log_mean = np.log(months / events)
    np.testing.assert_allclose(found.beta, [log_mean[0], log_mean[1] - log_mean[0]], rtol=1e-9)
    np.testing.assert_allclose(
        np.diag(found.covariance), [1 / events[0], (1 / events).sum()], rtol=CONVERGED
    )


def test_log_normal_without_censoring_is_least_squares() -> None:
    rng = np.random.default_rng(4)
    X = np.column_stack([np.ones(50), rng.normal(size=50)])
    y = X @ [1.0, 0.5] + rng.normal(size=50)
    found = fit(X, Censored(np.exp(y), np.exp(y)), distribution="log-normal")
    beta, (rss,) = np.linalg.lstsq(X, y, rcond=None)[:2]
    np.testing.assert_allclose(found.beta, beta, rtol=CLOSED_FORM)
    assert np.exp(2 * found.log_sigma[0]) == pytest.approx(rss / 50, rel=CLOSED_FORM)


def test_weights_are_repeated_rows() -> None:
    X, rows = mixed(80)
    again = np.repeat(np.arange(80), rows.w.astype(int))
    assert rows.entry is not None
    long = Censored(rows.low[again], rows.high[again], rows.entry[again])
    for distribution in ("weibull", "generalised-gamma"):
        a, b = (
            fit(X, rows, distribution=distribution),
            fit(X[again], long, distribution=distribution),
        )
        np.testing.assert_allclose(a.theta, b.theta, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("distribution", "q"), [("weibull", 1.0), ("log-normal", 0.0)])
def test_the_generalised_gamma_collapses(distribution: str, q: float) -> None:
    """On its simpler laws the likelihood is theirs, and no lower where the shape is free."""
    X, rows = mixed(240)
    simple, wide = (
        fit(X, rows, distribution=distribution),
        fit(X, rows, distribution="generalised-gamma"),
    )
    spans = Spans.of(rows)
    eta, tau = X @ simple.beta, np.full(240, simple.log_sigma[0])
    value = rows.w @ row_terms(GeneralisedGamma(q), spans, eta, tau).value
    assert value == pytest.approx(simple.loglik, rel=1e-11)
    assert wide.loglik >= simple.loglik


def test_shape_equal_to_the_scale_is_a_gamma() -> None:
    """q = sigma: gamma with shape 1/sigma² and mean exp(eta)."""
    sigma, eta = 0.6, 1.2
    t = np.array([0.5, 2.0, 6.0])
    gamma = stats.gamma(1 / sigma**2, scale=np.exp(eta) * sigma**2)
    rows = Spans.of(Censored(t, t))
    terms = row_terms(GeneralisedGamma(sigma), rows, np.full(3, eta), np.full(3, np.log(sigma)))
    np.testing.assert_allclose(terms.value, gamma.logpdf(t), rtol=CLOSED_FORM)


def test_units_and_origin_of_a_covariate_cost_no_digits() -> None:
    X, rows = mixed(120)
    moved = X.copy()
    moved[:, 1] = 2020 + X[:, 1] / 1e3
    a, b = fit(X, rows), fit(moved, rows)
    assert b.beta[1] == pytest.approx(1e3 * a.beta[1], rel=1e-6)
    assert b.loglik == pytest.approx(a.loglik, rel=1e-11)


def test_truth_is_recovered_with_left_truncation() -> None:
    """People who relapse before entry are not seen; a fit that ignores it is far off."""
    rng = np.random.default_rng(8)
    n = 40_000
    x, entry = rng.normal(size=n), rng.uniform(0, 3, n)
    t = np.exp(1 + 0.5 * x + 0.7 * np.log(rng.exponential(size=n)))
    seen = t > entry
    X, t, entry = np.column_stack([np.ones(n), x])[seen], t[seen], entry[seen]
    end = entry + 2.0
    rows = Censored(np.minimum(t, end), np.where(t <= end, t, np.inf), entry)
    found = fit(X, rows)
    truth = np.array([1, 0.5, np.log(0.7)])
    assert (np.abs(found.theta - truth) < 4 * np.sqrt(np.diag(found.covariance))).all()
    ignored = fit(X, Censored(rows.low, rows.high))
    assert abs(ignored.beta[0] - 1) > 0.2


def test_many_rows_start_from_a_sample_and_end_where_all_do() -> None:
    rng = np.random.default_rng(9)
    n = 61_000
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    t = np.exp(X @ [1, 0.3] + 0.5 * np.log(rng.exponential(size=n)))
    found = fit(X, Censored(np.minimum(t, 4), np.where(t < 4, t, np.inf)))
    assert np.abs(found.scores.sum(0)).max() < 1e-4


def test_robust_covariance_is_the_sandwich_by_hand() -> None:
    found, _, rows = _found("log-logistic")
    cluster = np.arange(240) % 30
    by_hand = np.zeros((4, 4))
    for g in range(30):
        u = (rows.w[:, None] * found.scores)[cluster == g].sum(0)
        by_hand += np.outer(u, u)
    V = found.covariance @ by_hand @ found.covariance
    np.testing.assert_allclose(
        sandwich(found.scores, found.covariance, cluster, rows.w), V, rtol=1e-10
    )


def test_nothing_but_censored_rows() -> None:
    with pytest.raises(NotEstimable):
        fit(np.ones((3, 1)), Censored(np.ones(3), np.full(3, np.inf)))


# --- curves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_gradients_of_curves_are_finite_differences(distribution: str) -> None:
    found, X, _ = _found(distribution)
    at, zero, times = X[:3], np.zeros(3), np.array([0.5, 2.0, 6.0])
    stratum = np.zeros(3, np.intp)

    def moved(step: np.ndarray) -> AftFit:
        theta = found.theta + step
        law = law_of(distribution, float(theta[-1]))
        sigma = theta[3:4] if found.scales_free else found.log_sigma
        return replace(found, theta=theta, law=law, log_sigma=sigma)

    for curve, grid in ((survival, times), (log_hazard, times), (log_quantile, times / 7)):
        _, J = curve(found, at, zero, stratum, grid)
        for j in range(len(found.theta)):
            step = 1e-5 * np.eye(len(found.theta))[j]
            up, down = (curve(moved(s), at, zero, stratum, grid)[0] for s in (step, -step))
            np.testing.assert_allclose(J[:, :, j], (up - down) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("shape", "tau"), [(0.15, 3.0), (1.0, 2.0), (8.0, 1.4)])
def test_restricted_means_of_a_weibull(shape: float, tau: float) -> None:
    """Gamma(1 + 1/k) P(1/k, tau^k) in closed form: a steep start, a plain one, a cliff."""
    surface = Surface(
        lambda rows, t: (np.exp(-(t**shape))[None].repeat(len(rows), 0), np.zeros((1, len(t), 1))),
        1,
        np.eye(1),
    )
    by_hand = gamma_function(1 + 1 / shape) * gammainc(1 / shape, tau**shape)
    assert surface.means(tau)[0][0] == pytest.approx(by_hand, rel=CLOSED_FORM)


def test_residuals_on_paper() -> None:
    """A unit exponential cut to (low, high]; its limits are the exact and the censored row."""
    low, high = np.array([0.5, 0.5, 0.2]), np.array([0.5, np.inf, 1.5])
    mean = 0.2 + 1 - 1.3 / np.expm1(1.3)
    np.testing.assert_allclose(cox_snell(low, high), [0.5, 0.5, mean], rtol=CLOSED_FORM)
    np.testing.assert_allclose(martingale(low, high), [0.5, -0.5, 1 - mean], rtol=CLOSED_FORM)
