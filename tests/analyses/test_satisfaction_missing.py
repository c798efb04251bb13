"""The panel on missing waves: each row against the table filled by hand, closed forms, a truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.split import split
from tests.analyses.test_relationship_satisfaction import ask, demeaned, least_squares, panel, words
from tests.tolerance import CONVERGED, MONTE_CARLO_SES

SHIFT = 0.5


def gappy(people: int = 200, waves: int = 2, seed: int = 3) -> pd.DataFrame:
    """The outcome is lost more often where satisfaction is high for the person."""
    data = panel(people, waves, seed)
    rng = np.random.default_rng(seed + 1)
    high = data["x"] > data.groupby("pid")["x"].transform("mean")
    data.loc[rng.random(len(data)) < np.where(high, 0.3, 0.1), "y"] = np.nan
    return data


def test_complete_people_are_the_answer_from_them_alone() -> None:
    data = gappy()
    whole = data[~data["pid"].isin(data.loc[data["y"].isna(), "pid"])]
    alone = ask(whole)
    assert_allclose(ask(data)["missing[complete]"].value, alone["within"].value, rtol=CONVERGED)
    assert "missing_panel" not in alone.tables


def test_values_carried_forward_are_the_answer_from_the_table_filled_by_hand() -> None:
    data = gappy(waves=4)
    data.loc[::17, "x"] = np.nan
    by_hand = data.copy()
    for column in ("x", "y"):
        before = np.nan
        for k, row in enumerate(data.itertuples()):
            before = np.nan if row.wave == 0 else before
            before = getattr(row, column) if not np.isnan(getattr(row, column)) else before
            by_hand.loc[k, column] = before
    found = ask(data)["missing[carried]"]
    assert_allclose(found.value, ask(by_hand)["within"].value, rtol=CONVERGED)


def test_shifted_outcomes_move_the_slope_by_its_closed_form() -> None:
    """Balanced and two waves: least squares of deviations, so the shift adds its own slope."""
    data = gappy()
    result = ask(data)
    lost = demeaned(data.assign(lost=data["y"].isna().astype(float)), "lost")
    step = SHIFT * data["y"].std() * least_squares(demeaned(data, "x", "wave"), lost)[0, 0]
    at_random = result["missing[imputed]"].value
    for sign, name in ((-1, "missing[outcome-0.5]"), (1, "missing[outcome+0.5]")):
        assert_allclose(result[name].value - at_random, sign * step, rtol=1e-6)


def test_imputation_at_random_finds_the_slope_that_was_put_in() -> None:
    found = ask(gappy(people=800, waves=3))["missing[imputed]"]
    assert abs(found.value + 1.0) < MONTE_CARLO_SES * found.se
    assert found.method.startswith("20 imputations")


def test_the_pattern_mixture_weighs_by_people_not_by_their_rows() -> None:
    """Half the people lack a wave and have a slope of -3, the others -1: -2 over all people."""
    data = panel(1200, 4, 5)
    lacking = data["pid"] % 2 == 1
    moved = data["x"] - data.groupby("pid")["x"].transform("mean")
    data["y"] -= 2 * lacking * moved
    data.loc[lacking & (data["wave"] >= 2), "y"] = np.nan
    result = ask(data)
    found = result["missing[mixture]"]
    assert abs(found.value + 2.0) < MONTE_CARLO_SES * found.se
    assert result["within"].value > -2.0 + MONTE_CARLO_SES * result["within"].se


def test_the_error_of_the_pattern_mixture_takes_in_that_of_the_share() -> None:
    """By hand: the combination's variance, and the squared difference times p(1-p)/n."""
    data = gappy(waves=3)
    lost = data.loc[data["y"].isna(), "pid"]
    used = split(Dataset(data.dropna()), "x", "pid").frame
    used = used.rename(columns={"x (within)": "dev", "x (between)": "usual"})
    used["lack"] = used["pid"].isin(lost).astype(float)
    fit = rs.lmm("y ~ wave + dev + usual + lack + lack:dev + lack:wave + (1 + wave | pid)", used)
    share = used.groupby("pid")["lack"].first().mean()
    people = used["pid"].nunique()
    by_hand = fit.estimate({"dev": 1.0, "lack:dev": share}, name="", label="")
    variance = by_hand.se**2 + fit.coefficient("lack:dev") ** 2 * share * (1 - share) / people
    found = ask(data)["missing[mixture]"]
    assert_allclose((found.value, found.se**2), (by_hand.value, variance), rtol=1e-5)


def test_rows_that_do_not_apply_say_why() -> None:
    told = words(ask(gappy()))
    assert "does not apply" in told
    assert "there is no worst one" in told


@pytest.mark.parametrize(("name", "value"), [("missing[yes]", 1.0), ("missing[no]", 0.0)])
def test_a_missing_yes_or_no_is_counted_as_either(name: str, value: float) -> None:
    data = gappy(people=150, waves=3)
    data["y"] = (data["y"] > data["y"].median()).where(data["y"].notna()).astype(float)
    found = ask(data, family="binomial")[name]
    filled = ask(data.fillna({"y": value}), family="binomial")
    assert_allclose(found.value, filled["within"].value, rtol=CONVERGED)


def test_covariates_alone_that_are_missing_make_no_panel() -> None:
    data = panel()
    persons = pd.DataFrame(
        {"pid": range(60), "z": [np.nan if k % 5 == 0 else k for k in range(60)]}
    )
    assert "missing_panel" not in ask(data, persons, adjust=["z"]).tables
