"""Means of neighbouring values: bins for a drawing that shows no single one.

A normal-scores plot of single residuals gives every residual back; the means of bins of sorted
residuals show the same shape. Under normality the mean of the values between two quantiles is
known in closed form, and so is its error: a mean of sorted values has the influence function of
a trimmed mean, the value held between the two quantiles.
Sources: Huber & Ronchetti 2009, ch. 3 (trimmed means). Checked: integrals, one bin, simulation
(tests/engines/test_normal_score.py).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from recovery_stats.engines.linalg import Array, IntArray

LEAST = 20  # values of a bin
MOST_BINS = 20
DIGITS = 9  # to which values are alike: the last bits differ between processors


def bins_of(n: int) -> int:
    """Bins of equal size for n values: one for each LEAST of them, MOST_BINS at most."""
    return min(n // LEAST, MOST_BINS)


def bins_along(x: Array, bins: int) -> IntArray:
    """The bin (n,) of each row, of about equal size along x (n,); equal values share a bin.

    Bins are numbered from 0 without a gap; there are fewer where x has few values.
    """
    scale = float(np.abs(x).max()) or 1.0
    alike = np.round(x / scale, DIGITS)
    before = np.searchsorted(np.sort(alike), alike)  # rows below: those alike begin together
    return np.asarray(np.unique(before * bins // x.size, return_inverse=True)[1], np.intp)


def bins_in_order(values: Array, bins: int) -> IntArray:
    """The bin (n,) of each value, of equal size from the smallest to the largest."""
    place = np.empty(values.size, np.intp)
    place[np.argsort(values, kind="stable")] = np.arange(values.size)
    return place * bins // values.size


def expected(sizes: IntArray) -> tuple[Array, Array]:
    """Mean and standard error of each bin of a sorted standard normal sample.

    sizes (k,): values of the bins from the smallest on.
    """
    n = int(sizes.sum())
    p = np.concatenate([[0.0], np.cumsum(sizes) / n])
    z = ndtri(p)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    width = np.diff(p)
    mean = -np.diff(density) / width
    return mean, np.sqrt(_held_variance(z, p, density)) / (width * np.sqrt(n))


def _held_variance(z: Array, p: Array, density: Array) -> Array:
    """Variance of a standard normal held between neighbouring z."""
    finite = np.where(np.isfinite(z), z, 0.0)  # beyond the ends nothing is held
    low, high = finite[:-1], finite[1:]
    below, above = p[:-1], 1.0 - p[1:]
    first = low * below + density[:-1] - density[1:] + high * above
    inside = np.diff(p) + low * density[:-1] - high * density[1:]
    second = low**2 * below + inside + high**2 * above
    return np.maximum(second - first**2, 0.0)


def two_sided(error: Array, level: float) -> Array:
    """Half of the width of normal intervals."""
    return np.asarray(error * ndtri((1 + level) / 2))
