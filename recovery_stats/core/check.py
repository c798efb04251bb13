"""An assumption or data condition that was examined: what was seen and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recovery_stats.core.cell import Cell

Verdict = Literal["ok", "caution", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report's checks; it replaces warnings.

    name: short and stable ("clusters", "proportional hazards"). verdict: `fail` means that the
    answer it guards must not be believed (and is not shown). parts: a sentence with typed
    cells, so that disclosure control sees the counts in it. about: table, column or term.
    figures: names of the figures that show it; a page folds them into the line.
    """

    name: str
    verdict: Verdict
    parts: tuple[Cell, ...]
    about: str = ""
    figures: tuple[str, ...] = ()
