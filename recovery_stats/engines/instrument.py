"""One instrument, one treatment: the ratio of two differences, its error, its bounds.

Take X = (Z, W), the instrument and covariates. A regression of the outcome on X gives gamma for
Z, a regression of the treatment pi; the effect among compliers is gamma / pi (Wald 1940; two-stage
least squares where there are covariates). For any value b, y - b d regressed on X has gamma - b pi
for Z, and its cluster-robust variance is a quadratic in b. So the values b that this test does not
reject (Anderson & Rubin 1949) are where a quadratic is below 0: an interval, all but an interval,
or everything. It keeps its level however weak the instrument, which the Wald interval does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from recovery_stats.engines.glm import least_squares
from recovery_stats.engines.robust import Kind, sandwich
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
Shape = Literal["interval", "outside", "everything"]


@dataclass(frozen=True, slots=True)
class TwoStage:
    """gamma, pi: differences in outcome and treatment by the instrument, with joint covariance.

    covariance (2, 2): of (gamma, pi), cluster-robust. df: Satterthwaite's, of either.
    """

    gamma: float
    pi: float
    covariance: Array
    df: float

    @property
    def effect(self) -> float:
        """gamma / pi."""
        return self.gamma / self.pi

    @property
    def se(self) -> float:
        """Standard error of the effect: that of gamma - effect pi, over pi."""
        c = np.array([1.0, -self.effect])
        return float(np.sqrt(c @ self.covariance @ c) / abs(self.pi))

    @property
    def first_stage_f(self) -> float:
        """F of the instrument in the treatment's regression, robust, on 1 and df."""
        return float(self.pi**2 / self.covariance[1, 1])

    def test(self, b: float) -> float:
        """Anderson and Rubin's p that the effect is b."""
        c = np.array([1.0, -b])
        spread = float(np.sqrt(c @ self.covariance @ c))
        return float(2.0 * student.sf(abs(self.gamma - b * self.pi) / spread, self.df))

    def accepted(self, level: float) -> AndersonRubin:
        """Every effect that the test does not reject."""
        t2 = float(student.isf(0.5 * (1.0 - level), self.df)) ** 2
        V = self.covariance
        a = self.pi**2 - t2 * V[1, 1]
        b = -2.0 * (self.gamma * self.pi - t2 * V[0, 1])
        c = self.gamma**2 - t2 * V[0, 0]
        inside = b * b - 4.0 * a * c
        # The estimate is never rejected, so that with a > 0 there are always two roots.
        if inside < 0.0 or a == 0.0:
            return AndersonRubin(-np.inf, np.inf, "everything")
        q = -0.5 * (b + np.copysign(np.sqrt(inside), b))
        low, high = sorted((q / a, c / q if q else 0.0))
        return AndersonRubin(float(low), float(high), "interval" if a > 0 else "outside")


@dataclass(frozen=True, slots=True)
class AndersonRubin:
    """ "interval": low to high; "outside": up to low and from high on; "everything": no limit."""

    low: float
    high: float
    shape: Shape


def two_stage(
    y: Array,
    d: Array,
    X: Array,
    column: int,
    cluster: NDArray[Any] | None = None,
    *,
    weights: Array | None = None,
    kind: Kind = "CR2",
) -> TwoStage:
    """Both regressions on X (n, p), whose `column` is the instrument; y, d (n,).

    cluster (n,) labels or None: independent rows; weights (n,) > 0.
    Raises NotEstimable where the instrument does not move the treatment at all.
    Checked: Wald's ratio without covariates; dense 2SLS; R AER (script in tests).
    """
    fits = [least_squares(X, v, weights=weights) for v in (y, d)]
    robust = [sandwich(X, f.residual_white, cluster, weights=weights, kind=kind) for f in fits]
    gamma, pi = (float(f.beta[column]) for f in fits)
    scale = float(np.ptp(d))
    if not scale or abs(pi) < 1e-12 * scale:
        raise NotEstimable(
            "The treatment taken does not differ between the arms, so that assignment says nothing "
            "of its effect."
        )
    U = np.column_stack([r.influence[:, column] for r in robust])
    return TwoStage(gamma, pi, U.T @ U, robust[0].df(np.eye(X.shape[1])[column]))


# --- no assumption but the instrument's ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of P(Y=1 if all treated) - P(Y=1 if none), and whether an instrument is possible.

    worst: the largest of Pearl's sums, sum over y of the highest P(y, d | z); above 1 no
    instrument could have produced the table.
    """

    low: float
    high: float
    worst: float


def balke_pearl(p: Array) -> Bounds:
    """Sharp bounds of the average effect of a binary treatment with a binary instrument.

    p (2, 2, 2): P(Y=y, D=d | Z=z) at [y, d, z], summing to 1 for each z. Nothing is assumed of
    who complies. Source: Balke & Pearl 1997, eq. 8; Pearl 1995 for the instrumental inequality.
    Checked: linear programme over the 16 kinds of people; vitamin A trial, -0.1946 to 0.0054.
    """
    q = {(y, d, z): float(p[y, d, z]) for y in (0, 1) for d in (0, 1) for z in (0, 1)}

    def v(y: int, d: int, z: int) -> float:
        return q[y, d, z]

    low = max(
        v(1, 1, 1) + v(0, 0, 0) - 1.0,
        v(1, 1, 0) + v(0, 0, 1) - 1.0,
        v(1, 1, 0) - v(1, 1, 1) - v(1, 0, 1) - v(0, 1, 0) - v(1, 0, 0),
        v(1, 1, 1) - v(1, 1, 0) - v(1, 0, 0) - v(0, 1, 1) - v(1, 0, 1),
        -v(0, 1, 1) - v(1, 0, 1),
        -v(0, 1, 0) - v(1, 0, 0),
        v(0, 0, 1) - v(0, 1, 1) - v(1, 0, 1) - v(0, 1, 0) - v(0, 0, 0),
        v(0, 0, 0) - v(0, 1, 0) - v(1, 0, 0) - v(0, 1, 1) - v(0, 0, 1),
    )
    high = min(
        1.0 - v(0, 1, 1) - v(1, 0, 0),
        1.0 - v(0, 1, 0) - v(1, 0, 1),
        -v(0, 1, 0) + v(0, 1, 1) + v(0, 0, 1) + v(1, 1, 0) + v(0, 0, 0),
        -v(0, 1, 1) + v(1, 1, 1) + v(0, 0, 1) + v(0, 1, 0) + v(0, 0, 0),
        v(1, 1, 1) + v(0, 0, 1),
        v(1, 1, 0) + v(0, 0, 0),
        -v(1, 0, 1) + v(1, 1, 1) + v(0, 0, 1) + v(1, 1, 0) + v(1, 0, 0),
        -v(1, 0, 0) + v(1, 1, 0) + v(0, 0, 0) + v(1, 1, 1) + v(1, 0, 1),
    )
    worst = max(float(p[:, d, :].max(axis=1).sum()) for d in (0, 1))
    return Bounds(low, high, worst)


@dataclass(frozen=True, slots=True)
class Compliance:
    """Who does what, if nobody does the opposite of the assignment (Angrist, Imbens & Rubin 1996).

    compliers, always, never: shares. treated, untreated: mean outcome of compliers in the two
    arms, outside 0 to 1 where the assumptions or the sample do not allow it.
    """

    compliers: float
    always: float
    never: float
    treated: float
    untreated: float


def compliance(y: Array, d: Array, z: Array) -> Compliance:
    """Shares by what happened in each arm; means of compliers (Imbens & Rubin 1997).

    y (n,) any outcome; d, z (n,) 0/1. The difference of the two means is Wald's ratio.
    """
    always, taken = float(d[z == 0].mean()), float(d[z == 1].mean())
    share = taken - always
    treated = float((y * d)[z == 1].mean() - (y * d)[z == 0].mean()) / share
    untreated = float((y * (1 - d))[z == 0].mean() - (y * (1 - d))[z == 1].mean()) / share
    return Compliance(share, always, 1.0 - taken, treated, untreated)
