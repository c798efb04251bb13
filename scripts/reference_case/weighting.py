"""Propensity weighting in the vocabulary of the reference cases."""

from __future__ import annotations

import numpy as np

import recovery_stats as rs
from recovery_stats.engines.propensity import effective
from recovery_stats.models.propensity import PropensityWeights

from .case import Case, Values
from .naming import Names


def weighted(case: Case) -> Values:
    """Propensity, stabilised and ATT weights, weighted differences, balance, effective sizes."""
    formula, outcome = str(case.option("treatment", "formula")), str(case.model["outcome"])
    ate, att = (rs.propensity_weights(formula, case.frame, e) for e in ("ate", "att"))
    names, treated = Names(formula, case.wrapped), ate.arm == 1
    p, w = ate.fit.mu, ate.found.weights
    values: Values = {
        f"ps.beta[{names.term(str(row.term))}]": row.estimate for row in ate.tidy().itertuples()
    }
    values |= {"ps_mean_treated": p[treated].mean(), "ps_min": p.min(), "ps_max": p.max()}
    for name, found in (("ate", ate), ("att", att)):
        row = found.effect(outcome, errors="known").iloc[0]
        n = len(w)
        values |= {name: row.estimate, f"{name}_se_hc0": row.std_error}
        values[f"{name}_se_hc1"] = row.std_error * np.sqrt(n / (n - 2))
    values |= {"ess_treated": effective(w[treated]), "ess_control": effective(w[~treated])}
    values["ess_control_att"] = effective(att.found.weights[~treated])
    values |= {"w_max": w.max(), "w_mean": w.mean()}
    return values | _balance(ate, names)


def _balance(found: PropensityWeights, names: Names) -> Values:
    values: Values = {}
    for row in found.balance().itertuples():
        term = names.term(str(row.term))
        values |= {f"smd_before[{term}]": row.smd_before, f"smd_after[{term}]": row.smd_after}
    return values
