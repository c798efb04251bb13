"""Profile-likelihood intervals of a mixed model fitted by ML.

For one quantity held at x, the deviance is minimised over everything else; the limits are where
the square root of its rise equals the normal quantile. Newton steps on exact derivatives inside,
Newton steps on the signed root outside, each solution carried to the next x along the implicit
derivative. Coefficients are held in closed form: the rise of r2 is (x - a'beta)² / a'Sxx⁻¹a.
Sources: Venzon & Moolgavkar 1988; Bates et al. 2015, sec. 5.1. Checked: closed form of the balanced
one-way layout, finite differences, dense search; lme4 (tests/engines/test_lmm_profile.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from recovery_stats.engines.linalg import Array, lower_factor, single_thread
from recovery_stats.engines.lmm import LmmFit, evaluate
from recovery_stats.engines.lmm_coordinate import Coordinates, Place, Quantity, coordinates
from recovery_stats.engines.lmm_criterion import EXACT_SECOND, Solution
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import Moments
from recovery_stats.engines.lmm_products import effects_of, lift, through
from recovery_stats.engines.lmm_traces import pair_traces
from recovery_stats.errors import ConvergenceError

SETTLED = 1e-12  # Newton decrement at which a constrained deviance is known to as much
REACHED = 1e-7  # distance of the signed root from its target; the last step squares it
MAX_STEPS = 100
FAR = 3.0  # a step beyond all points seen may multiply the distance from the estimate by this


@dataclass(frozen=True, slots=True)
class Interval:
    """The maximum-likelihood estimate of a quantity and its profile limits, in user's units."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """The deviance at x and free coordinates, its derivatives with x in the first place."""

    x: float
    free: Array
    deviance: float
    gradient: Array
    hessian: Array

    @property
    def drift(self) -> Array:
        """d free / dx along the constrained minimum."""
        H = _positive(self.hessian[1:, 1:])
        return np.asarray(-(H @ self.hessian[1:, 0]))


def profile(fit: LmmFit, wanted: Sequence[Quantity], level: float = 0.95) -> list[Interval]:
    """Intervals for the quantities wanted; a lower limit of 0 for an sd that may be zero, ±1 for
    a correlation that may be there. The fit must be by ML.

    Raises ConvergenceError when a limit is not found.
    """
    z = float(norm.isf(0.5 * (1.0 - level)))
    with single_thread():
        return [_interval(fit, quantity, z) for quantity in wanted]


def _interval(fit: LmmFit, held: Quantity, z: float) -> Interval:
    system, x, free = coordinates(fit, held)
    curve = Curve(fit, system, held)
    if held.kind == "cor" and min(np.abs(free[len(system.others) :][:2])) == 0:
        return Interval(np.nan, -1.0, 1.0)
    best = curve.point(x, free)
    bounds = {"sd": (0.0, np.inf), "cor": (-0.5 * np.pi, 0.5 * np.pi)}
    low, high = bounds.get(held.kind, (-np.inf, np.inf))
    found = [_limit(curve, best, z, -1.0, low), _limit(curve, best, z, 1.0, high)]
    return Interval(*(_in_users_units(fit, held, value) for value in (x, *found)))


def _in_users_units(fit: LmmFit, held: Quantity, x: float) -> float:
    scale = fit.frame.scale
    if held.kind == "beta":
        return float(fit.frame.start[held.a] + scale * x)
    if held.kind == "sigma":
        return float(scale * np.exp(0.5 * x))
    return float(scale * x) if held.kind == "sd" else float(np.sin(x))


# --- the deviance with one quantity held -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Curve:
    """The deviance in the coordinates of one held quantity."""

    fit: LmmFit
    system: Coordinates
    held: Quantity

    def point(self, x: float, free: Array) -> Point:
        """Deviance, gradient and Hessian at x and the free coordinates."""
        problem = self.fit.problem
        place = self.system.place(x, free)
        solution = evaluate(problem, problem.pack(_lower(problem, place.L)))
        along = self.fit.frame.A[self.held.a] if self.held.kind == "beta" else None
        state = _hold(solution.moments, along, x)
        deviance = solution.moments.log_det + problem.n * (np.log(2.0 * np.pi) + place.tau)
        deviance += float(np.exp(-place.tau)) * state.r2
        gradient, hessian = _derivatives(problem, solution, place, state)
        return Point(x, free, float(deviance), gradient, hessian)

    def minimum(self, x: float, free: Array) -> Point:
        """The constrained minimum at x, from a start."""
        at = self.point(x, free)
        for _ in range(MAX_STEPS):
            step, decrement, lowest = _step(at)
            if decrement < SETTLED and lowest is None:
                return at
            if decrement < SETTLED and lowest is not None:
                step, decrement = lowest, 0.0
            new = self._descend(at, step, decrement)
            if new is None:
                return at
            at = new
        raise ConvergenceError("A profile of the likelihood did not converge.")

    def _descend(self, at: Point, step: Array, decrement: float) -> Point | None:
        """The largest share of the step that lowers the deviance; None below its rounding."""
        noise = 1e-13 * max(1.0, abs(at.deviance), self.fit.problem.n)
        share = 1.0
        while share > 1e-8:
            new = self.point(at.x, at.free + share * step)
            if new.deviance <= at.deviance + noise - 1e-4 * share * decrement:
                return new
            share *= 0.3
        return None


def _lower(problem: Problem, L: Sequence[Array]) -> list[Array]:
    """Lower triangular factors of the same covariances, block by block."""
    out = []
    for factor, blocks in zip(L, problem.blocks, strict=True):
        lower = np.zeros_like(factor)
        for block in blocks:
            index = np.ix_(block, block)
            lower[index] = lower_factor(factor[index])
        out.append(lower)
    return out


@dataclass(frozen=True, slots=True)
class _State:
    """r2, v = (-beta, 1) and Sxx⁻¹ with a coefficient held or none; turn: dv/dx, rise: dr2/dx and
    d2r2/dx2."""

    r2: float
    v: Array
    inverse: Array
    turn: Array
    rise: tuple[float, float]


def _hold(at: Moments, along: Array | None, x: float) -> _State:
    """Least squares under a'beta = x."""
    if along is None:
        return _State(at.r2, at.v, at.S_inverse, np.zeros_like(at.v), (0.0, 0.0))
    reach = at.S_inverse @ along
    size = float(along @ reach)
    gap = x - float(along @ at.beta)
    turn = np.append(-reach / size, 0.0)
    inverse = at.S_inverse - np.outer(reach, reach) / size
    r2 = at.r2 + gap**2 / size
    return _State(r2, at.v + gap * turn, inverse, turn, (2.0 * gap / size, 2.0 / size))


def _derivatives(
    problem: Problem, solution: Solution, place: Place, state: _State
) -> tuple[Array, Array]:
    """Gradient and Hessian in (x, free).

    With t = Z'V0⁻¹r and E = dPsi, the deviance changes by tr(ET) - exp(-tau) t'Et; r is the
    residual under the constraint, and the engine's own gradient gives tr(ET).
    """
    at, precision, moves = solution.moments, float(np.exp(-place.tau)), place.moves
    free_t = [np.tensordot(at.v, effects_of(problem, at, k), (0, 1)) for k in range(len(place.L))]
    t = [np.tensordot(state.v, effects_of(problem, at, k), (0, 1)) for k in range(len(place.L))]
    G = [
        g + (problem.nu / at.r2) * (u @ u.T) - precision * (w @ w.T)
        for g, u, w in zip(solution.grad_psi, free_t, t, strict=True)
    ]
    E = [m.change @ place.L[m.k].T + place.L[m.k] @ m.change.T for m in moves]
    dtau = np.array([m.dtau for m in moves])
    g = np.array([float(np.sum((e @ t[m.k]) * t[m.k])) for e, m in zip(E, moves, strict=True)])
    gradient = np.array(
        [2.0 * float(np.sum((G[m.k] @ place.L[m.k]) * m.change)) for m in moves]
    ) + dtau * (problem.n - precision * state.r2)
    gradient[0] += precision * state.rise[0]
    hessian = _second(problem, at, place, state, E, t, precision)
    hessian += precision * (np.outer(g, dtau) + np.outer(dtau, g))
    hessian += precision * state.r2 * np.outer(dtau, dtau)
    hessian[0] -= precision * state.rise[0] * dtau
    hessian[:, 0] -= precision * state.rise[0] * dtau
    hessian[0, 0] += precision * state.rise[1]
    return gradient, _bent(hessian, place, G)


def _second(
    problem: Problem, at: Moments, place: Place, state: _State, E: list[Array], t: list[Array],
    precision: float,
) -> Array:  # fmt: skip
    """2 exp(-tau) y'P V_a P V_b P y - tr(V⁻¹V_aV⁻¹V_b), and what holding a coefficient adds.

    Beyond EXACT_SECOND effects of the other factors, the average information replaces it.
    """
    moves, p = place.moves, problem.p
    directions = [(m.k, e) for m, e in zip(moves, E, strict=True)]
    Et = [(e @ t[k])[:, None, :] for k, e in directions]
    lifted = [lift(problem, at, k, part) for (k, _), part in zip(directions, Et, strict=True)]
    hx = np.array(
        [
            np.einsum("qsm,qm->s", effects_of(problem, at, k), part[:, 0])
            for (k, _), part in zip(directions, Et, strict=True)
        ]
    )
    exact = problem.second is None or problem.second.size <= EXACT_SECOND
    count = len(moves)
    out = np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1):
            Q = float(through(at, directions, Et, lifted, a, b)[0, 0])
            Q -= float(hx[a, :p] @ state.inverse @ hx[b, :p])
            out[a, b] = out[b, a] = precision * Q
    if exact:
        out = 2.0 * out - pair_traces(problem, at, directions)
    turned = -2.0 * precision * (hx @ state.turn)
    out[0] += turned
    out[:, 0] += turned
    return out


def _bent(hessian: Array, place: Place, G: list[Array]) -> Array:
    """Add the curvature of Psi = L L' and of the coordinates."""
    for a, m in enumerate(place.moves):
        for b, o in enumerate(place.moves):
            if m.k == o.k:
                hessian[a, b] += 2.0 * float(np.sum((G[m.k] @ m.change) * o.change))
    for a, b, k, d2 in place.bends:
        value = 2.0 * float(np.sum((G[k] @ place.L[k]) * d2))
        hessian[a, b] += value
        if a != b:
            hessian[b, a] += value
    return hessian


# --- steps -----------------------------------------------------------------------------------


def _scaled(H: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues and vectors of H brought to a unit diagonal, and the sizes it was divided by."""
    size = np.sqrt(np.abs(np.diag(H)))
    size[size <= 1e-150] = 1.0
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    return values, vectors, size


def _positive(H: Array) -> Array:
    """The inverse of |H|, without the directions in which H is flat."""
    if not H.size:
        return H
    values, vectors, size = _scaled(H)
    sizes = np.abs(values)
    live = sizes > 1e-9 * sizes.max()
    inverse = (vectors[:, live] / sizes[live]) @ vectors[:, live].T
    return np.asarray(inverse / np.outer(size, size))


def _step(at: Point) -> tuple[Array, float, Array | None]:
    """Newton's step, its decrement, and a way down when this is a saddle."""
    g, H = at.gradient[1:], at.hessian[1:, 1:]
    if not g.size:
        return g, 0.0, None
    step = -(_positive(H) @ g)
    values, vectors, size = _scaled(H)
    down = 0.1 * vectors[:, 0] / size if values[0] < -1e-4 else None
    return step, float(-g @ step), down


def _limit(curve: Curve, best: Point, z: float, side: float, bound: float) -> float:
    """Where the signed root of the deviance's rise reaches z on one side of the estimate."""
    inside, outside = best.x, bound
    if side * (bound - best.x) <= 0:
        return bound
    at, x = best, _first(best, z, side, bound)
    for _ in range(MAX_STEPS):
        at = curve.minimum(x, at.free + (x - at.x) * at.drift)
        root = float(np.sqrt(max(at.deviance - best.deviance, 0.0)))
        if x == bound and root < z:
            return bound
        slope = side * at.gradient[0]
        ahead = side * (z - root) * 2.0 * root / slope if slope > 0 and root > 0 else np.nan
        if abs(root - z) < REACHED:
            return x + ahead if np.isfinite(ahead) else x
        inside, outside = (x, outside) if root < z else (inside, x)
        x = _next(x + ahead, best.x, inside, outside, side, bound)
    raise ConvergenceError("A limit of a profile interval was not found.")


def _first(best: Point, z: float, side: float, bound: float) -> float:
    """The limit if the profile were a parabola."""
    H = best.hessian
    curvature = float(H[0, 0] + H[0, 1:] @ best.drift)
    if not curvature > 1e-12 * abs(float(H[0, 0])):
        curvature = abs(float(H[0, 0])) or 1.0
    x = best.x + side * z * float(np.sqrt(2.0 / curvature))
    return bound if side * (x - bound) > 0 else x


def _next(
    x: float, origin: float, inside: float, outside: float, side: float, bound: float
) -> float:
    """The step's goal, kept between what is known to be inside and what is known to be outside."""
    if outside == bound:
        largest = origin + FAR * (inside - origin)
        if not np.isfinite(x) or side * (x - largest) > 0 or side * (x - inside) <= 0:
            x = largest
        return bound if side * (x - bound) >= 0 else x
    margin = 1e-3 * (outside - inside)
    if not np.isfinite(x) or not side * (inside + margin) <= side * x <= side * (outside - margin):
        return 0.5 * (inside + outside)
    return x
