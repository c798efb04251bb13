"""An answered question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recovery_stats.core.cell import Cell
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Source, Step
from recovery_stats.core.document import Figure, Table
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.study import Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Result:
    """Everything a report needs and nothing it must recompute.

    The template's `{name}` holes take a fact or an estimate, its `[[name]]` lines a table or a
    figure, its `[if name]` paragraphs appear when `name` is in `said`. Tables and figures point
    at estimates with Ref, never embed them. The workflow adds `protocol` and `provenance`
    (pairs for the closing table), so that a result alone is enough to write its report.
    """

    analysis: str
    estimand: Estimand
    estimates: tuple[Estimate, ...]
    checks: tuple[Check, ...] = ()
    flow: tuple[Step, ...] = ()
    facts: Mapping[str, Cell] = field(default_factory=dict)
    said: frozenset[str] = frozenset()
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    synthetic: bool = False
    protocol: Protocol = Protocol()
    provenance: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        doubtful = sum(c.verdict != "ok" for c in self.checks)
        return (
            f"<{self.analysis}: {len(self.estimates)} estimates, {len(self.checks)} checks "
            f'({doubtful} not ok); .tidy(), .write("report.html")>'
        )

    def __getitem__(self, name: str) -> Estimate:
        """The estimate called `name`; KeyError when there is none."""
        for estimate in self.estimates:
            if estimate.name == name:
                return estimate
        raise KeyError(name)

    def tidy(self) -> pd.DataFrame:
        """The estimates, one row each, in the column vocabulary of every fit."""
        import pandas as pd

        return pd.DataFrame(
            {
                "term": e.name,
                "label": e.label,
                "estimate": e.value,
                "std_error": e.se,
                "df": e.df,
                "p_value": e.p,
                "conf_low": e.low,
                "conf_high": e.high,
                "scale": e.scale,
                "level": e.level,
                "method": e.method,
                "n": e.n,
                "events": e.events,
            }
            for e in self.estimates
        )
