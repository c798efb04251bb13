"""Errors of group-time effects by leaving each cluster out, for few clusters.

Influence functions are right with many clusters in every group and too small with few; leaving
clusters out errs on the safe side, and has no answer where a group is a single cluster.
Source: Hansen 2025 (jackknife of clusters); MacKinnon, Nielsen & Webb 2023 (CV3).
Checked: by hand on two groups; coverage with 20 sites (scripts/openings_recovery.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.change_effect import Array
from recovery_stats.engines.staggered import Cell, Design, Ints, Panel, group_time_effects
from recovery_stats.engines.staggered_sum import Sums

Summing = Callable[[Panel, Sequence[Cell]], Sums]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The effects without one cluster."""

    panel: Panel
    cells: tuple[Cell, ...]


def without_each(panel: Panel, design: Design, cluster: Ints) -> tuple[LeftOut, ...]:
    """Refit without each cluster (codes from 0) in turn."""
    found = []
    for code in range(int(cluster.max()) + 1):
        kept = cluster != code
        less = Panel(panel.y[kept], panel.start[kept], panel.X[kept], panel.w[kept], panel.time)
        found.append(LeftOut(less, group_time_effects(less, design)))
    return tuple(found)


def jackknife(full: Sums, parts: Sequence[LeftOut], of: Summing) -> Array:
    """Deviations (C, k) whose products are the covariance; nan where an effect is lost.

    A sum that loses cells without a cluster would be another quantity: it counts as lost.
    """
    C = len(parts)
    deviation = np.full((C, len(full.value)), np.nan)
    for row, part in zip(deviation, parts, strict=True):
        less = of(part.panel, part.cells)
        place = {m: k for k, m in enumerate(less.moment.tolist())}
        for j, moment in enumerate(full.moment.tolist()):
            k = place.get(moment)
            if k is not None and less.cells[k] == full.cells[j]:
                row[j] = less.value[k] - full.value[j]
    return np.asarray(deviation * np.sqrt((C - 1) / C))
