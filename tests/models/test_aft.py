"""rs.aft: every value beside survreg's, what it refuses, and its face."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.aft import AftFit
from tests.tolerance import CONVERGED, EXACT, R_CONVERGED

STORED = json.loads(Path(__file__).with_name("aft.json").read_text(encoding="utf-8"))
DATA = pd.DataFrame(STORED["data"])
NEW = pd.DataFrame(STORED["new"])
OURS = {"lognormal": "log-normal", "loglogistic": "log-logistic"}
CASES = range(len(STORED["fits"]))


def _fit(case: dict[str, Any]) -> AftFit:
    weighted = case["deviance"] == {} or case["deviance"] is None
    name = OURS.get(case["dist"], case["dist"])
    return rs.aft(case["formula"], DATA, distribution=name, weights="w" if weighted else None)


@pytest.mark.parametrize("at", CASES)
def test_parameters_and_likelihood_are_survregs(at: int) -> None:
    case = STORED["fits"][at]
    fit = _fit(case)
    theta, V = np.array(case["theta"], float), np.array(case["V"], float)
    se = np.sqrt(np.diag(V))
    np.testing.assert_allclose(fit.theta, theta, atol=R_CONVERGED * se.max(), rtol=R_CONVERGED)
    np.testing.assert_allclose(fit.covariance(), V, rtol=1e-5, atol=R_CONVERGED * V.max())
    row = fit.glance().iloc[0]
    assert row["log_likelihood"] == pytest.approx(case["loglik"][-1], rel=CONVERGED)
    if "0 +" not in case["formula"]:
        assert row["log_likelihood_null"] == pytest.approx(case["loglik"][0], rel=CONVERGED)
    assert row["aic"] == pytest.approx(case["aic"], rel=CONVERGED)
    assert row["bic"] == pytest.approx(case["bic"], rel=CONVERGED)


@pytest.mark.parametrize("at", [k for k in CASES if "quantile" in STORED["fits"][k]])
def test_quantiles_and_their_errors(at: int) -> None:
    case = STORED["fits"][at]
    found = _fit(case).quantile(NEW, [0.25, 0.5, 0.9])
    shape = (len(NEW), 3)
    # survreg's predict() forgets the offset of new rows.
    forgotten = np.exp(NEW["o"].to_numpy())[:, None] if "offset" in case["formula"] else 1.0
    np.testing.assert_allclose(
        found["estimate"].to_numpy().reshape(shape) / forgotten, case["quantile"], rtol=R_CONVERGED
    )
    np.testing.assert_allclose(
        found["std_error"].to_numpy().reshape(shape) / forgotten,
        case["quantile_se"],
        rtol=R_CONVERGED,
    )


# survreg's saturated likelihood of a Weibull interval is not the maximum over its centre.
@pytest.mark.parametrize("at", [k for k in CASES if k != 10 and STORED["fits"][k]["deviance"]])
def test_deviance_residuals(at: int) -> None:
    case = STORED["fits"][at]
    np.testing.assert_allclose(_fit(case).residuals("deviance"), case["deviance"], atol=1e-6)


def test_likelihood_ratios_as_terms_enter() -> None:
    found = rs.aft("Surv(time, status) ~ age + sex + ecog", DATA).anova(type=1)
    np.testing.assert_allclose(found["statistic"], STORED["anova1"], rtol=R_CONVERGED)


class TestFace:
    FIT = rs.aft("Surv(time, status) ~ age + sex + ecog", DATA)

    def test_tidy_names_the_scale_and_exponentiates_to_time_ratios(self) -> None:
        table = self.FIT.tidy()
        assert table["term"].tolist() == ["Intercept", "age", "sex[T.m]", "ecog", "Log(scale)"]
        ratios = self.FIT.tidy(exponentiate=True)
        np.testing.assert_allclose(np.log(ratios["estimate"]), table["estimate"], rtol=1e-12)
        shaped = rs.aft("Surv(time, status) ~ age", DATA, distribution="generalised-gamma")
        assert shaped.tidy()["term"].iloc[-1] == "Shape"
        last = [shaped.tidy(exponentiate=e)["estimate"].iloc[-1] for e in (False, True)]
        assert last[0] == pytest.approx(last[1], rel=EXACT)

    def test_hazard_ratios_of_a_weibull(self) -> None:
        """They are the ratio of the model's own hazards, and the delta error is by hand."""
        found = self.FIT.hazard_ratios()
        pair = pd.DataFrame({"age": [60, 60], "sex": ["f", "m"], "ecog": [1, 1]})
        h = self.FIT.hazard(pair, times=[10.0, 500.0])["estimate"].to_numpy().reshape(2, 2)
        np.testing.assert_allclose(h[1] / h[0], found["hazard_ratio"].iloc[1], rtol=1e-10)
        V, b, s = self.FIT.covariance().to_numpy(), self.FIT.beta[2], self.FIT.scale[0]
        g = np.array([0, 0, -1 / s, 0, b / s])
        assert found["std_error"].iloc[1] == pytest.approx(np.sqrt(g @ V @ g), rel=1e-12)

    def test_hazard_ratios_need_proportional_hazards(self) -> None:
        with pytest.raises(UsageError, match="log-normal accelerated"):
            rs.aft("Surv(time, status) ~ age", DATA, distribution="log-normal").hazard_ratios()

    def test_standardised_is_the_mean_of_everybodys_curve(self) -> None:
        found = self.FIT.standardised("sex", times=[100, 365])
        by_hand = [
            self.FIT.survival(DATA.assign(sex=s), times=[100, 365])
            .groupby("time")["estimate"].mean() for s in ("f", "m")
        ]  # fmt: skip
        np.testing.assert_allclose(found["estimate"][:4], np.concatenate(by_hand), rtol=1e-12)
        assert found["group"].tolist() == ["f", "f", "m", "m", "m - f", "m - f"]
        np.testing.assert_allclose(found["estimate"][4:], by_hand[1] - by_hand[0], rtol=1e-10)

    def test_the_error_of_a_standardised_difference_is_that_of_drawn_parameters(self) -> None:
        fit = rs.aft("Surv(time, status) ~ age + sex", DATA, distribution="log-normal")
        row = fit.standardised("sex", tau=365.0).iloc[2]
        rng = np.random.default_rng(2)
        draws = rng.multivariate_normal(fit.theta, fit.covariance_matrix, 200)
        values = []
        for theta in draws:
            moved = replace(fit.engine, theta=theta, log_sigma=theta[-1:])
            means = replace(fit, engine=moved).standardised("sex", tau=365.0)
            values.append(means["estimate"].iloc[2])
        assert row["std_error"] == pytest.approx(np.std(values), rel=4 / np.sqrt(2 * 200))

    def test_wald_and_likelihood_ratio_of_terms(self) -> None:
        assert self.FIT.anova()["term"].tolist() == ["age", "sex", "ecog"]
        wald = self.FIT.anova(3)["statistic"].iloc[0]
        assert wald == pytest.approx(self.FIT.tidy()["statistic"].iloc[1] ** 2, rel=1e-10)
        two = self.FIT.anova(2)["statistic"].iloc[2]
        small = rs.aft("Surv(time, status) ~ age + sex", DATA)
        assert two == pytest.approx(2 * (self.FIT.loglik - small.loglik), rel=1e-8)

    def test_checks_tell_a_law_that_does_not_fit(self) -> None:
        verdicts = {c.name: c.verdict for c in self.FIT.checks()}
        assert verdicts == {"events per coefficient": "ok", "distribution of times": "ok"}
        wrong = rs.aft("Surv(time, status) ~ age", DATA, distribution="exponential").checks()
        assert wrong[-1].verdict == "caution"

    def test_one_scale_or_many_in_new_rows(self) -> None:
        fit = rs.aft("Surv(time, status) ~ age + strata(sex)", DATA)
        assert fit.tidy()["term"].tolist()[-2:] == ["Log(scale)[f]", "Log(scale)[m]"]
        with pytest.raises(UsageError, match="stratum of sex"):
            fit.survival(NEW.assign(sex="x"), times=[1])


def test_small_and_far_out_data_leak_no_warning() -> None:
    """Few rows of every kind in odd units: an answer or a refusal, nothing else."""
    laws = ("weibull", "exponential", "log-logistic", "log-normal", "generalised-gamma")
    answered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, unit = int(rng.integers(4, 20)), 10.0 ** rng.integers(-3, 5)
        t, kind = rng.exponential(unit, n), rng.integers(0, 4, n)
        low = np.choose(kind, [t, t, np.zeros(n), t / 2])
        high = np.choose(kind, [t, np.full(n, np.inf), t, 1.5 * t])
        data = pd.DataFrame({"low": low, "high": high, "x": 2000 + rng.normal(size=n)})
        try:
            fit = rs.aft(
                f'Surv(low, high, type="interval2") ~ {"x" if seed % 2 else "1"}', data,
                distribution=laws[seed % 5],
            )  # fmt: skip
        except NotEstimable:
            continue
        answered += 1
        fit.tidy(), fit.glance(), fit.anova(), fit.quantile(), fit.rmst(unit), fit.checks()
        fit.residuals("deviance"), fit.hazard(times=[unit])
    assert answered > 40


def test_a_labelled_data_set_and_late_entry() -> None:
    """The codebook names levels; Surv(start, stop, event) and entry= are one thing."""
    data = DATA.assign(a=DATA["time"] / 3)
    one = rs.aft("Surv(a, time, status) ~ age", rs.Dataset(data))
    two = rs.aft("Surv(time, status) ~ age", data, entry="a")
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)
    assert one.loglik != pytest.approx(rs.aft("Surv(time, status) ~ age", data).loglik)


class TestRefusals:
    def _data(self, **columns: list[Any]) -> pd.DataFrame:
        return pd.DataFrame(columns)

    @pytest.mark.parametrize(
        ("low", "high", "message"),
        [
            ([5, 1, 2], [4, 2, None], "low is after high in 1 row \\(row 1\\)"),
            ([None, 1, 2], [None, 2, 5], "both missing in 1 row"),
            ([-1, 1, 2], [2, 2, 5], "negative in 1 row"),
            ([float("inf"), 1, 2], [float("inf"), 2, 5], "low is inf in 1 rows"),
            ([0, 1, 2], [0, 2, 5], "event at time 0"),
        ],
    )
    def test_intervals_that_cannot_be(self, low: Any, high: Any, message: str) -> None:
        data = self._data(low=low, high=high).astype(float)
        with pytest.raises(DataError, match=message):
            rs.aft('Surv(low, high, type="interval2") ~ 1', data)

    def test_nothing_known_from_above_or_from_below(self) -> None:
        with pytest.raises(DataError, match="t is negative in 1 row"):
            rs.aft("Surv(t, e) ~ 1", pd.DataFrame({"t": [-1.0, 2, 3], "e": [1, 1, 1]}))
        tied = pd.DataFrame({"t": [5.0, 5, 5, 3], "e": [1, 1, 0, 0]})
        with pytest.raises(NotEstimable, match="at one and the same time"):
            rs.aft("Surv(t, e) ~ 1", tied)
        assert np.isfinite(rs.aft("Surv(t, e) ~ 1", tied, distribution="exponential").loglik)
        assert np.isfinite(rs.aft("Surv(t, e) ~ 1", tied.assign(t=[5.0, 5, 5, 9])).loglik)
        with pytest.raises(NotEstimable, match="every time is right-censored"):
            rs.aft("Surv(t, e) ~ 1", self._data(t=[1, 2, 3], e=[0, 0, 0]))
        with pytest.raises(NotEstimable, match="left-censored"):
            rs.aft('Surv(t, e, type="left") ~ 1', self._data(t=[1, 2, 3], e=[0, 0, 0]))

    def test_entry_after_the_interval(self) -> None:
        data = self._data(t=[1.0, 2, 3, 4], e=[1, 1, 0, 1], a=[0, 3, 0, 0])
        with pytest.raises(DataError, match=r"a is not before t in 1 row \(row 2\)"):
            rs.aft("Surv(t, e) ~ 1", data, entry="a")

    def test_a_group_without_events(self) -> None:
        data = self._data(t=[1.0, 2, 3, 4, 5, 6], e=[1, 1, 1, 0, 0, 0], g=list("aaabbb"))
        with pytest.raises(NotEstimable, match=r"Term 'g\[T.b\]'.*no finite estimate"):
            rs.aft("Surv(t, e) ~ g", data)

    def test_collinear_terms_are_named(self) -> None:
        with pytest.raises(NotEstimable, match="'twice'"):
            rs.aft("Surv(time, status) ~ age + twice", DATA.assign(twice=2 * DATA["age"]))

    def test_unknown_words(self) -> None:
        with pytest.raises(UsageError, match="log-normal"):
            rs.aft("Surv(time, status) ~ age", DATA, distribution="lognormal")  # type: ignore
        with pytest.raises(UsageError, match="aft needs times"):
            rs.aft("time ~ age", DATA)
        with pytest.raises(UsageError, match="does not read interval-censored"):
            rs.cox('Surv(low, high, type="interval2") ~ age', DATA)


@pytest.mark.parametrize("model", [rs.aft, rs.flexible_survival, rs.discrete_time, rs.turnbull])
def test_nobody_with_the_event_is_told_with_the_column(model):
    frame = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": 0, "x": [1.0, 0, 2, 1]})
    with pytest.raises(NotEstimable, match="None of the 4 rows had the event by column 'event'"):
        model("Surv(time, event) ~ 1", frame)
