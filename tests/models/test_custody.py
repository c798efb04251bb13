"""Spells in custody: which days they cover and what they leave, against a loop over days."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError
from recovery_stats.models.custody import Spells

LONGEST = 40


def table(rows: list[tuple[object, ...]], *names: str) -> Dataset:
    frame = pd.DataFrame(rows, columns=list(names))
    return Dataset(frame.set_axis(range(1, len(frame) + 1)))


def read(rows: list[tuple[object, ...]]) -> Spells:
    return Spells.of(table(rows, "pid", "a", "b"), person="pid", start="a", stop="b")


def drawn(seed: int = 1) -> tuple[list[tuple[object, ...]], list[str]]:
    rng = np.random.default_rng(seed)
    people = [f"p{i}" for i in rng.permutation(12)]
    rows = [
        (people[int(rng.integers(9))], float(a := rng.integers(-3, 30)), float(a + rng.integers(9)))
        for _ in range(30)
    ]
    return rows, people


def inside(rows: list[tuple[object, ...]], person: str, day: float) -> bool:
    return any(p == person and a < day <= b for p, a, b in rows)


def test_days_are_covered_as_in_a_loop():
    rows, people = drawn()
    spells = read(rows)
    for day in np.arange(-4, LONGEST, 0.5):
        found = spells.covers(people, np.full(len(people), day))
        assert found.tolist() == [inside(rows, p, day) for p in people]
    zero = np.arange(len(people)) % 5 - 1.0
    grid = spells.days(people, zero, 20)
    for i, p in enumerate(people):
        assert grid[i].tolist() == [inside(rows, p, zero[i] + 1 + j) for j in range(20)]


def test_what_is_left_of_follow_up_is_what_a_loop_leaves():
    rows, people = drawn(3)
    start = np.arange(len(people)) % 4 * 1.0
    stop = start + 5.0 + 2 * np.arange(len(people))
    who, begin, end = read(rows).outside(people, start, stop)
    assert (begin < end).all()
    assert np.unique(who).tolist() == sorted(set(who.tolist()))
    for i, p in enumerate(people):
        left = {d for a, b in zip(begin[who == i], end[who == i], strict=True)
                for d in range(int(a) + 1, int(b) + 1)}  # fmt: skip
        days = range(int(start[i]) + 1, int(stop[i]) + 1)
        assert left == {d for d in days if not inside(rows, p, d)}


def test_spells_that_meet_are_one_and_empty_ones_none():
    spells = read([("a", 3, 6), ("a", 6, 9), ("b", 2, 2), ("a", 4, 5), ("a", 20, np.nan)])
    assert spells.first.tolist() == [3, 20]
    assert spells.last[0] == 9
    assert spells.covers(["a", "a", "b"], np.array([10.0, 1e5, 2.0])).tolist() == [0, 1, 0]
    assert spells.next_after(["a", "a", "b", "c"], np.array([3.0, 4.0, 0.0, 0.0])).tolist() == [
        3, 20, np.inf, np.inf,
    ]  # fmt: skip


def test_a_row_a_day_is_a_spell_of_that_day():
    days = table([(7, 3.0), (7, 4.0), (8, 1.0), (7, 9.0)], "pid", "sday")
    spells = Spells.of(days, person="pid", start="sday", stop=None)
    assert spells.first.tolist() == [2, 8, 0]
    assert spells.last.tolist() == [4, 9, 1]


def test_nobody_in_custody_leaves_everyone():
    spells = read([("c", 2, 2)])
    who, begin, end = spells.outside([1, 2], np.zeros(2), np.array([4.0, 5.0]))
    assert (who.tolist(), begin.tolist(), end.tolist()) == ([0, 1], [0, 0], [4, 5])
    assert not spells.covers([1], np.array([2.0])).any()
    assert np.isinf(spells.next_after([1], np.zeros(1))).all()


def test_a_spell_that_ends_before_it_begins_is_named():
    with pytest.raises(DataError, match=r"'spells' has 1 rows with 'b' before 'a': row 2"):
        read([("a", 1, 2), ("a", 5, 4)])
