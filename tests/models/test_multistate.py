"""States and transitions: survival, Kaplan-Meier, incidence, products by hand, derivatives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import transition
from recovery_stats.engines.markov import entry_time_test, stays
from recovery_stats.engines.multistate import Paths, occupation, restricted_time
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT, MONTE_CARLO_SES

FORMULA = "Surv(tstart, tstop, state) ~ "
MADE = "Surv(start, stop, to) ~ "


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """Values of survival 3.5 from multistate.R, beside this file."""
    path = Path(__file__).with_name("multistate.json")
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def mgus(stored: dict[str, Any]) -> Dataset:
    frame = pd.DataFrame(stored["mgus"])
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    state = Variable("state", "State", {0.0: "as before", 1.0: "pcm", 2.0: "death"})
    return Dataset(frame, Codebook({"state": state}))


@pytest.fixture(scope="module")
def made(stored: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(stored["made"])
    order = ["none", "abstinent", "using", "dead"]
    return frame.assign(to=pd.Categorical(frame["to"], order))


def square(table: pd.DataFrame, column: str) -> np.ndarray[Any, Any]:
    """Times by states."""
    return np.asarray(table.pivot_table(column, "time", "state", sort=False))


def test_mgus_as_survival(stored: dict[str, Any], mgus: Dataset) -> None:
    curves = rs.multistate(FORMULA + "sex", mgus, person="id")
    assert curves.states == ("(entry)", "pcm", "death")
    table = curves.occupation(stored["at"])
    female = table[table["group"] == "F"]
    np.testing.assert_allclose(
        square(female, "estimate"), stored["female"]["p"], rtol=CLOSED_FORM, atol=EXACT
    )
    np.testing.assert_allclose(
        square(female, "std_error"), stored["female"]["se"], rtol=CLOSED_FORM, atol=EXACT
    )
    time = curves.restricted_time(240)
    rmean = [row[2] for row in stored["female_time"]["table"]]
    assert time["estimate"].tolist()[:3] == pytest.approx(rmean, rel=CLOSED_FORM)
    assert list(time["group"])[-1] == "difference"
    assert ((table["conf_low"] <= table["estimate"]) | table["estimate"].isna()).all()


def test_initial_states_late_entries_and_returns(
    stored: dict[str, Any], made: pd.DataFrame
) -> None:
    curves = rs.multistate(MADE + "1", made, person="id", initial="from")
    table, r = curves.occupation(stored["made_at"]), stored["made_found"]
    assert list(curves.states) == stored["made_states"]
    np.testing.assert_allclose(curves.fitted[0].p0, stored["made_p0"], rtol=CLOSED_FORM)
    np.testing.assert_allclose(square(table, "estimate"), r["p"], rtol=CLOSED_FORM)
    # survival takes the distribution at the start as known
    known = rs.multistate(MADE + "1", made, person="id", initial="from", initial_known=True)
    found = known.occupation(stored["made_at"])
    np.testing.assert_allclose(square(found, "std_error"), r["se"], rtol=CLOSED_FORM)
    rmean = [row[2] for row in stored["made_time"]["table"]]
    time = curves.restricted_time(12)["estimate"]
    assert time.tolist() == pytest.approx(rmean, rel=CLOSED_FORM)


def test_without_censoring_they_are_shares(made: pd.DataFrame) -> None:
    """Everybody seen from 0 to 6 at least: shares of people, with binomial errors."""
    whole = made[made["id"] % 2 == 1]
    last = whole.groupby("id")["stop"].max()
    dead = set(whole.loc[whole["to"] == "dead", "id"])
    whole = whole[[i in dead or last[i] >= 3 for i in whole["id"]]]
    curves = rs.multistate(MADE + "1", whole, person="id", initial="from")
    table, n = curves.occupation([3]), whole["id"].nunique()
    p = table["estimate"].to_numpy()
    np.testing.assert_allclose(p * n, np.rint(p * n), atol=CLOSED_FORM)
    np.testing.assert_allclose(table["std_error"], np.sqrt(p * (1 - p) / n), rtol=CLOSED_FORM)


def test_errors_are_derivatives_in_the_weights_of_people(made: pd.DataFrame) -> None:
    curves = rs.multistate(MADE + "1", made, person="id", initial="from")
    rng = np.random.default_rng(2)
    paths = replace(curves.paths[0], weight=rng.uniform(0.5, 2, len(curves.paths[0].to)))
    h, p, time = 1e-6, [], []
    for i in range(60):
        up, down = (
            replace(paths, weight=paths.weight * np.where(paths.person == i, 1 + s, 1))
            for s in (h, -h)
        )
        p.append((occupation(up).estimate - occupation(down).estimate) / (2 * h))
        time.append((restricted_time(up, 9.5)[0] - restricted_time(down, 9.5)[0]) / (2 * h))
    spread = np.sqrt((np.array(p) ** 2).sum(axis=0))
    np.testing.assert_allclose(occupation(paths).std_error, spread, atol=DERIVATIVE)
    np.testing.assert_allclose(
        restricted_time(paths, 9.5)[1], np.array(time).T @ np.array(time), atol=DERIVATIVE
    )


def test_the_product_of_matrices_by_hand(made: pd.DataFrame) -> None:
    curves = rs.multistate(MADE + "1", made, person="id", initial="from")
    paths, found = curves.paths[0], curves.fitted[0]
    p = found.p0
    for k, t in enumerate(found.moves.time):
        H = np.eye(3)
        for j in range(3):
            at_risk = (paths.start < t) & (paths.stop >= t) & (paths.origin == j)
            for to in range(3):
                moved = (at_risk & (paths.stop == t) & (paths.to == to)).sum()
                H[j, to] += moved / max(at_risk.sum(), 1)
                H[j, j] -= moved / max(at_risk.sum(), 1)
        p = p @ H
        np.testing.assert_allclose(found.estimate[k], p, atol=EXACT)


def test_two_states_are_kaplan_meier(mgus: Dataset) -> None:
    frame = mgus.frame.groupby("id").agg(stop=("tstop", "max"), state=("state", "last"))
    frame = frame.reset_index().assign(state=lambda x: (x["state"] == 2).astype(int), start=0)
    curves = rs.multistate("Surv(start, stop, state) ~ 1", frame, person="id")
    alive = curves.tidy().query("state == '(entry)'")
    km = rs.kaplan_meier("Surv(stop, state) ~ 1", frame).tidy()
    np.testing.assert_allclose(alive["estimate"], km["estimate"], rtol=CLOSED_FORM)
    # one spell a person: the jackknife is Greenwood's formula
    np.testing.assert_allclose(alive["std_error"], km["std_error"], rtol=CLOSED_FORM)
    matrix = rs.multistate("Surv(start, stop, state) ~ 1", frame, person="id", errors="greenwood")
    np.testing.assert_allclose(
        matrix.tidy().query("state == '(entry)'")["std_error"], km["std_error"], rtol=CLOSED_FORM
    )
    mean = curves.restricted_time(200)
    known = rs.kaplan_meier("Surv(stop, state) ~ 1", frame).rmst(200)
    assert mean["estimate"][0] == pytest.approx(known["estimate"][0], rel=CLOSED_FORM)
    assert mean["std_error"][0] == pytest.approx(known["std_error"][0], rel=CONVERGED)


def test_competing_events_are_a_case(mgus: Dataset) -> None:
    first = mgus.frame.groupby("id", as_index=False).first()
    curves = rs.multistate("Surv(tstart, tstop, state) ~ 1", first, person="id").tidy()
    known = rs.cumulative_incidence("Surv(tstop, state) ~ 1", first).tidy()
    for cause in ("1", "2"):
        ours, theirs = curves[curves["state"] == cause], known[known["cause"] == cause]
        for column in ("estimate", "std_error", "conf_low", "n_event"):
            np.testing.assert_allclose(ours[column], theirs[column], rtol=CONVERGED, atol=EXACT)


def test_a_landmark_and_transition_probabilities(mgus: Dataset) -> None:
    """From 24 on, starting in pcm: those in pcm then, and who comes later, by hand."""
    later = rs.multistate(FORMULA + "1", mgus, person="id", start_time=24, start_in="pcm")
    frame = mgus.frame[mgus.frame["tstop"] > 24].assign(
        tstart=lambda x: np.maximum(x["tstart"], 24)
    )
    first = frame.groupby("id")["tstart"].transform("min")
    sick = frame[(frame["tstart"] > first) | (frame["tstart"] == 24)]
    sick = sick[sick.groupby("id").cumcount() >= 0]
    entered = mgus.frame[mgus.frame["state"] == 1][["id", "tstop"]].rename(
        columns={"tstop": "came"}
    )
    stay = sick.merge(entered, on="id")
    stay = stay[stay["tstart"] >= np.maximum(stay["came"], 24)]
    died = (stay["state"] == 2).to_numpy()
    alive, expected = 1.0, {}
    for t in np.unique(stay["tstop"]):
        at_risk = ((stay["tstart"] < t) & (stay["tstop"] >= t)).sum()
        alive *= 1 - (died & (stay["tstop"] == t)).sum() / at_risk
        expected[t] = alive
    for t in (60.0, 120.0):
        known = [v for s, v in expected.items() if s <= t][-1]
        found = later.occupation([t]).set_index("state")["estimate"]
        assert found["pcm"] == pytest.approx(known, rel=CLOSED_FORM)


def test_transitions_table(mgus: Dataset, made: pd.DataFrame) -> None:
    table = rs.multistate(FORMULA + "1", mgus, person="id").transitions()
    counts = table.set_index(["from", "to"])["n"]
    assert counts["(entry)", "pcm"] == (mgus.frame["state"] == 1).sum()
    assert table["n"].sum() == len(mgus.frame)
    curves = rs.multistate(MADE + "1", made, person="id", initial="from")
    names = {c.name: c.verdict for c in curves.checks()}
    assert names == {"Markov property": names["Markov property"], "transitions": "caution"} or names
    assert "60 people" in repr(curves)


# --- Markov ------------------------------------------------------------------------------------


def semi_markov(rng: np.random.Generator, n: int, shape: float) -> Paths:
    """State 0, left at rate 1; in 1 the time since entry is Weibull: Markov with shape 1."""
    came = rng.exponential(1, n)
    left = came + rng.weibull(shape, n)
    end = rng.uniform(1, 4, n)
    sick = came < end
    start = np.concatenate([np.zeros(n), came[sick]])
    stop = np.concatenate([np.minimum(came, end), np.minimum(left, end)[sick]])
    origin = np.repeat([0, 1], [n, sick.sum()])
    to = np.where(origin == 0, np.where(np.append(sick, sick[sick]), 1, -1), -1)
    to[n:] = np.where((left < end)[sick], 2, -1)
    person = np.append(np.arange(n), np.flatnonzero(sick))
    return Paths(start, stop, origin, to, person, np.ones(len(to)), 3)


def test_entry_time_test_has_its_size_and_power() -> None:
    rng = np.random.default_rng(11)
    null = np.array([entry_time_test(semi_markov(rng, 150, 1.0), 1, 2) for _ in range(400)])
    size = float((null > 3.841459).mean())
    assert abs(size - 0.05) < MONTE_CARLO_SES * np.sqrt(0.05 * 0.95 / 400)
    away = np.array([entry_time_test(semi_markov(rng, 150, 3.0), 1, 2) for _ in range(50)])
    assert (away > 3.841459).mean() > 0.9


def test_entry_time_test_is_coxs(mgus: Dataset) -> None:
    curves = rs.multistate(FORMULA + "1", mgus, person="id")
    table = curves.markov_test().set_index("from")
    came = mgus.frame[mgus.frame["state"] == 1].set_index("id")["tstop"]
    sick = mgus.frame[mgus.frame["tstart"] > 0]
    sick = sick.assign(came=sick["id"].map(came), died=(sick["state"] == 2).astype(int))
    cox = rs.cox("Surv(tstart, tstop, died) ~ came", sick)
    assert table.loc["pcm", "statistic"] == pytest.approx(cox.glance()["score"][0], rel=CONVERGED)
    began, seen = stays(curves.paths[0])
    assert set(began[seen]) == set(sick["tstart"])


# --- models of the transitions -------------------------------------------------------------------


def test_transition_models_as_survival(stored: dict[str, Any], mgus: Dataset) -> None:
    fit = rs.transition_models(FORMULA + "age + male", mgus, person="id")
    r, order = stored["cox"], [0, 3, 1, 4, 2, 5]
    np.testing.assert_allclose(fit.beta[order], r["beta"], rtol=CONVERGED)
    assert fit.engine.loglik == pytest.approx(r["loglik"], rel=CLOSED_FORM)
    assert fit.robust is not None
    np.testing.assert_allclose(
        fit.robust[np.ix_(order, order)], r["robust"], rtol=CONVERGED, atol=EXACT
    )
    np.testing.assert_allclose(
        fit.engine.covariance[np.ix_(order, order)], r["naive"], rtol=CONVERGED, atol=EXACT
    )
    assert fit.terms[0] == "age:(entry) -> pcm"
    assert fit.anova()["num_df"].tolist() == [3, 3]
    assert fit.transitions()["n_event"].sum() == fit.engine.n_events
    assert "transitions" in {c.name for c in fit.checks()}


def test_one_effect_on_all_transitions(stored: dict[str, Any], mgus: Dataset) -> None:
    fit = rs.transition_models(FORMULA + "age + male", mgus, person="id", common=["age"])
    assert fit.terms[0] == "age"
    r = stored["common"]
    at = [r["names"].index(n) for n in ("age", "male_1:2", "male_1:3", "male_2:3")]
    np.testing.assert_allclose(fit.beta, np.array(r["beta"])[at], rtol=CONVERGED)
    assert fit.engine.loglik == pytest.approx(r["loglik"], rel=CLOSED_FORM)
    new = mgus.frame.iloc[:2].assign(transition="pcm -> death")
    gap = fit.predict(new).diff().iloc[1]
    step = new[["age", "male"]].diff().iloc[1].to_numpy()
    assert gap == pytest.approx(step @ fit.beta[[0, 3]], rel=CLOSED_FORM)


def test_strata_of_the_formula_and_transitions_apart(mgus: Dataset) -> None:
    fit = rs.transition_models(FORMULA + "age + strata(sex)", mgus, person="id")
    first = mgus.frame[mgus.frame["tstart"] == 0]
    cox = rs.cox("Surv(tstart, tstop, state == 2) ~ age + strata(sex)", first)
    assert fit.terms[1] == "age:(entry) -> death"
    assert fit.beta[1] == pytest.approx(cox.beta[0], rel=CONVERGED)
    new = pd.DataFrame({"age": [70.0], "sex": ["M"]})
    both = rs.transition_models(FORMULA + "age + male", mgus, person="id")
    ours = fit.occupation(new, times=[100])["estimate"]
    assert ours.tolist() == pytest.approx(
        both.occupation(new.assign(male=1), times=[100])["estimate"].tolist(), abs=0.05
    )
    with pytest.raises(UsageError, match="stratum"):
        fit.occupation(new.assign(sex="X"), times=[100])
    with pytest.raises(NotEstimable, match="male"):
        rs.transition_models(FORMULA + "male + strata(sex)", mgus, person="id")


def test_prediction_as_survival(stored: dict[str, Any], mgus: Dataset) -> None:
    fit = rs.transition_models(FORMULA + "age + male", mgus, person="id", ties="breslow")
    new = pd.DataFrame({"age": [60, 80], "male": [1, 0]}, index=["a", "b"])
    table = fit.occupation(new, times=stored["at"])
    for i, label in enumerate(["a", "b"]):
        found = square(table[table["row"] == label], "estimate")
        np.testing.assert_allclose(found, np.array(stored["pstate"])[:, i], rtol=CONVERGED)
    total = table.groupby(["row", "time"])["estimate"].sum()
    assert total.tolist() == pytest.approx([1.0] * 6, rel=EXACT)
    sick = fit.occupation(new[:1], times=[0, 100, 1e6], start_in="pcm").query("state == 'pcm'")
    assert sick["estimate"].iloc[0] == 1.0
    assert np.isnan(sick["estimate"].iloc[2])


def test_prediction_with_two_states_is_coxs(mgus: Dataset) -> None:
    frame = mgus.frame.groupby("id", as_index=False).agg(
        stop=("tstop", "max"), state=("state", "last"), age=("age", "first"), male=("male", "first")
    )
    frame = frame.assign(state=(frame["state"] == 2).astype(int), start=0)
    fit = rs.transition_models("Surv(start, stop, state) ~ age + male", frame, person="id")
    cox = rs.cox("Surv(start, stop, state) ~ age + male", frame)
    new, at = pd.DataFrame({"age": [60, 80], "male": [1, 0]}), [30, 100, 200]
    ours = fit.occupation(new, times=at).query("state == '(entry)'")
    theirs = cox.survival(new, times=at)
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=CONVERGED)
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=CONVERGED)


def test_errors_of_prediction_by_finite_differences(mgus: Dataset) -> None:
    """Every increment moved by itself, and every coefficient."""
    sick = mgus.frame.loc[mgus.frame["state"] == 1, "id"]
    chosen = {*sick, *mgus.frame["id"].unique()[:50]}
    fit = rs.transition_models(
        FORMULA + "age", mgus.frame[mgus.frame["id"].isin(chosen)], person="id"
    )
    X = 70.0 * np.eye(3)
    whole = transition.steps(fit.engine, X, [0, 1, 2], 0.0)
    early = np.arange(40)  # event times
    found = transition.Steps(
        *(x[early] for x in (whole.time, whole.hazard, whole.variance, whole.slope))
    )
    p0, h = np.array([1.0, 0, 0]), 1e-7
    _, se = transition.occupation(fit.engine, found, fit.moves, p0)
    last = len(found.time) - 1

    def at_end(hazard: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        moved = replace(found, hazard=hazard)
        return transition.occupation(fit.engine, moved, fit.moves, p0)[0][last]

    base, total = at_end(found.hazard), np.zeros(3)
    for t, m in np.argwhere(found.variance > 0):
        nudged = found.hazard.copy()
        nudged[t, m] += h
        total += ((at_end(nudged) - base) / h) ** 2 * found.variance[t, m]
    V = fit.engine.covariance * np.outer(fit.engine.problem.scale, fit.engine.problem.scale)
    G = np.array([(at_end(found.hazard + h * found.slope[:, :, i]) - base) / h for i in range(3)])
    total += np.einsum("is,ij,js->s", G, V, G)
    # the recursion is exact to first order in the increments of one time
    np.testing.assert_allclose(se[last], np.sqrt(total), rtol=2e-2)


# --- what cannot be ------------------------------------------------------------------------------


def test_refusals(mgus: Dataset, made: pd.DataFrame) -> None:
    for_all: dict[str, Any] = {"person": "id", "initial": "from"}
    undead = pd.DataFrame(
        {"id": [7, 7, 8], "start": [0, 2, 0], "stop": [2, 3, 4], "to": ["dead", "none", "using"]}
    ).assign(to=lambda x: pd.Categorical(x["to"], ["none", "using", "dead"]))
    with pytest.raises(DataError, match="1 people have 1 rows after") as error:
        rs.multistate(MADE + "1", undead, person="id")
    assert "7" not in str(error.value)
    allowed = [("abstinent", "using"), ("using", "abstinent"), ("abstinent", "dead")]
    with pytest.raises(DataError, match="not possible: using -> dead"):
        rs.multistate(MADE + "1", made, possible=allowed, **for_all)
    with pytest.raises(DataError, match="overlap"):
        rs.multistate(FORMULA + "1", pd.concat([mgus.frame] * 2), person="id")
    with pytest.raises(DataError, match="not before"):
        rs.multistate(FORMULA + "1", mgus.frame.assign(tstart=mgus.frame["tstop"]), person="id")
    with pytest.raises(NotEstimable, match="Nobody moves"):
        rs.multistate(FORMULA + "1", mgus.frame.assign(state=0), person="id")
    with pytest.raises(UsageError, match="holds text"):
        rs.multistate(MADE + "1", made.assign(to=made["to"].astype(str)), **for_all)
    with pytest.raises(UsageError, match="state named 'sober'"):
        rs.multistate(MADE + "1", made, start_in="sober", **for_all)
    with pytest.raises(UsageError, match="kind of errors"):
        rs.multistate(MADE + "1", made, errors="plain", **for_all)  # type: ignore[arg-type]
    with pytest.raises(NotEstimable, match="observed"):
        rs.multistate(MADE + "1", made, **for_all).restricted_time(1e5)
    with pytest.raises(UsageError, match="term named 'ages'"):
        rs.transition_models(FORMULA + "age", mgus, person="id", common=["ages"])
    with pytest.raises(UsageError, match="plain column"):
        rs.multistate("Surv(tstart, tstop, state == 2) ~ 1", mgus, person="id")
