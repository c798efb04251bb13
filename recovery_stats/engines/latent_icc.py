"""How alike the members of a cluster are in a yes or no: latent and observed scale, with limits.

logit P(y = 1) = X beta + sigma u, u standard normal by cluster. On the latent scale the correlation
is sigma² / (sigma² + pi²/3); between two yes-or-no answers of one cluster it is smaller,
var(p) / (m (1 - m)) with p a cluster's chance and m its mean, both at the average predictor.
Limits are those of the profile likelihood of sigma, carried over. The integral over u is a sum over
an even grid, which for a smooth, fast-falling integrand is exact to many digits.
Source: Eldridge, Ukoumunne & Carlin 2009. Checked: R lme4 (tests/models/icc.R).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, logsumexp
from scipy.stats import chi2

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

GRID = np.linspace(-8.0, 8.0, 321)  # a cluster of hundreds still spans several steps
WIDEST = 8.0  # a spread of log odds between clusters beyond which answers are all alike


@dataclass(frozen=True, slots=True)
class Alike:
    """Correlations at the estimate, and at the limits of sigma: estimate, low, high."""

    sigma: tuple[float, float, float]
    latent: tuple[float, float, float]
    observed: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class _Model:
    X: Array
    y: Array
    ids: IntArray

    def value(self, beta: Array, sigma: float) -> tuple[float, Array]:
        """Minus the log-likelihood and its gradient in beta."""
        eta = (self.X @ beta)[:, None] + sigma * GRID
        rows = self.y[:, None] * eta - np.logaddexp(0.0, eta)
        G = int(self.ids.max()) + 1
        sums = np.zeros((G, len(GRID)))
        np.add.at(sums, self.ids, rows)
        sums += -0.5 * GRID**2 - 0.5 * np.log(2.0 * np.pi) + np.log(GRID[1] - GRID[0])
        total = logsumexp(sums, axis=1)
        share = np.exp(sums - total[:, None])[self.ids]
        score = self.X.T @ (self.y - (share * expit(eta)).sum(axis=1))
        return -float(total.sum()), -score

    def profile(self, sigma: float, start: Array) -> tuple[float, Array]:
        """Minus the log-likelihood at its best for this sigma."""
        found = minimize(self.value, start, args=(sigma,), jac=True, method="BFGS",
                         options={"gtol": 1e-6})  # fmt: skip
        return float(found.fun), np.asarray(found.x)


def alike(X: Array, y: Array, ids: IntArray, *, level: float) -> Alike:
    """Likeness of a yes-or-no outcome within clusters.

    X (n, p) with an intercept first, the others centred; y (n,) 0/1; ids (n,) codes 0..G-1.
    Raises NotEstimable where an outcome never varies or clusters have one member each.
    """
    if np.ptp(y) == 0 or np.bincount(ids).max() < 2:
        raise NotEstimable(
            "No likeness within clusters: the outcome is the same in all, or clusters have one "
            "member each."
        )
    model = _Model(X, y, ids)
    beta = np.zeros(X.shape[1])
    beta[0] = np.log(y.mean() / (1.0 - y.mean()))
    beta = model.profile(0.0, beta)[1]

    def curve(sigma: float) -> float:
        return model.profile(sigma, beta)[0]

    found = minimize_scalar(curve, bounds=(0.0, WIDEST), method="bounded",
                            options={"xatol": 1e-6})  # fmt: skip
    zero = curve(0.0)
    sigma, least = (0.0, zero) if zero <= found.fun + 1e-8 else (float(found.x), float(found.fun))
    reach = 0.5 * float(chi2.isf(1.0 - level, 1))

    def above(s: float) -> float:
        return curve(s) - least - reach

    low = 0.0 if above(0.0) <= 0 else float(brentq(above, 0.0, sigma, xtol=1e-6))
    high = WIDEST if above(WIDEST) <= 0 else float(brentq(above, sigma, WIDEST, xtol=1e-6))
    at = (sigma, low, high)
    latent = tuple(s * s / (s * s + np.pi**2 / 3.0) for s in at)
    observed = tuple(_observed(float(model.profile(s, beta)[1][0]), s) for s in at)
    return Alike(at, latent, observed)  # type: ignore[arg-type]


def _observed(eta: float, sigma: float) -> float:
    """var(p) / (m (1 - m)) of p = expit(eta + sigma u)."""
    w = np.exp(-0.5 * GRID**2)
    p, w = expit(eta + sigma * GRID), w / w.sum()
    m = float(w @ p)
    return float(w @ (p - m) ** 2) / (m * (1.0 - m))
