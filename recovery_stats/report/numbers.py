"""The only place where a number becomes words: cells of a document, alone or in a column.

`digits` prints one number, `interval` an estimate; here are the cells made of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from recovery_stats.core.cell import (
    Cell,
    Count,
    Hidden,
    Quantity,
    Ref,
    Sections,
    Share,
    Shown,
    Spread,
)
from recovery_stats.report.digits import (
    MOST_DECIMALS,
    count,
    decimals_for,
    p_phrase,
    percent,
    percent_decimals,
    plain,
    spread_decimals,
)
from recovery_stats.report.interval import Setting, estimate_decimals, estimate_style, shown

WITHHELD = "withheld"
KINDS = ("plain", "ratio", "time")

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
            return _share(value, setting, decimals)
        case Spread():
            return spread(value, decimals)
        case Quantity(number, style):
            if style == "p" and setting == "prose":
                return p_phrase(number)
            return plain(number, decimals, style)
        case Hidden(below):
            return _hidden(below, setting)
        case Shown(estimate, part):
            return shown(estimate, part, setting, decimals)
        case Sections(names):
            return "; ".join(names)
        case Ref(name):
            raise AssertionError(f"compose() left the reference to {name!r} open")


def _share(share: Share, setting: Setting, decimals: int | None) -> str:
    told = percent(share.n, share.of, decimals)
    if setting == "prose":
        return f"{count(share.n)} of {count(share.of)} ({told})"
    return f"{count(share.n)} ({told})"


def spread(value: Spread, decimals: int | None = None) -> str:
    """Mean and standard deviation: 34.2 (9.8)."""
    places = spread_decimals(value.mean, value.sd) if decimals is None else decimals
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
    """Print the cells of a column with one number of decimals where they share a magnitude.

    Ratios, times and differences share among themselves only. Beside counts a mean of ten or
    more has one decimal more than they have (APA 7, section 6.36).
    """
    places = {kind: column_decimals([c for c in cells if _kind(c) == kind]) for kind in KINDS}
    counted = any(isinstance(c, Count | Share) for c in cells)
    return [cell(value, "table", _places(value, places, counted=counted)) for value in cells]


def alike(cells: Sequence[Cell]) -> dict[int, str]:
    """The means and the shares of a row, by place, each kind with the decimals of its coarsest."""
    means = [spread_decimals(c.mean, c.sd) for c in cells if isinstance(c, Spread)]
    shares = [percent_decimals(c.of) for c in cells if isinstance(c, Share)]
    fewest = {Spread: min(means, default=0), Share: min(shares, default=0)}
    found = ((j, c) for j, c in enumerate(cells) if isinstance(c, Spread | Share))
    return {j: cell(c, "table", fewest[type(c)]) for j, c in found}


def interval_columns(columns: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Print a column of values and those of their limits, every row with decimals shared."""
    together = column_decimals([value for cells in columns for value in cells])
    rows = [_row(row, together) for row in zip(*columns, strict=True)]
    return [list(printed) for printed in zip(*rows, strict=True)] or [[] for _ in columns]


def _row(cells: Sequence[Cell], together: int | None) -> list[str]:
    """A value and its limits with the decimals of the column, else of the largest of them."""
    own = [(size, _wanted(c)) for c in cells if (size := _size(c)) is not None]
    places = max(own, default=(0.0, None), key=lambda pair: pair[0])[1]
    shared = places if together is None else together
    return [cell(c, "table", shared if _is_aligned(c) else None) for c in cells]


def _places(value: Cell, places: dict[str, int | None], *, counted: bool) -> int | None:
    size = _size(value)
    if counted and size is not None and size >= 10 and isinstance(value, Quantity):
        return 1
    return places.get(_kind(value))


def _kind(value: Cell) -> str:
    """Which numbers of a column may share their decimals; empty for what has its own."""
    if _size(value) is None:
        return ""
    match value:
        case Shown(estimate, part) if part != "se":
            return estimate_style(estimate)
        case _:
            return "plain"


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
