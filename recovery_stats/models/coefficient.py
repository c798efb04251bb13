"""Coefficients on the log scale as tables and estimates, for every model of hazards."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.argument import read_level
from recovery_stats.models.columns import Array


def tabulate_coefficients(
    terms: tuple[str, ...], beta: Array, se: Array, *, level: float, exponentiate: bool
) -> pd.DataFrame:
    """One row a term, normal reference; exponentiate turns estimate and limits into ratios."""
    z = norm.isf((1 - read_level(level)) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = beta / se

    def turn(x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(x) if exponentiate else x

    columns = {
        "term": terms,
        "estimate": turn(beta),
        "std_error": se,
        "df": np.inf,
        "statistic": statistic,
        "p_value": 2 * norm.sf(np.abs(statistic)),
        "conf_low": turn(beta - z * se),
        "conf_high": turn(beta + z * se),
    }
    return pd.DataFrame(columns)


def set_beside(frame: pd.DataFrame, model: Array) -> pd.DataFrame:
    """Put the model's own errors (p,) and their ratio beside the robust ones."""
    robust = frame["std_error"].to_numpy()
    frame.insert(3, "std_error_model", model)
    with np.errstate(divide="ignore", invalid="ignore"):
        frame.insert(4, "error_ratio", robust / model)
    return frame


def combine(terms: tuple[str, ...], weights: Mapping[str, float]) -> Array:
    """The weights of a linear combination, in the order of the terms; UsageError for a stranger."""
    c = np.zeros(len(terms))
    for term, weight in weights.items():
        if term not in terms:
            raise UsageError(unknown("term", term, terms))
        c[terms.index(term)] = weight
    return c


def estimate_ratio(
    value: float,
    se: float,
    *,
    name: str,
    label: str,
    method: str,
    level: float = 0.95,
    rank: Level = "secondary",
    exponentiate: bool = True,
    n: int | None = None,
    events: int | None = None,
) -> Estimate:
    """A log ratio with its normal interval, as a ratio (or a log, on request)."""
    half = float(norm.isf((1 - read_level(level)) / 2)) * se
    turn = np.exp if exponentiate else float
    return Estimate(
        name,
        label,
        float(turn(value)),
        float(turn(value - half)),
        float(turn(value + half)),
        se,
        float(2 * norm.sf(abs(value) / se)) if se > 0 else float("nan"),
        scale="ratio" if exponentiate else "difference",
        level=rank,
        method=method,
        confidence=level,
        n=n,
        events=events,
    )
