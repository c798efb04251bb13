"""Two arms of a trial read from a table: outcome, arm, covariates, strata, houses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters, clusters_of
from recovery_stats.models.outcome import Reading, read_arms, read_outcome
from recovery_stats.models.risk import Family
from recovery_stats.models.sample import Sample, read_sample

ARM_COLUMN, OUTCOME_COLUMN = "arm|", "outcome|"


@dataclass(frozen=True, slots=True)
class Trial:
    """The complete rows as arrays, with what the columns are called.

    data: complete rows, arm and outcome as numbers in `ARM_COLUMN` and `OUTCOME_COLUMN`. strata
    (n,): codes people (or houses) were randomised within. lost: rows without a value.
    """

    data: Dataset
    sample: Sample
    clusters: Clusters
    reading: Reading
    arms: Reading
    strata: NDArray[np.intp] | None
    names: tuple[str, str, str | None]
    lost: int

    @property
    def family(self) -> Family:
        return "binomial" if self.reading.binary else "gaussian"

    @property
    def kind(self) -> str:
        """What an average of the outcome is."""
        return "risk" if self.reading.binary else "mean"

    def complete(self) -> Check:
        """How many rows were left out for want of a value."""
        few = self.lost == 0
        parts = (Count(self.lost), " of ", Count(self.lost + len(self.data)),
                 " rows lack a value and were left out.")  # fmt: skip
        return Check("missing outcomes", "ok" if few else "caution", parts, self.names[0])


def read_trial(
    data: pd.DataFrame | Dataset,
    *,
    outcome: str,
    arm: str,
    cluster: str | None = None,
    adjust: Sequence[str] = (),
    strata: str | None = None,
    weights: str | None = None,
    outcome_level: str | None = None,
    reference: str | None = None,
    also: Sequence[str] = (),
) -> Trial:
    """Read the rows that have a value in every column named; `cluster` may be empty (no house).

    also: further columns that must have a value. Raises DataError, UsageError, NotEstimable: one
    house, one arm, an outcome that nobody or everybody of an arm has.
    """
    table = as_dataset(data)
    named = [c for c in (outcome, arm, strata, weights, *adjust, *also) if c]
    table.require(*named, *([cluster] if cluster else ()))
    whole = table.frame[named].notna().all(axis=1)
    kept = table.keep(whole, "every value known")
    reading, arms = read_outcome(kept, outcome, outcome_level), read_arms(kept, arm, reference)
    kept = kept.with_column(Variable(ARM_COLUMN, kept.label(arm)), arms.values)
    kept = kept.with_column(Variable(OUTCOME_COLUMN, kept.label(outcome)), reading.values)
    clusters = clusters_of(kept, cluster, arms.values)
    if clusters.named == 1:
        raise NotEstimable(
            f"Column {cluster!r} has one level among {len(kept)} complete rows: what that one "
            "house does cannot be told from what the arm does."
        )
    codes = None if clusters.structure == "none" else clusters.codes
    sample = read_sample(kept, OUTCOME_COLUMN, ARM_COLUMN, adjust, cluster=codes, weights=weights)
    within = None if strata is None else np.asarray(pd.factorize(kept.frame[strata])[0])
    found = Trial(
        kept, sample, clusters, reading, arms, within, (outcome, arm, cluster),
        int((~whole).sum()),
    )  # fmt: skip
    _refuse_empty(found)
    return found


def _refuse_empty(trial: Trial) -> None:
    """NotEstimable when everybody or nobody of an arm had a yes/no outcome."""
    if not trial.reading.binary:
        return
    for arm, name in ((0.0, trial.arms.other), (1.0, trial.arms.counted)):
        share = float(trial.sample.y[trial.sample.arm == arm].mean())
        if share in (0.0, 1.0):
            who = "everybody" if share else "nobody"
            raise NotEstimable(
                f"Arm {trial.names[1]!r}: {who} in {name!r} had outcome {trial.names[0]!r} "
                f"({trial.reading.counted!r}), so that ratios are 0 or infinite and no interval "
                "holds."
            )
