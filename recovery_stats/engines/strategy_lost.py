"""Risk under a sustained strategy if those lost had another hazard than those like them in view.

A clone in view weighs W; of that, W k speaks for itself and W (1 - k) for clones like it that
were lost, k being the chance of not having been lost before the block. The two weights give the
hazard of the event in view and, were loss explained by the history, among the lost. The second is
then multiplied by delta (the kept share of each day taken to the power delta), other events left
as they are, and the stock of the lost runs down accordingly. With delta 1 the risk is the weighted
Aalen–Johansen estimate itself. Delta multiplies the average hazard of the lost: that those among
them who are most at risk run out sooner, the more so the higher delta, is not followed (with a
standard deviation of 0.6 of the log hazard and delta 2 the risk came out 0.0085 too high).

Source: the tipping-point analysis of Jackson et al. 2014, Stat Med 33:4681, with hazards weighted
for loss as in Robins & Finkelstein 2000.
Checked: a loop over days, delta 1, a known truth (tests/engines/test_strategy_lost.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.strategy import ROUNDING, Arm, at_risk_and_events
from recovery_stats.engines.strategy_course import Course

LEAST_KEPT = 1e-300


def risk_after_loss(course: Course, arm: Arm, deltas: Sequence[float]) -> Array:
    """Risk of the event by the horizon (D,) with the hazard after loss times each delta (D,)."""
    days = arm.incidence.shape[1] - 1
    seen, lost = (
        _Side.of(course, weight, days)
        for weight in (arm.weight * arm.kept, arm.weight * (1.0 - arm.kept))
    )
    share = _ratio(lost.at_risk, seen.at_risk + lost.at_risk)
    free = np.append(1.0, 1.0 - arm.incidence.sum(0)[1:])
    in_view = free[:-1] * (1.0 - share)
    after = np.append(in_view[1:], free[-1] * (1.0 - share[-1]))
    joined = in_view * (1.0 - seen.event - seen.other) - after  # lost on the day, or at its end
    power = np.array(deltas, dtype=float)[:, None]
    remaining = 1.0 - lost.other
    kept = remaining * (1.0 - _ratio(lost.event, remaining)) ** power
    product = np.maximum(np.cumprod(kept, axis=1), LEAST_KEPT)
    stock = product * np.cumsum(joined / product, axis=1)  # of the lost, at the end of each day
    before = np.column_stack([np.full(len(power), free[0] * share[0]), stock[:, :-1]])
    return np.asarray((in_view * seen.event).sum() + (before * (remaining - kept)).sum(1))


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Daily hazards of the event and of all others, with the weight at risk (days,)."""

    at_risk: Array
    event: Array
    other: Array

    @classmethod
    def of(cls, course: Course, weight: Array, days: int) -> _Side:
        at_risk, events = at_risk_and_events(course, weight, days)
        return cls(at_risk, _ratio(events[0], at_risk), _ratio(events[1:].sum(0), at_risk))


def _ratio(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > ROUNDING))
