"""rs.discrete_time: R's glm on person-period rows, brute force for missed visits, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import recovery_stats as rs
from recovery_stats.engines import discrete_hazard as engine
from recovery_stats.engines.censoring import Censored
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.person_period import expand
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES, R_CONVERGED

STORED = json.loads(Path(__file__).with_name("discrete.json").read_text(encoding="utf-8"))
DATA = pd.DataFrame(STORED["data"])
VISITS = STORED["ends"]
ASKED = {
    "factor": ("age + sex + ecog", "factor"),
    "logit": ("age + sex + ecog", "factor"),
    "log": ("age + sex", "log"),
    "moving": ("age + sex + sex:log(period_end)", "factor"),
    "weighted": ("age + sex", "linear"),
}


@pytest.mark.parametrize("name", ASKED)
def test_glm_on_person_period_rows(name: str) -> None:
    stored = STORED["fits"][name]
    right, baseline = ASKED[name]
    fit = rs.discrete_time(
        f"Surv(time, status) ~ {right}", DATA, visits=VISITS, link=stored["link"],
        baseline=baseline, weights="w" if stored["weighted"] else None,
    )  # fmt: skip
    assert len(fit.observation) == STORED["rows"]
    np.testing.assert_allclose(fit.theta, stored["beta"], rtol=R_CONVERGED, atol=1e-8)
    np.testing.assert_allclose(fit.covariance(), stored["V"], rtol=R_CONVERGED, atol=1e-8)
    if not stored["weighted"]:
        row = fit.glance().iloc[0]
        for ours, theirs in (("log_likelihood", "loglik"), ("aic", "aic"), ("bic", "bic")):
            assert row[ours] == pytest.approx(stored[theirs], rel=CONVERGED)


def test_ready_rows_are_the_same_model() -> None:
    """Rows that are periods already, with the period's column named."""
    rows = expand(
        Censored(DATA["time"].to_numpy(float), np.where(DATA["status"] == 1, DATA["time"], np.inf)),
        np.array(VISITS, float),
    )
    long = DATA.iloc[rows.row].assign(k=rows.period, y=(rows.event >= 0) * 1)
    a = rs.discrete_time("y ~ age + sex + ecog", long, period="k")
    b = rs.discrete_time("Surv(time, status) ~ age + sex + ecog", DATA, visits=VISITS)
    np.testing.assert_allclose(a.theta, b.theta, rtol=CONVERGED)
    assert a.tidy()["term"].tolist()[:2] == ["k[1]", "k[2]"]
    new = pd.DataFrame({"age": [50], "sex": [1], "ecog": [1]})
    found, again = a.survival(new), b.survival(new)
    np.testing.assert_allclose(found["estimate"], again["estimate"], rtol=CONVERGED)
    assert again["time"].tolist() == VISITS


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_without_covariates_the_hazards_are_shares(link: str) -> None:
    """events/at risk in each period, its survival their product, errors Greenwood's."""
    fit = rs.discrete_time("Surv(time, status) ~ 1", DATA, visits=VISITS, link=link)
    counts = fit.periods()
    h = (counts["n_event"] / counts["n_risk"]).to_numpy()
    new = pd.DataFrame({"age": [0]})
    np.testing.assert_allclose(fit.hazard(new)["estimate"], h, rtol=CLOSED_FORM)
    curve = fit.survival(new)
    S = np.cumprod(1 - h)
    np.testing.assert_allclose(curve["estimate"], S, rtol=CLOSED_FORM)
    greenwood = S * np.sqrt(np.cumsum(h / (1 - h) / counts["n_risk"]))
    np.testing.assert_allclose(curve["std_error"], greenwood, rtol=CONVERGED)


def _visited(n: int, seed: int, missing: float) -> pd.DataFrame:
    """Relapse seen at visits 1 … 6, some missed; a log hazard ratio of 0.6."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    t = rng.exponential(5 / np.exp(0.6 * x))
    came = rng.uniform(size=(n, 6)) >= missing
    came[:, 5] |= ~came.any(axis=1)
    times = np.arange(1.0, 7.0)
    low = np.array([times[c & (times < s)].max(initial=0) for c, s in zip(came, t, strict=True)])
    high = np.array(
        [times[c & (times >= s)].min(initial=np.inf) for c, s in zip(came, t, strict=True)]
    )
    return pd.DataFrame({"low": low, "high": high, "x": x})


def test_missed_visits_by_brute_force() -> None:
    """The likelihood S(low) - S(high) over everyone, maximised without derivatives."""
    data = _visited(150, 3, 0.3)
    fit = rs.discrete_time('Surv(low, high, type="interval2") ~ x', data)

    def loss(theta: np.ndarray) -> float:
        H = np.exp(theta[:6] + np.outer(data["x"], [theta[6]]))
        S = np.hstack(
            [np.ones((len(data), 1)), np.exp(-np.cumsum(H, axis=1)), np.zeros((len(data), 1))]
        )
        at = np.arange(len(data))
        low = S[at, data["low"].astype(int)]
        high = S[at, np.where(np.isinf(data["high"]), 7, data["high"]).astype(int)]
        return -float(np.log(low - high).sum())

    best = minimize(loss, fit.theta + 0.1, method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(fit.theta, best.x, atol=1e-5)
    assert fit.loglik == pytest.approx(-best.fun, rel=1e-9)
    H = np.zeros((7, 7))
    for i in range(7):
        for j in range(7):
            a, b = 1e-4 * np.eye(7)[i], 1e-4 * np.eye(7)[j]
            corners = loss(fit.theta + a + b) - loss(fit.theta + a - b)
            H[i, j] = (corners - loss(fit.theta - a + b) + loss(fit.theta - a - b)) / 4e-8
    np.testing.assert_allclose(np.linalg.inv(H), fit.covariance_matrix, rtol=1e-4, atol=1e-6)


def test_truth_is_recovered_where_a_quarter_of_visits_is_missed() -> None:
    fit = rs.discrete_time('Surv(low, high, type="interval2") ~ x', _visited(20_000, 5, 0.25))
    row = fit.tidy().iloc[-1]
    assert abs(row["estimate"] - 0.6) < MONTE_CARLO_SES * row["std_error"]
    truth = np.exp(-np.arange(1, 7) / 5)
    curve = fit.survival(pd.DataFrame({"x": [0]}))
    assert (np.abs(curve["estimate"] - truth) < MONTE_CARLO_SES * curve["std_error"]).all()


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_scores_and_information_are_finite_differences(link: str) -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(40), rng.normal(size=40)])
    event = np.where(np.arange(40) % 4 < 2, np.arange(40) // 4, -1)
    weights = 1 + rng.uniform(size=10)[np.arange(40) // 4]  # one for all rows of an event
    found = engine.fit(X, event, link=link, weights=weights)
    assert np.abs(found.scores.sum(0)).max() < 1e-8

    def value(beta: np.ndarray) -> float:
        H = engine.LINKS[link](X @ beta)[0]
        B = np.bincount(event[event >= 0], H[event >= 0])
        lost = -float(weights[event < 0] @ H[event < 0])
        return lost + float(weights[::4] @ np.log(-np.expm1(-B)))

    assert found.loglik == pytest.approx(value(found.beta), rel=1e-12)
    steps = 1e-4 * np.eye(2)
    bend = [
        [
            value(found.beta + a + b) - value(found.beta + a - b)
            - value(found.beta - a + b) + value(found.beta - a - b)
            for b in steps
        ]
        for a in steps
    ]  # fmt: skip
    np.testing.assert_allclose(np.linalg.inv(-np.array(bend) / 4e-8), found.covariance, rtol=1e-5)


def test_delayed_entry_counts_only_whole_periods() -> None:
    rows = expand(
        Censored(
            np.array([2.5, 2.5, 3.0, 0.5]), np.array([2.5, np.inf, np.inf, 0.5]),
            np.array([1.0, 0.5, 2.2, 0.2]),
        ),
        np.array([1.0, 2.0, 3.0]),
    )  # fmt: skip
    assert rows.row.tolist() == [0, 0, 1]
    assert rows.period.tolist() == [2, 3, 2]
    assert rows.event.tolist() == [-1, 0, -1]
    assert rows.dropped == 2


class TestRefusals:
    def test_a_period_without_events(self) -> None:
        with pytest.raises(NotEstimable, match=r"1 of 7 periods \(1\) have no event"):
            rs.discrete_time("Surv(time, status) ~ 1", DATA, visits=[1, *VISITS])

    def test_too_many_times(self) -> None:
        with pytest.raises(UsageError, match="name the visits"):
            rs.discrete_time("Surv(time, status) ~ 1", DATA)

    def test_words_and_columns(self) -> None:
        with pytest.raises(UsageError, match="link named 'log'"):
            rs.discrete_time("Surv(time, status) ~ 1", DATA, link="log")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="needs times on the left"):
            rs.discrete_time("status ~ age", DATA)
        with pytest.raises(UsageError, match="rename it"):
            rs.discrete_time("Surv(time, status) ~ 1", DATA.assign(period=1), visits=VISITS)
        with pytest.raises(DataError, match="rows are neither"):
            rs.discrete_time("time ~ age", DATA.assign(k=1), period="k")
        with pytest.raises(DataError, match="start between two visits"):
            rs.discrete_time("Surv(a, time, status) ~ age", DATA.assign(a=1), visits=VISITS)
