"""Counts rounded for a profile: to the nearest multiple, never further than half of one."""

from __future__ import annotations

import pytest

from recovery_stats.core.cell import Count
from recovery_stats.core.study import Privacy
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import _round
from recovery_stats.report.privacy.visit import cells
from tests.report import example


@pytest.mark.parametrize("multiple", [5, 6, 7])
def test_every_count_goes_to_the_nearest_multiple(multiple: int) -> None:
    document = compose(example.result(), "T", example.TEMPLATE)
    rounded = _round(document, Privacy("x", 1, multiple, False, 1))
    after = cells(rounded)
    counts = [(c, after[p]) for p, c in cells(document).items() if isinstance(c, Count)]
    assert counts
    for old, new in counts:
        assert isinstance(new, Count)
        assert abs(new.n - old.n) <= multiple / 2
