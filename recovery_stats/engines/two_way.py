"""The two-way fixed-effects estimate of a treatment, and what it really averages.

One coefficient for "treated now", with an effect for every unit and every period. It is a
weighted sum of the effects in the treated cells, and weights can be negative: units treated
earlier serve as comparison for later ones, so that a growing effect is subtracted.
Source: de Chaisemartin & D'Haultfoeuille 2020, Am Econ Rev 110:2964, theorem 1.
Checked: R lm with dummies' closed form by dense least squares; weights that reproduce the
coefficient on effects without noise (tests/engines/test_staggered.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.change_effect import Array, Flags
from recovery_stats.engines.staggered import Ints, Panel, covariance
from recovery_stats.errors import ConvergenceError, NotEstimable

SWEEPS = 10_000
SETTLED = 1e-12


@dataclass(frozen=True, slots=True)
class TwoWay:
    """The coefficient and its error by cluster; weights (m,) of the treated cells, summing to 1.

    group, period (m,): numbers of periods.
    """

    value: float
    se: float
    group: Ints
    period: Ints
    weight: Array

    @property
    def negative(self) -> float:
        """Sum of the negative weights."""
        return float(self.weight[self.weight < 0].sum())

    @property
    def negative_cells(self) -> int:
        return int((self.weight < 0).sum())


def two_way(panel: Panel, cluster: Ints) -> TwoWay:
    """Regress y on treatment with an effect of each unit and period, on every measured cell.

    Covariates take no part. Raises NotEstimable where treatment is a sum of the two effects.
    """
    seen = np.isfinite(panel.y)
    period = np.arange(len(panel.time))
    D = (period[None, :] >= panel.start[:, None]).astype(float)
    weight = np.where(seen, panel.w[:, None], 0.0)
    rest = _within(D, weight)
    total = float((weight * rest * D).sum())
    if total <= 1e-10 * max(float((weight * D).sum()), 1e-300):
        raise NotEstimable("Treatment is explained by units and periods: no two-way estimate.")
    y = np.where(seen, panel.y, 0.0)
    value = float((weight * rest * y).sum() / total)
    residual = _within(y - value * D, weight)
    influence = (weight * rest * residual).sum(axis=1, keepdims=True) / total
    se = float(np.sqrt(covariance(influence, cluster)[0, 0]))
    return TwoWay(value, se, *_weights(panel, weight * rest * D / total))


def _weights(panel: Panel, share: Array) -> tuple[Ints, Ints, Array]:
    """Weights of the cells (group, period) that are treated."""
    cells = [(g, t) for g in panel.groups.tolist() for t in range(g, len(panel.time))]
    weight = np.array([share[panel.start == g, t].sum() for g, t in cells])
    group, period = np.array(cells, dtype=np.intp).T
    return group, period, weight


def _within(values: Array, weight: Array) -> Array:
    """What units' and periods' effects leave of values (n, T), by weighted sweeps of means."""
    rest = np.where(weight > 0, values, 0.0)
    scale = max(float(np.abs(rest).max()), 1e-300)
    for _ in range(SWEEPS):
        before = rest
        for axis in (1, 0):
            rest = _off(rest, weight, axis)
        if np.abs(rest - before).max() <= SETTLED * scale:
            return rest
    raise ConvergenceError(f"Effects of units and periods did not settle in {SWEEPS} sweeps.")


def _off(rest: Array, weight: Array, axis: int) -> Array:
    total = weight.sum(axis=axis, keepdims=True)
    mean = (weight * rest).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    inside: Flags = weight > 0
    return np.where(inside, rest - mean, 0.0)
