"""Tests of several coefficients after multiple imputation: D1, D2 and D3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.engines import cox as cox_engine
from recovery_stats.engines import lmm as lmm_engine
from recovery_stats.engines import rubin
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.design import Outcome
from recovery_stats.models.formula import INTERCEPT
from recovery_stats.models.glm import GlmFit, log_likelihood_at
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.hypothesis import contrasts
from recovery_stats.models.linear import OlsFit
from recovery_stats.models.mixed_fit import MixedFit
from recovery_stats.models.mixed_interval import by_ml

if TYPE_CHECKING:
    from recovery_stats.models.pool import PooledFit

METHODS = ("D1", "D2", "D3")


def test_rows(fit: PooledFit, L: Array, method: str) -> dict[str, Any]:
    """The test of L @ coefficients = 0 as a row of a table."""
    if method not in METHODS[:2]:
        raise UsageError(
            unknown("test of coefficients", method, METHODS[:2])
            if method not in METHODS
            else "D3 compares two fits: larger.compare(smaller)."
        )
    return _row(_d1(fit, L) if method == "D1" else _d2(fit, L), method)


def _row(found: rubin.Test, method: str) -> dict[str, Any]:
    return {
        "num_df": found.num_df, "den_df": found.den_df, "statistic": found.statistic,
        "p_value": found.p_value, "riv": found.riv, "method": method,
    }  # fmt: skip


def _d1(fit: PooledFit, L: Array) -> rubin.Test:
    within, between = (L @ part @ L.T for part in fit.parts)
    used = (L != 0).any(axis=0)
    df = float(fit.df_complete[used].mean())
    return rubin.d1(L @ fit.rules.estimate, within, between, fit.m, df)


def _d2(fit: PooledFit, L: Array) -> rubin.Test:
    values = fit.estimates @ L.T
    wald = [
        float(b @ np.linalg.solve(L @ V @ L.T, b))
        for b, V in zip(values, fit.covariances, strict=True)
    ]
    return rubin.d2(np.array(wald), len(L))


def hypotheses(fit: Any, terms: tuple[str, ...]) -> dict[str, Array]:
    """For each term of a model the rows L of its type 3 test over the coefficients `terms`."""
    if hasattr(fit, "recipe"):
        return contrasts(fit.recipe, fit.kept, fit.X, fit.analysed, 3)
    design = getattr(fit, "design", None) or getattr(getattr(fit, "observation", None), "design", 0)
    if not design:
        raise UsageError(f"{type(fit).__name__} does not tell its terms; use test() with names.")
    eye = np.eye(len(terms))
    coded = [str(c.term) for c in design.recipe.coded if c.term != INTERCEPT]
    return {t: eye[[j for j, name in enumerate(terms) if name in _names(design, t)]] for t in coded}


def _names(design: Any, term: str) -> set[str]:
    return {design.names[j] for j in design.columns_of(term)}


def compare(larger: PooledFit, smaller: PooledFit, method: str) -> pd.DataFrame:
    """See `PooledFit.compare`."""
    if method not in METHODS:
        raise UsageError(unknown("comparison", method, METHODS))
    extra = [t for t in larger.terms if t not in smaller.terms]
    strange = [t for t in smaller.terms if t not in larger.terms]
    if strange or not extra or larger.m != smaller.m:
        why = f"it alone has {', '.join(strange[:4])}" if strange else (
            "both have the same coefficients" if not extra
            else f"{smaller.m} and {larger.m} data sets"
        )  # fmt: skip
        raise UsageError(f"The second model is not the first with fewer terms: {why}.")
    if method != "D3":
        return pd.DataFrame([test_rows(larger, larger._rows_of(extra), method)])
    a, b = larger.likelihood, smaller.likelihood
    found = rubin.d3(2 * (a.own - b.own), 2 * (a.at_pooled - b.at_pooled), len(extra))
    return pd.DataFrame([_row(found, "D3")])


# --- likelihoods at the pooled estimates ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Log-likelihood of every data set (m,): at its own estimates, and at the pooled ones."""

    own: Array
    at_pooled: Array


def likelihood(pooled: PooledFit) -> Likelihood:
    """Evaluate both; variances are at their best for the coefficients given (profiled).

    Raises UsageError for models without a likelihood here.
    """
    kind = next((k for k in AT if isinstance(pooled.fits[0], k)), None)
    if kind is None:
        raise UsageError(
            f"D3 needs a likelihood at given coefficients, which {type(pooled.fits[0]).__name__} "
            "does not offer; use method='D1'."
        )
    evaluate, mean = AT[kind], pooled.rules.estimate
    own = [evaluate(f, b) for f, b in zip(pooled.fits, pooled.estimates, strict=True)]
    return Likelihood(np.array(own), np.array([evaluate(f, mean) for f in pooled.fits]))


def _of_ols(fit: OlsFit, beta: Array) -> float:
    assert isinstance(fit.design.response, Outcome)
    n, left = len(fit.design.X), fit.design.response.y - fit.design.X @ beta
    return float(-0.5 * n * (np.log(2.0 * np.pi * (left @ left) / n) + 1.0))


def _of_cox(fit: CoxFit, beta: Array) -> float:
    problem = fit.engine.problem
    found = cox_engine.evaluate(problem, fit.engine.ties, beta * problem.scale)
    if found is None:
        raise UsageError("The partial likelihood overflows at the pooled estimates; use 'D1'.")
    return float(found.loglik)


def _of_mixed(fit: MixedFit, beta: Array) -> float:
    """By maximum likelihood over the variances, the outcome less its mean."""
    if type(fit) is not MixedFit:
        raise UsageError("D3 is not offered with residual structures; use method='D1'.")
    if beta is not fit.engine.beta and np.array_equal(beta, fit.engine.beta):
        return float(by_ml(fit).log_likelihood)
    left = fit.outcome - fit.X @ beta - (0.0 if fit.offset is None else fit.offset)
    nothing = np.zeros((len(left), 0))
    found = lmm_engine.fit(nothing, left, fit.factors, reml=False, weights=fit.weights)
    return float(found.log_likelihood)


AT: dict[type, Callable[[Any, Array], float]] = {
    GlmFit: log_likelihood_at, OlsFit: _of_ols, CoxFit: _of_cox, MixedFit: _of_mixed,
}  # fmt: skip
