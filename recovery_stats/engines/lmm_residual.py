"""Linear mixed models with structured residuals: AR(1), unstructured and the rest, by REML or ML.

y = X beta + sum_k Z_k b_k + e,  e of one person ~ N(0, s2 R0(eta)); no random term is needed.

`residual` holds the structures, `lmm_pattern` sums the data up, `lmm_structured` gives criterion
and derivatives; here is the search, and the answer in the user's units. The degrees of freedom
are in `lmm_residual_df`.
Checked: dense formulas, closed forms (multivariate regression), R nlme
(tests/engines/test_lmm_residual.py, tests/models/test_mixed_residual.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array, IntArray, lower_factor, single_thread
from recovery_stats.engines.lmm_groups import Frame, RandomFactor
from recovery_stats.engines.lmm_optimum import NEAR_ZERO
from recovery_stats.engines.lmm_pattern import Rows, Structured, prepare
from recovery_stats.engines.lmm_structured import Derivatives, Point, differentiate, value
from recovery_stats.engines.residual import Cells, Residual
from recovery_stats.errors import ConvergenceError, NotEstimable

BoolArray = NDArray[np.bool_]
MAX_ITERATIONS = 200
DECREMENT = 1e-18  # Newton decrement at which parameters are known to 1e-9 of their errors
CLOSE = 1e-8  # decrement below which the criterion itself can no longer judge a step
FLAT = 1e-9  # share of curvature left to a direction that the data do not show


@dataclass(frozen=True, slots=True)
class ResidualFit:
    """A fitted model in the user's units; the fields of `LmmFit`, and eta of the residual.

    sigma2: the residual variance of the first level. at_limit: whether a number of the residual
    structure stands at the end of its range.
    """

    beta: Array
    covariance: Array
    sigma2: float
    psi: tuple[Array, ...]
    effects: tuple[Array, ...]
    effect_variance: tuple[Array, ...]
    criterion: float
    reml: bool
    n: int
    p: int
    n_theta: int
    rank: tuple[int, ...]
    singular: bool
    boundary: bool
    iterations: int
    eta: Array
    at_limit: bool
    problem: Structured
    point: Point
    derivatives: Derivatives
    frame: Frame

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.criterion

    @property
    def n_parameters(self) -> int:
        return self.p + self.n_theta + 1


def fit(
    X: Array,
    y: Array,
    factors: Sequence[RandomFactor],
    residual: Residual,
    rows: Rows,
    start: Array,
    *,
    reml: bool = True,
    weights: Array | None = None,
    offset: Array | None = None,
) -> ResidualFit:
    """Fit by REML (or ML) from `start` (eta) with prior weights (n,) > 0 and offset (n,).

    X (n, p) of full column rank with p < n. Raises NotEstimable where the residual structure and
    the random terms cannot be told apart, ConvergenceError where no maximum exists.
    """
    with single_thread():
        problem, frame = prepare(
            X, y, factors, residual, rows, reml=reml, weights=weights, offset=offset
        )
        point, slopes, iterations, limit = minimise(problem, _start(problem, start))
        point, slopes, boundary = _settle(problem, point, slopes)
        return _finish(problem, point, slopes, frame, iterations, boundary, limit)


def _start(problem: Structured, eta: Array) -> Array:
    return problem.pack([0.5 * np.eye(f.q) for f in problem.factors], eta)


# --- the search ----------------------------------------------------------------------------------


def minimise(problem: Structured, start: Array) -> tuple[Point, Derivatives, int, bool]:
    """Newton with exact derivatives; numbers at the end of their range are held there."""
    low, high = _bounds(problem)
    at = value(problem, np.clip(start, low, high))
    if at is None:
        raise ConvergenceError("The residual structure has no start on these data.")
    last, stalled, evaluations = np.inf, 0, 1
    for _ in range(MAX_ITERATIONS):
        slopes = differentiate(problem, at)
        here, g = at.parameters, slopes.gradient
        held = ((here <= low) & (g > 0)) | ((here >= high) & (g < 0))
        step = _newton(slopes, ~held)
        decrement = float(-g @ step)
        stalled += decrement < CLOSE and decrement > 0.5 * last
        new, used = None, 0
        if decrement >= DECREMENT and stalled < 2:
            new, used = _descend(problem, at, step, decrement, low, high)
        evaluations += used
        if new is None:
            _refuse_limit(problem, held, g)
            _refuse_flat(slopes, ~held)
            return at, slopes, evaluations, bool(held.any())
        at, last = new, decrement
    raise ConvergenceError(
        "The residual structure did not converge: the likelihood has no clear maximum. Choose a "
        "structure with fewer parameters."
    )


def _bounds(problem: Structured) -> tuple[Array, Array]:
    low, high = problem.residual.bounds
    free = [np.full((f.q, f.q), np.inf) for f in problem.factors]
    return problem.pack([-f for f in free], low), problem.pack(free, high)


def _newton(slopes: Derivatives, free: BoolArray) -> Array:
    """The Newton step; where the Hessian is not positive, by the size of its curvature."""
    step = np.zeros(len(free))
    if not free.any():
        return step
    H = slopes.hessian[np.ix_(free, free)]
    size = np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-12))
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    if values[0] <= 1e-10 and np.diag(slopes.average).min() > 0:
        H = slopes.average[np.ix_(free, free)] + 0.5 * (H + slopes.average[np.ix_(free, free)])
        values, vectors = np.linalg.eigh(H / np.outer(size, size))
    curvature = np.maximum(np.abs(values), 1e-8 * float(np.abs(values).max()))
    turned = vectors.T @ (slopes.gradient[free] / size)
    step[free] = -(vectors @ (turned / curvature)) / size
    return step


def _descend(
    problem: Structured, at: Point, step: Array, decrement: float, low: Array, high: Array
) -> tuple[Point | None, int]:
    """The largest share of the step that lowers the criterion, inside the bounds."""
    here = at.parameters
    largest = 2.0 + float(np.abs(here).max(initial=0.0))
    size = min(1.0, largest / max(float(np.abs(step).max()), 1e-300))
    noise = 1e-13 * max(1.0, abs(at.criterion), problem.n)
    used = 0
    while size > 1e-12:
        new = value(problem, np.clip(here + size * step, low, high))
        used += 1
        allowed = 1e-7 if decrement < CLOSE else noise - 1e-4 * size * decrement
        if new is not None and new.criterion <= at.criterion + allowed:
            return new, used
        size *= 0.3
        if decrement < CLOSE + 100 * noise:
            return None, used
    raise ConvergenceError(
        "The residual structure has no maximum inside its range on these data: a covariance runs "
        "to a singular one. Choose a structure with fewer parameters."
    )


def _refuse_limit(problem: Structured, held: BoolArray, gradient: Array) -> None:
    """Refuse a variance that runs to zero and a correlation that runs to 1 or -1."""
    first = len(problem.entries(problem.inner))
    eta = slice(first, first + problem.residual.size)
    if (held[eta] & ~(problem.residual.may_vanish & (gradient[eta] < 0))).any():
        raise NotEstimable(
            "A residual variance runs to zero or a residual correlation to its limit (1 or -1): "
            "no such structure fits these data. Choose a simpler one, or take a random term out."
        )


def _refuse_flat(slopes: Derivatives, free: BoolArray) -> None:
    """Refuse a model with a direction along which the likelihood does not change at all."""
    live = free & (np.abs(slopes.average).max(0, initial=0.0) > 0)
    H = slopes.hessian[np.ix_(live, live)]
    if not H.size:
        return
    size = np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-300))
    if float(np.linalg.eigvalsh(H / np.outer(size, size))[0]) < FLAT:
        raise NotEstimable(
            "These data cannot tell the parts of the covariance apart: the residual structure and "
            "the random terms (or two of its parameters) describe the same thing. Take a random "
            "term out or choose a structure with fewer parameters."
        )


def _settle(problem: Structured, at: Point, slopes: Derivatives) -> tuple[Point, Derivatives, bool]:
    """Put near-zero random effects exactly at zero where that is no worse; do they belong there?"""
    L, touched = [f.copy() for f in at.L], False
    for k, factor in enumerate(problem.factors):
        for block in factor.blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(L[k][index])
            zero = sizes < NEAR_ZERO
            touched |= bool(zero.any())
            L[k][index] = lower_factor(U * np.where(zero, 0.0, sizes))
    new = value(problem, problem.pack(L, at.eta)) if L else at
    if touched and (new is None or new.criterion > at.criterion + 1e-9 * max(1.0, problem.n**0.5)):
        new = value(problem, problem.pack([lower_factor(f) for f in at.L], at.eta))
    assert new is not None
    slopes = differentiate(problem, new)
    return new, slopes, _belongs(problem, new, slopes)


def _belongs(problem: Structured, at: Point, slopes: Derivatives) -> bool:
    for k, factor in enumerate(problem.factors):
        for block in factor.blocks:
            index = np.ix_(block, block)
            U, sizes, _ = np.linalg.svd(at.L[k][index])
            null = U[:, sizes == 0]
            if null.size:
                slope = null.T @ slopes.slopes[k][index] @ null
                if float(np.linalg.eigvalsh(slope)[0]) < -1e-6 * problem.n:
                    return False
    return True


# --- the answer in the user's units --------------------------------------------------------------


def _finish(
    problem: Structured,
    at: Point,
    slopes: Derivatives,
    frame: Frame,
    iterations: int,
    boundary: bool,
    limit: bool,
) -> ResidualFit:
    sigma2 = at.r2 / problem.nu * frame.scale**2
    criterion = at.criterion + problem.nu * 2.0 * np.log(frame.scale) - frame.log_weights
    criterion -= 2.0 * float(np.linalg.slogdet(frame.A)[1]) if problem.reml else 0.0
    psi, effects, variances, rank = [], [], [], []
    for k, factor in enumerate(problem.factors):
        T, Psi = frame.T[k], at.L[k] @ at.L[k].T
        t, known = _seen(problem, at, k)
        psi.append(sigma2 * T @ Psi @ T.T)
        effects.append(frame.scale * t @ Psi @ T.T)
        variances.append(sigma2 * T @ (Psi - Psi @ known @ Psi) @ T.T)
        blocks = [np.linalg.svd(at.L[k][np.ix_(b, b)], compute_uv=False) for b in factor.blocks]
        rank.append(int(sum((s > 0).sum() for s in blocks)))
    return ResidualFit(
        frame.start + frame.scale * frame.A @ at.beta,
        sigma2 * frame.A @ at.Sxx_inverse @ frame.A.T,
        sigma2,
        tuple(psi),
        tuple(effects),
        tuple(variances),
        float(criterion),
        problem.reml,
        problem.n,
        problem.p,
        len(at.parameters),
        tuple(rank),
        any(r < f.q for r, f in zip(rank, problem.factors, strict=True)) or limit,
        boundary,
        iterations,
        at.eta,
        limit,
        problem,
        at,
        slopes,
        frame,
    )


def _seen(problem: Structured, at: Point, k: int) -> tuple[Array, Array]:
    """Z'V⁻¹(y - X beta) (levels, q) of factor k, and Z'PZ (levels, q, q)."""
    factor, m = problem.factors[k], problem.n_outer
    H = np.zeros((factor.levels, factor.q, len(at.S)))
    T = np.zeros((factor.levels, factor.q, factor.q))
    if k in problem.outer:
        start = problem.offsets()[k]
        end = start + factor.levels * factor.q
        H[:] = at.S[start:end].reshape(H.shape)
        each = np.arange(factor.levels)
        whole = at.S[start:end, start:end].reshape((factor.levels, factor.q) * 2)
        T[:] = whole[each, :, each, :]
    else:
        for batch, white in zip(problem.batches, at.whitened, strict=True):
            _scatter(problem, batch.rows, white.C_inverse[batch.unit_pattern], k, H, T)
    H2, Hx = H[:, :, :m], H @ at.to_x
    T = T - H2 @ at.K @ H2.transpose(0, 2, 1) - Hx @ at.Sxx_inverse @ Hx.transpose(0, 2, 1)
    return H @ at.to_e, T


def _scatter(
    problem: Structured, rows: IntArray, C_inverse: Array, k: int, H: Array, T: Array
) -> None:
    """Add Z'V1⁻¹F and Z'V1⁻¹Z of the units `rows` (m, k) to the levels of an inner factor."""
    codes, Z = problem.factors[k].codes[rows], problem.Z[k][rows]
    white = C_inverse @ problem.F[rows]
    place = (codes[:, :, None] == codes[:, None, :]).argmax(2)
    for first in np.unique(place).tolist():
        own = (place == first)[:, :, None]
        mine = own.any((1, 2))
        side = (C_inverse @ (Z * own))[mine].transpose(0, 2, 1)
        level = codes[mine, first]
        np.add.at(H, level, side @ white[mine])
        np.add.at(T, level, side @ side.transpose(0, 2, 1))


# --- the residual covariance of given rows -------------------------------------------------------


def residual_covariance(fit: ResidualFit, which: IntArray) -> Array:
    """The residual covariance (c, k, k) of the rows `which` (c, k), in the user's units."""
    rows, root = fit.problem.rows, fit.problem.root
    person = rows.person[which]
    cells = Cells(
        rows.wave[which], rows.level[which], rows.group[which], rows.time[which],
        (person[:, :, None] == person[:, None, :]).astype(float),
    )  # fmt: skip
    R = fit.sigma2 * fit.problem.residual.matrix(fit.eta, cells)[0]
    if root is None:
        return np.asarray(R)
    return np.asarray(R / (root[which][:, :, None] * root[which][:, None, :]))


def normalised(fit: ResidualFit, residual: Array) -> Array:
    """Residuals (n,) made uncorrelated with variance 1: C⁻¹e for each person, waves in order."""
    out = np.empty_like(residual)
    for own in people(fit.problem.rows):
        C = np.linalg.cholesky(residual_covariance(fit, own))
        out[own] = np.linalg.solve(C, residual[own][:, :, None])[:, :, 0]
    return out


def simulate(fit: ResidualFit, count: int, rng: np.random.Generator, *, new: bool) -> Array:
    """Residuals (n, count) drawn from the fit, with new random effects where asked."""
    problem = fit.problem
    out = np.empty((problem.n, count))
    for own in people(problem.rows):
        C = np.linalg.cholesky(residual_covariance(fit, own))
        out[own] = C @ rng.normal(size=(*own.shape, count))
    if new:
        for factor, psi in zip(problem.factors, fit.psi, strict=True):
            values, vectors = np.linalg.eigh(psi)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            effects = rng.normal(size=(factor.levels, count, factor.q)) @ root.T
            out += np.einsum("nq,ncq->nc", factor.Z, effects[factor.codes])
    return out


def people(rows: Rows) -> list[IntArray]:
    """Rows (m, k) of all people with k rows, waves in order, for every k."""
    order = np.lexsort((rows.time, rows.wave, rows.person))
    _, sizes = np.unique(rows.person, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [order[starts[sizes == k][:, None] + np.arange(k)] for k in np.unique(sizes).tolist()]
