"""Parametric models of time in the vocabulary of the reference cases."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

import recovery_stats as rs
from recovery_stats.models.aft import AftFit
from recovery_stats.models.columns import Grouping

from .case import CannotAnswer, Case, Values, where_offered
from .naming import Names
from .tobit import LAW, Bent

DISTRIBUTIONS = {
    "weibull": "weibull",
    "exponential": "exponential",
    "rayleigh": "rayleigh",
    "lognormal": "log-normal",
    "loggaussian": "log-normal",
    "loglogistic": "log-logistic",
    "gengamma": "generalised-gamma",
    "generalisedgamma": "generalised-gamma",
    "generalizedgamma": "generalised-gamma",
}
AGED = re.compile(r"(\d+)-year-old (man|woman|male|female)")
SCORED = re.compile(r"\b([A-Za-z]{3,}) (\d+(?:\.\d+)?)\b")
SEXES = {"man": 0, "male": 0, "woman": 1, "female": 1}


def accelerated(case: Case) -> Values:
    """Everything that summary(survreg) says, and the median of the person described."""
    asked = re.sub(
        r"[\s_-]", "", str(case.option("dist", "distribution", default="weibull")).casefold()
    )
    bent = Bent.of(case.formula, case.frame) if asked in LAW else None
    name = LAW.get(asked) or DISTRIBUTIONS.get(asked)
    if name is None:
        raise CannotAnswer(f"the distribution {asked!r} is not offered")
    fit = rs.aft(
        bent.formula if bent else case.formula,
        bent.frame if bent else case.frame,
        distribution=name,  # type: ignore[arg-type]
        cluster=case.option("cluster", "id"),
        weights=case.option("weights"),
        offset=case.option("offset"),
        entry=case.option("entry"),
    )
    values = _summary(fit, Names(case.formula, case.wrapped), case)
    values |= where_offered(lambda: _median(fit, case))
    return bent.straighten(values, fit) if bent else values


def discrete(case: Case) -> Values:
    """Everything that summary(glm) says of person-period rows.

    The period is a factor where it is called one or stands for the intercept.
    """
    link = str(case.option("link", default="cloglog"))
    right = case.formula.partition("~")[2]
    period = str(case.option("period", default=_period_of(right, case)))
    takes_part = re.search(rf"(?<![\w.]){re.escape(period)}(?![\w.])", right) is not None
    free = re.search(r"(?<![\w.])0(?![\w.])|-\s*1(?![\w.])", right) is not None
    as_factor = period in case.wrapped or free or not takes_part
    as_factor |= isinstance(case.frame[period].dtype, pd.CategoricalDtype)
    fit = rs.discrete_time(
        case.formula,
        case.frame,
        period=period,
        link=link,  # type: ignore[arg-type]
        baseline="factor" if as_factor else "linear",
        weights=case.option("weights"),
        cluster=case.option("cluster"),
        offset=case.option("offset"),
    )
    row = fit.glance().iloc[0]
    values: Values = {"loglik": row["log_likelihood"], "nrow": row["n_obs"], "nobs": row["n_obs"]}
    values |= {"aic": row["aic"], "bic": row["bic"], "nevent": row["n_events"]}
    values["deviance"] = -2 * row["log_likelihood"]
    # Cases write a period that R made a factor with or without saying so.
    plain = {k: v for k, v in case.wrapped.items() if k != period}
    both = (Names(case.formula, case.wrapped), Names(case.formula, plain))
    rows = [(n, found) for n in both for found in fit.tidy().to_dict("records")]
    for names, found in rows:
        term = names.term(str(found["term"]))
        se = found["std_error_model" if case.option("weights") and fit.robust is not None else
                   "std_error"]  # fmt: skip
        values |= {f"beta[{term}]": found["estimate"], f"se[{term}]": se}
        values |= {f"z[{term}]": found["estimate"] / se, f"hr[{term}]": np.exp(found["estimate"])}
    return values


def _period_of(right: str, case: Case) -> str:
    """The column of periods: the one called so, else the first that the formula names."""
    named = [n for n in re.findall(r"[A-Za-z.][\w.]*", right) if n in case.frame.columns]
    called = [n for n in case.frame.columns if str(n).casefold() in ("period", "interval", "month")]
    chosen = [n for n in called if n in named] or named or called
    if not chosen:
        raise CannotAnswer("the case names no column of periods")
    return str(chosen[0])


def _summary(fit: AftFit, names: Names, case: Case) -> Values:
    row = fit.glance().iloc[0]
    values: Values = {"loglik": row["log_likelihood"], "loglik_null": row["log_likelihood_null"]}
    values |= {"aic": row["aic"], "bic": row["bic"], "nobs": row["n_obs"]}
    values |= {"nevent": row["n_events"], "chisq": row["lr_statistic"], "df": row["lr_df"]}
    table = fit.tidy()
    scales = list(_scales(fit.observation.strata, case))
    terms = [names.term(str(t)) for t in fit.terms]
    labels = [*terms, *scales[: fit.engine.scales_free], "Shape"][: len(table)]
    # With weights alone survreg trusts the model's errors, where ours are robust.
    robust = bool(case.option("cluster", "id")) or fit.observation.cluster is not None
    errors = "std_error" if robust or fit.robust is None else "std_error_model"
    for label, found in zip(labels, table.to_dict("records"), strict=True):
        se = found[errors]
        values |= {f"beta[{label}]": found["estimate"], f"se[{label}]": se}
        values |= {f"z[{label}]": found["estimate"] / se}
        if fit.robust is not None:
            values[f"naive_se[{label}]"] = found["std_error_model"]
            values[f"robust_se[{label}]"] = found["std_error"]
            values[f"se_robust[{label}]"] = found["std_error"]
    if len(fit.scale) == 1:
        values["scale"] = float(fit.scale[0])
    else:
        values |= {f"scale[{s}]": float(v) for s, v in zip(scales, fit.scale, strict=True)}
    return values


def _scales(strata: Grouping | None, case: Case) -> Iterator[str]:
    """Log(scale), or the strata as R calls them: by level, with the column where it is a number."""
    if strata is None:
        yield "Log(scale)"
        return
    columns = strata.name.split(":")
    short = all(not pd.api.types.is_numeric_dtype(case.frame[c].dtype) for c in columns)
    for level in strata.levels:
        parts = zip(columns, level.split(":"), strict=True)
        yield ", ".join(value if short else f"{column}={value}" for column, value in parts)


def _median(fit: AftFit, case: Case) -> Values:
    given = case.option("newdata", "new_data", "at")
    person = dict(given) if given else _described(case)
    if not person or len(fit.scale) > 1:
        return {}
    found = fit.median(pd.DataFrame({k: np.atleast_1d(v) for k, v in person.items()})).iloc[0]
    return {"median": found["median"], "median_se": found["std_error"]}


def _described(case: Case) -> dict[str, object]:
    """`a 60-year-old man with ECOG 1`: age, sex (the first level or the second), and scores."""
    told, columns = AGED.search(case.description), list(case.frame.columns)
    if told is None:
        return {}
    person: dict[str, object] = {"age": float(told[1])}
    if "sex" in columns:
        levels = sorted(case.frame["sex"].dropna().unique().tolist(), reverse=False)
        person["sex"] = levels[SEXES[told[2]]]
    for word, value in SCORED.findall(case.description):
        for column in columns:
            if column.casefold().split(".")[-1] == word.casefold():
                person[column] = float(value)
    return person
