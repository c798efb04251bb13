"""Two arms where missing outcomes differ from the rest by a stated amount.

A pattern-mixture model: among people whose outcome is seen it follows a model in arm and
covariates; among the others the same, shifted by `shift` on the scale of its linear predictor (a
number of units of a number, a log odds ratio of a yes or no: the informative missingness odds
ratio). Missing outcomes are replaced by what that expects, a model is fitted to everybody, and its
predictions are averaged in each arm. Errors follow from both equations at once, so that nothing is
drawn at random.

Source: White, Carpenter & Horton 2018 (Stat Sinica 28:1985), mean score; White, Higgins & Wood
2008 (Stat Med 27:711), informative missingness odds ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.engines.glm import least_squares, logistic
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
Family = Literal["binomial", "gaussian"]


@dataclass(frozen=True, slots=True)
class MeanScore:
    """means (2,): without and with the arm. covariance (2, 2). df of a t interval."""

    means: Array
    covariance: Array
    df: float

    @property
    def difference(self) -> float:
        return float(self.means[1] - self.means[0])

    @property
    def se(self) -> float:
        """Of the difference."""
        c = np.array([-1.0, 1.0])
        return float(np.sqrt(c @ self.covariance @ c))


def mean_score(
    y: Array, X: Array, arm: int, shift: Array, family: Family, *,
    cluster: NDArray[Any] | None = None, weights: Array | None = None,
) -> MeanScore:  # fmt: skip
    """Means of both arms, standardised over everybody.

    y (n,), nan where missing; X (n, p), `arm` its column of 0/1; shift (n,), inf or -inf allowed
    for "binomial" (everybody missing had it, nobody had it). cluster (n,) codes, summed over.
    Raises Separation or NotEstimable where the outcome seen determines no model.
    Checked: shift 0 is the complete-case fit; infinite shifts are single values; the closed form
    of White & Higgins without covariates; simulation (tests/engines/test_mean_score.py).
    """
    seen = np.isfinite(y)
    n, p = X.shape
    if seen.sum() <= p:
        raise NotEstimable(f"{int(seen.sum())} outcomes cannot estimate {p} coefficients.")
    w = np.ones(n) if weights is None else weights
    first = _fit(X[seen], y[seen], w[seen], family)
    filled, slope = _mean(X @ first + shift, family)
    filled = np.where(seen, y, filled)
    beta = _fit(X, filled, w, family)
    means, each = _standardised(X, beta, arm, w, family)
    own = _first_influence(X, y, w, seen, first, family)
    carried = (X * (w * ~seen * slope)[:, None]).T @ X
    mu, speed = _mean(X @ beta, family)
    score = X * (w * (filled - mu))[:, None] + own @ carried.T
    second = np.linalg.solve((X * (w * speed)[:, None]).T @ X, score.T).T
    influence = each + second @ _gradients(X, beta, arm, w, family).T
    return _gathered(means, influence, cluster, int(seen.sum()), p)


def _fit(X: Array, y: Array, w: Array, family: Family) -> Array:
    found = logistic(X, y, weights=w) if family == "binomial" else least_squares(X, y, weights=w)
    return found.beta


def _mean(eta: Array, family: Family) -> tuple[Array, Array]:
    """Mean and its derivative in the linear predictor."""
    if family == "gaussian":
        return eta, np.ones(len(eta))
    mu: Array = expit(eta)
    return mu, mu * (1 - mu)


def _first_influence(
    X: Array, y: Array, w: Array, seen: NDArray[np.bool_], beta: Array, family: Family
) -> Array:
    """What each person adds to the error of the model of those seen (n, p)."""
    mu, speed = _mean(X @ beta, family)
    residual = np.where(seen, np.where(seen, y, 0.0) - mu, 0.0)
    bread = (X * (w * speed * seen)[:, None]).T @ X
    return np.asarray(np.linalg.solve(bread, (X * (w * residual)[:, None]).T).T)


def _in_arm(X: Array, arm: int, value: float) -> Array:
    moved = X.copy()
    moved[:, arm] = value
    return moved


def _standardised(X: Array, beta: Array, arm: int, w: Array, family: Family) -> tuple[Array, Array]:
    """The two means, and what each person adds to their error by being in the sample (n, 2)."""
    share = w / w.sum()
    P = np.column_stack([_mean(_in_arm(X, arm, a) @ beta, family)[0] for a in (0.0, 1.0)])
    means = share @ P
    return means, share[:, None] * (P - means)


def _gradients(X: Array, beta: Array, arm: int, w: Array, family: Family) -> Array:
    """Of the two means in the coefficients (2, p)."""
    rows = []
    for value in (0.0, 1.0):
        moved = _in_arm(X, arm, value)
        rows.append((w / w.sum() * _mean(moved @ beta, family)[1]) @ moved)
    return np.array(rows)


def _gathered(
    means: Array, influence: Array, cluster: NDArray[Any] | None, seen: int, p: int
) -> MeanScore:
    """Sums within clusters, with the usual corrections for few of them."""
    if cluster is None:
        factor, df = seen / (seen - p), float(seen - p)
    else:
        ids = np.unique(cluster, return_inverse=True)[1]
        influence = np.column_stack([np.bincount(ids, column) for column in influence.T])
        G = len(influence)
        factor, df = G / (G - 1), float(max(min(G - 2, seen - p), 1))
    return MeanScore(means, factor * influence.T @ influence, df)
