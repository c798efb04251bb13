"""Weights against exact balance, values on paper, and the jackknife."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.engines.glm import logistic
from recovery_stats.engines.propensity import (
    Weighting,
    by_entropy,
    by_propensity,
    clustered_variance,
    effective,
    truncated,
    weighted_means,
)
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM


def _people(n=400, seed=1):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=n), rng.random(n) < 0.4])
    arm = (rng.random(n) < expit(X @ [-0.3, 0.8, 0.5])).astype(float)
    y = X @ [1.0, 1.0, -0.5] + 0.7 * arm + rng.normal(size=n) * (1 + 0.3 * X[:, 2])
    return X, arm, y


def _made(X, arm, how) -> Weighting:
    if how.startswith("entropy"):
        return by_entropy(X[:, 1:], arm, how.removeprefix("entropy-"))
    return by_propensity(X, arm, logistic(X, arm), how)


def test_a_stratum_on_paper():
    # 3 of 4 treated where x is 0, 1 of 4 where x is 1: the propensities are those shares.
    x, arm = np.repeat([0.0, 1.0], 4), np.array([1.0, 1, 1, 0, 1, 0, 0, 0])
    X = np.column_stack([np.ones(8), x])
    ate = by_propensity(X, arm, logistic(X, arm), "ate").weights
    assert ate == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 2, 2 / 3, 2 / 3, 2 / 3], rel=1e-6)
    overlap = by_propensity(X, arm, logistic(X, arm), "overlap").weights
    quarter = 1 / 4
    assert overlap == pytest.approx([quarter] * 3 + [3 / 4] * 2 + [quarter] * 3, rel=1e-6)
    # Entropy for the treated: of x = 0 there are 3 in 4 treated, 1 in 4 of the others.
    att = by_entropy(x[:, None], arm, "att").weights
    assert att[arm == 0] == pytest.approx([3, 1 / 3, 1 / 3, 1 / 3], rel=1e-8)


def test_overlap_weights_balance_the_means_exactly():
    X, arm, _ = _people()
    w = _made(X, arm, "overlap").weights
    means = [np.average(X, axis=0, weights=np.where(arm == a, w, 0)) for a in (0, 1)]
    assert means[0] == pytest.approx(means[1], abs=1e-6)


@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_entropy_weights_reach_the_target(estimand):
    X, arm, _ = _people()
    w = by_entropy(X[:, 1:], arm, estimand).weights
    aim = X.mean(axis=0) if estimand == "ate" else X[arm == 1].mean(axis=0)
    for a in (0, 1):
        own = np.average(X, axis=0, weights=np.where(arm == a, w, 0))
        assert own == pytest.approx(aim, abs=1e-8)


def test_entropy_out_of_reach_is_refused():
    x = np.r_[np.linspace(0, 1, 20), np.linspace(2, 3, 20)]
    with pytest.raises(NotEstimable, match="outside"):
        by_entropy(x[:, None], np.repeat([0.0, 1.0], 20), "att")


@pytest.mark.parametrize("how", ["ate", "att", "overlap", "entropy-ate", "entropy-att"])
def test_influence_is_what_leaving_a_person_out_does(how):
    X, arm, y = _people(6000)
    means, influence = weighted_means(_made(X, arm, how), arm, y)
    assert influence.sum(axis=0) == pytest.approx([0, 0], abs=1e-8)
    chosen = np.random.default_rng(0).choice(len(y), 120, replace=False)
    moved = []
    for i in chosen:
        keep = np.arange(len(y)) != i
        left = weighted_means(_made(X[keep], arm[keep], how), arm[keep], y[keep])[0]
        moved.append(means - left)
    moved = np.array(moved).T
    for told, seen in zip(influence[chosen].T, moved, strict=True):
        # They agree but for terms of order 1 / n, times the largest weights.
        assert np.corrcoef(told, seen)[0, 1] > 0.9999
        assert told @ seen / (told @ told) == pytest.approx(1, abs=0.01)


def test_clusters_of_one_and_of_all_alike():
    rng = np.random.default_rng(3)
    influence = rng.normal(size=(50, 2))
    alone = clustered_variance(influence, None)[0]
    assert clustered_variance(influence, np.arange(50))[0] == pytest.approx(alone)
    doubled, G = clustered_variance(np.repeat(influence, 2, axis=0) / 2, np.repeat(range(50), 2))
    assert (doubled, G) == (pytest.approx(alone), 50)


def test_truncation_holds_weights_and_their_slopes():
    X, arm, _ = _people()
    made = _made(X, arm, "ate")
    held = truncated(made, 1.2)
    above = made.weights > 1.2
    assert above.any()
    assert held.weights.max() == 1.2
    assert not held.slope[above].any()
    assert (held.slope[~above] == made.slope[~above]).all()


def test_effective_size_on_paper():
    assert effective(np.array([1.0, 1, 2])) == pytest.approx(16 / 6, rel=CLOSED_FORM)
