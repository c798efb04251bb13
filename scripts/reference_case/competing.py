"""Competing events in the vocabulary of the reference cases: survival's and cmprsk's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import recovery_stats as rs
from recovery_stats.models.survival import cumulative_incidence
from recovery_stats.models.token import quote

from .case import CannotAnswer, Case, Values, causes_of, where_offered
from .curve import groups_of, labelled, times_of
from .naming import Names, number
from .survival import hazards

# What the cases call a cause that their models name in another word.
KEY_OF_CAUSE = {"progression": "pcm"}
RESPONSE = re.compile(r"\s*(?:Surv\()?\s*`?([\w.]+)`?\s*,\s*`?([\w.]+)`?\s*\)?\s*")
CAUSE_IN_WORDS = re.compile(r"\b(?:failcode|cause|code|event type)\s*[=:]?\s*([1-9])\b", re.I)


def competing(case: Case) -> Values:
    """Regressions where the case has a formula with terms; else Aalen-Johansen curves."""
    if "formula" in case.model:
        return causes(case)
    named = causes_of(str(case.model["event"]))
    column = re.match(r"\s*([\w.]+)", str(case.model["event"]))
    groups = groups_of(case)
    right = " + ".join(map(quote, groups)) or "1"
    left = f"Surv({quote(str(case.model['time']))}, {quote(column[1] if column else '')})"
    fit = cumulative_incidence(f"{left} ~ {right}", case.frame)
    martingale = cumulative_incidence(f"{left} ~ {right}", case.frame, errors="martingale")
    times = times_of(case, fit.tidy()["time"])
    values: Values = {}
    for label, row in labelled(fit.at(times), groups):
        word, at = _key_of(str(row.cause), named), number(row.time)
        values[f"cif_{word}[{label}|{at}]"] = row.estimate
        values[f"se_{word}[{label}|{at}]"] = row.std_error
        values[f"cmprsk_est[{row.group if groups else 1} {row.cause}|{at}]"] = row.estimate
    for row in martingale.at(times).itertuples():
        key = f"[{row.group if groups else 1} {row.cause}|{number(row.time)}]"
        values[f"cmprsk_var{key}"] = row.std_error**2
    strata = case.option("strata")
    within = f"{right} + strata({quote(str(strata))})" if strata else right
    return values | where_offered(
        lambda: _gray(f"{left} ~ {within}", case, named) if groups else {}
    )


def _gray(formula: str, case: Case, named: Mapping[int, str]) -> Values:
    values: Values = {}
    for row in rs.gray_test(formula, case.frame).tidy().itertuples():
        word = _key_of(str(row.cause), named)
        values |= {f"gray_{word}": row.statistic, f"gray_{word}_p": row.p_value}
        values[f"gray_{word}_df"] = row.df
    return values


def _key_of(cause: str, named: Mapping[int, str]) -> str:
    word = named.get(int(cause), cause) if cause.isdigit() else cause
    return KEY_OF_CAUSE.get(word, word)


def causes(case: Case) -> Values:
    """Cox models of each cause, and Fine and Gray's of each, from `time, cause ~ x`.

    `fg` without a number is the cause that the model or the description names, else the first.
    """
    left, _, right = case.formula.partition("~")
    response = RESPONSE.fullmatch(left)
    if response is None:
        raise CannotAnswer(f"the response {left.strip()!r} is not understood")
    time, cause = map(quote, response.groups())
    values: Values = {}
    asked = _cause_asked(case)
    for code in sorted(set(case.frame[response[2]].dropna().astype(int)) - {0}):
        formula = f"Surv({time}, {cause} == {code}) ~ {right}"
        found = hazards(rs.cox(formula, case.frame), Names(formula, case.wrapped))
        values |= {f"cs{code}.{key}": value for key, value in found.items()}
        whole = f"Surv({time}, {cause}) ~ {right}"
        fg = where_offered(partial(_subdistribution, whole, case, code))
        values |= {f"fg{code}.{key}": value for key, value in fg.items()}
        values |= {f"fg.{key}": value for key, value in fg.items() if code == asked}
    return values


def _cause_asked(case: Case) -> int:
    given = case.option("cause", "failcode", "failure")
    told = CAUSE_IN_WORDS.search(case.description)
    return int(given) if given is not None else int(told[1]) if told else 1


def _subdistribution(formula: str, case: Case, code: int) -> Values:
    fit, names = rs.fine_gray(formula, case.frame, cause=code), Names(formula, case.wrapped)
    values: Values = {"loglik": fit.glance()["log_likelihood"].iloc[0]}
    for row in fit.tidy().itertuples():
        term = names.term(str(row.term))
        values |= {f"beta[{term}]": row.estimate, f"se[{term}]": row.std_error}
        values |= {f"z[{term}]": row.statistic, f"p[{term}]": row.p_value}
    return values
