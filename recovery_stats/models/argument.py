"""Arguments of results: times, horizons, shares and levels, read or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

from recovery_stats.errors import UsageError
from recovery_stats.models.columns import Array


def read_numbers(values: Any, what: str) -> Array:
    """One number or a sequence of them as (n,), none of them missing."""
    try:
        found = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or np.isnan(found).any():
        raise UsageError(f"{what}: a number, or a sequence of numbers, none of them missing.")
    return found


def read_number(value: Any, what: str) -> float:
    """One finite number."""
    found = read_numbers(value, what)
    if len(found) != 1 or not np.isfinite(found[0]):
        raise UsageError(f"{what}: one number that is finite.")
    return float(found[0])


def read_times(times: Any) -> Array:
    """Times at which a curve is read, as they were given."""
    return read_numbers(times, "Times, in the units of the data")


def read_horizon(tau: Any) -> float:
    """The end of a restricted mean."""
    found = read_numbers(tau, "The horizon of a restricted mean")
    if len(found) != 1 or not (np.isfinite(found[0]) and found[0] > 0):
        raise UsageError("The horizon of a restricted mean must be above 0, and finite.")
    return float(found[0])


def read_shares(p: Any) -> Array:
    """Shares of people: 0.5 is the median."""
    found = read_numbers(p, "Quantiles are shares from 0 to 1")
    if ((found < 0) | (found > 1)).any():
        raise UsageError("Quantiles are shares from 0 to 1: 0.5 is the median.")
    return found


def read_level(level: Any) -> float:
    """The confidence level of an interval, 0.95 and not 95."""
    rule = "A confidence level lies between 0 and 1, as 0.95"
    found = read_numbers(level, rule)
    if len(found) != 1 or not 0 < found[0] < 1:
        raise UsageError(f"{rule}.")
    return float(found[0])
