"""Calendars of days: by hand, by brute force over the days, and what is impossible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError

NAN = np.nan


def calendar(drinks, jail=(), pid=1, first=1, sex=1):
    days = range(first, first + len(drinks))
    frame = pd.DataFrame({"pid": float(pid), "day": list(days), "drinks": drinks, "sex": sex})
    frame["jail"] = [float(d in jail) for d in frame["day"]]
    return frame


def one(frame, **how):
    return rs.timeline(frame, person="pid", day="day", **{"drinks": "drinks", **how}).frame.iloc[0]


def test_a_week_by_hand():
    found = one(calendar([0, 0, 6, 2, 0, NAN, 0]), heavy=5)
    assert found["days_known"] == 6
    assert found["days_unknown"] == 1
    assert found["pda"] == pytest.approx(100 * 4 / 6)
    assert found["ddd"] == 4
    assert found["hdd"] == 1
    assert found["phd"] == pytest.approx(100 / 6)
    assert found["longest_run"] == 2
    assert found["first_use"] == 2
    assert found["unknown_before_use"] == 0


def test_a_day_not_in_the_calendar_is_not_known_and_ends_a_run():
    frame = calendar([0, 0, 0, 0, 0, 0])
    whole, gap = one(frame), one(frame[frame["day"] != 3])
    assert (whole["longest_run"], gap["longest_run"]) == (6, 3)
    assert (whole["days_unknown"], gap["days_unknown"]) == (0, 1)
    assert gap["pda"] == 100


def test_days_in_jail_are_out_of_the_denominator_or_in():
    frame = calendar([0, 3, 0, 0, 0, 0, 0, 4], jail=(3, 4, 5, 6))
    out, inside = one(frame, controlled="jail"), one(frame, controlled="jail", controlled_days="in")
    assert out["pda"] == pytest.approx(100 * 2 / 4)
    assert inside["pda"] == pytest.approx(100 * 6 / 8)
    assert out["days_controlled"] == inside["days_controlled"] == 4
    assert (out["longest_run"], inside["longest_run"]) == (1, 5)


def test_jail_neither_makes_nor_ends_a_run():
    frame = calendar([0, 0, 0, NAN, 0, 0, 1], jail=(3, 4))
    assert one(frame, controlled="jail")["longest_run"] == 4


def test_a_window_holds_days_without_a_row_as_not_known():
    found = one(calendar([0, 0, 1, 0], first=3), window=(1, 10))
    assert (found["days"], found["days_known"], found["days_unknown"]) == (10, 4, 6)
    assert found["first_use"] == 4
    assert found["unknown_before_use"] == 2


def test_who_has_no_row_in_the_window_keeps_a_row_of_the_result():
    frame = pd.concat([calendar([6, 0], pid=7, sex=1), calendar([6, 0], pid=3, first=40, sex=2)])
    found = rs.timeline(
        frame, person="pid", day="day", drinks="drinks", window=(1, 30), heavy={1: 5, 2: 4},
        sex="sex",
    ).frame.set_index("pid")  # fmt: skip
    assert found.loc[3, ["days", "days_known", "days_unknown", "hdd"]].tolist() == [30, 0, 30, 0]
    assert np.isnan(found.loc[3, "pda"])
    assert found.loc[7, ["days_known", "hdd"]].tolist() == [2, 1]


def test_heavy_days_by_sex():
    frame = pd.concat([calendar([4, 5], pid=1, sex=1), calendar([4, 5], pid=2, sex=2)])
    found = rs.timeline(
        frame, person="pid", day="day", drinks="drinks", heavy={1: 5, 2: 4}, sex="sex"
    ).frame
    assert found["hdd"].tolist() == [1, 2]


def test_nobody_drank_and_nothing_known():
    found = one(calendar([0, 0, 0]), heavy=5)
    assert np.isnan(found[["ddd", "first_use"]].astype(float)).all()
    assert found["hdd"] == 0
    none = one(calendar([NAN, NAN]))
    assert np.isnan(none["pda"])
    assert none["longest_run"] == 0


def test_any_use_has_no_amounts():
    frame = calendar([0, 1, 1]).rename(columns={"drinks": "used"})
    found = rs.timeline(frame, person="pid", day="day", used="used").frame
    assert "ddd" not in found
    assert found["pda"][1] == pytest.approx(100 / 3)


def brute(frame, out):
    """Day by day, one person."""
    days = {int(d): (x, bool(j)) for d, x, j in frame[["day", "drinks", "jail"]].to_numpy()}
    run = longest = known = abstinent = 0
    first, unknown, before = np.nan, 0, 0
    for k, d in enumerate(range(min(days), max(days) + 1)):
        x, jail = days.get(d, (NAN, False))
        if out and jail:
            continue
        if np.isnan(x):
            unknown, run = unknown + 1, 0
            before += np.isnan(first)
            continue
        known += 1
        abstinent += x == 0
        run = run + 1 if x == 0 else 0
        longest = max(longest, run)
        if x > 0 and np.isnan(first):
            first = k
    return [known, unknown, abstinent, longest, first, before]


@pytest.mark.parametrize("way", ["out", "in"])
def test_brute_force_over_many_people(way):
    rng = np.random.default_rng(6)
    parts = []
    for pid in range(60):
        n = rng.integers(1, 40)
        drinks = rng.choice([0, 0, 0, 1, 7, NAN], n)
        frame = calendar(drinks, pid=pid, first=int(rng.integers(-3, 5)))
        frame["jail"] = rng.choice([0.0, 0, 0, 1], n)
        parts.append(frame[rng.random(n) > 0.1])
    frame = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=1)
    found = rs.timeline(
        frame, person="pid", day="day", drinks="drinks", controlled="jail", controlled_days=way
    ).frame.set_index("pid")
    columns = ["days_known", "days_unknown", "abstinent_days", "longest_run", "first_use",
               "unknown_before_use"]  # fmt: skip
    for pid, rows in frame.groupby("pid"):
        expected = np.array(brute(rows, way == "out"), dtype=float)
        assert found.loc[pid, columns].to_numpy(dtype=float) == pytest.approx(expected, nan_ok=True)


def test_labels_come_with_the_columns():
    data = rs.timeline(calendar([0, 1]), person="pid", day="day", drinks="drinks")
    assert data.label("pda") == "Percent days abstinent, of days known"


@pytest.mark.parametrize(
    ("frame", "how", "error", "words"),
    [
        (pd.concat([calendar([0, 1])] * 2, ignore_index=True), {}, DataError, "2 rows tell"),
        (calendar([0, -9]), {}, DataError, "below 0 in row"),
        (calendar([0, 1]).assign(day=[1, 1.5]), {}, DataError, "whole numbers"),
        (calendar([0, 1]).assign(day=[1, NAN]), {}, DataError, "is empty in row"),
        (calendar([0, 1]).assign(jail=2), {"controlled": "jail"}, DataError, "must be 0 or 1"),
        (calendar([0, 1]), {"controlled_days": "neither"}, UsageError, "'out' or 'in'"),
        (calendar([0, 1]), {"drinks": None}, UsageError, "either drinks"),
        (calendar([0, 1]), {"heavy": {1: 5}}, UsageError, "needs the column"),
        (calendar([0, 1]), {"window": (9, 1)}, UsageError, "comes after"),
        (calendar([0, 1]), {"window": (50, 90)}, DataError, "no day in the window"),
        (calendar([0, 1]), {"drinks": "drink"}, DataError, "Did you mean 'drinks'"),
        (calendar([0, 1]).assign(sex=[1, 2]), {"heavy": {1: 5}, "sex": "sex"}, DataError, "within"),
        (calendar([0, 1]).astype({"drinks": str}), {}, DataError, "is text"),
    ],
)
def test_what_is_impossible_is_told(frame, how, error, words):
    with pytest.raises(error, match=words):
        one(frame, **how)
