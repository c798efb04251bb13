"""Cox models, curves, log-rank tests and concordance in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

import recovery_stats as rs
from recovery_stats.engines import frailty as engine
from recovery_stats.engines.cox_residual import Transform
from recovery_stats.models.survival import CoxFit, FrailtyFit, cumulative_incidence
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values, causes_of, where_offered
from .naming import Names, number

TRANSFORMS = get_args(Transform)
QUARTILES = (0.25, 0.5, 0.75)
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
FRAILTY = re.compile(r"\s*\+\s*frailty\(\s*`?([\w.]+)`?[^()]*\)")
SPARSE_IN_R = 5  # groups from which coxph leaves out what they tell about each other
PAIRS = ("concordant", "discordant", "tied_x", "tied_y", "tied_xy")
FINEST = 4_000  # whole units of time at which a curve is read; more are thinned to event times
# What the cases call a cause that their models name in another word.
KEY_OF_CAUSE = {"progression": "pcm"}


# --- Cox -------------------------------------------------------------------------------------


def cox(case: Case) -> Values:
    """Everything that summary(coxph), concordance and cox.zph say."""
    formula = case.formula
    written = FRAILTY.search(formula)
    group = case.option("frailty") or (case.kind == "frailty" and case.option("group", "id"))
    if group or (written and case.kind == "frailty"):
        plain = FRAILTY.sub("", formula)
        return frailty(case, plain, str(group or (written and written[1])))
    fit = rs.cox(
        formula,
        case.frame,
        ties=case.option("ties", "method", default="efron"),
        cluster=case.option("cluster", "id"),
        weights=case.option("weights"),
        offset=case.option("offset"),
    )
    names = Names(formula, case.wrapped)
    values = _hazards(fit, names)
    for transform in TRANSFORMS:
        values |= where_offered(partial(_proportionality, fit, names, transform))
    return values


def frailty(case: Case, plain: str, group: str) -> Values:
    """Gamma and gaussian frailty as coxph gives them: the first by ML, the second by REML."""
    formula = f"{plain} + frailty({quote(group)})"
    names = Names(plain, case.wrapped)
    ties = case.option("ties", "method", default="efron")
    fit = rs.cox(formula, case.frame, ties=ties)
    assert isinstance(fit, FrailtyFit)
    row = fit.glance().iloc[0]
    values: Values = {"gamma.theta": fit.theta, "gamma.loglik": row["log_likelihood"]}
    for term, beta, se in zip(fit.terms, fit.beta, _sparse_errors(fit), strict=True):
        values[f"gamma.beta[{names.term(term)}]"] = beta
        values[f"gamma.se[{names.term(term)}]"] = se
    seen, size = fit.observation, fit.grouping.size
    more = {"start": seen.start, "strata": seen.strata, "offset": seen.offset, "ties": ties}
    normal = engine.fit(
        seen.X, seen.stop, seen.cause, fit.grouping.codes, law="gaussian", reml=True,
        sparse=size > SPARSE_IN_R, **more,
    )  # fmt: skip
    values["gauss.theta"] = normal.theta
    for term, beta in zip(fit.terms, normal.cox.beta, strict=True):
        values[f"gauss.beta[{names.term(term)}]"] = beta
    return values


def _sparse_errors(fit: FrailtyFit) -> NDArray[np.float64]:
    """Errors with theta known and without the information between groups, coxph's default."""
    if fit.theta == 0:
        return np.sqrt(np.diag(fit.engine.covariance))
    shared, p = fit.frailty.shared, len(fit.terms)
    at = np.concatenate([fit.engine.scaled_beta, fit.frailty.omega])
    point = engine.evaluate(shared, fit.theta, at)
    assert point is not None
    information = point.information.copy()
    information[p:, p:] = np.diag(np.diag(information)[p:])
    return np.sqrt(np.diag(np.linalg.inv(information))[:p]) / shared.problem.scale


def causes(case: Case) -> Values:
    """Cox models of each cause, and Fine and Gray's of the first, from `time, cause ~ x`."""
    left, _, right = case.formula.partition("~")
    time, _, cause = (part.strip() for part in left.partition(","))
    if not cause:
        raise CannotAnswer(f"the response {left.strip()!r} is not understood")
    values: Values = {}
    for code in sorted(set(case.frame[cause].dropna().astype(int)) - {0}):
        formula = f"Surv({quote(time)}, {quote(cause)} == {code}) ~ {right}"
        found = _hazards(rs.cox(formula, case.frame), Names(formula, case.wrapped))
        values |= {f"cs{code}.{key}": value for key, value in found.items()}
    left = f"Surv({quote(time)}, {quote(cause)})"
    return values | where_offered(lambda: _subdistribution(f"{left} ~ {right}", case))


def _subdistribution(formula: str, case: Case) -> Values:
    if not hasattr(rs, "fine_gray"):
        return {}
    of = int(case.option("cause", "failcode", default=1))
    fit, names = rs.fine_gray(formula, case.frame, cause=of), Names(formula, case.wrapped)
    values: Values = {"fg.loglik": fit.glance()["log_likelihood"].iloc[0]}
    for row in fit.tidy().itertuples():
        term = names.term(str(row.term))
        values[f"fg.beta[{term}]"], values[f"fg.se[{term}]"] = row.estimate, row.std_error
    return values


def _hazards(fit: CoxFit, names: Names) -> Values:
    values: Values = {}
    table, ratios = fit.tidy(), fit.tidy(exponentiate=True)
    robust = "std_error_model" in table
    for row, ratio in zip(table.itertuples(), ratios.itertuples(), strict=True):
        term = names.term(str(row.term))
        values[f"beta[{term}]"] = row.estimate
        values[f"se[{term}]"] = row.std_error_model if robust else row.std_error
        if robust:
            values[f"se_robust[{term}]"] = row.std_error
        values[f"z[{term}]"] = row.statistic
        values[f"p[{term}]"] = row.p_value
        values[f"hr[{term}]"] = ratio.estimate
        values[f"hr.lo[{term}]"] = ratio.conf_low
        values[f"hr.hi[{term}]"] = ratio.conf_high
    whole = fit.glance().iloc[0]
    # summary(coxph) rounds the Wald test to two decimals; with robust errors the cases do not.
    wald = whole["wald"] if robust else round(float(whole["wald"]), 2)
    return values | {
        "loglik0": whole["log_likelihood_null"],
        "loglik": whole["log_likelihood"],
        "lrt": whole["lr_statistic"],
        "lrt_df": whole["lr_df"],
        "score": whole["score"],
        "wald": wald,
        "n": whole["n_obs"],
        "nevent": whole["n_events"],
        "aic": whole["aic"],
        "concordance": whole["concordance"],
        "concordance_se": whole["concordance_se"],
    }


def _proportionality(fit: CoxFit, names: Names, transform: Transform) -> Values:
    values: Values = {}
    for row in fit.proportionality(transform).itertuples():
        term = "GLOBAL" if row.term == "GLOBAL" else names.term(str(row.term))
        values[f"zph_{transform}.chisq[{term}]"] = row.chisq
        values[f"zph_{transform}.df[{term}]"] = row.df
        values[f"zph_{transform}.p[{term}]"] = row.p_value
    return values


# --- curves ----------------------------------------------------------------------------------


def curves(case: Case) -> Values:
    """Survival, quartiles, restricted means, cumulative hazards and the tests of groups."""
    formula, groups = _grouped(case)
    conf = str(case.option("conf", "conf.type", "conf_type", default="log"))
    fit = rs.kaplan_meier(formula, case.frame, conf_type=conf)  # type: ignore[arg-type]
    times = _times(case, fit.tidy()["time"])
    values: Values = {}
    for label, row in _labelled(fit.at(times), groups):
        at = f"{label}|{number(row.time)}"
        values[f"surv[{at}]"], values[f"std.err[{at}]"] = row.estimate, row.std_error
        values[f"lower[{at}]"], values[f"upper[{at}]"] = row.conf_low, row.conf_high
        values[f"n.risk[{at}]"] = row.n_risk
    values |= _cumulative(fit, groups, times)
    for label, row in _labelled(fit.quantile(QUARTILES), groups):
        key = f"q{100 * row.quantile:.0f}"
        values[f"{key}[{label}]"] = row.estimate
        values[f"{key}.lo[{label}]"], values[f"{key}.hi[{label}]"] = row.conf_low, row.conf_high
    tau = _horizon(case)
    if tau is not None:
        values |= where_offered(lambda: _restricted_means(fit.rmst(tau), groups))
    if groups:
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


def _group_tests(formula: str, frame: pd.DataFrame, groups: Sequence[str]) -> Values:
    plain, peto = rs.logrank(formula, frame), rs.logrank(formula, frame, rho=1)
    found = plain.tidy().iloc[0]
    values: Values = {
        "logrank": found["statistic"],
        "logrank_df": found["df"],
        "logrank_p": found["p_value"],
        "peto": peto.tidy()["statistic"].iloc[0],
        "peto_p": peto.tidy()["p_value"].iloc[0],
    }
    for label, row in _labelled(plain.groups(), groups):
        values[f"logrank_obs[{label}]"] = row.observed
        values[f"logrank_exp[{label}]"] = row.expected
    return values


def tests(case: Case) -> Values:
    """Log-rank tests: of the first group that the model names, plain and by strata."""
    if "formula" in case.model:
        return _group_tests(case.formula, case.frame, [_right(case.formula)])
    first, *others = re.split(r"\s*/\s*", str(case.option("group", default="")))
    if not first:
        raise CannotAnswer("the case names no group")
    values = _group_tests(case.survival([quote(first)]), case.frame, [first])
    strata = case.option("strata")
    if strata:
        formula = case.survival([quote(first), f"strata({quote(str(strata))})"])
        found = rs.logrank(formula, case.frame).tidy().iloc[0]
        values |= {"logrank_strat": found["statistic"], "logrank_strat_p": found["p_value"]}
    return values | _others(case, others)


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


# --- competing events ------------------------------------------------------------------------


def competing(case: Case) -> Values:
    """Aalen-Johansen curves by group, under the names of survival and of cmprsk."""
    if "formula" in case.model:
        return causes(case)
    named = causes_of(str(case.model["event"]))
    column = re.match(r"\s*([\w.]+)", str(case.model["event"]))
    groups = _groups(case)
    right = " + ".join(map(quote, groups)) or "1"
    left = f"Surv({quote(str(case.model['time']))}, {quote(column[1] if column else '')})"
    fit = cumulative_incidence(f"{left} ~ {right}", case.frame)
    martingale = cumulative_incidence(f"{left} ~ {right}", case.frame, errors="martingale")
    times = _times(case, fit.tidy()["time"])
    values: Values = {}
    for label, row in _labelled(fit.at(times), groups):
        word, at = _key_of(str(row.cause), named), number(row.time)
        values[f"cif_{word}[{label}|{at}]"] = row.estimate
        values[f"se_{word}[{label}|{at}]"] = row.std_error
        values[f"cmprsk_est[{row.group if groups else 1} {row.cause}|{at}]"] = row.estimate
    for row in martingale.at(times).itertuples():
        key = f"[{row.group if groups else 1} {row.cause}|{number(row.time)}]"
        values[f"cmprsk_var{key}"] = row.std_error**2
    strata = case.option("strata")
    within = f"{right} + strata({quote(str(strata))})" if strata else right
    tested = f"{left} ~ {within}"
    return values | where_offered(lambda: _gray(tested, case, named) if groups else {})


def _gray(formula: str, case: Case, named: Mapping[int, str]) -> Values:
    values: Values = {}
    for row in rs.gray_test(formula, case.frame).tidy().itertuples():
        word = _key_of(str(row.cause), named)
        values |= {f"gray_{word}": row.statistic, f"gray_{word}_p": row.p_value}
    return values


def _key_of(cause: str, named: Mapping[int, str]) -> str:
    word = named.get(int(cause), cause) if cause.isdigit() else cause
    return KEY_OF_CAUSE.get(word, word)


# --- concordance -----------------------------------------------------------------------------


def markers(case: Case) -> Values:
    """Harrell's C of every other column as a marker, in the direction in which it is above 1/2.

    Columns with empty cells are no markers: a case's rows are those observed on its markers.
    """
    asked = case.option("marker", "markers", "x")
    used = {str(case.model["time"]), re.split(r"\W*==", str(case.model["event"]))[0].strip()}
    columns = [asked] if isinstance(asked, str) else asked
    whole = case.frame.dropna(axis=1).select_dtypes("number").columns
    columns = columns or [c for c in whole if c not in used]
    until = re.search(r"truncated at (\d+(?:\.\d+)?)", case.description)
    values: Values = {}
    plain: list[Values] = []
    for column in columns:
        ask = partial(rs.concordance, case.survival([quote(column)]), case.frame)
        row = ask().tidy().iloc[0]
        upside_down = row["estimate"] < 0.5
        row = ask(reverse=upside_down).tidy().iloc[0]
        name = short(column, columns)
        values |= {f"c_{name}": row["estimate"], f"c_{name}_se": row["std_error"]}
        if not upside_down and case.frame[column].nunique() > 2:
            plain.append({kind: row[kind] for kind in PAIRS})
        uno = ask(reverse=upside_down, count_by="n/G2", until=float(until[1]) if until else None)
        values[f"uno_{name}"] = uno.tidy()["estimate"].iloc[0]
    # one set of counts: of the marker that R takes as it is, where there is no other
    return values | (plain[0] if len(plain) == 1 else {})


# --- reading ---------------------------------------------------------------------------------


def short(column: str, among: Sequence[str] = ()) -> str:
    """`ph.ecog` is `ecog` in keys, where no other column would be."""
    last = column.rpartition(".")[2]
    return column if sum(c.rpartition(".")[2] == last for c in among) > 1 else last


def _right(formula: str) -> str:
    return re.sub(r"\+?\s*strata\(.*?\)", "", formula.partition("~")[2]).strip()


def _groups(case: Case) -> list[str]:
    group = case.option("group", "groups")
    if group is None:
        return []
    return [group] if isinstance(group, str) else list(group)


def _grouped(case: Case) -> tuple[str, list[str]]:
    if "formula" not in case.model:
        groups = _groups(case)
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


def _labelled(table: pd.DataFrame, groups: Sequence[str]) -> Iterable[tuple[str, Any]]:
    return [(_label(str(row.group), groups), row) for row in table.itertuples()]


def _times(case: Case, observed: pd.Series[float]) -> list[float]:
    """The times asked for, else the observed ones and every whole unit between."""
    asked = case.option("times")
    if asked is not None:
        return sorted(float(t) for t in asked)
    last = float(observed.max())
    whole = np.arange(0.0, np.floor(last) + 1) if last <= FINEST else np.array([])
    return [float(t) for t in np.unique(np.append(whole, observed))]


def _horizon(case: Case) -> float | None:
    """The end of the restricted mean: a setting of the model, or told in words."""
    given = case.option("tau", "rmst", "horizon")
    words = re.search(r"RMST (?:to|at|up to|until) (\d+(?:\.\d+)?)", case.description)
    return float(given) if given else float(words[1]) if words else None
