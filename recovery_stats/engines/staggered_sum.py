"""Weighted sums of group-time effects: by time since the start, by group, by period, overall.

Weights are shares of the groups, which are estimated too; their influence is part of the sum's.
Source: Callaway & Sant'Anna 2021, section 3.1 and equations 3.4 to 3.11.
Checked: sums by hand; influence against leaving every unit out (tests/engines/test_staggered.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.change_effect import Array
from recovery_stats.engines.staggered import Cell, Ints, Panel


@dataclass(frozen=True, slots=True)
class Sums:
    """Effects at `moment` (k,): value (k,), influence (n, k); cells (k,): how many behind each.

    treated (k,): units behind them. reference (k,): zero by construction.
    """

    moment: Array
    value: Array
    influence: Array
    cells: Ints
    treated: Ints
    reference: Array


def each(panel: Panel, cells: Sequence[Cell]) -> Sums:
    """The cells themselves, answered or not; the moment is the number of group and period."""
    T = len(panel.time)
    return _stack(
        [(float(c.group * T + c.period), c.value, c.influence, 1, c.treated, c.reference)
         for c in cells],
        panel,
    )  # fmt: skip


def by_event_time(panel: Panel, cells: Sequence[Cell], followed: int = 0) -> Sums:
    """Effects by time since the start, in the units of `panel.time`; below zero: before it.

    followed: only groups seen for so many periods after they started, so that the same units
    stand behind each time from 0 to there.
    """
    longest = len(panel.time) - 1
    kept = [c for c in cells if c.group + followed <= longest]
    return _by(panel, kept, lambda c: float(panel.time[c.period] - panel.time[c.group]))


def by_group(panel: Panel, cells: Sequence[Cell]) -> Sums:
    """The mean effect of each group over the periods since its start."""
    return _by(panel, _after(cells), lambda c: float(panel.time[c.group]), equal=True)


def by_period(panel: Panel, cells: Sequence[Cell]) -> Sums:
    """The effect in each period on those who have started by then."""
    return _by(panel, _after(cells), lambda c: float(panel.time[c.period]))


def overall(panel: Panel, cells: Sequence[Cell]) -> Sums:
    """The mean over treated units of their mean effect since the start: groups by their share."""
    groups = by_group(panel, cells)
    known = np.flatnonzero(np.isfinite(groups.value))
    members = np.array([np.flatnonzero(panel.time == t)[0] for t in groups.moment[known]], np.intp)
    value, influence = _weighted(panel, members, groups.value[known], groups.influence[:, known])
    n = int(groups.treated[known].sum())
    return _stack([(0.0, value, influence, len(known), n, False)], panel)


def _after(cells: Sequence[Cell]) -> list[Cell]:
    return [c for c in cells if c.after]


def _by(
    panel: Panel, cells: Sequence[Cell], key: Callable[[Cell], float], *, equal: bool = False
) -> Sums:
    """Sums of the cells that share a key, with an answer; equal: periods of one group alike."""
    known = [c for c in cells if np.isfinite(c.value)]
    rows = []
    for at in sorted({key(c) for c in known}):
        here = [c for c in known if key(c) == at]
        values = np.array([c.value for c in here])
        influence = np.stack([c.influence for c in here], axis=1)
        if equal:
            value, psi = float(values.mean()), influence.mean(axis=1)
        else:
            members = np.array([c.group for c in here], dtype=np.intp)
            value, psi = _weighted(panel, members, values, influence)
        fixed = all(c.reference for c in here)
        people = max(c.treated for c in here) if equal else sum(c.treated for c in here)
        rows.append((at, value, psi, len(here), people, fixed))
    return _stack(rows, panel)


def _weighted(panel: Panel, group: Ints, value: Array, influence: Array) -> tuple[float, Array]:
    """Mean of values (k,) weighted by the shares of their groups (k,), and its influence (n,)."""
    member = (panel.start[:, None] == group[None, :]) * (panel.w / panel.w.sum())[:, None]
    share = member.sum(axis=0)
    total = share.sum()
    mean = float(share @ value / total)
    # deviations from the shares themselves would add share @ (value - mean), which is zero
    through = member @ (value - mean) / total
    return mean, influence @ (share / total) + through


def _stack(rows: Sequence[tuple[float, float, Array, int, int, bool]], panel: Panel) -> Sums:
    empty = np.zeros((len(panel.w), 0))
    return Sums(
        np.array([r[0] for r in rows]),
        np.array([r[1] for r in rows]),
        np.stack([r[2] for r in rows], axis=1) if rows else empty,
        np.array([r[3] for r in rows], dtype=np.intp),
        np.array([r[4] for r in rows], dtype=np.intp),
        np.array([r[5] for r in rows], dtype=float),
    )
