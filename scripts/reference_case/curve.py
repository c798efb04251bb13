"""Curves and tests of groups in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

import recovery_stats as rs
from recovery_stats.engines.curves import limits, quantile
from recovery_stats.models.curve import Curves
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values, where_offered
from .naming import number, short

QUARTILES = (0.25, 0.5, 0.75)
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
FINEST = 20_000  # whole units of time at which a curve is read; more are thinned to event times
FINE = 100  # last times up to which quarters of a unit are read too
HAZARD_WORDS = re.compile(r"fleming|^fh2?$|breslow|nelson|aalen", re.I)


# --- curves ----------------------------------------------------------------------------------


def curves(case: Case) -> Values:
    """Survival, quartiles, restricted means, cumulative hazards and the tests of groups."""
    formula, groups = _grouped(case)
    conf = str(case.option("conf", "conf.type", "conf_type", default="log"))
    fit = rs.kaplan_meier(
        formula,
        case.frame,
        conf_type=conf,  # type: ignore[arg-type]
        weights=case.option("weights"),
        cluster=case.option("cluster"),
        person=case.option("id"),
        robust=case.option("robust"),
    )
    times = times_of(case, fit.tidy()["time"])
    values = _cumulative(fit, groups, times)
    if HAZARD_WORDS.search(str(case.option("estimator", "stype", "type2", default=""))):
        return values | _from_hazard(fit, groups, times)
    for label, row in labelled(fit.at(times), groups):
        at = f"{label}|{number(row.time)}"
        values[f"surv[{at}]"], values[f"std.err[{at}]"] = row.estimate, row.std_error
        values[f"lower[{at}]"], values[f"upper[{at}]"] = row.conf_low, row.conf_high
        values[f"n.risk[{at}]"] = row.n_risk
    for label, row in labelled(fit.quantile(QUARTILES), groups):
        key = f"q{100 * row.quantile:.0f}"
        values[f"{key}[{label}]"] = row.estimate
        values[f"{key}.lo[{label}]"], values[f"{key}.hi[{label}]"] = row.conf_low, row.conf_high
    tau = _horizon(case)
    if tau is not None:
        values |= where_offered(lambda: _restricted_means(fit.rmst(tau), groups))
    if groups and not case.option("weights"):
        values |= where_offered(lambda: _group_tests(formula, case.frame, groups))
    return values


def _cumulative(fit: Any, groups: Sequence[str], times: Sequence[float]) -> Values:
    values: Values = {}
    for name, curve in fit.cumulative_hazard().groupby("group", sort=False):
        label = _label(str(name), groups)
        at = np.searchsorted(curve["time"], times, side="right") - 1
        seen = [(t, j) for t, j in zip(times, at, strict=True) if t <= curve["time"].max()]
        for t, j in seen:
            key = f"[{label}|{number(t)}]"
            values[f"cumhaz{key}"] = curve["estimate"].iloc[j] if j >= 0 else 0.0
            values[f"cumhaz_se{key}"] = curve["std_error"].iloc[j] if j >= 0 else 0.0
    return values


def _from_hazard(fit: Curves, groups: Sequence[str], times: Sequence[float]) -> Values:
    """exp(-H) of Nelson and Aalen's H with its limits and quartiles."""
    rows = ((label, row) for label, row in labelled(fit.at(times), groups))
    values: Values = {f"n.risk[{label}|{number(row.time)}]": row.n_risk for label, row in rows}
    for name, curve in fit.cumulative_hazard().groupby("group", sort=False):
        label, time = _label(str(name), groups), curve["time"].to_numpy()
        S, sigma = np.exp(-curve["estimate"].to_numpy()), curve["std_error"].to_numpy()
        low, high = limits(S, sigma, level=0.95, kind=fit.conf_type)
        found = {"surv": S, "std.err": S * sigma, "lower": low, "upper": high}
        for t in (t for t in times if time[0] <= t <= time[-1]):
            j = np.searchsorted(time, t, side="right") - 1
            values |= {f"{key}[{label}|{number(t)}]": v[j] for key, v in found.items()}
        for q in QUARTILES:
            for key, steps in (("", S), (".lo", low), (".hi", high)):
                steps = np.where(np.isnan(steps), np.inf, steps)
                values[f"q{100 * q:.0f}{key}[{label}]"] = quantile(time, steps, q)
    return values


def _restricted_means(table: pd.DataFrame, groups: Sequence[str]) -> Values:
    values: Values = {}
    for row in table.itertuples():
        if row.group == "difference":
            p = 2 * norm.sf(abs(row.estimate) / row.std_error)
            values |= {"rmst_diff": row.estimate, "rmst_diff_se": row.std_error, "rmst_diff_p": p}
            continue
        label = _label(str(row.group), groups)
        values[f"rmst[{label}]"], values[f"rmst_se[{label}]"] = row.estimate, row.std_error
    return values


def _group_tests(
    formula: str, frame: pd.DataFrame, groups: Sequence[str], rho: float | None = None
) -> Values:
    """Log-rank and Peto-Peto tests; the one with the case's own rho without a name."""
    values = _tested("logrank", rs.logrank(formula, frame), groups)
    values |= _tested("peto", rs.logrank(formula, frame, rho=1), groups)
    values |= _tested("gehan", rs.logrank(formula, frame, weigh="gehan"), groups)
    values |= where_offered(partial(_trend, formula, frame))
    if rho is not None:
        own = _tested("", rs.logrank(formula, frame, rho=rho), groups)
        values |= {key.removeprefix("_"): value for key, value in own.items() if key}
        values |= {"chisq": own[""], "statistic": own[""], f"rho{number(rho)}": own[""]}
    return values


def _tested(name: str, test: Any, groups: Sequence[str]) -> Values:
    found = test.tidy().iloc[0]
    values: Values = {name: found["statistic"], f"{name}_df": found["df"]}
    values[f"{name}_p"] = found["p_value"]
    for label, row in labelled(test.groups(), groups):
        values[f"{name}_obs[{label}]"] = row.observed
        values[f"{name}_exp[{label}]"] = row.expected
    return values


def _trend(formula: str, frame: pd.DataFrame) -> Values:
    found = rs.logrank(formula, frame).trend().iloc[0]
    return {"trend": found["statistic"], "trend_p": found["p_value"]}


def tests(case: Case) -> Values:
    """Log-rank tests: of the first group that the model names, plain and by strata."""
    given = case.option("rho")
    rho = 0.0 if given is None else float(given)
    if "formula" in case.model:
        return _by_formula(case, rho)
    first, *others = re.split(r"\s*[/,]\s*", str(case.option("group", default="")))
    if not first:
        raise CannotAnswer("the case names no group")
    values = _group_tests(case.survival([quote(first)]), case.frame, [first], rho)
    strata = case.option("strata")
    if strata:
        names = [strata] if isinstance(strata, str) else strata
        within = f"strata({', '.join(quote(str(s)) for s in names)})"
        found = rs.logrank(case.survival([quote(first), within]), case.frame)
        values |= _tested("logrank_strat", found, [first])
        peto = rs.logrank(case.survival([quote(first), within]), case.frame, rho=1)
        values |= _tested("peto_strat", peto, [first])
    return values | _others(case, others)


def _by_formula(case: Case, rho: float) -> Values:
    groups = [g.strip() for g in _right(case.formula).split("+")]
    values = _group_tests(case.formula, case.frame, groups, rho)
    if "strata(" in case.formula:
        values |= _tested("logrank_strat", rs.logrank(case.formula, case.frame), groups)
    return values


def _others(case: Case, groups: Iterable[str]) -> Values:
    """Tests of further groups: of as many levels, from the lowest, as the case says."""
    values: Values = {}
    said = re.search(rf"({'|'.join(NUMBERS)})-group", case.description.lower())
    for group in groups:
        levels = case.frame[group].dropna().unique()
        kept = sorted(levels)[: NUMBERS[said[1]]] if said else levels
        rows = case.frame[case.frame[group].isin(kept)]
        found = rs.logrank(case.survival([quote(group)]), rows).tidy().iloc[0]
        key = f"logrank_{short(group)}"
        values |= {key: found["statistic"], f"{key}_p": found["p_value"]}
    return values


# --- reading ---------------------------------------------------------------------------------


def _right(formula: str) -> str:
    return re.sub(r"\+?\s*strata\(.*?\)", "", formula.partition("~")[2]).strip()


def groups_of(case: Case) -> list[str]:
    group = case.option("group", "groups")
    if group is None:
        return []
    return [group] if isinstance(group, str) else list(group)


def _grouped(case: Case) -> tuple[str, list[str]]:
    if "formula" not in case.model:
        groups = groups_of(case)
        return case.survival(map(quote, groups)), groups
    right = _right(case.formula)
    groups = [] if right == "1" else [g.strip() for g in right.split("+")]
    return case.formula, groups


def _label(level: str, groups: Sequence[str]) -> str:
    """R's label of a stratum: `a=1, b=2`; none where there are no groups."""
    if len(groups) < 2:
        return f"{groups[0]}={level}" if groups else ""
    parts = zip(groups, level.split(":"), strict=True)
    return ", ".join(f"{g}={v}" for g, v in parts)


def labelled(table: pd.DataFrame, groups: Sequence[str]) -> Iterable[tuple[str, Any]]:
    return [(_label(str(row.group), groups), row) for row in table.itertuples()]


def times_of(case: Case, observed: pd.Series[float]) -> list[float]:
    """The times asked for, else the observed ones and every whole unit between."""
    asked = case.option("times")
    if asked is not None:
        return sorted(float(t) for t in asked)
    last = float(observed.max())
    step = 0.25 if last <= FINE else 1.0
    whole = np.arange(0.0, last + step / 2, step) if last <= FINEST else np.array([])
    return [float(t) for t in np.unique(np.append(whole, observed))]


def _horizon(case: Case) -> float | None:
    """The end of the restricted mean: a setting of the model, or told in words."""
    given = case.option("tau", "rmst", "rmean", "horizon")
    said = r"(?:RMST|restricted mean[\w ]*?)\s*(?:\(|to|at|up to|until|over)\s*(\d+(?:\.\d+)?)"
    words = re.search(said, case.description, re.I)
    return float(given) if given else float(words[1]) if words else None


def intervals(case: Case) -> Values:
    """Turnbull's estimate by group at the times asked for."""
    right = _right(case.formula)
    groups = [] if right == "1" else [g.strip() for g in right.split("+")]
    fit = rs.turnbull(case.formula, case.frame, weights=case.option("weights"), errors="none")
    asked = case.option("times")
    times = sorted(map(float, asked)) if asked else np.unique(fit.tidy()["time"]).tolist()
    rows = labelled(fit.at(times), groups)
    return {f"surv[{label}|{number(row.time)}]": row.estimate for label, row in rows}
