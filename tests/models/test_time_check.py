"""Times and events that cannot be: one message with rows, people, columns and cure."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable


def rows(**changes: Any) -> pd.DataFrame:
    d = pd.DataFrame(
        {
            "pid": [701, 701, 702, 703, 703],
            "a": [0.0, 3, 0, 0, 5],
            "b": [3.0, 9, 5, 5, 8],
            "e": [0, 1, 1, 0, 0],
            "x": [1.0, 2, 3, 1, 5],
        }
    )
    return d.assign(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": [-1, 3, 0, 0, 5]}, "a is negative in 1 row of 1 person (row 1); time runs"),
        (
            {"a": [0, 9, 0, 5, 8]},
            "a is not before b in 3 rows of 2 people (rows 2, 4 and 5); a row is observed",
        ),
        ({"e": [1, 2, 2, 1, 1]}, "If 2 is the event, as R and SPSS often have it, write e == 2"),
        ({"e": [0, 3, 1, 0, 0]}, "neither in 1 row of 1 person (row 2). Recode it"),
        (
            {"a": [0, 2, 0, 0, 4]},
            "In 2 rows of 2 people (rows 2 and 5) a lies before the b of the person's row before "
            "(1 of the people have the event after the row that censored them)",
        ),
    ],
)
def test_each_fault_names_rows_people_columns_and_cure(changes: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)) as told:
        rs.cox("Surv(a, b, e) ~ x", rows(**changes), person="pid")
    assert not re.search("70[123]", str(told.value))
    assert told.value.exit_code == 3


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(DataError, match=r"^3 faults .*\(1\).*negative.*\(2\).*before.*\(3\)"):
        rs.cox("Surv(a, b, e) ~ x", rows(a=[-1, 9, 0, 0, 5], e=[0, 7, 1, 0, 0]), person="pid")


def test_an_event_after_censoring_is_told() -> None:
    """One row says that a person was censored on day 3, another that they relapsed on day 9."""
    with pytest.raises(DataError, match=r"2 rows of 2 people.*observed again.*1 of the people"):
        rs.cox("Surv(b, e) ~ x", rows(), person="pid")
    # one row in each stratum is a model of several kinds of event
    by_kind = rows(kind=[1, 2, 1, 1, 2], e=[0, 1, 1, 1, 0])
    assert rs.cox("Surv(b, e) ~ x + strata(kind)", by_kind, person="pid").engine.n == 5


def test_nobody_with_the_event() -> None:
    with pytest.raises(NotEstimable, match=r"None of the 3 people had the event by column 'e'"):
        rs.cox("Surv(a, b, e) ~ x", rows(e=0), person="pid")
    with pytest.raises(NotEstimable, match="None of the 5 rows had the event") as told:
        rs.cox("Surv(a, b, e) ~ x", rows(e=0))
    assert told.value.exit_code == 4


def test_separation_names_the_term_and_the_cure() -> None:
    d = rows(b=[3.0, 4, 5, 6, 8], e=[0, 1, 1, 0, 0]).drop(columns=["a", "pid"])
    with pytest.raises(NotEstimable, match=r"Term 'z'.*penalty='firth'"):
        rs.cox("Surv(b, e) ~ z", d.assign(z=[0, 1, 1, 0, 0]))
    assert np.isfinite(rs.cox("Surv(b, e) ~ z", d.assign(z=[0, 1, 1, 0, 0]), penalty="firth").beta)


def named(d: pd.DataFrame, **options: Any) -> dict[str, str]:
    fit = rs.cox("Surv(a, b, e) ~ x", d, **options)
    return {c.name: "".join(map(str, c.parts)) for c in fit.checks()}


def test_gaps_and_rows_after_an_event_are_told() -> None:
    rng = np.random.default_rng(1)
    more = pd.DataFrame(
        {"pid": np.arange(20), "a": 0.0, "b": rng.uniform(1, 9, 20), "e": rng.integers(0, 2, 20)}
    ).assign(x=rng.normal(size=20))
    usual = named(pd.concat([rows(), more]), person="pid")
    assert "gaps in observation" not in usual
    assert "rows after an event" not in usual
    odd = pd.concat([rows(a=[0, 5, 0, 0, 5]), more])
    assert "out of observation" in named(odd, person="pid")["gaps in observation"]


def test_rows_after_the_event() -> None:
    """Refused where the model is of one event; told of curves; what recurrent() is for."""
    again = rows(e=[0, 1, 1, 1, 0])
    words = r"1 row of 1 person \(row 5\) come after .* by 'e'; end follow-up.*rs.recurrent"
    with pytest.raises(DataError, match=words):
        rs.cox("Surv(a, b, e) ~ x", again, person="pid")
    assert rs.cox("Surv(a, b, e) ~ x", again, cluster="pid").engine.n == 5
    in_other = again.assign(kind=[1, 1, 1, 1, 2])
    assert rs.cox("Surv(a, b, e) ~ x + strata(kind)", in_other, person="pid").engine.n == 5
    told = rs.kaplan_meier("Surv(a, b, e) ~ 1", again, person="pid").checks()
    assert [c.name for c in told] == ["rows after an event"]
    found = rs.recurrent("Surv(a, b, e) ~ x", again, person="pid")
    assert "rows after an event" not in {c.name for c in found.checks()}


def test_clusters_are_counted_where_people_are_not_known() -> None:
    with pytest.raises(DataError, match=r"in 2 rows of 1 cluster of 'pid' \(rows 1 and 2\)"):
        rs.cox("Surv(a, b, e) ~ x", rows(a=[5, 9, 0, 0, 5]), cluster="pid")
    with pytest.raises(DataError, match=r"b is negative in 1 row of 1 cluster of 'pid'"):
        rs.aft("Surv(b, e) ~ x", rows(b=[-3.0, 9, 5, 5, 8]), cluster="pid")


def test_causes_that_begin_at_one_are_asked_about() -> None:
    d = pd.DataFrame({"t": [1.0, 2, 3, 4, 5, 6], "c": [1, 2, 1, 3, 2, 1], "g": list("aabbab")})
    for found in (
        rs.gray_test("Surv(t, c) ~ g", d),
        rs.cumulative_incidence("Surv(t, c) ~ g", d),
        rs.cumulative_incidence("Surv(t, c) ~ g", d).gray_test(),
    ):
        assert [(c.name, c.verdict) for c in found.checks()] == [("coding of causes", "caution")]
    assert rs.gray_test("Surv(t, c) ~ g", d.assign(c=d["c"] - 1)).checks() == ()


def test_a_short_robust_interval_is_never_silent() -> None:
    """Four clusters: the ratio stands in the table and in the summary, and a check says caution."""
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"t": rng.exponential(size=80), "e": 1, "x": rng.normal(size=80)})
    d = d.assign(site=np.arange(80) % 4, cause=1 + np.arange(80) % 3 % 2)
    visits = [0.5, 1, 2, 9]
    fits = [
        rs.cox("Surv(t, e) ~ x", d, cluster="site"),
        rs.fine_gray("Surv(t, cause) ~ x", d, cluster="site"),
        rs.aft("Surv(t, e) ~ x", d, cluster="site"),
        rs.flexible_survival("Surv(t, e) ~ x", d, cluster="site"),
        rs.discrete_time("Surv(t, e) ~ x", d, baseline="log", visits=visits, cluster="site"),
    ]
    for fit in fits:
        table = fit.tidy()
        ratio = (table["std_error"] / table["std_error_model"]).to_numpy()
        assert table["error_ratio"].to_numpy() == pytest.approx(ratio, rel=1e-12)
        assert "robust errors of 4 clusters, too few to trust" in repr(fit)
        assert ("clusters", "caution") in {(c.name, c.verdict) for c in fit.checks()}


def test_clusters_that_look_like_people_are_asked_about() -> None:
    rng = np.random.default_rng(2)
    n = 40
    d = pd.DataFrame(
        {
            "who": np.repeat(np.arange(n), 2),
            "a": np.tile([0.0, 5], n),
            "b": np.tile([5.0, 9], n) + np.repeat(rng.random(n), 2) * np.tile([0, 1], n),
            "e": np.tile([0, 1], n),
            "x": rng.normal(size=2 * n),
        }
    )
    assert "overlapping rows" not in named(d, cluster="who")
    d.loc[1, "a"] = 3.0
    assert "person=" in named(d, cluster="who")["overlapping rows"]
    site = d.assign(site=d["who"] % 4)
    assert "overlapping rows" not in named(site, cluster="site")
