"""Draws for numbers: the normal linear model, and predictive mean matching.

Sources: Rubin 1987, p. 167 (posterior draw of the linear model); Little 1988 and van Buuren 2018,
section 3.4.2 (matching of type 1: donors by the estimate, recipients by the draw).
Checked: moments of the posterior, donors by brute force (tests/engines/test_impute.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable

RIDGE = 1e-10  # share of a column's length: keeps rounding from failing a factorisation


@dataclass(frozen=True, slots=True)
class Line:
    """A linear model drawn from its posterior: estimate (p,), draw (p,), residual sd drawn."""

    estimate: Array
    drawn: Array
    sigma: float


def draw_line(X: Array, y: Array, rng: np.random.Generator) -> Line:
    """Draw coefficients and residual sd under the flat prior.

    X (p, n), a column of the design in each row; y (n,). sigma^2 is the residual sum of squares
    over a chi-squared of n - p df. Raises NotEstimable where n <= p.
    """
    p, n = X.shape
    if n <= p:
        raise NotEstimable(f"{n} observed values cannot estimate {p} coefficients.")
    G = X @ X.T
    G.flat[:: p + 1] *= 1.0 + RIDGE
    factor, info = lapack.dpotrf(G, lower=1)
    if info:
        factor = _damped(G)
    estimate, _ = lapack.dpotrs(factor, X @ y, lower=1)
    left = y - estimate @ X
    sigma = float(np.sqrt(left @ left / rng.chisquare(n - p)))
    step, _ = lapack.dtrtrs(factor, rng.standard_normal(p), lower=1, trans=1)
    return Line(estimate, estimate + sigma * step, sigma)


def _damped(G: Array) -> Array:
    """The factor of G once its diagonal is raised enough to have one."""
    for share in 10.0 ** np.arange(-8, 0):
        raised = G.copy()
        raised.flat[:: len(G) + 1] *= 1.0 + share
        factor, info = lapack.dpotrf(raised, lower=1)
        if not info:
            return np.asarray(factor)
    raise NotEstimable("The predictors of an imputation model are combinations of each other.")


def impute_normal(
    X: Array, y: Array, new: Array, rng: np.random.Generator, delta: Array | float = 0.0
) -> Array:
    """Values for the rows new (p, k): mean by drawn coefficients, plus noise, plus delta."""
    line = draw_line(X, y, rng)
    noise = line.sigma * rng.standard_normal(new.shape[1])
    return np.asarray(line.drawn @ new + noise + delta)


def impute_matched(
    X: Array, y: Array, new: Array, rng: np.random.Generator, donors: int = 5,
    delta: Array | float = 0.0,
) -> Array:  # fmt: skip
    """Observed values of donors whose predicted mean is near, plus delta."""
    line = draw_line(X, y, rng)
    return y[match(line.estimate @ X, line.drawn @ new, donors, rng)] + delta


def match(have: Array, want: Array, donors: int, rng: np.random.Generator) -> IntArray:
    """For every entry of want (k,) one of its `donors` nearest entries of have (n,), at random.

    Donors that tie are equally likely: one is drawn again among all that share its mean.
    Returns positions in have (k,). Cost: one sort and a window of 2 `donors` around each want.
    """
    n = have.size
    k = min(donors, n)
    order = np.argsort(have)
    ranked = have[order]
    right = np.searchsorted(ranked, want)
    first = np.clip(right - k, 0, max(n - 2 * k, 0))
    window = first[:, None] + np.arange(min(2 * k, n))
    distance = np.abs(ranked[window] - want[:, None])
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    rows = np.arange(want.size)
    chosen = window[rows, near[rows, rng.integers(k, size=want.size)]]
    return order[_among_ties(ranked, chosen, rng)]


def _among_ties(ranked: Array, chosen: IntArray, rng: np.random.Generator) -> IntArray:
    """Any of the positions whose value is the chosen one's, with equal chances."""
    new_value = np.flatnonzero(np.diff(ranked)) + 1
    if new_value.size == ranked.size - 1:
        return chosen
    edges = np.concatenate(([0], new_value, [ranked.size]))
    block = np.searchsorted(edges, chosen, side="right") - 1
    low, high = edges[block], edges[block + 1]
    return np.asarray(low + np.floor(rng.random(chosen.size) * (high - low)), dtype=np.intp)
