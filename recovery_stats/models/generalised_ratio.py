"""Likelihood-ratio tests of nested generalised mixed models: `compare(smaller, larger)`.

As for linear ones (`likelihood_ratio`): a variance, or the overdispersion that makes a Poisson
model negative binomial (a binomial one beta-binomial), has its null on the boundary.
Sources: Self & Liang 1987; Stram & Lee 1994. Checked: glmmTMB's anova, half the naive p on the
boundary (tests/models/test_generalised_ratio.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.errors import UsageError
from recovery_stats.models.generalised_fit import GlmmFit
from recovery_stats.models.likelihood_ratio import Row, Step, mixture_sf, nested, row_of

WIDER = {("poisson", "negative-binomial"), ("binomial", "beta-binomial")}


def compare_generalised(fits: Sequence[GlmmFit]) -> pd.DataFrame:
    """The table of `likelihood_ratio.compare`; all fits by one approximation, to the same rows."""
    _check(fits)
    ordered = sorted(fits, key=lambda f: f.n_parameters)
    rows = [
        row_of(f.formula.text, f.n_obs, f.n_parameters, f.log_likelihood, f.method) for f in ordered
    ]
    for number, (a, b) in enumerate(pairwise(ordered), 1):
        rows[number] |= _test(a, b)
    return pd.DataFrame(rows)


def _check(fits: Sequence[GlmmFit]) -> None:
    first = fits[0]
    for fit in fits[1:]:
        same = fit.n_obs == first.n_obs and np.array_equal(fit.design.rows, first.design.rows)
        if not same or not np.array_equal(fit.law.outcome, first.law.outcome):
            raise UsageError(
                f"The fits have other rows or outcomes ({first.n_obs} and {fit.n_obs} rows); a "
                "missing value in a column of one leaves its row out there. Fit both to the rows "
                "that are complete in both."
            )
        if fit.engine.nodes != first.engine.nodes:
            raise UsageError("The fits have different quadrature=; compare likes with likes.")
        zero = np.zeros(first.n_obs)
        mine, other = (zero if f.offset is None else f.offset for f in (first, fit))
        if not np.array_equal(mine, other) or not np.array_equal(
            fit.law.weights, first.law.weights
        ):
            raise UsageError("The fits have different weights or offset; compare likes with likes.")


def _test(smaller: GlmmFit, larger: GlmmFit) -> Row:
    step = _widened(smaller, larger, nested(smaller, larger))
    statistic = max(2.0 * (larger.log_likelihood - smaller.log_likelihood), 0.0)
    weights = step.weights
    words = "no mixture in closed form; simulate the smaller model and fit both"
    if weights is not None:
        words = " + ".join(
            f"chi-squared {df}" if w == 1.0 else f"{w:g} chi-squared {df}"
            for df, w in weights.items()
        )
    return {
        "statistic": statistic,
        "df": float(step.df),
        "p_value": np.nan if weights is None else mixture_sf(statistic, weights),
        "p_value_naive": float(chi2.sf(statistic, step.df)),
        "reference": words,
    }


def _widened(smaller: GlmmFit, larger: GlmmFit, step: Step) -> Step:
    """The overdispersion of a wider family is one more variance that may be zero."""
    if smaller.family == larger.family:
        return step
    if (smaller.family, larger.family) not in WIDER:
        raise UsageError(
            f"Not nested: a {smaller.family} model is no special case of a {larger.family} one."
        )
    return Step(step.coefficients, (*step.grown, (0, 1, 0)), step.df)
