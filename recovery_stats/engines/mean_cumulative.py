"""Mean number of recurrent events by each time, with and without an event that ends them.

Without a terminal event the mean is Σ dN/Y; with one (death) each step is multiplied by the
chance S of being alive still, Kaplan-Meier of the terminal event just before. Its variance sums
squared influences of people: what an infinitesimal change of a person's weight does,

    dpsi_i = S (dN_i - R_i dN/Y)/Y + l_i dmu,   dl_i = -(dD_i - R_i dD/Y)/(Y - D)

R_i = 1 while at risk. Between a person's comings and goings psi = a + b mu(t) + R G(t), G common
to all, so that the sum of squares is a quadratic form in six running totals.

Source: Lawless & Nadeau 1995; Cook & Lawless 1997; Ghosh & Lin 2000.
Checked: derivatives in the weight of a person; survival's survfit with id; on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from recovery_stats.engines.curves import LifeTable, chi_squared, tabulate
from recovery_stats.engines.risk_set import Array, Ints
from recovery_stats.errors import NotEstimable

EVENT, TERMINAL = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class MeanCumulative:
    """Mean (T,) number of events at the T times of the table, and its standard error.

    person (m,): whose each row of the table is, whole numbers from 0, rows of one in order of
    time. survival (T,): Kaplan-Meier of the terminal event just before. step, path (T,):
    increments of mu and of G. alive (T,): running Σ D/(Y(Y-D)).
    """

    table: LifeTable
    person: Ints
    survival: Array
    step: Array
    path: Array
    alive: Array
    std_error: Array

    @property
    def estimate(self) -> Array:
        """Mean number of events (T,)."""
        return np.cumsum(self.step)


def mean_cumulative(
    start: Array, stop: Array, cause: Ints, person: Ints, weights: Array | None = None
) -> MeanCumulative:
    """Count (start, stop] rows (n,) of recurrent events.

    cause (n,): 0 nothing, 1 the event, 2 the terminal event. person (n,): whole numbers.
    """
    order = np.lexsort((start, person))
    who = np.unique(person[order], return_inverse=True)[1].reshape(-1)
    w = None if weights is None else weights[order]
    table = tabulate(stop[order], cause[order], start=start[order], weights=w, causes=2)
    Y, (N, D) = table.n_risk, table.events
    inverse = np.divide(1, Y, out=np.zeros(len(Y)), where=Y > 0)
    survival = np.concatenate(([1.0], np.cumprod(1 - D * inverse, dtype=float)[:-1]))
    step = survival * N * inverse
    alive: Array = np.cumsum(D * inverse / _left(table), dtype=float)
    path = step * (np.concatenate(([0.0], alive[:-1])) - inverse)
    curve = MeanCumulative(table, who, survival, step, path, alive, np.zeros(0))
    return replace(curve, std_error=np.sqrt(_variance(curve)))


def _left(table: LifeTable) -> Array:
    """Y - D; infinite when nobody is left, so that nothing goes on."""
    Y, D = table.n_risk, table.events[1]
    return np.where(Y - D > 1e-9 * Y, Y - D, np.inf)


def influence(curve: MeanCumulative, K: Array) -> Array:
    """∫ K dpsi of each person (n_people,), times the weight. K (T,).

    K = 1 up to t gives each person's influence on the mean at t.
    """
    rows = _rows(curve, K)
    return np.asarray(np.bincount(curve.person, rows.inside + rows.outside))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """What each row (m,) does to its person, times the weight.

    before, after: l before and after it. slope: of mu while at risk. inside, outside: ∫ K dpsi
    over its own time, and from then to the person's next row or the end.
    """

    before: Array
    after: Array
    slope: Array
    inside: Array
    outside: Array


def _rows(curve: MeanCumulative, K: Array) -> _Rows:
    t = curve.table
    w, upto = t.weight, t.exit + 1
    mu, G, c = (
        np.concatenate(([0.0], x))
        for x in (np.cumsum(K * curve.step), np.cumsum(K * curve.path), curve.alive)
    )
    gain = w * (c[upto] - c[t.entry] - (t.cause == TERMINAL) / _left(t)[t.exit])
    before = _within(curve.person, gain)
    slope = before - w * c[t.entry]
    jump = (t.cause == EVENT) * (K * curve.survival / np.maximum(t.n_risk, 1e-300))[t.exit]
    inside = w * (G[upto] - G[t.entry] + jump) + slope * (mu[upto] - mu[t.entry])
    last = np.append(curve.person[1:] != curve.person[:-1], True)
    until = np.where(last, len(K), np.append(t.entry[1:], 0))
    after = before + gain
    return _Rows(before, after, slope, inside, after * (mu[until] - mu[upto]))


def _within(person: Ints, values: Array) -> Array:
    """Sum of a person's values (m,) over the rows before each."""
    total = np.cumsum(values) - values
    place = np.where(_first(person), np.arange(len(total)), 0)
    return np.asarray(total - total[np.maximum.accumulate(place)])


def _first(person: Ints) -> NDArray[np.bool_]:
    """Where a person's rows begin."""
    return np.append(True, person[1:] != person[:-1])


def _variance(curve: MeanCumulative) -> Array:
    """Σ psi(t)² from running totals of the products of a, b and R, each at most once a row."""
    t, w = curve.table, curve.table.weight
    rows = _rows(curve, np.ones(len(t.time)))
    mu, G = (np.concatenate(([0.0], np.cumsum(x))) for x in (curve.step, curve.path))
    psi = _within(curve.person, rows.inside + rows.outside)
    a_in = psi - rows.slope * mu[t.entry] - w * G[t.entry]
    a_out = psi + rows.inside - rows.after * mu[t.exit + 1]
    first = _first(curve.person)
    a_old, b_old = (np.where(first, 0.0, np.append(0.0, x[:-1])) for x in (a_out, rows.after))
    none = np.zeros(len(w))
    old, here, left = (a_old, b_old, none), (a_in, rows.slope, w), (a_out, rows.after, none)
    at = (np.ones(len(t.time)), mu[1:], G[1:])
    value = np.zeros(len(t.time))
    for i in range(3):
        for j in range(3):
            total = _total(
                t, here[i] * here[j] - old[i] * old[j], left[i] * left[j] - here[i] * here[j]
            )
            value += at[i] * at[j] * total
    return np.asarray(np.maximum(value, 0.0))


def _total(table: LifeTable, come: Array, gone: Array) -> Array:
    """Running total (T,) of what rows bring from their first time at risk, and from their last."""
    T = len(table.time)
    bins = np.bincount(np.minimum(table.entry, T), come, T + 1)[:T]
    return np.asarray(np.cumsum(bins + np.bincount(table.exit, gone, T)))


# --- comparing groups --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class PseudoScore:
    """Scores (G,), their covariance, and the test that the groups share a mean."""

    score: Array
    variance: Array
    statistic: float
    df: int
    p: float


def compare(curves: Sequence[MeanCumulative]) -> PseudoScore:
    """Score of group g: ∫ Y_g (dmu_g - dmu), dmu the mean of the groups' steps weighted by Y.

    Without a terminal event the score is the log-rank one of all events; the variance is robust,
    each group's people about its own mean. Raises NotEstimable with one group.
    Source: Lawless & Nadeau 1995; Cook, Lawless & Nadeau 1996; with death Ghosh & Lin 2000.
    """
    if len(curves) < 2:
        raise NotEstimable("The test compares at least two groups; there is one.")
    G = len(curves)
    time = np.unique(np.concatenate([c.table.time[c.step > 0] for c in curves]))
    Y = np.stack(
        [np.append(c.table.n_risk, 0)[np.searchsorted(c.table.time, time)] for c in curves]
    )
    score, variance = np.zeros(G), np.zeros((G, G))
    for h, curve in enumerate(curves):
        at = np.searchsorted(time, curve.table.time)
        known = (at < len(time)) & (np.append(time, np.nan)[at] == curve.table.time)
        # how the steps of group h enter the score of each group
        K = (np.arange(G) == h)[:, None] * Y - Y * Y[h] / Y.sum(axis=0)
        K = np.where(known, K[:, np.minimum(at, len(time) - 1)], 0.0)
        score += K @ curve.step
        psi = np.stack([influence(curve, k) for k in K])
        variance += psi @ psi.T
    statistic, df = chi_squared(score, variance)
    return PseudoScore(score, variance, statistic, df, float(chi2.sf(statistic, df)))
