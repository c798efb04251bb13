"""Sorting by digits against NumPy's comparing sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recovery_stats.engines.digits import MANY, sort_numbers
from recovery_stats.engines.risk_set import Array

r = np.random.default_rng(20)
NEAR = 1.0 + np.arange(50) * 2.0**-52
MADE = {
    "continuous": r.normal(size=MANY),
    "rounded": np.round(r.normal(size=MANY + 7), 2),
    "closer than a step": np.append(r.normal(size=MANY), r.permutation(np.repeat(NEAR, 3))),
    "one far away": np.append(r.normal(size=MANY), 1e9),
    "all in one step": np.append(r.normal(size=MANY), 1e30),
    "of both ends of the range": np.append(r.normal(size=MANY), [-1e308, 1e308]),
    "tiny": r.normal(size=MANY) * 1e-310,
    "all the same": np.ones(MANY),
    "zeros of both signs": np.append(r.choice([0.0, -0.0], MANY), -1.0),
    "few": r.normal(size=100),
    "none": np.zeros(0),
}


@pytest.mark.parametrize("x", MADE.values(), ids=MADE.keys())
def test_numbers_come_in_order(x: Array) -> None:
    order, ascending = sort_numbers(x)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(x)))
    np.testing.assert_array_equal(ascending, np.sort(x))
    np.testing.assert_array_equal(x[order], ascending)


def test_the_short_way_is_taken_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread numbers never meet the comparing sort of all; crowded ones do."""
    compared = []
    whole = np.argsort

    def counted(values: Array, **given: Any) -> Any:
        if not given:
            compared.append(len(values))
        return whole(values, **given)

    monkeypatch.setattr(np, "argsort", counted)
    sort_numbers(MADE["continuous"])
    assert not compared or max(compared) < 10
    sort_numbers(MADE["all in one step"])
    assert max(compared) == len(MADE["all in one step"])
