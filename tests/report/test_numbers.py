"""The printer of numbers: rounding, p values, intervals, columns."""

from __future__ import annotations

import math

import pytest

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Shown, Spread
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import digits, words
from recovery_stats.report.numbers import cell, column, interval_columns

HR = Estimate("hr", "HR", 0.7234, 0.6149, 0.8512, 0.083, 0.000123, scale="ratio")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.125, 2, "0.12"),  # a tie goes to the even digit
        (0.375, 2, "0.38"),
        (0.285, 2, "0.28"),  # stored as 0.28499999…: the tie is restored before it is broken
        (1.005, 2, "1.00"),
        (-0.0004, 3, "0.000"),  # no negative zero
        (-1234.5, 1, "−1,234.5"),
        (math.nan, 2, "n/a"),
    ],
)
def test_fixed(value: float, decimals: int, text: str) -> None:
    assert digits.fixed(value, decimals) == text


def test_last_bits_do_not_turn_a_digit() -> None:
    for value in (0.285, 2.675, 1.0049999999999999, 0.5 * 0.57):
        up, down = math.nextafter(value, math.inf), math.nextafter(value, -math.inf)
        assert digits.fixed(up, 2) == digits.fixed(value, 2) == digits.fixed(down, 2)


@pytest.mark.parametrize(
    ("p", "table", "prose"),
    [
        (0.0341, ".034", "p = .034"),
        (0.00099, "< .001", "p < .001"),
        (0.001, ".001", "p = .001"),
        (0.9996, "> .999", "p > .999"),
        (0.05, ".050", "p = .050"),
        (0.0, "< .001", "p < .001"),
        (math.nan, "n/a", "n/a"),
    ],
)
def test_p_values(p: float, table: str, prose: str) -> None:
    assert cell(Quantity(p, "p")) == table
    assert cell(Quantity(p, "p"), "prose") == prose


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("value", "0.72"),
        ("interval", "0.72 [0.61, 0.85]"),
        ("low", "0.61"),
        ("full", "0.72, 95% CI [0.61, 0.85], p < .001"),
        ("p", "p < .001"),
        ("statistic", "−3.90"),
        ("df", "∞"),
        ("label", "HR"),
    ],
)
def test_parts_of_a_ratio(part: str, text: str) -> None:
    assert cell(Shown(HR, part), "prose") == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scale", "value", "low", "high", "text"),
    [
        ("ratio", 0.9301, 0.8692, 0.9952, "0.930 [0.869, 0.995]"),
        ("ratio", 1.31, 1.0004, 1.72, "1.3100 [1.0004, 1.7200]"),
        ("ratio", 0.93, 0.869, 1.0004, "0.93 [0.87, 1.00]"),  # holds the null: 1.00 says so
        ("difference", 12.31, 0.0021, 24.6, "12.310 [0.002, 24.600]"),
        ("probability", 0.02, 0.0001, 0.07, "0.020 [0.000, 0.070]"),  # no null to miss
    ],
)
def test_a_limit_short_of_the_null_is_not_printed_as_the_null(
    scale: str, value: float, low: float, high: float, text: str
) -> None:
    estimate = Estimate("e", "", value, low, high, scale=scale)  # type: ignore[arg-type]
    assert cell(Shown(estimate, "interval")) == text


def test_one_more_digit_is_for_one_row_of_a_column() -> None:
    near = Estimate("a", "", 0.9301, 0.8692, 0.9952, p=0.036, scale="ratio")
    far = Estimate("b", "", 0.8892, 0.8224, 0.9612, p=0.002, scale="ratio")
    cells = [Shown(e, "range") for e in (near, far)]
    assert column(cells) == ["[0.869, 0.995]", "[0.82, 0.96]"]
    risk = Estimate("rd", "", -0.09, -0.18, -0.002)
    assert cell(Shown(risk, "per_100"), "prose") == "−9.0 (−18.0 to −0.2)"


def test_per_100_and_open_limits() -> None:
    share = Estimate("s", "", 0.5812, 0.5012, 0.6597, scale="probability")
    assert cell(Shown(share, "per_100"), "prose") == "58 (50 to 66)"
    median = Estimate("m", "", 87.0, 61.0, math.inf, scale="time")
    assert cell(Shown(median, "interval")) == "87.0 [61.0, not estimable]"
    unknown = Estimate("m", "", math.inf, math.nan, math.nan, scale="time")
    assert cell(Shown(unknown, "full")) == "not estimable"


def test_a_number_needed_to_treat_passes_through_infinity() -> None:
    nnt = Estimate("nnt", "", 7.04, -31.2, 4.17)
    assert "benefit 4.2 to ∞ to harm 31.2" in cell(Shown(nnt, "interval"))


@pytest.mark.parametrize(
    ("value", "table", "prose"),
    [
        (Count(12345), "12,345", "12,345"),
        (Share(120, 400), "120 (30.0%)", "120 of 400 (30.0%)"),
        (Share(12, 40), "12 (30%)", "12 of 40 (30%)"),
        (Share(0, 0), "0 (n/a)", "0 of 0 (n/a)"),
        (Spread(34.21, 9.84, 50), "34.21 (9.84)", "34.21 (9.84)"),
        (Spread(39.91, 11.36, 50), "39.9 (11.4)", "39.9 (11.4)"),
        (Quantity(0.123, "percent"), "12.3%", "12.3%"),
        (Quantity(11.4, "df"), "11.4", "11.4"),
        (Quantity(24.0, "df"), "24", "24"),
        (Quantity(1234.5, "money"), "1,234", "1,234"),
        (Quantity(0.00041), "0.00041", "0.00041"),
        (Quantity(4.1e-9), "4.1 × 10⁻⁹", "4.1 × 10⁻⁹"),
        (Hidden(11), "< 11", "fewer than 11"),
        (Hidden(0), "withheld", "(withheld)"),
        (None, "", ""),
    ],
)
def test_cells(value: object, table: str, prose: str) -> None:
    assert cell(value) == table  # type: ignore[arg-type]
    assert cell(value, "prose") == prose  # type: ignore[arg-type]


def test_a_column_shares_its_decimals() -> None:
    near = [Quantity(0.157), Quantity(15.33), Quantity(-1.1791)]
    assert column(near) == ["0.16", "15.33", "−1.18"]
    far = [Quantity(0.012), Quantity(-1.52), Quantity(23.4), Quantity(1234.5)]
    assert column(far) == ["0.012", "−1.52", "23.40", "1,234"]
    assert column([Shown(HR, "value"), None, Quantity(1.0, "ratio")]) == ["0.72", "", "1.00"]


def test_ticks_share_decimals() -> None:
    assert digits.ticks([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert digits.ticks([-10.0, 0.0]) == ["−10", "0"]


def test_vast_numbers_are_short() -> None:
    assert digits.fixed(-1e200, 1) == "−1.0 × 10²⁰⁰"
    assert cell(Quantity(3e22)) == "3.0 × 10²²"


def test_kinds_of_estimate_do_not_share_decimals() -> None:
    ratio = Estimate("hr", "HR", 1.19, 0.83, 1.71, scale="ratio")
    days = Estimate("rmst", "Days", 79.83, 76.2, 83.5, scale="time")
    cells = [Shown(e, "interval") for e in (ratio, days)]
    assert column(cells) == ["1.19 [0.83, 1.71]", "79.8 [76.2, 83.5]"]


def test_a_mean_beside_counts_has_one_decimal_more() -> None:
    assert column([Count(342), Quantity(42.75), Quantity(0.0037)]) == ["342", "42.8", "0.0037"]


def test_a_value_and_its_limits_share_their_decimals() -> None:
    columns = [[Quantity(x), Quantity(y)] for x, y in ((0.3, 12.0), (0.19, 3.25), (0.43, 101.5))]
    assert interval_columns(columns) == [["0.300", "12.0"], ["0.190", "3.2"], ["0.430", "101.5"]]


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ((Spread(15.06, 3.8, 40), Spread(14.213, 10.26, 200)), ["15.1 (3.8)", "14.2 (10.3)"]),
        ((Share(12, 40), Hidden(11), Share(31, 200)), ["12 (30%)", "< 11", "31 (16%)"]),
        ((Spread(0.04, 0.9, 40), Share(31, 200)), ["0.04 (0.90)", "31 (15.5%)"]),
    ],
)
def test_means_and_shares_have_the_same_decimals_along_a_row(
    cells: tuple[Cell, ...], texts: list[str]
) -> None:
    heads = tuple(Column(str(j), "") for j in range(len(cells)))
    assert words.printed(Table("t", "T", heads, (Row("r", "R", cells),))) == [texts]
