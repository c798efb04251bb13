"""Least squares against NIST's Wampler 2 and a case worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recovery_stats.errors import NotEstimable
from recovery_stats.models.linear import ols
from tests.tolerance import EXACT


def test_a_line_by_hand():
    # x = 0, 1, 2; y = 0, 1, 5: slope 2.5, residuals 0.5, -1, 0.5; s2 = 1.5, se = sqrt(1.5/2)
    data = pd.DataFrame({"x": [0.0, 1, 2], "y": [0.0, 1, 5]})
    slope = ols("y ~ x", data).estimate({"x": 1}, name="slope", label="slope")
    assert slope.value == pytest.approx(2.5, rel=EXACT)
    assert slope.se == pytest.approx(np.sqrt(0.75), rel=EXACT)
    assert slope.df == 1
    assert slope.high == pytest.approx(2.5 + stats.t.isf(0.025, 1) * np.sqrt(0.75), rel=EXACT)


def test_wampler_2_to_seven_digits():
    # NIST StRD, Wampler2: y = sum of (x / 10)^k, k = 0..5, at x = 0..20; higher difficulty
    x = np.arange(21.0)
    y = sum((x / 10) ** k for k in range(6))
    fit = ols("y ~ x + I(x^2) + I(x^3) + I(x^4) + I(x^5)", pd.DataFrame({"x": x, "y": y}))
    np.testing.assert_allclose(fit.beta, 10.0 ** -np.arange(6.0), rtol=1e-7)


def test_collinear_columns_are_named():
    data = pd.DataFrame({"x": [0.0, 1, 2, 3], "z": [0.0, 2, 4, 6], "y": [0.0, 1, 5, 2]})
    with pytest.raises(NotEstimable, match="combination of the others"):
        ols("y ~ x + z", data)
