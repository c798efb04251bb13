"""One definition of an endpoint among many, what came of it, and which side it is on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.core.estimate import Estimand, Estimate

MORE, LESS = "more recovery", "less recovery"
DIMENSIONS = ("What is measured", "Missed screens are read")


@dataclass(frozen=True, slots=True)
class Specification:
    """One definition of the endpoint under one rule for missed screens, and what came of it.

    missing: how missed screens are read, by `rule`. measure: "time", "share", "visits" or
    "points". more_is_recovery: of the endpoint itself.
    estimate: of the analysis, None where it failed; why: then the reason, without a number.
    """

    name: str
    endpoint: str
    kind: str
    missing: str
    rule: str
    citation: str
    measure: str
    more_is_recovery: bool
    estimate: Estimate | None = None
    why: str = ""
    estimand: Estimand | None = None

    @property
    def turned(self) -> Estimate | None:
        """The estimate so that it speaks of recovery: of the share without relapse, not with.

        A ratio of hazards stays the ratio of the event.
        """
        e = self.estimate
        if e is None or self.measure == "time" or self.more_is_recovery or e.scale != "difference":
            return e
        return replace(e, value=-e.value, low=-e.high, high=-e.low)

    @property
    def side(self) -> int:
        """1 on the side of recovery, -1 on the other, 0 on neither or without an estimate."""
        return self.side_of(None if self.turned is None else self.turned.value)

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out no difference."""
        e = self.turned
        return e is not None and (e.low > self.null or e.high < self.null)

    @property
    def null(self) -> float:
        return 1.0 if self.estimate and self.estimate.scale == "ratio" else 0.0

    def side_of(self, value: float | None) -> int:
        """The side on which a turned estimate of `value` would lie."""
        if value is None or self.estimate is None or not math.isfinite(value):
            return 0
        sign = int(np.sign(value - self.null))
        if self.estimate.scale != "ratio":
            return sign
        return sign if self.measure != "time" and self.more_is_recovery else -sign


Panel = tuple[str, str]  # scale of the estimate, measure of the endpoint

PANELS: dict[Panel, tuple[str, str]] = {
    ("ratio", "time"): ("Hazard ratio", "times to relapse, first use or dropout"),
    ("time", "time"): ("Difference in days", "times to relapse, first use or dropout"),
    ("difference", "share"): (
        "Difference in shares",
        "shares: of people abstinent or without relapse, of screens without use",
    ),
    ("ratio", "share"): ("Ratio of shares", "shares of people or of screens"),
    ("difference", "visits"): ("Difference in screens", "numbers of screens"),
    ("difference", "points"): ("Difference in points", "an index from 0 (worst) to 120 (best)"),
}


def panels_of(told: Sequence[Specification]) -> dict[Panel, list[Specification]]:
    """Specifications by what their estimates are counted in, in the order of PANELS."""
    found: dict[Panel, list[Specification]] = {}
    for s in told:
        assert s.estimate is not None
        found.setdefault((s.estimate.scale, s.measure), []).append(s)
    known = [p for p in PANELS if p in found]
    return {p: found[p] for p in (*known, *(p for p in found if p not in PANELS))}


def value_of(s: Specification) -> float:
    return s.turned.value if s.turned is not None else math.nan
