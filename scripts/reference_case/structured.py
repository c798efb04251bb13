"""Residual structures (gls, lme with correlation, mmrm) in the vocabulary of the reference cases.

What is asked is read from the model's words: a structure ("compound symmetry within Subject",
"AR(1) within Subject over age", "corAR1(form = ~ 1 | Subject)"), variances by a column
("varIdent(form = ~ 1 | Sex)", "variances by Sex"), random terms. Without a column of time, waves
are numbered by the order of rows within the person, as nlme does for `~ 1 | Subject`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as t_distribution

import recovery_stats as rs

from .case import CannotAnswer, Case, Values, where_offered
from .mixed import kenward_roger, mixed, random_part, terms_tested
from .naming import Names

ASKED = ("covariance", "correlation", "residual", "structure")
KINDS = (
    (r"heterogeneous ar|arh", "heterogeneous-ar1"),
    (r"csh|heterogeneous compound", "heterogeneous-compound-symmetry"),
    (r"compound|compsymm|exchangeable|\bcs\b", "compound-symmetry"),
    (r"continuous|car\(?1|corexp|exponential", "car1"),
    (r"ar\s*\(?1|autoregressive", "ar1"),
    (r"toeplitz|toep", "toeplitz"),
    (r"ante", "ante-dependence"),
    (r"unstructured|corsymm|\bus\b|\bun\b", "unstructured"),
)
BY_WAVE = {"ar1": "heterogeneous-ar1", "compound-symmetry": "heterogeneous-compound-symmetry",
           "toeplitz": "heterogeneous-toeplitz", "unstructured": "unstructured"}  # fmt: skip
VARIANCE = (
    r"varIdent\(\s*(?:form\s*=)?\s*~\s*1\s*\|\s*([\w.]+)",
    r"varianc\w*[^.;,]*?\b(?:by|per|across|differ\w* by|each)\s+([\w.]+)",
    r"heterogeneous[^.;,]*?\b(?:by|per|across)\s+([\w.]+)",
)
PERSON = (r"\|\s*([\w./]+)\s*\)", r"\b(?:within|per|by)\s+([\w.]+)")
TIME = (
    r"form\s*=\s*~\s*([\w.]+)\s*\|", r"us\(\s*([\w.]+)\s*\|",
    r"\b(?:over|along|at|across|in|by|of)\s+([\w.]+)",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Arguments of `lmm`, the frame with waves numbered, and how time was named."""

    formula: str
    frame: pd.DataFrame
    how: dict[str, Any]
    time: str | None


def is_structured(case: Case) -> bool:
    """Whether the model names a structure of its residuals."""
    return bool(_words(case)) or "varIdent" in str(case.option("weights", "variance", default=""))


def normal(case: Case) -> Values:
    """A linear mixed model, with a structure of its residuals or without."""
    return structured(case) if is_structured(case) else mixed(case)


def structured(case: Case) -> Values:
    """Everything nlme says of the model, and both kinds of degrees of freedom."""
    asked = read(case)
    reml = bool(case.option("REML", "reml", default=True))
    fit = rs.lmm(asked.formula, asked.frame, reml=reml, **asked.how)
    names = Names(asked.formula, case.wrapped)
    values = _whole(fit, reml) | _coefficients(fit, names, case, reml)
    values |= _structure(fit, asked) | random_part(_RandomOnly(fit), names)
    values |= where_offered(lambda: terms_tested(fit, names, 3, "satt"))
    if reml:
        how = {"reml": True, **asked.how}
        values |= where_offered(lambda: kenward_roger(asked.formula, asked.frame, names, how))
    return values


class _RandomOnly:
    """A fit whose variance components are those of the random factors alone."""

    def __init__(self, fit: Any) -> None:
        self.fit, self.factors = fit, fit.factors

    def variance_components(self) -> pd.DataFrame:
        table = self.fit.variance_components()
        return table[table["group"] != "Residual"]

    def random_effects(self) -> pd.DataFrame:
        return self.fit.random_effects()


# --- reading -------------------------------------------------------------------------------------


def read(case: Case) -> Asked:
    """The model's words as arguments."""
    words, frame = _words(case), case.frame
    variance = _first(VARIANCE, f"{words} {case.option('weights', 'variance', default='')}", frame)
    formula = _with_random(case)
    person = _first(PERSON, words, frame) or _named(case, frame, "subject", "group", "id")
    kind = next((k for pattern, k in KINDS if re.search(pattern, words.lower())), None)
    if kind is None and variance is None:
        raise CannotAnswer(f"covariance {words!r} is not offered")
    if kind is None:
        return Asked(formula, frame, {"residual": "heterogeneous", "residual_by": variance}, None)
    if person is None:
        raise CannotAnswer(f"covariance {words!r} names nobody within whom it holds")
    named = _named(case, frame, "time", "visit", "wave")
    time = _first(TIME, words, frame, without=(person, variance)) or named
    by, frame = (
        time or ".order",
        frame.assign(**{".order": frame.groupby(person, observed=True).cumcount() + 1}),
    )
    if variance is not None and _same_waves(frame, by, variance):
        kind, variance = BY_WAVE.get(kind, kind), None
    elif kind == "unstructured" and "corsymm" in words.lower():
        kind = "general-correlation"
    elif kind == "unstructured":
        variance = None
    how: dict[str, Any] = {"residual": kind, "residual_by": f"`{by}` | {person}"}
    if variance is not None:
        how["residual_variance"] = variance
    return Asked(formula, frame, how, time)


def _words(case: Case) -> str:
    return " ".join(str(case.option(k)) for k in ASKED if case.option(k))


def _named(case: Case, frame: pd.DataFrame, *options: str) -> str | None:
    found = case.option(*options)
    return str(found) if found in frame else None


def _first(
    patterns: tuple[str, ...], text: str, frame: pd.DataFrame, without: tuple[Any, ...] = ()
) -> str | None:
    """The first word at one of the patterns' places that is a column."""
    for pattern in patterns:
        for word in re.findall(pattern, text):
            column = word.rpartition("/")[2]
            if column in frame and column not in without:
                return str(column)
    return None


def _with_random(case: Case) -> str:
    """The formula with nlme's `random = ~ 1 + x | g` in its place."""
    random = str(case.option("random", default=""))
    found = re.fullmatch(r"\s*~\s*(.+?)\s*\|\s*([\w./: ]+)\s*", random)
    if not found:
        return case.formula
    effects = found[1] if re.match(r"[01]\b", found[1]) else f"1 + {found[1]}"
    return f"{case.formula} + ({effects} | {found[2]})"


def _same_waves(frame: pd.DataFrame, wave: str, variance: str) -> bool:
    """Whether the levels of variance are the waves, by the same or another name."""
    pairs = frame[[wave, variance]].drop_duplicates()
    return len(pairs) == frame[wave].nunique() == frame[variance].nunique()


# --- answering -----------------------------------------------------------------------------------


def _whole(fit: Any, reml: bool) -> Values:
    row, e = fit.glance().iloc[0], fit.engine
    # nlme's BIC counts n - p observations under REML
    n = e.n - e.p if reml else e.n
    return {
        "loglik": row["log_likelihood"],
        "aic": row["aic"],
        "bic": e.n_parameters * float(np.log(n)) - 2.0 * row["log_likelihood"],
        "nobs": row["n_obs"],
        "npar": e.n_parameters,
        "sigma": row["sigma"],
        "sigma2": row["sigma"] ** 2,
    }


def _coefficients(fit: Any, names: Names, case: Case, reml: bool) -> Values:
    """gls divides its errors under ML by n - p, and takes t on n - p df."""
    gls = case.kind == "gls"
    df = fit.engine.n - fit.engine.p
    wider = float(np.sqrt(fit.engine.n / df)) if gls and not reml else 1.0
    values: Values = {}
    for row in fit.tidy().itertuples():
        term, se = names.term(row.term), row.std_error * wider
        values[f"beta[{term}]"], values[f"se[{term}]"] = row.estimate, se
        values[f"t[{term}]"] = row.estimate / se
        if gls:
            values[f"df[{term}]"] = df
            values[f"p[{term}]"] = 2.0 * float(t_distribution.sf(abs(row.estimate / se), df))
        values[f"df_satt[{term}]"], values[f"p_satt[{term}]"] = row.df, row.p_value
    return values


def _structure(fit: Any, asked: Asked) -> Values:
    """Correlations as rho, phi, Phi; standard deviations by level, and over the first's."""
    table, values = fit.residual_parameters(), {}
    kinds = table.groupby("parameter", sort=False)
    for _, row in table[table.parameter == "correlation"].head(1).iterrows():
        rho = _per_unit(float(row.estimate), fit, asked)
        values |= dict.fromkeys(("rho", "phi", "Phi", "phi1", "corr"), rho)
    variances = table[table.parameter == "variance"]
    first = _reference_level(fit, asked)
    sd = dict(zip(variances.term_1, np.sqrt(variances.estimate), strict=True))
    for level, value in sd.items():
        ratio = value / sd.get(first, next(iter(sd.values())))
        values |= {f"var[{level}]": value**2, f"sd[{level}]": value}
        values |= {f"{k}[{level}]": ratio for k in ("ratio", "sdratio", "delta", "varIdent")}
    if len(sd) > 1 and first in sd:
        values["sigma"], values["sigma2"] = sd[first], sd[first] ** 2
    if len(kinds) and "covariance" in kinds.groups:
        S, C = fit.residual_covariance(), fit.residual_covariance(correlation=True)
        for i, a in enumerate(S.index):
            for j, b in enumerate(S.index[: i + 1]):
                for one, two in ((a, b), (b, a), (i + 1, j + 1), (j + 1, i + 1)):
                    values[f"cov[{one},{two}]"] = float(S.iloc[i, j])
                    values[f"cor[{one},{two}]"] = float(C.iloc[i, j])
    return values


def _per_unit(rho: float, fit: Any, asked: Asked) -> float:
    """nlme's phi is the correlation one unit of a numeric time apart; ours one step."""
    step = fit.structure.step
    return rho ** (1.0 / step) if asked.time and step and rho > 0 else rho


def _reference_level(fit: Any, asked: Asked) -> str | None:
    """The level whose variance nlme calls sigma²: that of the first row, people in order."""
    if len(fit.structure.levels) < 2:
        return None
    first = 0
    if asked.how["residual"] != "heterogeneous":
        person = asked.frame[str(asked.how["residual_by"]).rpartition("|")[2].strip()]
        order = person.astype("category").cat.codes[fit.design.rows]
        first = int(np.argmin(order.to_numpy()))
    return str(fit.structure.levels[int(fit.structure.rows.level[first])])
