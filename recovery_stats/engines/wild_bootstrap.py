"""The wild cluster bootstrap of one coefficient, with the hypothesis imposed.

Residuals of the fit under the hypothesis change sign cluster by cluster; the t statistic of the
data is held against those of the outcomes so made (Cameron, Gelbach & Miller 2008, "WCR"). With
G clusters there are 2^G sign patterns; few clusters are gone through one by one. An interval is
the hypotheses that are not rejected. No refit is needed: with S_g = X_g'u_g of restricted
residuals u, and r_g = X_g B e the rows' weight in the coefficient, scores of a pattern v are K v
with K = diag(a) - M B S', and the coefficient moves by a'v.
Where few clusters are treated (say under four) it fails, in either direction (MacKinnon & Webb
2018); `smallest` says what p can be at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from recovery_stats.engines.glm import least_squares

Array = NDArray[np.floating[Any]]

MOST_EXACT = 12  # clusters up to which every pattern of signs is gone through
TIED = 1e-9


@dataclass(frozen=True, slots=True)
class WildBootstrap:
    """estimate and its CR1 error; signs (B, G): patterns; exact: all of them; smallest: least p.

    S (G, p), T (G, p): X'u and X'(x) by cluster, of the fit without the coefficient's column, so
    that the restricted residuals of hypothesis b have scores S - b T.
    """

    estimate: float
    se: float
    signs: Array
    exact: bool
    smallest: float
    S: Array
    T: Array
    bread: Array
    column: int
    moments: Array

    def p(self, effect: float = 0.0) -> float:
        """Two-sided p that the coefficient is `effect`."""
        scores = self.S - effect * self.T
        a = scores @ self.bread[self.column]
        K = np.diag(a) - self.moments @ (self.bread @ scores.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = np.abs(self.signs @ a) / np.sqrt(((self.signs @ K.T) ** 2).sum(axis=1))
            own = K.sum(axis=1)
            seen = abs(a.sum()) / np.sqrt(own @ own)
        drawn = np.where(np.isfinite(drawn), drawn, np.inf)
        hits = float(np.sum(drawn >= seen * (1.0 - TIED)))
        if self.exact:
            return hits / len(drawn)
        return (hits + 1.0) / (len(drawn) + 1.0)

    def limits(self, level: float) -> tuple[float, float]:
        """Hypotheses that are not rejected; infinite where none is."""
        return self._edge(-self.se, level), self._edge(self.se, level)

    def _edge(self, step: float, level: float) -> float:
        def above(x: float) -> float:
            return 1.0 if self.p(self.estimate + x) > 1.0 - level else -1.0

        reach = 2.0 * step
        for _ in range(12):
            if above(reach) < 0:
                return self.estimate + float(brentq(above, 0.0, reach, xtol=1e-6 * abs(step)))
            reach *= 2.0
        return float(np.copysign(np.inf, step))


def wild_bootstrap(
    X: Array,
    y: Array,
    column: int,
    cluster: NDArray[Any],
    rng: np.random.Generator,
    *,
    draws: int = 1_999,
) -> WildBootstrap:
    """Prepare the bootstrap of one coefficient of least squares.

    X (n, p) full rank, y (n,), cluster (n,) labels. Checked: refits of every pattern, one by one.
    """
    ids = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    G = int(ids.max()) + 1
    others = np.delete(X, column, axis=1)
    u, x = (v - others @ np.linalg.lstsq(others, v, rcond=None)[0] for v in (y, X[:, column]))
    bread = np.linalg.inv(X.T @ X)
    weight = X @ bread[column]
    fit = least_squares(X, y)
    scores = np.bincount(ids, weight * fit.residual_white, G)
    n, p = X.shape
    exact = G <= MOST_EXACT
    signs = _every(G) if exact else rng.choice((-1.0, 1.0), size=(draws, G))
    return WildBootstrap(
        float(fit.beta[column]),
        float(np.sqrt(G / (G - 1) * (n - 1) / (n - p) * scores @ scores)),
        signs, exact, 2.0 / 2.0**G if exact else 1.0 / (draws + 1.0),
        _sums(X * u[:, None], ids, G), _sums(X * x[:, None], ids, G), bread, column,
        _sums(X * weight[:, None], ids, G),
    )  # fmt: skip


def _every(G: int) -> Array:
    return np.array(list(product((-1.0, 1.0), repeat=G)))


def _sums(rows: Array, ids: NDArray[Any], G: int) -> Array:
    return np.column_stack([np.bincount(ids, c, G) for c in rows.T])
