"""Missing outcomes shifted by a stated amount: closed forms, collapses, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from recovery_stats.engines.glm import logistic
from recovery_stats.engines.mean_score import mean_score
from recovery_stats.errors import NotEstimable

ARM = 1


def two_arms(rng, n=400, binary=True):
    arm = np.repeat([0.0, 1.0], n // 2)
    z = rng.normal(size=n)
    eta = -0.3 + 0.8 * arm + 0.5 * z
    y = (rng.random(n) < expit(eta)).astype(float) if binary else eta + rng.normal(size=n)
    y[rng.random(n) < 0.3 - 0.1 * arm] = np.nan
    return y, np.column_stack([np.ones(n), arm, z]), arm


@pytest.mark.parametrize("imor", [0.2, 1.0, 4.0])
def test_without_covariates_it_is_white_and_higgins(imor):
    """Their eqs 4 and 5: pi* = (1 - a) p + a expit(logit p + log IMOR), by the delta method."""
    y, X, arm = two_arms(np.random.default_rng(1))
    found = mean_score(y, X[:, :2], ARM, np.full(len(y), np.log(imor)), "binomial")
    value, variance = [], []
    for a in (0.0, 1.0):
        own = y[arm == a]
        r, n = np.isfinite(own).sum(), len(own)
        p, lost = np.nanmean(own), 1 - r / n
        q = expit(logit(p) + np.log(imor))
        value.append((1 - lost) * p + lost * q)
        slope = (1 - lost) + lost * q * (1 - q) / (p * (1 - p))
        variance.append(slope**2 * p * (1 - p) / r + (p - q) ** 2 * lost * (1 - lost) / n)
    assert found.means == pytest.approx(value, abs=1e-10)
    seen = np.isfinite(y).sum()
    assert found.se**2 == pytest.approx(sum(variance) * seen / (seen - 2), rel=1e-8)


@pytest.mark.parametrize("binary", [True, False])
def test_without_a_shift_it_is_the_model_of_those_seen_over_everybody(binary):
    y, X, _ = two_arms(np.random.default_rng(2), binary=binary)
    found = mean_score(y, X, ARM, np.zeros(len(y)), "binomial" if binary else "gaussian")
    seen = np.isfinite(y)
    beta = logistic(X[seen], y[seen]).beta if binary else np.linalg.lstsq(X[seen], y[seen])[0]
    for a in (0, 1):
        moved = X.copy()
        moved[:, ARM] = a
        mean = expit(moved @ beta) if binary else moved @ beta
        assert found.means[a] == pytest.approx(mean.mean(), abs=1e-9)


@pytest.mark.parametrize(("shift", "value"), [(np.inf, 1.0), (-np.inf, 0.0)])
def test_infinite_shifts_are_single_values(shift, value):
    y, X, _ = two_arms(np.random.default_rng(3))
    filled = np.where(np.isfinite(y), y, value)
    found = mean_score(y, X, ARM, np.full(len(y), shift), "binomial")
    whole = mean_score(filled, X, ARM, np.zeros(len(y)), "binomial")
    assert found.means == pytest.approx(whole.means, abs=1e-10)
    factor = (np.isfinite(y).sum() / (np.isfinite(y).sum() - 3)) / (len(y) / (len(y) - 3))
    assert found.se**2 == pytest.approx(whole.se**2 * factor, rel=1e-9)


def test_a_shift_of_one_arm_moves_a_number_by_the_share_missing():
    y, X, arm = two_arms(np.random.default_rng(4), binary=False)
    none = mean_score(y, X[:, :2], ARM, np.zeros(len(y)), "gaussian")
    moved = mean_score(y, X[:, :2], ARM, 2.0 * arm, "gaussian")
    lost = np.isnan(y[arm == 1]).mean()
    assert moved.difference - none.difference == pytest.approx(2 * lost, abs=1e-10)


def test_clusters_of_one_are_people():
    y, X, _ = two_arms(np.random.default_rng(5))
    shift = np.full(len(y), 0.7)
    alone = mean_score(y, X, ARM, shift, "binomial")
    each = mean_score(y, X, ARM, shift, "binomial", cluster=np.arange(len(y)))
    n, seen = len(y), np.isfinite(y).sum()
    assert each.se**2 / (n / (n - 1)) == pytest.approx(alone.se**2 / (seen / (seen - 3)), rel=1e-9)


@pytest.mark.parametrize("clustered", [False, True])
def test_its_error_is_that_of_repeated_samples(clustered):
    """The pattern-mixture model holds: unbiased, and the error is the spread."""
    rng, found, truth = np.random.default_rng(6), [], []
    for _ in range(600):
        n, groups = 400, np.repeat(np.arange(40), 10)
        arm = (np.arange(n) // 10 % 2).astype(float) if clustered else rng.integers(0, 2, n) * 1.0
        z = rng.normal(size=n) + (rng.normal(size=40)[groups] if clustered else 0)
        lost = rng.random(n) < expit(-1 + 0.5 * z)
        eta = -0.2 + 0.6 * arm + 0.5 * z
        y = (rng.random(n) < expit(eta + 1.0 * lost)).astype(float)
        truth.append((expit(0.4 + 0.5 * z + lost) - expit(-0.2 + 0.5 * z + lost)).mean())
        seen = np.where(lost, np.nan, y)
        X = np.column_stack([np.ones(n), arm, z])
        fit = mean_score(
            seen, X, ARM, np.ones(n), "binomial", cluster=groups if clustered else None
        )
        found.append((fit.difference, fit.se))
    value, se = np.array(found).T
    assert value.mean() == pytest.approx(np.mean(truth), abs=3 * value.std() / 600**0.5 + 0.002)
    assert np.sqrt((se**2).mean()) == pytest.approx(value.std(), rel=3 / (2 * 600) ** 0.5)


def test_too_few_seen_are_refused():
    y = np.array([1.0, 0.0, np.nan, np.nan])
    X = np.column_stack([np.ones(4), [0, 1, 0, 1], [1, 2, 3, 5.0]])
    with pytest.raises(NotEstimable, match="2 outcomes"):
        mean_score(y, X, ARM, np.zeros(4), "gaussian")
