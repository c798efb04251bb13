"""Tipping points: exact mixtures, round trips, and the E-value where both strengths are equal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from recovery_stats.errors import UsageError
from recovery_stats.models.risk import e_value
from recovery_stats.models.tipping import bias_factor, needed_difference, needed_ratio
from tests.tolerance import CLOSED_FORM


def test_bias_is_that_of_mixed_hazards_at_the_start():
    ratio, p1, p0, base = 0.4, 0.7, 0.2, 0.03
    hazard = [base * ((1 - p) + p * ratio) for p in (p1, p0)]  # nobody has left yet
    assert_allclose(bias_factor(ratio, p1, p0), hazard[0] / hazard[1], rtol=CLOSED_FORM)


@pytest.mark.parametrize(("observed", "ratio"), [(0.8, 0.5), (0.9, 0.33), (1.2, 1.7)])
def test_the_needed_shares_make_the_whole_ratio(observed, ratio):
    gap = needed_difference(observed, ratio)
    assert gap > 0
    made = bias_factor(ratio, 0.5 + gap / 2, 0.5 - gap / 2)
    assert_allclose(made, observed, rtol=CLOSED_FORM)
    # a normal one, by the mean of a log-normal hazard in each group
    shift = needed_difference(observed, ratio, "normal")
    assert_allclose(ratio**shift, observed, rtol=CLOSED_FORM)


def test_what_no_strength_can_explain_is_said():
    assert np.isnan(needed_difference(0.3, 0.9))
    assert np.isnan(needed_ratio(0.5, 1.9))
    with pytest.raises(UsageError):
        needed_difference(0.8, 1.0)


def test_at_the_e_value_both_are_equal():
    for observed in (0.5, 1.7):
        e = e_value(observed)
        assert_allclose(needed_ratio(observed, e), e, rtol=CLOSED_FORM)
