"""Linear and logistic regression, whitened for `engines.robust`; separation found for certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import expit

from recovery_stats.errors import ConvergenceError, NotEstimable

Array = NDArray[np.floating[Any]]

# A fitted probability this near 0 or 1 in log odds (3e-7) raises the suspicion of separation;
# the linear programme then decides.
EXTREME_LOG_ODDS = 15.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A solved estimating equation.

    beta (p,). mu (n,) fitted means. X_white (n, p), residual_white (n,): rows divided by the
    model's standard deviation of each observation, as `engines.robust.sandwich` takes them.
    covariance (p, p): model-based. log_likelihood nan for least squares.
    """

    beta: Array
    mu: Array
    X_white: Array
    residual_white: Array
    covariance: Array
    log_likelihood: float
    iterations: int


class Separation(NotEstimable):
    """A direction in the regressors tells the two outcomes apart: no finite coefficient exists.

    direction (p,): nonzero where a column takes part.
    """

    def __init__(self, direction: Array) -> None:
        super().__init__("The outcome is separated: no finite coefficient exists.")
        self.direction = direction


def dependent_columns(X: Array, *, tol: float = 1e-9) -> tuple[int, ...]:
    """Columns that are linear combinations of columns before them, by number.

    Modified Gram-Schmidt in the order given, so that the later of two equal columns is named;
    twice over, because once loses orthogonality when columns are nearly dependent.
    """
    Q, found = np.empty(X.shape, order="F"), 0
    dependent = []
    for j, x in enumerate(X.T):
        basis = Q[:, :found]
        rest = x - basis @ (basis.T @ x)
        rest = rest - basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size <= tol * np.linalg.norm(x) or size == 0:
            dependent.append(j)
        else:
            Q[:, found] = rest / size
            found += 1
    return tuple(dependent)


def least_squares(X: Array, y: Array, *, weights: Array | None = None) -> Fit:
    """Minimise sum w (y - Xb)^2 by QR.

    X (n, p), full column rank; y (n,); weights (n,) > 0. covariance is the textbook one,
    s^2 (X'WX)^-1 with n - p degrees of freedom. Checked: R lm.
    """
    n, p = X.shape
    root = np.ones(n) if weights is None else np.sqrt(weights)
    Q, R = np.linalg.qr(X * root[:, None])
    beta = np.linalg.solve(R, Q.T @ (root * y))
    mu = X @ beta
    inverse = np.linalg.inv(R)
    scale = np.sum((root * (y - mu)) ** 2) / (n - p) if n > p else float("nan")
    return Fit(beta, mu, X, y - mu, scale * inverse @ inverse.T, float("nan"), 1)


def logistic(
    X: Array, y: Array, *, weights: Array | None = None, tol: float = 1e-12, most: int = 60
) -> Fit:
    """Maximise the logistic likelihood by Newton steps, halved where it would fall.

    X (n, p), full column rank; y (n,) in [0, 1]; weights (n,) > 0. Works on orthonormal columns,
    so scale and origin of a covariate (a calendar year) cost no digits.
    Raises Separation when no finite maximum exists, ConvergenceError otherwise.
    Checked: closed form (two groups, log odds ratio and Woolf error); R glm.
    """
    w = np.ones(len(y)) if weights is None else weights
    Q, R = np.linalg.qr(X)
    Q, R = Q * np.sqrt(len(y)), R / np.sqrt(len(y))
    gamma: Array = np.zeros(X.shape[1])
    value, converged, step_number = _log_likelihood(Q @ gamma, y, w), False, 0
    while not converged and step_number < most:
        step_number += 1
        mu = expit(Q @ gamma)
        score = Q.T @ (w * (y - mu))
        step = np.linalg.lstsq(_information(Q, mu, w), score, rcond=None)[0]
        gamma, new = _ascend(Q, y, w, gamma, step, value)
        # The Newton decrement is twice the gain still to be had, free of units.
        converged, value = bool(score @ step <= tol * w.mean()), new
    eta = Q @ gamma
    if np.abs(eta).max() > EXTREME_LOG_ODDS or not converged:
        direction = separating_direction(X, y)
        if direction is not None:
            raise Separation(direction)
    if not converged:
        raise ConvergenceError(f"Logistic regression did not converge in {most} steps.")
    mu = expit(eta)
    inverse = np.linalg.inv(R)
    covariance = inverse @ np.linalg.inv(_information(Q, mu, w)) @ inverse.T
    sd = np.sqrt(mu * (1 - mu))
    beta = inverse @ gamma
    return Fit(beta, mu, X * sd[:, None], (y - mu) / sd, covariance, value, step_number)


def separating_direction(X: Array, y: Array) -> Array | None:
    """A direction b with (2y - 1) Xb >= 0 everywhere and > 0 somewhere, or None.

    Linear programme of Konis 2007: it finds complete and quasi-complete separation for certain,
    where watching coefficients grow does not. X (n, p); y (n,) in {0, 1}.
    """
    scale = np.linalg.norm(X, axis=0)
    signed = (2 * y - 1)[:, None] * X / np.where(scale > 0, scale, 1.0)
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1))
    if not found.success or -found.fun < 1e-7:
        return None
    return np.where(np.abs(found.x) > 1e-7, found.x, 0.0)


def _ascend(
    Q: Array, y: Array, w: Array, gamma: Array, step: Array, value: float
) -> tuple[Array, float]:
    """Take the longest of the steps 1, 1/2, 1/4 … that does not lower the likelihood."""
    for halvings in range(30):
        trial = gamma + step / 2**halvings
        new = _log_likelihood(Q @ trial, y, w)
        # At the top the last step gains less than the sum can resolve; take it whole.
        if new >= value - 1e-12 * abs(value):
            return trial, new
    return gamma, value


def _information(Q: Array, mu: Array, w: Array) -> Array:
    return Q.T @ (Q * (w * mu * (1 - mu))[:, None])


def _log_likelihood(eta: Array, y: Array, w: Array) -> float:
    return float(np.sum(w * (y * eta - np.logaddexp(0.0, eta))))
