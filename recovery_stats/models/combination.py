"""Linear combinations of coefficients, the shared columns of every table of estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

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
