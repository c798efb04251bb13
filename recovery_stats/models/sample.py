"""The people of two arms as arrays: outcome, arm, covariates, clusters, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.glm import dependent_columns
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.design import build_design
from recovery_stats.models.formula import quote

Array = NDArray[np.floating[Any]]

INTERCEPT, ARM = 0, 1  # columns of Sample.X
SMALLEST_STRATUM = 5  # people in each arm of a stratum with a coefficient of its own


@dataclass(frozen=True, slots=True)
class Sample:
    """People in two arms, as arrays.

    y (n,): outcome, 0/1 for a binary one. X (n, p): intercept, arm (0/1), then covariates, each
    centred; names (p,) as the messages call them. cluster (n,) codes, or None: people are
    independent. weights (n,) > 0 or None.
    """

    y: Array
    X: Array
    names: tuple[str, ...]
    cluster: NDArray[Any] | None = None
    weights: Array | None = None

    @property
    def arm(self) -> Array:
        return self.X[:, ARM]

    def alone(self) -> Sample:
        """The same people, taken to be independent of each other."""
        return replace(self, cluster=None)

    def crude(self) -> Sample:
        """The same people without covariates."""
        return replace(self, X=self.X[:, : ARM + 1], names=self.names[: ARM + 1])

    def where(self, kept: NDArray[np.bool_]) -> Sample:
        """Some of the people; covariates that no longer vary among them are left out."""
        X = self.X[kept]
        gone = set(dependent_columns(X)) - {INTERCEPT, ARM}
        columns = [j for j in range(X.shape[1]) if j not in gone]
        return Sample(
            self.y[kept],
            X[:, columns],
            tuple(self.names[j] for j in columns),
            None if self.cluster is None else self.cluster[kept],
            None if self.weights is None else self.weights[kept],
        )

    def stratified(self, strata: NDArray[Any] | None = None) -> Sample:
        """A coefficient for each stratum; strata default to the clusters.

        Clusters that are the strata are no longer clusters: people within one are independent.
        Strata too thin for a coefficient (fewer than five people in an arm, or an outcome that
        does not vary) are taken together, so that none runs away.
        Raises NotEstimable where the arms meet in no stratum.
        """
        by = self.cluster if strata is None else strata
        if by is None:
            return self
        ids = _strata(by, self.arm)
        ids = np.where(np.isin(ids, np.flatnonzero(self.thin(ids))), -1, ids)
        dummies = np.column_stack([ids == g for g in np.unique(ids)]).astype(float)[:, 1:]
        X = np.column_stack([self.X, dummies - dummies.mean(axis=0)])
        names = (*self.names, *("stratum",) * dummies.shape[1])
        cluster = None if strata is None else self.cluster
        return replace(self, X=X, names=names, cluster=cluster).where(np.ones(len(X), dtype=bool))

    def thin(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which strata (codes from 0) are too thin for a coefficient of their own."""
        every = range(ids.max() + 1)
        return np.array([_is_thin(self.y[ids == g], self.arm[ids == g]) for g in every])

    def between(self, strata: NDArray[Any]) -> Sample:
        """The means of arm and covariates in each stratum in place of a coefficient for each.

        For strata too many to have a column each. In a linear model the other coefficients are
        those with one for every stratum, whatever the outcome is like within it; in a logistic one
        nearly so. Errors must then be by stratum, or by something larger.
        Source: Mundlak 1978; Wooldridge 2010, section 10.7.3. Checked: against a column each.
        """
        ids = _strata(strata, self.arm)
        w = np.ones(len(ids)) if self.weights is None else self.weights
        sums = np.zeros((ids.max() + 1, self.X.shape[1] - 1))
        np.add.at(sums, ids, self.X[:, ARM:] * w[:, None])
        means = (sums / np.bincount(ids, w)[:, None])[ids]
        X = np.column_stack([self.X, means - means.mean(axis=0)])
        names = (*self.names, *(f"mean of {n} in the stratum" for n in self.names[ARM:]))
        return replace(self, X=X, names=names).where(np.ones(len(X), dtype=bool))


def _strata(by: NDArray[Any], arm: Array) -> NDArray[np.intp]:
    """Codes from 0; NotEstimable where each stratum has people of one arm only."""
    ids = np.unique(by, return_inverse=True)[1]
    size, compared = np.bincount(ids), np.bincount(ids, arm)
    if not np.any((compared > 0) & (compared < size)):
        raise NotEstimable(
            f"In each of the {len(size)} strata there are people of one arm only: within them "
            "nothing can be compared. Name what people were drawn within, or leave the strata out."
        )
    return ids


def _is_thin(y: Array, arm: Array) -> bool:
    smallest = min(np.sum(arm == 0), np.sum(arm == 1))
    return bool(smallest < SMALLEST_STRATUM or np.ptp(y) == 0)


def read_sample(
    data: Dataset,
    outcome: str,
    arm: str,
    adjust: Sequence[str] = (),
    *,
    cluster: NDArray[Any] | None = None,
    weights: str | None = None,
) -> Sample:
    """Arrays of complete rows; `outcome` and `arm` (0/1) are numbers, `adjust` any columns.

    Raises NotEstimable naming a covariate that the others determine, DataError for a weight
    that is not above zero.
    """
    frame = data.frame
    y, treated = frame[outcome].to_numpy(float), frame[arm].to_numpy(float)
    design = build_design(" + ".join(["~ 1", *map(quote, adjust)]), data)
    covariates = design.X[:, 1:]
    X = np.column_stack([np.ones(len(y)), treated, covariates - covariates.mean(axis=0)])
    named = ("Intercept", arm, *design.names[1:])
    if gone := dependent_columns(X):
        raise NotEstimable(
            f"Covariate {named[gone[0]]!r} is constant, or determined by the arm and the other "
            f"covariates, in the {len(y)} complete rows; take it out of 'adjust'."
        )
    return Sample(y, X, named, cluster, _weights(data, weights))


def _weights(data: Dataset, column: str | None) -> Array | None:
    if column is None:
        return None
    weights: Array = data.frame[column].to_numpy(float)
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        rows = data.frame.index[wrong].tolist()
        raise DataError(
            f"Weight {column!r} is zero, negative or infinite in {len(rows)} rows, the first of "
            f"them row {rows[0]}; weights must be above zero."
        )
    return weights
