"""Substantive-model-compatible imputation: covariates drawn so that the analysis model holds.

A missing covariate is proposed from its own model given the other covariates, without the outcome,
and accepted by what the substantive model makes of the outcome: f(x | z, y) is proportional to
f(y | x, z) f(x | z). So products, powers, random slopes and within-between splits of the
covariate are drawn as they are. Proposals are accepted by Metropolis and Hastings, several at each
visit; where a covariate touches many rows (a person's value, a cluster mean) their likelihoods
are taken together. Outcomes of linear, logistic and mixed models are drawn from the model itself.

Source: Bartlett, Seaman, White & Carpenter 2015; Goldstein, Carpenter & Browne 2014 (clusters).
Checked: exact posteriors by enumeration, recovery (tests/engines/test_impute_smc.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import expit, ndtr

from recovery_stats.engines import cox, impute_category
from recovery_stats.engines.curves import tabulate
from recovery_stats.engines.impute import State, Target, gather
from recovery_stats.engines.impute_count import HIGHEST, draw_dispersed, fit_rates
from recovery_stats.engines.impute_multilevel import Factor, Rows, draw_latent, draw_sampler
from recovery_stats.engines.impute_normal import draw_line
from recovery_stats.engines.linalg import Array, IntArray

TRIES = 30  # proposals for each missing value at each visit


# --- the columns of the substantive model -----------------------------------------------------


class Piece(Protocol):
    """A factor of a column of the substantive design: numbers (n,) from the values (v, n)."""

    def __call__(self, values: Array) -> Array: ...


@dataclass(frozen=True, slots=True)
class Indicator:
    """Whether a variable has a code."""

    variable: int
    code: int

    def __call__(self, values: Array) -> Array:
        return np.asarray(values[self.variable] == self.code, dtype=float)


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression of variables, and of their means over clusters (`means`: name to variable and
    codes); within those, deviations from the mean (`within`)."""

    compute: Callable[[Mapping[str, Array]], Array]
    sources: tuple[tuple[str, int], ...]
    means: tuple[tuple[str, int, IntArray], ...] = ()
    within: tuple[tuple[str, int, IntArray], ...] = ()

    def __call__(self, values: Array) -> Array:
        given = {name: values[row] for name, row in self.sources}
        for name, row, codes in self.means:
            given[name] = cluster_mean(values[row], codes)
        for name, row, codes in self.within:
            given[name] = values[row] - cluster_mean(values[row], codes)
        return np.broadcast_to(self.compute(given), values.shape[1])


def cluster_mean(x: Array, codes: IntArray) -> Array:
    """The mean of x (n,) over each cluster, on its rows (n,)."""
    return np.asarray((np.bincount(codes, x) / np.bincount(codes))[codes])


@dataclass(frozen=True, slots=True)
class Surface:
    """The design of the substantive model: each column a product of pieces (none: a one)."""

    columns: tuple[tuple[Piece, ...], ...]

    def __call__(self, values: Array) -> Array:
        """X (p, n)."""
        n = values.shape[1]
        parts = [[piece(values) for piece in column] for column in self.columns]
        X = [np.prod(p, axis=0) if p else np.ones(n) for p in parts]
        return np.array(X) if X else np.zeros((0, n))


# --- substantive models -------------------------------------------------------------------------


class Likelihood(Protocol):
    """Log-likelihood of every row (n,), at drawn parameters, as a function of the values."""

    def __call__(self, values: Array) -> Array: ...

    def restricted(self, rows: IntArray) -> Likelihood:
        """The same of some rows, whose values alone are given."""


class Model(Protocol):
    """A substantive model: parameters drawn given completed data."""

    def drawn(self, state: State, rng: np.random.Generator) -> Likelihood: ...


@dataclass(frozen=True, slots=True)
class Straight:
    """Normal rows around X beta + random effects, at drawn parameters."""

    surface: Surface
    outcome: int
    beta: Array
    sigma: float
    effects: tuple[tuple[Surface, IntArray, Array], ...] = ()

    def mean(self, values: Array) -> Array:
        eta = self.beta @ self.surface(values)
        for surface, codes, u in self.effects:
            eta = eta + np.einsum("nq,qn->n", u[codes], surface(values))
        return np.asarray(eta)

    def __call__(self, values: Array) -> Array:
        left = (values[self.outcome] - self.mean(values)) / self.sigma
        return np.asarray(-0.5 * left**2)

    def restricted(self, rows: IntArray) -> Straight:
        effects = tuple((s, codes[rows], u) for s, codes, u in self.effects)
        return replace(self, effects=effects)

    def draw(self, values: Array, at: IntArray, rng: np.random.Generator) -> Array:
        return np.asarray(self.mean(values)[at] + self.sigma * rng.standard_normal(at.size))


@dataclass(frozen=True, slots=True)
class Linear:
    """The normal linear model."""

    surface: Surface
    outcome: int

    def drawn(self, state: State, rng: np.random.Generator) -> Straight:
        line = draw_line(self.surface(state.values), state.values[self.outcome], rng)
        return Straight(self.surface, self.outcome, line.drawn, line.sigma)


@dataclass(frozen=True, slots=True)
class Mixed:
    """The linear mixed model; surfaces of the effects that vary over each factor."""

    surface: Surface
    outcome: int
    factors: tuple[Factor, ...]
    varying: tuple[Surface, ...]

    def drawn(self, state: State, rng: np.random.Generator) -> Straight:
        X, y = self.surface(state.values), state.values[self.outcome]
        Z = tuple(surface(state.values) for surface in self.varying)
        codes = tuple(f.codes for f in self.factors)
        at = draw_sampler(
            state, "substantive", Rows(X, codes, Z), y, self.factors, rng, "one",
            float(y.std()) or 1.0,
        )  # fmt: skip
        effects = tuple(zip(self.varying, codes, at.effects, strict=True))
        sigma = float(1.0 / np.sqrt(at.precision[0]))
        return Straight(self.surface, self.outcome, at.beta, sigma, effects)


@dataclass(frozen=True, slots=True)
class Chances:
    """Yes/no rows at drawn log odds."""

    surface: Surface
    outcome: int
    beta: Array

    def __call__(self, values: Array) -> Array:
        eta = self.beta @ self.surface(values)
        return np.asarray(values[self.outcome] * eta - np.logaddexp(0.0, eta))

    def restricted(self, rows: IntArray) -> Chances:
        return self

    def draw(self, values: Array, at: IntArray, rng: np.random.Generator) -> Array:
        chance = expit((self.beta @ self.surface(values))[at])
        return np.asarray(rng.random(at.size) < chance, dtype=float)


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression."""

    surface: Surface
    outcome: int

    def drawn(self, state: State, rng: np.random.Generator) -> Chances:
        X, y = self.surface(state.values), state.values[self.outcome]
        fitted, augmented = impute_category.fit_logistic(X, y, state.memory.get("substantive"))
        if augmented:
            state.notes.add(("substantive", "perfect prediction"))
        else:
            state.memory["substantive"] = fitted.theta
        return Chances(self.surface, self.outcome, fitted.draw(rng))


@dataclass(frozen=True, slots=True)
class Hazard:
    """Rows under risk, at drawn log hazard ratios and the baseline hazard that goes with them."""

    surface: Surface
    event: Array
    beta: Array
    lived: Array

    def __call__(self, values: Array) -> Array:
        eta = self.beta @ self.surface(values)
        return np.asarray(self.event * eta - self.lived * np.exp(eta))

    def restricted(self, rows: IntArray) -> Hazard:
        return replace(self, event=self.event[rows], lived=self.lived[rows])


@dataclass(frozen=True, slots=True)
class Cox:
    """Cox's model of (start, stop] rows; start and strata may be None. No intercept."""

    surface: Surface
    stop: Array
    event: IntArray
    start: Array | None
    strata: IntArray | None

    def drawn(self, state: State, rng: np.random.Generator) -> Hazard:
        X = self.surface(state.values)
        centre = X.mean(axis=1)
        fit = cox.fit(X.T, self.stop, self.event, start=self.start, strata=self.strata)
        half = np.linalg.cholesky(fit.covariance)
        beta = fit.beta + half @ rng.standard_normal(fit.beta.size)
        # the baseline of average covariates, carried to that of zero: exp() stays in range
        lived = self.lived(np.exp(beta @ (X - centre[:, None]))) * np.exp(-beta @ centre)
        return Hazard(self.surface, self.event.astype(float), beta, lived)

    def lived(self, risk: Array) -> Array:
        """Breslow's cumulative baseline hazard over each row's (start, stop]."""
        out = np.empty(risk.size)
        strata = np.zeros(risk.size, dtype=np.intp) if self.strata is None else self.strata
        for code in np.unique(strata):
            rows = np.flatnonzero(strata == code)
            begin = None if self.start is None else self.start[rows]
            event = self.event[rows]
            table = tabulate(self.stop[rows], event, start=begin, weights=risk[rows])
            deaths = np.bincount(table.exit[event > 0], minlength=table.time.size)
            path = np.concatenate([[0.0], np.cumsum(deaths / table.n_risk)])
            out[rows] = path[table.exit + 1] - path[table.entry]
        return out


# --- covariates -----------------------------------------------------------------------------------

Propose = Callable[[], Array]


@dataclass(frozen=True, slots=True)
class Covariate:
    """The model of a covariate given the others: a kind, and levels of categories.

    kind: "normal", "binary", "ordered", "nominal", "poisson", "negative-binomial".
    factors: clusters whose intercepts differ ("normal" and "binary"; the others have cluster means
    among their predictors).
    """

    kind: str
    levels: int = 2
    factors: tuple[Factor, ...] = ()

    def proposer(self, state: State, rng: np.random.Generator, target: Target) -> Propose:
        """Draw the model's parameters given completed data; the function returned draws values."""
        have = np.concatenate([target.observed, target.missing])
        X = gather(state.design, target.predictors, have)
        new, y = X[:, target.observed.size :], state.values[target.row, have]
        key = f"{target.name} covariate"
        if self.kind in ("poisson", "negative-binomial"):
            return self._count(X, y, new, rng)
        if self.factors and self.kind in ("normal", "binary"):
            return self._clustered(state, key, X, y, have, target.observed.size, rng)
        if self.kind == "normal":
            line = draw_line(X, y, rng)
            return _around(line.drawn @ new, line.sigma, rng)
        chances, theta = impute_category.drawn_chances(
            X, y, new, self.levels, self.kind, rng, state.memory.get(key)
        )
        state.memory[key] = theta
        below = np.cumsum(chances, axis=0)[:-1]
        return lambda: np.asarray((rng.random(new.shape[1]) > below).sum(axis=0), dtype=float)

    def _clustered(
        self, state: State, key: str, X: Array, y: Array, have: IntArray, seen: int,
        rng: np.random.Generator,
    ) -> Propose:  # fmt: skip
        """With random intercepts: a number, or the normal behind a yes or no."""
        codes = tuple(f.codes[have] for f in self.factors)
        rows = Rows(X, codes, tuple(np.ones((1, have.size)) for _ in codes))
        if self.kind == "binary":
            z = state.memory.setdefault(f"{key} latent", np.where(y > 0, 0.8, -0.8)[None])
            at = draw_latent(state, key, rows, z, 0, y.astype(np.intp), self.factors, rng)
            chance = ndtr((rows.fixed(at) + rows.random(at))[seen:])
            return lambda: np.asarray(rng.random(chance.size) < chance, dtype=float)
        at = draw_sampler(state, key, rows, y, self.factors, rng, "one", float(y.std()) or 1.0)
        mean = (rows.fixed(at) + rows.random(at))[seen:]
        return _around(mean, float(1.0 / np.sqrt(at.precision[0])), rng)

    def _count(self, X: Array, y: Array, new: Array, rng: np.random.Generator) -> Propose:
        if self.kind == "negative-binomial":
            rates, alpha = draw_dispersed(X, y, rng)
        else:
            rates, alpha = fit_rates(X, y, 0.0), 0.0
        mu = np.exp(np.minimum(rates.draw(rng) @ new, HIGHEST))

        def propose() -> Array:
            rate = mu if alpha < 1e-8 else rng.gamma(1.0 / alpha, alpha * mu)
            return rng.poisson(rate).astype(float)

        return propose


def _around(mean: Array, sigma: float, rng: np.random.Generator) -> Propose:
    return lambda: np.asarray(mean + sigma * rng.standard_normal(mean.size))


@dataclass(frozen=True, slots=True)
class Compatible:
    """Draw a covariate of the substantive model.

    units (n,): codes of rows whose likelihoods go together when a value of theirs changes; None:
    each row by itself. Missing cells of one unit are drawn one after another.
    """

    covariate: Covariate
    model: Model
    units: IntArray | None = None
    tries: int = TRIES

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        propose = self.covariate.proposer(state, rng, target)
        likelihood = self.model.drawn(state, rng)
        now = state.values[target.row, target.missing].copy()
        if self.units is None:
            return self._row_by_row(state, target, likelihood, propose, now, rng)
        values = state.values.copy()
        here = likelihood(values)
        units, own = self.units, self.units[target.missing]
        for turn in turns(own):
            for _ in range(self.tries):
                wished = now.copy()
                wished[turn] = propose()[turn]
                _place(values, target, wished)
                there = likelihood(values)
                gain = np.bincount(units, there - here)[own[turn]]
                taken = turn[np.log(rng.random(turn.size)) < gain]
                now[taken] = wished[taken]
                _place(values, target, now)
                here = np.where(np.isin(units, own[taken]), there, here)
        return np.asarray(now)

    def _row_by_row(
        self, state: State, target: Target, likelihood: Likelihood, propose: Propose, now: Array,
        rng: np.random.Generator,
    ) -> Array:  # fmt: skip
        """Rows that do not touch each other: only those with a missing value are looked at."""
        values, of_rows = state.values[:, target.missing], likelihood.restricted(target.missing)
        here = of_rows(values)
        for _ in range(self.tries):
            wished = values[target.row] = propose()
            there = of_rows(values)
            taken = np.log(rng.random(now.size)) < there - here
            now, here = np.where(taken, wished, now), np.where(taken, there, here)
        return np.asarray(now)


def turns(units: IntArray) -> list[IntArray]:
    """Positions in rounds, at most one of each unit in a round."""
    order = np.argsort(units, kind="stable")
    ranked = units[order]
    first = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1])
    sizes = np.diff(np.append(first, units.size))
    rank = np.arange(units.size) - np.repeat(first, sizes)
    return [order[rank == k] for k in range(int(sizes.max()))]


def _place(values: Array, target: Target, drawn: Array) -> None:
    cells = target.missing if target.cells is None else target.cells
    values[target.row, cells] = drawn if target.copy is None else drawn[target.copy]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Draw missing outcomes from a linear, logistic or mixed substantive model."""

    model: Linear | Logistic | Mixed

    def draw(self, state: State, target: Target, rng: np.random.Generator) -> Array:
        drawn = self.model.drawn(state, rng).draw(state.values, target.missing, rng)
        return np.asarray(drawn + target.delta)
