"""`lmm` through its public face: reference cases, conventions, refusals."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.formula import quote
from recovery_stats.models.mixed import MixedFit, lmm
from tests.tolerance import CLOSED_FORM, CONVERGED, INVARIANCE

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
CASES = sorted(REFERENCE.glob("lmm_*.json")) + sorted(REFERENCE.glob("oneway_reml*.json"))


def in_r(term: str) -> str:
    """The name R gives to our term."""
    if term == "Intercept":
        return "(Intercept)"
    return re.sub(r"\[T?\.?([^\]]*)\]", r"\1", term)


def values_of(fit: MixedFit, kr: MixedFit | None) -> dict[str, float]:
    """The fit in the vocabulary of the reference cases."""
    table, row = fit.tidy(), fit.glance().iloc[0]
    found: dict[str, float] = {
        "sigma2": row.sigma**2,
        "loglik": row.log_likelihood,
        "aic": row.aic,
        "bic": row.bic,
        "nobs": row.n_obs,
        "singular": float(row.singular),
        "icc": fit.icc(),
        "npar": fit.engine.n_parameters,
    }
    for r in table.itertuples():
        name = in_r(r.term)
        found |= {
            f"beta[{name}]": r.estimate,
            f"se[{name}]": r.std_error,
            f"df_satt[{name}]": r.df,
            f"df[{name}]": r.df,
            f"t[{name}]": r.statistic,
            f"p_satt[{name}]": r.p_value,
        }
    for r in lmm(fit.formula, fit.data, reml=fit.engine.reml, df="normal").confint().itertuples():
        found[f"wald.lo[{in_r(r.term)}]"] = r.conf_low
        found[f"wald.hi[{in_r(r.term)}]"] = r.conf_high
    for r in fit.variance_components().itertuples():
        kind = "var" if r.term_1 == r.term_2 else "cov"
        a, b = in_r(r.term_1), in_r(r.term_2)
        inside = a if a == b else f"{a},{b}"
        found[f"{kind}[{r.group}|{inside}]"] = r.covariance
        found[f"{kind}[{r.group}.1|{inside}]"] = r.covariance
    for group, m in fit.groups.items():
        found[f"ngroups[{group}]"] = m
    for r in fit.random_effects().itertuples():
        found[f"ranef[{r.group}|{r.level}|{in_r(r.term)}]"] = r.estimate
    for kind in (1, 2, 3):
        for r in fit.anova(kind).itertuples():
            found |= {
                f"F{kind}_satt[{r.term}]": r.statistic,
                f"F{kind}_numdf[{r.term}]": r.num_df,
                f"F{kind}_dendf_satt[{r.term}]": r.den_df,
                f"F{kind}_p_satt[{r.term}]": r.p_value,
                f"F{kind}[{r.term}]": r.statistic,
                f"F{kind}_dendf[{r.term}]": r.den_df,
                f"F{kind}_p[{r.term}]": r.p_value,
            }
    if kr is not None:
        for r in kr.tidy().itertuples():
            name = in_r(r.term)
            found |= {
                f"se_kr[{name}]": r.std_error,
                f"df_kr[{name}]": r.df,
                f"p_kr[{name}]": r.p_value,
            }
        for r in kr.anova().itertuples():
            found |= {
                f"F3_kr[{r.term}]": r.statistic,
                f"F3_dendf_kr[{r.term}]": r.den_df,
                f"F3_p_kr[{r.term}]": r.p_value,
            }
    return found


def scale_of(key: str, values: dict[str, float]) -> float:
    if key.startswith("cov"):
        group, terms = re.match(r"cov\[(.*)\|(.*)\]", key).groups()  # type: ignore[union-attr]
        a, b = terms.split(",")
        return math.sqrt(values[f"var[{group}|{a}]"] * values[f"var[{group}|{b}]"])
    if re.match(r"(p_|F._p)", key):
        return max(abs(values[key]), 1e-3)
    return abs(values[key]) or 1.0


@pytest.mark.skipif(not CASES, reason="reference cases are not beside this checkout")
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_reference_case(path: Path) -> None:
    case = json.loads(path.read_text())
    frame = pd.read_csv(path.with_suffix(".csv"))
    for column, levels in case["factors"].items():
        frame[column] = pd.Categorical(frame[column].astype(str), categories=levels)
    formula, reml = case["model"]["formula"], case["model"]["REML"]
    fit = lmm(formula, frame, reml=reml)
    kr = lmm(formula, frame, df="kenward-roger") if reml else None
    ours, theirs, tol = values_of(fit, kr), case["values"], case["tol"]
    missing = []
    for key, value in theirs.items():
        if key not in ours:
            missing.append(key)
            continue
        kind = key.split("[")[0]
        allowed = tol.get(kind, tol["var"] if kind in ("cov", "sigma2") else 1e-4)
        assert abs(ours[key] - value) <= allowed * scale_of(key, theirs), key
    assert all(k.startswith("prof.") for k in missing), missing
