"""Effects where treatment begins at different times: one for each starting group and period.

Units that start in period g are compared, in every period, with those not yet treated; never
with units already treated, whose own effect may still be moving.
Source: Callaway & Sant'Anna 2021, J Econometrics 225:200, sections 2 and 3.
Checked: means by hand, brute force over units, csdid (tests/engines/test_staggered.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.change_effect import Array, Flags, Method, change_effect
from recovery_stats.errors import NotEstimable

Base = Literal["universal", "varying"]
Controls = Literal["not-yet", "never"]
Ints = NDArray[np.intp]
NEVER = np.inf


@dataclass(frozen=True, slots=True)
class Panel:
    """Units over periods.

    y (n, T): the outcome, nan where not measured. start (n,): the first treated period as a
    number of `0 … T-1`, inf for never; nobody starts in period 0. X (n, T, p): ones, then
    covariates, nan where unknown. w (n,): > 0. time (T,): the periods' times, increasing.
    """

    y: Array
    start: Array
    X: Array
    w: Array
    time: Array

    @property
    def groups(self) -> Ints:
        """The periods in which some unit starts."""
        return np.unique(self.start[np.isfinite(self.start)]).astype(np.intp)

    @property
    def shares(self) -> Array:
        """Share of all units (weighted) that each group holds."""
        total = self.w.sum()
        return np.array([self.w[self.start == g].sum() / total for g in self.groups])


@dataclass(frozen=True, slots=True)
class Design:
    """How groups are compared.

    method: what makes the comparison alike. controls: who is compared with. base "universal":
    every period against the last one before treatment; "varying": periods before treatment
    against the one before each. anticipation: periods ahead of the start in which units react.
    """

    method: Method = "dr"
    controls: Controls = "not-yet"
    base: Base = "universal"
    anticipation: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """The effect in one group and period; `why` says why there is none.

    group, period, base: numbers of periods. treated, compared: units behind it.
    influence (n,) over all units of the panel: the variance is the sum of their squares.
    """

    group: int
    period: int
    base: int
    value: float
    influence: Array
    treated: int
    compared: int
    why: str = ""

    @property
    def after(self) -> bool:
        return self.period >= self.group

    @property
    def reference(self) -> bool:
        """The base period itself, where the effect is zero by construction."""
        return self.period == self.base


def group_time_effects(panel: Panel, design: Design) -> tuple[Cell, ...]:
    """Every group in every period that has a period before it; by group, then by period.

    Cells without an answer have value nan and say why.
    """
    return tuple(_cells(panel, design))


def _cells(panel: Panel, design: Design) -> Iterator[Cell]:
    for group in panel.groups.tolist():
        last = group - 1 - design.anticipation
        if last < 0:
            continue
        for period in range(len(panel.time)):
            before = period <= last
            base = period - 1 if before and design.base == "varying" else last
            if base >= 0:
                yield _cell(panel, design, group, period, base)


def _cell(panel: Panel, design: Design, group: int, period: int, base: int) -> Cell:
    n = len(panel.w)
    change = panel.y[:, period] - panel.y[:, base]
    X = panel.X[:, min(base, period)]
    seen = np.isfinite(change) & np.isfinite(X).all(axis=1)
    treated = (panel.start == group) & seen
    compared = _compared(panel, design, group, max(period, base)) & seen
    counts = int(treated.sum()), int(compared.sum())
    if period == base:
        return Cell(group, period, base, 0.0, np.zeros(n), *counts)
    why = _too_few(*counts)
    influence = np.zeros(n)
    if not why:
        used = treated | compared
        try:
            found = change_effect(
                change[used], treated[used], X[used], panel.w[used], design.method
            )
        except NotEstimable as reason:
            why = str(reason)
        else:
            influence[used] = found.influence
            return Cell(group, period, base, found.value, influence, *counts)
    return Cell(group, period, base, float("nan"), np.full(n, np.nan), *counts, why)


def _compared(panel: Panel, design: Design, group: int, latest: int) -> Flags:
    """Units untreated in both periods, and not about to be."""
    if design.controls == "never":
        return np.isinf(panel.start)
    later = panel.start > latest + design.anticipation
    return np.asarray(later & (panel.start != group))


def _too_few(treated: int, compared: int) -> str:
    if treated == 0:
        return "nobody of the group measured in both periods"
    return "nobody left who is not yet treated" if compared == 0 else ""


def moments(influence: Array, cluster: Ints) -> Array:
    """Influence summed by cluster: (n, k) to (C, k), with C/(C - 1) for the mean taken off.

    cluster (n,): codes from 0, all used.
    """
    C = int(cluster.max()) + 1
    sums = np.zeros((C, influence.shape[1]))
    np.add.at(sums, cluster, influence)
    return sums * np.sqrt(C / (C - 1)) if C > 1 else np.full_like(sums, np.nan)


def covariance(influence: Array, cluster: Ints) -> Any:
    """Covariance (k, k) of estimates with influence (n, k), units of a cluster together."""
    sums = moments(influence, cluster)
    return sums.T @ sums
