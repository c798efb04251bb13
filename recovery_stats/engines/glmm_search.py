"""The search for a generalised mixed model's maximum, and the Hessian there.

Newton's method where the Hessian is known (`glmm_hessian`), else quasi-Newton (BFGS) from a
measured one, with warm-started modes. It begins at the marginal coefficients, on a sample of the
groups where there are many; it leaves saddles, puts standard deviations that are near zero
exactly there where that is no worse, and ends with one Newton step.
Sources: Nocedal & Wright 2006, ch. 6; Powell 1978. Checked: tests/engines/test_glmm.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import glmm_hessian, glmm_laplace, glmm_quadrature
from recovery_stats.engines.glm import separating_direction
from recovery_stats.engines.glmm_laplace import Point, Problem
from recovery_stats.engines.glmm_layout import OneFactor
from recovery_stats.engines.linalg import Array, IntArray, lower_factor
from recovery_stats.errors import ConvergenceError, NotEstimable

DONE = 1e-13  # Newton decrement: the criterion still to be had, twice
GOOD_ENOUGH = 1e-9  # where rounding stops the search before that
PILOT_DONE = 1e-2  # of a pilot
STEPS = 200
PILOT = 1_500  # groups from which on a sample of them is fitted first
PILOT_SIZE = 400
FINISHED = 1e-18  # a decrement that no step improves on
NEAR_ZERO = 0.02  # standard deviations of the predictor that may stand for zero
EXTREME = 12.0  # a marginal predictor that raises the suspicion of separation
START = (0.3, 1.0, 2.5)


class Runaway(Exception):  # noqa: N818 (internal: becomes Separation or ConvergenceError)
    """The search moves towards infinity."""


class Search:
    """Quasi-Newton in psi with warm-started modes; holds the best point and a Hessian there."""

    def __init__(self, problem: Problem, nodes: int) -> None:
        self.problem, self.nodes, self.evaluations = problem, nodes, 0
        self.exact = nodes == 1 and glmm_hessian.offered(problem)
        self.done = DONE
        self.point: Point
        self.hessian: Array
        self.moved: list[Array] = []

    def near(self, psi: Array) -> Point:
        """The criterion at psi, the modes predicted from those at the best point."""
        u = self.point.mode.u
        if self.exact and len(self.moved):
            u = u + (psi - self.point.psi) @ np.asarray(self.moved)
        return self.at(psi, u)

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
            settled = self.point
            self._settle()
            if not self.exact or self.point is not settled or not len(self.moved):
                self.hessian, self.moved = self.curvature()
            away = self._downhill()
            if away is None:
                break
            self.point = away
            self._descend()
        else:
            raise Runaway("The likelihood has no maximum near its stationary points.")
        self._polish()

    # the start

    def _begin(self) -> None:
        layout = self.problem.layout
        if isinstance(layout, OneFactor) and layout.levels > PILOT:
            chosen = np.linspace(0, layout.levels - 1, PILOT_SIZE).astype(np.intp)
            pilot = Search(self.problem.subset(chosen), self.nodes)
            if pilot.exact:
                pilot.done = PILOT_DONE
            try:
                pilot._cold()
                pilot._descend()
            except (Runaway, NotEstimable):
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
            raise Runaway("The likelihood could not be computed near the marginal model.")
        self._measure()

    def _measure(self) -> None:
        """The Hessian at the best point, exact where it is known."""
        if self.exact:
            self.hessian, self.moved = self.curvature()
        else:
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
            if decrement < self.done:
                return
            new = self._line(step, decrement)
            if new is None:
                if decrement < GOOD_ENOUGH:
                    return
                before = self.hessian
                self._measure()
                if np.allclose(before, self.hessian, rtol=1e-3, atol=0.0):
                    raise Runaway("The likelihood could not be raised further.")
                continue
            if self.exact:
                self.point = new
                self._measure()
            else:
                self._learn(new)
                self.point = new
            self._refuse_runaway()
        raise Runaway(f"The likelihood did not reach its maximum in {STEPS} steps.")

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
                new = self.near(at.psi + size * step)
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
            raise Runaway(
                "The likelihood has no maximum: it keeps rising as a variance or a coefficient "
                "grows without bound. The outcome hardly varies within the groups."
            )

    # the end

    def curvature(self) -> tuple[Array, list[Array]]:
        """The Hessian, and how the modes move (by column): exact, or by central differences.

        Steps are a ten-thousandth of a standard error; the mode below is extrapolated from the
        one above, so that it costs one Newton step.
        """
        at = self.point
        if self.exact:
            found, modes = glmm_hessian.hessian(self.problem, at)
            return found, list(modes)
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
        if self.problem.family.dispersed:
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
        step[free] = -positive_inverse(self.hessian[np.ix_(free, free)]) @ self.point.gradient[free]
        decrement = float(-step @ self.point.gradient)
        if FINISHED < decrement < 1e-4:
            new = self.near(self.point.psi + step)
            if new.value <= self.point.value + 1e-10 * max(1.0, abs(self.point.value)):
                self.point = new

    def covariance(self) -> Array:
        """Covariance of the parameters, zero for those at their boundary."""
        free = self.free()
        joint = np.zeros((self.point.psi.size, self.point.psi.size))
        joint[np.ix_(free, free)] = positive_inverse(self.hessian[np.ix_(free, free)])
        return joint

    def free(self) -> IntArray:
        """The parameters that are not at their boundary."""
        L, _, own = self.problem.parts(self.point.psi)
        k, p = self.problem.n_theta, self.problem.p
        inside = [j for j, (_, c) in enumerate(self.problem.entries) if L[c, c] != 0.0]
        root = self.problem.family.dispersed
        inside += [*range(k, k + p), *(k + p + j for j, v in enumerate(own) if v != 0 or not root)]
        return np.array(inside, dtype=np.intp)


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
    """Coefficients without random effects, by Newton; Runaway where they grow without bound."""
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
        raise Runaway("The model without random effects has no maximum.")
    if np.abs(beta @ Xt).max() > EXTREME:
        rows, y = family.comparisons(Xt.T)
        direction = separating_direction(rows, y)
        if direction is not None and direction[: problem.p].any():
            raise Runaway("The outcome is separated.")
    return np.asarray(beta)


def positive_inverse(H: Array) -> Array:
    """The inverse on the positive directions of H."""
    if not len(H):
        return H
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-300))
    values, vectors = np.linalg.eigh(scale[:, None] * H * scale)
    kept = values > 1e-10
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.asarray(inverse * np.outer(scale, scale))
