"""An estimate as words: its value and limits with decimals shared, its test, its parts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from recovery_stats.core.cell import EstimatePart
from recovery_stats.core.estimate import Estimate
from recovery_stats.report.digits import (
    MOST_DECIMALS,
    NO_LIMIT,
    NO_NUMBER,
    decimals_for,
    fixed,
    level,
    p_phrase,
    p_value,
    plain,
)

Setting = Literal["prose", "table"]


def estimate_style(estimate: Estimate) -> str:
    return {"ratio": "ratio", "time": "time"}.get(estimate.scale, "plain")


def estimate_decimals(estimate: Estimate) -> int:
    """Decimals shared by an estimate and its limits: those of the largest of the three.

    One more where the estimate itself would keep fewer than two significant digits.
    """
    style = estimate_style(estimate)
    numbers = [x for x in (estimate.value, estimate.low, estimate.high) if math.isfinite(x)]
    if not numbers:
        return 2
    places = decimals_for(max(numbers, key=abs), style)
    size = abs(estimate.value)
    while places < MOST_DECIMALS and math.isfinite(size) and 0 < size < 10.0 ** (1 - places):
        places += 1
    return places


MOST_TELLING = 5


def telling_decimals(estimate: Estimate, places: int) -> int:
    """`places`, or more where a limit short of the null would be printed as the null itself."""
    null = {"ratio": 1.0, "difference": 0.0}.get(estimate.scale)
    apart = null is not None and (estimate.low > null or estimate.high < null)
    if null is None or not apart or number_needed(estimate):
        return places
    nearest = estimate.low if estimate.low > null else estimate.high
    finer = places
    while finer < MOST_TELLING and fixed(nearest, finer) == fixed(null, finer):
        finer += 1
    return finer


def number_needed(estimate: Estimate) -> bool:
    """Whether this is a number needed to treat, whose interval may pass through infinity."""
    return estimate.name.casefold().startswith("nnt")


def limits(estimate: Estimate, decimals: int | None = None) -> str:
    """The interval in brackets: [0.61, 0.85]."""
    if math.isnan(estimate.low) and math.isnan(estimate.high):
        return NO_NUMBER
    places = estimate_decimals(estimate) if decimals is None else decimals
    if number_needed(estimate) and estimate.low < 0 < estimate.high:
        return _through_infinity(estimate)
    low, high = _limit(estimate.low, places), _limit(estimate.high, places)
    return f"[{low}, {high}]"


def _limit(value: float, places: int) -> str:
    return NO_LIMIT if not math.isfinite(value) else fixed(value, places)


def _through_infinity(estimate: Estimate) -> str:
    """Altman 1998 (BMJ 317:1309): the interval holds ∞ when the risk difference may be zero."""
    harm, benefit = fixed(abs(estimate.low), 1), fixed(estimate.high, 1)
    return f"[benefit {benefit} to ∞ to harm {harm}]"


def statistic(estimate: Estimate) -> float:
    """The test statistic on the linear scale: estimate over standard error, null 0."""
    if not estimate.se > 0:
        return math.nan
    if estimate.scale == "ratio":
        return math.log(estimate.value) / estimate.se if estimate.value > 0 else math.nan
    return estimate.value / estimate.se


def shown(  # noqa: PLR0911 (one case for each part)
    estimate: Estimate, part: EstimatePart, setting: Setting, decimals: int | None = None
) -> str:
    """One aspect of an estimate."""
    shared = estimate_decimals(estimate) if decimals is None else decimals
    places = telling_decimals(estimate, shared)
    match part:
        case "label":
            return estimate.label
        case "value" | "low" | "high":
            return (
                _limit(getattr(estimate, part), places)
                if part != "value"
                else _value(estimate, places)
            )
        case "interval":
            return f"{_value(estimate, places)} {limits(estimate, places)}"
        case "range":
            return limits(estimate, places)
        case "full":
            return _full(estimate, places)
        case "per_100":
            return _per_100(estimate)
        case _:
            return _test(estimate, part, setting, decimals)


def _value(estimate: Estimate, places: int) -> str:
    return NO_LIMIT if math.isinf(estimate.value) else fixed(estimate.value, places)


def _full(estimate: Estimate, places: int) -> str:
    text = _value(estimate, places)
    if not (math.isnan(estimate.low) and math.isnan(estimate.high)):
        text += f", {level(estimate.confidence)} CI {limits(estimate, places)}"
    return text if math.isnan(estimate.p) else f"{text}, {p_phrase(estimate.p)}"


def _per_100(estimate: Estimate) -> str:
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    if math.isnan(low) or math.isnan(high):
        return plain(value, 0)
    places = telling_decimals(replace(estimate, value=value, low=low, high=high), 0)
    return f"{plain(value, places)} ({plain(low, places)} to {plain(high, places)})"


def _test(estimate: Estimate, part: str, setting: Setting, decimals: int | None) -> str:
    match part:
        case "se":
            return plain(estimate.se, decimals)
        case "df":
            return plain(estimate.df, decimals, "df")
        case "p":
            return p_phrase(estimate.p) if setting == "prose" else p_value(estimate.p)
        case _:
            return plain(statistic(estimate), 2 if decimals is None else decimals)
