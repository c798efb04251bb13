"""Likelihood-ratio tests of nested models of time: `compare(smaller, larger)`.

Cox models (with a frailty, its variance at the edge of what it can be), accelerated failure time
and flexible parametric models. Of laws, or of splines, that are no special case of each other
the information criteria are told and no test.
Source: Therneau & Grambsch 2000, ch. 3 and 9 (frailty). Checked: R's anova.coxph, anova.survreg.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.errors import UsageError
from recovery_stats.models.aft import AftFit
from recovery_stats.models.columns import Array
from recovery_stats.models.firth import FirthFit
from recovery_stats.models.flexible import FlexibleFit
from recovery_stats.models.frailty import FrailtyFit
from recovery_stats.models.frailty_nested import NestedFrailtyFit
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.likelihood_ratio import Row, mixture_sf, row_of, spans
from recovery_stats.models.smooth import SmoothFit

TimeFit: TypeAlias = CoxFit | AftFit | FlexibleFit
WITHIN = {
    ("exponential", "weibull"), ("exponential", "generalised-gamma"), ("rayleigh", "weibull"),
    ("rayleigh", "generalised-gamma"), ("weibull", "generalised-gamma"),
}  # fmt: skip
NOT_NESTED = "baselines that are not nested: compare the aic"


def compare_survival(fits: Sequence[TimeFit]) -> pd.DataFrame:
    """The table of `likelihood_ratio.compare`; all fits of one kind, to the same rows."""
    _check(fits)
    ordered = sorted(fits, key=_size)
    rows = [row_of(_words(f), _count(f), _size(f), _loglik(f), f.method) for f in ordered]
    for number, (a, b) in enumerate(pairwise(ordered), 1):
        rows[number] |= _test(a, b)
    return pd.DataFrame(rows)


def _check(fits: Sequence[TimeFit]) -> None:
    first = fits[0]
    for fit in fits:
        if isinstance(fit, FirthFit | SmoothFit | NestedFrailtyFit):
            raise UsageError(
                f"compare() has no test of a {fit.method}: its likelihood is penalised, or its "
                "variances are several; read its anova() and glance()."
            )
        if fit.robust is not None:
            raise UsageError(
                "A likelihood ratio does not hold with robust errors (clusters, sampling weights); "
                "use anova(3) of the larger fit."
            )
    for fit in fits[1:]:
        if _family(fit) is not _family(first):
            raise UsageError(
                "compare() takes fits of one kind: the partial likelihood of rs.cox is no number "
                "of the same kind as the likelihoods of rs.aft and rs.flexible_survival."
            )
        if not _same_rows(first, fit):
            raise UsageError(
                f"The fits have other rows, times, strata, weights, offsets or ways with ties "
                f"({len(first.observation)} and {len(fit.observation)} rows); a missing value in "
                "a column of one leaves its row out there. Fit both to the rows that are complete "
                "in both."
            )


def _family(fit: TimeFit) -> type:
    return CoxFit if isinstance(fit, CoxFit) else AftFit


def _same_rows(a: TimeFit, b: TimeFit) -> bool:
    mine, other = _outcome(a), _outcome(b)
    return len(mine) == len(other) and all(
        x is y is None or (x is not None and y is not None and np.array_equal(x, y))
        for x, y in zip(mine, other, strict=True)
    )


def _outcome(fit: TimeFit) -> list[Array | None]:
    """What must be alike for log-likelihoods to be compared."""
    if isinstance(fit, CoxFit):
        seen = fit.observation
        ties = np.array([["efron", "breslow", "exact"].index(fit.engine.ties)])
        parts = [seen.start, seen.stop, seen.cause, seen.strata, seen.weights, seen.offset, ties]
        return [None if x is None else np.asarray(x, float) for x in parts]
    rows, offset = fit.observation.rows, fit.observation.offset
    return [rows.low, rows.high, rows.entry, rows.weights, offset]


def _size(fit: TimeFit) -> int:
    if isinstance(fit, CoxFit):
        return len(fit.terms) + isinstance(fit, FrailtyFit)
    return len(fit.theta)


def _count(fit: TimeFit) -> int:
    """Events of a partial likelihood, rows of a whole one: as the fit's own bic has it."""
    return fit.engine.n_events if isinstance(fit, CoxFit) else len(fit.observation)


def _loglik(fit: TimeFit) -> float:
    return fit.engine.loglik if isinstance(fit, CoxFit) else fit.loglik


def _words(fit: TimeFit) -> str:
    terms = [t for t in fit.observation.design.terms if t not in ("1", "Intercept")]
    strata = fit.observation.design.strata
    if strata is not None:
        terms.append(f"strata({strata.name})")
    if isinstance(fit, FrailtyFit):
        terms.append(f"frailty({fit.grouping.name})")
    return f"~ {' + '.join(terms) or '1'}"


def _test(smaller: TimeFit, larger: TimeFit) -> Row:
    df = _size(larger) - _size(smaller)
    if not _same_baseline(smaller, larger):
        return {"reference": NOT_NESTED}
    X = np.column_stack([np.ones(len(larger.observation)), larger.observation.X])
    if df == 0 or not spans(X, smaller.observation.X):
        raise UsageError(
            f"Not nested: the terms of {_words(smaller)!r} are not among those of "
            f"{_words(larger)!r}."
            if df
            else "The fits have as many parameters; there is nothing to test."
        )
    statistic = max(2.0 * (_loglik(larger) - _loglik(smaller)), 0.0)
    edge = isinstance(larger, FrailtyFit) and not isinstance(smaller, FrailtyFit)
    weights = {df - 1: 0.5, df: 0.5} if edge else {df: 1.0}
    words = f"0.5 chi-squared {df - 1} + 0.5 chi-squared {df}" if edge else f"chi-squared {df}"
    return {
        "statistic": statistic,
        "df": float(df),
        "p_value": mixture_sf(statistic, weights),
        "p_value_naive": float(chi2.sf(statistic, df)),
        "reference": words,
    }


def _same_baseline(smaller: TimeFit, larger: TimeFit) -> bool:
    """Whether all but the terms of the smaller model is a special case of the larger one's."""
    if isinstance(smaller, CoxFit) and isinstance(larger, CoxFit):
        if not isinstance(smaller, FrailtyFit):
            return True
        return (
            isinstance(larger, FrailtyFit)
            and larger.frailty.law == smaller.frailty.law
            and larger.frailty.reml == smaller.frailty.reml
            and np.array_equal(larger.grouping.codes, smaller.grouping.codes)
        )
    if isinstance(smaller, AftFit) and isinstance(larger, AftFit):
        law = (smaller.distribution, larger.distribution)
        return (law[0] == law[1] or law in WITHIN) and _same_scales(smaller, larger)
    if isinstance(smaller, FlexibleFit) and isinstance(larger, FlexibleFit):
        alike = smaller.scale == larger.scale and smaller.knots == larger.knots
        return alike and set(smaller.moving) <= set(larger.moving)
    return False


def _same_scales(smaller: AftFit, larger: AftFit) -> bool:
    """One scale is a special case of scales by stratum; others must be the same."""
    mine, other = smaller.observation.strata, larger.observation.strata
    if mine is None:
        return True
    return other is not None and np.array_equal(mine.codes, other.codes)
