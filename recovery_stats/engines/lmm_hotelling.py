"""F tests with cluster-robust errors: the approximate Hotelling test for few clusters.

The robust covariance of L beta is taken for a Wishart matrix whose df match the total variance of
its entries under the model's V; then (eta - q + 1) / (eta q) Q is F with q and eta - q + 1 df.
One row gives the square of Satterthwaite's t. Sources: Tipton & Pustejovsky 2015 (AHT, "HTZ");
Pustejovsky & Tipton 2018, sec. 3.2. Checked: dense formulas, one row, clubSandwich.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import f as f_distribution

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_df import FTest, row_basis
from recovery_stats.engines.lmm_robust import Robust
from recovery_stats.errors import NotEstimable


def approximate_hotelling(robust: Robust, L: Array, beta: Array) -> FTest:
    """F test of L beta = 0 for L (k, p), of any rank.

    Raises NotEstimable when the clusters are too few for that many rows.
    """
    rows = row_basis(L)
    q = len(rows)
    eta = _wishart_df(robust, rows)
    den = eta - q + 1.0
    if not den > 0:
        raise NotEstimable(
            f"The clusters carry {eta:.1f} degrees of freedom, too few for a robust test of "
            f"{q} coefficients at once; test them one at a time, or leave out cluster=."
        )
    estimate = rows @ beta
    wald = float(estimate @ np.linalg.solve(rows @ robust.covariance @ rows.T, estimate))
    statistic = den / (eta * q) * wald
    return FTest(q, den, statistic, float(f_distribution.sf(statistic, q, den)))


def _wishart_df(robust: Robust, rows: Array) -> float:
    """q (q + 1) over the variances of all entries of the covariance brought to the identity.

    Clusters i and j contribute Om_ij = delta_ij C J_i C' - U_i M U_j' with U_i = C K_i', and the
    variances sum to tr(Om_ij)² + tr(Om_ij²) over all pairs; pairs are summed in closed form.
    """
    M, q = robust.M, len(rows)
    C = rows @ M
    own, U = C @ robust.J @ C.T, C @ robust.K
    total = own.sum(0) - np.einsum("iqp,pr,isr->qs", U, M, U)
    values, vectors = np.linalg.eigh(0.5 * (total + total.T))
    root = (vectors / np.sqrt(values)) @ vectors.T
    own, U = root @ own @ root, root @ U
    UM = U @ M
    shared = UM @ U.transpose(0, 2, 1)
    flat, flat_M = U.reshape(len(U), -1), UM.reshape(len(U), -1)
    cross = flat.T @ flat_M  # sum of U_i (x) U_i M, entries (q p, q p)
    variance = float(np.sum(cross * cross.T))
    blocks = np.einsum("isp,itr->stpr", U, UM)
    variance += float(np.einsum("stpr,strp->", blocks, blocks))
    single = np.einsum("iqq->i", own) - 2.0 * np.einsum("iqq->i", shared)
    variance += float(np.einsum("iqq->i", own) @ single)
    variance += float(np.einsum("ist,its->", own - 2.0 * shared, own))
    return q * (q + 1.0) / variance
