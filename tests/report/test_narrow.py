"""Ranges that a sum leaves a hidden count, against every table that has them."""

from __future__ import annotations

import math
from itertools import product

import pytest

from recovery_stats.report.privacy.suppress import Sum, _narrow

A, B, WHOLE, SHOWN = (0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)


def narrowed(s, counts, ranges):
    found = dict(ranges)
    for _ in range(9):
        _narrow(s, counts, found)
    return found


@pytest.mark.parametrize("shown", [0, 4])
@pytest.mark.parametrize("whole", [(0, math.inf), (3, 30), (12, 14), (0, 7)])
def test_ranges_are_those_of_all_tables_with_these_bounds(whole, shown) -> None:
    """A hidden whole and its hidden parts: both ends of each, from above and from below."""
    start = {A: (1, 9), B: (2, 9), WHOLE: whole}
    found = narrowed(Sum((A, B, SHOWN), WHOLE), {SHOWN: shown}, start)
    tables = [
        (a, b, a + b + shown)
        for a, b in product(range(1, 10), range(2, 10))
        if whole[0] <= a + b + shown <= whole[1]
    ]
    for place, values in zip((A, B, WHOLE), zip(*tables, strict=True), strict=True):
        assert found[place] == (min(values), max(values))


def test_a_total_known_from_elsewhere_narrows_its_parts() -> None:
    found = narrowed(Sum((A, B), total=11), {}, {A: (1, 9), B: (1, 9)})
    assert found == {A: (2, 9), B: (2, 9)}
