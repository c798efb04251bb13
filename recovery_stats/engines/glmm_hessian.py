"""The exact Hessian of Laplace's criterion for one random effect per group.

With total derivatives along a parameter a (the mode moves by û_a, a row's predictor by eta_a), w
the rows' curvature, b its slope, c the slope of that, and H = 1 + theta² sum z²w of a group:
d²F = [h_ab + h_au û_b] + (D_ab H / H - D_a H D_b H / H²) / 2, in which D_ab H holds the second
movement û_ab of the mode. As eta_a is a row's own derivative and E û_a, all of it is three sums
of rows by group and one weighted cross-product; the cost is that of a few gradients, where
differences need two for every parameter.
Families without parameters of their own. Checked: differences of the gradient
(tests/engines/test_glmm.py).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.glmm_family import Smooth
from recovery_stats.engines.glmm_laplace import Point, Problem
from recovery_stats.engines.glmm_layout import OneFactor, OneFactorEquations
from recovery_stats.engines.linalg import Array

ROWS = 16_384  # worked on at a time: smaller parts cost more in calls than the cache gives


def offered(problem: Problem) -> bool:
    """Whether the formulas hold for this problem."""
    layout, family = problem.layout, problem.family
    plain = isinstance(family, Smooth) and not family.start.size
    return plain and isinstance(layout, OneFactor) and layout.q == 1


def hessian(problem: Problem, point: Point) -> tuple[Array, Array]:
    """The Hessian (P, P) at a point, and how the modes move with every parameter (P, levels)."""
    layout = problem.layout
    assert isinstance(layout, OneFactor)
    P = 1 + problem.p
    found, moved = np.zeros((P, P)), np.empty((P, layout.levels))
    for levels, rows in layout.blocks(ROWS):
        part, moved[:, levels] = _block(problem, point, levels, rows)
        found += part
    return 0.5 * (found + found.T), moved


def _block(problem: Problem, point: Point, levels: slice, rows: slice) -> tuple[Array, Array]:
    """The part of some levels, whose rows stay in the cache meanwhile."""
    whole, mode, theta = problem.layout, point.mode, float(point.psi[0])
    assert isinstance(whole, OneFactor)
    assert isinstance(mode.equations, OneFactorEquations)
    assert isinstance(problem.family, Smooth)
    layout = whole.part(levels, rows)
    inverse, z, E = mode.equations.inverse[0, 0, levels], problem.Z[0, rows], mode.E[0, rows]
    curvature, bend = mode.rows.curvature[rows], mode.rows.bend[rows]
    own = np.vstack([z * layout.spread(mode.u[levels]), problem.Xt[:, rows]])
    wz, zzb = curvature * z, z * z * bend
    szw, szzb = layout.total(wz * z), layout.total(zzb * z)
    slope = layout.total(mode.rows.slope[rows] * z)
    pulled, plain = layout.by_level(wz * own), layout.by_level(zzb * own)
    moved = -theta * pulled
    moved[0] += slope
    moved *= inverse
    bent = plain + theta * szzb * moved
    change = theta**2 * bent
    change[0] += 2.0 * theta * szw
    change *= inverse
    kappa = 0.5 * theta**3 * szzb * inverse
    twist = problem.family.twist(mode.eta, rows)
    weight = 0.5 * theta**2 * z * z * twist * layout.spread(inverse)
    weight -= layout.spread(kappa * inverse) * bend * E
    weighted = weight * E
    reach, inner = layout.by_level(weighted * own), layout.total(weighted * E)
    found = ((curvature + weight) * own) @ own.T - 0.5 * change @ change.T
    found += (theta * pulled + reach + inner * moved) @ moved.T + moved @ reach.T
    found[0] -= moved @ slope
    apart = bent @ (theta * inverse) + moved @ (0.5 * theta**2 * inverse * szzb)
    apart -= pulled @ (kappa * inverse) + moved @ (2.0 * kappa * inverse * theta * szw)
    found[0] += apart
    found[:, 0] += apart
    found[0, 0] += inverse @ szw
    return found, moved
