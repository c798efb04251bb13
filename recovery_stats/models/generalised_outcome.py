"""Read the outcome of a generalised mixed model for its family, and refuse what is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.glmm_family import (
    BetaBinomial,
    Binomial,
    Family,
    NegativeBinomial,
    Ordinal,
    Poisson,
)
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, Outcome, Trials
from recovery_stats.models.formula import Cbind, Column, Formula, Variable

FamilyName = Literal["binomial", "poisson", "negative-binomial", "beta-binomial", "ordinal"]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
MOST_CATEGORIES = 50


def read_family(
    name: FamilyName,
    asked: Formula,
    design: Design,
    table: Columns,
    weights: Array | None,
    levels: tuple[str, ...],
) -> tuple[Family, tuple[str, ...]]:
    """The family with the outcome of the rows kept, and the categories seen among them."""
    reader = _Reader(name, asked, design, table)
    n = len(design.X)
    w = np.ones(n) if weights is None else weights
    if name == "binomial":
        return Binomial(*reader.trials(), w), ()
    if name == "beta-binomial":
        return BetaBinomial(*reader.trials(), w), ()
    if name == "ordinal":
        seen, codes = np.unique(reader.one_column(), return_inverse=True)
        if seen.size < 2:
            raise NotEstimable(f"The outcome {reader.columns} has the same value in all {n} rows.")
        kept = tuple(levels[int(k)] for k in seen)
        return Ordinal(codes.astype(np.intp), w, seen.size), kept
    y = reader.counts(reader.one_column(), "Counts")
    if not y.any():
        raise NotEstimable(f"The outcome {reader.columns} is 0 in all {n} rows.")
    return (Poisson(y, w) if name == "poisson" else NegativeBinomial(y, w)), ()


def with_codes(
    asked: Formula, data: pd.DataFrame | Dataset
) -> tuple[pd.DataFrame | Dataset, tuple[str, ...]]:
    """The outcome's ordered levels as codes 0..K-1 in its column, and their names."""
    response = asked.response
    if not isinstance(response, Column) or not isinstance(response.expression, Variable):
        raise UsageError("Family 'ordinal' needs one column on the left of '~'.")
    name = response.expression.name
    found = Columns.of(data).levels(name)
    if len(found.names) > MOST_CATEGORIES:
        raise DataError(
            f"The outcome {name!r} has {len(found.names)} levels; an ordinal model is for a few "
            "ordered categories."
        )
    codes = np.where(found.codes < 0, np.nan, found.codes.astype(float))
    frame = data.frame if isinstance(data, Dataset) else data
    key = next(c for c in frame.columns if str(c) == name)
    coded = frame.assign(**{key: codes})
    return (data.with_frame(coded) if isinstance(data, Dataset) else coded), found.names


@dataclass(frozen=True, slots=True)
class _Reader:
    """The response of one formula, with what its messages need."""

    family: str
    asked: Formula
    design: Design
    table: Columns

    @property
    def columns(self) -> str:
        return ", ".join(repr(c) for c in self.asked.response_columns())

    def one_column(self) -> Array:
        if not isinstance(self.design.response, Outcome):
            raise UsageError(f"Family {self.family!r} needs one column on the left of '~'.")
        return self.design.response.y

    def trials(self) -> tuple[Array, Array]:
        """Successes and trials of every row."""
        if isinstance(self.design.response, Trials):
            successes, trials = self._counted(self.design.response)
        else:
            successes = self._yes_or_no()
            trials = np.ones_like(successes)
        if not successes.any() or (successes == trials).all():
            raise NotEstimable(
                f"The outcome {self.columns} is the same in all {successes.size} rows; there is "
                "nothing to explain."
            )
        return successes, trials

    def _counted(self, response: Trials) -> tuple[Array, Array]:
        assert isinstance(self.asked.response, Cbind)
        asked = self.asked.response
        successes = self.counts(response.successes, f"{asked.successes} in cbind()")
        failures = self.counts(response.failures, f"{asked.failures} in cbind()")
        trials = successes + failures
        self._refuse(trials == 0, "cbind() holds no trial at all", "Leave these rows out")
        return successes, trials

    def _yes_or_no(self) -> Array:
        if self.family == "beta-binomial":
            raise UsageError(
                "Family 'beta-binomial' needs cbind(successes, failures) on the left of '~', such "
                "as cbind(days_used, days_observed - days_used)."
            )
        y = self.one_column()
        self._refuse(
            (y != 0) & (y != 1), f"The binomial outcome {self.columns} is neither 0 nor 1",
            "Code it 0/1, or give cbind(successes, failures)",
        )  # fmt: skip
        return y

    def counts(self, values: Array, what: str) -> Array:
        """The values when they are whole and not negative."""
        name = what if what.endswith("cbind()") else f"{what} in column {self.columns}"
        self._refuse(values < 0, f"{name} must not be negative", "Correct them, or leave them out")
        self._refuse(
            values != np.round(values), f"{name} must be whole numbers",
            "For rates, model the count with offset(log(time))",
        )  # fmt: skip
        return values

    def _refuse(self, wrong: NDArray[np.bool_], what: str, cure: str) -> None:
        if not wrong.any():
            return
        among = np.zeros(len(self.table), dtype=bool)
        among[self.design.kept] = wrong
        count = int(wrong.sum())
        raise DataError(
            f"{what}: {count} {'row is' if count == 1 else 'rows are'} wrong, "
            f"{self.table.rows(among)}. {cure}."
        )
