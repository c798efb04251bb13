"""Generalised linear models and incidence rates in the vocabulary of the reference cases."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta as beta_distribution
from scipy.stats import binom, chi2

import recovery_stats as rs
from recovery_stats.engines.glm import separating_direction
from recovery_stats.errors import NotEstimable
from recovery_stats.models.design import Outcome, build_design

from .case import CannotAnswer, Case, Values
from .family import counted
from .marginal import FAMILY, R_LINKS
from .naming import Names


def linear(case: Case) -> Values:
    """What R's glm says; `estimate_exists` is 0 where the outcome is separated."""
    told = FAMILY.fullmatch(str(case.option("family", default="binomial")).strip())
    if told is None:
        raise CannotAnswer("the family is not understood")
    family = told[1].lower()
    asked: dict[str, Any] = {"link": case.option("link") or told[2] or R_LINKS.get(family)}
    asked |= {k: str(case.option(k)) for k in ("offset", "cluster") if case.option(k)}
    formula, frame, weights = counted(case, family)
    asked |= {"weights": weights} if weights else {}
    try:
        fit = rs.glm(formula, frame, family=family, **asked)
    except NotEstimable as refusal:
        if "separated" not in str(refusal):
            raise
        return _separated(case)
    whole = fit.glance().iloc[0]
    values: Values = {"estimate_exists": 1, "loglik": whole["log_likelihood"]}
    values |= {k: whole[k] for k in ("aic", "deviance", "null_deviance", "dispersion")}
    values |= {"bic": whole["bic"], "nobs": whole["n_obs"], "df_residual": whole["df_residual"]}
    return values | coefficients(fit, Names(case.formula, case.wrapped))


def coefficients(fit: Any, names: Names) -> Values:
    """Coefficients, errors, statistics and p-values."""
    values: Values = {}
    for row in fit.tidy().itertuples():
        term = names.term(str(row.term))
        values |= {f"beta[{term}]": row.estimate, f"se[{term}]": row.std_error}
        values |= {f"{k}[{term}]": row.statistic for k in ("z", "t")}
        values[f"p[{term}]"] = row.p_value
    return values


def _separated(case: Case) -> Values:
    """No estimate; the deviance tends to 0 where every row is told apart."""
    design = build_design(case.formula, case.frame)
    values: Values = {"estimate_exists": 0}
    if isinstance(design.response, Outcome):
        y, X = design.response.y, design.X
        direction = separating_direction(X, y)
        if direction is not None and ((2 * y - 1) * (X @ direction) > 0).all():
            values["deviance_limit"] = 0
    return values


# --- rates -----------------------------------------------------------------------------------


def rates(case: Case) -> Values:
    """Rates by group with exact limits, their ratio, and the Poisson regression with an offset."""
    events, group = str(case.model["events"]), str(case.model["group"])
    time, _, unit = (part.strip() for part in str(case.model["persontime"]).partition("/"))
    frame = case.frame.assign(**{"(time)": case.frame[time] / float(unit or 1)})
    total = frame.groupby(group, observed=True)[[events, "(time)"]].sum()
    values: Values = {}
    for level, (count, exposure) in zip(total.index, total.to_numpy().tolist(), strict=True):
        low, high = _exact(count)
        values |= {f"rate[{level}]": count / exposure, f"rate.lo[{level}]": low / exposure}
        values[f"rate.hi[{level}]"] = high / exposure
    if len(total) == 2:
        values |= _ratio(*total.to_numpy().ravel().tolist())
    return values | _regression(case, events, time, group)


def _exact(count: float, level: float = 0.95) -> tuple[float, float]:
    """Exact limits of a Poisson mean (Garwood 1936)."""
    tail = (1.0 - level) / 2.0
    low = float(chi2.ppf(tail, 2.0 * count)) / 2.0 if count else 0.0
    return low, float(chi2.isf(tail, 2.0 * count + 2.0)) / 2.0


def _ratio(first: float, time_first: float, second: float, time_second: float) -> Values:
    """The second group's rate over the first's: exact, given the sum of the events."""
    n, share = int(first + second), time_second / (time_first + time_second)
    odds = time_first / time_second
    low = float(beta_distribution.ppf(0.025, second, n - second + 1)) if second else 0.0
    high = float(beta_distribution.isf(0.025, second + 1, n - second)) if first else 1.0
    values: Values = {
        "rr": (second / time_second) / (first / time_first) if first else None,
        "rr.lo": low / (1.0 - low) * odds,
        "rr.hi": high / (1.0 - high) * odds if high < 1.0 else None,
    }
    chances = binom.pmf(np.arange(n + 1), n, share)
    values["rr.p"] = min(1.0, float(chances[chances <= chances[int(second)] * (1 + 1e-7)].sum()))
    return values


def _regression(case: Case, events: str, time: str, group: str) -> Values:
    """`events ~ group + covariates + offset(log(time))`; covariates from the case where named."""
    formula = case.option("formula", "regression")
    if formula is None:
        others = case.option("covariates", "adjust", default=_others(case, events, time, group))
        others = [others] if isinstance(others, str) else list(others)
        formula = f"{events} ~ {' + '.join([group, *others])} + offset(log({time}))"
    fit = rs.glm(str(formula), case.frame, family="poisson")
    return coefficients(fit, Names(str(formula), case.wrapped))


def _others(case: Case, events: str, time: str, group: str) -> list[str]:
    """The treatment column, which the cases regress on beside the group."""
    left = [c for c in case.frame.columns if c not in (events, time, group)]
    return [c for c in left if c.lower().startswith(("treat", "trt", "arm"))][:1]
