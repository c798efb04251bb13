"""The mixed model of an outcome on satisfaction, and the estimates that answer the question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recovery_stats.analyses._satisfaction_family import Law
from recovery_stats.analyses._satisfaction_rows import TIME, Asked
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.generalised import GlmmFit, glmm
from recovery_stats.models.mixed import MixedFit, lmm

WAVES_FOR_SLOPE = 3
WAVES_FOR_WITHIN_SLOPE = 4
NODES = 11  # of adaptive quadrature, where people are the only random effect
STEPS = ((-1, "One SD below"), (0, "At"), (1, "One SD above"))
Fit = MixedFit | GlmmFit


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
    def law(self) -> Law:
        """The distribution of the outcome."""
        return self.asked.law

    @property
    def wished(self) -> tuple[str, ...]:
        """Columns whose slope the design would let vary between people.

        Time from three waves on, satisfaction from four: fewer cannot tell a slope from noise.
        Answers that are counted or a yes or no tell too little of one person's own slope: with
        them only what is asked for varies.
        """
        wished = list(self.asked.random_slope)
        if not self.law.linear:
            return tuple(wished)
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
        return " + ".join([f"{self.law.response} ~ 1", *(f"(1 | {quote(g)})" for g in groups)])

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
        fixed = self.fixed(parts, adjust=adjust) + extra
        return f"{fixed} + {self.random(within_slope=within_slope, cluster=cluster)}"

    def fixed(self, parts: Sequence[str] | None = None, *, adjust: bool = True) -> str:
        """The same without random terms."""
        both = (self.asked.within, self.asked.between)
        predictors = [TIME, *(both if parts is None else parts)]
        if adjust:
            predictors += [c for c in self.asked.adjust if c not in predictors]
        return f"{self.law.response} ~ " + " + ".join(map(quote, predictors))

    def over(self, data: Dataset) -> Model:
        """The same model over other rows, with the random slopes that those can carry."""
        return replace(self, data=data)

    def fit(self, formula: str = "", **options: Any) -> Fit:
        """Fit a formula; without one the main model, whose within slope must be estimable."""
        required = () if formula else (self.asked.within,)
        asked, weights = formula or self.formula(), self.asked.weights
        if self.law.linear:
            return lmm(asked, self.data, weights=weights, required=required, **options)
        return glmm(
            asked, self.data, family=self.law.generalised, quadrature=self.nodes, weights=weights,
            required=required,
        )  # fmt: skip

    @property
    def nodes(self) -> int:
        """Of quadrature; 1, Laplace's approximation, for several random effects."""
        return 1 if self.cluster or self.slopes else NODES

    def told(
        self, fit: Any, weights: Mapping[str, float], name: str, label: str,
        rank: Level = "secondary",
    ) -> Estimate:  # fmt: skip
        """A combination of coefficients: a difference, or a ratio of odds or rates."""
        scale = {} if self.law.linear else {"scale": self.law.scale}
        found: Estimate = fit.estimate(
            weights, name=name, label=label, level=self.asked.level, rank=rank, **scale
        )
        return found

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


def main_estimates(model: Model, fit: Fit) -> Iterator[Estimate]:
    """The slopes within and between people, their difference, and the trend over time."""
    asked = model.asked
    yield model.told(fit, {asked.within: 1.0}, "within", "Within a person", "primary")
    yield model.told(fit, {asked.between: 1.0}, "between", "Between people")
    apart = {asked.between: 1.0, asked.within: -1.0}
    label = "Between people minus within a person"
    if not model.law.linear:
        label = "Between people over within a person"
    yield model.told(fit, apart, "contextual", label)
    yield model.told(fit, {TIME: 1.0}, "time", model.data.label(TIME))


def coefficients(model: Model, fit: Fit) -> Iterator[Estimate]:
    """Every fixed effect under the name of its term."""
    for term in fit.terms:
        yield model.told(fit, {term: 1.0}, f"fixed[{term}]", model.label(term))


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
    sd = model.sd(between)
    for step, where in STEPS:
        weights = {within: 1.0, product: step * sd}
        label = f"{where} the average person's usual level"
        yield model.told(fit, weights, f"simple[{step}]", label)
    yield model.told(fit, {product: 1.0}, "interaction", "Within × between interaction")
