"""What an imputation model needs of a survival outcome: the events and the cumulative hazard.

With a covariate missing, imputing it needs the outcome; for Cox's model the event and the
cumulative baseline hazard are near enough (White & Royston 2009), one of each for every cause
(Resche-Rigon, White & Chevret 2012). The Nelson–Aalen estimate stands for the hazard.
Checked: on paper (tests/models/test_imputation.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.curves import tabulate
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import DataError
from recovery_stats.models.formula import parse
from recovery_stats.models.observation import observe


@dataclass(frozen=True, slots=True)
class Hazards:
    """Times, causes (n,) from 0 (censored), and for each cause the hazard a row lived through."""

    columns: tuple[str, ...]
    start: Array | None
    stop: Array
    cause: IntArray
    hazard: Array

    def predictors(self) -> dict[str, Array]:
        """By name: the event and the Nelson–Aalen hazard of every cause."""
        found = {}
        for j, H in enumerate(self.hazard, 1):
            word = f" of cause {j}" if len(self.hazard) > 1 else ""
            found[f"event{word}"] = (self.cause == j).astype(float)
            found[f"hazard{word}"] = H
        return found


def read_hazards(survival: str, data: pd.DataFrame | Dataset, rows: int) -> Hazards:
    """Read `Surv(time, event)`; DataError where it is missing in a row."""
    asked = parse(survival if "~" in survival else f"{survival} ~ 1")
    columns = asked.response_columns()
    seen = observe(f"{survival.partition('~')[0]} ~ 1", data, what="impute", competing=True)
    if len(seen) < rows:
        raise DataError(
            f"{survival} is missing in {rows - len(seen)} of {rows} rows. Times and events are "
            "not imputed: drop these rows, or censor people when they were last seen."
        )
    causes = max(int(seen.cause.max()), 1)
    table = tabulate(seen.stop, seen.cause, start=seen.start, causes=causes)
    path = np.cumsum(table.events / table.n_risk, axis=1)
    start = np.where(table.entry > 0, path[:, table.entry - 1], 0.0)
    return Hazards(columns, seen.start, seen.stop, seen.cause, path[:, table.exit] - start)
