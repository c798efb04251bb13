"""Leaving a house at a set time: what keeps to it, by hand, and that leavers speak for stayers."""

from __future__ import annotations

import numpy as np

from recovery_stats.engines import strategy
from recovery_stats.engines.strategy_course import Course, Leaving
from tests.tolerance import CLOSED_FORM

LEAVE = Leaving("leave after one", 1, 30, 7.0)


def course(count: np.ndarray, time: np.ndarray | None = None) -> Course:
    n, B = count.shape
    days = np.full(n, 30.0 * B) if time is None else time
    event = (days < 30 * B).astype(int)
    return Course(days, event, np.zeros(n, bool), count, np.zeros((n, B, 0)), np.arange(n), 30,
                  np.ones(n))  # fmt: skip


def test_the_stay_the_month_of_leaving_and_the_time_after_are_judged_apart():
    count = np.array([
        [30.0, 12.0, 0.0],  # left in the second month and stayed away
        [23.0, 0.0, 0.0],   # left within the slack of the first
        [22.0, 0.0, 0.0],   # left a day too early
        [30.0, 30.0, 0.0],  # stayed through the month of leaving
        [30.0, 29.0, 7.0],  # back, but within the slack
        [30.0, 29.0, 8.0],  # back
    ])  # fmt: skip
    found = strategy.clone(course(count), LEAVE, grace=0)
    assert found.ends.tolist() == [4, 4, 1, 2, 4, 3]
    assert LEAVE.phases(3).tolist() == [0, 1, 2]
    assert [m.y.sum() for m in found.deviating] == [1.0, 1.0, 1.0]
    assert [len(m.y) for m in found.deviating] == [6, 5, 4]


def test_who_leaves_in_time_speaks_for_all_who_were_there():
    """Ten stay through the month of leaving and ten leave; one leaver has the event on day 70."""
    count = np.array([[30.0, 30.0, 30.0]] * 10 + [[30.0, 10.0, 0.0]] * 10)
    time = np.full(20, 90.0)
    time[-1], count[-1, 2] = 70.0, np.nan
    (arm,) = strategy.emulate(course(count, time), (LEAVE,), days=90, grace=0).weigh(np.ones(20))
    np.testing.assert_allclose(arm.weight[10:, 2], 2.0, rtol=1e-5)
    assert not arm.weight[:10, 2].any()
    np.testing.assert_allclose(arm.incidence[0, -1], 0.1, rtol=CLOSED_FORM)
