"""Group-time effects, their sums and bands, the two-way comparator: by hand and by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_ind

from recovery_stats.engines.change_effect import Method, change_effect
from recovery_stats.engines.multiplier import critical_value, student_multiples, welch_df
from recovery_stats.engines.staggered import (
    Design,
    Panel,
    covariance,
    group_time_effects,
)
from recovery_stats.engines.staggered_jackknife import jackknife, without_each
from recovery_stats.engines.staggered_sum import by_event_time, by_group, by_period, overall
from recovery_stats.engines.two_way import two_way
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, DERIVATIVE, MONTE_CARLO_SES

METHODS: tuple[Method, ...] = ("dr", "regression", "ipw")


def panel(
    n: int = 80, T: int = 5, seed: int = 0, *, missing: float = 0.0, covariates: bool = True,
    noise: float = 1.0, step: float = 0.5,
) -> Panel:  # fmt: skip
    """Effects 1, 1 + step, … since the start; those treated have a higher x, which has a trend."""
    r = np.random.default_rng(seed)
    start = r.choice([np.inf, 2.0, 3.0, 4.0], n, p=[0.3, 0.3, 0.2, 0.2])
    x = r.normal(size=n) + 0.5 * np.isfinite(start)
    t = np.arange(T, dtype=float)
    since = t[None, :] - start[:, None]
    y = (
        r.normal(size=(n, 1)) + (0.3 + 0.4 * x[:, None] * covariates) * t
        + np.where(since >= 0, 1.0 + step * np.where(np.isfinite(since), since, 0.0), 0.0)
        + noise * r.normal(size=(n, T))
    )  # fmt: skip
    y[r.random((n, T)) < missing] = np.nan
    X = np.ones((n, T, 1 + covariates))
    if covariates:
        X[:, :, 1] = x[:, None]
    return Panel(y, start, X, r.uniform(0.5, 2.0, n), 2000.0 + t)


def test_two_periods_are_the_difference_of_two_mean_changes() -> None:
    d, c = np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 2.0, 0.0, 1.0, 3.0])
    change, treated = np.r_[d, c], np.r_[np.ones(4), np.zeros(5)] == 1
    for method in METHODS:
        found = change_effect(change, treated, np.ones((9, 1)), np.ones(9), method)
        assert found.value == pytest.approx(5.0 - 1.4, rel=CLOSED_FORM)
        variance = np.var(d) / 4 + np.var(c) / 5
        assert (found.influence**2).sum() == pytest.approx(variance, rel=CLOSED_FORM)
        assert found.influence.sum() == pytest.approx(0.0, abs=CLOSED_FORM)


@pytest.mark.parametrize("method", METHODS)
def test_influence_is_the_derivative_by_a_units_weight(method: Method) -> None:
    p = panel(60, 2)
    change, X, treated = p.y[:, 1] - p.y[:, 0], p.X[:, 0], p.start == 2
    found = change_effect(change, treated, X, p.w, method)
    for i in (0, 7, 23, 41):
        ends = []
        for sign in (1, -1):
            w = p.w.copy()
            w[i] *= 1 + sign * 1e-5
            ends.append(change_effect(change, treated, X, w, method).value)
        slope = (ends[0] - ends[1]) / 2e-5
        assert found.influence[i] == pytest.approx(slope, abs=DERIVATIVE)


def test_a_binary_covariate_makes_every_method_the_mean_over_strata() -> None:
    """Saturated: all three are the treated's average of the difference within each stratum."""
    r = np.random.default_rng(5)
    x = r.integers(0, 2, 90).astype(float)
    treated = r.random(90) < 0.3 + 0.3 * x
    change = r.normal(size=90) + x * (1 + treated)
    within = [change[treated & (x == v)].mean() - change[~treated & (x == v)].mean()
              for v in (0, 1)]  # fmt: skip
    share = x[treated].mean()
    expected = (1 - share) * within[0] + share * within[1]
    X = np.column_stack([np.ones(90), x])
    for method in METHODS:
        found = change_effect(change, treated, X, np.ones(90), method)
        assert found.value == pytest.approx(expected, rel=1e-8)


def test_separation_and_dependence_are_named() -> None:
    x = np.r_[np.zeros(5), np.ones(5)]
    X = np.column_stack([np.ones(10), x + 0.01 * np.arange(10)])
    with pytest.raises(NotEstimable, match="for certain"):
        change_effect(np.arange(10.0), x == 1, X, np.ones(10), "ipw")
    twice = np.column_stack([np.ones(10), np.arange(10), 2 * np.arange(10)])
    with pytest.raises(NotEstimable, match="depend on each other"):
        change_effect(np.arange(10.0), x == 1, twice, np.ones(10), "dr")


@pytest.mark.parametrize("controls", ["not-yet", "never"])
@pytest.mark.parametrize("base", ["universal", "varying"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_cells_by_brute_force_over_units(controls: str, base: str, anticipation: int) -> None:
    p = panel(missing=0.15, covariates=False)
    design = Design("dr", controls, base, anticipation)  # type: ignore[arg-type]
    cells = group_time_effects(p, design)
    assert {(c.group, c.period) for c in cells} >= {(g, t) for g in (2, 3, 4) for t in range(1, 5)}
    for c in cells:
        last = c.group - 1 - anticipation
        b = c.period - 1 if base == "varying" and c.period <= last else last
        sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for i in range(len(p.w)):
            difference = p.y[i, c.period] - p.y[i, b]
            free = p.start[i] > max(c.period, b) + anticipation and p.start[i] != c.group
            compared = np.isinf(p.start[i]) if controls == "never" else free
            if np.isnan(difference) or not (p.start[i] == c.group or compared):
                continue
            mine = sums[bool(p.start[i] == c.group)]
            mine[0] += p.w[i] * difference
            mine[1] += p.w[i]
        expected = sums[True][0] / sums[True][1] - sums[False][0] / sums[False][1]
        assert c.value == pytest.approx(expected, abs=CLOSED_FORM)


def test_without_anybody_left_untreated_a_cell_says_so() -> None:
    p = panel()
    kept = np.isfinite(p.start)
    p = Panel(p.y[kept], p.start[kept], p.X[kept], p.w[kept], p.time)
    cells = group_time_effects(p, Design())
    last = next(c for c in cells if c.group == 4 and c.period == 4)
    assert np.isnan(last.value)
    assert "not yet treated" in last.why
    assert np.isfinite(next(c for c in cells if c.group == 2 and c.period == 3).value)


@pytest.mark.parametrize("sums", [by_event_time, by_group, by_period, overall])
def test_influence_of_sums_is_the_derivative_by_a_units_weight(sums: object) -> None:
    p = panel(missing=0.1)
    found = sums(p, group_time_effects(p, Design()))  # type: ignore[operator]
    for i in (1, 17, 52):
        ends = []
        for sign in (1, -1):
            w = p.w.copy()
            w[i] *= 1 + sign * 1e-5
            q = replace(p, w=w)
            ends.append(sums(q, group_time_effects(q, Design())).value)  # type: ignore[operator]
        slope = (ends[0] - ends[1]) / 2e-5
        assert found.influence[i] == pytest.approx(slope, abs=DERIVATIVE)


def test_sums_by_hand() -> None:
    p = panel()
    cells = {(c.group, c.period): c.value for c in group_time_effects(p, Design())}
    share = {g: p.w[p.start == g].sum() for g in (2, 3, 4)}
    event = by_event_time(p, group_time_effects(p, Design()))
    at = dict(zip(event.moment, event.value, strict=True))
    one = (share[2] * cells[2, 3] + share[3] * cells[3, 4]) / (share[2] + share[3])
    assert at[1.0] == pytest.approx(one, rel=CLOSED_FORM)
    assert at[-1.0] == 0.0
    groups = [np.mean([cells[g, t] for t in range(g, 5)]) for g in (2, 3, 4)]
    mean = np.average(groups, weights=[share[g] for g in (2, 3, 4)])
    assert overall(p, group_time_effects(p, Design())).value[0] == pytest.approx(mean)
    same = by_event_time(p, group_time_effects(p, Design()), followed=1)
    assert same.cells[same.moment == 0.0] == 2


def test_effects_without_noise_are_found_exactly() -> None:
    p = panel(noise=0.0, covariates=False)
    for c in group_time_effects(p, Design()):
        truth = 1 + 0.5 * (c.period - c.group) if c.after else 0.0
        assert c.value == pytest.approx(truth, abs=CLOSED_FORM)


# --- bands -------------------------------------------------------------------------------------


def test_critical_values_of_one_equal_and_independent_estimates() -> None:
    r = np.random.default_rng(1)
    C = 400
    one = r.normal(size=(C, 1))
    draws = 40_000
    normal = norm.isf(0.025)
    assert critical_value(one, 0.95, draws, r) == pytest.approx(normal, abs=0.04)
    assert critical_value(np.repeat(one, 5, axis=1), 0.95, draws, r) == pytest.approx(
        normal, abs=0.04
    )
    # columns orthogonal: independent under the normal limit, so Sidak's value
    Q = np.linalg.qr(r.normal(size=(C, 6)))[0]
    sidak = norm.isf(0.5 * (1 - 0.95 ** (1 / 6)))
    assert critical_value(Q, 0.95, draws, r) == pytest.approx(sidak, abs=0.04)


def test_df_of_two_groups_are_welchs() -> None:
    rng = np.random.default_rng(4)
    y, group = rng.normal(size=12) * np.repeat([1.0, 3.0], 6), np.repeat([0, 1], 6)
    means = np.repeat([y[:6].mean(), y[6:].mean()], 6)
    influence = np.column_stack([(y - means) / 6, np.zeros(12)])
    df = welch_df(influence, group)
    assert df[0] == pytest.approx(ttest_ind(y[:6], y[6:], equal_var=False).df, rel=CLOSED_FORM)
    assert np.isnan(df[1])


def test_with_many_clusters_the_multiple_stays_and_with_few_it_is_students() -> None:
    assert student_multiples(2.7, np.array([np.inf]))[0] == pytest.approx(2.7, rel=CLOSED_FORM)
    level = norm.ppf(0.975)
    found = student_multiples(float(level), np.array([5.0, 1.0]))
    np.testing.assert_allclose(found, t.ppf(0.975, [5, 1]), rtol=CLOSED_FORM)


def test_a_band_of_reference_periods_alone_is_none() -> None:
    assert np.isnan(critical_value(np.zeros((9, 2)), 0.95, 99, np.random.default_rng(0)))


# --- the comparator ------------------------------------------------------------------------------


def dense(p: Panel) -> tuple[float, np.ndarray, np.ndarray]:
    """Dummies and lstsq: coefficient, D without its dummies, residuals, over measured cells."""
    n, T = p.y.shape
    unit, time = np.divmod(np.arange(n * T), T)
    seen = np.isfinite(p.y.ravel())
    dummies = np.hstack([np.eye(n)[unit], np.eye(T)[time]])[seen]
    D = (time >= p.start[unit]).astype(float)[seen]
    y, root = p.y.ravel()[seen], np.sqrt(p.w[unit][seen])
    B = root[:, None] * dummies
    rest = [root * v - B @ np.linalg.lstsq(B, root * v, rcond=None)[0] for v in (D, y)]
    beta = rest[0] @ rest[1] / (rest[0] @ rest[0])
    scores = rest[0] * (rest[1] - beta * rest[0]) / (rest[0] @ rest[0])
    return beta, np.bincount(unit[seen], scores, minlength=n), seen


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_two_way_by_dense_least_squares(missing: float) -> None:
    p = panel(40, missing=missing)
    found = two_way(p, np.arange(40))
    beta, influence, _ = dense(p)
    assert found.value == pytest.approx(beta, rel=1e-8)
    assert found.se == pytest.approx(np.sqrt((influence**2).sum() * 40 / 39), rel=1e-7)


def test_two_way_weights_reproduce_it_from_the_effects() -> None:
    p = panel(noise=0.0, covariates=False, step=2.0)
    found = two_way(p, np.arange(80))
    effects = 1 + 2.0 * (found.period - found.group)
    assert found.weight.sum() == pytest.approx(1.0, rel=CLOSED_FORM)
    assert found.weight @ effects == pytest.approx(found.value, rel=1e-9)
    assert found.negative < 0


def test_two_way_can_have_the_wrong_sign_where_every_effect_is_positive() -> None:
    """Two groups, three periods, nobody never treated: the early group's growth is subtracted."""
    n = 20
    start = np.repeat([1.0, 2.0], n // 2)
    effect = np.where(start[:, None] <= np.arange(3), 1.0, 0.0)
    effect[: n // 2, 2] = 4.0
    p = Panel(effect, start, np.ones((n, 3, 1)), np.ones(n), np.arange(3.0))
    assert two_way(p, np.arange(n)).value < 0
    first = next(c for c in group_time_effects(p, Design()) if (c.group, c.period) == (1, 1))
    assert first.value == pytest.approx(1.0)


def test_treatment_of_everybody_at_once_has_no_two_way_estimate() -> None:
    p = panel(20)
    p = replace(p, start=np.full(20, 2.0))
    with pytest.raises(NotEstimable, match="explained by units and periods"):
        two_way(p, np.arange(20))


# --- a known truth -------------------------------------------------------------------------------


def test_clustered_intervals_cover_and_adjustment_removes_the_trend_of_x() -> None:
    """300 studies of 60 sites of 5: trends depend on x, which goes with opening."""
    r = np.random.default_rng(11)
    adjusted, crude, covered = [], [], []
    for _ in range(300):
        site = np.repeat(np.arange(60), 5)
        start = r.choice([np.inf, 2.0, 3.0], 60, p=[0.4, 0.3, 0.3])[site]
        x = r.normal(size=300) + 0.6 * np.isfinite(start)
        t = np.arange(4.0)
        shock = r.normal(size=(60, 4))[site]
        y = 0.5 * x[:, None] * t + shock + (t >= start[:, None]) + r.normal(size=(300, 4))
        X = np.ones((300, 4, 2))
        X[:, :, 1] = x[:, None]
        p = Panel(y, start, X, np.ones(300), t)
        found = overall(p, group_time_effects(p, Design()))
        se = np.sqrt(covariance(found.influence, site)[0, 0])
        adjusted.append(found.value[0])
        covered.append(abs(found.value[0] - 1.0) <= 2.0 * se)
        plain = replace(p, X=X[:, :, :1])
        crude.append(overall(plain, group_time_effects(plain, Design())).value[0])
    error = np.std(adjusted) / np.sqrt(300)
    assert abs(np.mean(adjusted) - 1.0) < MONTE_CARLO_SES * error
    assert np.mean(crude) - 1.0 > 10 * error
    share = np.mean(covered)
    assert abs(share - 0.954) < MONTE_CARLO_SES * np.sqrt(0.954 * 0.046 / 300)


# --- few clusters ------------------------------------------------------------------------------


def test_the_jackknife_of_two_groups_by_hand() -> None:
    """Variance of a mean by leaving one out: s^2 / n times (C - 1) / C over n / (n - 1)."""
    d, c = np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 2.0, 0.0, 1.0, 3.0])
    y = np.column_stack([np.zeros(9), np.r_[d, c]])
    start = np.r_[np.ones(4), np.full(5, np.inf)]
    p = Panel(y, start, np.ones((9, 2, 1)), np.ones(9), np.arange(2.0))
    full = overall(p, group_time_effects(p, Design()))
    spread = jackknife(full, without_each(p, Design(), np.arange(9)), overall)
    expected = sum(
        ((x - x.mean()) ** 2).sum() / (len(x) - 1) ** 2 for x in (d, c)
    ) * (8 / 9)  # fmt: skip
    assert (spread**2).sum() == pytest.approx(expected, rel=CLOSED_FORM)


def test_the_jackknife_is_near_the_influence_with_many_clusters() -> None:
    p = panel(300, 4)
    full = by_event_time(p, group_time_effects(p, Design()))
    spread = jackknife(full, without_each(p, Design(), np.arange(300)), by_event_time)
    left = np.sqrt((spread**2).sum(axis=0))
    influence = np.sqrt(np.diag(covariance(full.influence, np.arange(300))))
    assert left == pytest.approx(influence, rel=0.06)
    assert (left >= influence)[~(full.reference == 1)].all()


def test_a_group_of_one_cluster_has_no_jackknife() -> None:
    p = panel(60, 5, covariates=False)
    cluster = np.where(p.start == 3, 0, 1 + np.arange(60) % 10)
    full = by_group(p, group_time_effects(p, Design()))
    spread = jackknife(full, without_each(p, Design(), cluster), by_group)
    assert list(np.isnan(spread).any(axis=0)) == [False, True, False]
