"""Survival, hazard and quantiles of new people from an accelerated failure time fit.

Everything comes with its gradient in theta, for the delta method.
Checked: finite differences; survreg's quantiles and their errors (tests/engines/test_aft.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.aft import FIRST, STEP, AftFit
from recovery_stats.engines.aft_law import Law, Shaped
from recovery_stats.engines.censoring import Ints

Array = NDArray[np.float64]


def survival(
    fit: AftFit, X: Array, offset: Array, stratum: Ints, times: Array
) -> tuple[Array, Array]:
    """S (m, T) at times (T,) ≥ 0 and its gradient (m, T, k)."""
    z, s, _ = _standardised(fit, X, offset, stratum, times)
    S = np.exp(fit.law.log_survival(z))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        density = np.where(np.isfinite(z), np.exp(fit.law.log_density(z)[0]), 0.0)
    J = _gradient(fit, X, stratum, density * s, density * np.where(np.isfinite(z), z, 0.0))
    if isinstance(fit.law, Shaped):
        J[:, :, -1] = _by_shape(fit.law, lambda law: np.exp(law.log_survival(z)))
    return S, J


def log_hazard(
    fit: AftFit, X: Array, offset: Array, stratum: Ints, times: Array
) -> tuple[Array, Array]:
    """log h (m, T) at times (T,) > 0 and its gradient (m, T, k)."""
    z, s, tau = _standardised(fit, X, offset, stratum, times)

    def relative(law: Law) -> Array:
        return law.log_density(z)[0] - law.log_survival(z)

    slope = fit.law.log_density(z)[1] + np.exp(relative(fit.law))
    J = _gradient(fit, X, stratum, -slope * s, -slope * z - 1.0)
    if isinstance(fit.law, Shaped):
        J[:, :, -1] = _by_shape(fit.law, relative)
    return relative(fit.law) - tau - np.log(times), J


def log_quantile(
    fit: AftFit, X: Array, offset: Array, stratum: Ints, p: Array
) -> tuple[Array, Array]:
    """Logarithm (m, P) of the times by which shares p (P,) have had the event, and its gradient."""
    z = fit.law.quantile(p)
    sigma = np.exp(fit.log_sigma)[stratum][:, None]
    eta = (X @ fit.beta + offset)[:, None]
    J = _gradient(fit, X, stratum, np.ones((len(X), len(p))), sigma * z)
    if isinstance(fit.law, Shaped):
        moved = _by_shape(fit.law, lambda law: np.exp(law.log_distribution(z)))
        J[:, :, -1] = -sigma * moved / np.exp(fit.law.log_density(z)[0])
    return eta + sigma * z, J


def _standardised(
    fit: AftFit, X: Array, offset: Array, stratum: Ints, times: Array
) -> tuple[Array, Array, Array]:
    """z (m, T), 1/sigma and log sigma (m, 1)."""
    tau = fit.log_sigma[stratum][:, None]
    with np.errstate(divide="ignore"):
        log_t = np.log(times)
    s = np.exp(-tau)
    return (log_t - (X @ fit.beta + offset)[:, None]) * s, s, tau


def _gradient(fit: AftFit, X: Array, stratum: Ints, by_eta: Array, by_tau: Array) -> Array:
    """(m, T, k) from the derivatives in eta and log sigma; the shape's column is left 0."""
    J = np.zeros((*by_eta.shape, len(fit.theta)))
    J[:, :, : fit.p] = by_eta[:, :, None] * X[:, None, :]
    for s in range(fit.scales_free):
        J[:, :, fit.p + s] = by_tau * (stratum == s)[:, None]
    return J


def _by_shape(law: Shaped, value: Callable[[Law], Array]) -> Array:
    parts = (FIRST[k] / STEP * value(law.shaped(law.q + STEP * (k - 3))) for k in range(7))
    return np.asarray(sum(parts))
