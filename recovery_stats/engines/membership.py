"""A linear mixed model of multiple membership: rows that belong to several groups, with weights.

y = X beta + W u + e,  u ~ N(0, tau2 I), e ~ N(0, sigma2 I); W (n, J) holds how much of a row
belongs to each group, and a row of zeros belongs to none. In the eigenvectors of W W', of which
there are at most J, the covariance is diagonal, so that the criterion is a sum over J numbers and
its root in theta = tau2 / sigma2 is found by bracketing the derivative.
Sources: Browne, Goldstein & Rasbash 2001; Lindstrom & Bates 1988 (the profiled criterion).
Checked: dense likelihood, R lme4 with its Zt replaced, `lmm` where every row has one group
(tests/engines/test_membership.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_df import Information, inverse_information
from recovery_stats.errors import NotEstimable

NOTHING = 1e-12  # share of the largest eigenvalue below which a direction of W does not exist
GRID = np.logspace(-6, 6, 97)  # theta times the largest eigenvalue, where a bracket is looked for


@dataclass(frozen=True, slots=True)
class Rotated:
    """The data in the eigenvectors of W W': d (r,) > 0 their values, x (r, p), y (r,).

    xx, xy, yy: cross-products of what lies outside them; basis (p, p) turns coefficients of the
    orthonormal columns into the user's, start (p,) is added.
    """

    d: Array
    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: float
    n: int
    basis: Array
    start: Array
    projector: Array  # (r, J): d^-1/2 V', from groups to these directions


@dataclass(frozen=True, slots=True)
class At:
    """The criterion (REML deviance) at theta, its derivative, beta (p,) and r2 = y'P y."""

    criterion: float
    slope: float
    beta: Array
    r2: float
    inverse: Array


@dataclass(frozen=True, slots=True)
class MembershipFit:
    """beta (p,), covariance (p, p); tau2 between groups, sigma2 of rows; effects (J,), predicted.

    criterion: the REML deviance. singular: tau2 is estimated as zero.
    """

    beta: Array
    covariance: Array
    tau2: float
    sigma2: float
    effects: Array
    criterion: float
    singular: bool
    information: Information

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.criterion


def fit(X: Array, y: Array, W: csr_array) -> MembershipFit:
    """Fit by REML.

    X (n, p) of full column rank, p < n; W (n, J) weights >= 0. Raises NotEstimable when nothing
    varies, or when the groups explain everything.
    """
    data = _rotate(X, y, W)
    theta = _best(data)
    at = _evaluate(data, theta)
    sigma2 = at.r2 / (data.n - X.shape[1])
    information = _information(data, at, theta, sigma2)
    left = data.y - data.x @ at.beta
    along = theta * data.d / (1.0 + theta * data.d) * left
    covariance = sigma2 * data.basis @ at.inverse @ data.basis.T
    criterion = at.criterion - 2.0 * float(np.linalg.slogdet(data.basis)[1])
    return MembershipFit(
        data.start + data.basis @ at.beta, covariance, theta * sigma2, sigma2,
        data.projector.T @ along, criterion, theta == 0.0, information,
    )  # fmt: skip


def _rotate(X: Array, y: Array, W: csr_array) -> Rotated:
    Q, R = np.linalg.qr(X)
    basis = np.linalg.inv(R)
    ols = Q.T @ y
    rest = y - Q @ ols
    if not float(rest @ rest) > 1e-26 * float(y @ y):
        raise NotEstimable("The outcome has no variation left after the fixed effects.")
    values, V = np.linalg.eigh((W.T @ W).toarray())
    live = values > NOTHING * values.max(initial=0.0)
    if not live.any():
        raise NotEstimable("No row belongs to any group.")
    d = values[live]
    projector = V[:, live].T / np.sqrt(d)[:, None]
    x, z = projector @ (W.T @ Q), projector @ (W.T @ rest)
    p = X.shape[1]
    outside = rest - W @ (projector.T @ z) if len(d) < len(y) else np.zeros(len(y))
    return Rotated(
        d, x, z, np.eye(p) - x.T @ x, -x.T @ z, float(outside @ outside), len(y), basis,
        basis @ ols, projector,
    )  # fmt: skip


def _evaluate(data: Rotated, theta: float) -> At:
    """The profiled REML deviance of the orthonormal columns with its derivative in theta."""
    v = 1.0 / (1.0 + theta * data.d)
    nu = data.n - data.x.shape[1]
    S = data.xx + (data.x * v[:, None]).T @ data.x
    inverse: Array = np.asarray(np.linalg.inv(S), dtype=float)
    beta = inverse @ (data.xy + data.x.T @ (v * data.y))
    left = data.y - data.x @ beta
    outside = data.yy - 2.0 * data.xy @ beta + beta @ data.xx @ beta
    r2 = float(outside + left @ (v * left))
    if not r2 > 0:
        raise NotEstimable("The groups explain the outcome entirely: no residual is left.")
    log_det = float(np.sum(np.log1p(theta * data.d)))
    log_det += float(np.linalg.slogdet(S)[1])
    criterion = log_det + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    w = data.d * v**2
    H = (data.x * w[:, None]).T @ data.x
    trace = float(np.sum(data.d * v) - np.sum(inverse * H))
    slope = trace - nu * float(left @ (w * left)) / r2
    return At(criterion, slope, beta, r2, inverse)


def _best(data: Rotated) -> float:
    """theta at the lowest criterion: 0, or the root of the derivative beside the best of a grid."""
    grid = GRID / data.d.max()
    found = [_evaluate(data, t) for t in grid]
    best = int(np.argmin([at.criterion for at in found]))
    low = grid[best - 1] if best else 0.0
    high = grid[best + 1] if best + 1 < len(grid) else grid[best] * 1e6
    if best + 1 == len(grid) and _evaluate(data, high).slope < 0:
        raise NotEstimable("The groups explain the outcome entirely: no residual is left.")
    if _evaluate(data, low).slope >= 0:
        return float(low)
    root = brentq(lambda t: _evaluate(data, t).slope, low, high, xtol=1e-300, rtol=1e-14)
    at_zero = _evaluate(data, 0.0)
    return float(root) if _evaluate(data, root).criterion < at_zero.criterion else 0.0


def _information(data: Rotated, at: At, theta: float, sigma2: float) -> Information:
    """What degrees of freedom are computed from; gamma = (tau2, sigma2), tau2 left out at zero."""
    lam = sigma2 * (1.0 + theta * data.d)
    directions = [data.d, np.ones_like(data.d)] if theta > 0 else [np.ones_like(data.d)]
    residual = np.array([0.0, 1.0]) if theta > 0 else np.array([1.0])
    left = data.y - data.x @ at.beta
    Xy = data.xy - data.xx @ at.beta  # X'r outside the eigenvectors
    rr = data.yy - 2.0 * data.xy @ at.beta + at.beta @ data.xx @ at.beta
    k, p = len(directions), data.x.shape[1]
    P, Pv = np.empty((k, p, p)), np.empty((k, p))
    Q, traces, quadratic = np.empty((k, k, p, p)), np.empty((k, k)), np.empty((k, k))
    for r, a in enumerate(directions):
        w = a / lam**2
        P[r] = (data.x * w[:, None]).T @ data.x + residual[r] * data.xx / sigma2**2
        Pv[r] = data.x.T @ (w * left) + residual[r] * Xy / sigma2**2
        for s, b in enumerate(directions):
            both, w = residual[r] * residual[s], a * b / lam**3
            Q[r, s] = (data.x * w[:, None]).T @ data.x + both * data.xx / sigma2**3
            quadratic[r, s] = left @ (w * left) + both * rr / sigma2**3
            traces[r, s] = np.sum(a * b / lam**2) + both * (data.n - len(lam)) / sigma2**2
    Phi = sigma2 * at.inverse
    PPhi = P @ Phi
    fixed = -2.0 * np.einsum("rsij,ji->rs", Q, Phi) + np.einsum("rij,sji->rs", PPhi, PPhi)
    expected = 0.5 * (traces + fixed)
    observed = quadratic - Pv @ Phi @ Pv.T - expected
    return Information(
        Phi, P, Q, observed, expected, inverse_information(observed),
        inverse_information(expected), data.basis, 0 if theta > 0 else 1,
    )  # fmt: skip
