"""Degrees of freedom for structured residuals: the `Information` that `lmm_df` works from.

Coordinates: the search's parameters and log s2, so that V_tau = V. P, Q and the adjusted
covariance's first part are tensors, the same in every coordinate. Kenward & Roger's term of second
derivatives, sum W_cd X'V⁻¹V_cdV⁻¹X / 4, is not: it is zero in covariances that enter V linearly
(unstructured, variances by level, compound symmetry and Toeplitz with one variance, all random
effects), and is taken in variances and correlations (the range for car1) for the others.
Satterthwaite uses the observed information, Kenward & Roger the expected one, as in `lmm_df`.
Source: Kenward & Roger 1997, eqs. 4-7. Checked: dense formulas; Hotelling's T²; the linear cases
of `lmm_df` (tests/engines/test_lmm_residual.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_df import Information, inverse_information
from recovery_stats.engines.lmm_pattern import Structured
from recovery_stats.engines.lmm_residual import ResidualFit
from recovery_stats.engines.lmm_structured import Point, directions, turn
from recovery_stats.engines.residual import Separable

BoolArray = NDArray[np.bool_]


def information(fit: ResidualFit) -> Information:
    """Every quantity of both approximations; parameters at their limit are left out."""
    problem, at, slopes = fit.problem, fit.point, fit.derivatives
    live = _live(fit)
    P, Q = _products(problem, at)
    P, Q = P[live], Q[np.ix_(live, live)]
    Sxx: Array = np.asarray(np.linalg.inv(at.Sxx_inverse), dtype=float)
    P, Q = _with_scale(P, Q, Sxx)
    ratio = problem.nu / at.r2
    inner = np.ix_(live, live)
    observed = np.block([
        [slopes.hessian[inner] + ratio / at.r2 * np.outer(slopes.g[live], slopes.g[live]),
         ratio * slopes.g[live, None]],
        [ratio * slopes.g[None, live], np.full((1, 1), float(problem.nu))],
    ])  # fmt: skip
    traces, once = slopes.traces[inner], slopes.once[live]
    expected = np.block([[traces, once[:, None]], [once[None], np.full((1, 1), problem.nu)]])
    size = fit.sigma2
    W = inverse_information(0.5 * expected)
    Phi = size * at.Sxx_inverse
    bend = _curvature(fit, W, live) / size
    return Information(
        Phi, P / size, Q / size, 0.5 * observed, 0.5 * expected,
        inverse_information(0.5 * observed), W, fit.frame.A,
        len(at.parameters) - int(live.sum()), bend,
    )  # fmt: skip


def _live(fit: ResidualFit) -> BoolArray:
    """Parameters that can move: V changes with them, and they stand inside their range."""
    problem, at = fit.problem, fit.point
    inner, outer = problem.entries(problem.inner), problem.entries(problem.outer)
    low, high = problem.residual.bounds
    moves = [bool(np.abs(at.L[k][:, j]).max() > 0) for k, _, j in (*inner, *outer)]
    inside = (at.eta > low) & (at.eta < high)
    return np.concatenate([moves[: len(inner)], inside, moves[len(inner) :]]).astype(bool)


def _with_scale(P: Array, Q: Array, Sxx: Array) -> tuple[Array, Array]:
    """Append log s2: V_tau = V, so P_tau = X'V⁻¹X and Q_a,tau = P_a."""
    r, p = P.shape[0], Sxx.shape[0]
    bigger = np.zeros((r + 1, r + 1, p, p))
    bigger[:r, :r], bigger[:r, r], bigger[r, :r], bigger[r, r] = Q, P, P, Sxx
    return np.concatenate([P, Sxx[None]]), bigger


def _products(problem: Structured, at: Point) -> tuple[Array, Array]:
    """P_a (r, p, p) and Q_ab (r, r, p, p) in units of s2, for [L inner, eta, L outer]."""
    m, p = problem.n_outer, problem.p
    r = len(problem.entries(problem.inner)) + problem.residual.size
    columns = np.zeros((len(at.S), p + m))
    columns[:, :p], columns[:m, p:] = at.to_x, np.eye(m)
    N, Q = np.zeros((r, p + m, p + m)), np.zeros((r, r, p, p))
    for batch, white in zip(problem.batches, at.whitened, strict=True):
        A = directions(problem, at, batch, white.C_inverse)
        W = white.D @ columns
        flat = W.reshape(-1, p + m)
        Y = np.empty((flat.shape[0], r, p))
        for a in range(r):
            whole = (A[a][batch.pattern] @ W).reshape(flat.shape)
            N[a] += flat.T @ whole
            Y[:, a] = whole[:, :p]
        wide = Y.reshape(flat.shape[0], r * p)
        Q += (wide.T @ wide).reshape(r, p, r, p).transpose(0, 2, 1, 3)
    Nx = N[:, :p, p:]
    Q -= np.einsum("aim,mn,bjn->abij", Nx, at.K, Nx)
    return _with_outer(problem, at, N, Q)


def _with_outer(problem: Structured, at: Point, N: Array, Q: Array) -> tuple[Array, Array]:
    entries = problem.entries(problem.outer)
    p, r, m = problem.p, len(N), problem.n_outer
    if not entries:
        return N[:, :p, :p], Q
    T22 = at.S[:m, :m]
    KT = np.eye(m) - at.K @ T22
    H, T = at.S[:m] @ at.to_x, T22 @ KT
    EH = np.stack([turn(problem, at, c, H) for c in entries])
    count = r + len(entries)
    P, bigger = np.zeros((count, p, p)), np.zeros((count, count, p, p))
    P[:r], P[r:] = N[:, :p, :p], H.T @ EH
    bigger[:r, :r] = Q
    bigger[r:, r:] = np.einsum("cmi,mn,dnj->cdij", EH, T, EH)
    mixed = np.einsum("aim,cmj->acij", N[:, :p, p:] @ KT, EH)
    bigger[:r, r:], bigger[r:, :r] = mixed, mixed.transpose(1, 0, 3, 2)
    return P, bigger


def _curvature(fit: ResidualFit, W: Array, live: BoolArray) -> Array:
    """sum W_cd X'V0⁻¹ (d²V0) V0⁻¹X over the natural parameters of the residual structure."""
    problem, at, residual = fit.problem, fit.point, fit.problem.residual
    out = np.zeros((problem.p, problem.p))
    if residual.linear or not isinstance(residual, Separable):
        return out
    J = residual.natural_jacobian(at.eta)
    natural = J @ _of_residual(fit, W, live) @ J.T
    for batch, white in zip(problem.batches, at.whitened, strict=True):
        bent = residual.natural_curvature(at.eta, natural, batch.cells)
        A = white.C_inverse @ bent @ white.C_inverse.transpose(0, 2, 1)
        W_x = white.D @ at.to_x
        flat = W_x.reshape(-1, problem.p)
        out += flat.T @ (A[batch.pattern] @ W_x).reshape(flat.shape)
    return out


def residual_variance(fit: ResidualFit, info: Information) -> Array:
    """Covariance (size + 1, size + 1) of the estimated eta and log s2; 0 for those at a limit."""
    return _of_residual(fit, info.A, _live(fit))


def _of_residual(fit: ResidualFit, variance: Array, live: BoolArray) -> Array:
    """The part for (eta, log s2) of a matrix over the live parameters and log s2."""
    first, size = len(fit.problem.entries(fit.problem.inner)), fit.problem.residual.size
    whole = np.zeros((len(live) + 1, len(live) + 1))
    places = np.append(np.flatnonzero(live), len(live))
    whole[np.ix_(places, places)] = variance
    mine = np.append(np.arange(first, first + size), len(live))
    return np.asarray(whole[np.ix_(mine, mine)])
