"""Adaptive Gauss–Hermite quadrature over one random effect per group, with its exact gradient.

Every group's integral is taken around its own mode û with its own curvature H: nodes
û + sqrt(2 / H) t. The nodes move with the parameters through û and H, and the gradient follows
them, so it is the derivative of what is computed, at any number of nodes; one node is Laplace.
Sources: Naylor & Smith 1982; Pinheiro & Bates 1995. Checked: brute-force integration, finite
differences (tests/engines/test_glmm.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.glmm_laplace import Mode, Point, Problem, find_mode, gradient
from recovery_stats.engines.glmm_layout import OneFactor, OneFactorEquations
from recovery_stats.engines.linalg import Array


def evaluate(problem: Problem, psi: Array, start: Array | None, nodes: int) -> Point:
    """The criterion by quadrature at psi; see `glmm_laplace.evaluate`."""
    mode = find_mode(problem, psi, start)
    layout, equations = problem.layout, mode.equations
    assert isinstance(layout, OneFactor)
    assert isinstance(equations, OneFactorEquations)
    lowest = 0.5 * mode.u**2 - np.add.reduceat(mode.rows.log_f, layout.starts)
    sums = _sums(problem, mode, psi, lowest, nodes, 1.0 / np.sqrt(equations.inverse[0, 0]))
    value = 0.5 * equations.log_det + float((lowest - np.log(sums.total)).sum())
    if not np.isfinite(value):
        return Point(psi, float("inf"), np.zeros_like(psi), mode)
    slopes = gradient(
        problem, mode, sums.slope / layout.spread(sums.total),
        slope_effects=(sums.slope_effect / layout.spread(sums.total))[None],
        own_slopes=[float((own / sums.total).sum()) for own in sums.own],
        share=1.0 - sums.stretch / sums.total, pull=sums.pull / sums.total,
    )  # fmt: skip
    return Point(psi, value, slopes, mode)


class _Sums:
    """Sums over nodes, weighted by the integrand, of what the gradient averages."""

    def __init__(self, n: int, m: int, own: int) -> None:
        self.total, self.pull, self.stretch = np.zeros(m), np.zeros(m), np.zeros(m)
        self.slope, self.slope_effect = np.zeros(n), np.zeros(n)
        self.own = [np.zeros(m) for _ in range(own)]


def _sums(
    problem: Problem, mode: Mode, psi: Array, lowest: Array, nodes: int, root: Array
) -> _Sums:
    """Integrand and derivatives at every node; `lowest` (m,) is h at the mode, root (m,) √H."""
    layout, family = problem.layout, problem.family
    assert isinstance(layout, OneFactor)
    own = problem.parts(psi)[2]
    E = mode.E[0]
    fixed = mode.eta - E * layout.spread(mode.u)
    found = _Sums(problem.n, layout.levels, own.size)
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    log_weights = np.log(weights) - 0.5 * np.log(np.pi) + points**2
    for t, log_weight in zip(points.tolist(), log_weights.tolist(), strict=True):
        away = np.sqrt(2.0) * t / root
        u = mode.u + away
        by_row = layout.spread(u)
        eta = fixed + E * by_row
        if own.size:
            rows = family.rows(eta, own)
            log_f, slope = rows.log_f, rows.slope
        else:
            log_f, slope = family.log_f(eta, own), family.steps(eta, own)[0]
        height = 0.5 * u**2 - np.add.reduceat(log_f, layout.starts)
        share = np.exp(log_weight + lowest - height)
        leaning = share * (u - np.add.reduceat(E * slope, layout.starts))
        found.total += share
        found.pull += leaning
        found.stretch += leaning * away
        weighted = layout.spread(share) * slope
        found.slope += weighted
        found.slope_effect += weighted * by_row
        if own.size:
            for number, change in enumerate(rows.changes):
                by_level = np.add.reduceat(change.log_f, layout.starts)
                found.own[number] += share * by_level
    return found
