"""Curves, tests, competing and recurrent events, states and laws of time as R gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from tests.models.survival_sweep import VALUES, blocks, curve, data, same, sorted_like
from tests.tolerance import R_CONVERGED

CONF = ["log-log", "log", "plain"]
STATES = ("(entry)", "CR", "SCT", "relapse", "death")
LAWS = {"lognormal": "log-normal", "loglogistic": "log-logistic"}


@pytest.mark.parametrize("conf", CONF)
def test_limits_and_quantiles(conf: Any) -> None:
    theirs = VALUES["curve"][conf]
    found = rs.kaplan_meier("Surv(futime, death) ~ trt", data("myeloid"), conf_type=conf)
    curve(found.at([100, 400, 900, 1500]), theirs)
    q = found.quantile([0.1, 0.25, 0.4, 0.5, 0.9])
    for ours, key in (("estimate", "q"), ("conf_low", "ql"), ("conf_high", "qh")):
        same(q[ours], theirs[key])


@pytest.mark.parametrize("conf", CONF)
def test_quantiles_where_the_curve_is_flat(conf: Any) -> None:
    frame = pd.DataFrame({"t": range(1, 9), "e": [1, 0, 1, 1, 0, 1, 0, 0]})
    found = rs.kaplan_meier("Surv(t, e) ~ 1", frame, conf_type=conf).quantile([0.1, 0.25, 0.5, 0.6])
    for ours, key in (("estimate", "quantile"), ("conf_low", "lower"), ("conf_high", "upper")):
        same(found[ours], VALUES["flat"][conf][key])
    even = rs.kaplan_meier("Surv(t, e) ~ 1", frame.iloc[:6].assign(e=1), conf_type="log")
    q = even.quantile([1 / 6, 0.5, 2 / 3])
    for ours, key in (("estimate", "quantile"), ("conf_low", "lower"), ("conf_high", "upper")):
        same(q[ours], VALUES["even"][key])


def hazards(found: Any, groups: list[str], times: list[float], column: str) -> list[float]:
    table = found.cumulative_hazard()
    out: list[float] = []
    for g in groups:
        rows = table[table["group"] == g]
        out += list(rows[column].iloc[np.searchsorted(rows["time"], times, side="right") - 1])
    return out


def test_age_as_time_and_few_at_risk_early() -> None:
    found = rs.kaplan_meier("Surv(age, exit, death) ~ sex", data("mgus"), conf_type="log")
    times, theirs = [60, 70, 80, 90], VALUES["truncated"]
    curve(found.at(times), theirs)
    same(hazards(found, ["F", "M"], times, "estimate"), theirs["H"])
    same(hazards(found, ["F", "M"], times, "std_error"), theirs["Hse"])


@pytest.mark.parametrize(("weights", "case"), [("w", "sampled"), ("zero", "zero")])
def test_sampling_weights_some_of_them_zero(weights: str, case: str) -> None:
    found = rs.kaplan_meier("Surv(years, rel) ~ histol", data("nwtco"), weights=weights)
    curve(found.at([1, 3, 6]), VALUES[case])


def test_curves_of_two_kidneys() -> None:
    found = rs.kaplan_meier("Surv(time, status) ~ sex", data("kidney"), cluster="id")
    times, theirs = [10, 50, 150], VALUES["clustered"]
    curve(found.at(times), theirs)
    same(hazards(found, ["1", "2"], times, "estimate"), theirs["H"])
    same(hazards(found, ["1", "2"], times, "std_error"), theirs["Hse"])


def test_a_risk_set_that_is_empty_for_a_while() -> None:
    found, theirs = rs.kaplan_meier("Surv(start, stop, event) ~ 1", data("gap")), VALUES["gap"]
    table, hazard = found.tidy(), found.cumulative_hazard()
    same(table[["time", "n_risk", "estimate"]].T, [theirs["time"], theirs["risk"], theirs["surv"]])
    same(hazard[["estimate", "std_error"]].T, [theirs["H"], theirs["Hse"]])


def test_mean_times_with_entry() -> None:
    found = rs.kaplan_meier("Surv(s0, time, status) ~ celltype", data("veteran")).rmst(150)
    same(found["estimate"], VALUES["rmst"]["mean"])
    same(found["std_error"], VALUES["rmst"]["se"])


def test_pairs_of_groups_within_strata() -> None:
    formula = "Surv(time, status) ~ celltype + strata(prior, trt)"
    found = rs.logrank(formula, data("veteran"), rho=0.5).pairwise()
    same(found["statistic"], VALUES["pairs"]["chisq"])
    same(found["p_value"], VALUES["pairs"]["holm"])


def test_trends_within_strata() -> None:
    test = rs.logrank("Surv(time, status) ~ celltype + strata(prior)", data("veteran"))
    same(test.trend()["statistic"], VALUES["trend"]["even"])
    same(test.trend([0, 1, 5, 5])["statistic"], VALUES["trend"]["odd"])
    same(test.groups()["expected"], VALUES["trend"]["expected"])


@pytest.mark.parametrize(("strata", "place"), [("", 0), (" + strata(prior)", 1)])
def test_log_rank_tests_with_late_entry(strata: str, place: int) -> None:
    found = rs.logrank(f"Surv(s0, time, status) ~ celltype{strata}", data("veteran"))
    same(found.tidy()["statistic"], VALUES["late"][place])


class TestCompetingEvents:
    @pytest.mark.parametrize(("weights", "case"), [(None, "plain"), ("w", "weighted")])
    def test_incidence(self, weights: str | None, case: str) -> None:
        frame, theirs = data("transplant"), VALUES["incidence"][case]
        found = rs.cumulative_incidence("Surv(time, cause) ~ abo", frame, "log", weights=weights)
        table = found.at([30, 100, 400])
        for key, column in (("p", "estimate"), ("se", "std_error"), ("low", "conf_low")):
            self._where_known(blocks(table, "cause", found.causes, column), theirs[key])

    def test_errors_by_martingales(self) -> None:
        frame, theirs = data("transplant"), VALUES["martingale"]
        found = rs.cumulative_incidence("Surv(time, cause) ~ abo", frame, errors="martingale")
        table = found.at([30, 100]).set_index(["group", "cause"])
        for name, est, var in zip(theirs["names"], theirs["est"], theirs["var"], strict=True):
            rows = table.loc[tuple(name.split(" "))]
            same(rows["estimate"], est)
            same(rows["std_error"] ** 2, var)

    @pytest.mark.parametrize(
        ("case", "strata", "rho"),
        [("plain", "", 0), ("rho", "", 1), ("strata", " + strata(sex)", 0),
         ("both", " + strata(sex)", 1)],
    )  # fmt: skip
    def test_grays(self, case: str, strata: str, rho: float) -> None:
        found = rs.gray_test(f"Surv(time, cause) ~ abo{strata}", data("transplant"), rho=rho)
        same(found.tidy()["statistic"], VALUES["gray"][case])

    def test_late_entry(self) -> None:
        found = rs.cumulative_incidence("Surv(e0, t, cause) ~ sex", data("mgus"), "log")
        table = found.at([20, 60, 120])
        for key, column in (("p", "estimate"), ("se", "std_error"), ("low", "conf_low")):
            self._where_known(blocks(table, "cause", found.causes, column), VALUES["entry"][key])

    def _where_known(self, ours: Any, theirs: Any) -> None:
        """R has no limits of a probability of 0."""
        known = np.array([v is not None for v in np.array(theirs, dtype=object).ravel()])
        assert known.mean() > 0.9
        same(np.ravel(ours)[known], np.array(theirs, dtype=object).ravel()[known])

    @pytest.mark.parametrize("cause", [1, 2, 3])
    def test_subdistribution_hazards(self, cause: int) -> None:
        theirs = VALUES["finegray"][cause - 1]
        fit = rs.fine_gray(
            "Surv(time, cause) ~ age + female + late", data("transplant"), cause=cause
        )
        same(fit.tidy()["estimate"], theirs["beta"], R_CONVERGED)
        same(fit.tidy()["std_error"], theirs["se"], R_CONVERGED)
        same(fit.glance()["log_likelihood"], theirs["loglik"])
        new = pd.DataFrame({"age": [30, 60], "female": [1, 0], "late": [2, 9]})
        same(fit.incidence(new, times=[30, 100, 400])["estimate"], theirs["p"], R_CONVERGED)

    def test_an_effect_that_changes_with_the_root_of_time(self) -> None:
        frame, theirs = data("transplant"), VALUES["varying"]
        fit = rs.fine_gray(
            "Surv(time, cause) ~ age + female + late", frame, cause=2, varying={"age": "sqrt"}
        )
        same(fit.tidy()["estimate"], theirs["beta"], R_CONVERGED)
        same(fit.tidy()["std_error"], theirs["se"], R_CONVERGED)


class TestRecurrentEvents:
    @pytest.mark.parametrize(
        ("case", "how"),
        [("wlw", {"method": "wlw"}), ("total", {"method": "pwp-total"}),
         ("gap", {"method": "pwp-gap", "ties": "breslow"})],
    )  # fmt: skip
    def test_effects_by_event(self, case: str, how: dict[str, Any]) -> None:
        fit = rs.recurrent(
            "Surv(start, stop, event) ~ rx + size", data("bladder"), person="id",
            effects="by_event", events_at_most=4, **how,
        )  # fmt: skip
        self._compare(fit, VALUES["recurrent"][case])

    def test_rates_and_sampled_centres(self) -> None:
        outcome, frame = "Surv(tstart, tstop, status)", data("cgd")
        fit = rs.recurrent(
            f"{outcome} ~ treat + age + recessive + steroids", frame, person="id",
            method="andersen-gill",
        )  # fmt: skip
        self._compare(fit, VALUES["recurrent"]["ag"])
        fit = rs.recurrent(
            f"{outcome} ~ treat + age", frame, person="id", weights="w", cluster="center"
        )
        self._compare(fit, VALUES["recurrent"]["lwyy"])

    def _compare(self, fit: Any, theirs: dict[str, Any]) -> None:
        table = fit.tidy()
        sorted_like(table["estimate"], theirs["beta"])
        sorted_like(table["std_error"], theirs["se"])
        sorted_like(table["std_error_model"], theirs["model"])
        same(fit.glance()["log_likelihood"], theirs["loglik"])

    @pytest.mark.parametrize(("weights", "case"), [(None, "plain"), ("w", "weighted")])
    def test_mean_numbers(self, weights: str | None, case: str) -> None:
        found = rs.mean_cumulative(
            "Surv(tstart, tstop, status) ~ recessive", data("cgd"), person="id", weights=weights
        ).at([60, 180, 300])
        same(found["estimate"], VALUES["mean"][case]["mean"])
        same(found["std_error"], VALUES["mean"][case]["se"])


class TestStates:
    @pytest.mark.parametrize(
        ("case", "how"),
        [("plain", {}), ("weighted", {"weights": "w"}), ("later", {"start_time": 200})],
    )
    def test_occupation(self, case: str, how: dict[str, Any]) -> None:
        found = rs.multistate(
            "Surv(tstart, tstop, to) ~ trt", self._moves(), person="id", initial_known=True, **how
        ).at([400, 1200])
        for key, column in (("p", "estimate"), ("se", "std_error")):
            same(blocks(found, "state", STATES, column), VALUES["states"][case][key])

    def test_hazards_of_every_transition(self) -> None:
        fit = rs.transition_models("Surv(tstart, tstop, to) ~ trt", self._moves(), person="id")
        sorted_like(fit.tidy()["estimate"], VALUES["transitions"]["beta"])
        sorted_like(fit.tidy()["std_error"], VALUES["transitions"]["se"])

    def _moves(self) -> pd.DataFrame:
        moves = data("states")
        return moves.assign(to=pd.Categorical.from_codes(moves["to"], ("stays", *STATES[1:])))


class TestLawsOfTime:
    @pytest.mark.parametrize("law", list(VALUES["law"]))
    def test_times_some_of_them_between_visits(self, law: str) -> None:
        theirs = VALUES["law"][law]
        fit: Any = rs.aft(
            'Surv(low, high, type="interval2") ~ karno + trt + celltype', data("veteran"),
            distribution=LAWS.get(law, law),  # type: ignore[arg-type]
        )  # fmt: skip
        same(fit.beta, theirs["beta"], R_CONVERGED)
        same(fit.tidy()["std_error"], theirs["se"], R_CONVERGED)
        same(fit.loglik, theirs["loglik"])
        new = pd.DataFrame({"karno": [30, 80], "trt": [1, 2], "celltype": ["large", "adeno"]})
        q = fit.quantile(new, [0.1, 0.5, 0.9])
        same(q["estimate"], theirs["q"], R_CONVERGED)
        same(q["std_error"], theirs["qse"], R_CONVERGED)

    @pytest.mark.parametrize("law", list(VALUES["scales"]))
    def test_counts_offset_scales_and_clusters(self, law: str) -> None:
        theirs, frame = VALUES["scales"][law], data("veteran")
        how: Any = {"distribution": LAWS.get(law, law)}
        formula = "Surv(time, status) ~ karno + trt + offset(off) + strata(celltype)"
        fit = rs.aft(formula, frame, weights="count", **how)
        same(fit.beta, theirs["beta"], R_CONVERGED)
        same(fit.scale, theirs["scale"], R_CONVERGED)
        same(fit.tidy()["std_error"], theirs["se"], R_CONVERGED)
        clustered = rs.aft("Surv(time, status) ~ karno + trt", frame, cluster="celltype", **how)
        same(clustered.tidy()["std_error"], theirs["robust"], R_CONVERGED)
