"""What must hold for every definition of the library, whatever the pattern."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recovery_stats as rs
from recovery_stats.data.endpoints import ENDPOINTS
from recovery_stats.errors import DataError, UsageError

PATTERNS = st.lists(st.text("+-*o", min_size=1, max_size=40), min_size=1, max_size=12)
WITH_GAPS = st.lists(st.text("+-*o_", min_size=1, max_size=40), min_size=1, max_size=12)
CALENDAR_FREE = (
    "Ab_fiellin_2006",
    "Ab_kosten_1993",
    "Ab_schottenfeld_2005",
    "Ab_ctnThirty_2011",
    "Rd_fudala_2003",
    "Rd_kostenB_1993",
    "Rd_soyka_2008",
    "Rd_strang_2010",
    "Rd_tanum_2017",
    "Rs_krupitsky_2004",
)
MISSED_IS_NO_GAIN = [
    e.name
    for e in ENDPOINTS.values()
    if e.missing == "Positive" and e.name != "Rd_tanum_2017"  # divides by those before dropout
]


def values(patterns, name, **options):
    found = rs.endpoint(pd.Series(patterns, dtype=object), name, **options)
    return found.astype(float).to_numpy()


def good(patterns, name):
    """Larger is better: the value, or the week of the event (never: beyond every week)."""
    found = values(patterns, name)
    if found.ndim == 2:
        return np.where(found[:, 1] == 1, found[:, 0], np.inf)
    return found if ENDPOINTS[name].better == "more" else -found


@pytest.mark.parametrize("name", ENDPOINTS)
@settings(max_examples=25, deadline=None)
@given(WITH_GAPS)
def test_visits_not_scheduled_at_the_end_change_nothing(name, patterns):
    longer = [p + "___" for p in patterns]
    assert np.array_equal(values(patterns, name), values(longer, name), equal_nan=True)


@pytest.mark.parametrize("name", CALENDAR_FREE)
@settings(max_examples=50, deadline=None)
@given(WITH_GAPS)
def test_where_no_week_is_named_a_visit_not_scheduled_is_no_visit(name, patterns):
    closed = [p.replace("_", "") for p in patterns]
    assert np.array_equal(values(patterns, name), values(closed, name), equal_nan=True)


@pytest.mark.parametrize("name", [n for n in ENDPOINTS if not ENDPOINTS[n].of_missing])
@settings(max_examples=40, deadline=None)
@given(PATTERNS, st.data())
def test_a_negative_screen_turned_positive_is_never_a_gain(name, patterns, data):
    worse = [turned(p, "-", "+", data) for p in patterns]
    before, after = good(patterns, name), good(worse, name)
    known = ~np.isnan(before)
    assert (after[known] <= before[known] + 1e-12).all()


@pytest.mark.parametrize("name", MISSED_IS_NO_GAIN)
@settings(max_examples=40, deadline=None)
@given(PATTERNS, st.data())
def test_one_more_missed_screen_is_never_a_gain_where_missed_is_positive(name, patterns, data):
    worse = [turned(p, "-", "o", data) for p in patterns]
    before, after = good(patterns, name), good(worse, name)
    known = ~np.isnan(before)
    assert (after[known] <= before[known] + 1e-12).all()


@pytest.mark.parametrize("name", ENDPOINTS)
@settings(max_examples=25, deadline=None)
@given(PATTERNS)
def test_values_stay_in_their_range(name, patterns):
    found, length = values(patterns, name), np.array([len(p) for p in patterns])
    if ENDPOINTS[name].class_ == "time and event":
        assert ((found[:, 0] >= 0) & (found[:, 0] <= length)).all()
        assert set(found[:, 1]) <= {0, 1}
        return
    found = found[~np.isnan(found)]
    most = {"ratio": 120 if "1976" in name else 1, "logical": 1, "count": 40}
    assert ((found >= 0) & (found <= most[ENDPOINTS[name].class_])).all()


@settings(max_examples=50, deadline=None)
@given(WITH_GAPS)
def test_another_missing_rule_is_the_pattern_read_with_it(patterns):
    for rule, symbol in (("positive", "+"), ("negative", "-"), ("ignored", "_")):
        read = [p.replace("o", symbol) for p in patterns]
        for name in ("Rd_fiellin_2006", "Rs_krupitsky_2004", "Ab_shufman_1994", "Rd_haight_2019"):
            assert np.array_equal(
                values(patterns, name, missing=rule), values(read, name), equal_nan=True
            )


def turned(pattern, symbol, to, data):
    places = [i for i, s in enumerate(pattern) if s == symbol]
    if not places:
        return pattern
    at = data.draw(st.sampled_from(places))
    return pattern[:at] + to + pattern[at + 1 :]


def test_the_last_result_is_carried_forward_and_nothing_before_the_first():
    found = rs.endpoint(["oo-oo_o+o"], "Rd_fiellin_2006", missing="carried")
    assert found[0] == 4 / 8


def test_another_missing_rule_does_not_make_people_stay():
    assert not rs.endpoint(["----" + "o" * 20], "Rd_eissenberg_1997", missing="negative")[0]


def test_dropout_has_no_other_missing_rule():
    with pytest.raises(UsageError, match="counts missed visits"):
        rs.endpoint(["-o"], "Dr_ctnNinetyFour_2023", missing="positive")


def test_what_comes_back():
    index = pd.Index(["a", "b", "c"])
    patterns = pd.Series(["----", "++++", None], index=index)
    logical = rs.endpoint(patterns, "Ab_kosten_1993")
    assert logical.tolist()[:2] == [True, False]
    assert logical.isna().tolist() == [False, False, True]
    assert logical.index.equals(index)
    pair = rs.endpoint(patterns, "Rs_ctnNinetyFour_2023")
    assert list(pair.columns) == ["time", "event"]
    assert pair["event"].tolist()[:2] == [0, 1]
    one = rs.endpoint(patterns, "RsT_ctnNinetyFour_2023")
    assert one.equals(pair["time"].rename("RsT_ctnNinetyFour_2023"))
    assert len(rs.endpoint([], "Ab_kosten_1993")) == 0


@pytest.mark.parametrize(
    ("pattern", "time", "event"),
    [
        ("-oooo", 2, 1),
        ("-----", 2, 0),  # the last week in which a run of four could begin
        ("-+_*o+", 2, 1),  # a week not scheduled neither makes nor breaks the run
        ("-+-*o+", 3, 0),
        ("ooo", 0, 0),  # too short for a run of four
    ],
)
def test_four_weeks_make_a_relapse(pattern, time, event):
    found = rs.endpoint([pattern], "Rs_ctnNinetyFour_2023").iloc[0]
    assert (found["time"], found["event"]) == (time, event)


def test_unknown_names_and_rules_are_told_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'Rs_ctnFiftyOne_2018'"):
        rs.endpoint(["---"], "Rs_ctnFiftyOne_2019")
    with pytest.raises(UsageError, match="Did you mean 'positive'"):
        rs.endpoint(["---"], "Ab_kosten_1993", missing="positiv")
    with pytest.raises(UsageError, match="per_week"):
        rs.endpoint(["---"], "Ab_kosten_1993", per_week=0)


def test_unknown_symbols_are_told_by_symbol_place_and_count_and_never_by_pattern():
    patterns = ["--x--", "---", "x+O", "o 0", "-+\x00+", "-−"]
    with pytest.raises(DataError) as error:
        rs.endpoint(patterns, "Rs_ctnFiftyOne_2018")
    message = str(error.value)
    assert message.startswith("5 of 6 patterns have a symbol other than + - * o _: ")
    assert "a space in 1 pattern (inside)" in message
    assert "'0' in 1 pattern (at the end)" in message
    assert "3 more symbols" in message
    assert "rows 1, 3, 4, 5 and 6" in message
    assert "Did you mean '-' and 'o'?" in message
    for pattern in patterns:
        assert pattern == "---" or pattern not in message
    with pytest.raises(DataError, match=r"'x' in 2 patterns \(at the start, inside\)"):
        rs.endpoint(["-x-", "x--"], "Ab_kosten_1993")


def test_patterns_that_are_no_text():
    with pytest.raises(DataError, match=r"2 of 3 patterns of visits are not text, in rows 1 and 3"):
        rs.endpoint([1.0, "--", b"--"], "Ab_kosten_1993")


@pytest.mark.parametrize("name", [e.name for e in ENDPOINTS.values() if not e.of_missing])
@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("+-*o", min_size=15, max_size=40), min_size=1, max_size=12))
def test_missed_screens_are_read_as_the_entry_says(name, patterns):
    symbol = {"as use": "+", "as no use": "-", "left out": "_"}.get(ENDPOINTS[name].reads_missed)
    if symbol is None:
        return
    attended = [p for p in patterns if p.strip("o")]
    read = [p.replace("o", symbol) for p in attended]
    if attended:
        assert values(attended, name) == pytest.approx(values(read, name))


@pytest.mark.parametrize(
    "name", [e.name for e in ENDPOINTS.values() if e.reads_missed not in ("as use", "as no use")]
)
def test_entries_that_read_them_in_another_way_do(name):
    """Some pattern must tell each of them from reading missed screens as use, and as no use."""
    rng = np.random.default_rng(3)
    patterns = ["".join(rng.choice([*"+-*oo"], rng.integers(15, 30))) for _ in range(400)]
    for symbol in "+-":
        read = [p.replace("o", symbol) for p in patterns]
        assert not np.array_equal(values(patterns, name), values(read, name), equal_nan=True)
