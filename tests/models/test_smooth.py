"""Penalised splines and dose-response curves: their ends, closed forms, survival (smooth.R)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines import cox_penalised
from recovery_stats.errors import FormulaError, NotEstimable, UsageError
from recovery_stats.models.basis import PenalisedSpline, learn
from recovery_stats.models.survival import SmoothFit
from tests.tolerance import CLOSED_FORM, CONVERGED

R: dict[str, Any] = json.loads(Path(__file__).with_name("smooth.json").read_text())
LUNG = pd.DataFrame(R["data"])
TIMES = "Surv(time, status == 2)"
TRACE = 1e-6  # λ found to 1e-8 of a degree of freedom


def fitted(right: str, **options: Any) -> SmoothFit:
    fit = rs.cox(f"{TIMES} ~ {right}", LUNG, **options)
    assert isinstance(fit, SmoothFit)
    return fit


@pytest.mark.parametrize(
    ("name", "right"),
    [("one", "pspline(age, 4) + sex"), ("two", "pspline(age, df=3) + pspline(ph.karno)")],
)
def test_penalised_splines_as_in_r(name: str, right: str) -> None:
    fit, r = fitted(right), R[name]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=TRACE)
    np.testing.assert_allclose(fit.covariance(), r["var"], rtol=TRACE)
    row = fit.glance().iloc[0]
    assert [row["log_likelihood_null"], row["log_likelihood"]] == pytest.approx(r["loglik"])
    assert row["effective_df"] == pytest.approx(sum(r["df"]), rel=TRACE)
    assert row["wald"] == pytest.approx(r["wald"], rel=TRACE)
    assert fit.anova()["statistic"].tolist() == pytest.approx(r["chisq"], rel=TRACE)
    assert fit.slopes().iloc[0, 1:].tolist() == pytest.approx(r["linear"], rel=TRACE)


def test_proportionality_of_a_smooth_term_as_in_r() -> None:
    table = fitted("pspline(age) + sex").proportionality()
    np.testing.assert_allclose(table[["chisq", "df", "p_value"]], R["zph"], rtol=1e-5)


def test_a_very_smooth_spline_is_a_straight_line() -> None:
    fit = fitted("pspline(age, 1.0001) + sex")
    line = rs.cox(f"{TIMES} ~ age + sex", LUNG)
    slope = fit.slopes()["estimate"][0]
    assert slope == pytest.approx(line.beta[0], rel=1e-3)
    curve = fit.dose_response("age", [50, 70], reference=60)
    assert curve["estimate"].tolist() == pytest.approx(
        [-10 * line.beta[0], 10 * line.beta[0]], 2e-3
    )


def test_a_spline_of_few_distinct_values_converges() -> None:
    """Without a penalty six values would separate: λ is looked for from the middle out."""
    fit = fitted("pspline(ph.karno, 4.5) + I(age/10) + sex")
    assert fit.smoothing()["df"][0] == pytest.approx(4.5, abs=1e-6)


def test_akaike_chooses_the_top_of_its_criterion() -> None:
    chosen = fitted("pspline(ph.karno, 0)")
    df = chosen.smoothing()["df"][0]
    X = chosen.observation.X
    basis = chosen.smooths["pspline(ph.karno, 0)"]
    seen = chosen.observation

    def criterion(wanted: float) -> float:
        smooth = cox_penalised.Smooth(tuple(range(X.shape[1])), basis.penalty, wanted)
        fit = cox_penalised.fit(X, seen.stop, seen.cause, (smooth,))
        return fit.cox.loglik - fit.degrees(list(smooth.columns))

    best = criterion(df)
    assert all(criterion(df + step) < best for step in (-0.1, 0.1))


def test_b_splines_sum_to_one_and_go_on_straight() -> None:
    x = np.linspace(-3, 5, 40)
    basis = learn("pspline", x, 4)
    assert isinstance(basis, PenalisedSpline)
    assert (basis.pieces, basis(x).shape[1]) == (10, 12)
    # coefficients on a line, of all the B-splines, give that line everywhere
    far = np.array([-10.0, -3, 0.3, 5, 20])
    lines = basis(far) @ basis.centres
    assert lines - lines[1] == pytest.approx(far - far[1], abs=CLOSED_FORM)
    assert basis.penalty @ basis.centres == pytest.approx(np.zeros(12), abs=CLOSED_FORM)


def test_a_curve_of_a_natural_spline_in_a_product_as_in_r() -> None:
    fit = rs.cox(f"{TIMES} ~ ns(age, 3) * sex", LUNG)
    r = R["ns"]
    curve = fit.dose_response("age", r["at"], reference=63, where={"sex": 2})
    assert curve["estimate"].tolist() == pytest.approx(r["estimate"], rel=CONVERGED)
    assert curve["std_error"].tolist() == pytest.approx(r["se"], rel=CONVERGED)


def test_a_straight_term_has_a_straight_curve() -> None:
    fit = rs.cox(f"{TIMES} ~ age + sex", LUNG, cluster="inst")
    curve = fit.dose_response("age", exponentiate=True)
    assert curve["reference"].iloc[0] == LUNG["age"].quantile(0.5, interpolation="lower")
    gap = curve["age"] - curve["reference"]
    assert np.log(curve["estimate"]).tolist() == pytest.approx((gap * fit.beta[0]).tolist())
    se = np.sqrt(fit.covariance().to_numpy()[0, 0])
    assert curve["std_error"].tolist() == pytest.approx((gap.abs() * se).tolist())


def test_levels_of_a_factor_are_compared_with_the_reference() -> None:
    lung = LUNG.assign(group=pd.Categorical(np.where(LUNG["sex"] == 1, "m", "f")))
    fit = rs.cox(f"{TIMES} ~ group + age", lung)
    curve = fit.dose_response("group", reference="f").set_index("group")
    assert curve.loc["m", "estimate"] == pytest.approx(fit.beta[0])
    assert curve.loc["f", "std_error"] == 0


def test_robust_errors_and_residuals_go_with_smooth_terms() -> None:
    fit = fitted("pspline(age, 3) + sex", cluster="inst")
    assert fit.robust is not None
    assert "std_error_model" in fit.tidy()
    assert fit.residuals("martingale").sum() == pytest.approx(0, abs=CONVERGED)
    new = pd.DataFrame({"age": [40.0, 95.0], "sex": [1, 2]})
    assert np.isfinite(fit.predict(new)).all()
    assert "smooth term" in {c.name for c in fit.checks()}


def test_what_is_refused() -> None:
    for right, words in (
        ("pspline(age, 1)", "above 1"),
        ("pspline(age, 40)", "up to 20"),
    ):
        with pytest.raises(FormulaError, match=words):
            rs.cox(f"{TIMES} ~ {right}", LUNG)
    with pytest.raises(UsageError, match="stands alone"):
        rs.cox(f"{TIMES} ~ pspline(age) * sex", LUNG)
    with pytest.raises(UsageError, match="two penalties"):
        rs.cox(f"{TIMES} ~ pspline(age) + frailty(inst)", LUNG)
    with pytest.raises(UsageError, match=r"rs\.cox only"):
        rs.lmm("time ~ pspline(age) + (1 | inst)", LUNG)
    with pytest.raises(NotEstimable, match="distinct values"):
        rs.cox(f"{TIMES} ~ pspline(sex)", LUNG)
    with pytest.raises(NotEstimable, match="Term 'twice'"):
        rs.cox(f"{TIMES} ~ pspline(age) + sex + twice", LUNG.assign(twice=2 * LUNG["sex"]))
    with pytest.raises(UsageError, match="Wald tests only"):
        fitted("pspline(age, 3)").anova(1)
    with pytest.raises(UsageError, match="column of the model's terms"):
        fitted("pspline(age, 3)").dose_response("sex")
