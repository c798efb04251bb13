"""The only place where a number becomes words.

Every number is first snapped to 12 significant digits, then rounded half-even in decimal:
last-bit differences between processors cannot turn a printed digit. Estimates get three
significant digits, at least two and at most three decimals; p values three decimals without
the leading zero (APA 7, section 6.36); percentages one decimal, or none out of fewer than 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from recovery_stats.core.document import (
    Cell,
    Count,
    EstimatePart,
    Hidden,
    Quantity,
    Ref,
    Share,
    Shown,
    Spread,
)
from recovery_stats.core.estimate import Estimate

SNAP_DIGITS = 12
MOST_DECIMALS = 3
SMALLEST_P = Decimal("0.001")
PERCENT_DECIMAL_FROM = 100
MINUS = "−"
VAST = 1e15  # from here on digits stand for nothing
NO_NUMBER = "n/a"
NO_LIMIT = "not estimable"
WITHHELD = "hidden"

Setting = Literal["prose", "table"]

# A number has three decimals below the first bound, two below the second, one below the third.
_BOUNDS = {"plain": (1, 100, 1000), "ratio": (0.1, 100, 1000), "time": (0, 1, 1000)}


# --- one number --------------------------------------------------------------------------


def snap(value: float) -> Decimal:
    """`value` at 12 significant digits, so that rounding does not hang on the last bits."""
    return Decimal(f"{value:.{SNAP_DIGITS - 1}e}")


def fixed(value: float, decimals: int) -> str:
    """`value` with so many decimals, thousands separated, a true minus sign, never −0."""
    if math.isnan(value):
        return NO_NUMBER
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if abs(value) >= VAST:
        return scientific(value)
    rounded = snap(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    text = f"{abs(rounded):,.{decimals}f}"
    return f"{MINUS}{text}" if rounded < 0 else text


def decimals_for(value: float, style: str = "plain") -> int:
    """How many decimals a number of this kind and size is printed with."""
    size = abs(value)
    if not math.isfinite(value) or style == "whole":
        return 0
    if style in ("df", "days"):
        whole = snap(value) == snap(value).to_integral_value()
        return 0 if whole or (style == "days" and size >= 100) else 1
    if style in ("percent", "money"):
        return 1 if style == "percent" else 2 * (size < 100)
    return _by_size(size, _BOUNDS.get(style, _BOUNDS["plain"]))


def _by_size(size: float, bounds: Sequence[float]) -> int:
    """Three decimals below the first bound, then two, one and none; more for the minute."""
    if 0 < size < 0.01:
        return min(1 - math.floor(math.log10(size)), 6)
    return MOST_DECIMALS - sum(size >= bound for bound in bounds)


def plain(value: float, decimals: int | None = None, style: str = "plain") -> str:
    """A number of `style` in its usual number of decimals, or in `decimals`."""
    if style == "p":
        return p_value(value)
    if math.isinf(value) and style != "df":
        return NO_LIMIT
    places = decimals_for(value, style) if decimals is None else decimals
    if style == "percent":
        return f"{fixed(100 * value, places)}%" if math.isfinite(value) else NO_NUMBER
    if style == "plain" and 0 < abs(value) < 1e-6:
        return scientific(value)
    return fixed(value, places)


def scientific(value: float) -> str:
    """A minute or vast number as 4.1 × 10⁻⁹."""
    digits, _, exponent = f"{snap(value):.1e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits.replace('-', MINUS)} × 10{raised}"


def count(n: int) -> str:
    """A whole number with thousands separated."""
    return fixed(n, 0)


def p_value(p: float) -> str:
    """A p value as a table prints it: .034, < .001, > .999."""
    if math.isnan(p):
        return NO_NUMBER
    snapped = snap(p)
    if snapped < SMALLEST_P:
        return "< .001"
    if snapped > 1 - SMALLEST_P:
        return "> .999"
    return fixed(p, 3).removeprefix("0")


def p_phrase(p: float) -> str:
    """A p value as a sentence prints it: p = .034, p < .001."""
    text = p_value(p)
    if text == NO_NUMBER:
        return text
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def percent(n: int, of: int) -> str:
    """`n` of `of` in percent, one decimal, none where `of` is below 100."""
    if of == 0:
        return NO_NUMBER
    return f"{fixed(100 * n / of, 0 if of < PERCENT_DECIMAL_FROM else 1)}%"


def level(confidence: float) -> str:
    """A confidence level as 95%."""
    return f"{snap(100 * confidence).normalize():f}%"


# --- estimates ---------------------------------------------------------------------------


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
    places = estimate_decimals(estimate) if decimals is None else decimals
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
    return f"{plain(value, 0)} ({plain(low, 0)} to {plain(high, 0)})"


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


# --- cells -------------------------------------------------------------------------------


def cell(  # noqa: C901, PLR0911 (one case for each type of cell)
    value: Cell, setting: Setting = "table", decimals: int | None = None
) -> str:
    """Print one cell, in a sentence or in a table; `decimals` aligns a column."""
    match value:
        case None:
            return ""
        case str():
            return value
        case Count(n):
            return count(n)
        case Share():
            return _share(value, setting)
        case Spread():
            return spread(value)
        case Quantity(number, style):
            if style == "p" and setting == "prose":
                return p_phrase(number)
            return plain(number, decimals, style)
        case Hidden(below):
            return _hidden(below, setting)
        case Shown(estimate, part):
            return shown(estimate, part, setting, decimals)
        case Ref(name):
            raise AssertionError(f"compose() left the reference to {name!r} open")


def _share(share: Share, setting: Setting) -> str:
    if setting == "prose":
        return f"{count(share.n)} of {count(share.of)} ({percent(share.n, share.of)})"
    return f"{count(share.n)} ({percent(share.n, share.of)})"


def spread(value: Spread) -> str:
    """Mean and standard deviation: 34.2 (9.8)."""
    size = max(abs(value.sd) if math.isfinite(value.sd) else 0.0, abs(value.mean) / 100)
    places = MOST_DECIMALS - sum(size >= bound for bound in (0.1, 10, 1000))
    return f"{plain(value.mean, places)} ({plain(value.sd, places)})"


def _hidden(below: int, setting: Setting) -> str:
    if not below:
        return "(withheld)" if setting == "prose" else WITHHELD
    return f"fewer than {below}" if setting == "prose" else f"< {below}"


def sentence(parts: Iterable[Cell]) -> str:
    """Print the cells of a paragraph one after another."""
    return "".join(cell(part, "prose") for part in parts)


# --- columns -----------------------------------------------------------------------------


def column(cells: Sequence[Cell]) -> list[str]:
    """Print the cells of a column with one number of decimals where they share a magnitude."""
    places = column_decimals(cells)
    return [cell(value, "table", places if _is_aligned(value) else None) for value in cells]


def column_decimals(cells: Sequence[Cell]) -> int | None:
    """The decimals that the plain numbers of a column share, or None to let each have its own.

    At most four significant digits for the largest; None where that would leave the smallest
    fewer than two.
    """
    sizes = [size for value in cells if (size := _size(value)) is not None]
    wanted = [decimals for value in cells if (decimals := _wanted(value)) is not None]
    if not sizes or not wanted:
        return None
    places = min(max(wanted), MOST_DECIMALS)
    while places and max(sizes) * 10**places >= 10**4:
        places -= 1
    smallest = min((size for size in sizes if size), default=1.0)
    return places if smallest >= 10.0 ** (1 - places) or places == max(wanted) else None


def _is_aligned(value: Cell) -> bool:
    return _size(value) is not None


def _size(value: Cell) -> float | None:
    """The magnitude of a number that may share its decimals with its column."""
    number = _number(value)
    return abs(number) if number is not None and math.isfinite(number) else None


def _number(value: Cell) -> float | None:
    match value:
        case Quantity(number, "plain" | "ratio"):
            return number
        case Shown(estimate, "value" | "low" | "high" | "se" as part):
            return float(getattr(estimate, part))
        case Shown(estimate, "interval" | "range"):
            return max(abs(x) for x in (estimate.value, estimate.low, estimate.high))
        case _:
            return None


def _wanted(value: Cell) -> int | None:
    if _size(value) is None:
        return None
    match value:
        case Quantity(number, style):
            return decimals_for(number, style)
        case Shown(estimate, "se"):
            return decimals_for(estimate.se)
        case Shown(estimate):
            return estimate_decimals(estimate)
        case _:
            return None


def ticks(values: Sequence[float]) -> list[str]:
    """Labels of an axis: as many decimals as its finest step needs, the same on every tick."""
    places = max((_places(value) for value in values), default=0)
    return [fixed(value, places) for value in values]


def _places(value: float) -> int:
    exponent = snap(value).normalize().as_tuple().exponent
    return min(max(-exponent, 0), 6) if isinstance(exponent, int) else 0
