"""Generalised linear mixed models by maximum likelihood: Laplace or adaptive quadrature.

y | b ~ family(eta), eta = X beta + offset + sum_k Z_k b_k, b_k of a level ~ N(0, Psi_k).

X and every Z are orthogonalised first, so units and origins cannot matter. The likelihood and its
exact gradient come from `glmm_laplace` or `glmm_quadrature`; the search is quasi-Newton from a
measured Hessian, begun on a sample of the groups where there are many. Standard errors are those
of the full Hessian in (theta, beta, the family's own parameters): with variances taken as known
they come out up to some per cent too small.
Checked: brute-force integration, finite differences, collapse to the model without random
effects, known truth, certified reference cases (tests/engines/test_glmm.py,
tests/models/test_generalised.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from recovery_stats.engines.glm import Separation, separating_direction
from recovery_stats.engines.glmm_family import Family
from recovery_stats.engines.glmm_laplace import Point, Problem
from recovery_stats.engines.glmm_layout import arrange
from recovery_stats.engines.glmm_search import Runaway, Search
from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.lmm_groups import RandomFactor
from recovery_stats.errors import ConvergenceError, NotEstimable

__all__ = ["GlmmFit", "RandomFactor", "fit", "prepare"]


TWICE = 1e12  # condition of the cross-products up to which two Cholesky steps are exact


@dataclass(frozen=True, slots=True)
class Units:
    """What the data were turned into: X = Xo A⁻¹, Z_k = Zo_k T_k⁻¹; factors in `order`."""

    A: Array
    T: tuple[Array, ...]
    order: tuple[int, ...]
    rows: IntArray


@dataclass(frozen=True, slots=True)
class GlmmFit:
    """A fitted model in the user's units.

    beta (p,), covariance (p, p); psi: covariance (q_k, q_k) of each factor's effects, in the
    order given; effects: modes (levels, q_k), effect_variance: (levels, q_k, q_k) of their error,
    parameters unknown; conditional: the same with parameters known; shifts (levels, q_k, P): how
    the effects move with (theta, beta, own). own, own_covariance: the family's own parameters.
    joint: covariance of (theta, beta, own) in the problem's units, zero for what stands at its
    boundary. rank: of each psi; singular when any is short. eta: predictor with effects, rows as
    given; effective: degrees of freedom that the effects take up.
    """

    beta: Array
    covariance: Array
    psi: tuple[Array, ...]
    effects: tuple[Array, ...]
    effect_variance: tuple[Array, ...]
    conditional: tuple[Array, ...]
    shifts: tuple[Array, ...]
    own: Array
    own_covariance: Array
    log_likelihood: float
    n: int
    p: int
    n_theta: int
    nodes: int
    rank: tuple[int, ...]
    evaluations: int
    eta: Array
    effective: float
    joint: Array
    problem: Problem
    point: Point
    units: Units

    @property
    def singular(self) -> bool:
        return any(r < len(P) for r, P in zip(self.rank, self.psi, strict=True))

    @property
    def n_parameters(self) -> int:
        return self.p + self.n_theta + self.own.size


def fit(
    X: Array,
    family: Family,
    factors: Sequence[RandomFactor],
    *,
    nodes: int = 1,
    offset: Array | None = None,
) -> GlmmFit:
    """Fit by maximum likelihood; nodes: quadrature nodes, 1 is Laplace.

    X (n, p) of full column rank; no missing values; more than one node needs a single
    factor. Raises Separation when no finite coefficient exists, NotEstimable,
    ConvergenceError when the likelihood has no maximum.
    """
    with single_thread(), np.errstate(over="ignore", under="ignore"):
        problem, units = prepare(X, family, factors, offset=offset)
        search = Search(problem, nodes)
        try:
            search.run()
        except Runaway as cause:
            _refuse_separation(X, family)
            raise ConvergenceError(str(cause)) from None
        return _finish(search, units, family.constant)


def prepare(
    X: Array, family: Family, factors: Sequence[RandomFactor], *, offset: Array | None = None
) -> tuple[Problem, Units]:
    """Sort the rows by the largest factor and bring X and every Z into orthogonal units."""
    n = len(X)
    order = tuple(sorted(range(len(factors)), key=lambda k: -factors[k].levels * factors[k].q))
    chosen = [factors[k] for k in order]
    layout, rows = arrange(
        [f.codes for f in chosen], [f.levels for f in chosen], [f.q for f in chosen]
    )
    Xo, A = _orthogonal(X)
    Zs, Ts, entries, at = [], [], [], 0
    for factor in chosen:
        Z, T = _orthogonal_blocks(factor)
        Zs.append(Z[rows].T)
        Ts.append(T)
        entries += [(at + i, at + j) for b in factor.blocks for j in b for i in b if i >= j]
        at += factor.q
    sorted_so = bool((rows[1:] > rows[:-1]).all())
    shift = np.zeros(n) if offset is None else offset[rows]
    problem = Problem(
        np.ascontiguousarray((Xo if sorted_so else Xo[rows]).T),
        np.ascontiguousarray(np.vstack(Zs)), shift,
        family if sorted_so else family.take(rows), layout, tuple(entries),
    )  # fmt: skip
    return problem, Units(A, tuple(Ts), order, rows)


def _orthogonal(X: Array) -> tuple[Array, Array]:
    """Xo = X A with Xo'Xo = n I.

    Cholesky factors of the cross-products, twice, where that is as good as Householder's
    reflections (Yamamoto et al. 2015); it costs half.
    """
    n, p = X.shape
    if p == 0:
        return X, np.eye(0)
    length = np.sqrt(np.einsum("ij,ij->j", X, X))
    A = np.diag(np.sqrt(n) / length)
    if p == 1:
        return X * A[0, 0], A
    Q = X / length
    if np.linalg.cond(Q.T @ Q) > TWICE:
        Q, R = np.linalg.qr(Q)
        return Q * np.sqrt(n), A @ solve_triangular(R, np.eye(p))
    for _ in range(2):
        inverse = solve_triangular(np.linalg.cholesky(Q.T @ Q).T, np.eye(p))
        Q, A = Q @ inverse, A @ inverse
    return Q * np.sqrt(n), A


def _orthogonal_blocks(factor: RandomFactor) -> tuple[Array, Array]:
    """Zo = Z T with Zo'Zo = n I within each correlated block."""
    T = np.zeros((factor.q, factor.q))
    for block in factor.blocks:
        index = list(block)
        Z = factor.Z[:, index]
        length = np.sqrt((Z**2).sum(0))
        size = np.sign(length)
        if len(index) > 1:
            size = np.abs(np.diag(np.linalg.qr(Z / np.where(length > 0, length, 1.0)).R))
        if size.min() < 1e-9:
            name = factor.effect(index[int(np.argmin(size))])
            raise NotEstimable(
                f"Random effect {name!r} of {factor.name!r} is zero or a combination of the "
                "effects before it in every row; leave it out."
            )
        T[np.ix_(index, index)] = _orthogonal(Z)[1]
    return factor.Z @ T, T


def _refuse_separation(X: Array, family: Family) -> None:
    rows, y = family.comparisons(X)
    direction = separating_direction(rows, y)
    if direction is not None and direction[: X.shape[1]].any():
        raise Separation(direction[: X.shape[1]])


# --- the answer -------------------------------------------------------------------------------


def _finish(search: Search, units: Units, constant: float) -> GlmmFit:
    problem, at, joint = search.problem, search.point, search.covariance()
    L, beta, own = problem.parts(at.psi)
    k, p = problem.n_theta, problem.p
    parts = _by_factor(search, units, L, joint)
    back = [parts[place] for place in np.argsort(units.order).tolist()]
    eta = np.empty(problem.n)
    eta[units.rows] = at.mode.eta
    spread = (at.mode.E * at.mode.equations.own(at.mode.E)).sum(0)
    return GlmmFit(
        units.A @ beta,
        units.A @ joint[k : k + p, k : k + p] @ units.A.T,
        tuple(b.psi for b in back),
        tuple(b.effects for b in back),
        tuple(b.variance for b in back),
        tuple(b.conditional for b in back),
        tuple(b.shifts for b in back),
        own,
        joint[k + p :, k + p :],
        constant - at.value,
        problem.n,
        p,
        k,
        search.nodes,
        tuple(b.rank for b in back),
        search.evaluations,
        eta,
        float(at.mode.rows.curvature @ spread),
        joint,
        problem,
        at,
        units,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What is said of one factor."""

    psi: Array
    effects: Array
    variance: Array
    conditional: Array
    shifts: Array
    rank: int


def _by_factor(search: Search, units: Units, L: Array, joint: Array) -> list[_Part]:
    """Every factor's effects b = T L u; their variance counts how the parameters move them."""
    problem, mode = search.problem, search.point.mode
    modes, *moved = [problem.layout.split(u) for u in (mode.u, *search.moved)]
    found, start = [], 0
    for place, (T, block) in enumerate(zip(units.T, mode.equations.blocks(), strict=True)):
        inside = slice(start, start + len(T))
        TL, u = T @ L[inside, inside], modes[place]
        shifts = np.stack([m[place] @ TL.T for m in moved], axis=-1)
        for j, (i, c) in enumerate(problem.entries):
            if inside.start <= c < inside.stop:
                shifts[:, :, j] += np.outer(u[:, c - start], T[:, i - start])
        conditional = TL @ block @ TL.T
        variance = conditional + shifts @ joint @ shifts.transpose(0, 2, 1)
        rank = int((np.diag(L)[inside] != 0).sum())
        found.append(_Part(TL @ TL.T, u @ TL.T, variance, conditional, shifts, rank))
        start = inside.stop
    return found
