"""The slope within people under each assumption on the waves that lack a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import log
from typing import Literal

import numpy as np

from recovery_stats.analyses._missing_panel import DRAWN
from recovery_stats.analyses._missing_rows import Attempt, attempted
from recovery_stats.analyses._satisfaction_family import OF_COUNTS
from recovery_stats.analyses._satisfaction_model import Model
from recovery_stats.analyses._satisfaction_rows import TIME, Waves
from recovery_stats.core import progress
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.imputation import impute
from recovery_stats.models.imputed import Imputed
from recovery_stats.models.pool import pool
from recovery_stats.models.risk import estimate
from recovery_stats.models.split import split

HALF = 0.5  # standard deviations by which imputed values are shifted
LACKING = "lacks a value"
# Rows imputed, up to five times over: at 40,000 one to three minutes of a slow core, at 100,000 up
# to seven, told as they go. All converge; beyond, nobody asked to wait so long for one table.
MOST_ROWS = 100_000
STEP = "imputations"
COUNTED = {1.0: ("missing[yes]", "Missing = yes"), 0.0: ("missing[no]", "Missing = no")}


@dataclass(frozen=True, slots=True)
class Shift:
    """How far what is imputed lies from what those seen would tell: by half an SD, or odds."""

    what: str
    column: str
    sign: int
    step: float
    kind: Literal["sd", "odds"]

    @property
    def delta(self) -> float:
        return self.sign * self.step

    @property
    def name(self) -> str:
        by = f"{self.sign * HALF:+.1f}" if self.kind == "sd" else "*2" if self.sign > 0 else "/2"
        return f"missing[{self.what}{by}]"

    @property
    def label(self) -> str:
        if self.kind == "sd":
            by = f"{'+' if self.sign > 0 else '−'}{HALF:g} SD"
        else:
            by = f"IMOR {'2' if self.sign > 0 else '1/2'}"
        return f"Multiple imputation, {self.what} {by}"

    @property
    def words(self) -> str:
        if self.kind == "odds":
            times = "twice" if self.sign > 0 else "half"
            return (
                f"A missing {self.what} has {times} the odds of a yes that those seen would tell."
            )
        where = "below" if self.sign < 0 else "above"
        half = f"A missing {self.what} lies half a standard deviation {where}"
        return f"{half} what those seen would tell."


@dataclass(frozen=True, slots=True)
class Gaps:
    """The declared model, and every wave to which the question applies."""

    model: Model
    waves: Waves
    seed: int
    occasion: str

    @property
    def there(self) -> bool:
        """Whether outcome or satisfaction is missing at a wave to which the question applies."""
        asked = self.model.asked
        return bool(
            self.waves.applies.frame[[asked.outcome, asked.satisfaction]].isna().any(axis=None)
        )

    @property
    def binary(self) -> bool:
        law = self.model.law
        return law.family == "binomial" and not law.counted

    @property
    def drawable(self) -> bool:
        """Whether the outcome has a model of imputation: a number, a yes or no, a count."""
        law = self.model.law
        return law.linear or self.binary or law.family in OF_COUNTS

    @property
    def imputable(self) -> bool:
        return self.drawable and len(self.waves.applies) <= MOST_ROWS

    def shifts(self, what: str) -> tuple[Shift, ...]:
        """What imputed values are moved by; a count has no shift that leaves it one."""
        column = self.model.asked.outcome if what == "outcome" else self.model.asked.satisfaction
        if what == "outcome" and self.binary:
            return tuple(Shift(what, column, s, log(2.0), "odds") for s in (-1, 1))
        if what == "outcome" and not self.model.law.linear:
            return ()
        sd = float(self.waves.applies.frame[column].std())
        return tuple(Shift(what, column, s, HALF * sd, "sd") for s in (-1, 1))

    @property
    def asked_shifts(self) -> tuple[Shift, ...]:
        """The shifts of what is missing at some wave."""
        every = (*self.shifts("outcome"), *self.shifts("satisfaction"))
        return tuple(s for s in every if self.waves.applies.frame[s.column].isna().any())

    def told(self, data: Dataset) -> Estimate:
        """The slope of the declared model over rows filled in."""
        complete = data.complete(*self._needed)
        rival = Model.of(self.model.asked, self._split(complete))
        return rival.told(rival.fit(), {self.model.asked.within: 1.0}, "", "", "sensitivity")

    @property
    def _needed(self) -> tuple[str, ...]:
        asked = self.model.asked
        return asked.satisfaction, asked.outcome, *asked.needed

    def _split(self, data: Dataset) -> Dataset:
        return split(data, self.model.asked.satisfaction, self.model.asked.person)


def missing_attempts(gaps: Gaps) -> tuple[Attempt, ...]:
    """Every row that the question asks for; none where nothing is missing."""
    return tuple(attempted(*row) for row in _asked(gaps)) if gaps.there else ()


def _asked(gaps: Gaps) -> Iterator[tuple[str, str, Callable[[], Estimate]]]:
    """Name, label and fit of each row."""
    yield "missing[complete]", "People lacking none", partial(_complete_people, gaps)
    if gaps.imputable:
        yield "missing[imputed]", "Multiple imputation", partial(_imputed, gaps, {})
        for shift in gaps.asked_shifts:
            yield shift.name, shift.label, partial(_imputed, gaps, {shift.column: shift.delta})
    yield "missing[carried]", "Last value carried forward", partial(_carried, gaps)
    if gaps.binary:
        for value, (name, label) in COUNTED.items():
            yield name, label, partial(_counted, gaps, value)
    yield "missing[mixture]", "Pattern mixture", partial(_mixture, gaps)


# --- the rows --------------------------------------------------------------------------------


def _complete_people(gaps: Gaps) -> Estimate:
    data, person = gaps.waves.applies, gaps.model.asked.person
    whole = ~data.frame[person].isin(_lacking(gaps))
    if not whole.any():
        raise NotEstimable(f"Too few people have every {gaps.occasion} complete.")
    return gaps.told(data.with_frame(data.frame[whole]))


def _lacking(gaps: Gaps) -> set[object]:
    """People with a wave to which the question applies that is not in the model."""
    frame = gaps.waves.applies.frame
    out = ~frame.index.isin(gaps.waves.used.frame.index)
    return set(frame.loc[out, gaps.model.asked.person])


def _carried(gaps: Gaps) -> Estimate:
    """Outcome and satisfaction of the wave before, where there is one."""
    asked, data = gaps.model.asked, gaps.waves.applies
    ordered = data.frame.sort_values([asked.person, asked.wave])
    both = [asked.outcome, asked.satisfaction]
    filled = ordered.groupby(asked.person)[both].ffill()
    carried = data.with_frame(data.frame.assign(**{c: filled[c] for c in both}))
    return gaps.told(carried)


def _counted(gaps: Gaps, value: float) -> Estimate:
    """A yes or no that is missing counted as either."""
    data, outcome = gaps.waves.applies, gaps.model.asked.outcome
    filled = data.frame.assign(**{outcome: data.frame[outcome].fillna(value)})
    return gaps.told(data.with_frame(filled))


def _mixture(gaps: Gaps) -> Estimate:
    """Slopes of people who lack a value and of the others, weighted by how many they are.

    The error takes in that of the share (Hedeker & Gibbons 1997, Psychol Methods 2:64).
    """
    model, asked = gaps.model, gaps.model.asked
    lacking = model.data.frame[asked.person].isin(_lacking(gaps))
    share = float(lacking.groupby(model.data.frame[asked.person]).first().mean())
    if not 0 < share < 1:
        who = "lack a value" if not share else "have every value"
        raise NotEstimable(f"Too few people in the model {who} to make a group of their own.")
    data = model.data.with_column(Variable(LACKING, measure="scale"), lacking.astype(float))
    own = quote(LACKING)
    extra = f" + {own} + {own}:{quote(asked.within)} + {own}:{quote(TIME)}"
    fit = model.over(data).fit(model.formula(extra=extra))
    product = next((t for t in fit.terms if LACKING in t and asked.within in t), None)
    if product is None:
        raise NotEstimable("People who lack a value have no slope of their own.")
    found = model.told(fit, {asked.within: 1.0, product: share}, "", "", "sensitivity")
    of_share = fit.coefficient(product) ** 2 * share * (1 - share) / model.people
    value = found.value if model.law.linear else float(np.log(found.value))
    return estimate(
        "", "", value, float(np.hypot(found.se, of_share**0.5)),
        found.df, scale=found.scale, level=asked.level, rank="sensitivity", method=found.method,
        n=model.people,
    )  # fmt: skip


def _imputed(gaps: Gaps, delta: dict[str, float]) -> Estimate:
    """At random, or with outcome or satisfaction shifted where they were imputed."""
    return _pooled(gaps, _tables(gaps, delta))


def _tables(gaps: Gaps, delta: dict[str, float]) -> Imputed:
    """The waves completed, people and clusters having levels of their own."""
    asked, applies = gaps.model.asked, gaps.waves.applies
    cluster = [gaps.model.cluster] if gaps.model.cluster else []
    used = [asked.person, *cluster, TIME, asked.outcome, asked.satisfaction, *asked.needed]
    frame = applies.frame[list(dict.fromkeys(used))]
    frame = frame.sort_values([asked.person, TIME], kind="stable")  # the draws know no other order
    return impute(
        applies.with_frame(frame), m=DRAWN, seed=gaps.seed, heterogeneous=False,
        cluster=(*_nesting(gaps), asked.person), delta=delta,
        methods={c: "normal" for c in _numbers(gaps) if frame[c].isna().any()},
        exclude=[c for c in cluster if c not in _nesting(gaps)],
        progress=lambda done, of: progress.tell(STEP, done, of),
    )  # fmt: skip


def _numbers(gaps: Gaps) -> tuple[str, ...]:
    """Drawn from the normal model; a yes or no and a count are drawn as what they are."""
    asked = gaps.model.asked
    own = (asked.outcome,) if gaps.model.law.linear else ()
    return (*own, asked.satisfaction)


def _nesting(gaps: Gaps) -> tuple[str, ...]:
    """The cluster, where every person has one and there are enough to have a variance."""
    cluster, frame = gaps.model.cluster, gaps.waves.applies.frame
    if cluster is None or frame[cluster].isna().any() or frame[cluster].nunique() < 3:
        return ()
    moved = frame.groupby(gaps.model.asked.person)[cluster].nunique() > 1
    return () if moved.any() else (cluster,)


def _pooled(gaps: Gaps, tables: Imputed) -> Estimate:
    asked = gaps.model.asked
    models = [Model.of(asked, gaps._split(t)) for t in tables]
    fit = pool([m.fit() for m in models])
    found = gaps.model.told(fit, {asked.within: 1.0}, "", "", "sensitivity")
    people = int(np.mean([m.people for m in models]))
    return replace(found, n=people, method=f"{tables.m} imputations, Rubin's rules")
