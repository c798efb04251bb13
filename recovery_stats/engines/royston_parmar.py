"""Flexible parametric survival: g(S(t)) = s(log t) + x'beta + x_k s_k(log t), any censoring.

g is log(-log S) (hazard: proportional hazards), log((1 - S)/S) (odds) or -Phi^-1(S) (normal); s is
a restricted cubic spline. With eta the right-hand side, S is that of an extreme value, logistic or
normal variable at eta, so that one degree of freedom is exactly Weibull, log-logistic, log-normal.

Newton's method from that simple model, on columns made orthogonal. An event where the curve would
rise has no likelihood, so that steps never go there.
Source: Royston & Parmar 2002; Royston & Lambert 2011.
Checked: the collapses; finite differences; recovery of truth
(tests/engines/test_royston_parmar.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import aft
from recovery_stats.engines.aft_law import ExtremeValue, Law, Logistic, Normal
from recovery_stats.engines.aft_likelihood import log_between
from recovery_stats.engines.censoring import Censored, Ints
from recovery_stats.engines.cox import ColumnsNotEstimable
from recovery_stats.engines.linear_scale import LinearScale, refuse_runaway, weighted_gram
from recovery_stats.engines.log_time_spline import LogTimeSpline
from recovery_stats.engines.newton import climb

Array = NDArray[np.float64]
Scale = Literal["hazard", "odds", "normal"]
SCALES: tuple[str, ...] = get_args(Scale)
LAWS: dict[str, Law] = {"hazard": ExtremeValue(), "odds": Logistic(), "normal": Normal()}
SIMPLE = {"hazard": "weibull", "odds": "log-logistic", "normal": "log-normal"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The linear predictor: intercept, spline of log time, X (., p), and columns of X times
    splines of their own. moving: for each, the column of X and its spline."""

    baseline: LogTimeSpline
    p: int
    moving: tuple[tuple[int, LogTimeSpline], ...] = ()

    @property
    def k(self) -> int:
        """How many coefficients there are."""
        return 1 + self.baseline.df + self.p + sum(s.df for _, s in self.moving)

    def columns(self, X: Array, log_t: Array) -> Array:
        """Columns of eta (n, k) for people X (n, p) at their own log times (n,)."""
        parts = [np.ones((len(X), 1)), self.baseline.columns(log_t), X]
        parts += [X[:, [j]] * s.columns(log_t) for j, s in self.moving]
        return np.hstack(parts)

    def slopes(self, X: Array, log_t: Array) -> Array:
        """Derivatives of the columns in log time (n, k)."""
        parts = [np.zeros((len(X), 1)), self.baseline.slopes(log_t), np.zeros_like(X)]
        parts += [X[:, [j]] * s.slopes(log_t) for j, s in self.moving]
        return np.hstack(parts)


@dataclass(frozen=True, eq=False)
class FlexibleFit:
    """theta (k,) in the order of `shape`, covariance (k, k), scores (n, k) by row, unweighted.

    least_slope: the least slope of eta in log time over everyone and the time seen; below 0 the
    curve rises somewhere between the events.
    """

    scale: str
    shape: Shape
    theta: Array
    covariance: Array
    loglik: float
    scores: Array
    least_slope: float
    steps: int

    @property
    def law(self) -> Law:
        return LAWS[self.scale]


@dataclass(frozen=True, slots=True)
class _At:
    value: float
    score: Array
    information: Array
    scores: Array | None = None


@dataclass(frozen=True)
class _Model:
    """Columns of every kind of row on the working scale; see Censored for the kinds.

    told: right-censored rows that say something, those censored after time 0.
    """

    law: Law
    rows: Censored
    told: Ints
    k: int
    exact: tuple[Array, Array, Array]
    right: tuple[Array, Array]
    left: tuple[Array, Array]
    low: tuple[Array, Array]
    high: tuple[Array, Array]
    late: tuple[Array, Array]

    def evaluate(self, theta: Array, *, by_row: bool = False) -> _At | None:
        tally = _Tally(len(self.rows), self.k, self.rows.w, by_row)
        D, slope, shift = self.exact
        u = slope @ theta
        if (u <= 0).any():
            return None
        value, d1, d2 = self.law.log_density(D @ theta + shift)
        at = self.rows.exact
        tally.add(at, value + np.log(u) - np.log(self.rows.low[at]), D, d1, d2)
        tally.add(at, np.zeros(len(u)), slope, 1 / u, -1 / u**2)
        for where, (Z, moved), kind, sign in (
            (self.told, self.right, "survival", 1.0),
            (self.rows.late, self.late, "survival", -1.0),
            (self.rows.left, self.left, "distribution", 1.0),
        ):
            if where.size:
                gain, e1, e2 = _tail(self.law, Z @ theta + moved, kind)
                tally.add(where, sign * gain, Z, sign * e1, sign * e2)
        if self.rows.between.size and not self._add_between(tally, theta):
            return None
        found = tally.total()
        return found if np.isfinite(found.value) else None

    def _add_between(self, tally: _Tally, theta: Array) -> bool:
        (A, a_shift), (B, b_shift) = self.low, self.high
        a, b = A @ theta + a_shift, B @ theta + b_shift
        if (b <= a).any():
            return False
        log_p = log_between(self.law, a, b)
        (fa, sa, _), (fb, sb, _) = self.law.log_density(a), self.law.log_density(b)
        ra, rb = np.exp(fa - log_p), np.exp(fb - log_p)
        at = self.rows.between
        tally.add(at, log_p, A, -ra, -ra * (sa + ra))
        tally.add(at, np.zeros(len(at)), B, rb, rb * (sb - rb))
        w = self.rows.w[at] * ra * rb
        cross = A.T @ (B * w[:, None])
        tally.information -= cross + cross.T
        return True


class _Tally:
    """Sums of the likelihood's parts: each is linear in theta through its own columns."""

    def __init__(self, n: int, k: int, w: Array, by_row: bool) -> None:
        self.w, self.value = w, 0.0
        self.score, self.information = np.zeros(k), np.zeros((k, k))
        self.scores = np.zeros((n, k)) if by_row else None

    def add(self, where: Ints, value: Array, Z: Array, d1: Array, d2: Array) -> None:
        """Rows `where` gain `value`, with derivatives d1, d2 along their columns Z."""
        w = self.w[where]
        self.value += float(w @ value)
        self.score += Z.T @ (w * d1)
        self.information -= weighted_gram(Z, w * d2)
        if self.scores is not None:
            self.scores[where] += Z * d1[:, None]

    def total(self) -> _At:
        return _At(self.value, self.score, self.information, self.scores)


def _tail(law: Law, eta: Array, kind: str) -> tuple[Array, Array, Array]:
    """log S or log F at eta with two derivatives."""
    mass = law.log_survival(eta) if kind == "survival" else law.log_distribution(eta)
    log_f, slope, _ = law.log_density(eta)
    with np.errstate(over="ignore"):
        r = np.exp(log_f - mass)
    if kind == "survival":
        return mass, -r, -r * (slope + r)
    return mass, r, r * (slope - r)


def knots(rows: Censored, df: int) -> LogTimeSpline:
    """A spline over the times of the events, the middle of their intervals where they have one."""
    event = np.isfinite(rows.high)
    return LogTimeSpline.over(np.log(rows.middle[event]), df)


def fit(
    X: Array, rows: Censored, shape: Shape, *, scale: str = "hazard", offset: Array | None = None
) -> FlexibleFit:
    """Maximise the likelihood. X (n, p) without an intercept; offset (n,) of eta.

    Raises NotEstimable, ColumnsNotEstimable (numbered as the columns of the shape, from 0),
    ConvergenceError.
    """
    shift = np.zeros(len(X)) if offset is None else offset
    scaled = LinearScale.of(shape.columns(X, np.log(rows.middle)))
    start = _start(X, rows, shape, scale)
    R = np.linalg.qr(scaled.Z).R / np.sqrt(len(X))
    A = scaled.A @ np.linalg.inv(R)
    model = _columns(X, rows, shape, scale, shift, A)
    top = climb(model.evaluate, np.asarray(np.linalg.solve(A, start), dtype=float))
    refuse_runaway(top.at.information, scaled, float(rows.w.sum()))
    theta = A @ top.theta
    covariance = A @ np.linalg.inv(top.at.information) @ A.T
    at = model.evaluate(top.theta, by_row=True)
    assert at is not None
    assert at.scores is not None
    scores = at.scores @ np.linalg.inv(A)
    least = _least_slope(X, rows, shape, theta)
    return FlexibleFit(
        scale, shape, theta, covariance, top.at.value, scores, least, top.steps
    )  # fmt: skip


def _start(X: Array, rows: Censored, shape: Shape, scale: str) -> Array:
    """The model that is linear in log time: z = (log t - x'b)/sigma read as eta."""
    columns = np.column_stack([np.ones(len(X)), X])
    try:
        simple = aft.fit(columns, rows, distribution=SIMPLE[scale])
    except ColumnsNotEstimable as error:
        moved = tuple(j + shape.baseline.df if j else 0 for j in error.columns)
        raise ColumnsNotEstimable(moved, error.reason) from None
    sigma = float(np.exp(simple.log_sigma[0]))
    theta = np.zeros(shape.k)
    theta[0], theta[1] = -simple.beta[0] / sigma, 1 / sigma
    first = 1 + shape.baseline.df
    theta[first : first + shape.p] = -simple.beta[1:] / sigma
    return theta


def _columns(X: Array, rows: Censored, shape: Shape, scale: str, shift: Array, A: Array) -> _Model:
    def at(where: Ints, times: Array) -> tuple[Array, Array]:
        return shape.columns(X[where], np.log(times)) @ A, shift[where]

    exact, between = rows.exact, rows.between
    D, moved = at(exact, rows.low[exact])
    slope = shape.slopes(X[exact], np.log(rows.low[exact])) @ A
    right = rows.right[rows.low[rows.right] > 0]
    entry = np.zeros(0) if rows.entry is None else rows.entry[rows.late]
    return _Model(
        LAWS[scale], rows, right, shape.k, (D, slope, moved),
        at(right, rows.low[right]), at(rows.left, rows.high[rows.left]),
        at(between, rows.low[between]), at(between, rows.high[between]), at(rows.late, entry),
    )  # fmt: skip


def _least_slope(X: Array, rows: Censored, shape: Shape, theta: Array) -> float:
    """The least slope of eta over the time seen, among everyone (or 500 of them)."""
    known = rows.middle[rows.middle > np.finfo(float).tiny]
    grid = np.linspace(np.log(known.min()), np.log(known.max()), 200)
    some = X[:: max(1, len(X) // 500)] if shape.moving else X[:1]
    pairs = np.repeat(some, len(grid), axis=0)
    return float((shape.slopes(pairs, np.tile(grid, len(some))) @ theta).min())


# --- curves ------------------------------------------------------------------------------------


def _paired(X: Array, times: Array) -> tuple[Array, Array]:
    """Everybody at every time above 0: X and log times, person by person."""
    with np.errstate(divide="ignore"):
        log_t = np.log(np.maximum(times, np.finfo(float).tiny))
    return np.repeat(X, len(times), axis=0), np.tile(log_t, len(X))


def survival(found: FlexibleFit, X: Array, offset: Array, times: Array) -> tuple[Array, Array]:
    """S (m, T) and its gradient (m, T, k)."""
    shape = (len(X), len(times))
    D = found.shape.columns(*_paired(X, times))
    eta = D @ found.theta + np.repeat(offset, len(times))
    with np.errstate(over="ignore", under="ignore"):
        S = np.exp(found.law.log_survival(eta))
        f = np.exp(found.law.log_density(eta)[0])
    J = -f[:, None] * D
    started = np.tile(times > 0, len(X))
    S, J = np.where(started, S, 1.0), np.where(started[:, None], J, 0.0)
    return S.reshape(shape), J.reshape(*shape, -1)


def log_hazard(found: FlexibleFit, X: Array, offset: Array, times: Array) -> tuple[Array, Array]:
    """log h (m, T) and its gradient (m, T, k); nan where the curve would rise."""
    shape = (len(X), len(times))
    pairs = _paired(X, times)
    D, slope = found.shape.columns(*pairs), found.shape.slopes(*pairs)
    eta, u = D @ found.theta + np.repeat(offset, len(times)), slope @ found.theta
    log_f, bend, _ = found.law.log_density(eta)
    log_ratio = log_f - found.law.log_survival(eta)
    u = np.where(u > 0, u, np.nan)
    value = log_ratio + np.log(u) - np.tile(np.log(times), len(X))
    J = (bend + np.exp(log_ratio))[:, None] * D + slope / u[:, None]
    return value.reshape(shape), J.reshape(*shape, -1)


def log_quantile(found: FlexibleFit, X: Array, offset: Array, p: Array) -> tuple[Array, Array]:
    """log t (m, P) at which shares p have had the event, by bisection, and its gradient."""
    m, P = len(X), len(p)
    people, shift = np.repeat(X, P, axis=0), np.repeat(offset, P)
    aim = np.tile(found.law.quantile(p), m)
    middle = float(np.mean(found.shape.baseline.knots))
    low, high = np.full(m * P, middle - 60.0), np.full(m * P, middle + 60.0)
    for _ in range(70):
        mid = (low + high) / 2
        early = found.shape.columns(people, mid) @ found.theta + shift < aim
        low, high = np.where(early, mid, low), np.where(early, high, mid)
    x = (low + high) / 2
    slope = found.shape.slopes(people, x) @ found.theta
    J = -found.shape.columns(people, x) / slope[:, None]
    return x.reshape(m, P), J.reshape(m, P, -1)
