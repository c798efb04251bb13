"""The methods of one level: how a Target is drawn from the rows of other people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.impute import State, Target, regression
from recovery_stats.engines.impute_category import (
    Drawn,
    impute_binary,
    impute_nominal,
    impute_ordered,
)
from recovery_stats.engines.impute_count import impute_negative_binomial, impute_poisson
from recovery_stats.engines.impute_normal import impute_matched, impute_normal
from recovery_stats.engines.linalg import Array

AUGMENTED = "perfect prediction"


@dataclass(frozen=True, slots=True)
class Normal:
    """The normal linear model."""

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        return impute_normal(*regression(state, target), rng, target.delta)


@dataclass(frozen=True, slots=True)
class Matched:
    """Predictive mean matching."""

    donors: int = 5

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        return impute_matched(*regression(state, target), rng, self.donors, target.delta)


@dataclass(frozen=True, slots=True)
class Binary:
    """Logistic regression."""

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        start = state.memory.get(target.name)
        return _kept(
            state, target, impute_binary(*regression(state, target), rng, start, target.delta)
        )


@dataclass(frozen=True, slots=True)
class Ordered:
    """Proportional odds."""

    levels: int

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        start = state.memory.get(target.name)
        X, y, new = regression(state, target)
        return _kept(
            state, target, impute_ordered(X, y, new, self.levels, rng, start, target.delta)
        )


@dataclass(frozen=True, slots=True)
class Nominal:
    """Multinomial logistic regression."""

    levels: int

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        X, y, new = regression(state, target)
        start = state.memory.get(target.name)
        return _kept(state, target, impute_nominal(X, y, new, self.levels, rng, start))


@dataclass(frozen=True, slots=True)
class Poisson:
    """Poisson regression."""

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        return _kept(state, target, impute_poisson(*regression(state, target), rng, target.delta))


@dataclass(frozen=True, slots=True)
class NegativeBinomial:
    """Negative binomial regression."""

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        X, y, new = regression(state, target)
        return _kept(state, target, impute_negative_binomial(X, y, new, rng, target.delta))


def _kept(state: State, target: Target, drawn: Drawn) -> Array:
    """The codes; the estimate is where Newton's method begins at the next visit."""
    if drawn.augmented:
        state.notes.add((target.name, AUGMENTED))
        state.memory.pop(target.name, None)
    else:
        state.memory[target.name] = drawn.estimate
    return drawn.codes
