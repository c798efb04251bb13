"""The tables of the report on satisfaction; numbers are referred to by the estimate's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._satisfaction_model import STEPS, Fit, Model
from recovery_stats.analyses._satisfaction_rows import TIME, Waves
from recovery_stats.analyses._wording import opening, phrase, plural, short
from recovery_stats.core.cell import Cell, Count, Quantity, Ref, Spread
from recovery_stats.core.document import Column, Row, Table, Total
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.generalised import GlmmFit
from recovery_stats.models.summary import levels_of, missing_by_table, missing_table, table_one

RIVALS = (
    "within",
    "robust",
    "fixed_slope",
    "unadjusted",
    "detrended",
    "lagged",
    "lead",
    "between",
    "pooled",
)


def tables(
    model: Model, fit: Fit, waves: Waves, named: Mapping[str, Estimate], occasion: str
) -> Iterator[Table]:
    """Every table the template may place."""
    yield _people(model)
    yield _waves(model, waves, occasion)
    yield _effects(model, fit)
    yield _variance(model, fit)
    if "mean_within[0]" in named:
        yield _means(model, named)
    if "response_within" in named:
        yield _responses(model, named)
    if "interaction" in named:
        names = [f"simple[{step}]" for step, _ in STEPS]
        yield _estimates(
            "slopes",
            "Slope within a person, by usual level",
            [*names, "interaction"],
            named,
            model.law.heading,
            ("From the main model with an interaction of both parts; a secondary question.",),
        )
    if others := rivals_told(named):
        yield _estimates(
            "rivals",
            "The same question asked in other ways",
            others,
            named,
            model.law.heading,
            (
                f"The {occasion} before asks what precedes the outcome. The {occasion} "
                f"after is a test, not an effect. The naive row mixes people with "
                f"{plural(occasion)} and counts every row as another person.",
            ),
        )
        yield _comparison(model)
    asked = model.asked
    yield missing_table(waves.read, [asked.outcome, asked.satisfaction, *asked.adjust])
    by_wave = missing_by_table(
        waves.read,
        [asked.outcome, asked.satisfaction],
        asked.wave,
        name="missing_waves",
        caption=f"Missing values by {occasion} and reason",
    )
    if by_wave.rows:
        yield by_wave


def rivals_told(named: Mapping[str, Estimate]) -> list[str]:
    """The main slopes and their rivals in the order of the table; none without a rival."""
    told = [n for n in RIVALS if n in named]
    return told if set(told) - {"within", "between"} else []


def _people(model: Model) -> Table:
    asked = model.asked
    first = model.data.frame.sort_values([asked.person, asked.wave]).drop_duplicates(asked.person)
    described = dict.fromkeys([*asked.described, asked.satisfaction, asked.outcome])
    return table_one(
        model.data.with_frame(first),
        list(described),
        caption="The people analysed, at the first wave they contribute",
    )


def _waves(model: Model, waves: Waves, occasion: str) -> Table:
    """By wave: held, to which the question applies, used, and what was observed there."""
    asked, read = model.asked, waves.read
    partners = waves.of_partners(asked)
    rows = []
    for wave in levels_of(read, asked.wave):
        held, applies, used = (
            part.frame[part.frame[asked.wave] == wave] for part in (read, waves.applies, waves.used)
        )
        cells: tuple[Cell, ...] = (
            Count(len(held), "rows"),
            *((Count(len(held) - len(applies), "rows"),) if partners else ()),
            Count(len(applies) - len(used), "rows"),
            Count(len(used), "rows"),
            _spread(used[asked.satisfaction]),
            _spread(used[asked.outcome]),
        )
        rows.append(Row(f"wave_{wave:g}", read.variable(asked.wave).level(float(wave)), cells))
    spread = "Mean (SD), analysed"
    return Table(
        "waves",
        f"What became of every {occasion}",
        (
            Column("held", "Held"),
            *((Column("outside", "Does not apply"),) if partners else ()),
            Column("missing", "Value missing"),
            Column("used", "Analysed"),
            Column("satisfaction", short(read.label(asked.satisfaction)), spread),
            Column("outcome", short(read.label(asked.outcome)), spread),
        ),
        tuple(rows),
        (
            "Does not apply: the person had no partner then, or the item was coded as not "
            "applicable. That is not a missing value.",
        )
        if partners
        else (),
        (Total("held", ("outside", "missing", "used"), "columns"),),
        read.label(asked.wave),
    )


def _spread(values: pd.Series[float]) -> Spread:
    sd = float(values.std()) if len(values) > 1 else float("nan")
    return Spread(float(values.mean()) if len(values) else float("nan"), sd, len(values))


def _effects(model: Model, fit: Fit) -> Table:
    """Fixed effects, grouped by what they compare."""
    asked = model.asked
    known = (asked.within, asked.between, TIME, "Intercept")
    sections = (
        ("Within a person", [asked.within]),
        ("Between people", [asked.between]),
        ("Time", [TIME]),
        ("Covariates", [t for t in fit.terms if t not in known]),
        ("", ["Intercept"]),
    )
    rows: list[Row] = []
    for title, terms in sections:
        if title and terms:
            rows.append(Row(f"head[{title}]", title))
        rows += [_effect(model, fit, t, depth=int(bool(title))) for t in terms if t in fit.terms]
    if not model.law.linear:
        return _ratios(model, rows)
    heads = ("b", "SE", "df", "t", "p", "CI", "Std. b")
    return Table(
        "effects",
        "Fixed effects of the mixed model",
        tuple(Column(k, h) for k, h in zip((*PARTS, "standardised"), heads, strict=True)),
        tuple(rows),
        (
            "b: difference in the outcome per unit. Std. b: in standard deviations of the outcome "
            "per standard deviation of the predictor. df: Satterthwaite.",
        ),
    )


def _ratios(model: Model, rows: Sequence[Row]) -> Table:
    """The same of a generalised model: ratios per unit, tested against the normal."""
    law = model.law
    heads = (law.heading, "SE (log)", "z", "p", "CI")
    return Table(
        "effects",
        "Fixed effects of the generalised mixed model",
        tuple(Column(k, h) for k, h in zip(RATIO_PARTS, heads, strict=True)),
        tuple(rows),
        (
            f"{law.heading}: {law.effect} per unit for one and the same person (conditional on "
            "the random effects). SE on the scale of its logarithm. Intervals and tests by the "
            "normal distribution.",
        ),
    )


PARTS = ("value", "se", "df", "statistic", "p", "range")
RATIO_PARTS = ("value", "se", "statistic", "p", "range")


def _effect(model: Model, fit: Fit, term: str, depth: int) -> Row:
    name = f"fixed[{term}]"
    standard: Cell = None
    if isinstance(fit, GlmmFit):
        label = _fixed_label(model, term)
        return Row(name, label, tuple(Ref(name, part) for part in RATIO_PARTS), depth)
    if term in model.data.frame.columns:
        ratio = model.sd(term) / model.sd(model.asked.outcome)
        standard = Quantity(fit.coefficient(term) * ratio)
    cells = (*(Ref(name, part) for part in PARTS), standard)
    return Row(name, _fixed_label(model, term), cells, depth)


def _fixed_label(model: Model, term: str) -> str:
    """A split part is named by satisfaction: its head says already what the row compares."""
    split = term in (model.asked.within, model.asked.between)
    return opening(model.data.label(model.asked.satisfaction)) if split else model.label(term)


def _variance(model: Model, fit: Fit) -> Table:
    """Standard deviations and correlations of the random effects, and the residual."""
    rows = []
    for i, part in enumerate(fit.variance_components().itertuples(index=False)):
        same = part.term_1 == part.term_2
        sd = Quantity(float(np.sqrt(part.covariance))) if same else None
        correlation = None if same else Quantity(float(part.correlation))
        rows.append(Row(f"component_{i}", _component(model, part), (sd, correlation)))
    note = "Restricted maximum likelihood. SDs are in units of the outcome."
    if isinstance(fit, GlmmFit):
        note = f"Maximum likelihood ({fit.approximation}). SDs are of the log {model.law.effect}."
        rows += list(_own_parameters(model, fit))
    return Table(
        "variance",
        "Random effects",
        (Column("sd", "SD"), Column("correlation", "Correlation")),
        tuple(rows),
        (note,),
    )


def _own_parameters(model: Model, fit: GlmmFit) -> Iterator[Row]:
    """What the family adds: overdispersion, likeness of the trials of a row."""
    for own in fit.family_parameters().itertuples(index=False):
        if own.parameter == "correlation":
            label = "Trials of one row: intraclass correlation"
            yield Row("own_correlation", label, (None, Quantity(float(own.estimate))))
        elif own.parameter == "dispersion":
            label = "Overdispersion: SD of rates beyond chance, as a share"
            yield Row("own_dispersion", label, (Quantity(float(np.sqrt(own.estimate))), None))


def _component(model: Model, part: Any) -> str:
    if part.group == "Residual":
        return "Residual"
    person = part.group == model.asked.person
    group = "Person" if person else opening(model.data.label(part.group))
    one, two = (_random_term(model, t) for t in (part.term_1, part.term_2))
    return f"{group}: {one}" if part.term_1 == part.term_2 else f"{group}: {one} with {two}"


def _random_term(model: Model, term: str) -> str:
    if term == "Intercept":
        return "intercept"
    if term == TIME:
        return "slope of time"
    name = model.asked.satisfaction if term == model.asked.within else term
    return f"slope of {phrase(model.data.label(name))}"


def _means(model: Model, named: Mapping[str, Estimate]) -> Table:
    satisfaction = phrase(model.data.label(model.asked.satisfaction))
    rows: list[Row] = []
    for part, title in (("within", "Within a person"), ("between", "Between people")):
        rows.append(Row(f"head[{part}]", title))
        for step, _ in STEPS:
            name = f"mean_{part}[{step}]"
            rows.append(Row(name, named[name].label, (Ref(name, "value"), Ref(name, "range")), 1))
    return Table(
        "means",
        f"Adjusted means of the outcome, by {satisfaction}",
        (Column("value", "Mean"), Column("range", "CI")),
        tuple(rows),
        (
            "Covariates and time at their means."
            if model.law.linear
            else "Averages over the population, the random effects integrated over; covariates "
            "and time as observed.",
        ),
    )


def _responses(model: Model, named: Mapping[str, Estimate]) -> Table:
    """What one step goes with in units of the outcome, over the population."""
    names = [n for n in ("response_within", "response_between") if n in named]
    parts, heads = ("value", "se", "range", "p"), ("Difference", "SE", "CI", "p")
    return Table(
        "responses",
        "The same in units of the outcome, averaged over the population",
        tuple(Column(p, h) for p, h in zip(parts, heads, strict=True)),
        tuple(Row(n, named[n].label, tuple(Ref(n, p) for p in parts)) for n in names),
        (
            "One step above the mean against the mean, everybody's other values as observed; the "
            "random effects are integrated over, errors by the delta method."
            + (" A difference of 0.01 is one in a hundred." if model.law.chance else ""),
        ),
    )


def _comparison(model: Model) -> Table:
    """Maximum likelihood fits of the same rows, from a person's mean to the main model."""
    satisfaction = phrase(model.data.label(model.asked.satisfaction))
    steps = {
        "null": ("Random intercepts only", model.null),
        "growth": ("With time and covariates", model.formula((), within_slope=False)),
        "satisfaction": (
            f"With {satisfaction}, same slope for everyone",
            model.formula(within_slope=False),
        ),
    }
    if model.varying:
        steps["slope"] = (f"With a slope of {satisfaction} that varies", model.formula())
    likelihood = {"reml": False} if model.law.linear else {}
    rows = []
    for name, (label, formula) in steps.items():
        try:
            seen = model.fit(formula, **likelihood).glance().iloc[0]
        except NotEstimable:
            continue
        numbers = (-2.0 * seen["log_likelihood"], seen["aic"], seen["bic"])
        rows.append(Row(name, label, tuple(Quantity(float(x)) for x in numbers)))
    return Table(
        "comparison",
        "Models compared",
        (Column("deviance", "Deviance"), Column("aic", "AIC"), Column("bic", "BIC")),
        tuple(rows),
        ("Maximum likelihood on the same rows; smaller is better.",),
    )


def _estimates(
    name: str,
    caption: str,
    names: Sequence[str],
    named: Mapping[str, Estimate],
    heading: str,
    notes: tuple[str, ...] = (),
) -> Table:
    parts, heads = ("value", "range", "df", "p"), (heading, "CI", "df", "p")
    return Table(
        name,
        caption,
        tuple(Column(p, h) for p, h in zip(parts, heads, strict=True)),
        tuple(Row(n, named[n].label, tuple(Ref(n, p) for p in parts)) for n in names),
        notes,
    )
