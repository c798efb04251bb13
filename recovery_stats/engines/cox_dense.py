"""The partial likelihood of few rows: every event beside every row, in one matrix.

With l = 0 … d-1 the events tied at one time, and R the rows at risk there, element (k, l) sums

    S0 = Σ_{i in R} r_i - (l/d) Σ_{i tied} r_i,     r_i = w_i exp(eta_i)

(Efron; Breslow has 0 for l/d). The matrix M holds 1 for a row at risk, 1 - l/d for a tied one;
S0 = M r and S1 = M (r x) are then products, and no sum is found by subtraction. With w̄ the mean
weight of the tied events, a = w̄ / S0, v = r (Mᵀ a) and m = S1 / S0,

    score = Xᵀ(wδ - v)        information = Xᵀ diag(v) X - Σ w̄ m mᵀ

Source: Cox 1972; Efron 1977; Therneau & Grambsch 2000, ch. 3.
Checked: the same numbers as `cox_likelihood`; appendix E.1 on paper; brute force; R survival.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.risk_set import Array, Ints, merge_close

MOST_CELLS = 1 << 16  # events times rows: half a megabyte, where sorting would take longer
FAR = 500.0  # log hazards: exp overflows at 709
FLAT = 1e-13  # a column's spread beside its size: less is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Few:
    """What an evaluation of few rows needs, however they are laid out.

    design (p + 1, n): ones above the covariates, centred and scaled. weight (n,), None for ones;
    offset (n,) or None. observed (p,), observed_offset: the events' weighted sums. mean_weight
    (E,): w̄ of each element, which add up to total_weight. scale (p,).
    """

    design: Array
    weight: Array | None
    offset: Array | None
    observed: Array
    observed_offset: float
    mean_weight: Array
    total_weight: float
    scale: Array

    def relative(self, beta: Array) -> tuple[Array, float]:
        """r (n,) at beta (scaled) over exp(shift), and shift."""
        eta = beta @ self.design[1:]
        if self.offset is not None:
            eta += self.offset
        # Beyond what exp can hold, hazards are relative to the highest.
        shift = 0.0 if eta.dot(eta) < FAR**2 else float(eta.max())
        r = np.exp(eta - shift, out=eta)
        if self.weight is not None:
            r *= self.weight
        return r, shift

    def loglik(self, beta: Array, shift: float, S0: Array) -> float:
        """Log partial likelihood, from S0 (E,) over exp(shift)."""
        reached = float(self.observed @ beta) + self.observed_offset
        return reached - shift * self.total_weight - float(self.mean_weight @ np.log(S0))


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Few):
    """Rows as given, with the matrix M (E, n) of the module."""

    M: Array


class Evaluation(NamedTuple):
    """Log partial likelihood with score (p,) and information (p, p), in scaled covariates."""

    loglik: float
    score: Array
    information: Array


def suits(n: int, n_events: int) -> bool:
    """Say whether the matrix of every event beside every row is small enough."""
    return 0 < n * n_events <= MOST_CELLS


class Rows(NamedTuple):
    """The arguments of `cox.fit`, as given."""

    X: Array
    stop: Array
    event: NDArray[Any]
    start: Array | None
    strata: Ints | None
    weights: Array | None
    offset: Array | None


def prepare(rows: Rows, ties: Literal["efron", "breslow"]) -> Dense:
    """Lay every event beside every row; at least one event."""
    X, stop, event, start, strata, weights, offset = rows
    if start is None:
        (stop,) = merge_close(stop)
    else:
        stop, start = merge_close(stop, start)
    died = np.flatnonzero(event)
    by_time = np.argsort(stop[died]) if strata is None else np.lexsort((stop[died], strata[died]))
    died = died[by_time]
    when = stop[died]
    at_risk = stop >= when[:, None]
    if start is not None:
        at_risk &= start < when[:, None]
    if strata is not None:
        at_risk &= strata == strata[died, None]
    ever = np.asarray(at_risk.any(axis=0))
    M = at_risk.astype(float)
    own = np.ones(len(died)) if weights is None else weights[died]
    apart = when[1:] != when[:-1]
    if strata is not None:
        apart |= np.diff(strata[died]) != 0
    mean_weight = own if apart.all() else _share_ties(M, died, apart, own, efron=ties == "efron")
    scale, design = standardise(np.ascontiguousarray(X.T, dtype=float), ever)
    return Dense(
        M=M,
        design=design,
        weight=weights,
        offset=offset,
        observed=design[1:, died] @ own,
        observed_offset=0.0 if offset is None else float(own @ offset[died]),
        mean_weight=mean_weight,
        total_weight=float(mean_weight.sum()),
        scale=scale,
    )


def _share_ties(
    M: Array, died: Ints, apart: NDArray[np.bool_], weight: Array, *, efron: bool
) -> Array:
    """Take l/d of the tied events out of each element (in place); returns their mean weight.

    died (E,): the events' rows, those tied next to each other; apart (E - 1,): where the next
    event is not tied with the one before.
    """
    begins = np.concatenate(([0], np.flatnonzero(apart) + 1))
    size = np.diff(np.append(begins, len(died)))
    if efron:
        each = np.repeat(size, size)  # d of each element, which meets d events
        element = np.repeat(np.arange(len(died)), each)
        begin = np.repeat(np.repeat(begins, size), each)
        met = begin + np.arange(len(element)) - np.repeat(np.cumsum(each) - each, each)
        M[element, died[met]] -= (element - begin) / each[element]
    return np.asarray(np.repeat(np.add.reduceat(weight, begins) / size, size))


def standardise(columns: Array, ever: NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
    """Scale (p,) of columns (p, n), and the design; a constant one keeps scale 1 and becomes 0.

    ever (n,): who is in any risk set, and so in the mean; None for all.
    """
    design = np.empty((len(columns) + 1, columns.shape[1]))
    design[0] = 1
    inner = design[1:]
    among = columns if ever is None or ever.all() else columns[:, ever]
    m = among.shape[1]
    centre = among @ np.full(m, 1 / m)
    np.subtract(columns, centre[:, None], out=inner)
    apart = inner if among is columns else inner[:, ever]
    spread = np.sqrt(np.add.reduce(np.square(apart), axis=1) / m)
    varies = spread > FLAT * np.abs(centre)
    scale = np.where(varies, spread, 1.0)
    inner *= (varies / scale)[:, None]
    return scale, design


def evaluate(problem: Dense, beta: Array) -> Evaluation | None:
    """Log-likelihood, score and information at beta (scaled); None where not finite."""
    design = problem.design
    r, shift = problem.relative(beta)
    sums = (design * r) @ problem.M.T
    S0, S1 = sums[0], sums[1:]
    a = problem.mean_weight / S0
    loglik = problem.loglik(beta, shift, S0)
    if not isfinite(loglik):  # a sum of 0 or of infinity
        return None
    whole = design * (r * (a @ problem.M)) @ design.T
    between = (S1 * (a / S0)) @ S1.T
    return Evaluation(loglik, problem.observed - whole[1:, 0], whole[1:, 1:] - between)
