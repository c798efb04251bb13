"""Likelihood-ratio tests of generalised mixed models: glmmTMB, mixtures, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import chi2

import recovery_stats as rs
from recovery_stats.errors import UsageError

SHORT = 5e-5  # glmmTMB stops this far below a maximum on the boundary

HERE = Path(__file__).parent
THEIRS = json.loads((HERE / "generalised_ratio.json").read_text())
FRAME = pd.DataFrame(json.loads((HERE / "generalised_after.json").read_text())["data"])


def fit(formula: str, family: str, **options: Any) -> Any:
    return rs.glmm(formula, FRAME, family=family, **options)


PAIRS = [
    (("used ~ x + (1 | person)", "binomial"), ("used ~ x + arm + (1 | person)", "binomial")),
    (
        ("nb ~ x + (1 | person)", "negative-binomial"),
        ("nb ~ x + (1 + x | person)", "negative-binomial"),
    ),
    (("nb ~ x + (1 | person)", "poisson"), ("nb ~ x + (1 | person)", "negative-binomial")),
]


@pytest.mark.parametrize("number", range(3))
def test_glmmtmb_and_the_boundary(number: int) -> None:
    smaller, larger = (fit(*p) for p in PAIRS[number])
    row, theirs = rs.compare(larger, smaller).iloc[1], THEIRS[number]
    assert row["statistic"] == pytest.approx(theirs["statistic"], abs=SHORT)
    assert row["df"] == theirs["df"]
    assert row["p_value_naive"] == pytest.approx(theirs["p"], abs=SHORT)
    half = 0.5 * (chi2.sf(row["statistic"], 1) + chi2.sf(row["statistic"], 2))
    expected = [theirs["p"], half, 0.5 * row["p_value_naive"]][number]
    assert row["p_value"] == pytest.approx(expected, abs=SHORT)


def test_refusals() -> None:
    plain = fit("used ~ x + (1 | person)", "binomial")
    other = fit("used ~ arm + x + (1 | person)", "binomial", quadrature=5)
    with pytest.raises(UsageError, match="quadrature"):
        rs.compare(plain, other)
    with pytest.raises(UsageError, match="other rows or outcomes"):
        rs.compare(plain, fit("k ~ x + arm + (1 | person)", "poisson"))
    with pytest.raises(UsageError, match="linear mixed"):
        rs.compare(plain, plain, method="bootstrap")
    with pytest.raises(UsageError, match="different weights or offset"):
        rs.compare(
            fit("k ~ x + (1 | person)", "poisson"),
            fit("k ~ x + arm + offset(time) + (1 | person)", "poisson"),
        )
    with pytest.raises(UsageError, match="Not nested"):
        rs.compare(plain, fit("used ~ arm + (1 + time | person)", "binomial"))
