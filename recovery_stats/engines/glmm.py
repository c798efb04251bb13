"""Generalised linear mixed models by maximum likelihood: Laplace or adaptive quadrature.

y | b ~ family(eta), eta = X beta + offset + sum_k Z_k b_k, b_k of a level ~ N(0, Psi_k).

X and every Z are orthogonalised first, so units and origins cannot matter. The likelihood and its
exact gradient come from `glmm_laplace` or `glmm_quadrature`; the search is quasi-Newton from a
measured Hessian, begun on a sample of the groups where there are many. Standard errors are those
of the full Hessian in (theta, beta, the family's own parameters): with variances taken as known
they come out up to some per cent too small.
Checked: brute-force integration, finite differences, collapse to the model without random
effects, known truth, certified reference cases (tests/engines/test_glmm.py,
tests/models/test_generalised.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from recovery_stats.engines import glmm_laplace, glmm_quadrature
from recovery_stats.engines.glm import Separation, separating_direction
from recovery_stats.engines.glmm_family import Family
from recovery_stats.engines.glmm_laplace import Point, Problem
from recovery_stats.engines.glmm_layout import OneFactor, arrange
from recovery_stats.engines.linalg import Array, IntArray, lower_factor, single_thread
from recovery_stats.engines.lmm_groups import RandomFactor
from recovery_stats.errors import ConvergenceError, NotEstimable

__all__ = ["GlmmFit", "RandomFactor", "fit", "prepare"]

DONE = 1e-13  # Newton decrement: the criterion still to be had, twice
GOOD_ENOUGH = 1e-9  # where rounding stops the search before that
STEPS = 200
PILOT = 1_500  # groups from which on a sample of them is fitted first
PILOT_SIZE = 400
NEAR_ZERO = 0.02  # standard deviations of the predictor that may stand for zero
EXTREME = 12.0  # a marginal predictor that raises the suspicion of separation
START = (0.3, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Units:
    """What the data were turned into: X = Xo A⁻¹, Z_k = Zo_k T_k⁻¹; factors in `order`."""

    A: Array
    T: tuple[Array, ...]
    order: tuple[int, ...]
    rows: IntArray


@dataclass(frozen=True, slots=True)
class GlmmFit:
    """A fitted model in the user's units.

    beta (p,), covariance (p, p); psi: covariance (q_k, q_k) of each factor's effects, in the
    order given; effects: modes (levels, q_k), effect_variance: (levels, q_k, q_k) of their error,
    parameters unknown. own, own_covariance: the family's own parameters. joint: covariance of
    (theta, beta, own) in the problem's units, zero for what stands at its boundary. rank: of
    each psi; singular when any is short. eta: predictor with effects, rows as given;
    effective: degrees of freedom that the effects take up.
    """

    beta: Array
    covariance: Array
    psi: tuple[Array, ...]
    effects: tuple[Array, ...]
    effect_variance: tuple[Array, ...]
    own: Array
    own_covariance: Array
    log_likelihood: float
    n: int
    p: int
    n_theta: int
    nodes: int
    rank: tuple[int, ...]
    evaluations: int
    eta: Array
    effective: float
    joint: Array
    problem: Problem
    point: Point
    units: Units

    @property
    def singular(self) -> bool:
        return any(r < len(P) for r, P in zip(self.rank, self.psi, strict=True))

    @property
    def n_parameters(self) -> int:
        return self.p + self.n_theta + self.own.size


def fit(
    X: Array,
    family: Family,
    factors: Sequence[RandomFactor],
    *,
    nodes: int = 1,
    offset: Array | None = None,
) -> GlmmFit:
    """Fit by maximum likelihood; nodes: quadrature nodes, 1 is Laplace.

    X (n, p) of full column rank; no missing values; more than one node needs a single factor
    with one effect. Raises Separation when no finite coefficient exists, NotEstimable,
    ConvergenceError when the likelihood has no maximum.
    """
    with single_thread(), np.errstate(over="ignore", under="ignore"):
        problem, units = prepare(X, family, factors, offset=offset)
        search = _Search(problem, nodes)
        try:
            search.run()
        except _Runaway as cause:
            _refuse_separation(X, family)
            raise ConvergenceError(str(cause)) from None
        return _finish(search, units, family.constant)


def prepare(
    X: Array, family: Family, factors: Sequence[RandomFactor], *, offset: Array | None = None
) -> tuple[Problem, Units]:
    """Sort the rows by the largest factor and bring X and every Z into orthogonal units."""
    n = len(X)
    order = tuple(sorted(range(len(factors)), key=lambda k: -factors[k].levels * factors[k].q))
    chosen = [factors[k] for k in order]
    layout, rows = arrange(
        [f.codes for f in chosen], [f.levels for f in chosen], [f.q for f in chosen]
    )
    Xo, A = _orthogonal(X)
    Zs, Ts, entries, at = [], [], [], 0
    for factor in chosen:
        Z, T = _orthogonal_blocks(factor)
        Zs.append(Z[rows].T)
        Ts.append(T)
        entries += [(at + i, at + j) for b in factor.blocks for j in b for i in b if i >= j]
        at += factor.q
    shift = np.zeros(n) if offset is None else offset[rows]
    problem = Problem(
        np.ascontiguousarray(Xo[rows].T), np.ascontiguousarray(np.vstack(Zs)), shift,
        family.take(rows), layout, tuple(entries),
    )  # fmt: skip
    return problem, Units(A, tuple(Ts), order, rows)


def _orthogonal(X: Array) -> tuple[Array, Array]:
    """Xo = X A with Xo'Xo = n I."""
    n, p = X.shape
    if p == 0:
        return X, np.eye(0)
    length = np.sqrt((X**2).sum(0))
    Q, R = np.linalg.qr(X / length)
    A = solve_triangular(R, np.eye(p)) / length[:, None]
    return Q * np.sqrt(n), A * np.sqrt(n)


def _orthogonal_blocks(factor: RandomFactor) -> tuple[Array, Array]:
    """Zo = Z T with Zo'Zo = n I within each correlated block."""
    T = np.zeros((factor.q, factor.q))
    for block in factor.blocks:
        index = list(block)
        Z = factor.Z[:, index]
        length = np.sqrt((Z**2).sum(0))
        size = np.abs(np.diag(np.linalg.qr(Z / np.where(length > 0, length, 1.0)).R))
        if size.min() < 1e-9:
            name = factor.effect(index[int(np.argmin(size))])
            raise NotEstimable(
                f"Random effect {name!r} of {factor.name!r} is zero or a combination of the "
                "effects before it in every row; leave it out."
            )
        T[np.ix_(index, index)] = _orthogonal(Z)[1]
    return factor.Z @ T, T


def _refuse_separation(X: Array, family: Family) -> None:
    rows, y = family.comparisons(X)
    direction = separating_direction(rows, y)
    if direction is not None and direction[: X.shape[1]].any():
        raise Separation(direction[: X.shape[1]])


# --- the search -------------------------------------------------------------------------------


class _Runaway(Exception):  # noqa: N818 (internal: becomes Separation or ConvergenceError)
    """The search moves towards infinity."""


class _Search:
    """Quasi-Newton in psi with warm-started modes; holds the best point and a Hessian there."""

    def __init__(self, problem: Problem, nodes: int) -> None:
        self.problem, self.nodes, self.evaluations = problem, nodes, 0
        self.point: Point
        self.hessian: Array
        self.moved: list[Array] = []

    def at(self, psi: Array, start: Array | None = None) -> Point:
        self.evaluations += 1
        if self.nodes == 1:
            return glmm_laplace.evaluate(self.problem, psi, start)
        return glmm_quadrature.evaluate(self.problem, psi, start, self.nodes)

    def run(self) -> None:
        """Find the minimum from a start of its own, and leave saddles and false zeros."""
        self._begin()
        self._descend()
        for _ in range(3):
            self._settle()
            self.hessian, self.moved = self.curvature()
            away = self._downhill()
            if away is None:
                break
            self.point = away
            self._descend()
        self._polish()

    # the start

    def _begin(self) -> None:
        layout = self.problem.layout
        if isinstance(layout, OneFactor) and layout.levels > PILOT:
            chosen = np.linspace(0, layout.levels - 1, PILOT_SIZE).astype(np.intp)
            pilot = _Search(self.problem.subset(chosen), self.nodes)
            try:
                pilot._cold()
                pilot._descend()
            except (_Runaway, NotEstimable):
                self._cold()
                return
            psi = pilot.point.psi.copy()
            small = self._diagonal() & (np.abs(psi[: self.problem.n_theta]) < 0.1)
            psi[: self.problem.n_theta][small] = 0.3
            self.hessian = pilot.hessian * (layout.levels / PILOT_SIZE)
            self.point = self.at(psi)
            if np.isfinite(self.point.value):
                return
        self._cold()

    def _diagonal(self) -> NDArray[np.bool_]:
        return np.array([i == j for i, j in self.problem.entries])

    def _cold(self) -> None:
        """The marginal coefficients, and the best of a few sizes of the random effects."""
        beta = marginal(self.problem)
        own = self.problem.family.start
        tried = []
        for size in START:
            theta = np.where(self._diagonal(), size, 0.0)
            tried.append(self.at(np.concatenate([theta, beta, own])))
        self.point = min(tried, key=lambda point: point.value)
        if not np.isfinite(self.point.value):
            raise _Runaway("The likelihood could not be computed near the marginal model.")
        self.hessian = self._forward()

    def _forward(self) -> Array:
        at, step = self.point, 1e-5
        columns = [
            (self.at(at.psi + step * d, at.mode.u).gradient - at.gradient) / step
            for d in np.eye(at.psi.size)
        ]
        H = np.array(columns)
        return 0.5 * (H + H.T)

    # the descent

    def _descend(self) -> None:
        for _ in range(STEPS):
            step, decrement = self._newton()
            if decrement < DONE:
                return
            new = self._line(step, decrement)
            if new is None:
                if decrement < GOOD_ENOUGH:
                    return
                fresh = self._forward()
                if np.allclose(fresh, self.hessian, rtol=1e-3, atol=0.0):
                    raise _Runaway("The likelihood could not be raised further.")
                self.hessian = fresh
                continue
            self._learn(new)
            self.point = new
            self._refuse_runaway()
        raise _Runaway(f"The likelihood did not reach its maximum in {STEPS} steps.")

    def _newton(self) -> tuple[Array, float]:
        scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(self.hessian)), 1e-10))
        values, vectors = np.linalg.eigh(scale[:, None] * self.hessian * scale)
        size = np.maximum(np.abs(values), 1e-6)
        step = -scale * (vectors @ ((vectors.T @ (scale * self.point.gradient)) / size))
        if values[0] <= 0:
            self.hessian = (vectors * size) @ vectors.T / np.outer(scale, scale)
        return step, float(-step @ self.point.gradient)

    def _line(self, step: Array, decrement: float) -> Point | None:
        """The longest of step, step / 3 … that lowers the criterion enough."""
        at, k = self.point, self.problem.n_theta
        reach = 1.0 + 2.0 * float(np.abs(at.psi[:k]).max())
        size = min(1.0, reach / max(float(np.abs(step).max()), 1e-300))
        noise = 1e-13 * max(1.0, abs(at.value), self.problem.n)
        while size > 1e-6:
            try:
                new = self.at(at.psi + size * step, at.mode.u)
            except ConvergenceError:
                size *= 0.3
                continue
            if new.value <= at.value - 1e-4 * size * decrement + noise:
                return new
            size *= 0.3
        return None

    def _learn(self, new: Point) -> None:
        """The BFGS update, damped so that the Hessian stays positive (Powell 1978)."""
        s, y = new.psi - self.point.psi, new.gradient - self.point.gradient
        Bs = self.hessian @ s
        curved = float(s @ Bs)
        if curved <= 0:
            return
        along = float(s @ y)
        if along < 0.1 * curved:
            mixed = 0.9 * curved / (curved - along)
            y = mixed * y + (1.0 - mixed) * Bs
            along = float(s @ y)
        self.hessian = self.hessian + np.outer(y, y) / along - np.outer(Bs, Bs) / curved

    def _refuse_runaway(self) -> None:
        theta = self.point.psi[: self.problem.n_theta]
        if np.abs(theta).max() > 100.0 or np.abs(self.point.psi).max() > 1e3:
            raise _Runaway(
                "The likelihood has no maximum: it keeps rising as a variance or a coefficient "
                "grows without bound. The outcome hardly varies within the groups."
            )

    # the end

    def curvature(self) -> tuple[Array, list[Array]]:
        """The Hessian by central differences of the gradient, and how the modes move (by column).

        Steps are a ten-thousandth of a standard error; the mode below is extrapolated from the
        one above, so that it costs one Newton step.
        """
        at = self.point
        size = np.sqrt(np.maximum(np.abs(np.diag(self.hessian)), 1e-6))
        columns, moved = [], []
        for j, step in enumerate((1e-4 / size).tolist()):
            d = np.zeros(at.psi.size)
            d[j] = step
            above = self.at(at.psi + d, at.mode.u)
            below = self.at(at.psi - d, 2.0 * at.mode.u - above.mode.u)
            columns.append((above.gradient - below.gradient) / (2.0 * step))
            moved.append((above.mode.u - below.mode.u) / (2.0 * step))
        H = np.array(columns)
        return 0.5 * (H + H.T), moved

    def _settle(self) -> None:
        """Put near-zero standard deviations at zero where that is no worse; L in its usual form."""
        at = self.point
        L, beta, own = self.problem.parts(at.psi)
        small = L.copy()
        for index in _blocks(self.problem.entries):
            block = np.ix_(index, index)
            U, sizes, _ = np.linalg.svd(L[block])
            small[block] = lower_factor(U * np.where(sizes < NEAR_ZERO, 0.0, sizes))
            small[block][np.abs(small[block]) < 1e-14] = 0.0
            L[block] = lower_factor(L[block])
        few = own.copy()
        if self.problem.family.start.size == 1 and own.size == 1 and _is_root(self.problem.family):
            own = np.abs(own)
            few = np.where(own < NEAR_ZERO, 0.0, own)
        tidy = np.concatenate([self.problem.theta(L), beta, own])
        zeroed = np.concatenate([self.problem.theta(small), beta, few])
        if not np.array_equal(zeroed, tidy):
            new = self.at(zeroed)
            if new.value <= at.value + 1e-8:
                self.point = new
                return
        if not np.array_equal(tidy, at.psi):
            self.point = self.at(tidy)

    def _downhill(self) -> Point | None:
        """A lower point along a direction of negative curvature, if there is one."""
        scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(self.hessian)), 1e-10))
        values, vectors = np.linalg.eigh(scale[:, None] * self.hessian * scale)
        if values[0] > -1e-6:
            return None
        for size in (1.0, 0.3, 0.1, 0.01):
            new = self.at(self.point.psi + size * scale * vectors[:, 0], None)
            if new.value < self.point.value - 1e-9:
                return new
        return None

    def _polish(self) -> None:
        """One Newton step with the Hessian measured at the end."""
        free = self.free()
        step = np.zeros_like(self.point.psi)
        step[free] = -_inverse(self.hessian[np.ix_(free, free)]) @ self.point.gradient[free]
        decrement = float(-step @ self.point.gradient)
        if 0 < decrement < 1e-4:
            new = self.at(self.point.psi + step, self.point.mode.u)
            if new.value <= self.point.value + 1e-10 * max(1.0, abs(self.point.value)):
                self.point = new

    def free(self) -> IntArray:
        """The parameters that are not at their boundary."""
        L, _, own = self.problem.parts(self.point.psi)
        k, p = self.problem.n_theta, self.problem.p
        inside = [j for j, (_, c) in enumerate(self.problem.entries) if L[c, c] != 0.0]
        root = _is_root(self.problem.family)
        inside += [*range(k, k + p), *(k + p + j for j, v in enumerate(own) if v != 0 or not root)]
        return np.array(inside, dtype=np.intp)


def _is_root(family: Family) -> bool:
    """Whether the own parameter is the root of a dispersion."""
    from recovery_stats.engines.glmm_family import BetaBinomial, NegativeBinomial

    return isinstance(family, BetaBinomial | NegativeBinomial)


def _blocks(entries: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The correlated blocks that the free entries of L make."""
    found: list[list[int]] = []
    for i, j in entries:
        if i == j:
            home = next((b for b in found if j in b), None)
            if home is None:
                found.append([r for r, c in entries if c == j])
    return found


def marginal(problem: Problem) -> Array:
    """Coefficients without random effects, by Newton; _Runaway where they grow without bound."""
    family, Xt = problem.family, problem.Xt
    own = family.start
    if not problem.p:
        return np.empty(0)
    beta = Xt @ np.full(problem.n, family.intercept()) / problem.n
    value = float(family.log_f(beta @ Xt + problem.offset, own).sum())
    for _ in range(60):
        slope, curvature = family.steps(beta @ Xt + problem.offset, own)
        score = Xt @ slope
        information = (Xt * np.maximum(curvature, 1e-12)) @ Xt.T
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        decrement = float(score @ step)
        if decrement < 1e-12 * problem.n:
            break
        for _ in range(30):
            new = float(family.log_f((beta + step) @ Xt + problem.offset, own).sum())
            if new >= value - 1e-12 * abs(value):
                break
            step = 0.5 * step
        beta, value = beta + step, new
    else:
        raise _Runaway("The model without random effects has no maximum.")
    if np.abs(beta @ Xt).max() > EXTREME:
        rows, y = family.comparisons(Xt.T)
        direction = separating_direction(rows, y)
        if direction is not None and direction[: problem.p].any():
            raise _Runaway("The outcome is separated.")
    return np.asarray(beta)


# --- the answer -------------------------------------------------------------------------------


def _inverse(H: Array) -> Array:
    """The inverse on the positive directions of H."""
    if not len(H):
        return H
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-300))
    values, vectors = np.linalg.eigh(scale[:, None] * H * scale)
    kept = values > 1e-10
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.asarray(inverse * np.outer(scale, scale))


def _finish(search: _Search, units: Units, constant: float) -> GlmmFit:
    problem, nodes = search.problem, search.nodes
    at, free = search.point, search.free()
    joint = np.zeros((at.psi.size, at.psi.size))
    joint[np.ix_(free, free)] = _inverse(search.hessian[np.ix_(free, free)])
    L, beta, own = problem.parts(at.psi)
    k, p = problem.n_theta, problem.p
    psi, effects, variances, rank = [], [], [], []
    split = [problem.layout.split(u) for u in (at.mode.u, *search.moved)]
    blocks, start = at.mode.equations.blocks(), 0
    places = {given: place for place, given in enumerate(units.order)}
    for place, T in enumerate(units.T):
        q = len(T)
        inside = slice(start, start + q)
        TL = T @ L[inside, inside]
        u = split[0][place]
        shifts = np.stack([s[place] @ TL.T for s in split[1:]], axis=-1)
        for j, (i, c) in enumerate(problem.entries):
            if start <= c < start + q:
                shifts[:, :, j] += np.outer(u[:, c - start], T[:, i - start])
        psi.append(TL @ TL.T)
        effects.append(u @ TL.T)
        variances.append(TL @ blocks[place] @ TL.T + shifts @ joint @ shifts.transpose(0, 2, 1))
        rank.append(int((np.diag(L)[inside] != 0).sum()))
        start += q
    back = [places[given] for given in range(len(units.order))]
    eta = np.empty(problem.n)
    eta[units.rows] = at.mode.eta
    spread = (at.mode.E * at.mode.equations.own(at.mode.E)).sum(0)
    inner = joint[k : k + p, k : k + p]
    return GlmmFit(
        units.A @ beta, units.A @ inner @ units.A.T,
        tuple(psi[j] for j in back), tuple(effects[j] for j in back),
        tuple(variances[j] for j in back), own, joint[k + p :, k + p :], constant - at.value,
        problem.n, p, k, nodes, tuple(rank[j] for j in back), search.evaluations, eta,
        float(at.mode.rows.curvature @ spread), joint, problem, at, units,
    )  # fmt: skip
