"""What a part of `collaborative_housing` adds to its answer."""

from __future__ import annotations

from dataclasses import dataclass

from recovery_stats.core.check import Check
from recovery_stats.core.document import Figure, Table
from recovery_stats.core.estimate import Estimate

BEFOREHAND = {"subgroups", "equivalence", "bayes", "secondary_outcomes"}


@dataclass(frozen=True, slots=True)
class Part:
    """Estimates, tables, figures and checks of one part; added, those of several.

    said: conditions of its sentences besides the names of its tables.
    """

    estimates: tuple[Estimate, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    checks: tuple[Check, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def said(self) -> frozenset[str]:
        names = {t.name for t in self.tables}
        head = ("declared",) if names & BEFOREHAND else ()
        return frozenset([*head, *self.conditions, *names])

    def __add__(self, other: Part) -> Part:
        return Part(
            self.estimates + other.estimates, self.tables + other.tables,
            self.figures + other.figures, self.checks + other.checks,
            self.conditions + other.conditions,
        )  # fmt: skip
