"""Whom `collaborative_housing` compares: their arms, who is complete, where they were drawn."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import NDArray

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Analysed, Asked, drawn_within
from recovery_stats.analyses._housing_kind import read_declared
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.comparison import Clusters, strata_codes
from recovery_stats.models.outcome import Reading, read_arms, read_outcome

# What the step of allocation is called, by design.
DRAWN = {"randomised": "Randomised", "houses-randomised": "In houses that were randomised"}


def read_people(asked: Asked, study: Study) -> tuple[Dataset, Reading]:
    """The persons with an arm as 0/1, and what the arms are called."""
    data = study["persons"]
    data.require(*asked.columns, table="persons")
    if asked.person:
        repeated = int(data.frame[asked.person].duplicated().sum())
        if repeated:
            raise DataError(
                f"Table 'persons' has {repeated} rows whose {asked.person!r} occurred before; "
                "this analysis needs one row a person."
            )
    arms = read_arms(data, asked.arm, asked.reference)
    data = data.in_people().with_column(
        Variable(ARM, data.label(asked.arm), {0.0: arms.other, 1.0: arms.counted}), arms.values
    )
    if asked.design in DRAWN:
        return _received(asked, data.allocated(ARM, DRAWN[asked.design])), arms
    return data.allocated(ARM, f"{data.label(asked.arm)} known"), arms


def _received(asked: Asked, data: Dataset) -> Dataset:
    """Who took what they were drawn to, at the step of allocation, where a column tells."""
    if asked.treatment is None:
        return data
    data.require(asked.treatment, table="persons")
    if data.frame[asked.treatment].nunique() < 2:
        return data
    taken = pd.Series(read_outcome(data, asked.treatment).values, index=data.frame.index)
    label = data.label(asked.treatment)
    groups = {"yes": taken > 0, "no": taken <= 0, "not known": taken.isna()}
    if not groups["not known"].any():
        del groups["not known"]
    return data.detailed(*((f"{label}: {word}", rows) for word, rows in groups.items()))


def keep(data: Dataset, rows: Any, reason: str, why: str | None = None) -> Dataset:
    """Keep rows and write the loss in people; `why` is the column whose codes tell it."""
    return data.keep(rows, reason, unit="people", why=why)


def complete(data: Dataset, columns: tuple[str, ...], why: str | None = None) -> Dataset:
    """Keep the people observed on `columns`; `why` tells of the outcome as the file has it."""
    for name in columns:
        observed = data.frame[name].notna()
        if not observed.all():
            reason = f"{data.label(name)} observed"
            data = keep(data, observed, reason, why if name == OUTCOME else name)
    return data


def need_both_arms(asked: Asked, data: Dataset, before: int) -> None:
    """NotEstimable when an arm has nobody left, saying how many rows went."""
    left = data.frame[ARM].nunique()
    if left < 2:
        raise NotEstimable(
            f"Arm {asked.arm!r} has {left} level left: {before - len(data)} of {before} rows were "
            "dropped for missing values, and with them one of the two groups. Look at the "
            "columns named in 'outcome' and 'adjust'."
        )


def strata_of(asked: Asked, data: Dataset, clusters: Clusters) -> NDArray[Any] | None:
    """Codes of what people were randomised within."""
    return strata_codes(data, drawn_within(asked, data, clusters), asked.cluster, clusters)


def analysed(asked: Asked, everyone: Dataset, study: Study) -> Analysed:
    """The people of the primary estimate, and of the flow: nobody is compared yet."""
    if asked.outcome:
        found = _with_outcome(asked, everyone, study)
    else:
        found = Analysed(everyone, complete(everyone, asked.timed))
    need_both_arms(asked, found.data, len(everyone))
    return found


def _with_outcome(asked: Asked, everyone: Dataset, study: Study) -> Analysed:
    assert asked.outcome is not None
    reading = read_declared(asked, everyone)
    label = everyone.label(asked.outcome)
    data = everyone.with_column(Variable(OUTCOME, label), reading.values)
    outside = _does_not_apply(asked, data, study)
    if outside.any():
        data = keep(data, ~outside, f"{label} applies", asked.outcome)
    needed = tuple(c for c in (*asked.adjust, asked.weights) if c)
    return Analysed(data, complete(data, (OUTCOME, *needed), asked.outcome), reading)


def _does_not_apply(asked: Asked, data: Dataset, study: Study) -> pd.Series[bool]:
    """People whose outcome does not exist (dead): coded not applicable, or declared structural."""
    assert asked.outcome is not None
    variable = data.variable(asked.outcome)
    codes = data.missing.get(asked.outcome, pd.Series(dtype=float))
    structural = [
        code
        for code in codes.unique()
        if code in study.protocol.structural or "not applicable" in variable.level(code).casefold()
    ]
    rows = codes.index[codes.isin(structural)]
    return (
        pd.Series(data.frame.index.isin(rows), index=data.frame.index) & data.frame[OUTCOME].isna()
    )
