"""Agreement of raters against psych::ICC and the printed table of Shrout and Fleiss."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable

HERE = Path(__file__).parent
PSYCH = json.loads((HERE / "rater_icc.json").read_text())
COLUMNS = ("estimate", "statistic", "num_df", "den_df", "p_value", "conf_low", "conf_high")
SHROUT_FLEISS = pd.DataFrame(
    {"j1": [9, 6, 8, 7, 10, 6], "j2": [2, 1, 4, 1, 5, 2], "j3": [5, 3, 6, 2, 6, 4],
     "j4": [8, 2, 8, 6, 9, 7]}
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(PSYCH))
def test_psych(name):
    case = PSYCH[name]
    frame = pd.DataFrame(case["y"]).add_prefix("j")
    found = rs.rater_icc(frame, list(frame)).tidy().set_index("term").loc[case["term"]]
    for column in COLUMNS:
        np.testing.assert_allclose(found[column], case[column], rtol=1e-10, err_msg=column)


def test_the_table_of_shrout_and_fleiss():
    """Table 4 of the paper: .17, .29, .71 for one judge, .44, .62, .91 for the mean of four."""
    found = rs.rater_icc(SHROUT_FLEISS, list(SHROUT_FLEISS)).tidy().set_index("term")
    printed = {"ICC1": 0.17, "ICC2": 0.29, "ICC3": 0.71, "ICC1k": 0.44, "ICC2k": 0.62,
               "ICC3k": 0.91}  # fmt: skip
    assert found["estimate"].round(2).to_dict() == printed


def test_the_mean_of_fixed_raters_is_alpha():
    from pingouin import cronbach_alpha

    found = rs.rater_icc(SHROUT_FLEISS, list(SHROUT_FLEISS)).tidy().set_index("term")
    assert found.loc["ICC3k", "estimate"] == pytest.approx(cronbach_alpha(SHROUT_FLEISS)[0])


def test_incomplete_targets_are_left_out_and_counted():
    more = pd.concat([SHROUT_FLEISS, pd.DataFrame({"j1": [3.0], "j2": [4.0]})])
    found = rs.rater_icc(more, list(more))
    assert found.glance()["left_out"].item() == 1
    whole = rs.rater_icc(SHROUT_FLEISS, list(SHROUT_FLEISS))
    pd.testing.assert_frame_equal(found.tidy(), whole.tidy())
    assert found.checks()[0].verdict == "caution"


def test_refusals():
    with pytest.raises(NotEstimable, match="two raters"):
        rs.rater_icc(SHROUT_FLEISS, ["j1"])
    with pytest.raises(NotEstimable, match="two or more"):
        rs.rater_icc(SHROUT_FLEISS.head(1), list(SHROUT_FLEISS))
    with pytest.raises(NotEstimable, match="by a constant"):
        rs.rater_icc(SHROUT_FLEISS.assign(j2=SHROUT_FLEISS["j1"] + 2), ["j1", "j2"])
    with pytest.raises(DataError, match="text"):
        rs.rater_icc(SHROUT_FLEISS.assign(j2=list("abcdef")), ["j1", "j2"])
