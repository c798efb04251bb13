"""What is known of each row's time: exactly, not before, not after, or between two visits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Censored:
    """The event of row i happened in (low, high], exactly at low where low == high.

    low (n,) ≥ 0, 0 where nothing is known from below; high (n,), inf where nothing is known from
    above. entry (n,): time from which the row was under observation, given that the event had not
    happened; None: from 0. weights (n,) > 0 or None.
    """

    low: Array
    high: Array
    entry: Array | None = None
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.low)

    @cached_property
    def exact(self) -> Ints:
        """Rows whose time is known."""
        return np.flatnonzero(self.low == self.high)

    @cached_property
    def right(self) -> Ints:
        """Rows without the event by low."""
        return np.flatnonzero(np.isinf(self.high))

    @cached_property
    def left(self) -> Ints:
        """Rows with the event at some time up to high."""
        return np.flatnonzero((self.low == 0) & np.isfinite(self.high) & (self.high > 0))

    @cached_property
    def between(self) -> Ints:
        """Rows with the event between two times above 0."""
        return np.flatnonzero((self.low > 0) & np.isfinite(self.high) & (self.low < self.high))

    @cached_property
    def late(self) -> Ints:
        """Rows that came under observation after time 0."""
        none = np.zeros(0, np.intp)
        return none if self.entry is None else np.flatnonzero(self.entry > 0)

    @cached_property
    def w(self) -> Array:
        """Weights, 1 where there are none."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @cached_property
    def middle(self) -> Array:
        """A time near the event for starting values: the known one, the last without the event,
        the middle of the interval."""
        open_ended = np.isinf(self.high)
        middle = np.where(open_ended, self.low, (self.low + np.where(open_ended, 0, self.high)) / 2)
        return np.maximum(middle, np.finfo(float).tiny)

    def take(self, rows: NDArray[Any] | slice) -> Censored:
        """Some of the rows."""

        def of(values: Array | None) -> Array | None:
            return None if values is None else values[rows]

        return Censored(self.low[rows], self.high[rows], of(self.entry), of(self.weights))
