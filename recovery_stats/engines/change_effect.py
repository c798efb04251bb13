"""Effect on the treated from two measurements of treated and comparison units.

The change of comparison units, made comparable by regression, by weighting or by both, stands
for the change of the treated without treatment. Every estimate comes with the influence of each
unit, its estimated models included, so that any clustering and any sum of effects follows.
Source: Heckman, Ichimura & Todd 1997 (regression); Abadie 2005 with weights summing to one
(weighting); Sant'Anna & Zhao 2020, section 3.1 (doubly robust).
Checked: means on paper, the jackknife, the csdid package (tests/engines/test_staggered.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.glm import Separation, dependent_columns, logistic
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Method = Literal["dr", "regression", "ipw"]

OVERLAP = 0.999  # a comparison unit this sure to be treated would weigh a thousand others


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """value: the effect on the treated. influence (n,): its variance is their sum of squares."""

    value: float
    influence: Array


@dataclass(frozen=True, slots=True)
class _Part:
    """An estimated quantity and the influence (n,) of each unit, summing to zero."""

    value: float
    influence: Array


def change_effect(
    change: Array, treated: Flags, X: Array, w: Array, method: Method
) -> ChangeEffect:
    """Mean change of the treated beyond what like units without treatment changed.

    change, w (n,): w > 0, any scale. treated (n,). X (n, p): a column of ones, then covariates;
    with the ones alone every method is the difference of two mean changes.
    Raises NotEstimable where covariates tell the treated from the others for certain, where
    columns of X depend on each other among the comparison units, or nobody overlaps.
    """
    w = w / w.sum()
    if X.shape[1] == 1:
        return _minus(_mean(change, w * treated), _mean(change, w * ~treated))
    fit = None if method == "ipw" else _Outcome.of(change, treated, X, w)
    rest = change if fit is None else change - X @ fit.beta
    kept = _mean(rest, w * treated)
    if fit is not None:
        kept = _through(kept, -fit.influence, _mean_of(X, w * treated))
    if method == "regression":
        return ChangeEffect(kept.value, kept.influence)
    chance = _Chance.of(treated, X, w)
    odds = w * chance.odds * ~treated
    other = _mean(rest, odds)
    slope = ((odds * (rest - other.value)) @ X) / odds.sum()
    other = _through(other, chance.influence, slope)
    if fit is not None:
        other = _through(other, -fit.influence, _mean_of(X, odds))
    return _minus(kept, other)


def _minus(a: _Part, b: _Part) -> ChangeEffect:
    return ChangeEffect(a.value - b.value, a.influence - b.influence)


def _mean(x: Array, w: Array) -> _Part:
    """Weighted mean, and its influence."""
    value = float(w @ x / w.sum())
    return _Part(value, w * (x - value) / w.sum())


def _mean_of(X: Array, w: Array) -> Array:
    return np.asarray(w @ X / w.sum())


def _through(part: _Part, influence: Array, slope: Array) -> _Part:
    """Add what comes through estimated coefficients of influence (n, p), by the chain rule."""
    return _Part(part.value, part.influence + influence @ slope)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Regression of the change on X among comparison units: beta (p,), influence (n, p)."""

    beta: Array
    influence: Array

    @classmethod
    def of(cls, change: Array, treated: Flags, X: Array, w: Array) -> _Outcome:
        if dependent_columns(X[~treated]):
            raise NotEstimable("covariates depend on each other among the comparison units")
        v = w * ~treated
        bread = np.linalg.inv((X * v[:, None]).T @ X)
        beta = bread @ (X.T @ (v * change))
        return cls(beta, (v * (change - X @ beta))[:, None] * X @ bread)


@dataclass(frozen=True, slots=True)
class _Chance:
    """Logistic model of being treated: odds (n,), influence (n, p) of its coefficients."""

    odds: Array
    influence: Array

    @classmethod
    def of(cls, treated: Flags, X: Array, w: Array) -> _Chance:
        if dependent_columns(X):
            raise NotEstimable("covariates depend on each other")
        try:
            mu = logistic(X, treated.astype(float), weights=w * len(w)).mu
        except Separation:
            raise NotEstimable("covariates tell the treated from the others for certain") from None
        if (mu[~treated] >= OVERLAP).any():
            raise NotEstimable("a comparison unit is as good as certain to be treated")
        bread = np.linalg.inv((X * (w * mu * (1 - mu))[:, None]).T @ X)
        return cls(mu / (1 - mu), (w * (treated - mu))[:, None] * X @ bread)
