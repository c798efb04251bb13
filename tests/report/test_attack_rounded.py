"""Attacks on documents whose profile rounds counts: what was rounded must not come back.

The attacker has every printed number and the rule itself, and tries every count there could be:
a share with its limits, the differences and ratios of two shares, steps of curves, rates.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.cell import Count, Hidden, Quantity, Share, Shown
from recovery_stats.core.document import (
    CaterpillarFigure,
    Column,
    CurveFigure,
    Document,
    Flow,
    LineFigure,
    Paragraph,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import PROFILES
from recovery_stats.report import render
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.privacy.coarse import nice
from recovery_stats.report.privacy.midpoint import account, from_rounded, midpoint
from recovery_stats.report.privacy.plain import wilson
from tests.report import example
from tests.tolerance import CLOSED_FORM

SAFELY = PROFILES["opensafely"]
FEWEST = 3  # values that every rounded count must still be able to have


def document(*blocks, estimates=()):
    return Document("attack", "Attack", "SYNTHETIC", tuple(blocks), estimates)


def near(count):
    """The counts that are rounded like this one."""
    return [n for n in range(count - 5, count + 6) if told(n) == told(count)]


def told(n):
    return 5 * math.floor(n / 5 + 0.5)


# --- shares with limits ------------------------------------------------------------------


def test_shares_with_limits_of_groups_are_those_of_rounded_counts():
    """Share and limits give one pair of counts back: the rounded one, in its own order."""
    groups = [(12, 31), (18, 42), (17, 43), (40, 63), (26, 52)]
    rows = sorted((*wilson(*g, 0.95), g) for g in groups)
    value, low, high, shares = zip(*rows, strict=True)
    at = tuple(min(k, n - k) for k, n in shares)
    figure = CaterpillarFigure("sites", "c", "Share", value, low, high, at, (), shares)
    (safe,) = disclose(document(figure), SAFELY).blocks
    assert safe.shares == safe.n_at == ()
    assert "counts rounded to the nearest 5" in safe.notes[-1]
    found = [counts_behind(*x) for x in zip(safe.value, safe.low, safe.high, strict=True)]
    assert sorted(found) == sorted((told(k), told(n)) for k, n in groups)
    assert list(safe.value) == sorted(safe.value)
    same = [(k + 1, n - 1) if told(k + 1) == told(k) and told(n - 1) == told(n) else (k, n)
            for k, n in shares]  # fmt: skip
    assert same != list(shares)
    other = replace(figure, shares=tuple(same), value=tuple(k / n for k, n in same))
    assert disclose(document(other), SAFELY).blocks == (safe,)


def test_limits_of_a_share_are_wilsons():
    """8 of 10: Wilson 1927 gives 0.490 to 0.943."""
    assert wilson(8, 10, 0.95) == pytest.approx((0.8, 0.4901625, 0.9433178), abs=1e-6)


def counts_behind(*drawn):
    pairs = ((k, n) for n in range(1, 200) for k in range(n + 1))
    (found,) = [
        g for g in pairs if max(map(abs, map(float.__sub__, wilson(*g, 0.95), drawn))) < 1e-9
    ]
    return found


def test_shares_of_a_line_are_told_in_steps_and_means_as_printed():
    seen, cells = (372, 341, 318), (400, 390, 371)
    y = tuple(a / b for a, b in zip(seen, cells, strict=True))
    at = tuple(b - a for a, b in zip(seen, cells, strict=True))
    shares = Series("observed", (0.0, 1.0, 2.0), y, n_at=at)
    means = Series("mean", (0.0, 1.0), (1786 / 132, 1411 / 115), n_at=(132, 115))
    figures = [LineFigure("l", "c", "Wave", "y", (s,)) for s in (shares, means)]
    first, second = disclose(document(*figures), SAFELY).blocks
    assert first.series[0].y == pytest.approx((0.92, 0.88, 0.86), abs=1e-12)
    assert second.series[0].y == (13.53, 12.27)


# --- two arms ----------------------------------------------------------------------------


def two_arms(k1, n1, k0, n0):
    """Plain risks of two arms with difference, ratio and odds ratio, by their large-sample laws."""
    p, q = k1 / n1, k0 / n0
    risks = [
        Estimate(name, "", *wilson(k, n, 0.95), scale="probability", n=n, events=k)
        for name, k, n in (("one", k1, n1), ("other", k0, n0))
    ]
    se = math.sqrt(p * (1 - p) / n1 + q * (1 - q) / n0)
    difference = Estimate("rd", "", p - q, p - q - 1.96 * se, p - q + 1.96 * se, se,
                          math.erfc(abs(p - q) / se / math.sqrt(2)), n1 + n0 - 2.0)  # fmt: skip
    spread = math.sqrt((1 - p) / k1 + (1 - q) / k0)
    wide = math.sqrt(1 / k1 + 1 / (n1 - k1) + 1 / k0 + 1 / (n0 - k0))
    ratios = [
        Estimate(name, "", r, r * math.exp(-1.96 * s), r * math.exp(1.96 * s), s, scale="ratio")
        for name, r, s in (("rr", p / q, spread), ("or", p * (1 - q) / q / (1 - p), wide))
    ]
    return (*risks, difference, *ratios)


def printed(counts):
    """Everything a reader has of two arms under the rounding profile."""
    k1, n1, k0, n0 = counts
    made = two_arms(*counts)
    said = Paragraph((Share(k1, n1), Share(k0, n0), *(Shown(e) for e in made)))
    safe = disclose(document(said, estimates=made), SAFELY)
    numbers = [(e.value, e.low, e.high, e.p, e.df) for e in safe.estimates]
    return repr((safe.blocks[0].parts[:2], numbers))


def test_effects_of_two_arms_do_not_give_the_counts_back():
    """All counts that round alike are tried: many print the same, and none is determined."""
    true = (38, 93, 52, 104)
    seen = printed(true)
    assert {printed(c) for c in product(*map(near, true))} == {seen}


def test_effects_of_rounded_counts_are_those_by_hand():
    """40 of 95 against 50 of 105, and an error half as large again for clusters."""
    plain = two_arms(38, 93, 52, 104)
    wide = (*plain[:2], *(replace(e, se=1.5 * e.se) for e in plain[2:]))
    said = Paragraph((Share(38, 93), Share(52, 104)))
    for made, design in ((plain, 1.0), (wide, 1.5)):
        one, other, rd, rr, odds = disclose(document(said, estimates=made), SAFELY).estimates
        assert one.value == pytest.approx(40 / 95)
        assert (other.low, other.high) == pytest.approx(wilson(50, 105, 0.95)[1:])
        p, q, z = 40 / 95, 50 / 105, 1.959964
        half = z * design * math.sqrt(p * (1 - p) / 95 + q * (1 - q) / 105)
        assert (rd.value, rd.high) == pytest.approx((p - q, p - q + half), rel=1e-6)
        far = z * design * math.sqrt(1 / 40 - 1 / 95 + 1 / 50 - 1 / 105)
        assert (rr.value, rr.high) == pytest.approx((p / q, p / q * math.exp(far)), rel=1e-6)
        wide_out = z * design * math.sqrt(1 / 40 + 1 / 55 + 1 / 50 + 1 / 55)
        assert odds.value == pytest.approx(40 * 55 / (50 * 55))
        assert odds.low == pytest.approx(odds.value * math.exp(-wide_out), rel=1e-6)
        assert rd.method == "of rounded counts"


def test_estimates_of_a_model_keep_the_digits_of_the_page():
    model = Estimate("hr", "HR", 0.812345678, 0.61234567, 1.0765432, 0.1444444, 0.14888888,
                     397.0, scale="ratio", n=400)  # fmt: skip
    (e,) = disclose(document(estimates=(model,)), SAFELY).estimates
    assert (e.value, e.low, e.high, e.se, e.p, e.df) == (0.81, 0.61, 1.08, 0.144, 0.149, 395.0)


def test_steps_are_one_two_or_five_of_a_power_of_ten():
    found = [nice(x) for x in (0.004, 0.01, 0.013, 0.03, 0.07, 3.0, 0.0, -1.0)]
    assert found == pytest.approx([0.005, 0.01, 0.02, 0.05, 0.1, 5.0, 1.0, 1.0], rel=CLOSED_FORM)


@pytest.mark.parametrize(
    ("scale", "three", "says"),
    [
        ("probability", (0.5123, 0.4031, 0.6062), (0.5, 0.4, 0.7)),
        ("time", (241.7, 221.3, 262.2), (240.0, 220.0, 280.0)),
        ("difference", (0.0213, -0.171, 0.214), (0.0, -0.2, 0.3)),
        ("difference", (21.3, -17.1, 59.7), (20.0, -20.0, 60.0)),
        ("ratio", (1.23, 0.61, 2.48), (1.2, 0.6, 2.6)),
    ],
)
def test_descriptions_are_told_in_steps_with_their_limits_outward(scale, three, says):
    """Of 95 people five move a share by 0.053: steps of 0.1, of a time as much of its size."""
    raw = Estimate("x", "", *three, 0.1, 0.0345, scale=scale, level="descriptive", n=95, method="m")
    (e,) = disclose(document(estimates=(raw,)), SAFELY).estimates
    assert (e.value, e.low, e.high, e.p) == pytest.approx((*says, 0.03), abs=1e-9)
    assert math.isnan(e.se)
    assert e.method == "m; in steps of what 5 people change"


def test_other_numbers_of_a_table_keep_the_digits_of_the_page():
    cells = (Quantity(0.123456, "p"), Quantity(0.000123456, "p"), Quantity(0.123456, "percent", 95),
             Quantity(0.123456, "percent"), Quantity(14.04, "df"), Quantity(393.3, "df"),
             Quantity(1234.5678, "whole"), Quantity(0.234567))  # fmt: skip
    columns = tuple(Column(str(i), str(i)) for i in range(len(cells)))
    (safe,) = disclose(document(Table("t", "c", columns, (Row("r", "R", cells),))), SAFELY).blocks
    told_ = [c.value for c in safe.rows[0].cells]
    assert told_ == pytest.approx(
        [0.123, 0.0001, 0.1, 0.12, 14.0, 395.0, 1234.5678, 0.235], rel=CLOSED_FORM
    )


def test_a_share_of_some_is_never_told_as_none_or_as_all():
    few, none = (0.072, 0.95, 0.5, 1.0), Quantity(0.0, "percent")
    cells = (*(Quantity(share, "percent", 30) for share in few), none)
    columns = tuple(Column(str(i), str(i)) for i in range(len(cells)))
    (safe,) = disclose(document(Table("t", "c", columns, (Row("r", "R", cells),))), SAFELY).blocks
    low, high, half, whole, none = safe.rows[0].cells
    assert (low, high) == (Hidden(0), Hidden(0))
    assert (none.value, half.value, whole.value) == (0.0, 0.4, 1.0)  # steps of 0.2
    assert {c.style for c in (none, half, whole)} == {"whole_percent"}


@pytest.mark.parametrize("rank", ["descriptive", "secondary"])
def test_mean_days_are_told_in_steps_and_of_few_events_not_at_all(rank):
    """Of 171 people five move a mean of 400 days by 12: a step of 20."""
    days = Estimate("lost", "", 400.2, 358.5, 441.8, 21.0, 0.007, scale="time", level=rank, n=171,
                    events=120)  # fmt: skip
    few = replace(days, name="few", level="descriptive", events=5)
    found = disclose(document(estimates=(days, few)), SAFELY).estimates
    (e,) = found
    assert (e.value, e.low, e.high) == (400.0, 340.0, 460.0)


def test_the_flow_says_that_its_counts_are_rounded():
    """393 and 342 left after 51: 395, 340 and 50 do not add up without a word."""
    steps = (("In", Count(393), None), ("Seen", Count(342), Count(51)))
    arms = ((), ((Count(190), None), (Count(152), None)))
    words = "Counts are rounded to the nearest 5."
    for flow in (Flow(steps), Flow(steps, (), ("A", "B"), arms, ((), ()))):
        for profile, told in ((SAFELY, True), (PROFILES["cms"], False)):
            safe = disclose(document(flow), profile)
            assert (words in render(safe, "md").decode()) is told
            assert (words in render(safe, "html").decode()) is told


def test_a_rate_times_its_base_does_not_give_the_events_back():
    """69 events in 88.6 person-years."""
    columns = tuple(Column(k, k) for k in ("people", "events", "years", "rate"))
    row = Row("a", "A", (Count(93), Count(69, "events"), Quantity(88.6), Quantity(6900 / 88.6)))
    (safe,) = disclose(document(Table("t", "c", columns, (row,))), SAFELY).blocks
    _, events, years, rate = safe.rows[0].cells
    assert events.n == 70
    reach = [a * b / 100 for a in (years.value - 5, years.value + 5)
             for b in (rate.value - 5, rate.value + 5)]  # fmt: skip
    assert max(reach) - min(reach) > 2 * FEWEST


# --- curves ------------------------------------------------------------------------------


def test_midpoints_are_those_of_the_documentation():
    assert [midpoint(n, 6) for n in (0, 1, 6, 7, 12, 13, 18)] == [0, 3, 3, 9, 9, 15, 15]
    assert [midpoint(-n, 6) for n in (1, 7)] == [-3, -9]
    assert [midpoint(n, 1) for n in range(9)] == list(range(9))


def drawn(people, seed):
    """A curve and its figure after disclosure."""
    series = example.curve("A", people, 0.002, seed)
    raw = CurveFigure("c", "c", "Days", "S", (series,), (0.0, 90.0, 180.0, 365.0))
    draft = compose(example.result(figures={"c": raw}), "T", "# T\n\n[[c]]")
    (safe,) = disclose(draft, SAFELY).blocks
    return series, safe


def test_unrounded_counts_give_the_curve_itself():
    series = example.curve("A", 120, 0.002, 1)
    same = from_rounded(series, (), 1)
    assert same.y == pytest.approx(series.y, rel=CLOSED_FORM)
    assert same.low == pytest.approx(series.low, rel=CLOSED_FORM)


def lived(people=90, seed=3):
    """Days and causes (0 censored) of some people."""
    draw = np.random.default_rng(seed)
    days = np.ceil(draw.exponential(150.0, people))
    cause = np.where(days > 300, 0, draw.integers(0, 3, people))
    return pd.DataFrame({"days": np.minimum(days, 300.0), "cause": cause})


def test_unrounded_counts_of_competing_events_give_their_incidence():
    found = rs.cumulative_incidence("Surv(days, cause) ~ 1", lived())
    one, other = (found.series(c)[0] for c in found.causes)
    for series, rival in ((one, other), (other, one)):
        made = from_rounded(series, (rival,), 1)
        assert made.y == pytest.approx(series.y, rel=CLOSED_FORM)
        assert made.high == pytest.approx(series.high, rel=CLOSED_FORM)


def test_the_band_is_that_of_the_rounded_counts():
    """Limits on the scale log(−log) with Greenwood's variance of rounded counts, by hand."""
    data = lived().assign(event=lambda d: (d["cause"] > 0) * 1.0)
    (series,) = rs.kaplan_meier("Surv(days, event) ~ 1", data).series()
    made = from_rounded(series, (), 6)
    events, risk = np.cumsum(series.events_at), np.array(series.n_at)
    own = np.array([midpoint(int(n), 6) for n in events])
    left = [midpoint(int(90 - n - e), 6) for n, e in zip(risk[1:], events[:-1], strict=True)]
    d = np.diff(own, prepend=0)
    n = midpoint(90, 6) - np.r_[0, own[:-1]] - np.r_[0, left]
    S, variance = np.cumprod(1 - d / n), np.cumsum(d / (n * (n - d)))
    k = len(S) // 2
    turn = np.exp(1.959964 * np.sqrt(variance[k]) / -np.log(S[k]))
    assert made.y == pytest.approx(tuple(S), rel=CLOSED_FORM)
    assert (made.low[k], made.high[k]) == pytest.approx(
        (S[k] ** turn, S[k] ** (1 / turn)), rel=1e-6
    )


@pytest.mark.parametrize("people", [40, 120, 400])
@pytest.mark.parametrize("seed", range(3))
def test_every_count_of_its_bin_gives_the_same_curve(people, seed):
    """Counts at the low end of every bin draw what the true ones draw: none can be told."""
    series, safe = drawn(people, seed)
    known = account(series, ())

    def lowest(n):
        return 6 * ((n - 1) // 6) + 1 if n > 0 else n

    assert known.rounded(6).curve(falling=True) == replace(
        known, people=lowest(people), own=tuple(map(lowest, known.own)),
        left=tuple(map(lowest, known.left)),
    ).rounded(6).curve(falling=True)  # fmt: skip
    (after,) = safe.series
    of_bins = dict(zip(series.x, known.rounded(6).curve(falling=True)[0], strict=True))
    true = dict(zip(series.x, series.y, strict=True))
    for x, y in list(zip(after.x, after.y, strict=True))[1:-1]:
        last = max(t for t in series.x if t < x)
        assert y == pytest.approx(of_bins[last], abs=6e-4)
        assert abs(y - true[last]) < 6.5 / people
    assert any("midpoint of every 6" in note for note in safe.notes)
