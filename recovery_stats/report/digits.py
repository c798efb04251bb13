"""One number as words: rounding, decimals, percentages, p values.

Every number is first snapped to 12 significant digits, then rounded half-even in decimal:
last-bit differences between processors cannot turn a printed digit. Numbers get three
significant digits, at least two and at most three decimals; p values three decimals without
the leading zero (APA 7, section 6.36); percentages one decimal, or none out of fewer than 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

SNAP_DIGITS = 12
MOST_DECIMALS = 3
SMALLEST_P = Decimal("0.001")
PERCENT_DECIMAL_FROM = 100
MINUS = "−"
VAST = 1e15  # from here on digits stand for nothing
NO_NUMBER = "n/a"
NO_LIMIT = "not estimable"

# A number has three decimals below the first bound, two below the second, one below the third.
_BOUNDS = {"plain": (1, 100, 1000), "ratio": (0.1, 100, 1000), "time": (0, 1, 1000)}


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


def rounded(value: float, decimals: int) -> float:
    """The number that `fixed` prints."""
    if not math.isfinite(value) or abs(value) >= VAST:
        return value
    return float(snap(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN))


def spread_decimals(mean: float, sd: float) -> int:
    """The decimals of a mean and its standard deviation."""
    size = max(abs(sd) if math.isfinite(sd) else 0.0, abs(mean) / 100)
    return MOST_DECIMALS - sum(size >= bound for bound in (0.1, 10, 1000))


def decimals_for(value: float, style: str = "plain") -> int:
    """How many decimals a number of this kind and size is printed with."""
    size = abs(value)
    if not math.isfinite(value) or style in ("whole", "whole_percent"):
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
    if style == "whole_percent":
        style, places = "percent", 0
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


def percent(n: int, of: int, decimals: int | None = None) -> str:
    """`n` of `of` in percent, in its usual number of decimals or in `decimals`."""
    if of == 0:
        return NO_NUMBER
    return f"{fixed(100 * n / of, percent_decimals(of) if decimals is None else decimals)}%"


def percent_decimals(of: int) -> int:
    """One decimal, none where the percentage is of fewer than 100."""
    return 0 if of < PERCENT_DECIMAL_FROM else 1


def level(confidence: float) -> str:
    """A confidence level as 95%."""
    return f"{snap(100 * confidence).normalize():f}%"


def ticks(values: Sequence[float]) -> list[str]:
    """Labels of an axis: as many decimals as its finest step needs, the same on every tick."""
    places = max((_places(value) for value in values), default=0)
    return [fixed(value, places) for value in values]


def _places(value: float) -> int:
    exponent = snap(value).normalize().as_tuple().exponent
    return min(max(-exponent, 0), 6) if isinstance(exponent, int) else 0
