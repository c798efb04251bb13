"""Permutation, wild cluster bootstrap, Fay-Graubard errors: each against its definition."""

from itertools import combinations, product

import numpy as np
import pytest

from recovery_stats.engines.permutation import permute
from recovery_stats.engines.robust import sandwich
from recovery_stats.engines.wild_bootstrap import wild_bootstrap
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES


def houses(seed=0, G=8):
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(G), rng.integers(4, 12, G))
    arm, x = (ids < G // 2).astype(float), rng.normal(size=len(ids))
    y = 0.8 * arm + x + rng.normal(size=G)[ids] + rng.normal(size=len(ids))
    return np.column_stack([np.ones(len(ids)), arm, x]), y, ids


def means(y, ids):
    return np.array([y[ids == g].mean() for g in range(ids.max() + 1)])


def test_four_houses_against_four_have_seventy_allocations():
    _, y, ids = houses()
    m, arm = means(y, ids), np.repeat([1.0, 0.0], 4)
    found = permute(m, arm, None, np.random.default_rng(0))
    every = [m[list(c)].mean() - np.delete(m, list(c)).mean() for c in combinations(range(8), 4)]
    assert (found.allocations, found.exact, found.smallest) == (70, True, 2 / 70)
    assert found.p() == pytest.approx(np.mean(np.abs(every) >= abs(found.observed) - 1e-9))


def test_the_smallest_p_is_reached_by_houses_wholly_apart():
    found = permute(np.arange(8.0), np.repeat([0.0, 1.0], 4), None, np.random.default_rng(0))
    assert found.p() == found.smallest == 2 / 70


def test_three_against_three_reject_nothing_and_have_no_limits():
    found = permute(np.arange(6.0), np.repeat([0.0, 1.0], 3), None, np.random.default_rng(0))
    assert found.smallest == 0.1
    assert found.limits(0.95) == (-np.inf, np.inf)


def test_pairs_are_permuted_within_pairs():
    m = np.array([1.0, 2.0, 3.0, 5.0, 2.0, 6.0])
    arm, pair = np.tile([0.0, 1.0], 3), np.repeat([0, 1, 2], 2)
    found = permute(m, arm, pair, np.random.default_rng(0))
    d = m[1::2] - m[::2]
    every = [np.mean(np.array(s) * d) for s in product((-1, 1), repeat=3)]
    assert found.allocations == 8
    assert found.p() == np.mean(np.abs(every) >= found.observed - 1e-9) == 0.25


def test_the_lady_tasting_tea():
    """Fisher's eight cups, all told right: 2/70 on both sides."""
    found = permute(
        np.repeat([1.0, 0.0], 4), np.repeat([1.0, 0.0], 4), None, np.random.default_rng(0)
    )
    assert found.p() == 2 / 70


def test_limits_are_where_the_test_turns():
    _, y, ids = houses(G=12)
    found = permute(means(y, ids), np.repeat([1.0, 0.0], 6), None, np.random.default_rng(0))
    low, high = found.limits(0.95)
    step = 1e-6
    assert found.p(low - step) <= 0.05 < found.p(low + step)
    assert found.p(high + step) <= 0.05 < found.p(high - step)


def test_drawn_allocations_agree_with_all_of_them():
    _, y, ids = houses(seed=3, G=14)
    m, arm = means(y, ids), np.repeat([1.0, 0.0], 7)
    whole = permute(m, arm, None, np.random.default_rng(0))
    some = permute(m, arm, None, np.random.default_rng(1), draws=4_000, most=10)
    error = np.sqrt(whole.p() * (1 - whole.p()) / 4_000)
    assert not some.exact
    assert abs(some.p() - whole.p()) < MONTE_CARLO_SES * error + 1 / 4_001


def test_arms_that_never_meet_in_a_stratum_are_refused():
    with pytest.raises(NotEstimable, match="No stratum"):
        permute(
            np.arange(4.0),
            np.repeat([0.0, 1.0], 2),
            np.array([0, 0, 1, 1]),
            np.random.default_rng(0),
        )


@pytest.mark.parametrize("effect", [0.0, 0.5, -2.0])
def test_every_sign_pattern_refitted(effect):
    X, y, ids = houses()
    G, bread = 8, np.linalg.inv(X.T @ X)

    def t(outcome):
        beta = bread @ X.T @ outcome
        e = outcome - X @ beta
        S = np.array([X[ids == g].T @ e[ids == g] for g in range(G)])
        return (beta[1] - effect) / np.sqrt((bread @ S.T @ S @ bread)[1, 1])

    others, moved = X[:, [0, 2]], y - effect * X[:, 1]
    fitted = others @ np.linalg.lstsq(others, moved, rcond=None)[0]
    r, known = moved - fitted, fitted + effect * X[:, 1]
    drawn = [abs(t(known + np.array(v)[ids] * r)) for v in product((-1, 1), repeat=G)]
    found = wild_bootstrap(X, y, 1, ids, np.random.default_rng(0))
    assert found.exact
    assert found.p(effect) == np.mean(np.array(drawn) >= abs(t(y)) * (1 - 1e-9))


def test_wild_limits_are_where_the_test_turns():
    X, y, ids = houses(G=20)
    found = wild_bootstrap(X, y, 1, ids, np.random.default_rng(0))
    for edge, outwards in zip(found.limits(0.95), (-1, 1), strict=True):
        assert found.p(edge + outwards * 1e-3) <= 0.05 < found.p(edge - outwards * 1e-3)


def test_fay_graubard_written_out():
    """H_g = diag (1 - min(0.75, (Omega_g V)_jj))^-1/2 around each cluster's score."""
    X, y, ids = houses()
    bread = np.linalg.inv(X.T @ X)
    e = y - X @ bread @ X.T @ y
    meat = np.zeros((3, 3))
    for g in range(8):
        Xg = X[ids == g]
        H = np.diag(1 / np.sqrt(1 - np.minimum(0.75, np.diag(Xg.T @ Xg @ bread))))
        s = H @ Xg.T @ e[ids == g]
        meat += np.outer(s, s)
    found = sandwich(X, e, ids, kind="FG").covariance
    assert found == pytest.approx(bread @ meat @ bread, rel=CLOSED_FORM)


def test_fay_graubard_of_two_equal_arms_of_houses_by_hand():
    """Balanced, intercept and arm of +-1: every share is 1 / G, so that V = CR0 G / (G - 1)."""
    ids = np.repeat(np.arange(8), 5)
    X = np.column_stack([np.ones(40), np.where(ids < 4, 1.0, -1.0)])
    e = np.random.default_rng(0).normal(size=40)
    e -= X @ np.linalg.lstsq(X, e, rcond=None)[0]
    plain, corrected = (sandwich(X, e, ids, kind=k).covariance for k in ("CR0", "FG"))
    assert corrected == pytest.approx(plain * 8 / 7, rel=CLOSED_FORM)
