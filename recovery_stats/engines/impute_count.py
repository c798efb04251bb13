"""Draws for counts: Poisson and negative binomial models with a log link.

Coefficients, and the logarithm of the dispersion, are drawn from their large-sample normal
distributions; in the negative binomial model the two are independent (Lawless 1987).
Checked: R glm and MASS::glm.nb (tests/engines/test_impute_category.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from recovery_stats.engines.linalg import Array
from recovery_stats.errors import ConvergenceError

STEPS = 50
TOLERANCE = 1e-9
HIGHEST = 20.0  # log means above this overflow a count


@dataclass(frozen=True, slots=True)
class Rates:
    """A fitted log-linear model: coefficients (p,), Cholesky factor of their information."""

    beta: Array
    factor: Array

    def draw(self, rng: np.random.Generator) -> Array:
        step, _ = lapack.dtrtrs(self.factor, rng.standard_normal(self.beta.size), lower=1, trans=1)
        return np.asarray(self.beta + step)


def impute_poisson(
    X: Array, y: Array, new: Array, rng: np.random.Generator, delta: Array | float = 0.0
) -> Array:
    """Counts; delta is added to the log of their mean."""
    beta = fit_rates(X, y, 0.0).draw(rng)
    return rng.poisson(np.exp(np.minimum(beta @ new + delta, HIGHEST))).astype(float)


def impute_negative_binomial(
    X: Array, y: Array, new: Array, rng: np.random.Generator, delta: Array | float = 0.0
) -> Array:
    """Counts with variance mu + alpha mu^2; delta is added to the log of their mean."""
    rates, log_alpha, se = fit_dispersed(X, y)
    alpha = float(np.exp(log_alpha + se * rng.standard_normal()))
    beta = (fit_rates(X, y, alpha, rates.beta) if se > 0 else rates).draw(rng)
    mu = np.exp(np.minimum(beta @ new + delta, HIGHEST))
    if alpha > 1e-8:
        mu = rng.gamma(1.0 / alpha, alpha * mu)
    return rng.poisson(mu).astype(float)


def fit_rates(X: Array, y: Array, alpha: float, start: Array | None = None) -> Rates:
    """Maximise the likelihood over beta for a known dispersion (0: Poisson).

    Raises ConvergenceError where no finite maximum is found.
    """
    p = X.shape[0]
    beta = start if start is not None else np.zeros(p)
    if start is None:
        beta[0] = np.log(max(y.mean(), 1e-8)) / X[0, 0]
    value = _loglik(beta, X, y, alpha)
    for _ in range(STEPS):
        mu = np.exp(np.minimum(beta @ X, HIGHEST))
        share = 1.0 / (1.0 + alpha * mu)
        information = (X * (mu * share)) @ X.T
        information.flat[:: p + 1] *= 1.0 + 1e-10
        factor, info = lapack.dpotrf(information, lower=1)
        if info:
            break
        score = X @ ((y - mu) * share)
        step, _ = lapack.dpotrs(factor, score, lower=1)
        if float(score @ step) < TOLERANCE:
            return Rates(beta + step, factor)
        for halving in range(30):
            there = _loglik(beta + step / 2**halving, X, y, alpha)
            if there >= value - 1e-9 * abs(value):
                break
        beta, value = beta + step / 2**halving, there
    raise ConvergenceError(
        "A model of counts found no maximum: a predictor may be where all counts are zero."
    )


def _loglik(beta: Array, X: Array, y: Array, alpha: float) -> float:
    eta = beta @ X
    if eta.max() > HIGHEST * 2:
        return -np.inf
    mu = np.exp(eta)
    if alpha <= 0:
        return float(y @ eta - mu.sum())
    return float(y @ (eta - np.log1p(alpha * mu)) - np.log1p(alpha * mu).sum() / alpha)


def fit_dispersed(X: Array, y: Array) -> tuple[Rates, float, float]:
    """Coefficients, log of the dispersion and its standard error (0: no more than Poisson)."""
    rates, log_alpha = fit_rates(X, y, 0.0), 0.0
    for _ in range(STEPS):
        mu = np.exp(np.minimum(rates.beta @ X, HIGHEST))
        found = minimize_scalar(
            lambda a, mu=mu: -_of_dispersion(a, y, mu), bounds=(-16.0, 8.0), method="bounded",
            options={"xatol": 1e-7},
        )  # fmt: skip
        moved, log_alpha = abs(float(found.x) - log_alpha), float(found.x)
        if log_alpha < -12.0:
            return fit_rates(X, y, 0.0), log_alpha, 0.0
        rates = fit_rates(X, y, float(np.exp(log_alpha)), rates.beta)
        if moved < 1e-5:
            break
    mu, h = np.exp(np.minimum(rates.beta @ X, HIGHEST)), 1e-3
    here, up, down = (_of_dispersion(log_alpha + d, y, mu) for d in (0.0, h, -h))
    curvature = (2.0 * here - up - down) / h**2
    return rates, log_alpha, float(1.0 / np.sqrt(max(curvature, 1e-8)))


def _of_dispersion(log_alpha: float, y: Array, mu: Array) -> float:
    """The negative binomial log-likelihood as a function of log alpha, means fixed."""
    alpha = np.exp(log_alpha)
    size = 1.0 / alpha
    constant = gammaln(y + size) - gammaln(size)
    log_share = np.log1p(alpha * mu)
    return float(constant.sum() + y @ (log_alpha + np.log(mu) - log_share) - size * log_share.sum())
