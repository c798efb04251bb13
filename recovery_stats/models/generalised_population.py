"""What a generalised mixed model says of the whole population, its random effects integrated over.

Conditional coefficients speak of one group; a risk or a rate with everybody at a value averages
over groups and rows. Errors by the delta method in coefficients, variances and the family's own
parameters.
Source: Hedeker, du Toit, Demirtas & Gibbons 2018 (coefficients).
Checked: scipy's integration, the bootstrap, `predict(random="average")`
(tests/models/test_generalised_after.py, tests/models/test_generalised_population.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.glmm_population import Average, Integrated, integrated, inverse_link
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.columns import Columns
from recovery_stats.models.combination import Combination

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit

Scale = Literal["difference", "ratio"]


def means(
    fit: GlmmFit, by: str, at: Sequence[float] | None, above: str | None, level: float
) -> pd.DataFrame:
    """The mean outcome with everybody at each level (or value) of `by`, limits on the link."""
    names, parts = _standardised(fit, by, at, above)
    value, J = np.array([a.value for a in parts]), np.array([a.gradient for a in parts])
    se = _errors(fit, J)
    z = float(norm.isf((1.0 - level) / 2.0))
    slope = value * (1.0 - value) if fit.link == "logit" else value
    centre = np.log(value / (1.0 - value)) if fit.link == "logit" else np.log(value)
    low, high = (inverse_link(fit.link, centre + s * z * se / slope)[0] for s in (-1, 1))
    return pd.DataFrame(
        {by: names, "estimate": value, "std_error": se, "conf_low": low, "conf_high": high}
    )


def effects(
    fit: GlmmFit,
    by: str,
    at: Sequence[float] | None,
    above: str | None,
    scale: Scale,
    level: float,
) -> pd.DataFrame:
    """Differences or ratios of those means, each against the first."""
    if scale not in ("difference", "ratio"):
        raise UsageError(unknown("scale", scale, ("difference", "ratio")))
    names, (base, *others) = _standardised(fit, by, at, above)
    if scale == "difference":
        rows = [(a.value - base.value, a.gradient - base.gradient) for a in others]
    else:
        rows = [
            (float(np.log(a.value / base.value)), a.gradient / a.value - base.gradient / base.value)
            for a in others
        ]
    found = _delta(fit, [v for v, _ in rows], [g for _, g in rows])
    between = " / " if scale == "ratio" else " - "
    contrasts = [f"{n}{between}{names[0]}" for n in names[1:]]
    return tidied(contrasts, found, level, scale == "ratio").rename(columns={"term": "contrast"})


def coefficients(fit: GlmmFit, level: float, exponentiate: bool) -> pd.DataFrame:
    """The least-squares projection of the link of every row's integrated mean on the columns."""
    if fit.family == "ordinal":
        raise UsageError(
            "Population coefficients are not offered for ordinal models; see "
            "predict(random='average') and population_effects(..., above=...)."
        )
    shift = _offset(fit)
    at = integrated(fit.engine, fit.link, fit.X, [f.Z for f in fit.factors], shift)
    if fit.link == "logit":
        target = np.log(at.value / (1.0 - at.value)) - shift
        J = at.gradients() / (at.value * (1.0 - at.value))[:, None]
    else:
        target, J = np.log(at.value) - shift, at.gradients() / at.value[:, None]
    scale = np.sqrt((fit.X**2).sum(0))
    project = np.linalg.pinv(fit.X / scale) / scale[:, None]
    return tidied(fit.terms, _delta(fit, project @ target, project @ J), level, exponentiate)


def tidied(
    terms: Sequence[str], found: Combination, level: float, exponentiate: bool
) -> pd.DataFrame:
    """One row a term in the vocabulary of every fit."""
    table: dict[str, Any] = {"term": list(terms), **found.table(level)}
    if exponentiate:
        for name in ("estimate", "conf_low", "conf_high"):
            table[name] = np.exp(table[name])
    return pd.DataFrame(table)


def _offset(fit: GlmmFit) -> Array:
    return np.zeros(fit.n_obs) if fit.offset is None else fit.offset


def _errors(fit: GlmmFit, J: Array) -> Array:
    variance = np.einsum("ki,ij,kj->k", J, fit.engine.joint, J)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _delta(fit: GlmmFit, values: Any, gradients: Any) -> Combination:
    se = _errors(fit, np.array(gradients))
    return Combination(np.array(values), se, np.full(len(se), np.inf))


def _standardised(
    fit: GlmmFit, by: str, at: Sequence[float] | None, above: str | None
) -> tuple[list[str], list[Average]]:
    """The average with every row at each value of `by`, its other columns as they are."""
    names, values = _values(fit, by, at)
    edge = _edge(fit, above)
    frame = fit.analysed.frame if isinstance(fit.analysed, Dataset) else fit.analysed
    key = next(c for c in frame.columns if str(c) == by)
    shift = _offset(fit) - (0.0 if edge is None else fit.engine.own[edge])
    found = []
    for value in values:
        moved = frame.assign(**{key: _like(frame[key], value)})
        columns = Columns.of(fit.data.with_frame(moved) if isinstance(fit.data, Dataset) else moved)
        X = fit.recipe.matrix(columns)[:, fit.kept]
        rows = integrated(fit.engine, fit.link, X, fit.effect_columns(columns), shift)
        found.append(_mean(rows, np.asarray(fit.law.weights), edge))
    return names, found


def _mean(rows: Integrated, weights: Array, edge: int | None) -> Average:
    """The average over rows; a threshold moves the chance above it against the predictor."""
    mean = rows.mean(weights)
    if edge is not None:
        mean.gradient[mean.gradient.size - rows.n_own + edge] = -np.average(
            rows.slope, weights=weights
        )
    return mean


def _values(fit: GlmmFit, by: str, at: Sequence[float] | None) -> tuple[list[str], Sequence[Any]]:
    if at is None:
        if by not in fit.grid.levels:
            raise UsageError(unknown("factor among the predictors", by, fit.grid.levels))
        return list(fit.grid.names[by]), fit.grid.levels[by]
    if by not in fit.grid.means:
        raise UsageError(unknown("number among the predictors", by, fit.grid.means))
    return [f"{v:g}" for v in at], [float(v) for v in at]


def _edge(fit: GlmmFit, above: str | None) -> int | None:
    """The threshold over which an ordinal outcome is counted; None for other families."""
    if fit.family != "ordinal":
        if above is not None:
            raise UsageError("above= is for ordinal outcomes.")
        return None
    if above is None:
        raise UsageError(
            "The population's mean of an ordinal outcome is a chance: name the category it is "
            f"above with above=, one of {', '.join(map(repr, fit.categories[:-1]))}."
        )
    if above not in fit.categories[:-1]:
        raise UsageError(unknown("category to be above", above, fit.categories[:-1]))
    return fit.categories.index(above)


def _like(column: pd.Series[Any], value: Any) -> Any:
    """The value in every row, in the column's own type (a category keeps its categories)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical([value] * len(column), dtype=column.dtype)
    return value
