"""What is told of strategies: risks at the ends of blocks, and their bootstrap.

Checked: tests/engines/test_strategy.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.strategy import Arm, Emulation
from recovery_stats.engines.strategy_course import Plan
from recovery_stats.errors import NotEstimable


def summarise(arms: Sequence[Arm], width: int) -> Array:
    """Risk of the event by the end of each block, and mean days lost to it by the horizon.

    (strategies, marks + 1): the days of `marks`, and last the days lost.
    """
    event = np.stack([arm.incidence[0] for arm in arms])
    lost = 0.5 * (event[:, 1:] + event[:, :-1]).sum(1)
    return np.column_stack([event[:, marks(event.shape[1] - 1, width)], lost])


def marks(days: int, width: int) -> IntArray:
    """The ends of blocks up to the horizon, which is the last."""
    return np.append(np.arange(width, days, width), days)


class TooFewFollow(NotEstimable):
    """A strategy that too few keep to: its name, and the first block in which they are too few."""

    def __init__(self, strategy: str, block: int, blocks: int, least: float) -> None:
        self.strategy, self.block, self.blocks, self.least = strategy, block, blocks, least
        super().__init__(
            f"The strategy {strategy!r} is followed by too few: from block {block} of {blocks} on, "
            f"those who kept to it weigh less than {least:g} people would. {CURE}"
        )


CURE = "Widen its range, allow more blocks of grace, or shorten the horizon."


def refuse_thin(arms: Sequence[Arm], strategies: Sequence[Plan], least: float) -> None:
    """Raise TooFewFollow where fewer than `least` effective clones reach the last block."""
    for arm, strategy in zip(arms, strategies, strict=True):
        thin = np.flatnonzero(arm.effective < least)
        if thin.size:
            raise TooFewFollow(strategy.name, int(thin[0]) + 1, len(arm.effective), least)


def redraw(emulation: Emulation, replicates: int, seed: int) -> Iterator[tuple[Arm, ...]]:
    """Redraw people or clusters with all their clones, refit the weights.

    Each replicate has a stream of its own, so that the answer depends on nothing but the seed.
    """
    clusters = int(emulation.course.cluster.max()) + 1
    for r in range(replicates):
        rng = np.random.default_rng([seed, r])
        drawn = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
        with single_thread():
            arms = emulation.weigh(drawn[emulation.course.cluster] * emulation.course.base)
        yield arms


def bootstrap(
    emulation: Emulation,
    replicates: int,
    seed: int,
    report: Callable[[int], None] | None = None,
) -> Array:
    """What `summarise` tells of each replicate, (replicates, strategies, marks + 1).

    report: called with the number of each replicate done.
    """
    found = []
    for r, arms in enumerate(redraw(emulation, replicates, seed), start=1):
        found.append(summarise(arms, emulation.course.width))
        if report is not None:
            report(r)
    return np.stack(found)
