"""The difference where missing outcomes are unlike those seen, and where the answer tips.

The shift is on the log odds of a yes/no outcome (the log of the informative missingness odds
ratio, IMOR) and in units of a number. Source: as in `engines.mean_score`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t as student

from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.mean_score import MeanScore, mean_score
from recovery_stats.models.comparison import within_strata
from recovery_stats.models.missing_contrast import Assumed, Contrast, attempt
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import ARM, Sample

Array = NDArray[np.floating[Any]]
LARGEST = np.log(1000.0)  # an odds ratio beyond which nothing is believable
SDS = 5.0  # the same for a number
STEPS = 60
WHERE = {
    "both": "in both arms",
    "compared": "in the compared arm only",
    "usual": "in the other arm only",
    "opposite": "in the compared arm, as far the other way in the other arm",
}
SHORT = {"both": "both arms", "compared": "compared", "usual": "other", "opposite": "opposite"}


@dataclass(frozen=True)
class Pattern:
    """The contrast as a function of the shift in each arm. unit: of a number, its sd."""

    contrast: Contrast
    sample: Sample = field(repr=False)
    unit: float

    @classmethod
    def of(cls, contrast: Contrast) -> Pattern:
        known = contrast.known(outcome=False)
        sample, strata = known.sample()
        if strata is not None:
            sample = within_strata(sample, strata)
        unit = 1.0 if contrast.binary else float(np.nanstd(contrast.outcome, ddof=1))
        return cls(contrast, sample, unit)

    def at(self, usual: float, compared: float) -> MeanScore:
        """With these shifts; errors are never smaller than those of independent people."""
        sample = self.sample
        shift = np.where(sample.arm == 1, compared, usual)
        alone, clustered = (
            mean_score(
                sample.y, sample.X, ARM, shift, self.contrast.family, cluster=cluster,
                weights=sample.weights,
            )
            for cluster in (None, sample.cluster)
        )  # fmt: skip
        return clustered if self._reach(clustered) > self._reach(alone) else alone

    def _reach(self, fit: MeanScore) -> float:
        return float(student.isf((1 - self.contrast.level) / 2, fit.df)) * fit.se

    def estimate(self, usual: float, compared: float, name: str, label: str) -> Estimate:
        fit = self.at(usual, compared)
        return estimate(
            name, label, fit.difference, fit.se, fit.df, level=self.contrast.level,
            rank="sensitivity", method="pattern mixture, mean score", n=len(self.sample.y),
        )  # fmt: skip

    @property
    def largest(self) -> float:
        return float(LARGEST) if self.contrast.binary else SDS * self.unit

    # --- where it tips ------------------------------------------------------------------------

    def curve(self, where: str, shifts: Array) -> pd.DataFrame:
        """`shift, estimate, conf_low, conf_high, p_value` with the shift in one arm, or in both."""
        rows = []
        for shift in shifts.tolist():
            e = self.estimate(*_by_arm(where, shift), "", "")
            rows.append((shift, e.value, e.low, e.high, e.p))
        return pd.DataFrame(rows, columns=["shift", "estimate", "conf_low", "conf_high", "p_value"])

    def tipping(self, where: str) -> tuple[float, ...]:
        """The nearest shifts on either side at which the interval begins or ceases to hold 0.

        None within `largest`: no tuple member. Found by bisection between steps of a grid.
        """
        found = []
        for side in (-1.0, 1.0):
            grid = side * np.linspace(0, self.largest, STEPS // 2 + 1)
            values = [self._excess(where, s) for s in grid]
            for a, b, fa, fb in zip(grid, grid[1:], values, values[1:], strict=False):
                if fa * fb < 0:
                    found.append(float(brentq(lambda s: self._excess(where, s), a, b)))
                    break
        return tuple(found)

    @cached_property
    def points(self) -> pd.DataFrame:
        """`where, shift, odds_ratio` of each tipping point; odds_ratio nan for a number."""
        rows = [
            (where, s, float(np.exp(s)) if self.contrast.binary else np.nan)
            for where in WHERE
            for s in self.tipping(where)
        ]
        return pd.DataFrame(rows, columns=["where", "shift", "odds_ratio"])

    def _excess(self, where: str, shift: float) -> float:
        fit = self.at(*_by_arm(where, shift))
        return abs(fit.difference) - self._reach(fit)


def shifted(pattern: Pattern, shifts: tuple[float, ...]) -> Iterator[Assumed]:
    """The difference at each shift in both arms, in the compared one, in the other one."""
    for where, words in WHERE.items():
        for shift in shifts:
            told = (
                f"Of people alike in {pattern.contrast.given}, those without an outcome had "
                f"{_by(pattern, shift)}, {words}."
            )
            label = f"Pattern mixture: {SHORT[where]} {_named(pattern, shift)}"
            name = f"shift_{where}{shift / pattern.unit:+.2f}"
            usual, compared = _by_arm(where, shift)
            fitted = partial(pattern.estimate, usual, compared, name, label)
            yield attempt(fitted, name, label, told, "Not at random")


def _by_arm(where: str, shift: float) -> tuple[float, float]:
    """The shifts in the other and in the compared arm."""
    usual = {"compared": 0.0, "opposite": -shift}.get(where, shift)
    return usual, 0.0 if where == "usual" else shift


def ratio_words(shift: float) -> str:
    """An odds ratio that was chosen, as a word: 2, 1/2, 4."""
    ratio = float(np.exp(abs(shift)))
    return f"{ratio:.3g}" if shift >= 0 else f"1/{ratio:.3g}"


def sd_words(sds: float) -> str:
    return f"{'+' if sds >= 0 else '−'}{abs(sds):.3g} SD"


def _named(pattern: Pattern, shift: float) -> str:
    if pattern.contrast.binary:
        return f"IMOR {ratio_words(shift)}"
    return sd_words(shift / pattern.unit)


def _by(pattern: Pattern, shift: float) -> str:
    if pattern.contrast.binary:
        return f"{ratio_words(shift)} times the odds of it"
    return f"a mean {sd_words(shift / pattern.unit)} apart"
