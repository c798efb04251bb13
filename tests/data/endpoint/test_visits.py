"""Patterns from tables of screens and diaries, and weeks from finer patterns."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError

SHARED = Path(__file__).parents[4] / "shared/data/ctn0094"


def patterns(rows, **options):
    table = pd.DataFrame(rows, columns=["who", "week", "uds"])
    return rs.visit_patterns(table, person="who", time="week", result="uds", **options)


@pytest.mark.skipif(not SHARED.exists(), reason="the trial data are not beside the project")
def test_the_weekly_table_of_a_trial_gives_the_patterns_in_its_table_of_people():
    weeks = rs.read_spss(SHARED / "ctn0094_week.sav")
    table = rs.read_spss(SHARED / "ctn0094_person.sav").frame.set_index("ID")
    people = table["UDSWEEKS"]
    options = {"person": "ID", "time": "WEEK", "result": "UDS", "not_scheduled": (8,)}
    found = rs.visit_patterns(weeks, **options)
    assert len(found) == 2492
    assert (found == people.loc[found.index]).all()
    everyone = rs.visit_patterns(weeks, scheduled=people.str.len(), **options)
    assert (everyone.loc[found.index] == found).all()
    never = everyone.index.difference(found.index)
    assert len(never) == 1068
    assert (everyone.loc[never] == people.loc[never].str.len().map("o".__mul__)).all()
    assert (table.index[table["RANDDAY"].isna()].sort_values() == never.sort_values()).all()
    screened = never[people.loc[never].str.contains("[^o]")]
    assert (people.loc[screened].str.count("o") == people.loc[screened].str.len() - 1).all()
    assert people.loc[screened].str.contains("+", regex=False).all()
    assert (len(screened), set(table.loc[screened, "PROJECT"])) == (45, {27})


def test_rows_are_the_scheduled_visits_and_no_pattern_is_padded():
    found = patterns([("a", 1, 0), ("a", 2, None), ("a", 4, 1), ("b", 1, 2)])
    assert found.to_dict() == {"a": "-o_+", "b": "*"}


def test_scheduled_places_without_a_row_are_missed():
    rows = [("a", 1, 0), ("a", 3, 1)]
    assert patterns(rows, scheduled=4).to_dict() == {"a": "-o+o"}
    found = patterns(rows, scheduled={"a": 3, "never": 2})
    assert found.to_dict() == {"a": "-o+", "never": "oo"}
    with pytest.raises(DataError, match="behind the places scheduled"):
        patterns(rows, scheduled=2)
    with pytest.raises(DataError, match="1 people have none"):
        patterns(rows, scheduled={"b": 2})


def test_symbols_dates_and_diaries():
    assert patterns([("a", 1, "-"), ("a", 2, "o"), ("a", 3, "_")]).to_dict() == {"a": "-o"}
    diary = patterns([("a", 1, 0.0), ("a", 2, 2.5), ("a", 3, None)], kind="diary")
    assert diary.to_dict() == {"a": "-+o"}
    days = pd.to_datetime(["2024-03-01", "2024-03-03"])
    dated = pd.DataFrame({"who": "a", "day": days, "first": days[0], "uds": [0, 1]})
    options = {"person": "who", "time": "day", "result": "uds"}
    assert rs.visit_patterns(dated, start="first", **options).to_dict() == {"a": "-_+"}
    with pytest.raises(UsageError, match="first day"):
        rs.visit_patterns(dated, **options)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([("a", 1, 0), ("a", 1, 1)], {}, "share person and place.*rows 0 and 1.*finer time"),
        ([("a", 0, 0)], {}, "no place from 1 on"),
        ([("a", 1.5, 0)], {}, "no place from 1 on"),
        ([(None, 1, 0)], {}, "have no person"),
        ([("a", 1, 7)], {}, "have a result that is none"),
        ([("a", 1, "x")], {}, "have a result that is none"),
        ([("a", 1, -1)], {"kind": "diary"}, "have an amount that is none"),
    ],
)
def test_rows_that_make_no_pattern_are_named(rows, options, words):
    with pytest.raises(DataError, match=words):
        patterns(rows, **options)


@pytest.mark.parametrize(
    ("days", "weeks"),
    [
        ("---oooo" + "-+-----", "-*"),
        ("ooooooo" + "_______" + "-------", "o_-"),
        ("*______" + "++", "*+"),
    ],
)
def test_days_make_weeks(days, weeks):
    assert rs.weekly_patterns([days], 7).tolist() == [weeks]


def test_a_diary_counts_a_week_with_any_use():
    assert rs.weekly_patterns(["--+------"], 3, mixed="+").tolist() == ["+--"]


@settings(deadline=None)
@given(st.lists(st.text("+-*o_", max_size=20), min_size=1, max_size=5), st.integers(1, 7))
def test_each_visit_repeated_makes_the_week_it_stands_for(rows, per_week):
    fine = ["".join(s * per_week for s in p) for p in rows]
    assert rs.weekly_patterns(fine, per_week).tolist() == [p.rstrip("_") for p in rows]
    name = "Rs_ctnFiftyOne_2018"
    assert rs.endpoint(fine, name, per_week=per_week).equals(rs.endpoint(rows, name))
