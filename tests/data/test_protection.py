"""Protection of the synthetic cohort, day by day, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.data.synthetic.protection import Array, Kernel, Protection
from tests.tolerance import CLOSED_FORM

DAYS, PEOPLE, HALF_LIFE = 90, 6, 1.7


def by_definition(kernel: Kernel, met: np.ndarray, day: int) -> Array:
    """Protection (n,) on `day` from the meetings of all days before it."""
    found = []
    for person in range(met.shape[1]):
        left = [2 ** (-(day - m) / HALF_LIFE) for m in range(day) if met[m, person]]
        found.append(
            {"last": left[-1] if left else 0.0, "sum": sum(left),
             "saturating": 1 - np.prod([1 - x for x in left])}[kernel]
        )  # fmt: skip
    return np.array(found)


@pytest.mark.parametrize("kernel", ["last", "sum", "saturating"])
def test_protection_follows_its_definition_on_every_day(kernel: Kernel) -> None:
    met = np.random.default_rng(1).random((DAYS, PEOPLE)) < np.linspace(0, 0.9, PEOPLE)
    protection = Protection(kernel, HALF_LIFE, (PEOPLE,))
    for day in range(DAYS):
        assert protection.left == pytest.approx(by_definition(kernel, met, day), abs=CLOSED_FORM)
        protection.meet(met[day])


@pytest.mark.parametrize("kernel", ["last", "sum", "saturating"])
def test_the_meetings_of_another_protect_from_then_on(kernel: Kernel) -> None:
    met = np.random.default_rng(2).random((20, 3)) < 0.4
    met[:, 2] = True
    one, other = Protection(kernel, HALF_LIFE, (3,)), Protection(kernel, HALF_LIFE, (3,))
    for day in range(10):
        one.meet(met[day])
        other.meet(met[day][[2, 1, 2]])
    one.copy_from(np.array([0]), np.array([2]))
    for day in range(10, 20):
        assert one.left == pytest.approx(other.left, abs=CLOSED_FORM)
        one.meet(met[day][[2, 1, 2]])
        other.meet(met[day][[2, 1, 2]])
