"""Restricted cubic splines of log time: linear beyond the outer knots, with their slopes.

Basis of Royston & Parmar 2002: x, and for every inner knot
(x - k)^3+ - l (x - low)^3+ - (1 - l)(x - high)^3+ with l = (high - k)/(high - low).
Checked: linear tails and slopes by finite differences (tests/engines/test_royston_parmar.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogTimeSpline:
    """knots (df + 1,) of log time, ascending; df columns, the first of them log time itself."""

    knots: tuple[float, ...]

    @property
    def df(self) -> int:
        return len(self.knots) - 1

    @classmethod
    def over(cls, log_times: Array, df: int) -> LogTimeSpline:
        """Outer knots at the extremes of the events' log times, inner ones at even centiles."""
        return cls(tuple(map(float, np.quantile(log_times, np.linspace(0, 1, df + 1)))))

    def columns(self, x: Array) -> Array:
        """(n, df)"""
        return np.column_stack([x, self._bends(x, 3)])

    def slopes(self, x: Array) -> Array:
        """Derivatives in x (n, df)."""
        return np.column_stack([np.ones_like(x), 3 * self._bends(x, 2)])

    def _bends(self, x: Array, power: int) -> Array:
        low, inner, high = self.knots[0], np.array(self.knots[1:-1]), self.knots[-1]
        share = (high - inner) / (high - low)

        def over(knot: Array | float) -> Array:
            return np.maximum(x[:, None] - knot, 0.0) ** power

        return over(inner) - share * over(low) - (1 - share) * over(high)
