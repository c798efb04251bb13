"""Cluster-robust covariance of estimating equations, honest with few clusters.

Solve sum_i w_i x_i r_i(b) = 0 and a cluster-robust covariance follows from the scores by
cluster. The plain one (CR0) is too small when clusters are few or leverage is uneven. CR2
rescales the residuals of each cluster so that the covariance is unbiased under a working
model, and Satterthwaite's degrees of freedom say how variable it still is. With every row a
cluster of its own CR0, CR1, CR2, CR3 are HC0, HC1, HC2, HC3.

A generalised linear model enters whitened (see `engines.glm`): rows of X and residuals divided
by the standard deviation that the model gives each observation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Kind = Literal["CR0", "CR1", "CR2", "CR3", "FG"]

# An eigenvalue of I - H below this is a direction in which the cluster has no residual left
# (a coefficient of its own, as a fixed effect has): it carries nothing, and is dropped.
NO_RESIDUAL = 1e-10
MOST_LEVERAGE = 0.75  # b of Fay & Graubard: a cluster's share of a coefficient, beyond it cut


@dataclass(frozen=True, slots=True)
class Sandwich:
    """A cluster-robust covariance and what its degrees of freedom need.

    covariance (p, p). influence (G, p): the contribution of each cluster to the coefficients,
    so that covariance = influence' influence. X, Y (n, p) rows in cluster order: regressors, and
    adjusted weighted regressors A W X; starts (G,) where each cluster begins; bread (p, p);
    weights (n,).
    """

    kind: Kind
    covariance: Array
    influence: Array
    bread: Array
    X: Array
    Y: Array
    weights: Array
    starts: NDArray[np.intp]

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return len(self.starts)

    def df(self, contrast: Array) -> float:
        """Satterthwaite's degrees of freedom of the variance of contrast'b.

        contrast (p,). Under the working model the variance estimate is a quadratic form e'Qe
        whose nonzero eigenvalues are those of the G x G matrix P = D - F K F'; then
        df = (tr P)^2 / tr P^2, without ever forming P.
        Source: Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, eq. 11. Checked: brute force
        with dense projections; balanced two groups of clusters (G - 2).
        """
        v = self.Y @ (self.bread @ contrast)
        d, F, K = np.add.reduceat(v * v, self.starts), self._reach(v), self._link()
        FFK = F.T @ F @ K
        trace = d.sum() - np.trace(FFK)
        trace_squared = d @ d - 2 * d @ ((F @ K) * F).sum(axis=1) + np.trace(FFK @ FFK)
        return float(trace**2 / trace_squared) if trace_squared > 0 else float("nan")

    def hotelling_df(self, L: Array) -> float:
        """eta of the approximate Hotelling test of L b = 0, L (q, p): for q = 1 that of `df`.

        (eta - q + 1) / (eta q) times Wald's statistic is F on q and eta - q + 1. The variances of
        the q (q + 1) / 2 entries of L V L', whitened, are summed and matched with a Wishart's.
        Source: Pustejovsky & Tipton 2018, eq. 15 to 17. Checked: brute force with dense matrices.
        """
        q, K = len(L), self._link()
        V = self.Y @ (self.bread @ self._whitening(L).T)
        F = [self._reach(v) for v in V.T]
        total = 0.0
        for s in range(q):
            for t in range(q):
                d = [np.add.reduceat(a * b, self.starts) for a, b in _pairs(V.T[s], V.T[t])]
                f = [((a @ K) * b).sum(axis=1) for a, b in _pairs(F[s], F[t])]
                own = d[0] @ d[1] - d[0] @ f[1] - d[1] @ f[0] + d[2] @ d[2] - 2 * d[2] @ f[2]
                C = F[s].T @ F[t]
                total += own + np.trace(K @ C @ K @ C.T) + np.trace(K @ C.T @ K @ C.T)
        return float(q * (q + 1) / total) if total > 0 else float("nan")

    def _whitening(self, L: Array) -> Array:
        """L brought to unit covariance under the working model: Omega^-1/2 L."""
        V, K = self.Y @ (self.bread @ L.T), self._link()
        F = [self._reach(v) for v in V.T]
        omega = V.T @ V - np.array([[np.sum((a @ K) * b) for b in F] for a in F])
        values, vectors = np.linalg.eigh(0.5 * (omega + omega.T))
        return np.asarray((vectors / np.sqrt(values)) @ vectors.T @ L)

    def _reach(self, v: Array) -> Array:
        """X'v and X'Wv of every cluster, (G, 2p)."""
        plain = np.add.reduceat(self.X * v[:, None], self.starts)
        weighted = np.add.reduceat(self.X * (self.weights * v)[:, None], self.starts)
        return np.hstack([plain, weighted])

    def _link(self) -> Array:
        """K (2p, 2p): contributions of two clusters have covariance -F_g'K F_h."""
        WX = self.X * self.weights[:, None]
        middle = self.bread @ (WX.T @ WX) @ self.bread
        return np.block([[-middle, self.bread], [self.bread, np.zeros_like(self.bread)]])


def _pairs(a: Array, b: Array) -> tuple[tuple[Array, Array], ...]:
    return (a, a), (b, b), (a, b)


def sandwich(
    X: Array,
    residual: Array,
    cluster: NDArray[Any] | None = None,
    *,
    weights: Array | None = None,
    kind: Kind = "CR2",
) -> Sandwich:
    """Cluster-robust covariance of the coefficients that solve X'W residual = 0.

    X (n, p), full column rank, and residual (n,): of unit working variance (whitened).
    cluster (n,) any labels; None: every row is its own. weights (n,) > 0: sampling weights.
    Source: Liang & Zeger 1986 (CR0); Bell & McCaffrey 2002 (CR2, CR3), for weights as in
    Pustejovsky & Tipton 2018, eq. 6 with an identity working covariance. CR1 is
    G/(G-1) (n-1)/(n-p) CR0. FG divides score j of a cluster by the root of one less its share in
    the information, min(b, (X_g'WX_g bread)_jj) (Fay & Graubard 2001).
    Checked: brute force; R sandwich (HC0-HC3, CR0, CR1).
    """
    n, p = X.shape
    labels = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    X, e, labels = X[order], residual[order], labels[order]
    w = np.ones(n) if weights is None else weights[order]
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    WX = X * w[:, None]
    bread = np.linalg.inv(X.T @ WX)
    Y: Array
    if kind == "FG":
        Y = WX * _fay_graubard(X, WX, bread, starts)
    else:
        Y = WX if kind in ("CR0", "CR1") else _adjusted(X, w, bread, starts, kind)
    G = len(starts)
    inflation = np.sqrt(G / (G - 1) * (n - 1) / (n - p)) if kind == "CR1" else 1.0
    influence = inflation * np.add.reduceat(Y * e[:, None], starts) @ bread
    return Sandwich(kind, influence.T @ influence, influence, bread, X, Y, w, starts)


def _adjusted(X: Array, w: Array, bread: Array, starts: NDArray[np.intp], kind: Kind) -> Array:
    """A W X by cluster, with A the symmetric power of the residuals' covariance G = (I-H)(I-H)'.

    CR2: A = G^(-1/2), which makes the variance unbiased; CR3: A = G^(-1), near the jackknife.
    G is the identity outside the span of (X_g, W X_g), so the power is taken in there: at most
    2p dimensions, however large the cluster. Clusters of one size go through LAPACK together.
    """
    WX = X * w[:, None]
    middle = bread @ (WX.T @ WX) @ bread
    plain = bool(np.all(w == w[0]))
    Y = WX.copy()
    for rows in _by_size(starts, len(X)):
        Xg, WXg = X[rows], WX[rows]
        # With equal weights W X_g adds no direction to the span.
        Q = np.linalg.qr(Xg if plain else np.concatenate([Xg, WXg], axis=2))[0]
        QX, QWX = np.swapaxes(Q, 1, 2) @ Xg, np.swapaxes(Q, 1, 2) @ WXg
        cross = QX @ bread @ np.swapaxes(QWX, 1, 2)
        inner = QX @ middle @ np.swapaxes(QX, 1, 2) - cross - np.swapaxes(cross, 1, 2)
        values, V = np.linalg.eigh(np.eye(Q.shape[2]) + inner)
        kept = values > NO_RESIDUAL
        power = -0.5 if kind == "CR2" else -1.0
        change = np.where(kept, np.where(kept, values, 1.0) ** power, 0.0) - 1.0
        Y[rows] += Q @ (V * change[:, None, :]) @ (np.swapaxes(V, 1, 2) @ QWX)
    return Y


def _fay_graubard(X: Array, WX: Array, bread: Array, starts: NDArray[np.intp]) -> Array:
    """Factors (n, p) of the scores, those of its cluster for every row."""
    shares = np.add.reduceat(WX * (X @ bread), starts)
    factors = 1.0 / np.sqrt(1.0 - np.minimum(shares, MOST_LEVERAGE))
    return np.asarray(np.repeat(factors, np.diff(np.r_[starts, len(X)]), axis=0))


def _by_size(starts: NDArray[np.intp], n: int) -> Iterator[NDArray[np.intp]]:
    """Row numbers (clusters, size) per distinct cluster size, a few ten thousand rows at a time."""
    sizes = np.diff(np.r_[starts, n])
    for size in np.unique(sizes):
        first = starts[sizes == size]
        step = max(1, 65_536 // int(size))
        for at in range(0, len(first), step):
            yield first[at : at + step, None] + np.arange(size)
