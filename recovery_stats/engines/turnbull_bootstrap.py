"""Turnbull's estimate in samples of people drawn with replacement.

Sets of equal rows are drawn together by a multinomial, and every draw begins from the estimate
itself, so that a draw costs a few rounds.
Checked: Greenwood's errors where nothing is interval-censored (tests/engines/test_turnbull.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.censoring import Censored
from recovery_stats.engines.turnbull import FLAT, Turnbull, maximise
from recovery_stats.errors import ConvergenceError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """One estimate a draw, on one layout."""

    found: tuple[Turnbull, ...]

    def survival(self, times: Array) -> Array:
        """S (B, T) at times, intervals that have not ended counted as survived."""
        right = self.found[0].layout.right
        place = np.searchsorted(right, times, side="right")
        gone = np.array([np.append(0.0, np.cumsum(f.mass)) for f in self.found])
        S = 1 - gone[:, place]
        return np.where(S < FLAT, 0.0, S)

    def passing(self, level: float) -> Array:
        """When each draw falls to `level` (B,); inf where it does not."""
        return np.array([f.passes(level)[1] for f in self.found])


def draw(rows: Censored, found: Turnbull, draws: int, generator: np.random.Generator) -> Draws:
    """Estimate again from `draws` samples; weights are numbers of people."""
    layout = found.layout
    people = float(layout.w.sum())
    share = layout.w / people
    again: list[Turnbull] = []
    while len(again) < draws:
        w = generator.multinomial(round(people), share).astype(float)
        here = w > 0
        few = replace(
            layout, first=layout.first[here], last=layout.last[here], begins=layout.begins[here],
            w=w[here],
        )  # fmt: skip
        try:
            again.append(maximise(few, start=found.mass, tol=1e-6))
        except ConvergenceError:
            again.append(maximise(few, tol=1e-6))
    return Draws(tuple(again))
