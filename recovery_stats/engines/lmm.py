"""Linear mixed models by REML or ML, for grouping factors nested, crossed or alone.

y = X beta + sum_k Z_k b_k + e,  e ~ N(0, s2 / w),  b_k of a level ~ N(0, s2 Psi_k),
Psi_k = L_k L_k'.

The factor with most random effects is eliminated group by group: Z_i = Q_i R_i and
c_i = Q_i'[X y] make every group's part a sum of positive terms, so that extreme variance ratios
lose no digits. All other factors share one dense block (K2 below). beta and s2 are profiled out;
the criterion in the entries of L is minimised by Newton steps with its exact gradient and the
average information plus the exact curvature of L L'. The criterion is even in each column of L,
hence a zero variance or a correlation of ±1 is an ordinary stationary point: no constraint, and
an honest test of the sign of the derivative there.

X is orthogonalised, y is its least-squares residual brought to length 1 per row, each Z is
orthogonalised within its correlated block: units and origins cannot matter.

Sources: Lindstrom & Bates 1988; Gilmour, Thompson & Cullis 1995; Pinheiro & Bates 2000, ch. 2;
Bates, Mächler, Bolker & Walker 2015. Checked: dense formulas, finite differences, collapse to
least squares, balanced closed forms, the reference cases (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from recovery_stats.engines.linalg import (
    Array,
    IntArray,
    inverse_of_identity_plus,
    lower_factor,
    single_thread,
    times,
    transposed,
)
from recovery_stats.errors import ConvergenceError, NotEstimable

MAX_ITERATIONS = 200
DECREMENT = 1e-18  # Newton decrement at which theta is known to 1e-9 of its standard error
CLOSE = 1e-8  # decrement below which the criterion itself can no longer judge a step
LARGEST = 1e9  # ratio of standard deviations taken for a residual variance of zero
NEAR_ZERO = 1e-4  # a ratio of standard deviations below which exact zero is tried
MAX_SECOND = 6_000  # random effects in the dense block: 300 MB each copy
MAX_PAIRS = 40_000_000


@dataclass(frozen=True, slots=True)
class RandomFactor:
    """codes (n,) in 0..levels-1, Z (n, q), and which columns of Z are correlated with which.

    name and effects: what messages call the factor and the columns of Z.
    """

    codes: IntArray
    levels: int
    Z: Array
    blocks: tuple[tuple[int, ...], ...]
    name: str = "group"
    effects: tuple[str, ...] = ()

    @property
    def q(self) -> int:
        return int(self.Z.shape[1])

    def effect(self, column: int) -> str:
        return self.effects[column] if self.effects else f"column {column + 1}"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the data were turned into: X = Xo A⁻¹, y = X start + scale · yo, Z_k = Zo_k T_k⁻¹."""

    A: Array
    start: Array
    scale: float
    T: tuple[Array, ...]
    order: tuple[int, ...]
    log_weights: float


@dataclass(frozen=True, slots=True)
class Second:
    """All factors but the first. `C` (q1 m1, M2) sparse is Q1'Z2; `pairs` maps a symmetric
    matrix per group, N (q1, q1, m1), to C'NC (M2, M2) and back."""

    offsets: tuple[int, ...]
    levels: tuple[int, ...]
    q: tuple[int, ...]
    within: Array  # (M2, M2) Z2'(I - Q1 Q1')Z2
    within_xy: Array  # (M2, s)
    C: sparse.csr_array
    Ct: sparse.csr_array
    pairs: tuple[tuple[int, int, sparse.csr_array, sparse.csr_array], ...]

    @property
    def size(self) -> int:
        return int(self.within.shape[0])

    def scatter(self, N: Array) -> Array:
        """C' N C."""
        total = np.zeros(self.size**2)
        for a, b, _, back in self.pairs:
            total += back @ N[a, b]
        return total.reshape(self.size, self.size)

    def gather(self, K: Array) -> Array:
        """C_i K C_i' for every group: (q1, q1, m1)."""
        q = max(b for _, b, _, _ in self.pairs) + 1
        m = self.pairs[0][2].shape[0]
        out = np.empty((q, q, m))
        flat = K.reshape(-1)
        for a, b, forth, _ in self.pairs:
            value = forth @ flat
            out[a, b] = out[b, a] = value if a == b else 0.5 * value
        return out

    def effects(self, k: int, values: Array) -> Array:
        """The rows of factor k+1 in `values` (M2, ...) as (levels, q, ...)."""
        at, m, q = self.offsets[k], self.levels[k], self.q[k]
        return values[at : at + m * q].reshape(m, q, *values.shape[1:])

    def scaled(self, L: Sequence[Array], values: Array) -> Array:
        """L2' values for values (M2, ...)."""
        out = np.empty_like(values)
        for k, factor in enumerate(L):
            at, m, q = self.offsets[k], self.levels[k], self.q[k]
            block = self.effects(k, values).reshape(m, q, -1)
            out[at : at + m * q] = np.matmul(factor.T, block).reshape(m * q, *values.shape[1:])
        return out


@dataclass(frozen=True, slots=True)
class Problem:
    """Sufficient statistics: R (q, q, m), c (q, s, m) with s = p + 1, within (s, s)."""

    n: int
    p: int
    reml: bool
    R: Array
    c: Array
    within: Array
    second: Second | None
    blocks: tuple[tuple[tuple[int, ...], ...], ...]
    q: tuple[int, ...]

    @property
    def nu(self) -> int:
        return self.n - self.p if self.reml else self.n

    def entries(self) -> list[tuple[int, int, int]]:
        """(factor, row, column) of every free entry of the L's, in the order of theta."""
        return [
            (k, i, j)
            for k, blocks in enumerate(self.blocks)
            for block in blocks
            for j in block
            for i in block
            if i >= j
        ]

    def unpack(self, theta: Array) -> list[Array]:
        L = [np.zeros((q, q)) for q in self.q]
        for value, (k, i, j) in zip(theta, self.entries(), strict=True):
            L[k][i, j] = value
        return L

    def pack(self, L: Sequence[Array]) -> Array:
        return np.array([L[k][i, j] for k, i, j in self.entries()])


@dataclass(frozen=True, slots=True)
class Solution:
    """Everything known at one theta, in the orthogonalised units.

    S (s, s) = [X y]'V0⁻¹[X y]; H1 (q, s, m) = Z1'V0⁻¹[X y]; H2 (M2, s) likewise;
    T1 (q, q, m) = Z1'V1⁻¹Z1 with V1 the part of the first factor; RN (q, q, m) = R'N.
    grad_psi: derivative of the criterion in each Psi_k.
    """

    theta: Array
    L: tuple[Array, ...]
    criterion: float
    log_det: float
    log_det_x: float
    r2: float
    beta: Array
    S: Array
    S_inverse: Array
    H1: Array
    T1: Array
    RN: Array
    S22: Array | None
    K2: Array | None
    H2: Array | None
    gradient: Array
    hessian: Array
    grad_psi: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class LmmFit:
    """A fitted model in the user's units.

    beta (p,), covariance (p, p) of beta, sigma2; psi: covariance (q_k, q_k) of each factor's
    effects, in the order given; effects: (levels, q_k), effect_variance: (levels, q_k, q_k), the
    variance of predicted minus true effect, beta unknown. criterion: deviance (REML or ML).
    rank: rank of each psi; singular when any is short. boundary: the derivative test that the
    zero directions belong at zero. The last three fields are for the degrees of freedom.
    """

    beta: Array
    covariance: Array
    sigma2: float
    psi: tuple[Array, ...]
    effects: tuple[Array, ...]
    effect_variance: tuple[Array, ...]
    criterion: float
    reml: bool
    n: int
    p: int
    n_theta: int
    rank: tuple[int, ...]
    singular: bool
    boundary: bool
    iterations: int
    problem: Problem
    solution: Solution
    frame: Frame

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.criterion

    @property
    def n_parameters(self) -> int:
        return self.p + self.n_theta + 1


def fit(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    *,
    reml: bool = True,
    weights: Array | None = None,
    offset: Array | None = None,
) -> LmmFit:
    """Fit by REML (or ML) with prior weights (n,) > 0 and offset (n,).

    X (n, p) of full column rank with p < n; no missing values.
    Raises NotEstimable when the outcome has no residual variation, when an effect does not vary
    within any group, ConvergenceError when the criterion has no minimum.
    """
    with single_thread():
        problem, frame = prepare(X, y, factors, reml=reml, weights=weights, offset=offset)
        solution, iterations = minimise(problem)
        solution, boundary = settle(problem, solution)
        return _finish(problem, solution, frame, iterations, boundary, factors)


# --- preparation -----------------------------------------------------------------------------


def prepare(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    *,
    reml: bool,
    weights: Array | None = None,
    offset: Array | None = None,
) -> tuple[Problem, Frame]:
    """Bring the data into orthogonal units and sum them up by group."""
    n, p = X.shape
    root = None if weights is None else np.sqrt(weights)
    outcome = y if offset is None else y - offset
    Xo, yo, A, start, scale = _orthogonal(_weighted(X, root), _weighted(outcome, root))
    order = tuple(sorted(range(len(factors)), key=lambda k: -factors[k].levels * factors[k].q))
    Zs, Ts = [], []
    for k in order:
        Z, T = _orthogonal_blocks(_weighted(factors[k].Z, root), factors[k])
        Zs.append(Z)
        Ts.append(T)
    first = factors[order[0]]
    F = np.vstack([Xo.T, yo])
    Q, R, c = _eliminate(first, Zs[0], F)
    second = _second([factors[k] for k in order[1:]], Zs[1:], first, Q, F) if order[1:] else None
    log_weights = 0.0 if weights is None else float(np.log(weights).sum())
    problem = Problem(
        n,
        p,
        reml,
        R,
        c,
        F @ F.T,
        second,
        tuple(factors[k].blocks for k in order),
        tuple(factors[k].q for k in order),
    )
    return problem, Frame(A, start, scale, tuple(Ts), order, log_weights)


def _weighted(values: Array, root: Array | None) -> Array:
    if root is None:
        return values
    return values * (root[:, None] if values.ndim == 2 else root)


def _orthogonal(X: Array, y: Array) -> tuple[Array, Array, Array, Array, float]:
    """Xo = X A with Xo'Xo = n I, the least-squares fit, and its residual at unit scale."""
    n, p = X.shape
    length = np.sqrt((X**2).sum(0))
    Q, R = np.linalg.qr(X / length)
    A = solve_triangular(R, np.eye(p)) / length[:, None]
    coefficients = Q.T @ y
    residual = y - Q @ coefficients
    again = Q.T @ residual
    residual -= Q @ again
    scale = float(np.sqrt(residual @ residual / (n - p)))
    if not scale > 1e-13 * float(np.sqrt(y @ y / n)):
        raise NotEstimable(
            "The outcome has no variation left after the fixed effects: it is constant or an "
            "exact combination of the predictors."
        )
    start = A @ (coefficients + again)
    return Q * np.sqrt(n), residual / scale, A * np.sqrt(n), start, scale


def _orthogonal_blocks(Z: Array, factor: RandomFactor) -> tuple[Array, Array]:
    """Zo = Z T with Zo'Zo = n I within each correlated block; T is block diagonal."""
    n, q = Z.shape
    T = np.zeros((q, q))
    for block in factor.blocks:
        index = list(block)
        length = np.sqrt((Z[:, index] ** 2).sum(0))
        if not (length > 0).all():
            name = factor.effect(index[int(np.argmin(length))])
            raise NotEstimable(f"Random effect {name!r} of {factor.name!r} is zero in every row.")
        R = np.linalg.qr(Z[:, index] / length).R
        size = np.abs(np.diag(R))
        if size.min() < 1e-9:
            name = factor.effect(index[int(np.argmin(size))])
            raise NotEstimable(
                f"Random effect {name!r} of {factor.name!r} is a combination of the effects before "
                "it in every row; leave it out."
            )
        T[np.ix_(index, index)] = solve_triangular(R, np.eye(len(index))) / length[:, None]
    T *= np.sqrt(n)
    return Z @ T, T


def _eliminate(factor: RandomFactor, Z: Array, F: Array) -> tuple[Array, Array, Array]:
    """Orthogonalise Z and then F (s, n) within groups, by modified Gram and Schmidt.

    Returns Q (q, n), R (q, q, m) with Z_i = Q_i R_i, c (q, s, m) = Q_i'F_i; F keeps what is left.
    """
    codes, m = factor.codes, factor.levels
    q, s = Z.shape[1], F.shape[0]
    Q = np.array(Z.T, dtype=float, order="C")
    R, c = np.zeros((q, q, m)), np.empty((q, s, m))
    whole = [np.bincount(codes, z * z, m) for z in Q]
    for a in range(q):
        square = np.bincount(codes, Q[a] * Q[a], m)
        square[square <= 1e-20 * whole[a]] = 0.0
        R[a, a] = np.sqrt(square)
        if not square.any():
            raise NotEstimable(
                f"Random effect {factor.effect(a)!r} does not vary within any level of "
                f"{factor.name!r}: its variance cannot be told from the intercept's. Take it out "
                "of the random term."
            )
        inverse = np.divide(1.0, R[a, a], out=np.zeros(m), where=square > 0)
        Q[a] *= inverse[codes]
        for b in range(a + 1, q):
            R[a, b] = np.bincount(codes, Q[a] * Q[b], m)
            Q[b] -= Q[a] * R[a, b][codes]
        for j in range(s):
            c[a, j] = np.bincount(codes, Q[a] * F[j], m)
            F[j] -= Q[a] * c[a, j][codes]
    return Q, R, c


def _second(
    factors: Sequence[RandomFactor], Zs: Sequence[Array], first: RandomFactor, Q: Array, F: Array
) -> Second:
    n, q1, m1 = first.codes.size, Q.shape[0], first.levels
    widths = [f.levels * f.q for f in factors]
    offsets = tuple(int(v) for v in np.cumsum([0, *widths[:-1]]))
    size = sum(widths)
    if size > MAX_SECOND:
        raise NotEstimable(
            f"The smaller grouping factors have {size} random effects together; at most "
            f"{MAX_SECOND} are handled beside the largest factor."
        )
    columns = [
        o + f.codes[:, None] * f.q + np.arange(f.q) for o, f in zip(offsets, factors, strict=True)
    ]
    width = sum(f.q for f in factors)
    Z2 = sparse.csr_array(
        (
            np.hstack(list(Zs)).ravel(),
            np.hstack(columns).ravel(),
            np.arange(0, n * width + 1, width),
        ),
        shape=(n, size),
    )
    rows = first.codes[:, None] + m1 * np.arange(q1)
    Q1 = sparse.csr_array(
        (Q.T.ravel(), rows.ravel(), np.arange(0, n * q1 + 1, q1)), shape=(n, q1 * m1)
    )
    C = sparse.csr_array(Q1.T @ Z2)
    C.sum_duplicates()
    within = (Z2.T @ Z2).toarray() - (C.T @ C).toarray()
    within[np.abs(within) <= 1e-13 * n] = 0.0
    pairs = tuple(_pairs(C, q1, m1, size))
    return Second(
        offsets,
        tuple(f.levels for f in factors),
        tuple(f.q for f in factors),
        0.5 * (within + within.T),
        Z2.T @ F.T,
        C,
        sparse.csr_array(C.T),
        pairs,
    )


def _pairs(
    C: sparse.csr_array, q: int, m: int, size: int
) -> list[tuple[int, int, sparse.csr_array, sparse.csr_array]]:
    rows = [sparse.csr_array(C[a * m : (a + 1) * m]) for a in range(q)]
    count = sum(
        float(np.diff(rows[a].indptr) @ np.diff(rows[b].indptr).astype(float))
        for a in range(q)
        for b in range(a, q)
    )
    if count > MAX_PAIRS:
        raise NotEstimable(
            "The grouping factors cross too densely: a group of the largest factor meets too "
            "many levels of the others."
        )
    found = []
    for a in range(q):
        for b in range(a, q):
            forth = _row_products(rows[a], rows[b], size)
            if a != b:
                forth = forth + _row_products(rows[b], rows[a], size)
            forth = sparse.csr_array(forth)
            found.append((a, b, forth, sparse.csr_array(forth.T)))
    return found


def _row_products(A: sparse.csr_array, B: sparse.csr_array, size: int) -> sparse.csr_array:
    """Row i of the result is the Kronecker product of row i of A and row i of B."""
    in_a, in_b = np.diff(A.indptr), np.diff(B.indptr)
    per_entry = np.repeat(in_b, in_a)  # entries of B beside each entry of A
    starts = np.repeat(B.indptr[:-1], in_a)
    total = int(per_entry.sum())
    before = np.repeat(np.cumsum(per_entry) - per_entry, per_entry)
    partner = np.arange(total) - before + np.repeat(starts, per_entry)
    columns = np.repeat(A.indices.astype(np.int64), per_entry) * size + B.indices[partner]
    values = np.repeat(A.data, per_entry) * B.data[partner]
    indptr = np.concatenate([[0], np.cumsum(in_a * in_b)])
    return sparse.csr_array((values, columns, indptr), shape=(A.shape[0], size * size))


# --- criterion, gradient, curvature ------------------------------------------------------------


def evaluate(problem: Problem, theta: Array) -> Solution:
    """The criterion at theta with all its derivatives; see the notation in the module's head."""
    L = problem.unpack(theta)
    R, c, p = problem.R, problem.c, problem.p
    N, log_dets = inverse_of_identity_plus(np.tensordot(R, L[0], (1, 0)).transpose(0, 2, 1))
    RN = times(transposed(R), N)
    log_det = float(log_dets.sum())
    S22 = K2 = H2 = None
    left = c
    if problem.second is None:
        S = problem.within + _summed(c, times(N, c))
    else:
        S22, K2, S2, E, log_det2 = _eliminate_second(problem.second, L[1:], N, c)
        log_det += log_det2
        S = problem.within + _summed(c, times(N, c)) - S2.T @ E
        H2 = S2 - S22 @ E
        m = c.shape[2]
        left = c - (problem.second.C @ E).reshape(c.shape[0], m, -1).transpose(0, 2, 1)
    H1 = times(RN, left)
    S = 0.5 * (S + S.T)
    chol = _cholesky(S[:p, :p])
    beta = cho_solve(chol, S[:p, p])
    r2 = float(S[p, p] - S[:p, p] @ beta)
    if not r2 > 0:
        raise ConvergenceError("The residual variance is estimated as zero.")
    S_inverse = cho_solve(chol, np.eye(p))
    log_det_x = 2.0 * float(np.log(np.diag(chol[0])).sum())
    nu = problem.nu
    criterion = log_det + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    criterion += log_det_x if problem.reml else 0.0
    T1 = times(RN, R)
    grad_psi, gradient, hessian = _derivatives(
        problem, L, beta, r2, S_inverse, H1, T1, RN, S22, K2, H2
    )
    return Solution(
        theta,
        tuple(L),
        float(criterion),
        log_det,
        log_det_x,
        r2,
        beta,
        S,
        S_inverse,
        H1,
        T1,
        RN,
        S22,
        K2,
        H2,
        gradient,
        hessian,
        grad_psi,
    )


def _cholesky(A: Array) -> tuple[Array, bool]:
    try:
        found: tuple[Array, bool] = cho_factor(A, lower=True, check_finite=False)
    except np.linalg.LinAlgError as cause:
        raise ConvergenceError("The fixed effects cannot be told apart at these variances.") from (
            cause
        )
    return found


def _summed(A: Array, B: Array) -> Array:
    """Sum over groups of A_i' B_i for A (q, s, m), B (q, t, m)."""
    total: Array = A[0] @ B[0].T
    for a in range(1, A.shape[0]):
        total = total + A[a] @ B[a].T
    return total


def _flat(A: Array) -> Array:
    """(q, s, m) to (q m, s), the row order of Second.C."""
    return A.transpose(0, 2, 1).reshape(A.shape[0] * A.shape[2], A.shape[1])


def _eliminate_second(
    second: Second, L: Sequence[Array], N: Array, c: Array
) -> tuple[Array, Array, Array, Array, float]:
    """S22, K2 = L2 (I + L2'S22 L2)⁻¹ L2', S2 = Z2'V1⁻¹[X y], K2 S2, and log|I + L2'S22 L2|."""
    S22 = second.within + second.scatter(N)
    S22 = 0.5 * (S22 + S22.T)
    S2 = second.within_xy + second.Ct @ _flat(times(N, c))
    half = second.scaled(L, S22)
    D = second.scaled(L, half.T)
    D[np.diag_indices_from(D)] += 1.0
    chol = cho_factor(D, lower=True, check_finite=False)
    inverse = cho_solve(chol, np.eye(second.size), check_finite=False)
    Lt = [factor.T for factor in L]
    K2 = second.scaled(Lt, second.scaled(Lt, inverse).T)
    K2 = 0.5 * (K2 + K2.T)
    return S22, K2, S2, K2 @ S2, 2.0 * float(np.log(np.diag(chol[0])).sum())


def _derivatives(
    problem: Problem,
    L: Sequence[Array],
    beta: Array,
    r2: float,
    S_inverse: Array,
    H1: Array,
    T1: Array,
    RN: Array,
    S22: Array | None,
    K2: Array | None,
    H2: Array | None,
) -> tuple[tuple[Array, ...], Array, Array]:
    p, nu, second = problem.p, problem.nu, problem.second
    v = np.append(-beta, 1.0)
    Om = (nu / r2) * np.outer(v, v)
    if problem.reml:
        Om[:p, :p] += S_inverse
    grads = [_first_trace(problem, T1, RN, K2) - _contracted(H1, Om)]
    if second is not None:
        assert S22 is not None
        assert K2 is not None
        assert H2 is not None
        T22 = S22 - S22 @ (K2 @ S22)
        for k in range(len(second.q)):
            H = second.effects(k, H2)
            grads.append(_diagonal_blocks(second, k, T22) - np.einsum("las,st,lbt->ab", H, Om, H))
    grads = [0.5 * (G + G.T) for G in grads]
    entries = problem.entries()
    GL = [2.0 * G @ factor for G, factor in zip(grads, L, strict=True)]
    gradient = np.array([GL[k][i, j] for k, i, j in entries])
    Q, g = _information(problem, L, v, S_inverse, H1, T1, RN, S22, K2, H2)
    hessian = (nu / r2) * (Q - np.outer(g, g) / r2)
    for a, (k, i, j) in enumerate(entries):
        for b, (k2, i2, j2) in enumerate(entries):
            if k == k2 and j == j2:
                hessian[a, b] += 2.0 * grads[k][i, i2]
    return tuple(grads), gradient, hessian


def _first_trace(problem: Problem, T1: Array, RN: Array, K2: Array | None) -> Array:
    """Sum over groups of the blocks of Z1'V0⁻¹Z1."""
    total: Array = T1.sum(2)
    if problem.second is not None and K2 is not None:
        inside = times(times(RN, problem.second.gather(K2)), transposed(RN))
        total = total - inside.sum(2)
    return total


def _contracted(H: Array, Om: Array) -> Array:
    """Sum over groups of H_i Om H_i'."""
    q = H.shape[0]
    out = np.empty((q, q))
    for a in range(q):
        for b in range(a, q):
            out[a, b] = out[b, a] = float(np.vdot(H[a] @ H[b].T, Om))
    return out


def _diagonal_blocks(second: Second, k: int, T22: Array) -> Array:
    at, m, q = second.offsets[k], second.levels[k], second.q[k]
    block = T22[at : at + m * q, at : at + m * q].reshape(m, q, m, q)
    each = np.arange(m)
    return np.asarray(block[each, :, each, :].sum(0))


def _information(
    problem: Problem,
    L: Sequence[Array],
    v: Array,
    S_inverse: Array,
    H1: Array,
    T1: Array,
    RN: Array,
    S22: Array | None,
    K2: Array | None,
    H2: Array | None,
) -> tuple[Array, Array]:
    """Q_ab = y'P V_a P V_b P y and g_a = y'P V_a P y in units of V0, for all pairs of theta."""
    p, second, entries = problem.p, problem.second, problem.entries()
    count = len(entries)
    t1 = np.tensordot(v, H1, (0, 1))  # (q, m)
    W1 = np.zeros((count, *t1.shape))
    W2 = np.zeros((count, second.size if second else 0))
    for a, (k, i, j) in enumerate(entries):
        column = L[k][:, j]
        if k == 0:
            W1[a, i] = column @ t1
            W1[a] += column[:, None] * t1[i]
        else:
            assert second is not None
            assert H2 is not None
            t = second.effects(k - 1, H2) @ v
            w = np.outer(t[:, i], column)
            w[:, i] += t @ column
            at = second.offsets[k - 1]
            W2[a, at : at + w.size] = w.ravel()
    firsts = [a for a, e in enumerate(entries) if e[0] == 0]
    g = np.tensordot(W1, t1, ((1, 2), (0, 1)))
    hx = np.tensordot(W1, H1[:, :p], ((1, 2), (0, 2)))
    TW = np.zeros_like(W1)
    for a in firsts:
        TW[a] = times(T1, W1[a][:, None])[:, 0]
    Q = np.tensordot(W1, TW, ((1, 2), (1, 2)))
    if second is not None:
        assert S22 is not None
        assert K2 is not None
        assert H2 is not None
        lifted = np.zeros((second.size, count))
        for a in firsts:
            lifted[:, a] = second.Ct @ times(transposed(RN), W1[a][:, None]).reshape(-1)
        cross = W2 @ lifted
        e2 = lifted + S22 @ W2.T
        Q = Q + cross + cross.T + W2 @ S22 @ W2.T - e2.T @ K2 @ e2
        g = g + W2 @ (H2 @ v)
        hx = hx + W2 @ H2[:, :p]
    Q = Q - hx @ S_inverse @ hx.T
    return 0.5 * (Q + Q.T), g


# --- optimisation ------------------------------------------------------------------------------


def minimise(problem: Problem, start: Array | None = None) -> tuple[Solution, int]:
    """Newton steps on |curvature| with backtracking; returns the solution and the evaluations.

    Near the optimum the average information is corrected to satisfy the last secant equation,
    which makes the end superlinear; there the gradient, not the criterion, is the judge, as the
    criterion itself is known to 1e-16 of its size only.
    """
    at = evaluate(problem, starting_values(problem) if start is None else start)
    evaluations, last, stalled = 1, np.inf, 0
    before: Solution | None = None
    for _ in range(MAX_ITERATIONS):
        step, lowest, direction = _newton(at, before if 1e-12 < last < 1e-2 else None)
        decrement = float(-at.gradient @ step)
        stalled += decrement < CLOSE and decrement > 0.5 * last
        if decrement < DECREMENT or stalled == 2:
            if lowest > -1e-6 * problem.n:
                return at, evaluations
            step, decrement = 0.1 * direction, 1.0  # a saddle: leave it along its descent
        new, used = _descend(problem, at, step, decrement)
        evaluations += used
        if new is None:
            return at, evaluations
        before, last, at = at, decrement, new
        if float(np.abs(at.theta).max()) > LARGEST:
            raise ConvergenceError(
                "The residual variance runs to zero: the random effects explain every row."
            )
    raise ConvergenceError(f"The mixed model did not converge in {MAX_ITERATIONS} iterations.")


def _descend(
    problem: Problem, at: Solution, step: Array, decrement: float
) -> tuple[Solution | None, int]:
    """Take the step, or the largest share of it that lowers the criterion.

    None when the step promises less than the rounding of the criterion and does not help.
    """
    largest = float(np.abs(at.theta).max())
    size = min(1.0, (0.5 + 3.0 * largest) / max(float(np.abs(step).max()), 1e-300))
    noise = 1e-13 * max(1.0, abs(at.criterion), problem.n) + 1e-16 * largest**2
    used = 0
    while size > 1e-10:
        new = evaluate(problem, at.theta + size * step)
        used += 1
        allowed = 1e-7 if decrement < CLOSE else noise - 1e-4 * size * decrement
        if new.criterion <= at.criterion + allowed:
            return new, used
        size *= 0.3
        if decrement < CLOSE + 100 * noise:
            return None, used
    raise ConvergenceError("The mixed model's criterion could not be lowered further.")


def _newton(at: Solution, before: Solution | None) -> tuple[Array, float, Array]:
    """The step, the lowest curvature and its direction."""
    hessian = at.hessian
    if before is not None:
        moved = at.theta - before.theta
        missed = at.gradient - before.gradient - hessian @ moved
        along = float(missed @ moved)
        if abs(along) > 0.1 * float(np.linalg.norm(missed) * np.linalg.norm(moved)):
            hessian = hessian + np.outer(missed, missed) / along
    values, vectors = np.linalg.eigh(hessian)
    size = np.maximum(np.abs(values), 1e-10 * max(float(np.abs(values).max()), 1e-300))
    step = -vectors @ ((vectors.T @ at.gradient) / size)
    return step, float(values[0]), vectors[:, 0]


def starting_values(problem: Problem) -> Array:
    """Moments of the first factor's group sums; a plain 0.5 for the others.

    E c_i c_i' = s2 (I + R_i Psi R_i') for the outcome's column of c, s2 from within groups.
    """
    L = [0.5 * np.eye(q) for q in problem.q]
    p, q = problem.p, problem.q[0]
    ranks = int((np.stack([problem.R[a, a] for a in range(q)]) > 0).sum())
    left = max(problem.n - ranks, 1)
    s2 = float(problem.within[p, p]) / left
    total = float(problem.within[p, p] + (problem.c[:, p] ** 2).sum()) / problem.n
    s2 = max(s2, 1e-12 * total)
    for a in range(q):
        r = problem.R[a, a] ** 2
        tail = problem.R[a, a:]
        weight = float((tail**2).sum())
        ratio = (float((problem.c[a, p] ** 2).sum()) / s2 - float((r > 0).sum())) / weight
        L[0][a, a] = np.sqrt(min(max(ratio, 0.01 * r.size / weight), 1e12))
    return problem.pack(L)


def settle(problem: Problem, at: Solution) -> tuple[Solution, bool]:
    """Put near-zero directions exactly at zero where that is no worse, and test that they belong.

    Returns the solution and whether every zero direction has a non-negative derivative.
    """
    L, touched = [f.copy() for f in at.L], False
    for k, blocks in enumerate(problem.blocks):
        for block in blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(L[k][index])
            if (sizes < NEAR_ZERO).any():
                touched = True
                L[k][index] = lower_factor(U * np.where(sizes < NEAR_ZERO, 0.0, sizes))
            else:
                L[k][index] = lower_factor(L[k][index])
    new = evaluate(problem, problem.pack(L))
    if touched and new.criterion > at.criterion + 1e-9 * max(1.0, abs(at.criterion) * 1e-4):
        L = [lower_factor(f) for f in at.L]
        new = evaluate(problem, problem.pack(L))
    return new, _belongs(problem, new)


def _belongs(problem: Problem, at: Solution) -> bool:
    for k, blocks in enumerate(problem.blocks):
        for block in blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(at.L[k][index])
            null = U[:, sizes == 0]
            if null.size:
                slope = null.T @ at.grad_psi[k][index] @ null
                if float(np.linalg.eigvalsh(slope)[0]) < -1e-6 * problem.n:
                    return False
    return True


# --- the fit in the user's units -----------------------------------------------------------------


def _finish(
    problem: Problem,
    at: Solution,
    frame: Frame,
    iterations: int,
    boundary: bool,
    factors: Sequence[RandomFactor],
) -> LmmFit:
    n, p, nu = problem.n, problem.p, problem.nu
    s2 = at.r2 / nu
    sigma2 = s2 * frame.scale**2
    log_det_a = float(np.linalg.slogdet(frame.A)[1])
    criterion = at.criterion + nu * 2.0 * np.log(frame.scale) - frame.log_weights
    criterion -= 2.0 * log_det_a if problem.reml else 0.0
    back = np.argsort(frame.order)
    psi, effects, variances, rank = [], [], [], []
    for k in back.tolist():
        T, Psi = frame.T[k], at.L[k] @ at.L[k].T
        psi.append(sigma2 * T @ Psi @ T.T)
        mode, spread = _effects(problem, at, k, Psi)
        effects.append(frame.scale * mode @ T.T)
        variances.append(sigma2 * T @ spread @ T.T)
        rank.append(_rank(at.L[k], problem.blocks[k]))
    q = [f.q for f in factors]
    return LmmFit(
        frame.start + frame.scale * frame.A @ at.beta,
        sigma2 * frame.A @ at.S_inverse @ frame.A.T,
        sigma2,
        tuple(psi),
        tuple(effects),
        tuple(variances),
        float(criterion),
        problem.reml,
        n,
        p,
        len(at.theta),
        tuple(rank),
        any(r < size for r, size in zip(rank, q, strict=True)),
        boundary,
        iterations,
        problem,
        at,
        frame,
    )


def _rank(L: Array, blocks: tuple[tuple[int, ...], ...]) -> int:
    sizes = [np.linalg.svd(L[np.ix_(b, b)], compute_uv=False) for b in blocks]
    return int(sum((s > 0).sum() for s in sizes))


def _effects(problem: Problem, at: Solution, k: int, Psi: Array) -> tuple[Array, Array]:
    """Predicted effects (levels, q) and the variance (levels, q, q) of their error, over s2.

    Psi - Psi (T - H Sxx⁻¹ H') Psi: Henderson's prediction error variance.
    """
    v, p = np.append(-at.beta, 1.0), problem.p
    if k == 0:
        T, H = at.T1, at.H1.transpose(2, 0, 1)
        if problem.second is not None and at.K2 is not None:
            T = T - times(times(at.RN, problem.second.gather(at.K2)), transposed(at.RN))
        blocks = T.transpose(2, 0, 1)
    else:
        assert problem.second is not None
        assert at.S22 is not None
        assert at.K2 is not None
        assert at.H2 is not None
        H = problem.second.effects(k - 1, at.H2)
        T22 = at.S22 - at.S22 @ (at.K2 @ at.S22)
        o, m, q = (
            part[k - 1]
            for part in (problem.second.offsets, problem.second.levels, problem.second.q)
        )
        each = np.arange(m)
        blocks = T22[o : o + m * q, o : o + m * q].reshape(m, q, m, q)[each, :, each, :]
    Hx = H[:, :, :p]
    known = blocks - Hx @ at.S_inverse @ Hx.transpose(0, 2, 1)
    return (H @ v) @ Psi.T, Psi - Psi @ known @ Psi
