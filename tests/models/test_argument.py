"""Arguments that are no times, levels, shares or columns: one sentence, before any arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError
from tests.models.survival_sweep import data

TIME = "Surv(time, status) ~ trt + karno"
GROUPS = "Surv(time, status) ~ celltype"
RESULTS: dict[str, Callable[[], Any]] = {
    "curves": lambda: rs.kaplan_meier(GROUPS, data("veteran")),
    "incidence": lambda: rs.cumulative_incidence("Surv(time, cause) ~ sex", data("transplant")),
    "means": lambda: rs.mean_cumulative(
        "Surv(start, stop, event) ~ rx", data("bladder"), person="id"
    ),
    "states": lambda: rs.multistate("Surv(tstart, tstop, to) ~ trt", data("states"), person="id"),
    "turnbull": lambda: rs.turnbull(
        'Surv(low, high, type="interval2") ~ trt', data("veteran"), errors="none"
    ),
    "standardised": lambda: rs.cox(TIME, data("veteran")).standardise("trt", [1, 2]),
    "cox": lambda: rs.cox(TIME, data("veteran")),
    "strata": lambda: rs.cox(f"{TIME} + strata(celltype)", data("veteran")),
    "finegray": lambda: rs.fine_gray("Surv(time, cause) ~ age", data("transplant")),
    "aft": lambda: rs.aft(TIME, data("veteran")),
    "flexible": lambda: rs.flexible_survival(TIME, data("veteran")),
    "transitions": lambda: rs.transition_models(
        "Surv(tstart, tstop, to) ~ trt", data("states"), person="id"
    ),
    "concordance": lambda: rs.concordance(TIME, data("veteran")),
    "logrank": lambda: rs.logrank(GROUPS, data("veteran")),
}


@pytest.fixture(scope="module")
def result() -> Callable[[str], Any]:
    """Each result, made once."""
    return cache(lambda name: RESULTS[name]())


NEW = {"finegray": data("transplant").iloc[:2], "transitions": data("states").iloc[:2]}
BAD_TIMES = ["abc", ["a"], [[1, 2], [3, 4]], [np.nan], [pd.Timestamp("2020-01-01")]]


def curve_of(name: str, found: Any, times: Any, rows: Any = None) -> Any:
    new = NEW.get(name, data("veteran").iloc[:2]) if rows is None else rows
    if name in ("curves", "incidence", "means", "states", "turnbull", "standardised"):
        return found.at(times)
    if name == "finegray":
        return found.incidence(new, times=times)
    return (found.occupation if name == "transitions" else found.survival)(new, times=times)


@pytest.mark.parametrize("times", BAD_TIMES)
@pytest.mark.parametrize("name", [n for n in RESULTS if n not in ("concordance", "logrank")])
def test_times(result: Callable[[str], Any], name: str, times: Any) -> None:
    with pytest.raises(UsageError, match=r"Times, in the units of the data: a number"):
        curve_of(name, result(name), times)


@pytest.mark.parametrize("level", [0, 1, 95, -1, np.nan, "a", None])
@pytest.mark.parametrize("name", ["cox", "finegray", "aft", "flexible", "transitions",
                                  "concordance", "standardised"])  # fmt: skip
def test_a_level_is_no_percentage(result: Callable[[str], Any], name: str, level: Any) -> None:
    with pytest.raises(UsageError, match=r"A confidence level lies between 0 and 1, as 0\.95"):
        result(name).tidy(level=level)


@pytest.mark.parametrize("name", ["cox", "finegray", "aft", "flexible", "transitions"])
def test_the_level_of_people(result: Callable[[str], Any], name: str) -> None:
    found, new = result(name), NEW.get(name, data("veteran").iloc[:2])
    curve: Any = {"finegray": "incidence", "transitions": "occupation"}.get(name, "survival")
    with pytest.raises(UsageError, match="A confidence level"):
        getattr(found, curve)(new, times=[50], level=95)


@pytest.mark.parametrize(
    "estimate",
    [lambda: rs.kaplan_meier(GROUPS, data("veteran"), level=95),
     lambda: rs.cumulative_incidence("Surv(time, cause) ~ 1", data("transplant"), level=95),
     lambda: rs.mean_cumulative("Surv(start, stop, event) ~ 1", data("bladder"), level=95,
                                person="id"),
     lambda: rs.multistate("Surv(tstart, tstop, to) ~ 1", data("states"), level=95, person="id"),
     lambda: rs.turnbull("Surv(time, status) ~ 1", data("veteran"), level=95)],
)  # fmt: skip
def test_the_level_of_curves(estimate: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="A confidence level"):
        estimate()


@pytest.mark.parametrize("tau", [0, -1, np.nan, np.inf, "a", None])
@pytest.mark.parametrize(
    ("name", "method"),
    [("curves", "rmst"), ("standardised", "rmst"), ("standardised", "rmst_contrasts"),
     ("aft", "rmst"), ("flexible", "rmst"), ("states", "restricted_time")],
)  # fmt: skip
def test_horizons(result: Callable[[str], Any], name: str, method: str, tau: Any) -> None:
    with pytest.raises(UsageError, match="The horizon of a restricted mean"):
        getattr(result(name), method)(tau)


@pytest.mark.parametrize("p", [50, -0.1, np.nan, "a"])
@pytest.mark.parametrize("name", ["curves", "turnbull"])
def test_shares(result: Callable[[str], Any], name: str, p: Any) -> None:
    with pytest.raises(UsageError, match="Quantiles are shares from 0 to 1"):
        result(name).quantile(p)


@pytest.mark.parametrize("name", ["cox", "strata", "aft", "flexible", "transitions"])
def test_nobody(result: Callable[[str], Any], name: str) -> None:
    nobody = NEW.get(name, data("veteran")).iloc[:0]
    with pytest.raises(DataError, match="The new data have no rows"):
        curve_of(name, result(name), [50], nobody)


@pytest.mark.parametrize("rows", [{"trt": 1}, [1, 2]])
@pytest.mark.parametrize("name", ["cox", "finegray", "aft", "flexible"])
def test_new_rows_that_are_no_table(result: Callable[[str], Any], name: str, rows: Any) -> None:
    with pytest.raises(DataError, match=r"Data are a DataFrame or a Dataset, not (dict|list)"):
        result(name).predict(rows)


def test_other_words_and_numbers(result: Callable[[str], Any]) -> None:
    frame, incidents = data("veteran"), data("transplant")
    for wrong, message in (
        (lambda: rs.cox(None, frame), "A formula is text"),
        (lambda: rs.cox(TIME, frame, weights=["w"]), r"name columns; \['w'\] is no name"),
        (lambda: rs.cox(TIME, frame, cluster=1), "name columns; 1 is no name"),
        (lambda: result("cox").residuals(None), "No residual named None"),
        (lambda: rs.logrank(GROUPS, frame, rho="a"), "rho: a number"),
        (lambda: rs.logrank(GROUPS, frame, gamma=np.inf), "gamma: one number that is finite"),
        (lambda: rs.logrank(GROUPS, frame, weigh=["logrank"]), "No weight of a log-rank test"),
        (lambda: result("logrank").trend(list("abcd")), "Scores of a trend: a number"),
        (lambda: result("incidence").gray_test(np.nan), "rho: a number"),
        (lambda: result("means").difference("a"), "The time of a difference: a number"),
        (lambda: rs.fine_gray("Surv(time, cause) ~ age", incidents, cause=None), "cause is the"),
        (
            lambda: rs.fine_gray("Surv(time, cause) ~ age", incidents, varying={"age": (1, "a")}),
            "Steps of an effect in time: a number",
        ),
        (lambda: rs.flexible_survival(TIME, frame, time_varying=5), "time_varying names columns"),
        (lambda: rs.turnbull("Surv(time, status) ~ 1", frame, draws=0), "draws is a whole number"),
        (lambda: result("standardised").at([]), "Say at which times"),
        (lambda: result("aft").survival(times=[]), "Say at which times"),
    ):
        with pytest.raises(UsageError, match=message):
            wrong()


def test_survival_beyond_observation_is_unknown() -> None:
    """With strata each ends at its own last time; at that time it is known."""
    frame = data("veteran")
    last = frame.groupby("celltype")["time"].max()
    fit = rs.cox(f"{TIME} + strata(celltype)", frame)
    times = [float(last.min()), float(last.min()) + 1, float(last.max())]
    found = fit.survival(frame.iloc[[0]].drop(columns="celltype"), times=times)
    for stratum, rows in found.groupby("stratum"):
        beyond = rows["time"] > last[stratum]
        assert beyond.any() == (last[stratum] < last.max())
        for column in ("estimate", "std_error", "conf_low", "conf_high"):
            assert list(rows[column].isna()) == list(beyond)
