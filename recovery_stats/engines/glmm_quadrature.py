"""Adaptive Gauss–Hermite quadrature over the effects of one factor, with its exact gradient.

Every group's integral over its q effects is taken around its own mode û with its own curvature H:
nodes û + sqrt(2) C t on the product grid, C C' = H⁻¹. The nodes move with the parameters through
û and H, and the gradient follows them, so it is the derivative of what is computed, at any number
of nodes; one node is Laplace. With S = C' dH C and Phi its lower half, dC = -C Phi(S): what the
nodes' spread adds to the gradient is a trace with dH again, as log|H| is.
Sources: Naylor & Smith 1982; Pinheiro & Bates 1995; Pinheiro & Chao 2006. Checked: brute-force
integration, finite differences (tests/engines/test_glmm.py).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from recovery_stats.engines.glmm_laplace import Mode, Point, Problem, find_mode, gradient
from recovery_stats.engines.glmm_layout import OneFactor, OneFactorEquations
from recovery_stats.engines.linalg import Array


def evaluate(problem: Problem, psi: Array, start: Array | None, nodes: int) -> Point:
    """The criterion by quadrature at psi, `nodes` a dimension; see `glmm_laplace.evaluate`."""
    mode = find_mode(problem, psi, start)
    layout, equations = problem.layout, mode.equations
    assert isinstance(layout, OneFactor)
    assert isinstance(equations, OneFactorEquations)
    nowhere = Point(psi, float("inf"), np.zeros_like(psi), mode)
    C = _roots(equations.inverse)
    if C is None:
        return nowhere
    lowest = layout.heights(mode.u, mode.rows.log_f)
    sums = _sums(problem, mode, psi, lowest, nodes, C)
    value = 0.5 * equations.log_det + float((lowest - np.log(sums.total)).sum())
    if not np.isfinite(value):
        return nowhere
    by_row = layout.spread(sums.total)
    slopes = gradient(
        problem, mode, sums.slope / by_row, slope_effects=sums.slope_effect / by_row,
        own_slopes=[float((own / sums.total).sum()) for own in sums.own],
        volume=replace(equations, inverse=_volume(C, sums.stretch / sums.total)),
        pull=(sums.pull / sums.total).ravel(),
    )  # fmt: skip
    return Point(psi, value, slopes, mode)


def _roots(inverse: Array) -> Array | None:
    """C (q, q, m), lower triangular, C C' = H⁻¹; None where H is not positive definite."""
    if inverse.shape[0] == 1:
        return np.sqrt(inverse) if bool((inverse > 0).all()) else None
    stacked = np.ascontiguousarray(inverse.transpose(2, 0, 1))
    try:
        return np.ascontiguousarray(np.linalg.cholesky(stacked).transpose(1, 2, 0))
    except np.linalg.LinAlgError:
        return None


def _volume(C: Array, N: Array) -> Array:
    """C (I - N) C' with the lower half of N mirrored: stands for H⁻¹ in the derivative."""
    q = len(C)
    left = -N
    for a in range(q):
        left[a, a] += 1.0
        left[a, a + 1 :] = left[a + 1 :, a]
    return np.asarray(np.einsum("abm,bcm,dcm->adm", C, left, C))


class _Sums:
    """Sums over nodes, weighted by the integrand, of what the gradient averages.

    stretch (q, q, m): of sqrt(2) C'∇h times t'; pull (q, m): of ∇h.
    """

    def __init__(self, n: int, m: int, q: int, own: int) -> None:
        self.total, self.pull, self.stretch = np.zeros(m), np.zeros((q, m)), np.zeros((q, q, m))
        self.slope, self.slope_effect = np.zeros(n), np.zeros((q, n))
        self.own = [np.zeros(m) for _ in range(own)]


def _sums(problem: Problem, mode: Mode, psi: Array, lowest: Array, nodes: int, C: Array) -> _Sums:
    """Integrand and derivatives at every node; `lowest` (m,) is h at the mode."""
    layout, family, E = problem.layout, problem.family, mode.E
    assert isinstance(layout, OneFactor)
    own, q = problem.parts(psi)[2], layout.q
    centre = mode.u.reshape(q, -1)
    fixed = mode.eta - (E * layout.rows(mode.u)).sum(0)
    found = _Sums(problem.n, layout.levels, q, own.size)
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    log_weights = np.log(weights) - 0.5 * np.log(np.pi) + points**2
    for at in product(range(nodes), repeat=q):
        t = np.sqrt(2.0) * points[list(at)]
        u = centre + np.einsum("abm,b->am", C, t)
        by_row = layout.rows(u)
        eta = fixed + (E * by_row).sum(0)
        if own.size:
            rows = family.rows(eta, own)
            log_f, slope = rows.log_f, rows.slope
        else:
            log_f, slope = family.log_f(eta, own), family.steps(eta, own)[0]
        height = layout.heights(u, log_f)
        share = np.exp(float(log_weights[list(at)].sum()) + lowest - height)
        leaning = share * (u - layout.sums(E * slope).reshape(q, -1))
        found.total += share
        found.pull += leaning
        turned = np.einsum("abm,am->bm", C, leaning)
        for b in range(q):
            found.stretch[:, b] += turned * t[b]
        weighted = layout.spread(share) * slope
        found.slope += weighted
        found.slope_effect += weighted * by_row
        if own.size:
            for number, change in enumerate(rows.changes):
                by_level = layout.total(change.log_f)
                found.own[number] += share * by_level
    return found
