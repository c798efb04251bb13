"""The mixed model of an outcome on satisfaction, and the estimates that answer the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recovery_stats.analyses._satisfaction_rows import TIME, Asked
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.mixed import MixedFit, lmm

WAVES_FOR_SLOPE = 3
WAVES_FOR_WITHIN_SLOPE = 4
# Fitted and observed mean further apart than this share of the outcome's sd: more than what is
# called a small difference (0.2), so that the error of the level would drown what it illustrates.
FAR = 0.25
STEPS = ((-1, "One SD below"), (0, "At"), (1, "One SD above"))


@dataclass(frozen=True, slots=True)
class Model:
    """The declared model over the rows used."""

    asked: Asked
    data: Dataset
    cluster: str | None
    waves: int

    @classmethod
    def of(cls, asked: Asked, data: Dataset) -> Model:
        waves = int(data.frame[asked.wave].nunique())
        return cls(asked, data, _usable_cluster(asked, data), waves)

    @property
    def people(self) -> int:
        return int(self.data.frame[self.asked.person].nunique())

    @property
    def wished(self) -> tuple[str, ...]:
        """Columns whose slope the design would let vary between people.

        Time from three waves on, satisfaction from four: fewer cannot tell a slope from noise.
        """
        wished = list(self.asked.random_slope)
        if self.waves >= WAVES_FOR_SLOPE and TIME not in wished:
            wished.append(TIME)
        if self.waves >= WAVES_FOR_WITHIN_SLOPE:
            wished.append(self.asked.within)
        return tuple(wished)

    @property
    def slopes(self) -> tuple[str, ...]:
        """The wished slopes that the rows can carry: fewer random effects than rows."""
        room = (len(self.data) - 1) // max(self.people, 1) - 1
        return self.wished[: max(room, 0)]

    @property
    def varying(self) -> bool:
        """Whether the within-person slope varies between people."""
        return self.asked.within in self.slopes

    @property
    def null(self) -> str:
        """Random intercepts and nothing else."""
        groups = [self.asked.person, *((self.cluster,) if self.cluster else ())]
        return " + ".join(
            [f"{quote(self.asked.outcome)} ~ 1", *(f"(1 | {quote(g)})" for g in groups)]
        )

    def random(self, *, within_slope: bool = True, cluster: bool = True) -> str:
        """The random terms of people and of the cluster."""
        slopes = [c for c in self.slopes if within_slope or c != self.asked.within]
        inside = " + ".join(["1", *map(quote, slopes)])
        terms = [f"({inside} | {quote(self.asked.person)})"]
        if self.cluster and cluster:
            terms.append(f"(1 | {quote(self.cluster)})")
        return " + ".join(terms)

    def formula(
        self,
        parts: Sequence[str] | None = None,
        *,
        adjust: bool = True,
        within_slope: bool = True,
        cluster: bool = True,
        extra: str = "",
    ) -> str:
        """The outcome on time, `parts` of satisfaction (both), covariates and random terms."""
        both = (self.asked.within, self.asked.between)
        predictors = [TIME, *(both if parts is None else parts)]
        if adjust:
            predictors += [c for c in self.asked.adjust if c not in predictors]
        fixed = " + ".join(map(quote, predictors)) + extra
        random = self.random(within_slope=within_slope, cluster=cluster)
        return f"{quote(self.asked.outcome)} ~ {fixed} + {random}"

    def over(self, data: Dataset) -> Model:
        """The same model over other rows, with the random slopes that those can carry."""
        return replace(self, data=data)

    def fit(self, formula: str = "", **options: Any) -> MixedFit:
        """Fit a formula; without one the main model, whose within slope must be estimable."""
        return lmm(
            formula or self.formula(),
            self.data,
            weights=self.asked.weights,
            required=() if formula else (self.asked.within,),
            **options,
        )

    def sd(self, name: str) -> float:
        """Standard deviation over rows; of a person's mean over people, each once."""
        values = self.data.frame[name]
        if name == self.asked.between:
            values = values.groupby(self.data.frame[self.asked.person]).first()
        return float(values.std())

    def label(self, term: str) -> str:
        """A term in words: its column's label, a factor level after a colon."""
        if term in self.data.frame.columns:
            return self.data.label(term)
        name, _, level = term.partition("[T.")
        return f"{self.data.label(name)}: {level.removesuffix(']')}" if level else term


def _usable_cluster(asked: Asked, data: Dataset) -> str | None:
    """The cluster column where every row has one; a single cluster is refused by name."""
    if asked.cluster is None or data.frame[asked.cluster].isna().any():
        return None
    if data.frame[asked.cluster].nunique() < 2:
        raise NotEstimable(
            f"Column {asked.cluster!r} has one level among {len(data)} rows; a variance between "
            "clusters needs at least two. Leave 'cluster' out, and say in the text that there "
            "was one."
        )
    return asked.cluster


def require_change(model: Model) -> None:
    """NotEstimable where there is one person, or satisfaction never moves within anyone."""
    if model.people < 2:
        raise NotEstimable(
            f"Column {model.asked.person!r} has one level among {len(model.data)} rows; one "
            "person shows no variance between people."
        )
    if not (model.data.frame[model.asked.within].abs() > 0).any():
        raise NotEstimable(
            f"Predictor {model.asked.satisfaction!r} never changes within a person in "
            f"{len(model.data)} rows of {model.people} people, so there is no slope within "
            "people to estimate."
        )


# --- what is estimated -----------------------------------------------------------------------


def main_estimates(model: Model, fit: MixedFit) -> Iterator[Estimate]:
    """The slopes within and between people, their difference, and the trend over time."""
    asked, level = model.asked, model.asked.level
    yield fit.estimate(
        {asked.within: 1.0},
        name="within",
        label="Within a person",
        level=level,
        rank="primary",
    )
    yield fit.estimate({asked.between: 1.0}, name="between", label="Between people", level=level)
    yield fit.estimate(
        {asked.between: 1.0, asked.within: -1.0},
        name="contextual",
        label="Between people minus within a person",
        level=level,
    )
    yield fit.estimate({TIME: 1.0}, name="time", label=model.data.label(TIME), level=level)


def coefficients(model: Model, fit: MixedFit) -> Iterator[Estimate]:
    """Every fixed effect under the name of its term."""
    for term in fit.terms:
        yield fit.estimate(
            {term: 1.0}, name=f"fixed[{term}]", label=model.label(term), level=model.asked.level
        )


def adjusted_means(model: Model, fit: MixedFit) -> Iterator[Estimate]:
    """Means of the outcome one sd below, at and above usual, covariates at their means."""
    for name, part, usual in (
        ("within", model.asked.within, "the person's own usual level"),
        ("between", model.asked.between, "the average person"),
    ):
        for step, where in STEPS:
            yield fit.estimate(
                mean_row(model, fit, part, step * model.sd(part)),
                name=f"mean_{name}[{step}]",
                label=f"{where} {usual}",
                level=model.asked.level,
                rank="descriptive",
            )


def mean_row(model: Model, fit: MixedFit, part: str, value: float) -> dict[str, float]:
    """Weights of the coefficients for the mean outcome where `part` is `value`."""
    usual = dict(zip(fit.terms, fit.term_means, strict=True))
    usual |= {model.asked.within: 0.0, model.asked.between: 0.0}
    return usual | {part: value}


@dataclass(frozen=True, slots=True)
class MeanLevel:
    """The outcome of the average person at the covariates' means, and the mean of the rows.

    Random slopes of time carry the line of whoever left early over waves they never came to, so
    that a model that fits every row it has may place the average far from all of them.
    """

    fitted: float
    observed: float
    sd: float

    @classmethod
    def of(cls, model: Model, fit: MixedFit) -> MeanLevel:
        weights = mean_row(model, fit, model.asked.within, 0.0)
        fitted = sum(w * fit.coefficient(term) for term, w in weights.items())
        observed = float(model.data.frame[model.asked.outcome].mean())
        return cls(fitted, observed, model.sd(model.asked.outcome))

    @property
    def gap(self) -> float:
        """How far apart they are, in standard deviations of the outcome."""
        return abs(self.fitted - self.observed) / self.sd

    @property
    def far(self) -> bool:
        """Whether the model's level must not be told."""
        return self.gap > FAR


def simple_slopes(model: Model) -> Iterator[Estimate]:
    """The within slope at low, average and high usual satisfaction (cross-level interaction)."""
    within, between = model.asked.within, model.asked.between
    try:
        fit = model.fit(model.formula(extra=f" + {quote(within)}:{quote(between)}"))
    except NotEstimable:
        return
    products = {f"{within}:{between}", f"{between}:{within}"}
    product = next((t for t in fit.terms if t in products), None)
    if product is None:
        return
    sd, level = model.sd(between), model.asked.level
    for step, where in STEPS:
        yield fit.estimate(
            {within: 1.0, product: step * sd},
            name=f"simple[{step}]",
            label=f"{where} the average person's usual level",
            level=level,
        )
    yield fit.estimate(
        {product: 1.0}, name="interaction", label="Within × between interaction", level=level
    )
