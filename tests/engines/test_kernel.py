"""Protection that fades: shapes, likelihood, profile and risks, against loops and other engines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recovery_stats.engines import cox, kernel, kernel_cox, kernel_risk
from recovery_stats.engines.kernel import Exposed, Kernel, last_meeting, weigh_by_lag
from recovery_stats.engines.kernel_cox import Days
from recovery_stats.engines.kernel_survivor import Courses, mean_effect
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, DERIVATIVE

SHAPES = ("last", "sum", "saturating")


def small_diary(seed: int = 3, people: int = 30, days: int = 40):
    """Rows (person, day) of everyone on every day, and a diary with two meetings on some days."""
    rng = np.random.default_rng(seed)
    person, day = np.divmod(np.arange(people * days), days)
    who, when = np.nonzero(rng.random((people, days)) < 0.2)
    extra = rng.random(len(who)) < 0.1
    who, when = np.append(who, who[extra]), np.append(when, when[extra])
    order = rng.permutation(len(who))
    return person, day + 1, who[order], when[order]


def by_hand(shape: str, half_life: float, day: int, met: list[int]) -> float:
    """The definition, meeting by meeting."""
    lags = [day - m for m in met if m < day]
    if not lags:
        return 0.0
    kept = [2 ** (-lag / half_life) for lag in lags]
    if shape == "last":
        return max(kept)
    return sum(kept) if shape == "sum" else 1.0 - float(np.prod([1.0 - k for k in kept]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half_life", [0.5, 2.0, 15.0])
def test_every_day_is_as_its_meetings_say(shape, half_life):
    person, day, who, when = small_diary()
    rows = Exposed.of(person, day, who, when, np.ones(len(who)))
    found = Kernel.of(shape, rows).at(half_life)
    met = [sorted(when[who == p].tolist()) for p in range(30)]
    expected = [by_hand(shape, half_life, int(d), met[p]) for p, d in zip(person, day, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=CLOSED_FORM, atol=1e-8)


@pytest.mark.parametrize("sparse", [0, 10**6])
def test_meetings_are_weighed_by_their_lag_either_way(sparse, monkeypatch):
    monkeypatch.setattr(kernel, "SPARSE", sparse)
    person, day, who, when = small_diary()
    weight = np.random.default_rng(1).normal(size=(7, 2))
    found = weigh_by_lag(Exposed.of(person, day, who, when, np.ones(len(who))), weight)
    for row in range(0, len(day), 7):
        lags = day[row] - when[who == person[row]]
        expected = weight[lags[(lags >= 1) & (lags <= 7)] - 1].sum(axis=0)
        np.testing.assert_allclose(found[:, row], expected, atol=CLOSED_FORM)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_slope_is_the_derivative_in_log_half_life(shape):
    person, day, who, when = small_diary()
    kernel = Kernel.of(shape, Exposed.of(person, day, who, when, np.ones(len(who))))
    step = 1e-5
    up, down = kernel.at(3.0 * np.exp(step)), kernel.at(3.0 * np.exp(-step))
    np.testing.assert_allclose(
        kernel.with_slope(3.0)[1], (up - down) / (2 * step), rtol=DERIVATIVE, atol=1e-8
    )


def test_counts_of_two_are_two_meetings_and_of_none_is_no_meeting():
    day = np.array([5])
    twice = Exposed.of(np.array([0]), day, np.array([0]), np.array([3]), np.array([2.0]))
    none = Exposed.of(np.array([0]), day, np.array([0]), np.array([3]), np.array([0.0]))
    assert Kernel.of("sum", twice).at(2.0)[0] == pytest.approx(1.0)
    assert Kernel.of("last", none).at(2.0)[0] == 0.0


# --- the likelihood ------------------------------------------------------------------------------


def simulated(seed: int = 1, people: int = 900, days: int = 120, theta: float = -1.2):
    """Person-days with weekly strata of two sites; returns X, set, event, lag, site, day."""
    rng = np.random.default_rng(seed)
    x, site = rng.standard_normal(people), rng.integers(0, 2, people)
    rate = rng.choice([0.05, 0.3], people)
    last = np.full(people, -np.inf)
    alive = np.ones(people, dtype=bool)
    rows = []
    for day in range(1, days + 1):
        last = np.where(rng.random(people) < rate, day - 1.0, last)
        lag = day - last
        hazard = 0.02 * np.exp(0.4 * x + theta * last_meeting(lag, 2.0)[0])
        event = alive & (rng.random(people) < 1 - np.exp(-hazard))
        at = np.flatnonzero(alive)
        rows.append(np.column_stack([x[at], site[at], np.full(len(at), day), lag[at], event[at]]))
        alive &= ~event
    table = np.concatenate(rows)
    X, place, day, lag, event = table.T
    return X[:, None], (place * 1000 + day).astype(int), event, lag, place.astype(int), day


@pytest.fixture(scope="module")
def sample():
    X, sets, event, lag, site, day = simulated()
    days, kept = Days.of(X, sets, event)
    return days, kept, X, event, lag, site, day


def test_at_a_half_life_it_is_the_ordinary_cox_model(sample):
    days, kept, X, event, lag, site, day = sample
    column = last_meeting(lag, 2.0)[0]
    ours = kernel_cox.fit_at(days, column[kept], 2.0)
    other = cox.fit(np.column_stack([X, column]), day, event, start=day - 1, strata=site)
    np.testing.assert_allclose([*ours.beta, ours.theta], other.beta, rtol=1e-9)
    assert ours.loglik == pytest.approx(other.loglik, rel=1e-11)
    np.testing.assert_allclose(np.linalg.inv(ours.point.information), other.covariance, rtol=1e-7)


def test_weights_of_two_are_people_twice(sample):
    _, _, X, event, lag, site, day = sample
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 3, len(event)).astype(float)
    sets = (site * 1000 + day).astype(int)
    column = last_meeting(lag, 2.0)[0]
    days, kept = Days.of(X, sets, event, weight)
    ours = kernel_cox.fit_at(days, column[kept], 2.0)
    other = cox.fit(
        np.column_stack([X, column]), day, event, start=day - 1, strata=site, weights=weight
    )
    np.testing.assert_allclose([*ours.beta, ours.theta], other.beta, rtol=1e-9)


def test_the_profile_finds_the_maximum_and_its_limits(sample):
    days, kept, _, _, lag, _, _ = sample

    def exposure(h: float):
        return last_meeting(lag[kept], h)[0]

    found = kernel_cox.profile(days, exposure, np.geomspace(0.5, 60, 9))
    fine = np.geomspace(0.5, 60, 240)
    loglik = np.array([kernel_cox.fit_at(days, exposure(h), h).loglik for h in fine])
    assert found.best.loglik >= loglik.max() - 1e-6
    inside = fine[loglik >= found.best.loglik - stats.chi2.isf(0.05, 1) / 2]
    step = fine[1] / fine[0]
    assert not found.open_low
    assert not found.open_high
    assert found.low == pytest.approx(inside[0], rel=step - 1)
    assert found.high == pytest.approx(inside[-1], rel=step - 1)
    assert found.low < 2.0 < found.high


def test_without_an_effect_the_interval_is_open():
    X, sets, event, lag, _, _ = simulated(seed=11, theta=0.0)
    days, kept = Days.of(X, sets, event)
    found = kernel_cox.profile(
        days, lambda h: last_meeting(lag[kept], h)[0], np.geomspace(0.5, 60, 9)
    )
    assert found.open_low
    assert found.open_high


def test_one_named_half_life_gives_the_score_test(sample):
    days, kept, X, event, lag, site, day = sample
    column = last_meeting(lag, 2.0)[0]
    found = kernel_cox.test_no_effect(days, lambda h: column[kept], (2.0,))
    null = cox.fit(X, day, event, start=day - 1, strata=site)
    both = cox.fit(np.column_stack([X, column]), day, event, start=day - 1, strata=site)
    likelihood_ratio = 2 * (both.loglik - null.loglik)
    assert found.z[0] ** 2 == pytest.approx(likelihood_ratio, rel=0.1)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.z[0])))


def test_the_maximum_is_judged_by_the_joint_law_of_all(sample):
    """Its p-value by brute force: correlated normals, drawn."""
    days, kept, _, _, lag, _, _ = sample
    found = kernel_cox.test_no_effect(
        days, lambda h: last_meeting(lag[kept], h)[0], (0.5, 1.0, 2.0, 4.0, 7.0)
    )
    drawn = np.random.default_rng(5).multivariate_normal(
        np.zeros(5), found.correlation, size=400_000
    )
    for limit in (1.5, 2.0, 2.5):
        p = kernel_cox._beyond(limit, found.correlation)
        share = float((np.abs(drawn).max(1) > limit).mean())
        assert p == pytest.approx(share, abs=4 * np.sqrt(share / 400_000))


def test_an_exposure_that_never_varies_is_refused(sample):
    days, kept, *_ = sample
    with pytest.raises(NotEstimable, match="does not vary"):
        kernel_cox.test_no_effect(days, lambda h: np.ones(len(kept)), (2.0,))


def test_days_without_an_event_are_refused():
    with pytest.raises(NotEstimable, match="No event"):
        Days.of(np.zeros((3, 1)), np.arange(3), np.zeros(3))


# --- k meetings a week ---------------------------------------------------------------------------


def test_the_joint_information_is_that_of_the_profile(sample):
    """Standard error of log H against the curvature of the profile."""
    days, kept, _, _, lag, _, _ = sample

    def exposure(h: float):
        return last_meeting(lag[kept], h)[0]

    best = kernel_cox.profile(days, exposure, np.geomspace(0.5, 60, 9)).best
    V = kernel_risk.joint_covariance(days, lambda h: last_meeting(lag[kept], h), best)
    se = np.sqrt(V[-1, -1])
    step = 0.05
    sides = [
        kernel_cox.fit_at(days, exposure(best.half_life * f), best.half_life * f).loglik
        for f in np.exp([-step, step])
    ]
    curvature = (2 * best.loglik - sum(sides)) / step**2
    assert se == pytest.approx(1 / np.sqrt(curvature), rel=0.03)


def test_a_week_by_hand():
    """Three meetings a week on days 0, 3 and 5: lags 1, 2, 3, 1, 2, 1, 2."""
    fit = kernel_cox.AtHalfLife(2.0, np.zeros(0), -1.0, None)
    lags = np.array([1, 2, 3, 1, 2, 1, 2])
    expected = np.exp(-np.exp2(-lags / 2.0)).mean()
    found = kernel_risk.mean_hazard_ratios(fit, np.eye(2), np.array([3.0]))
    assert np.exp(found.value[0]) == pytest.approx(expected)


def test_random_spacing_is_the_mean_over_draws():
    rng = np.random.default_rng(2)
    met = rng.random((40_000, 200)) < 3 / 7
    last = np.maximum.accumulate(np.where(met, np.arange(200), -(10**9)), axis=1)
    lag = 200.0 - last[:, -1]
    expected = np.exp(-np.exp2(-lag / 2.0)).mean()
    found = kernel_risk._multiplier(-1.0, 2.0, 3.0, "random", 200)[-1]
    assert found == pytest.approx(expected, abs=4 * 0.2 / 200)


@pytest.mark.parametrize("k", [7.0, 10.0])
def test_no_day_has_a_chance_of_meeting_above_one(k):
    found = kernel_risk._multiplier(-1.0, 2.0, k, "random", 9)  # daily: the last was yesterday
    assert found == pytest.approx(np.full(9, np.exp(-np.exp2(-0.5))))


def population(sample):
    _, kept, X, _, _, site, day = sample
    first = np.flatnonzero(day == 1)
    person = np.cumsum(day == 1)  # rows lie person by person
    sets = np.unique((site * 1000 + day).astype(int)[kept])
    return kernel_risk.Population(
        X[first], np.array([False]), site[first], sets // 1000, sets % 1000, np.ones(len(first)),
        Courses.of(person[kept], day[kept]),
    )  # fmt: skip


def test_the_risk_is_that_of_a_day_by_day_loop(sample):
    days, kept, X, event, lag, site, day = sample
    column = last_meeting(lag, 2.0)[0]
    fit = kernel_cox.fit_at(days, column[kept], 2.0)
    people = population(sample)
    found = kernel_risk.risks(
        days, lag[kept], fit, np.zeros((3, 3)), people, weekly=np.array([0.0, 1.0, 7.0]), horizon=90
    )
    eta = X[:, 0] * fit.beta[0] + column * fit.theta
    expected = []
    for k in (0, 1, 7):
        cumulative, variance = np.zeros(len(people.X)), np.zeros(len(people.X))
        for d in range(1, 91):
            met = [m for m in range(d) if (m * k) % 7 < k]
            effect = np.exp(fit.theta * (2.0 ** (-(d - met[-1]) / 2.0) if met else 0.0))
            for s in (0, 1):
                here = (site == s) & (day == d)
                failed = event[here] > 0
                r = np.exp(eta[here])
                steps = [
                    1 / (r.sum() - j / failed.sum() * r[failed].sum()) for j in range(failed.sum())
                ]
                mine = people.stratum == s
                ratio = effect * np.exp(people.X[mine, 0] * fit.beta[0])
                cumulative[mine] += sum(steps) * ratio
                variance[mine] += sum(a * a for a in steps) * ratio**2
        expected.append(1 - np.exp(-cumulative - variance / 2).mean())
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)


def test_without_covariates_and_effect_the_risk_is_the_product_limit():
    """To second order: the steps of Kaplan and Meier are 1 - 1/n with one event a day."""
    n = 60
    person = np.repeat(np.arange(n), np.arange(1, n + 1))
    day = np.concatenate([np.arange(1, i + 2) for i in range(n)])
    event = (day == person + 1) & (person < 40)
    days, kept = Days.of(np.zeros((len(day), 0)), day, event.astype(float))
    none = np.zeros(len(day))
    point = kernel_cox.evaluate(days, none[kept][None], np.zeros(1))
    fit = kernel_cox.AtHalfLife(2.0, np.zeros(0), 0.0, point)
    everyone = np.zeros(n, dtype=np.intp)
    people = kernel_risk.Population(
        np.zeros((n, 0)), np.zeros(0, dtype=bool), everyone, np.zeros(40, dtype=np.intp),
        np.arange(1, 41), np.ones(n), Courses.of(person[kept], day[kept]),
    )  # fmt: skip
    found = kernel_risk.risks(
        days, np.full(len(kept), np.inf), fit, np.zeros((2, 2)), people, weekly=np.array([3.0]),
        horizon=40,
    )  # fmt: skip
    assert found.value[0] == pytest.approx(40 / n, abs=2e-3)


def test_those_who_would_be_at_risk_weigh_by_their_extra_hazard():
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(30), 8)
    day = np.tile(np.arange(8), 30)
    order = np.argsort(day, kind="stable")
    person, day = person[order], day[order]
    still, moving, extra = rng.uniform(0.5, 1.5, (3, 240))
    first = np.searchsorted(day, np.arange(8))
    found = mean_effect(Courses.of(person, day), first, still, moving, extra)
    for d in range(8):
        up = down = 0.0
        for i in np.flatnonzero(day == d):
            gone = sum(extra[j] for j in range(240) if person[j] == person[i] and day[j] < d)
            up += still[i] * moving[i] * np.exp(-gone)
            down += still[i] * np.exp(-gone)
        assert found[d] == pytest.approx(up / down)
    same = mean_effect(Courses.of(person, day), first, still, moving, np.zeros(240))
    plain = np.add.reduceat(still * moving, first) / np.add.reduceat(still, first)
    np.testing.assert_allclose(same, plain)


def test_errors_of_the_risks_are_those_of_redrawn_people():
    """The delta method against 60 samples of the same process (Monte Carlo error 9 %)."""
    values, errors = [], []
    for seed in range(60):
        X, sets, event, lag, site, day = simulated(seed=500 + seed, people=250, days=60)
        days, kept = Days.of(X, sets, event)
        found = kernel_cox.profile(
            days, lambda h, lag=lag, kept=kept: last_meeting(lag[kept], h)[0], [0.5, 1, 2, 4, 8]
        )
        V = kernel_risk.joint_covariance(
            days, lambda h, lag=lag, kept=kept: last_meeting(lag[kept], h), found.best
        )
        sample = (days, kept, X, event, lag, site, day)
        risk = kernel_risk.risks(
            days, lag[kept], found.best, V, population(sample), weekly=np.array([0.0, 3.0]),
            horizon=60,
        )  # fmt: skip
        values.append(risk.value)
        errors.append(risk.se)
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0, ddof=1)
    assert (np.abs(ratio - 1) < 0.3).all()
