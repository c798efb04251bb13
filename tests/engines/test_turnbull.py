"""engines/turnbull and the tests of groups: on paper, Kaplan-Meier, brute force, R's survfit."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from recovery_stats.engines import curves, interval_test
from recovery_stats.engines.censoring import Censored
from recovery_stats.engines.turnbull import (
    Layout,
    Turnbull,
    fit,
    lay_out,
    maximise,
    scores,
    survival_covariance,
)
from recovery_stats.engines.turnbull_bootstrap import draw
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES, SURVFIT_STOPS

INF = np.inf


def visited(n: int, seed: int, *, late: bool = False, effect: float = 0.0) -> Censored:
    rng = np.random.default_rng(seed)
    t = rng.exponential(5 * np.exp(-effect * (np.arange(n) % 2)))
    visits = np.cumsum(rng.exponential(1.5, (n, 8)), axis=1).round(1)
    low = np.where(visits < t[:, None], visits, 0).max(1)
    high = np.where(visits >= t[:, None], visits, INF).min(1)
    if not late:
        return Censored(low, high)
    entry = np.where(np.arange(n) % 3 == 0, (low / 2).round(1), 0.0)
    return Censored(low, high, entry)


def test_on_paper() -> None:
    """(0, 1], (0, 2], (1, 3], (2, inf]: mass on (0, 1] and (2, 3]; by symmetry one half each."""
    rows = Censored(np.array([0.0, 0, 1, 2]), np.array([1.0, 2, 3, INF]))
    found = fit(rows)
    held = found.mass > 0
    assert found.layout.left[held].tolist() == [0, 2]
    assert found.layout.right[held].tolist() == [1, 3]
    np.testing.assert_allclose(found.mass[held], 0.5, rtol=CLOSED_FORM)
    assert found.loglik == pytest.approx(4 * np.log(0.5), rel=CLOSED_FORM)


def test_innermost_intervals_by_hand() -> None:
    """An exact time inside an interval, and two intervals that only touch."""
    found = lay_out(Censored(np.array([1.0, 2, 3, 0]), np.array([3.0, 2, 5, 1])))
    assert list(zip(found.left, found.right, strict=True)) == [(0, 1), (2, 2), (3, 5)]
    assert found.first[found.of_row].tolist() == [1, 1, 2, 0]
    assert found.last[found.of_row].tolist() == [2, 2, 3, 1]


@pytest.mark.parametrize("late", [False, True])
def test_kaplan_and_meier_without_intervals(late: bool) -> None:
    rng = np.random.default_rng(1)
    t, c = rng.integers(1, 20, 120).astype(float), rng.integers(1, 25, 120).astype(float)
    y, died = np.minimum(t, c), t <= c
    entry = np.where(rng.uniform(size=120) < 0.3, y - 1 - rng.uniform(size=120), 0.0).clip(0)
    start = entry if late else None
    found = fit(Censored(y, np.where(died, y, INF), start))
    table = curves.tabulate(y, died.astype(int), start=start)
    S = curves.kaplan_meier(table).estimate
    at = np.isin(table.time, y[died])
    low, high = found.at(table.time[at])
    np.testing.assert_allclose(high, S[at], atol=CONVERGED)
    np.testing.assert_allclose(low, S[at], atol=CONVERGED)


def _conditions(found: Turnbull, rows: Censored) -> np.ndarray:
    """Derivative of the likelihood towards each innermost interval, by the definition."""
    left, right = found.layout.left, found.layout.right
    inside = (rows.low[:, None] <= left) & (right <= rows.high[:, None])
    exact = rows.low == rows.high
    inside[~exact] &= ~((left == right) & (left == rows.low[:, None]))[~exact]
    entry = np.zeros(len(rows)) if rows.entry is None else rows.entry
    after = left >= entry[:, None]
    P, D = inside @ found.mass, after @ found.mass
    return np.asarray(rows.w @ (inside / P[:, None] - after / D[:, None]))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_conditions_of_a_maximum_hold(seed: int, late: bool) -> None:
    """No derivative above 0, and 0 where there is mass; and self-consistency."""
    rows = visited(150, seed, late=late)
    found = fit(rows)
    d = _conditions(found, rows) / 150
    assert d.max() < 1e-8
    assert np.abs(d[found.mass > 0]).max() < 1e-8
    assert found.mass.sum() == pytest.approx(1, abs=1e-12)
    if not late:
        P = np.subtract(*found.around(rows))
        inside = (rows.low[:, None] <= found.layout.left) & (
            found.layout.right <= rows.high[:, None]
        )
        expected = (inside * found.mass / P[:, None]).mean(0)
        np.testing.assert_allclose(expected, found.mass, atol=1e-9)


@pytest.mark.parametrize("late", [False, True])
def test_no_other_masses_do_better(late: bool) -> None:
    """Brute force: a general optimiser over softmax masses from several starts."""
    rows = visited(14, 7, late=late)
    found = fit(rows)
    m = found.layout.m
    cover = np.arange(m)
    layout = found.layout
    inside = (layout.first[:, None] <= cover) & (cover < layout.last[:, None])
    after = layout.begins[:, None] <= cover

    def loss(x: np.ndarray) -> float:
        s = np.exp(x - x.max())
        s /= s.sum()
        return -float(layout.w @ (np.log(inside @ s) - np.log(after @ s)))

    rng = np.random.default_rng(1)
    best = min(minimize(loss, rng.normal(size=m), method="BFGS").fun for _ in range(4))
    assert found.loglik == pytest.approx(-best, abs=1e-5)
    assert found.loglik >= -best - 1e-10


def test_r_stops_short_of_the_same_curve() -> None:
    """survfit ends its self-consistency steps early, the third digit of survival still moving."""
    stored = json.loads(Path(__file__).with_name("turnbull.json").read_text(encoding="utf-8"))
    for name in ("fine", "coarse"):
        case = stored[name]
        low, high = (np.array(case[k], float) for k in ("low", "high"))
        found = fit(Censored(np.nan_to_num(low), np.where(np.isnan(high), INF, high)))
        time, S = np.array(case["time"]), np.array(case["surv"])
        ours = found.survival[found.mass > 0]
        ends = found.layout.right[found.mass > 0]
        inside = np.isfinite(ends)
        theirs = S[np.searchsorted(time, ends[inside] + 1e-9) - 1]
        assert np.abs(ours[inside] - theirs).max() < SURVFIT_STOPS


def test_masses_that_are_not_unique_are_told() -> None:
    """By the rank of the pattern of sets over the intervals whose derivative is 0."""
    rng = np.random.default_rng(11)
    told = []
    for _ in range(80):
        low = rng.integers(0, 8, 5).astype(float)
        rows = Censored(low, low + rng.integers(1, 5, 5))
        found = fit(rows)
        at = np.arange(found.layout.m)
        covers = (found.layout.first[:, None] <= at) & (at < found.layout.last[:, None])
        flat = np.abs(_conditions(found, rows)) < 1e-6
        told.append(found.unique)
        assert found.unique == (np.linalg.matrix_rank(covers[:, flat]) == flat.sum())
    assert any(told)
    # Two sets on two intervals each that nobody tells apart: any split within a pair will do.
    four, two = np.arange(4.0), np.array([0, 2])
    pairs = Layout(four, four + 1, two, two + 2, np.zeros(2, int), np.ones(2), np.arange(2))
    assert not maximise(pairs).unique


def test_weights_are_repeated_rows() -> None:
    rows = visited(60, 3)
    w = 1.0 + np.arange(60) % 3
    again = np.repeat(np.arange(60), w.astype(int))
    a = fit(Censored(rows.low, rows.high, None, w))
    b = fit(rows.take(again))
    np.testing.assert_allclose(a.mass, b.mass, atol=1e-9)


def test_errors_are_greenwoods_without_intervals() -> None:
    """The information's exactly, the bootstrap's within its Monte Carlo error."""
    rng = np.random.default_rng(5)
    t, c = rng.integers(1, 8, 200).astype(float), rng.integers(1, 12, 200).astype(float)
    y, died = np.minimum(t, c), t <= c
    rows = Censored(y, np.where(died, y, INF))
    found = fit(rows)
    curve = curves.kaplan_meier(curves.tabulate(y, died.astype(int)))
    at = np.flatnonzero(np.isin(curve.table.time, y[died]) & (curve.estimate > 0))
    times, greenwood = curve.table.time[at], curve.std_error[at]
    place = np.searchsorted(found.layout.right, times)
    se = np.sqrt(np.diag(survival_covariance(found)))[place]
    np.testing.assert_allclose(se, greenwood, rtol=1e-6)
    drawn = draw(rows, found, 400, np.random.default_rng(6)).survival(times).std(0, ddof=1)
    np.testing.assert_allclose(drawn, greenwood, rtol=MONTE_CARLO_SES / np.sqrt(2 * 400))


def test_nothing_but_censored_rows() -> None:
    with pytest.raises(NotEstimable, match="survival stays at one"):
        fit(Censored(np.ones(3), np.full(3, INF)))


# --- tests of groups ---------------------------------------------------------------------------


def test_scores_on_paper() -> None:
    """Masses one half on (0, 1] and (2, 3]: S is 1, 1/2, 0 around the sets."""
    rows = Censored(np.array([0.0, 0, 1, 2]), np.array([1.0, 2, 3, INF]))
    found = fit(rows)
    np.testing.assert_allclose(scores(found, rows, "wilcoxon"), [0.5, 0.5, -0.5, -0.5], atol=1e-9)
    half = np.log(0.5) / 2
    by_hand = [-half / 0.5, -half / 0.5, half / 0.5, half / 0.5]
    np.testing.assert_allclose(scores(found, rows, "logrank"), by_hand, atol=1e-9)


def test_the_quadratic_form_is_that_of_every_permutation() -> None:
    """Mean and covariance of the groups' sums over all 5040 orders of seven rows."""
    score = np.array([1.9, -0.2, 0.4, -1.3, 0.1, 0.8, -0.7])  # with a mean that is not zero
    group = np.array([0, 0, 0, 1, 1, 2, 2])
    sums = np.array([np.bincount(group, score[list(o)]) for o in permutations(range(7))])
    V = np.cov(sums[:, :2].T, bias=True)
    seen = (np.bincount(group, score) - sums.mean(0))[:2]
    found = interval_test.compare(score, group, 3, 0, np.random.default_rng(1))
    assert found.statistic == pytest.approx(seen @ np.linalg.solve(V, seen), rel=CLOSED_FORM)
    assert found.p == pytest.approx(chi2.sf(found.statistic, 2), rel=CLOSED_FORM)


def test_size_under_the_null_and_power() -> None:
    def share(effect: float) -> float:
        hits = 0
        for seed in range(200):
            rows = visited(60, seed, effect=effect)
            score = scores(fit(rows, tol=1e-6), rows, "logrank")
            test = interval_test.compare(score, np.arange(60) % 2, 2, 0, np.random.default_rng(0))
            hits += test.p < 0.05
        return hits / 200

    assert share(0.0) < 0.05 + MONTE_CARLO_SES * np.sqrt(0.05 * 0.95 / 200)
    assert share(1.0) > 0.7


def test_random_permutations_agree_with_the_limit() -> None:
    rows = visited(80, 2, effect=0.5)
    score = scores(fit(rows), rows, "logrank")
    limit, drawn = (
        interval_test.compare(score, np.arange(80) % 2, 2, k, np.random.default_rng(3)).p
        for k in (0, 2000)
    )
    assert abs(limit - drawn) < MONTE_CARLO_SES * np.sqrt(0.25 / 2000)


def test_a_risk_set_that_empties_early_is_refused() -> None:
    """After late entry the only one at risk has the event at 2: nothing is known beyond."""
    rows = Censored(np.array([2.0, 5.0]), np.array([2.0, 5.0]), np.array([0.0, 3.0]))
    with pytest.raises(NotEstimable, match="before somebody enters"):
        fit(rows)


def test_excess_is_how_far_the_conditions_are_from_met() -> None:
    rows = visited(150, 3)
    loose = fit(rows, tol=0.05)
    assert loose.excess == pytest.approx(_conditions(loose, rows).max() / 150, rel=CONVERGED)
    assert 1e-9 < loose.excess < 0.05
    assert 0 <= fit(rows).excess <= 1e-9


def test_entries_of_some_rows_bound_sets() -> None:
    """One of two enters at ½ a time: a set (0, ½] may hold mass before it."""
    some = lay_out(Censored(np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 0.5])))
    assert list(zip(some.left, some.right, strict=True)) == [(0, 0.5)]
