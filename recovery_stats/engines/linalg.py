"""Small linear algebra shared by the engines: batches of tiny matrices, rank, thread caps."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from threadpoolctl import LibController, ThreadpoolController

Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

GRADED = 1e6  # size of M M' from which on I + M M' has lost digits of its small directions
WRITTEN_OUT = 6  # up to this size, of MANY matrices, a step for all is quicker than LAPACK for each
MANY = 100
FEW = 4096  # numbers that two passes look through sooner than one with its guard
LARGEST = 1e150  # its square, summed over rows, is still a number
RANK_TOLERANCE = 1e-9  # share of a centred column's length that the columns before it leave


def single_thread() -> AbstractContextManager[None]:
    """Cap BLAS at one thread: threads cost far more than they give in loops over small matrices."""
    return _OneThread()


class _OneThread(AbstractContextManager[None]):
    """The cap; libraries that have one thread already are left alone."""

    def __enter__(self) -> None:
        self.before = [(library, library.num_threads) for library in _libraries()]
        self.set(1)

    def __exit__(self, *error: object) -> None:
        self.set(None)

    def set(self, threads: int | None) -> None:
        for library, before in self.before:
            if before != 1:
                library.set_num_threads(before if threads is None else threads)


@cache
def _libraries() -> tuple[LibController, ...]:
    found = ThreadpoolController().lib_controllers
    return tuple(library for library in found if library.user_api == "blas")


def all_finite(values: NDArray[Any]) -> bool:
    """Whether all floats are finite, and so are their squares: of many one sum of those tells."""
    if values.size <= FEW and values.dtype == float:
        return bool(np.count_nonzero(np.abs(values) <= LARGEST) == values.size)
    with np.errstate(over="ignore"):
        return isfinite(np.vdot(values, values))


def eigen(A: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric A, which `eigh` takes longer over.

    Raises LinAlgError where A has no finite answer.
    """
    values, vectors, failed = lapack.dsyev(A)
    if failed:
        raise np.linalg.LinAlgError("The eigenvalues did not converge.")
    return values, vectors


# --- batches of small matrices, the batch index last: A (q, r, m) ---------------------------


def times(A: Array, B: Array, out: Array | None = None) -> Array:
    """Multiply A (q, r, m) by B (r, s, m), matrix by matrix; one of them may have m = 1."""
    if A.shape[1] == 1:
        return np.multiply(A, B, out=out)
    return np.asarray(np.einsum("abm,bsm->asm", A, B, out=out))


def transposed(A: Array) -> Array:
    return A.transpose(1, 0, 2)


def inverse_of_identity_plus(M: Array) -> tuple[Array, Array]:
    """Return (I + M M')⁻¹ (q, q, m) and log|I + M M'| (m,) for M (q, r, m).

    For q = 2 the determinant is 1 + |M|² + det(MM'), a sum without cancellation.
    """
    q = M.shape[0]
    if q == 2:
        return _inverse_of_two(M)
    G = times(M, transposed(M))
    if q == 1:
        return 1.0 / (1.0 + G), np.log1p(G[0, 0])
    if float(G.max()) > GRADED:
        half, logdet = half_of_inverse(M)
        return times(transposed(half), half), logdet
    if q <= WRITTEN_OUT and M.shape[2] >= MANY:
        return _inverse_written_out(G)
    stacked = np.ascontiguousarray(G.transpose(2, 0, 1)) + np.eye(q)
    C = np.linalg.cholesky(stacked)
    logdet = 2.0 * np.log(np.diagonal(C, axis1=1, axis2=2)).sum(1)
    inverse = np.linalg.inv(stacked)
    symmetric = 0.5 * (inverse + inverse.transpose(0, 2, 1))
    return np.ascontiguousarray(symmetric.transpose(1, 2, 0)), logdet


def _inverse_of_two(M: Array) -> tuple[Array, Array]:
    first, other = np.einsum("arm,arm->am", M, M)
    excess = _squared_minors(M)
    excess += first
    excess += other
    share = 1.0 / (1.0 + excess)
    N = np.empty((2, 2, M.shape[2]))
    np.multiply(other + 1.0, share, out=N[0, 0])
    np.multiply(first + 1.0, share, out=N[1, 1])
    np.multiply(np.einsum("rm,rm->m", M[0], M[1]), -share, out=N[0, 1])
    N[1, 0] = N[0, 1]
    return N, np.log1p(excess)


def _inverse_written_out(G: Array) -> tuple[Array, Array]:
    """(I + G)⁻¹ (q, q, m) and log|I + G| (m,): Cholesky's steps, each for all matrices at once.

    G (q, q, m), symmetric, none negative. The factor's inverse W is lower; W'W is the inverse.
    """
    q, _, m = G.shape
    C, W, N = np.empty_like(G), np.empty_like(G), np.empty_like(G)
    log_det = np.zeros(m)
    for j in range(q):
        square = 1.0 + G[j, j]
        for k in range(j):
            square -= np.square(C[j, k])
        log_det += np.log(square)
        W[j, j] = 1.0 / np.sqrt(square, out=C[j, j])
        for i in range(j + 1, q):
            C[i, j] = (G[i, j] - sum(C[i, k] * C[j, k] for k in range(j))) * W[j, j]
        for i in range(j):
            W[j, i] = -W[j, j] * sum(C[j, k] * W[k, i] for k in range(i, j))
    for a in range(q):
        for b in range(a + 1):
            N[a, b] = N[b, a] = sum(W[k, a] * W[k, b] for k in range(a, q))
    return N, log_det


def half_of_inverse(M: Array) -> tuple[Array, Array]:
    """W (q, q, m) with W'W = (I + M M')⁻¹, and log|I + M M'| (m,), for M (q, r, m).

    By a QR of [M'; I]: digits that the product M M' would lose.
    """
    q, r, m = M.shape
    both = np.empty((m, r + q, q))
    both[:, :r], both[:, r:] = M.transpose(2, 1, 0), np.eye(q)
    T = np.linalg.qr(both, mode="r")
    half = np.linalg.inv(T).transpose(2, 1, 0)
    return half, 2.0 * np.log(np.abs(np.diagonal(T, axis1=1, axis2=2))).sum(1)


def inverse_and_log_det(A: Array) -> tuple[Array, float]:
    """A⁻¹ and log|A| of a symmetric positive definite A from one Cholesky factor.

    LAPACK's potri works on one triangle alone: a third of the work of solving for the identity.
    Raises LinAlgError where A is not positive definite.
    """
    if not len(A):
        return np.empty((0, 0)), 0.0
    C, info = lapack.dpotrf(A.T, lower=1)
    if info:
        raise np.linalg.LinAlgError("The matrix is not positive definite.")
    log_det = 2.0 * float(np.log(np.diag(C)).sum())
    half, _ = lapack.dpotri(C, lower=1, overwrite_c=1)
    half = np.tril(half)
    inverse = half + half.T
    inverse.flat[:: len(A) + 1] *= 0.5
    return inverse, log_det


def inverse_lower(A: Array) -> tuple[Array, Array, int]:
    """C⁻¹ and the diagonal of C, the lower Cholesky factor of A; and 0, or the size of the first
    leading block of A that is not positive definite."""
    C, failed = lapack.dpotrf(A.T, lower=1)
    if failed or not A.size:  # LAPACK complains aloud of a matrix without rows
        return C, np.diagonal(C), failed
    return lapack.dtrtri(C, lower=1)[0], np.diagonal(C), 0


def _squared_minors(M: Array) -> Array:
    """det(M M') for M (2, r, m): the sum of its squared 2 by 2 minors (Cauchy and Binet)."""
    first, other = M
    out = np.zeros(M.shape[2])
    for i in range(M.shape[1]):
        for j in range(i + 1, M.shape[1]):
            out += (first[i] * other[j] - first[j] * other[i]) ** 2
    return out


# --- rank ----------------------------------------------------------------------------------


def dependent_columns(X: Array, *, intercept: bool) -> list[int]:
    """Positions of the columns of X (n, p) that the columns before them already span.

    With an intercept, columns are centred first, so that a calendar year is judged by its
    spread and not by its distance from the year 0. Columns are brought to length 1.
    """
    if _clearly_independent(X, intercept=intercept):
        return []
    centred = X - X.mean(0) if intercept else X
    length = np.sqrt((centred**2).sum(0))
    scale = np.sqrt((X**2).sum(0))
    constant = length <= 1e-12 * scale
    if intercept:
        first = int(np.flatnonzero(constant & (scale > 0))[0]) if constant.any() else -1
        dropped = [j for j in np.flatnonzero(constant).tolist() if j != first]
    else:
        dropped = np.flatnonzero(constant).tolist()
        first = -1
    left = [j for j in range(X.shape[1]) if j not in dropped and j != first]
    while left:
        R = np.linalg.qr(centred[:, left] / length[left]).R
        small = np.flatnonzero(np.abs(np.diag(R)) < RANK_TOLERANCE)
        excess = left[R.shape[0] :]
        if not small.size and not excess:
            break
        worst = left[int(small[0])] if small.size else excess[0]
        dropped.append(worst)
        left.remove(worst)
    return sorted(dropped)


def _clearly_independent(X: Array, *, intercept: bool) -> bool:
    """Whether every column keeps a hundredth of its length beside those before it.

    That is far from the tolerance and needs cross-products alone, a tenth of a QR's time.
    """
    if intercept and (not X.size or np.ptp(X[:, 0]) > 0):
        return False
    G = X.T @ X
    length = np.sqrt(np.diagonal(G))
    if not (length > 0).all():
        return False
    _, sizes, failed = inverse_lower(G / (length[:, None] * length))
    return not failed and bool(sizes.min() > 0.01)


def clearly_full(L: Array, smallest: float) -> bool:
    """Whether a bound shows that every singular value of L, lower triangular, exceeds `smallest`:
    none is below 1 / |L⁻¹|, the root of a sum of squares."""
    if not L.size:
        return True
    inverse, failed = lapack.dtrtri(L, lower=1)
    return not failed and float((inverse**2).sum()) * smallest**2 < 1.0


def lower_factor(A: Array) -> Array:
    """L lower triangular with a diagonal ≥ 0 and L L' = A A', for A (q, r) of any rank."""
    R = np.linalg.qr(A.T).R
    L = np.zeros((A.shape[0], A.shape[0]))
    L[:, : R.shape[0]] = R.T
    signs = np.where(np.diag(L) < 0, -1.0, 1.0)
    return L * signs
