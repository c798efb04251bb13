"""The partial likelihood of few rows that all are at risk from the beginning: running totals.

Rows lie from the last to leave to the first, so those at risk at a time are the rows up to one
position, and every sum over a risk set is read off a running total. With l = 0 … d-1 the events
tied at one time, R the rows at risk there and c = l/d (0 for Breslow), element l has

    S0 = Σ_{i in R} r_i - c Σ_{i tied} r_i,     r_i = w_i exp(eta_i)

and S1 likewise of r x. With w̄ the mean weight of the tied events, a = w̄ / S0, m = S1 / S0, and
v_i = r_i (Σ a of the elements at which i is at risk, less Σ ca of its own time if it is tied),

    score = Xᵀ(wδ - v)        information = Xᵀ diag(v) X - Σ w̄ m mᵀ

Source: Cox 1972; Efron 1977; Therneau & Grambsch 2000, ch. 3.
Checked: the same numbers as `cox_likelihood`; appendix E.1 on paper; brute force; R survival.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from recovery_stats.engines.cox_dense import Evaluation, Few, Rows, standardise
from recovery_stats.engines.risk_set import Array, Ints, merge_close

MOST_CELLS = 1 << 16  # rows times columns: half a megabyte, which stays in the second cache


@dataclass(frozen=True, slots=True, eq=False)
class Tied:
    """The later elements (L,) of tied events, those with c > 0, and at, the time of each (0 … T-1).

    rows (k,): of the tied events. share (k, L): c of the element where the event is tied with it.
    """

    rows: Ints
    at: Ints
    share: Array


@dataclass(frozen=True, slots=True, eq=False)
class Ordered(Few):
    """Rows (m,) from the last to leave to the first event.

    upto (E,): the last row at risk at each element, the first of each of the T times before all
    that are tied with one. joins (m,): the first time at which a row is at risk. tied: None
    where no ties count.
    """

    upto: Ints
    joins: Ints
    tied: Tied | None


def suits(rows: Rows) -> bool:
    """Say whether all are at risk from the beginning, in one stratum, and few enough."""
    return rows.start is None and rows.strata is None and rows.X.size + len(rows.X) <= MOST_CELLS


def prepare(rows: Rows, ties: Literal["efron", "breslow"]) -> Ordered | None:
    """Order the rows and find the risk set of each event; at least one event.

    None where so many events are tied that the sums of other methods are shorter.
    """
    (stop,) = merge_close(rows.stop)
    ascending = np.argsort(stop)
    order = ascending[::-1]
    died = rows.event[order].nonzero()[0]
    when = stop[order[died]]
    upto = len(stop) - 1 - np.searchsorted(stop[ascending], when)
    order = order[: upto[-1] + 1]
    weight, offset = (None if v is None else v[order] for v in (rows.weights, rows.offset))
    own = np.ones(len(died)) if weight is None else weight[died]
    tied, mean_weight, last = None, own, upto
    begins = np.ones(len(died), dtype=bool)
    np.not_equal(when[1:], when[:-1], out=begins[1:])
    if ties == "efron" and not begins.all():
        first, late = begins.nonzero()[0], (~begins).nonzero()[0]
        run = np.add.accumulate(begins, dtype=np.int64) - 1
        size = np.bincount(run)
        several = size[run] > 1
        if np.count_nonzero(several) * len(late) > MOST_CELLS:
            return None
        at = run[late]
        share = (run[several][:, None] == at) * ((late - first[at]) / size[at])
        tied = Tied(died[several], at, share)
        elements = np.concatenate((first, late))
        if weight is not None:
            mean_weight = (np.add.reduceat(own, first) / size)[run[elements]]
        upto, last = upto[elements], upto[first]
    scale, design = standardise(np.asarray(rows.X.T, dtype=float).take(order, axis=1))
    return Ordered(
        design=design,
        weight=weight,
        offset=offset,
        upto=upto,
        joins=np.searchsorted(last, np.arange(len(order))),
        tied=tied,
        observed=design[1:].take(died, axis=1) @ own,
        observed_offset=0.0 if offset is None else float(own @ offset[died]),
        mean_weight=mean_weight,
        total_weight=float(own.sum()),
        scale=scale,
    )


def evaluate(problem: Ordered, beta: Array) -> Evaluation | None:
    """Log-likelihood, score and information at beta (scaled); None where not finite."""
    design, tied = problem.design, problem.tied
    r, shift = problem.relative(beta)
    rows = design * r
    S = np.add.accumulate(rows, axis=1).take(problem.upto, axis=1)
    if tied is not None:
        S[:, -len(tied.at) :] -= rows.take(tied.rows, axis=1) @ tied.share
    S0, S1 = S[0], S[1:]
    a = problem.mean_weight / S0
    loglik = problem.loglik(beta, shift, S0)
    if not isfinite(loglik):  # a sum of 0 or of infinity
        return None
    if tied is None:
        v = np.add.accumulate(a[::-1])[::-1].take(problem.joins)
    else:
        first, late = a[: -len(tied.at)], a[-len(tied.at) :]
        at_once = first + np.bincount(tied.at, late, len(first))
        v = np.add.accumulate(at_once[::-1])[::-1].take(problem.joins)
        v[tied.rows] -= tied.share @ late
    rows *= v
    whole = rows @ design.T
    between = (S1 * (a / S0)) @ S1.T
    return Evaluation(loglik, problem.observed - whole[1:, 0], whole[1:, 1:] - between)
