"""The figures of the report on satisfaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist

import numpy as np

from recovery_stats.analyses._satisfaction_model import Model, mean_row
from recovery_stats.analyses._satisfaction_tables import rivals_told
from recovery_stats.analyses._wording import opening, phrase, plural, short
from recovery_stats.core.document import (
    CaterpillarFigure,
    Figure,
    ForestFigure,
    LineFigure,
    Ref,
    Series,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.columns import Columns
from recovery_stats.models.mixed import MixedFit

POINTS_OF_A_LINE = 9
MOST_NAMED_WAVES = 7  # more names would run into each other


def figures(
    model: Model, fit: MixedFit, named: Mapping[str, Estimate], unit: str
) -> Iterator[Figure]:
    """Predicted lines, the course over the waves, rivals, and clusters where there are any."""
    outcome = short(model.data.label(model.asked.outcome))
    satisfaction = short(model.data.label(model.asked.satisfaction))
    yield LineFigure(
        "slopes_figure",
        f"{opening(outcome)} predicted from {phrase(satisfaction)}",
        f"{satisfaction}: {plural(unit)} from the mean",
        outcome,
        (
            _line(model, fit, model.asked.within, "Within a person"),
            _line(model, fit, model.asked.between, "Between people"),
        ),
        notes=("Lines of the mixed model with confidence bands; covariates at their means.",),
    )
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
            f"Difference in {phrase(outcome)} per {unit}",
            tuple(Ref(n) for n in others if n != "between"),
        )
    if model.cluster:
        yield _clusters(model, fit, model.cluster)


def _line(model: Model, fit: MixedFit, part: str, name: str) -> Series:
    """A predicted line from the 5th to the 95th centile of `part`, with its band."""
    low, high = np.quantile(model.data.frame[part], (0.05, 0.95))
    x = np.linspace(low, high, POINTS_OF_A_LINE)
    points = [
        fit.estimate(
            mean_row(model, fit, part, float(v)), name="", label="", level=model.asked.level
        )
        for v in x
    ]
    return Series(
        name,
        tuple(map(float, x)),
        tuple(p.value for p in points),
        tuple(p.low for p in points),
        tuple(p.high for p in points),
    )


def _half_width(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _trajectory(model: Model) -> Series:
    grouped = model.data.frame.groupby(model.asked.wave)[model.asked.outcome]
    mean, n = grouped.mean(), grouped.size()
    half = _half_width(model.asked.level) * grouped.std() / np.sqrt(n)
    x, y, low, high = (tuple(map(float, v)) for v in (mean.index, mean, mean - half, mean + half))
    return Series("Observed mean", x, y, low, high, tuple(map(int, n)))


def _wave_names(model: Model) -> tuple[tuple[float, str], ...]:
    """Names of the waves on the axis, where they have names and are few."""
    variable = model.data.variable(model.asked.wave)
    waves = sorted(map(float, model.data.frame[model.asked.wave].unique()))
    if len(waves) > MOST_NAMED_WAVES or not all(w in variable.values for w in waves):
        return ()
    return tuple((w, variable.level(w)) for w in waves)


def _clusters(model: Model, fit: MixedFit, cluster: str) -> CaterpillarFigure:
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
        f"Difference in {outcome}",
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
