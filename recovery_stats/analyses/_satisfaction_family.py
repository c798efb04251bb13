"""The distribution of the outcome: which values it allows, and what its numbers are called.

"gaussian" is the linear mixed model. The others are generalised: their slopes are ratios of odds
or rates for one person against themselves, told beside differences over the whole population.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Scale
from recovery_stats.errors import DataError, UsageError, rows_phrase
from recovery_stats.models.formula import quote
from recovery_stats.models.generalised_outcome import FAMILIES as GENERALISED
from recovery_stats.models.generalised_outcome import FamilyName
from recovery_stats.models.split import part_name

FAMILIES = ("gaussian", *GENERALISED)
OF_TRIALS = ("binomial", "beta-binomial")
OF_COUNTS = ("poisson", "negative-binomial")
REST = "rest"
MOST_CATEGORIES = 20
Link = Literal["identity", "logit", "log"]


@dataclass(frozen=True, slots=True)
class Law:
    """A family with what its outcome counts: trials is a column, out_of the same for every row."""

    family: str = "gaussian"
    outcome: str = ""
    trials: str | None = None
    out_of: int = 0

    @property
    def linear(self) -> bool:
        return self.family == "gaussian"

    @property
    def generalised(self) -> FamilyName:
        """The family of the generalised mixed model."""
        return next(f for f in GENERALISED if f == self.family)

    @property
    def marginal(self) -> Literal["binomial", "poisson"]:
        """The family of the marginal model, whose errors do not lean on the variance."""
        return "poisson" if self.link == "log" else "binomial"

    @property
    def counted(self) -> bool:
        """Whether the outcome is so many out of a number of trials."""
        return self.family in OF_TRIALS and (self.trials is not None or self.out_of > 0)

    @property
    def scale(self) -> Scale:
        """Of the slopes."""
        return "difference" if self.linear else "ratio"

    @property
    def null(self) -> float:
        """The slope that says nothing."""
        return 0.0 if self.linear else 1.0

    @property
    def link(self) -> Link:
        if self.linear:
            return "identity"
        return "log" if self.family in OF_COUNTS else "logit"

    @property
    def effect(self) -> str:
        """What a slope is called."""
        return {"identity": "b", "logit": "odds ratio", "log": "rate ratio"}[self.link]

    @property
    def heading(self) -> str:
        """The same at the head of a column."""
        return {"identity": "b", "logit": "OR", "log": "RR"}[self.link]

    @property
    def chance(self) -> bool:
        """Whether the mean of the outcome is a chance or a share, not an amount."""
        return self.link == "logit" and not self.out_of

    @property
    def times(self) -> float:
        """What turns the model's mean into units of the outcome: days out of 30 from a share."""
        return float(self.out_of) if self.counted and self.out_of else 1.0

    @property
    def rest(self) -> str:
        """The column of trials that do not count."""
        return part_name(self.outcome, REST)

    @property
    def response(self) -> str:
        """The left side of the formula."""
        one = quote(self.outcome)
        return f"cbind({one}, {quote(self.rest)})" if self.counted else one

    def read_from(self, data: Dataset) -> Law:
        """The same with the trials that the codebook's unit tells ("of 30 days"), where unset."""
        if self.family not in OF_TRIALS or self.counted:
            return self
        if self.family == "binomial" and set(data.frame[self.outcome].dropna().unique()) <= {0, 1}:
            return self
        told = re.search(r"\d+", data.variable(self.outcome).unit)
        if told:
            return replace(self, out_of=int(told.group()))
        if self.family == "beta-binomial":
            raise UsageError(
                f"Family 'beta-binomial' needs to know out of how many {self.outcome!r} counts: "
                "--out-of 30 for days of the last 30, or --trials COLUMN (the codebook's unit "
                "'of 30 days' says it too)."
            )
        return self

    def with_rest(self, data: Dataset) -> Dataset:
        """Add the trials that do not count."""
        if not self.counted:
            return data
        trials: Any = data.frame[self.trials] if self.trials else self.out_of
        label = f"{data.label(self.outcome)}: the rest"
        return data.with_column(
            Variable(self.rest, label, measure="scale"), trials - data.frame[self.outcome]
        )


def law_of(family: str, outcome: str, trials: str | None, out_of: int) -> Law:
    """Read the options; UsageError where they do not go together."""
    given = [f for f, there in (("--trials", trials), ("--out-of", out_of)) if there]
    if given and family not in OF_TRIALS:
        raise UsageError(
            f"{given[0]} is for family 'binomial' or 'beta-binomial', not {family!r}; take it out "
            "or name one of these with --family."
        )
    if len(given) > 1:
        raise UsageError("--trials (a column) and --out-of (one number) say the same; give one.")
    if out_of < 0:
        raise UsageError(f"Option 'out_of' must be 1 or above, not {out_of}.")
    return Law(family, outcome, trials, out_of)


def check_outcome(law: Law, data: Dataset) -> None:
    """DataError, naming column, rule and rows, for an outcome that its family does not allow."""
    y = data.frame[law.outcome]
    whole = y == np.round(y)
    if law.counted:
        limit = _trials(law, data)
        where = f"and at most {law.trials!r}" if law.trials else f"to {law.out_of}"
        rule = f"whole numbers from 0 {where}"
        _refuse(law, y, ~(whole & (y >= 0) & (y <= limit)), rule)
    elif law.family == "binomial":
        _refuse(law, y, ~y.isin([0, 1]), "0 or 1 (or counts, with --trials or --out-of)")
    elif law.family in OF_COUNTS:
        _refuse(law, y, ~(whole & (y >= 0)), "whole numbers, none of them negative")
    elif law.family == "ordinal" and y.nunique() > MOST_CATEGORIES:
        raise DataError(
            f"Column {law.outcome!r} of table 'waves' has {y.nunique()} different values; family "
            f"'ordinal' is for ordered categories, at most {MOST_CATEGORIES} of them."
        )


def _trials(law: Law, data: Dataset) -> Any:
    """Out of how many each row counts; DataError where that is no number of trials."""
    if law.trials is None:
        return law.out_of
    trials = data.frame[law.trials]
    if not pd.api.types.is_numeric_dtype(trials):
        raise DataError(f"Column {law.trials!r} of table 'waves' is text; 'trials' needs numbers.")
    wrong = trials.notna() & ~((trials == np.round(trials)) & (trials > 0))
    _refuse(law, trials, wrong, "whole numbers above 0", law.trials)
    return trials.where(trials.notna(), np.inf)


def _refuse(law: Law, values: Any, wrong: Any, rule: str, column: str = "") -> None:
    rows: Sequence[int] = list(values.index[wrong & values.notna()])
    if not rows:
        return
    name = column or law.outcome
    raise DataError(
        f"Column {name!r} of table 'waves' must hold {rule} for family {law.family!r}; "
        f"{len(rows)} of {int(values.notna().sum())} values do not ({rows_phrase(rows)}). "
        "Correct them, declare them missing, or choose another --family."
    )


def suggestion(values: Any, level_names: int) -> str:
    """The family that an outcome at the end of its scale asks for, in words."""
    if set(values.unique()) <= {0, 1}:
        return "family 'binomial'"
    if level_names and level_names >= values.nunique() <= MOST_CATEGORIES:
        return "family 'ordinal'"
    of_days = "family 'beta-binomial' with `out_of` (so many days out of 7, 30 or 90)"
    if values.min() == 0 and (values == 0).mean() > (values == values.max()).mean():
        return f"{of_days}, or 'negative-binomial' where nothing bounds the count"
    return of_days
