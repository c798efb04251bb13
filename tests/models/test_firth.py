"""Firth's penalty from a formula: separation, tables, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines import cox_firth
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.survival import FirthFit
from tests.tolerance import CONVERGED, EXACT

FORMULA = "Surv(days, relapse) ~ arm + age"


def cohort(n: int = 60) -> pd.DataFrame:
    """Nobody in the house relapses."""
    rng = np.random.default_rng(6)
    arm = np.where(np.arange(n) % 3 == 0, "house", "usual")
    return pd.DataFrame(
        {
            "days": np.ceil(rng.exponential(40, n)),
            "relapse": ((rng.random(n) < 0.7) & (arm == "usual")).astype(int),
            "arm": pd.Categorical(arm, ["usual", "house"]),
            "age": rng.normal(40, 9, n),
            "half": 0.5,
            "site": np.arange(n) % 5,
        }
    )


def test_separation_is_refused_with_the_cure_and_then_fitted() -> None:
    data = cohort()
    with pytest.raises(NotEstimable, match="leave it out, or fit with penalty='firth'"):
        rs.cox(FORMULA, data)
    fit = rs.cox(FORMULA, data, penalty="firth")
    assert isinstance(fit, FirthFit)
    row = fit.tidy(exponentiate=True).set_index("term").loc["arm[T.house]"]
    assert 0 < row["conf_low"] < row["estimate"] < row["conf_high"] < 1
    assert row["p_value"] < 0.05
    assert "Firth" in fit.method
    assert fit.glance()["lr_p"][0] < 0.05


def test_the_cure_is_offered_where_there_is_one() -> None:
    """fine_gray, recurrent and frailties have no penalty to fit with."""
    data = cohort().assign(start=0.0, pid=lambda d: d.index)
    for refused in (
        lambda: rs.fine_gray("Surv(days, relapse) ~ arm", data),
        lambda: rs.recurrent("Surv(start, days, relapse) ~ arm", data, person="pid"),
        lambda: rs.cox("Surv(days, relapse) ~ arm + frailty(site)", data),
    ):
        with pytest.raises(
            NotEstimable, match=r"'arm\[T.house\]'.*merge levels, or leave it out\."
        ):
            refused()


def test_tables_follow_the_penalised_likelihood() -> None:
    fit = rs.cox(FORMULA, cohort(), penalty="firth")
    tidy = fit.tidy()
    gain = cox_firth.gain(fit.engine, [0])
    assert tidy["statistic"][0] ** 2 == pytest.approx(gain, rel=CONVERGED)
    assert fit.anova()["p_value"].tolist() == pytest.approx(tidy["p_value"].tolist(), rel=EXACT)
    ratio = fit.estimate({"arm[T.house]": -1.0}, name="usual", label="Usual")
    low, high = -tidy.loc[0, ["conf_high", "conf_low"]]
    assert np.log([ratio.low, ratio.high]) == pytest.approx([low, high], rel=CONVERGED)
    assert ratio.p == pytest.approx(tidy["p_value"][0], rel=EXACT)
    both = fit.estimate({"arm[T.house]": 1.0, "age": 1.0}, name="both", label="Both")
    assert both.low < both.value < both.high
    assert "penalised likelihood" in {c.name for c in fit.checks()}


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="no cluster="):
        rs.cox(FORMULA, cohort(), penalty="firth", cluster="site")
    with pytest.raises(UsageError, match="no cluster="):
        rs.cox(FORMULA, cohort(), penalty="firth", weights="half")
    with pytest.raises(UsageError, match="without frailty"):
        rs.cox(FORMULA + " + frailty(site)", cohort(), penalty="firth")
    with pytest.raises(UsageError, match="penalty is 'firth'"):
        rs.cox(FORMULA, cohort(), penalty="ridge")  # type: ignore[arg-type]
