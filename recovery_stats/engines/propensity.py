"""Weights that make two groups alike, and the error of a weighted difference.

A weighted mean of each arm is an estimating equation stacked on that of the weights, so that its
influence counts that the weights were estimated (Lunceford & Davidian 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.glm import Fit
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
Estimand = Literal["ate", "att", "overlap"]
MOST_STEPS, SMALLEST_MISS = 200, 1e-10


@dataclass(frozen=True, slots=True)
class Weighting:
    """Weights (n,) > 0 with what the error of a weighted mean needs.

    carried (n, k): influence of each person on the k parameters of the weights; slope (n, k):
    derivative of each weight in them.
    """

    weights: Array
    slope: Array
    carried: Array


def by_propensity(X: Array, arm: Array, fit: Fit, estimand: Estimand) -> Weighting:
    """Weights from a logistic propensity, stabilised by the share of the arm for "ate".

    X (n, p), arm (n,) 0/1, fit: of arm on X. "ate": share / chance of the own arm; "att": 1 and
    the odds e / (1 - e); "overlap": chance of the other arm. Source: Robins, Hernán & Brumback
    2000; Li, Morgan & Zaslavsky 2018. Checked: R (reference case iptw_lalonde); overlap weights
    balance the means of X exactly.
    """
    e, treated, share = fit.mu, arm == 1, arm.mean()
    if estimand == "ate":
        w = np.where(treated, share / e, (1 - share) / (1 - e))
        slope = np.where(treated, -share * (1 - e) / e, (1 - share) * e / (1 - e))
    elif estimand == "att":
        w = np.where(treated, 1.0, e / (1 - e))
        slope = np.where(treated, 0.0, e / (1 - e))
    else:
        w = np.where(treated, 1 - e, e)
        slope = np.where(treated, -1.0, 1.0) * e * (1 - e)
    carried = (fit.X_white * fit.residual_white[:, None]) @ fit.covariance
    return Weighting(w, slope[:, None] * X, carried)


def truncated(found: Weighting, most: float) -> Weighting:
    """No weight above `most`; a weight held there no longer moves with its parameters."""
    above = found.weights > most
    slope = np.where(above[:, None], 0.0, found.slope)
    return Weighting(np.minimum(found.weights, most), slope, found.carried)


def by_entropy(X: Array, arm: Array, estimand: Estimand) -> Weighting:
    """Weights nearest to equal ones that give each arm the target's means exactly.

    X (n, p): covariates without an intercept. Target: everybody ("ate") or the treated ("att").
    Weights have mean 1 in each arm. Raises NotEstimable where the target's means lie outside
    what an arm's people can be weighted to. Source: Hainmueller 2012; Zhao & Percival 2017.
    Checked: means agree to 1e-8; the weights of a two-point covariate on paper.
    """
    n, p = X.shape
    aim = np.ones(n, dtype=bool) if estimand == "ate" else arm == 1
    spread = X.std(axis=0)
    Z = (X - X[aim].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    weights, slope, carried = np.ones(n), np.zeros((n, 2 * p)), np.zeros((n, 2 * p))
    for a in (0, 1):
        own = arm == a
        if estimand == "att" and a == 1:
            continue
        columns = slice(a * p, (a + 1) * p)
        share = _tilted(Z[own])
        weights[own] = share * own.sum()
        slope[own, columns] = weights[own, None] * Z[own]
        moment = np.zeros((n, p))
        moment[own] = share[:, None] * Z[own]
        # The target's own means are estimated too: a step of theirs moves the tilt the other way.
        moment[aim] -= Z[aim] / aim.sum()
        information = (Z[own] * share[:, None]).T @ Z[own]
        carried[:, columns] = -np.linalg.lstsq(information, moment.T, rcond=None)[0].T
    return Weighting(weights, slope, carried)


def _tilted(Z: Array) -> Array:
    """Shares (m,) proportional to exp(Z lambda) with weighted means of Z zero: convex dual."""
    tilt = np.zeros(Z.shape[1])
    share, value = _shares(Z, tilt)
    for _ in range(MOST_STEPS):
        gradient = share @ Z
        if np.abs(gradient).max(initial=0.0) < SMALLEST_MISS:
            return share
        centred = Z - gradient
        step = np.linalg.lstsq((centred * share[:, None]).T @ centred, -gradient, rcond=None)[0]
        size, slope = 1.0, float(gradient @ step)
        while size > 1e-10:
            new, lower = _shares(Z, tilt + size * step)
            if lower <= value + 1e-4 * size * slope + 1e-15:
                break
            size /= 2
        tilt, share, value = tilt + size * step, new, lower
    raise NotEstimable(
        "The covariates' means in the target lie outside what one arm's people can be weighted to."
    )


def _shares(Z: Array, tilt: Array) -> tuple[Array, float]:
    eta = Z @ tilt
    top = eta.max()
    raw = np.exp(eta - top)
    return raw / raw.sum(), float(top + np.log(raw.sum()))


def weighted_means(found: Weighting, arm: Array, y: Array) -> tuple[Array, Array]:
    """Weighted means of y (usual, compared) and each person's influence on them (n, 2).

    Influences sum to zero; with the weights taken as known they are those of HC0.
    Checked: jackknife and bootstrap (tests/engines/test_propensity.py).
    """
    means, influence = np.empty(2), np.empty((len(y), 2))
    for a in (0, 1):
        own = arm == a
        total = found.weights[own].sum()
        means[a] = found.weights[own] @ y[own] / total
        left = np.where(own, y - means[a], 0.0)
        gradient = left @ found.slope / total
        influence[:, a] = found.weights * left / total + found.carried @ gradient
    return means, influence


def effective(weights: Array) -> float:
    """How many equally weighted people carry as much (Kish): (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def clustered_variance(influence: Array, cluster: NDArray[Any] | None) -> tuple[Array, int]:
    """Covariance (k, k) of what the influences (n, k) add up to, by cluster, and how many.

    G / (G - 1) times the cross-product of the clusters' sums.
    """
    if cluster is not None:
        codes = np.unique(cluster, return_inverse=True)[1]
        influence = np.column_stack([np.bincount(codes, c) for c in influence.T])
    G = len(influence)
    return G / (G - 1) * influence.T @ influence, G
