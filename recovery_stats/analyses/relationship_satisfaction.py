"""Are waves with higher relationship satisfaction waves with a better outcome, within people?

Satisfaction is split into the person's mean and the deviation from it; a linear mixed model with
random intercepts and slopes takes both. The same-wave slope is an association: beside it stand
the wave before, the wave after (a test of strict exogeneity) and other ways of asking. A lagged
outcome never enters next to a random intercept (it is correlated with it by construction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recovery_stats.analyses._question import Common, column, columns, option
from recovery_stats.analyses._satisfaction_checks import bounded, checks, rejects
from recovery_stats.analyses._satisfaction_family import FAMILIES
from recovery_stats.analyses._satisfaction_figures import figures
from recovery_stats.analyses._satisfaction_level import MeanLevel, Population, adjusted_means
from recovery_stats.analyses._satisfaction_missing import Gaps, missing_attempts
from recovery_stats.analyses._satisfaction_missing_table import (
    missing_forest,
    missing_panel_table,
    missingness,
)
from recovery_stats.analyses._satisfaction_model import (
    Fit,
    Model,
    coefficients,
    main_estimates,
    require_change,
    simple_slopes,
)
from recovery_stats.analyses._satisfaction_rivals import rivals
from recovery_stats.analyses._satisfaction_rows import (
    TIME,
    Asked,
    Waves,
    read_waves,
    refuse_beyond_cure,
)
from recovery_stats.analyses._satisfaction_tables import tables
from recovery_stats.analyses._wording import holding, phrase, plural, short
from recovery_stats.core.cell import Cell, Count, Quantity, Share
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.models.generalised import GlmmFit
from recovery_stats.models.mixed_figure import shown_in

TABLES = {
    "waves": "One row a person and wave: outcome, satisfaction, interview day.",
    "persons": "One row a person: baseline covariates, site (optional).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    """What is asked, of which columns."""

    person: str | None = column(
        "Person identifier.", table="waves", role="person", default="pid", required=True
    )
    wave: str | None = column(
        "Scheduled wave (its order is its value).",
        table="waves",
        role="wave",
        default="wave",
        required=True,
        late=True,
    )
    day: str | None = column(
        "Actual interview day; with it time runs in years since entry.", table="waves", role="day"
    )
    outcome: str | None = column(
        "Outcome at each wave.", table="waves", role="outcome", required=True
    )
    satisfaction: str | None = column(
        "Relationship satisfaction at each wave.",
        table="waves",
        role="satisfaction",
        required=True,
    )
    partnered: str | None = column(
        "1 while in a relationship; other waves are outside the estimand.",
        table="waves",
        role="partnered",
    )
    cluster: str | None = column("House or site.", table="waves", role="cluster")
    random_slope: tuple[str, ...] = columns(
        "A further column whose slope varies between people.", table="waves", role="random_slope"
    )
    family: str = option("Distribution of the outcome.", default="gaussian", choices=FAMILIES)
    trials: str | None = column(
        "Days (trials) out of which the outcome counts, for binomial and beta-binomial.",
        table="waves",
        role="trials",
    )
    out_of: int = option("The same where it is one number for all: 30 for days of 30.", default=0)
    unit: str = option("What one step of satisfaction is called.", default="point")
    outcome_unit: str = option("What one step of the outcome is called.", default="point")
    occasion: str = option("What a wave is called (wave, week, visit).", default="wave")


def answer(question: Question, study: Study) -> Result:
    """Slope of the outcome on satisfaction within and between people, with its rivals."""
    if question.wave is None:
        refuse_beyond_cure(question, study)
    asked = Asked.of(question)
    waves = read_waves(asked, study, question.occasion)
    asked = waves.asked
    model = Model.of(asked, waves.used)
    require_change(model)
    fit = model.fit()
    gaps = Gaps(model, waves, question.seed, question.occasion)
    attempts = missing_attempts(gaps) if question.sensitivity else ()
    made = tuple(a.estimate for a in attempts if a.estimate)
    estimates = (*_estimates(question, model, fit, gaps), *made)
    named = {e.name: e for e in estimates}
    panel, forest = missing_panel_table(gaps, named, attempts), missing_forest(gaps, attempts)
    told = (*tables(model, fit, waves, named, question.occasion), *((panel,) if panel else ()))
    by_name = {t.name: t for t in told}
    lacking = (forest, missingness(by_name, waves, question.occasion))
    drawn = (*figures(model, fit, named, question.unit), *(f for f in lacking if f))
    return Result(
        analysis="relationship_satisfaction",
        estimand=_estimand(question, model, fit, waves, study),
        estimates=estimates,
        checks=tuple(shown_in(checks(model, fit, waves, named), drawn)),
        flow=waves.used.flow,
        facts=_facts(question, model, fit, waves),
        said=_said(question, model, waves, named) | ({"missing_panel"} if panel else set()),
        tables=by_name,
        figures={f.name: f for f in drawn},
        sources=tuple(study[t].source for t in TABLES if t in study),
        synthetic=study.protocol.synthetic,
    )


def _estimates(question: Question, model: Model, fit: Fit, gaps: Gaps) -> tuple[Estimate, ...]:
    means = () if MeanLevel.of(model, fit).far else tuple(adjusted_means(model, fit))
    steps = tuple(Population.of(model, fit).steps()) if isinstance(fit, GlmmFit) else ()
    found = (*main_estimates(model, fit), *steps, *coefficients(model, fit), *means)
    if not question.sensitivity:
        return found
    others = rivals(model, gaps.waves, question.occasion)
    return (*found, *simple_slopes(model), *others)


def _estimand(question: Question, model: Model, fit: Fit, waves: Waves, study: Study) -> Estimand:
    satisfaction = phrase(model.data.label(model.asked.satisfaction))
    outcome = short(model.data.label(model.asked.outcome))
    occasion = question.occasion
    while_partnered = (
        f", at the {plural(occasion)} at which they have a partner" if model.asked.partnered else ""
    )
    separation = (
        f"separation: {plural(occasion)} to which the question does not apply are tabulated and "
        "never filled in; "
        if waves.of_partners(model.asked)
        else ""
    )
    return Estimand(
        population=f"{study.protocol.population}{while_partnered}",
        treatment=f"{satisfaction} one {question.unit} above the person's own mean, against that "
        "mean",
        endpoint=f"{outcome} at the same {occasion}",
        intercurrent=f"{separation}{plural(occasion)} not held are taken as missing at random "
        "given what is observed",
        summary=_summary(question, model, fit),
    )


def _summary(question: Question, model: Model, fit: Fit) -> str:
    if not isinstance(fit, GlmmFit):
        return f"mean difference per {question.unit}, within people"
    return (
        f"{model.law.effect} per {question.unit}, within people (one person against themselves); "
        f"beside it the difference in {Population.of(model, fit).words}, over the population"
    )


def _quantity(model: Model) -> str:
    """Of what a ratio is taken."""
    outcome = phrase(model.data.label(model.asked.outcome))
    return f"a higher answer on {outcome}" if model.law.family == "ordinal" else outcome


def _said(
    question: Question, model: Model, waves: Waves, named: Mapping[str, Estimate]
) -> frozenset[str]:
    main, lead = named["within"], named.get("lead")
    conditions = {
        "shown": rejects(main),
        "not_shown": not rejects(main),
        "higher": main.value > model.law.null,
        "lower": main.value <= model.law.null,
        "generalised": not model.law.linear,
        "chance": model.law.chance,
        "amount": not model.law.chance and not model.law.linear,
        "ordinal": model.law.family == "ordinal",
        "quadrature": model.nodes > 1,
        "clustered": model.cluster is not None,
        "interview_day": model.asked.day is not None,
        "adjusted": bool(model.asked.adjust),
        "weighted": model.asked.weights is not None,
        "random_within": model.varying,
        "random_time": TIME in model.slopes,
        "bounded": bounded(model),
        "unpartnered": waves.outside > 0,
        "far": "mean_within[0]" not in named,
        "feedback": lead is not None and rejects(lead),
        "notes": bool(question.notes),
    }
    return holding(conditions) | named.keys()


def _facts(question: Question, model: Model, fit: Fit, waves: Waves) -> Mapping[str, Cell]:
    asked, data = model.asked, model.data
    r2, row = fit.r2(), fit.glance().iloc[0]
    clusters = data.frame[model.cluster].nunique() if model.cluster else 0
    scarcest = waves.scarcest(asked)
    return {
        "people": Count(model.people),
        "rows": Count(len(data), "rows"),
        "outside": Count(waves.outside, "rows"),
        "lost": Share(waves.lost, len(waves.applies)),
        "most_often": f", most often {phrase(data.label(scarcest))}" if scarcest else "",
        "outcome": phrase(data.label(asked.outcome)),
        "outcome_label": data.label(asked.outcome),
        "satisfaction": phrase(data.label(asked.satisfaction)),
        "satisfaction_label": data.label(asked.satisfaction),
        "time": phrase(data.label(TIME)),
        "cluster": phrase(data.label(model.cluster)) if model.cluster else "",
        "clusters": Quantity(float(clusters), "whole"),
        "unit": question.unit,
        "units": plural(question.unit),
        "outcome_units": plural(question.outcome_unit),
        "occasion": question.occasion,
        "occasions": plural(question.occasion),
        "effect": model.law.effect,
        "an_effect": f"{'an' if model.law.link == 'logit' else 'a'} {model.law.effect}",
        "quantity": _quantity(model),
        "response": Population.of(model, fit).words if isinstance(fit, GlmmFit) else "",
        "family": question.family,
        "sd_within": Quantity(model.sd(asked.within)),
        "sd_between": Quantity(model.sd(asked.between)),
        "sd_outcome": Quantity(model.sd(asked.outcome)),
        "icc": Quantity(float(fit.icc())),
        "r2_marginal": Quantity(float(r2["marginal"])),
        "r2_conditional": Quantity(float(r2["conditional"])),
        "aic": Quantity(float(row["aic"])),
        "bic": Quantity(float(row["bic"])),
        "notes": " ".join(question.notes),
        "confidence": Quantity(100 * asked.level, "df"),
    }
