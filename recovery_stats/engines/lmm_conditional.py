"""Conditional AIC of a mixed model: how well it predicts new outcomes of the same groups.

The penalty is the trace of the derivative of the fitted values in the outcomes. With known
variances that is n - tr P, P = V0⁻¹ - V0⁻¹X(X'V0⁻¹X)⁻¹X'V0⁻¹ (Vaida & Blanchard 2005). Estimated
variances move with the outcome, and add (Greven & Kneib 2010; here from the implicit derivative)

    sum_ab (Hess⁻¹)_ab (2 nu / r2) u_a'(u_b - (g_b / r2) Py),  u_a = P V_a P y, g_a = y'P V_a P y.

Directions in which a variance is zero stay there and add nothing.
Checked: refits to moved outcomes, dense P, least squares (tests/engines/test_lmm_conditional.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array, single_thread
from recovery_stats.engines.lmm import LmmFit
from recovery_stats.engines.lmm_criterion import evaluate, observed_information
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import Moments
from recovery_stats.engines.lmm_products import effects_of, trace_once
from recovery_stats.engines.lmm_ratio import Design, Sums

STEP = 1e-4  # of central differences of the gradient, in units of theta


@dataclass(frozen=True, slots=True)
class Conditional:
    """The log-likelihood given the predicted effects, and effective degrees of freedom: of the
    fitted values with variances known, what their estimation adds; one more is for sigma."""

    log_likelihood: float
    known: float
    estimation: float

    @property
    def df(self) -> float:
        return self.known + self.estimation + 1.0

    @property
    def caic(self) -> float:
        return 2.0 * self.df - 2.0 * self.log_likelihood


def conditional(design: Design, y: Array, *, weights: Array | None = None) -> Conditional:
    """y (n,): the outcome less its offset; weights (n,): the prior weights of the fit."""
    with single_thread():
        fit, at = design.fit, design.fit.solution.moments
        sums = Sums.of(design, weights)
        root = 1.0 if weights is None else np.sqrt(weights)
        outcome = root * (y - design.X @ fit.frame.start) / fit.frame.scale
        Py = outcome - _fitted(sums, at)
        n, s2 = y.size, fit.sigma2 / fit.frame.scale**2
        value = -0.5 * (n * np.log(2.0 * np.pi * fit.sigma2) + float(Py @ Py) / s2)
        value += 0.5 * fit.frame.log_weights
        known = _known(fit.problem, at)
        return Conditional(float(value), known, _estimation(fit, sums, Py))


def _known(problem: Problem, at: Moments) -> float:
    """n - tr P."""
    p, total, S = problem.p, 0.0, at.S[: problem.p, : problem.p].copy()
    for k, L in enumerate(at.L):
        Psi, Hx = L @ L.T, effects_of(problem, at, k)[:, :p]
        total += trace_once(problem, at, k, Psi)
        S -= np.einsum("qsm,qr,rtm->st", Hx, Psi, Hx, optimize=True)
    return total + float(np.sum(at.S_inverse * S.T))


def _estimation(fit: LmmFit, sums: Sums, Py: Array) -> float:
    problem, at = fit.problem, fit.solution.moments
    live = [a for a, (k, _, j) in enumerate(problem.entries()) if np.abs(at.L[k][:, j]).max() > 0]
    if not live:
        return 0.0
    W = np.column_stack([_moved(fit, sums, a) for a in live])
    U = np.column_stack([w - _fitted(sums, sums.moments(w, at)) for w in W.T])
    g = W.T @ Py
    inner = U.T @ U - np.outer(U.T @ Py, g) / at.r2
    hessian = _hessian(fit)[np.ix_(live, live)]
    return float(2.0 * problem.nu / at.r2 * np.trace(np.linalg.solve(hessian, inner.T)))


def _moved(fit: LmmFit, sums: Sums, entry: int) -> Array:
    """V_a P y (n,) for one entry of theta."""
    problem, at = fit.problem, fit.solution.moments
    k, i, j = problem.entries()[entry]
    t = np.tensordot(at.v, effects_of(problem, at, k), (0, 1))
    column = at.L[k][:, j]
    w = np.outer(column, t[i])
    w[i] += column @ t
    return sums.spread(k, w)


def _fitted(sums: Sums, at: Moments) -> Array:
    """X beta and the predicted effects at theta, on the rows."""
    problem = sums.fit.problem
    total = sums.X @ at.beta
    for k, L in enumerate(at.L):
        t = np.tensordot(at.v, effects_of(problem, at, k), (0, 1))
        total = total + sums.spread(k, L @ (L.T @ t))
    return np.asarray(total)


def _hessian(fit: LmmFit) -> Array:
    """The exact Hessian of the criterion in theta."""
    exact = observed_information(fit.problem, fit.solution)
    if exact is not None:
        return exact
    theta = fit.solution.theta
    columns = []
    for a in range(theta.size):
        e = np.zeros(theta.size)
        e[a] = STEP * max(1.0, abs(theta[a]))
        up, down = (evaluate(fit.problem, theta + s * e).gradient for s in (1, -1))
        columns.append((up - down) / (2.0 * e[a]))
    found = np.column_stack(columns)
    return np.asarray(0.5 * (found + found.T))
