"""Single rows of a fit with structured residuals: V⁻¹ among them, leverage, leaving groups out.

V⁻¹ = V1⁻¹ - V1⁻¹ Z2 K Z2'V1⁻¹ and V1 is block diagonal by units, so that an element of V⁻¹ costs
as much as the outer factors have effects. With P = V⁻¹ - V⁻¹X Phi X'V⁻¹, fitted values with random
effects are y - R P y: the leverage of a row is 1 - (R P)_ii. Leaving out the rows I, V as it is,

    beta - beta_(I) = Phi X'V⁻¹ E (E'P E)⁻¹ E'P y,  E the columns of the identity for I.

Sources: Martin 1992; Haslett & Hayes 1998; Demidenko & Stukel 2005. Checked: generalised least
squares on the rows that are left, dense hat matrices (tests/models/test_mixed_residual_after.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm_influence import LOST, Deletion
from recovery_stats.engines.lmm_residual import ResidualFit, people, residual_covariance


@dataclass(frozen=True, slots=True)
class Inverse:
    """V⁻¹ at the estimate. unit, place (n,): where a row stands; blocks: V1⁻¹ (k, k) by unit of
    its batch; U (n, M2): V1⁻¹Z2, K: as in `lmm_structured`; root (n,): of the prior weights."""

    batch: IntArray
    pattern: IntArray
    unit: IntArray
    place: IntArray
    blocks: tuple[Array, ...]
    U: Array
    K: Array
    root: Array
    sigma2: float

    def among(self, rows: IntArray) -> Array:
        """The elements of V⁻¹ between some rows."""
        unit, place = self.unit[rows], self.place[rows]
        out = np.zeros((rows.size, rows.size))
        for one in np.unique(unit):
            own = np.flatnonzero(unit == one)
            first = rows[own[0]]
            block = self.blocks[self.batch[first]][self.pattern[first]]
            out[np.ix_(own, own)] = block[np.ix_(place[own], place[own])]
        out -= self.U[rows] @ self.K @ self.U[rows].T
        return np.asarray(out * self.root[rows] * self.root[rows][:, None] / self.sigma2)

    def times(self, fit: ResidualFit, A: Array) -> Array:
        """V⁻¹A for A (n, k)."""
        scaled, out = self.root[:, None] * A, np.empty(A.shape)
        for batch, block in zip(fit.problem.batches, self.blocks, strict=True):
            out[batch.rows] = block[batch.unit_pattern] @ scaled[batch.rows]
        out -= self.U @ (self.K @ (self.U.T @ scaled))
        return np.asarray(self.root[:, None] * out / self.sigma2)


def inverse(fit: ResidualFit) -> Inverse:
    """V⁻¹ of a fit, ready to be read row by row."""
    problem, at, n = fit.problem, fit.point, fit.problem.n
    batch, pattern, unit, place = (np.zeros(n, dtype=np.intp) for _ in range(4))
    blocks, Z2, U, before = [], problem.F[:, : problem.n_outer], np.empty((n, problem.n_outer)), 0
    for number, (part, white) in enumerate(zip(problem.batches, at.whitened, strict=True)):
        block = white.C_inverse.transpose(0, 2, 1) @ white.C_inverse
        m, k = part.rows.shape
        batch[part.rows] = number
        pattern[part.rows] = part.unit_pattern[:, None]
        unit[part.rows] = before + np.arange(m)[:, None]
        place[part.rows] = np.arange(k)
        U[part.rows] = block[part.unit_pattern] @ Z2[part.rows]
        blocks.append(block)
        before += m
    root = np.ones(n) if problem.root is None else problem.root
    return Inverse(batch, pattern, unit, place, tuple(blocks), U, at.K, root, fit.sigma2)


def leverage(fit: ResidualFit, X: Array) -> tuple[Array, Array]:
    """How far each fitted value follows its own row: by the coefficients, and over all, (n,)."""
    V_inverse = inverse(fit)
    B = V_inverse.times(fit, X)
    fixed = np.einsum("ni,ij,nj->n", X, fit.covariance, B)
    overall = np.empty(len(X))
    for own in people(fit.problem.rows):
        R = residual_covariance(fit, own)
        for rows, noise in zip(own, R, strict=True):
            P = V_inverse.among(rows) - B[rows] @ fit.covariance @ B[rows].T
            overall[rows] = 1.0 - np.einsum("ij,ji->i", noise, P)
    return fixed, overall


def delete(fit: ResidualFit, X: Array, marginal: Array, groups: IntArray) -> Deletion:
    """Leave out each group of rows (codes (n,) from 0) in turn, all variances as they are.

    marginal (n,): the outcome less X beta and offset. NaN where a coefficient cannot be estimated
    without the group.
    """
    V_inverse, count = inverse(fit), int(groups.max()) + 1
    B, Py = (V_inverse.times(fit, A) for A in (X, marginal[:, None]))
    p, Phi = X.shape[1], fit.covariance
    shift, covariance = np.full((count, p), np.nan), np.full((count, p, p), np.nan)
    with single_thread():
        for i in range(count):
            rows = np.flatnonzero(groups == i)
            own = V_inverse.among(rows)
            P = own - B[rows] @ Phi @ B[rows].T
            size = np.sqrt(np.diag(own))
            values, vectors = np.linalg.eigh(P / np.outer(size, size))
            if values[0] < LOST:
                continue
            half = (vectors / np.sqrt(values)).T / size
            turned = Phi @ B[rows].T @ half.T
            shift[i] = turned @ (half @ Py[rows, 0])
            covariance[i] = Phi + turned @ turned.T
    return Deletion(shift, covariance)
