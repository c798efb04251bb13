"""Propensity weights as they are used: effects, refusals, checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(5)
    n = 600
    frame = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("abc"), n)})
    frame["site"] = rng.integers(0, 12, n)
    frame["treated"] = (rng.random(n) < expit(0.9 * frame.x - 0.2)).astype(int)
    frame["used"] = (rng.random(n) < expit(frame.x - 0.5 * frame.treated)).astype(int)
    return frame


def test_balance_before_and_after(people):
    w = rs.propensity_weights("treated ~ x + g", people, "overlap")
    table = w.balance().set_index("term")
    assert table.loc["x", "smd_before"] > 0.5
    assert table["smd_after"].abs().max() < 1e-6
    assert len(w.weights) == len(people)
    assert "overlap" in repr(w)


def test_effects_of_a_yes_no_outcome_agree_with_each_other(people):
    found = rs.propensity_weights("treated ~ x + g", people).effect("used").set_index("term")
    assert list(found.index) == ["risk_difference", "risk_ratio", "odds_ratio"]
    assert found.loc["risk_difference", "estimate"] < 0
    assert found.loc["risk_ratio", "estimate"] > found.loc["odds_ratio", "estimate"]


def test_clusters_bring_their_degrees_of_freedom_and_a_caution(people):
    w = rs.propensity_weights("treated ~ x", people, cluster="site")
    assert (w.effect("used")["df"] == 11).all()
    verdicts = {c.name: c.verdict for c in w.checks()}
    assert verdicts["weighted clusters"] == "caution"


def test_a_propensity_of_one_is_refused_with_counts(people):
    wrong = people.assign(always=((people.g == "a") & (people.treated == 1)).astype(int))
    with pytest.raises(NotEstimable, match=r"'always' a propensity of exactly 0 or 1") as refusal:
        rs.propensity_weights("treated ~ x + always", wrong)
    n = int(wrong.always.sum())
    assert f"{n} of 600 people ({n} treated, 0 not)" in str(refusal.value)


def test_truncation_is_counted(people):
    plain = rs.propensity_weights("treated ~ x", people)
    held = rs.propensity_weights("treated ~ x", people, truncate=2.0)
    above = int((plain.weights > 2).sum())
    assert held.glance().loc[0, "truncated"] == above > 0
    (check,) = (c for c in held.checks() if c.name == "large weights")
    assert check.verdict == "caution"
    assert check.parts[0].n == above


def test_what_cannot_be_weighted(people):
    with pytest.raises(DataError, match="must be 0"):
        rs.propensity_weights("treated ~ x", people.assign(treated=people.treated + 1))
    with pytest.raises(NotEstimable, match="nobody to"):
        rs.propensity_weights("treated ~ x", people.assign(treated=1))
    with pytest.raises(UsageError, match="overlap"):
        rs.propensity_weights("treated ~ x", people, "overlap", method="entropy")
    with pytest.raises(UsageError, match="'atx'"):
        rs.propensity_weights("treated ~ x", people, "atx")
    gaps = people.assign(used=people.used.where(people.index > 2))
    with pytest.raises(DataError, match="missing in 3 of the 600"):
        rs.propensity_weights("treated ~ x", gaps).effect("used")
