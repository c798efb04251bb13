"""Cluster-robust covariance of a mixed model's coefficients, with Satterthwaite's df.

CR2 of Pustejovsky & Tipton 2018: the residuals of each cluster are adjusted by
A_i = D_i'(D_i (V_i - X_i M X_i') D_i')^(-1/2) D_i, D_i'D_i = V_i, so that the covariance is
unbiased when the model's V is right; df match the first two moments under that V.
Checked: dense formulas, the ordinary regression case (tests/engines/test_lmm_robust.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.errors import NotEstimable

Noise = Callable[[IntArray], Array]
SMALL = 64  # clusters up to this size are worked on whole, larger ones in the span of [Z, X]
NO_RESIDUAL = 1e-10


@dataclass(frozen=True, slots=True)
class Robust:
    """covariance (p, p); M (p, p) the model's; K, J (c, p, p): X'V⁻¹A X and X'V⁻¹A V A'V⁻¹X."""

    covariance: Array
    M: Array
    K: Array
    J: Array

    def df(self, L: Array) -> Array:
        """Satterthwaite's df (k,) of the combinations L (k, p)."""
        out = []
        for row in L:
            c = self.M @ row
            U = np.einsum("ipq,p->iq", self.K, c)
            d = np.einsum("p,ipq,q->i", c, self.J, c)
            UM = U @ self.M
            own = (UM * U).sum(1)
            cross = U.T @ UM
            trace = float((d - own).sum())
            squared = float(d @ d - 2.0 * d @ own + np.sum(cross * cross.T))
            out.append(trace**2 / squared if squared > 0 else np.nan)
        return np.array(out)


def cluster_robust(
    X: Array,
    residual: Array,
    factors: Sequence[RandomFactor],
    psi: Sequence[Array],
    sigma2: float,
    M: Array,
    clusters: IntArray,
    *,
    weights: Array | None = None,
    noise: Noise | None = None,
) -> Robust:
    """CR2 for clusters (n,) of independent rows; M is the model's covariance of beta.

    noise: the residual covariance (c, s, s) of rows (c, s), where it is not sigma2 / weights.
    Raises NotEstimable when a level of a random factor lies in several clusters: rows of
    different clusters would then be dependent.
    """
    count = int(clusters.max()) + 1
    if count < 2:
        raise NotEstimable("Cluster-robust errors need at least two clusters.")
    _check_nested(factors, clusters)
    p = X.shape[1]
    b, K, J = np.zeros((count, p)), np.zeros((count, p, p)), np.zeros((count, p, p))
    with single_thread():
        for which, V, Xc, ec in _pieces(
            X, residual, factors, psi, sigma2, clusters, weights, noise
        ):  # fmt: skip
            XtVA = _adjusted(V, Xc, M)
            b[which] = np.einsum("cpn,cn->cp", XtVA, ec)
            K[which] = XtVA @ Xc
            J[which] = XtVA @ V @ XtVA.transpose(0, 2, 1)
    return Robust(M @ b.T @ b @ M, M, K, J)


def _check_nested(factors: Sequence[RandomFactor], clusters: IntArray) -> None:
    width = int(clusters.max()) + 1
    for factor in factors:
        live = np.abs(factor.Z).sum(1) > 0
        pairs = np.unique(factor.codes[live].astype(np.int64) * width + clusters[live]).size
        if pairs > np.unique(factor.codes[live]).size:
            raise NotEstimable(
                f"Levels of the random factor {factor.name!r} spread over several clusters, so "
                "clusters are not independent; take the larger grouping as the cluster."
            )


def _pieces(
    X: Array,
    residual: Array,
    factors: Sequence[RandomFactor],
    psi: Sequence[Array],
    sigma2: float,
    clusters: IntArray,
    weights: Array | None,
    structured: Noise | None,
) -> Iterator[tuple[IntArray, Array, Array, Array]]:
    """Clusters of equal size together: their numbers, V (c, s, s), X (c, s, p), residual (c, s)."""
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    noise = np.full(residual.size, sigma2) if weights is None else sigma2 / weights
    for size in np.unique(sizes[sizes > 0]).tolist():
        which = np.flatnonzero(sizes == size)
        rows = order[starts[which][:, None] + np.arange(size)]
        if size > SMALL and weights is None and structured is None:
            for one, mine in zip(which, rows, strict=True):
                yield _reduced(np.array([one]), mine, X, residual, factors, psi, sigma2)
            continue
        if structured is None:
            V = np.zeros((which.size, size, size))
            V[:, np.arange(size), np.arange(size)] = noise[rows]
        else:
            V = structured(rows)
        for factor, Psi in zip(factors, psi, strict=True):
            Z, g = factor.Z[rows], factor.codes[rows]
            V += (Z @ Psi @ Z.transpose(0, 2, 1)) * (g[:, :, None] == g[:, None, :])
        yield which, V, X[rows], residual[rows]


def _reduced(
    which: IntArray,
    rows: IntArray,
    X: Array,
    residual: Array,
    factors: Sequence[RandomFactor],
    psi: Sequence[Array],
    sigma2: float,
) -> tuple[IntArray, Array, Array, Array]:
    """One large cluster in an orthonormal basis of [Z, X]; off it V is s2 I and nothing enters."""
    parts, blocks = [X[rows]], []
    for factor, Psi in zip(factors, psi, strict=True):
        levels, code = np.unique(factor.codes[rows], return_inverse=True)
        q = factor.q
        Z = np.zeros((rows.size, levels.size * q))
        for j in range(q):
            Z[np.arange(rows.size), code.reshape(-1) * q + j] = factor.Z[rows, j]
        parts.append(Z)
        blocks.append((Z, np.kron(np.eye(levels.size), Psi)))
    both = np.hstack(parts)
    length = np.sqrt((both**2).sum(0))
    Q, R, _ = qr(both / np.where(length > 0, length, 1.0), mode="economic", pivoting=True)
    O = Q[:, np.abs(np.diag(R)) > 1e-10]  # noqa: E741
    V = sigma2 * np.eye(O.shape[1])
    for Z, P in blocks:
        OZ = O.T @ Z
        V += OZ @ P @ OZ.T
    return which, V[None], (O.T @ X[rows])[None], (O.T @ residual[rows])[None]


def _adjusted(V: Array, X: Array, M: Array) -> Array:
    """X'V⁻¹A (c, p, s) for every cluster."""
    try:
        C = np.linalg.cholesky(V)
    except np.linalg.LinAlgError:
        raise NotEstimable(
            "Robust errors need a covariance of each cluster's rows that can be factored; here a "
            "random slope dwarfs the residual. Keep fewer random slopes."
        ) from None
    D = C.transpose(0, 2, 1)
    B = D @ (V - X @ M @ X.transpose(0, 2, 1)) @ C
    values, vectors = np.linalg.eigh(0.5 * (B + B.transpose(0, 2, 1)))
    floor = NO_RESIDUAL * values[:, -1:]
    root = np.where(values > floor, 1.0 / np.sqrt(np.where(values > floor, values, 1.0)), 0.0)
    A = C @ ((vectors * root[:, None, :]) @ vectors.transpose(0, 2, 1)) @ D
    return np.asarray(np.linalg.solve(V, X).transpose(0, 2, 1) @ A)
