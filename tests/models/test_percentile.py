"""Percentile limits of bootstrap draws: as wide as they say, however few the draws."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.models.percentile import percentile_limits
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES


@pytest.mark.parametrize("draws", [79, 100, 400])
def test_another_draw_falls_between_the_limits_as_often_as_they_say(draws: int) -> None:
    """Of uniform draws the share between the limits is their distance."""
    studies = 4000
    u = np.random.default_rng(3).random((draws, studies))
    low, high = percentile_limits(u, 0.95)
    inside = high - low
    error = inside.std(ddof=1) / np.sqrt(studies)
    assert abs(inside.mean() - 0.95) < MONTE_CARLO_SES * error


def test_limits_are_order_statistics_along_the_first_axis() -> None:
    draws = np.stack([np.arange(1.0, 200.0), -np.arange(1.0, 200.0)], axis=1)
    low, high = percentile_limits(np.random.default_rng(1).permutation(draws), 0.95)
    assert low == pytest.approx([5.0, -195.0], abs=CLOSED_FORM)
    assert high == pytest.approx([195.0, -5.0], abs=CLOSED_FORM)
