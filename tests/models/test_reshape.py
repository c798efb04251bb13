"""Rows from a diary: day by day in a loop, on paper, and the errors."""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.reshape import check_rows, landmark, naive_frequency, person_days
from tests.tolerance import EXACT

NAMES = {
    "person": "pid",
    "stop": "time",
    "event": "event",
    "start": "entry",
    "diary_from": "first",
    "diary_to": "last",
    "meeting_day": "day",
    "meeting_count": "count",
    "stay_start": "moved_in",
    "stay_stop": "moved_out",
}


def dataset(**columns: object) -> Dataset:
    return Dataset(pd.DataFrame(columns))


def one_day(
    day: int,
    meetings: dict[int, float],
    unclear: set[int],
    stays: list[tuple[float, float]],
    cover: tuple[float, float],
    windows: tuple[int, ...],
    half_life: float,
    lag: int,
) -> dict[str, float]:
    """The exposures on one day of one person, as the words of the module say it."""

    def unknown(d: int) -> bool:
        return d in unclear or (d >= 0 and not cover[0] <= d <= cover[1])

    out = {}
    latest = day - lag - 1
    for w in windows:
        days = range(latest - w + 1, latest + 1)
        out[f"meetings_last{w}"] = (
            math.nan if any(map(unknown, days)) else sum(meetings.get(d, 0.0) for d in days)
        )
    since, known = math.inf, True
    for d in range(latest, -100, -1):
        if meetings.get(d, 0.0) > 0:
            since = day - d
            break
        if unknown(d):
            known = False
            break
    out["days_since_meeting"] = since if known and since < math.inf else math.nan
    out["recency"] = (
        (0.0 if since == math.inf else 2 ** (-since / half_life)) if known else math.nan
    )
    resident = [any(a < d <= b for a, b in stays) for d in range(1, day + 1)]
    out["in_house"] = float(any(a < day <= b for a, b in stays))
    out["house_days"] = float(sum(resident[:-1]))
    lived = [float(any(a < d <= b for a, b in stays)) for d in range(day - 60, day)]
    for w in windows:
        out[f"house_days_last{w}"] = sum(lived[-w:])
    past = range(0, day - lag)
    out["meetings_total"] = (
        math.nan if any(unknown(d) for d in past) else sum(meetings.get(d, 0.0) for d in past)
    )
    far = range(-100, day - lag)
    out["meetings_decayed"] = (
        math.nan
        if any(unknown(d) for d in far)
        else sum(meetings.get(d, 0.0) * 2 ** (-(day - d) / half_life) for d in far)
    )
    return out


people = st.integers(1, 4)


@st.composite
def cohorts(draw: st.DrawFn) -> dict[str, Dataset]:
    n = draw(people)
    half = st.integers(0, 24).map(lambda x: x / 2)
    start = [draw(half) for _ in range(n)]
    stop = [s + draw(st.integers(1, 40).map(lambda x: x / 2)) for s in start]
    persons = dataset(
        pid=[10.0 + i for i in range(n)],
        entry=start,
        time=stop,
        event=[float(draw(st.booleans())) for _ in range(n)],
        first=[float(draw(st.sampled_from([-3, 0, 4, 9]))) for _ in range(n)],
        last=[float(draw(st.sampled_from([3, 12, 50]))) for _ in range(n)],
    )
    m = draw(st.integers(0, 15))
    diary = pd.DataFrame(
        {
            "pid": [10.0 + draw(st.integers(0, n - 1)) for _ in range(m)] + [10.0],
            "day": [float(draw(st.integers(-40, 30))) for _ in range(m)] + [99.0],
            "count": [draw(st.sampled_from([1.0, 2.0, 0.0, math.nan])) for _ in range(m)] + [1.0],
        }
    )
    s = draw(st.integers(0, 4))
    moved_in = [float(draw(st.integers(-5, 20))) for _ in range(s)]
    stays = pd.DataFrame(
        {
            "pid": [10.0 + draw(st.integers(0, n - 1)) for _ in range(s)] + [10.0],
            "moved_in": [*moved_in, 200.0],
            "moved_out": [
                draw(st.sampled_from([x, x + 3, x + 30, math.nan])) for x in moved_in
            ] + [201.0],
        }
    )  # fmt: skip
    return {"persons": persons, "meetings": Dataset(diary), "stays": Dataset(stays)}


def by_loop(
    tables: dict[str, Dataset], windows: tuple[int, ...], half_life: float, lag: int
) -> pd.DataFrame:
    rows = []
    for p in tables["persons"].frame.itertuples():
        mine = tables["meetings"].frame.query("pid == @p.pid")
        meetings: dict[int, float] = {}
        unclear = {int(m.day) for m in mine.itertuples() if math.isnan(m.count)}
        for m in mine.dropna().itertuples():
            meetings[int(m.day)] = meetings.get(int(m.day), 0.0) + m.count
        stays = [
            (s.moved_in, math.inf if math.isnan(s.moved_out) else s.moved_out)
            for s in tables["stays"].frame.query("pid == @p.pid").itertuples()
        ]
        for day in range(math.floor(p.entry) + 1, math.ceil(p.time) + 1):
            row = one_day(day, meetings, unclear, stays, (p.first, p.last), windows, half_life, lag)
            row |= {"pid": p.pid, "start": max(day - 1.0, p.entry), "stop": min(day, p.time)}
            row["event"] = p.event if day == math.ceil(p.time) else 0.0
            rows.append(row)
    return pd.DataFrame(rows)


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.integers(0, 3))
def test_every_day_is_what_the_loop_says(tables: dict[str, Dataset], lag: int) -> None:
    windows = (1, 7, 10)
    made = person_days(
        tables["persons"],
        meetings=tables["meetings"],
        stays=tables["stays"],
        windows=windows,
        half_life=2.5,
        lag=lag,
        also=("total", "decayed", "house_windows"),
        **NAMES,
    ).frame
    expected = by_loop(tables, windows, 2.5, lag)
    for column in expected:
        np.testing.assert_allclose(made[column], expected[column], atol=EXACT, err_msg=column)


@settings(max_examples=40, deadline=None)
@given(cohorts(), st.integers(0, 3))
def test_merged_rows_say_the_same_as_days(tables: dict[str, Dataset], lag: int) -> None:
    asked = {
        "meetings": tables["meetings"],
        "stays": tables["stays"],
        "windows": (7, 2),
        "lag": lag,
        **NAMES,
    }
    days = person_days(tables["persons"], daily=True, **asked).frame
    merged = person_days(tables["persons"], **asked).frame
    assert len(merged) <= len(days)
    check_rows(Dataset(merged), person="pid", start="start", stop="stop", event="event")
    columns = ["meetings_last7", "meetings_last2", "in_house"]
    for day in days.itertuples():
        row = merged.query("pid == @day.pid and start <= @day.start and stop >= @day.stop")
        assert len(row) == 1
        for c in columns:
            np.testing.assert_equal(row[c].iloc[0], getattr(day, c))
    for frame in (days, merged):
        assert frame["event"].sum() == tables["persons"].frame["event"].sum()
    again = merged["pid"].eq(merged["pid"].shift())
    same = merged[columns].fillna(-1).eq(merged[columns].fillna(-1).shift()).all(axis=1)
    assert not (again & same).any()


def test_a_meeting_counts_from_the_next_day_for_a_week() -> None:
    made = person_days(
        dataset(pid=[1], time=[20], event=[1], sex=["f"]),
        person="pid",
        stop="time",
        event="event",
        meetings=dataset(pid=[1], day=[5]),
        meeting_day="day",
        windows=(7,),
    )
    frame = made.frame
    assert frame["start"].tolist() == [0, 5, 12]
    assert frame["stop"].tolist() == [5, 12, 20]
    assert frame["meetings_last7"].tolist() == [0, 1, 0]
    assert frame["event"].tolist() == [0, 0, 1]
    assert frame["sex"].tolist() == ["f"] * 3
    assert made.flow[-1].kept == 3
    assert made.label("meetings_last7") == "Meetings in the 7 days before"


def test_leaving_on_the_day_of_relapse_is_not_a_cause_of_it() -> None:
    made = person_days(
        dataset(pid=[1], time=[10], event=[1]),
        person="pid",
        stop="time",
        event="event",
        stays=dataset(pid=[1], moved_in=[0], moved_out=[10]),
        stay_start="moved_in",
        stay_stop="moved_out",
    ).frame
    assert made["in_house"].tolist() == [1.0]


def test_lag_turns_the_newest_meetings_off() -> None:
    asked = {"person": "pid", "stop": "time", "event": "event", "meeting_day": "day"}
    people, diary = dataset(pid=[1], time=[30], event=[0]), dataset(pid=[1], day=[5])
    late = person_days(people, meetings=diary, windows=(7,), lag=3, **asked).frame
    assert late["start"].tolist() == [0, 8, 15]
    assert late["meetings_last7"].tolist() == [0, 1, 0]


def test_days_without_diary_are_unknown() -> None:
    made = person_days(
        dataset(pid=[1, 2], time=[10, 10], event=[0, 0], last=[4, math.nan]),
        person="pid",
        stop="time",
        event="event",
        meetings=dataset(pid=[1], day=[2]),
        meeting_day="day",
        windows=(3,),
        diary_to="last",
    ).frame
    first = made[made["pid"] == 1]
    assert first["stop"].tolist() == [2, 5, 10]
    np.testing.assert_equal(first["meetings_last3"].to_numpy(), [0, 1, math.nan])
    # day 1 of the person without a diary needs day 0, which nobody wrote down
    assert made[made["pid"] == 2]["meetings_last3"].isna().all()


def test_landmark_counts_attendance_before_it_only() -> None:
    made = landmark(
        dataset(pid=[1, 2, 3], time=[50, 28, 60], event=[1, 1, 0], last=[60, 60, 10]),
        28,
        person="pid",
        stop="time",
        event="event",
        meetings=dataset(pid=[1, 1, 1, 2, 3], day=[0, 27, 28, 3, 3]),
        meeting_day="day",
        diary_to="last",
    )
    frame = made.frame
    assert frame["pid"].tolist() == [1, 3]
    np.testing.assert_equal(frame["meetings_before"].to_numpy(), [2, math.nan])
    np.testing.assert_equal(frame["meetings_per_week"].to_numpy(), [0.5, math.nan])
    assert frame["landmark"].tolist() == [28, 28]
    assert made.flow[-1].kept == 2


def test_naive_frequency_divides_by_the_whole_follow_up() -> None:
    made = naive_frequency(
        dataset(pid=[1, 2], time=[14, 7]),
        person="pid",
        stop="time",
        meetings=dataset(pid=[1, 1, 2, 2], day=[1, 14, 8, 2]),
        meeting_day="day",
    ).frame
    assert made["meetings_total"].tolist() == [2, 1]
    assert made["meetings_per_week"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time": [5.0, 0.0]}, "not before 'time' in 1 rows"),
        ({"time": [5.0, -1.0]}, "negative in 1 rows"),
        ({"time": [5.0, math.nan]}, "empty in 1 rows"),
        ({"event": [1.0, 2.0]}, "1 rows are neither"),
        ({"pid": [1, 1]}, "1 rows repeat"),
        ({"time": ["a", "b"]}, "must hold numbers"),
    ],
)
def test_wrong_people_are_named_by_row(changes: dict[str, object], words: str) -> None:
    columns: dict[str, object] = {"pid": [1, 2], "time": [5.0, 6.0], "event": [1.0, 0.0]}
    with pytest.raises(DataError, match=words):
        person_days(dataset(**(columns | changes)), person="pid", stop="time", event="event")


def test_keys_of_different_types_are_found_out() -> None:
    people = dataset(pid=[1, 2], time=[5.0, 6.0], event=[1.0, 0.0])
    with pytest.raises(DataError, match="Are both numbers, or both text"):
        person_days(
            people,
            person="pid",
            stop="time",
            event="event",
            meetings=dataset(pid=["1", "2"], day=[1, 2]),
            meeting_day="day",
        )
    with pytest.raises(UsageError, match="half-life"):
        person_days(people, person="pid", stop="time", event="event", half_life=0)


def test_overlapping_rows_are_refused() -> None:
    rows = dataset(pid=[1, 1, 2], start=[0, 4, 2], stop=[5, 9, 7], event=[0, 1, 0])
    with pytest.raises(DataError, match="1 rows of 1 people"):
        check_rows(rows, person="pid", start="start", stop="stop", event="event")


def test_a_million_person_days_take_about_a_second() -> None:
    rng = np.random.default_rng(1)
    n = 3000
    people = dataset(pid=np.arange(n), time=np.full(n, 334.0), event=rng.integers(0, 2, n))
    diary = dataset(pid=rng.integers(0, n, 150_000), day=rng.integers(0, 334, 150_000))
    asked = {"person": "pid", "stop": "time", "event": "event", "meeting_day": "day"}
    began = time.process_time()
    made = person_days(people, meetings=diary, half_life=2.0, **asked)
    assert len(made) > 1_000_000
    assert time.process_time() - began < 5  # a second on an idle machine


def test_plain_frames_and_what_is_asked_for() -> None:
    people = pd.DataFrame({"pid": [1, 2], "time": [5.0, 6.0], "event": [1.0, 0.0]})
    diary = pd.DataFrame({"pid": [1, 1], "day": [0, 2]})
    asked = {"person": "pid", "stop": "time", "event": "event", "meeting_day": "day"}
    rows = rs.person_days(people, meetings=diary, windows=(), also=("total",), **asked)
    assert rows.frame["meetings_total"].tolist() == [1, 2, 0]
    assert rs.landmark(people, 3, meetings=diary, **asked).frame["meetings_before"].tolist() == [
        2,
        0,
    ]
    for also, words in (
        (("decayed",), "needs a half_life"),
        (("house_windows",), "daily=True"),
        (("totals",), "Did you mean 'total'"),
    ):
        with pytest.raises(UsageError, match=words):
            rs.person_days(people, meetings=diary, also=also, **asked)  # type: ignore[arg-type]
