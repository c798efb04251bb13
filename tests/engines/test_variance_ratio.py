"""The exact interval of a variance ratio: paper, and coverage of unequal groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from recovery_stats.engines.variance_ratio import ratio_test
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES


def test_balanced_groups_are_searles() -> None:
    """(F / F_upper - 1) / n and (F / F_lower - 1) / n, F the usual ratio of mean squares."""
    rng = np.random.default_rng(1)
    m, n = 8, 5
    g = np.repeat(np.arange(m), n)
    y = rng.normal(size=m)[g] * 1.5 + rng.normal(size=m * n)
    means = y.reshape(m, n).mean(1)
    F = n * means.var(ddof=1) / (((y - means[g]) ** 2).sum() / (m * (n - 1)))
    test = ratio_test(np.ones((m * n, 1)), y, g, np.ones(m * n))
    assert test.statistic(0.0) == pytest.approx(F, rel=CLOSED_FORM)
    low, high = test.limits(0.95)
    upper, lower = (f(0.025, m - 1, m * (n - 1)) for f in (f_distribution.isf, f_distribution.ppf))
    assert [low, high] == pytest.approx([(F / upper - 1) / n, (F / lower - 1) / n], rel=CONVERGED)


def test_coverage_with_unequal_groups_and_a_covariate() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([2, 2, 3, 9, 1, 14])
    g = np.repeat(np.arange(6), sizes)
    X = np.column_stack([np.ones(g.size), rng.normal(size=6)[g], rng.normal(size=g.size)])
    for ratio in (0.0, 0.5):
        below = above = 0
        for _ in range(1000):
            y = X @ [1.0, 2.0, 3.0] + np.sqrt(ratio) * rng.normal(size=6)[g]
            low, high = ratio_test(X, y + rng.normal(size=g.size), g, np.ones(g.size)).limits(0.9)
            below += high < ratio
            above += low > ratio
        error = np.sqrt(0.05 * 0.95 / 1000)
        assert abs(above / 1000 - 0.05) < MONTE_CARLO_SES * error
        # at ratio 0 nothing lies below
        assert abs(below / 1000 - (0.05 if ratio else 0.0)) < MONTE_CARLO_SES * error


def test_nothing_left_is_refused() -> None:
    g = np.arange(4)
    with pytest.raises(NotEstimable, match="leave no residual"):
        ratio_test(np.ones((4, 1)), np.array([1.0, 3, 2, 5]), g, np.ones(4))


def test_at_zero_it_is_the_f_test_of_slopes_by_group() -> None:
    """A column that is not 1: extra sum of squares of its product with the groups."""
    rng = np.random.default_rng(4)
    codes, z = np.repeat(np.arange(5), 6), rng.normal(2.0, 1.0, 30)
    X, y = np.column_stack([np.ones(30), z]), rng.normal(size=30)
    full = np.column_stack([X, z[:, None] * (codes[:, None] == np.arange(1, 5))])

    def left(design: np.ndarray) -> float:
        residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        return float(residual @ residual)

    f = (left(X) - left(full)) / 4 / (left(full) / (30 - 6))
    assert ratio_test(X, y, codes, z).statistic(0.0) == pytest.approx(f, rel=CLOSED_FORM)
