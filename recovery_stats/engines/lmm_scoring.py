"""One step of Fisher scoring in the variances themselves, for a mixed model with one factor.

The REML equations are linear in the variances once the weights V⁻¹ are held (Rao's MINQUE), so in
balanced data one step from anywhere ends at the optimum; Newton steps in L bend on the way.
With V = sum_k b_k V_k + b_0 V0 the equations are

    sum_l tr_kl b_l + tr_k b_0 = y'P V_k P y,   sum_l tr_l b_l + nu b_0 = y'P V0 P y = r2.

Source: Searle, Casella & McCulloch 1992, ch. 11. Checked: balanced data, and the fits that begin
here (tests/engines/test_lmm.py).
"""

from __future__ import annotations

from scipy.linalg import lapack

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_criterion import Solution, single_traces


def scored(at: Solution) -> Array | None:
    """theta after the step; None where it leaves the variances, or with several factors."""
    problem, moments = at.moments.problem, at.moments
    alone = moments.sums
    if alone is None:
        return None
    E = problem.places[0].units
    flat, nu = E.reshape(len(E), -1), problem.nu
    of_T = alone.T - moments.met[1, 0] if problem.reml else alone.T
    once = flat @ of_T.ravel()
    expected = single_traces(problem, moments, alone, E) - once[:, None] * (once / nu)
    _, b, failed = lapack.dposv(expected.T, flat @ at.grad_psi[0].ravel() * (-moments.r2 / nu))
    if failed:
        return None
    b_0 = (moments.r2 - float(once @ b)) / nu
    if not b_0 > 0:
        return None
    L = moments.L[0]
    root, failed = lapack.dpotrf((L @ L.T + (b / b_0 @ flat).reshape(L.shape)).T, lower=1)
    return None if failed else problem.pack([root])
