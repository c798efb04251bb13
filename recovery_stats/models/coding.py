"""Code the terms of a formula as columns with names, and remember how (`Recipe`).

Factors are coded with the fewest columns that keep the span of every term: a factor is coded
against its reference level where the rest of its term is already in the model, and by all its
levels where it is not (Chambers & Hastie 1992, section 2.4). Checked: formulaic's columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models import basis
from recovery_stats.models.calculate import evaluate
from recovery_stats.models.columns import Array, Columns, IntArray, Levels
from recovery_stats.models.formula import (
    BASES,
    INTERCEPT,
    Call,
    Expression,
    Number,
    Term,
    Text,
    Variable,
)


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number, or several from one basis; `basis` None means the expression as it is."""

    expression: Expression
    basis: basis.Basis | None
    names: tuple[str, ...]
    labels: tuple[str, ...]

    def columns(self, data: Columns) -> list[Array]:
        if self.basis is None:
            return [evaluate(self.expression, data)]
        assert isinstance(self.expression, Call)
        x = evaluate(self.expression.arguments[0], data)
        return list(np.asarray(self.basis(x), dtype=float).T)


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor with its levels in order; `reference` is the position of the reference level."""

    expression: Expression
    column: str
    levels: tuple[str, ...]
    values: tuple[Any, ...]
    reference: int
    label: str

    def chosen(self, full: bool) -> list[int]:
        return [j for j in range(len(self.levels)) if full or j != self.reference]

    def codes(self, data: Columns) -> IntArray:
        """The levels of new rows, matched by value, else by name; -1 where missing."""
        found = data.levels(self.column)
        by_value = {v: j for j, v in enumerate(self.values)}
        by_name = {n: j for j, n in enumerate(self.levels)}
        where = [
            by_value.get(v, by_name.get(n)) for v, n in zip(found.values, found.names, strict=True)
        ]
        strange = sum(w is None for w in where)
        if strange:
            raise DataError(
                f"Column {self.column!r} has {strange} levels that the model never saw; "
                f"it knows {', '.join(self.levels[:12])}."
            )
        return np.array([*where, -1], dtype=np.intp)[found.codes]


@dataclass(frozen=True, slots=True)
class Coded:
    """One term as its blocks of columns: for each block the factors, and whether coded in full."""

    term: Term
    blocks: tuple[tuple[tuple[Expression, bool], ...], ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the columns again for other rows."""

    coded: tuple[Coded, ...]
    numeric: Mapping[Expression, Numeric]
    factors: Mapping[Expression, Factor]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    assign: tuple[int, ...]
    offsets: tuple[Expression, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(str(c.term) for c in self.coded)

    def matrix(self, data: pd.DataFrame | Dataset | Columns, *, sum_to_zero: bool = False) -> Array:
        """X (n, p) for the rows of `data`; NaN in rows that lack a value.

        sum_to_zero: contrasts against the mean of the levels in place of the reference level.
        """
        columns = data if isinstance(data, Columns) else Columns.of(data)
        codes = {k: f.codes(columns) for k, f in self.factors.items()}
        return _matrix(self, columns, codes, sum_to_zero=sum_to_zero)

    def offset(self, data: pd.DataFrame | Dataset | Columns) -> Array:
        columns = data if isinstance(data, Columns) else Columns.of(data)
        total = np.zeros(len(columns))
        for expression in self.offsets:
            total += evaluate(expression, columns)
        return total


# --- learning ----------------------------------------------------------------------


class Learner:
    """Learns every factor and basis once, then codes the terms of one side of the formula."""

    def __init__(self, data: Columns, reference: dict[str, str]) -> None:
        self.data, self.reference = data, reference
        self.numeric: dict[Expression, Numeric] = {}
        self.factors: dict[Expression, Factor] = {}
        self.codes: dict[Expression, IntArray] = {}

    def learn(
        self,
        terms: tuple[Term, ...],
        offsets: tuple[Expression, ...],
        *,
        drop_intercept: bool = False,
    ) -> tuple[Recipe, Array]:
        """The recipe of the terms and their columns; drop_intercept: coded beside an intercept,
        which is then left out."""
        used = tuple(dict.fromkeys(f for t in terms for f in t.factors))
        for expression in used:
            self.meet(expression)
        found = [self.numeric.get(e) for e in used]
        plain = [n for n in found if n is not None and n.basis is None]
        if len(plain) == len(used):
            recipe = _of_numbers(terms, offsets, tuple(plain))
        else:
            recipe = _recipe(
                terms,
                offsets,
                {k: self.numeric[k] for k in used if k in self.numeric},
                {k: self.factors[k] for k in used if k in self.factors},
            )
        if len(recipe.names) > len(self.data):
            raise NotEstimable(self.too_many(recipe))
        if drop_intercept and terms[:1] == (INTERCEPT,):
            recipe = without_intercept(recipe)
        return recipe, _matrix(recipe, self.data, self.codes)

    def too_many(self, recipe: Recipe) -> str:
        p, n = len(recipe.names), len(self.data)
        largest = max(recipe.factors.values(), key=lambda f: len(f.levels), default=None)
        why = (
            f" Column {largest.column!r} alone has {len(largest.levels)} levels." if largest else ""
        )
        return f"The formula asks for {p} coefficients from {n} rows.{why}"

    def meet(self, expression: Expression) -> None:
        if expression in self.numeric or expression in self.factors:
            return
        match expression:
            case Call("C" | "strata", (Variable(name),), _):
                self.meet_factor(expression, name)
            case Variable(name) if self.data.is_factor(name):
                self.meet_factor(expression, name)
            case _:
                self.numeric[expression] = _numeric(expression, self.data)

    def meet_factor(self, expression: Expression, name: str) -> None:
        found = self.data.levels(name)
        if len(found.names) < 2:
            raise NotEstimable(
                f"Column {name!r} has the same level in all {len(self.data)} rows that are "
                "observed on every column of the formula; there is nothing to compare."
            )
        wanted = self.wanted(expression, name)
        self.factors[expression] = Factor(
            expression,
            name,
            found.names,
            found.values,
            _position(wanted, name, found),
            self.data.label(name),
        )
        self.codes[expression] = found.codes

    def wanted(self, expression: Expression, name: str) -> str | None:
        if isinstance(expression, Call):
            ref = expression.option("ref")
            if isinstance(ref, Text | Number):
                return str(ref.value) if isinstance(ref, Text) else str(ref)
        return self.reference.get(name)

    def check_references(self) -> None:
        """A reference for a column that is no factor of the formula is a mistake, not a wish."""
        known = {f.column for f in self.factors.values()}
        for column in self.reference:
            if column not in known:
                raise UsageError(unknown("factor to take a reference level for", column, known))


@lru_cache(maxsize=256)
def _of_numbers(
    terms: tuple[Term, ...], offsets: tuple[Expression, ...], numbers: tuple[Numeric, ...]
) -> Recipe:
    """The recipe of terms that hold numbers as they are: nothing in it comes from the rows."""
    return _recipe(terms, offsets, {n.expression: n for n in numbers}, {})


def _recipe(
    terms: tuple[Term, ...],
    offsets: tuple[Expression, ...],
    numeric: Mapping[Expression, Numeric],
    factors: Mapping[Expression, Factor],
) -> Recipe:
    strata: set[Expression] = {
        f for t in terms for f in t.factors if isinstance(f, Call) and f.function == "strata"
    }
    coded = _coded(terms, set(factors), strata)
    return _named(Recipe(coded, numeric, factors, (), (), (), offsets))


def _position(wanted: str | None, column: str, found: Levels) -> int:
    if wanted is None:
        return 0
    plain = [f"{v:g}" if isinstance(v, float) else str(v) for v in found.values]
    for names in (list(found.names), plain):
        if wanted in names:
            return names.index(wanted)
    raise UsageError(unknown(f"level of column {column!r}", wanted, found.names))


def _numeric(expression: Expression, data: Columns) -> Numeric:
    text = str(expression)
    if isinstance(expression, Call) and expression.function in BASES:
        inner, size = expression.arguments
        assert isinstance(size, Number)
        learned = basis.learn(expression.function, evaluate(inner, data), size.value)
        width = learned(np.zeros(1)).shape[1]
        names = tuple(f"{text}[{j + 1}]" for j in range(width))
        return Numeric(expression, learned, names, names)
    label = data.label(text) if isinstance(expression, Variable) else text
    return Numeric(expression, None, (text,), (label,))


def _coded(
    terms: Sequence[Term], factors: set[Expression], baselines: set[Expression]
) -> tuple[Coded, ...]:
    """Decide for each term which factors need all their levels.

    A factor coded in full spans its contrasts and the constant, so a term spans one contrast
    space for every subset of its factors; blocks are made only for subsets not yet spanned.
    baselines: strata, whose differences the baseline hazards span.
    """
    if not factors:
        return tuple(Coded(t, (tuple((f, False) for f in t.factors),)) for t in terms)
    spanned: dict[frozenset[Expression], set[frozenset[Expression]]] = {}
    if baselines:
        spanned[frozenset()] = {frozenset({b}) for b in baselines}
    coded = []
    for term in terms:
        inside = [f for f in term.factors if f in factors]
        rest = frozenset(f for f in term.factors if f not in factors)
        done = spanned.setdefault(rest, set())
        subsets = [
            frozenset(some)
            for size in range(len(inside) + 1)
            for some in combinations(inside, size)
        ]
        new = [s for s in subsets if s not in done]
        done.update(new)
        blocks = [
            tuple((f, f in full) for f in term.factors if f in subset or f not in factors)
            for subset, full in _absorbed(new, inside)
        ]
        coded.append(Coded(term, tuple(blocks)))
    return tuple(coded)


def _absorbed(
    new: list[frozenset[Expression]], order: list[Expression]
) -> list[tuple[frozenset[Expression], frozenset[Expression]]]:
    """Merge subsets S and S with f into one block that codes f in full: (subset, full)."""
    blocks = [(s, frozenset[Expression]()) for s in new]
    merged = True
    while merged:
        merged = False
        for (small, full), f in product(blocks, order):
            wide = (small | {f}, full)
            if f not in small and wide in blocks:
                at = blocks.index(wide)
                blocks[at] = (small | {f}, full | {f})
                blocks.remove((small, full))
                merged = True
                break
    return blocks


def _named(recipe: Recipe) -> Recipe:
    names: list[str] = []
    labels: list[str] = []
    assign: list[int] = []
    for at, coded in enumerate(recipe.coded):
        for block in coded.blocks:
            for pieces in _leftmost_fastest([_pieces(recipe, f, full) for f, full in block]):
                names.append(":".join(p[0] for p in pieces) or "Intercept")
                labels.append(" × ".join(p[1] for p in pieces) or "Intercept")
                assign.append(at)
    return replace(recipe, names=tuple(names), labels=tuple(labels), assign=tuple(assign))


def _leftmost_fastest(parts: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [combination[::-1] for combination in product(*parts[::-1])]


def _pieces(recipe: Recipe, expression: Expression, full: bool) -> list[tuple[str, str]]:
    if expression in recipe.numeric:
        part = recipe.numeric[expression]
        return list(zip(part.names, part.labels, strict=True))
    factor = recipe.factors[expression]
    mark = "" if full else "T."
    against = "" if full else f" vs {factor.levels[factor.reference]}"
    return [
        (f"{expression}[{mark}{factor.levels[j]}]", f"{factor.label}: {factor.levels[j]}{against}")
        for j in factor.chosen(full)
    ]


def _matrix(
    recipe: Recipe,
    data: Columns,
    codes: Mapping[Expression, IntArray],
    *,
    sum_to_zero: bool = False,
) -> Array:
    """X, filled column by column in memory order (each column contiguous)."""
    X = np.empty((len(recipe.names), len(data)))
    numeric = {k: v.columns(data) for k, v in recipe.numeric.items()}
    at = 0
    for coded in recipe.coded:
        for block in coded.blocks:
            parts = [_indicators(recipe, f, full, numeric, codes, sum_to_zero) for f, full in block]
            alone = parts[0] if len(parts) == 1 else None
            for piece in alone or map(_product, _leftmost_fastest(parts)):
                X[at] = piece
                at += 1
    return X.T


def _product(columns: tuple[Array, ...]) -> Array | float:
    return np.prod(columns, axis=0) if columns else 1.0


def _indicators(
    recipe: Recipe,
    expression: Expression,
    full: bool,
    numeric: Mapping[Expression, list[Array]],
    codes: Mapping[Expression, IntArray],
    sum_to_zero: bool,
) -> list[Array]:
    if expression in numeric:
        return numeric[expression]
    code = codes[expression]
    missing = code < 0
    factor = recipe.factors[expression]
    columns = [(code == j).astype(float) for j in factor.chosen(full)]
    if sum_to_zero and not full:
        against = (code == factor.reference).astype(float)
        columns = [column - against for column in columns]
    if missing.any():
        for column in columns:
            column[missing] = np.nan
    return columns


def without_intercept(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        coded=recipe.coded[1:],
        names=recipe.names[1:],
        labels=recipe.labels[1:],
        assign=tuple(a - 1 for a in recipe.assign[1:]),
    )


def with_intercept(recipe: Recipe) -> Recipe:
    """What `without_intercept` made, with the intercept back in the first place."""
    return replace(
        recipe,
        coded=(Coded(INTERCEPT, ((),)), *recipe.coded),
        names=(str(INTERCEPT), *recipe.names),
        labels=(str(INTERCEPT), *recipe.labels),
        assign=(0, *(a + 1 for a in recipe.assign)),
    )
