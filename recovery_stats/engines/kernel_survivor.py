"""Who would still be at risk on a day if everyone kept to another attendance than their own.

Covariates that change over time (residence in a house) enter a risk under k meetings a week by
their mean effect on those at risk. Those seen at risk survived their own attendance; under
another, more or fewer of those in danger would be left. Each row at risk therefore weighs

    exp(-(cumulative hazard under k meetings - cumulative hazard as it was)),

both along its person's own covariates up to the day before, as in Haneuse & Rotnitzky 2013.
Checked: day by day in a loop, no change where attendance does nothing
(tests/engines/test_kernel.py); the truth of the synthetic cohort (scripts/meeting_recovery.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Courses:
    """Rows at risk in the order of their people's days: order (n,), begins (n,) in that order.

    begins: where the rows of the same person begin.
    """

    order: IntArray
    begins: IntArray

    @classmethod
    def of(cls, person: IntArray, day: IntArray) -> Courses:
        """person, day (n,) of each row."""
        order = np.lexsort((day, person))
        new = np.diff(person[order], prepend=-1) != 0
        return cls(order, np.maximum.accumulate(np.where(new, np.arange(len(order)), 0)))

    def before(self, value: Array) -> Array:
        """Sum of `value` (n,) over the earlier rows of the same person."""
        total = np.concatenate([[0.0], np.cumsum(value[self.order])])
        found = np.empty(len(value))
        found[self.order] = total[:-1] - total[self.begins]
        return found


def mean_effect(
    courses: Courses, first: IntArray, still: Array, moving: Array, extra: Array
) -> Array:
    """Mean effect of the varying covariates in each set (K,) on those who would be at risk.

    still, moving (n,): weighted hazard ratio of the fixed covariates, and that of the varying.
    extra (n,): hazard of each row under the attendance asked about, less that as it was.
    """
    weight = still * np.exp(-courses.before(extra))
    return np.asarray(np.add.reduceat(weight * moving, first) / np.add.reduceat(weight, first))
