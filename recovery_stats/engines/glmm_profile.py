"""Profile-likelihood intervals of the coefficients of a generalised mixed model.

Twice the log-likelihood's fall, everything else maximised anew, is chi-squared with one degree of
freedom. A coefficient is held by moving its column into the offset. The limit is found on the
signed root of that fall, which is nearly straight, by secant steps kept inside a bracket.
Source: Venzon & Moolgavkar 1988. Checked: R glmmTMB (tests/models/test_generalised_after.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from recovery_stats.engines import glmm
from recovery_stats.engines.glmm_family import Family
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import NotEstimable

FARTHEST = 12.0  # standard errors beyond which a limit counts as infinite
CLOSE = 1e-9  # of the signed root


def limits(
    X: Array,
    family: Family,
    factors: Sequence[glmm.RandomFactor],
    fit: glmm.GlmmFit,
    j: int,
    z: float,
    *,
    offset: Array | None = None,
) -> tuple[float, float]:
    """Both limits of coefficient j, z normal quantiles away; infinite where there is none."""
    rest = np.delete(X, j, 1)
    shift = np.zeros(len(X)) if offset is None else offset
    best, se = float(fit.beta[j]), float(np.sqrt(fit.covariance[j, j]))
    scale = se if se > 0 else 1.0

    def root(steps: float) -> float:
        """The signed root at so many standard errors from the estimate, less z."""
        if steps == 0.0:
            return -z
        held = shift + (best + side * steps * scale) * X[:, j]
        at = glmm.fit(rest, family, factors, nodes=fit.nodes, offset=held)
        return float(np.sqrt(max(2.0 * (fit.log_likelihood - at.log_likelihood), 0.0))) - z

    found = []
    for side in (-1.0, 1.0):
        try:
            far = z
            while root(far) < 0:
                far *= 1.5
                if far > FARTHEST:
                    raise NotEstimable("no limit")
            steps = brentq(root, 0.0, far, xtol=CLOSE, rtol=1e-12)
            found.append(best + side * float(steps) * scale)
        except NotEstimable:
            found.append(side * float("inf"))
    return found[0], found[1]
