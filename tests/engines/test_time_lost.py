"""Time lost to competing events: on paper, one cause alone, and the gradient by differences."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import curves
from recovery_stats.engines.risk_set import Array
from recovery_stats.engines.time_lost import time_lost
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE


def table(seed: int, n: int = 60, causes: int = 2, *, late: bool = False) -> curves.LifeTable:
    r = np.random.default_rng(seed)
    stop = np.ceil(r.exponential(8, n)) + 3
    start = np.floor(r.uniform(0, 3, n)) if late else None
    cause = r.integers(0, causes + 1, n)
    return curves.tabulate(np.minimum(stop, 20.0), cause, start=start, causes=causes)


def test_on_paper() -> None:
    """Of four, one relapses on day 2, one dies on day 4, one relapses on day 6: by day 10."""
    small = curves.tabulate(np.array([2.0, 4.0, 6.0, 12.0]), np.array([1, 2, 1, 0]), causes=2)
    relapse, death = (time_lost(small, j, 10.0)[0] for j in (0, 1))
    assert relapse == pytest.approx(0.25 * 8 + 0.25 * 4, rel=CLOSED_FORM)
    assert death == pytest.approx(0.25 * 6, rel=CLOSED_FORM)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_of_one_cause_it_is_the_rest_of_the_restricted_mean(seed: int, late: bool) -> None:
    one = table(seed, causes=1, late=late)
    mean, error = curves.restricted_mean(curves.kaplan_meier(one), 15.0)
    lost, own = time_lost(one, 0, 15.0)
    assert 15.0 - lost == pytest.approx(mean, rel=CLOSED_FORM)
    assert own == pytest.approx(error, rel=CONVERGED)


@pytest.mark.parametrize("seed", range(3))
def test_causes_and_the_time_free_of_any_add_up(seed: int) -> None:
    both = table(seed)
    merged = curves.tabulate(both.time[both.exit], (both.cause > 0).astype(int), causes=1)
    free = curves.restricted_mean(curves.kaplan_meier(merged), 15.0)[0]
    assert sum(time_lost(both, j, 15.0)[0] for j in (0, 1)) + free == pytest.approx(15.0)


def lost_of(own: Array, other: Array, time: Array, tau: float) -> float:
    """The time lost from increments of the hazards."""
    before = np.concatenate(([1.0], np.cumprod(1 - own - other)[:-1]))
    return float((before * own * (tau - time)).sum())


@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_the_gradient_through_multinomial_increments(seed: int) -> None:
    both, tau, step = table(seed), 15.0, 1e-6
    inside = both.time < tau
    time, n = both.time[inside], both.n_risk[inside]
    hazards = both.events[:, inside] / n
    gradient = np.zeros_like(hazards)
    for j, k in np.ndindex(*hazards.shape):
        up, down = hazards.copy(), hazards.copy()
        up[j, k] += step
        down[j, k] -= step
        gradient[j, k] = (lost_of(*up, time, tau) - lost_of(*down, time, tau)) / (2 * step)
    variance = 0.0
    for k in range(len(time)):
        p = hazards[:, k]
        variance += gradient[:, k] @ (np.diag(p) - np.outer(p, p)) @ gradient[:, k] / n[k]
    assert time_lost(both, 0, tau)[1] == pytest.approx(np.sqrt(variance), rel=DERIVATIVE)


def test_beyond_observation_it_is_refused() -> None:
    with pytest.raises(NotEstimable, match="observation ends at 20"):
        time_lost(table(0), 0, 21.0)
