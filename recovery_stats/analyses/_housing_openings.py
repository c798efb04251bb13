"""Houses that open during the study: change where one opened beyond change where none had yet.

The fourth design of `collaborative_housing`. Nobody has an arm: each person lives where a house
opened at some time, or where none did, and is interviewed before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recovery_stats.analyses._wording import phrase, short
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.document import Column, LineFigure, Row, Series, Table
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.missing_figure import with_missing_bars
from recovery_stats.models.outcome import Reading, read_outcome
from recovery_stats.models.staggered import difference_in_differences
from recovery_stats.models.staggered_fit import Staggered, TwoWay
from recovery_stats.models.summary import missing_table, table_one

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question

OUTCOME, FIRST, PLACE = "outcome|", "first|", "place|"
PLACES = ("No house opened", "A house opened")  # where people live, in the study
MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0)
FRAGILE = 1.0  # multiple of the largest deviation before, below which trends explain the effect
PARTS = (("interval", "Estimate [CI]"), ("df", "df"), ("p", "p"))


def is_about_openings(question: Question) -> bool:
    """Whether the study file describes openings: a date of opening, and no arm beside it."""
    return question.opened is not None and (question.arm is None or question.design == "openings")


@dataclass(frozen=True, slots=True)
class _Openings:
    """What was asked, and found. word: what people of one place share ("site")."""

    question: Question
    waves: Dataset
    persons: Dataset
    reading: Reading
    fit: Staggered
    word: str
    estimates: tuple[Estimate, ...]
    plain: TwoWay | None
    breakdown: float

    @property
    def effect(self) -> Estimate:
        return self.estimates[0]

    @property
    def outcome(self) -> str:
        assert self.question.repeated is not None
        return short(self.waves.label(self.question.repeated))


def answer_openings(question: Question, study: Study) -> Result:
    """Effects by time since the opening, their mean first; what bounds on trends leave of it."""
    found = _find(question, study)
    result = Result(
        analysis="collaborative_housing",
        estimand=_estimand(found, study.protocol.population),
        estimates=found.estimates,
        checks=tuple(_checks(found)),
        flow=_flow(found, len(study["persons"])),
        facts=_facts(found),
        said=frozenset(_said(found)),
        tables={t.name: t for t in _tables(found)},
        figures={"event_study": _figure(found)},
        sources=tuple(study[name].source for name in ("persons", "waves")),
        synthetic=study.protocol.synthetic,
    )
    return with_missing_bars(result, "Share of rows")


# --- reading ---------------------------------------------------------------------------------


def _find(question: Question, study: Study) -> _Openings:
    waves, persons, cluster = _join(question, study)
    assert question.repeated is not None
    reading = read_outcome(waves, question.repeated, question.outcome_level)
    label = waves.label(question.repeated)
    waves = waves.with_column(Variable(OUTCOME, label), reading.values)
    assert question.wave is not None
    fit = difference_in_differences(
        OUTCOME, waves, unit=question.person or "", time=question.wave, first=FIRST,
        adjust=question.adjust, cluster=cluster, weights=question.weights, level=question.level,
        seed=question.seed,
    )  # fmt: skip
    word = "person" if cluster is None else _word(cluster, study)
    plain = _plain(fit)
    estimates = tuple(_estimates(fit, plain, question))
    return _Openings(question, waves, persons, reading, fit, word, estimates, plain,
                     _breakdown(fit))  # fmt: skip


def _join(question: Question, study: Study) -> tuple[Dataset, Dataset, str | None]:
    """Waves with what the persons table tells of their people; persons; the cluster's column."""
    if question.repeated is None or question.wave is None or "waves" not in study:
        raise UsageError(
            "Houses that open during the study need a table 'waves' with --repeated COLUMN, the "
            "outcome at each wave, and --wave COLUMN, its time on the scale of the opening; in the "
            "study file: repeated and repeated_at under [roles.waves]."
        )
    if question.person is None:
        raise UsageError("Houses that open during the study need --person COLUMN.")
    persons, waves = study["persons"], study["waves"]
    cluster = question.cluster or study.role("persons", "site") or study.role("persons", "house")
    wanted = [c for c in (question.opened, cluster, question.weights, *question.adjust) if c]
    persons.require(question.person, *wanted, *question.describe, table="persons")
    person = study.role("waves", "person") or question.person
    waves.require(person, question.repeated, question.wave, table="waves")
    if persons.frame[question.person].duplicated().any():
        raise DataError("Table 'persons' has people more than once; one row a person is needed.")
    told = persons.frame[[question.person, *dict.fromkeys(wanted)]]
    kept = waves.frame[[person, question.wave, question.repeated]]
    kept = kept.rename(columns={person: question.person})
    frame = kept.merge(told, on=question.person, how="inner", validate="many_to_one")
    frame = frame.rename(columns={str(question.opened): FIRST})
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    variables = [persons.variable(c) for c in wanted if c != question.opened]
    codebook = waves.codebook.with_variables(*variables)
    joined = replace(waves, frame=frame, codebook=codebook, missing={})
    return joined, persons, cluster


def _word(cluster: str, study: Study) -> str:
    for word in ("site", "house"):
        if cluster == study.role("persons", word) or word in cluster.casefold():
            return word
    return "place"


def _plain(fit: Staggered) -> TwoWay | None:
    try:
        return fit.two_way()
    except NotEstimable:
        return None


def _breakdown(fit: Staggered) -> float:
    try:
        return fit.breakdown()
    except NotEstimable:
        return float("nan")


# --- estimates -------------------------------------------------------------------------------


def _estimates(fit: Staggered, plain: TwoWay | None, question: Question) -> Iterator[Estimate]:
    """The mean effect on the treated, effects by time, by group, and the two-way comparator."""
    effect = fit.overall(name="opening_effect", label="Effect where a house opened", rank="primary")
    yield effect
    for row in fit.event_study().itertuples():
        if np.isfinite(row.std_error) and row.std_error > 0:
            yield replace(
                _row(effect, row, f"since_{_key(row.since)}", _since(row.since)),
                level="secondary" if row.since >= 0 else "descriptive",
            )
    for row in fit.by_group().itertuples():
        yield _row(effect, row, f"opened_{_key(row.group)}", f"Opened at {row.group:g}")
    if question.sensitivity:
        if question.adjust:
            yield from _other_methods(fit, effect)
        if plain is not None:
            low, high = _around(plain.value, plain.se, effect)
            yield replace(
                effect, name="two_way", label="Two-way fixed effects, unadjusted",
                value=plain.value, low=low, high=high, se=plain.se, p=float("nan"), level="naive",
                method="two-way fixed effects",
            )  # fmt: skip


def _other_methods(fit: Staggered, effect: Estimate) -> Iterator[Estimate]:
    """The same effect by regression alone and by weighting alone."""
    for method, label in (("regression", "Regression alone"), ("ipw", "Weighting alone")):
        try:
            other = fit.again(method)  # type: ignore[arg-type]
            found = other.overall(name=method, label=label, rank="sensitivity")
        except NotEstimable:
            continue
        yield replace(found, n=effect.n)


def _row(effect: Estimate, row: object, name: str, label: str) -> Estimate:
    """A row of a table of effects as an estimate, with the interval of it alone."""
    value, low, high, se, p, n = (
        getattr(row, k)
        for k in ("estimate", "conf_low", "conf_high", "std_error", "p_value", "treated")
    )
    return replace(effect, name=name, label=label, value=value, low=low, high=high, se=se, p=p,
                   level="secondary", n=int(n))  # fmt: skip


def _around(value: float, se: float, effect: Estimate) -> tuple[float, float]:
    """An interval of the same degrees of freedom and level as the effect's."""
    half = se * (effect.high - effect.value) / effect.se
    return value - half, value + half


def _since(time: float) -> str:
    """A time since the opening, in words."""
    if time == 0:
        return "At the opening"
    return f"{time:g} after it" if time > 0 else f"{-time:g} before it"


def _key(time: float) -> str:
    return f"{time:g}".replace("-", "minus_").replace(".", "_")


# --- tables and the figure -------------------------------------------------------------------


def _tables(found: _Openings) -> Iterator[Table]:
    persons = found.persons
    place = persons.frame[str(found.question.opened)].notna().astype(float)
    levels: dict[float | str, str] = {0.0: PLACES[0], 1.0: PLACES[1]}
    variable = Variable(PLACE, "House opened", levels, measure="nominal")
    if found.question.described:
        yield table_one(persons.with_column(variable, place), found.question.described, PLACE)
    yield _table(found, "openings", "Effect where a house opened", ("opening_effect",), "opened_")
    yield _table(found, "event_times", "Effect by time since the opening", (), "since_")
    if found.question.sensitivity:
        names = ("opening_effect", "regression", "ipw", "two_way")
        yield _table(found, "opening_rivals", "The same effect, asked in other ways", names)
    if np.isfinite(found.breakdown) or found.breakdown == np.inf:
        yield _bounds(found)
    yield missing_table(found.waves, [str(found.question.repeated), *found.question.adjust])


def _table(
    found: _Openings, name: str, caption: str, names: tuple[str, ...], prefix: str = "|"
) -> Table:
    rows = tuple(
        Row(e.name, e.label, tuple(Ref(e.name, part) for part, _ in PARTS))
        for e in found.estimates
        if e.name in names or e.name.startswith(prefix)
    )
    return Table(name, caption, tuple(Column(p, label) for p, label in PARTS), rows)


def _bounds(found: _Openings) -> Table:
    """What is left of the mean effect by how far trends may deviate."""
    rows = tuple(
        Row(
            f"most_{_key(b.most)}", f"{b.most:g} times",
            (Quantity(b.set_low), Quantity(b.set_high), Quantity(b.conf_low),
             Quantity(b.conf_high)),
        )
        for b in found.fit.bounds(MULTIPLES).itertuples()
    )  # fmt: skip
    columns = (
        Column("set_low", "from", "Effects allowed"),
        Column("set_high", "to", "Effects allowed"),
        Column("low", "from", "With sampling error"),
        Column("high", "to", "With sampling error"),
    )
    notes = (
        "Mean effect over the times since the opening, where trends deviate from one wave to the "
        "next after the opening by at most so many times the most they did before it "
        "(Rambachan and Roth, relative magnitudes).",
    )
    return Table("trend_bounds", "If trends were not parallel", columns, rows, notes)


def _figure(found: _Openings) -> LineFigure:
    table = found.fit.event_study()
    columns = ("since", "estimate", "band_low", "band_high")
    x, y, low, high = (tuple(map(float, table[c])) for c in columns)
    series = Series("Effect", x, y, low, high, tuple(int(n) for n in table["treated"]))
    return LineFigure(
        "event_study",
        "Effect by time since the opening",
        f"{short(found.waves.label(str(found.question.wave)))} since the opening",
        f"Difference in {phrase(found.outcome)}",
        (series,),
        horizontal=0.0,
        points=True,
        notes=(
            "Bands hold all times together. Before the opening the effect should be none; the "
            "last time before it is zero by construction.",
        ),
    )


# --- words -----------------------------------------------------------------------------------


def _estimand(found: _Openings, population: str) -> Estimand:
    adjusted = "given the covariates" if found.question.adjust else "without covariates"
    kind = "share of people" if found.reading.binary else "mean"
    return Estimand(
        population=f"{population}: those who live where a house opened during the study",
        treatment="a house having opened, against none yet, whether or not the person moved in",
        endpoint=found.outcome,
        intercurrent="Moving in or out, and leaving the area, are part of what is compared "
        "(treatment policy).",
        summary=f"difference in {kind}, averaged over the times since the opening and over those "
        f"who live where one opened, {adjusted}",
    )


def _said(found: _Openings) -> Iterator[str]:
    yield "openings"
    effect, fit = found.effect, found.fit
    yield "lower" if effect.high < 0 else "higher" if effect.low > 0 else "not_shown"
    present = {
        "binary_openings": found.reading.binary,
        "number_openings": not found.reading.binary,
        "adjusted": bool(found.question.adjust),
        "negative_weights": found.plain is not None and found.plain.negative_cells > 0,
        "open_always": fit.lost.treated_always > 0,
        "fragile_trends": 0 < found.breakdown < FRAGILE,
        "trend_limit": 0 < found.breakdown < np.inf,
        "notes": bool(found.question.notes),
        "undescribed": not found.question.described,
        "left_out": fit.jackknifed,
    }
    yield from (name for name, holds in present.items() if holds)


def _facts(found: _Openings) -> dict[str, Cell]:
    fit, plain = found.fit, found.plain
    facts: dict[str, Cell] = {
        "outcome": phrase(found.outcome),
        "people": Count(len(fit.panel.w)),
        "clusters": Count(fit.count, f"{found.word}s"),
        "houses": f"{found.word}s",
        "open_times": Count(len(fit.panel.groups), "groups"),
        "always": Count(fit.lost.treated_always),
        "confidence": Quantity(100 * fit.level, "df"),
        "notes": " ".join(found.question.notes),
        "breakdown": Quantity(found.breakdown),
    }
    if plain is not None:
        facts |= {"negative_share": Quantity(-plain.negative),
                  "negative_cells": Count(plain.negative_cells, "groups")}  # fmt: skip
    return facts


def _checks(found: _Openings) -> Iterator[Check]:
    yield Check(
        "design", "caution",
        ("Houses did not open by lot: they open where need grows or money comes. The answer holds "
         "if outcomes would have changed alike where none had opened yet.",),
        str(found.question.opened),
    )  # fmt: skip
    for check in found.fit.checks():
        yield replace(check, about="" if check.about.endswith("|") else check.about)


def _flow(found: _Openings, people: int) -> tuple[Step, ...]:
    """The people, at last by whether a house opened where they live."""
    lost, opened = found.fit.lost, np.isfinite(found.fit.panel.start)
    steps = [
        Step("People in the file", people, "people"),
        Step("People with a wave", lost.units, "people"),
        Step("No house open from the first wave on", lost.units - lost.treated_always, "people"),
        Step("Outcome known at some wave", len(found.fit.panel.w), "people"),
    ]
    *before, last = (s for k, s in enumerate(steps) if k == 0 or s.kept != steps[k - 1].kept)
    groups = zip(PLACES, (int((~opened).sum()), int(opened.sum())), strict=True)
    return (*before, replace(last, arms=tuple(groups)))
