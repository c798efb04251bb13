"""Effect sizes, E-values and adjusted p-values in the vocabulary of the reference cases."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as t_distribution

from recovery_stats.core.estimate import Estimate
from recovery_stats.models.effect_size import paired_d
from recovery_stats.models.linear import ols
from recovery_stats.models.multiplicity import adjusted
from recovery_stats.models.risk import approximate_risk_ratio, e_value, e_value_limit
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values

SCALES = {"OR_common": "odds_ratio", "HR_common": "hazard_ratio", "SMD": "smd"}


def paired(case: Case) -> Values:
    """The same people twice: the mean change with its t interval, and d_z."""
    if "paired" not in f"{case.option('note', default='')} {case.option('design', default='')}":
        raise CannotAnswer("only the paired effect size is offered")
    first, second = case.frame.select_dtypes("number").columns[-2:]
    both = case.frame[[first, second]].dropna()
    frame = both.assign(change=both[first] - both[second])
    change = ols("change ~ 1", frame).estimate({"Intercept": 1.0}, name="change", label="Change")
    d = paired_d(both[first].to_numpy(), both[second].to_numpy())
    statistic = change.value / (change.se or np.nan)
    return {
        "t": statistic,
        "df": change.df,
        "p": 2 * float(t_distribution.sf(abs(statistic), change.df)),
        "lo": change.low,
        "hi": change.high,
        "dz": d.value,
        "dz_lo": d.low,
        "dz_hi": d.high,
    }


def e_values(case: Case) -> Values:
    """E-values of estimates and of the limits nearer 1, a row of the table each."""
    values: Values = {}
    for number, row in enumerate(case.frame.itertuples(), start=1):
        kind, scale = str(row.kind), SCALES.get(str(row.kind))
        limits = (row.lo, row.hi)
        if kind == "SMD":
            # VanderWeele & Ding 2017, table 2: 0.91 and 1.78 for estimate and error.
            ends = [np.exp(0.91 * row.est - s * 1.78 * row.se) for s in (1, -1)]
        else:
            ends = [_ratio(x, scale) for x in limits]
        value = _ratio(row.est, scale)
        ratio = Estimate("ratio", "Ratio", value, float(ends[0]), float(ends[1]), scale="ratio")
        values[f"evalue[{number}]"] = e_value(value)
        values[f"evalue_ci[{number}]"] = e_value_limit(ratio)
    return values


def _ratio(value: float, scale: str | None) -> float:
    return float(value) if scale is None else approximate_risk_ratio(float(value), scale)  # type: ignore[arg-type]


def tests(case: Case) -> Values:
    """Adjusted p-values of a column p; or the one-way analysis of variance of a number."""
    if "p" in case.frame:
        return _adjusted(case)
    numbers = list(case.frame.select_dtypes("number").columns)
    groups = [c for c in case.frame.columns if c not in numbers]
    if len(numbers) != 1 or len(groups) != 1:
        raise CannotAnswer("tests other than adjusted p-values and one-way F are not offered")
    found = ols(f"{quote(numbers[0])} ~ {quote(groups[0])}", case.frame).anova().iloc[0]
    return {"F": found["statistic"], "p": found["p_value"]}


def _adjusted(case: Case) -> Values:
    """p-values adjusted for their number; a missing one stays missing and does not count."""
    p = case.frame["p"].to_numpy(float)
    seen = ~np.isnan(p)
    values: Values = {}
    for method in ("bonferroni", "holm"):
        out = np.full(len(p), np.nan)
        out[seen] = adjusted(p[seen], method)
        values |= {f"{method}[{j}]": v for j, v in enumerate(out.tolist(), start=1)}
    return values
