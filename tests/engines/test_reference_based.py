"""Reference-based imputation: closed forms with known parameters, brute force, what must agree."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import normal_missing
from recovery_stats.engines import reference_based as rb
from recovery_stats.engines.visit_normal import Chain, Visits, draw, fill, fit
from recovery_stats.errors import NotEstimable
from tests import tolerance as tol

J = 3
SIGMA = (
    np.array([[1.0, 0.6, 0.4], [0.6, 1.5, 0.9], [0.4, 0.9, 2.0]]),
    np.array([[2.0, 0.9, 0.5], [0.9, 1.2, 0.3], [0.5, 0.3, 1.1]]),
)
MEAN = (np.array([0.0, 0.3, 0.5]), np.array([0.4, 1.1, 1.9]))


def chain_of(mean, sigma):
    """The regressions of a normal distribution, visit by visit."""
    gamma, phi, sd = np.zeros((J, 1)), np.zeros((J, J)), np.zeros(J)
    for k in range(J):
        phi[k, :k] = np.linalg.solve(sigma[:k, :k], sigma[:k, k]) if k else []
        gamma[k] = mean[k] - phi[k, :k] @ mean[:k]
        sd[k] = np.sqrt(sigma[k, k] - phi[k, :k] @ sigma[:k, k])
    return Chain(gamma, phi, sd)


def trial(seed=1, n=240, holes=0.0, arm_leaves=(0.2, 0.3)):
    """Two arms, a covariate, three visits; people leave by the visit before."""
    rng = np.random.default_rng(seed)
    arm, z = np.arange(n) % 2.0, rng.normal(size=n)
    Y = np.empty((n, J))
    for a in (0, 1):
        own = arm == a
        Y[own] = rng.multivariate_normal(MEAN[a], SIGMA[a], int(own.sum()))
    Y += 0.5 * z[:, None]
    gone = np.zeros(n, dtype=bool)
    chance = np.array(arm_leaves)[arm.astype(int)]
    for k in range(J):
        gone |= rng.random(n) < chance / (1 + np.exp(-Y[:, max(k - 1, 0)]))
        Y[gone, k] = np.nan
    Y[:, : J - 1][rng.random((n, J - 1)) < holes] = np.nan
    X = np.column_stack([np.ones(n), arm, z - z.mean()])
    return rb.Trial(X, Y, np.zeros(n, dtype=bool))


# --- known parameters ----------------------------------------------------------------------------


def paper(strategy, j):
    """Mean and covariance of who leaves after j visits, block by block as Carpenter et al. 2013."""
    (mr, ma), (R, A) = MEAN, SIGMA
    if strategy == "MAR":
        return ma, A
    if strategy == "CR":
        return mr, R
    mean = np.concatenate([ma[:j], mr[j:]])
    if strategy == "CIR" and j:
        mean[j:] += ma[j - 1] - mr[j - 1]
    if j == 0:
        return mean, R
    slope = R[j:, :j] @ np.linalg.inv(R[:j, :j])
    A11 = A[:j, :j]
    A22 = R[j:, j:] - slope @ (R[:j, :j] - A11) @ slope.T
    return mean, np.block([[A11, (slope @ A11).T], [slope @ A11, A22]])


@pytest.mark.parametrize("strategy", rb.STRATEGIES)
@pytest.mark.parametrize("j", [0, 1, 2])
def test_conditional_means_are_those_of_the_joint_distribution(strategy, j):
    seen = np.array([[1.7, -0.2, 0.0]])
    Y = np.where(np.arange(J) < j, seen, np.nan)
    own, reference = (chain_of(MEAN[a], SIGMA[a]) for a in (1, 0))
    found = rb.course(strategy, own, reference, np.ones((1, 1)), Y, np.array([j]))[0]
    mean, S = paper(strategy, j)
    slope = S[j:, :j] @ np.linalg.inv(S[:j, :j])
    assert found[j:] == pytest.approx(mean[j:] + slope @ (seen[0, :j] - mean[:j]), abs=tol.EXACT)


@pytest.mark.parametrize("strategy", rb.STRATEGIES)
def test_draws_have_the_moments_of_the_joint_distribution(strategy):
    n, j = 40_000, 1
    rng = np.random.default_rng(5)
    mean, S = paper(strategy, j)
    Y = np.full((n, J), np.nan)
    Y[:, 0] = 1.2
    own, reference = (chain_of(MEAN[a], SIGMA[a]) for a in (1, 0))
    last, X = np.full(n, j), np.ones((n, 1))
    drawn = rb.course(strategy, own, reference, X, Y, last, rng.standard_normal((n, J)))
    rest = S[1:, 1:] - np.outer(S[1:, 0], S[0, 1:]) / S[0, 0]
    centre = mean[1:] + S[1:, 0] / S[0, 0] * (1.2 - mean[0])
    error = np.sqrt(np.diag(rest) / n)
    assert np.all(np.abs(drawn[:, 1:].mean(axis=0) - centre) < tol.MONTE_CARLO_SES * error)
    spread = np.cov(drawn[:, 1:].T)
    reach = np.sqrt((rest**2 + np.outer(np.diag(rest), np.diag(rest))) / n)
    assert np.all(np.abs(spread - rest) < tol.MONTE_CARLO_SES * reach)


def test_a_chain_is_a_normal_distribution():
    chain = chain_of(MEAN[1], SIGMA[1])
    assert chain.slopes[0] == pytest.approx(MEAN[1], abs=tol.EXACT)
    assert chain.covariance == pytest.approx(SIGMA[1], abs=tol.EXACT)


# --- estimates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("holes", [0.0, 0.15])
def test_maximum_likelihood_is_that_of_em_over_everything(holes):
    usual, _ = trial(holes=holes).arms()
    bare = Visits.of(np.ones((len(usual.Y), 1)), usual.Y)
    assert bool(bare.holes) == bool(holes)
    chain, em = fit(bare, tol=1e-12), normal_missing.fit(usual.Y, tol=1e-12)
    assert chain.slopes[0] == pytest.approx(em.mean, abs=tol.CONVERGED)
    assert chain.covariance == pytest.approx(em.covariance, abs=tol.CONVERGED)


def test_holes_are_filled_with_their_mean_given_every_visit_seen():
    chain = chain_of(MEAN[0], SIGMA[0])
    Y = np.array([[np.nan, 1.0, -1.0], [0.5, np.nan, np.nan], [0.3, np.nan, 0.4]])
    filled = fill(Visits.of(np.ones((3, 1)), Y), chain)
    m, S = MEAN[0], SIGMA[0]
    expected = m[0] + S[0, 1:] @ np.linalg.solve(S[1:, 1:], Y[0, 1:] - m[1:])
    assert filled[0, 0] == pytest.approx(expected, abs=tol.EXACT)
    assert np.isnan(filled[1, 1:]).all()
    two = np.ix_([0, 2], [0, 2])
    expected = m[1] + S[1, [0, 2]] @ np.linalg.solve(S[two], Y[2, [0, 2]] - m[[0, 2]])
    assert filled[2, 1] == pytest.approx(expected, abs=tol.EXACT)


@pytest.mark.parametrize("holes", [0.0, 0.15])
def test_the_posterior_is_centred_at_the_estimate(holes):
    """Of a long run of draws, in a sample large enough for it to be normal."""
    usual, _ = trial(n=1200, holes=holes).arms()
    start = fit(usual)
    rng = np.random.default_rng(2)
    drawn = np.array([draw(usual, start, rng)[0].slopes.ravel() for _ in range(300)])
    error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    gap = np.abs(drawn.mean(axis=0) - start.slopes.ravel())
    assert np.all(gap < tol.MONTE_CARLO_SES * error)


def test_at_random_means_are_those_of_each_arms_maximum_likelihood():
    """Without covariates: the difference of the arms' estimated means at the last visit."""
    t = trial(holes=0.1)
    bare = rb.Trial(t.X[:, :2], t.Y, t.at_random)
    found = rb.conditional(bare, rb.estimate(bare, tol=1e-12), ("MAR",))[0]
    last = [normal_missing.fit(t.Y[t.arm == a], tol=1e-12).mean[-1] for a in (0, 1)]
    assert found == pytest.approx(last[1] - last[0], abs=tol.CONVERGED)


def test_jump_to_reference_with_one_visit_keeps_the_share_retained():
    """The share of the compared arm that stayed, times the difference of those seen."""
    t = trial()
    one = rb.Trial(t.X[:, :2], t.Y[:, -1:], t.at_random)
    y, seen = t.Y[:, -1], np.isfinite(t.Y[:, -1])
    means = [y[seen & (t.arm == a)].mean() for a in (0, 1)]
    share = seen[t.arm == 1].mean()
    found = rb.conditional(one, rb.estimate(one), ("J2R", "CR", "CIR", "MAR"))
    assert found[:3] == pytest.approx(share * (means[1] - means[0]), abs=tol.CLOSED_FORM)
    assert found[3] == pytest.approx(means[1] - means[0], abs=tol.CLOSED_FORM)


def test_the_deterministic_answer_by_brute_force():
    """Person by person with dense matrices from maximum likelihood estimates of each arm."""
    t = trial(holes=0.1)
    chains = rb.estimate(t, tol=1e-12)
    found = rb.conditional(t, chains, rb.STRATEGIES)
    (Br, R), (Ba, A) = ((c.slopes, c.covariance) for c in chains)
    covariates = np.delete(t.X, rb.ARM, axis=1)
    for strategy, answer in zip(rb.STRATEGIES, found, strict=True):
        y = t.Y[:, -1].copy()
        for i in np.flatnonzero(np.isnan(y)):
            seen = np.flatnonzero(np.isfinite(t.Y[i]))
            j = seen[-1] + 1 if seen.size else 0
            own, S_own = (covariates[i] @ Ba, A) if t.arm[i] else (covariates[i] @ Br, R)
            before = t.Y[i, :j].copy()
            hidden = np.setdiff1d(np.arange(j), seen)
            if hidden.size:
                weight = S_own[np.ix_(hidden, seen)] @ np.linalg.inv(S_own[np.ix_(seen, seen)])
                before[hidden] = own[hidden] + weight @ (t.Y[i, seen] - own[seen])
            ref = covariates[i] @ Br
            mean, S = own, S_own
            if t.arm[i] and strategy != "MAR":
                S = R
                mean = ref if strategy == "CR" else np.concatenate([own[:j], ref[j:]])
                if strategy == "CIR" and j:
                    mean[j:] += own[j - 1] - ref[j - 1]
            y[i] = mean[-1] + S[-1, :j] @ np.linalg.solve(S[:j, :j], before - mean[:j])
        beta = np.linalg.lstsq(t.X, y)[0]
        assert answer == pytest.approx(beta[rb.ARM], abs=tol.CLOSED_FORM)


def test_strategies_agree_where_nobody_left_the_compared_arm():
    t = trial(arm_leaves=(0.4, 0.0))
    chains = rb.estimate(t)
    found = rb.conditional(t, chains, rb.STRATEGIES)
    assert np.isnan(t.Y).any()
    assert np.ptp(found) < tol.EXACT
    drawn = rb.imputation(t, chains, rb.STRATEGIES, 5, np.random.SeedSequence(1))
    assert np.ptp(drawn, axis=1).max() < tol.EXACT


def test_who_goes_on_at_random_does_so_under_each_strategy():
    t = trial()
    spared = rb.Trial(t.X, t.Y, np.ones(len(t.Y), dtype=bool))
    found = rb.conditional(spared, rb.estimate(spared), rb.STRATEGIES)
    assert np.ptp(found) < tol.EXACT
    assert np.ptp(rb.conditional(t, rb.estimate(t), rb.STRATEGIES)) > 0.05


def test_ancova_is_least_squares():
    rng = np.random.default_rng(3)
    X, y = trial().X, rng.normal(size=240)
    value, variance = rb.ancova(X, y[None])
    beta = np.linalg.lstsq(X, y)[0]
    s2 = np.sum((y - X @ beta) ** 2) / (len(y) - 3)
    assert value[0] == pytest.approx(beta[1], abs=tol.CLOSED_FORM)
    assert variance[0] == pytest.approx(s2 * np.linalg.inv(X.T @ X)[1, 1], abs=tol.CLOSED_FORM)


# --- variances -----------------------------------------------------------------------------------


def test_bootstrap_variance_by_hand():
    """Three samples of two imputations: mean squares 7/6 and 1/2 on paper."""
    answers = np.array([[1.0, 2.0], [2.0, 3.0], [3.5, 2.5]])[..., None]
    found = rb.bootstrap_variance(answers)
    assert found.estimate[0] == pytest.approx(7 / 3, abs=tol.EXACT)
    assert found.variance[0] == pytest.approx(4 / 6 * 7 / 6 - 1 / 4, abs=tol.EXACT)
    df = (19 / 36) ** 2 / ((7 / 9) ** 2 / 2 + (1 / 4) ** 2 / 3)
    assert found.df[0] == pytest.approx(df, abs=tol.EXACT)


def test_jackknife_of_a_complete_trial_is_that_of_its_least_squares():
    """With nothing missing the answers are coefficients, and the jackknife HC3 up to (n - 1)/n."""
    t = trial(arm_leaves=(0.0, 0.0))
    chains = rb.estimate(t)
    answer = rb.conditional(t, chains, ("J2R",))
    left = np.array([rb.leave_out(t, chains, ("J2R",), i) for i in range(len(t.Y))])
    X, y = t.X, t.Y[:, -1]
    H = X @ np.linalg.inv(X.T @ X)
    e = (y - X @ np.linalg.lstsq(X, y)[0]) / (1 - np.sum(H * X, axis=1))
    moved = H[:, 1] * e
    n = len(y)
    hand = (n - 1) / n * np.sum((moved - moved.mean()) ** 2)
    assert rb.jackknife_variance(answer, left).variance[0] == pytest.approx(hand, rel=1e-10)


def test_too_few_people_and_determined_covariates_are_refused():
    t = trial(n=60)
    few = t.Y.copy()
    few[(t.arm == 1) & (np.arange(60) > 6), -1] = np.nan
    with pytest.raises(NotEstimable, match="Too few people of an arm held visit 3 or a later one"):
        rb.estimate(rb.Trial(t.X, few, t.at_random))
    twice = np.column_stack([t.X, 2 * t.X[:, 2]])
    with pytest.raises(NotEstimable, match="determine each other"):
        rb.estimate(rb.Trial(twice, t.Y, t.at_random))
