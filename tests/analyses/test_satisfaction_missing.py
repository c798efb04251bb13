"""The panel on missing waves: each row against the table filled by hand, closed forms, a truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.analyses import _satisfaction_missing, _satisfaction_missing_table
from recovery_stats.core.bar import CellOf
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.result import Result
from recovery_stats.errors import ConvergenceError, NotEstimable
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


def cells_of(result: Result) -> set[CellOf]:
    """The place of every cell of every table."""
    return {
        CellOf(t.name, row.key, head.key)
        for t in result.tables.values()
        for row in t.rows
        for head, _ in zip(t.columns, row.cells, strict=False)
    }


def test_complete_people_are_the_answer_from_them_alone() -> None:
    data = gappy()
    whole = data[~data["pid"].isin(data.loc[data["y"].isna(), "pid"])]
    alone, found = ask(whole), ask(data)
    assert_allclose(found["missing[complete]"].value, alone["within"].value, rtol=CONVERGED)
    assert "missing_panel" not in alone.tables
    assert "missingness" not in alone.figures
    bars = [bar for bar in found.figures["missingness"].bars if bar.of]
    assert [bar.label for bar in bars] == ["All", "0", "1"]
    assert {place for bar in bars for place in (*bar.parts, bar.of)} <= cells_of(found)


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


def yes_or_no(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(y=(data["y"] > data["y"].median()).where(data["y"].notna()).astype(float))


def test_a_yes_or_no_is_imputed_as_one_and_its_odds_are_shifted() -> None:
    """More is lost where x is high, so that a missing yes more often there raises the slope."""
    found = ask(yes_or_no(gappy(people=120, waves=3)), family="binomial")
    rows = [found[f"missing[{n}]"] for n in ("outcome/2", "imputed", "outcome*2")]
    assert [r.scale for r in rows] == ["ratio"] * 3
    assert rows[0].value < rows[1].value < rows[2].value
    assert "twice the odds of a yes" in words(found)


def test_imputed_odds_find_the_slope_that_was_put_in() -> None:
    """x tells whether y is seen, and y is drawn from x with a log odds ratio of 0.8 within."""
    rng = np.random.default_rng(12)
    data = panel(500, 4, 9)
    deviation = data["x"] - data.groupby("pid")["x"].transform("mean")
    eta = 0.8 * deviation + rng.normal(size=500)[data["pid"]]
    data["y"] = (rng.random(len(data)) < 1 / (1 + np.exp(-eta))).astype(float)
    data.loc[rng.random(len(data)) < np.where(deviation > 0, 0.4, 0.1), "y"] = np.nan
    found = ask(data, family="binomial")["missing[imputed]"]
    assert abs(np.log(found.value) - 0.8) < MONTE_CARLO_SES * found.se


def test_a_count_is_imputed_and_not_shifted() -> None:
    rng = np.random.default_rng(2)
    data = gappy(people=150, waves=3)
    counts = rng.poisson(np.exp(1 - 0.3 * (data["x"] - data["x"].mean())))
    result = ask(data.assign(y=data["y"].where(data["y"].isna(), counts)), family="poisson")
    names = {e.name for e in result.estimates}
    assert "missing[imputed]" in names
    assert not any(n.startswith("missing[outcome") for n in names)


def test_covariates_alone_that_are_missing_make_no_panel() -> None:
    data = panel()
    persons = pd.DataFrame(
        {"pid": range(60), "z": [np.nan if k % 5 == 0 else k for k in range(60)]}
    )
    assert "missing_panel" not in ask(data, persons, adjust=["z"]).tables


def test_a_table_too_long_to_impute_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_satisfaction_missing, _satisfaction_missing_table):
        monkeypatch.setattr(module, "MOST_ROWS", 100)
    rows = {r.label: r.cells for r in ask(gappy(people=60)).tables["missing_panel"].rows}
    cells = rows["Multiple imputation"]
    assert cells[0] == "not done"
    assert "longer than all else in this report" in str(cells[2])


def fails(*_: object, **__: object) -> None:
    raise ConvergenceError("The chains did not settle.")


def test_a_row_whose_fit_fails_stands_as_not_estimable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_satisfaction_missing, "impute", fails)
    result = ask(gappy(waves=3))
    rows = {r.label: r.cells for r in result.tables["missing_panel"].rows}
    for label in ("Multiple imputation", "Multiple imputation, outcome −0.5 SD"):
        assert rows[label] == ("not estimable", None, "The chains did not settle.")
    assert "missing[imputed]" not in {e.name for e in result.estimates}
    assert "missing[carried]" in {e.name for e in result.estimates}
    assert "The chains did not settle." in words(result)


def test_reasons_tell_no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(*_: object, **__: object) -> None:
        raise NotEstimable("Column 'x' has 3 observed values for 4 coefficients. Name fewer.")

    monkeypatch.setattr(_satisfaction_missing, "impute", few)
    rows = {r.label: r.cells for r in ask(gappy(waves=3)).tables["missing_panel"].rows}
    assert rows["Multiple imputation"] == ("not estimable", None, "Name fewer.")


def test_where_everybody_lacks_a_value_the_rows_that_need_others_say_so() -> None:
    data = panel(80, 4, 3)
    data.loc[data["wave"] == data["pid"] % 4, "y"] = np.nan
    rows = {r.label: r.cells for r in ask(data).tables["missing_panel"].rows}
    few = ("not estimable", None, "Too few people have every wave complete.")
    assert rows["People lacking none"] == few
    assert rows["Pattern mixture"][0] == "not estimable"
    assert str(rows["Pattern mixture"][2]).startswith("Too few people in the model have every")
