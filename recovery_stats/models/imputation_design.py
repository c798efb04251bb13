"""The columns of an imputation as rows of its design, and what keeps these up to date.

Every column that takes part becomes a group of rows: a number one row, a category an indicator
for each level but the first, and one more where it can be not applicable. Products, passive
variables, the survival outcome and means over clusters are groups too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import impute as engine
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.expression import columns_of
from recovery_stats.models.formula import parse
from recovery_stats.models.imputation_column import (
    Mask,
    Variable,
    not_applicable,
    read_variable,
    usable,
)
from recovery_stats.models.imputation_request import Computation, Group, Request, read_expression
from recovery_stats.models.imputation_substantive import Substantive, read_substantive
from recovery_stats.models.imputation_survival import Hazards, read_hazards


@dataclass(slots=True)
class Layout:
    """Collects the rows of the design and what keeps them up to date."""

    data: Columns
    source: pd.DataFrame | Dataset
    asked: Request
    variables: dict[str, Variable] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    values: list[Array] = field(default_factory=list)
    design: list[Array] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    codings: dict[str, list[engine.Coding]] = field(default_factory=dict)
    passives: dict[str, Computation] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    clusters: list[Grouping] = field(default_factory=list)
    hazards: Hazards | None = None
    substantive: Substantive | None = None

    # --- reading ------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Everything, in order."""
        if self.asked.substantive is not None:
            known = set(map(str, self.data.frame.columns))
            self.substantive = read_substantive(self.asked.substantive, known)
        self.read_clusters()
        self.read_survival()
        for name in self.taking_part():
            self.read(name)
        self.refuse_empty()
        for name, variable in self.variables.items():
            self.add_variable(name, variable)
        for name, text in {**self.asked.passive, **self.asked.scores}.items():
            self.add_passive(name, text)
        for text in self.asked.interactions:
            self.add_interaction(text)
        self.add_hazards()
        if self.clusters and self.asked.cluster_means:
            for group in list(self.groups):
                self.add_cluster_means(group)

    def read_clusters(self) -> None:
        """The clusters, outermost first, each within the one before."""
        names: tuple[str, ...] = ()
        for column in self.cluster_columns():
            if self.data.missing(column).any():
                lost = int(self.data.missing(column).sum())
                raise DataError(
                    f"The cluster column {column!r} is empty in {lost} rows; a cluster is not "
                    "imputed. Drop these rows, or give each a cluster of its own."
                )
            names = (*names, column)
            self.clusters.append(self.data.grouping(names))

    def cluster_columns(self) -> tuple[str, ...]:
        """As asked, else those of the substantive model, the fewest clusters outermost."""
        if self.asked.cluster or self.substantive is None:
            return self.asked.cluster
        groups = self.substantive.groups
        return tuple(sorted(groups, key=lambda g: self.data.series(g).nunique()))

    def read_survival(self) -> None:
        asked = self.asked.survival
        if self.substantive is not None and self.substantive.survival:
            asked = self.substantive.formula.text.partition("~")[0]
        if asked is not None:
            self.hazards = read_hazards(asked, self.source, len(self.data))

    def taking_part(self) -> Iterator[str]:
        """Columns that are imputed or predict: all but what was excluded or cannot."""
        out = {*self.asked.exclude, *self.cluster_columns()}
        out |= set(self.hazards.columns) if self.hazards else set()
        for name in (*out, *self.asked.methods, *self.asked.predictors, *self.asked.slopes):
            if name not in self.asked.passive and name not in self.asked.scores:
                self.data.series(name)  # raises with the nearest name
        made = {*self.asked.passive, *self.asked.scores}
        for name in map(str, self.data.frame.columns):
            if name in out or (name in made):
                continue
            why = usable(self.data, name)
            if why:
                self.left_out[name] = why
            else:
                yield name

    def read(self, name: str) -> None:
        method = self.asked.methods.get(name)
        if self.data.missing(name).all():
            raise DataError(
                f"Column {name!r} has no observed value, so nothing tells what to impute. Leave it "
                f"out: exclude=[{name!r}]."
            )
        out = not_applicable(self.data, name, self.asked.not_applicable, self.source)
        found = read_variable(self.data, name, method, out)
        if not found.observed.any():
            raise DataError(
                f"Column {name!r} has no observed value where it is applicable. Leave it out: "
                f"exclude=[{name!r}]."
            )
        seen = found.values[found.observed]
        if (seen == seen[0]).all():
            self.meet_constant(name, found)
            return
        if method == "none" and found.empty.any():
            self.left_out[name] = f"{int(found.empty.sum())} missing values that are not imputed"
            return
        self.variables[name] = found

    def meet_constant(self, name: str, found: Variable) -> None:
        """A constant predicts nothing; with missing cells it has nothing to be imputed from."""
        empty = int(found.empty.sum())
        if empty:
            raise DataError(
                f"Column {name!r} has the same value in all {int(found.observed.sum())} observed "
                f"rows and is missing in {empty}; an imputation could only repeat it. Fill it in "
                f"where that is certain, or leave it out: exclude=[{name!r}]."
            )
        self.left_out[name] = "one value only"

    def refuse_empty(self) -> None:
        if not any(v.empty.any() for v in self.variables.values()):
            raise DataError(
                "No value is missing in the columns that take part; there is nothing to impute."
            )

    # --- the design ---------------------------------------------------------------------------

    def level_of(self, values: Array) -> int:
        """0: varies within clusters; k: constant within the k-th clusters from inside."""
        level = 0
        for depth, grouping in enumerate(reversed(self.clusters), 1):
            if not _constant_within(values, grouping.codes):
                break
            level = depth
        return level

    def declared(self, name: str, values: Array) -> int:
        """A column said to be constant in the innermost clusters: 1, where that is so."""
        if not self.clusters:
            raise UsageError(f"constant= names {name!r}, but no cluster= in which it is constant.")
        varies = _varying(values, self.clusters[-1].codes)
        if varies:
            raise DataError(
                f"Column {name!r} is said to be constant in each {self.clusters[-1].name}, and "
                f"differs within {varies} of them. Correct it, or take it out of constant=."
            )
        return 1

    def add_row(self, values: Array) -> int:
        self.design.append(values)
        return len(self.design) - 1

    def place(self, name: str, values: Array) -> int:
        self.values.append(values)
        self.places[name] = len(self.values) - 1
        return self.places[name]

    def add_variable(self, name: str, variable: Variable) -> None:
        if not self.design:
            self.add_row(np.ones(len(self.data)))
        level = self.level_of(variable.values)
        if name in self.asked.constant and not level:
            level = self.declared(name, variable.values)
        held = _spread(variable.values, self.codes_at(level)) if level else variable.values
        self.variables[name] = variable = replace(variable, values=held)
        at = self.place(name, np.where(np.isnan(held), _filler(variable), held))
        rows = self.add_main(name, variable, at)
        if (~variable.applicable).any():
            rows.append(self.add_row((~variable.applicable).astype(float)))
        self.groups.append(Group(name, tuple(rows), frozenset({name}), name, level))

    def codes_at(self, level: int) -> IntArray:
        return self.clusters[-level].codes

    def add_main(self, name: str, variable: Variable, at: int) -> list[int]:
        codings = self.codings.setdefault(name, [])
        now = self.values[at]
        if variable.kind == "number" or variable.method == "pmm":
            seen = variable.values[variable.observed]
            centre, scale = float(seen.mean()), float(seen.std()) or 1.0
            row = self.add_row((now - centre) / scale)
            codings.append(engine.Number(row, at, centre, scale))
            return [row]
        rows = []
        for code in range(1, variable.size):
            row = self.add_row((now == code).astype(float))
            codings.append(engine.Level(row, at, code))
            rows.append(row)
        return rows

    def add_passive(self, name: str, text: str) -> None:
        """A variable computed from others: its empty cells follow them."""
        expression = read_expression(text, f"Column {name!r}")
        sources = tuple(dict.fromkeys(columns_of(expression)))
        if not sources:
            raise UsageError(f"{name} = {text} names no column to be computed from.")
        for source in sources:
            if source not in self.variables:
                raise UsageError(unknown(f"column behind {name!r}", source, self.variables))
        lookup = {s: _codes_as_numbers(self.variables[s]) for s in sources}
        made = Computation(expression, {k: v for k, v in lookup.items() if v is not None})
        self.passives[name] = made
        now = made({s: self.values[self.places[s]] for s in sources})
        exists = name in map(str, self.data.frame.columns)
        given = self.data.numbers(name) if exists else np.full(len(self.data), np.nan)
        possible = np.all([self.variables[s].applicable for s in sources], axis=0)
        held = np.where(np.isnan(given), now, given)
        self.refuse_infinite(name, text, held, possible)
        centre, scale = float(held[possible].mean()), float(held[possible].std()) or 1.0
        held[~possible] = centre
        at = self.place(name, held)
        row = self.add_row((held - centre) / scale)
        missing = np.flatnonzero(np.isnan(given) & possible)
        fill = engine.Passive(at, tuple((s, self.places[s]) for s in sources), missing, made)
        for source in sources:
            self.codings[source] += [fill, engine.Number(row, at, centre, scale)]
        level = self.level_of(held)
        self.groups.append(Group(name, (row,), frozenset({name, *sources}), name, level))

    def refuse_infinite(self, name: str, text: str, held: Array, possible: Mask) -> None:
        wrong = possible & ~np.isfinite(held)
        if wrong.any():
            raise DataError(
                f"{name} = {text} has no finite value in {int(wrong.sum())} rows, "
                f"{self.data.rows(wrong)}."
            )

    def add_interaction(self, text: str) -> None:
        """A product of predictors such as "arm:age", in every model but those of its parts."""
        for term in parse(f"~ {text}").terms:
            names = [str(f) for f in term.factors]
            if len(names) < 2:
                continue
            groups = [self.group_named(n) for n in names]
            rows = [self.add_product(parts) for parts in _products([g.rows for g in groups])]
            parts = frozenset().union(*(g.parts for g in groups))
            level = min(g.level for g in groups)
            self.groups.append(Group(":".join(names), tuple(rows), parts, ":".join(names), level))

    def group_named(self, name: str) -> Group:
        found = next((g for g in self.groups if g.name == name), None)
        if found is None:
            raise UsageError(unknown("predictor to multiply", name, [g.name for g in self.groups]))
        return found

    def add_product(self, factors: tuple[int, ...]) -> int:
        row = self.add_row(np.prod([self.design[f] for f in factors], axis=0))
        coding = engine.Product(row, factors)
        for name, codings in self.codings.items():
            if any(getattr(c, "row", None) in factors for c in codings):
                self.codings[name].append(coding)
        return row

    def add_hazards(self) -> None:
        """The event and the cumulative hazard, which predict what is imputed (White & Royston)."""
        if self.hazards is None:
            return
        for name, values in self.hazards.predictors().items():
            spread = float(values.std())
            if spread > 0:
                row = self.add_row((values - values.mean()) / spread)
                parts = frozenset(self.hazards.columns)
                self.groups.append(Group(name, (row,), parts, name, self.level_of(values)))

    def add_cluster_means(self, group: Group) -> None:
        """Means of what varies within clusters: effects between them may be others."""
        for level, grouping in enumerate(reversed(self.clusters), 1):
            if group.level >= level:
                continue
            counts = np.bincount(grouping.codes).astype(float)
            rows = []
            for source in group.rows:
                mean = np.bincount(grouping.codes, self.design[source]) / counts
                row = self.add_row(mean[grouping.codes])
                coding = engine.ClusterMean(row, source, grouping.codes, counts)
                for codings in self.codings.values():
                    if any(getattr(c, "row", None) == source for c in codings):
                        codings.append(coding)
                rows.append(row)
            name = f"mean of {group.name} by {grouping.name}"
            self.groups.append(Group(name, tuple(rows), group.parts, group.of, level))


def _filler(variable: Variable) -> float:
    """What stands in cells without a value: the mean, or no level at all."""
    return float(np.nanmean(variable.values)) if variable.levels is None else -1.0


def _codes_as_numbers(variable: Variable) -> Array | None:
    if variable.levels is None:
        return None
    numbers = variable.numbers
    if numbers is None:
        raise UsageError(
            f"Column {variable.name!r} holds words, and arithmetic needs numbers; code it first."
        )
    return numbers


def _constant_within(values: Array, codes: IntArray) -> bool:
    """Whether observed values never differ within a cluster, and some cluster has two of them."""
    counts = np.bincount(codes[~np.isnan(values)])
    return bool((counts > 1).any()) and _varying(values, codes) == 0


def _varying(values: Array, codes: IntArray) -> int:
    """In how many clusters observed values differ."""
    seen = ~np.isnan(values)
    low = np.full(int(codes.max()) + 1, np.inf)
    high = -low
    np.minimum.at(low, codes[seen], values[seen])
    np.maximum.at(high, codes[seen], values[seen])
    return int((low < high).sum())


def _spread(values: Array, codes: IntArray) -> Array:
    """A value known in one row of a cluster is known in all of them."""
    known = np.full(int(codes.max()) + 1, np.nan)
    seen = ~np.isnan(values)
    known[codes[seen]] = values[seen]
    return np.where(seen, values, known[codes])


def _products(parts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    if not parts:
        yield ()
        return
    for first in parts[0]:
        for rest in _products(parts[1:]):
            yield (first, *rest)
