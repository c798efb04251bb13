"""The section of a report whose outcome is a share of screens: those missed, read in other ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recovery_stats.analyses._missing_rows import Told, assumed_forest, assumed_table, refused
from recovery_stats.analyses._refusal import safe_words
from recovery_stats.core.result import Result
from recovery_stats.errors import UsageError
from recovery_stats.models.missing_contrast import Assumed, Contrast
from recovery_stats.models.missing_screens import Screens, screens_rows

CAPTION = "The same difference under each assumption on screens that were missed"
NOTES = (
    "Difference in the mean of each person's share of negative screens, of those scheduled. No row "
    "is right by itself; the data cannot tell which assumption holds.",
)


def with_screens_panel(result: Result, contrast: Contrast | None, counts: Sequence[str]) -> Result:
    """The result with the panel, where counts of screens are given and some were missed."""
    if contrast is None or not counts:
        return result
    screens = read_screens(contrast, counts)
    if not screens.missed.any():
        return result
    rows = tuple(screens_rows(screens))
    estimates = {_key(r): replace(r.estimate, name=_key(r)) for r in rows if not r.reason}
    told = tuple(_told(r) for r in rows)
    table = assumed_table(CAPTION, "Difference", told, estimates, _declared(screens, rows), NOTES)
    figure = assumed_forest(CAPTION, "Difference", told)
    return replace(
        result,
        estimates=(*result.estimates, *estimates.values()),
        said=result.said | {"screens_panel"},
        tables={**result.tables, "screens_panel": replace(table, name="screens_panel")},
        figures={**result.figures, "screens_forest": replace(figure, name="screens_forest")},
    )


def read_screens(contrast: Contrast, counts: Sequence[str]) -> Screens:
    """The counts of the people compared; UsageError where they are not three columns."""
    if len(counts) != 3:
        raise UsageError(
            f"'screens' names three columns, of negative, attended and scheduled screens, in this "
            f"order; {len(counts)} given."
        )
    contrast.data.require(*counts, table="persons")
    return Screens(contrast, *(contrast.data.frame[c].to_numpy(float) for c in counts))


def _told(row: Assumed) -> Told:
    if row.reason:
        return refused(row.estimate.label, row.group, safe_words(row.reason))
    return Told(_key(row), row.group, row.assumption)


def _key(row: Assumed) -> str:
    return f"screens[{row.name}]"


def _declared(screens: Screens, rows: Sequence[Assumed]) -> str:
    """The row whose shares are the outcome of the main result; none where no row has them."""
    outcome = screens.contrast.outcome
    ways = {"observed": screens.seen, "positive": screens.filled(0.0),
            "negative": screens.filled(1.0)}  # fmt: skip
    for row in rows:
        if row.name in ways and np.allclose(ways[row.name], outcome, equal_nan=True):
            return _key(row)
    return ""
