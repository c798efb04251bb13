"""The answer where one column, known at entry, tells attendance or group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from recovery_stats.analyses import _meeting_tables as pages
from recovery_stats.analyses._follow_up import follow_up_table
from recovery_stats.analyses._meeting_curves import Groups, curve_estimates, curve_figure
from recovery_stats.analyses._meeting_custody import custody_checks, custody_said
from recovery_stats.analyses._meeting_groups import GROUP, grouped
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked, terms
from recovery_stats.analyses._meeting_schoenfeld import schoenfeld_figure, shown
from recovery_stats.analyses._wording import holding, phrase
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Figure, Table
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.formula import quote
from recovery_stats.models.summary import is_factor, level_label, levels_of
from recovery_stats.models.survival import CoxFit, cox


@dataclass(frozen=True, slots=True)
class _Case:
    """What one report is written from. exposure: the column of the model, a group or a number."""

    asked: Asked
    study: Study
    people: Dataset
    groups: Groups
    exposure: str
    fit: CoxFit

    @property
    def labels(self) -> tuple[str, ...]:
        return self.groups.labels

    @property
    def frequency(self) -> str:
        return self.people.label(str(self.asked.q.frequency))


def answer(asked: Asked, study: Study, people: Dataset) -> Result:
    """Hazard of relapse by a group or a number known at entry."""
    case = _case(asked, study, people)
    estimates = (*_ratios(case), *curve_estimates(case.groups))
    named = {e.name: e for e in estimates}
    primary = estimates[0]
    return Result(
        analysis="meeting_frequency",
        estimand=_estimand(case),
        estimates=estimates,
        checks=tuple(_checks(case)),
        flow=people.flow,
        facts=_facts(case, primary, named),
        said=_said(case, primary, named),
        tables={t.name: t for t in _tables(case, named)},
        figures={f.name: f for f in _figures(case, named)},
        sources=(study["persons"].source,),
        synthetic=study.protocol.synthetic,
    )


def _case(asked: Asked, study: Study, people: Dataset) -> _Case:
    name, entry = str(asked.q.frequency), asked.q.entry
    if is_factor(people, name):
        data = _levelled(asked, study, people)
        least, most = (str(c) for c in data.frame[GROUP].cat.categories[:2])
        exposure = GROUP
        _check_each_relapses(name, data)
    else:
        data, exposure = _counted(people, name), name
        least, *_, most = (str(c) for c in data.frame[GROUP].cat.categories)
    groups = Groups.of(asked, data, most, least, entry)
    return _Case(asked, study, people, groups, exposure, _fit(asked, data, exposure))


def _levelled(asked: Asked, study: Study, people: Dataset) -> Dataset:
    """The people with the column's levels as their group, the reference first."""
    name = str(asked.q.frequency)
    levels = levels_of(people, name)
    if len(levels) < 2:
        lost = len(study["persons"]) - len(people)
        raise NotEstimable(
            f"Column {name!r} has one level left among {len(people)} complete rows "
            f"({lost} rows were dropped for missing values); a comparison needs two."
        )
    variable = people.variable(name)
    labels = [level_label(variable, v) for v in levels]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({v:g})" for label, v in zip(labels, levels, strict=True)]
    order = _with_reference(labels, asked.q.reference, name)
    values = people.frame[name].map(dict(zip(levels, labels, strict=True)))
    return people.with_column(
        Variable(GROUP, variable.title), pd.Categorical(values, categories=order)
    )


def _with_reference(labels: Sequence[str], reference: str | None, column: str) -> list[str]:
    """The levels with the reference first; UsageError listing the levels when it is not one."""
    if reference is None:
        return list(labels)
    if reference not in labels:
        raise UsageError(
            f"Reference level {reference!r} is not among the levels of {column!r}: "
            f"{', '.join(labels[:12])}."
        )
    return [reference, *(label for label in labels if label != reference)]


def _counted(people: Dataset, name: str) -> Dataset:
    """The people with meetings a week in the groups of the curves."""
    data = grouped(people, name)
    if data is None:
        values = people.frame[name].nunique()
        raise NotEstimable(
            f"Predictor {name!r} has {values} different values among {len(people)} complete rows, "
            "all in one group of meetings a week; there is nothing to compare. If its numbers are "
            "codes of groups, give them value labels."
        )
    return data


def _check_each_relapses(name: str, data: Dataset) -> None:
    """A level without a relapse has hazard ratio 0 (or infinity): a limit, not an estimate."""
    relapses = data.frame.groupby(GROUP, observed=True)[EVENT].sum()
    none = [str(label) for label, n in relapses.items() if n == 0]
    if none:
        raise NotEstimable(
            f"Column {name!r}: nobody of level {none[0]!r} relapsed, so its hazard ratio lies at "
            "its limit, 0 or infinity, and has no interval. Report the counts, or merge the level "
            "with another."
        )


def _fit(asked: Asked, data: Dataset, exposure: str) -> CoxFit:
    q = asked.q
    data, entry = asked.custody.pieces(data, asked.person, q.entry, TIME, (EVENT,))
    times = f"{quote(entry)}, {quote(TIME)}" if entry else quote(TIME)
    formula = f"Surv({times}, {quote(EVENT)}) ~ {terms(exposure, *q.adjust)}{asked.strata}"
    try:
        return cox(formula, data, weights=q.weights, person=asked.person)
    except NotEstimable as error:
        raise NotEstimable(str(error).replace(GROUP, str(q.frequency))) from None


def _ratios(case: _Case) -> Iterator[Estimate]:
    level = case.asked.q.level
    if case.exposure != GROUP:
        yield case.fit.estimate(
            {case.exposure: 1.0},
            name="frequency",
            label=f"Per unit of {phrase(case.frequency)}",
            level=level,
            rank="primary",
        )
        return
    for i, label in enumerate(case.labels[1:]):
        yield case.fit.estimate(
            {f"{GROUP}[T.{label}]": 1.0},
            name=f"group[{label}]",
            label=label,
            level=level,
            rank="secondary" if i else "primary",
        )


def _estimand(case: _Case) -> Estimand:
    return Estimand(
        population=case.study.protocol.population,
        treatment=f"{phrase(case.frequency)}, "
        + ("as randomised, whatever happened after" if case.asked.drawn else "as known at entry"),
        endpoint="first relapse, in days from entry",
        intercurrent="time in custody is no time at risk; death and loss end observation"
        if case.asked.custody.suspended
        else "death, incarceration and loss to follow-up end observation",
        summary="hazard ratio of relapse",
    )


def _facts(case: _Case, primary: Estimate, named: Mapping[str, Estimate]) -> Mapping[str, Cell]:
    q, groups = case.asked.q, case.groups
    facts: dict[str, Cell] = {
        "people": Count(len(case.people)),
        "relapses": Count(int(case.people.frame[EVENT].sum()), "events"),
        "late": Count(pages.late_entry(case.asked, case.people)),
        "frequency": phrase(case.frequency),
        "reference": case.labels[0],
        "compared": primary.label,
        "most": groups.most,
        "least": groups.least,
        "hazard": Ref(primary.name, "value"),
        "hazard_low": Ref(primary.name, "low"),
        "hazard_high": Ref(primary.name, "high"),
        "hazard_p": Ref(primary.name, "p"),
        "horizon": Quantity(groups.horizon, "whole"),
        "confidence": Quantity(100 * q.level, "df"),
        "notes": " ".join(q.notes),
    }
    for fact, label in (("free_most", groups.most), ("free_least", groups.least)):
        if f"free[{label}]" in named:
            facts[fact] = Ref(f"free[{label}]", "per_100")
    return facts


def _said(case: _Case, primary: Estimate, named: Mapping[str, Estimate]) -> frozenset[str]:
    q, shown = case.asked.q, primary.p < 1 - primary.confidence
    conditions = {
        "baseline": True,
        "randomised": case.asked.drawn,
        "not_done": True,
        "shown": shown,
        "not_shown": not shown,
        "lower": primary.value < 1,
        "higher": primary.value >= 1,
        "levels": case.exposure == GROUP,
        "number": case.exposure != GROUP,
        "several": case.exposure == GROUP and len(case.labels) > 2,
        "adjusted": bool(q.adjust),
        "undescribed": not q.described,
        "stratified": q.site is not None,
        "weighted": q.weights is not None,
        "late_entry": pages.late_entry(case.asked, case.people) > 0,
        "contrast_at_entry": "free_difference" in named,
        "notes": bool(q.notes),
    }
    return holding(conditions | custody_said(q, case.asked.custody)) | named.keys()


def _checks(case: _Case) -> Iterator[Check]:
    name = str(case.asked.q.frequency)
    words = (
        f"Column {name!r} is taken as known on the day of entry. If it was counted over the "
        "follow-up, it makes an effect out of nothing: give the diary instead."
    )
    yield (
        Check("design", "ok", ("The study file says that chance decided the group.",), name)
        if case.asked.drawn
        else Check("exposure known at entry", "caution", (words,), name)
    )
    yield from pages.day_zero_check(case.asked, case.study)
    yield from custody_checks(
        case.asked.custody, case.people, case.asked.person, case.asked.q.entry, TIME
    )
    labels = {t: phrase(case.groups.data.label(t)) for t in case.fit.terms}
    yield from shown(case.fit.checks(), labels | {GROUP: phrase(case.frequency)})


def _tables(case: _Case, named: Mapping[str, Estimate]) -> Iterator[Table]:
    yield from pages.groups_table(case.asked, case.groups.data, everyone=True)
    sizes = [len(case.groups.of_group(label)) for label in case.labels]
    yield follow_up_table(
        case.people, TIME, EVENT, case.asked.q.entry, sizes=sizes,
        away=case.asked.custody.suspended,
    )  # fmt: skip
    yield pages.curve_table(case.groups)
    yield pages.share_table(case.groups, named)
    yield pages.ratio_table("ratios", "Hazard of relapse", _heads(case, named), named)
    yield pages.lost_table(case.asked, case.study)
    labels = {t: case.groups.data.label(t) for t in case.fit.terms}
    labels |= {GROUP: case.frequency, "GLOBAL": "All together"}
    yield pages.proportionality_table(case.fit, labels)


def _heads(case: _Case, named: Mapping[str, Estimate]) -> pages.Heads:
    names = [n for n, e in named.items() if e.scale == "ratio"]
    head = f"Against {case.labels[0]}" if case.exposure == GROUP else ""
    return ((head, names),)


def _figures(case: _Case, named: Mapping[str, Estimate]) -> Iterator[Figure]:
    yield curve_figure(case.groups)
    if len(case.labels) > 2:
        yield pages.forest(_heads(case, named), named)
    yield from schoenfeld_figure(case.fit, case.exposure, case.frequency)
