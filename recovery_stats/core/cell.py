"""The cells of tables and the numbers in running text, typed until a renderer prints them.

Rounding and small-number suppression therefore happen in one place each. A string in a cell never
holds a number that was computed from data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recovery_stats.core.estimate import Estimate

# whole_percent: known to the percent only, as a share whose base is withheld.
Style = Literal[
    "plain", "percent", "whole_percent", "days", "money", "df", "p", "ratio", "whole"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Count:
    """A number of people, rows, houses or events: subject to disclosure control."""

    n: int
    unit: str = "people"


@dataclass(frozen=True, slots=True)
class Share:
    """`n` out of `of`, printed as count and percentage; hidden together."""

    n: int
    of: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of `n` values."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """Any other number computed from data: a median, a variance, an SMD, a rate.

    `n` is the number of people behind it where that could be small (None: all analysed).
    `style` tells the printer what it is, never how many digits; a `percent` is given as a
    proportion (0.12 is printed as 12.0%).
    """

    value: float
    style: Style = "plain"
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """A cell that disclosure control withheld. `below` is the smallest count it would show.

    `below` 0: withheld because a small count would follow from it, or stands behind it.
    """

    below: int


@dataclass(frozen=True, slots=True)
class Ref:
    """An estimate by name: filled when the document is composed, so that pooling may replace it."""

    name: str
    part: str = "value"


@dataclass(frozen=True, slots=True)
class Sections:
    """Where something stands: the headings of sections of the report; none: nowhere in it.

    Until the document is composed, the names of what may meet it (`report.checklist`).
    """

    names: tuple[str, ...] = ()


EstimatePart = Literal[
    "value",
    "interval",
    "range",
    "low",
    "high",
    "se",
    "df",
    "p",
    "statistic",
    "full",
    "per_100",
    "label",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """One printed aspect of an estimate.

    range = the interval alone; full = value, interval and p; per_100 = 100 × value.
    """

    estimate: Estimate
    part: EstimatePart = "full"


Cell = str | Count | Share | Spread | Quantity | Hidden | Ref | Shown | Sections | None
