"""What is missing, where and why, and whether it can be chance: `missing(waves, person=…, wave=…)`.

In a table of waves an interview that did not take place is no row: it is counted as missing at
that wave, with "no row" as its reason. A question that does not apply is not missing: it is in no
denominator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.document import Document
from recovery_stats.engines import normal_missing
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.formula import quote
from recovery_stats.models.glm import GlmFit, glm
from recovery_stats.models.missingness_state import (
    NO_ROW,
    OBSERVED,
    joined,
    keys_of,
    kind_of,
    letters,
    state_of,
    tally,
)

KEYS = ("person", "wave", "arm")
KINDS = ("complete", "monotone", "intermittent", "never")
BY = ("wave", "arm")


@dataclass(frozen=True, slots=True)
class Missing:
    """The state of every cell: observed, or the reason why it is not.

    data: as given. keys: person, wave and arm of each row, where known; rows that should be there
    are among them. states: a column for each variable, rows as `keys`. outside: reasons that mean
    that the question does not apply. waves: in their order.
    """

    data: Dataset
    keys: pd.DataFrame
    states: pd.DataFrame
    outside: frozenset[str]
    waves: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        applies = self._applies()
        share = float((self._lost() & applies).to_numpy().sum() / max(applies.to_numpy().sum(), 1))
        waves = f" at {len(self.waves)} waves" if self.waves else ""
        return f"<Missing of {self.states.shape[1]} variables{waves}: {share:.1%} of the cells>"

    # --- where and why -----------------------------------------------------------------------

    def tidy(self, by: Literal["wave", "arm"] | None = None) -> pd.DataFrame:
        """Each variable: cells to which it applies, how many are missing, their share."""
        return pd.DataFrame(
            [
                {
                    "variable": c,
                    "label": self.data.label(c),
                    **level,
                    **tally(part[c], self.outside),
                }
                for level, part in self._parts(by)
                for c in self.states.columns
            ]
        ).sort_values("variable", kind="stable", ignore_index=True)

    def reasons(self, by: Literal["wave", "arm"] | None = None) -> pd.DataFrame:
        """Each variable's missing cells by reason; those it does not apply to are a reason too."""
        rows = []
        for level, part in self._parts(by):
            for column in self.states.columns:
                counts = part[column].value_counts()
                applies = int((~part[column].isin(self.outside)).sum())
                for reason in sorted(set(counts.index) - {OBSERVED}):
                    n = int(counts[reason])
                    share = float("nan") if reason in self.outside else n / max(applies, 1)
                    rows.append({"variable": column, **level, "reason": reason, "cells": n,
                                 "share": share})  # fmt: skip
        names = ["variable", *([by] if by else []), "reason", "cells", "share"]
        found = pd.DataFrame(rows, columns=names)
        return found.sort_values("variable", kind="stable", ignore_index=True)

    # --- patterns ----------------------------------------------------------------------------

    def patterns(self, variable: str | None = None) -> pd.DataFrame:
        """How often each pattern occurs: of one variable over the waves, or of all variables.

        pattern: + observed, o missing, _ not applicable, in the order of waves or of columns.
        """
        signs = self._signs(variable)
        found = signs.value_counts(sort=False).rename_axis("pattern").reset_index(name="n")
        found["share"] = found["n"] / max(len(signs), 1)
        found["missing"] = found["pattern"].str.count("o")
        if variable is not None:
            found["kind"] = [kind_of(p) for p in found["pattern"]]
        return found.sort_values(["n", "pattern"], ascending=[False, True], ignore_index=True)

    def monotone(self, variable: str | None = None) -> pd.DataFrame:
        """How many people were always seen, were lost for good, came and went, were never seen.

        By variable; share of the people to whom it applied at some wave.
        """
        rows = []
        for column in (variable,) if variable else self.states.columns:
            kinds = self._signs(str(column)).map(kind_of)
            kinds = kinds[kinds != "outside"]
            for kind in KINDS:
                n = int((kinds == kind).sum())
                rows.append((str(column), kind, n, len(kinds), n / max(len(kinds), 1)))
        return pd.DataFrame(rows, columns=["variable", "kind", "people", "of", "share"])

    # --- chance? -----------------------------------------------------------------------------

    def little(self, variables: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Little's test that values are missing completely at random.

        Of one variable over the waves (one row a person), or of several columns (one row a row).
        Columns that never vary are left out. Raises NotEstimable where fewer than two are left.
        """
        Y = self._numbers(variables)
        if Y.shape[1] < 2:
            raise NotEstimable("Little's test needs two numeric columns, or waves, that vary.")
        if not np.isnan(Y).any():
            raise NotEstimable("Nothing is missing: there is nothing to test.")
        try:
            found = normal_missing.little(Y)
        except np.linalg.LinAlgError as error:
            raise NotEstimable(
                "Some columns are determined by others; leave out those that are sums of others."
            ) from error
        names = ["statistic", "df", "p_value", "patterns", "rows"]
        values = [found.statistic, found.df, found.p, found.patterns, found.rows]
        return pd.DataFrame([values], columns=names)

    def dropout(
        self,
        variable: str,
        predictors: Sequence[str] = (),
        *,
        event: Literal["dropout", "next"] = "dropout",
    ) -> GlmFit:
        """What goes before a loss: a logistic model of person-waves, errors by person.

        event "dropout": from this wave on nothing of `variable` was seen; "next": it is missing at
        this wave. Rows: waves after one at which it was seen. Terms: wave, arm where there is one,
        the value at the wave before (`before`), and `predictors` as last known before.
        `.tidy(exponentiate=True)` gives odds ratios.
        """
        if event not in ("dropout", "next"):
            raise UsageError(f"event is 'dropout' or 'next', not {event!r}.")
        rows = self._transitions(variable, tuple(predictors), event)
        if rows.frame[event].nunique() < 2:
            raise NotEstimable(f"No {event} of {variable!r} that some have and others not.")
        terms = ["wave_", *(["arm"] if "arm" in rows.frame else []), "before", *predictors]
        formula = f"{event} ~ {' + '.join(quote(t) for t in terms)}"
        return glm(formula, rows, family="binomial", cluster="person")

    def checks(self) -> tuple[Check, ...]:
        """What the missing values may do to an analysis."""
        from recovery_stats.models.missingness_check import checks

        return tuple(checks(self))

    def document(self) -> Document:
        """Tables, checks and figures; counts in it are subject to disclosure control."""
        from recovery_stats.models.missingness_table import describe

        return describe(self)

    # --- pieces ------------------------------------------------------------------------------

    def _applies(self) -> pd.DataFrame:
        return ~self.states.isin(self.outside)

    def _lost(self) -> pd.DataFrame:
        return (self.states != OBSERVED) & self._applies()

    def _parts(self, by: str | None) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
        """The rows of each level of wave or arm, with the level's name; all rows without."""
        if by is None:
            yield {}, self.states
            return
        if by not in BY:
            raise UsageError(unknown("grouping", by, BY))
        if by not in self.keys:
            raise UsageError(f"No {by} was named: missing(data, {by}=…).")
        column = self.keys.attrs[by]
        for level in self.waves if by == "wave" else sorted(self.keys[by].dropna().unique()):
            name = self.data.variable(column).level(level)
            yield {by: name}, self.states[self.keys[by] == level]

    def _signs(self, variable: str | None) -> pd.Series[str]:
        """The pattern of each person over the waves, or of each row over the variables."""
        if variable is None:
            return joined(letters(self.states, self.outside))
        if variable not in self.states:
            raise DataError(unknown("variable", variable, map(str, self.states.columns)))
        if not self.waves:
            raise UsageError("Patterns over waves need missing(data, person=…, wave=…).")
        signs = letters(self.states[[variable]], self.outside)[variable]
        return joined(self._wide(signs))

    def _numbers(self, variables: str | Sequence[str] | None) -> np.ndarray[Any, Any]:
        """The columns of Little's test: of one variable its waves, else the variables."""
        if isinstance(variables, str) and self.waves:
            if variables not in self.states:
                raise DataError(unknown("variable", variables, map(str, self.states.columns)))
            frame = self._wide(self._values(variables))
        else:
            named = [variables] if isinstance(variables, str) else list(variables or ())
            self.data.require(*named)
            frame = self.data.frame[named or list(self.states.columns)]
        numeric = frame.select_dtypes("number").to_numpy(dtype=float)
        varies = [len(np.unique(c[np.isfinite(c)])) > 1 for c in numeric.T]
        return np.asarray(numeric[:, varies])

    def _wide(self, of_row: pd.Series[Any]) -> pd.DataFrame:
        """A row a person and a column a wave."""
        people = pd.unique(self.keys["person"])  # keys hold every wave of a person in order
        values = of_row.to_numpy().reshape(len(people), len(self.waves))
        return pd.DataFrame(values, index=people, columns=list(self.waves))

    def _values(self, variable: str) -> pd.Series[float]:
        """The values of a variable on the rows of `keys`; absent rows are nan."""
        return self.data.frame[variable].reindex(self.keys["row"]).set_axis(self.keys.index)

    def _transitions(self, variable: str, predictors: tuple[str, ...], event: str) -> Dataset:
        """Person-waves after a wave at which `variable` was seen, with what was known before."""
        if not self.waves:
            raise UsageError("Dropout needs missing(data, person=…, wave=…).")
        if variable not in self.states:
            raise DataError(unknown("variable", variable, map(str, self.states.columns)))
        self.data.require(*predictors)
        order = {wave: i for i, wave in enumerate(self.waves)}
        rows = self.keys[[k for k in KEYS if k in self.keys]].copy()
        rows["wave_"] = rows["wave"].map(order)
        rows["seen"] = (self.states[variable] == OBSERVED).to_numpy()
        rows["outside"] = self.states[variable].isin(self.outside).to_numpy()
        rows["before"] = self._values(variable)
        for name in predictors:
            rows[name] = self._values(name)
        rows = rows.sort_values(["person", "wave_"])
        people = rows.groupby("person")
        later = rows["seen"][::-1].groupby(rows["person"][::-1]).cummax()[::-1]
        rows["dropout"] = (~later & ~rows["outside"]).astype(float)
        rows["next"] = (~rows["seen"] & ~rows["outside"]).astype(float)
        risk = people["seen"].shift(1, fill_value=False) & ~rows["outside"]
        if event == "dropout":  # who missed a wave but came back is still there
            known = rows["before"].where(rows["seen"]).groupby(rows["person"]).ffill()
            risk = people["dropout"].shift(1, fill_value=1.0).eq(0) & ~rows["outside"]
            rows["before"] = known
        told = ["before", *predictors]
        carried = rows.groupby("person")[told].ffill().groupby(rows["person"]).shift(1)
        rows[told] = carried
        kept = rows[risk].drop(columns=["seen", "outside"])
        return _described(self.data, kept, variable, predictors, self.keys.attrs)


def missing(
    data: Dataset | pd.DataFrame,
    columns: Sequence[str] | None = None,
    *,
    person: str | None = None,
    wave: str | None = None,
    arm: str | None = None,
    structural: Sequence[float | str] = (),
) -> Missing:
    """Describe the missing values of a table.

        lost = rs.missing(waves, ["pacs", "ras"], person="pid", wave="wave", arm="arm")
        lost.tidy(by="wave"), lost.reasons(), lost.patterns("pacs"), lost.monotone()
        lost.little("pacs"); lost.dropout("pacs", ["age"]).tidy(exponentiate=True)

    columns: the variables (default: all but the keys). person, wave: every person is expected at
    every wave; an absent row counts as missing. arm: constant within a person. structural: codes
    that mean that a question does not apply, beside those labelled so. Raises DataError for a
    person's wave told twice or a person in two arms.
    """
    table = as_dataset(data)
    named = [c for c in (person, wave, arm) if c is not None]
    variables = (
        [str(c) for c in table.frame.columns if c not in named] if columns is None else columns
    )
    table.require(*named, *variables)
    if wave is not None and person is None:
        raise UsageError("Waves need a person: missing(data, person=…, wave=…).")
    keys, waves = keys_of(table, person, wave, arm)
    states, outside = {}, set()
    for column in dict.fromkeys(variables):
        found, inapplicable = state_of(table, column, structural)
        states[column] = found.reindex(keys["row"], fill_value=NO_ROW).to_numpy()
        outside |= inapplicable
    return Missing(table, keys, pd.DataFrame(states, index=keys.index), frozenset(outside), waves)


def _described(
    data: Dataset, rows: pd.DataFrame, variable: str, predictors: Sequence[str], names: Any
) -> Dataset:
    """The person-waves with a codebook, so that factors keep their labels."""
    book = data.codebook.with_variables(
        Variable("wave_", "Wave", measure="scale"),
        Variable("before", f"{data.label(variable)}, wave before", measure="scale"),
    )
    if "arm" in rows:
        book = book.with_variables(replace(data.variable(names["arm"]), name="arm"))
    kept = ["person", "wave_", "dropout", "next", "before", *predictors]
    kept += ["arm"] if "arm" in rows else []
    frame = rows[list(dict.fromkeys(kept))].reset_index(drop=True)
    frame.index += 1
    return Dataset(frame, book)
