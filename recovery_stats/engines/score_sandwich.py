"""Robust covariance of a maximum-likelihood estimate from the scores of its rows.

Source: Lin & Wei 1989. Checked: by hand (tests/engines/test_aft.py, test_royston_parmar.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def sandwich(
    scores: Array, covariance: Array, cluster: Ints, weights: Array | None = None
) -> Array:
    """Sums of the scores (n, k) by cluster (codes from 0) between two covariances (k, k).

    weights (n,): of scores that do not hold them yet. No small-sample correction, as survreg.
    """
    U = scores if weights is None else scores * weights[:, None]
    sums = np.zeros((int(cluster.max()) + 1, U.shape[1]))
    np.add.at(sums, cluster, U)
    D = sums @ covariance
    return np.asarray(D.T @ D)
