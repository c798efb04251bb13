"""Gray's test within strata and the martingale errors of incidence: cmprsk, and collapses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import gray as engine
from recovery_stats.engines.curves import kaplan_meier, tabulate
from recovery_stats.engines.incidence_error import martingale_variance
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, EXACT


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """cmprsk 2.2 by gray_strata.R, beside this file."""
    path = Path(__file__).with_name("gray_strata.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {**found, "data": pd.DataFrame(found["data"])}


def test_strata_as_cmprsk(stored: dict[str, Any]) -> None:
    data = stored["data"]
    plain = rs.gray_test("Surv(time, cause) ~ sex + strata(band)", data)
    assert plain.tidy()["statistic"].tolist() == pytest.approx(stored["sex"], rel=CLOSED_FORM)
    early = rs.gray_test("Surv(time, cause) ~ band + strata(sex)", data, rho=0.5)
    assert early.tidy()["statistic"].tolist() == pytest.approx(stored["band"], rel=CLOSED_FORM)
    assert early.tidy()["df"].tolist() == [3, 3]


def test_one_stratum_is_the_test_of_the_curves(stored: dict[str, Any]) -> None:
    data = stored["data"].assign(one=1)
    curves = rs.cumulative_incidence("Surv(time, cause) ~ sex", data).gray_test()
    within = rs.gray_test("Surv(time, cause) ~ sex + strata(one)", data)
    assert within.tidy()["statistic"].tolist() == pytest.approx(
        curves.tidy()["statistic"].tolist(), rel=EXACT
    )


def test_a_stratum_of_one_group_tells_nothing(stored: dict[str, Any]) -> None:
    data = stored["data"].assign(place=1)
    alone = data[data["sex"] == "F"].assign(place=2)
    both = pd.concat([data, alone], ignore_index=True)
    found = rs.gray_test("Surv(time, cause) ~ sex + strata(place)", both).tidy()
    without = rs.gray_test("Surv(time, cause) ~ sex", data).tidy()
    assert found["statistic"].tolist() == pytest.approx(without["statistic"].tolist(), rel=EXACT)


def test_martingale_errors_as_cmprsk(stored: dict[str, Any]) -> None:
    curve = rs.cumulative_incidence(
        "Surv(time, cause) ~ 1", stored["data"], errors="martingale"
    ).at(stored["times"])
    by_cause = curve["std_error"].to_numpy().reshape(2, 3)
    np.testing.assert_allclose(by_cause**2, stored["var"], rtol=CLOSED_FORM)


def test_one_cause_without_ties_on_paper() -> None:
    """S(t)² Σ 1/(n - 1)²: each event takes 1/(n - 1) of all that comes after it."""
    rng = np.random.default_rng(5)
    table = tabulate(rng.exponential(size=60), rng.integers(0, 2, 60))
    d, n = table.n_event, table.n_risk
    paper = kaplan_meier(table).estimate[:-1] ** 2 * np.cumsum(d[:-1] / (n[:-1] - 1) ** 2)
    np.testing.assert_allclose(martingale_variance(table)[0][:-1], paper, rtol=CLOSED_FORM)


def test_causes_not_coded_from_0(stored: dict[str, Any]) -> None:
    """1 censored, 2 and 3 the causes: every question refuses in the same words."""
    frame = stored["data"].assign(cause=stored["data"]["cause"] + 1.0, start=0.0)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    frame["id"] = frame.index
    labels = {1.0: "Censored", 2.0: "progression", 3.0: "death"}
    data = Dataset(frame, Codebook({"cause": Variable("cause", "Cause", labels)}))
    for ask in (
        lambda: rs.cumulative_incidence("Surv(time, cause) ~ sex", data),
        lambda: rs.gray_test("Surv(time, cause) ~ sex", data),
        lambda: rs.fine_gray("Surv(time, cause) ~ sex", data),
        lambda: rs.multistate("Surv(start, time, cause) ~ 1", data, person="id"),
    ):
        with pytest.raises(DataError, match=r"Code 1 of column 'cause' is labelled 'Censored'"):
            ask()


def test_refusals(stored: dict[str, Any]) -> None:
    data = stored["data"]
    with pytest.raises(NotEstimable, match="two groups"):
        rs.gray_test("Surv(time, cause) ~ 1", data)
    with pytest.raises(NotEstimable, match=r"None of the .* people had the event"):
        rs.gray_test("Surv(time, cause) ~ sex", data.assign(cause=0))
    with pytest.raises(UsageError, match="without weights"):
        rs.cumulative_incidence("Surv(time, cause) ~ 1", data, weights="band", errors="martingale")
    with pytest.raises(UsageError, match="kind of errors"):
        rs.cumulative_incidence("Surv(time, cause) ~ 1", data, errors="plain")  # type: ignore[arg-type]


def test_every_stratum_has_groups_and_nobody_weighs() -> None:
    """One stratum, or one table of several, is enough to refuse."""
    time, cause = np.array([1.0, 2, 3, 4]), np.array([1, 2, 1, 0])
    plain = tabulate(time, cause)
    weighed = tabulate(time, cause, weights=np.array([1.0, 2, 1, 1]))
    with pytest.raises(NotEstimable, match="two groups"):
        engine.gray([(plain, plain), (plain,)], 1)
    with pytest.raises(NotEstimable, match="without weights"):
        engine.gray([(plain, plain), (plain, weighed)], 1)
    assert engine.gray([(plain, plain)], 1).df == 1
