"""Turn a mixed model's rows into sums by group, in orthogonal units.

X is orthogonalised, y is its least-squares residual brought to length 1 per row, each Z is
orthogonalised within its correlated block: units and origins cannot matter. Where the columns
are far enough from dependent the orthogonal columns are never written out: sums are taken over
the columns as they are and turned afterwards.
Sources: Pinheiro & Bates 2000, ch. 2. Checked: dense formulas, units (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from recovery_stats.engines.linalg import GRADED, Array, inverse_lower
from recovery_stats.engines.lmm_alike import alike
from recovery_stats.engines.lmm_groups import (
    Frame,
    Problem,
    RandomFactor,
    beside_first,
    orthogonal_blocks,
    weighted,
)
from recovery_stats.engines.lmm_second import second_factors
from recovery_stats.engines.lmm_sums import Levels, eliminate, left_over, summed_up
from recovery_stats.errors import NotEstimable

INDEPENDENT = 0.02  # share of a column that the others must leave for its square to keep 12 digits
CAREFUL = 1e4  # variance of a group's mean over the residual's, from which subtraction loses digits


@dataclass(frozen=True, slots=True)
class Base:
    """Orthogonal columns as a product: X A = values inner, (X A)'(X A) = n I (by blocks).

    gram: values'values.
    """

    values: Array
    inner: Array
    A: Array
    gram: Array

    def columns(self) -> Array:
        """X A, written out."""
        return self.values @ self.inner


def prepare(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    *,
    reml: bool,
    weights: Array | None = None,
    offset: Array | None = None,
    careful: bool = False,
    shift: Array | None = None,
) -> tuple[Problem, Frame]:
    """Bring the data into orthogonal units and sum them up by group.

    careful: write out what the columns leave within groups instead of subtracting sums; needed
    where random effects dwarf the residual (`loses_digits`). shift (p,): coefficients in the
    problem's units, to be taken out of y: near the estimate, no sum of squares is a difference.
    """
    n, p = X.shape
    root = None if weights is None else np.sqrt(weights)
    base = fixed_base(weighted(X, root))
    outcome = weighted(y if offset is None else y - offset, root)
    start, yo, scale = left_by_fixed(base, outcome)
    if shift is not None:
        start = start + scale * (base.A @ shift)
        yo = _without(base.columns(), outcome, np.asarray(np.linalg.solve(base.A, start))) / scale
    order = tuple(sorted(range(len(factors)), key=lambda k: -factors[k].levels * factors[k].q))
    chosen = [factors[k] for k in order]
    bases = [_random_base(weighted(f.Z, root), f) for f in chosen]
    levels, Q, R = eliminate(chosen[0], bases[0].values)
    if careful or order[1:]:
        F = np.vstack([base.columns().T, yo])
    if careful:
        c, F = left_over(levels, Q, F)
        within, subtracted = F @ F.T, None
    else:
        c = _sums(base, yo, levels, Q, bases[0].values, R)
        within, subtracted = _total(base, yo) - sum(part @ part.T for part in c), c
    R = np.matmul(bases[0].inner.T, R)
    second = None
    if order[1:]:
        Zs = [b.columns() for b in bases[1:]]
        second = second_factors(chosen[1:], Zs, chosen[0], Q, F, subtracted)
    problem = Problem(
        n, p, reml, R, c, within, second, tuple(f.blocks for f in chosen),
        tuple(f.q for f in chosen), None if order[1:] else alike(R, c),
    )  # fmt: skip
    log_weights = 0.0 if weights is None else float(np.log(weights).sum())
    return problem, Frame(base.A, start, scale, tuple(b.A for b in bases), order, log_weights)


def loses_digits(problem: Problem, L: Sequence[Array]) -> bool:
    """Whether sums that were subtracted have lost digits that matter at these L."""
    largest = float(max((problem.R[:, a] ** 2).sum(0).max() for a in range(problem.q[0])))
    if largest * float((L[0] ** 2).sum()) > CAREFUL:
        return True
    ratio = max(float((factor**2).sum()) for factor in L)
    if problem.second is None or problem.n * ratio <= GRADED:  # no level holds more than n
        return False
    return problem.second.largest() * ratio > GRADED


# --- units ------------------------------------------------------------------------------------


def fixed_base(X: Array) -> Base:
    n, p = X.shape
    gram = X.T @ X
    found = _triangular(gram, n)
    if found is not None:
        return Base(X, found, found, gram)
    X, C = beside_first(X)
    gram = X.T @ X
    found = _triangular(gram, n)
    if found is not None:
        return Base(X, found, C @ found, gram)
    length = np.sqrt((X**2).sum(0))
    Q, R = np.linalg.qr(X / length)
    A = solve_triangular(R, np.eye(p)) / length[:, None]
    values = Q * np.sqrt(n)
    return Base(values, np.eye(p), C @ A * np.sqrt(n), values.T @ values)


def _random_base(Z: Array, factor: RandomFactor) -> Base:
    n, q = Z.shape
    T, G = np.zeros((q, q)), Z.T @ Z
    for block in factor.blocks:
        index = np.ix_(block, block)
        found = _triangular(G[index], n)
        if found is None:
            Zo, T = orthogonal_blocks(Z, factor)
            return Base(Zo, np.eye(q), T, Zo.T @ Zo)
        T[index] = found
    return Base(Z, T, T, G)


def _triangular(G: Array, n: int) -> Array | None:
    """A upper triangular with A'GA = n I; None where G is too near to singular for 12 digits."""
    length = np.sqrt(np.diagonal(G))
    if not (length > 0).all():
        return None
    W, sizes, failed = inverse_lower(G / (length[:, None] * length))
    if failed or sizes.min(initial=1.0) < INDEPENDENT:
        return None
    return np.asarray(W.T * (np.sqrt(n) / length)[:, None])


def left_by_fixed(base: Base, y: Array) -> tuple[Array, Array, float]:
    """The least-squares coefficients of X, the residual at unit scale, and that scale."""
    n, p = base.values.shape
    onto = base.inner.T / n
    coefficients = onto @ (base.values.T @ y)
    residual = y - base.values @ (base.inner @ coefficients)
    again = onto @ (base.values.T @ residual)
    residual -= base.values @ (base.inner @ again)
    scale = float(np.sqrt(residual @ residual / (n - p)))
    if not scale > 1e-13 * float(np.sqrt(y @ y / n)):
        raise NotEstimable(
            "The outcome has no variation left after the fixed effects: it is constant or an "
            "exact combination of the predictors."
        )
    residual /= scale
    return base.A @ (coefficients + again), residual, scale


def _without(columns: Array, y: Array, coefficients: Array) -> Array:
    """y - columns coefficients, the largest part first: a constant of 1e7 goes with no rounding."""
    left = y.copy()
    for j in np.argsort(-np.abs(coefficients)).tolist():
        left -= columns[:, j] * coefficients[j]
    return left


# --- sums -------------------------------------------------------------------------------------


def _sums(base: Base, yo: Array, levels: Levels, Q: Array, Z: Array, raw: Array) -> Array:
    """c (q, s, m), turned into orthogonal units after summing.

    raw (q, q, m): Q_i'Z_i; a column of X that is one of Z's needs no sum of its own.
    """
    p = base.values.shape[1]
    known = {
        j: raw[:, b]
        for b, effect in enumerate(Z.T)
        for j, column in enumerate(base.values.T)
        if column[-1] == effect[-1] and np.array_equal(column, effect)
    }
    c = summed_up(levels, Q, [*base.values.T, yo], known)
    for part in c:
        part[:p] = base.inner.T @ part[:p]
    return c


def _total(base: Base, yo: Array) -> Array:
    """[X y]'[X y] in orthogonal units."""
    p = base.values.shape[1]
    total = np.empty((p + 1, p + 1))
    total[:p, :p] = base.inner.T @ base.gram @ base.inner
    total[:p, p] = total[p, :p] = base.inner.T @ (base.values.T @ yo)
    total[p, p] = yo @ yo
    return total
