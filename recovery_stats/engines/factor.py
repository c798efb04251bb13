"""One common factor by maximum likelihood: loadings, uniquenesses and their covariance.

Sigma = lambda lambda' + diag(psi). For given psi the likelihood is maximal in closed form, by the
eigenvectors of Psi^-1/2 R Psi^-1/2, so that only the log uniquenesses are searched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize

Array = NDArray[np.floating[Any]]
SMALLEST = 0.005  # of a variance of 1: a uniqueness that wants to be smaller is a Heywood case
STEPS = 100


@dataclass(frozen=True, slots=True)
class OneFactor:
    """A one-factor fit in the units of the items.

    loadings, uniqueness (p,); covariance (2p, 2p) of both, loadings first, nan at a boundary.
    discrepancy: minimum of the likelihood function (0: perfect), df its degrees of freedom.
    boundary: a uniqueness stands at its bound (Heywood). gradient: the largest slope left.
    """

    loadings: Array
    uniqueness: Array
    covariance: Array
    discrepancy: float
    df: int
    boundary: bool
    gradient: float

    @property
    def converged(self) -> bool:
        """Whether nothing more could be gained."""
        return self.boundary or self.gradient < 1e-7


def fit(S: Array, n: int) -> OneFactor:
    """Fit one factor to the covariance matrix `S` (p, p) of `n` rows; p >= 3, S positive definite.

    The signs of the loadings are such that they sum to something positive.
    Source: Jöreskog 1967; Lawley & Maxwell 1971. Checked: closed form for three items; R factanal
    and lavaan.
    """
    sd = np.sqrt(np.diag(S))
    R = S / np.outer(sd, sd)
    x = _search(R)
    psi = np.exp(x)
    loadings = _loadings(R, psi)
    slope = _gradient(R, psi)
    free = psi > SMALLEST * (1 + 1e-6)
    boundary = not bool(free.all())
    covariance = _covariance(loadings * sd, psi * sd**2, n)
    p = len(S)
    return OneFactor(
        loadings * sd,
        psi * sd**2,
        np.full_like(covariance, np.nan) if boundary else covariance,
        _discrepancy(R, psi),
        p * (p - 3) // 2,
        boundary,
        float(np.abs(slope[free]).max(initial=0.0)),
    )


def _search(R: Array) -> Array:
    """The log uniquenesses at the optimum: a bounded quasi-Newton search, then Newton's steps."""
    start = np.log(np.clip(0.5 / np.diag(np.linalg.inv(R)), SMALLEST, 1.0))
    bounds = [(np.log(SMALLEST), 0.0)] * len(R)
    found = minimize(
        lambda x: (_discrepancy(R, np.exp(x)), _gradient(R, np.exp(x))),
        start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10 * STEPS},
    )  # fmt: skip
    return _polished(R, np.asarray(found.x), np.array(bounds))


def _polished(R: Array, x: Array, bounds: Array) -> Array:
    """Newton's steps with Jöreskog's approximate Hessian, while the slope of free ones falls."""
    for _ in range(STEPS):
        free = x > bounds[:, 0] + 1e-6
        slope = _gradient(R, np.exp(x))
        if not free.any() or np.abs(slope[free]).max() < 1e-12:
            break
        H = _hessian(R, np.exp(x))[np.ix_(free, free)]
        step = np.zeros_like(x)
        step[free] = np.linalg.lstsq(H, slope[free], rcond=None)[0]
        moved = np.clip(x - step, bounds[:, 0], bounds[:, 1])
        if np.abs(_gradient(R, np.exp(moved))[free]).max() >= np.abs(slope[free]).max():
            break
        x = moved
    return x


def _eigen(R: Array, psi: Array) -> tuple[Array, Array]:
    """Eigenvalues, largest first, and vectors of the matrix scaled by the uniquenesses."""
    root = np.sqrt(psi)
    values, vectors = eigh(R / np.outer(root, root))
    return values[::-1], vectors[:, ::-1]


def _loadings(R: Array, psi: Array) -> Array:
    values, vectors = _eigen(R, psi)
    first = vectors[:, 0] * np.sqrt(max(values[0] - 1.0, 0.0)) * np.sqrt(psi)
    return np.asarray(first if first.sum() >= 0 else -first)


def _discrepancy(R: Array, psi: Array) -> float:
    rest = _eigen(R, psi)[0][1:]
    return float((rest - np.log(rest) - 1.0).sum())


def _gradient(R: Array, psi: Array) -> Array:
    values, vectors = _eigen(R, psi)
    return np.asarray((vectors[:, 1:] ** 2) @ (1.0 - values[1:]))


def _hessian(R: Array, psi: Array) -> Array:
    rest = _eigen(R, psi)[1][:, 1:]
    return np.asarray((rest @ rest.T) ** 2)


def _covariance(loadings: Array, psi: Array, n: int) -> Array:
    """The inverse of the expected information of (loadings, uniquenesses)."""
    W = np.linalg.inv(np.outer(loadings, loadings) + np.diag(psi))
    w = W @ loadings
    information = np.block(
        [
            [W * (loadings @ w) + np.outer(w, w), W * w],
            [(W * w).T, W**2 / 2],
        ]
    )
    return np.asarray(np.linalg.inv(n * information))
