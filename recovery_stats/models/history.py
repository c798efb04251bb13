"""What was known of each person at the start of each block: attendance, residence, covariates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import UsageError
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.follow_up import People, Records, read_days


def history_of(
    persons: Dataset,
    people: People,
    count: Array | None,
    zero: Array,
    blocks: tuple[int, int],
    homes: Records | None,
    baseline: Sequence[str],
    changing: dict[str, tuple[IntArray, Array, Array]],
) -> tuple[Array, tuple[str, ...], tuple[bool, ...]]:
    """History (n, B, h), the names of its columns, and which are fixed; blocks: (B, width)."""
    n, (B, width) = len(people), blocks
    starts = zero[:, None] + width * np.arange(B)
    layers = {} if count is None else _attended(count)
    if homes is not None:
        layers["resident in a house"] = _resident(homes, starts)
    for name, (who, day, value) in changing.items():
        layers[name] = _last_known(who, day, value, starts)
    moving = len(layers)
    for name, values in _baseline(persons, baseline).items():
        layers[name] = np.broadcast_to(values[:, None], (n, B))
    stacked = np.stack(list(layers.values()), axis=2) if layers else np.zeros((n, B, 0))
    return stacked, tuple(layers), tuple(j >= moving for j in range(len(layers)))


def _attended(count: Array) -> dict[str, Array]:
    n, B = count.shape
    before = np.concatenate([np.zeros((n, 1)), np.nan_to_num(count[:, :-1])], axis=1)
    mean = before.cumsum(1) / np.maximum(np.arange(B), 1)
    return {
        "first block": np.broadcast_to(np.arange(B) == 0, (n, B)).astype(float),
        "meetings in the block before": before,
        "their square root": np.sqrt(before),
        "meetings a block so far": np.sqrt(mean),
    }


def _baseline(persons: Dataset, columns: Sequence[str]) -> dict[str, Array]:
    """Numbers as they are (missing at their mean), factors as indicators of all but one level."""
    found: dict[str, Array] = {}
    table = Columns.of(persons)
    for name in columns:
        if table.is_factor(name):
            grouping = table.grouping((name,))
            for j, level in enumerate(grouping.levels[1:], start=1):
                found[f"{name}: {level}"] = (grouping.codes == j).astype(float)
            continue
        values = read_days(persons, name)
        found[name] = np.where(np.isnan(values), np.nanmean(values), values)
    return found


def _resident(homes: Records, starts: Array) -> Array:
    """1 where the person lives in a house when the block begins."""
    n, B = starts.shape
    found = np.zeros((n, B))
    for b in range(B):
        before = homes.day <= starts[homes.person, b] + 1
        level = np.bincount(homes.person[before], homes.count[before], n)
        found[:, b] = level > 0.5
    return found


def _last_known(who: IntArray, day: Array, value: Array, starts: Array) -> Array:
    """The last value on or before the start of each block; the person's first before that."""
    n = len(starts)
    order = np.lexsort((day, who))
    who, day, value = who[order], day[order], value[order]
    first = np.searchsorted(who, np.arange(n))
    has = (first < len(who)) & (who[np.minimum(first, len(who) - 1)] == np.arange(n))
    span = float(max(day.max(initial=0), starts.max(initial=0))) + 1.0
    at = np.searchsorted(who * span + day, np.arange(n)[:, None] * span + starts, "right") - 1
    at = np.maximum(at, first[:, None])
    middle = float(value.mean()) if len(value) else 0.0
    return np.where(has[:, None], value[np.minimum(at, len(value) - 1)], middle)


def changes_of(
    people: People,
    table: Dataset | None,
    person: str | None,
    day: str | None,
    columns: Sequence[str],
) -> dict[str, tuple[IntArray, Array, Array]]:
    if table is None or not columns:
        return {}
    if person is None or day is None:
        raise UsageError("Covariates that change need the columns of their person and day.")
    table.require(person, day, *columns)
    who = people.key.get_indexer(pd.Index(table.frame[person]))
    when = read_days(table, day)
    found = {}
    for name in columns:
        value = read_days(table, name)
        known = (who >= 0) & ~np.isnan(when) & ~np.isnan(value)
        found[name] = (who[known], when[known], value[known])
    return found
