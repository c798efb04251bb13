"""Effect sizes, E-values and adjusted p-values in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as t_distribution

from recovery_stats.core.estimate import Estimate
from recovery_stats.models.effect_size import paired_d
from recovery_stats.models.linear import ols
from recovery_stats.models.multiplicity import adjust_p
from recovery_stats.models.one_way import OneWay, Pairs, one_way
from recovery_stats.models.repeated import RepeatedAnova, repeated_anova
from recovery_stats.models.risk import approximate_risk_ratio, e_value, e_value_limit
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values

NAMES_OF_PEOPLE = ("id", "pid", "subject", "person", "rownames")
ADJUSTMENTS = ("bonferroni", "holm", "hochberg", "BH", "BY")
PAIRWISE: tuple[tuple[Pairs, str, dict[str, str]], ...] = (
    ("tukey", "tukey",
     {"diff": "estimate", "lo": "conf_low", "hi": "conf_high", "p": "p_value"}),
    ("holm", "holm", {"p": "p_value"}),
    ("bonferroni", "bonferroni", {"p": "p_value"}),
    ("games-howell", "gh",
     {"diff": "estimate", "df": "df", "lo": "conf_low", "hi": "conf_high", "p": "p_value"}),
    ("dunn", "dunn", {"z": "statistic"}),
)  # fmt: skip
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
    """Adjusted p-values of a column p; or one number in several groups, all and in pairs."""
    if "p" in case.frame:
        return _adjusted(case)
    numbers = [c for c in case.frame.select_dtypes("number").columns if c not in NAMES_OF_PEOPLE]
    groups = [c for c in case.frame.columns if c not in (*numbers, *NAMES_OF_PEOPLE)]
    if "formula" in case.model:
        left, _, right = (part.strip("` ") for part in case.formula.partition("~"))
        numbers, groups = [left], [right]
    if len(numbers) != 1 or len(groups) != 1:
        raise CannotAnswer("tests other than adjusted p-values and one-way ones are not offered")
    return _one_way(one_way(case.frame, numbers[0], groups[0]))


def _one_way(found: OneWay) -> Values:
    whole = found.tidy().set_index("term")
    f, welch, ranks = (whole.loc[n] for n in ("f", "welch", "kruskal-wallis"))
    values: Values = {
        "F": f["statistic"], "p": f["p_value"], "welch_F": welch["statistic"],
        "welch_df2": welch["den_df"], "welch_p": welch["p_value"], "kw": ranks["statistic"],
        "kw_p": ranks["p_value"],
    }  # fmt: skip
    for adjust, prefix, columns in PAIRWISE:
        for row in found.pairwise(adjust).itertuples():
            pair = row.contrast.replace(" - ", "-")
            values |= {f"{prefix}_{k}[{pair}]": getattr(row, c) for k, c in columns.items()}
    return values


def _adjusted(case: Case) -> Values:
    """p-values adjusted for their number; a missing one stays missing and does not count."""
    p = case.frame["p"].to_numpy(float)
    return {
        f"{name}[{j}]": v
        for name in ADJUSTMENTS
        for j, v in enumerate(adjust_p(p, name.casefold()).tolist(), start=1)
    }


def repeated(case: Case) -> Values:
    """Repeated measures in columns side by side: F, epsilons and corrected p, with and without
    what is between people.

    The chance of Mauchly's W is exact here and Box's expansion in R, so it is left out.
    """
    people = [c for c in case.frame.columns if c.casefold() in NAMES_OF_PEOPLE]
    numbers = case.frame.select_dtypes("number").columns
    measures = [c for c in case.option("measures", default=numbers) if c not in people]
    between = [c for c in case.frame.columns if c not in (*people, *measures)]
    right = " * ".join(map(quote, between)) or "1"
    values: Values = {}
    for within in _within_names(case, measures):
        fit = repeated_anova(case.frame, measures, right, within=within)
        values |= _repeated_tests(fit, within)
    alone = repeated_anova(case.frame, measures)
    test, ball = alone.tidy().iloc[1], alone.sphericity
    return values | {
        "oneway_F": test["statistic"], "oneway_p": test["p_value"], "oneway_gg": ball.gg,
        "oneway_gg_p": test["p_gg"], "oneway_hf": ball.hf, "oneway_hf_p": test["p_hf"],
    }  # fmt: skip


def _repeated_tests(fit: RepeatedAnova, within: str) -> Values:
    values: Values = {}
    for row in fit.tidy().itertuples():
        term = "(Intercept)" if row.term == "Intercept" else row.term
        values |= {f"F[{term}]": row.statistic, f"p[{term}]": row.p_value}
        if term == within or term.endswith(f":{within}"):
            values |= {
                f"gg_eps[{term}]": fit.sphericity.gg, f"hf_eps[{term}]": fit.sphericity.hf,
                f"gg_p[{term}]": row.p_gg, f"hf_p[{term}]": row.p_hf,
                f"mauchly_w[{term}]": fit.sphericity.mauchly,
            }  # fmt: skip
    return values


def _within_names(case: Case, measures: Sequence[str]) -> list[str]:
    """What the measures may be called: as the model says, or by the words of the description."""
    named = case.option("within", "idesign")
    if named:
        return [str(named).strip("~ ")]
    words = {w.casefold() for w in re.findall(r"[A-Za-z_]+", case.description)}
    words |= {w.removesuffix("s") for w in words} | {re.sub(r"[\W_\d]+$", "", m) for m in measures}
    return sorted(w for w in words if len(w) > 2)
