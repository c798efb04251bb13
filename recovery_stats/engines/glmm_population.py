"""The population's mean outcome: the inverse link integrated over the random effects.

Whatever the random terms, a row's predictor is normal with sd s, s² = sum z'Psi z: one
dimension. The logistic mean is integrated by the trapezoidal rule, whose error falls
exponentially for analytic integrands; the exponential mean is exp(eta + s²/2).
Derivatives: with f the inverse link, d/d eta is E f' and d/d(s²) is E f'' / 2.
Checked: scipy's adaptive integration, finite differences (tests/engines/test_glmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from recovery_stats.engines.glmm import GlmmFit
from recovery_stats.engines.linalg import Array

Link = Literal["logit", "log"]
STEP, REACH = 0.1, 8.5  # in standard deviations: an error of 1e-15 up to s = 5


@dataclass(frozen=True, slots=True)
class Average:
    """A weighted mean of integrated outcomes, with its gradient in (theta, beta, own)."""

    value: float
    gradient: Array


@dataclass(frozen=True, slots=True)
class Integrated:
    """Integrated means (n,); slope (n,) in eta, bend (n,) = E f''; Xo, Zo in the fit's units."""

    value: Array
    slope: Array
    bend: Array
    Xo: Array
    Zo: Array
    E: Array
    entries: tuple[tuple[int, int], ...]
    n_own: int

    def gradients(self) -> Array:
        """In (theta, beta, own), (n, parameters)."""
        theta = [self.bend * self.Zo[i] * self.E[j] for i, j in self.entries]
        own = np.zeros((self.value.size, self.n_own))
        return np.column_stack([*theta, self.slope[:, None] * self.Xo, own])

    def mean(self, weights: Array) -> Average:
        """The mean over rows."""
        share = weights / weights.sum()
        return Average(float(share @ self.value), share @ self.gradients())


def integrated(fit: GlmmFit, link: Link, X: Array, Z: Sequence[Array], offset: Array) -> Integrated:
    """Integrate every row of X (n, p), Z by factor (n, q_k), offset (n,)."""
    units = fit.units
    Zo = np.vstack([(Z[given] @ T).T for given, T in zip(units.order, units.T, strict=True)])
    L = fit.problem.parts(fit.point.psi)[0]
    E = L.T @ Zo
    eta = X @ fit.beta + offset
    value, slope, bend = mean_over(link, eta, np.sqrt((E**2).sum(0)))
    return Integrated(value, slope, bend, X @ units.A, Zo, E, fit.problem.entries, fit.own.size)


def mean_over(link: Link, eta: Array, sd: Array) -> tuple[Array, Array, Array]:
    """E f, E f' and E f'' at eta + sd N(0, 1)."""
    if link == "log":
        mu = np.exp(eta + 0.5 * sd**2)
        return mu, mu, mu
    if not np.any(sd):
        return _logistic(eta)
    found = [np.zeros_like(eta) for _ in range(3)]
    points = np.arange(-REACH, REACH + STEP / 2.0, STEP)
    weights = np.exp(-0.5 * points**2)
    for t, weight in zip(points, weights / weights.sum(), strict=True):
        for total, part in zip(found, _logistic(eta + sd * t), strict=True):
            total += weight * part
    return found[0], found[1], found[2]


def _logistic(eta: Array) -> tuple[Array, Array, Array]:
    p = expit(eta)
    slope = p * (1.0 - p)
    return p, slope, slope * (1.0 - 2.0 * p)


def inverse_link(link: Link, eta: Array) -> tuple[Array, Array]:
    """The inverse link and its slope."""
    if link == "log":
        mu = np.exp(eta)
        return mu, mu
    p, slope, _ = _logistic(eta)
    return p, slope
