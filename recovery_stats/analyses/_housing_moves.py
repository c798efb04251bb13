"""Residents who moved: the house first assigned where only stays tell it, and all houses weighted.

Intention to treat counts a resident to the house first assigned. In the sensitivity table stands
beside it the model in which everybody has the effects of all houses lived in, by their days.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Asked
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._wording import reworded
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.formula import quote
from recovery_stats.models.membership import (
    first_house,
    membership_weights,
    multiple_membership,
)
from recovery_stats.models.mixed import lmm

FIRST, HOUSED = "first house|", "housed|"
DESIGNS = ("randomised", "chosen")


def with_first_house(study: Study, person: str | None, start: str | None) -> Study:
    """The study with each person's first house from the stays, where the persons have no house."""
    house, key = study.role("stays", "house"), study.role("stays", "person") or person
    if (
        study.role("persons", "house") or "stays" not in study or house is None or key is None
        or person is None or start is None or study["stays"] is study["persons"]
    ):  # fmt: skip
        return study
    people = study["persons"]
    found = people.frame[person].map(first_house(study["stays"], person=key, house=house,
                                                 start=start))  # fmt: skip
    label = f"{study['stays'].label(house)} (of the first stay)"
    variable = replace(study["stays"].variable(house), name=FIRST, label=label)
    spec = study.protocol.tables["persons"]
    spec = replace(spec, roles=dict(spec.roles) | {"house": FIRST})
    return replace(
        study,
        tables=dict(study.tables) | {"persons": people.with_column(variable, found.to_numpy())},
        protocol=replace(study.protocol, tables=dict(study.protocol.tables) | {"persons": spec}),
    )  # fmt: skip


def moved_houses(asked: Asked, data: Dataset, study: Study) -> Part:
    """Rows of the sensitivity table: the first house alone, and all houses by their days."""
    if asked.moves is None or asked.weights or not asked.sensitivity or asked.person is None:
        return Part()
    if asked.design not in DESIGNS:
        return Part()
    key, house, start, stop = asked.moves
    stays = study["stays"]
    known = stays.with_frame(stays.frame[stays.frame[key].isin(data.frame[asked.person])])
    lived = membership_weights(known, person=key, house=house, start=start, stop=stop)
    lived = lived.rename(columns={key: asked.person})
    predictors = " + ".join(map(quote, (ARM, *asked.adjust)))
    try:
        fit = multiple_membership(
            f"{quote(OUTCOME)} ~ {predictors}", data, lived, person=asked.person, group=house
        )
        row = fit.estimate(
            {ARM: 1.0}, name="membership", label="Mixed model, houses by days lived in each",
            level=asked.level, rank="sensitivity", n=len(data),
        )  # fmt: skip
    except NotEstimable:
        return Part()
    beside = None
    if asked.word != "house":  # else the mixed model of the clusters is that of the house
        first = first_house(known, person=key, house=house, start=start)
        beside = _by_first_house(asked, data, data.frame[asked.person].map(first))
    rows = (row,) if beside is None else (beside, row)
    moves = reworded(fit.checks()[0], {house: "house"})
    return Part(rows, (_told_once(moves, asked),), said=frozenset({"membership"}))


def _told_once(moves: Check, asked: Asked) -> Check:
    """Without numbers where the section on length of stay counts those who moved.

    It does so among all people with times: the number among those analysed beside it would tell
    how many of the few others moved.
    """
    if asked.time is None or asked.stays is None:
        return moves
    words = "Residents of several houses are counted to all; see length of stay for how many moved."
    return replace(moves, parts=(words,))


def _by_first_house(asked: Asked, data: Dataset, first: pd.Series[Any]) -> Estimate | None:
    """The mixed model of the first stay's house; None where it has no answer."""
    arm = data.frame[ARM].to_numpy(dtype=float)
    placed = data.with_column(Variable(FIRST), first.to_numpy())
    clusters = clusters_of(placed, FIRST, arm)
    frame = placed.frame.assign(
        **{FIRST: clusters.codes.astype(str), HOUSED: clusters.real.astype(float)}
    )
    predictors = " + ".join(map(quote, (ARM, *asked.adjust)))
    formula = f"{quote(OUTCOME)} ~ {predictors} + (0 + {quote(HOUSED)} | {quote(FIRST)})"
    try:
        fit = lmm(formula, placed.with_frame(frame), df="kenward-roger", required=(ARM,))
        return fit.estimate(
            {ARM: 1.0}, name="first_house", label="Mixed model, house of the first stay",
            level=asked.level, rank="sensitivity", n=len(data),
        )  # fmt: skip
    except NotEstimable:
        return None
