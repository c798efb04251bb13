"""Doubly robust comparison of two groups: right if the propensity or the outcome model is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count, Share
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.doubly_robust import cross_fit, folds_of
from recovery_stats.engines.propensity import Array
from recovery_stats.errors import UsageError
from recovery_stats.models.arm_means import (
    careful_covariance,
    contrasts,
    effect_table,
    fewest_clusters,
    is_binary,
)
from recovery_stats.models.propensity import propensity_weights
from recovery_stats.models.propensity_check import EXPLORATORY
from recovery_stats.models.risk import estimate

BOUND = 0.01


@dataclass(frozen=True, slots=True, repr=False)
class DoublyRobust:
    """Effects (difference first) over people, with how they were cross-fitted.

    held: most propensities held at the bound in any repeat. clusters: of the arm that is in fewer
    of them; 0 where people are alone.
    """

    effects: tuple[Estimate, ...]
    n: int
    clusters: int
    folds: int
    repeats: int
    held: int

    def estimates(self, *, level: float = 0.95) -> tuple[Estimate, ...]:
        """The effects with intervals at `level`."""
        return tuple(_at(e, level) for e in self.effects)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """A row for each effect; errors of ratios are on the log scale."""
        return effect_table(self.estimates(level=level))

    def glance(self) -> pd.DataFrame:
        """People, clusters, folds, repeats, propensities held at the bound."""
        names = ["n_obs", "n_groups", "folds", "repeats", "held"]
        row = (self.n, self.clusters, self.folds, self.repeats, self.held)
        return pd.DataFrame([row], columns=names)

    def checks(self) -> tuple[Check, ...]:
        """Number of clusters, and propensities held at the bound."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        if self.clusters:
            yield Check(
                "weighted clusters", "caution" if self.clusters < EXPLORATORY else "ok",
                (Count(self.clusters, "clusters"), " clusters hold the group that is in "
                 f"fewer: errors are exploratory under {EXPLORATORY}."),
            )  # fmt: skip
        yield Check(
            "large weights", "caution" if self.held else "ok",
            (Share(self.held, self.n), f" had a propensity beyond {BOUND} or {1 - BOUND} and were "
             "held there."),
        )  # fmt: skip

    def __repr__(self) -> str:
        first = self.effects[0]
        return f"<DoublyRobust: {first.name} {first.value:.4g} ± {first.se:.2g}, {self.n} people>"


def doubly_robust(
    outcome: str,
    treatment: str,
    data: pd.DataFrame | Dataset,
    *,
    cluster: str | None = None,
    folds: int = 5,
    repeats: int = 5,
    seed: int = 1,
) -> DoublyRobust:
    """Average effect by augmented inverse-propensity weighting: `treated ~ covariates`.

    outcome: a column, 0/1 or a number, predicted in each arm from the same covariates. Models
    are fitted without the fold they predict; folds and errors are by cluster, as in
    `arm_means.careful_covariance`. Repeated over `repeats` divisions, whose median is given with
    an error that counts how they differ (Chernozhukov et al. 2018, section 3.4).
    Raises as `propensity_weights`. Checked: see engines.doubly_robust.
    """
    if folds < 2 or repeats < 1:
        raise UsageError("folds is at least 2, repeats at least 1.")
    model = propensity_weights(treatment, data, "overlap", cluster=cluster)
    y, arm, X = model.outcome(outcome), model.arm, model.design.X[:, 1:]
    unit = np.arange(len(y)) if model.cluster is None else model.cluster
    G, rng, found, held = len(np.unique(unit)), np.random.default_rng(seed), [], 0
    for _ in range(repeats):
        fold = folds_of(arm, unit, min(folds, G), rng)
        crossed = cross_fit(X, arm, y, fold, binary=is_binary(y), bound=BOUND)
        held = max(held, crossed.held)
        means = crossed.scores.mean(axis=0)
        V, df = careful_covariance((crossed.scores - means) / len(y), arm, model.cluster)
        found.append((means, V))
    effects = _median(found, df, y)
    fewest = 0 if model.cluster is None else fewest_clusters(arm, model.cluster)
    return DoublyRobust(effects, len(y), fewest, folds, repeats, held)


def _median(found: Sequence[tuple[Array, Array]], df: float, y: Array) -> tuple[Estimate, ...]:
    """Median over divisions of each contrast they all have; median of variance + distance²."""
    binary = is_binary(y)
    each = [{c.name: c for c in contrasts(m, binary=binary)} for m, _ in found]
    effects = []
    for name in (n for n in each[0] if all(n in e for e in each)):
        rows = [e[name] for e in each]
        value = float(np.median([c.value for c in rows]))
        spread = [
            c.gradient @ V @ c.gradient + (c.value - value) ** 2
            for c, (_, V) in zip(rows, found, strict=True)
        ]
        effects.append(
            estimate(
                name, rows[0].label, value, float(np.sqrt(np.median(spread))), df,
                scale="difference" if name.endswith("difference") else "ratio", level=0.95,
                method="AIPW, cross-fitted", n=len(y), events=int(y.sum()) if binary else None,
            )
        )  # fmt: skip
    return tuple(effects)


def _at(e: Estimate, level: float) -> Estimate:
    """The same estimate with its interval at another level."""
    value = float(np.log(e.value)) if e.scale == "ratio" else e.value
    other = estimate(e.name, e.label, value, e.se, e.df, scale=e.scale, level=level)
    return replace(e, low=other.low, high=other.high, confidence=level)
