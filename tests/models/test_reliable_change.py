"""Reliable and clinically significant change: on paper, and the chance of a false one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.cli.explain import find
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES

# patients 40 (7.5), others 60 (7.5), retest .80, one person from 32.5 to 47.5: on paper
ONE = pd.DataFrame({"before": [32.5], "after": [47.5]})
KNOWN = {"reliability": 0.80, "better": "higher", "sd": 7.5}


def test_the_index_on_paper():
    found = rs.reliable_change(ONE, "before", "after", **KNOWN)
    sem = 7.5 * np.sqrt(0.2)
    assert found.sem == pytest.approx(sem, abs=CLOSED_FORM)  # 3.354
    index = 15 / np.sqrt(2 * sem**2)
    assert found.people["index"][0] == pytest.approx(index, abs=CLOSED_FORM)  # 3.16
    assert found.smallest == pytest.approx(1.959963984540054 * np.sqrt(2) * sem)
    assert found.people["category"][0] == "improved"


@pytest.mark.parametrize(("cutoff", "edge"), [("a", 55), ("b", 45), ("c", 50), (48.5, 48.5)])
def test_the_cut_offs_on_paper(cutoff, edge):
    found = rs.reliable_change(
        ONE, "before", "after", cutoff=cutoff, norm_group=(60, 7.5), patients=(40, 7.5), **KNOWN
    )
    assert found.cutoff == pytest.approx(edge, abs=CLOSED_FORM)
    assert found.people["category"][0] == ("recovered" if edge <= 47.5 else "improved")


def test_cut_off_c_leans_to_the_narrower_group():
    found = rs.reliable_change(
        ONE, "before", "after", cutoff="c", norm_group=(60, 5), patients=(40, 10), **KNOWN
    )
    assert found.cutoff == pytest.approx((5 * 40 + 10 * 60) / 15)
    # as likely in one as in the other, in standard deviations
    assert (60 - found.cutoff) / 5 == pytest.approx((found.cutoff - 40) / 10)


def test_where_lower_is_better_everything_is_mirrored():
    data = pd.DataFrame({"b": [30.0, 30, 12, 30, 5], "a": [8.0, 20, 30, 31, 1]})
    how = {"reliability": 0.8, "sd": 5.0, "cutoff": 10.0}
    down = rs.reliable_change(data, "b", "a", better="lower", **how)
    up = rs.reliable_change(-data, "b", "a", better="higher", **{**how, "cutoff": -10.0})
    assert down.people["category"].tolist() == up.people["category"].tolist()
    assert down.people["category"].tolist() == [
        "recovered", "improved", "deteriorated", "unchanged", "unchanged",
    ]  # fmt: skip


def test_who_stood_beyond_the_cut_off_improves_but_does_not_recover():
    data = pd.DataFrame({"b": [52.0], "a": [80.0]})
    found = rs.reliable_change(data, "b", "a", cutoff=50, **KNOWN)
    assert found.people["category"][0] == "improved"
    assert {c.name for c in found.checks()} >= {"recovered at the start"}


def test_summary_counts_by_group_and_those_not_measured_twice():
    data = pd.DataFrame(
        {"b": [30.0] * 6, "a": [60, 60, 30, np.nan, 60, 5], "arm": [0, 0, 0, 0, 1, 1.0]}
    )
    found = rs.reliable_change(data, "b", "a", group="arm", cutoff=50, **KNOWN)
    table = found.summary().set_index(["group", "category"])
    assert table.loc[("0", "recovered"), ["people", "of"]].tolist() == [2, 3]
    assert table.loc[("1", "deteriorated"), "people"] == 1
    assert found.lost == 1
    assert all(find(c.name).doubt for c in found.checks())
    assert (table["conf_low"] <= table["share"] + 1e-15).all()


def test_unchanged_people_are_called_improved_at_the_stated_rate():
    rng = np.random.default_rng(4)
    n, r = 40_000, 0.7
    true = rng.normal(50, 10 * np.sqrt(r), n)
    noise = rng.normal(0, 10 * np.sqrt(1 - r), (2, n))
    data = pd.DataFrame({"b": true + noise[0], "a": true + noise[1]})
    found = rs.reliable_change(data, "b", "a", reliability=r, better="lower", sd=10.0)
    share = found.summary().set_index("category")["share"]
    for category in ("improved", "deteriorated"):
        error = np.sqrt(0.025 * 0.975 / n)
        assert abs(share[category] - 0.025) < MONTE_CARLO_SES * error


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"reliability": 1.2}, UsageError, "between 0 and 1"),
        ({"better": "more"}, UsageError, "'higher' or 'lower'"),
        ({"cutoff": "c"}, UsageError, "norm_group"),
        ({"cutoff": "d"}, UsageError, "'a', 'b' or 'c'"),
        ({"sd": None}, NotEstimable, "do not vary"),
        ({"level": 95}, UsageError, "0.95 is usual"),
    ],
)
def test_what_is_asked_wrongly_is_told(change, error, words):
    with pytest.raises(error, match=words):
        rs.reliable_change(ONE, "before", "after", **{**KNOWN, **change})


def test_a_column_that_is_not_there_or_text_is_named():
    with pytest.raises(DataError, match="Did you mean 'before'"):
        rs.reliable_change(ONE, "befor", "after", **KNOWN)
    with pytest.raises(DataError, match="'after' is text"):
        rs.reliable_change(ONE.astype({"after": str}), "before", "after", **KNOWN)
