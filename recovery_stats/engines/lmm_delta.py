"""Satterthwaite's degrees of freedom of any function of a mixed model's variances.

2 v² / Var(v), Var(v) by the delta method from the observed information. The slope of v along
each variance parameter is a central difference: v is smooth and costs one elimination.
Source: Satterthwaite 1946; Giesbrecht & Burns 1985. Checked: a coefficient's own df, a scaled
chi-squared in balanced data (tests/models/test_mixed_prediction.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm import LmmFit
from recovery_stats.engines.lmm_df import Information, directions_of

STEP = 1e-4  # of the size of the variances: the error of a central difference is its square

Variance = Callable[[Sequence[Array], float], Array]


def satterthwaite_of(fit: LmmFit, info: Information, variance: Variance) -> tuple[Array, Array]:
    """v (k,) = variance(psi, sigma2) at the estimate, and its degrees of freedom (k,)."""
    here = variance(fit.psi, fit.sigma2)
    slopes = [_slope(fit, k, E, variance) for k, E in directions_of(fit)]
    h = STEP * fit.sigma2
    up, down = variance(fit.psi, fit.sigma2 + h), variance(fit.psi, fit.sigma2 - h)
    J = np.array([*slopes, (up - down) / (2.0 * h)])
    spread = np.einsum("rk,rs,sk->k", J, info.A, J)
    with np.errstate(divide="ignore", invalid="ignore"):
        return here, np.where(spread > 0, 2.0 * here**2 / spread, np.nan)


def _slope(fit: LmmFit, k: int, E: Array, variance: Variance) -> Array:
    """dv along E of factor k."""
    h = _step(fit.psi[k], E)
    ends = []
    for sign in (1.0, -1.0):
        psi = list(fit.psi)
        psi[k] = psi[k] + sign * h * E
        ends.append(variance(psi, fit.sigma2))
    return np.asarray((ends[0] - ends[1]) / (2.0 * h))


def _step(psi: Array, E: Array) -> float:
    """A step that leaves the smallest positive variance of Psi positive, in any units of Z."""
    size = np.sqrt(np.diag(psi))
    size[size == 0] = 1.0
    values = np.linalg.eigvalsh(psi / np.outer(size, size))
    smallest = float(values[values > 1e-8 * values[-1]].min(initial=values[-1]))
    return STEP * smallest / float(np.linalg.norm(E / np.outer(size, size)))
