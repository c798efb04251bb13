"""Averages over the population at values of a number, and over thresholds of an ordinal outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import UsageError
from recovery_stats.models import generalised_population
from tests.models.test_generalised_after import FRAME
from tests.tolerance import CLOSED_FORM, DERIVATIVE

DATA = FRAME.assign(band=np.digitize(FRAME["nb"], [1, 4]))


@pytest.fixture(scope="module")
def ordinal() -> Any:
    return rs.glmm("band ~ x + arm + (1 + x | person)", DATA, family="ordinal")


def test_means_at_a_value_are_predictions_for_everybody_moved_there(ordinal: Any) -> None:
    found = ordinal.population_means("x", at=[-0.5, 1.0], above="1")
    for value, mean in zip((-0.5, 1.0), found["estimate"], strict=True):
        chances = ordinal.predict(DATA.assign(x=value), random="average")
        assert mean == pytest.approx(chances["2"].mean(), rel=CLOSED_FORM)
    counts = rs.glmm("nb ~ x + arm + (1 + x | person)", DATA, family="poisson")
    rate = counts.population_means("x", at=[1.0])["estimate"][0]
    moved = counts.predict(DATA.assign(x=1.0), random="average")
    assert rate == pytest.approx(moved.mean(), rel=CLOSED_FORM)


def test_errors_move_with_thresholds_coefficients_and_variances(ordinal: Any) -> None:
    """The gradient by finite differences of the parameters that the mean depends on."""
    _, (average,) = generalised_population._standardised(ordinal, "x", [1.0], "0")
    step = 1e-6
    engine = ordinal.engine

    def mean(**moved: Any) -> float:
        fit = replace(ordinal, engine=replace(engine, **moved))
        return float(fit.population_means("x", at=[1.0], above="0")["estimate"][0])

    for k in range(engine.own.size):
        e = step * np.eye(engine.own.size)[k]
        slope = (mean(own=engine.own + e) - mean(own=engine.own - e)) / (2 * step)
        assert average.gradient[engine.n_theta + engine.p + k] == pytest.approx(
            slope, rel=DERIVATIVE, abs=1e-9
        )
    for j in range(engine.p):
        e = step * engine.units.A[:, j]
        slope = (mean(beta=engine.beta + e) - mean(beta=engine.beta - e)) / (2 * step)
        assert average.gradient[engine.n_theta + j] == pytest.approx(slope, rel=DERIVATIVE)


def test_effects_are_differences_of_means(ordinal: Any) -> None:
    means = ordinal.population_means("x", at=[0, 1], above="0")["estimate"]
    effect = ordinal.population_effects("x", at=[0, 1], above="0")
    assert effect["contrast"].tolist() == ["1 - 0"]
    assert effect["estimate"][0] == pytest.approx(means[1] - means[0], rel=CLOSED_FORM)


@pytest.mark.parametrize(
    ("by", "options", "word"),
    [("x", {"at": [0]}, "above="), ("x", {"at": [0], "above": "2"}, "category"),
     ("arm", {"at": [0], "above": "0"}, "number"), ("x", {"above": "0"}, "factor")],
)  # fmt: skip
def test_what_cannot_be_averaged_is_refused(
    ordinal: Any, by: str, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        ordinal.population_means(by, **options)
    binary = rs.glmm("used ~ x + (1 | person)", pd.DataFrame(DATA))
    with pytest.raises(UsageError, match="ordinal"):
        binary.population_means("x", at=[0], above="1")
