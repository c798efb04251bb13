"""The profiled criterion of a mixed model with structured residuals, and all its derivatives.

With V1 the covariance inside units, relative to s2, and Z2 the columns of the outer factors,

    V = V1 + Z2 Psi2 Z2',   V⁻¹ = V1⁻¹ - V1⁻¹ Z2 K Z2'V1⁻¹,   K = (Psi2⁻¹ + Z2'V1⁻¹Z2)⁻¹,

so that every quantity is a sum over units of small products with F = [Z2 X y] and algebra in the
size of F. P = V⁻¹ - V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹ is V1⁻¹ - V1⁻¹ F Om F'V1⁻¹ with Om = K plus the part of X.
Gradient and Hessian are exact: with V_a = dV/da and nu = n - p (REML),

    dev_a  = tr(P V_a) - nu/r2 · y'P V_a P y
    dev_ab = <G, V_ab> - tr(P V_a P V_b) + 2 nu/r2 · y'P V_a P V_b P y - nu/r2² · g_a g_b.

Units are whitened by the Cholesky factor of V1, so sums of squares stay sums of squares.
Sources: Lindstrom & Bates 1988; Gilmour, Thompson & Cullis 1995; Pinheiro & Bates 2000, ch. 5.
Checked: dense formulas, finite differences (tests/engines/test_lmm_residual.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_pattern import Batch, Structured

SINGULAR = 1e-12  # ratio of precisions of the coefficients at which X'V⁻¹X has no inverse left


@dataclass(frozen=True, slots=True)
class Whitened:
    """A batch at one point: C⁻¹ of V1 = C C' (P, k, k), and C⁻¹D (M, k, s)."""

    C_inverse: Array
    D: Array


@dataclass(frozen=True, slots=True)
class Point:
    """The criterion at `parameters`, and what derivatives and estimates are made of.

    S (s, s): F'V1⁻¹F. K (M2, M2) and its root, K = root root'. to_x (s, p), to_e (s,): V⁻¹X and
    V⁻¹(y - X beta) are V1⁻¹F times these. Sxx_inverse (p, p): (X'V⁻¹X)⁻¹ = Sxx_root Sxx_root'.
    """

    parameters: Array
    L: tuple[Array, ...]
    eta: Array
    criterion: float
    whitened: tuple[Whitened, ...]
    S: Array
    K: Array
    K_root: Array
    to_x: Array
    to_e: Array
    Sxx_inverse: Array
    Sxx_root: Array
    beta: Array
    r2: float


@dataclass(frozen=True, slots=True)
class Derivatives:
    """gradient (r,), Hessian and average information (r, r) of the criterion; slopes (q, q):
    the derivative in Psi of each factor; traces (r, r): tr(P V_a P V_b); Q (r, r), g (r,)."""

    gradient: Array
    hessian: Array
    average: Array
    slopes: tuple[Array, ...]
    traces: Array
    g: Array
    once: Array


def value(problem: Structured, parameters: Array) -> Point | None:
    """The criterion; None where a covariance is not positive definite or nothing is left."""
    L, eta = problem.unpack(parameters)
    s, m, p = problem.F.shape[1], problem.n_outer, problem.p
    S, log_det = np.zeros((s, s)), 0.0
    whitened = []
    try:
        for batch in problem.batches:
            C = np.linalg.cholesky(covariance(problem, batch, L, eta))
            C_inverse = np.linalg.inv(C)
            D = C_inverse[batch.pattern] @ batch.D
            whitened.append(Whitened(C_inverse, D))
            log_det += 2.0 * float(batch.count @ np.log(np.diagonal(C, axis1=1, axis2=2)).sum(1))
            flat = D.reshape(-1, s)
            S += flat.T @ flat
        K, root, outer_log_det = _outer(problem, L, S[:m, :m])
        inside = S[m:, m:] - S[m:, :m] @ K @ S[:m, m:]
        H = np.linalg.cholesky(inside)
    except np.linalg.LinAlgError:
        return None
    Hx = H[:p, :p]
    if p and np.diag(Hx).min() < SINGULAR * np.diag(Hx).max():
        return None
    Hx_inverse = solve_triangular(Hx, np.eye(p), lower=True) if p else np.zeros((0, 0))
    beta = Hx_inverse.T @ H[p, :p]
    r2, nu = float(H[p, p] ** 2), problem.nu
    both = np.zeros((s, p + 1))
    both[m:] = np.eye(p + 1)
    both[:m] = -K @ S[:m, m:]
    criterion = log_det + outer_log_det + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    criterion += 2.0 * float(np.log(np.diag(Hx)).sum()) if problem.reml else 0.0
    if not np.isfinite(criterion):
        return None
    return Point(
        parameters, tuple(L), eta, float(criterion), tuple(whitened), S, K, root, both[:, :p],
        both @ np.append(-beta, 1.0), Hx_inverse.T @ Hx_inverse,
        Hx_inverse.T, beta, r2,
    )  # fmt: skip


def covariance(problem: Structured, batch: Batch, L: list[Array], eta: Array) -> Array:
    """V1 (P, k, k) of a batch's patterns, relative to s2."""
    V, _ = problem.residual.matrix(eta, batch.cells)
    if problem.inner and not problem.residual.positive:
        np.linalg.cholesky(V)  # random effects would hide a residual covariance that is none
    for k, part in zip(problem.inner, batch.inner, strict=True):
        V = V + (part.Z @ (L[k] @ L[k].T) @ part.Z.transpose(0, 2, 1)) * part.same
    return V


def _outer(problem: Structured, L: list[Array], T22: Array) -> tuple[Array, Array, float]:
    """K, a root of it, and log|I + L'Z2'V1⁻¹Z2 L|."""
    if not problem.n_outer:
        return np.zeros((0, 0)), np.zeros((0, 0)), 0.0
    wide = np.zeros_like(T22)
    for k, at in problem.offsets().items():
        factor = problem.factors[k]
        end = at + factor.levels * factor.q
        wide[at:end, at:end] = np.kron(np.eye(factor.levels), L[k])
    G = np.linalg.cholesky(wide.T @ T22 @ wide + np.eye(len(wide)))
    root = solve_triangular(G, wide.T, lower=True).T
    return root @ root.T, root, 2.0 * float(np.log(np.diag(G)).sum())


# --- derivatives ---------------------------------------------------------------------------------


def directions(problem: Structured, at: Point, batch: Batch, C_inverse: Array) -> Array:
    """C⁻¹ V_a C⁻ᵀ (r, P, k, k) for the parameters inside units: entries of L, then eta."""
    parts = []
    for k, i, j in problem.entries(problem.inner):
        part = batch.inner[problem.inner.index(k)]
        side = part.Z[:, :, i, None] * (part.Z @ at.L[k][:, j])[:, None, :]
        parts.append((side + side.transpose(0, 2, 1)) * part.same)
    _, steps = problem.residual.matrix(at.eta, batch.cells)
    every = np.concatenate([np.array(parts).reshape(len(parts), *steps.shape[1:]), steps])
    return np.asarray(C_inverse @ every @ C_inverse.transpose(0, 2, 1))


@dataclass(slots=True)
class _Sums:
    """Sums over units: inside (r, r) tr(V1⁻¹V_aV1⁻¹V_b), and so on; see `_sum_up`."""

    first: Array
    inside: Array
    N: Array
    YY: Array
    seen: Array
    ww: Array
    g: Array
    slopes: list[Array]
    weighted: list[Array]


def differentiate(problem: Structured, at: Point) -> Derivatives:
    """Gradient, exact Hessian and average information at a point."""
    m, ratio = problem.n_outer, problem.nu / at.r2
    Ht = _projection(problem, at)
    above = np.zeros((len(at.S), m))
    above[:m] = np.eye(m)
    above -= Ht @ (Ht.T @ at.S[:, :m])
    sums = _sum_up(problem, at, Ht, np.hstack([Ht, above]))
    h = Ht.shape[1]
    once_in = sums.first - np.einsum("aii->a", sums.N[:, :h, :h])
    traces_in = sums.inside - 2.0 * sums.YY
    traces_in += np.einsum("aij,bji->ab", sums.N[:, :h, :h], sums.N[:, :h, :h])
    l2, hx = sums.seen[:m], at.to_x.T @ sums.seen
    Q_in = sums.ww - l2.T @ at.K @ l2
    once, traces, Q, g, hx, slopes = _with_outer(
        problem, at, Ht, sums, once_in, traces_in, Q_in, hx
    )
    Q = Q - hx.T @ at.Sxx_inverse @ hx
    bend = _bend(problem, at, sums, slopes)
    own = ratio * (Q - np.outer(g, g) / at.r2)
    hessian = own + ratio * Q - traces + bend
    return Derivatives(
        once - ratio * g, 0.5 * (hessian + hessian.T), 0.5 * (own + own.T), tuple(slopes),
        traces, g, once,
    )  # fmt: skip


def _projection(problem: Structured, at: Point) -> Array:
    """Ht (s, h) with P (or V⁻¹ under ML) = V1⁻¹ - V1⁻¹ F Ht Ht'F'V1⁻¹."""
    top = np.zeros((len(at.S), problem.n_outer))
    top[: problem.n_outer] = at.K_root
    if not problem.reml or not problem.p:
        return top
    return np.hstack([top, at.to_x @ at.Sxx_root])


def _sum_up(problem: Structured, at: Point, Ht: Array, columns: Array) -> _Sums:
    """One pass over the units; A_a = C⁻¹V_aC⁻ᵀ, and everything else whitened likewise."""
    r = len(problem.entries(problem.inner)) + problem.residual.size
    s, h, w = len(at.S), Ht.shape[1], columns.shape[1]
    sums = _Sums(
        np.zeros(r), np.zeros((r, r)), np.zeros((r, w, w)), np.zeros((r, r)), np.zeros((s, r)),
        np.zeros((r, r)), np.zeros(r), [np.zeros((f.q, f.q)) for f in problem.factors], [],
    )  # fmt: skip
    error = np.sqrt(problem.nu / at.r2)
    for batch, white in zip(problem.batches, at.whitened, strict=True):
        A = directions(problem, at, batch, white.C_inverse)
        flat = (A * np.sqrt(batch.count)[:, None, None]).reshape(r, -1)
        sums.inside += flat @ flat.T
        sums.first += np.einsum("apjj,p->a", A, batch.count)
        We, Wc = white.D @ at.to_e, white.D @ columns
        Wh = Wc[:, :, :h]
        Y, wide, rows = np.empty((r, Wh.size)), Wc.reshape(We.size, w), np.empty((r, We.size))
        for a in range(r):
            mine = A[a][batch.pattern]
            whole = mine @ Wc
            Y[a] = whole[:, :, :h].ravel()
            rows[a] = np.einsum("mjk,mk->mj", mine, We).ravel()
            sums.N[a] += wide.T @ whole.reshape(We.size, w)
        sums.YY += Y @ Y.T
        sums.ww += rows @ rows.T
        sums.g += rows @ We.ravel()
        sums.seen += white.D.reshape(-1, s).T @ rows.T
        _weigh(problem, batch, white, np.concatenate([Wh, error * We[:, :, None]], 2), sums)
    return sums


def _weigh(problem: Structured, batch: Batch, white: Whitened, W: Array, sums: _Sums) -> None:
    """G (P, k, k), the derivative of the criterion in V1 of each pattern, and its part in Psi."""
    k = W.shape[1]
    outer = np.add.reduceat(W @ W.transpose(0, 2, 1), batch.starts, axis=0)
    inside = batch.count[:, None, None] * np.eye(k) - outer
    G = white.C_inverse.transpose(0, 2, 1) @ inside @ white.C_inverse
    sums.weighted.append(G)
    for number, part in zip(problem.inner, batch.inner, strict=True):
        slope = part.Z.transpose(0, 2, 1) @ (G * part.same) @ part.Z
        sums.slopes[number] += slope.sum(0)


def _with_outer(
    problem: Structured,
    at: Point,
    Ht: Array,
    sums: _Sums,
    once: Array,
    traces: Array,
    Q: Array,
    hx: Array,
) -> tuple[Array, Array, Array, Array, Array, list[Array]]:
    """Append the parameters of the outer factors to tr(PV_a), traces, Q, g, X'V⁻¹w and slopes."""
    entries = problem.entries(problem.outer)
    if not entries:
        return once, traces, Q, sums.g, hx, sums.slopes
    m, h = problem.n_outer, Ht.shape[1]
    T22 = at.S[:m, :m]
    TP = T22 - (at.S[:m] @ Ht) @ (Ht.T @ at.S[:, :m])
    T = T22 - T22 @ at.K @ T22
    t = at.S[:m] @ at.to_e
    for k, start in problem.offsets().items():
        f = problem.factors[k]
        each, end = np.arange(f.levels), start + f.levels * f.q
        block = TP[start:end, start:end].reshape(f.levels, f.q, f.levels, f.q)[each, :, each, :]
        own = t[start:end].reshape(f.levels, f.q)
        sums.slopes[k] += block.sum(0) - problem.nu / at.r2 * own.T @ own
    e = np.column_stack([turn(problem, at, c, t) for c in entries])
    ET = np.stack([turn(problem, at, c, TP) for c in entries])
    EN = np.stack([[turn(problem, at, c, N[h:, h:]) for c in entries] for N in sums.N])
    l2 = sums.seen[:m]
    once = np.append(once, np.einsum("cii->c", ET))
    traces = _bordered(traces, np.einsum("acii->ac", EN), np.einsum("cij,dji->cd", ET, ET))
    Q = _bordered(Q, (l2 - T22 @ at.K @ l2).T @ e, e.T @ T @ e)
    g = np.append(sums.g, t @ e)
    return once, traces, Q, g, np.hstack([hx, (at.S[:m] @ at.to_x).T @ e]), sums.slopes


def _bordered(A: Array, B: Array, C: Array) -> Array:
    return np.block([[A, B], [B.T, C]])


def turn(problem: Structured, at: Point, entry: tuple[int, int, int], M: Array) -> Array:
    """dPsi2 M for the entry (i, j) of L_k, M (M2, ...)."""
    k, i, j = entry
    f, start = problem.factors[k], problem.offsets()[k]
    E = np.zeros((f.q, f.q))
    E[i] += at.L[k][:, j]
    E[:, i] += at.L[k][:, j]
    out = np.zeros_like(M)
    end = start + f.levels * f.q
    block = M[start:end].reshape(f.levels, f.q, -1)
    out[start:end] = (E @ block).reshape(M[start:end].shape)
    return out


def _bend(problem: Structured, at: Point, sums: _Sums, slopes: list[Array]) -> Array:
    """<G, V_ab>: the curvature of L L' and of the residual structure."""
    inner, outer = problem.entries(problem.inner), problem.entries(problem.outer)
    r = problem.residual.size
    out = np.zeros((len(inner) + r + len(outer),) * 2)
    places = [*inner, *[None] * r, *outer]
    for a, one in enumerate(places):
        for b, two in enumerate(places):
            if one and two and one[0] == two[0] and one[2] == two[2]:
                out[a, b] = 2.0 * slopes[one[0]][one[1], two[1]]
    cells = [batch.cells for batch in problem.batches]
    middle = slice(len(inner), len(inner) + r)
    out[middle, middle] = problem.residual.bend(
        at.eta, list(zip(cells, sums.weighted, strict=True))
    )
    return out
