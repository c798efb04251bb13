"""The waves that the question about satisfaction is asked of, each loss accounted for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from recovery_stats.analyses._satisfaction_family import Law, check_outcome, law_of
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError, rows_phrase
from recovery_stats.models.formula import quote
from recovery_stats.models.glm import glm
from recovery_stats.models.split import BETWEEN, WITHIN, part_name, split

TIME = "time since entry"
DAYS_IN_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Asked:
    """The question with every column known to be named."""

    person: str
    wave: str
    day: str | None
    outcome: str
    satisfaction: str
    partnered: str | None
    cluster: str | None
    adjust: tuple[str, ...]
    described: tuple[str, ...]
    random_slope: tuple[str, ...]
    weights: str | None
    level: float
    law: Law

    @classmethod
    def of(cls, q: Any) -> Asked:
        """Read a Question; UsageError for a column left out or used twice."""
        for name in ("person", "wave", "outcome", "satisfaction"):
            if getattr(q, name) is None:
                raise UsageError(
                    f"relationship_satisfaction needs a column for {name!r}; name it with --{name} "
                    f'COLUMN, or in the study file under [roles.waves] as {name} = "COLUMN".'
                )
        if q.outcome in (q.satisfaction, *q.adjust):
            raise UsageError(
                f"Column {q.outcome!r} is the outcome and a predictor as well; "
                "take it out of 'satisfaction' and 'adjust'."
            )
        clock = (q.wave, q.day)
        return cls(
            person=q.person,
            wave=q.wave,
            day=q.day,
            outcome=q.outcome,
            satisfaction=q.satisfaction,
            partnered=q.partnered,
            cluster=q.cluster,
            adjust=tuple(c for c in q.adjust if c != q.satisfaction and c not in clock),
            described=tuple(c for c in q.described if c not in (*clock, q.satisfaction, q.outcome)),
            random_slope=tuple(dict.fromkeys(TIME if c in clock else c for c in q.random_slope)),
            weights=q.weights,
            level=q.level,
            law=law_of(q.family, q.outcome, q.trials, q.out_of),
        )

    @property
    def within(self) -> str:
        return part_name(self.satisfaction, WITHIN)

    @property
    def between(self) -> str:
        return part_name(self.satisfaction, BETWEEN)

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns a wave must have beyond outcome and satisfaction."""
        slopes = (c for c in self.random_slope if c != TIME)
        single = (self.wave, self.day, self.weights, self.law.trials)
        return (*(c for c in single if c), *self.adjust, *slopes)


@dataclass(frozen=True, slots=True)
class Waves:
    """Every wave read, those the question applies to, and those with complete values.

    used: the rows of the model, satisfaction split into its parts. asked: the question, with the
    number of trials that the codebook told.
    """

    asked: Asked
    read: Dataset
    applies: Dataset
    used: Dataset

    @property
    def outside(self) -> int:
        """Waves to which the question does not apply."""
        return len(self.read) - len(self.applies)

    @property
    def lost(self) -> int:
        """Waves to which it applies that lack a value."""
        return len(self.applies) - len(self.used)

    def of_partners(self, asked: Asked) -> bool:
        """Whether partners may be spoken of: a column tells them, or some waves do not apply."""
        return asked.partnered is not None or self.outside > 0

    def scarcest(self, asked: Asked) -> str | None:
        """The column that most waves lack of those to which it applies; None where none does."""
        columns = [asked.outcome, asked.satisfaction, *asked.needed]
        empty = self.applies.frame[list(dict.fromkeys(columns))].isna().sum()
        return str(empty.idxmax()) if empty.max() > 0 else None

    def without_covariates(self, asked: Asked) -> Dataset:
        """The rows of a model without covariates, split anew: more, where these are missing."""
        columns = (c for c in asked.needed if c not in asked.adjust)
        data = self.applies.complete(asked.satisfaction, asked.outcome, *columns)
        return split(data, asked.satisfaction, asked.person)


def refuse_beyond_cure(question: Any, study: Study) -> None:
    """NotEstimable where satisfaction alone tells a yes or no apart: no wave would cure that.

    Asked before a missing column for the wave is complained of.
    """
    if question.family != "binomial" or None in (question.outcome, question.satisfaction):
        return
    if question.trials or question.out_of:
        return
    data = study.joined("waves", key=question.person)
    columns = (question.outcome, question.satisfaction)
    data.require(*columns, table="waves")
    if all(pd.api.types.is_numeric_dtype(data.frame[c]) for c in columns):
        check_outcome(law_of("binomial", question.outcome, None, 0), data)
        glm(" ~ ".join(map(quote, columns)), data.complete(*columns), family="binomial")


def read_waves(asked: Asked, study: Study, occasion: str) -> Waves:
    """Read the waves with what is known of their people; keep those the estimand is about."""
    asked, data = _read(asked, study)
    people = int(data.frame[asked.person].nunique())
    start = Step(f"Person-{occasion}s read", len(data), "rows", people)
    data = replace(data, flow=data.flow or (start,))
    outside = _not_applicable(asked, data, study)
    applies = data
    if outside.any():
        applies = data.keep(
            ~outside, f"The question applies at the {occasion}", person=asked.person
        )
    used = applies.complete(asked.satisfaction, asked.outcome, *asked.needed, person=asked.person)
    if not len(used):
        raise DataError(
            f"No row of table 'waves' has {asked.outcome!r}, {asked.satisfaction!r} and the "
            "covariates together; `recovery-stats inspect` shows which of them is empty."
        )
    _refuse_still_slopes(asked, used)
    used = replace(used, flow=_people_at_the_ends(used.flow))
    return Waves(asked, data, applies, split(used, asked.satisfaction, asked.person))


def _people_at_the_ends(flow: tuple[Step, ...]) -> tuple[Step, ...]:
    """People at the first and the last step only: a few lost in between would hide both counts."""
    return tuple(
        step if i in (0, len(flow) - 1) else replace(step, people=None)
        for i, step in enumerate(flow)
    )


def _read(asked: Asked, study: Study) -> tuple[Asked, Dataset]:
    data = study.joined("waves", key=asked.person)
    optional = (asked.partnered, asked.cluster)
    wanted = (asked.person, asked.outcome, asked.satisfaction, *asked.needed, *asked.described)
    data.require(*wanted, *(c for c in optional if c), table="waves")
    _check_numbers(asked, data)
    law = asked.law.read_from(data)
    check_outcome(law, data)
    _check_keys(asked, data)
    _check_partnered(asked, data)
    return replace(asked, law=law), law.with_rest(_with_time(asked, data))


def _check_numbers(asked: Asked, data: Dataset) -> None:
    for name in (asked.outcome, asked.satisfaction, asked.wave, asked.day):
        if name and not pd.api.types.is_numeric_dtype(data.frame[name]):
            raise DataError(
                f"Column {name!r} of table 'waves' is text; this analysis needs numbers there. "
                "Name another column, or give the file value labels with numeric codes."
            )


def _check_keys(asked: Asked, data: Dataset) -> None:
    nobody = data.frame.index[data.frame[asked.person].isna()]
    if len(nobody):
        raise DataError(
            f"Column {asked.person!r} of table 'waves' is empty in {rows_phrase(list(nobody))}; "
            "every row must name its person."
        )
    repeated = data.frame.index[data.frame.duplicated([asked.person, asked.wave])]
    if len(repeated):
        raise DataError(
            f"Table 'waves' has {len(repeated)} rows whose person and wave ({asked.person!r}, "
            f"{asked.wave!r}) occurred before ({rows_phrase(list(repeated))}); one row a person "
            "and wave is needed."
        )


def _check_partnered(asked: Asked, data: Dataset) -> None:
    if asked.partnered is None:
        return
    values = data.frame[asked.partnered].dropna()
    if not (pd.api.types.is_numeric_dtype(values) and set(values.unique()) <= {0, 1}):
        raise DataError(
            f"Column {asked.partnered!r} of table 'waves' must be 1 (in a relationship) or 0; it "
            f"has {values.nunique()} different values, not all of them 0 and 1."
        )


def _with_time(asked: Asked, data: Dataset) -> Dataset:
    """Years since entry where the interview day is known, else the wave from the first on."""
    if asked.day is None:
        wave = data.frame[asked.wave].astype(float)
        unit = data.variable(asked.wave).unit
        variable = Variable(TIME, data.label(asked.wave), measure="scale", unit=unit)
        return data.with_column(variable, wave - wave.min())
    years = data.frame[asked.day].astype(float) / DAYS_IN_A_YEAR
    return data.with_column(
        Variable(TIME, "Years since entry", measure="scale", unit="years"), years
    )


def _not_applicable(asked: Asked, data: Dataset, study: Study) -> pd.Series[bool]:
    """Waves at which satisfaction does not apply: coded so, or known to be unpartnered."""
    variable = data.variable(asked.satisfaction)
    codes = data.missing.get(asked.satisfaction, pd.Series(dtype=float))
    structural = [
        code
        for code in codes.unique()
        if code in study.protocol.structural or "not applicable" in variable.level(code).casefold()
    ]
    coded = codes.index[codes.isin(structural)]
    outside = pd.Series(data.frame.index.isin(coded), index=data.frame.index)
    if asked.partnered:
        outside |= data.frame[asked.partnered] == 0
    return outside


def _refuse_still_slopes(asked: Asked, data: Dataset) -> None:
    """A column that never changes within a person has no slope of that person."""
    grouped = data.frame.groupby(asked.person)
    for name in asked.random_slope:
        if grouped[name].nunique().max() <= 1:
            raise NotEstimable(
                f"Column {name!r} never changes within a person, so its slope cannot vary between "
                "people; take it out of 'random_slope'."
            )
