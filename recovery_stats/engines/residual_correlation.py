"""Correlation over the waves of one person, with its derivatives in the natural parameters.

Each family turns rho (c,) into C (K, K) over K waves at `steps` (K,), with first derivatives
(c, K, K) and second ones (c, c, K, K), and maps an unbounded number to each rho, so that a search
needs no constraint. Families by their names in the field: compound symmetry, AR(1), continuous
AR(1) (the exponential of distance; its natural parameter is the range), Toeplitz, first-order
ante-dependence, a free correlation for every pair (lower triangle by rows).
Sources: Pinheiro & Bates 2000, ch. 5; Kenward & Roger 1997 (which needs the
second derivatives). Checked: finite differences (tests/engines/test_lmm_residual.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recovery_stats.engines.linalg import Array

Family = Literal["independent", "cs", "ar1", "car1", "toeplitz", "ante", "free"]
WIDEST = 18.0  # beyond it tanh is 1 to the last bit


@dataclass(frozen=True, slots=True)
class Correlation:
    """One family over waves at `steps` (K,): whole numbers but for car1.

    largest: the most rows one person has, which bounds a negative compound symmetry.
    """

    family: Family
    steps: Array
    largest: int

    @property
    def size(self) -> int:
        """How many parameters."""
        if self.family == "free":
            return len(self.steps) * (len(self.steps) - 1) // 2
        if self.family in ("toeplitz", "ante"):
            return max(len(self.steps) - 1, 0)
        return int(self.family != "independent")

    @property
    def linear(self) -> bool:
        """Whether covariances (a common variance times C) are linear in parameters of their own."""
        return self.family in ("independent", "cs", "toeplitz", "free")

    @property
    def bounds(self) -> tuple[float, float]:
        """Range of the unbounded numbers; at an end the correlation is at its limit."""
        return (-25.0, 4.0) if self.family == "car1" else (-WIDEST, WIDEST)

    def natural(self, eta: Array) -> tuple[Array, Array, Array]:
        """rho (c,) with its first and second derivative in eta (c,), entry by entry."""
        if self.family == "car1":
            value = np.exp(-eta)
            return value, -value, value
        if self.family == "cs":
            low = -1.0 / max(self.largest - 1, 1)
            share = 0.5 * (1.0 + np.tanh(0.5 * eta))
            width = (1.0 - low) * share * (1.0 - share)
            return low + (1.0 - low) * share, width, width * (1.0 - 2.0 * share)
        value = np.tanh(eta)
        slope = 1.0 / np.cosh(eta) ** 2
        return value, slope, -2.0 * value * slope

    def unbounded(self, rho: Array) -> Array:
        """eta (c,) for plausible rho (c,), pulled inside the family's limits."""
        if self.family == "car1":
            return -np.log(rho)
        if self.family == "cs":
            low = -1.0 / max(self.largest - 1, 1)
            share = np.clip((rho - low) / (1.0 - low), 0.02, 0.98)
            return np.asarray(np.log(share / (1.0 - share)))
        return np.asarray(np.arctanh(np.clip(rho, -0.95, 0.95)))

    def table(self, rho: Array) -> tuple[Array, Array, Array]:
        """C (K, K), its first (c, K, K) and second (c, c, K, K) derivatives in rho."""
        K, c = len(self.steps), self.size
        first, second = np.zeros((c, K, K)), np.zeros((c, c, K, K))
        lag = np.abs(self.steps[:, None] - self.steps)
        if self.family == "independent":
            return np.eye(K), first, second
        if self.family == "ante":
            return _antedependence(rho, K)
        if self.family == "free":
            C, row = np.eye(K), np.tril_indices(K, -1)
            C[row] = C.T[row] = rho
            first[np.arange(c), row[0], row[1]] = first[np.arange(c), row[1], row[0]] = 1.0
            return C, first, second
        if self.family == "toeplitz":
            whole = np.rint(lag).astype(np.intp)
            for m in range(c):
                first[m] = whole == m + 1
            return np.append(1.0, rho)[whole], first, second
        C, first[0], second[0, 0] = self.of_lag(float(rho[0]), lag)
        return C, first, second

    def of_lag(self, rho: float, lag: Array) -> tuple[Array, Array, Array]:
        """C and both derivatives of a family of one parameter, at distances of any shape."""
        if self.family == "cs":
            apart = (lag > 0).astype(float)
            return np.where(lag > 0, rho, 1.0), apart, np.zeros_like(lag)
        if self.family == "car1":
            C = np.exp(-lag / rho)
            return C, C * lag / rho**2, C * (lag**2 / rho**4 - 2.0 * lag / rho**3)
        one, two = np.maximum(lag - 1.0, 0.0), np.maximum(lag - 2.0, 0.0)
        return rho**lag, lag * rho**one, lag * one * rho**two


def _antedependence(rho: Array, K: int) -> tuple[Array, Array, Array]:
    """C_jl is the product of the correlations of neighbours between j and l."""
    c = len(rho)
    C, first, second = np.eye(K), np.zeros((c, K, K)), np.zeros((c, c, K, K))
    for j in range(K):
        for k in range(j + 1, K):
            C[j, k] = C[k, j] = np.prod(rho[j:k])
            for a in range(j, k):
                rest = np.delete(rho[j:k], a - j)
                first[a, j, k] = first[a, k, j] = np.prod(rest)
                for b in range(j, k):
                    if b != a:
                        value = np.prod(np.delete(rest, b - j - (b > a)))
                        second[a, b, j, k] = second[a, b, k, j] = value
    return C, first, second
