"""Do people in collaborative housing fare better than people with usual after-care?

Two arms are compared on a yes/no outcome (risk difference first), a number (mean difference) or
time to relapse (hazard ratio), adjusted for baseline covariates and respecting that residents of
a house are alike. Length of stay enters only as what is known on each day, never as a total
known later: who stays long has, so far, not relapsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recovery_stats.analyses import _housing_tables as pages
from recovery_stats.analyses import _housing_words as words
from recovery_stats.analyses._housing_case import (
    ARM,
    OUTCOME,
    Analysed,
    Asked,
    Case,
    OutcomeAnswer,
    missing_contrast,
)
from recovery_stats.analyses._housing_checks import checks
from recovery_stats.analyses._housing_chosen import compare_chosen
from recovery_stats.analyses._housing_houses import kinds_of_houses
from recovery_stats.analyses._housing_incidence import incidence_by_arm, with_days_lost
from recovery_stats.analyses._housing_mixed import fit_mixed, mixed_estimate
from recovery_stats.analyses._housing_moves import moved_houses, with_first_house
from recovery_stats.analyses._housing_openings import answer_openings, is_about_openings
from recovery_stats.analyses._housing_outcomes import outcome_parts
from recovery_stats.analyses._housing_people import (
    analysed,
    complete,
    read_people,
    strata_of,
)
from recovery_stats.analyses._housing_question import TABLES, Question
from recovery_stats.analyses._housing_rct import answer_trial
from recovery_stats.analyses._housing_stay import stay_section
from recovery_stats.analyses._housing_stop import stop
from recovery_stats.analyses._housing_times import answer_residence, answer_times
from recovery_stats.analyses._housing_waves import at_every_wave
from recovery_stats.analyses._missing_panel import with_missing_panel
from recovery_stats.analyses._missing_screens import with_screens_panel
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._part import joined as joined_parts
from recovery_stats.analyses._refusal import NO_ANSWER, caution
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.balance import balance
from recovery_stats.models.comparison import (
    Clusters,
    Likeness,
    Rivals,
    clusters_of,
    likeness,
    primary,
)
from recovery_stats.models.effect_size import hedges_g
from recovery_stats.models.level import join, separating_levels
from recovery_stats.models.outcome import Reading
from recovery_stats.models.residence import Times
from recovery_stats.models.risk import Family, standardise
from recovery_stats.models.sample import Sample, read_sample

__all__ = ["TABLES", "Question", "answer"]


def answer(question: Question, study: Study) -> Result:
    """Effects of the compared arm against the usual one, with balance before and rivals after."""
    if is_about_openings(question):
        return answer_openings(question, study)
    if question.design == "openings":
        raise UsageError(
            "design 'openings' needs --opened COLUMN: the time at which a house opened where the "
            "person lives; in the study file: opened under [roles.persons]."
        )
    if question.house is None:
        study = with_first_house(study, question.person, question.stay_start)
    asked = Asked.of(question, study)
    everyone, arms = read_people(asked, study)
    people = analysed(asked, everyone, study)
    if stopped := stop(asked, people, arms, study):
        return stopped
    reading = people.reading
    outcome = _answer_outcome(asked, people, reading, arms, study) if reading else None
    times, clusters, told = _answer_times(asked, everyone, arms, study, beside=outcome is not None)
    rows = balance(people.eligible, asked.adjust, ARM, weights=asked.weights)
    own = outcome.clusters if outcome else clusters
    assert own is not None
    case = Case(asked, people, arms, rows, outcome, times, own)
    more = joined_parts(
        (
            outcome_parts(question, asked, everyone, outcome),
            kinds_of_houses(question, asked, outcome, study),
            at_every_wave(question, asked, everyone, arms, study),
            incidence_by_arm(asked, times.data, pages.curves(case)) if times else Part(),
        )
    )
    stay = stay_section(
        asked, times, clusters, study, horizon=question.stay_days, seed=question.seed
    )
    tables = {t.name: t for t in (*pages.tables(case), *more.tables, *stay.tables)}
    result = Result(
        analysis="collaborative_housing",
        estimand=words.estimand(case, study.protocol.population),
        estimates=(*case.estimates, *more.estimates, *stay.estimates),
        checks=(*checks(case), *told, *more.checks, *stay.checks),
        flow=case.flow,
        facts=words.facts(case) | dict(more.facts) | dict(stay.facts),
        said=frozenset(words.said(case)) | more.said | stay.said,
        tables=tables,
        figures={f.name: f for f in (*pages.figures(case, tables), *more.figures, *stay.figures)},
        sources=tuple(study[name].source for name in asked.tables + question.tables),
        synthetic=study.protocol.synthetic,
    )
    contrast = missing_contrast(case)
    if question.screens:
        return with_screens_panel(result, contrast, question.screens)
    return with_missing_panel(result, contrast, question.seed)


def _answer_times(
    asked: Asked, everyone: Dataset, arms: Reading, study: Study, *, beside: bool
) -> tuple[Times | None, Clusters | None, tuple[Check, ...]]:
    """Time to relapse by arm and residence; `beside` an outcome, what fails is a caution."""
    if not asked.time:
        return None, None, ()
    try:
        times, clusters = answer_times(asked, everyone, arms)
        times = with_days_lost(asked, times)
        if asked.stays:
            times = answer_residence(asked, times, clusters, study["stays"])
    except NotEstimable:
        if not beside:
            raise
        return None, None, (caution("time to relapse", "Time to relapse", NO_ANSWER),)
    return times, clusters, ()


# --- a yes/no outcome or a number ----------------------------------------------------------


def _answer_outcome(
    asked: Asked, people: Analysed, reading: Reading, arms: Reading, study: Study
) -> OutcomeAnswer:
    """Every estimate of the outcome, on the people who have it."""
    eligible, data = people.eligible, people.data
    joined = separating_levels(data, OUTCOME, asked.adjust) if reading.binary else ()
    data = join(data, joined)
    clusters, sample = _sample(asked, data)
    family: Family = "binomial" if reading.binary else "gaussian"
    if reading.binary:
        _both_outcomes(asked, data, reading, arms)
    strata = strata_of(asked, data, clusters)
    found = primary(sample, family, strata=strata, level=asked.level)
    alike = likeness(sample, clusters, level=asked.level)
    estimates = [
        *_effects(asked, found.fit, reading, arms),
        *_standardised(asked, data, reading, alike),
    ]
    mixed = fit_mixed(asked, data, clusters)
    chosen = compare_chosen(asked, data, clusters, estimates)
    moves = moved_houses(asked, data, study)
    if asked.sensitivity:
        estimates += [
            *Rivals(sample, clusters, family, asked.level, asked.word).all(),
            *_by_site(asked, data, sample, family),
            *mixed_estimate(asked, data, mixed),
            *moves.estimates,
            *(chosen.estimates if chosen else ()),
            *_missing_as(asked, join(eligible, joined), reading),
        ]
    trial = answer_trial(asked, data, sample, clusters, found, strata)
    estimates += trial.estimates
    return OutcomeAnswer(
        reading,
        eligible,
        data,
        clusters,
        found,
        alike,
        tuple(estimates),
        joined,
        mixed,
        chosen,
        trial,
        moves,
    )


def _sample(asked: Asked, data: Dataset) -> tuple[Clusters, Sample]:
    arm = data.frame[ARM].to_numpy(dtype=float)
    clusters = clusters_of(data, asked.cluster, arm)
    if clusters.named == 1 and asked.cluster:
        raise NotEstimable(
            f"Column {asked.cluster!r} has one level among {len(data)} complete rows: what that "
            f"one {asked.word} does cannot be told from what the arm does. Leave 'cluster' out "
            "only if the text says so."
        )
    codes = None if clusters.structure == "none" else clusters.codes
    return clusters, read_sample(
        data, OUTCOME, ARM, asked.adjust, cluster=codes, weights=asked.weights
    )


def _both_outcomes(asked: Asked, data: Dataset, reading: Reading, arms: Reading) -> None:
    """NotEstimable when everybody or nobody of an arm had the outcome."""
    for arm, name in ((0.0, arms.other), (1.0, arms.counted)):
        share = data.frame.loc[data.frame[ARM] == arm, OUTCOME].mean()
        if share in (0.0, 1.0):
            who = "everybody" if share else "nobody"
            raise NotEstimable(
                f"Arm {asked.arm!r}: {who} in {name!r} had outcome {asked.outcome!r} "
                f"({reading.counted!r}), so that ratios are 0 or infinite and no interval holds."
            )


def _effects(asked: Asked, fit: Any, reading: Reading, arms: Reading) -> Iterator[Estimate]:
    """The declared effects: difference first."""
    level = asked.level
    method = "standardised, " + ("logistic" if reading.binary else "linear") + " model"
    kind = "risk" if reading.binary else "mean"
    yield fit.effect(
        "difference", f"{kind}_difference", f"{kind.capitalize()} difference", level=level,
        rank="primary", method=method,
    )  # fmt: skip
    if reading.binary:
        for ratio, name, label in (("ratio", "risk_ratio", "Risk ratio"),
                                   ("odds_ratio", "odds_ratio", "Odds ratio")):  # fmt: skip
            yield fit.effect(ratio, name, label, level=level, rank="secondary", method=method)
    for arm, name, who in ((1, "compared", arms.counted), (0, "usual", arms.other)):
        label = f"{kind.capitalize()} in “{who}”"
        yield fit.mean(arm, f"{kind}_{name}", label, level=level, method=method)


def _standardised(
    asked: Asked, data: Dataset, reading: Reading, alike: Likeness | None
) -> Iterator[Estimate]:
    """Hedges g of a number, its interval widened by the design effect."""
    if reading.binary:
        return
    y, arm = data.frame[OUTCOME].to_numpy(float), data.frame[ARM].to_numpy(float)
    yield hedges_g(
        y[arm == 1], y[arm == 0], level=asked.level,
        design_effect=alike.design_effect if alike else 1.0,
    )  # fmt: skip


def _by_site(asked: Asked, data: Dataset, sample: Sample, family: Family) -> Iterator[Estimate]:
    """The difference with the other kind of cluster, where both house and site are known."""
    if not asked.own_site or sample.cluster is None:
        return
    clusters = clusters_of(data, asked.own_site, sample.arm)
    if clusters.named > 2:
        fit = standardise(replace(sample, cluster=clusters.codes), family)
        yield fit.effect(
            "difference", "by_site", "By site instead (CR2)", level=asked.level,
            rank="sensitivity", method="CR2",
        )  # fmt: skip


def _missing_as(asked: Asked, eligible: Dataset, reading: Reading) -> Iterator[Estimate]:
    """Everyone without an outcome counted as having had it, then as not having had it."""
    known = complete(eligible, tuple(c for c in (*asked.adjust, asked.weights) if c))
    if not reading.binary or not known.frame[OUTCOME].isna().any():
        return
    for value, name, level in ((1.0, "missing_yes", reading.counted),
                               (0.0, "missing_no", reading.other)):  # fmt: skip
        filled = known.with_column(Variable(OUTCOME), known.frame[OUTCOME].fillna(value))
        clusters, sample = _sample(asked, filled)
        strata = strata_of(asked, filled, clusters)
        try:
            found = primary(sample, "binomial", strata=strata, level=asked.level)
        except NotEstimable:
            continue
        yield found.fit.effect(
            "difference", name, f"Missing counted as “{level}”", level=asked.level,
            rank="sensitivity", method="single value",
        )  # fmt: skip
