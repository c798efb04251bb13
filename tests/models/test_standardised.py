"""Standardised curves: what they collapse to, and errors by moving every weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT


def people(n: int = 80, seed: int = 4, ties: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), rng.integers(0, 2, n)
    t = rng.exponential(20 * np.exp(-0.5 * x + 0.7 * arm))
    c = rng.exponential(30, n)
    stop = np.minimum(t, c)
    return pd.DataFrame(
        {
            "t": np.ceil(stop) if ties else stop,
            "e": (t <= c).astype(int),
            "x": x,
            "arm": arm,
            "site": rng.integers(0, 3, n),
            "house": rng.integers(0, 12, n),
            "w": 1.0,
        }
    )


def everything(d: pd.DataFrame, formula: str, **options: Any) -> np.ndarray[Any, Any]:
    """Survival, log risk ratio and mean time of one data set."""
    s = rs.cox(formula, d, weights="w", **options).standardise("arm")
    risk = 1 - s.at([10.0, 25.0])["estimate"].to_numpy()
    mean = s.rmst(22.0)["estimate"].to_numpy()
    ratio = np.log(s.contrasts(10.0)["estimate"].iloc[1])
    return np.concatenate([risk, mean, [mean[1] - mean[0], np.log(mean[1] / mean[0]), ratio]])


@pytest.mark.parametrize(
    ("formula", "ties"),
    [
        ("Surv(t, e) ~ arm * x", "breslow"),
        ("Surv(t, e) ~ arm + x + strata(site) + offset(0.1*x)", "efron"),
    ],
)
def test_errors_are_what_moving_each_weight_does(formula: str, ties: Any) -> None:
    d, h = people(40), 1e-4
    slopes = []
    for i in range(len(d)):
        up, down = (
            everything(d.assign(w=1.0 + s * h * (np.arange(len(d)) == i)), formula, ties=ties)
            for s in (1, -1)
        )
        slopes.append((up - down) / (2 * h))
    U = np.array(slopes)
    s = rs.cox(formula, d.drop(columns="w"), ties=ties).standardise("arm")
    means, contrasts = s.rmst(22.0), s.rmst_contrasts(22.0)
    found = np.concatenate(
        [
            s.at([10.0, 25.0])["std_error"],
            means["std_error"],
            contrasts["std_error"],
            [s.contrasts(10.0)["std_error"].iloc[1]],
        ]
    )
    np.testing.assert_allclose(found, np.sqrt((U**2).sum(axis=0)), rtol=10 * DERIVATIVE)
    by_house = np.array([np.bincount(d["house"], u) for u in U.T])
    robust = rs.cox(formula, d.drop(columns="w"), ties=ties, cluster="house").standardise("arm")
    np.testing.assert_allclose(
        robust.rmst(22.0)["std_error"],
        np.linalg.norm(by_house[4:6], axis=1),
        rtol=10 * DERIVATIVE,
    )


def test_errors_with_weights_are_those_of_repeated_people() -> None:
    """A weight of 3 is one person written three times, in one cluster."""
    d = people(40).assign(id=np.arange(40), w=1.0 + np.arange(40) % 3)
    again = d.loc[np.repeat(d.index, d["w"].astype(int))]
    weighted = rs.cox("Surv(t, e) ~ arm + x", d, weights="w", ties="breslow")
    repeated = rs.cox("Surv(t, e) ~ arm + x", again, cluster="id", ties="breslow")
    one, two = (fit.standardise("arm").rmst(22.0) for fit in (weighted, repeated))
    for part in ("estimate", "std_error"):
        np.testing.assert_allclose(one[part], two[part], rtol=CONVERGED)


def test_by_strata_without_covariates_it_is_the_curve_of_each_group() -> None:
    """A factor alone: its standardised curve is that of a person with this level."""
    d = people()
    fit = rs.cox("Surv(t, e) ~ arm", d)
    mine = fit.standardise("arm").at([5.0, 20.0])
    plain = fit.survival(pd.DataFrame({"arm": [0, 1]}), times=[5.0, 20.0])
    np.testing.assert_allclose(mine["estimate"], plain["estimate"], rtol=EXACT)


def test_it_is_the_mean_of_everybodys_curve() -> None:
    d = people()
    fit = rs.cox("Surv(t, e) ~ arm + x", d)
    for level in (0, 1):
        each = fit.survival(d.assign(arm=level), times=[15.0])["estimate"]
        mean = fit.standardise("arm", [level]).at(15.0)["estimate"][0]
        assert mean == pytest.approx(each.mean(), rel=EXACT)
    curve = fit.standardise("arm", [1]).tidy()
    last = curve[curve["time"] <= 22]
    knots = np.concatenate(([0], last["time"], [22]))
    area = np.diff(knots) @ np.concatenate(([1.0], last["estimate"]))
    assert fit.standardise("arm", [1]).rmst(22)["estimate"][0] == pytest.approx(area, rel=EXACT)


def test_another_population_is_taken_as_fixed() -> None:
    d = people()
    fit = rs.cox("Surv(t, e) ~ arm + x", d)
    own, fixed = (fit.standardise("arm", on=on).at(15.0) for on in (None, d))
    np.testing.assert_allclose(own["estimate"], fixed["estimate"], rtol=EXACT)
    assert (fixed["std_error"] < own["std_error"]).all()
    one = fit.standardise("arm", on=d.iloc[[3]]).at(15.0)
    alone = fit.survival(d.iloc[[3, 3]].assign(arm=[0, 1]), times=[15.0])
    np.testing.assert_allclose(one["estimate"], alone["estimate"], rtol=CLOSED_FORM)


def test_risks_are_compared_both_ways() -> None:
    s = rs.cox("Surv(t, e) ~ arm + x", people()).standardise("arm")
    risk = 1 - s.at(12.0)["estimate"].to_numpy()
    difference, ratio = (s.contrasts(12.0).iloc[j] for j in (0, 1))
    assert difference["estimate"] == pytest.approx(risk[1] - risk[0])
    assert ratio["estimate"] == pytest.approx(risk[1] / risk[0])
    assert (difference["scale"], ratio["contrast"]) == ("risk_difference", "1 / 0")
    turned = s.contrasts(12.0, reference=1).iloc[1]
    assert turned["conf_low"] == pytest.approx(1 / ratio["conf_high"])


def test_intervals_hold_the_truth_of_a_known_population() -> None:
    """100 studies of 150 people: the risk difference at 15 days of the population drawn from."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=200_000)
    risk = [np.mean(1 - np.exp(-15 / (20 * np.exp(-0.5 * x + 0.7 * a)))) for a in (0, 1)]
    held = 0
    for seed in range(100):
        row = (
            rs.cox("Surv(t, e) ~ arm + x", people(150, seed, ties=False))
            .standardise("arm")
            .contrasts(15.0)
            .iloc[0]
        )
        held += row["conf_low"] <= risk[1] - risk[0] <= row["conf_high"]
    assert held / 100 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 100))


def test_what_is_refused() -> None:
    d = people().assign(begin=0.0)
    fit = rs.cox("Surv(t, e) ~ arm + x", d)
    with pytest.raises(UsageError, match="many values"):
        fit.standardise("x")
    with pytest.raises(UsageError, match="column of the model's terms"):
        fit.standardise("site")
    with pytest.raises(NotEstimable, match="beyond"):
        fit.standardise("arm").at(1e6)
    with pytest.raises(NotEstimable, match="several rows a person"):
        rs.cox("Surv(begin, t, e) ~ arm", d).standardise("arm")
    with pytest.raises(NotEstimable, match="frailty"):
        rs.cox("Surv(t, e) ~ arm + frailty(house)", d).standardise("arm")
