"""Chained equations: missing values of one variable after another, drawn given all others.

    values (v, n)   the data, a variable in each row (codes 0, 1, … of categories)
    design (p, n)   the same coded as predictors: an intercept, scaled numbers, indicators of
                    levels, products, means over clusters; rows follow `values` by their Codings

One sweep visits every Target: its Method draws the missing values, its Codings bring the design
up to date. A chain is one imputation, with a generator of its own, so that neither the number of
imputations nor of processes changes it. Source: van Buuren 2018, ch. 4.
Checked: mice's distributions, closed forms, recovery of known truth (tests/engines/test_impute.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy.stats import f as f_distribution

from recovery_stats.engines.linalg import Array, IntArray, single_thread


@dataclass(slots=True)
class State:
    """Where a chain stands. memory: what methods keep for their next visit; notes: (name, what)."""

    values: Array
    design: Array
    memory: dict[str, Any] = field(default_factory=dict)
    notes: set[tuple[str, str]] = field(default_factory=set)


class Coding(Protocol):
    """One row of the design (or a passive variable) as a function of other rows."""

    def write(self, state: State, rows: IntArray) -> None:
        """Bring it up to date at `rows`, where a value has changed."""


class Method(Protocol):
    """How a variable is drawn."""

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        """Values for `target.missing`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A variable to impute.

    row: in `values`. observed, missing: positions of its cells; those in neither are not
    applicable and stay out. predictors: rows of the design, the intercept first. delta: a number,
    or one for each missing cell, which the method adds to what it draws (or to its log odds).
    codings: what depends on it, in order. cells, copy: where a variable is constant within
    clusters, `missing` holds one cell for each cluster, and drawn[copy] goes to `cells`.
    """

    name: str
    row: int
    observed: IntArray
    missing: IntArray
    predictors: IntArray
    method: Method
    codings: tuple[Coding, ...] = ()
    delta: Array | float = 0.0
    cells: IntArray | None = None
    copy: IntArray | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything but the seed: where the chains start and what they visit."""

    values: Array
    design: Array
    targets: tuple[Target, ...]
    sweeps: int


@dataclass(frozen=True, slots=True)
class Chain:
    """One imputation.

    imputed: for each target the values of its cells. traces (sweeps, targets, 2): mean and
    standard deviation of what was drawn. notes: as in State.
    """

    imputed: tuple[Array, ...]
    traces: Array
    notes: frozenset[tuple[str, str]]


def run(plan: Plan, seed: np.random.SeedSequence) -> Chain:
    """Run one chain from a random start; the same seed gives the same chain."""
    rng = np.random.default_rng(seed)
    state = State(plan.values.copy(), plan.design.copy())
    traces = np.full((plan.sweeps, len(plan.targets), 2), np.nan)
    with single_thread():
        for target in plan.targets:
            begin = rng.choice(state.values[target.row, target.observed], target.missing.size)
            put(state, target, begin)
        for sweep in range(plan.sweeps):
            for at, target in enumerate(plan.targets):
                drawn = target.method.draw(state, target, rng)
                put(state, target, drawn)
                traces[sweep, at] = drawn.mean(), drawn.std()
    imputed = tuple(
        state.values[t.row, t.missing if t.cells is None else t.cells] for t in plan.targets
    )
    return Chain(imputed, traces, frozenset(state.notes))


def put(state: State, target: Target, drawn: Array) -> None:
    """Write drawn values and all that follows from them."""
    cells = target.missing if target.cells is None else target.cells
    state.values[target.row, cells] = drawn if target.copy is None else drawn[target.copy]
    for coding in target.codings:
        coding.write(state, cells)


def regression(state: State, target: Target) -> tuple[Array, Array, Array]:
    """X (p, observed), y (observed,), and the predictors of the missing cells (p, missing)."""
    X = gather(state.design, target.predictors, target.observed)
    new = gather(state.design, target.predictors, target.missing)
    return X, state.values[target.row, target.observed], new


def gather(design: Array, rows: IntArray, at: IntArray) -> Array:
    """design[rows][:, at], row by row: four times as fast as one index of two dimensions."""
    out = np.empty((rows.size, at.size))
    for place, row in zip(out, rows.tolist(), strict=True):
        np.take(design[row], at, out=place, mode="clip")
    return out


def seeds(seed: int, first: int, count: int) -> list[np.random.SeedSequence]:
    """Seeds of imputations first, first + 1, …; that of an imputation depends on its number only.

    Checked: the same as SeedSequence(seed).spawn(n)[k].
    """
    return [np.random.SeedSequence(seed, spawn_key=(k,)) for k in range(first, first + count)]


# --- codings --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A variable, centred and scaled."""

    row: int
    variable: int
    centre: float
    scale: float

    def write(self, state: State, rows: IntArray) -> None:
        state.design[self.row, rows] = (
            state.values[self.variable, rows] - self.centre
        ) / self.scale


@dataclass(frozen=True, slots=True)
class Level:
    """Whether a variable has a code."""

    row: int
    variable: int
    code: int

    def write(self, state: State, rows: IntArray) -> None:
        state.design[self.row, rows] = state.values[self.variable, rows] == self.code


@dataclass(frozen=True, slots=True)
class Product:
    """The product of rows of the design: an interaction."""

    row: int
    factors: tuple[int, ...]

    def write(self, state: State, rows: IntArray) -> None:
        state.design[self.row, rows] = np.prod(
            [state.design[f, rows] for f in self.factors], axis=0
        )


@dataclass(frozen=True, slots=True)
class ClusterMean:
    """The mean of a row of the design over each cluster; codes (n,), counts (clusters,)."""

    row: int
    source: int
    codes: IntArray
    counts: Array

    def write(self, state: State, rows: IntArray) -> None:
        total = np.bincount(self.codes, state.design[self.source], minlength=self.counts.size)
        state.design[self.row] = (total / self.counts)[self.codes]


@dataclass(frozen=True, slots=True)
class Passive:
    """A variable computed from others; `missing` are the cells that it fills.

    compute maps the named rows of `values`, at the cells asked for, to its values there.
    """

    variable: int
    sources: tuple[tuple[str, int], ...]
    missing: IntArray
    compute: Callable[[Mapping[str, Array]], Array]

    def write(self, state: State, rows: IntArray) -> None:
        at = self.missing
        given = {name: state.values[row, at] for name, row in self.sources}
        state.values[self.variable, at] = self.compute(given)


# --- convergence ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mixing:
    """Whether chains can be told apart, for each target (k,).

    r_hat: near 1 when they cannot. p_value: of the between-chain variance being what independent
    sweeps give; nan where nothing moves.
    """

    r_hat: Array
    p_value: Array


def mixing(traces: Array) -> Mixing:
    """The potential scale reduction over the later half of traces (chains, sweeps, k).

    Source: Gelman & Rubin 1992; the F test is theirs for independent draws. Checked: on paper.
    """
    kept = traces[:, traces.shape[1] // 2 :]
    m, n, k = kept.shape
    if n < 2 or m < 2:
        return Mixing(np.full(k, np.nan), np.full(k, np.nan))
    within = kept.var(axis=1, ddof=1).mean(axis=0)
    between = n * kept.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(within > 0, between / within, np.nan)
    r_hat = np.sqrt((n - 1) / n + ratio / n)
    return Mixing(r_hat, f_distribution.sf(ratio, m - 1, m * (n - 1)))


def stack(chains: Sequence[Chain]) -> Array:
    """Traces of all chains (chains, sweeps, targets, 2)."""
    return np.array([c.traces for c in chains])
