"""One more meeting a week, and weights of a marginal structural model, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.engines import kernel_cox, marginal_weight, policy
from recovery_stats.engines.kernel_cox import Days
from recovery_stats.engines.policy import Followed
from recovery_stats.engines.strategy_course import Course
from recovery_stats.engines.strategy_weight import ridge_logistic


def rows(seed: int = 2, people: int = 80, days: int = 40, beta: float = -0.4):
    """Person-days sorted by person: X, exposure, event, person, day."""
    rng = np.random.default_rng(seed)
    x, found = rng.standard_normal(people), []
    for i in range(people):
        for day in range(1, days + 1):
            recent = float(rng.binomial(min(day, 7), 0.3))
            event = rng.random() < 1 - np.exp(-0.05 * np.exp(0.5 * x[i] + beta * recent))
            found.append((x[i], recent, float(event), i, day))
            if event:
                break
    X, exposure, event, person, day = np.array(found).T
    return X[:, None], exposure, event, person.astype(int), day.astype(int)


@pytest.fixture(scope="module")
def sample():
    X, exposure, event, person, day = rows()
    days, kept = Days.of(X, day, event)
    return days, exposure[kept], Followed(person, day, kept, 7), (X, exposure, event, person, day)


def test_the_policy_person_by_person(sample):
    days, exposure, followed, (X, recent, event, person, day) = sample
    found = policy.policy_risk(days, exposure, followed, more=1.0, horizon=30, replicates=0, seed=1)
    at, _ = kernel_cox.maximise(days, exposure[None])
    r = np.exp((X[:, 0] - days.centre[0]) * at[0] + recent * at[1])
    hazard = {}
    for d in range(1, 31):
        here, failed = day == d, (day == d) & (event > 0)
        k = int(failed.sum())
        hazard[d] = sum(1 / (r[here].sum() - j / k * r[failed].sum()) for j in range(k))
    cumulative = np.zeros((2, 80))
    log_free = np.zeros(2)
    for d in range(1, 31):
        here = np.flatnonzero(day == d)
        factor = np.array([1.0, np.exp(at[1] * min(d, 7) / 7)])
        mine = hazard[d] * r[here]
        for j in (0, 1):
            change = cumulative[j, person[here]] - cumulative[0, person[here]]
            w = np.exp(-change)
            log_free[j] -= (w * mine * factor[j]).sum() / w.sum()
        cumulative[:, person[here]] += mine * factor[:, None]
    assert found.natural == pytest.approx(1 - np.exp(log_free[0]), rel=1e-10)
    assert found.policy == pytest.approx(1 - np.exp(log_free[1]), rel=1e-10)


def test_no_more_meetings_change_nothing(sample):
    days, exposure, followed, _ = sample
    found = policy.policy_risk(days, exposure, followed, more=0.0, horizon=30, replicates=2, seed=1)
    assert found.difference == 0.0
    np.testing.assert_array_equal(found.draws[:, 0], found.draws[:, 1])


def test_one_newton_step_is_the_refit(sample):
    """The bootstrap's coefficients against full refits with the same weights."""
    days, exposure, followed, _ = sample
    at, _ = kernel_cox.maximise(days, exposure[None])
    drawn = np.bincount(np.random.default_rng(3).integers(80, size=80), minlength=80).astype(float)
    weighted = policy.reweighted(days, drawn[followed.person[followed.kept]])
    full, _ = kernel_cox.maximise(weighted, exposure[None])
    point = kernel_cox.evaluate(weighted, exposure[None], at)
    step = at + np.linalg.solve(point.information, point.score)
    np.testing.assert_allclose(step, full, atol=0.1 * np.abs(full - at).max())


CUTS = (7.0, 12.0)
COUNTS = np.array([3.0, 9.0, 15.0])  # one of each class


def draw_class(z, before, rng):
    """Continuation ratios logistic in z and in the class before: the model of the weights."""
    shift = np.array([0.5, 0.0, -0.5])[before]
    stops = rng.random((2, len(z))) < expit(shift - 0.7 * z)
    return np.where(stops[0], 0, np.where(stops[1], 1, 2))


def two_blocks(seed: int = 6, people: int = 6000) -> Course:
    """History drives the class of each block's count, and so does the class before."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((people, 3, 1))
    first = draw_class(z[:, 0, 0], np.ones(people, dtype=int), rng)
    second = draw_class(z[:, 1, 0], first, rng)
    count = np.column_stack([COUNTS[first], COUNTS[second], np.full(people, np.nan)])
    return Course(
        np.full(people, 70.0), np.zeros(people, int), np.zeros(people, bool), count, z,
        np.arange(people), 28, np.ones(people),
    )  # fmt: skip


def test_stabilised_weights_average_to_one_and_balance_the_history():
    course = two_blocks()
    w = marginal_weight.stabilised(course, CUTS, np.array([False]))
    assert (w[:, 0] == 1).all()
    assert np.abs(w.mean(0) - 1).max() < 0.02
    label = np.digitize(course.count[:, 0], CUTS)
    z = course.history[:, 0, 0]
    means = [np.average(z[label == k], weights=w[label == k, 1]) for k in range(3)]
    assert np.ptp([z[label == k].mean() for k in range(3)]) > 0.7
    assert np.ptp(means) < 0.15


def test_a_chance_is_the_chain_of_its_models():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 2))
    label = rng.integers(0, 3, 300)
    chance = marginal_weight._chance(X, label, 2)
    Z = np.column_stack([np.ones(300), (X - X.mean(0)) / X.std(0)])
    p0 = expit(Z @ ridge_logistic(Z, (label == 0).astype(float), np.ones(300)))
    left = label > 0
    p1 = expit(Z @ ridge_logistic(Z[left], (label[left] == 1).astype(float), np.ones(left.sum())))
    expected = np.select([label == 0, label == 1], [p0, (1 - p0) * p1], (1 - p0) * (1 - p1))
    np.testing.assert_allclose(chance, expected, rtol=1e-10)
