"""`glmm` through its public face: reference cases, conventions, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.models.generalised_fit import GlmmFit

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
CASES = sorted(REFERENCE.glob("glmm_*.json"))


# --- reference cases -----------------------------------------------------------------------------


def in_r(term: str) -> str:
    """The name R gives to our term."""
    return "(Intercept)" if term == "Intercept" else re.sub(r"\[T?\.?([^\]]*)\]", r"\1", term)


def values_of(fit: GlmmFit) -> dict[str, float]:
    """The fit in the vocabulary of the reference cases."""
    row = fit.glance().iloc[0]
    found = {
        "loglik": row.log_likelihood, "aic": row.aic, "nobs": row.n_obs,
        "singular": float(row.singular),
    }  # fmt: skip
    for r in fit.tidy().itertuples():
        term = in_r(r.term)
        found |= {f"beta[{term}]": r.estimate, f"se[{term}]": r.std_error}
        found[f"z[{term}]"] = r.statistic
    for r in fit.variance_components().itertuples():
        if r.term_1 == r.term_2:
            found[f"var[{r.group}|{in_r(r.term_1)}]"] = r.covariance
    for r in fit.random_effects().itertuples():
        found[f"ranef[{r.group}|{r.level}|{in_r(r.term)}]"] = r.estimate
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_reference_case(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    data = pd.read_csv(path.with_suffix(".csv"))
    for column, levels in dict(case["factors"] or {}).items():
        data[column] = pd.Categorical(data[column].astype(str), levels)
    if "trt" in case["model"]["formula"]:  # the second level of treatment, as the note says
        data["trt"] = data["treatment"].rank(method="dense").astype(int) - 1
    formula, tol = case["model"]["formula"], case["tol"]
    values = values_of(rs.glmm(formula, data))
    if any(k.startswith("agq30.") for k in case["values"]):
        fine = rs.glmm(formula, data, quadrature=30)
        values |= {f"agq30.{k}": v for k, v in values_of(fine).items()}
    for key, theirs in case["values"].items():
        if key.removeprefix("agq30.").startswith("p["):
            continue  # not certified: glmer's own, from another standard error
        kind = key.removeprefix("agq30.").partition("[")[0]
        allowed = tol.get(kind, 10 * tol["beta"])
        scale = max(abs(theirs), 1e-3) if theirs else 1.0
        assert abs(values[key] - theirs) <= allowed * scale, key
