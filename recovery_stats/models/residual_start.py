"""Where the search for a residual structure starts: moments of least-squares residuals."""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.lmm_pattern import Rows
from recovery_stats.engines.residual import Separable, Unstructured
from recovery_stats.models.columns import Array
from recovery_stats.models.residual_structure import Structure

BESIDE_RANDOM = 0.3  # what is left to correlate beside random effects is not known yet
FLOOR = 1e-6  # of the mean square: a level without spread still has a logarithm


def starting_values(structure: Structure, residual: Array, *, random: bool) -> Array:
    """eta from least-squares residuals (n,): spread by level, correlation of neighbours."""
    rows, engine = structure.rows, structure.residual
    near = BESIDE_RANDOM if random else _neighbours(rows, residual)
    if isinstance(engine, Unstructured):
        return _unstructured(engine, rows, residual, near)
    assert isinstance(engine, Separable)
    square = np.bincount(rows.level, residual**2, engine.levels) / np.bincount(
        rows.level, minlength=engine.levels
    )
    square = np.maximum(square, FLOOR * square.mean())
    c, family = engine.correlation.size, engine.correlation.family
    rho = near ** np.arange(1.0, c + 1.0) if family == "toeplitz" else np.full(c, near)
    if family == "free":
        row, column = np.tril_indices(len(structure.waves), -1)
        rho = near ** np.abs(row - column).astype(float)
    if family == "car1":
        rho = np.full(c, -1.0 / np.log(near))
    eta = np.tile(engine.correlation.unbounded(rho), engine.groups)
    return np.append(0.5 * np.log(square[1:] / square[0]), eta)


def _neighbours(rows: Rows, residual: Array) -> float:
    order = np.lexsort((rows.time, rows.person))
    beside = np.diff(rows.person[order]) == 0
    a, b = residual[order][:-1][beside], residual[order][1:][beside]
    size = np.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(a @ b / size if size > 0 else BESIDE_RANDOM, 0.1, 0.9))


def _unstructured(engine: Unstructured, rows: Rows, residual: Array, near: float) -> Array:
    K, G = engine.waves, engine.groups
    place = rows.group * K + rows.wave
    square = np.bincount(place, residual**2, G * K) / np.bincount(place, minlength=G * K)
    sd = np.sqrt(np.maximum(square, FLOOR * square.mean())).reshape(G, K)
    lag = np.abs(np.arange(K)[:, None] - np.arange(K))
    return engine.pack(sd[:, :, None] * sd[:, None, :] * near**lag)[0]
