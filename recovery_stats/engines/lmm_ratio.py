"""Likelihood ratios of two nested mixed models on outcomes simulated from the smaller one.

Both models see the same simulated rows; each turns them into its own sums, and is refitted from
there. Checked: against fits of the same rows (tests/engines/test_lmm_ratio.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from recovery_stats.engines import lmm_batch, lmm_bootstrap
from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm import LmmFit, RandomFactor
from recovery_stats.engines.lmm_batch import Outcomes
from recovery_stats.engines.lmm_moments import Moments, moments


@dataclass(frozen=True, slots=True)
class Design:
    """A fit with the rows that it was made from: X (n, p) and its random factors."""

    fit: LmmFit
    X: Array
    factors: Sequence[RandomFactor]


def ratios(
    smaller: Design,
    larger: Design,
    replicates: int,
    rng: np.random.Generator,
    *,
    weights: Array | None = None,
) -> Array:
    """Likelihood-ratio statistics (B,) of outcomes from the smaller fit; NaN where one failed.

    Both fits by the same criterion, on the same rows, with the same weights.
    """
    n = len(smaller.X)
    size = min(
        lmm_bootstrap.chunk(d.fit.problem, max(1, 2_000_000 // n)) for d in (smaller, larger)
    )
    found = []
    with single_thread():
        lines = [Sums.of(d, weights) for d in (smaller, larger)]
        for first, last in pairwise([*range(0, replicates, size), replicates]):
            Y = _rows(smaller, last - first, weights, rng)
            found.append(lines[0].criterion(Y) - lines[1].criterion(Y))
    return np.concatenate(found)


def _rows(design: Design, count: int, weights: Array | None, rng: np.random.Generator) -> Array:
    """Outcomes (n, count) of the fit with beta = 0, in units of its residual sd, root-weighted."""
    fit, n = design.fit, len(design.X)
    Y = np.zeros((n, count))
    for factor, psi in zip(design.factors, fit.psi, strict=True):
        values, vectors = np.linalg.eigh(psi / fit.sigma2)
        half = vectors * np.sqrt(np.maximum(values, 0.0))
        b = np.einsum("ab,lbr->lar", half, rng.standard_normal((factor.levels, factor.q, count)))
        for j in range(factor.q):
            Y += factor.Z[:, j, None] * b[factor.codes, j]
    return (Y if weights is None else np.sqrt(weights)[:, None] * Y) + rng.standard_normal(Y.shape)


@dataclass(frozen=True, slots=True)
class Sums:
    """The maps from root-weighted rows to a problem's sums: Q' (q m, n), X (n, p), Z2' (M2, n).

    Z, codes: of every factor in the engine's order and units.
    """

    fit: LmmFit
    Qt: sparse.csr_array
    X: Array
    Z2t: sparse.csr_array | None
    Z: tuple[Array, ...]
    codes: tuple[IntArray, ...]

    @classmethod
    def of(cls, design: Design, weights: Array | None) -> Sums:
        frame, problem = design.fit.frame, design.fit.problem
        root = np.ones((len(design.X), 1)) if weights is None else np.sqrt(weights)[:, None]
        chosen = [design.factors[k] for k in frame.order]
        Zs = [root * f.Z @ T for f, T in zip(chosen, frame.T, strict=True)]
        Q = _orthonormal(Zs[0], problem.R, chosen[0].codes)
        rows = chosen[0].codes[:, None] + problem.R.shape[2] * np.arange(Q.shape[1])
        Qt = _transposed(Q, rows, Q.shape[1] * problem.R.shape[2])
        Z2t = None
        if problem.second is not None:
            columns = [
                o + f.codes[:, None] * f.q + np.arange(f.q)
                for o, f in zip(problem.second.offsets, chosen[1:], strict=True)
            ]
            Z2t = _transposed(np.hstack(Zs[1:]), np.hstack(columns), problem.second.size)
        codes = tuple(f.codes for f in chosen)
        return cls(design.fit, Qt, root * design.X @ frame.A, Z2t, tuple(Zs), codes)

    def outcomes(self, Y: Array) -> tuple[Outcomes, Array]:
        """Sufficient statistics of root-weighted outcomes Y (n, B); Z2'Y of what Q leaves."""
        problem = self.fit.problem
        q, m = problem.q[0], problem.R.shape[2]
        flat = self.Qt @ Y
        c = flat.reshape(q, m, Y.shape[1])
        within_xy = self.X.T @ Y - np.einsum("qsm,qmr->sr", problem.c[:, : problem.p], c)
        found = Outcomes(c, within_xy, (Y**2).sum(0) - (flat**2).sum(0))
        if problem.second is None or self.Z2t is None:
            return found, np.empty((0, Y.shape[1]))
        return found, self.Z2t @ Y - problem.second.Ct @ flat

    def criterion(self, Y: Array) -> Array:
        """The minimum of the deviance for each outcome, up to a constant of the outcome."""
        problem, start = self.fit.problem, self.fit.solution.theta
        outcomes, lifted = self.outcomes(Y)
        if problem.second is None:
            shared = lmm_batch.Shared.of(problem)
            found = lmm_bootstrap.together(shared, outcomes, start).criterion
        else:
            found = lmm_bootstrap.alone(problem, outcomes, lifted, start).criterion
        units = 2.0 * float(np.linalg.slogdet(self.fit.frame.A)[1]) if problem.reml else 0.0
        return found - units

    def moments(self, y: Array, at: Moments) -> Moments:
        """Cross-products of another outcome (n,) at the same variances."""
        problem = lmm_bootstrap.with_outcome(self.fit.problem, *self.outcomes(y[:, None]))
        return moments(problem, at.L)

    def spread(self, k: int, effects: Array) -> Array:
        """Z_k effects (n,) of effects (q, levels)."""
        return np.asarray(np.einsum("nq,qn->n", self.Z[k], effects[:, self.codes[k]]))


def _orthonormal(Z: Array, R: Array, codes: IntArray) -> Array:
    """Q (n, q) with Z_i = Q_i R_i, zero where R has no diagonal."""
    Q = np.array(Z)
    for a in range(Q.shape[1]):
        for b in range(a):
            Q[:, a] -= Q[:, b] * R[b, a, codes]
        size = R[a, a, codes]
        Q[:, a] = np.where(size > 0, Q[:, a] / np.where(size > 0, size, 1.0), 0.0)
    return Q


def _transposed(values: Array, rows: IntArray, size: int) -> sparse.csr_array:
    n, width = values.shape
    pointers = np.arange(0, n * width + 1, width)
    columns = sparse.csr_array((values.ravel(), rows.ravel(), pointers), shape=(n, size))
    return sparse.csr_array(columns.T)
