"""Intraclass correlation and R² against performance and psych, and their interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.errors import UsageError
from recovery_stats.models.mixed import lmm
from tests.models.test_mixed import waves
from tests.tolerance import R_DIGITS

HERE = Path(__file__).parent
FROM_R = json.loads((HERE / "mixed_icc.json").read_text())
DATA = pd.DataFrame(json.loads((HERE / "mixed.json").read_text())["data"])


@pytest.mark.parametrize("number", range(len(FROM_R["shares"])))
def test_shares_of_performance(number: int) -> None:
    theirs = FROM_R["shares"][number]
    fit = lmm(theirs["formula"], DATA)
    assert fit.icc() == pytest.approx(theirs["icc"], rel=R_DIGITS)
    r2 = fit.r2()
    assert r2["marginal"] == pytest.approx(theirs["marginal"], rel=R_DIGITS)
    assert r2["conditional"] == pytest.approx(theirs["conditional"], rel=R_DIGITS)


def test_shrout_and_fleiss() -> None:
    """Their ICC(1,1), 0.17, with the limits that psych gives."""
    data = pd.DataFrame({"y": FROM_R["rating"], "target": np.repeat(np.arange(6), 4)})
    found = lmm("y ~ 1 + (1 | target)", data).icc_interval().iloc[0]
    assert found.method == "exact"
    assert found.estimate == pytest.approx(FROM_R["icc1"], rel=R_DIGITS)
    assert found.conf_low == pytest.approx(max(FROM_R["low"], 0.0), abs=1e-9)
    assert found.conf_high == pytest.approx(FROM_R["high"], rel=1e-8)


def test_several_factors_are_simulated() -> None:
    fit = lmm("y ~ t + (1 + t | person) + (1 | house)", waves())
    found = fit.icc_interval(replicates=200).iloc[0]
    assert found.method == "bootstrap"
    assert found.conf_low < found.estimate < found.conf_high
    house = fit.icc_interval("house", replicates=200).iloc[0]
    assert house.estimate == pytest.approx(fit.icc("house"))
    assert house.conf_low < house.estimate < house.conf_high < found.conf_high
    assert fit.icc_interval(replicates=200).equals(fit.icc_interval(replicates=200))


def test_simulated_and_exact_agree_where_both_exist() -> None:
    """With 60 people the two intervals of one design are close."""
    data = waves(people=120)
    exact = lmm("y ~ t + x + (1 | person)", data).icc_interval().iloc[0]
    drawn = lmm("y ~ t + x + (1 | person)", data, weights=np.ones(600)).icc_interval().iloc[0]
    assert [exact.method, drawn.method] == ["exact", "bootstrap"]
    assert [drawn.conf_low, drawn.conf_high] == pytest.approx(
        [exact.conf_low, exact.conf_high], abs=0.03
    )


def test_refusals() -> None:
    fit = lmm("y ~ t + (1 | person) + (1 | house)", waves())
    with pytest.raises(UsageError, match="Did you mean 'house'"):
        fit.icc_interval("hous")
    with pytest.raises(UsageError, match="at least 40"):
        fit.icc_interval(replicates=20)
