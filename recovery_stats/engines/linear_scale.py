"""Covariates on a working scale: centred beside an intercept, of unit spread, and back again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.cox import ColumnsNotEstimable
from recovery_stats.engines.linalg import dependent_columns

Array = NDArray[np.float64]

SUSPECT = 1e-8  # eigenvalue of the columns' correlation below which they may be collinear
BLOCK = 4096
RUNAWAY = 1e-8  # information a row along a direction in which the likelihood has gone flat


@dataclass(frozen=True, slots=True)
class LinearScale:
    """Z = X A: A (p, p) is invertible, so that beta = A gamma for coefficients gamma of Z."""

    Z: Array
    A: Array

    @classmethod
    def of(cls, X: Array) -> LinearScale:
        """Raises ColumnsNotEstimable naming the columns that others determine."""
        p = X.shape[1]
        mean, spread = X.mean(0), X.std(0)
        constant = spread <= 1e-12 * np.abs(mean)
        ones = np.flatnonzero(constant & (mean != 0))
        has_intercept = ones.size > 0
        shift = mean if has_intercept else np.zeros(p)
        length = np.where(constant, np.abs(mean), spread if has_intercept else _size(X))
        if (constant & (mean == 0)).any() or ones.size > 1:
            _refuse_dependent(X, has_intercept)
        A = np.diag(1 / length)
        if has_intercept:
            one = int(ones[0])
            for j in np.flatnonzero(~constant):
                A[one, j] = -shift[j] / mean[one] / length[j]
        Z = (X - np.where(constant, 0.0, shift)) / length
        if p and np.linalg.eigvalsh(Z.T @ Z / max(len(X), 1))[0] < SUSPECT:
            _refuse_dependent(X, has_intercept)
        return cls(Z, A)

    def widened(self, more: int) -> Array:
        """A with the identity for `more` parameters that follow."""
        p = len(self.A)
        out = np.eye(p + more)
        out[:p, :p] = self.A
        return out


def weighted_gram(Z: Array, h: Array) -> Array:
    """Z' diag(h) Z, a few thousand rows at a time, so that the products stay in the cache."""
    out = np.zeros((Z.shape[1], Z.shape[1]))
    for at in range(0, len(Z), BLOCK):
        part = Z[at : at + BLOCK]
        out += part.T @ (part * h[at : at + BLOCK, None])
    return out


def _size(X: Array) -> Array:
    return np.asarray(np.sqrt((X**2).mean(0)))


def _refuse_dependent(X: Array, has_intercept: bool) -> None:
    gone = dependent_columns(X, intercept=has_intercept)
    if gone:
        reason = "constant, or determined by the other terms, in the rows analysed"
        raise ColumnsNotEstimable(tuple(gone), reason)


def refuse_runaway(information: Array, scaled: LinearScale, rows: float) -> None:
    """Raise ColumnsNotEstimable where the likelihood has gone flat along some coefficients.

    information (k, k) at the end of the climb, the first p on the working scale.
    """
    p = len(scaled.A)
    values, vectors = np.linalg.eigh(information[:p, :p] / rows)
    flat = values < RUNAWAY
    if flat.any():
        weight = np.abs(vectors[:, flat]).max(1)
        varying = scaled.Z.std(0) > 0
        named = np.flatnonzero((weight > 0.3) & varying)
        columns = named if named.size else np.flatnonzero(weight > 0.3)
        raise ColumnsNotEstimable(
            tuple(int(j) for j in columns),
            "the likelihood grows without end, as where a group has no event or all of it has; no "
            "finite estimate exists; merge levels, or leave it out",
        )
