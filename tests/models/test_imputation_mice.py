"""Pooled estimates after impute() and after mice, within the Monte Carlo error of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from tests.tolerance import MONTE_CARLO_SES

R: dict[str, Any] = json.loads(Path(__file__).with_name("imputation.json").read_text())


def _nhanes() -> pd.DataFrame:
    raw = R["nhanes"]
    return pd.DataFrame(
        {
            "age": raw["age"],
            "bmi": np.array(raw["bmi"], dtype=float),
            "hyp": raw["hyp"],
            "chl": np.array(raw["chl"], dtype=float),
        }
    )


def _boys() -> pd.DataFrame:
    raw = R["boys"]
    frame = pd.DataFrame({k: np.array(raw[k], float) for k in ("age", "hgt", "wgt", "hc")})
    return frame.assign(gen=raw["gen"], reg=pd.Categorical(raw["reg"], R["reg"]))


CASES: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "nhanes_pmm": (_nhanes, lambda d: rs.glm("chl ~ age + bmi + hyp", d), {}),
    "boys_pmm": (_boys, lambda d: rs.glm("wgt ~ age + hgt + hc + gen + reg", d), {}),
    "boys_norm": (
        _boys, lambda d: rs.glm("wgt ~ age + hgt + hc + gen + reg", d),
        dict.fromkeys(("hgt", "wgt", "hc"), "normal"),
    ),
    "boys_logistic": (
        _boys,
        lambda d: rs.glm(
            "late ~ age + hgt + wgt", d.assign(late=(d["gen"] == "late") * 1), family="binomial"
        ),
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_pooled_estimates_as_after_mice(case: str) -> None:
    make, model, methods = CASES[case]
    data, want, m = make(), R[case], 100
    imputed = rs.impute(data, m, seed=3, methods=methods)
    fit = imputed.fit(model)
    found, theirs = fit.rules, {k: np.array(want[k], float) for k in ("estimate", "within")}
    B, B_theirs = found.between, np.array(want["between"], float)
    pooled = np.maximum(B, B_theirs)
    error = np.sqrt(pooled / m + B_theirs / want["m"])
    assert (abs(found.estimate - theirs["estimate"]) < MONTE_CARLO_SES * error).all()
    # log variance between has a Monte Carlo error of about sqrt(2 / (m - 1))
    apart = abs(np.log(B / B_theirs))
    assert (apart < MONTE_CARLO_SES * np.sqrt(2 / (m - 1) + 2 / (want["m"] - 1))).all()
    np.testing.assert_allclose(found.within, theirs["within"], rtol=0.25)
