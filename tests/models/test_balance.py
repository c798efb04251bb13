"""Balance and standardised effect sizes against values worked by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import NotEstimable
from recovery_stats.models.balance import balance, balance_table, love_figure
from recovery_stats.models.effect_size import hedges_g, paired_d
from tests.tolerance import CLOSED_FORM, EXACT


@pytest.fixture
def data():
    frame = pd.DataFrame(
        {
            "arm": [0.0, 0, 0, 0, 1, 1, 1, 1],
            "age": [30.0, 40, 50, np.nan, 40, 50, 60, 50],
            "sex": [1.0, 2, 2, 2, 1, 1, 2, 2],
            "race": [1.0, 1, 2, 3, 3, 3, 2, 1],
            "w": [1.0, 1, 1, 1, 1, 1, 1, 3],
        },
        index=pd.RangeIndex(1, 9),
    )
    codebook = Codebook(
        {
            "sex": Variable("sex", "Sex", {1.0: "Male", 2.0: "Female"}, measure="nominal"),
            "race": Variable("race", "Race", {1.0: "A", 2.0: "B", 3.0: "C"}, measure="nominal"),
        }
    )
    return Dataset(frame, codebook)


def test_a_scale_by_hand(data):
    (age,) = balance(data, ["age"], "arm")
    # means 40 and 50; variances 100 and 200/3
    assert age.difference == pytest.approx(10 / np.sqrt((100 + 200 / 3) / 2), rel=EXACT)
    assert age.variance_ratio == pytest.approx(2 / 3, rel=EXACT)
    assert age.imbalanced


def test_levels_of_a_factor_by_hand(data):
    (sex,) = balance(data, ["sex"], "arm")
    assert sex.difference == pytest.approx(-0.25 / np.sqrt((3 / 16 + 4 / 16) / 2), rel=EXACT)
    assert np.isnan(sex.variance_ratio)
    assert sex.label == "Sex: Female"
    assert [b.label for b in balance(data, ["race"], "arm")] == ["Race: A", "Race: B", "Race: C"]


def test_weights_give_the_difference_after(data):
    (sex,) = balance(data, ["sex"], "arm", weights="w")
    # the weighted share of level 2 in arm 1 is 4/6; in arm 0 it stays 3/4
    assert sex.after == pytest.approx((4 / 6 - 3 / 4) / np.sqrt((3 / 16 + 4 / 16) / 2), rel=EXACT)
    table = balance_table((sex,))
    assert [c.label for c in table.columns] == ["SMD", "SMD weighted", "Variance ratio"]
    assert love_figure((sex,)).after == (abs(sex.after),)


def test_a_constant_column_has_no_balance(data):
    constant = data.with_frame(data.frame.assign(age=40.0))
    assert balance(constant, ["age"], "arm") == ()


def test_hedges_g_by_hand():
    x, y = np.array([3.0, 5, 7, 9]), np.array([1.0, 2, 3])
    pooled = np.sqrt((3 * x.var(ddof=1) + 2 * y.var(ddof=1)) / 5)
    g = (6 - 2) / pooled * (1 - 3 / (4 * 7 - 9))
    found = hedges_g(x, y, level=0.95)
    assert found.value == pytest.approx(g, rel=CLOSED_FORM)
    se = np.sqrt(7 / 12 + g**2 / 14)
    assert found.se == pytest.approx(se, rel=CLOSED_FORM)
    assert found.high - found.low == pytest.approx(2 * 2.570581835636314 * se, rel=CLOSED_FORM)


def test_a_design_effect_widens_the_interval_only():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.4, 1, 50), rng.normal(0, 1, 40)
    plain, clustered = hedges_g(x, y, level=0.95), hedges_g(x, y, level=0.95, design_effect=2.0)
    assert clustered.value == plain.value
    assert clustered.se == pytest.approx(np.sqrt(2) * plain.se, rel=CLOSED_FORM)


def test_values_that_do_not_vary_have_no_standardised_difference():
    with pytest.raises(NotEstimable, match="values that vary"):
        hedges_g(np.ones(5), np.ones(4), level=0.95)


def test_paired_reference_case():
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.exists():
        pytest.skip("the reference cases are not beside this checkout")
    case = json.loads((folder / "effsize_paired.json").read_text())
    frame = pd.read_csv(folder / "effsize_paired.csv")
    found = paired_d(frame["drug1"].to_numpy(), frame["drug2"].to_numpy())
    expected = [case["values"][k] for k in ("dz", "dz_lo", "dz_hi")]
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=case["tol"]["dz"])
