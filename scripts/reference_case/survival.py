"""Cox models, with frailty or without, in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import recovery_stats as rs
from recovery_stats.engines import frailty as engine
from recovery_stats.engines.cox_residual import Transform
from recovery_stats.models.survival import CoxFit, FrailtyFit
from recovery_stats.models.token import quote

from .case import Case, Values, where_offered
from .naming import Names, number

TRANSFORMS = get_args(Transform)
TIES = ("efron", "breslow", "exact")
RESIDUALS = ("martingale", "deviance", "score", "dfbeta", "dfbetas", "schoenfeld", "scaledsch")
OURS = {"scaledsch": "scaled_schoenfeld"}
FRAILTY = re.compile(r"\s*\+\s*frailty\(\s*`?([\w.]+)`?([^()]*)\)")
SPARSE_IN_R = 5  # groups from which coxph leaves out what they tell about each other
PRINTED = 20  # rows of residuals: cases give the first few


def cox(case: Case) -> Values:
    """Everything that summary(coxph), concordance, cox.zph, residuals and survfit say."""
    written = FRAILTY.search(case.formula)
    group = case.option("frailty") or (case.kind == "frailty" and case.option("group", "id"))
    if group or written:
        return frailty(case, FRAILTY.sub("", case.formula), str(group or (written and written[1])))
    asked = _ties(case)
    values = _fitted(case, asked[0])
    if len(asked) > 1:
        for ties in asked:
            values |= {f"{ties}.{k}": v for k, v in _fitted(case, ties).items()}
    return values


def _ties(case: Case) -> list[str]:
    """Treatments of ties: one, or several as a list or as `efron / breslow`."""
    asked = case.option("ties", "method", default="efron")
    several = re.split(r"[^\w-]+", asked) if isinstance(asked, str) else list(asked)
    return [str(a).casefold() for a in several if a]


def _fitted(case: Case, ties: str) -> Values:
    frame, cluster = case.frame, case.option("cluster", "id")
    if cluster is None and case.option("robust") is True:
        cluster = "(row)"
        frame = frame.assign(**{cluster: np.arange(len(frame))})
    fit = rs.cox(
        case.formula,
        frame,
        ties=ties,  # type: ignore[arg-type]
        cluster=cluster,
        weights=case.option("weights"),
        offset=case.option("offset"),
    )
    names = Names(case.formula, case.wrapped)
    values = hazards(fit, names)
    for transform in TRANSFORMS:
        values |= where_offered(partial(_proportionality, fit, names, transform))
    for kind in RESIDUALS:
        values |= where_offered(partial(_residuals, fit, names, kind))
    return values | where_offered(lambda: _new_person(fit, case))


def hazards(fit: CoxFit, names: Names) -> Values:
    """Coefficients, their tests and the model as a whole, as summary(coxph) has them."""
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
        "bic": whole["bic"],
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


def _residuals(fit: CoxFit, names: Names, kind: str) -> Values:
    """The first rows, numbered from 1: `martingale[3]`, `score[3|age]`."""
    found = fit.residuals(OURS.get(kind, kind)).head(PRINTED)  # type: ignore[arg-type]
    if isinstance(found, pd.Series):
        return {f"{kind}[{at}]": value for at, value in enumerate(found.tolist(), 1)}
    return {
        f"{kind}[{at}|{names.term(term)}]": value
        for term in fit.terms
        for at, value in enumerate(found[term].tolist(), 1)
    }


def _new_person(fit: CoxFit, case: Case) -> Values:
    """Baseline hazards at covariates of 0, and curves of new people, at the times asked for."""
    times, person = case.option("times"), case.option("newdata", "new_data")
    if times is None or fit.observation.design.strata is not None:
        return {}
    times = [float(t) for t in np.atleast_1d(times)]
    base = fit.baseline()
    H = np.append(0.0, base["cumulative_hazard"])[np.searchsorted(base["time"], times, "right")]
    zero = float(np.exp(-fit.engine.problem.centre @ fit.beta))
    values: Values = {f"basehaz[{number(t)}]": h * zero for t, h in zip(times, H, strict=True)}
    if person is None:
        return values
    rows = pd.DataFrame({k: np.atleast_1d(v) for k, v in dict(person).items()})
    for row in fit.survival(rows, times=times).itertuples():
        key = f"[{number(row.time)}]" if len(rows) == 1 else f"[{row.row + 1}|{number(row.time)}]"
        values |= {f"surv{key}": row.estimate, f"lower{key}": row.conf_low}
        values |= {f"upper{key}": row.conf_high, f"std.err{key}": row.std_error}
        values |= {f"surv_se{key}": row.std_error, f"surv.lo{key}": row.conf_low}
        values[f"surv.hi{key}"] = row.conf_high
    return values


# --- frailty ---------------------------------------------------------------------------------


def frailty(case: Case, plain: str, group: str) -> Values:
    """Gamma frailty by ML and gaussian by REML, as coxph gives them; the one asked for unmarked."""
    formula = f"{plain} + frailty({quote(group)})"
    names = Names(plain, case.wrapped)
    ties = _ties(case)[0]
    fit = rs.cox(formula, case.frame, ties=ties)  # type: ignore[arg-type]
    assert isinstance(fit, FrailtyFit)
    row = fit.glance().iloc[0]
    gamma: Values = {"theta": fit.theta, "loglik": row["log_likelihood"]}
    gamma |= _ratios(fit.beta, _sparse_errors(fit, fit.frailty), fit.terms, names)
    seen, size = fit.observation, fit.grouping.size
    more = {"start": seen.start, "strata": seen.strata, "offset": seen.offset, "ties": ties}
    normal = engine.fit(
        seen.X, seen.stop, seen.cause, fit.grouping.codes, law="gaussian", reml=True,
        sparse=size > SPARSE_IN_R, **more,
    )  # fmt: skip
    gauss: Values = {"theta": normal.theta}
    gauss |= _ratios(normal.cox.beta, _sparse_errors(fit, normal), fit.terms, names)
    written = FRAILTY.search(case.formula)
    told = f"{written[2] if written else ''} {case.option('distribution', 'dist', default='')}"
    asked = gauss if re.search(r"gauss|normal", told.casefold()) else gamma
    marked = {f"gamma.{k}": v for k, v in gamma.items()}
    return asked | marked | {f"gauss.{k}": v for k, v in gauss.items()}


def _ratios(
    beta: NDArray[np.float64], se: NDArray[np.float64], terms: Sequence[str], names: Names
) -> Values:
    values: Values = {}
    for term, b, s in zip(map(names.term, terms), beta, se, strict=True):
        values |= {f"beta[{term}]": b, f"se[{term}]": s, f"hr[{term}]": float(np.exp(b))}
    return values


def _sparse_errors(fit: FrailtyFit, found: engine.FrailtyFit) -> NDArray[np.float64]:
    """Errors with theta known and without the information between groups, coxph's default."""
    if found.theta == 0:
        return np.sqrt(np.diag(found.cox.covariance))
    shared, p = found.shared, len(fit.terms)
    at = np.concatenate([found.cox.scaled_beta, found.omega])
    point = engine.evaluate(shared, found.theta, at)
    assert point is not None
    information = point.information.copy()
    if fit.grouping.size > SPARSE_IN_R:
        information[p:, p:] = np.diag(np.diag(information)[p:])
    return np.sqrt(np.diag(np.linalg.inv(information))[:p]) / shared.problem.scale
