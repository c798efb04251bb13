"""From the design of an imputation to its plan: what predicts each column, and how it is drawn.

A column is predicted by every group of the design that is not made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import impute as engine
from recovery_stats.engines import impute_method as method_of
from recovery_stats.engines import impute_smc as smc
from recovery_stats.engines.impute_multilevel import Clustered, Factor
from recovery_stats.engines.linalg import dependent_columns
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.calculate import compute
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.expression import columns_of
from recovery_stats.models.imputation_column import NAMES, Variable
from recovery_stats.models.imputation_design import Layout
from recovery_stats.models.imputation_request import Group, Imputation, Request, read_expression
from recovery_stats.models.imputation_substantive import Compiler, compatible

KIND_WORDS = {
    "normal": "normal", "binary": "logistic", "ordered": "proportional odds",
    "nominal": "multinomial", "poisson": "Poisson", "negative-binomial": "negative binomial",
}  # fmt: skip
CLUSTER_WORDS = {
    "matched": "predictive mean matching", "normal": "normal model", "binary": "probit model",
    "nominal": "multinomial probit model",
}  # fmt: skip


def make_plan(data: pd.DataFrame | Dataset, asked: Request) -> Imputation:
    """Read the table and plan its imputation; refusals name the column and the cure."""
    plan = Planner(Columns.of(data), data, asked)
    plan.lay_out()
    return plan.finish()


@dataclass(slots=True)
class Planner(Layout):
    """Chooses predictors and methods over a design."""

    collinear: dict[str, tuple[str, ...]] = field(default_factory=dict)
    model: smc.Model | None = None

    def finish(self) -> Imputation:
        """The plan over the design laid out so far."""
        self.check_delta()
        plan_values, design = np.array(self.values), np.array(self.design)
        self.model = self.substantive_model()
        wanted = sorted(
            (n for n, v in self.variables.items() if v.empty.any()),
            key=lambda n: int(self.variables[n].empty.sum()),
        )
        targets, predictors = [], {}
        for name in wanted:
            target, used = self.target(name, design)
            targets.append(target)
            predictors[name] = used
        sweeps = 1 if self.needs_one_sweep(wanted) else self.asked.sweeps
        plan = engine.Plan(plan_values, design, tuple(targets), sweeps)
        methods = {t.name: self.words_of(t) for t in targets}
        outcome = self.hazards.columns if self.hazards else ()
        return Imputation(
            plan, self.variables, self.passives, methods, predictors, self.left_out,
            self.collinear, outcome,
        )  # fmt: skip

    def substantive_model(self) -> smc.Model | None:
        """The substantive model over the values as they are laid out."""
        if self.substantive is None:
            return None
        if self.substantive.split and not self.clusters:
            raise UsageError("x_within and x_between need cluster=, within which x is split.")
        for name in {*self.asked.delta} & {*self.substantive.covariates}:
            raise UsageError(
                f"delta= cannot shift {name!r}, a covariate that is drawn to fit the substantive "
                "model. Leave out substantive=, or shift the outcome."
            )
        factors = frozenset(n for n in self.variables if self.data.is_factor(n))
        cluster = self.clusters[-1] if self.clusters else None
        compiler = Compiler(
            self.substantive, self.variables, self.places, self.data.frame, factors, cluster
        )
        return compiler.model(np.array(self.values), self.hazards)

    def is_compatible(self, name: str) -> bool:
        """Whether a column is a covariate of the substantive model."""
        return self.substantive is not None and name in self.substantive.covariates

    def needs_one_sweep(self, wanted: Sequence[str]) -> bool:
        """Whether one sweep is enough, since nothing drawn predicts anything drawn."""
        return len(wanted) == 1 and not (self.clusters or self.passives or self.substantive)

    def check_delta(self) -> None:
        empty = [n for n, v in self.variables.items() if v.empty.any()]
        for name in self.asked.delta:
            if name not in empty:
                known = ", ".join(empty[:12])
                why = (
                    "has no missing value" if name in self.variables
                    else "is computed from others" if name in self.passives
                    else f"is left out ({self.left_out[name]})" if name in self.left_out
                    else "takes no part"
                )  # fmt: skip
                raise UsageError(
                    f"delta= shifts imputed values, and column {name!r} {why}. "
                    f"Imputed columns: {known}."
                )
            if self.clusters and self.variables[name].kind == "ordered":
                raise UsageError(
                    f"delta= cannot shift {name!r} within clusters, where codes of ordered columns "
                    "are matched and a shifted code is no level. Impute it as a number "
                    f'(methods={{{name!r}: "normal"}}), or without cluster=.'
                )
            if self.variables[name].kind == "nominal":
                raise UsageError(
                    f"delta= shifts numbers and log odds; column {name!r} has "
                    f"{self.variables[name].size} levels without an order. Impute a yes/no or "
                    "ordered column instead."
                )

    def method_name(self, name: str) -> str:
        variable = self.variables[name]
        return self.asked.methods.get(name) or variable.method

    def words_of(self, target: engine.Target) -> str:
        """How a column is drawn, in words."""
        asked, words = self.method_name(target.name), NAMES[self.method_name(target.name)]
        match target.method:
            case smc.Compatible(covariate, _, _, _):
                return f"compatible with the substantive model, {KIND_WORDS[covariate.kind]}"
            case smc.Outcome():
                return "substantive model"
            case Clustered(kind, _, _, _, _):
                within = "binary" if asked == "logistic" else kind
                return f"{CLUSTER_WORDS[within]} within clusters"
        return words

    def target(self, name: str, design: Array) -> tuple[engine.Target, tuple[str, ...]]:
        variable = self.variables[name]
        level = next(g.level for g in self.groups if g.name == name)
        chosen = self.predictors_of(name, level)
        rows = np.array([0, *(r for g in chosen for r in g.rows)], dtype=np.intp)
        observed, missing, cells, copy = self.cells(variable, level)
        rows = self.independent(name, design, rows, observed, chosen)
        if observed.size <= rows.size:
            raise NotEstimable(
                f"Column {name!r} has {observed.size} observed values for {rows.size} "
                f"coefficients of its imputation model. {_identifier(chosen)}Name fewer "
                f"predictors: predictors={{{name!r}: [...]}}."
            )
        target = engine.Target(
            name, self.places[name], observed, missing, rows,
            self.method(name, variable, level), tuple(self.codings[name]),
            self.delta_of(name, missing), cells, copy,
        )  # fmt: skip
        kept = set(rows.tolist())
        return target, tuple(g.name for g in chosen if kept & set(g.rows))

    def cells(
        self, variable: Variable, level: int
    ) -> tuple[IntArray, IntArray, IntArray | None, IntArray | None]:
        """Positions observed and missing; one for each cluster where it is constant in them."""
        if not level:
            return np.flatnonzero(variable.observed), np.flatnonzero(variable.empty), None, None
        codes = self.codes_at(level)
        first = np.full(int(codes.max()) + 1, -1, dtype=np.intp)
        first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
        observed = first[variable.observed[first]]
        missing = first[variable.empty[first]]
        cells = np.flatnonzero(variable.empty)
        place = np.full(first.size, -1, dtype=np.intp)
        place[codes[missing]] = np.arange(missing.size)
        return observed, missing, cells, place[codes[cells]]

    def predictors_of(self, name: str, level: int) -> list[Group]:
        named = self.asked.predictors.get(name)
        if named is not None:
            known = {g.of for g in self.groups}
            for other in named:
                if other not in known:
                    raise UsageError(unknown(f"predictor of {name!r}", other, known))
        items, of_score = self.items(), self.scores_of(name)
        chosen = []
        for group in self.groups:
            own = name in group.parts or (
                self.is_compatible(name)
                and self.substantive is not None
                and not group.parts.isdisjoint(self.substantive.outcome)
            )
            swapped = not of_score and group.name in items and named is None
            between = group.level < level
            unnamed = named is not None and group.of not in named
            if not (own or swapped or between or unnamed or self.other_items(group, of_score)):
                chosen.append(group)
        return chosen

    def items(self) -> set[str]:
        """Columns that a score stands for in the models of other columns."""
        return {c for s in self.asked.scores for c in columns_of(self.passives[s].expression)}

    def scores_of(self, name: str) -> set[str]:
        """The items of every score that `name` is an item of."""
        found: set[str] = set()
        for score in self.asked.scores:
            parts = set(columns_of(self.passives[score].expression))
            found |= parts if name in parts else set()
        return found

    def other_items(self, group: Group, of_score: set[str]) -> bool:
        """Items of other scales give way to their score in the model of an item."""
        return bool(of_score) and group.name in self.items() - of_score

    def independent(
        self, name: str, design: Array, rows: IntArray, observed: IntArray, chosen: list[Group]
    ) -> IntArray:
        """Leave out predictors that are combinations of others where the column is observed."""
        X = np.asfortranarray(design[np.ix_(rows, observed)].T)
        dropped = dependent_columns(X, intercept=True)
        if not dropped:
            return rows
        lost = set(rows[dropped].tolist())
        self.collinear[name] = tuple(g.name for g in chosen if lost & set(g.rows))
        return np.delete(rows, dropped)

    def method(self, name: str, variable: Variable, level: int) -> engine.Method:
        asked = self.method_name(name)
        above = self.clusters[: len(self.clusters) - level]
        if self.model is not None and self.is_compatible(name):
            return self.compatible(name, variable, asked, above, level)
        if self.substantive is not None and name in self.substantive.outcome:
            assert not isinstance(self.model, smc.Cox)
            return smc.Outcome(self.model)  # type: ignore[arg-type]
        if above:
            return self.clustered(name, variable, asked, above, level)
        plain: dict[str, engine.Method] = {
            "pmm": method_of.Matched(self.asked.donors),
            "normal": method_of.Normal(),
            "logistic": method_of.Binary(),
            "ordered": method_of.Ordered(variable.size),
            "multinomial": method_of.Nominal(variable.size),
            "poisson": method_of.Poisson(),
            "negative-binomial": method_of.NegativeBinomial(),
        }
        return plain[asked]

    def clustered(
        self, name: str, variable: Variable, asked: str, above: Sequence[Grouping], level: int
    ) -> engine.Method:
        """The same with random effects: numbers and ordered codes by their mixed model."""
        slopes = [0] if level else [0, *self.slope_rows(name)]
        last = len(above) - 1
        factors = tuple(
            Factor(g.codes, g.size, np.array(slopes if f == last else [0], dtype=np.intp))
            for f, g in enumerate(above)
        )
        kinds: dict[str, Any] = {
            "normal": "normal", "logistic": "binary", "multinomial": "nominal"
        }  # fmt: skip
        return Clustered(
            kinds.get(asked, "matched"), factors, self.asked.heterogeneous and not level,
            self.asked.donors, max(variable.size, 2),
        )  # fmt: skip

    def compatible(
        self, name: str, variable: Variable, asked: str, above: Sequence[Grouping], level: int
    ) -> engine.Method:
        """A covariate of the substantive model: proposals with intercepts of its clusters."""
        assert self.model is not None
        assert self.substantive is not None
        factors = tuple(Factor(g.codes, g.size, np.array([0], dtype=np.intp)) for g in above)
        units = self.codes_at(level) if level else None
        if name in self.substantive.split and not level:
            units = self.codes_at(1)
        elif self.substantive.split and not level:
            units = np.arange(len(self.data))  # rows by themselves, beside means of whole clusters
        return compatible(self.model, asked, variable, factors, units)

    def slope_rows(self, name: str) -> Iterator[int]:
        for column in self.asked.slopes:
            group = self.group_named(column)
            if name not in group.parts:
                yield from group.rows

    def delta_of(self, name: str, missing: IntArray) -> Array | float:
        """A shift for each missing cell: a number, one for each row, or an expression of them."""
        given = self.asked.delta.get(name, 0.0)
        if not isinstance(given, str) and np.ndim(given) == 0:
            if not isinstance(given, Real) or not np.isfinite(float(given)):
                raise UsageError(f"delta[{name!r}] is a finite number, not {given}.")
            return float(given)
        by_row = self.shift_of_rows(name, given)
        if by_row.shape != (len(self.data),):
            raise UsageError(f"delta[{name!r}] has {by_row.size} values for {len(self.data)} rows.")
        shift = np.asarray(by_row[missing], dtype=float)
        if not np.isfinite(shift).all():
            raise DataError(
                f"delta[{name!r}] is empty or infinite in {int((~np.isfinite(shift)).sum())} of "
                "the rows in which the column is missing; give every one of them a number."
            )
        return shift

    def shift_of_rows(self, name: str, given: Any) -> Array:
        if isinstance(given, str):
            expression = read_expression(given, f"delta of {name!r}")
            return np.broadcast_to(compute(expression, self.data), (len(self.data),))
        try:
            return np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            raise UsageError(
                f"delta[{name!r}] is a number, one number for each row, or an expression of "
                "columns."
            ) from None


def _identifier(chosen: Sequence[Group]) -> str:
    """Of a model with too many coefficients: the column whose levels most of them are."""
    widest = max(chosen, key=lambda g: len(g.rows), default=None)
    if widest is None or len(widest.rows) < sum(len(g.rows) for g in chosen) / 2:
        return ""
    return (
        f"{widest.of!r} alone has {len(widest.rows)}: leave it out if it only tells rows apart "
        f"(exclude=[{widest.of!r}]). "
    )
