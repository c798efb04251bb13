"""Likelihood-ratio tests of models of time, profile limits, and what rows are expected to have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError
from tests.models.survival_sweep import VALUES, data, same
from tests.tolerance import CLOSED_FORM, CONVERGED

TIME = "Surv(time, status) ~"


@pytest.fixture(scope="module")
def veteran() -> pd.DataFrame:
    return data("veteran")


def test_terms_one_after_the_other_as_r_has_them(veteran: pd.DataFrame) -> None:
    right = ["trt", "trt + karno", "trt + karno + celltype", "trt * karno + celltype"]
    fits = [rs.cox(f"{TIME} {terms}", veteran) for terms in right]
    found = rs.compare(*reversed(fits))
    same(found["statistic"].iloc[1:], VALUES["terms"]["one"][1:])
    assert list(found["df"].iloc[1:]) == [1, 3, 1]
    assert list(found["model"])[:2] == ["~ trt", "~ trt + karno"]
    np.testing.assert_allclose(found["p_value"], chi2.sf(found["statistic"], found["df"]))
    same(found["aic"], [f.glance()["aic"].iloc[0] for f in fits])
    same(found["bic"], [f.glance()["bic"].iloc[0] for f in fits])


def test_a_frailty_is_at_the_edge(veteran: pd.DataFrame) -> None:
    alone = rs.cox(f"{TIME} trt", veteran)
    shared = rs.cox(f"{TIME} trt + frailty(celltype)", veteran)
    row = rs.compare(shared, alone).iloc[1]
    whole = shared.glance().iloc[0]
    same(row[["statistic", "p_value"]], whole[["frailty_lr", "frailty_p"]])
    assert row["p_value_naive"] == pytest.approx(2 * row["p_value"])
    more = rs.cox(f"{TIME} trt + karno + frailty(celltype)", veteran)
    row = rs.compare(shared, more).iloc[1]
    assert (row["df"], row["reference"]) == (1, "chi-squared 1")


def test_laws_within_each_other(veteran: pd.DataFrame) -> None:
    times = 'Surv(low, high, type="interval2") ~ karno + trt + celltype'
    laws: Any = ("exponential", "weibull", "generalised-gamma")
    found = rs.compare(*(rs.aft(times, veteran, distribution=law) for law in laws))
    loglik = [VALUES["law"][law]["loglik"] for law in laws[:2]]
    assert found["statistic"].iloc[1] == pytest.approx(2 * np.diff(loglik)[0], rel=CONVERGED)
    apart = rs.compare(
        rs.aft(f"{TIME} trt", veteran),
        rs.aft(f"{TIME} trt + karno", veteran, distribution="log-normal"),
    )
    assert np.isnan(apart["p_value"].iloc[1])
    assert "not nested" in apart["reference"].iloc[1]


def test_flexible_baselines(veteran: pd.DataFrame) -> None:
    small, large = (rs.flexible_survival(f"{TIME} {t}", veteran) for t in ("trt", "trt + karno"))
    row = rs.compare(small, large).iloc[1]
    assert row["statistic"] == pytest.approx(large.anova(2)["statistic"].iloc[1])
    bent = rs.flexible_survival(f"{TIME} trt + karno", veteran, df=4)
    assert "not nested" in rs.compare(large, bent)["reference"].iloc[1]


@pytest.mark.parametrize(
    ("right", "how", "message"),
    [
        ("karno + age", {}, "Not nested: the terms of '~ trt'"),
        ("karno", {}, "as many parameters"),
        ("trt + karno", {"ties": "breslow"}, "ways with ties"),
        ("trt + karno", {"cluster": "celltype"}, "robust errors"),
        ("trt + karno", {"penalty": "firth"}, "penalised"),
        ("trt + pspline(karno, 3)", {}, "penalised"),
        ("trt + karno + strata(prior)", {}, "other rows"),
    ],
)
def test_what_cannot_be_compared(
    veteran: pd.DataFrame, right: str, how: dict[str, Any], message: str
) -> None:
    small = rs.cox(f"{TIME} trt", veteran)
    with pytest.raises(UsageError, match=message):
        rs.compare(small, rs.cox(f"{TIME} {right}", veteran, **how))


def test_kinds_and_rows_that_cannot_be_compared(veteran: pd.DataFrame) -> None:
    small = rs.cox(f"{TIME} trt", veteran)
    with pytest.raises(UsageError, match=r"\(137 and 136 rows\)"):
        rs.compare(small, rs.cox(f"{TIME} trt + karno", veteran.iloc[1:]))
    with pytest.raises(UsageError, match="of one kind"):
        rs.compare(small, rs.aft(f"{TIME} trt + karno", veteran))
    with pytest.raises(UsageError, match="these are CoxFit, LogRankTest"):
        rs.compare(small, rs.logrank(f"{TIME} trt", veteran))  # type: ignore[arg-type]


class TestProfileLimits:
    def test_the_likelihood_there(self, veteran: pd.DataFrame) -> None:
        """Half the chi-squared quantile below the maximum, the other terms fitted anew."""
        fit = rs.cox(f"{TIME} trt + karno + offset(off) + strata(celltype)", veteran)
        limits = fit.confint("profile", level=0.9).set_index("term")
        wald = fit.confint(level=0.9).set_index("term")
        assert list(wald["conf_low"]) == list(fit.tidy(0.9)["conf_low"])
        for column in ("conf_low", "conf_high"):
            b = limits.loc["karno", column]
            shifted = veteran.assign(off=veteran["off"] + b * veteran["karno"])
            there = rs.cox(f"{TIME} trt + offset(off) + strata(celltype)", shifted)
            drop = fit.engine.loglik - there.engine.loglik
            assert drop == pytest.approx(chi2.isf(0.1, 1) / 2, abs=CLOSED_FORM * 100)
        assert limits.loc["trt", "conf_low"] != wald.loc["trt", "conf_low"]

    def test_firths_are_those_of_its_table(self, veteran: pd.DataFrame) -> None:
        fit = rs.cox(f"{TIME} trt + karno", veteran, penalty="firth")
        assert list(fit.confint("profile")["conf_low"]) == list(fit.tidy()["conf_low"])
        assert list(fit.confint("wald")["conf_low"]) != list(fit.tidy()["conf_low"])

    def test_refusals(self, veteran: pd.DataFrame) -> None:
        with pytest.raises(UsageError, match="without robust errors"):
            rs.cox(f"{TIME} trt", veteran, cluster="celltype").confint("profile")
        with pytest.raises(UsageError, match="interval method named 'score'"):
            rs.cox(f"{TIME} trt", veteran).confint("score")  # type: ignore[arg-type]


class TestExpectedEvents:
    @pytest.mark.parametrize(
        ("formula", "frame"),
        [
            (f"{TIME} trt + karno + offset(off) + strata(celltype)", "veteran"),
            ("Surv(start, stop, event) ~ age + transplant + strata(surgery)", "heart"),
        ],
    )
    def test_what_was_seen_less_the_residual(self, formula: str, frame: str) -> None:
        rows = data(frame)
        fit = rs.cox(formula, rows, ties="breslow")
        event = rows["status" if frame == "veteran" else "event"]
        expected = fit.predict(rows, "expected")
        np.testing.assert_allclose(event - expected, fit.residuals(), atol=CLOSED_FORM)
        np.testing.assert_allclose(fit.predict(rows, "survival"), np.exp(-expected))

    def test_a_curve_at_the_end_of_follow_up(self, veteran: pd.DataFrame) -> None:
        fit = rs.cox(f"{TIME} trt + karno", veteran)
        person = veteran.iloc[[7]]
        curve = fit.survival(person, times=person["time"].tolist())["estimate"].iloc[0]
        assert fit.predict(person, "survival").iloc[0] == pytest.approx(curve, rel=CLOSED_FORM)
        lacking = person.assign(karno=np.nan)
        assert fit.predict(lacking, "expected").isna().all()
        with pytest.raises(DataError, match="'time'"):
            fit.predict(person.drop(columns="time"), "expected")
        with pytest.raises(UsageError, match="prediction named 'risk'"):
            fit.predict(person, "risk")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [rs.cox, rs.fine_gray])
def test_an_offset_beside_the_formula_is_one_within_it(model: Any, veteran: pd.DataFrame) -> None:
    """For new rows too, whose offsets would else be taken as 0 without a word."""
    beside = model(f"{TIME} trt + karno", veteran, offset="off")
    within = model(f"{TIME} trt + karno + offset(off)", veteran)
    new = veteran.iloc[:3]
    pd.testing.assert_series_equal(beside.predict(new), within.predict(new))
    curves = [getattr(f, "survival", getattr(f, "incidence", None)) for f in (beside, within)]
    ours, theirs = (c(new, times=[50]) for c in curves)
    pd.testing.assert_frame_equal(ours, theirs)
    assert ours["estimate"].nunique() == 3
    with pytest.raises(DataError, match="'off'"):
        beside.predict(new.drop(columns="off"))
