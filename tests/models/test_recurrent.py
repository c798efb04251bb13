"""Recurrent events: survival on bladder and cgd, rows by hand, means by brute force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines.mean_cumulative import compare, influence, mean_cumulative
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT, PRINTED_3

FORMULA = "Surv(start, stop, event) ~ rx + size + number"


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """Values of survival 3.5 from recurrent.R, beside this file."""
    path = Path(__file__).with_name("recurrent.json")
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bladder(stored: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(stored["bladder2"])


@pytest.fixture(scope="module")
def cgd(stored: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(stored["cgd"])
    return frame.assign(treat=pd.Categorical(frame["treat"], ["placebo", "rIFN-g"]))


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("ag", {"method": "andersen-gill"}),
        ("ag_breslow", {"method": "lwyy", "ties": "breslow"}),
        ("pwp_total", {"method": "pwp-total"}),
        ("pwp_gap", {"method": "pwp-gap"}),
        ("pwp_gap_by", {"method": "pwp-gap", "effects": "by_event"}),
        ("wlw", {"method": "wlw"}),
        ("wlw_by", {"method": "wlw", "effects": "by_event"}),
        ("wlw_by_breslow", {"method": "wlw", "effects": "by_event", "ties": "breslow"}),
    ],
)
def test_bladder_as_survival(
    stored: dict[str, Any], bladder: pd.DataFrame, key: str, asked: dict[str, Any]
) -> None:
    """From the counting rows alone; survival has the marginal rows of its own data set."""
    fit, r = rs.recurrent(FORMULA, bladder, person="id", **asked), stored["fits"][key]
    np.testing.assert_allclose(fit.beta, r["beta"], rtol=CONVERGED)
    np.testing.assert_allclose(fit.robust, r["robust"], rtol=CONVERGED, atol=EXACT)
    np.testing.assert_allclose(fit.engine.covariance, r["naive"], rtol=CONVERGED, atol=EXACT)
    assert fit.engine.loglik == pytest.approx(r["loglik"], rel=CLOSED_FORM)
    assert fit.glance()["n_groups"][0] == 85


def test_the_published_effects_of_thiotepa(bladder: pd.DataFrame) -> None:
    """Wei, Lin & Weissfeld 1989 (Breslow's ties): effects by event and their robust errors."""
    fit = rs.recurrent(
        FORMULA, bladder, person="id", method="wlw", effects="by_event", ties="breslow"
    )
    table = fit.tidy().set_index("term").loc[[f"rx:event[{k}]" for k in range(1, 5)]]
    assert table["estimate"].round(2).tolist() == [-0.52, -0.62, -0.70, -0.65]
    assert table["std_error"].round(2).tolist() == [0.31, 0.36, 0.42, 0.49]


def test_common_effect_is_the_combination_of_least_variance(bladder: pd.DataFrame) -> None:
    fit = rs.recurrent(FORMULA, bladder, person="id", method="wlw", effects="by_event")
    found = fit.common_effect().set_index("term").loc["rx"]
    names = [f"rx:event[{k}]" for k in range(1, 5)]
    V = fit.covariance().loc[names, names].to_numpy()
    b = fit.tidy().set_index("term").loc[names, "estimate"].to_numpy()
    one = np.ones(4)
    variance = 1 / (one @ np.linalg.inv(V) @ one)
    mean = variance * (one @ np.linalg.inv(V) @ b)
    assert found["estimate"] == pytest.approx(mean, rel=CLOSED_FORM)
    assert found["std_error"] == pytest.approx(variance**0.5, rel=CLOSED_FORM)
    gap = (b - mean) @ np.linalg.inv(V) @ (b - mean)
    assert found["heterogeneity"] == pytest.approx(gap, rel=CONVERGED)


def test_cgd_and_strata_within(stored: dict[str, Any], cgd: pd.DataFrame) -> None:
    formula = "Surv(tstart, tstop, status) ~ treat + age"
    r = stored["fits"]
    fit = rs.recurrent(formula, cgd, person="id", method="andersen-gill")
    sign = np.array([-1.0 if "placebo" in r["cgd_ag"]["names"][0] else 1.0, 1.0])
    np.testing.assert_allclose(fit.beta * sign, r["cgd_ag"]["beta"], rtol=CONVERGED)
    within = rs.recurrent(f"{formula} + strata(sex)", cgd, person="id", method="pwp-total")
    r = r["cgd_pwp_sex"]
    np.testing.assert_allclose(within.beta * sign, r["beta"], rtol=CONVERGED)
    np.testing.assert_allclose(np.diag(within.robust), np.diag(r["robust"]), rtol=CONVERGED)
    assert "sex:event_number" in within.observation.design.strata.name  # type: ignore[union-attr]


def test_one_event_a_person_is_coxs_model(bladder: pd.DataFrame) -> None:
    first = bladder[bladder["enum"] == 1]
    plain = rs.cox(FORMULA, first, cluster="id")
    for method in ("andersen-gill", "lwyy", "pwp-total", "pwp-gap", "wlw"):
        fit = rs.recurrent(FORMULA, bladder, person="id", method=method, events_at_most=1)
        np.testing.assert_allclose(fit.beta, plain.beta, rtol=CONVERGED)
        np.testing.assert_allclose(fit.robust, plain.robust, rtol=CONVERGED)


def test_names_checks_and_prediction(bladder: pd.DataFrame) -> None:
    fit = rs.recurrent(FORMULA, bladder, person="id", method="pwp-gap", effects="by_event")
    assert fit.terms[:2] == ("rx:event[1]", "rx:event[2]")
    assert fit.anova()["num_df"].tolist() == [4, 4, 4]
    assert {c.name for c in fit.checks()} >= {"recurrent events", "events by number", "clusters"}
    assert "gap time" in repr(fit)
    assert fit.method.endswith("by id")
    new = pd.DataFrame({"rx": [1, 2], "size": 1, "number": 1, "event_number": 2})
    assert fit.predict(new).diff().iloc[1] == pytest.approx(fit.beta[1])
    many = rs.recurrent(FORMULA, bladder, person="id", events_at_most=2)
    assert many.engine.n_events == int((bladder["event"] * (bladder["enum"] < 3)).sum())
    numbered = rs.recurrent(FORMULA, bladder, person="id", method="pwp-total", number="enum")
    counted = rs.recurrent(FORMULA, bladder, person="id", method="pwp-total")
    np.testing.assert_allclose(numbered.beta, counted.beta, rtol=EXACT)


def test_refusals(bladder: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="method named 'ag'"):
        rs.recurrent(FORMULA, bladder, person="id", method="ag")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="by_event is for"):
        rs.recurrent(FORMULA, bladder, person="id", effects="by_event")
    with pytest.raises(UsageError, match="one event to the next"):
        rs.recurrent("Surv(stop, event) ~ rx", bladder, person="id")
    with pytest.raises(NotEstimable, match="None of the 85 people had the event"):
        rs.recurrent(FORMULA, bladder.assign(event=0), person="id")
    with pytest.raises(DataError, match="numbers events from 1"):
        rs.recurrent(FORMULA, bladder.assign(k=0), person="id", number="k")
    with pytest.raises(DataError, match="overlap"):
        rs.recurrent(FORMULA, pd.concat([bladder, bladder]), person="id")


# --- rows ------------------------------------------------------------------------------------


def histories() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ada: two events, then death; Bo: none; Cy enters late and ends with an event."""
    persons = pd.DataFrame(
        {"pid": [10, 20, 30], "entry": [0, 0, 2], "end": [9, 5, 6], "died": [1, 0, 0], "x": 1.5}
    )
    events = pd.DataFrame({"pid": [30, 10, 10], "day": [6, 7, 3]})
    return persons, events


def rows(**more: Any) -> pd.DataFrame:
    persons, events = histories()
    asked = {"person": "pid", "stop": "end", "start": "entry", "event_day": "day", **more}
    frame = rs.recurrent_rows(persons, events, **asked).frame
    return frame[["person", "start", "stop", "event", "event_number"]]


def test_counting_rows_by_hand() -> None:
    assert rows(terminal="died").to_numpy().tolist() == [
        [10, 0, 3, 1, 1], [10, 3, 7, 1, 2], [10, 7, 9, 2, 3],
        [20, 0, 5, 0, 1], [30, 2, 6, 1, 1],
    ]  # fmt: skip
    assert len(rows(events_at_most=1)) == 3


def test_gap_rows_by_hand() -> None:
    assert rows(layout="gap").to_numpy().tolist() == [
        [10, 0, 3, 1, 1], [10, 0, 4, 1, 2], [10, 0, 2, 0, 3], [20, 0, 5, 0, 1], [30, 0, 4, 1, 1],
    ]  # fmt: skip


def test_marginal_rows_by_hand() -> None:
    assert rows(layout="marginal").to_numpy().tolist() == [
        [10, 0, 3, 1, 1], [10, 0, 7, 1, 2],
        [20, 0, 5, 0, 1], [20, 0, 5, 0, 2], [30, 2, 6, 1, 1], [30, 2, 6, 0, 2],
    ]  # fmt: skip


def test_the_rows_of_bladder(stored: dict[str, Any], bladder: pd.DataFrame) -> None:
    """The marginal rows that survival has, from persons and events."""
    persons = bladder.groupby("id", as_index=False).agg(end=("stop", "max"), rx=("rx", "first"))
    events = bladder[bladder["event"] == 1].rename(columns={"stop": "day"})
    made = rs.recurrent_rows(
        persons, events, person="id", stop="end", event_day="day", layout="marginal"
    ).frame
    r = pd.DataFrame(stored["bladder"])
    known = r.merge(persons[["id"]], on="id").sort_values(["id", "enum"])
    assert made["stop"].tolist() == known["stop"].tolist()
    assert made["event"].tolist() == known["event"].tolist()
    assert made["event_number"].tolist() == known["enum"].tolist()


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ([6, 7, 0], "1 people have an event on or before the day of entry"),
        ([7, 7, 3], "1 people have an event after the end"),
        ([6, 3, 3], "1 people have two events on one day"),
        ([6, 9, 3], "1 people have an event on the day of the terminal one"),
        ([6, 9, None], "1 rows without a day"),
    ],
)
def test_impossible_histories(day: list[float | None], words: str) -> None:
    persons, events = histories()
    with pytest.raises(DataError, match=words) as error:
        rs.recurrent_rows(
            persons,
            events.assign(day=day),
            person="pid",
            stop="end",
            start="entry",
            event_day="day",
            terminal="died",
        )
    assert not any(str(pid) in str(error.value) for pid in (10, 20, 30))


# --- means -----------------------------------------------------------------------------------


def test_mean_cumulative_as_survival(stored: dict[str, Any], cgd: pd.DataFrame) -> None:
    curves = rs.mean_cumulative("Surv(tstart, tstop, status) ~ treat", cgd, person="id")
    found = curves.at(stored["at"]).set_index("group")
    for level, key in (("placebo", "placebo"), ("rIFN-g", "active")):
        r = stored["curves"][key]
        np.testing.assert_allclose(found.loc[level, "estimate"], r["cumhaz"], rtol=CLOSED_FORM)
        np.testing.assert_allclose(found.loc[level, "std_error"], r["se"], rtol=CLOSED_FORM)


def test_the_score_is_that_of_the_rate_model(stored: dict[str, Any], cgd: pd.DataFrame) -> None:
    """Observed less expected as in the log-rank test; the robust statistic near coxph's."""
    curves = rs.mean_cumulative("Surv(tstart, tstop, status) ~ treat", cgd, person="id")
    plain = rs.logrank("Surv(tstart, tstop, status) ~ treat", cgd).test
    score = compare(curves.fitted).score
    np.testing.assert_allclose(score, plain.observed - plain.expected, rtol=CLOSED_FORM)
    statistic = curves.test()["statistic"][0]
    # coxph's counts people about the common mean, ours about their own group's
    assert statistic == pytest.approx(stored["rscore"][0][0], rel=0.15)


def test_mean_on_paper() -> None:
    """Two people, events at 1, 2 (Ada) and 3 (Bo), Ada leaves at 4: 1/2 each; Ada has 2."""
    frame = pd.DataFrame(
        {"id": [1, 1, 1, 2, 2], "a": [0, 1, 2, 0, 3], "b": [1, 2, 4, 3, 4], "d": [1, 1, 0, 1, 0]}
    )
    table = rs.mean_cumulative("Surv(a, b, d) ~ 1", frame, person="id").tidy()
    assert table["estimate"].tolist() == [0.5, 1.0, 1.5, 1.5]
    # influences: Ada 2 events less the mean of 1.5 over two, Bo the other way round
    assert table["std_error"].tolist()[2] == pytest.approx(np.sqrt(2 * 0.25**2), abs=PRINTED_3)
    assert table["n_censor"].tolist() == [0, 0, 0, 2]


def scattered() -> tuple[Any, ...]:
    """Late entries, gaps, ties, deaths, weights that change: 25 people."""
    rng, out = np.random.default_rng(0), []
    for i in range(25):
        t, w = float(rng.integers(0, 3)), rng.uniform(0.5, 2)
        end = t + rng.integers(3, 15)
        while t < end:
            after = min(t + rng.integers(1, 6), end)
            cause = rng.choice([0, 1]) if after < end else rng.choice([0, 1, 2])
            out.append((t, after, cause, i, w * rng.uniform(0.8, 1.2)))
            t = after + rng.integers(0, 2)
    a, b, cause, who, w = np.array(out).T
    return a, b, cause.astype(int), who.astype(int), w


def test_errors_are_derivatives_in_the_weights_of_people() -> None:
    a, b, cause, who, w = scattered()
    curve, h = mean_cumulative(a, b, cause, who, w), 1e-6
    moved = []
    for i in range(25):
        up, down = (
            mean_cumulative(a, b, cause, who, w * np.where(who == i, 1 + s, 1)).estimate
            for s in (h, -h)
        )
        moved.append((up - down) / (2 * h))
    psi = np.array(moved)
    np.testing.assert_allclose(np.sqrt((psi**2).sum(axis=0)), curve.std_error, atol=DERIVATIVE)
    upto = np.arange(psi.shape[1]) <= 7
    np.testing.assert_allclose(influence(curve, upto * 1.0), psi[:, 7], atol=DERIVATIVE)


def test_death_takes_from_the_mean() -> None:
    """With S the survival of the dying, each step is S dN/Y; without deaths nothing changes."""
    a, b, cause, who, _ = scattered()
    curve = mean_cumulative(a, b, cause, who)
    alive, total, mean = 1.0, 0.0, []
    for t in np.unique(b):
        at_risk = ((a < t) & (t <= b)).sum()
        total += alive * ((b == t) & (cause == 1)).sum() / at_risk
        alive *= 1 - ((b == t) & (cause == 2)).sum() / at_risk
        mean.append(total)
    np.testing.assert_allclose(curve.estimate, mean, rtol=EXACT)
    frame = pd.DataFrame({"a": a, "b": b, "d": cause, "id": who})
    with_death = rs.mean_cumulative("Surv(a, b, d) ~ 1", frame, person="id", terminal=2)
    assert with_death.tidy()["n_terminal"].sum() == (cause == 2).sum()
    living = frame.assign(d=frame["d"] % 2)
    one, other = (
        rs.mean_cumulative("Surv(a, b, d) ~ 1", living, person="id", terminal=t).tidy()
        for t in (None, 2)
    )
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=EXACT)


def test_differences_tests_and_refusals(cgd: pd.DataFrame) -> None:
    formula = "Surv(tstart, tstop, status) ~ treat"
    curves = rs.mean_cumulative(formula, cgd, person="id")
    gap, at = curves.difference(300), curves.at(300)
    assert gap["contrast"][0] == "rIFN-g - placebo"
    assert gap["estimate"][0] == pytest.approx(at["estimate"].diff().iloc[1], rel=EXACT)
    assert gap["ratio_low"][0] < gap["ratio"][0] < gap["ratio_high"][0] < 1
    assert "people" in repr(curves)
    assert len(curves.series()) == 2
    with pytest.raises(NotEstimable, match="two groups"):
        rs.mean_cumulative("Surv(tstart, tstop, status) ~ 1", cgd, person="id").test()
    with pytest.raises(NotEstimable, match="observed to"):
        curves.difference(1e5)
    early = cgd.assign(status=2)
    with pytest.raises(DataError, match="rows after their terminal"):
        rs.mean_cumulative(formula, early, person="id", terminal=2)
    with pytest.raises(DataError, match="0 for censored and 1"):
        rs.mean_cumulative(formula, cgd.assign(status=2), person="id")
    with pytest.raises(UsageError, match="code from 2"):
        rs.mean_cumulative(formula, cgd, person="id", terminal=1)
