"""Generalised linear mixed models in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from typing import Any

import recovery_stats as rs

from .case import CannotAnswer, Case, Values
from .mixed import random_part
from .naming import Names

SECOND_LEVEL = re.compile(r"([\w.]+) = 1 for the second level of ([\w.]+)")
FINE = 30  # nodes at which the cases repeat a model with one random intercept


def generalised(case: Case) -> Values:
    """Everything glmer says: Laplace or the nodes asked for, and once more with many nodes."""
    if not hasattr(rs, "glmm"):
        raise CannotAnswer("generalised linear mixed models are not offered")
    frame = case.frame
    told = SECOND_LEVEL.search(str(case.option("note", default="")))
    if told and told[1] not in frame:
        levels = frame[told[2]].astype("category").cat
        frame = frame.assign(**{told[1]: (levels.codes == 1).astype(int)})
    nodes = int(case.option("nAGQ", "quadrature", default=1))
    asked: dict[str, Any] = {"family": case.option("family", default="binomial")}
    names = Names(case.formula, case.wrapped)
    fit = rs.glmm(case.formula, frame, quadrature=nodes, **asked)
    values = _whole(fit, names)
    if _one_intercept(fit):
        fine = rs.glmm(case.formula, frame, quadrature=FINE, **asked)
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
    return values | random_part(fit, names) | {
        "loglik": whole["log_likelihood"],
        "aic": whole["aic"],
        "bic": whole["bic"],
        "nobs": whole["n_obs"],
        "singular": int(whole["singular"]),
    }  # fmt: skip
