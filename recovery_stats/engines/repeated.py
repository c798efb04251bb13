"""Repeated-measures analysis of variance: univariate F tests with corrections for sphericity.

Y (n, k): every person's k measures. Their mean carries the comparison between people; k - 1
orthonormal contrasts carry what changes within them. Sources: Greenhouse & Geisser 1959; Huynh &
Feldt 1976 with the degrees of freedom of Lecoutre 1991; Mauchly 1940 (Anderson 2003, section
10.7). Checked: R's car (reference case rm_anova_gg_hf).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.linalg import helmert
from scipy.special import loggamma
from scipy.stats import f

from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Sphericity:
    """Epsilons of Greenhouse-Geisser and Huynh-Feldt, and Mauchly's test.

    hf may exceed 1, and is then used as 1.
    """

    gg: float
    hf: float
    mauchly: float
    mauchly_p: float


@dataclass(frozen=True, slots=True)
class FTest:
    """F on num_df and den_df, its p, and p with both df multiplied by each epsilon (or nan)."""

    statistic: float
    num_df: float
    den_df: float
    p: float
    gg_p: float
    hf_p: float


def repeated(
    Y: Array, X: Array, terms: Sequence[Sequence[int]]
) -> tuple[list[FTest], list[FTest], Sphericity]:
    """F tests of each term between people, of its interaction with the measures, sphericity.

    X (n, p): design between people, full rank, columns coded so that each term's are orthogonal
    to the constant over cells (sum to zero) for type III. terms: each term's columns of X.
    Raises NotEstimable with too few people for the contrasts.
    """
    n, k = Y.shape
    df = n - X.shape[1]
    if k < 2 or df < k - 1:
        raise NotEstimable(
            f"{n} people with {k} measures: sphericity needs as many people beyond the "
            f"{X.shape[1]} groups as there are differences between measures ({k - 1})."
        )
    within = Y @ helmert(k).T
    between = Y.mean(axis=1, keepdims=True) * np.sqrt(k)
    error = _error(within, X)
    ball = _sphericity(error, df)
    return (
        [_test(between, X, columns, df, None) for columns in terms],
        [_test(within, X, columns, df, ball) for columns in terms],
        ball,
    )


def _error(Z: Array, X: Array) -> Array:
    """Sums of squares and products of the residuals."""
    residual = Z - X @ np.linalg.lstsq(X, Z, rcond=None)[0]
    return residual.T @ residual


def _test(Z: Array, X: Array, columns: Sequence[int], df: int, ball: Sphericity | None) -> FTest:
    """Univariate F of the coefficients of these columns, summed over the contrasts in Z."""
    left = np.delete(X, list(columns), axis=1)
    error = float(np.trace(_error(Z, X)))
    without = float(np.trace(_error(Z, left))) if left.shape[1] else float(np.sum(Z**2))
    a, b = float(len(columns) * Z.shape[1]), float(df * Z.shape[1])
    value = ((without - error) / a) / (error / b)
    corrected = [
        float(f.sf(value, a * e, b * e)) for e in ((ball.gg, min(ball.hf, 1.0)) if ball else ())
    ] or [float("nan")] * 2
    return FTest(value, a, b, float(f.sf(value, a, b)), corrected[0], corrected[1])


def _sphericity(error: Array, df: int) -> Sphericity:
    p = len(error)
    trace = float(np.trace(error))
    gg = trace**2 / (p * float(np.sum(error**2)))
    below = p * (df - p * gg)
    hf = ((df + 1) * p * gg - 2) / below if below > 0 else float("inf")
    if p == 1:
        return Sphericity(1.0, 1.0, 1.0, 1.0)
    w = float(np.exp(np.linalg.slogdet(error)[1] - p * np.log(trace / p)))
    return Sphericity(gg, hf, w, mauchly_p(w, p, df))


def mauchly_p(w: float, p: int, df: int) -> float:
    """Chance of a W this small or smaller where sphericity holds, for p contrasts; exact.

    The moments of W are known, so its characteristic function on the log scale is; it is
    inverted by Gil-Pelaez. Box's expansion, which other programs print, is off by 1e-4 in small
    samples (R's constant in it, 3 k for 3 p, by a little less). Two contrasts: w^((df - 1) / 2).
    Source: Anderson 2003, theorem 10.7.1. Checked: simulation.
    """
    if p == 2 or w <= 0:
        return float(w ** ((df - 1) / 2)) if w > 0 else 0.0
    halves = (df - np.arange(p)) / 2

    def part(s: float) -> float:
        t = 1j * s
        log = p * t * np.log(p) + loggamma(p * df / 2) - loggamma(p * df / 2 + p * t)
        log += np.sum(loggamma(halves + t) - loggamma(halves))
        return float(np.imag(np.exp(log - t * np.log(w))) / s)

    area = quad(part, 0, np.inf, limit=1000, epsabs=1e-12)[0]
    return float(min(max(0.5 - area / np.pi, 0.0), 1.0))
