"""What is known of a scale: its items, how they make scores, and what the scores mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PACKAGE_RULE = "80 per cent"
COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Answers:
    """What an item may hold: from `low` to `high`, or one of `values` where there are gaps."""

    low: float
    high: float
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One score: `shift` + `factor` × the sum or mean of its items (numbered from 1)."""

    name: str
    title: str
    items: tuple[int, ...]
    method: Literal["sum", "mean"]
    factor: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How many items must be answered: of the whole scale, and of each score.

    published: whether the instrument's authors gave it; else it is this package's.
    """

    name: str
    says: str
    need: Mapping[str, int]
    answered: int = 0
    published: bool = False


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A published threshold: scores at or above `at_least`, or under `below`, are `label`."""

    score: str
    label: str
    at_least: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice between `now` and `later` in `days` days; the delayed reward is small … large."""

    item: int
    size: str
    now: float
    later: float
    days: float

    @property
    def k(self) -> float:
        """The rate of discounting, per day, of who is indifferent (Mazur's hyperbola)."""
        return (self.later / self.now - 1) / self.days


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale as its TOML declares it.

    family: names that could mean this or another version, and are refused. prefixes: how item
    columns may begin. answers: one entry an item. seen: where the key was read. choices: of a
    choice task only; such a scale has no scores of its own.
    """

    name: str
    title: str
    measures: str
    answers: tuple[Answers, ...]
    reversed: frozenset[int]
    scores: tuple[Score, ...]
    rules: tuple[Rule, ...]
    original: str
    seen: str
    family: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    cutoffs: tuple[Cutoff, ...] = ()
    trap: str = ""
    licence: str = ""
    choices: tuple[Choice, ...] = field(default=())

    @property
    def items(self) -> int:
        """How many items it has."""
        return len(self.answers)

    def range_of(self, score: Score) -> tuple[float, float]:
        """The lowest and the highest value that `score` can take."""
        ends = []
        for values in (
            [self.answers[i - 1].low for i in score.items],
            [self.answers[i - 1].high for i in score.items],
        ):
            whole = sum(values) if score.method == "sum" else sum(values) / len(values)
            ends.append(score.shift + score.factor * whole)
        return ends[0], ends[1]
