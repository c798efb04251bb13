"""Table 1 against values worked by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.cell import Count, Share, Spread
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import NotEstimable
from recovery_stats.models.summary import (
    mean_interval,
    missing_by_table,
    missing_table,
    standardised_difference,
    table_one,
)
from tests.tolerance import CLOSED_FORM, EXACT


@pytest.fixture
def data():
    frame = pd.DataFrame(
        {
            "arm": [0.0, 0, 0, 0, 1, 1, 1, 1],
            "age": [30.0, 40, 50, np.nan, 40, 50, 60, np.nan],
            "sex": [1.0, 2, 2, 2, 1, 1, 2, 2],
            "race": [1.0, 1, 2, 3, 3, 3, 2, 1],
        },
        index=pd.RangeIndex(1, 9),
    )
    codebook = Codebook(
        {
            "arm": Variable("arm", "Arm", {0.0: "Usual", 1.0: "House"}, measure="nominal"),
            "age": Variable(
                "age", "Age", {-98.0: "Refused"}, MissingRule((-98.0,)), measure="scale"
            ),
            "sex": Variable("sex", "Sex", {2.0: "Female", 1.0: "Male"}, measure="nominal"),
            "race": Variable("race", "Race", measure="nominal"),
        }
    )
    missing = {"age": pd.Series([-98.0], index=[4])}
    return Dataset(frame, codebook, missing)


def row(table, key):
    return next(r for r in table.rows if r.key == key)


def test_cells_are_typed_and_levels_follow_the_codes(data):
    table = table_one(data, ["age", "sex"], "arm")
    assert [c.label for c in table.columns] == ["All", "Usual", "House", "SMD"]
    assert row(table, "n").cells[:3] == (Count(8), Count(4), Count(4))
    assert row(table, "age").cells[1] == Spread(40.0, 10.0, 3)
    assert [r.label for r in table.rows if r.key.startswith("sex.")] == ["Male", "Female"]
    assert row(table, "sex.2").cells[:3] == (Share(5, 8), Share(3, 4), Share(2, 4))
    assert row(table, "age.missing").cells[:3] == (Share(2, 8), Share(1, 4), Share(1, 4))


def test_missing_of_table_one_is_told_by_reason_only_where_there_is_any(data):
    table = table_one(data, ["age", "sex"], "arm")
    assert row(table, "age.missing.1").label == "Refused"
    assert row(table, "age.missing.1").cells == (Count(1), Count(1), Count(0), None)
    assert row(table, "age.missing.2").label == "No reason recorded"
    assert row(table, "age.missing.2").cells == (Count(1), Count(0), Count(1), None)
    (total,) = (t for t in table.totals if t.axis == "rows")
    assert (total.whole, total.parts) == ("age.missing", ("age.missing.1", "age.missing.2"))
    assert not [r.key for r in table.rows if r.key.startswith("sex.missing")]
    assert "Missing: percentages of all people." in table.notes
    full = table_one(data, ["sex"], "arm")
    assert not any("Missing" in note for note in full.notes)


def test_a_question_that_does_not_apply_is_not_missing(data):
    age = replace(data.variable("age"), values={-98.0: "Not applicable"})
    other = replace(data, codebook=data.codebook.with_variables(age))
    table = table_one(other, ["age"], "arm")
    assert row(table, "age.outside").cells[:3] == (Share(1, 8), Share(1, 4), Share(0, 4))
    assert row(table, "age.missing").cells[:3] == (Share(1, 8), Share(0, 4), Share(1, 4))
    assert not [r for r in table.rows if r.key.startswith("age.missing.")]
    one = table_one(data.with_frame(data.frame.drop(index=8)), ["age"])
    assert row(one, "age.missing").label == "missing: Refused"


def test_standardised_differences_by_hand(data):
    usual, house = (data.with_frame(data.frame[data.frame["arm"] == a]) for a in (0, 1))
    assert standardised_difference(usual, house, "age", []) == pytest.approx(1.0, rel=EXACT)
    # shares of level 2: 3/4 and 2/4; mean variance (3/16 + 4/16) / 2 = 7/32
    sex = standardised_difference(usual, house, "sex", [1.0, 2.0])
    assert sex == pytest.approx(-0.25 / np.sqrt(7 / 32), rel=EXACT)
    # levels 2 and 3: shares (1/4, 1/4) against (1/4, 1/2); d = (0, 1/4)
    # S = mean of diag(p) - pp' : [[3/16, -3/32], [-3/32, 7/32]]; d'S^-1 d = S_11 d_2^2 / det S
    race = standardised_difference(usual, house, "race", [1.0, 2.0, 3.0])
    determinant = 3 / 16 * 7 / 32 - (3 / 32) ** 2
    assert race == pytest.approx(np.sqrt(3 / 16 * (1 / 4) ** 2 / determinant), rel=EXACT)


def test_missing_reasons_add_up(data):
    table = missing_table(data, ["age", "sex"])
    assert [c.label for c in table.columns] == [
        "Rows",
        "Observed",
        "Refused",
        "No reason recorded",
    ]
    assert row(table, "age").cells == tuple(Count(n, "rows") for n in (8, 6, 1, 1))


def test_one_group_is_refused_by_name(data):
    one = data.with_frame(data.frame[data.frame["arm"] == 1])
    with pytest.raises(NotEstimable, match="'arm' has 1 level left"):
        table_one(one, ["age"], "arm")


def test_missing_by_level_adds_up_and_tells_no_observed(data):
    table = missing_by_table(data, ["age", "sex"], "arm")
    assert [c.label for c in table.columns] == ["Refused", "No reason recorded"]
    assert [r.label for r in table.rows] == ["Age", "Usual", "House"]
    assert [tuple(c.n for c in r.cells) for r in table.rows] == [(1, 1), (1, 0), (0, 1)]
    assert table.totals[0].whole == "age"
    assert table.totals[0].parts == ("age.1", "age.2")
    unknown = data.with_frame(data.frame.assign(arm=data.frame["arm"].where(data.frame.index != 4)))
    assert missing_by_table(unknown, ["age"], "arm").rows[-1].label == "Not known"
    assert not missing_by_table(data, ["sex"], "arm").rows


def test_interval_of_a_mean_is_students():
    values = pd.Series([1.0, 2.0, 3.0, np.nan])
    # The quantile of 2 df in closed form: (2p - 1) / sqrt(2p (1 - p)), p = 0.975; sd 1.
    reach = 0.95 / np.sqrt(2 * 0.975 * 0.025) / np.sqrt(3)
    assert mean_interval(values, 0.95) == pytest.approx((2, 2 - reach, 2 + reach), rel=CLOSED_FORM)
    assert np.isnan(mean_interval(values[:1], 0.95)[1])
