"""Survival if those lost to follow-up had another hazard than those in view.

In view, V, and lost but free of the event, L, are shares of everyone. At each time an event takes
the share h = d/n of V and 1 - (1 - h)^delta of L; of those then in view the share l/(n - d) is
lost, which moves them from V to L; planned ends of observation come last. Free of the event:
V + L. With delta 1 that is the Kaplan–Meier curve; with delta infinite, the curve that counts each
loss as an event.

Source: the tipping-point analysis of Jackson et al. 2014, Stat Med 33:4681, in one curve.
Checked: both ends (tests/engines/test_lost.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array

Mask = NDArray[np.bool_]


def free_after_loss(
    time: Array, event: Mask, lost: Mask, weight: Array, deltas: Sequence[float], horizon: float
) -> Array:
    """Share free of the event at the horizon, (D,) for one column of weights or (R, D) for R rows.

    time (n,) > 0 since all came into view; event, lost (n,): how it ended (neither: as planned).
    weight (n,) or (R, n) >= 0. deltas: hazard after loss over that in view; inf: at once.
    """
    W = np.atleast_2d(weight)
    at, place = np.unique(time, return_inverse=True)
    ends = [_sums(W, place, kind, len(at)) for kind in (event, lost)]
    leaving = _sums(W, place, np.ones_like(event), len(at))
    at_risk = leaving[:, ::-1].cumsum(1)[:, ::-1]
    power = np.array(deltas, dtype=float)
    V, L = np.ones((len(W), 1)), np.zeros((len(W), len(power)))
    for j in np.flatnonzero(at <= horizon):
        d, gone, n = (x[:, j : j + 1] for x in (*ends, at_risk))
        h = _share(d, n)
        V, L = V * (1.0 - h), L * _kept(h, power)
        moved = V * _share(gone, n - d)
        V, L = V - moved, L + np.where(np.isinf(power), 0.0, moved)
    free = V + L
    return np.asarray(free[0] if np.ndim(weight) == 1 else free)


def _sums(W: Array, place: NDArray[np.intp], kind: Mask, size: int) -> Array:
    found = np.zeros((size, len(W)))
    np.add.at(found, place[kind], W[:, kind].T)
    return found.T


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def _kept(h: Array, power: Array) -> Array:
    """(1 - h)^delta; what is lost at once is never kept, so inf does not matter."""
    finite = np.where(np.isinf(power), 1.0, power)
    return np.asarray((1.0 - h) ** finite)
