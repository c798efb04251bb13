"""People beside the houses they live in: characteristics joined, levels and places to look at.

A characteristic has one value a house, so its mean, spread and levels are those of the houses,
however many people live in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.subgroup import is_number
from recovery_stats.models.summary import level_label, levels_of


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic of houses, as columns for a model.

    values (n, q): of the rows' houses, NaN where unknown; a number less its mean over houses, or
    one column for each level but the first. points: name and row (q,) of each level, or of the
    mean and one standard deviation of houses to either side. level (n,): of a category, -1
    where unknown.
    """

    name: str
    label: str
    values: Array
    points: tuple[tuple[str, Array], ...]
    level: NDArray[np.intp] | None

    @property
    def number(self) -> bool:
        return self.level is None

    @property
    def q(self) -> int:
        return int(self.values.shape[1])


def join_houses(people: Dataset, houses: Dataset, house: str, key: str) -> NDArray[np.intp]:
    """The row of `houses` of each person, -1 for none or one that the table does not hold.

    Raises DataError where a house has several rows, or no house of the people is in the table.
    """
    houses.require(key, table="houses")
    people.require(house, table="persons")
    ids = houses.frame[key]
    repeated = int(ids.dropna().duplicated().sum())
    if repeated:
        raise DataError(
            f"Table 'houses' has {repeated} rows whose {key!r} occurred before; one row a house "
            "is needed."
        )
    found = pd.Index(ids).get_indexer(pd.Index(people.frame[house]))
    found[people.frame[house].isna().to_numpy()] = -1
    if people.frame[house].notna().any() and not (found >= 0).any():
        raise DataError(
            f"No value of {house!r} of the people is a {key!r} of table 'houses': the two columns "
            "must name houses in the same way."
        )
    return np.asarray(found, dtype=np.intp)


def read_characteristic(
    houses: Dataset, by: str, at: NDArray[np.intp], lived_in: NDArray[np.intp]
) -> Characteristic:
    """Read column `by` of the houses for people in rows `at`; lived_in: the houses that count.

    Raises NotEstimable for a characteristic that is the same in all houses.
    """
    houses.require(by, table="houses")
    label = houses.label(by)
    own = houses.with_frame(houses.frame.iloc[lived_in])
    if own.frame[by].nunique() < 2:
        raise NotEstimable(f"{label}: the same in all houses where people live, or not known.")
    column = houses.frame[by]
    if is_number(own, by):
        numbers = column.to_numpy(dtype=float)
        known = own.frame[by].dropna().to_numpy(dtype=float)
        mean, sd = float(known.mean()), float(known.std(ddof=1))
        values = np.where(at >= 0, numbers[at], np.nan)[:, None] - mean
        places = (("mean − SD", -sd), ("mean", 0.0), ("mean + SD", sd))
        points = tuple((name, np.array([place])) for name, place in places)
        return Characteristic(by, label, values, points, None)
    levels = levels_of(own, by)
    codes = np.array([levels.index(v) if v in levels else -1 for v in column], dtype=np.intp)
    level = np.where(at >= 0, codes[at], -1)
    one = np.eye(len(levels))[:, 1:]
    values = np.where((level >= 0)[:, None], one[level], np.nan)
    names = [level_label(houses.variable(by), v) for v in levels]
    points = tuple((name, one[i]) for i, name in enumerate(names))
    return Characteristic(by, label, values, points, level)


def read_person_covariate(people: Dataset, column: str) -> Array:
    """A person's covariate as a number (n,), the second of two levels as 1.

    Raises UsageError for a covariate of more than two levels, NotEstimable for one level.
    """
    people.require(column, table="persons")
    values = people.frame[column]
    if is_number(people, column):
        return np.asarray(values, dtype=float)
    levels = levels_of(people, column)
    if len(levels) < 2:
        raise NotEstimable(f"Column {column!r} has one level; no slope differs across houses.")
    if len(levels) != 2:
        raise UsageError(
            f"Column {column!r} has {len(levels)} levels; what differs across houses must be a "
            "number or have two levels."
        )
    second = (values == levels[1]).to_numpy(dtype=float)
    return np.where(values.isna().to_numpy(), np.nan, second)


def described(people: Dataset, column: str) -> str:
    """The covariate's label, with the level that counts where it has two."""
    label = people.label(column)
    levels = levels_of(people, column)
    if is_number(people, column) or len(levels) < 2:
        return label
    variable: Variable = people.variable(column)
    return f"{label}: {level_label(variable, levels[1])}"
