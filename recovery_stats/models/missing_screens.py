"""A difference in the share of good screens under each assumption on the screens that were missed.

Every person is a share: good screens over those scheduled. Who missed m of n screens and had the
share s good among those attended has (good + k s m) / n where missed screens are good k times as
often: k = 0 counts each as bad, k = 1 is the share of those attended. Who attended none has the
mean share of the arm, which leaves the difference at k = 1 that of the people who attended some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.errors import DataError
from recovery_stats.models.missing_contrast import Assumed, Contrast, attempt

Array = NDArray[np.floating[Any]]
RANDOM, SINGLE, OTHER, BOUNDS = "At random", "One value for each", "Not at random", "Bounds"
TIMES = (0.25, 0.5, 0.75)
OBSERVED, POSITIVE, NEGATIVE = "observed", "positive", "negative"


@dataclass(frozen=True, slots=True)
class Screens:
    """Counts of each person of the contrast, all (n,): good, attended and scheduled screens."""

    contrast: Contrast
    good: Array = field(repr=False)
    attended: Array = field(repr=False)
    scheduled: Array = field(repr=False)

    def __post_init__(self) -> None:
        counts = (self.good, self.attended, self.scheduled)
        if any(np.isnan(c).any() for c in counts):
            raise DataError("A count of screens is empty for some people; each needs all three.")
        wrong = (self.good < 0) | (self.good > self.attended) | (self.attended > self.scheduled)
        if wrong.any() or not (self.scheduled > 0).all():
            raise DataError(
                f"{int(wrong.sum() + (self.scheduled <= 0).sum())} people have more good screens "
                "than attended ones, more attended than scheduled ones, or none scheduled; give "
                "the counts in the order good, attended, scheduled."
            )

    @property
    def missed(self) -> Array:
        return self.scheduled - self.attended

    @property
    def seen(self) -> Array:
        """Share of good screens among those attended; nan where none was."""
        none = np.full(len(self.good), np.nan)
        return np.asarray(np.divide(self.good, self.attended, out=none, where=self.attended > 0))

    def at(self, times: float) -> Array:
        """Shares with missed screens good `times` as often as those attended."""
        seen, arm = self.seen, self.contrast.arm
        for a in (0.0, 1.0):
            own = arm == a
            if not np.isnan(seen[own]).all():
                seen = np.where(own & np.isnan(seen), np.nanmean(seen[own]), seen)
        return (self.good + times * seen * self.missed) / self.scheduled

    def filled(self, share: Array | float) -> Array:
        """Shares with this share of the missed screens good."""
        return (self.good + share * self.missed) / self.scheduled


def screens_rows(screens: Screens) -> Iterator[Assumed]:
    """The difference under each assumption, in the order in which it is read."""
    for group, name, label, told, shares in _ways(screens):
        asked = screens.contrast.with_outcome(shares)
        fitted = partial(asked.difference, name, label, "share of screens")
        yield attempt(fitted, name, label, told, group)


def _ways(s: Screens) -> Iterator[tuple[str, str, str, str, Array]]:
    told = "Missed screens are like those the same person attended; who attended none is left out."
    yield RANDOM, OBSERVED, "Attended screens only", told, s.seen
    yield SINGLE, POSITIVE, "Missing = positive", "No missed screen was negative.", s.filled(0.0)
    yield SINGLE, NEGATIVE, "Missing = negative", "Every missed screen was negative.", s.filled(1.0)
    for times in reversed(TIMES):
        told = f"Missed screens are negative {times:g} times as often as those the person attended."
        yield OTHER, f"times_{times:g}", f"Missed screens, {times:g} times", told, s.at(times)
    arm = s.contrast.arm
    told = "Missed screens were {} in the compared arm and {} in the other."
    worst, best = s.filled(1.0 - arm), s.filled(arm)
    yield BOUNDS, "worst", "Lowest", told.format("positive", "negative"), worst
    yield BOUNDS, "best", "Highest", told.format("negative", "positive"), best
