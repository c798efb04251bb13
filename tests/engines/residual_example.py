"""Waves with gaps of people in sites, every residual structure, and the dense formulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import IntArray
from recovery_stats.engines.lmm_groups import RandomFactor
from recovery_stats.engines.lmm_pattern import Rows, Structured, prepare
from recovery_stats.engines.residual import Cells, Residual, Separable, Unstructured
from recovery_stats.engines.residual_correlation import Correlation, Family

Array = NDArray[np.float64]
WAVES = 4


@dataclass(frozen=True)
class Example:
    """y, X, and the columns that structures and random terms are made from."""

    X: Array
    y: Array
    person: IntArray
    wave: IntArray
    time: Array
    sex: IntArray
    site: IntArray

    @property
    def n(self) -> int:
        return len(self.y)

    def factor(self, name: str) -> RandomFactor:
        one = np.ones((self.n, 1))
        if name == "person":
            return RandomFactor(self.person, int(self.person.max()) + 1, one, ((0,),), name, ("i",))
        if name == "wave":
            return RandomFactor(self.wave, WAVES, one, ((0,),), name, ("i",))
        Z = np.column_stack([one, self.X[:, 2]])
        return RandomFactor(self.site, 6, Z, ((0, 1),), name, ("i", "x"))


def waves(people: int = 30, *, complete: bool = False, seed: int = 1) -> Example:
    rng = np.random.default_rng(seed)
    person, wave = np.repeat(np.arange(people), WAVES), np.tile(np.arange(WAVES), people)
    kept = np.ones(person.size, dtype=bool) if complete else rng.random(person.size) > 0.15
    person, wave = person[kept], wave[kept]
    person = np.unique(person, return_inverse=True)[1]
    n, m = person.size, int(person.max()) + 1
    site = person % 6
    X = np.column_stack([np.ones(n), wave, rng.normal(size=n)])
    y = X @ [1.0, 0.5, 0.3] + rng.normal(size=m)[person] + rng.normal(size=n)
    y = y + 1.5 * rng.normal(size=6)[site] + 0.8 * rng.normal(size=WAVES)[wave]
    time = wave + 0.1 * rng.normal(size=n)
    return Example(X, y, person, wave, time, person % 2, site)


# name: family, what variances differ by, groups of people, random factors
STRUCTURES: dict[str, tuple[Family | None, str, str, tuple[str, ...]]] = {
    "ar1": ("ar1", "", "", ()),
    "ar1 person": ("ar1", "", "", ("person",)),
    "ar1 by wave, site": ("ar1", "wave", "", ("site",)),
    "car1 crossed": ("car1", "", "", ("person", "wave")),
    "cs by sex": ("cs", "sex", "sex", ()),
    "csh": ("cs", "wave", "", ()),
    "toeplitz by wave": ("toeplitz", "wave", "", ()),
    "ante": ("ante", "wave", "", ("site",)),
    "free": ("free", "", "", ()),
    "heterogeneous": ("independent", "wave", "", ("person",)),
    "unstructured": (None, "", "", ()),
    "unstructured by sex": (None, "", "sex", ()),
    "unstructured, site and wave": (None, "", "", ("site", "wave")),
}


def structure(name: str, data: Example) -> tuple[Residual, Rows, list[RandomFactor]]:
    family, variance, groups, random = STRUCTURES[name]
    zero = np.zeros(data.n, dtype=np.intp)
    level = {"wave": data.wave, "sex": data.sex, "": zero}[variance]
    group = data.sex if groups else zero
    G, levels = int(group.max()) + 1, int(level.max()) + 1
    residual: Residual
    if family is None:
        residual = Unstructured(WAVES, G)
    else:
        correlation = Correlation(family, np.arange(float(WAVES)), WAVES)
        residual = Separable(correlation, levels, G, variance != "wave")
    time = data.time if family == "car1" else data.wave.astype(float)
    rows = Rows(data.person, data.wave, level, group, time)
    return residual, rows, [data.factor(f) for f in random]


def problem(name: str, data: Example, *, reml: bool) -> Structured:
    residual, rows, factors = structure(name, data)
    return prepare(data.X, data.y, factors, residual, rows, reml=reml)[0]


def dense_covariance(problem: Structured, parameters: Array) -> Array:
    """V0 (n, n), row by row."""
    L, eta = problem.unpack(parameters)
    rows = problem.rows
    same = (rows.person[:, None] == rows.person).astype(float)
    cells = Cells(rows.wave[None], rows.level[None], rows.group[None], rows.time[None], same[None])
    V = problem.residual.matrix(eta, cells)[0][0]
    for factor, Z, Lk in zip(problem.factors, problem.Z, L, strict=True):
        V = V + (Z @ Lk @ Lk.T @ Z.T) * (factor.codes[:, None] == factor.codes)
    return V


def dense_criterion(problem: Structured, parameters: Array) -> float:
    V = dense_covariance(problem, parameters)
    F = problem.F[:, problem.n_outer :]
    X, y = F[:, :-1], F[:, -1]
    inverse = np.linalg.inv(V)
    M = X.T @ inverse @ X
    e = y - X @ np.linalg.solve(M, X.T @ inverse @ y)
    r2, nu = float(e @ inverse @ e), problem.nu
    deviance = np.linalg.slogdet(V)[1] + nu * (1.0 + np.log(2.0 * np.pi * r2 / nu))
    return float(deviance + (np.linalg.slogdet(M)[1] if problem.reml else 0.0))


def kenward_roger_dense(
    covariance: object, gamma: Array, X: Array, y: Array
) -> tuple[Array, Array, Array]:
    """Phi, Kenward and Roger's adjusted Phi, Satterthwaite's df, by n by n matrices.

    covariance: a function from gamma to V (n, n); its derivatives are taken by differences.
    """
    V_of, p, r = covariance, X.shape[1], len(gamma)
    assert callable(V_of)
    V = V_of(gamma)
    inverse = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ inverse @ X)
    steps = np.eye(r) * (1e-4 * np.maximum(np.abs(gamma), 0.1))[:, None]
    first = [(V_of(gamma + s) - V_of(gamma - s)) / (2 * s.sum()) for s in steps]
    second = [
        [
            (V_of(gamma + s + t) - V_of(gamma + s - t) - V_of(gamma - s + t) + V_of(gamma - s - t))
            / (4 * s.sum() * t.sum())
            for t in steps
        ]
        for s in steps
    ]
    P = inverse - inverse @ X @ Phi @ X.T @ inverse
    pairs = [(a, b) for a in range(r) for b in range(r)]
    expected, observed, total = np.zeros((r, r)), np.zeros((r, r)), np.zeros((p, p))
    slope = [X.T @ inverse @ V1 @ inverse @ X for V1 in first]
    Py = P @ y
    for a, b in pairs:
        product = P @ first[a] @ P @ first[b]
        expected[a, b] = 0.5 * np.trace(product)
        observed[a, b] = y @ product @ Py - expected[a, b]
        observed[a, b] += 0.5 * np.trace(P @ second[a][b]) - 0.5 * Py @ second[a][b] @ Py
    W, A = np.linalg.inv(expected), np.linalg.inv(observed)
    for a, b in pairs:
        Q = X.T @ inverse @ first[a] @ inverse @ first[b] @ inverse @ X
        R = X.T @ inverse @ second[a][b] @ inverse @ X
        total += W[a, b] * (Q - slope[a] @ Phi @ slope[b] - 0.25 * R)
    df = []
    for row in np.eye(p):
        g = np.array([row @ Phi @ s @ Phi @ row for s in slope])
        df.append(2.0 * (row @ Phi @ row) ** 2 / (g @ A @ g))
    return Phi, Phi + 2.0 * Phi @ total @ Phi, np.array(df)
