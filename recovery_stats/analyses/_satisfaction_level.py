"""The outcome in its own units: adjusted means, what one step of satisfaction makes of them.

A linear model's are linear in its coefficients, covariates at their means. A generalised model's
are averages over all people, its random effects integrated over: chances, days or counts, which
is where an odds or rate ratio becomes a difference that one can weigh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recovery_stats.analyses._satisfaction_model import STEPS, Fit, Model
from recovery_stats.analyses._wording import phrase
from recovery_stats.core.estimate import Estimate, Scale
from recovery_stats.models.design import Trials
from recovery_stats.models.generalised import GlmmFit
from recovery_stats.models.mixed import MixedFit

# Fitted and observed mean further apart than this share of the outcome's sd: more than what is
# called a small difference (0.2), so that the error of the level would drown what it illustrates.
FAR = 0.25


def adjusted_means(model: Model, fit: Fit) -> Iterator[Estimate]:
    """Means of the outcome one sd below, at and above usual."""
    for name, part, usual in (
        ("within", model.asked.within, "the person's own usual level"),
        ("between", model.asked.between, "the average person"),
    ):
        places = [step * model.sd(part) for step, _ in STEPS]
        labels = [f"{where} {usual}" for _, where in STEPS]
        for (step, _), label, found in zip(
            STEPS, labels, means_at(model, fit, part, places), strict=True
        ):
            yield Estimate(
                f"mean_{name}[{step}]", label, found.value, found.low, found.high, found.se,
                found.p, found.df, found.scale, "descriptive", found.method, found.confidence,
                found.n,
            )  # fmt: skip


def means_at(model: Model, fit: Fit, part: str, places: list[float]) -> list[Estimate]:
    """The mean outcome where `part` of satisfaction stands at each of these places."""
    if isinstance(fit, GlmmFit):
        return Population.of(model, fit).means(part, places)
    level = model.asked.level
    return [
        fit.estimate(mean_row(model, fit, part, x), name="", label="", level=level) for x in places
    ]


def mean_row(model: Model, fit: MixedFit, part: str, value: float) -> dict[str, float]:
    """Weights of the coefficients for the mean outcome where `part` is `value`."""
    usual = dict(zip(fit.terms, fit.term_means, strict=True))
    usual |= {model.asked.within: 0.0, model.asked.between: 0.0}
    return usual | {part: value}


@dataclass(frozen=True, slots=True)
class Population:
    """A generalised model's outcome averaged over all people.

    above: of an ordinal outcome, the category whose excess is counted; the split nearest to half.
    """

    model: Model
    fit: GlmmFit
    above: str | None

    @classmethod
    def of(cls, model: Model, fit: GlmmFit) -> Population:
        if fit.family != "ordinal":
            return cls(model, fit, None)
        shares = [float((fit.law.outcome > k).mean()) for k in range(len(fit.categories) - 1)]
        return cls(model, fit, fit.categories[int(np.argmin(np.abs(np.array(shares) - 0.5)))])

    @property
    def edge(self) -> int:
        """The code of the category whose excess is counted."""
        assert self.above is not None
        return self.fit.categories.index(self.above)

    @property
    def words(self) -> str:
        """What is averaged, inside a sentence."""
        outcome = phrase(self.model.data.label(self.model.asked.outcome))
        if self.above is not None:
            return f"the chance of {outcome} above {self.above!r}"
        if self.model.law.counted and self.model.law.chance:
            return f"the share of {outcome}"
        return f"the chance of {outcome}" if self.model.law.chance else outcome

    @property
    def scale(self) -> Scale:
        return "probability" if self.model.law.chance else "difference"

    def means(self, part: str, places: list[float]) -> list[Estimate]:
        """The average with every row's `part` at each place, its other columns as they are."""
        asked, times = self.model.asked, self.model.law.times
        table = self.fit.population_means(part, asked.level, at=places, above=self.above)
        return [
            Estimate(
                "", "", times * m.estimate, times * m.conf_low, times * m.conf_high,
                times * m.std_error, scale=self.scale, method=self.method,
                confidence=asked.level, n=self.fit.n_groups,
            )
            for m in table.itertuples()
        ]  # fmt: skip

    @property
    def method(self) -> str:
        return f"{self.fit.method}, averaged over the population"

    def steps(self) -> Iterator[Estimate]:
        """What one step of satisfaction above the mean goes with, in units of the outcome."""
        asked, times = self.model.asked, self.model.law.times
        for name, part, label in (
            ("response_within", asked.within, "Within a person, over the population"),
            ("response_between", asked.between, "Between people, over the population"),
        ):
            table = self.fit.population_effects(
                part, level=asked.level, at=(0.0, 1.0), above=self.above
            )
            found = next(table.itertuples())
            yield Estimate(
                name, label, times * found.estimate, times * found.conf_low,
                times * found.conf_high, times * found.std_error, found.p_value,
                method=self.method, confidence=asked.level, n=self.fit.n_groups,
            )  # fmt: skip

    def level(self) -> tuple[float, float, float]:
        """The model's average, the rows' own, and the sd of the rows, in units of the outcome."""
        law, predicted = self.model.law, self.fit.predict(random="average")
        seen = np.asarray(self.fit.law.outcome, dtype=float)
        if self.above is not None:
            seen = (seen > self.edge).astype(float)
            predicted = predicted.iloc[:, self.edge + 1 :].sum(axis=1)
        elif isinstance(trials := self.fit.design.response, Trials):
            seen = seen / (trials.successes + trials.failures)
        times = law.times
        mean, sd = times * float(seen.mean()), times * float(seen.std(ddof=1))
        return times * float(predicted.mean()), mean, sd


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
    def of(cls, model: Model, fit: Fit) -> MeanLevel:
        if isinstance(fit, GlmmFit):
            return cls(*Population.of(model, fit).level())
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
