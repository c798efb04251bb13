"""Gray's test: do groups share the cumulative incidence of one cause?

At each event time, with Y at risk, S and F the group's survival and incidence of the cause just
before, h = Y/S counts the people at risk had no one met another cause, and R = h (1 - F) those
who can still have this one. The score of group i sums W (d_i - d R_i/R), d the events of the
cause and W = (1 - F0)^rho, F0 the incidence under the null hypothesis (steps d/h). Its variance
follows each event through the curves: in group k an event of the cause at s moves score i by
a_ik(s) + (1 - (1 - F0)/S_k) c_ik(s), one of another cause by -(1 - F0)/S_k c_ik(s), both per
unit of h, where a_ik = W h_k (1{i=k} - h_i/h) and c_ik(s) sums a_ik dF0/(1 - F0) after s.

Source: Gray 1988. Checked: one cause alone has the scores of the log-rank test; the order of the
groups is of no account; cmprsk 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from recovery_stats.engines.curves import LifeTable, chi_squared
from recovery_stats.engines.incidence_error import thinning
from recovery_stats.engines.risk_set import Array
from recovery_stats.errors import NotEstimable


@dataclass(frozen=True, slots=True, eq=False)
class Gray:
    """Scores (G,) with their covariance, and the test that they are 0."""

    score: Array
    variance: Array
    statistic: float
    df: int
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """At risk Y, events of the cause `d` and of others `e`: (G, K) at the K event times."""

    Y: Array
    d: Array
    e: Array

    @classmethod
    def of(cls, tables: Sequence[LifeTable], cause: int) -> _Counts:
        time = np.unique(np.concatenate([t.time[t.n_event > 0] for t in tables]))
        Y, d, e = (np.zeros((len(tables), len(time))) for _ in range(3))
        for g, table in enumerate(tables):
            Y[g] = np.append(table.n_risk, 0.0)[np.searchsorted(table.time, time)]
            here = table.n_event > 0
            at = np.searchsorted(time, table.time[here])
            d[g, at] = table.events[cause - 1, here]
            e[g, at] = table.n_event[here] - d[g, at]
        return cls(Y, d, e)


def gray(strata: Sequence[Sequence[LifeTable]], cause: int, *, rho: float = 0.0) -> Gray:
    """Compare the incidence of `cause` (from 1) among G >= 2 groups, within strata.

    strata: for each, the tables of its G groups, counted by `tabulate` (empty ones too). Scores
    and variances are summed over strata. Raises NotEstimable with one group, with late entries
    or weights, or where no event of the cause happened while two groups were at risk.
    """
    tables = [t for stratum in strata for t in stratum]
    if any(len(stratum) < 2 for stratum in strata):
        raise NotEstimable("Gray's test compares at least two groups; there is one.")
    if any(t.entry.any() or np.any(t.weight != 1) for t in tables):
        raise NotEstimable("Gray's test is for people observed from the start, without weights.")
    parts = [_score_and_variance(_Counts.of(stratum, cause), rho) for stratum in strata]
    score, variance = (np.sum([p[i] for p in parts], axis=0) for i in (0, 1))
    statistic, df = chi_squared(score, variance)
    return Gray(score, variance, statistic, df, float(chi2.sf(statistic, df)))


def _score_and_variance(counts: _Counts, rho: float) -> tuple[Array, Array]:
    Y, d, e = counts.Y, counts.d, counts.e
    G = len(Y)
    there = Y > 0
    survival = np.cumprod(1 - _ratio(d + e, Y), axis=1)
    before = np.column_stack([np.ones(G), survival[:, :-1]])
    incidence = np.cumsum(before * _ratio(d, Y), axis=1) - before * _ratio(d, Y)
    h = np.where(there, _ratio(Y, before), 0.0)
    R, events = h * (1 - incidence), d.sum(axis=0)
    step = _ratio(events, h.sum(axis=0))
    common = np.cumsum(step)
    weight = (1 - (common - step)) ** rho
    score = (weight * (d - events * _ratio(R, R.sum(axis=0)))).sum(axis=1)
    expected = thinning(events, before * h.sum(axis=0)) * _ratio(step, h)
    others = thinning(e, Y) * e * _ratio(before, Y) ** 2
    variance = np.zeros((G, G))
    for k in range(G):
        a = weight * h[k] * ((np.arange(G) == k)[:, None] - _ratio(h, h.sum(axis=0)))
        c = _after(a * _ratio(step, 1 - (common - step)))
        odds = _ratio(1 - common, survival[k])
        own, other = a + (1 - odds) * c, odds * c
        variance += (own * expected[k]) @ own.T + (other * others[k]) @ other.T
    return score, variance


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0: nobody is there."""
    return np.asarray(
        np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0)
    )


def _after(values: Array) -> Array:
    """Sum of `values` (…, K) at later times."""
    return np.asarray(np.cumsum(values[..., ::-1], axis=-1)[..., ::-1] - values)
