"""Published tables recomputed from their counts, to the last printed digit; counts behind them."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import recovery_stats as rs
from recovery_stats.cli import recovery_stats as command_line
from recovery_stats.errors import UsageError
from tests.tolerance import CLOSED_FORM


def printed(table, term, places, scale=1.0):
    row = table.set_index("term").loc[term, ["estimate", "conf_low", "conf_high"]]
    return [round(scale * x, places) for x in row]


@pytest.mark.parametrize(
    ("counts", "rr", "odds", "points"),
    [
        # Jason 2006 (Oxford House), usual care 54 or 71; Lee 2018 (X:BOT)
        ((21, 67, 35, 54), [0.484, 0.322, 0.725], [0.248, 0.116, 0.530], [-33.5, -50.4, -16.6]),
        ((21, 67, 46, 71), [0.484, 0.326, 0.717], [0.248, 0.122, 0.504], [-33.4, -49.2, -17.7]),
        # The upper limit is 16.5498 points: 16.5 at one place (16.6 only if rounded twice).
        ((185, 283, 163, 287), [1.151, 1.009, 1.313], [1.436, 1.024, 2.014], [8.6, 0.6, 16.5]),
    ],
    ids=["Oxford House 54", "Oxford House 71", "X:BOT"],
)
def test_trials_from_their_counts(counts, rr, odds, points):
    table = rs.two_by_two(*counts).tidy()
    assert printed(table, "risk_ratio", 3) == rr
    assert printed(table, "odds_ratio", 3) == odds
    assert printed(table, "risk_difference", 1, 100) == points


def test_oxford_house_number_needed_and_e_value():
    found = rs.two_by_two(21, 67, 35, 54)
    assert round(found.number_needed.value, 2) == 2.99
    assert round(found.e_value[0], 2) == 3.55
    row = found.tidy().set_index("term").loc["number_needed"]
    # statsmodels' Wald limits of the difference: -50.372 and -16.571 points
    ends = (row["conf_low"], row["conf_high"])
    assert ends == pytest.approx((100 / 50.372, 100 / 16.571), rel=1e-4)


@pytest.mark.parametrize(
    ("counts", "rr", "odds"),
    [((73, 100, 33, 100), "2.21", "5.5"), ((359, 2741, 891, 3275), "0.48", None)],
    ids=["Hoffmann 1983", "Blanco 2014"],
)
def test_ratios_of_printed_percentages(counts, rr, odds):
    found = rs.two_by_two(*counts)
    assert f"{found.risk_ratio.value:.2f}" == rr
    assert odds is None or f"{found.odds_ratio.value:.1f}" == odds


def test_combine_interaction():
    """COMBINE 2006: days abstinent of four groups; interaction -7.6, main effects 1.7 and 0.3."""
    found = rs.factorial(neither=75.1, first=80.6, second=79.2, both=77.1).set_index("term")
    assert [round(x, 1) for x in found["estimate"]] == [1.7, 0.3, -7.6]
    assert found["std_error"].isna().all()


def test_factorial_is_the_linear_model():
    rng = np.random.default_rng(3)
    n = (9, 12, 10, 14)
    cell = np.repeat([0, 1, 2, 3], n)
    a, b = cell % 2, cell // 2
    y = rng.normal(size=len(cell)) + 0.5 * a - 0.2 * b + 0.9 * a * b
    means = pd.Series(y).groupby(cell).mean()
    sd = np.sqrt(np.sum((y - means[cell].to_numpy()) ** 2) / (len(y) - 4))
    row = rs.factorial(*means, sd=float(sd), n=n).set_index("term").loc["interaction"]
    X = np.column_stack([np.ones(len(y)), a, b, a * b])
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    se = sd * np.sqrt(np.linalg.inv(X.T @ X)[3, 3])
    assert (row["estimate"], row["std_error"]) == pytest.approx((beta[3], se), rel=CLOSED_FORM)


@pytest.mark.parametrize(
    ("value", "low", "high", "scale"),
    [
        (1.21, 1.03, 1.42, "ratio"),  # Cochrane 2020, continuous abstinence at 12 months
        (3.03, -4.36, 10.43, "difference"),  # its percentage of days abstinent: 12, 24, 36 months
        (12.91, 7.55, 18.29, "difference"),
        (6.64, 1.54, 11.75, "difference"),
        (1.36, 1.10, 1.68, "ratio"),  # X:BOT
        (7.76, 4.21, 11.31, "difference"),  # sober living 2023
    ],
)
def test_printed_intervals_have_their_estimate_in_the_middle(value, low, high, scale):
    row = rs.from_interval(value, low, high, scale=scale).iloc[0]
    assert row["consistent"]
    wrong = rs.from_interval(value + 0.05 * (high - low), low, high, scale=scale).iloc[0]
    assert not wrong["consistent"]


def test_an_interval_gives_its_error_back():
    fit = rs.two_by_two(185, 283, 163, 287).risk_ratio
    row = rs.from_interval(fit.value, fit.low, fit.high, scale="ratio").iloc[0]
    assert (row["std_error"], row["p_value"]) == pytest.approx((fit.se, fit.p), rel=1e-10)
    with pytest.raises(UsageError, match="between its limits"):
        rs.from_interval(2.0, 3.0, 4.0)


# --- counts --------------------------------------------------------------------------------


def test_oxford_house_counts_are_forced():
    """5/32 and 16/35 alone make up 31.3 %: 21 of 67."""
    found = rs.possible_counts("15.6%", "45.7 %", whole="31.3%", people=75)
    assert found.to_numpy().tolist() == [[5, 32, 16, 35, 21, 67]]


def test_usual_care_has_54_or_71_and_incarceration_only_54():
    use = rs.possible_counts("64.8%", people=75).to_numpy().tolist()
    assert use == [[35, 54], [46, 71]]
    jail = rs.possible_counts("9%", people=(54, 71))
    assert [5, 54] in jail.to_numpy().tolist()
    assert 71 not in set(jail["n"])
    assert [51, 67] in rs.possible_counts("76.1%", people=(67, 67)).to_numpy().tolist()
    assert set(rs.possible_counts("48.6%", people=(66, 75))["n"]) == {70, 72, 74}


def test_against_brute_force():
    """Every pair whose percentage prints so, by two rules of rounding together."""
    for text, n in product(("0.0", "12.5", "33.3", "50", "99.9", "100"), range(1, 41)):
        places = len(text.partition(".")[2])
        unit = 10.0**-places
        expected = [k for k in range(n + 1) if abs(100 * k / n - float(text)) <= unit / 2 + 1e-12]
        found = rs.possible_counts(text, people=(n, n))
        assert found["events"].tolist() == expected, (text, n)


def test_what_is_no_percentage_is_refused():
    for wrong in (("101%",), ("abc",), ("-3",), ()):
        with pytest.raises(UsageError):
            rs.possible_counts(*wrong)
    with pytest.raises(UsageError, match="whole"):
        rs.possible_counts("10%", "20%")
    with pytest.raises(UsageError, match="combinations"):
        rs.possible_counts("10%", "20%", whole="15%", people=5000)


# --- the verb ------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(command_line, ["verify", *arguments])


def test_verb():
    out = run("21/67", "35/54").output
    assert "0.48" in out
    assert "Number needed to treat                      3.0" in out
    assert "3.55" in out
    assert run("15.6%", "45.7%", "--whole", "31.3%", "--people", "75").output == (
        "5/32 + 16/35 = 21/67\n"
    )
    found = json.loads(run("21/67", "35/54", "--json").output)
    inverse = 35 * 67 / (54 * 21)
    value = inverse + np.sqrt(inverse * (inverse - 1))
    assert found["e_value"] == pytest.approx(value, rel=CLOSED_FORM)
    assert run("9%", "--people", "71-71").output.startswith("No counts")
