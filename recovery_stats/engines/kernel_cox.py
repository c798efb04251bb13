"""Cox's model on whole days with an exposure whose half-life is estimated too.

    log hazard of a row = log baseline of its stratum and day + x'beta + theta K_H

Only rows of a (stratum, day) with an event enter. For a given H the likelihood is maximised in
(beta, theta) by Newton's method; the profile over H gives the estimate and its interval, and the
joint information of (beta, theta, log H) the standard errors. At theta = 0 the half-life is not
identified, so the test of theta = 0 is the largest of the score statistics at half-lives named
beforehand, against the joint normal distribution of all of them (Davies 1977): a likelihood
ratio at the best H would reject too often.

Ties after Efron 1977. Checked: `engines.cox` at fixed H, finite differences, brute force over H,
size by simulation (tests/engines/test_kernel.py, scripts/meeting_recovery.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.errors import ConvergenceError, NotEstimable

DECREMENT = 1e-14  # Newton decrement, in squared standard errors, at which theta is known
MAX_STEPS = 40
FARTHEST = 50.0  # a log hazard ratio beyond this is on its way to infinity
POINTS = 100_000  # of the integral over the joint normal: p to about three digits, in 0.05 s
ALIASED = 1e-9  # information an event has on the exposure, over its mean square: else constant

Exposure = Callable[[float], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Rows of the days with an event, sorted by set (one stratum on one day).

    X (p, n), centred; weight (n,) > 0; first (K,): where each set begins; set_of (n,).
    event (E,): rows with the event; element_set, share (E,): set and l/d of each element of
    Efron's tied sums; mean_weight (K,): mean weight of a set's events.
    """

    X: Array
    centre: Array
    weight: Array
    first: IntArray
    set_of: IntArray
    event: IntArray
    element_set: IntArray
    share: Array
    mean_weight: Array

    @classmethod
    def of(
        cls, X: Array, set_of: IntArray, event: Array | IntArray, weight: Array | None = None
    ) -> tuple[Days, IntArray]:
        """Sort the rows X (n, p) of sets with an event; returns them and the rows kept, in order.

        set_of (n,): any whole numbers, one for each stratum and day. event (n,) in {0, 1}.
        Raises NotEstimable without events.
        """
        w = np.ones(len(event)) if weight is None else weight
        happened = (event > 0) & (w > 0)
        if not happened.any():
            raise NotEstimable("No event among the days at risk: nothing can be estimated.")
        kept = np.flatnonzero(np.isin(set_of, np.unique(set_of[happened])) & (w > 0))
        kept = kept[np.argsort(set_of[kept], kind="stable")]
        _, first, code = np.unique(set_of[kept], return_index=True, return_inverse=True)
        rows = np.flatnonzero(happened[kept])
        sets = code[rows]
        events = np.bincount(sets, minlength=len(first))
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(events) - events, events)
        weights = np.bincount(sets, w[kept][rows], len(first)) / events
        chosen = np.ascontiguousarray(X[kept].T, dtype=float)
        centre = chosen.mean(1) if len(chosen) else np.zeros(0)
        found = cls(
            chosen - centre[:, None], centre, w[kept], first, code, rows, sets,
            rank / events[sets], weights,
        )  # fmt: skip
        return found, kept

    @property
    def p(self) -> int:
        return len(self.X)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """The likelihood at one parameter: score (m,), information (m, m), martingale residual (n,)."""

    loglik: float
    score: Array
    information: Array
    residual: Array


def evaluate(days: Days, columns: Array, theta: Array) -> Point:
    """Partial likelihood with the rows of X and then `columns` (c, n) as covariates.

    theta (p + c,): log hazard ratios of X and of the columns.
    """
    p, n = days.p, len(days.weight)
    Z = np.empty((p + len(columns), n))
    Z[:p], Z[p:] = days.X, columns
    eta = theta @ Z
    r = days.weight * np.exp(eta)
    e, sets, K = days.event, days.element_set, len(days.first)
    S0, S0D = np.add.reduceat(r, days.first), np.bincount(sets, r[e], K)
    left = S0[sets] - days.share * S0D[sets]
    wbar = days.mean_weight[sets]
    a = 1.0 / left
    h, g = _sums(sets, (wbar * a, wbar * days.share * a), K)
    v = r * h[days.set_of]
    v[e] -= r[e] * g[sets]
    residual = -v
    residual[e] += days.weight[e]
    S1 = np.add.reduceat(Z * r, days.first, axis=1)
    S1D = np.array([np.bincount(sets, z, K) for z in Z[:, e] * r[e]]).reshape(len(Z), K)
    A, B, C = _sums(sets, tuple(wbar * days.share ** float(k) * a**2 for k in range(3)), K)
    information = (Z * v) @ Z.T - (S1 * A) @ S1.T - (S1D * C) @ S1D.T
    cross = (S1 * B) @ S1D.T
    loglik = float(days.weight[e] @ eta[e] - wbar @ np.log(left))
    return Point(loglik, Z @ residual, information + cross + cross.T, residual)


def _sums(sets: IntArray, values: tuple[Array, ...], K: int) -> tuple[Array, ...]:
    return tuple(np.bincount(sets, v, K).astype(float) for v in values)


@dataclass(frozen=True, slots=True, eq=False)
class AtHalfLife:
    """The model maximised at one half-life: beta (p,), theta, and the point there."""

    half_life: float
    beta: Array
    theta: float
    point: Point

    @property
    def loglik(self) -> float:
        return self.point.loglik

    @property
    def se(self) -> float:
        """Standard error of theta at this half-life taken as known."""
        return float(np.sqrt(np.linalg.inv(self.point.information)[-1, -1]))


def maximise(days: Days, columns: Array, start: Array | None = None) -> tuple[Array, Point]:
    """Maximise over the coefficients (p + c,) of X and of `columns` (c, n).

    Raises ConvergenceError where no finite maximum is found, NotEstimable for columns without
    variation of their own.
    """
    here = np.zeros(days.p + len(columns)) if start is None else start
    point = evaluate(days, columns, here)
    for _ in range(MAX_STEPS):
        if not len(here):
            return here, point
        step, decrement = _step(point)
        if decrement <= DECREMENT:
            return here, point
        here, point = _advance(days, columns, here, point, step)
    raise ConvergenceError("The model of the days at risk did not converge.")


def fit_at(days: Days, column: Array, half_life: float, start: Array | None = None) -> AtHalfLife:
    """Maximise over (beta, theta) with the exposure of one half-life."""
    here, point = maximise(days, column[None], start)
    if abs(here[-1]) * np.abs(column).max(initial=0.0) > FARTHEST:
        raise NotEstimable(
            f"With a half-life of {half_life:g} days the exposure separates the days with the "
            "event from the others, so that its hazard ratio lies at 0 or infinity."
        )
    return AtHalfLife(half_life, here[:-1], float(here[-1]), point)


def _step(point: Point) -> tuple[Array, float]:
    try:
        step = np.linalg.solve(point.information, point.score)
    except np.linalg.LinAlgError:
        raise NotEstimable(
            "A covariate or the exposure does not vary among those at risk together."
        ) from None
    return np.asarray(step), float(step @ point.score)


def _advance(
    days: Days, columns: Array, here: Array, point: Point, step: Array
) -> tuple[Array, Point]:
    floor = point.loglik - 1e-11 * (1.0 + abs(point.loglik))
    for _ in range(30):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step too far
            there = evaluate(days, columns, here + step)
        if np.isfinite(there.loglik) and there.loglik >= floor:
            return here + step, there
        step = step / 2.0
    raise ConvergenceError("No step raises the partial likelihood further.")


# --- the profile over the half-life ------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """half_lives (G,), increasing, with loglik, theta and se (of theta, H known) at each.

    best: the maximum. low, high: limits of H at `level` by the likelihood ratio; where open_low
    or open_high, the interval goes on beyond the smallest or largest half-life looked at.
    """

    half_lives: Array
    loglik: Array
    theta: Array
    se: Array
    best: AtHalfLife
    low: float
    high: float
    open_low: bool
    open_high: bool
    level: float


def profile(
    days: Days, exposure: Exposure, half_lives: Sequence[float], *, level: float = 0.95
) -> Profile:
    """Maximise at each half-life, then between them; exposure(H) gives the column (n,).

    half_lives: increasing, in days; their ends bound what is looked at.
    """
    with single_thread():
        fits = _along(days, exposure, half_lives)
        best = _peak(days, exposure, fits)
        drop = stats.chi2.isf(1.0 - level, 1) / 2.0
        low, open_low = _limit(days, exposure, fits, best, drop, upward=False)
        high, open_high = _limit(days, exposure, fits, best, drop, upward=True)
    return Profile(
        np.array([f.half_life for f in fits]),
        np.array([f.loglik for f in fits]),
        np.array([f.theta for f in fits]),
        np.array([f.se for f in fits]),
        best, low, high, open_low, open_high, level,
    )  # fmt: skip


def _along(days: Days, exposure: Exposure, half_lives: Sequence[float]) -> list[AtHalfLife]:
    fits: list[AtHalfLife] = []
    start = None
    for h in half_lives:
        fits.append(fit_at(days, exposure(h), h, start))
        start = np.append(fits[-1].beta, fits[-1].theta)
    return fits


def _peak(days: Days, exposure: Exposure, fits: Sequence[AtHalfLife]) -> AtHalfLife:
    """The maximum between the neighbours of the best half-life of the grid."""
    top = int(np.argmax([f.loglik for f in fits]))
    seen = {fits[top].half_life: fits[top]}
    if top in (0, len(fits) - 1):
        return fits[top]
    start = np.append(fits[top].beta, fits[top].theta)

    def minus(log_h: float) -> float:
        h = float(np.exp(log_h))
        seen[h] = fit_at(days, exposure(h), h, start)
        return -seen[h].loglik

    bounds = np.log([fits[top - 1].half_life, fits[top + 1].half_life])
    optimize.minimize_scalar(minus, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return max(seen.values(), key=lambda f: f.loglik)


def _limit(
    days: Days,
    exposure: Exposure,
    fits: Sequence[AtHalfLife],
    best: AtHalfLife,
    drop: float,
    *,
    upward: bool,
) -> tuple[float, bool]:
    """Where the profile has fallen by `drop` on one side for good; open when it never has."""
    beyond = [f for f in fits if (f.half_life > best.half_life) == upward and f is not best]
    beyond = [f for f in beyond if f.half_life != best.half_life]
    walk = [best, *(beyond if upward else beyond[::-1])]
    floor = best.loglik - drop
    inside = [f for f in walk if f.loglik >= floor]
    last = walk.index(inside[-1])
    if last == len(walk) - 1:
        return walk[-1].half_life, True
    a, b = walk[last], walk[last + 1]
    start = np.append(a.beta, a.theta)

    def excess(log_h: float) -> float:
        h = float(np.exp(log_h))
        return fit_at(days, exposure(h), h, start).loglik - floor

    root = optimize.brentq(excess, np.log(a.half_life), np.log(b.half_life), xtol=1e-4)
    return float(np.exp(root)), False


# --- is there any effect? ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class MaximumTest:
    """Test of theta = 0 over several half-lives: the largest |z| and its p-value.

    z (G,): score statistics at `half_lives`; correlation (G, G) between them.
    """

    half_lives: tuple[float, ...]
    z: Array
    correlation: Array
    p: float


def test_no_effect(days: Days, exposure: Exposure, half_lives: Sequence[float]) -> MaximumTest:
    """Score tests of theta = 0 at half-lives named beforehand, taken together.

    beta is estimated without the exposure; the scores have the efficient information as their
    covariance, so that the maximum is compared with that of correlated normals.
    """
    with single_thread():
        columns = np.stack([exposure(h) for h in half_lives])
        beta, _ = maximise(days, np.empty((0, len(days.weight))))
        G = len(half_lives)
        point = evaluate(days, columns, np.append(beta, np.zeros(G)))
    p, info = days.p, point.information
    inside = info[p:, p:] - info[p:, :p] @ np.linalg.solve(info[:p, :p], info[:p, p:])
    size = len(days.event) * np.maximum((columns**2).mean(1), np.finfo(float).tiny)
    if (np.diag(inside) <= ALIASED * size).any():
        raise NotEstimable(
            "The exposure does not vary among people at risk on the same day beyond what the "
            "covariates tell, so its effect cannot be estimated."
        )
    spread = np.sqrt(np.diag(inside))
    z = point.score[p:] / spread
    correlation = inside / np.outer(spread, spread)
    largest = float(np.abs(z).max())
    return MaximumTest(tuple(half_lives), z, correlation, _beyond(largest, correlation))


def _beyond(largest: float, correlation: Array) -> float:
    """P(max |Z| > largest) for normal Z with this correlation; never above G single tests."""
    G = len(correlation)
    single = 2.0 * float(stats.norm.sf(largest))
    if G == 1 or largest > 8.0:
        return min(1.0, G * single)
    law = stats.multivariate_normal(
        np.zeros(G), correlation, allow_singular=True, seed=np.random.default_rng(0),
        maxpts=POINTS, abseps=1e-5, releps=1e-5,
    )  # fmt: skip
    inside = law.cdf(np.full(G, largest), lower_limit=np.full(G, -largest))
    return float(np.clip(1.0 - inside, single, min(1.0, G * single)))
