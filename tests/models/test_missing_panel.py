"""The panel: what each row must agree with, and CTN-0051's published swing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import recovery_stats as rs
from recovery_stats.errors import ConvergenceError, DataError, NotEstimable, UsageError
from recovery_stats.models import missing_imputed
from recovery_stats.models.missing_reference import why_no_reference


def trial(seed=1, n=400, lost_worse=0.0):
    """Three visits of two arms; who is lost depends on the visit before (and on the last)."""
    rng = np.random.default_rng(seed)
    arm, z = rng.integers(0, 2, n), rng.normal(size=n)
    first = z + rng.normal(size=n)
    second = first + 0.4 * arm + rng.normal(size=n)
    last = second + 0.5 * arm + rng.normal(size=n)
    lost = rng.random(n) < expit(-1.2 + 0.5 * second + lost_worse * last)
    return pd.DataFrame(
        {
            "arm": np.where(arm == 1, "new", "old"), "z": z, "first": first, "second": second,
            "last": np.where(lost, np.nan, last),
            "high": np.where(lost, np.nan, (last > 0).astype(float)),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def number():
    return rs.missing_panel(
        trial(), "last", "arm", adjust=["z"], earlier=["first", "second"], reference="old", m=40,
        seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def binary():
    return rs.missing_panel(trial(), "high", "arm", adjust=["z"], reference="old", seed=1)


def value(panel, name):
    return panel[name].estimate.value


def test_rows_and_declared(number, binary):
    assert number.tidy().query("declared")["method"].tolist() == ["complete"]
    assert {"complete", "repeated", "imputed", "carried", "highest"} <= set(number.tidy()["method"])
    assert {"complete", "imputed", "as_had", "as_not", "lowest"} <= set(binary.tidy()["method"])
    assert number.tidy()["assumption"].str.len().min() > 20


def test_complete_cases_are_least_squares(number):
    seen = trial().dropna(subset="last")
    X = np.column_stack([np.ones(len(seen)), seen["arm"] == "new", seen["z"]]).astype(float)
    beta = np.linalg.lstsq(X, seen["last"].to_numpy())[0]
    assert value(number, "complete") == pytest.approx(beta[1], abs=1e-10)


def test_carried_forward_by_hand(number):
    data = trial()
    y = data["last"].fillna(data["second"])
    X = np.column_stack([np.ones(len(data)), data["arm"] == "new", data["z"]]).astype(float)
    assert value(number, "carried") == pytest.approx(np.linalg.lstsq(X, y)[0][1], abs=1e-10)


def test_imputation_and_mixed_model_agree_at_random(number):
    """Both are right at random given the visits; they differ by the error of the draws."""
    gap = value(number, "imputed") - value(number, "repeated")
    assert abs(gap) < 0.2 * number["repeated"].estimate.se


def test_bounds_hold_every_row(number, binary):
    for panel in (number, binary):
        values = panel.tidy()["estimate"]
        assert values.max() <= value(panel, "highest") + 1e-12
        assert values.min() >= value(panel, "lowest") - 1e-12


def test_shift_of_a_number_moves_one_arm_by_the_share_missing():
    data = trial()
    panel = rs.missing_panel(data, "last", "arm", reference="old", m=2, seed=1)
    lost = data.loc[data["arm"] == "new", "last"].isna().mean()
    step = 0.5 * data["last"].std()
    moved = value(panel, "shift_compared+0.50") - value(panel, "complete")
    assert moved == pytest.approx(lost * step, abs=1e-10)


def test_at_the_tipping_point_the_interval_ends_at_no_difference(binary):
    points = binary.tipping()
    own = points.loc[points["where"] == "compared", "shift"]
    assert len(own)
    for shift in own:
        curve = binary.pattern.curve("compared", np.array([shift])).iloc[0]
        assert min(abs(curve["conf_low"]), abs(curve["conf_high"])) < 1e-6


def test_where_nothing_tips_every_shift_gives_the_same_answer(binary):
    assert "usual" not in set(binary.tipping()["where"])
    wide = binary.pattern.largest * np.linspace(-1, 1, 41)
    assert (binary.pattern.curve("usual", wide)["conf_low"] > 0).all()


def test_the_order_of_rows_does_not_matter(binary):
    again = rs.missing_panel(
        trial().sample(frac=1, random_state=3), "high", "arm", adjust=["z"], reference="old",
        seed=1,
    )  # fmt: skip
    assert again.tidy()["estimate"].tolist() == pytest.approx(binary.tidy()["estimate"].tolist())


def test_progress_is_told():
    heard = []
    rs.missing_panel(
        trial(n=100), "high", "arm", m=3, seed=1, progress=lambda *at: heard.append(at)
    )
    assert heard[:3] == [(1, 3), (2, 3), (3, 3)]


def test_nothing_missing_and_unknown_rows_are_refused():
    data = trial()
    with pytest.raises(DataError, match="not missing for anybody"):
        rs.missing_panel(data, "second", "arm", seed=1)
    with pytest.raises(UsageError, match="imputed"):
        rs.missing_panel(data, "high", "arm", declared="imputd", m=2, seed=1)
    with pytest.raises(UsageError, match="'first': it holds 400 different values") as failed:
        rs.missing_panel(data, "high", "arm", earlier=["first"], m=2, seed=1)
    assert f"{data['first'][0]:.3f}" not in str(failed.value)
    with pytest.raises(UsageError, match="lowest and the highest"):
        rs.missing_panel(data, "last", "arm", limits=(3.0, 1.0), m=2, seed=1)


# --- randomised arms ---------------------------------------------------------------------------


def test_reference_based_rows_are_those_of_their_own_function():
    data = trial(n=150)
    asked = {"adjust": ["z"], "earlier": ["first", "second"], "reference": "old", "seed": 4}
    panel = rs.missing_panel(data, "last", "arm", **asked, m=5, randomised=True)
    alone = rs.reference_based(
        data, "last", "arm", **asked, m=5, bootstrap=200, jackknife=False, strategies=["J2R", "CIR"]
    )
    for name in ("j2r_rubin", "j2r_bootstrap", "cir_rubin", "cir_bootstrap"):
        assert panel[name].estimate == alone[name].estimate
    assert panel.tidy()["group"].value_counts()["Reference-based"] == 6


def test_without_an_earlier_visit_the_three_strategies_are_one():
    panel = rs.missing_panel(
        trial(n=150), "last", "arm", adjust=["z"], reference="old", seed=1, m=3, randomised=True
    )
    own = panel.tidy().query("group == 'Reference-based'")["method"]
    assert own.tolist() == ["j2r_rubin", "j2r_bootstrap"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "not drawn into the arms"),
        ({"randomised": True, "outcome": "high"}, "for numbers"),
        ({"randomised": True, "weights": "w"}, "count alike"),
        ({"randomised": True, "cluster": "house"}, "not drawn one by one"),
        ({"randomised": True, "adjust": ()}, "Neither a baseline nor"),
    ],
)
def test_reference_based_rows_are_absent_where_they_do_not_apply(asked, why):
    data = trial(n=120).assign(w=1.0)
    data["house"] = data["arm"] + (data.index % 6).astype(str)
    outcome = asked.get("outcome", "last")
    rest = {"adjust": ["z"], "reference": "old", "seed": 1, "m": 2} | asked
    rest.pop("outcome", None)
    panel = rs.missing_panel(data, outcome, "arm", **rest)
    assert "Reference-based" not in set(panel.tidy()["group"])
    assert why in why_no_reference(panel.contrast)


def test_earlier_visits_of_a_yes_or_no_are_read_as_the_outcome_is():
    """Words, and the last one carried forward by hand."""
    data = trial(n=200)
    words = {1.0: "yes", 0.0: "no"}
    data["before"] = (data["second"] > 0).astype(float)
    by_hand = data["high"].fillna(data["before"])
    difference = by_hand[data["arm"] == "new"].mean() - by_hand[data["arm"] == "old"].mean()
    told = data.assign(high=data["high"].map(words), before=data["before"].map(words))
    panel = rs.missing_panel(told, "high", "arm", earlier=["before"], reference="old", m=2, seed=1)
    assert value(panel, "carried") == pytest.approx(difference, abs=1e-10)


def fails(*_, **__):
    raise ConvergenceError("The chains did not settle.")


def test_a_row_whose_fit_fails_stays_with_the_reason(monkeypatch):
    monkeypatch.setattr(missing_imputed, "impute", fails)
    found = rs.missing_panel(trial(), "last", "arm", earlier=["first", "second"], m=3, seed=1)
    told = found.tidy().set_index("method")
    lost = told[told["not_estimable"] != ""]
    assert list(lost.index) == ["imputed", "imputed-0.50", "imputed+0.50"]
    assert set(lost["not_estimable"]) == {"The chains did not settle."}
    assert lost[["estimate", "conf_low", "p_value"]].isna().all(axis=None)
    assert {"complete", "repeated", "carried", "lowest"} <= set(told.index[told["estimate"] < 9])
    assert found.tables is None


def test_rows_that_too_few_people_allow_stand_without_a_count_of_them():
    """Two people of an arm held the last visit: its model has more coefficients than that."""
    told = rs.missing_panel(
        trial(n=8, seed=5), "last", "arm", earlier=["first", "second"], reference="old",
        randomised=True, m=3, seed=1,
    ).tidy().set_index("group")  # fmt: skip
    lost = told.loc["Reference-based"]
    assert len(lost) == 6
    assert lost["estimate"].isna().all()
    assert lost["not_estimable"].str.startswith("Too few people of an arm held visit 3").all()
    assert (told.drop("Reference-based")["not_estimable"] == "").all()


def test_a_declared_row_that_is_not_estimable_is_refused(monkeypatch):
    monkeypatch.setattr(missing_imputed, "impute", fails)
    with pytest.raises(NotEstimable, match="Multiple imputation, the row declared: The chains"):
        rs.missing_panel(trial(), "last", "arm", m=3, seed=1, declared="imputed")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"m": 1}, "m is the number of imputations, 2 or more"),
        ({"shifts": (0.0,)}, "other than 0"),
        ({"shifts": (float("nan"),)}, "finite numbers"),
        ({"shifts": (1.0, 1.0)}, "each given once"),
    ],
)
def test_a_grid_or_a_number_of_imputations_that_is_none_is_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        rs.missing_panel(trial(), "high", "arm", **{"m": 3, "seed": 1} | wrong)
