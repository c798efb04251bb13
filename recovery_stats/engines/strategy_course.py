"""What is asked of people over blocks of days, and what happened to them.

Checked: by hand (tests/engines/test_strategy.py, tests/engines/test_strategy_leaving.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array, IntArray

Mask = NDArray[np.bool_]


class Plan(Protocol):
    """A strategy: its name, what keeps to it in each block, and which decisions are alike."""

    @property
    def name(self) -> str: ...

    def out_of_range(self, count: Array) -> Mask:
        """Whether each completed block (n, B) is out of range; False where count is nan."""
        ...

    def phases(self, blocks: int) -> IntArray:
        """The phase (0, 1, …) of each block: who keeps in range is modelled apart by phase."""
        ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """Keep to `low` … `high` meetings in every completed block."""

    name: str
    low: float
    high: float

    def out_of_range(self, count: Array) -> Mask:
        return (count < self.low) | (count > self.high)

    def phases(self, blocks: int) -> IntArray:
        return np.zeros(blocks, dtype=int)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Live in a house for `blocks` blocks, leave in the next one, and stay away.

    Counts are days resident in blocks of `width`. Up to `slack` days away in a block of the
    stay, or resident in a block after it, are allowed; in the block of leaving at least one day
    is not resident. Who stays, who leaves and who comes back are three decisions, driven by the
    same history in opposite directions: three phases.
    """

    name: str
    blocks: int
    width: int
    slack: float

    def out_of_range(self, count: Array) -> Mask:
        phase = self.phases(count.shape[1])
        left_early = (phase == 0) & (count < self.width - self.slack)
        stayed_on = (phase == 1) & (count >= self.width)
        came_back = (phase == 2) & (count > self.slack)
        return np.asarray(left_early | stayed_on | came_back)

    def phases(self, blocks: int) -> IntArray:
        return np.asarray(1 + np.sign(np.arange(blocks) - self.blocks), dtype=int)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happened to n people over B blocks of `width` days.

    time (n,): days from time zero to the end of observation, above 0. cause (n,): 0 censored, 1
    the event, 2 … competing. lost (n,): censored by loss, not by the end of the study. count
    (n, B): meetings in each block that was completed free of events, nan elsewhere. history
    (n, B, h): what was known at the start of each block, 0 where not at risk.
    cluster (n,): whose members are drawn together by the bootstrap. base (n,): sampling weight.
    away (n, days): not at risk on day 1, 2, … though followed; no columns where nobody ever is.
    """

    time: Array
    cause: IntArray
    lost: Mask
    count: Array
    history: Array
    cluster: IntArray
    width: int
    base: Array
    away: Mask = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))

    @property
    def completed(self) -> Mask:
        return ~np.isnan(self.count)

    @property
    def at_risk(self) -> Mask:
        """Under observation at the start of each block (n, B)."""
        starts = self.width * np.arange(self.count.shape[1])
        return self.time[:, None] > starts

    @property
    def interrupted(self) -> Mask:
        """Blocks that hold a day away (n, B)."""
        n, B = self.count.shape
        days = np.zeros((n, B * self.width), dtype=bool)
        days[: len(self.away), : self.away.shape[1]] = self.away[:, : B * self.width]
        return np.asarray(days.reshape(n, B, self.width).any(2))

    @property
    def judged(self) -> Mask:
        """Completed blocks without a day away (n, B): attendance in them keeps a range or not."""
        return self.completed & ~self.interrupted
