"""Tests of groups: trend against Cox's score test, pairs against the rows of two groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import UsageError
from tests.tolerance import CLOSED_FORM, EXACT


def cohort(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    dose = rng.integers(0, 4, n)
    days = rng.exponential(50 * np.exp(-0.2 * dose))
    return pd.DataFrame(
        {
            "days": days,
            "relapse": (rng.random(n) < 0.8).astype(int),
            "dose": dose,
            "name": np.array(["none", "some", "more", "most"])[dose],
            "site": rng.integers(0, 3, n),
        }
    )


@pytest.mark.parametrize("strata", ["", " + strata(site)"])
def test_the_trend_is_the_score_test_of_the_scores(strata: str) -> None:
    """Without ties the hypergeometric variance is the information of Cox's model at no effect."""
    data = cohort()
    test = rs.logrank(f"Surv(days, relapse) ~ dose{strata}", data)
    trend = test.trend().iloc[0]
    cox = rs.cox(f"Surv(days, relapse) ~ dose{strata}", data).glance().iloc[0]
    assert trend["statistic"] == pytest.approx(cox["score"], rel=CLOSED_FORM)
    assert trend["p_value"] == pytest.approx(cox["score_p"], rel=CLOSED_FORM)
    other = test.trend([10, 30, 50, 70])["statistic"][0]
    assert other == pytest.approx(trend["statistic"], rel=CLOSED_FORM)
    assert test.trend([0, 0, 0, 1])["statistic"][0] != pytest.approx(other)


def test_two_groups_have_one_trend() -> None:
    data = cohort().query("dose < 2")
    test = rs.logrank("Surv(days, relapse) ~ dose", data, rho=1)
    statistic = test.trend()["statistic"][0]
    assert statistic == pytest.approx(test.tidy()["statistic"][0], rel=CLOSED_FORM)


def test_pairs_are_tests_of_two_groups_with_holm() -> None:
    data = cohort()
    formula = "Surv(days, relapse) ~ name + strata(site)"
    test = rs.logrank(formula, data)
    pairs = test.pairwise("none")
    assert len(pairs) == 6
    for row in pairs.itertuples():
        first, second = str(row.contrast).split(" - ")
        alone = rs.logrank(formula, data[data["name"].isin([first, second])]).tidy().iloc[0]
        assert row.statistic == pytest.approx(alone["statistic"], rel=EXACT)
    order = np.argsort(pairs["p_value"].to_numpy())
    stepped = np.maximum.accumulate(pairs["p_value"].to_numpy()[order] * np.arange(6, 0, -1))
    holm = test.pairwise()["p_value"].to_numpy()[order]
    np.testing.assert_allclose(holm, np.minimum(stepped, 1), rtol=EXACT)


def test_a_pair_that_cannot_be_compared_is_unknown() -> None:
    data = cohort()
    data.loc[data["dose"] < 2, "relapse"] = 0
    pairs = rs.logrank("Surv(days, relapse) ~ dose", data).pairwise().set_index("contrast")
    assert np.isnan(pairs.loc["0 - 1", "p_value"])
    assert pairs["p_value"].notna().sum() == 5


def test_scores_must_fit() -> None:
    test = rs.logrank("Surv(days, relapse) ~ dose", cohort())
    with pytest.raises(UsageError, match="each of the 4 groups"):
        test.trend([1, 2])
    with pytest.raises(UsageError, match="differ"):
        test.trend([1, 1, 1, 1])


def test_gehan_counts_pairs() -> None:
    """Gehan 1965: the sum over pairs of +1, -1, 0 for who surely outlived whom."""
    rng = np.random.default_rng(9)
    t, e, g = np.ceil(rng.exponential(9, 50)), rng.integers(0, 2, 50), rng.integers(0, 2, 50)
    d = pd.DataFrame({"t": t, "e": e, "g": g})
    test = rs.logrank("Surv(t, e) ~ g", d, weigh="gehan").test
    score = 0
    for i in np.flatnonzero(g == 1):
        for j in np.flatnonzero(g == 0):
            outlived = e[j] == 1 and (t[i] > t[j] or (t[i] == t[j] and e[i] == 0))
            fell = e[i] == 1 and (t[j] > t[i] or (t[i] == t[j] and e[j] == 0))
            score += int(fell) - int(outlived)
    assert test.observed[1] - test.expected[1] == pytest.approx(score)


@pytest.mark.parametrize(
    ("weigh", "weights"),
    [
        ("logrank", [1, 1, 1]),
        ("gehan", [5, 3, 2]),
        ("tarone-ware", [5**0.5, 3**0.5, 2**0.5]),
        ("peto", [5 / 6, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4 * 2 / 3]),
        ("modified-peto", [25 / 36, 5 / 8 * 3 / 4, 5 / 12 * 2 / 3]),
    ],
)
def test_weights_of_the_table_of_klein_and_moeschberger(weigh: Any, weights: list[float]) -> None:
    """Five people; events at 1, 3, 4 with 5, 3, 2 at risk, of whom 2, 1, 1 in the second group."""
    d = pd.DataFrame({"t": [1, 2, 3, 4, 5], "e": [1, 0, 1, 1, 0], "g": [0, 1, 0, 0, 1]})
    test = rs.logrank("Surv(t, e) ~ g", d, weigh=weigh).test
    share = np.array([2 / 5, 1 / 3, 1 / 2])
    gap, spread = -share @ weights, (share * (1 - share)) @ np.square(weights)
    assert test.observed[1] - test.expected[1] == pytest.approx(gap)
    assert test.statistic == pytest.approx(gap**2 / spread)


def test_one_way_to_weigh() -> None:
    d = pd.DataFrame({"t": [1, 2, 3, 4], "e": 1, "g": [0, 1, 0, 1]})
    with pytest.raises(UsageError, match="choose one"):
        rs.logrank("Surv(t, e) ~ g", d, rho=1, weigh="peto")
    with pytest.raises(UsageError, match="Did you mean 'gehan'"):
        rs.logrank("Surv(t, e) ~ g", d, weigh="gehen")  # type: ignore[arg-type]
