"""Counts of ordered pairs against all pairs one by one."""

import numpy as np
import pytest

from recovery_stats.engines import concordance, ordered_pair_late
from recovery_stats.engines.ordered_pair import BLOCK, FEW, count_pairs


def by_hand(x, value, stratum, event, partner):
    """Six counts a row from the table of all pairs."""
    pair = (stratum[:, None] == stratum) & (value[:, None] < value) & event[:, None] & partner
    lower, equal = x < x[:, None], x == x[:, None]
    kinds = [pair & lower, pair & equal, pair & ~lower & ~equal]
    return [k.sum(axis=1) for k in kinds] + [k.sum(axis=0) for k in kinds]


@pytest.mark.parametrize(
    ("n", "values", "levels", "strata"),
    [
        (1, 5, 3, 1),
        (7, 3, 3, 1),
        (BLOCK + 1, 20, 9, 1),
        (1200, 2 * FEW, 10**6, 1),
        (1200, 2 * FEW, 40, 3),
        (900, 30, 5, 2),
        (1500, FEW + 500, 10**6, 1),
    ],
)
def test_counts_equal_those_by_hand(n, values, levels, strata):
    r = np.random.default_rng(n)
    stratum = r.integers(0, strata, n)
    value = stratum * values + r.integers(0, values, n)
    x = r.integers(0, levels, n).astype(float)
    event, some = r.random(n) < 0.5, r.random(n) < 0.8
    for partner in (some, None):
        found = count_pairs(x, value, stratum if strata > 1 else None, event, partner)
        kinds = (found.lower, found.equal, found.higher, found.over, found.same, found.under)
        all_of_them = np.ones(n, dtype=bool) if partner is None else partner
        for kind, right in zip(kinds, by_hand(x, value, stratum, event, all_of_them), strict=True):
            np.testing.assert_array_equal(kind, right)
        both = event[:, None] & event & (x[:, None] == x) & (value[:, None] == value)
        assert found.tied_x == (both.sum() - event.sum()) // 2


@pytest.mark.parametrize("outright", [0, 10**9])
@pytest.mark.parametrize("strata", [1, 3])
def test_late_rows_by_hand_either_way(strata, outright, monkeypatch):
    """Compared outright and by taking out those to come; more events at once than fit a byte."""
    monkeypatch.setattr(ordered_pair_late, "OUTRIGHT", outright)
    r = np.random.default_rng(strata)
    n, width = 1100, 13
    stratum = r.integers(0, strata, n)
    moment, event = stratum * width + r.integers(2, 12, n), r.random(n) < 0.7
    moment -= (moment - stratum * width) % 2 != event  # events at odd moments
    entry = stratum * width + np.minimum(2 * r.integers(0, 4, n), moment - stratum * width - 1)
    entry -= (entry - stratum * width) % 2
    x = r.integers(0, 30, n).astype(float)
    rows, found = ordered_pair_late.count_late(x, moment, entry, stratum, event)
    pair = (moment[:, None] < moment) & (entry < moment[:, None]) & event[:, None]
    pair &= stratum[:, None] == stratum
    lower, equal = x < x[:, None], x == x[:, None]
    kinds = [pair & lower, pair & equal, pair & ~lower & ~equal]
    right = [k.sum(axis=1) for k in kinds] + [k.sum(axis=0) for k in kinds]
    names = ("lower", "equal", "higher", "over", "same", "under")
    for name, counts in zip(names, right, strict=True):
        np.testing.assert_array_equal(
            getattr(found, name), counts if rows is None else counts[rows]
        )
    both = event[:, None] & event & (x[:, None] == x) & (moment[:, None] == moment)
    assert found.tied_x == (both.sum() - event.sum()) // 2


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("strata", [None, 3])
def test_concordance_is_that_of_the_wavelet_matrix(late, strata):
    """Weights of one take the other way to the same numbers."""
    r = np.random.default_rng(9)
    n = 700
    x = r.normal(size=n).round(1)
    stop, event = r.integers(1, 60, n).astype(float), r.random(n) < 0.6
    start = np.maximum(stop - r.integers(1, 30, n), 0.0) if late else None
    of = None if strata is None else r.integers(0, strata, n)
    counted = concordance.concordance(x, stop, event, start=start, strata=of)
    weighed = concordance.concordance(x, stop, event, start=start, strata=of, weights=np.ones(n))
    for name in ("estimate", "std_error", "influence", "concordant", "discordant", "tied_x",
                 "tied_y", "tied_xy"):  # fmt: skip
        np.testing.assert_allclose(
            getattr(counted, name), getattr(weighed, name), rtol=1e-12, atol=1e-15
        )
