"""Small mixed-model data sets of every structure, and the dense formulas they are checked with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.lmm import RandomFactor

Array = NDArray[np.float64]


def crossed(n: int, levels: int, rng: np.random.Generator) -> Array:
    codes = np.concatenate([np.arange(levels), rng.integers(levels, size=n - levels)])
    return rng.permutation(codes)


def example(kind: str, seed: int = 1) -> tuple[Array, Array, list[RandomFactor]]:
    rng = np.random.default_rng(seed)
    n, m = 130, 18
    g = crossed(n, m, rng)
    t, x = rng.normal(size=n), rng.normal(size=n)
    X = np.column_stack([np.ones(n), t, x])
    one = np.ones((n, 1))
    slope = np.column_stack([np.ones(n), t])
    wide = np.column_stack([np.ones(n), t, x])
    h = crossed(n, 7, rng)
    site = np.arange(m) % 6  # each person in one site
    full = ((0, 1),)
    factors = {
        "intercept": [RandomFactor(g, m, one, ((0,),))],
        "slope": [RandomFactor(g, m, slope, full)],
        "uncorrelated": [RandomFactor(g, m, slope, ((0,), (1,)))],
        "three": [RandomFactor(g, m, wide, ((0, 1, 2),))],
        "mixed blocks": [RandomFactor(g, m, wide, ((0, 2), (1,)))],
        "crossed": [RandomFactor(h, 7, one, ((0,),)), RandomFactor(g, m, one, ((0,),))],
        "crossed slopes": [RandomFactor(h, 7, slope, full), RandomFactor(g, m, slope, full)],
        "nested": [RandomFactor(site[g], 6, slope, full), RandomFactor(g, m, slope, full)],
        "three factors": [
            RandomFactor(site[g], 6, one, ((0,),)),
            RandomFactor(g, m, slope, full),
            RandomFactor(h, 7, slope, ((0,), (1,))),
        ],
    }[kind]
    y = X @ [1.0, 0.5, -0.3] + rng.normal(size=n)
    for f in factors:
        b = rng.normal(size=(f.levels, f.q)) * [1.5, 1.1, 0.9][: f.q]
        y = y + (f.Z * b[f.codes]).sum(1)
    return X, y, factors


KINDS = [
    "intercept",
    "slope",
    "uncorrelated",
    "three",
    "mixed blocks",
    "crossed",
    "crossed slopes",
    "nested",
    "three factors",
]


def covariance_of(factors: list[RandomFactor], psi: list[Array], n: int) -> Array:
    """V0 - I: the dense n x n sum of Z Psi Z' over pairs of rows of one level."""
    V = np.zeros((n, n))
    for f, P in zip(factors, psi, strict=True):
        V += (f.Z @ P @ f.Z.T) * (f.codes[:, None] == f.codes)
    return V


def dense(
    X: Array, y: Array, factors: list[RandomFactor], psi: list[Array], *, reml: bool
) -> tuple[float, Array, float, Array]:
    """Criterion, beta, s2 and covariance by V⁻¹."""
    n, p = X.shape
    V = np.eye(n) + covariance_of(factors, psi, n)
    W = np.linalg.inv(V)
    G = X.T @ W @ X
    beta = np.linalg.solve(G, X.T @ W @ y)
    r2 = (y - X @ beta) @ W @ (y - X @ beta)
    nu = n - p if reml else n
    criterion = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * r2 / nu))
    criterion += np.linalg.slogdet(G)[1] if reml else 0.0
    return criterion, beta, r2 / nu, r2 / nu * np.linalg.inv(G)
