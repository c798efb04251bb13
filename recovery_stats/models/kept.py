"""What fits share that estimate some columns of a design: names, columns, one coefficient, rows.

`Grouped` adds the levels of random factors.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import Array
from recovery_stats.models import margins
from recovery_stats.models.coding import Recipe
from recovery_stats.models.columns import Grouping
from recovery_stats.models.design import Design

if TYPE_CHECKING:
    from recovery_stats.engines.lmm_groups import RandomFactor


class Kept:
    """A fit of the columns of `design` at `kept_columns`; `engine` holds beta (p,)."""

    design: Design
    kept_columns: tuple[int, ...]
    engine: Any
    data: pd.DataFrame | Dataset

    @property
    def recipe(self) -> Recipe:
        return self.design.recipe

    @property
    def kept(self) -> list[int]:
        return list(self.kept_columns)

    @property
    def X(self) -> Array:
        return self.design.X[:, self.kept]

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return tuple(self.design.names[j] for j in self.kept_columns)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the coefficients are called in words."""
        return tuple(self.design.labels[j] for j in self.kept_columns)

    def coefficient(self, term: str) -> float:
        """One coefficient by its name."""
        return float(margins.row_of(self.terms, {term: 1.0}) @ self.engine.beta)

    @property
    def analysed(self) -> pd.DataFrame | Dataset:
        """The rows analysed."""
        if bool(self.design.kept.all()):
            return self.data
        if isinstance(self.data, Dataset):
            return self.data.with_frame(self.data.frame[self.design.kept])
        return self.data[self.design.kept]


class Grouped(Kept):
    """The same with random factors."""

    factors: tuple[RandomFactor, ...]

    @property
    def n_obs(self) -> int:
        return len(self.design.X)

    @property
    def n_groups(self) -> int:
        """Levels of the largest random factor, those without an effect in any row left out."""
        return max(f.acting for f in self.factors)

    @property
    def groups(self) -> dict[str, int]:
        """Levels of every random factor, those without an effect in any row left out."""
        return {f.name: f.acting for f in self.factors}

    @cached_property
    def groupings(self) -> tuple[Grouping, ...]:
        """The levels of every random factor, in their order."""
        named = {r.grouping.name: r.grouping for r in self.design.random}
        return tuple(named[f.name] for f in self.factors)

    def random_effects(self) -> pd.DataFrame:
        """Predicted effects with their standard errors; `std_error` as the engine defines it."""
        parts = []
        for factor, grouping, mode, spread in zip(
            self.factors, self.groupings, self.engine.effects, self.engine.effect_variance,
            strict=True,
        ):  # fmt: skip
            se = np.sqrt(np.maximum(np.diagonal(spread, axis1=1, axis2=2), 0.0))
            parts.append(
                pd.DataFrame(
                    {
                        "group": factor.name,
                        "level": np.repeat(np.array(grouping.levels, dtype=object), factor.q),
                        "term": list(factor.effects) * factor.levels,
                        "estimate": mode.ravel(),
                        "std_error": se.ravel(),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)
