"""What a cell says about how many people, and whether that is too few."""

from __future__ import annotations

from recovery_stats.core.cell import Cell, Count, Quantity, Share, Spread
from recovery_stats.core.study import Privacy

# Units whose numbers are not people: how many sites there are tells nobody's secret.
PUBLIC_UNITS = frozenset(
    {"sites", "houses", "clusters", "groups", "waves", "days", "weeks", "months", "times"}
    | {"tables", "columns", "variables", "covariates", "models", "endpoints", "scenarios"}
    | {"imputations", "replicates", "draws", "files", "rules", "specifications"}
)

Value = tuple[int, str]  # a number and what it counts


def behind(cell: Cell) -> int | None:
    """How many people, rows or events a cell rests on; None where not said, or public."""
    match cell:
        case Count(n, unit):
            return None if unit in PUBLIC_UNITS else n
        case Share(n) | Spread(n=n) | Quantity(n=n):
            return n
        case _:
            return None


def said(cell: Cell) -> Value | None:
    """The count that a cell prints, with its unit."""
    match cell:
        case Count(n, unit):
            return None if unit in PUBLIC_UNITS else (n, unit)
        case Share(n):
            return (n, "people")
        case _:
            return None


def is_small(cell: Cell, privacy: Privacy) -> bool:
    """Whether the rule forbids to print this cell for its own sake.

    A share is small when it, its complement or its base is.
    """
    number = behind(cell)
    if number is None:
        return False
    numbers = (number, cell.of - number, cell.of) if isinstance(cell, Share) else (number,)
    zero = privacy.hide_zero and number == 0 and isinstance(cell, Count | Share)
    return zero or any(0 < n < privacy.minimum for n in numbers)
