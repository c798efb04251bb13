"""The reference grid of a fit: what its columns look like, and the rows of L for means and slopes.

Source: Searle, Speed & Milliken 1980. Checked: emmeans (tests/models/margins.R).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.coding import Recipe
from recovery_stats.models.columns import Columns
from recovery_stats.models.combination import Combination
from recovery_stats.models.formula import columns_of

Array = NDArray[np.float64]
Averaging = Literal["equal", "proportional"]


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
    @property
    def analysed(self) -> pd.DataFrame | Dataset: ...
    def combine(self, L: Array) -> Combination: ...
    def covariance(self) -> pd.DataFrame: ...


def rows_for(
    fit: LinearFit,
    by: list[str],
    at: dict[str, Any],
    weights: Averaging = "equal",
    of: str | None = None,
) -> tuple[dict[str, list[Any]], Array]:
    """Adjusted means, or slopes in `of` by a central difference around where it stands."""
    if of is None:
        return _means(fit, by, at, weights)
    if of not in fit.grid.means:
        raise UsageError(unknown("numeric predictor", of, fit.grid.means))
    where = float(at.get(of, fit.grid.means[of]))
    step = 1e-4 * max(abs(where), 1.0)
    rows, above = _means(fit, by, {**at, of: where + step}, weights)
    _, below = _means(fit, by, {**at, of: where - step}, weights)
    return rows, (above - below) / (2.0 * step)


def _means(
    fit: LinearFit, by: list[str], at: dict[str, Any], weights: Averaging
) -> tuple[dict[str, list[Any]], Array]:
    """Labels and rows of L: averages of the design over the levels of all factors not in `by`."""
    grid = fit.grid
    for name in (*by, *at):
        if name not in grid.levels and name not in grid.means:
            raise UsageError(unknown("predictor", name, (*grid.levels, *grid.means)))
    fixed: dict[str, list[Any]] = {}
    for name in by:
        fixed[name] = list(grid.levels.get(name, (grid.means.get(name),)))
    for name, value in at.items():
        several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
        fixed[name] = [_value(grid, name, v) for v in (value if several else [value])]
    free = {k: v for k, v in grid.levels.items() if k not in fixed}
    wanted = list(product(*fixed.values())) if fixed else [()]
    averaged = list(product(*free.values()))
    cells = [
        {**grid.means, **dict(zip(fixed, w, strict=True)), **dict(zip(free, a, strict=True))}
        for w in wanted
        for a in averaged
    ]
    X = fit.recipe.matrix(pd.DataFrame(cells))[:, fit.kept]
    share = _shares(fit, list(free), averaged, weights)
    L = np.einsum("waj,a->wj", X.reshape(len(wanted), len(averaged), -1), share)
    labels = {
        name: [_named(grid, name, w[i]) for w in wanted] for i, name in enumerate(fixed)
    }  # fmt: skip
    return labels, L


def _shares(fit: LinearFit, free: list[str], averaged: list[Any], weights: Averaging) -> Array:
    """How much each combination of the factors averaged over counts."""
    if weights not in ("equal", "proportional"):
        raise UsageError(unknown("kind of weights", weights, ("equal", "proportional")))
    if weights == "equal" or not free:
        return np.full(len(averaged), 1.0 / len(averaged))
    columns = Columns.of(fit.analysed)
    factors = {f.column: f for f in fit.recipe.factors.values()}
    codes = np.column_stack([factors[c].codes(columns) for c in free])
    every = product(*(range(len(factors[c].levels)) for c in free))
    counts = np.array([np.sum((codes == np.array(cell)).all(1)) for cell in every], dtype=float)
    return np.asarray(counts / counts.sum())


def _value(grid: Grid, column: str, value: Any) -> Any:
    """A number as it is; a level by its name or its raw value."""
    if column not in grid.levels:
        return value
    names, values = grid.names[column], grid.levels[column]
    if value in values:
        return value
    if str(value) not in names:
        raise UsageError(unknown(f"level of column {column!r}", str(value), names))
    return values[names.index(str(value))]


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
