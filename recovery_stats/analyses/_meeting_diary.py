"""The answer where a diary tells attendance day by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recovery_stats.analyses import _meeting_parts as parts
from recovery_stats.analyses import _meeting_tables as pages
from recovery_stats.analyses._follow_up import follow_up_table
from recovery_stats.analyses._meeting_causes import Causes, Incidences, cause_estimates, cause_table
from recovery_stats.analyses._meeting_curves import Groups, curve_estimates, curve_figure
from recovery_stats.analyses._meeting_custody import custody_checks
from recovery_stats.analyses._meeting_definition import NAMES
from recovery_stats.analyses._meeting_diary_words import (
    Case,
    estimand,
    facts,
    said,
    strategy_said,
)
from recovery_stats.analyses._meeting_family import family_table
from recovery_stats.analyses._meeting_groups import REFERENCE_GROUP
from recovery_stats.analyses._meeting_kernel import (
    Kernels,
    kernel_checks,
    kernel_estimates,
    kernel_facts,
    kernel_said,
    window_estimates,
)
from recovery_stats.analyses._meeting_kernel_tables import kernel_figures, kernel_tables
from recovery_stats.analyses._meeting_landmark import (
    LEAST,
    MOST,
    landmark_flow,
    landmark_groups,
)
from recovery_stats.analyses._meeting_models import GROUPED, LAGS, MAIN, Models
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._meeting_rivals import CONTROLS, DATES, FUTURE, LOSS, SITES
from recovery_stats.analyses._meeting_rows import WEEKDAY, diary_rows, known_rows
from recovery_stats.analyses._meeting_schoenfeld import schoenfeld_figure, shown
from recovery_stats.analyses._meeting_strategy import (
    Strategies,
    strategy_checks,
    strategy_estimates,
    strategy_facts,
    strategy_step,
)
from recovery_stats.analyses._meeting_strategy_tables import strategy_figure, strategy_tables
from recovery_stats.analyses._missing_rows import Attempt
from recovery_stats.analyses._part import Part, joined
from recovery_stats.analyses._wording import holding, phrase
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.core.document import Figure, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study

WINDOWS = (MAIN, "weekly_14", "weekly_28")
ATTENDED = (*(f"group[{g}]" for g in ("None", "2", "3 or 4", "5 or more")), GROUPED)
LAGGED = tuple(f"lag_{lag}" for lag in LAGS)
OTHERS = ("unadjusted", "no_house", "from_day_7")
NAIVE = ("naive_weekly", "naive_total")
MAIN_HEADS = (
    ("One more a week", WINDOWS),
    (f"In the last 7 days, against {REFERENCE_GROUP}", ATTENDED),
    ("How long ago, and how often", ("recency", "recency_beside", "frequency_beside")),
)
USED = ("persons", "meetings", "stays", "spells")
RIVAL_HEADS = (
    ("Main model: counted up to the day before", (MAIN,)),
    ("Counted earlier", LAGGED),
    ("Other covariates and days", OTHERS),
    ("Sites", SITES),
    ("Dates and entries", DATES),
    ("Relapse defined otherwise", NAMES),
    ("Relapse that comes again", ("recurrent",)),
    ("Negative control: other kinds of events", CONTROLS),
    ("Reverse causation shown: attendance after the day", FUTURE),
    ("Coded at entry from the whole follow-up", NAIVE),
)
FIGURE_HEADS = (
    *MAIN_HEADS,
    ("Last 7 days, other ways", (*LAGGED, *OTHERS, *SITES, *DATES, *NAMES, *LOSS, "recurrent")),
    ("Naive", NAIVE),
)


def answer(asked: Asked, study: Study, people: Dataset) -> Result:
    """Hazard of relapse by meetings in the days before; refused where sources are shared."""
    rows = diary_rows(asked, study, people)
    case = Case(asked, study, people, rows, known_rows(asked, rows))
    return _refused(case) if asked.shared_source else _answered(case)


def _answered(case: Case) -> Result:
    asked = case.asked
    models = Models.of(asked, case.study, case.people, case.known)
    tried = tuple(models.attempts())
    groups = _groups(case)
    causes = Causes.of(asked, case.people)
    incidences = Incidences.of(causes, asked) if causes else None
    emulated = Strategies.of(asked, case.study, case.people) if asked.by_strategy else None
    kernels = Kernels.of(asked, case.study, case.known)
    horizon = groups.horizon if groups else float(asked.q.horizon)
    more = _parts(models, emulated, groups)
    estimates = (
        *(strategy_estimates(emulated) if emulated else ()),
        *(a.estimate for a in tried if a.estimate),
        *kernel_estimates(kernels),
        *window_estimates(kernels),
        *(curve_estimates(groups) if groups else ()),
        *(cause_estimates(causes, incidences, models, horizon) if causes else ()),
        *more.estimates,
    )
    named = {e.name: e for e in estimates}
    failed = {a.name: a for a in (*tried, *more.refused) if a.reason}
    return Result(
        analysis="meeting_frequency",
        estimand=estimand(case),
        estimates=estimates,
        checks=(
            *(strategy_checks(emulated) if emulated else ()),
            *_checks(case, models, named),
            *kernel_checks(kernels),
            *more.checks,
        ),
        flow=(*case.people.flow, *(strategy_step(emulated) if emulated else ())),
        facts=facts(case, groups, named)
        | (strategy_facts(asked) if emulated else {})
        | kernel_facts(kernels)
        | dict(more.facts),
        said=said(case, groups, named)
        | ({"causes"} if causes else set())
        | holding(strategy_said(emulated, named) | kernel_said(kernels))
        | more.said,
        tables={
            t.name: t
            for t in (
                *(strategy_tables(emulated) if emulated else ()),
                *_tables(case, models, groups, causes, named, failed),
                *kernel_tables(kernels, named),
                *more.tables,
                *_sensitivity(asked, named, failed),
                *_family(estimates),
            )
        },
        figures={
            f.name: f
            for f in (
                *_strategy_figures(emulated),
                *_figures(groups, named),
                *((incidences.figure(horizon),) if incidences else ()),
                *schoenfeld_figure(models.main, MAIN, "One more in the last 7 days"),
                *kernel_figures(kernels),
                *more.figures,
                *(parts.sensitivity_figures(named, MOST, LEAST) if asked.q.sensitivity else ()),
            )
        },
        sources=_sources(case.study),
        synthetic=case.study.protocol.synthetic,
    )


def _parts(models: Models, emulated: Strategies | None, groups: Groups | None) -> Part:
    """The parts that every diary has, and with sensitivity the others."""
    always = (parts.described(models), parts.doses(models))
    if not models.asked.q.sensitivity:
        return joined(always)
    return joined(
        (
            *always,
            parts.landmarks(models),
            parts.policies(models, emulated),
            parts.otherwise(models, emulated, groups),
        )
    )


def _sensitivity(
    asked: Asked, named: dict[str, Estimate], failed: Mapping[str, Attempt]
) -> Iterator[Table]:
    if asked.q.sensitivity:
        yield from parts.sensitivity_tables(named, failed, MOST, LEAST)


def _family(estimates: tuple[Estimate, ...]) -> Iterator[Table]:
    table = family_table(estimates)
    if table is not None:
        yield table


def _strategy_figures(emulated: Strategies | None) -> Iterator[Figure]:
    figure = strategy_figure(emulated) if emulated else None
    if figure is not None:
        yield figure


def _refused(case: Case) -> Result:
    """Attendance and relapse come from the same records: describe, fail the check, stop."""
    q = case.asked.q
    check = Check(
        "shared source",
        "fail",
        (
            f"Attendance and relapse are both read off {q.exposure_source}. Whoever does not come "
            "counts as not attending and, by the endpoint's rule for what is missing, as relapsed "
            "(or as not known to have). Any effect would be made by that, so no estimate is given. "
            "Use a relapse endpoint from other records.",
        ),
        str(q.meeting_day),
    )
    return Result(
        analysis="meeting_frequency",
        estimand=estimand(case),
        estimates=(),
        checks=(check, pages.coverage_check(case.rows, case.known, refused=True)),
        flow=case.people.flow,
        facts=facts(case, None, {}) | strategy_facts(case.asked),
        said=holding(
            {
                "refused": True,
                "diary": True,
                "notes": bool(q.notes),
                "undescribed": not q.described,
                "strategy_asked": case.asked.by_strategy,
                "weekly_asked": not case.asked.by_strategy,
            }
        ),
        tables={t.name: t for t in _descriptions(case)},
        sources=_sources(case.study),
        synthetic=case.study.protocol.synthetic,
    )


def _sources(study: Study) -> tuple[Source, ...]:
    return tuple(study[t].source for t in USED if t in study)


def _groups(case: Case) -> Groups | None:
    return landmark_groups(case.asked, case.study, case.people)


def _checks(case: Case, models: Models, named: Mapping[str, Estimate]) -> Iterator[Check]:
    q = case.asked.q
    yield pages.coverage_check(case.rows, case.known)
    yield from pages.day_zero_check(case.asked, case.study)
    yield from custody_checks(case.asked.custody, case.people, case.asked.person, q.entry, TIME)
    if not any(name in named for name in ATTENDED):
        words = "Groups of attendance have no comparable relapses; the slope stands."
        yield Check("attendance groups", "caution", (words,))
    labels = {t: phrase(case.known.label(t)) for t in models.main.terms}
    yield from shown(models.main.checks(), labels)


def _descriptions(case: Case) -> Iterator[Table]:
    q = case.asked.q
    yield from pages.people_table(case.asked, case.people)
    yield pages.attendance_table(
        case.rows, case.known, q.meeting_name, relapses=not case.asked.shared_source
    )
    yield follow_up_table(case.people, TIME, EVENT, q.entry, away=case.asked.custody.suspended)
    yield pages.lost_table(case.asked, case.study)


def _tables(
    case: Case,
    models: Models,
    groups: Groups | None,
    causes: Causes | None,
    named: dict[str, Estimate],
    failed: Mapping[str, Attempt],
) -> Iterator[Table]:
    yield from _descriptions(case)
    yield pages.ratio_table(
        "ratios",
        "Hazard of relapse by attendance before the day at risk",
        MAIN_HEADS,
        named,
        ("Just after one: against long after the last, protection halving as the methods say.",),
        tested=False,
        failed=failed,
    )
    if case.asked.q.sensitivity:
        yield pages.ratio_table(
            "rivals",
            "The same question asked in other ways",
            RIVAL_HEADS,
            named,
            (
                "From day 7 on: days at risk whose seven days before all lie in the diary.",
                "Attendance coded at entry from the whole follow-up uses the future: who relapses "
                "early had less time to attend, and attends less afterwards.",
            ),
            failed=failed,
        )
    if groups is not None:
        yield landmark_flow(case.people, groups)
        yield pages.curve_table(groups)
        yield pages.share_table(groups, named)
        yield from pages.groups_table(case.asked, groups.data)
    if causes is not None:
        yield cause_table(causes, named)
    labels = {t: case.known.label(t) for t in models.main.terms} | {WEEKDAY: "Weekday"}
    yield pages.proportionality_table(models.main, {**labels, "GLOBAL": "All together"})


def _figures(groups: Groups | None, named: Mapping[str, Estimate]) -> Iterator[Figure]:
    yield pages.forest(FIGURE_HEADS, named)
    if groups is not None:
        yield curve_figure(groups)
