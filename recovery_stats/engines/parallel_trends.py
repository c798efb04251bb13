"""What an event study says where trends were not parallel: bounds instead of a pre-trend test.

The estimate of each period is its effect plus a deviation of trends. Deviations after the start
are bounded by those seen before it: their change from period to period is at most a multiple of
the largest change before (relative magnitudes), or their slope changes by at most a given amount
(smoothness).
Source: Rambachan & Roth 2023, Rev Econ Stud 90:2555, sections 2.4, 3 and 4.1.
Checked: linear programmes for the bounds; closed forms; the honestdid package
(tests/engines/test_parallel_trends.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, minimize, minimize_scalar
from scipy.stats import ncx2, norm

from recovery_stats.engines.change_effect import Array
from recovery_stats.errors import ConvergenceError, NotEstimable


@dataclass(frozen=True, slots=True)
class EventStudy:
    """Estimates before and after a reference period, which is zero and left out.

    before (b,), after (a,): in order of time, without gaps. covariance (b + a, b + a).
    """

    before: Array
    after: Array
    covariance: Array

    @property
    def estimate(self) -> Array:
        return np.concatenate([self.before, self.after])


@dataclass(frozen=True, slots=True)
class Bound:
    """The effects that the data allow under `most`: the estimated set, and its interval.

    most: the multiple, or the change of slope. set_low, set_high: bounds without sampling
    error, nan where they are not of interest; low, high: with it.
    """

    most: float
    set_low: float
    set_high: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def relative_bound(study: EventStudy, target: Array, most: float, level: float) -> Bound:
    """Bounds on target @ (effects after), target (a,), by relative magnitudes.

    From each period to the next, trends deviate by at most `most` times the largest such
    deviation before the start. The upper bound is the largest of 2 b linear functions of the
    estimates, one for each change before and its sign, and the interval is the union of theirs:
    it covers at `level` or above, whichever change is the largest (Berger 1982).
    """
    if not len(study.before):
        raise NotEstimable("Relative magnitudes need a period before the reference period.")
    reach = most * float(np.abs(np.cumsum(target[::-1])).sum())
    own = np.concatenate([np.zeros(len(study.before)), target])
    rows = np.stack([own + sign * reach * change
                     for change in _changes_before(study) for sign in (-1.0, 1.0)])  # fmt: skip
    value = rows @ study.estimate
    se = np.sqrt(np.einsum("ij,jk,ik->i", rows, study.covariance, rows))
    half = float(norm.isf(0.5 * (1.0 - level))) * se
    low, high = float(value.min()), float(value.max())
    return Bound(most, low, high, float((value - half).min()), float((value + half).max()))


def _changes_before(study: EventStudy) -> Iterator[Array]:
    """Rows that take the change from each period before the start to the next, the reference
    period (zero) being the last."""
    b, k = len(study.before), len(study.estimate)
    for s in range(b):
        row = np.zeros(k)
        row[s] = -1.0
        if s + 1 < b:
            row[s + 1] = 1.0
        yield row


# --- smoothness --------------------------------------------------------------------------------


def smooth_bound(study: EventStudy, target: Array, most: float, level: float) -> Bound:
    """Interval for target @ (effects after) where the slope of trends changes by `most` or less.

    The shortest interval around a linear combination of the estimates that covers at `level`
    whatever the deviation: half its length is the quantile of a normal off by the largest bias.
    `most` = 0 allows for any straight deviation. Raises NotEstimable with nothing before.
    """
    if not len(study.before):
        raise NotEstimable("A slope before the start needs a period before the reference period.")
    problem = _Smooth.of(study, target)
    weights = problem.shortest(most, level)
    sd, bias = problem.sd(weights), most * problem.bias(weights)
    middle = float(weights @ study.estimate)
    half = sd * _folded(bias / sd, level)
    return Bound(most, float("nan"), float("nan"), middle - half, middle + half)


def _folded(shift: float, level: float) -> float:
    """The quantile of |N(shift, 1)|."""
    if shift > 30.0:  # the other tail is zero; and the noncentral chi-squared loses digits
        return float(shift + norm.isf(1.0 - level))
    return (
        float(np.sqrt(ncx2.ppf(level, 1, shift**2)))
        if shift > 0
        else float(norm.isf(0.5 * (1.0 - level)))
    )


@dataclass(frozen=True, slots=True)
class _Smooth:
    """Weights before the start are free but for one sum, so that straight deviations cancel.

    A deviation is its slope times the time since the reference, plus second differences times
    `kinks` (k, m): one column for each place where the slope may change.
    """

    target: Array
    covariance: Array
    times: Array
    kinks: Array

    @classmethod
    def of(cls, study: EventStudy, target: Array) -> _Smooth:
        b, a = len(study.before), len(study.after)
        times = np.concatenate([np.arange(-b, 0), np.arange(1, a + 1)]).astype(float)
        places = np.arange(-b + 1, a)
        ahead = np.maximum(times[:, None] - places[None, :], 0.0)
        behind = np.maximum(places[None, :] - times[:, None], 0.0)
        # slope between the reference period and the next: a kink after it acts after, one
        # before or at it acts before
        kinks = np.where(places[None, :] > 0, ahead, behind)
        return cls(target, study.covariance, times, kinks)

    def sd(self, weights: Array) -> float:
        return float(np.sqrt(weights @ self.covariance @ weights))

    def bias(self, weights: Array) -> float:
        """Largest bias where the slope changes by 1 or less."""
        return float(np.abs(self.kinks.T @ weights).sum())

    def shortest(self, most: float, level: float) -> Array:
        """Weights (k,) of the shortest interval."""
        quiet = self._least_variance()
        if most == 0.0:
            return quiet
        sure = self._least_bias()
        low, high = sorted((self.sd(quiet), self.sd(sure)))
        if high - low <= 1e-9 * high:
            return quiet

        def length(limit: float) -> float:
            weights = self._least_bias_within(limit, quiet)
            sd = self.sd(weights)
            return sd * _folded(most * self.bias(weights) / sd, level)

        found = minimize_scalar(
            length, bounds=(low, high), method="bounded", options={"xatol": 1e-6 * high}
        )
        candidates = [quiet, sure, self._least_bias_within(float(found.x), quiet)]
        return min(candidates, key=lambda v: self.sd(v) * _folded(
            most * self.bias(v) / self.sd(v), level))  # fmt: skip

    @property
    def _b(self) -> int:
        return len(self.times) - len(self.target)

    def _least_variance(self) -> Array:
        """Minimise the variance with straight deviations cancelled: equality-bound quadratic."""
        b, V = self._b, self.covariance
        t = self.times
        rhs = -V[:b, b:] @ self.target
        system = np.block([[V[:b, :b], t[:b, None]], [t[None, :b], np.zeros((1, 1))]])
        found = np.linalg.solve(system, np.append(rhs, -(t[b:] @ self.target)))
        return np.concatenate([found[:b], self.target])

    def _least_bias(self) -> Array:
        """Minimise the largest bias: a linear programme in weights and absolute values."""
        b, m = self._b, self.kinks.shape[1]
        K, fixed = self.kinks[:b].T, self.kinks[b:].T @ self.target
        found = linprog(
            np.r_[np.zeros(b), np.ones(m)],
            A_ub=np.block([[K, -np.eye(m)], [-K, -np.eye(m)]]),
            b_ub=np.r_[-fixed, fixed],
            A_eq=np.r_[self.times[:b], np.zeros(m)][None],
            b_eq=[-(self.times[b:] @ self.target)],
            bounds=[(None, None)] * b + [(0, None)] * m,
        )
        if not found.success:
            raise ConvergenceError("The bias under smooth trends has no minimum.")
        return np.concatenate([found.x[:b], self.target])

    def _least_bias_within(self, limit: float, start: Array) -> Array:
        """Minimise the largest bias with a standard error of `limit` or less."""
        b, m = self._b, self.kinks.shape[1]
        K, fixed, V = self.kinks[:b].T, self.kinks[b:].T @ self.target, self.covariance

        def full(x: Array) -> Array:
            return np.concatenate([x[:b], self.target])

        scale = limit**2
        found = minimize(
            lambda x: x[b:].sum(),
            np.r_[start[:b], np.abs(self.kinks.T @ start)],
            jac=lambda x: np.r_[np.zeros(b), np.ones(m)],
            method="SLSQP",
            constraints=(
                {"type": "ineq", "fun": lambda x: np.r_[x[b:] - K @ x[:b] - fixed,
                                                        x[b:] + K @ x[:b] + fixed],
                 "jac": lambda x: np.block([[-K, np.eye(m)], [K, np.eye(m)]])},
                {"type": "eq", "fun": lambda x: np.array([self.times @ full(x)]),
                 "jac": lambda x: np.r_[self.times[:b], np.zeros(m)][None]},
                {"type": "ineq", "fun": lambda x: np.array([1.0 - full(x) @ V @ full(x) / scale]),
                 "jac": lambda x: np.r_[-2.0 * (V @ full(x))[:b] / scale, np.zeros(m)][None]},
            ),
            options={"maxiter": 500, "ftol": 1e-12},
        )  # fmt: skip
        return full(found.x)
