"""The question about satisfaction asked in other ways, each under its own name.

A lagged outcome is never among the predictors: next to a random intercept it is correlated with
the intercept by construction and biases every slope (Nickell 1981, Econometrica 49:1417).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recovery_stats.analyses._satisfaction_model import WAVES_FOR_SLOPE, Model
from recovery_stats.analyses._satisfaction_rows import TIME, Waves
from recovery_stats.analyses._wording import plural
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.gee import gee
from recovery_stats.models.glm import glm
from recovery_stats.models.linear import ols
from recovery_stats.models.split import AFTER, BEFORE, DETRENDED, detrend, part_name, shift

ABOVE = "outcome above the split"


def rivals(model: Model, waves: Waves, occasion: str) -> Iterator[Estimate]:
    """Robust errors, other random terms, covariates and predictors; the naive regression last."""
    asked = model.asked
    yield from (_robust(model) if model.law.linear else _marginal(model))
    if model.varying:
        yield from _shared(model)
    if asked.adjust:
        yield from _unadjusted(model, waves, occasion)
    if model.waves >= WAVES_FOR_SLOPE:
        yield from _detrended(model)
    yield from _neighbours(model, waves, occasion)
    yield from _pooled(model)


def _slope(model: Model, fit: Any, term: str, name: str, label: str) -> Estimate:
    return model.told(fit, {term: 1.0}, name, label, "sensitivity")


def _shared(model: Model) -> Iterator[Estimate]:
    try:
        same = model.fit(model.formula(within_slope=False))
    except NotEstimable:
        return
    yield _slope(model, same, model.asked.within, "fixed_slope", "The same slope for everyone")


def _unadjusted(model: Model, waves: Waves, occasion: str) -> Iterator[Estimate]:
    """No covariates, and so every row that lacked nothing but one of them."""
    data = waves.without_covariates(model.asked)
    more = len(data) > len(model.data)
    rival = Model.of(replace(model.asked, adjust=()), data) if more else model
    label = "Without covariates" + (f", on all {plural(occasion)}" if more else "")
    try:
        fit = rival.fit(rival.formula(adjust=False))
    except NotEstimable:
        return
    yield _slope(model, fit, model.asked.within, "unadjusted", label)


def _believable(found: Estimate) -> Iterator[Estimate]:
    """Leave out what fewer than one degree of freedom would make an interval of everything."""
    if found.df >= 1:
        yield found


def _robust(model: Model) -> Iterator[Estimate]:
    """CR2 errors by person, from a model in which rows of different people are independent."""
    try:
        fit = model.fit(model.formula(cluster=False), cluster=model.asked.person)
    except NotEstimable:
        return
    label = "Robust errors by person (CR2)"
    yield from _believable(_slope(model, fit, model.asked.within, "robust", label))


def _marginal(model: Model) -> Iterator[Estimate]:
    """Estimating equations by person: the population's ratio, with errors for small samples."""
    asked = model.asked
    data, formula = _above_or_not(model)
    try:
        fit = gee(
            formula, data, groups=asked.person, family=model.law.marginal,
            weights=asked.weights, required=(asked.within,),
        )  # fmt: skip
    except NotEstimable:
        return
    label = "Marginal model (GEE), small-sample errors by person"
    yield from _believable(_slope(model, fit, asked.within, "robust", label))


def _above_or_not(model: Model) -> tuple[Dataset, str]:
    """An ordinal outcome as a yes or no at the split nearest to half; others as they are."""
    formula = model.fixed()
    if model.law.family != "ordinal":
        return model.data, formula
    values = model.data.frame[model.asked.outcome]
    cuts = sorted(values.unique())[:-1]
    cut = min(cuts, key=lambda c: abs(float((values > c).mean()) - 0.5))
    variable = Variable(ABOVE, measure="scale")
    predictors = formula.partition("~")[2]
    data = model.data.with_column(variable, (values > cut).astype(float))
    return data, f"{quote(ABOVE)} ~ {predictors}"


def _pooled(model: Model) -> Iterator[Estimate]:
    """The naive answer: one regression over all rows, as if each were another person."""
    asked = model.asked
    predictors = " + ".join(map(quote, (TIME, asked.satisfaction, *asked.adjust)))
    try:
        if model.law.linear:
            fit: Any = ols(f"{quote(asked.outcome)} ~ {predictors}", model.data)
        else:
            data, formula = _above_or_not(model)
            left = formula.partition("~")[0]
            fit = glm(f"{left} ~ {predictors}", data, family=model.law.marginal)
    except NotEstimable:  # covariates that are combinations of others; the main model drops them
        return
    label = "Naive: rows as if unrelated"
    yield model.told(fit, {asked.satisfaction: 1.0}, "pooled", label, "naive")


def _detrended(model: Model) -> Iterator[Estimate]:
    """Deviations from the person's own line over time, so that shared drift cannot make a slope."""
    asked = model.asked
    name = part_name(asked.satisfaction, DETRENDED)
    data = detrend(model.data, asked.satisfaction, asked.person, TIME).complete(name)
    rival = model.over(data)
    try:
        fit = rival.fit(rival.formula((name, asked.between), within_slope=False))
    except (NotEstimable, DataError):  # nobody has three waves
        return
    found = _slope(model, fit, name, "detrended", "From the person's own trend")
    yield from _believable(found)


def _neighbours(model: Model, waves: Waves, occasion: str) -> Iterator[Estimate]:
    """Satisfaction the wave before; the wave after beside this wave's (strict exogeneity).

    Both count from the person's own mean. A neighbour's value may come from a wave without an
    outcome; a wave that does not apply has none.
    """
    asked = model.asked
    known = waves.applies.with_frame(
        waves.applies.frame[waves.applies.frame[asked.satisfaction].notna()]
    )
    around = shift(known, asked.satisfaction, asked.person, asked.wave).frame
    usual = model.data.frame[asked.satisfaction] - model.data.frame[asked.within]
    before, after = (part_name(asked.satisfaction, part) for part in (BEFORE, AFTER))
    for short, name, beside, label in (
        ("lagged", before, (), f"The {occasion} before"),
        ("lead", after, (asked.within,), f"The {occasion} after (a test)"),
    ):
        deviation = around[name].reindex(model.data.frame.index) - usual
        data = model.data.with_column(Variable(name, label, measure="scale"), deviation)
        rival = model.over(data.complete(name))
        try:
            fit = rival.fit(rival.formula((*beside, name, asked.between), within_slope=False))
            yield from _believable(_slope(model, fit, name, short, label))
        except (NotEstimable, DataError):
            continue
