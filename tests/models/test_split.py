"""Within and between parts against values worked by hand."""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.split import detrend, shift, split
from tests.tolerance import EXACT

DATA = Dataset(
    pd.DataFrame(
        {
            "pid": [1, 1, 1, 2, 2, 3, 3, 3],
            "wave": [0, 6, 12, 0, 12, 0, 6, 12],
            "day": [0.0, 10, 20, 0, 30, 0, 5, 20],
            "ras": [1.0, 2, 6, 4, 6, 3, 3, 3],
        }
    )
)


def test_parts_add_up_and_between_is_centred_over_people():
    frame = split(DATA, "ras", "pid").frame
    assert_allclose(frame["ras (within)"], [-2, -1, 3, -1, 1, 0, 0, 0], atol=EXACT)
    # person means 3, 5, 3: centre 11/3, each person once
    assert_allclose(frame["ras (between)"][[0, 3, 5]], [-2 / 3, 4 / 3, -2 / 3], rtol=EXACT)


def test_own_trend_is_removed_and_two_points_are_not_a_trend():
    values = detrend(DATA, "ras", "pid", "day").frame["ras (detrended)"]
    # person 1: slope 5/20, residuals 1 - 3 + 2.5 = 0.5, -1, 0.5
    assert_allclose(values[:3], [0.5, -1.0, 0.5], atol=EXACT)
    assert values[3:5].isna().all()
    assert_allclose(values[5:], 0.0, atol=EXACT)


def test_a_missed_wave_is_not_reached_over():
    frame = shift(DATA, "ras", "pid", "wave").frame
    assert_allclose(frame["ras (before)"], [np.nan, 1, 2, np.nan, np.nan, np.nan, 3, 3])
    assert_allclose(frame["ras (after)"], [2, 6, np.nan, np.nan, np.nan, 3, 3, np.nan])
