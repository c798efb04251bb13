"""Pairs of people with nearly the same propensity, one of each group, and their difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from recovery_stats.core.cell import Share
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.matching import matched_means, nearest_pairs
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.arm_means import effect_table, effects_of, fewest_clusters
from recovery_stats.models.propensity import PropensityWeights, propensity_weights
from recovery_stats.models.propensity_balance import balance_frame
from recovery_stats.models.propensity_check import balance_check

MANY_LOST = 0.1  # share of the treated without a pair from which it is told as a caution


@dataclass(frozen=True, slots=True, repr=False)
class MatchedPairs:
    """Pairs (m, 2) of rows of `model.design`: the treated, the untreated matched to them."""

    model: PropensityWeights
    pairs: NDArray[np.intp]
    caliper: float

    @property
    def lost(self) -> int:
        """Treated people without a pair."""
        return int(self.model.arm.sum()) - len(self.pairs)

    def balance(self) -> pd.DataFrame:
        """Standardised differences before, and among the pairs; look here first."""
        kept = np.zeros(len(self.model.arm))
        kept[self.pairs.ravel()] = 1.0
        return balance_frame(self.model.design, self.model.arm, kept)

    def estimates(self, outcome: str, *, level: float = 0.95) -> tuple[Estimate, ...]:
        """The difference within pairs, less what the covariates still differ by in them.

        Of a 0/1 outcome the risk ratio and odds ratio too.
        """
        y = self.model.outcome(outcome)
        means, covariance, units = matched_means(
            self.pairs, y, self.model.design.X[:, 1:], self.model.cluster
        )
        if self.model.cluster is not None:
            rows = self.pairs.T.ravel()
            arms = np.repeat([1.0, 0.0], len(self.pairs))
            units = min(units, fewest_clusters(arms, self.model.cluster[rows]))
        return effects_of(
            means, covariance, units - 1.0, y[self.pairs].ravel(), level=level,
            method="matched pairs",
        )  # fmt: skip

    def effect(self, outcome: str, *, level: float = 0.95) -> pd.DataFrame:
        """The effects of `estimates` as a table; errors of ratios are on the log scale."""
        return effect_table(self.estimates(outcome, level=level))

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Coefficients of the propensity model (log odds)."""
        return self.model.tidy(level)

    def glance(self) -> pd.DataFrame:
        """Pairs, treated without one, caliper, largest difference left."""
        worst = self.balance()["smd_after"].abs().max()
        row = {"n_obs": len(self.model.arm), "pairs": len(self.pairs), "unmatched": self.lost}
        return pd.DataFrame([row | {"caliper": self.caliper, "smd_max": worst}])

    def checks(self) -> tuple[Check, ...]:
        """Who is left out, and balance among the pairs."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        treated = int(self.model.arm.sum())
        yield Check(
            "unmatched people", "caution" if self.lost > MANY_LOST * treated else "ok",
            (Share(self.lost, treated), " of the compared group had nobody within the caliper; "
             "the answer is about the others."),
        )  # fmt: skip
        yield balance_check(self.balance())

    def __repr__(self) -> str:
        return f"<MatchedPairs: {len(self.pairs)} pairs, {self.lost} treated without one>"


def propensity_match(
    formula: str,
    data: pd.DataFrame | Dataset,
    *,
    caliper: float = 0.2,
    cluster: str | None = None,
) -> MatchedPairs:
    """Match each treated person with the nearest untreated one: `treated ~ covariates`.

    Nearest neighbour on the log odds of the propensity, one to one, nobody used twice. caliper:
    furthest distance, in standard deviations of the log odds. Errors are by pair, and with a
    cluster by pair and cluster, the larger. The effect is that among the treated with a pair.
    Raises as `propensity_weights`, and NotEstimable for fewer than two pairs. Source and checks:
    engines.matching.
    """
    if not caliper > 0:
        raise UsageError("caliper is above 0: standard deviations of the log odds (0.2 is usual).")
    model = propensity_weights(formula, data, "att", cluster=cluster)
    score = logit(model.fit.mu)
    arms = [score[model.arm == a] for a in (0, 1)]
    spread = float(np.sqrt(sum(s.var(ddof=1) for s in arms) / 2)) if min(map(len, arms)) > 1 else 0
    pairs = nearest_pairs(score, model.arm, caliper * spread)
    if len(pairs) < 2:
        raise NotEstimable(
            f"{len(pairs)} of {int(model.arm.sum())} treated people have somebody within "
            f"{caliper:g} standard deviations; a wider caliper, or another question, is needed."
        )
    return MatchedPairs(model, pairs, caliper)
