"""Means of bins of sorted values, against integrals, one bin and simulated samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.stats import norm

from recovery_stats.engines import normal_score


def test_means_and_errors_of_bins_are_their_integrals() -> None:
    sizes = np.array([25, 50, 25])
    mean, error = normal_score.expected(sizes)
    edges = [-9.0, *norm.ppf([0.25, 0.75]), 9.0]
    for k, share in enumerate(sizes / 100):
        a, b = edges[k], edges[k + 1]
        assert mean[k] == pytest.approx(quad(lambda z: z * norm.pdf(z), a, b)[0] / share, abs=1e-8)

        def kernel(x: float, y: float) -> float:
            return float(norm.cdf(min(x, y)) - norm.cdf(x) * norm.cdf(y))

        # the variance of a mean of order statistics as a double integral (Stigler 1974)
        whole = dblquad(kernel, a, b, a, b, epsabs=1e-5)[0]
        assert error[k] == pytest.approx(np.sqrt(whole / 100) / share, rel=1e-3)


def test_one_bin_is_the_mean_of_all() -> None:
    mean, error = normal_score.expected(np.array([64]))
    assert mean[0] == pytest.approx(0, abs=1e-12)
    assert error[0] == pytest.approx(1 / 8)


def test_bins_of_normal_samples_lie_where_they_should() -> None:
    draws = np.random.default_rng(4).normal(size=(4000, 200))
    bins = normal_score.bins_in_order(draws[0], 10)
    assert np.array_equal(np.bincount(bins), np.full(10, 20))
    means = np.sort(draws, axis=1).reshape(4000, 10, 20).mean(2)
    assert means[0] == pytest.approx([draws[0][bins == k].mean() for k in range(10)])
    mean, error = normal_score.expected(np.full(10, 20))
    assert means.mean(0) == pytest.approx(mean, abs=0.02)  # 1/n of the order statistics
    assert means.std(0) == pytest.approx(error, rel=0.05)


def test_equal_values_share_a_bin_whatever_their_last_bits() -> None:
    x = np.repeat([1.0, 2.0, 3.0], [30, 50, 20])
    moved = x * (1 + 1e-15 * np.random.default_rng(1).integers(-3, 3, x.size))
    found = normal_score.bins_along(moved, 10)
    assert np.array_equal(found, np.repeat([0, 1, 2], [30, 50, 20]))
    assert np.bincount(normal_score.bins_along(np.arange(100.0), 5)).tolist() == [20] * 5
