"""The figures of the report on satisfaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from recovery_stats.analyses._satisfaction_level import MeanLevel, Population, means_at
from recovery_stats.analyses._satisfaction_model import Fit, Model
from recovery_stats.analyses._satisfaction_rows import TIME
from recovery_stats.analyses._satisfaction_tables import rivals_told
from recovery_stats.analyses._wording import opening, phrase, plural, short
from recovery_stats.core.cell import Ref
from recovery_stats.core.document import CaterpillarFigure, Figure, ForestFigure, LineFigure, Series
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.models.columns import Columns
from recovery_stats.models.generalised import GlmmFit
from recovery_stats.models.mixed_figure import diagnostic_figure
from recovery_stats.models.summary import mean_interval

POINTS_OF_A_LINE = 9
MOST_NAMED_WAVES = 7  # more names would run into each other


def figures(model: Model, fit: Fit, named: Mapping[str, Estimate], unit: str) -> Iterator[Figure]:
    """Predicted lines, the course over the waves, rivals, and clusters where there are any."""
    outcome = short(model.data.label(model.asked.outcome))
    yield _slopes(model, fit, named, unit)
    yield LineFigure(
        "trajectory",
        "Course of the outcome",
        short(model.data.label(model.asked.wave)),
        outcome,
        (_trajectory(model),),
        points=True,
        x_ticks=_wave_names(model),
        notes=("Observed means of the waves analysed, with confidence intervals of the mean.",),
    )
    if others := rivals_told(named):
        yield ForestFigure(
            "forest",
            "The slope within people asked in other ways",
            f"Difference in {phrase(outcome)} per {unit}"
            if model.law.linear
            else f"{opening(model.law.effect)} per {unit}",
            tuple(Ref(n) for n in others if n != "between"),
            null=model.law.null,
            log_x=not model.law.linear,
        )
    if model.cluster:
        yield _clusters(model, fit, model.cluster)
    if diagnosis := diagnostics(model, fit):
        yield diagnosis


def diagnostics(model: Model, fit: Fit) -> PanelFigure | None:
    """The mixed model's residuals and random effects; None where too few for bins."""
    person = model.data.frame[model.asked.person]
    return diagnostic_figure(fit, person.to_numpy(), partial(_effect, model))


def _effect(model: Model, name: str, factor: str) -> str:
    """A random effect in words: slope of time, of the person."""
    of = "clusters" if factor == model.cluster else "people"
    if name == "Intercept":
        return f"level, {of}"
    told = "time" if name == TIME else phrase(model.data.label(_column(model, name)))
    return f"slope of {told}, {of}"


def _column(model: Model, name: str) -> str:
    """The column whose deviation from the person's mean is called `name`."""
    return model.asked.satisfaction if name == model.asked.within else name


def _slopes(model: Model, fit: Fit, named: Mapping[str, Estimate], unit: str) -> LineFigure:
    """Predicted lines; as differences where the model's level must not be told."""
    asked = model.asked
    outcome = short(model.data.label(asked.outcome))
    satisfaction = short(model.data.label(asked.satisfaction))
    parts = (
        (asked.within, "Within a person", named["within"]),
        (asked.between, "Between people", named["between"]),
    )
    far = MeanLevel.of(model, fit).far
    return LineFigure(
        "slopes_figure",
        f"{opening(outcome)} predicted from {phrase(satisfaction)}",
        f"{satisfaction}: {plural(unit)} from the mean",
        _axis(model, fit, outcome, far=far),
        tuple(
            _difference(model, part, name, slope) if far else _line(model, fit, part, name)
            for part, name, slope in parts
        ),
        horizontal=model.law.null if far else None,
        log_y=far and not model.law.linear,
        notes=(_note(model, far=far),),
    )


def _axis(model: Model, fit: Fit, outcome: str, *, far: bool) -> str:
    if far:
        return "Difference in the outcome" if model.law.linear else opening(model.law.effect)
    return opening(Population.of(model, fit).words) if isinstance(fit, GlmmFit) else outcome


def _note(model: Model, *, far: bool) -> str:
    if far:
        kind = "differences from" if model.law.linear else "ratios to"
        return (
            f"Slopes of the mixed model with confidence bands, as {kind} the outcome at the mean. "
            "The level itself is not drawn: that of the model is far from that of the rows "
            "analysed (see the checks)."
        )
    if model.law.linear:
        return "Lines of the mixed model with confidence bands; covariates at their means."
    return "Averages over the population with confidence bands; all else as observed."


def _range(model: Model, part: str) -> NDArray[np.float64]:
    """Places on the axis, from the 5th to the 95th centile of `part`."""
    low, high = np.quantile(model.data.frame[part], (0.05, 0.95))
    return np.linspace(low, high, POINTS_OF_A_LINE)


def _difference(model: Model, part: str, name: str, slope: Estimate) -> Series:
    """The slope as a line through no difference (or a ratio of one) at the mean."""
    x = _range(model, part)
    of = (slope.value, slope.low, slope.high)
    y, one, other = (x * b if model.law.linear else b**x for b in of)
    ends = np.minimum(one, other), np.maximum(one, other)
    across, along, low, high = (tuple(map(float, v)) for v in (x, y, *ends))
    return Series(name, across, along, low, high)


def _line(model: Model, fit: Fit, part: str, name: str) -> Series:
    """A predicted line with its band."""
    x = list(map(float, _range(model, part)))
    points = means_at(model, fit, part, x)
    return Series(
        name,
        tuple(x),
        tuple(p.value for p in points),
        tuple(p.low for p in points),
        tuple(p.high for p in points),
    )


def _half_width(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _trajectory(model: Model) -> Series:
    """Mean of the outcome at each wave, with its t interval."""
    waves, values = model.asked.wave, model.data.frame[model.asked.outcome]
    grouped = values.groupby(model.data.frame[waves])
    limits = [mean_interval(own, model.asked.level) for _, own in grouped]
    mean, low, high = zip(*limits, strict=True)
    n = grouped.size()
    return Series("Observed mean", tuple(map(float, n.index)), mean, low, high, tuple(map(int, n)))


def _wave_names(model: Model) -> tuple[tuple[float, str], ...]:
    """Names of the waves on the axis, where they have names and are few."""
    variable = model.data.variable(model.asked.wave)
    waves = sorted(map(float, model.data.frame[model.asked.wave].unique()))
    if len(waves) > MOST_NAMED_WAVES or not all(w in variable.values for w in waves):
        return ()
    return tuple((w, variable.level(w)) for w in waves)


def _clusters(model: Model, fit: Fit, cluster: str) -> CaterpillarFigure:
    """Predicted intercepts of the clusters in order, unnamed."""
    effects = fit.random_effects()
    effects = effects[effects["group"] == cluster]
    effects = effects.assign(n=effects["level"].map(_people_of(model, cluster)))
    effects = effects.sort_values("estimate", kind="stable")
    half = _half_width(model.asked.level) * effects["std_error"]
    value, low, high = (
        tuple(map(float, v))
        for v in (effects["estimate"], effects["estimate"] - half, effects["estimate"] + half)
    )
    outcome = phrase(model.data.label(model.asked.outcome))
    return CaterpillarFigure(
        "clusters_figure",
        f"{opening(model.data.label(cluster))}: predicted differences from the average",
        f"Difference in {outcome}" if model.law.linear else f"Log {model.law.effect}",
        value,
        low,
        high,
        tuple(map(int, effects["n"])),
    )


def _people_of(model: Model, cluster: str) -> dict[str, int]:
    """How many people each cluster holds, by the name that the fit gives it."""
    groups = Columns.of(model.data).grouping([cluster])
    person = model.data.frame[model.asked.person]
    counts = person.groupby(groups.codes).nunique()
    return dict(zip(groups.levels, counts, strict=True))
