"""What `difference_in_differences` returns: effects by group and time, their sums, their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import t as t_distribution

from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import staggered_sum as sums
from recovery_stats.engines.change_effect import Array, Method
from recovery_stats.engines.multiplier import critical_value, student_multiples, welch_df
from recovery_stats.engines.parallel_trends import (
    Bound,
    EventStudy,
    relative_bound,
    smooth_bound,
)
from recovery_stats.engines.staggered import (
    Cell,
    Design,
    Panel,
    group_time_effects,
    moments,
)
from recovery_stats.engines.staggered_jackknife import LeftOut, Summing, jackknife, without_each
from recovery_stats.engines.staggered_sum import Sums
from recovery_stats.engines.two_way import TwoWay, two_way
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.columns import IntArray
from recovery_stats.models.staggered_check import FEW, VERY_FEW, staggered_checks

Errors = Literal["auto", "influence", "jackknife"]

__all__ = ["Errors", "Lost", "Staggered", "TwoWay"]

MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Lost:
    """Units given; treated from the first time on; never measured; rows without a time, unit or
    cluster; cells of the kept units without an outcome."""

    units: int
    treated_always: int
    unmeasured: int
    rows: int
    cells: int


@dataclass(frozen=True)
class Staggered:
    """Group-time effects; see `difference_in_differences`.

    Tables have estimate, std_error, conf_low, conf_high (for each alone) and band_low, band_high
    (for all rows of the table together). Degrees of freedom: clusters less one; of bands Welch's,
    by the clusters of each group that starts together.
    """

    panel: Panel = field(repr=False)
    clusters: IntArray = field(repr=False)
    design: Design
    cells: tuple[Cell, ...] = field(repr=False)
    lost: Lost
    adjust: tuple[str, ...]
    unit: str
    cluster: str
    level: float
    replicates: int
    seed: int
    errors: Errors = "auto"

    def __repr__(self) -> str:
        found = self.overall()
        return (
            f"<Staggered: {len(self.panel.groups)} groups, {len(self.panel.time)} periods, "
            f"{len(self.panel.w)} units, {self.count} clusters; effect on the treated "
            f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})>"
        )

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.clusters.max()) + 1

    @property
    def df(self) -> int:
        return self.count - 1

    @property
    def fewest(self) -> int:
        """Clusters in the smallest group that starts together."""
        groups = (self.panel.start == g for g in self.panel.groups)
        return min(len(np.unique(self.clusters[own])) for own in groups)

    @property
    def jackknifed(self) -> bool:
        """Whether errors come from leaving each cluster out: "auto" does with few."""
        few = self.count < FEW or self.fewest < VERY_FEW
        return self.errors == "jackknife" or (self.errors == "auto" and few and self.fewest > 1)

    def tidy(self) -> pd.DataFrame:
        """One row a group and period: the effect, how many are behind it, or why there is none."""
        time = self.panel.time
        head = pd.DataFrame(
            {
                "group": [float(time[c.group]) for c in self.cells],
                "time": [float(time[c.period]) for c in self.cells],
                "base": [float(time[c.base]) for c in self.cells],
                "after": [c.after for c in self.cells],
                "treated": [c.treated for c in self.cells],
                "compared": [c.compared for c in self.cells],
            }
        )
        found = sums.each(self.panel, self.cells)
        rest = self._intervals(found, self._spread(found, sums.each))
        return pd.concat([head, rest], axis=1).assign(why=[c.why for c in self.cells])

    def event_study(self, followed: int = 0) -> pd.DataFrame:
        """Effects by time since the start; below zero, what should be none.

        followed: keep groups seen for so many periods after their start, so that the same units
        stand behind each time up to there.
        """
        return self._table(partial(sums.by_event_time, followed=followed), "since")

    def by_group(self) -> pd.DataFrame:
        """The mean effect since the start in each group."""
        return self._table(sums.by_group, "group")

    def by_time(self) -> pd.DataFrame:
        """The effect at each time on those who have started by then."""
        return self._table(sums.by_period, "time")

    def overall(self, *, name: str = "overall", label: str = "Effect on the treated",
                rank: Level = "secondary") -> Estimate:  # fmt: skip
        """The mean over treated units of their mean effect since the start."""
        found = sums.overall(self.panel, self.cells)
        if not len(found.value):
            raise NotEstimable("No group has an effect after its start.")
        table = self._intervals(found, self._spread(found, sums.overall), bands=False)
        value, se, low, high, p = map(float, table.iloc[0])
        return Estimate(
            name, label, value, low, high, se, p, float(self.df), "difference", rank, self.method,
            self.level, int(found.treated[0]),
        )  # fmt: skip

    @property
    def method(self) -> str:
        """How the comparison is made, in words."""
        kind = {"dr": "doubly robust", "regression": "regression", "ipw": "weighting"}
        return (
            f"group-time effects, {kind[self.design.method]}"
            if self.adjust
            else ("group-time effects, unadjusted")
        )

    def glance(self) -> pd.DataFrame:
        """One row: sizes, the overall effect, and the two-way estimate beside it."""
        found, panel = self.overall(), self.panel
        row = {
            "estimate": found.value, "std_error": found.se, "conf_low": found.low,
            "conf_high": found.high, "p_value": found.p, "units": len(panel.w),
            "clusters": self.count, "groups": len(panel.groups), "periods": len(panel.time),
            "never_treated": int(np.isinf(panel.start).sum()),
            "treated_always": self.lost.treated_always, "cells_missing": self.lost.cells,
        }  # fmt: skip
        try:
            plain = self.two_way()
        except NotEstimable:
            return pd.DataFrame([row])
        return pd.DataFrame([{**row, "two_way": plain.value, "two_way_se": plain.se,
                              "negative_weight": plain.negative}])  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """What to know before the effects are believed."""
        return staggered_checks(self)

    def again(self, method: Method) -> Staggered:
        """The same question by another of the methods."""
        design = replace(self.design, method=method)
        return replace(self, design=design, cells=group_time_effects(self.panel, design))

    # --- the comparator -----------------------------------------------------------------------

    def two_way(self) -> TwoWay:
        """Two-way fixed effects without covariates: a comparator only; see `two_way_weights`."""
        return two_way(self.panel, self.clusters)

    def two_way_weights(self) -> pd.DataFrame:
        """What the two-way estimate weighs each treated group and time by, negative or not.

        Beside the weights, those of `overall()`, and the effect itself.
        """
        found, time = self.two_way(), self.panel.time
        value = {(c.group, c.period): c.value for c in self.cells}
        share = dict(zip(self.panel.groups.tolist(), self.panel.shares, strict=True))
        known = {g: sum(np.isfinite(c.value) for c in self.cells if c.after and c.group == g)
                 for g in share}  # fmt: skip
        total = sum(s for g, s in share.items() if known[g])
        pairs = list(zip(found.group.tolist(), found.period.tolist(), strict=True))
        own = [
            share[g] / total / known[g] if np.isfinite(value.get((g, t), np.nan)) else 0.0
            for g, t in pairs
        ]
        return pd.DataFrame(
            {
                "group": [float(time[g]) for g, _ in pairs],
                "time": [float(time[t]) for _, t in pairs],
                "two_way": found.weight,
                "overall": own,
                "estimate": [value.get(pair, float("nan")) for pair in pairs],
            }
        )

    # --- trends that are not parallel ----------------------------------------------------------

    def bounds(
        self,
        multiples: Sequence[float] = MULTIPLES,
        *,
        kind: Literal["relative", "smooth"] = "relative",
        at: float | None = None,
    ) -> pd.DataFrame:
        """What is left of the effect where trends were not parallel (Rambachan & Roth 2023).

        relative: from one period to the next, trends deviate after the start by at most a
        multiple of the most they did before it. smooth: their slope changes by at most so much
        a period (0: any straight deviation). at: the time since the start asked about; default
        the mean over all times since then. Periods count as equally long.
        Raises UsageError, or NotEstimable without two periods before the start.
        """
        if kind not in ("relative", "smooth"):
            raise UsageError(f"kind is relative or smooth, not {kind!r}.")
        if any(m < 0 for m in multiples):
            raise UsageError("multiples are 0 or more.")
        study, since = self._study()
        target = np.full(len(since), 1.0 / len(since)) if at is None else (since == at) * 1.0
        if not target.any():
            raise UsageError(f"at is a time since the start with an effect, not {at:g}.")
        bound = relative_bound if kind == "relative" else smooth_bound
        return _bounds_table([bound(study, target, float(m), self.level) for m in multiples])

    def breakdown(self, at: float | None = None, *, most: float = 20.0) -> float:
        """The smallest multiple of deviations before at which the interval reaches zero.

        0 where it does without any; inf where `most` times do not bring it there.
        """
        study, since = self._study()
        target = np.full(len(since), 1.0 / len(since)) if at is None else (since == at) * 1.0

        def clear(multiple: float) -> bool:
            return relative_bound(study, target, multiple, self.level).excludes_zero

        if not clear(0.0):
            return 0.0
        if clear(most):
            return float("inf")
        low, high = 0.0, most
        while high - low > 1e-6:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if clear(middle) else (low, middle)
        return high

    def _study(self) -> tuple[EventStudy, Array]:
        """The event study with a common reference period, and the times since the start."""
        if self.design.base != "universal":
            raise UsageError("Bounds need every period measured from one: base='universal'.")
        found = sums.by_event_time(self.panel, self.cells)
        reference = np.flatnonzero(found.reference)
        if len(reference) != 1:
            raise NotEstimable("Groups have reference periods at different times before the start.")
        r = int(reference[0])
        steps = np.diff(found.moment)
        if len(steps) and not np.allclose(steps, steps[0]):
            raise NotEstimable(
                "Times since the start are not equally far apart: deviations from one period to "
                "the next cannot be compared. Number the waves and use their numbers as time."
            )
        kept = np.arange(len(found.moment)) != r
        spread = self._spread(found, sums.by_event_time)[:, kept]
        V = spread.T @ spread
        return EventStudy(found.value[:r], found.value[r + 1 :], V), found.moment[r + 1 :]

    # --- intervals -----------------------------------------------------------------------------

    def _table(self, of: Summing, key: str) -> pd.DataFrame:
        found = of(self.panel, self.cells)
        rest = self._intervals(found, self._spread(found, of))
        head = {key: found.moment, "cells": found.cells, "treated": found.treated}
        return pd.concat([pd.DataFrame(head), rest], axis=1)

    @cached_property
    def _start_of_cluster(self) -> IntArray:
        """(C,) a code for the start of each cluster; of the earliest where its units differ."""
        first = np.full(self.count, np.inf)
        np.minimum.at(first, self.clusters, self.panel.start)
        return np.unique(first, return_inverse=True)[1].astype(np.intp)

    @cached_property
    def _left_out(self) -> tuple[LeftOut, ...]:
        return without_each(self.panel, self.design, self.clusters)

    def _spread(self, found: Sums, of: Summing) -> Array:
        """Deviations (C, k), one a cluster, whose products are the covariance of the sums."""
        if self.jackknifed:
            return jackknife(found, self._left_out, of)
        return moments(found.influence, self.clusters)

    def _intervals(self, found: Sums, spread: Array, *, bands: bool = True) -> pd.DataFrame:
        """Intervals of each alone by t, and of all together by the multiplier bootstrap.

        A band has Welch's df, which count the clusters of each group that starts together: far
        from the start a mean can rest on the few clusters of one group.
        """
        value = found.value
        se = np.sqrt((spread**2).sum(axis=0))
        half = float(t_distribution.isf(0.5 * (1.0 - self.level), self.df)) * se
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(se > 0, 2.0 * t_distribution.sf(np.abs(value) / se, self.df), np.nan)
        table = pd.DataFrame(
            {"estimate": value, "std_error": se, "conf_low": value - half,
             "conf_high": value + half, "p_value": p}
        )  # fmt: skip
        if not bands:
            return table
        generator = np.random.default_rng(self.seed)
        multiple = critical_value(spread, self.level, self.replicates, generator)
        critical = student_multiples(multiple, welch_df(spread, self._start_of_cluster))
        wide = np.where(se > 0, np.maximum(critical * se, half), half)  # never inside an interval
        return table.assign(band_low=value - wide, band_high=value + wide)


def _bounds_table(found: Sequence[Bound]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "most": [b.most for b in found],
            "set_low": [b.set_low for b in found],
            "set_high": [b.set_high for b in found],
            "conf_low": [b.low for b in found],
            "conf_high": [b.high for b in found],
            "excludes_zero": [b.excludes_zero for b in found],
        }
    )
