"""Cox models, their residuals, tests and curves as R gives them, for what is asked least."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from tests.models.survival_sweep import VALUES, curve, data, same, sorted_like
from tests.tolerance import R_CONVERGED, ZPH

TIES = ["efron", "breslow", "exact"]
ENTERED = "Surv(start, stop, event)"
WITHIN = f"{ENTERED} ~ x + z + offset(off) + strata(h)"
PATH = f"{ENTERED} ~ log(bili) + albumin + age + trt"


def compare(fit: Any, theirs: dict[str, Any]) -> None:
    table, whole = fit.tidy(), fit.glance().iloc[0]
    same(table["estimate"], list(theirs["beta"].values()))
    same(table["std_error"], theirs["se"])
    same(whole[["log_likelihood_null", "log_likelihood"]], theirs["loglik"])
    same(whole[["score", "wald"]], [theirs["score"], theirs["wald"]])
    same(whole[["concordance", "concordance_se"]], theirs["concordance"])


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize(
    ("case", "formula", "frame"),
    [("lung", "Surv(time, dead) ~ age + ph_ecog * sex + wt_loss + strata(inst)", "lung"),
     ("heart", f"{ENTERED} ~ age + year + surgery * transplant", "heart"),
     ("litters", "Surv(time, status) ~ rx + strata(litter)", "rats"),
     ("within", WITHIN, "awkward")],
)  # fmt: skip
def test_three_ways_with_ties(case: str, formula: str, frame: str, ties: Any) -> None:
    """Missing values, products, entry, many small strata, strata without an event, an offset."""
    compare(rs.cox(formula, data(frame), ties=ties), VALUES[case][ties])


@pytest.mark.parametrize("ties", TIES[:2])
def test_nearly_everything_tied_and_levels_in_any_script(ties: Any) -> None:
    frame = data("awkward")
    compare(rs.cox(f"{ENTERED} ~ x + g", frame, ties=ties), VALUES["heavy"][ties])
    weighted = rs.cox(WITHIN, frame, ties=ties, weights="w", cluster="cl")
    compare(weighted, VALUES["weighted"][ties])


def test_age_as_time_with_weights() -> None:
    formula = "Surv(age, exit, death) ~ sex + hgb + sqrt(creat)"
    compare(rs.cox(formula, data("mgus"), weights="w", cluster="id"), VALUES["entered"])


def test_a_case_cohort() -> None:
    formula = "Surv(years, rel) ~ C(stage) + histol + I(age/12)"
    compare(rs.cox(formula, data("nwtco"), weights="w"), VALUES["cohort"])


def test_covariates_that_change() -> None:
    compare(rs.cox(PATH, data("pbcseq"), cluster="id"), VALUES["path"])


def test_a_natural_spline() -> None:
    compare(rs.cox("Surv(time, dead) ~ sex + ns(age, 3)", data("lung")), VALUES["smooth"])


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_units_of_a_covariate(factor: float) -> None:
    frame = data("awkward").assign(x=lambda d: factor * d["x"] + factor)
    table = rs.cox(WITHIN, frame).tidy()
    theirs, scale = VALUES["within"]["efron"], np.array([factor, 1.0])
    same(table["estimate"] * scale, list(theirs["beta"].values()), R_CONVERGED)
    same(table["std_error"] * scale, theirs["se"], R_CONVERGED)


@pytest.fixture(scope="module")
def weighted() -> Any:
    return rs.cox(WITHIN, data("awkward"), weights="w", cluster="cl")


@pytest.mark.parametrize("kind", ["martingale", "deviance", "score", "dfbeta", "dfbetas"])
def test_residuals_by_row(weighted: Any, kind: str) -> None:
    same(weighted.residuals(kind), VALUES["residual"][kind])


@pytest.mark.parametrize("kind", ["schoenfeld", "scaled_schoenfeld"])
def test_residuals_of_events(weighted: Any, kind: str) -> None:
    """R orders events by stratum and we by row: the same once each column is sorted."""
    sorted_like(weighted.residuals(kind)[["x", "z"]], VALUES["residual"][kind])


@pytest.mark.parametrize("kind", ["martingale", "dfbeta"])
def test_residuals_summed_by_cluster(weighted: Any, kind: str) -> None:
    same(weighted.residuals(kind, by="cluster"), VALUES["residual"][f"{kind}_cluster"])


@pytest.mark.parametrize("transform", ["km", "identity", "rank", "log"])
@pytest.mark.parametrize("case", ["products", "weighted", "path", "breslow"])
def test_proportional_hazards(weighted: Any, case: str, transform: str) -> None:
    fits: dict[str, Any] = {
        "products": lambda: rs.cox(
            "Surv(time, status) ~ trt + karno * celltype + age + strata(prior)", data("veteran")
        ),
        "weighted": lambda: weighted,
        "path": lambda: rs.cox(PATH, data("pbcseq")),
        "breslow": lambda: rs.cox(
            "Surv(time, status) ~ trt + karno + celltype", data("veteran"), ties="breslow"
        ),
    }
    found = fits[case]().proportionality(transform)
    same(found["chisq"], VALUES["zph"][case][transform], ZPH)


@pytest.mark.parametrize("ties", TIES[:2])
def test_baseline_of_strata(ties: Any) -> None:
    fit = rs.cox("Surv(time, status) ~ age + karno + strata(celltype)", data("veteran"), ties=ties)
    theirs, base = VALUES["people"][ties], fit.baseline()
    known = pd.DataFrame({k: theirs[k] for k in ("stratum", "t", "H")})
    for stratum, rows in known.groupby("stratum"):
        ours = base[base["stratum"] == stratum]
        steps = np.append(0.0, ours["cumulative_hazard"])
        same(steps[np.searchsorted(ours["time"], rows["t"], side="right")], rows["H"])


@pytest.mark.parametrize("conf", ["log-log", "log", "plain"])
@pytest.mark.parametrize("ties", TIES[:2])
def test_curves_of_people_in_strata(ties: Any, conf: Any) -> None:
    fit = rs.cox("Surv(time, status) ~ age + karno + strata(celltype)", data("veteran"), ties=ties)
    new = pd.DataFrame({"age": [40, 65], "karno": [90, 30], "celltype": ["large", "squamous"]})
    found = fit.survival(new, times=[20, 100, 200], conf_type=conf)
    for row, theirs in enumerate(VALUES["people"][ties]["curves"][conf]):
        curve(found[found["row"] == row], theirs)


def test_terms_as_they_enter_and_leave() -> None:
    fit = rs.cox("Surv(time, status) ~ trt + karno + celltype + karno:trt", data("veteran"))
    same(fit.anova(1)["statistic"], VALUES["terms"]["one"])
    # drop1 leaves out what no product holds
    same(fit.anova(2).set_index("term").loc[["celltype", "karno:trt"], "statistic"],
         VALUES["terms"]["drop"])  # fmt: skip


@pytest.mark.parametrize(
    ("case", "formula", "ties"),
    [("rats", "Surv(time, status) ~ rx + frailty(litter)", "efron"),
     ("kidney", "Surv(time, status) ~ age + sex + frailty(id)", "breslow")],
)  # fmt: skip
def test_shared_gamma_frailty(case: str, formula: str, ties: Any) -> None:
    fit: Any = rs.cox(formula, data(case), ties=ties)
    theirs = VALUES["frailty"][case]
    same(fit.theta, theirs["theta"], 10 * R_CONVERGED)  # R's outer steps are of 1e-6
    same(fit.beta, theirs["beta"], 10 * R_CONVERGED)
    same(fit.glance()["log_likelihood"], theirs["loglik"])


def test_a_penalised_spline_within_strata() -> None:
    fit = rs.cox("Surv(time, status) ~ trt + pspline(karno, 5) + strata(celltype)", data("veteran"))
    same(fit.beta[0], VALUES["pspline"]["beta"], R_CONVERGED)
    same(fit.glance()["log_likelihood"], VALUES["pspline"]["loglik"], R_CONVERGED)
