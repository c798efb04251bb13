"""Survival with another hazard after loss: both ends, and by hand."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.engines.lost import free_after_loss
from tests.tolerance import CLOSED_FORM


def people(n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    time = np.minimum(rng.integers(1, 70, n), 60).astype(float)
    how = rng.integers(0, 3, n)
    return time, (how == 1) & (time < 60), (how == 2) & (time < 60)


def kaplan_meier(time: np.ndarray, event: np.ndarray, at: float) -> float:
    import pandas as pd

    data = pd.DataFrame({"t": time, "e": event.astype(float)})
    return float(rs.kaplan_meier("Surv(t, e) ~ 1", data).at([at])["estimate"].iloc[0])


def test_times_one_is_kaplan_meier_and_at_once_counts_losses_as_events():
    time, event, lost = people()
    found = free_after_loss(time, event, lost, np.ones(len(time)), (1.0, np.inf), 45.0)
    assert_allclose(found[0], kaplan_meier(time, event, 45.0), rtol=CLOSED_FORM)
    assert_allclose(found[1], kaplan_meier(time, event | lost, 45.0), rtol=CLOSED_FORM)


def test_four_people_on_paper():
    # day 1: one of four relapses; day 2: one of three is lost; day 3: one of two relapses
    time = np.array([1.0, 2, 3, 4])
    event, lost = np.array([1, 0, 1, 0]) > 0, np.array([0, 1, 0, 0]) > 0
    found = free_after_loss(time, event, lost, np.ones(4), (1.0, 2.0, np.inf), 3.0)
    view, gone = 0.75 * (2 / 3) * 0.5, 0.75 / 3
    assert_allclose(found, [view + gone * 0.5, view + gone * 0.25, view], rtol=CLOSED_FORM)


def test_weights_are_people_repeated_and_rows_are_draws():
    time, event, lost = people(30)
    w = np.random.default_rng(1).integers(0, 4, (3, 30)).astype(float)
    together = free_after_loss(time, event, lost, w, (1.5, 3.0), 45.0)
    for row, weight in zip(together, w, strict=True):
        again = np.repeat(np.arange(30), weight.astype(int))
        alone = free_after_loss(
            time[again], event[again], lost[again], np.ones(len(again)), (1.5, 3.0), 45.0
        )
        assert_allclose(row, alone, rtol=CLOSED_FORM)
    assert (together[:, 0] >= together[:, 1]).all()


def test_times_none_is_the_incidence_beside_a_competing_loss():
    time, event, lost = people()
    incidence, remaining = 0.0, 1.0
    for day in range(1, 46):
        n = (time >= day).sum()
        relapsed, gone = ((time == day) & event).sum(), ((time == day) & lost).sum()
        incidence += remaining * relapsed / n
        remaining *= 1 - (relapsed + gone) / n
    found = free_after_loss(time, event, lost, np.ones(len(time)), (0.0,), 45.0)
    assert_allclose(found[0], 1 - incidence, rtol=CLOSED_FORM)
