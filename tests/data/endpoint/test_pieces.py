"""Each piece on paper, and against a slow reading of the same words letter by letter."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recovery_stats as rs
from recovery_stats import VISITS

SYMBOLS = st.text("+-*o_", min_size=1, max_size=40)


def value(rule, pattern):
    found = rs.endpoint([pattern], rule)
    return tuple(found.iloc[0]) if found.ndim == 2 else found.iloc[0]


@pytest.mark.parametrize(
    ("rule", "pattern", "on_paper"),
    [
        (VISITS.count("-"), "-+-*o_-", 3),
        (VISITS.count("-", half="*"), "-+-*o_-", 3.5),
        (VISITS.share("-"), "-+-*o_", 2 / 5),
        (VISITS.share("-", half="*"), "-+-*o_", 2.5 / 5),
        (VISITS.share("+").complement(), "-+-*o_", 1 - 1 / 5),
        (VISITS.observed().share("-"), "-+-*o_", 2 / 4),
        (VISITS.observed().share("-"), "ooo", 0),
        (VISITS.observed().share("+").complement(), "ooo", 1),
        (VISITS.observed().first(3).share("-"), "-oo+o--", 2 / 3),
        (VISITS.recode("o*", "+").count("+"), "-+*o", 3),
        (VISITS.weeks(2, 3).count("-"), "--+--", 1),
        (VISITS.weeks(3, 9).share("-"), "--+-", 1 / 2),
        (VISITS.from_week(3).count("-"), "-----", 3),
        (VISITS.at_weeks(1, 4).share("-"), "-++-", 1),
        (VISITS.last(3).count("-"), "---+o-__", 1),
        (VISITS.longest_run("-"), "-_--o-", 3),
        (VISITS.longest_run("-"), "--o---", 3),
        (VISITS.observed().longest_run("-"), "--o---", 5),
        (VISITS.bridged().longest_run("-"), "--o--oo-", 5),
        (VISITS.bridged().longest_run("-"), "-_o_-", 3),
        (VISITS.until_dropout().share("-"), "-o-ooo", 2 / 3),
        (VISITS.retained(), "-o-ooo", 3),
        (VISITS.retained(), "ooo", 0),
        (VISITS.like_most().share("-"), "--+oo", 4 / 5),
        (VISITS.like_most().share("-"), "--+*oo", 2 / 6),  # a tie makes positive
        (VISITS.standing_for_next(1).count("-"), "-++", 2),
        (VISITS.standing_for_next(1).count("-"), "-_+", 1),
        (VISITS.index((1, 2), missed=0.5, top=10), "+-", 10 * (1 - 1 / 3)),
        (VISITS.index((1, 2), missed=0.5, top=10), "*o", 10 * (1 - 1 / 3)),
        (VISITS.index((1, 2), missed=4, top=10), "o_", 0),
        (VISITS.count("-").at_least(2), "--", 1),
        (VISITS.count("-").at_least(2) & VISITS.count("+").at_most(0), "--+", 0),
        (VISITS.count("-").given(VISITS.retained().at_least(3)), "--o", 0),
        (VISITS.count("-").given(VISITS.retained().at_least(3)), "--+", 2),
        (VISITS.time_to("+", needed=2), "-+-++", (4, 1)),
        (VISITS.time_to("+", needed=2), "+_+--", (1, 1)),
        (VISITS.time_to("+", needed=2, start=2), "++-++", (4, 1)),
        (VISITS.time_to("+", needed=2), "----", (3, 0)),
        (VISITS.time_to("+", needed=2), "---_-_", (3, 0)),  # the last two scheduled: 3 and 5
        (VISITS.time_to("+", needed=2), "-", (0, 0)),
        (VISITS.time_to("+", needed=2, within=4, shown=2), "+--+", (3, 1)),
        (VISITS.time_to("+", needed=2, within=4, shown=2), "+---+-", (5, 0)),
    ],
)
def test_on_paper(rule, pattern, on_paper):
    assert value(rule, pattern) == pytest.approx(on_paper)


@pytest.mark.parametrize(
    "rule",
    [
        VISITS.count("-"),
        VISITS.share("-"),
        VISITS.longest_run("-"),
        VISITS.weeks(4, 5).count("-"),
        VISITS.last(4).share("-"),
        VISITS.retained(),
    ],
)
@pytest.mark.parametrize("pattern", ["", None, "__", "_____"])
def test_nothing_scheduled_is_no_value(rule, pattern):
    assert np.isnan(value(rule, pattern))


def test_a_window_behind_the_pattern_is_no_value_and_a_part_of_it_is_one():
    assert np.isnan(value(VISITS.weeks(4, 5).share("-"), "---"))
    assert value(VISITS.weeks(3, 5).share("-"), "--+-") == 0.5


@settings(deadline=None)
@given(SYMBOLS)
def test_the_longest_run_is_the_longest_match(pattern):
    runs = re.findall(r"-+", pattern.replace("_", ""))
    found = value(VISITS.longest_run("-"), pattern)
    if pattern.strip("_"):
        assert found == max((len(r) for r in runs), default=0)
    else:
        assert np.isnan(found)


@settings(deadline=None)
@given(SYMBOLS, st.integers(1, 4), st.integers(0, 3), st.integers(1, 5))
def test_time_to_is_the_first_window_that_a_reader_finds(pattern, needed, more, start):
    width = needed + more
    visits = [(week, symbol) for week, symbol in enumerate(pattern, 1) if symbol != "_"]
    windows = [visits[i : i + width] for i in range(len(visits) - width + 1)]
    hit = [w[0][0] for w in windows if w[0][0] >= start and sum(s in "+o" for _, s in w) >= needed]
    found = value(VISITS.time_to("+o", needed=needed, within=width, start=start), pattern)
    if not visits:
        assert np.isnan(found).all()
    elif hit:
        assert found == (hit[0], 1)
    else:
        assert found == (windows[-1][0][0] if windows else 0, 0)


@settings(deadline=None)
@given(SYMBOLS)
def test_bridging_is_the_same_sentence_as_a_pattern_of_letters(pattern):
    bridged = re.sub(r"(?<=-)(_*)o(?=_*-)", r"\1-", pattern)
    while bridged != (again := re.sub(r"(-_+)o(?=_*-)", r"\1-", bridged)):
        bridged = again
    plain = pattern.replace("_", "")
    letters = [
        "-" if s == "o" and plain[i - 1 : i] == "-" == plain[i + 1 : i + 2] else s
        for i, s in enumerate(plain)
    ]
    if plain:
        assert value(VISITS.bridged().count("-"), pattern) == letters.count("-")


@settings(deadline=None)
@given(st.lists(SYMBOLS, min_size=1, max_size=8))
def test_people_do_not_touch_each_other(patterns):
    rule = VISITS.bridged().weeks(1, 15).longest_run("-")
    together = rs.endpoint(patterns, rule)
    assert together.equals(type(together)([value(rule, p) for p in patterns], index=together.index))
