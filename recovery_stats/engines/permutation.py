"""The test that the randomisation itself gives: who was drawn, drawn again.

Units (houses, or people) were put into two arms at random within strata. With no effect at all
every such allocation was as likely, so that p is the share of allocations whose difference is at
least as large. It needs no model and no large number, but with few units it can never be small:
four houses against four have 70 allocations, and the smallest p is 2/70.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, islice, product
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from recovery_stats.engines.linalg import IntArray
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]

MOST_EXACT = 100_000  # allocations that are all counted; beyond, a sample of them
BATCH = 1_000
MOST_CELLS = 4_000_000  # allocations times units held at once
TIED = 1e-9  # differences this near, as a share of the largest, are the same number


@dataclass(frozen=True, slots=True)
class Ways:
    """groups: units of each stratum that holds both arms; allocations: how many there are; exact:
    whether all of them are counted; smallest: the smallest p that any outcome could give."""

    groups: list[IntArray]
    allocations: float
    exact: bool
    smallest: float


@dataclass(frozen=True, slots=True)
class Permutation:
    """differences in the allocations: of the values (B,), and of the arm itself (B,).

    With an effect of b for everybody treated, the values without it have differences
    `values - b arms`. allocations: how many there are; exact: whether all were counted.
    smallest: the smallest p that any outcome could give.
    """

    observed: float
    values: Array
    arms: Array
    allocations: float
    exact: bool
    smallest: float

    def p(self, effect: float = 0.0) -> float:
        """Two-sided p that the effect is `effect`, the same for every unit."""
        drawn = np.abs(self.values - effect * self.arms)
        seen = abs(self.observed - effect)
        hits = float(np.sum(drawn >= seen - TIED * max(seen, float(drawn.max()))))
        if self.exact:
            return hits / len(drawn)
        return (hits + 1.0) / (len(drawn) + 1.0)

    def limits(self, level: float) -> tuple[float, float]:
        """Effects the test does not reject; infinite where it can reject none."""
        reach = 4.0 * float(np.abs(self.values).max()) + abs(self.observed)
        return self._edge(-reach, level), self._edge(reach, level)

    def _edge(self, reach: float, level: float) -> float:
        """Where p falls to 1 - level on the way out; p is a step function of the effect."""
        for _ in range(20):
            if self.p(self.observed + reach) <= 1.0 - level:
                break
            reach *= 2.0
        else:
            return float(np.copysign(np.inf, reach))

        def above(step: float) -> float:
            return 1.0 if self.p(self.observed + step) > 1.0 - level else -1.0

        return self.observed + float(brentq(above, 0.0, reach, xtol=1e-10 * abs(reach)))


def permute(
    values: Array,
    arm: Array,
    strata: IntArray | None,
    rng: np.random.Generator,
    *,
    weights: Array | None = None,
    draws: int = 9_999,
    most: int = MOST_EXACT,
) -> Permutation:
    """Difference in mean values between arms in every allocation, or in `draws` of them.

    values (U,) one number a unit; arm (U,) 0/1; strata (U,) codes within which units were drawn;
    weights (U,) > 0: of a unit in the means (None: units count alike). Means are taken within
    strata, and strata weigh by their units. Raises NotEstimable where no stratum holds both arms.
    Source: Fisher 1935; Gail et al. 1996. Checked: every allocation by hand; lady tasting tea.
    """
    ways = count_ways(arm, strata, alike=weights is None, draws=draws, most=most)
    groups = ways.groups
    w = np.ones(len(arm)) if weights is None else weights
    picked = _every(groups, arm) if ways.exact else _drawn(groups, arm, rng, draws)
    both = np.column_stack([values, arm])
    parts = [_differences(both, w, groups, chosen) for chosen in picked]
    found = np.concatenate(parts)
    observed = float(_differences(both, w, groups, arm[None] == 1)[0, 0])
    return Permutation(
        observed, found[:, 0], found[:, 1], ways.allocations, ways.exact, ways.smallest
    )


def count_ways(
    arm: Array,
    strata: IntArray | None,
    *,
    alike: bool = True,
    draws: int = 9_999,
    most: int = MOST_EXACT,
) -> Ways:
    """What the randomisation allowed, none of it drawn; alike: units weigh the same in the means.

    Arguments as in `permute`. Raises NotEstimable where no stratum holds both arms.
    """
    codes = np.zeros(len(arm), dtype=np.intp) if strata is None else strata
    groups = [np.flatnonzero(codes == s) for s in np.unique(codes)]
    groups = [g for g in groups if 0 < arm[g].sum() < len(g)]
    if not groups:
        raise NotEstimable("No stratum of the randomisation holds both arms: nothing to permute.")
    total = float(np.prod([float(comb(len(g), int(arm[g].sum()))) for g in groups]))
    exact = total <= most
    even = alike and all(2 * int(arm[g].sum()) == len(g) for g in groups)
    least = (2.0 if even else 1.0) / total
    return Ways(groups, total, exact, least if exact else max(least, 1.0 / (draws + 1.0)))


Chosen = NDArray[np.bool_]  # (b, U): who is treated, a batch of allocations at a time


def _every(groups: list[IntArray], arm: Array) -> Iterator[Chosen]:
    ways = product(*(combinations(g.tolist(), int(arm[g].sum())) for g in groups))
    while batch := list(islice(ways, _batch(len(arm)))):
        chosen = np.zeros((len(batch), len(arm)), dtype=bool)
        for row, allocation in zip(chosen, batch, strict=True):
            row[list(chain(*allocation))] = True
        yield chosen


def _drawn(
    groups: list[IntArray], arm: Array, rng: np.random.Generator, draws: int
) -> Iterator[Chosen]:
    """As many of each group as were treated, those with the smallest of random keys."""
    size = _batch(len(arm))
    for at in range(0, draws, size):
        keys = rng.random((min(size, draws - at), len(arm)))
        chosen = np.zeros(keys.shape, dtype=bool)
        for group in groups:
            treated = int(arm[group].sum())
            first = np.argpartition(keys[:, group], treated - 1, axis=1)[:, :treated]
            chosen[np.arange(len(keys))[:, None], group[first]] = True
        yield chosen


def _batch(units: int) -> int:
    """Allocations at a time, within bounded memory."""
    return max(1, min(BATCH, MOST_CELLS // units))


def _differences(both: Array, w: Array, groups: list[IntArray], chosen: Chosen) -> Array:
    """Differences (b, 2) of values, and of the arm really given, of those chosen from the rest."""
    total, units = np.zeros((len(chosen), 2)), 0
    for group in groups:
        share, rows = chosen[:, group] * w[group], both[group]
        ones = share @ rows / share.sum(axis=1, keepdims=True)
        rest = w[group] - share
        total += len(group) * (ones - rest @ rows / rest.sum(axis=1, keepdims=True))
        units += len(group)
    return np.asarray(total / units)
