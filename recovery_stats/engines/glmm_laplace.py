"""Laplace's approximation to a generalised mixed model's likelihood, with its exact gradient.

With h(u) = -log f(y | u) + u'u / 2 and its mode û, H = I + E'WE there, the criterion is
F = h(û) + log|H| / 2. The mode moves with the parameters: dû = -H⁻¹ ∂²h / ∂u ∂psi, so that with
s = diag(E H⁻¹ E'), a = s · bend / 2, k = H⁻¹E'a the gradient needs one more solve and no inverse.
Curvatures are observed ones, not expected. `glmm_quadrature` shares everything here.
Sources: Breslow & Clayton 1993; Skaug & Fournier 2006. Checked: dense formulas, integration by
brute force, finite differences (tests/engines/test_glmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.engines.glmm_family import Family, Rows
from recovery_stats.engines.glmm_layout import (
    Equations,
    OneFactor,
    OneFactorEquations,
    SeveralFactors,
)
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import ConvergenceError

MODE_STEPS = 200
QUICK_STEPS = 15  # Newton steps after which every one must lower h for certain
CLOSE = 1e-7  # a Newton step this short leaves an error of its square


@dataclass(frozen=True, slots=True)
class Problem:
    """Data in orthogonal units: Xt (p, n), Z (Q, n) of all factors, offset (n,).

    entries: (row, column) of every free entry of L (Q, Q), block diagonal, in the order of theta.
    Parameters psi are theta, then beta (p,), then the family's own.
    """

    Xt: Array
    Z: Array
    offset: Array
    family: Family
    layout: OneFactor | SeveralFactors
    entries: tuple[tuple[int, int], ...]

    @property
    def n_theta(self) -> int:
        return len(self.entries)

    @property
    def p(self) -> int:
        return int(self.Xt.shape[0])

    @property
    def n(self) -> int:
        return int(self.Z.shape[1])

    def parts(self, psi: Array) -> tuple[Array, Array, Array]:
        """L (Q, Q), beta and the family's own parameters."""
        L = np.zeros((len(self.Z), len(self.Z)))
        for value, (i, j) in zip(psi, self.entries, strict=False):
            L[i, j] = value
        at = self.n_theta
        return L, psi[at : at + self.p], psi[at + self.p :]

    def theta(self, L: Array) -> Array:
        return np.array([L[i, j] for i, j in self.entries])

    def subset(self, chosen: IntArray) -> Problem:
        """The same model on some levels of its only factor."""
        assert isinstance(self.layout, OneFactor)
        layout, rows = self.layout.subset(chosen)
        return replace(
            self,
            Xt=np.ascontiguousarray(self.Xt[:, rows]),
            Z=np.ascontiguousarray(self.Z[:, rows]),
            offset=self.offset[rows],
            family=self.family.take(rows),
            layout=layout,
        )


@dataclass(frozen=True, slots=True)
class Mode:
    """The effects' mode u at psi: E (Q, n), predictor eta, the rows there, and the equations."""

    u: Array
    E: Array
    eta: Array
    rows: Rows
    equations: Equations


@dataclass(frozen=True, slots=True)
class Point:
    """The criterion (minus the log-likelihood) at psi with its gradient."""

    psi: Array
    value: float
    gradient: Array
    mode: Mode


def evaluate(problem: Problem, psi: Array, start: Array | None = None) -> Point:
    """The criterion by Laplace at psi; `start`: effects near the mode.

    The value is inf where the approximation does not exist (a curvature that is not positive).
    """
    mode = find_mode(problem, psi, start)
    log_det = mode.equations.log_det
    value = 0.5 * (float(mode.u @ mode.u) + log_det) - float(mode.rows.log_f.sum())
    if not np.isfinite(value):
        return Point(psi, float("inf"), np.zeros_like(psi), mode)
    return Point(psi, value, gradient(problem, mode, mode.rows.slope), mode)


def gradient(
    problem: Problem,
    mode: Mode,
    slope: Array,
    *,
    slope_effects: Array | None = None,
    own_slopes: Sequence[float] | None = None,
    volume: OneFactorEquations | None = None,
    pull: Array | None = None,
) -> Array:
    """The gradient of the criterion in psi.

    Quadrature averages over its nodes: slope (n,) and slope_effects (Q, n), slope times u;
    own_slopes, of log f in the family's parameters. volume: what stands for H⁻¹ beside dH; pull:
    the derivative in the mode itself (effects,). Laplace needs none of them.
    """
    layout, Z, rows, E = problem.layout, problem.Z, mode.rows, mode.E
    T = (volume or mode.equations).own(E)
    spread = (E * T).sum(0)
    a = 0.5 * spread * rows.bend
    k = layout.sums(E * a)
    k = mode.equations.solve(k if pull is None else k + pull)
    K, U = layout.rows(k), layout.rows(mode.u)
    moved = (E * K).sum(0)
    further = a - rows.curvature * moved
    at_effects = (-slope * U if slope_effects is None else -slope_effects) + further * U
    at_effects += rows.slope * K + rows.curvature * T
    theta = [Z[i] @ at_effects[j] for i, j in problem.entries]
    beta = problem.Xt @ (further - slope)
    own = []
    for number, change in enumerate(rows.changes):
        direct = float(change.log_f.sum()) if own_slopes is None else own_slopes[number]
        own.append(0.5 * spread @ change.curvature + moved @ change.slope - direct)
    return np.concatenate([theta, beta, own])


# --- the mode ---------------------------------------------------------------------------------


def find_mode(problem: Problem, psi: Array, start: Array | None = None) -> Mode:
    """The mode of the effects by Newton's method, shortened where it overshoots.

    Levels of a single factor are separate problems, shortened separately.
    """
    L, beta, own = problem.parts(psi)
    layout, family = problem.layout, problem.family
    E = _scaled_design(L, problem.Z)
    fixed = beta @ problem.Xt + problem.offset
    u = np.zeros(layout.size) if start is None else start
    slope, curvature = family.steps(_predictor(layout, E, u, fixed), own)
    score = u - layout.sums(E * slope)
    for number in range(MODE_STEPS):
        equations = layout.equations(E, curvature)
        careful = number >= QUICK_STEPS or not np.isfinite(equations.log_det)
        if not np.isfinite(equations.log_det):
            equations = layout.equations(E, np.maximum(curvature, 0.0))
        step = -equations.solve(score)
        longest = float(np.abs(step).max())
        if longest < CLOSE:
            break
        along = layout.along(step, score)
        u, slope, curvature, score = _shortened(problem, E, fixed, own, u, step, along, careful)
    else:
        raise ConvergenceError("The mode of the random effects was not found.")
    u = u + step
    eta = _predictor(layout, E, u, fixed)
    rows = family.rows(eta, own)
    return Mode(u, E, eta, rows, layout.equations(E, rows.curvature))


def _scaled_design(L: Array, Z: Array) -> Array:
    return Z * L[0, 0] if len(Z) == 1 else np.ascontiguousarray(L.T @ Z)


def _predictor(layout: OneFactor | SeveralFactors, E: Array, u: Array, fixed: Array) -> Array:
    contribution = E * layout.rows(u)
    return np.asarray(fixed + (contribution[0] if len(E) == 1 else contribution.sum(0)))


def _shortened(
    problem: Problem,
    E: Array,
    fixed: Array,
    own: Array,
    u: Array,
    step: Array,
    along: Array,
    careful: bool,
) -> tuple[Array, Array, Array, Array]:
    """Take the step, halved where it goes too far.

    Quick: too far is where the slope along the step has turned round and grown. Careful: where h
    itself has not fallen enough, which is certain to end but costs the likelihood.
    """
    layout, family = problem.layout, problem.family
    factors = np.ones_like(along)
    if careful:
        before = layout.heights(u, family.log_f(_predictor(layout, E, u, fixed), own))
        allowed = before + 1e-12 * (1.0 + np.abs(before))
    for _ in range(60):
        new = u + (step if factors.min() == 1.0 else layout.scaled(step, factors))
        eta = _predictor(layout, E, new, fixed)
        slope, curvature = family.steps(eta, own)
        score = new - layout.sums(E * slope)
        if careful:
            after = layout.heights(new, family.log_f(eta, own))
            bad = ~(after <= allowed + 1e-4 * factors * along)
        else:
            bad = ~(layout.along(step, score) <= -along) & (along < -(CLOSE**2))
        if not bad.any():
            return new, slope, curvature, score
        factors = np.where(bad, 0.5 * factors, factors)
    raise ConvergenceError("The mode of the random effects was not found.")
