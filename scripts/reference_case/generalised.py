"""Generalised linear mixed models in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from typing import Any

import recovery_stats as rs

from .case import Case, Values
from .family import counted, family_of
from .mixed import random_part
from .naming import Names

SECOND_LEVEL = re.compile(r"([\w.]+) = 1 for the second level of ([\w.]+)")
FINE = 30  # nodes at which the cases repeat a model with one random intercept


def generalised(case: Case) -> Values:
    """Everything glmer says: Laplace or the nodes asked for, and once more with many nodes."""
    asked: dict[str, Any] = {"family": family_of(case)}
    formula, frame, weights = counted(case, asked["family"])
    asked |= {k: v for k, v in (("weights", weights), ("offset", case.option("offset"))) if v}
    told = SECOND_LEVEL.search(str(case.option("note", default="")))
    if told and told[1] not in frame:
        levels = frame[told[2]].astype("category").cat
        frame = frame.assign(**{told[1]: (levels.codes == 1).astype(int)})
    nodes = int(case.option("nAGQ", "quadrature", default=1))
    names = Names(formula, case.wrapped)
    fit = rs.glmm(formula, frame, quadrature=nodes, **asked)
    values = _whole(fit, names)
    if _one_intercept(fit):
        fine = rs.glmm(formula, frame, quadrature=FINE, **asked)
        values |= {f"agq{FINE}.{k}": v for k, v in _whole(fine, names).items()}
    return values


def _one_intercept(fit: Any) -> bool:
    parts = fit.variance_components()
    return int((parts["group"] != "Residual").sum()) == 1


def _whole(fit: Any, names: Names) -> Values:
    values: Values = {}
    for row in fit.tidy().itertuples():
        term = names.term(row.term)
        values[f"beta[{term}]"], values[f"se[{term}]"] = row.estimate, row.std_error
        values[f"z[{term}]"], values[f"p[{term}]"] = row.statistic, row.p_value
    whole = fit.glance().iloc[0]
    values |= {f"ngroups[{names.group(g)}]": m for g, m in fit.groups.items()}
    return values | random_part(fit, names) | _own(fit) | {
        "npar": fit.n_parameters,
        "deviance": -2.0 * whole["log_likelihood"],
        "loglik": whole["log_likelihood"],
        "aic": whole["aic"],
        "bic": whole["bic"],
        "nobs": whole["n_obs"],
        "singular": int(whole["singular"]),
    }  # fmt: skip


def _own(fit: Any) -> Values:
    """Thresholds as clmm names them; theta of nbinom2 and phi of betabinomial, as glmmTMB does."""
    values: Values = {}
    for row in fit.family_parameters().itertuples():
        if row.parameter == "dispersion":
            value = 1.0 / row.estimate if row.estimate > 0 else None
            values |= dict.fromkeys(("theta", "dispersion", "disp", "size", "phi"), value)
        elif row.parameter == "correlation":
            value = (1.0 - row.estimate) / row.estimate if row.estimate > 0 else None
            values |= dict.fromkeys(("phi", "dispersion", "disp", "theta"), value)
            values["rho"] = row.estimate
        else:
            for kind in ("beta", "theta", "alpha", "threshold", "thresholds"):
                values[f"{kind}[{row.parameter}]"] = row.estimate
            for kind in ("se", "se_theta", "se_alpha", "se_threshold"):
                values[f"{kind}[{row.parameter}]"] = row.std_error
            for kind in ("z", "z_theta"):
                values[f"{kind}[{row.parameter}]"] = row.estimate / row.std_error
    return values
