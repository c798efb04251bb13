"""Find who answers a case, and clean what they say for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recovery_stats.errors import RecoveryError

from . import (
    competing,
    curve,
    effect,
    generalised,
    imputed,
    linear,
    marginal,
    marker,
    parametric,
    rate,
    rater,
    structured,
    survival,
    weighting,
)
from .case import CannotAnswer, Case, Values, read_case

BY_KIND: dict[str, Callable[[Case], Values]] = {
    "lmm": structured.normal,
    "lme": structured.normal,
    "lmer": structured.normal,
    "glmm": generalised.generalised,
    "glmer": generalised.generalised,
    "glmer.nb": generalised.generalised,
    "glmmtmb": generalised.generalised,
    "clmm": generalised.generalised,
    "gee": marginal.marginal,
    "geeglm": marginal.marginal,
    "gls": structured.structured,
    "mmrm": structured.structured,
    "cox": survival.cox,
    "frailty": survival.cox,
    "coxph": survival.cox,
    "km": curve.curves,
    "survfit": curve.curves,
    "rmst": curve.curves,
    "logrank": curve.tests,
    "survdiff": curve.tests,
    "turnbull": curve.intervals,
    "competing": competing.competing,
    "finegray": competing.competing,
    "gray": competing.competing,
    "concordance": marker.markers,
    "ols": linear.least_squares,
    "lm": linear.least_squares,
    "anova": linear.variance_table,
    "numerics": linear.numbered,
    "glm": rate.linear,
    "rates": rate.rates,
    "mediation": linear.mediation,
    "effectsize": effect.paired,
    "evalue": effect.e_values,
    "iptw": weighting.weighted,
    "icc": rater.agreement,
    "tests": effect.tests,
    "rm_anova": effect.repeated,
    "mi": imputed.pooled,
    "mice": imputed.pooled,
    "pool": imputed.pooled,
    "aft": parametric.accelerated,
    "discrete": parametric.discrete,
    "survreg": parametric.accelerated,
}


@dataclass(frozen=True)
class Answer:
    """What recovery_stats says to a case; note: why it says nothing, or less."""

    values: Values
    note: str = ""


def answer(path: Path) -> Answer:
    """Read the case at `path` and answer it; a topic that is not offered gives no values."""
    case = read_case(path)
    find = BY_KIND.get(case.kind)
    if find is None:
        return Answer({}, f"models of type {case.kind!r} are not offered")
    try:
        return Answer(_clean(find(case)))
    except CannotAnswer as gap:
        return Answer({}, str(gap))
    except KeyError as missing:
        return Answer({}, f"the case has no {missing}")
    except RecoveryError as refusal:
        return Answer({}, f"refused: {refusal}")


def _clean(values: Values) -> Values:
    """Plain numbers; None for what is unknown or unbounded, as R writes NA."""
    plain = {key: None if value is None else float(value) for key, value in values.items()}
    return {k: v if v is not None and math.isfinite(v) else None for k, v in plain.items()}
