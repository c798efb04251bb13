"""Within and between parts against values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.split import detrend, shift, split
from tests.models.test_mixed import waves
from tests.tolerance import CONVERGED, EXACT

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


# --- the public face ---------------------------------------------------------------------------


def fixed_effects(data: pd.DataFrame, x: list[str], w: np.ndarray | None = None) -> np.ndarray:
    """Least squares of y on x with a dummy for every person."""
    root = np.ones(len(data)) if w is None else np.sqrt(w)
    D = pd.get_dummies(data.person).to_numpy(float)
    X = np.hstack([data[x].to_numpy(), D]) * root[:, None]
    return np.linalg.lstsq(X, data.y.to_numpy() * root, rcond=None)[0][: len(x)]


@pytest.mark.parametrize("shape", ["balanced", "unbalanced", "weighted", "missing"])
def test_the_slope_within_is_the_fixed_effects_estimate(shape: str) -> None:
    data = waves().assign(x=lambda d: d.x + 0.3 * d.person % 7, w=lambda d: 1.0 + d.index % 4)
    if shape != "balanced":
        data = data.sample(frac=0.6, random_state=1)
    if shape == "missing":
        data.loc[data.sample(frac=0.2, random_state=2).index, "y"] = np.nan
        data.loc[data.sample(frac=0.2, random_state=3).index, "x"] = np.nan
    weights = "w" if shape == "weighted" else None
    parts = rs.within_between(data, ["x", "t"], "person", weights=weights, complete=["y", "x", "t"])
    between = "x_between" if shape == "balanced" else "x_between + t_between"
    fit = rs.lmm(f"y ~ x_within + t_within + {between} + (1 | person)", parts, weights=weights)
    whole = data.dropna()
    w = whole.w.to_numpy() if weights else None
    expected = fixed_effects(whole, ["x", "t"], w)
    assert fit.tidy().estimate[1:3].to_numpy() == pytest.approx(expected, rel=CONVERGED)
    kept = parts.loc[whole.index]
    assert_allclose((kept.x_within * (1.0 if w is None else w)).groupby(kept.person).sum(), 0,
                    atol=1e-12)  # fmt: skip
    assert kept.groupby("person").x_between.first().mean() == pytest.approx(0.0, abs=1e-12)
    assert parts.x_within.notna().sum() == len(whole)


def test_the_difference_of_both_slopes_is_the_contextual_effect() -> None:
    """y ~ x_within + x_between and y ~ x + x_between are one model (Mundlak 1978)."""
    parts = rs.within_between(waves(), "x", "person")
    split_fit = rs.lmm("y ~ x_within + x_between + (1 | person)", parts)
    mundlak = rs.lmm("y ~ x + x_between + (1 | person)", parts)
    contextual = split_fit.contrast({"gap": {"x_between": 1.0, "x_within": -1.0}}).iloc[0]
    theirs = mundlak.tidy().set_index("term").loc["x_between"]
    assert [contextual.estimate, contextual.std_error, contextual.df] == pytest.approx(
        [theirs.estimate, theirs.std_error, theirs.df], rel=1e-6
    )


def test_a_dataset_keeps_its_labels() -> None:
    book = Codebook({"x": Variable("x", "Satisfaction")})
    found = rs.within_between(Dataset(waves(), book), "x", "person")
    assert isinstance(found, Dataset)
    assert found.label("x_within") == "Satisfaction, against the group's mean"
    assert_allclose(found.frame.x_within, rs.within_between(waves(), "x", "person").x_within)


def test_what_cannot_be_split_is_refused() -> None:
    data = waves()
    with pytest.raises(DataError, match="holds text"):
        rs.within_between(data, "arm", "person")
    with pytest.raises(UsageError, match="x_within already"):
        rs.within_between(data.assign(x_within=1.0), "x", "person")
    with pytest.raises(DataError, match="Did you mean 'person'"):
        rs.within_between(data, "x", "persn")
    with pytest.raises(DataError, match="above 0"):
        rs.within_between(data.assign(w=0.0), "x", "person", weights="w")
