"""Estimating equations in the vocabulary of the reference cases: what R's geeglm says."""

from __future__ import annotations

import re
from typing import Any

from scipy.stats import chi2

import recovery_stats as rs

from .case import CannotAnswer, Case, Values
from .naming import Names

FAMILY = re.compile(r"(?:quasi)?(\w+)\s*(?:\(\s*(?:link\s*=\s*)?[\"']?(\w+)?[\"']?\s*\))?", re.I)
R_LINKS = {"gamma": "inverse"}
NAMED = {"kc": "kauermann-carroll", "md": "mancl-derouen"}


def marginal(case: Case) -> Values:
    """Coefficients, robust and model errors, Wald statistics, scale and correlation.

    The plain sandwich is geepack's; corrected errors stand beside it under `se_kc` and `se_md`.
    """
    asked = request(case)
    fit = rs.gee(case.formula, case.frame, small_sample="none", df="normal", **asked)
    names = Names(case.formula, case.wrapped)
    whole = fit.glance().iloc[0]
    values: Values = {
        "scale": whole["scale"],
        "nclusters": whole["n_groups"],
        "nobs": whole["n_obs"],
        "qic_pan": whole["qic"],
        "cic": whole["cic"],
    }
    for row in fit.tidy().itertuples():
        term = names.term(str(row.term))
        wald = (row.estimate / row.std_error) ** 2
        values |= {
            f"beta[{term}]": row.estimate,
            f"se_robust[{term}]": row.std_error,
            f"se_model[{term}]": row.std_error_model,
            f"wald[{term}]": wald,
            f"p[{term}]": float(chi2.sf(wald, 1)),
        }
    for k, row in enumerate(fit.working_correlation().itertuples(), start=1):
        values[f"alpha[{k}]"] = row.estimate
    return values | _corrected(case, asked, names)


def request(case: Case) -> dict[str, Any]:
    """The arguments of `rs.gee` that the case's geeglm call means."""
    told = FAMILY.fullmatch(str(case.option("family", default="gaussian")).strip())
    if told is None:
        raise CannotAnswer("the family is not understood")
    family = told[1].lower()
    link = case.option("link") or told[2] or R_LINKS.get(family)
    groups = case.option("id", "cluster", "groups")
    if groups is None:
        raise CannotAnswer("the case names no clusters")
    asked: dict[str, Any] = {
        "groups": str(groups),
        "family": family,
        "link": link,
        "correlation": str(case.option("corstr", "correlation", default="independence")),
    }
    for name in ("weights", "offset"):
        if case.option(name):
            asked[name] = str(case.option(name))
    if case.option("waves") and asked["correlation"] == "unstructured":
        asked["time"] = str(case.option("waves"))  # geeglm does not hand waves to ar1
    if case.option("scale.fix", "scale_fix"):
        asked["scale"] = float(case.option("scale.value", "scale_value", default=1.0))
    return asked


def _corrected(case: Case, asked: dict[str, Any], names: Names) -> Values:
    values: Values = {}
    for key, correction in NAMED.items():
        fit = rs.gee(case.formula, case.frame, small_sample=correction, **asked)
        for row in fit.tidy().itertuples():
            term = names.term(str(row.term))
            values |= {f"se_{key}[{term}]": row.std_error, f"df_{key}[{term}]": row.df}
    return values
