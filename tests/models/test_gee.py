"""The marginal difference against least squares, and its few-cluster correction."""

import numpy as np
import pytest

from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable
from recovery_stats.models.gee import difference
from recovery_stats.models.sample import Sample
from tests.tolerance import CONVERGED


def sample_of(rng, n=60):
    arm = np.repeat([0.0, 1.0], n // 2)
    X = np.column_stack([np.ones(n), arm, rng.normal(size=n)])
    return Sample(X @ [1.0, 0.5, 0.3] + rng.normal(size=n), X, ("Intercept", "arm", "x"))


def ask(sample, codes):
    return difference(sample, codes, level=0.95, name="gee", label="GEE")


def test_clusters_of_one_are_least_squares_with_the_jackknife_like_errors():
    sample = sample_of(np.random.default_rng(1))
    beta = np.linalg.lstsq(sample.X, sample.y, rcond=None)[0]
    found = ask(sample, np.arange(60))
    hc3 = sandwich(sample.X, sample.y - sample.X @ beta, kind="CR3").covariance
    assert found.value == pytest.approx(beta[1], rel=CONVERGED)
    assert found.se == pytest.approx(np.sqrt(hc3[1, 1]), rel=CONVERGED)
    assert found.df == 57


def test_equal_clusters_in_one_arm_each_give_the_difference_of_arm_means():
    rng = np.random.default_rng(2)
    whole = sample_of(rng).crude()
    codes = np.repeat(np.arange(12), 5)
    found = ask(whole, codes)
    means = whole.y.reshape(12, 5).mean(axis=1)
    assert found.value == pytest.approx(means[6:].mean() - means[:6].mean(), rel=CONVERGED)
    # Balanced and without covariates the correction divides each arm's spread by (n - 1)^2:
    # the jackknife variance of a mean of n clusters.
    spread = sum(((m - m.mean()) ** 2).sum() / 5**2 for m in (means[:6], means[6:]))
    assert found.se == pytest.approx(np.sqrt(spread), rel=CONVERGED)


def test_too_few_clusters_are_refused():
    sample = sample_of(np.random.default_rng(3))
    with pytest.raises(NotEstimable, match="3 clusters"):
        ask(sample, np.repeat([0, 1, 2], 20))
