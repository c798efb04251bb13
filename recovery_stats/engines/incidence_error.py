"""The martingale error of cumulative incidence, beside the infinitesimal jackknife of curves.py.

An event at s moves F(t) by its own step and by what it takes from survival afterwards: with S
just before s and S' just after, per event, among n at risk,

    own cause    S/n (1 - (F(t) - F(s)) / S')
    another      -S/n (F(t) - F(s)) / S'

and d tied events among n vary as d (1 - (d - 1)/(n - 1)). The variance sums the squares.

Source: Aalen 1978; Gray 1988. Checked: one cause without ties on paper, S(t)² Σ 1/(n-1)²;
cmprsk 2.2.
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.curves import LifeTable
from recovery_stats.engines.risk_set import Array


def martingale_variance(table: LifeTable) -> Array:
    """Variance (J, T) of the cumulative incidence of each cause, without weights."""
    n, total = table.n_risk, table.n_event
    after: Array = np.cumprod(1 - _share(total, n), dtype=float)
    step = np.concatenate(([1.0], after[:-1])) * _share(np.ones(len(n)), n)
    F = np.cumsum(step * table.events, axis=1)
    fall = _share(np.ones(len(n)), after)
    rows = []
    for f, own in zip(F, table.events, strict=True):
        # Once nobody is left (S' = 0) F stands still, and only the event's own step counts.
        a, b = step**2 * own * thinning(own, n), step**2 * (total - own)
        b = b * thinning(total - own, n)
        rows.append(_squares(f, a, 1 + f * fall, fall) + _squares(f, b, f * fall, fall))
    return np.array(rows)


def _squares(F: Array, weight: Array, constant: Array, slope: Array) -> Array:
    """Σ_{s <= t} weight(s) (constant(s) - F(t) slope(s))²."""
    square, cross, own = (np.cumsum(weight * x) for x in (constant**2, constant * slope, slope**2))
    return np.asarray(square - 2 * F * cross + F**2 * own)


def thinning(d: Array, n: Array) -> Array:
    """The factor that d tied events among n leave of the binomial variance."""
    return np.where((d > 1) & (n > 1), 1 - (d - 1) / np.maximum(n - 1, 1e-300), 1.0)


def _share(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0 but for rounding."""
    return np.asarray(np.divide(a, b, out=np.zeros(len(b)), where=b > 1e-12))
