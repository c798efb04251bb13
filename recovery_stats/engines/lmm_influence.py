"""What leaving out a group of rows does to a mixed model's coefficients, variances held fixed.

With C = W'W + D of Henderson's equations, deleting the rows I takes W_I'W_I from C, so that

    beta - beta_(I) = [C⁻¹W_I']_beta (I - W_I C⁻¹ W_I')⁻¹ e_I,

e the conditional residuals: exact for any rows, also of crossed factors. A large group of whole
levels is taken out of the eliminated block instead.
Sources: Christensen, Pearson & Johnson 1992; Demidenko & Stukel 2005. Checked: generalised least
squares on the rows that are left (tests/engines/test_lmm_joint.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_joint import Joint

LARGE = 300  # rows of a group from which whole levels are taken out of the eliminated block
LOST = 1e-9  # share of a direction's information that is left when it cannot be estimated


@dataclass(frozen=True, slots=True)
class Deletion:
    """Without each group (c of them): shift (c, p) = beta - beta_(i), covariance (c, p, p).

    NaN where a coefficient cannot be estimated without the group.
    """

    shift: Array
    covariance: Array


def delete(
    joint: Joint,
    X: Array,
    factors: Sequence[RandomFactor],
    residual: Array,
    groups: IntArray,
) -> Deletion:
    """Leave out each group of rows (codes (n,) from 0) in turn.

    X, Z and the conditional residual (n,) of the rows fitted, at residual variance sigma2.
    """
    count, p = int(groups.max()) + 1, X.shape[1]
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=count))
    shift, covariance = np.full((count, p), np.nan), np.full((count, p, p), np.nan)
    sizes = [np.bincount(f.codes, minlength=f.levels) for f in factors]
    with single_thread():
        for i in range(count):
            rows = order[ends[i - 1] if i else 0 : ends[i]]
            first = factors[joint.order[0]].codes[rows]
            whole = len(rows) > LARGE and len(rows) == sizes[joint.order[0]][np.unique(first)].sum()
            found = (
                _without_levels(joint, np.unique(first), rows, residual[rows])
                if whole
                else _without_rows(joint, X, factors, rows, residual[rows])
            )
            if found is not None:
                shift[i], covariance[i] = found
    return Deletion(shift, covariance)


def _without_rows(
    joint: Joint, X: Array, factors: Sequence[RandomFactor], rows: IntArray, residual: Array
) -> tuple[Array, Array] | None:
    p = joint.p
    codes = [f.codes[rows] for f in factors]
    own, rest = joint.parts(X[rows], [f.Z[rows] for f in factors], codes)
    level = codes[joint.order[0]]
    left = -(own @ own.T) * (level[:, None] == level) - rest @ rest.T
    left[np.diag_indices_from(left)] += 1.0
    values, vectors = np.linalg.eigh(left)
    if values[0] < LOST:
        return None
    half = (vectors / np.sqrt(values)).T
    back = joint.B @ solve_triangular(joint.lower[-p:, -p:].T, rest[:, -p:].T, lower=False)
    turned = back @ half.T
    shift = turned @ (half @ residual)
    return shift, joint.covariance() + joint.sigma2 * turned @ turned.T


def _without_levels(
    joint: Joint, levels: IntArray, rows: IntArray, residual: Array
) -> tuple[Array, Array] | None:
    q, p = joint.inverse.shape[1], joint.p
    W = joint.W2[rows]
    Y = joint.Y[(levels[:, None] * q + np.arange(q)).ravel()]
    S = joint.lower @ joint.lower.T - (W.T @ W).toarray() + (Y.T @ Y).toarray()
    try:
        lower = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return None
    if (np.diag(lower)[-p:] ** 2 < LOST).any():
        return None
    shift = joint.B @ cho_solve((lower, True), W.T @ residual)[-p:]
    half = solve_triangular(lower[-p:, -p:], joint.B.T, lower=True)
    return shift, joint.sigma2 * half.T @ half
