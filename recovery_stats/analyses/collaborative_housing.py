"""Do people in collaborative housing fare better than people with usual after-care?

Two arms are compared on a yes/no outcome (risk difference first), a number (mean difference) or
time to relapse (hazard ratio), adjusted for baseline covariates and respecting that residents of
a house are alike. Length of stay enters only as what is known on each day, never as a total
known later: who stays long has, so far, not relapsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.analyses import _housing_tables as pages
from recovery_stats.analyses import _housing_words as words
from recovery_stats.analyses._housing_case import (
    ARM,
    OUTCOME,
    STRATUM,
    Asked,
    Case,
    OutcomeAnswer,
    drawn_within,
    missing_contrast,
    rank_of_times,
)
from recovery_stats.analyses._housing_chosen import compare_chosen
from recovery_stats.analyses._housing_kind import KINDS, read_declared
from recovery_stats.analyses._housing_mixed import fit_mixed, mixed_estimate
from recovery_stats.analyses._housing_openings import answer_openings, is_about_openings
from recovery_stats.analyses._housing_outcomes import outcome_parts
from recovery_stats.analyses._housing_rct import answer_trial
from recovery_stats.analyses._housing_stay import stay_section
from recovery_stats.analyses._missing_panel import with_missing_panel
from recovery_stats.analyses._missing_screens import with_screens_panel
from recovery_stats.analyses._question import Common, column, columns, option
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError
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
from recovery_stats.models.outcome import Reading, read_arms
from recovery_stats.models.residence import Times, compare_residence, compare_times
from recovery_stats.models.risk import Family, standardise
from recovery_stats.models.sample import Sample, read_sample

TABLES = {
    "persons": "One row a person: arm, outcome or time to relapse, house or site, covariates.",
    "waves": "One row a person and wave, where houses open during the study (optional).",
    "stays": "One row a stay in a house: person, day in, day out (optional).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    """What is asked, of which columns."""

    person: str | None = column("Person identifier.", table="persons", role="person", default="pid")
    arm: str | None = column(
        "The two groups: collaborative house, usual after-care.", table="persons", role="arm",
        default="arm_house", required=True, late=True,
    )  # fmt: skip
    outcome: str | None = column("Outcome, yes/no or a number.", table="persons", role="outcome")
    outcome_level: str | None = option(
        "The level of the outcome that counts (default: yes, or the higher code).", default=None
    )
    outcome_kind: str | None = option(
        "What the outcome is (default: two levels are yes-no, else a number); days go with "
        "--out-of or --trials.", default=None, choices=KINDS,
    )  # fmt: skip
    out_of: float | None = option("Days that the outcome's days are out of.", default=None)
    trials: str | None = column(
        "The same where each person has their own.", table="persons", role="trials"
    )
    secondary: tuple[str, ...] = columns(
        "Declared secondary outcome, judged with the others by Holm (repeatable).",
        table="persons", role="secondary",
    )  # fmt: skip
    cost: str | None = column("What each person cost.", table="persons", role="cost")
    benefit: str | None = column(
        "What each person gained, more is better, as abstinent months.",
        table="persons", role="benefit",
    )  # fmt: skip
    willingness: float | None = option(
        "Money declared as the worth of a unit of benefit.", default=None
    )
    time: str | None = column(
        "Days to relapse or end of observation.", table="persons", role="time"
    )
    event: str | None = column("1 relapse seen, 0 censored.", table="persons", role="event")
    entry: str | None = column(
        "Day on which observation began (late entry).", table="persons", role="entry"
    )
    cluster: str | None = column(
        "House or site: people of one resemble each other.", table="persons", role="cluster"
    )
    treatment: str | None = column(
        "Moved into a house at all, or months of residence; the arm is its instrument.",
        table="persons", role="treatment",
    )  # fmt: skip
    design: str = option(
        "How people came into the arms.", default="chosen",
        choices=("chosen", "randomised", "houses-randomised", "openings"),
    )  # fmt: skip
    opened: str | None = column(
        "Time, on the scale of the waves, at which a house opened where the person lives; empty: "
        "none did.", table="persons", role="opened",
    )  # fmt: skip
    repeated: str | None = column(
        "Outcome at each wave, where houses open during the study.", table="waves", role="repeated"
    )
    wave: str | None = column(
        "Time or number of the wave of --repeated.", table="waves", role="repeated_at"
    )
    weighting: str = option(
        "Whom weights make the groups alike to, where nobody was drawn: who could have been in "
        "either (overlap), everybody (ate), the compared arm (att).", default="overlap",
        choices=("overlap", "ate", "att"),
    )  # fmt: skip
    balance_stop: float = option(
        "Show no effect where a covariate still differs by more standard deviations than this "
        "after weighting (0: always show).",
        default=0.0,
    )
    stay_start: str | None = column("Day a stay began.", table="stays", role="start",
                                    default="in_day")  # fmt: skip
    stay_stop: str | None = column("Day a stay ended.", table="stays", role="stop",
                                   default="out_day")  # fmt: skip
    stay_days: int = option(
        "Days since moving in over which times of leaving a house are compared.", default=540
    )
    subgroup: tuple[str, ...] = columns(
        "Declared subgroup or moderator of the effect, as sex or ACE (repeatable).",
        table="persons", role="subgroup",
    )  # fmt: skip
    screens: tuple[str, ...] = columns(
        "Where the outcome is a share of screens: counts of negative, attended and scheduled ones.",
        table="persons", role="screens",
    )  # fmt: skip
    margin: float | None = option(
        "Margin of equivalence, on the scale of the difference.", default=None
    )
    margin_reason: str = option("Why a smaller difference would not matter.", default="")
    margin_aim: str | None = option(
        "What the margin is for (default: equivalence).", default=None,
        choices=("equivalence", "non-inferiority"),
    )  # fmt: skip
    better: str | None = option(
        "Which way the outcome is good, for non-inferiority (default: lower).", default=None,
        choices=("lower", "higher"),
    )  # fmt: skip
    expected: float | None = option(
        "Difference expected beforehand, for Bayes factors.", default=None
    )


def answer(question: Question, study: Study) -> Result:
    """Effects of the compared arm against the usual one, with balance before and rivals after."""
    if is_about_openings(question):
        return answer_openings(question, study)
    if question.design == "openings":
        raise UsageError(
            "design 'openings' needs --opened COLUMN: the time at which a house opened where the "
            "person lives; in the study file: opened under [roles.persons]."
        )
    asked = Asked.of(question, study)
    everyone, arms = _read(asked, study)
    outcome = _answer_outcome(asked, everyone, arms, study) if asked.outcome else None
    times, clusters = _answer_times(asked, everyone, arms) if asked.time else (None, None)
    if times is not None and clusters is not None and asked.stays:
        times = _answer_residence(asked, times, clusters, study["stays"])
    asked_about = outcome.eligible if outcome else everyone
    rows = balance(asked_about, asked.adjust, ARM, weights=asked.weights)
    case = Case(asked, everyone, arms, rows, outcome, times, clusters)
    more = outcome_parts(question, asked, everyone, outcome)
    stay = stay_section(
        asked, times, clusters, study, horizon=question.stay_days, seed=question.seed
    )
    result = Result(
        analysis="collaborative_housing",
        estimand=words.estimand(case, study.protocol.population),
        estimates=(*case.estimates, *more.estimates, *stay.estimates),
        checks=(*words.checks(case), *more.checks, *stay.checks),
        flow=case.flow,
        facts=words.facts(case) | dict(stay.facts),
        said=frozenset(words.said(case)) | more.said | stay.said,
        tables={t.name: t for t in (*pages.tables(case), *more.tables, *stay.tables)},
        figures={f.name: f for f in (*pages.figures(case), *more.figures, *stay.figures)},
        sources=tuple(study[name].source for name in asked.tables),
        synthetic=study.protocol.synthetic,
    )
    contrast = missing_contrast(case)
    if question.screens:
        return with_screens_panel(result, contrast, question.screens)
    return with_missing_panel(result, contrast, question.seed)


# --- people and arms -----------------------------------------------------------------------


def _read(asked: Asked, study: Study) -> tuple[Dataset, Reading]:
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
    return (data if known.all() else _keep(data, known, f"{data.label(asked.arm)} known")), arms


def _keep(data: Dataset, rows: Any, reason: str) -> Dataset:
    """Keep rows and write the loss in people."""
    frame = data.frame[rows]
    return replace(data, frame=frame, flow=(*data.flow, Step(reason, len(frame), "people")))


def _complete(data: Dataset, columns: tuple[str, ...]) -> Dataset:
    for name in columns:
        observed = data.frame[name].notna()
        if not observed.all():
            data = _keep(data, observed, f"{data.label(name)} observed")
    return data


def _both_arms(asked: Asked, data: Dataset, before: int) -> None:
    """NotEstimable when an arm has nobody left, saying how many rows went."""
    left = data.frame[ARM].nunique()
    if left < 2:
        raise NotEstimable(
            f"Arm {asked.arm!r} has {left} level left: {before - len(data)} of {before} rows were "
            "dropped for missing values, and with them one of the two groups. Look at the "
            "columns named in 'outcome' and 'adjust'."
        )


# --- a yes/no outcome or a number ----------------------------------------------------------


def _answer_outcome(asked: Asked, everyone: Dataset, arms: Reading, study: Study) -> OutcomeAnswer:
    """Every estimate of the outcome, on the people who have it."""
    assert asked.outcome is not None
    reading = read_declared(asked, everyone)
    label = everyone.label(asked.outcome)
    data = everyone.with_column(Variable(OUTCOME, label), reading.values)
    outside = _does_not_apply(asked, data, study)
    if outside.any():
        data = _keep(data, ~outside, f"{label} applies")
    needed = tuple(c for c in (*asked.adjust, asked.weights) if c)
    eligible = data
    data = _complete(data, (OUTCOME, *needed))
    _both_arms(asked, data, len(everyone))
    joined = separating_levels(data, OUTCOME, asked.adjust) if reading.binary else ()
    data = join(data, joined)
    clusters, sample = _sample(asked, data)
    family: Family = "binomial" if reading.binary else "gaussian"
    if reading.binary:
        _both_outcomes(asked, data, reading, arms)
    strata = _strata(asked, data, clusters)
    found = primary(sample, family, strata=strata, level=asked.level)
    alike = likeness(sample, clusters, level=asked.level)
    estimates = [
        *_effects(asked, found.fit, reading, arms),
        *_standardised(asked, data, reading, alike),
    ]
    mixed = fit_mixed(asked, data, clusters)
    chosen = compare_chosen(asked, data, clusters, estimates)
    if asked.sensitivity:
        estimates += [
            *Rivals(sample, clusters, family, asked.level, asked.word).all(),
            *_by_site(asked, data, sample, family),
            *mixed_estimate(asked, data, mixed),
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
    )


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


def _strata(asked: Asked, data: Dataset, clusters: Clusters) -> NDArray[Any] | None:
    """Codes of what people were randomised within."""
    column = drawn_within(asked, data, clusters)
    if column is None or column == asked.cluster:
        return clusters.codes if column else None
    return np.asarray(pd.factorize(data.frame[column], use_na_sentinel=False)[0])


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
    known = _complete(eligible, tuple(c for c in (*asked.adjust, asked.weights) if c))
    if not reading.binary or not known.frame[OUTCOME].isna().any():
        return
    for value, name, level in ((1.0, "missing_yes", reading.counted),
                               (0.0, "missing_no", reading.other)):  # fmt: skip
        filled = known.with_column(Variable(OUTCOME), known.frame[OUTCOME].fillna(value))
        clusters, sample = _sample(asked, filled)
        strata = _strata(asked, filled, clusters)
        try:
            found = primary(sample, "binomial", strata=strata, level=asked.level)
        except NotEstimable:
            continue
        yield found.fit.effect(
            "difference", name, f"Missing counted as “{level}”", level=asked.level,
            rank="sensitivity", method="single value",
        )  # fmt: skip


# --- time to relapse -----------------------------------------------------------------------


def _answer_times(asked: Asked, everyone: Dataset, arms: Reading) -> tuple[Times, Clusters]:
    """Time to relapse by arm."""
    assert asked.time is not None
    assert asked.event is not None
    needed = tuple(c for c in (asked.time, asked.event, asked.entry, *asked.adjust) if c)
    data = _complete(everyone, needed)
    _both_arms(asked, data, len(everyone))
    clusters = clusters_of(data, asked.cluster, data.frame[ARM].to_numpy(dtype=float))
    _events_in_both(asked, data, arms)
    data = join(data, separating_levels(data, asked.event, asked.adjust, constants=(0.0,)))
    strata = _strata(asked, data, clusters)
    if strata is not None:
        data = data.with_column(Variable(STRATUM, "stratum"), strata.astype(float))
    columns = asked.times(None if strata is None else STRATUM)
    found = compare_times(data, columns, clusters, level=asked.level, rank=rank_of_times(asked))
    return found, clusters


def _events_in_both(asked: Asked, data: Dataset, arms: Reading) -> None:
    """NotEstimable when nobody in an arm had the event."""
    label = data.label(str(asked.arm))
    said = "" if label == asked.arm else f" ({label})"
    for arm, name in ((0.0, arms.other), (1.0, arms.counted)):
        if not (data.frame.loc[data.frame[ARM] == arm, asked.event] == 1).any():
            raise NotEstimable(
                f"Event {asked.event!r} did not occur where column {asked.arm!r}{said} is "
                f"{name!r}, so that the hazard ratio is 0 or infinite and no interval holds."
            )


def _answer_residence(asked: Asked, found: Times, clusters: Clusters, stays: Dataset) -> Times:
    """Add residence on the day to the comparison of arms."""
    assert asked.stays is not None
    assert asked.person is not None
    key, start, stop = asked.stays
    if key != asked.person:
        stays = stays.with_frame(stays.frame.rename(columns={key: asked.person}))
    strata = STRATUM if STRATUM in found.data.frame.columns else None
    return compare_residence(
        found, asked.times(strata), clusters, stays, person=asked.person, start=start, stop=stop,
        level=asked.level,
    )  # fmt: skip
