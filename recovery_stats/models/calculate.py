"""Compute the expressions of a formula row by row, by our own table of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.columns import Array, Columns
from recovery_stats.models.formula import (
    Arithmetic,
    Call,
    Expression,
    Number,
    Variable,
    columns_of,
)


class Numbers(Protocol):
    """Columns that can be read as numbers."""

    def numbers(self, name: str) -> Array: ...


def evaluate(expression: Expression, data: Columns) -> Array:
    """The number that `expression` gives in each row; NaN where a column is missing.

    Raises DataError where observed values have no result (log of 0, division by 0).
    """
    if isinstance(expression, Variable):
        return data.numbers(expression.name)
    with np.errstate(all="ignore"):
        value = np.broadcast_to(compute(expression, data), (len(data),))
    observed = np.ones(len(data), dtype=bool)
    for name in columns_of(expression):
        observed &= ~np.isnan(data.numbers(name))
    wrong = observed & ~np.isfinite(value)
    if wrong.any():
        raise DataError(
            f"{expression} has no finite value in {int(wrong.sum())} rows, {data.rows(wrong)}."
        )
    return np.array(value, dtype=float)


def compute(expression: Expression, data: Numbers) -> Any:
    """The value of `expression`, unchecked: NaN or infinite where there is none."""
    match expression:
        case Variable(name):
            return data.numbers(name)
        case Number(value):
            return value
        case Arithmetic(operator, left, right):
            return _OPERATORS[operator](compute(left, data), compute(right, data))
        case Call(function, arguments, _) if function in _FUNCTIONS:
            return _FUNCTIONS[function](compute(arguments[0], data))
    raise UsageError(f"{expression} is not a number that can be computed in each row.")


_OPERATORS: Mapping[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": lambda a, b: np.power(np.asarray(a, dtype=float), b),
}
_FUNCTIONS: Mapping[str, Any] = {
    "log": np.log,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "I": lambda x: x,
    "offset": lambda x: x,
}
