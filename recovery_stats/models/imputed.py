"""The completed tables of `impute`: iterate, fit and pool, look at convergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import impute as engine
from recovery_stats.engines.impute_method import AUGMENTED
from recovery_stats.engines.impute_multilevel import SEPARATED
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import RecoveryError, UsageError
from recovery_stats.models.imputation_column import Variable
from recovery_stats.models.imputation_request import Imputation
from recovery_stats.models.pool import SPREAD, pool

FOUND = {
    AUGMENTED: "a few rows of small weight kept its model finite.",
    SEPARATED: "its coefficients have no bound, and what was seen there is repeated.",
}
APART, UNLIKELY = 1.1, 0.01  # an R-hat from which chains differ, where chance does not explain it


@dataclass(frozen=True)
class Imputed:
    """m completed tables; `imputed[0]` is the first, `len(imputed)` is m."""

    data: pd.DataFrame | Dataset = field(repr=False)
    made: Imputation = field(repr=False)
    seed: int
    chains: tuple[engine.Chain, ...] = field(repr=False)
    more_chains: Callable[..., list[engine.Chain]] = field(repr=False)

    @property
    def m(self) -> int:
        """How many completed tables."""
        return len(self.chains)

    def __len__(self) -> int:
        return self.m

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(self.m))

    def __getitem__(self, k: int) -> Any:
        """A completed table, of the type of the data."""
        frame = self._completed(self.chains[k])
        if not isinstance(self.data, Dataset):
            return frame
        return replace(self.data, frame=frame, missing=_reasons_left(self.data, frame))

    def long(self) -> pd.DataFrame:
        """All tables in one, numbered from 1 in the column `.imp`."""
        tables = [self._completed(c) for c in self.chains]
        return pd.concat([t.assign(**{".imp": k}) for k, t in enumerate(tables, 1)])

    # --- answers ------------------------------------------------------------------------------

    def fit(self, model: Callable[[Any], Any], **options: Any) -> Any:
        """Fit a model to every table and pool: `imputed.fit(lambda d: rs.cox("…", d))`."""
        return pool([self._fitted(model, k) for k in range(self.m)], **options)

    def fit_enough(
        self, model: Callable[[Any], Any], cv: float = SPREAD, most: int = 500
    ) -> tuple[Imputed, Any]:
        """Impute until standard errors move by less than `cv` of themselves from seed to seed.

        These m tables are the pilot whose fraction of missing information tells how many are
        needed (von Hippel 2020). Returns the tables, at most `most`, and the pooled fit.
        """
        first = self.fit(model)
        needed = min(max(first.imputations_needed(cv), self.m), most)
        if needed == self.m:
            return self, first
        whole = self.more(needed - self.m)
        return whole, whole.fit(model)

    def more(self, count: int, jobs: int = 1) -> Imputed:
        """The same with `count` further tables; those there are stay as they are."""
        if count < 1:
            raise UsageError(f"more() takes a whole number from 1, not {count!r}.")
        return replace(self, chains=(*self.chains, *self.more_chains(self.m, count, jobs)))

    def _fitted(self, model: Callable[[Any], Any], k: int) -> Any:
        try:
            return model(self[k])
        except RecoveryError as failed:
            raise type(failed)(f"In imputation {k + 1} of {self.m}: {failed}") from failed

    # --- what was done --------------------------------------------------------------------------

    def describe(self) -> pd.DataFrame:
        """One row for each imputed column: missing, not_applicable, method, predictors."""
        rows = []
        for target in self.made.plan.targets:
            variable = self.made.variables[target.name]
            rows.append(
                {
                    "column": target.name,
                    "missing": int(_cells(target).size),
                    "not_applicable": int((~variable.applicable).sum()),
                    "method": self.made.methods[target.name],
                    "predictors": ", ".join(self.made.predictors[target.name]),
                }
            )
        return pd.DataFrame(rows)

    def traces(self) -> pd.DataFrame:
        """Mean and sd of the imputed values by `imputation, sweep, column` (codes of levels)."""
        stacked = engine.stack(self.chains)
        m, sweeps, k, _ = stacked.shape
        at = np.indices((m, sweeps, k)).reshape(3, -1)
        names = np.array([t.name for t in self.made.plan.targets], dtype=object)
        return pd.DataFrame(
            {
                "imputation": at[0] + 1, "sweep": at[1] + 1, "column": names[at[2]],
                "mean": stacked[..., 0].ravel(), "sd": stacked[..., 1].ravel(),
            }
        )  # fmt: skip

    def convergence(self) -> pd.DataFrame:
        """R-hat of the mean and the sd of every imputed column, near 1 where chains agree."""
        mean, sd = (engine.mixing(engine.stack(self.chains)[..., j]) for j in (0, 1))
        names = [t.name for t in self.made.plan.targets]
        return pd.DataFrame(
            {
                "column": names, "r_hat_mean": mean.r_hat, "r_hat_sd": sd.r_hat,
                "p_value": np.fmin(mean.p_value, sd.p_value),
            }
        )  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """Convergence, perfect prediction, and what took no part."""
        return (self._agreement(), *self._augmented(), *self._left_out(), *self._collinear())

    def _agreement(self) -> Check:
        table = self.convergence()
        r_hat = table[["r_hat_mean", "r_hat_sd"]].max(axis=1)
        bad = (r_hat > APART) & (table["p_value"] < UNLIKELY / (2 * len(table)))
        if self.made.plan.sweeps == 1:
            words: tuple[Any, ...] = ("One column is imputed, from complete ones: no iteration.",)
        elif bad.any():
            worst = str(table["column"][int(r_hat.where(bad).idxmax())])
            words = (
                f"The chains still differ in {worst} (R-hat ", Quantity(float(r_hat[bad].max())),
                f") after {self.made.plan.sweeps} sweeps; give more sweeps, or fewer predictors.",
            )  # fmt: skip
        else:
            words = (f"The chains agree after {self.made.plan.sweeps} sweeps.",)
        return Check("imputation convergence", "caution" if bad.any() else "ok", words)

    def _augmented(self) -> Iterator[Check]:
        for name, what in sorted({n for c in self.chains for n in c.notes if n[1] in FOUND}):
            words = (
                f"Some predictors tell {name} without error; {FOUND[what]} Merge sparse levels, "
                "or name its predictors (predictors=).",
            )
            yield Check("perfect prediction", "caution", words, name)

    def _left_out(self) -> Iterator[Check]:
        for name, why in self.made.left_out.items():
            yield Check("imputation predictors", "ok", (f"{name} takes no part ({why}).",), name)

    def _collinear(self) -> Iterator[Check]:
        for name, others in self.made.collinear.items():
            yield Check(
                "imputation predictors",
                "ok",
                (f"In the model of {name} these add nothing to the others: {', '.join(others)}.",),
                name,
            )

    def __repr__(self) -> str:
        cells = sum(int(_cells(t).size) for t in self.made.plan.targets)
        return (
            f"<Imputed: {self.m} tables, {len(self.made.plan.targets)} columns, {cells} cells each>"
        )

    # --- writing back -----------------------------------------------------------------------------

    def _completed(self, chain: engine.Chain) -> pd.DataFrame:
        source = self.data.frame if isinstance(self.data, Dataset) else self.data
        filled: dict[Any, Any] = {}
        keys = {str(c): c for c in source.columns}
        for name, variable in self.made.variables.items():
            known = variable.observed & source[keys[name]].isna().to_numpy()
            if known.any():  # another row of its cluster tells
                raw = _raw(variable, variable.values[known])
                filled[keys[name]] = fill(source[keys[name]], np.flatnonzero(known), raw)
        for target, drawn in zip(self.made.plan.targets, chain.imputed, strict=True):
            key = keys[target.name]
            raw = _raw(self.made.variables[target.name], drawn)
            filled[key] = fill(filled.get(key, source[key]), _cells(target), raw)
        frame = source.assign(**{k: v for k, v in filled.items() if isinstance(k, str)})
        for key, column in filled.items():
            if not isinstance(key, str):
                frame[key] = column
        return self._with_passives(frame)

    def _with_passives(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Computed columns, from the completed ones."""
        for name, made in self.made.passives.items():
            value = made.of_numbers({s: _numbers(frame[s]) for s in made.sources})
            kept = frame[name].to_numpy(float) if name in frame else np.full(len(frame), np.nan)
            frame[name] = np.where(np.isnan(kept), value, kept)
        return frame


def _reasons_left(data: Dataset, frame: pd.DataFrame) -> Mapping[str, pd.Series[Any]]:
    """The missing reasons of the cells that are still empty."""
    return {
        name: codes[codes.index.isin(frame.index[frame[name].isna()])] if name in frame else codes
        for name, codes in data.missing.items()
    }


def _cells(target: engine.Target) -> IntArray:
    return target.missing if target.cells is None else target.cells


def _raw(variable: Variable, drawn: Array) -> Any:
    """Drawn codes as the values that the column holds."""
    if variable.levels is None:
        return drawn
    values = np.array(variable.levels.values, dtype=object)
    return values[drawn.astype(np.intp)]


def fill(column: pd.Series[Any], cells: IntArray, raw: Any) -> pd.Series[Any]:
    """A copy of the column with these cells filled, of its own type where that can hold them."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        values = column.to_numpy(copy=True)
        values[cells] = np.asarray(raw, dtype=float)
        return pd.Series(values, column.index, name=column.name)
    whole = column.copy()
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        raw = np.asarray(raw, dtype=bool)
    if pd.api.types.is_integer_dtype(column.dtype) and np.any(np.asarray(raw, float) % 1 != 0):
        whole = whole.astype("Float64")
    whole.iloc[cells] = raw
    return whole


def _numbers(column: pd.Series[Any]) -> Array:
    """A completed column as numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    return np.asarray(column.astype(float).to_numpy(float, na_value=np.nan))
