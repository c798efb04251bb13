"""Coefficients over time: against R, recovery of a truth that changes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES, ZPH

R = json.loads((Path(__file__).parent / "schoenfeld.json").read_text())
LUNG = pd.DataFrame(R["data"]).rename(columns={"ph.karno": "karno"})
TERMS = {"age": "age", "sex": "sex", "karno": "ph.karno"}


@pytest.mark.parametrize("term", TERMS)
def test_smoothed_residuals_as_in_r(term: str) -> None:
    fit = rs.cox("Surv(time, event) ~ age + sex + karno", LUNG)
    found, r = fit.over_time(term), R["smooth"][TERMS[term]]
    np.testing.assert_allclose(found["time"], R["time"], rtol=CLOSED_FORM)
    scale = np.abs(r["estimate"]).max()
    np.testing.assert_allclose(found["estimate"], r["estimate"], atol=ZPH * scale)
    half = (found["conf_high"] - found["conf_low"]) / 2 / 1.959963984540054
    np.testing.assert_allclose(half, r["spread"], rtol=ZPH)


def follow(seed: int, early: float, late: float, people: int = 4000) -> pd.DataFrame:
    """Hazard 1 × exp(early x) until time 0.5, then exp(late x); censored at 2."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 2, people)
    before, after = np.exp(early * x), np.exp(late * x)
    area = draw.exponential(size=people)
    time = np.where(area < 0.5 * before, area / before, 0.5 + (area - 0.5 * before) / after)
    return pd.DataFrame({"t": np.minimum(time, 2), "d": (time < 2).astype(int), "x": x})


def test_an_effect_that_stays_lies_within_the_band_about_as_often_as_it_says() -> None:
    """At the middle of the curve; 200 samples, Monte Carlo error."""
    inside = 0
    for seed in range(200):
        fit = rs.cox("Surv(t, d) ~ x", follow(seed, 0.7, 0.7, 400))
        row = fit.over_time("x").iloc[20]
        inside += row["conf_low"] <= 0.7 <= row["conf_high"]
    assert abs(inside / 200 - 0.95) < MONTE_CARLO_SES * np.sqrt(0.95 * 0.05 / 200)


def test_an_effect_that_fades_is_seen_to() -> None:
    found = rs.cox("Surv(t, d) ~ x", follow(1, 1.2, 0.0)).over_time("x")
    first, last = found.iloc[0], found.iloc[-1]
    assert first["conf_low"] > 0.6
    assert last["conf_low"] < 0 < last["conf_high"]


def test_refused() -> None:
    fit = rs.cox("Surv(time, event) ~ age", LUNG)
    with pytest.raises(UsageError, match="Did you mean 'age'"):
        fit.over_time("aged")
    few = rs.cox("Surv(time, event) ~ age", LUNG.sort_values("time").head(20))
    with pytest.raises(NotEstimable, match="needs 40 event times"):
        few.over_time("age", df=10)
    tied = LUNG.assign(time=np.where(LUNG["time"] < 500, 28.0, LUNG["time"]))
    with pytest.raises(NotEstimable, match="share their time"):
        rs.cox("Surv(time, event) ~ age", tied).over_time("age")
