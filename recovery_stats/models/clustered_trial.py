"""Intention to treat with houses: `clustered_trial(data, outcome="used", arm="arm", ...)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.comparison import (
    Primary,
    Rivals,
    likeness,
    primary,
    too_many_to_leave_out,
)
from recovery_stats.models.few_clusters import FEW, SOME, FewClusters, choice
from recovery_stats.models.mixed_fit import Method, MixedFit
from recovery_stats.models.partially_nested import partially_nested
from recovery_stats.models.risk import NumberNeeded, number_needed
from recovery_stats.models.trial import ARM_COLUMN, OUTCOME_COLUMN, Trial, read_trial

Drawn = Literal["people", "clusters"]


@dataclass(frozen=True, slots=True)
class ClusteredTrial:
    """Everybody where they were assigned; effects standardised over the people analysed."""

    trial: Trial = field(repr=False)
    drawn: Drawn
    adjust: tuple[str, ...]
    primary: Primary = field(repr=False)
    word: str
    seed: int = field(repr=False)

    def estimates(self, level: float = 0.95) -> Iterator[Estimate]:
        """Difference, ratios (yes or no) and both averages."""
        kind, fit, arms = self.trial.kind, self.primary.fit, self.trial.arms
        ratios = (("ratio", "risk_ratio"), ("odds_ratio", "odds_ratio"))
        yield fit.effect(
            "difference", f"{kind}_difference", f"{kind.capitalize()} difference", level=level,
            rank="primary", method=self.method,
        )  # fmt: skip
        for effect, name in ratios if self.trial.reading.binary else ():
            label = name.replace("_", " ").capitalize()
            yield fit.effect(effect, name, label, level=level, rank="secondary", method=self.method)  # type: ignore[arg-type]
        for arm, name, who in ((1, "compared", arms.counted), (0, "usual", arms.other)):
            yield fit.mean(arm, f"{kind}_{name}", who, level=level, method=self.method)

    @property
    def method(self) -> str:
        """How errors were found, for tables."""
        by = f"CR2 by {self.word}" if self.primary.basis == "clusters" else "HC2"
        return f"standardised {'logistic' if self.trial.reading.binary else 'linear'} model, {by}"

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """term, estimate, std_error, df, statistic, p_value, conf_low, conf_high, method."""
        return _tabulated(self.estimates(level))

    def number_needed(self, level: float = 0.95) -> NumberNeeded:
        """People to treat for one to have another outcome, through infinity where it must."""
        if not self.trial.reading.binary:
            raise UsageError("A number needed to treat needs a yes-or-no outcome.")
        return number_needed(next(iter(self.estimates(level))))

    def mixed(self, df: Method = "satterthwaite") -> MixedFit:
        """The mixed model with house variance where there are houses and residuals by arm.

        df: "satterthwaite", or "kenward-roger" with its larger error.
        """
        return partially_nested(
            self.trial.data, OUTCOME_COLUMN, ARM_COLUMN, self.trial.clusters, self.adjust, df=df
        )

    def sensitivity(self, level: float = 0.95) -> pd.DataFrame:
        """The same difference under every method, in one table."""
        t = self.trial
        rivals = Rivals(t.sample, t.clusters, t.family, level, self.word).all()
        return _tabulated([*rivals, *self._by_model(level), *self._few(level).all(self._rng())])

    def _by_model(self, level: float) -> Iterator[Estimate]:
        t = self.trial
        if t.clusters.structure == "none" or t.sample.weights is not None:
            return
        methods: tuple[tuple[Method, str, str], ...] = (
            ("satterthwaite", "mixed_by_arm", ""),
            ("kenward-roger", "mixed_kenward_roger", ", Kenward–Roger"),
        )
        for df, name, said in methods:
            try:
                yield self.mixed(df).estimate(
                    {ARM_COLUMN: 1.0}, name=name,
                    label=f"Mixed model, random {self.word}, residuals by arm{said}",
                    level=level, rank="sensitivity", n=len(t.data),
                )  # fmt: skip
            except NotEstimable:
                continue

    def _few(self, level: float) -> FewClusters:
        t = self.trial
        return FewClusters(t.sample, t.clusters, t.strata, self.drawn, level, self.word)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def glance(self) -> pd.DataFrame:
        """The trial in one row."""
        alike = likeness(self.trial.sample, self.trial.clusters, level=0.95)
        return pd.DataFrame(
            {
                "n_obs": [len(self.trial.data)],
                "n_groups": [self.trial.clusters.named],
                "structure": [self.trial.clusters.structure],
                "icc": [alike.icc if alike else np.nan],
                "design_effect": [alike.design_effect if alike else np.nan],
                "method": [self.method],
            }
        )

    def checks(self) -> tuple[Check, ...]:
        """Clusters, the choice of errors, the smallest p, people without a value."""
        c = self.trial.clusters
        found = [self.trial.complete(), choice(
            c, self.primary.basis, self.primary.stratified, self.word
        )]  # fmt: skip
        if c.named:
            words = f" {self.word}s."
            words += " Every method is fragile." if c.named < FEW else (
                " Few enough to need a small-sample correction." if c.named < SOME else ""
            )  # fmt: skip
            parts = (Quantity(float(c.named), "whole"), words)
            found.append(Check("clusters", "caution" if c.named < FEW else "ok", parts))
        if too_many_to_leave_out(c, len(self.trial.data)):
            found.append(Check("left out in turn", "ok", (
                f"Not done: with so many people and {self.word}s one of them hardly matters.",
            )))  # fmt: skip
        if c.structure == "nested" and not c.partial and self.drawn == "people":
            found.append(Check("arms meet", "caution", (
                f"No {self.word} holds both arms: whatever else differs between the {self.word}s "
                "of the two arms is part of the difference.",
            )))  # fmt: skip
        smallest = self._few(0.95).smallest()
        return (*found, smallest) if smallest else tuple(found)

    def __repr__(self) -> str:
        value = next(iter(self.estimates())).value
        return (
            f"<ClusteredTrial of {self.trial.names[0]!r}: {self.trial.kind} difference "
            f"{value:.3f}, {len(self.trial.data)} people, {self.trial.clusters.named} "
            f"{self.word}s>"
        )


def clustered_trial(
    data: pd.DataFrame | Dataset,
    *,
    outcome: str,
    arm: str,
    cluster: str | None = None,
    adjust: Sequence[str] = (),
    strata: str | None = None,
    randomised: Drawn = "people",
    weights: str | None = None,
    outcome_level: str | None = None,
    reference: str | None = None,
    seed: int = 1,
) -> ClusteredTrial:
    """Compare two arms as randomised, residents of a house alike.

    cluster: house first assigned (or site), empty for people without one; adjust: baseline
    covariates, standardised over; strata: what people or clusters were randomised within;
    randomised: "people" or "clusters"; seed: of bootstrap and permutation.
    Raises DataError, UsageError, NotEstimable (one house, separation, one arm).
    """
    if randomised not in ("people", "clusters"):
        raise UsageError(unknown("unit of randomisation", randomised, ("people", "clusters")))
    trial = read_trial(
        data, outcome=outcome, arm=arm, cluster=cluster, adjust=adjust, strata=strata,
        weights=weights, outcome_level=outcome_level, reference=reference,
    )  # fmt: skip
    within = trial.strata if randomised == "people" else None
    found = primary(trial.sample, trial.family, strata=within, level=0.95)
    word = "cluster" if cluster is None else next(
        (w for w in ("house", "site") if w in cluster.casefold()), "cluster"
    )  # fmt: skip
    return ClusteredTrial(trial, randomised, tuple(adjust), found, word, seed)


def _tabulated(estimates: Iterator[Estimate] | Sequence[Estimate]) -> pd.DataFrame:
    """Estimates as the columns of `tidy`; statistic on the linear scale."""
    rows = [
        {
            "term": e.name, "estimate": e.value, "std_error": e.se, "df": e.df,
            "statistic": (np.log(e.value) if e.scale == "ratio" else e.value) / e.se,
            "p_value": e.p, "conf_low": e.low, "conf_high": e.high, "method": e.method,
        }
        for e in estimates
    ]  # fmt: skip
    return pd.DataFrame(rows)
