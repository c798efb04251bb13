"""Shares, and the differences and ratios of two shares, made anew from rounded counts.

At full precision such a number has one pair of counts behind it, and the limits of several together
give them back at few digits too. So where counts are rounded, value, limits and p are made of the
rounded counts by the laws of large samples (Wilson 1927; Wald on the scale of the effect). What
clusters or weights did to the standard error stays, to one decimal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations
from statistics import NormalDist

from recovery_stats.core.estimate import Estimate
from recovery_stats.report.privacy.estimate import Pair, raw_share

FROM_ROUNDED = "of rounded counts"
DIGITS = 9  # at which two numbers are taken for one
KINDS = ("difference", "percent", "ratio", "odds")


def to_multiple(n: int, multiple: int) -> int:
    """The nearest multiple, of a half the upper one."""
    return multiple * math.floor(n / multiple + 0.5)


def wilson(n: float, of: float, confidence: float) -> tuple[float, float, float]:
    """A share and its limits."""
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share, shrink = n / of, 1 + z2 / of
    centre = (share + z2 / (2 * of)) / shrink
    reach = math.sqrt(z2 * (share * (1 - share) / of + z2 / (4 * of**2))) / shrink
    return share, centre - reach, centre + reach


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference, that times 100, a ratio or an odds ratio of two shares by their counts."""

    kind: str
    one: Pair
    other: Pair

    @property
    def value(self) -> float:
        """On the scale on which it is told."""
        p, q = (n / of for n, of in (self.one, self.other))
        match self.kind:
            case "ratio":
                return p / q
            case "odds":
                return p * (1 - q) / (q * (1 - p))
            case _:
                return (p - q) * self.unit

    @property
    def unit(self) -> float:
        return 100.0 if self.kind == "percent" else 1.0

    @property
    def logarithmic(self) -> bool:
        return self.kind in ("ratio", "odds")

    @property
    def se(self) -> float:
        """Of the difference, or of the logarithm of a ratio, of independent people."""
        return self.unit * math.sqrt(sum(_variance(self.kind, *pair) for pair in self._pairs))

    @property
    def _pairs(self) -> tuple[Pair, Pair]:
        return self.one, self.other

    @property
    def has_error(self) -> bool:
        return all(0 < n < of for n, of in self._pairs)

    def rounded(self, multiple: int) -> Contrast:
        one, other = (rounded_pair(pair, multiple) for pair in self._pairs)
        return replace(self, one=one, other=other)


def _variance(kind: str, n: int, of: int) -> float:
    match kind:
        case "ratio":
            return 1 / n - 1 / of
        case "odds":
            return 1 / n + 1 / (of - n)
        case _:
            return n * (of - n) / of**3


def rounded_pair(pair: Pair, multiple: int) -> Pair:
    n, of = (to_multiple(k, multiple) for k in pair)
    return min(n, of), of


@dataclass(frozen=True, slots=True)
class Contrasts:
    """Finds the two shares behind a difference or a ratio."""

    known: dict[tuple[bool, float], Contrast]

    @classmethod
    def of(cls, shares: Iterable[Pair]) -> Contrasts:
        """All contrasts of two of `shares` that have an error."""
        pairs = permutations(sorted(set(shares)), 2)
        every = (Contrast(kind, *pair) for pair in pairs for kind in KINDS)
        found = (c for c in every if c.has_error)
        return cls({(c.logarithmic, round(c.value, DIGITS)): c for c in found})

    def behind(self, e: Estimate) -> Contrast | None:
        if e.scale not in ("difference", "ratio") or not math.isfinite(e.value):
            return None
        return self.known.get((e.scale == "ratio", round(e.value, DIGITS)))


def anew(e: Estimate, contrasts: Contrasts, multiple: int) -> Estimate | None:
    """The estimate from rounded counts; None where it is no plain summary of shares."""
    if raw := raw_share(e):
        return _share(e, raw, rounded_pair(raw, multiple))
    if found := contrasts.behind(e):
        made = found.rounded(multiple)
        return _contrast(e, found, made) if made.has_error else None
    return None


def _share(e: Estimate, raw: Pair, pair: Pair) -> Estimate | None:
    n, of = pair
    if not of:
        return None
    plain = math.sqrt(_variance("difference", *raw))
    effect = _design(e.se, plain)
    value, low, high = wilson(n / effect**2, of / effect**2, e.confidence)
    return _told(e, value, low, high, effect * math.sqrt(_variance("difference", n, of)), math.nan)


def _contrast(e: Estimate, raw: Contrast, made: Contrast) -> Estimate:
    se = _design(e.se, raw.se) * made.se
    reach = NormalDist().inv_cdf((1 + e.confidence) / 2) * se
    value = made.value
    if made.logarithmic:
        low, high, middle = value * math.exp(-reach), value * math.exp(reach), math.log(value)
    else:
        low, high, middle = value - reach, value + reach, value
    p = 2 * NormalDist().cdf(-abs(middle) / se) if math.isfinite(e.p) else e.p
    return _told(e, value, low, high, se, p)


def _design(se: float, plain: float) -> float:
    """The error over that of independent people, to one decimal; 1 where either is not known."""
    known = math.isfinite(se) and se > 0 and plain > 0
    return max(round(se / plain, 1), 0.1) if known else 1.0


def _told(e: Estimate, value: float, low: float, high: float, se: float, p: float) -> Estimate:
    method = "; ".join(filter(None, (e.method, FROM_ROUNDED)))
    return replace(
        e, value=value, low=low, high=high, se=se, p=p, df=math.inf, method=method
    )  # fmt: skip
