"""One published endpoint: where it comes from, what it says, and the rule that computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recovery_stats.data.endpoint.piece import Rule, TimeRule

Class = Literal["logical", "count", "ratio", "time and event"]
Better = Literal["more", "less"]
Measure = Literal["time", "share", "visits", "points"]

ABSTINENCE = "Abstinence"
RELAPSE = "Relapse"
REDUCTION = "Reduction of use"


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a definition was published."""

    citation: str
    doi: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A definition under its published name.

    kind : what it measures, as the collection of definitions groups it.
    text : the published words. computed : what is computed over weeks, in words of ours.
    missing : the published rule for missed screens. reads_missed : how the published results
    read them. frequency : how often the trial screened. better : whether more of it is recovery.
    note : where the published results differ from the published words; the results are kept.
    of_missing : it counts missed visits. top : the largest value of a ratio.
    """

    name: str
    group: str
    kind: str
    paper: Paper
    text: str
    computed: str
    missing: str
    reads_missed: str
    frequency: str
    rule: Rule | TimeRule
    class_: Class
    better: Better = "more"
    note: str = ""
    of_missing: bool = False
    top: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The published column names: one, or the time and the event."""
        if self.class_ != "time and event":
            return (self.name,)
        prefix, rest = self.name.split("_", 1)
        return (f"{prefix}T_{rest}", f"{prefix}E_{rest}")

    @property
    def measure(self) -> Measure:
        """What differences of it are counted in: shares of people or visits are one of them."""
        if self.class_ == "time and event":
            return "time"
        if self.class_ == "count":
            return "visits"
        return "share" if self.top == 1 else "points"
