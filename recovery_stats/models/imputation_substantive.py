"""The substantive model of an imputation: from its formula to the engine's arrays.

Columns are coded as in any model here, then compiled to pieces that can be computed again for
proposed values: numbers by arithmetic, levels by their codes, `x_within` and `x_between` by means
over the innermost clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.engines import impute as engine
from recovery_stats.engines import impute_smc as smc
from recovery_stats.engines.impute_multilevel import Factor
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.basis import Basis
from recovery_stats.models.coding import Recipe
from recovery_stats.models.columns import Array, Grouping, IntArray
from recovery_stats.models.design import Design, build_design
from recovery_stats.models.expression import Column, Expression, Formula, Surv, columns_of
from recovery_stats.models.expression import Variable as Name
from recovery_stats.models.formula import parse
from recovery_stats.models.imputation_column import Variable
from recovery_stats.models.imputation_request import Computation
from recovery_stats.models.imputation_survival import Hazards

PARTS = ("within", "between")  # as rs.within_between names them
KINDS = {
    "pmm": "normal", "normal": "normal", "logistic": "binary", "ordered": "ordered",
    "multinomial": "nominal", "poisson": "poisson", "negative-binomial": "negative-binomial",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Substantive:
    """What the formula names.

    outcome: columns of the response; covariates: columns of the right side; split: those of them
    that stand as x_within or x_between.
    """

    formula: Formula
    outcome: tuple[str, ...]
    covariates: tuple[str, ...]
    split: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns of its clusters."""
        return tuple(dict.fromkeys(c for r in self.formula.random for c in r.group))

    @property
    def survival(self) -> bool:
        return isinstance(self.formula.response, Surv)


def read_substantive(text: str, known: set[str]) -> Substantive:
    """Read the formula; UsageError for what no compatible draw is known for."""
    asked = parse(text)
    plain = isinstance(asked.response, Column) and isinstance(asked.response.expression, Name)
    if not plain and not isinstance(asked.response, Surv):
        raise UsageError(
            "A substantive model has one column or Surv(time, event) on its left, not "
            f"{text.partition('~')[0].strip()!r}."
        )
    if asked.offsets or asked.frailty or asked.cluster:
        raise UsageError(
            "offset(), frailty() and cluster() have no place in the substantive model of an "
            "imputation: impute without them (name the column in cluster=) and analyse with them."
        )
    inside = [t for r in asked.random for t in r.terms]
    named = dict.fromkeys(
        c for t in (*asked.terms, *inside) for f in t.factors for c in columns_of(f)
    )
    split, covariates = [], []
    for column in named:
        base = _base(column, known)
        covariates.append(base)
        if base != column:
            split.append(base)
    outcome = asked.response_columns()
    return Substantive(
        asked, outcome, tuple(dict.fromkeys(covariates)), tuple(dict.fromkeys(split))
    )


def _base(column: str, known: set[str]) -> str:
    """The column behind x_within or x_between; the column itself where it exists."""
    if column in known:
        return column
    bases = {part_name(k, part): k for k in known for part in PARTS}
    if column not in bases:
        raise UsageError(unknown("column of the substantive model", column, known))
    return bases[column]


@dataclass(frozen=True, slots=True)
class BasisColumn:
    """One column of a spline or polynomial of an expression."""

    inner: Computation
    basis: Basis
    column: int

    def __call__(self, given: Mapping[str, Array]) -> Array:
        return np.asarray(self.basis(self.inner(given))[:, self.column], dtype=float)


@dataclass(frozen=True, slots=True)
class Compiler:
    """Knows where each column lies in the values of the engine."""

    asked: Substantive
    variables: Mapping[str, Variable]
    places: Mapping[str, int]
    frame: pd.DataFrame
    factors: frozenset[str]
    cluster: Grouping | None

    def model(self, values: Array, hazards: Hazards | None) -> smc.Model:
        """The engine's model; DataError where rows have no place in it."""
        self.refuse_not_applicable()
        design = self.design(values)
        surface = self.surface(design.recipe)
        if hazards is not None and self.asked.survival:
            if int(hazards.cause.max()) > 1:
                raise UsageError(
                    "A substantive Cox model has one kind of event: Surv(time, cause == 1)."
                )
            strata = design.strata.codes if design.strata else None
            return smc.Cox(surface, hazards.stop, hazards.cause, hazards.start, strata)
        if self.asked.outcome[0] not in self.places:
            raise UsageError(
                f"The outcome {self.asked.outcome[0]!r} of the substantive model takes no part in "
                "the imputation: it holds one value only, dates or identifiers, or is excluded."
            )
        outcome = self.places[self.asked.outcome[0]]
        if design.random:
            factors = tuple(
                Factor(r.grouping.codes, r.grouping.size, np.arange(r.Z.shape[1]))
                for r in design.random
            )
            varying = tuple(self.surface(r.recipe) for r in design.random)
            return smc.Mixed(surface, outcome, factors, varying)
        kind = self.variables[self.asked.outcome[0]].kind
        if kind in ("ordered", "nominal"):
            raise UsageError(
                f"The outcome {self.asked.outcome[0]!r} has levels; a substantive model is linear, "
                "logistic (two values), mixed or Cox's."
            )
        return smc.Logistic(surface, outcome) if kind == "binary" else smc.Linear(surface, outcome)

    def refuse_not_applicable(self) -> None:
        for name in (*self.asked.covariates, *self.asked.outcome):
            variable = self.variables.get(name)
            if variable is not None and not variable.applicable.all():
                out = int((~variable.applicable).sum())
                raise DataError(
                    f"Column {name!r} is not applicable in {out} rows, which therefore have no "
                    "place in the substantive model. Drop these rows first."
                )

    def design(self, values: Array) -> Design:
        """The model's columns over the table, its holes filled: this fixes levels and knots."""
        right = replace(self.asked.formula, response=None)
        frame = self.frame.copy()
        for name in self.asked.covariates:
            if name not in self.variables:
                raise UsageError(
                    f"Column {name!r} of the substantive model takes no part in the imputation; "
                    "a column computed from others is written as its expression."
                )
            frame[name] = self.filled(name, values[self.places[name]])
        for name in self.asked.split:
            assert self.cluster is not None
            mean = smc.cluster_mean(frame[name].to_numpy(float), self.cluster.codes)
            frame[part_name(name, "between")] = mean
            frame[part_name(name, "within")] = frame[name] - mean
        return build_design(right, frame, drop_intercept=self.asked.survival)

    def filled(self, name: str, held: Array) -> Any:
        """A column without holes, every level used."""
        variable = self.variables[name]
        if variable.levels is None:
            return held
        codes = np.where(held < 0, np.arange(held.size) % variable.size, held).astype(np.intp)
        if name in self.factors:
            return pd.Categorical.from_codes(codes, list(variable.levels.names))
        numbers = variable.numbers
        assert numbers is not None
        return numbers[codes]

    # --- pieces -----------------------------------------------------------------------------------

    def surface(self, recipe: Recipe) -> smc.Surface:
        columns: list[tuple[smc.Piece, ...]] = []
        for coded in recipe.coded:
            for block in coded.blocks:
                parts = [list(self.pieces(recipe, f, full)) for f, full in block]
                columns += [tuple(c) for c in product(*parts)]
        return smc.Surface(tuple(columns))

    def pieces(self, recipe: Recipe, expression: Expression, full: bool) -> Iterator[smc.Piece]:
        if expression in recipe.factors:
            factor = recipe.factors[expression]
            levels = self.variables[factor.column].levels
            assert levels is not None
            for j in factor.chosen(full):
                code = levels.names.index(factor.levels[j])
                yield smc.Indicator(self.places[factor.column], code)
            return
        numeric = recipe.numeric[expression]
        if numeric.basis is None:
            yield self.computed(expression, Computation(expression, self.lookup(expression)))
            return
        inner = expression.arguments[0]  # type: ignore[union-attr]
        made = Computation(inner, self.lookup(inner))
        for j in range(len(numeric.names)):
            yield self.computed(inner, BasisColumn(made, numeric.basis, j))

    def lookup(self, expression: Expression) -> dict[str, Array]:
        """The numbers that codes stand for."""
        found = {}
        for name in columns_of(expression):
            variable = self.variables.get(name)
            numbers = None if variable is None else variable.numbers
            if numbers is not None:
                found[name] = numbers
        return found

    def computed(self, expression: Expression, made: Any) -> smc.Computed:
        sources: list[tuple[str, int]] = []
        means: list[tuple[str, int, IntArray]] = []
        within: list[tuple[str, int, IntArray]] = []
        for name in dict.fromkeys(columns_of(expression)):
            if name in self.places:
                sources.append((name, self.places[name]))
                continue
            base = next(b for b in self.asked.split if name in _parts_of(b))
            assert self.cluster is not None
            entry = (name, self.places[base], self.cluster.codes)
            (within if name == part_name(base, "within") else means).append(entry)
        return smc.Computed(made, tuple(sources), tuple(means), tuple(within))


def part_name(column: str, part: str) -> str:
    return f"{column}_{part}"


def _parts_of(base: str) -> tuple[str, ...]:
    return tuple(part_name(base, part) for part in PARTS)


def compatible(
    model: smc.Model, method: str, variable: Variable, factors: tuple[Factor, ...],
    units: IntArray | None,
) -> engine.Method:  # fmt: skip
    """The method of a covariate of the substantive model."""
    kind = KINDS[method]
    if variable.levels is not None and kind == "normal":
        kind = "binary" if variable.size == 2 else "ordered"
    return smc.Compatible(smc.Covariate(kind, max(variable.size, 2), factors), model, units)
