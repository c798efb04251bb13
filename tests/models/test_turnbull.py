"""rs.turnbull and rs.interval_logrank: their face, Kaplan-Meier through it, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError

RNG = np.random.default_rng(12)
N = 120
ARM = np.where(np.arange(N) % 2, "house", "usual")
TIME = RNG.exponential(np.where(ARM == "house", 9.0, 5.0))
SEEN = np.arange(2.0, 13.0, 2.0)
LOW = np.array([SEEN[t > SEEN].max(initial=0) for t in TIME])
HIGH = np.array([SEEN[t <= SEEN].min(initial=np.inf) for t in TIME])
DATA = pd.DataFrame({"low": LOW, "high": HIGH, "arm": ARM})
ASKED = 'Surv(low, high, type="interval2") ~ arm'


def test_tidy_tells_intervals_and_survival_after_them() -> None:
    table = rs.turnbull(ASKED, DATA, draws=50).tidy()
    assert table.columns.tolist() == [
        "group", "low", "high", "mass", "estimate", "std_error", "conf_low", "conf_high",
    ]  # fmt: skip
    house = table[table["group"] == "house"]
    np.testing.assert_allclose(1 - house["mass"].cumsum(), house["estimate"], atol=1e-9)
    shares = [(TIME[ARM == "house"] > t).mean() for t in house["high"]]
    np.testing.assert_allclose(house["estimate"], shares, atol=1e-9)  # one grid: shares at visits
    assert (table["conf_low"] <= table["estimate"]).all()


def test_missing_zero_and_infinite_ends_are_the_same() -> None:
    open_ended = DATA.assign(
        low=DATA["low"].where(DATA["low"] > 0), high=DATA["high"].replace(np.inf, np.nan)
    )
    a, b = (rs.turnbull(ASKED, d, errors="none").tidy() for d in (DATA, open_ended))
    pd.testing.assert_frame_equal(a, b)


def test_right_censored_data_give_kaplan_and_meiers_curve() -> None:
    data = DATA.assign(t=np.ceil(TIME).clip(max=12), e=(TIME < 12) * 1)
    found = rs.turnbull("Surv(t, e) ~ arm", data, errors="information").at([3, 6, 9])
    usual = rs.kaplan_meier("Surv(t, e) ~ arm", data).at([3, 6, 9])
    for column in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(found[column], usual[column], atol=1e-6)
    np.testing.assert_allclose(found["lowest"], usual["estimate"], atol=1e-8)


def test_the_median_lies_in_an_interval() -> None:
    row = rs.turnbull(ASKED, DATA, draws=60).median().set_index("group").loc["usual"]
    true = np.median(TIME[ARM == "usual"])
    assert row["since"] < true <= row["median"]
    assert row["conf_low"] <= row["median"] <= row["conf_high"]


def test_series_and_checks_for_reports() -> None:
    curves = rs.turnbull(ASKED, DATA, errors="none")
    line = curves.series()[0]
    assert (line.x[0], line.y[0], line.n_at[0]) == (0.0, 1.0, N // 2)
    assert [c.verdict for c in curves.checks()] == ["ok", "ok"]
    assert repr(curves).startswith("<Turnbull: house: 60 rows")


def test_groups_are_compared() -> None:
    test = rs.interval_logrank(ASKED, DATA)
    assert test.tidy()["p_value"].iloc[0] < 0.05
    assert test.groups().set_index("group")["score"]["usual"] > 0
    drawn = rs.interval_logrank(ASKED, DATA, weigh="wilcoxon", permutations=200).tidy()
    assert drawn["p_value"].iloc[0] < 0.1


def test_refusals() -> None:
    with pytest.raises(DataError, match="low is after high in 1 row"):
        rs.turnbull(ASKED, DATA.assign(low=[13.0, *LOW[1:]], high=[12.0, *HIGH[1:]]))
    never = DATA.assign(high=np.where(ARM == "house", np.inf, HIGH))
    with pytest.raises(NotEstimable, match="Group 'house': No row of 60 has the event"):
        rs.turnbull(ASKED, never)
    with pytest.raises(UsageError, match="kind of errors"):
        rs.turnbull(ASKED, DATA, errors="delta")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no delayed entry"):
        rs.interval_logrank("Surv(a, high, e) ~ arm", DATA.assign(a=1.0, high=5.0, e=1))
