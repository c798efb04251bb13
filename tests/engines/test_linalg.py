"""Batches of small matrices, each against NumPy on that matrix alone."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines.linalg import (
    GRADED,
    MANY,
    WRITTEN_OUT,
    all_finite,
    inverse_and_log_det,
    inverse_of_identity_plus,
)
from tests.tolerance import EXACT


@pytest.mark.parametrize("m", [3, MANY])
@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 0.1 * GRADED**0.5, 1e5])
@pytest.mark.parametrize("q", range(1, WRITTEN_OUT + 2))
def test_each_inverse_is_that_of_its_matrix(q: int, size: float, m: int) -> None:
    M = size * np.random.default_rng(q).normal(size=(q, q + 1, m))
    inverse, log_det = inverse_of_identity_plus(M)
    for j in range(m):
        whole = np.eye(q) + M[:, :, j] @ M[:, :, j].T
        residual = whole @ inverse[:, :, j] - np.eye(q)
        assert np.abs(residual).max() < 1e-13 * np.linalg.cond(whole)
        assert log_det[j] == pytest.approx(np.linalg.slogdet(whole)[1], rel=1e-12, abs=1e-14)


def test_an_inverse_and_its_determinant_on_paper() -> None:
    inverse, log_det = inverse_and_log_det(np.array([[4.0, 2], [2, 3]]))
    np.testing.assert_allclose(inverse, np.array([[3, -2], [-2, 4]]) / 8, rtol=EXACT)
    assert log_det == pytest.approx(np.log(8), rel=EXACT)


def test_finite_is_told_by_one_sum() -> None:
    assert all_finite(np.array([[1.0, -2.0], [0.0, 1e100]]))
    assert not any(all_finite(np.array([1.0, bad])) for bad in (np.nan, np.inf, -np.inf, 1e300))
