"""Survival cases in other words: values that R, arithmetic or another call of ours gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    from reference_case.answer import answer
finally:
    sys.path.remove(str(SCRIPTS))

generator = np.random.default_rng(7)
N = 60
FRAME = pd.DataFrame(
    {
        "time": generator.integers(1, 30, N),
        "ev": generator.integers(0, 3, N),
        "x": generator.normal(size=N).round(2),
        "z": generator.normal(size=N).round(2),
        "arm": generator.integers(0, 2, N),
        "w": generator.uniform(0.3, 2, N).round(2),
    }
)
FRAME["event"] = (FRAME["ev"] > 0).astype(int)


def _values(folder: Path, description: str = "", **model: Any) -> dict[str, float | None]:
    FRAME.to_csv(folder / "case.csv", index=False)
    raw = {"description": description, "model": model, "factors": [], "data": "case.csv"}
    (folder / "case.json").write_text(json.dumps(raw), encoding="utf-8")
    found = answer(folder / "case.json")
    assert found.note == ""
    return dict(found.values)


def test_several_treatments_of_ties(tmp_path: Path) -> None:
    values = _values(tmp_path, type="cox", formula="Surv(time, event) ~ x", ties="efron / breslow")
    for ties in ("efron", "breslow"):
        fit = rs.cox("Surv(time, event) ~ x", FRAME, ties=ties)  # type: ignore[arg-type]
        assert values[f"{ties}.beta[x]"] == fit.beta[0]
    assert values["beta[x]"] == values["efron.beta[x]"]


def test_strata_in_a_product(tmp_path: Path) -> None:
    """Without tied effects the two strata fit apart: the sum is the second stratum's effect."""
    values = _values(tmp_path, type="cox", formula="Surv(time, event) ~ x * strata(arm)")
    second = rs.cox("Surv(time, event) ~ x", FRAME[FRAME["arm"] == 1]).beta[0]
    total = (values["beta[x]"] or 0) + (values["beta[x:strata(arm)arm=1]"] or 0)
    assert total == pytest.approx(second, abs=1e-8)


@pytest.mark.parametrize("words", ["Fine-Gray of death (failcode 2).", "Subdistribution, cause 2."])
def test_the_cause_in_words(tmp_path: Path, words: str) -> None:
    values = _values(tmp_path, words, type="competing", formula="time, ev ~ x")
    fit = rs.fine_gray("Surv(time, ev) ~ x", FRAME, cause=2)
    assert values["fg.beta[x]"] == values["fg2.beta[x]"] == fit.beta[0]


def test_the_weights_of_a_curve_are_not_forgotten(tmp_path: Path) -> None:
    values = _values(tmp_path, type="km", time="time", event="event", weights="w", conf="log")
    fit = rs.kaplan_meier("Surv(time, event) ~ 1", FRAME, weights="w")
    assert values["surv[|10]"] == fit.at(10)["estimate"].iloc[0]


def test_a_curve_from_the_hazard(tmp_path: Path) -> None:
    model = {"type": "km", "time": "time", "event": "event", "conf": "log"}
    values = _values(tmp_path, estimator="fleming-harrington", **model)
    assert values["surv[|10]"] == pytest.approx(np.exp(-(values["cumhaz[|10]"] or 0)), rel=1e-14)


def test_the_rho_of_a_test(tmp_path: Path) -> None:
    values = _values(tmp_path, type="logrank", formula="Surv(time, event) ~ arm", rho=0.5)
    found = rs.logrank("Surv(time, event) ~ arm", FRAME, rho=0.5).tidy()
    assert values["chisq"] == found["statistic"].iloc[0]


class TestWhoseCounts:
    def test_the_only_marker(self, tmp_path: Path) -> None:
        values = _values(tmp_path, type="concordance", formula="Surv(time, event) ~ x")
        assert values["concordance"] == values["c_x"]
        assert values["concordant"] == values["concordant[x]"]

    def test_the_one_told(self, tmp_path: Path) -> None:
        said = "Harrell's C of x and of z; counts of z."
        values = _values(tmp_path, said, type="concordance", time="time", event="event")
        assert values["concordant"] == values["concordant[z]"] != values["concordant[x]"]

    def test_a_direction_told_is_kept(self, tmp_path: Path) -> None:
        both = [
            _values(tmp_path, type="concordance", formula="Surv(time, event) ~ x", reverse=way)
            for way in (True, False)
        ]
        assert (both[0]["c_x"] or 0) + (both[1]["c_x"] or 0) == pytest.approx(1, abs=1e-12)


def test_a_normal_law_of_time_itself_is_least_squares(tmp_path: Path) -> None:
    """Without censoring: coefficients, scale and likelihood in closed form."""
    FRAME["all"] = 1
    values = _values(tmp_path, type="aft", formula="Surv(time, all) ~ x", dist="gaussian")
    X = np.column_stack([np.ones(N), FRAME["x"]])
    beta, rss = np.linalg.lstsq(X, FRAME["time"], rcond=None)[:2]
    scale = float(np.sqrt(rss[0] / N))
    loglik = -N / 2 * (np.log(2 * np.pi * scale**2) + 1)
    assert values["beta[x]"] == pytest.approx(beta[1], rel=1e-8)
    assert values["scale"] == pytest.approx(scale, rel=1e-8)
    assert values["loglik"] == pytest.approx(loglik, rel=1e-10)


def test_an_offset_counts_in_the_order_of_people() -> None:
    """Concordance of the linear predictor, offset and all."""
    fit = rs.cox("Surv(time, event) ~ x + offset(z)", FRAME)
    rows = FRAME.assign(predictor=fit.beta[0] * FRAME["x"] + FRAME["z"])
    found = rs.concordance("Surv(time, event) ~ predictor", rows, reverse=True).tidy()
    assert fit.glance()["concordance"].iloc[0] == pytest.approx(
        found["estimate"].iloc[0], abs=1e-12
    )
