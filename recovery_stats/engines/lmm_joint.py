"""Henderson's equations of a mixed model, eliminated once: coefficients and effects together.

With W = [Z L, X], L L' = Psi / s2, and rows brought to residual variance s2,

    (W'W + D) (u, beta) = W'y,   D = I for the effects u (b = L u), 0 for beta,

and s2 times the inverse is the covariance of (u_hat - u, beta_hat - beta): known effects are
correlated with the coefficients, which a sum of two separate variances leaves out. The factor
with most effects is eliminated level by level; the others and beta share one dense block S.
Sources: Henderson 1975; Robinson 1991. Checked: dense inverse (tests/engines/test_lmm_joint.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.errors import NotEstimable

CHUNK = 4_000_000  # numbers of a dense piece of rows by effects


@dataclass(frozen=True, slots=True)
class Joint:
    """The eliminated equations.

    order: factors, the eliminated one first. L: their roots. inverse (m1, q1, q1): inverse lower
    Cholesky factor of each level of the first. Y (m1 q1, M): that times Z1'W2, W2 = [Z2 L2, X B].
    lower (M, M): Cholesky factor of S. B (p, p) makes X B orthogonal.
    """

    order: tuple[int, ...]
    L: tuple[Array, ...]
    inverse: Array
    Y: sparse.csr_array
    W2: sparse.csr_array
    lower: Array
    B: Array
    offsets: tuple[int, ...]
    sigma2: float

    @property
    def p(self) -> int:
        return len(self.B)

    def covariance(self) -> Array:
        """Covariance (p, p) of beta_hat."""
        half = solve_triangular(self.lower[-self.p :, -self.p :], self.B.T, lower=True)
        return np.asarray(self.sigma2 * half.T @ half)

    def _chunks(
        self, X: Array, Z: Sequence[Array], codes: Sequence[IntArray]
    ) -> Iterator[tuple[slice, Array, Array]]:
        step = max(1, CHUNK // max(len(self.lower), 1))
        for start in range(0, len(X), step):
            rows = slice(start, min(start + step, len(X)))
            yield rows, *self.parts(X[rows], [z[rows] for z in Z], [c[rows] for c in codes])

    def parts(self, X: Array, Z: Sequence[Array], codes: Sequence[IntArray]) -> tuple[Array, Array]:
        """Rows as their part in the first factor (n, q1) and in the rest (n, M).

        The squares of both sum to the variance of x'beta_hat + z'(b_hat - b) over s2, products
        to covariances (the first part within a level only). Code -1: no such level; left out.
        """
        first, q1 = self.order[0], self.inverse.shape[1]
        level, known = codes[first], codes[first] >= 0
        at = np.where(known, level, 0)
        own = np.einsum("nij,nj->ni", self.inverse[at], Z[first] @ self.L[0])
        own[~known] = 0.0
        place = sparse.csr_array(
            (own.ravel(), (at[:, None] * q1 + np.arange(q1)).ravel(),
             np.arange(0, own.size + 1, q1)), shape=(len(X), self.Y.shape[0]),
        )  # fmt: skip
        rest = -(place @ self.Y).toarray()
        rest[:, -self.p :] += X @ self.B
        each = np.arange(len(X))
        for k, L, offset in zip(self.order[1:], self.L[1:], self.offsets, strict=True):
            here = codes[k] >= 0
            values = Z[k] @ L
            for j in range(L.shape[0]):
                column = offset + codes[k][here] * L.shape[0] + j
                rest[each[here], column] += values[here, j]
        half = solve_triangular(self.lower, rest.T, lower=True, check_finite=False)
        return own, half.T

    def variance(self, X: Array, Z: Sequence[Array], codes: Sequence[IntArray]) -> Array:
        """Variance (n,) of x'beta_hat + z'(b_hat - b) for rows, level codes -1 where unknown."""
        out = np.empty(len(X))
        with single_thread():
            for rows, own, rest in self._chunks(X, Z, codes):
                out[rows] = (own**2).sum(1) + (rest**2).sum(1)
        return np.asarray(self.sigma2 * out)

    def fixed_leverage(self, X: Array, Z: Sequence[Array], codes: Sequence[IntArray]) -> Array:
        """Diagonal (n,) of X (X'V⁻¹X)⁻¹X'V⁻¹ for the rows fitted (Demidenko & Stukel 2005)."""
        weight = solve_triangular(self.lower[-self.p :, -self.p :], self.B.T, lower=True)
        out = np.empty(len(X))
        with single_thread():
            for rows, _, rest in self._chunks(X, Z, codes):
                # the last p columns of `rest` are each row's X'V⁻¹, through the corner of `lower`
                out[rows] = np.einsum("np,np->n", rest[:, -self.p :], X[rows] @ weight.T)
        return out


def join(X: Array, factors: Sequence[RandomFactor], psi: Sequence[Array], sigma2: float) -> Joint:
    """Eliminate the equations of rows X (n, p), Z of the factors, at given variances.

    Rows are to be independent with residual variance sigma2 (scale X and Z by root weights).
    Raises NotEstimable where beta cannot be told from the effects.
    """
    order = tuple(sorted(range(len(factors)), key=lambda k: -factors[k].levels * factors[k].q))
    roots = [_root(psi[k] / sigma2) for k in order]
    length = np.sqrt((X**2).sum(0))
    R = np.linalg.qr(X / length).R
    B = solve_triangular(R, np.eye(len(length))) / length[:, None]
    with single_thread():
        first, L1 = factors[order[0]], roots[0]
        W1 = first.Z @ L1
        K11 = _blocks(W1, first) + np.eye(first.q)
        inverse = np.linalg.inv(np.linalg.cholesky(K11))
        W2, offsets, penalised = _second([factors[k] for k in order[1:]], roots[1:], X @ B)
        Y = sparse.csr_array(_diagonal(inverse) @ (_spread(W1, first).T @ W2))
        S = (W2.T @ W2).toarray() - (Y.T @ Y).toarray()
        S[np.arange(penalised), np.arange(penalised)] += 1.0
        try:
            lower = np.linalg.cholesky(S)
        except np.linalg.LinAlgError:
            raise NotEstimable(
                "The random effects take up a predictor entirely; its coefficient has no error."
            ) from None
    return Joint(order, tuple(roots), inverse, Y, W2, lower, B, offsets, sigma2)


def _root(psi: Array) -> Array:
    """L with L L' = psi, whatever its rank."""
    values, vectors = np.linalg.eigh(psi)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _blocks(W: Array, factor: RandomFactor) -> Array:
    """W'W of each level, (levels, q, q)."""
    out = np.empty((factor.levels, factor.q, factor.q))
    for a in range(factor.q):
        for b in range(a + 1):
            out[:, a, b] = out[:, b, a] = np.bincount(
                factor.codes, W[:, a] * W[:, b], factor.levels
            )
    return out


def _spread(W: Array, factor: RandomFactor) -> sparse.csr_array:
    """Rows of W (n, q) at the columns of their level, (n, levels q)."""
    n, q = W.shape
    columns = factor.codes[:, None] * q + np.arange(q)
    return sparse.csr_array(
        (W.ravel(), columns.ravel(), np.arange(0, n * q + 1, q)), shape=(n, factor.levels * q)
    )


def _diagonal(blocks: Array) -> sparse.csr_array:
    """Block diagonal of (m, q, q)."""
    m, q, _ = blocks.shape
    start = np.repeat(np.arange(m) * q, q)
    columns = start[:, None] + np.arange(q)
    return sparse.csr_array(
        (blocks.ravel(), columns.ravel(), np.arange(0, m * q * q + 1, q)), shape=(m * q, m * q)
    )


def _second(
    factors: Sequence[RandomFactor], roots: Sequence[Array], X: Array
) -> tuple[sparse.csr_array, tuple[int, ...], int]:
    widths = [f.levels * f.q for f in factors]
    offsets = tuple(int(v) for v in np.cumsum([0, *widths[:-1]]))[: len(factors)]
    parts = [_spread(f.Z @ L, f) for f, L in zip(factors, roots, strict=True)]
    W2 = sparse.csr_array(sparse.hstack([*parts, sparse.csr_array(X)], format="csr"))
    return W2, offsets, sum(widths)
