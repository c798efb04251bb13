"""Whom `collaborative_housing` compares: their arms, who is complete, where they were drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Analysed, Asked, drawn_within
from recovery_stats.analyses._housing_kind import read_declared
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.comparison import Clusters, strata_codes
from recovery_stats.models.outcome import Reading, read_arms


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
    start = Step("People in the file", len(data), "people")
    data = replace(data, flow=(start,)).with_column(
        Variable(ARM, data.label(asked.arm), {0.0: arms.other, 1.0: arms.counted}), arms.values
    )
    known = data.frame[ARM].notna()
    return (data if known.all() else keep(data, known, f"{data.label(asked.arm)} known")), arms


def keep(data: Dataset, rows: Any, reason: str) -> Dataset:
    """Keep rows and write the loss in people."""
    frame = data.frame[rows]
    return replace(data, frame=frame, flow=(*data.flow, Step(reason, len(frame), "people")))


def complete(data: Dataset, columns: tuple[str, ...]) -> Dataset:
    for name in columns:
        observed = data.frame[name].notna()
        if not observed.all():
            data = keep(data, observed, f"{data.label(name)} observed")
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
        data = keep(data, ~outside, f"{label} applies")
    needed = tuple(c for c in (*asked.adjust, asked.weights) if c)
    return Analysed(data, complete(data, (OUTCOME, *needed)), reading)


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
