"""Several small drawings in one figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recovery_stats.core.document import LineFigure


@dataclass(frozen=True, slots=True)
class PanelFigure:
    """Several small drawings that are read together, lettered in their order."""

    name: str
    caption: str
    panels: tuple[LineFigure, ...]
    notes: tuple[str, ...] = ()
