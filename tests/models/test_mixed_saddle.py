"""A search that begins beside a saddle goes on to the minimum (values: mixed_saddle.R)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import recovery_stats as rs

HERE = Path(__file__).resolve().parent
FORMULA = "y ~ arm + within + mean + w + within:w + (1 + within | house)"


def cohort() -> pd.DataFrame:
    """20 houses of 6; the slope varies between houses, the intercept does not."""
    rng = np.random.default_rng([20, 0, 62])
    house = np.repeat(np.arange(20), 6)
    w, u, v = rng.normal(size=(3, 20))
    x = rng.normal(size=120)
    y = u[house] / 3 + 0.5 * v[house] * x + rng.normal(size=120)
    mean = (np.bincount(house, x) / 6)[house]
    return pd.DataFrame(
        {"house": house, "arm": house % 2, "within": x - mean, "mean": mean, "w": w[house], "y": y}
    )


def test_the_minimum_beside_a_saddle_is_found() -> None:
    stored = json.loads((HERE / "mixed_saddle.json").read_text(encoding="utf-8"))
    fit = rs.lmm(FORMULA, cohort())
    found = float(fit.glance()["criterion"].iloc[0])
    assert found <= stored["lowest"] + 1e-9
    assert found < stored["lmer"] - 1e-5  # where lmer stops


if __name__ == "__main__":
    cohort().to_csv(sys.argv[1], index=False)
