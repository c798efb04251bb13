"""Rare levels of a covariate that no model can give a coefficient: join them to the usual one.

Where everybody or nobody of a level had the outcome, its odds ratio (or, without an event, its
hazard ratio) is infinite. Leaving those people out would change who is asked about, and leaving
the covariate out would give up its adjustment for everyone. So a level held by fewer than one
person in twenty counts, in the models only, as the most frequent level of its covariate; a larger
one is a finding that the data refuse, and the models say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.columns import Columns
from recovery_stats.models.summary import level_label, levels_of

RARE = 0.05  # share of the people


@dataclass(frozen=True, slots=True)
class Joined:
    """`level` of `column`, held by `people`, counts as `into` (codes; labels beside them)."""

    column: str
    level: Any
    into: Any
    level_label: str
    into_label: str
    people: int


def separating_levels(
    data: Dataset,
    outcome: str,
    columns: Sequence[str],
    *,
    constants: tuple[float, ...] = (0.0, 1.0),
) -> tuple[Joined, ...]:
    """The rare levels of factors in `columns` whose people all share one of `constants`.

    outcome: 0/1 in the complete rows of `data`. A factor of two levels has nothing to join.
    Checked: by hand.
    """
    read = Columns.of(data)
    factors = [c for c in dict.fromkeys(columns) if read.is_factor(c)]
    return tuple(j for c in factors for j in _of_factor(data, outcome, c, constants))


def join(data: Dataset, joined: Sequence[Joined]) -> Dataset:
    """The rows with each rare level counted as the level it joins."""
    frame = data.frame
    for j in joined:
        frame = frame.assign(**{j.column: frame[j.column].mask(frame[j.column] == j.level, j.into)})
    return data.with_frame(frame)


def _of_factor(
    data: Dataset, outcome: str, column: str, constants: tuple[float, ...]
) -> Iterator[Joined]:
    levels, values, y = levels_of(data, column), data.frame[column], data.frame[outcome]
    held = {level: int((values == level).sum()) for level in levels}
    usual = max(levels, key=lambda level: held[level], default=None)
    variable = data.variable(column)
    if len(levels) < 3:
        return
    for level in levels:
        seen = set(y[values == level])
        if held[level] < RARE * len(values) and len(seen) == 1 and seen <= set(constants):
            names = (level_label(variable, level), level_label(variable, usual))
            yield Joined(column, level, usual, *names, held[level])
