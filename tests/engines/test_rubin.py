"""Rubin's rules: paper, limits, and mice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recovery_stats.engines import rubin
from tests.tolerance import CLOSED_FORM, EXACT

R: dict[str, Any] = json.loads(Path(__file__).with_name("rubin.json").read_text())


def test_two_answers_on_paper() -> None:
    found = rubin.pool(np.array([[1.0], [3.0]]), np.array([[4.0], [6.0]]), np.array([np.inf]))
    assert found.estimate[0] == 2.0
    assert found.within[0] == 5.0
    assert found.between[0] == 2.0
    assert found.total[0] == 8.0
    assert found.riv[0] == pytest.approx(0.6, rel=EXACT)
    assert found.df[0] == pytest.approx(1.0 / 0.375**2, rel=EXACT)
    assert found.fmi[0] == pytest.approx((0.6 + 2.0 / (found.df[0] + 3.0)) / 1.6, rel=EXACT)


def test_nothing_missing_leaves_the_answer_alone() -> None:
    found = rubin.pool(np.full((3, 1), 2.0), np.full((3, 1), 4.0), np.array([17.0]))
    assert found.total[0] == 4.0
    assert found.df[0] == pytest.approx(18.0 / 20.0 * 17.0, rel=EXACT)
    assert found.riv[0] == 0.0


@pytest.mark.parametrize("case", ["lm", "glm", "infinite"])
def test_df_and_fmi_as_in_mice(case: str) -> None:
    want = {k: np.asarray(v) for k, v in R[case].items() if k != "term"}
    m = 5 if case == "glm" else 6
    dfcom = np.inf if case == "infinite" else want["dfcom"].astype(float)
    dfcom = np.broadcast_to(dfcom, want["riv"].shape)
    df = rubin.barnard_rubin(m, want["lambda"], dfcom)
    np.testing.assert_allclose(df, want["df"], rtol=CLOSED_FORM)
    found = rubin.Pooled(m, want["estimate"], want["within"], want["between"], df)
    for name, ours in (("riv", found.riv), ("lambda", found.share), ("fmi", found.fmi)):
        np.testing.assert_allclose(ours, want[name], rtol=CLOSED_FORM)


def test_one_coefficient_makes_d1_the_square_of_t() -> None:
    q, u = np.array([[1.0], [1.4], [0.7]]), np.array([[0.2], [0.25], [0.22]])
    one = rubin.pool(q, u, np.array([np.inf]))
    within, between = rubin.pool_covariance(q, u[:, :, None])
    test = rubin.d1(one.estimate, within, between, 3, np.inf)
    assert test.statistic == pytest.approx(float(one.estimate[0] ** 2 / one.total[0]), rel=EXACT)


def test_d3_of_mices_own_deviances() -> None:
    d = {k: np.array(v) for k, v in R["mice_deviances"].items()}
    found = rubin.d3(d["dev0.M"] - d["dev1.M"], d["dev0.L"] - d["dev1.L"], 2)
    F, num, den, p, riv = R["mice_D3"]
    ours = [found.statistic, found.num_df, found.den_df, found.p_value, found.riv]
    np.testing.assert_allclose(ours, [F, num, den, p, riv], rtol=CLOSED_FORM)


def test_reiters_df_grow_into_the_large_samples() -> None:
    near = rubin._df_of_d1(3, 10, 0.4, 1e9)
    assert near == pytest.approx(rubin._df_of_d1(3, 10, 0.4, np.inf), rel=0.2)
    assert rubin._df_of_d1(3, 10, 0.4, 30.0) < 30.0


def test_imputations_of_von_hippel() -> None:
    # von Hippel 2020: fmi .49 known exactly and a CV of .05 need 1 + .5 (.49 / .05)^2 = 49.02
    assert rubin.imputations_needed(0.49, 10**9) == 50
    # by hand: expit(1.95996 sqrt(2/5)) = 0.77549, and 1 + (0.77549 / 0.05)^2 / 2 = 121.3
    assert rubin.imputations_needed(0.5, 5) == 122
    assert rubin.imputations_needed(0.39, 5) > rubin.imputations_needed(0.39, 50)
