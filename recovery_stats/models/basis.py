"""Basis functions of one number: orthogonal polynomials; natural, restricted, penalised splines.

Each is learned once from the rows analysed and evaluated anywhere afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from recovery_stats.errors import NotEstimable

Array = NDArray[np.float64]

# Harrell 2015, Regression Modeling Strategies, 2nd ed., table 2.3
RCS_QUANTILES: dict[int, tuple[float, ...]] = {
    3: (0.10, 0.5, 0.90),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.5, 0.725, 0.95),
    6: (0.05, 0.23, 0.41, 0.59, 0.77, 0.95),
    7: (0.025, 0.1833, 0.3417, 0.5, 0.6583, 0.8167, 0.975),
}


AUTOMATIC_PIECES = 15


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Polynomials orthonormal over the learned values, by their three-term recurrence.

    centres (k,), norms (k + 2,). Source: Forsythe 1957. Checked: R poly().
    """

    centres: tuple[float, ...]
    norms: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        k = len(self.centres)
        P = np.empty((x.size, k + 1))
        P[:, 0] = 1.0
        before = np.zeros_like(x)
        for j in range(k):
            slope = self.norms[j + 1] / self.norms[j] if j else 0.0
            P[:, j + 1] = (x - self.centres[j]) * P[:, j] - slope * before
            before = P[:, j]
        P[:, 1:] /= np.sqrt(np.array(self.norms[2:]))
        return P[:, 1:]


@dataclass(frozen=True, slots=True)
class NaturalSpline:
    """Cubic B-splines constrained to be linear beyond `low` and `high`.

    The constraint (second derivative 0 at both ends) is removed by an orthogonal `turn`
    (k + 2, k). Source: de Boor 1978; Hastie & Tibshirani 1990. Checked: R splines::ns().
    """

    knots: tuple[float, ...]
    low: float
    high: float
    turn: tuple[tuple[float, ...], ...]

    def __call__(self, x: Array) -> Array:
        spline = _cubic(self.knots, self.low, self.high)
        inside = np.clip(x, self.low, self.high)
        B = spline(inside)
        for end, beyond in ((self.low, x < self.low), (self.high, x > self.high)):
            if beyond.any():
                B[beyond] += (x[beyond] - end)[:, None] * spline.derivative()(end)
        out: Array = B[:, 1:] @ np.array(self.turn)
        return out


@dataclass(frozen=True, slots=True)
class RestrictedSpline:
    """The number itself and k - 2 restricted truncated cubes over `knots` (k,).

    Source: Harrell 2015, eq. 2.24, scaled by the squared span of the knots. Checked: by hand.
    """

    knots: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        t = np.array(self.knots)
        span = t[-1] - t[-2]
        cube = np.maximum(x[:, None] - t, 0.0) ** 3 / (t[-1] - t[0]) ** 2
        bent = (
            cube[:, :-2]
            - cube[:, [-2]] * (t[-1] - t[:-2]) / span
            + cube[:, [-1]] * (t[-2] - t[:-2]) / span
        )
        return np.column_stack([x, bent])


@dataclass(frozen=True, slots=True)
class PenalisedSpline:
    """Cubic B-splines on `pieces` equal intervals from `low` to `high`, for a penalised fit.

    The first of them is left out (a constant is the baseline's), so its coefficient is 0; the
    spline goes on as a straight line beyond both ends. df: the effective degrees of freedom
    that are wanted; 0 leaves them to Akaike's criterion.
    Source: Eilers & Marx 1996. Checked: R survival::pspline().
    """

    low: float
    high: float
    pieces: int
    df: float

    def __call__(self, x: Array) -> Array:
        width = (self.high - self.low) / self.pieces
        knots = self.low + width * np.arange(-3, self.pieces + 4)
        spline = BSpline(knots, np.eye(self.pieces + 3), 3)
        out = spline(np.clip(x, self.low, self.high))
        for end, beyond in ((self.low, x < self.low), (self.high, x > self.high)):
            if beyond.any():
                out[beyond] += (x[beyond] - end)[:, None] * spline.derivative()(end)
        return np.asarray(out[:, 1:])

    @property
    def penalty(self) -> Array:
        """Sum of squared second differences of the coefficients as a matrix."""
        D = np.diff(np.eye(self.pieces + 3), n=2, axis=0)
        return np.asarray((D.T @ D)[1:, 1:])

    @property
    def centres(self) -> Array:
        """Where each B-spline has its middle, but for a constant."""
        return np.arange(1.0, self.pieces + 3) * (self.high - self.low) / self.pieces


Basis = Polynomial | NaturalSpline | RestrictedSpline | PenalisedSpline


def learn(kind: str, x: Array, size: float) -> Basis:
    """Learn poly, ns, rcs or pspline with `size` (degree, df, knots, df) from x (n,).

    Raises NotEstimable when x has too few distinct values.
    """
    if kind == "pspline":
        return _penalised(x, size)
    size = int(size)
    need = {"poly": size + 1, "ns": size + 1, "rcs": size}[kind]
    distinct = np.unique(x).size
    if distinct < need:
        raise NotEstimable(
            f"{kind}(…, {size}) needs {need} distinct values; the column has {distinct}."
        )
    learners: dict[str, Callable[[Array, int], Basis]] = {
        "poly": _polynomial,
        "ns": _natural,
        "rcs": _restricted,
    }
    return learners[kind](x, size)


def _penalised(x: Array, df: float) -> PenalisedSpline:
    low, high = float(x.min()), float(x.max())
    distinct = np.unique(x).size
    if distinct < max(df + 1, 4):
        raise NotEstimable(
            f"pspline(…, {df:g}) needs {max(df + 1, 4):g} distinct values; the column has "
            f"{distinct}."
        )
    return PenalisedSpline(low, high, round(2.5 * df) if df else AUTOMATIC_PIECES, df)


def _polynomial(x: Array, degree: int) -> Polynomial:
    centres, norms = [float(x.mean())], [1.0, float(x.size)]
    before, p = np.ones_like(x), x - x.mean()
    for j in range(1, degree + 1):
        norms.append(float(p @ p))
        if j < degree:
            centres.append(float((x * p) @ p / norms[-1]))
            before, p = p, (x - centres[-1]) * p - norms[-1] / norms[-2] * before
    return Polynomial(tuple(centres), tuple(norms))


def _natural(x: Array, df: int) -> NaturalSpline:
    low, high = float(x.min()), float(x.max())
    knots = tuple(map(float, np.quantile(x, np.linspace(0, 1, df + 1)[1:-1])))
    bends = _cubic(knots, low, high).derivative(2)(np.array([low, high]))[:, 1:]
    Q, _ = np.linalg.qr(bends.T, mode="complete")
    return NaturalSpline(knots, low, high, tuple(map(tuple, Q[:, 2:].tolist())))


def _cubic(knots: tuple[float, ...], low: float, high: float) -> BSpline:
    t = np.concatenate([[low] * 4, knots, [high] * 4])
    return BSpline(t, np.eye(len(knots) + 4), 3)


def _restricted(x: Array, k: int) -> RestrictedSpline:
    knots = np.quantile(x, RCS_QUANTILES[k])
    if np.unique(knots).size < k:
        raise NotEstimable(f"rcs(…, {k}): the values are so tied that knots coincide; use fewer.")
    return RestrictedSpline(tuple(map(float, knots)))
