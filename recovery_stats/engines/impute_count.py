"""Draws for counts: Poisson and negative binomial models with a log link.

Coefficients, and the logarithm of the dispersion, are drawn from their large-sample normal
distributions; in the negative binomial model the two are independent (Lawless 1987). Data that
predict zeros perfectly are augmented as those of categories are (White, Daniel & Royston 2010).
Checked: R glm and MASS::glm.nb (tests/engines/test_impute_category.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from recovery_stats.engines.impute_category import Drawn, augment, tame
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import ConvergenceError

STEPS = 50
TOLERANCE = 1e-9
HIGHEST = 20.0  # log means above this overflow a count
KNOWN = 0.5  # standard error of log alpha up to which its likelihood is near a parabola
LEAST, MOST, CELL = -16.0, 8.0, 0.25  # of log alpha


@dataclass(frozen=True, slots=True)
class Rates:
    """A fitted log-linear model: coefficients (p,), Cholesky factor of their information.

    augmented: rows were added, since no finite coefficients fitted.
    """

    beta: Array
    factor: Array
    augmented: bool = False

    def draw(self, rng: np.random.Generator) -> Array:
        step, _ = lapack.dtrtrs(self.factor, rng.standard_normal(self.beta.size), lower=1, trans=1)
        return np.asarray(self.beta + step)


def impute_poisson(
    X: Array, y: Array, new: Array, rng: np.random.Generator, delta: Array | float = 0.0
) -> Drawn:
    """Counts; delta is added to the log of their mean."""
    rates = fit_rates(X, y, 0.0)
    mu = np.exp(np.minimum(rates.draw(rng) @ new + delta, HIGHEST))
    return Drawn(rng.poisson(mu).astype(float), rates.beta, rates.augmented)


def impute_negative_binomial(
    X: Array, y: Array, new: Array, rng: np.random.Generator, delta: Array | float = 0.0
) -> Drawn:
    """Counts with variance mu + alpha mu^2; delta is added to the log of their mean."""
    rates, alpha = draw_dispersed(X, y, rng)
    mu = np.exp(np.minimum(rates.draw(rng) @ new + delta, HIGHEST))
    if alpha > 1e-8:
        mu = rng.gamma(1.0 / alpha, alpha * mu)
    return Drawn(rng.poisson(mu).astype(float), rates.beta, rates.augmented)


def fit_rates(X: Array, y: Array, alpha: float, start: Array | None = None) -> Rates:
    """Maximise the likelihood over beta for a known dispersion (0: Poisson).

    Where a predictor is at a value at which every count is 0 its coefficient has no bound, and
    draws from a normal distribution as wide as that would be counts of millions: rows of small
    weight with the mean count are added, as for categories. Raises ConvergenceError where no
    finite maximum is found even so.
    """
    ones = np.ones(y.size)
    found = _climb(X, y, ones, alpha, start)
    if found is not None and tame(found.factor, X):
        return found
    more, _, w = augment(X, np.zeros(y.size, dtype=np.intp), 1)
    counts = np.append(y, np.full(w.size - y.size, y.mean()))
    found = _climb(more, counts, w, alpha, None)
    if found is None:
        raise ConvergenceError("A model of counts found no maximum.")
    return replace(found, augmented=True)


def _climb(X: Array, y: Array, w: Array, alpha: float, start: Array | None) -> Rates | None:
    """Newton's method with halved steps, rows weighted by w (n,); None where it does not end."""
    p = X.shape[0]
    beta = start if start is not None else np.zeros(p)
    if start is None:
        beta[0] = np.log(max(y.mean(), 1e-8)) / X[0, 0]
    value = _loglik(beta, X, y, w, alpha)
    for _ in range(STEPS):
        mu = np.exp(np.minimum(beta @ X, HIGHEST))
        share = w / (1.0 + alpha * mu)
        information = (X * (mu * share)) @ X.T
        information.flat[:: p + 1] *= 1.0 + 1e-10
        factor, info = lapack.dpotrf(information, lower=1)
        if info:
            return None
        score = X @ ((y - mu) * share)
        step, _ = lapack.dpotrs(factor, score, lower=1)
        if float(score @ step) < TOLERANCE:
            return Rates(beta + step, factor)
        for halving in range(30):
            there = _loglik(beta + step / 2**halving, X, y, w, alpha)
            if there >= value - 1e-9 * abs(value):
                break
        beta, value = beta + step / 2**halving, there
    return None


def _loglik(beta: Array, X: Array, y: Array, w: Array, alpha: float) -> float:
    eta = beta @ X
    if eta.max() > HIGHEST * 2:
        return -np.inf
    mu = np.exp(eta)
    if alpha <= 0:
        return float(w @ (y * eta - mu))
    return float(w @ (y * (eta - np.log1p(alpha * mu)) - np.log1p(alpha * mu) / alpha))


def draw_dispersed(X: Array, y: Array, rng: np.random.Generator) -> tuple[Rates, float]:
    """Coefficients given a draw of the dispersion.

    Its logarithm is near normal where the data tell it well. Where they do not (few rows, or no
    more variance than Poisson's) it is drawn from its profile likelihood, under a flat prior on
    sqrt(alpha), the coefficient of variation of the rates: a normal as wide as the curvature says
    would hold dispersions of thousands.
    """
    rates, log_alpha, se = fit_dispersed(X, y)
    if 0 < se < KNOWN:
        alpha = float(np.exp(log_alpha + se * rng.standard_normal()))
    else:
        grid = np.arange(LEAST, MOST, CELL)
        density = _profile(grid, y, np.exp(np.minimum(rates.beta @ X, HIGHEST))) + grid / 2.0
        share = np.exp(density - density.max())
        cell = rng.choice(grid.size, p=share / share.sum())
        alpha = float(np.exp(grid[cell] + CELL * (rng.random() - 0.5)))
    return fit_rates(X, y, alpha, rates.beta), alpha


def _profile(grid: Array, y: Array, mu: Array) -> Array:
    """The negative binomial log-likelihood at each log alpha (g,), means fixed, but a constant."""
    held, times = np.unique(y, return_counts=True)
    found = y.sum() * grid
    for k, size in enumerate(np.exp(-grid)):
        log_share = np.log1p(mu / size)
        constant = (gammaln(held + size) - gammaln(size)) @ times
        found[k] += constant - log_share @ y - size * log_share.sum()
    return np.asarray(found)


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
