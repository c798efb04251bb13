"""rs.flexible_survival: its face, collapses through it, ratios over time, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import NotEstimable, UsageError

RNG = np.random.default_rng(31)
N = 400
ARM = np.where(np.arange(N) % 2, "house", "usual")
AGE = RNG.normal(40, 9, N)
TRUE = RNG.weibull(1.3, N) * 6 * np.exp(np.where(ARM == "house", 0.4, 0.0) - 0.02 * (AGE - 40))
END = RNG.uniform(2, 12, N)
DATA = pd.DataFrame(
    {"time": np.minimum(TRUE, END), "event": (TRUE <= END) * 1, "arm": ARM, "age": AGE}
)
ASKED = "Surv(time, event) ~ arm + age"
NEW = pd.DataFrame({"arm": ["house", "usual"], "age": [40.0, 40.0]})


def test_one_degree_of_freedom_is_rs_aft() -> None:
    flexible, weibull = rs.flexible_survival(ASKED, DATA, df=1), rs.aft(ASKED, DATA)
    ratios = weibull.hazard_ratios()
    table = flexible.tidy()
    assert table["term"].tolist() == [
        "Intercept", "spline(log time)[1]", "arm[T.usual]", "age",
    ]  # fmt: skip
    np.testing.assert_allclose(table["estimate"][2:], ratios["estimate"], rtol=1e-6)
    np.testing.assert_allclose(table["std_error"][2:], ratios["std_error"], rtol=1e-5)
    for ask in ("survival", "hazard"):
        a, b = (getattr(f, ask)(NEW, times=[1.0, 5.0]) for f in (flexible, weibull))
        np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-6)
        np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-4)
    for a, b in (
        (flexible.quantile(NEW), weibull.quantile(NEW)),
        (flexible.rmst(6, NEW), weibull.rmst(6, NEW)),
        (flexible.standardised("arm", tau=6.0), weibull.standardised("arm", tau=6.0)),
    ):
        np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-6)
        np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-4)


def test_near_the_cox_model() -> None:
    """Under proportional hazards both estimate one ratio, with errors alike."""
    flexible = rs.flexible_survival(ASKED, DATA, df=4).tidy().iloc[-2:]
    cox = rs.cox(ASKED, DATA).tidy()
    np.testing.assert_allclose(flexible["estimate"], cox["estimate"], atol=0.02)
    np.testing.assert_allclose(flexible["std_error"], cox["std_error"], rtol=0.02)


def test_hazard_ratios_over_time() -> None:
    fixed = rs.flexible_survival(ASKED, DATA)
    found = fixed.hazard_ratio(NEW.iloc[[1]], NEW.iloc[[0]], times=[1, 3, 8])
    row = fixed.tidy().set_index("term").loc["arm[T.usual]"]
    np.testing.assert_allclose(found["estimate"], np.exp(row["estimate"]), rtol=1e-9)
    np.testing.assert_allclose(found["std_error"], row["std_error"], rtol=1e-9)
    moving = rs.flexible_survival(ASKED, DATA, time_varying={"arm": 1})
    assert moving.tidy()["term"].iloc[-1] == "arm[T.usual]:spline(log time)[1]"
    changed = moving.hazard_ratio(NEW.iloc[[1]], NEW.iloc[[0]], times=[1, 8])
    assert changed["estimate"].nunique() == 2
    assert moving.anova()["num_df"].tolist() == [2, 1]
    gain = 2 * (moving.loglik - rs.flexible_survival("Surv(time, event) ~ age", DATA).loglik)
    assert moving.anova(type=2)["statistic"].iloc[0] == pytest.approx(gain, rel=1e-6)


def test_glance_knots_checks_and_repr() -> None:
    fit = rs.flexible_survival(ASKED, DATA, df=3, scale="odds")
    row = fit.glance().iloc[0]
    assert (row["n_obs"], row["n_events"], row["lr_df"]) == (N, DATA["event"].sum(), 2)
    assert len(fit.knots) == 4
    assert {c.name: c.verdict for c in fit.checks()}["falling survival"] == "ok"
    assert "odds, 3 df" in repr(fit)


def test_clusters_and_intervals() -> None:
    data = DATA.assign(
        low=np.floor(TRUE.clip(max=12)), high=np.where(TRUE < 12, np.floor(TRUE) + 1, np.inf),
        site=np.arange(N) % 20,
    )  # fmt: skip
    fit = rs.flexible_survival(
        'Surv(low, high, type="interval2") ~ arm + age', data, cluster="site"
    )
    assert "std_error_model" in fit.tidy()
    exact = rs.flexible_survival(ASKED, DATA.assign(time=TRUE, event=1)).tidy()
    gap = np.abs(fit.tidy()["estimate"] - exact["estimate"])[4:]
    assert (gap < exact["std_error"][4:]).all()


def test_refusals() -> None:
    with pytest.raises(UsageError, match="scale named 'log'"):
        rs.flexible_survival(ASKED, DATA, scale="log")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="from 1 to 10"):
        rs.flexible_survival(ASKED, DATA, df=0)
    with pytest.raises(UsageError, match="column among the terms"):
        rs.flexible_survival(ASKED, DATA, time_varying=["armm"])
    with pytest.raises(UsageError, match=r"no strata\(\)"):
        rs.flexible_survival("Surv(time, event) ~ age + strata(arm)", DATA)
    with pytest.raises(NotEstimable, match="different times"):
        rs.flexible_survival(ASKED, DATA.assign(time=np.ceil(DATA["time"] / 6)), df=5)
    with pytest.raises(NotEstimable, match="Terms 'twice'"):
        rs.flexible_survival("Surv(time, event) ~ age + twice", DATA.assign(twice=2 * AGE))
