"""Contrasts, adjusted means and slopes of any fit that is linear in its coefficients.

A fit takes part by offering `terms`, `recipe`, `grid` (what its data columns look like) and
`combine(L)`: estimates, standard errors and degrees of freedom of L @ coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.coding import Recipe
from recovery_stats.models.formula import columns_of

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Combination:
    """Linear combinations of coefficients: estimate, std_error and df, each (k,)."""

    estimate: Array
    std_error: Array
    df: Array

    @property
    def statistic(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.estimate / self.std_error

    @property
    def p_value(self) -> Array:
        return np.asarray(2.0 * t_distribution.sf(np.abs(self.statistic), self.df))

    def limits(self, level: float) -> tuple[Array, Array]:
        half = t_distribution.isf((1.0 - level) / 2.0, self.df) * self.std_error
        return self.estimate - half, self.estimate + half

    def table(self, level: float) -> dict[str, Array]:
        """The shared columns of every table of estimates."""
        low, high = self.limits(level)
        return {
            "estimate": self.estimate,
            "std_error": self.std_error,
            "df": self.df,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "conf_low": low,
            "conf_high": high,
        }


@dataclass(frozen=True, slots=True)
class Grid:
    """The columns behind a design: means of numbers, levels of factors (in raw values)."""

    means: Mapping[str, float]
    levels: Mapping[str, tuple[Any, ...]]
    names: Mapping[str, tuple[str, ...]]


class LinearFit(Protocol):
    """What a fit offers to take part."""

    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def kept(self) -> list[int]: ...
    def combine(self, L: Array) -> Combination: ...


def row_of(terms: Sequence[str], weights: Mapping[str, float]) -> Array:
    """The row of L for named weights; UsageError with the nearest term when one is unknown."""
    row = np.zeros(len(terms))
    for term, weight in weights.items():
        if term not in terms:
            raise UsageError(unknown("term", term, terms))
        row[list(terms).index(term)] = weight
    return row


def estimate(
    fit: LinearFit,
    weights: Mapping[str, float],
    *,
    name: str,
    label: str,
    level: float = 0.95,
    rank: Level = "secondary",
    scale: Scale = "difference",
    method: str = "",
    n: int | None = None,
) -> Estimate:
    """A linear combination of coefficients as the currency of reports."""
    found = fit.combine(row_of(fit.terms, weights)[None])
    low, high = found.limits(level)
    values = [found.estimate, low, high]
    value, low_, high_ = (float((np.exp(v) if scale == "ratio" else v)[0]) for v in values)
    se, df, p = (float(v[0]) for v in (found.std_error, found.df, found.p_value))
    return Estimate(
        name, label, value, low_, high_, se, p, df, scale, rank, method, level, n
    )  # fmt: skip


def contrast(
    fit: LinearFit, weights: Mapping[str, Mapping[str, float]], *, level: float = 0.95
) -> pd.DataFrame:
    """Named combinations of coefficients: one row each."""
    L = np.array([row_of(fit.terms, w) for w in weights.values()])
    return pd.DataFrame({"contrast": list(weights), **fit.combine(L).table(level)})


def marginal_means(
    fit: LinearFit,
    by: str | Sequence[str],
    *,
    at: Mapping[str, float | Sequence[float]] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Adjusted means for every combination of `by`.

    Other factors count their levels equally, other numbers stand at their means; `at` sets
    numbers (one value, or several for a row each). Source: Searle, Speed & Milliken 1980.
    """
    rows, L = _means(fit, [by] if isinstance(by, str) else list(by), dict(at or {}))
    return pd.DataFrame({**rows, **fit.combine(L).table(level)})


def pairwise(
    fit: LinearFit,
    by: str,
    *,
    at: Mapping[str, float] | None = None,
    adjust: str = "holm",
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences between all pairs of adjusted means; p by Holm, Bonferroni or none."""
    rows, L = _means(fit, [by], dict(at or {}))
    pairs = list(combinations(range(len(L)), 2))
    found = fit.combine(np.array([L[i] - L[j] for i, j in pairs]))
    names = [f"{rows[by][i]} - {rows[by][j]}" for i, j in pairs]
    table = {"contrast": names, **found.table(level)}
    table["p_value"] = adjusted(found.p_value, adjust)
    return pd.DataFrame(table)


def adjusted(p: Array, method: str) -> Array:
    """Multiplicity-adjusted p-values: holm, bonferroni or none."""
    known = ("holm", "bonferroni", "none")
    if method not in known:
        raise UsageError(unknown("adjustment", method, known))
    if method == "none":
        return p
    if method == "bonferroni":
        return np.minimum(p * p.size, 1.0)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def slopes(
    fit: LinearFit, of: str, by: str | Sequence[str] = (), *, level: float = 0.95
) -> pd.DataFrame:
    """Slope in the number `of` (at its mean) for every combination of the factors `by`."""
    if of not in fit.grid.means:
        raise UsageError(unknown("numeric predictor", of, fit.grid.means))
    where = fit.grid.means[of]
    step = 1e-4 * max(abs(where), 1.0)
    factors = [by] if isinstance(by, str) else list(by)
    rows, above = _means(fit, factors, {of: where + step})
    _, below = _means(fit, factors, {of: where - step})
    found = fit.combine((above - below) / (2.0 * step))
    shown = {k: v for k, v in rows.items() if k != of}
    return pd.DataFrame({**shown, "slope": of, **found.table(level)})


def _means(fit: LinearFit, by: list[str], at: dict[str, Any]) -> tuple[dict[str, list[Any]], Array]:
    """Labels and rows of L: averages of the design over the levels of all factors not in `by`."""
    grid = fit.grid
    for name in (*by, *at):
        if name not in grid.levels and name not in grid.means:
            raise UsageError(unknown("predictor", name, (*grid.levels, *grid.means)))
    fixed: dict[str, list[Any]] = {}
    for name in by:
        fixed[name] = list(grid.levels.get(name, (grid.means.get(name),)))
    for name, value in at.items():
        fixed[name] = list(value) if isinstance(value, Sequence) else [value]
    free = {k: v for k, v in grid.levels.items() if k not in fixed}
    wanted = list(product(*fixed.values())) if fixed else [()]
    averaged = list(product(*free.values()))
    cells = [
        {**grid.means, **dict(zip(fixed, w, strict=True)), **dict(zip(free, a, strict=True))}
        for w in wanted
        for a in averaged
    ]
    X = fit.recipe.matrix(pd.DataFrame(cells))[:, fit.kept]
    L = X.reshape(len(wanted), len(averaged), -1).mean(1)
    labels = {
        name: [_named(grid, name, w[i]) for w in wanted] for i, name in enumerate(fixed)
    }  # fmt: skip
    return labels, L


def _named(grid: Grid, column: str, value: Any) -> Any:
    if column not in grid.levels:
        return value
    return grid.names[column][grid.levels[column].index(value)]


def grid_of(recipe: Recipe, frame_means: Mapping[str, float]) -> Grid:
    """The grid of a recipe, given the means of its numeric columns."""
    factors = {f.column: f for f in recipe.factors.values()}
    return Grid(
        {k: v for k, v in frame_means.items() if k not in factors},
        {k: f.values for k, f in factors.items()},
        {k: f.levels for k, f in factors.items()},
    )


def numeric_columns(recipe: Recipe) -> tuple[str, ...]:
    """The data columns that the recipe reads as numbers."""
    names = (c for n in recipe.numeric.values() for c in columns_of(n.expression))
    return tuple(dict.fromkeys(names))
