"""From a formula and a frame to arrays with names: the design matrix and all that goes with it.

What was asked (`Formula`) is kept apart from what was learned (`Recipe`: levels, reference,
knots), so that new rows are coded exactly as the rows analysed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import LARGEST, all_finite
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.calculate import evaluate
from recovery_stats.models.coding import Learner, Recipe
from recovery_stats.models.columns import Array, Columns, Grouping
from recovery_stats.models.formula import (
    Cbind,
    Column,
    Formula,
    Surv,
    columns_of,
    parse,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A numeric response y (n,)."""

    name: str
    y: Array


@dataclass(frozen=True, slots=True)
class Times:
    """Times and event of `Surv`; event holds 0/1 when compared with a constant, else raw codes.

    start is None without delayed entry; for interval2 start and stop are the interval, NaN where
    it is open; for interval they are time and time2, and event the code.
    """

    start: Array | None
    stop: Array
    event: Array
    kind: str


@dataclass(frozen=True, slots=True)
class Trials:
    """Successes and failures (n,) in each row."""

    successes: Array
    failures: Array


@dataclass(frozen=True, slots=True)
class RandomDesign:
    """One random term: Z (n, q) with names, its groups, and whether effects are correlated."""

    grouping: Grouping
    Z: Array
    recipe: Recipe
    correlated: bool

    @property
    def names(self) -> tuple[str, ...]:
        return self.recipe.names


@dataclass(frozen=True, slots=True)
class Design:
    """The only object that holds names and arrays together.

    X (n, p), names and labels of its columns; `assign` gives each column's position in `terms`.
    index: labels of all rows of the data; kept: which of them are the n rows. lost: rows
    dropped for a missing value, by the first column that lacked it. numbers and groups: the
    further columns asked for (weights, clusters).
    """

    X: Array
    names: tuple[str, ...]
    labels: tuple[str, ...]
    terms: tuple[str, ...]
    assign: tuple[int, ...]
    recipe: Recipe
    response: Outcome | Times | Trials | None
    offset: Array | None
    random: tuple[RandomDesign, ...]
    strata: Grouping | None
    frailty: Grouping | None
    frailty_outer: Grouping | None
    cluster: Grouping | None
    numbers: Mapping[str, Array]
    groups: Mapping[str, Grouping]
    index: pd.Index[Any]
    kept: NDArray[np.bool_]
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> NDArray[Any]:
        """Index labels of the n rows."""
        return np.asarray(self.index.to_numpy()[self.kept])

    def columns_of(self, term: str) -> list[int]:
        """The positions of a term's columns."""
        at = self.terms.index(term)
        return [j for j, a in enumerate(self.assign) if a == at]

    def named(self, column: str) -> list[int]:
        """The positions of every coefficient that involves the data column `column`."""
        return [
            j
            for j, a in enumerate(self.assign)
            if a < len(self.recipe.coded)
            and any(column in columns_of(f) for f in self.recipe.coded[a].term.factors)
        ]


def build_design(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    numbers: Sequence[str] = (),
    groups: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
    drop_intercept: bool = False,
    penalised: bool = False,
) -> Design:
    """Read the rows observed on every column used and make the arrays of `formula`.

    numbers, groups: further columns to read along (weights; clusters). reference: column to
    reference level. drop_intercept: code factors as beside an intercept, then leave it out (Cox).
    penalised: whether the caller's fit knows how to smooth pspline(x).
    Raises DataError (a term whose squares overflow), NotEstimable (no row left, a factor of one
    level), UsageError (reference).
    """
    asked = parse(formula) if isinstance(formula, str) else formula
    _refuse_outcome_as_predictor(asked)
    _refuse_pspline(asked, known=penalised)
    source = Columns.of(data)
    kept, lost = _observed(asked, source, (*numbers, *groups))
    columns = source.only(kept) if lost else source
    learner = Learner(columns, dict(reference or {}))
    recipe, X = learner.learn(asked.terms, asked.offsets, drop_intercept=drop_intercept)
    _refuse_huge(recipe, X, columns)
    random = []
    for part in asked.random:
        inner, Z = learner.learn(part.terms, ())
        random.append(RandomDesign(columns.grouping(part.group), Z, inner, part.correlated))
    learner.check_references()
    return Design(
        X,
        recipe.names,
        recipe.labels,
        recipe.terms,
        recipe.assign,
        recipe,
        _response(asked, columns),
        recipe.offset(columns) if asked.offsets else None,
        tuple(random),
        columns.grouping(asked.strata) if asked.strata else None,
        columns.grouping(asked.frailty.columns) if asked.frailty else None,
        columns.grouping((asked.frailty.column,)) if asked.frailty else None,
        columns.grouping((asked.cluster,)) if asked.cluster else None,
        {n: columns.numbers(n) for n in numbers},
        {g: columns.grouping((g,)) for g in groups},
        source.given.index,
        kept,
        lost,
    )


# --- rows and response ------------------------------------------------------------


def _refuse_outcome_as_predictor(formula: Formula) -> None:
    for name in formula.on_both_sides:
        raise UsageError(f"Column {name!r} is the outcome and a predictor; name one role.")


def _refuse_pspline(formula: Formula, *, known: bool) -> None:
    """A smooth term without its penalty would be another model; products of it are not known."""
    for term, smooth in formula.smooth:
        if not known:
            raise UsageError(f"{smooth} is smoothed by rs.cox only; use ns(x, 3) or rcs(x, 4).")
        if len(term.factors) > 1:
            raise UsageError(f"{term}: pspline stands alone; use ns(x, 3) in a product.")


def _refuse_huge(recipe: Recipe, X: Array, data: Columns) -> None:
    """Refuse a term whose squares, and with them the variance of its coefficient, overflow."""
    if all(len(c.term.factors) < 2 for c in recipe.coded) and data.are_known(recipe.numeric):
        return
    for name, column in zip(recipe.names, X.T, strict=True):
        if not all_finite(column):
            raise DataError(
                f"Term {name!r} has values above {LARGEST:g}; state it in larger units."
            )


def _observed(
    formula: Formula, data: Columns, further: Sequence[str]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which rows have every column used, and how many were lost to each in turn."""
    if not len(data):
        raise NotEstimable("The data have no rows.")
    exempt = _may_be_missing(formula.response)
    kept, n = np.ones(len(data), dtype=bool), len(data)
    lost: dict[str, int] = {}
    for name in dict.fromkeys((*formula.columns(), *further)):
        if name in exempt:
            continue
        missing = data.lacking(name)
        if missing is None:
            continue
        kept &= ~missing
        before, n = n, int(np.count_nonzero(kept))
        if n < before:
            lost[name] = before - n
        if not n:
            raise NotEstimable(
                f"No row is left: column {name!r} is missing in {int(missing.sum())} of "
                f"{len(data)} rows" + (", the rest lack another column." if len(lost) > 1 else ".")
            )
    return kept, lost


def _may_be_missing(response: object) -> set[str]:
    """Ends of an interval that stand for "not known": missing or infinite."""
    match response:
        case Surv(start, stop, _, "interval2"):
            return {*columns_of(stop), *(columns_of(start) if start is not None else ())}
        case Surv(_, stop, _, "interval"):
            return set(columns_of(stop))
    return set()


def _response(formula: Formula, data: Columns) -> Outcome | Times | Trials | None:
    match formula.response:
        case Column(expression):
            return Outcome(str(expression), evaluate(expression, data))
        case Cbind(successes, failures):
            return Trials(evaluate(successes, data), evaluate(failures, data))
        case Surv() as surv:
            open_ends = _may_be_missing(surv)
            return _times(surv, data.opened(open_ends) if open_ends else data)
    return None


def _times(surv: Surv, data: Columns) -> Times:
    start = None if surv.start is None else evaluate(surv.start, data)
    stop = evaluate(surv.stop, data)
    if surv.event is None:
        return Times(start, stop, np.ones(len(data)), surv.kind)
    if surv.event.equals is None:
        return Times(start, stop, _codes(surv.event.column, data), surv.kind)
    return Times(start, stop, _compared(surv.event.column, surv.event.equals, data), surv.kind)


def _codes(column: str, data: Columns) -> Array:
    """The codes of what happened; of words, how to say which of them is the event."""
    try:
        return data.numbers(column)
    except DataError as error:
        if pd.api.types.is_numeric_dtype(data.series(column).dtype):
            raise
        raise DataError(
            f"{error} Where words tell what happened, name the event: {column} == 'relapse'."
        ) from None


def _compared(column: str, constant: float | str, data: Columns) -> Array:
    """1 where the column equals the constant: a code, or a level by its name."""
    if not isinstance(constant, str) and data.is_plain(column):
        return np.asarray(data.numbers(column) == constant, dtype=float)
    found = data.levels(column)
    if isinstance(constant, str):
        same = [
            constant in (n, str(v).strip()) for n, v in zip(found.names, found.values, strict=True)
        ]
    else:
        same = [_equal(v, constant) for v in found.values]
    if not any(same) and isinstance(constant, str) and constant not in data.codebook[column].values:
        known = {*found.names, *map(str, data.codebook[column].values.values())}
        if constant not in known:
            raise UsageError(unknown(f"level of column {column!r}", constant, known))
    return np.array([*same, False], dtype=float)[found.codes]


def _equal(value: Any, constant: float) -> bool:
    try:
        return float(value) == constant
    except (TypeError, ValueError):
        return False
