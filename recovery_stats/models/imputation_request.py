"""What an imputation is asked, and what it is made of: the values that pass between its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recovery_stats.engines import impute as engine
from recovery_stats.errors import UsageError
from recovery_stats.models.calculate import compute
from recovery_stats.models.columns import Array
from recovery_stats.models.expression import Column, Expression, columns_of
from recovery_stats.models.formula import parse
from recovery_stats.models.imputation_column import NotApplicable, Variable


@dataclass(frozen=True, slots=True)
class Request:
    """What `impute` was asked, in its own words."""

    methods: Mapping[str, str]
    predictors: Mapping[str, Sequence[str]]
    exclude: tuple[str, ...]
    interactions: tuple[str, ...]
    passive: Mapping[str, str]
    scores: Mapping[str, str]
    survival: str | None
    substantive: str | None
    cluster: tuple[str, ...]
    slopes: tuple[str, ...]
    constant: tuple[str, ...]
    cluster_means: bool
    heterogeneous: bool
    delta: Mapping[str, Any]
    not_applicable: NotApplicable
    sweeps: int
    donors: int


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of the design that stand for one predictor.

    parts: the columns it is made from; of: the column that names it in predictors=; level: 0 for
    rows of the table, k for what is constant within the clusters of the k-th factor from inside.
    """

    name: str
    rows: tuple[int, ...]
    parts: frozenset[str]
    of: str
    level: int


@dataclass(frozen=True, slots=True)
class Computation:
    """A passive variable: picklable, so that processes can share a plan."""

    expression: Expression
    lookup: Mapping[str, Array]

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns behind it."""
        return tuple(dict.fromkeys(columns_of(self.expression)))

    def of_numbers(self, given: Mapping[str, Array]) -> Array:
        """Its values from columns of numbers, not codes."""
        with np.errstate(all="ignore"):
            return np.asarray(compute(self.expression, _Given(given, {})), dtype=float)

    def __call__(self, given: Mapping[str, Array]) -> Array:
        """Its values from rows of the engine's values."""
        with np.errstate(all="ignore"):
            return np.asarray(compute(self.expression, _Given(given, self.lookup)), dtype=float)


@dataclass(frozen=True, slots=True)
class _Given:
    values: Mapping[str, Array]
    lookup: Mapping[str, Array]

    def numbers(self, name: str) -> Array:
        held = self.values[name]
        table = self.lookup.get(name)
        return held if table is None else table[held.astype(np.intp)]


@dataclass(frozen=True, slots=True)
class Imputation:
    """The plan with its names: what `impute` runs and writes back."""

    plan: engine.Plan
    variables: Mapping[str, Variable]
    passives: Mapping[str, Computation]
    methods: Mapping[str, str]
    predictors: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]
    collinear: Mapping[str, tuple[str, ...]]
    survival: tuple[str, ...]


def read_expression(text: str, what: str) -> Expression:
    """An expression of our grammar, such as "weight / height^2"."""
    found = parse(f"{text} ~ 1").response
    if not isinstance(found, Column):
        raise UsageError(f"{what} is computed by arithmetic on columns, not by {text!r}.")
    return found.expression
