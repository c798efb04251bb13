"""Means on the log scale by quasi-likelihood: counts (variance as the mean), money (as its square).

Only the mean has to be right: errors come from `engines.robust`. Zeros are allowed in both.
Source: McCullagh & Nelder 1989, chapter 9; Santos Silva & Tenreyro 2006 for amounts with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.glm import Fit
from recovery_stats.errors import ConvergenceError, NotEstimable

Array = NDArray[np.floating[Any]]


def log_linear(
    X: Array, y: Array, power: float, *, weights: Array | None = None, tol: float = 1e-22,
    most: int = 200,
) -> Fit:  # fmt: skip
    """Solve sum w x (y - mu) mu^(1 - power) = 0 for mu = exp(Xb); variance as mu^power.

    X (n, p), full column rank; y (n,) >= 0, power 1 or 2; weights (n,) > 0. Fisher steps on
    orthonormal columns, halved where the quasi-likelihood would fall.
    Raises NotEstimable for a negative value, or where all are zero; ConvergenceError.
    Checked: closed form (two groups: log of the ratio of means); R's glm.
    """
    if np.any(y < 0) or not np.any(y > 0):
        raise NotEstimable("A mean on the log scale needs values of zero or more, some above zero.")
    w = np.ones(len(y)) if weights is None else weights
    Q, R = np.linalg.qr(X)
    Q, R = Q * np.sqrt(len(y)), R / np.sqrt(len(y))
    gamma = np.linalg.lstsq(Q, np.log(y + np.average(y, weights=w)), rcond=None)[0]
    value = _quasi(Q @ gamma, y, w, power)
    steps = 0
    for steps in range(1, most + 1):  # noqa: B007 (told afterwards)
        mu = np.exp(Q @ gamma)
        score = Q.T @ (w * (y - mu) * mu ** (1 - power))
        information = Q.T @ (Q * (w * mu ** (2 - power))[:, None])
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        size = 1.0
        while (new := _quasi(Q @ (gamma + size * step), y, w, power)) < value - 1e-12 * abs(value):
            size /= 2
            if size < 1e-9:
                break
        gamma, value = gamma + size * step, new
        if score @ step <= tol * float(information.trace()) / len(gamma):
            break
    else:
        raise ConvergenceError(f"The log-linear regression did not converge in {most} steps.")
    mu, inverse = np.exp(Q @ gamma), np.linalg.inv(R)
    information = Q.T @ (Q * (w * mu ** (2 - power))[:, None])
    covariance = inverse @ np.linalg.inv(information) @ inverse.T
    sd = mu ** (power / 2)
    return Fit(
        inverse @ gamma, mu, X * (mu / sd)[:, None], (y - mu) / sd, covariance, float("nan"), steps
    )


def _quasi(eta: Array, y: Array, w: Array, power: float) -> float:
    """The quasi-likelihood; -inf where a mean overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        each = y * eta - np.exp(eta) if power == 1 else -y * np.exp(-eta) - eta
        value = float(np.sum(w * each))
    return value if np.isfinite(value) else float("-inf")
