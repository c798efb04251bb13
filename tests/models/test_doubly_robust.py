"""Matching by brute force; doubly robust means collapse to known ones and recover a truth."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import recovery_stats as rs
from recovery_stats.engines.doubly_robust import cross_fit, folds_of
from recovery_stats.engines.matching import matched_means, nearest_pairs
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES


def _greedy(score, arm, caliper):
    free, pairs = [j for j in range(len(arm)) if arm[j] == 0], []
    for i in sorted((i for i in range(len(arm)) if arm[i] == 1), key=lambda i: -score[i]):
        near = min(free, key=lambda j: (abs(score[j] - score[i]), score[j], j), default=None)
        if near is not None and abs(score[near] - score[i]) <= caliper:
            free.remove(near)
            pairs.append((i, near))
    return pairs


@pytest.mark.parametrize("seed", range(5))
def test_pairs_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    score, arm = rng.normal(size=60), (rng.random(60) < 0.4).astype(float)
    found = nearest_pairs(score, arm, 0.3)
    assert [tuple(p) for p in found.tolist()] == _greedy(score, arm, 0.3)


@pytest.mark.parametrize("digits", range(3))
@pytest.mark.parametrize("seed", range(20))
def test_pairs_by_brute_force_among_ties(seed, digits):
    """Scores rounded, few or many to choose from, calipers that keep all, some and the same."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 60))
    score, arm = np.round(rng.normal(size=n), digits), (rng.random(n) < rng.random()).astype(float)
    for caliper in (0.0, 0.3, 9.0):
        found = nearest_pairs(score, arm, caliper)
        assert [tuple(p) for p in found.tolist()] == _greedy(score, arm, caliper)


def test_many_people_are_matched_in_no_time():
    """A search over all of them for each would take minutes (1e10 steps)."""
    rng = np.random.default_rng(1)
    n = 200_000
    score, arm = rng.normal(size=n), (np.arange(n) % 2).astype(float)
    begun = time.process_time()
    assert len(nearest_pairs(score, arm, 0.3)) > 0.49 * n
    assert time.process_time() - begun < 10


def test_the_error_of_pairs_is_the_paired_t():
    rng = np.random.default_rng(2)
    y = rng.normal(size=20)
    pairs = np.column_stack([np.arange(10), np.arange(10, 20)])
    means, covariance, units = matched_means(pairs, y, np.empty((20, 0)), None)
    d = y[:10] - y[10:]
    g = np.array([-1.0, 1.0])
    assert means @ g == pytest.approx(d.mean(), rel=CLOSED_FORM)
    assert np.sqrt(g @ covariance @ g) == pytest.approx(d.std(ddof=1) / np.sqrt(10))
    assert units == 10


def test_folds_never_split_a_cluster():
    rng = np.random.default_rng(4)
    cluster = rng.integers(0, 15, 200)
    arm = (rng.random(200) < 0.5).astype(float)
    fold = folds_of(arm, cluster, 5, rng)
    assert all(len(set(fold[cluster == c])) == 1 for c in range(15))
    assert set(fold) == set(range(5))
    with pytest.raises(NotEstimable, match="fewer than two people"):
        folds_of((cluster == 3).astype(float), cluster, 5, rng)


def test_two_people_of_an_arm_may_be_left_and_no_fewer():
    rng = np.random.default_rng(3)
    fold = folds_of(np.repeat([0.0, 1.0], 4), np.arange(8), 2, rng)  # two of each arm in a fold
    assert np.bincount(fold[:4]).tolist() == np.bincount(fold[4:]).tolist() == [2, 2]
    with pytest.raises(NotEstimable, match="fewer than two people"):
        folds_of(np.repeat([0.0, 1.0], [5, 3]), np.arange(8), 2, rng)


def test_without_covariates_it_is_the_weighted_difference():
    # No covariate: the propensity is the share elsewhere, the outcome model the mean elsewhere.
    y, arm = np.array([1.0, 3, 2, 6, 1, 3, 2, 6]), np.array([0.0, 0, 1, 1, 0, 0, 1, 1])
    crossed = cross_fit(np.empty((8, 0)), arm, y, np.repeat([0, 1], 4), binary=False, bound=0.01)
    assert crossed.scores.mean(axis=0) == pytest.approx([2, 4], rel=1e-8)


def _people(rng, n=1500):
    x, z = rng.normal(size=n), rng.normal(size=n)
    arm = (rng.random(n) < expit(0.8 * x - 0.5 * z)).astype(float)
    return pd.DataFrame({"x": x, "z": z, "arm": arm, "y": x - z + 0.5 * arm + rng.normal(size=n)})


@pytest.mark.parametrize("wrong", ["outcome", "propensity"])
def test_either_model_may_be_wrong(wrong):
    errors = []
    for seed in range(20):
        d = _people(np.random.default_rng(seed))
        if wrong == "outcome":
            d["y"] = d.y + d.x**2  # not linear; the propensity is right
        else:
            d["arm"] = (
                np.random.default_rng(seed + 99).random(len(d))
                < np.where(np.abs(d.x) > 1, 0.7, 0.3)
            ).astype(float)
            d["y"] = d.x - d.z + 0.5 * d.arm + np.random.default_rng(seed).normal(size=len(d))
        found = rs.doubly_robust("y", "arm ~ x + z", d, repeats=1).tidy()
        errors.append(found.estimate[0] - 0.5)
    se = np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < MONTE_CARLO_SES * se


def test_faces_of_both():
    d = _people(np.random.default_rng(1), 600)
    d["site"] = np.random.default_rng(2).integers(0, 12, len(d))
    d["used"] = (d.y > 0).astype(int)
    robust = rs.doubly_robust("used", "arm ~ x + z", d, cluster="site")
    assert list(robust.tidy().term) == ["risk_difference", "risk_ratio", "odds_ratio"]
    assert (robust.tidy().df == 11).all()
    wide, narrow = robust.tidy(0.99).iloc[0], robust.tidy().iloc[0]
    assert wide.conf_high > narrow.conf_high
    assert robust.checks()[0].verdict == "caution"
    matched = rs.propensity_match("arm ~ x + z", d, cluster="site")
    assert matched.balance()["smd_after"].abs().max() < 0.1
    assert matched.glance().pairs[0] + matched.glance().unmatched[0] == d.arm.sum()
    assert abs(matched.effect("y").estimate[0] - 0.5) < 0.5
    with pytest.raises(NotEstimable, match="within 1e-15"):
        rs.propensity_match("arm ~ x + z", d, caliper=1e-15)
