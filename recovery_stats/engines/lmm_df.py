"""Degrees of freedom for a mixed model: Satterthwaite, Kenward and Roger, and F tests.

gamma: the free entries of each Psi (absolute) and the residual variance, so that the covariance
V = s2 I + Z Psi Z' is linear in gamma. At the boundary the directions in which Psi is exactly
zero are left out: gamma then moves Psi within its rank. With V_r = dV/dgamma_r,

    P_r = X'V⁻¹V_rV⁻¹X,  Q_rs = X'V⁻¹V_rV⁻¹V_sV⁻¹X,  tr_rs = tr(V⁻¹V_rV⁻¹V_s),

all from the cross-products T = Z'V0⁻¹Z and H = Z'V0⁻¹[X y] without any n by n matrix. Everything
here is in units in which X'V⁻¹X = I, and contrasts are carried into them: where a variance of
groups is 1e9 times the residual's, Phi P Phi of other units has no digits left.

Sources: Kenward & Roger 1997; Fai & Cornelius 1996; Halekoh & Højsgaard 2014; Kuznetsova,
Brockhoff & Christensen 2017. Checked: dense formulas; lmerTest and pbkrtest reference cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm import LmmFit
from recovery_stats.engines.lmm_groups import Problem
from recovery_stats.engines.lmm_moments import Moments
from recovery_stats.engines.lmm_products import (
    effects_of,
    lift,
    through,
    times_effects,
    trace_once,
)
from recovery_stats.engines.lmm_single import with_residual
from recovery_stats.engines.lmm_traces import Direction, pair_traces
from recovery_stats.errors import NotEstimable


@dataclass(frozen=True, slots=True)
class Information:
    """Pieces per parameter of gamma (r), for X in the units of `basis`.

    Phi (p, p) = (X'V⁻¹X)⁻¹; P (r, p, p), Q (r, r, p, p); observed (r, r): information of gamma
    in the likelihood used, expected (r, r): the same in expectation (REML).
    W, A: their inverses, i.e. covariances of the estimate of gamma.
    """

    Phi: Array
    P: Array
    Q: Array
    observed: Array
    expected: Array
    A: Array
    W: Array
    basis: Array  # user's contrasts L become L @ basis
    dropped: int
    bend: Array | None = None  # sum W_cd X'V⁻¹V_cdV⁻¹X, where V is not linear in gamma


@dataclass(frozen=True, slots=True)
class FTest:
    """An F test of L beta = 0: numerator and denominator df, the statistic and its p."""

    num_df: int
    den_df: float
    statistic: float
    p_value: float


# --- the information about gamma -----------------------------------------------------------------


def information(fit: LmmFit) -> Information:
    """All quantities that both approximations need; one pass over the groups' summaries."""
    problem, at = fit.problem, fit.solution.moments
    s2, p = at.r2 / problem.nu, problem.p
    directions = _directions(problem, at, s2)
    if at.sums is not None:
        E = np.array([E for _, E in directions]).reshape(-1, *at.L[0].shape)
        P, Q, traces = at.sums.pieces(E, at.L[0] @ at.L[0].T, problem.n, s2)
    else:
        P, Q, traces = _pieces(problem, at, directions, s2)
    v, K = at.v, np.sqrt(s2) * _root(at.S[:p, :p])
    Px, Qx = K.T @ P[:, :p, :p] @ K, K.T @ Q[:, :, :p, :p] @ K
    fixed = -2.0 * np.einsum("rsii->rs", Qx) + np.einsum("rij,sji->rs", Px, Px)
    expected = 0.5 * (traces + fixed)
    seen = traces + (fixed if problem.reml else 0.0)
    Pv = (P @ v)[:, :p] @ K
    quadratic = np.einsum("i,rsij,j->rs", v, Q, v) - Pv @ Pv.T
    bend = _curvature(problem, at, fit.solution.grad_psi, s2)
    observed = -0.5 * seen + quadratic + bend
    scale = fit.frame.scale
    return Information(
        np.eye(p),
        Px / scale**2,
        Qx / scale**4,
        observed / scale**4,
        expected / scale**4,
        scale**4 * inverse_information(observed),
        scale**4 * inverse_information(expected),
        scale * fit.frame.A @ K,
        sum(fit.problem.q) - sum(fit.rank),
    )


def _root(S: Array) -> Array:
    """K (p, p), upper triangular, with K K' = S⁻¹."""
    size = 1.0 / np.sqrt(np.diag(S))
    lower = np.linalg.cholesky(size[:, None] * S * size)
    inverse = solve_triangular(lower, np.eye(len(S)), lower=True, check_finite=False)
    return np.asarray(size[:, None] * inverse.T)


def inverse_information(matrix: Array) -> Array:
    """Inverse on the directions with positive information, scaled to a unit diagonal first."""
    size = np.sqrt(np.abs(np.diag(matrix)))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) / np.outer(size, size))
    live = values > 1e-12 * values[-1]
    inverse = (vectors[:, live] / values[live]) @ vectors[:, live].T
    return np.asarray(inverse / np.outer(size, size))


def _directions(problem: Problem, at: Moments, s2: float) -> list[tuple[int, Array]]:
    """dPsi/dgamma for every parameter: (factor, symmetric E).

    A block of full rank has its own entries as parameters. One of lower rank can only move
    within its rank: its parameters are the entries of its nonzero Cholesky columns.
    """
    found = []
    for k, block, columns in _parameters(problem, at):
        for i, j in columns:
            E = np.zeros((problem.q[k], problem.q[k]))
            if _full(at, k, block):
                E[i, j] = E[j, i] = 1.0
            else:
                E[i] += np.sqrt(s2) * at.L[k][:, j]
                E[:, i] += np.sqrt(s2) * at.L[k][:, j]
            found.append((k, E))
    return found


def directions_of(fit: LmmFit) -> list[tuple[int, Array]]:
    """dPsi/dgamma in the user's units, (factor in the user's order, symmetric E).

    In the order of `Information.A`, whose last parameter is the residual variance.
    """
    at = fit.solution.moments
    inside = _directions(fit.problem, at, at.r2 / fit.problem.nu)
    return [
        (fit.frame.order[k], np.asarray(fit.frame.T[k] @ E @ fit.frame.T[k].T)) for k, E in inside
    ]


def _parameters(
    problem: Problem, at: Moments
) -> Iterator[tuple[int, tuple[int, ...], list[tuple[int, int]]]]:
    """(factor, block, entries) of every block; entries of zero columns are left out."""
    for k, blocks in enumerate(problem.blocks):
        for block in blocks:
            live = [j for j in block if np.abs(at.L[k][:, j]).max() > 0]
            yield k, block, [(i, j) for j in live for i in block if i >= j]


def _full(at: Moments, k: int, block: tuple[int, ...]) -> bool:
    sizes = np.linalg.svd(at.L[k][np.ix_(block, block)], compute_uv=False)
    return bool((sizes > 0).all())


def _curvature(problem: Problem, at: Moments, grad_psi: Sequence[Array], s2: float) -> Array:
    """What the bend of L L' adds to the information where Psi is short of rank.

    There the derivative in Psi is not zero: G[i, k] / s2 for two entries of one column.
    """
    places = [
        (k, i, j, _full(at, k, block))
        for k, block, entries in _parameters(problem, at)
        for i, j in entries
    ]
    out = np.zeros((len(places) + 1, len(places) + 1))
    for a, (k, i, j, full) in enumerate(places):
        for b, (k2, i2, j2, _) in enumerate(places):
            if k == k2 and j == j2 and not full:
                out[a, b] = grad_psi[k][i, i2] / s2
    return out


def _pieces(
    problem: Problem, at: Moments, directions: list[Direction], s2: float
) -> tuple[Array, Array, Array]:
    """P, Q and tr for all parameters, [X y] in place of X; the same as `Sums.pieces`.

    Psi of every factor together is the last direction, which becomes the residual variance.
    """
    r, count = len(directions), len(problem.q)
    every = [*directions, *((k, at.L[k] @ at.L[k].T) for k in range(count))]
    EH = [times_effects(problem, at, k, E) for k, E in every]
    lifted = [lift(problem, at, k, part) for (k, _), part in zip(every, EH, strict=True)]
    once = np.stack(
        [
            np.tensordot(effects_of(problem, at, k), part, ((0, 2), (0, 2)))
            for (k, _), part in zip(every, EH, strict=True)
        ]
    )
    twice = np.empty((r + count, r + count, *at.S.shape))
    for a in range(r + count):
        for b in range(a + 1):
            twice[a, b] = through(at, every, EH, lifted, a, b)
            twice[b, a] = twice[a, b].T
    once_trace = np.array([trace_once(problem, at, k, E) for k, E in every])
    together = np.eye(r + 1, r + count)
    together[r, r:] = 1.0
    return with_residual(
        np.tensordot(together, once, 1),
        np.einsum("ai,bj,ijst->abst", together, together, twice),
        together @ once_trace,
        together @ pair_traces(problem, at, every) @ together.T,
        at.S,
        problem.n,
        s2,
    )


# --- Satterthwaite -------------------------------------------------------------------------------


def satterthwaite(info: Information, L: Array) -> Array:
    """Degrees of freedom (k,) of the linear combinations L (k, p) of the user's coefficients.

    2 (l'Phi l)² / Var(l'Phi l), the variance by the delta method with the observed information.
    """
    rows = L @ info.basis
    variance = np.einsum("ki,ij,kj->k", rows, info.Phi, rows)
    u = rows @ info.Phi
    slope = np.einsum("ki,rij,kj->kr", u, info.P, u)
    spread = np.einsum("kr,rs,ks->k", slope, info.A, slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 2.0 * variance**2 / spread
    return np.where((spread > 0) & (variance > 0), df, np.nan)


def satterthwaite_f(info: Information, L: Array, beta: Array) -> FTest:
    """F test of L beta = 0 by the independent directions of its covariance (Fai & Cornelius).

    These directions, and so the denominator df, depend on how L is written; the convention of
    the field is the reduced form that `models.hypothesis` gives.
    """
    L = L if np.linalg.matrix_rank(L) == len(L) else row_basis(L)
    values, vectors = np.linalg.eigh(L @ info.basis @ info.Phi @ info.basis.T @ L.T)
    turned = vectors.T @ L
    t2 = (turned @ beta) ** 2 / values
    nu = satterthwaite(info, turned)
    q = len(values)
    if q == 1 or np.ptp(nu) < 1e-8 * nu.max():
        den = float(nu.mean())
    elif (nu > 2).all():
        expected = float((nu / (nu - 2.0)).sum())
        den = 2.0 * expected / (expected - q)
    else:
        den = 2.0
    statistic = float(t2.mean())
    return FTest(q, den, statistic, float(f_distribution.sf(statistic, q, den)))


def row_basis(L: Array) -> Array:
    """Orthonormal rows that span the rows of L."""
    _, sizes, V = np.linalg.svd(L, full_matrices=False)
    return np.asarray(V[sizes > 1e-9 * sizes[0]])


# --- Kenward and Roger ---------------------------------------------------------------------------


def adjusted_covariance(info: Information) -> Array:
    """Kenward and Roger's covariance of beta, in the user's units."""
    inside = _adjusted(info)
    return np.asarray(info.basis @ inside @ info.basis.T)


def _adjusted(info: Information) -> Array:
    PPhiP = np.einsum("rij,jk,skl->rsil", info.P, info.Phi, info.P)
    total = np.einsum("rs,rsij->ij", info.W, info.Q - PPhiP)
    if info.bend is not None:
        total -= 0.25 * info.bend
    out = info.Phi + 2.0 * info.Phi @ total @ info.Phi
    return np.asarray(0.5 * (out + out.T))


def kenward_roger_f(info: Information, L: Array, beta: Array) -> FTest:
    """Scaled F test of L beta = 0 (Kenward & Roger 1997)."""
    rows = row_basis(L @ info.basis)
    q = rows.shape[0]
    estimate = rows @ np.linalg.solve(info.basis, beta)
    den, scale = _moments(info, rows)
    wald = float(estimate @ np.linalg.solve(rows @ _adjusted(info) @ rows.T, estimate)) / q
    statistic = scale * wald
    return FTest(q, den, statistic, float(f_distribution.sf(statistic, q, den)))


def kenward_roger(info: Information, L: Array) -> Array:
    """Degrees of freedom (k,) of single combinations L (k, p)."""
    return np.array([_moments(info, row[None] @ info.basis)[0] for row in L])


def _moments(info: Information, rows: Array) -> tuple[float, float]:
    """Denominator df and scale that match the F statistic's mean and variance."""
    q = rows.shape[0]
    Theta = rows.T @ np.linalg.solve(rows @ info.Phi @ rows.T, rows)
    ThetaPhi = Theta @ info.Phi
    M = np.einsum("ij,rjk,kl->ril", ThetaPhi, info.P, info.Phi)
    single = np.einsum("rii->r", M)
    A1 = float(single @ info.W @ single)
    A2 = float(np.einsum("rs,rij,sji->", info.W, M, M))
    if not A2 > 0:
        raise NotEstimable("Kenward and Roger's degrees of freedom do not exist for this contrast.")
    if q == 1:
        return 2.0 / A2, 1.0  # what the formulas below reduce to, without their 0 / 0 at df 2
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    d = 3.0 * q + 2.0 * (1.0 - g)
    V0, V1, V2 = 1.0 + g / d * B, 1.0 - (q - g) / d * B, 1.0 - (q + 2 - g) / d * B
    mean = 1.0 - A2 / q
    ratio = 1.0 if max(abs(mean), abs(V1)) < 1e-14 else mean / V1
    with np.errstate(divide="ignore"):
        rho = float(np.float64(ratio**2 * V0) / (q * V2))
    den = 4.0 + (q + 2.0) / (q * rho - 1.0)
    return den, 1.0 if abs(den - 2.0) < 1e-2 else den * mean / (den - 2.0)


def normal_f(covariance: Array, L: Array, beta: Array) -> FTest:
    """Wald test of L beta = 0 with an infinite denominator: chi-squared over its df."""
    rows = row_basis(L)
    estimate = rows @ beta
    q = rows.shape[0]
    statistic = float(estimate @ np.linalg.solve(rows @ covariance @ rows.T, estimate)) / q
    return FTest(q, np.inf, statistic, float(chi2.sf(statistic * q, q)))
