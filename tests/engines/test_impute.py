"""Chained equations of one level: posteriors on paper, matching by brute force, chains."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import impute as engine
from recovery_stats.engines.impute_method import AUGMENTED, Binary, Matched, Normal
from recovery_stats.engines.impute_normal import (
    _damped,
    draw_line,
    impute_matched,
    impute_normal,
    match,
)
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import NotEstimable
from tests.tolerance import EXACT, MONTE_CARLO_SES


def _line(n: int = 12, seed: int = 2) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = np.vstack([np.ones(n), rng.normal(size=(2, n))])
    return X, np.array([1.0, 2.0, -1.0]) @ X + rng.normal(size=n)


def test_posterior_of_the_normal_model_has_the_moments_on_paper() -> None:
    X, y = _line()
    n, p, draws = 12, 3, 20_000
    rng = np.random.default_rng(1)
    lines = [draw_line(X, y, rng) for _ in range(draws)]
    beta, s2 = np.array([line.drawn for line in lines]), np.array([ln.sigma**2 for ln in lines])
    inverse = np.linalg.inv(X @ X.T)
    hat = inverse @ X @ y
    rss = float(((y - hat @ X) ** 2).sum())
    # sigma^2 is inverse chi-squared: mean rss / (df - 2), variance 2 rss^2 / ((df-2)^2 (df-4))
    df = n - p
    mean, sd = rss / (df - 2), np.sqrt(2 * rss**2 / ((df - 2) ** 2 * (df - 4)))
    assert abs(s2.mean() - mean) < MONTE_CARLO_SES * sd / np.sqrt(draws)
    # beta is multivariate t: covariance rss / (df - 2) (X'X)^-1
    V = mean * inverse
    z = (beta.mean(0) - hat) / np.sqrt(np.diag(V) / draws)
    assert (abs(z) < MONTE_CARLO_SES).all()
    np.testing.assert_allclose(np.cov(beta.T), V, rtol=0.08, atol=0.08 * V.max())


def test_imputed_values_have_the_predictive_variance_on_paper() -> None:
    X, y = _line()
    rng, new = np.random.default_rng(3), np.array([[1.0], [0.5], [2.0]])
    drawn = np.array([impute_normal(X, y, new, rng, 0.7)[0] for _ in range(20_000)])
    inverse = np.linalg.inv(X @ X.T)
    hat = inverse @ X @ y
    df, x = 9, new[:, 0]
    V = float(((y - hat @ X) ** 2).sum()) / (df - 2) * (1 + x @ inverse @ x)
    assert abs(drawn.mean() - hat @ x - 0.7) < MONTE_CARLO_SES * np.sqrt(V / drawn.size)
    assert drawn.var() == pytest.approx(V, rel=0.05)


def test_fewer_rows_than_coefficients_are_refused() -> None:
    with pytest.raises(NotEstimable, match="3 observed values cannot estimate 3"):
        draw_line(np.eye(3), np.ones(3), np.random.default_rng(1))


@pytest.mark.parametrize("ties", [False, True])
def test_donors_are_the_nearest_by_brute_force(ties: bool) -> None:
    rng = np.random.default_rng(5)
    have, want = rng.normal(size=200), rng.normal(size=40) * 2
    if ties:
        have, want = np.round(have, 1), np.round(want, 1)
    for _ in range(50):
        found = match(have, want, 5, rng)
        for w, chosen in zip(want, found, strict=True):
            fifth = np.sort(abs(have - w))[4]
            assert abs(have[chosen] - w) <= fifth + EXACT


def test_equal_columns_have_a_factor_once_the_diagonal_is_raised() -> None:
    L = np.tril(_damped(np.ones((2, 2))))
    np.testing.assert_allclose(L @ L.T, np.ones((2, 2)) + 1e-8 * np.eye(2), rtol=EXACT)


def test_every_donor_is_as_likely_as_the_next() -> None:
    rng, have = np.random.default_rng(6), np.arange(10.0)
    found = match(have, np.full(20_000, 4.6), 4, rng)
    counts = np.bincount(found, minlength=10)
    assert set(np.flatnonzero(counts)) == {3, 4, 5, 6}
    assert abs(counts[counts > 0] - 5000).max() < MONTE_CARLO_SES * np.sqrt(20_000 * 3 / 16)


def test_donors_that_tie_share_their_chances() -> None:
    rng = np.random.default_rng(7)
    counts = np.bincount(match(np.zeros(50), np.zeros(50_000), 5, rng), minlength=50)
    assert abs(counts - 1000).max() < MONTE_CARLO_SES * np.sqrt(1000)


def test_fewer_rows_than_donors() -> None:
    found = match(np.array([1.0, 2.0]), np.zeros(100), 5, np.random.default_rng(1))
    assert set(found) == {0, 1}


def test_matching_returns_observed_values_and_delta_moves_them() -> None:
    X, y = _line(50)
    new = X[:, :20]
    found = impute_matched(X, y, new, np.random.default_rng(1), 5, -2.0)
    assert np.isin(np.round(found + 2.0, 9), np.round(y, 9)).all()


# --- chains ------------------------------------------------------------------------------------


def _plan(method: engine.Method, sweeps: int = 1, delta: float = 0.0) -> engine.Plan:
    """y on x, both standard, y missing where x is high."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=300)
    y = 0.6 * x + rng.normal(size=300)
    gone = np.flatnonzero(x > 0.5)
    here = np.flatnonzero(x <= 0.5)
    target = engine.Target(
        "y", 1, here, gone, np.array([0, 1]), method, (engine.Number(2, 1, 0.0, 1.0),), delta
    )
    return engine.Plan(np.vstack([x, y]), np.vstack([np.ones(300), x, y]), (target,), sweeps)


@pytest.mark.parametrize("perfect", [True, False])
def test_rows_added_for_perfect_prediction_are_told_and_no_others(perfect: bool) -> None:
    plan = _plan(Binary())
    x = plan.values[0]
    plan.values[1] = plan.design[2] = x > -0.5 if perfect else np.arange(300) % 2
    notes = engine.run(plan, engine.seeds(4, 0, 1)[0]).notes
    assert set(notes) == ({("y", AUGMENTED)} if perfect else set())


def test_one_missing_column_pools_to_the_closed_form() -> None:
    plan = _plan(Normal())
    target = plan.targets[0]
    means = np.array([engine.run(plan, s).imputed[0].mean() for s in engine.seeds(4, 0, 3000)])
    X = plan.design[:2][:, target.observed]
    new = plan.design[:2][:, target.missing]
    hat = np.linalg.solve(X @ X.T, X @ plan.values[1, target.observed])
    rss = float(((plan.values[1, target.observed] - hat @ X) ** 2).sum())
    s2 = rss / (target.observed.size - 4)
    bar = new.mean(axis=1)
    V = s2 * (bar @ np.linalg.solve(X @ X.T, bar) + 1 / target.missing.size)
    assert abs(means.mean() - hat @ bar) < MONTE_CARLO_SES * np.sqrt(V / means.size)
    assert means.var() == pytest.approx(V, rel=MONTE_CARLO_SES * np.sqrt(2 / means.size))


def test_seeds_depend_on_the_number_of_the_imputation_alone() -> None:
    spawned = np.random.SeedSequence(9).spawn(7)
    for k, ours in enumerate(engine.seeds(9, 2, 5), 2):
        assert (ours.generate_state(4) == spawned[k].generate_state(4)).all()


def test_a_chain_is_its_seed() -> None:
    plan, seed = _plan(Matched(), 3), engine.seeds(1, 0, 1)[0]
    a, b = engine.run(plan, seed), engine.run(plan, seed)
    np.testing.assert_array_equal(a.imputed[0], b.imputed[0])
    assert a.traces.shape == (3, 1, 2)


def test_delta_moves_the_draws_by_itself() -> None:
    seed = engine.seeds(1, 0, 1)[0]
    plain, moved = engine.run(_plan(Normal()), seed), engine.run(_plan(Normal(), 1, 1.5), seed)
    np.testing.assert_allclose(moved.imputed[0] - plain.imputed[0], 1.5, atol=EXACT)


def test_the_design_follows_the_values() -> None:
    state = engine.State(np.array([[2.0, 3.0], [0.0, 1.0]]), np.zeros((4, 2)))
    rows = np.array([0, 1])
    engine.Number(0, 0, 1.0, 2.0).write(state, rows)
    engine.Level(1, 1, 1).write(state, rows)
    engine.Product(2, (0, 1)).write(state, rows)
    engine.ClusterMean(3, 0, np.array([0, 0]), np.array([2.0])).write(state, rows)
    np.testing.assert_allclose(state.design, [[0.5, 1.0], [0.0, 1.0], [0.0, 1.0], [0.75, 0.75]])


def test_mixing_on_paper() -> None:
    # two chains, later half (0, 2) and (4, 6): within 2, between 2 * var(1, 5) = 16
    traces = np.array([[9, 9, 0, 2], [9, 9, 4, 6]], dtype=float)[:, :, None]
    found = engine.mixing(traces)
    assert found.r_hat[0] == pytest.approx(np.sqrt(0.5 + 8 / 2), rel=EXACT)
    still = engine.mixing(np.ones((3, 10, 1)))
    assert np.isnan(still.r_hat[0])
