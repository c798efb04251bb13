"""A part of an analysis: what it estimates and shows, joined by the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recovery_stats.analyses._missing_rows import Attempt
from recovery_stats.core.cell import Cell
from recovery_stats.core.check import Check
from recovery_stats.core.document import Figure, Table
from recovery_stats.core.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Part:
    """What one module adds to the report; `said` are conditions of the template that hold.

    refused: rows that were asked for and cannot be given, with the reasons.
    """

    estimates: tuple[Estimate, ...] = ()
    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: Mapping[str, Cell] = field(default_factory=dict)
    said: frozenset[str] = frozenset()
    refused: tuple[Attempt, ...] = ()


def joined(parts: Iterable[Part]) -> Part:
    """The parts as one, in their order."""
    all_ = tuple(parts)
    return Part(
        tuple(e for p in all_ for e in p.estimates),
        tuple(c for p in all_ for c in p.checks),
        tuple(t for p in all_ for t in p.tables),
        tuple(f for p in all_ for f in p.figures),
        {k: v for p in all_ for k, v in p.facts.items()},
        frozenset().union(*(p.said for p in all_)),
        tuple(a for p in all_ for a in p.refused),
    )
