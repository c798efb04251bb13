"""Curves from counts that are rounded before anything is computed of them.

A profile that rounds counts rounds those behind a curve too: the people, those who had the event
and those who left until each time, each to the midpoint of a bin (of 6: 1 to 6 is 3, 7 to 12 is 9),
with nought left nought. The curve, and the width of its band, are those of the rounded counts, so
nobody can tell which count of its bin was there. Source: OpenSAFELY documentation, statistical
disclosure control, "Midpoint 6 rounding". Attacked in tests/report/test_attack_rounded.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from recovery_stats.core.document import Numbers, Series

SAME = 1e-9
DECIMALS = 2  # of a curve that is not that of its counts: weighted


def midpoint(n: int, width: int) -> int:
    """The integer midpoint of the bin of `n`; of what came rather than went, below nought."""
    size = math.ceil(abs(n) / width) * width - width // 2 if n else 0
    return int(math.copysign(size, n))


@dataclass(frozen=True, slots=True)
class Account:
    """Cumulative counts of one curve, at each of its times.

    own: those who had its event; other: those who had one that competes. left: those who went
    without any, less those who came late. people: at risk at the start.
    """

    people: int
    own: tuple[int, ...]
    other: tuple[int, ...]
    left: tuple[int, ...]

    def rounded(self, width: int) -> Account:
        """The same with every count at the midpoint of its bin."""

        def each(counts: Sequence[int]) -> tuple[int, ...]:
            return tuple(midpoint(n, width) for n in counts)

        return Account(
            midpoint(self.people, width), each(self.own), each(self.other), each(self.left)
        )

    def curve(self, *, falling: bool) -> tuple[Numbers, Numbers]:
        """Survival (Kaplan–Meier), or where not falling incidence (Aalen–Johansen); and errors.

        The errors are of their logarithms: Greenwood's, or the binomial one of an incidence.
        """
        free, had, variance = 1.0, 0.0, 0.0
        y, errors = [], []
        before = zip((0, *self.own), (0, *self.other), (0, *self.left), strict=False)
        for was, own, other in zip(before, self.own, self.other, strict=False):
            d, rivals = own - was[0], other - was[1]
            at_risk = max(self.people - sum(was), d + rivals, 1)
            had += free * d / at_risk
            free *= 1 - (d + rivals) / at_risk
            variance += d / (at_risk * (at_risk - d)) if at_risk > d else math.inf
            odds = (1 - had) / had if had > 0 else 0.0
            y.append(free if falling else had)
            errors.append(math.sqrt(variance if falling else max(odds, 0.0) / self.people))
        return tuple(y), tuple(errors)


def account(series: Series, rivals: Sequence[Series]) -> Account:
    """The counts behind a curve, those of `rivals` on the same times among them."""
    own = tuple(accumulate(series.events_at))
    others = [r.events_at for r in rivals if r.events_at]
    other = tuple(accumulate(map(sum, zip(*others, strict=True)))) if others else (0,) * len(own)
    after = (*series.n_at[1:], series.n_at[-1] - series.events_at[-1])
    left = tuple(series.n_at[0] - n - a - b for n, a, b in zip(after, own, other, strict=True))
    return Account(series.n_at[0], own, other, left)


def from_rounded(series: Series, rivals: Sequence[Series], width: int) -> Series:
    """The curve of the rounded counts, its band as much wider or narrower as their errors.

    A curve that is not that of its counts (weights) keeps its values, with few decimals.
    """
    falling = series.y[-1] <= series.y[0] and series.y[0] > 0.5
    raw = account(series, rivals)
    was, error = raw.curve(falling=falling)
    if any(abs(a - b) > SAME for a, b in zip(was, series.y, strict=True)):
        return _few_digits(series)
    now, rounded_error = raw.rounded(width).curve(falling=falling)
    if not series.low:
        return replace(series, y=now)
    bands = [
        _band((y, low, high), (e, f), new)
        for y, low, high, e, f, new in zip(
            series.y, series.low, series.high, error, rounded_error, now, strict=True
        )
    ]
    low, high = zip(*bands, strict=True)
    return replace(series, y=now, low=low, high=high)


def _band(
    old: tuple[float, float, float], errors: tuple[float, float], y: float
) -> tuple[float, float]:
    """Limits about `y` on the scale log(−log); those at 0 or 1 stay there."""
    value, *limits = old
    if not (0 < value < 1 and 0 < y < 1 and all(0 < e < math.inf for e in errors)):
        return y, y
    ratio = (errors[1] / math.log(y)) / (errors[0] / math.log(value))
    low, high = (
        _back(_turned(y) + ratio * (_turned(x) - _turned(value))) if 0 < x < 1 else x
        for x in limits
    )
    return low, high


def _turned(x: float) -> float:
    return math.log(-math.log(x))


def _back(x: float) -> float:
    return math.exp(-math.exp(x))


def _few_digits(series: Series) -> Series:
    y, low, high = (
        tuple(round(x, DECIMALS) for x in part) for part in (series.y, series.low, series.high)
    )
    return replace(series, y=y, low=low, high=high)
