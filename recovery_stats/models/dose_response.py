"""How the hazard changes over one column: log hazard ratios against a reference value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Array, Columns
from recovery_stats.models.formula import columns_of

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit

POINTS = 41
SHOWN = (0.01, 0.99)  # quantiles between which a curve is drawn: the outermost people bend it


def dose_response(
    fit: CoxFit,
    column: str,
    at: Sequence[Any] | None,
    reference: Any,
    level: float,
    exponentiate: bool,
    where: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """The log hazard ratio of each value in `at` against the reference."""
    frame = analysed(fit)
    used = columns_used(fit)
    if column not in used:
        raise UsageError(unknown("column of the model's terms", column, used))
    for other in where or {}:
        if other not in used:
            raise UsageError(unknown("column of the model's terms", other, used))
    if reference is None:
        reference = _middle(frame[column])
    values = spread(frame[column]) if at is None else list(at)
    typical = {c: _middle(frame[c]) for c in used} | dict(where or {})
    L = _rows(fit, frame, typical, column, values) - _rows(fit, frame, typical, column, [reference])
    estimate = L @ fit.beta
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", L, fit.covariance().to_numpy(), L), 0.0))
    half = norm.isf((1 - level) / 2) * se
    turn = np.exp if exponentiate else np.asarray
    return pd.DataFrame(
        {
            column: values,
            "reference": [reference] * len(values),
            "estimate": turn(estimate),
            "std_error": se,
            "conf_low": turn(estimate - half),
            "conf_high": turn(estimate + half),
        }
    )


def bend(fit: CoxFit, terms: Sequence[str]) -> float:
    """p of the Wald test that a spline is straight: all its `terms` but the first are zero.

    A restricted cubic spline's first term is the line itself.
    """
    at = [fit.terms.index(t) for t in terms[1:]]
    b, V = fit.beta[at], fit.covariance().to_numpy()[np.ix_(at, at)]
    return float(chi2.sf(b @ np.linalg.solve(V, b), len(at)))


def analysed(fit: CoxFit) -> pd.DataFrame:
    """The rows of the data that the model saw."""
    seen = fit.observation
    assert seen.source is not None
    frame = seen.source.frame if isinstance(seen.source, Dataset) else seen.source
    return frame.iloc[seen.places]


def columns_used(fit: CoxFit) -> list[str]:
    """The columns of the terms and offsets."""
    recipe = fit.observation.design.recipe
    found = [n for c in recipe.coded for f in c.term.factors for n in columns_of(f)]
    found += [n for offset in recipe.offsets for n in columns_of(offset)]
    return list(dict.fromkeys(found))


def _middle(values: pd.Series[Any]) -> Any:
    """The median of a number (one that occurs), else the most frequent value."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return float(values.quantile(0.5, interpolation="lower"))
    return values.mode().iloc[0]


def spread(values: pd.Series[Any]) -> list[Any]:
    """Points over the range of a number, or the levels of a factor."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        distinct = np.unique(values.dropna().to_numpy(float))
        if len(distinct) <= POINTS:
            return [float(v) for v in distinct]
        low, high = values.quantile(SHOWN)
        return [float(v) for v in np.linspace(low, high, POINTS)]
    return list(pd.unique(values.dropna()))


def _rows(
    fit: CoxFit, frame: pd.DataFrame, typical: Mapping[str, Any], column: str, values: list[Any]
) -> Array:
    """The design's rows for these values of the column, everything else typical."""
    rows = frame.iloc[np.zeros(len(values), dtype=int)].reset_index(drop=True)
    rows = rows.assign(**{c: like(frame[c], [v] * len(rows)) for c, v in typical.items()})
    rows = rows.assign(**{column: like(frame[column], values)})
    source = fit.observation.source
    data: Any = source.with_frame(rows) if isinstance(source, Dataset) else rows
    X = fit.observation.design.recipe.matrix(Columns.of(data))
    if np.isnan(X).any():
        raise DataError(f"The model does not know some of the values asked for of {column!r}.")
    return X


def like(column: pd.Series[Any], values: list[Any]) -> Any:
    """Values with the levels of a column, where it has some."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(values, categories=column.cat.categories, ordered=column.cat.ordered)
    return values
