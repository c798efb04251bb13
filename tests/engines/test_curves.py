"""Curves: on paper, by brute force, by refitting with a changed weight, and what must collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from recovery_stats.engines import curves
from recovery_stats.errors import NotEstimable
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    DERIVATIVE,
    EXACT,
    PRINTED_3,
    PRINTED_4,
)

Array = NDArray[np.float64]

# Freireich et al. 1963, remission in weeks under 6-MP: the textbook example of Kaplan-Meier
WEEKS = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0])
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])


def test_the_textbook_curve() -> None:
    curve = curves.kaplan_meier(curves.tabulate(WEEKS, RELAPSED))
    at = curves.position(curve.table.time, np.array([6.0, 7, 10, 13, 16, 22, 23]))
    printed = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    np.testing.assert_allclose(curve.estimate[at], printed, atol=PRINTED_3)
    np.testing.assert_allclose(curve.std_error[at[:3]], [0.0764, 0.0869, 0.0963], atol=PRINTED_4)
    assert curves.quantile(curve.table.time, curve.estimate, 0.5) == 23


def test_limits_are_their_formulas() -> None:
    S, sigma = np.array([0.8]), np.array([0.1])
    z = norm.isf(0.025)
    plain = curves.limits(S, sigma, kind="plain")
    assert plain[0][0] == pytest.approx(0.8 - z * 0.08, rel=EXACT)
    log = curves.limits(S, sigma, kind="log")
    assert log[0][0] == pytest.approx(0.8 * np.exp(-z * 0.1), rel=EXACT)
    low, high = curves.limits(S, sigma)
    turn = z * 0.1 / -np.log(0.8)
    assert low[0] == pytest.approx(np.exp(-np.exp(np.log(-np.log(0.8)) + turn)), rel=EXACT)
    assert high[0] == pytest.approx(np.exp(-np.exp(np.log(-np.log(0.8)) - turn)), rel=EXACT)
    low, high = curves.limits(np.array([1.0, 0.0]), np.array([0.0, np.inf]))
    assert (low[0], high[0]) == (1, 1)
    assert np.isnan([low[1], high[1]]).all()


def test_without_censoring_everything_is_binomial() -> None:
    time = np.arange(1.0, 11)
    curve = curves.kaplan_meier(curves.tabulate(time, np.ones(10, int)))
    share = 1 - time / 10
    np.testing.assert_allclose(curve.estimate, share, atol=EXACT)
    np.testing.assert_allclose(curve.std_error[:-1], np.sqrt(share * (1 - share) / 10)[:-1])
    mean, se = curves.restricted_mean(curve, 11)
    assert mean == pytest.approx(time.mean(), rel=EXACT)
    assert se == pytest.approx(time.std() / np.sqrt(10), rel=CLOSED_FORM)


def test_a_median_on_a_flat_step_is_its_middle() -> None:
    time = np.array([1.0, 2, 3, 4])
    assert curves.quantile(time, np.array([0.75, 0.5, 0.5, 0.25]), 0.5) == 3
    assert curves.quantile(time, np.array([0.75, 0.5, 0.5, 0.5]), 0.5) == 2
    assert np.isnan(curves.quantile(time, np.array([0.9, 0.8, 0.7, 0.6]), 0.5))


def test_a_restricted_mean_beyond_observation_is_refused() -> None:
    curve = curves.kaplan_meier(curves.tabulate(WEEKS, RELAPSED))
    with pytest.raises(NotEstimable, match="ends at 35"):
        curves.restricted_mean(curve, 36)
    curves.restricted_mean(curve, 35)


def test_relapses_on_the_first_day_count() -> None:
    curve = curves.kaplan_meier(curves.tabulate(np.array([0.0, 0, 3, 5]), np.array([1, 1, 1, 0])))
    np.testing.assert_allclose(curve.estimate, [0.5, 0.25, 0.25])
    assert curves.restricted_mean(curve, 4)[0] == pytest.approx(0.5 * 3 + 0.25, rel=EXACT)


# --- brute force -----------------------------------------------------------------------------


@st.composite
def people(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(2, 25))
    start = np.array([draw(st.integers(0, 6)) for _ in range(n)], float)
    return {
        "start": start if draw(st.booleans()) else None,
        "stop": start + np.array([draw(st.integers(1, 8)) for _ in range(n)]),
        "cause": np.array([draw(st.integers(0, 2)) for _ in range(n)]),
        "weights": np.array([draw(st.sampled_from([0.5, 1.0, 2.5])) for _ in range(n)]),
    }


def incidence(data: dict[str, Any], weights: Array) -> tuple[Array, Array]:
    """Survival (T,) and cumulative incidence (2, T) by the product-limit definition."""
    stop, cause = data["stop"], data["cause"]
    start = np.full(len(stop), -1.0) if data["start"] is None else data["start"]
    S, F = 1.0, np.zeros(2)
    survival, risks = [], []
    for t in np.unique(stop):
        n = weights[(start < t) & (stop >= t)].sum()
        d = np.array([weights[(stop == t) & (cause == j)].sum() for j in (1, 2)])
        F = F + S * d / n
        S *= 1 - d.sum() / n
        survival.append(S)
        risks.append(F)
    return np.array(survival), np.array(risks).T


@settings(max_examples=100, deadline=None)
@given(people())
def test_curves_and_jackknife_errors_by_definition(data: dict[str, Any]) -> None:
    w = data["weights"]
    table = curves.tabulate(data["stop"], data["cause"], start=data["start"], weights=w, causes=2)
    S, F = incidence(data, w)
    survival, risk = curves.kaplan_meier(table, robust=True), curves.cumulative_incidence(table)
    np.testing.assert_allclose(survival.estimate, S, atol=CLOSED_FORM)
    np.testing.assert_allclose(risk.estimate, F, atol=CLOSED_FORM)
    step = 1e-6
    influence_S, influence_F = [], []
    for i in range(len(w)):
        up, down = w.copy(), w.copy()
        up[i], down[i] = w[i] * (1 + step), w[i] * (1 - step)
        (S1, F1), (S0, F0) = incidence(data, up), incidence(data, down)
        influence_S.append((S1 - S0) / (2 * step))
        influence_F.append((F1 - F0) / (2 * step))
    alive = S > 1e-9
    np.testing.assert_allclose(
        survival.std_error[alive],
        np.sqrt(np.square(influence_S).sum(axis=0))[alive],
        atol=DERIVATIVE,
    )
    np.testing.assert_allclose(
        risk.std_error, np.sqrt(np.square(influence_F).sum(axis=0)), atol=DERIVATIVE
    )


def test_robust_errors_of_unweighted_people_are_greenwood() -> None:
    table = curves.tabulate(WEEKS, RELAPSED)
    np.testing.assert_allclose(
        curves.kaplan_meier(table, robust=True).sigma, curves.kaplan_meier(table).sigma
    )


@settings(max_examples=60, deadline=None)
@given(people(), st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.5, 2.0)]))
def test_logrank_by_definition(data: dict[str, Any], powers: tuple[float, float]) -> None:
    rho, gamma = powers
    rng = np.random.default_rng(len(data["stop"]))
    n = len(data["stop"])
    group, strata = rng.integers(0, 3, n), rng.integers(0, 2, n)
    died = data["cause"] > 0
    stop = data["stop"]
    start = np.full(n, -1.0) if data["start"] is None else data["start"]
    U, V = np.zeros(3), np.zeros((3, 3))
    for s in (0, 1):
        S = 1.0
        for t in np.unique(stop[died & (strata == s)]):
            risk = (start < t) & (stop >= t) & (strata == s)
            now = died & (stop == t) & (strata == s)
            N, D = risk.sum(), now.sum()
            share = np.array([risk[group == g].sum() for g in range(3)]) / N
            here = np.array([now[group == g].sum() for g in range(3)])
            weight = S**rho * (1 - S) ** gamma
            U += weight * (here - D * share)
            if N > 1:
                factor = weight**2 * D * (N - D) / (N - 1)
                V += factor * (np.diag(share) - np.outer(share, share))
            S *= 1 - D / N
    asked: dict[str, Any] = {"start": data["start"], "strata": strata, "rho": rho, "gamma": gamma}
    if group.max() < 1 or (np.diag(V) > 0).sum() < 2:
        with pytest.raises(NotEstimable):
            curves.logrank(stop, died, group, **asked)
        return
    test = curves.logrank(stop, died, group, **asked)
    G = group.max() + 1
    np.testing.assert_allclose(test.observed - test.expected, U[:G], atol=CLOSED_FORM)
    np.testing.assert_allclose(test.variance, V[:G, :G], atol=CLOSED_FORM)
    assert test.statistic == pytest.approx(U @ np.linalg.pinv(V) @ U, abs=CONVERGED)


def test_a_group_beyond_everyone_else_is_refused() -> None:
    with pytest.raises(NotEstimable, match="at least two groups"):
        curves.logrank(WEEKS, RELAPSED, np.zeros(21, int))
    with pytest.raises(NotEstimable, match="while two groups"):
        curves.logrank(np.array([1.0, 2, 5, 6]), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))


def test_causes_add_up_to_the_complement_of_survival() -> None:
    rng = np.random.default_rng(3)
    stop, cause = np.ceil(rng.exponential(9, 200)), rng.integers(0, 4, 200)
    table = curves.tabulate(stop, cause, causes=3)
    risk, survival = curves.cumulative_incidence(table), curves.kaplan_meier(table)
    np.testing.assert_allclose(risk.estimate.sum(axis=0), 1 - survival.estimate, atol=EXACT)
    one = curves.cumulative_incidence(curves.tabulate(stop, (cause > 0).astype(int)))
    np.testing.assert_allclose(one.std_error[0], survival.std_error, atol=CLOSED_FORM)


@pytest.mark.parametrize("n", [12, 4000])
def test_groups_counted_at_once_are_those_counted_apart(n: int) -> None:
    """Few rows on many times take the other way; rows alike stand as one with a weight."""
    rng = np.random.default_rng(n)
    stop, died = rng.integers(0, 300, n) / 4, rng.random(n) < 0.6
    group = np.arange(n) % 6
    for g, table in enumerate(curves.tabulate_groups(stop, died, group, 6)):
        alone = curves.tabulate(stop[group == g], died[group == g].astype(int))
        for name in ("time", "n_risk", "events", "n_censor", "n"):
            np.testing.assert_array_equal(getattr(table, name), getattr(alone, name))
        here = np.bincount(table.exit, table.weight * (table.cause == 1))
        np.testing.assert_array_equal(here, alone.n_event)
    assert (curves._count_cells(stop, died, group, 6)[1] is None) == (n == 12)
