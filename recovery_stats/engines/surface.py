"""Survival over people and times with its gradient: means over people, over time, and errors.

A surface knows S (m, T) and dS/dtheta (m, T, k) for any of its n people; people are taken a few at
a time, so that memory stays small. Restricted means are tanh-sinh sums, which the steep start of a
curve (a Weibull of small shape) does not disturb.

Source: Takahasi & Mori 1974 (quadrature); Gail & Byar 1986 (direct adjustment).
Checked: closed forms of restricted means; delta errors against a bootstrap of theta
(tests/engines/test_aft.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

CELLS = 2_000_000  # people x times x parameters worked on at a time
NODES = 512


@dataclass(frozen=True)
class Surface:
    """evaluate(people, times): S and gradient; n people; covariance (k, k) of theta."""

    evaluate: Callable[[Ints, Array], tuple[Array, Array]]
    n: int
    covariance: Array

    def _blocks(self, times: int) -> Iterator[Ints]:
        size = max(1, CELLS // max(1, times * len(self.covariance)))
        for at in range(0, self.n, size):
            yield np.arange(at, min(at + size, self.n))

    def errors(self, J: Array) -> Array:
        """Standard errors of quantities with gradients J (..., k)."""
        variance = np.einsum("...j,jk,...k->...", J, self.covariance, J)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def points(self, times: Array) -> tuple[Array, Array]:
        """S (n, T) and standard errors (n, T)."""
        parts = []
        for people in self._blocks(len(times)):
            S, J = self.evaluate(people, times)
            parts.append((S, self.errors(J)))
        values, errors = zip(*parts, strict=True)
        return np.vstack(values), np.vstack(errors)

    def average(self, times: Array, weights: Array) -> tuple[Array, Array]:
        """Weighted mean of S over people (T,) and its gradient (T, k)."""
        value, gradient = np.zeros(len(times)), np.zeros((len(times), len(self.covariance)))
        share = weights / weights.sum()
        for people in self._blocks(len(times)):
            S, J = self.evaluate(people, times)
            value += share[people] @ S
            gradient += np.tensordot(share[people], J, axes=1)
        return value, gradient

    def means(self, tau: float) -> tuple[Array, Array]:
        """Mean time without the event up to tau (n,) and its gradient (n, k)."""
        t, w = _nodes(tau)
        parts = []
        for people in self._blocks(len(t)):
            S, J = self.evaluate(people, t)
            parts.append((S @ w, np.einsum("mtk,t->mk", J, w)))
        values, gradients = zip(*parts, strict=True)
        return np.concatenate(values), np.vstack(gradients)

    def average_mean(self, tau: float, weights: Array) -> tuple[float, Array]:
        """Weighted mean over people of the restricted mean, and its gradient (k,)."""
        t, w = _nodes(tau)
        S, J = self.average(t, weights)
        return float(S @ w), np.asarray(w @ J)


def _nodes(tau: float) -> tuple[Array, Array]:
    """Times in (0, tau) and their weights."""
    s = np.linspace(-3.6, 3.6, NODES)
    inner = np.pi / 2 * np.sinh(s)
    t = tau / (1 + np.exp(-2 * inner))
    w = tau * (s[1] - s[0]) * np.pi / 4 * np.cosh(s) / np.cosh(inner) ** 2
    return t, w
