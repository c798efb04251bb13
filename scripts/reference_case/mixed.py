"""Linear mixed models in the vocabulary of the reference cases."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from scipy.stats import norm

import recovery_stats as rs

from . import means
from .case import Case, Values, where_offered
from .naming import Names


def mixed(case: Case) -> Values:
    """Everything lmer and lmerTest would say: both kinds of df, F tests, effects, intervals."""
    reml = bool(case.option("REML", "reml", default=True))
    asked: dict[str, Any] = {"reml": reml}
    asked |= {k: case.option(k) for k in ("weights", "offset") if case.option(k)}
    names = Names(case.formula, case.wrapped)
    fit = rs.lmm(case.formula, case.frame, df="satterthwaite", **asked)
    values = _parts(fit, names) | _coefficients(fit, names)
    values |= where_offered(lambda: _profile(fit, names))
    for kind in (3, 2, 1):
        values |= where_offered(partial(terms_tested, fit, names, kind, "satt"))
    if reml:
        values |= where_offered(lambda: kenward_roger(case.formula, case.frame, names, asked))
    if means.asked_for(case):
        values |= where_offered(lambda: _marginal_means(case, reml, asked))
    return values


def _marginal_means(case: Case, reml: bool, asked: dict[str, Any]) -> Values:
    """emmeans takes Kenward and Roger's df unless told otherwise."""
    told = "satterthwaite" in f"{case.description} {dict(case.model)}".lower()
    df: Any = "kenward-roger" if reml and not told else "satterthwaite"
    return means.marginal_means(rs.lmm(case.formula, case.frame, df=df, **asked))


def kenward_roger(formula: str, frame: pd.DataFrame, names: Names, asked: dict[str, Any]) -> Values:
    """Errors, df and F tests by Kenward and Roger."""
    fit = rs.lmm(formula, frame, df="kenward-roger", **asked)
    values: Values = {}
    for row in fit.tidy().itertuples():
        term = names.term(row.term)
        values[f"se_kr[{term}]"] = row.std_error
        values[f"df_kr[{term}]"] = row.df
        values[f"p_kr[{term}]"] = row.p_value
    for kind in (3, 2, 1):
        values |= where_offered(partial(terms_tested, fit, names, kind, "kr"))
    return values


def _coefficients(fit: Any, names: Names) -> Values:
    values: Values = {}
    for row in fit.tidy().itertuples():
        term = names.term(row.term)
        values[f"beta[{term}]"] = row.estimate
        values[f"se[{term}]"] = row.std_error
        values[f"t[{term}]"] = row.statistic
        values[f"df_satt[{term}]"] = values[f"df[{term}]"] = row.df
        values[f"p_satt[{term}]"] = row.p_value
        # lme4's Wald limits take the normal distribution, whatever the df.
        half = float(norm.isf(0.025)) * row.std_error
        values[f"wald.lo[{term}]"] = row.estimate - half
        values[f"wald.hi[{term}]"] = row.estimate + half
    return values


def _parts(fit: Any, names: Names) -> Values:
    whole = fit.glance().iloc[0]
    values: Values = {
        "loglik": whole["log_likelihood"],
        "npar": fit.engine.n_parameters,
        "aic": whole["aic"],
        "bic": whole["bic"],
        "deviance": whole["criterion"],
        "nobs": whole["n_obs"],
        "singular": int(whole["singular"]),
        "sigma": whole["sigma"],
        "sigma2": whole["sigma"] ** 2,
        "icc": fit.icc(),
    }
    share = fit.r2()
    values |= dict.fromkeys(("r2m", "r2_marginal", "R2m"), share["marginal"])
    values |= dict.fromkeys(("r2c", "r2_conditional", "R2c"), share["conditional"])
    values |= {f"ngroups[{names.group(g)}]": m for g, m in fit.groups.items()}
    return values | random_part(fit, names)


def random_part(fit: Any, names: Names) -> Values:
    """Variances, covariances and predicted effects of the random factors."""
    values: Values = {}
    for row in fit.variance_components().itertuples():
        if row.group == "Residual":
            continue
        group, a, b = _block(fit, names, row), names.term(row.term_1), names.term(row.term_2)
        key = f"var[{group}|{a}]" if a == b else f"cov[{group}|{_ordered(fit, names, row)}]"
        values[key] = row.covariance
    for row in fit.random_effects().itertuples():
        group, level = names.group(row.group), names.level(row.group, row.level)
        values[f"ranef[{group}|{level}|{names.term(row.term)}]"] = row.estimate
    return values


def _block(fit: Any, names: Names, row: Any) -> str:
    """lme4 numbers the further blocks of one factor: `Subject`, `Subject.1`."""
    factor = next(f for f in fit.factors if f.name == row.group)
    at = factor.effects.index(row.term_1)
    block = next(j for j, columns in enumerate(factor.blocks) if at in columns)
    return names.group(row.group) + (f".{block}" if block else "")


def _ordered(fit: Any, names: Names, row: Any) -> str:
    effects = next(f for f in fit.factors if f.name == row.group).effects
    pair = sorted((row.term_1, row.term_2), key=effects.index)
    return ",".join(names.term(p) for p in pair)


def terms_tested(fit: Any, names: Names, kind: int, method: str) -> Values:
    values: Values = {}
    for row in fit.anova(type=kind).itertuples():
        term = names.term(row.term)
        values[f"F{kind}_{method}[{term}]"] = row.statistic
        values[f"F{kind}_numdf[{term}]"] = row.num_df
        values[f"F{kind}_dendf_{method}[{term}]"] = row.den_df
        values[f"F{kind}_p_{method}[{term}]"] = row.p_value
    return values


def _profile(fit: Any, names: Names) -> Values:
    """Profile intervals under lme4's names."""
    table: pd.DataFrame = fit.confint(method="profile")
    values: Values = {}
    for row in table.itertuples():
        name = _profile_name(row.term, names)
        values[f"prof.lo[{name}]"] = row.conf_low
        values[f"prof.hi[{name}]"] = row.conf_high
    return values


def _profile_name(term: str, names: Names) -> str:
    kind, bracket, inside = term.partition("(")
    if kind not in ("sd", "cor") or not bracket:
        return term if term == "sigma" else names.term(term)
    effects, _, group = inside[:-1].rpartition("|")
    parts = [names.term(e) for e in effects.split(",")]
    return f"{kind}_{'.'.join(reversed(parts))}|{names.group(group)}"
