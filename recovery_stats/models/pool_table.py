"""Pool tables of estimates: adjusted means, contrasts, curves at chosen times.

On the scale on which an estimate is nearest to normal (Marshall, Altman, Holder & Royston 2009):
a survival probability by "cloglog", a chance by "logit", a ratio by "log", a correlation by
"fisher". Checked: a table of coefficients pools as its fits do; delta method by differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from recovery_stats.engines import rubin
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.combination import Combination

Transform = Literal["none", "log", "logit", "cloglog", "fisher"]
Curve = Callable[[Array], Array]
MADE = (
    "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
    "std_error_model", "error_ratio",
)  # fmt: skip
# To the scale that is pooled, back from it, and the slope of the way there.
SCALES: dict[str, tuple[Curve, Curve, Curve]] = {
    "none": (lambda x: x, lambda x: x, np.ones_like),
    "log": (np.log, np.exp, lambda x: 1.0 / x),
    "logit": (logit, expit, lambda x: 1.0 / (x * (1.0 - x))),
    "cloglog": (
        lambda x: np.log(-np.log(x)),
        lambda z: np.exp(-np.exp(z)),
        lambda x: 1.0 / (x * np.log(x)),
    ),
    "fisher": (np.arctanh, np.tanh, lambda x: 1.0 / (1.0 - x**2)),
}


@dataclass(frozen=True)
class PooledTable:
    """Estimates of m data sets as one; `keys` are the columns that say what each row is."""

    m: int
    keys: pd.DataFrame = field(repr=False)
    rules: rubin.Pooled = field(repr=False)
    transform: Transform

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """One row per estimate: the keys, then `estimate` to `conf_high`.

        With a transform, std_error and statistic stay on its scale; estimate and limits go back.
        """
        r = self.rules
        found = Combination(r.estimate, np.sqrt(r.total), r.df).table(level)
        back = SCALES[self.transform][1]
        for name in ("estimate", "conf_low", "conf_high"):
            found[name] = back(found[name])
        if self.transform == "cloglog":
            found["conf_low"], found["conf_high"] = found["conf_high"], found["conf_low"]
        return self.keys.assign(**found)

    def information(self) -> pd.DataFrame:
        """What missing values cost each estimate; see `PooledFit.information`."""
        r = self.rules
        return self.keys.assign(
            within=r.within, between=r.between, total=r.total, riv=r.riv, fmi=r.fmi,
            monte_carlo_error=np.sqrt(r.between / self.m), **{"lambda": r.share},
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<PooledTable of {self.m} tables, {len(self.keys)} rows>"


def pool_table(
    tables: Sequence[pd.DataFrame], *, df_complete: float | None = None,
    transform: Transform = "none",
) -> PooledTable:  # fmt: skip
    """Pool tables with the same rows by Rubin's rules; see `pool`."""
    if transform not in SCALES:
        raise UsageError(unknown("transform", str(transform), SCALES))
    keys = _keys(tables)
    q = np.array([t["estimate"].to_numpy(float) for t in tables])
    se = np.array([t["std_error"].to_numpy(float) for t in tables])
    there, _, slope = SCALES[transform]
    with np.errstate(all="ignore"):
        u, q = se * np.abs(slope(q)), there(q)
    if not (np.isfinite(q).all() and np.isfinite(u).all()):
        bad = int((~(np.isfinite(q) & np.isfinite(u))).any(axis=0).sum())
        raise DataError(
            f"{bad} of {q.shape[1]} rows have no finite estimate or error on the scale "
            f"{transform!r} in some data set; leave them out, or choose another transform."
        )
    return PooledTable(len(tables), keys, rubin.pool(q, u**2, _df(tables, df_complete)), transform)


def _keys(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    for number, table in enumerate(tables, 1):
        for column in ("estimate", "std_error"):
            if column not in table:
                raise UsageError(f"Table {number} has no column {column!r}, so nothing to pool.")
    named = [c for c in tables[0] if c not in MADE and _tells_apart(tables, c)]
    first = tables[0][named].reset_index(drop=True)
    for number, table in enumerate(tables[1:], 2):
        if len(table) != len(first) or not table[named].reset_index(drop=True).equals(first):
            raise DataError(
                f"Tables 1 and {number} have other rows; pool tables of the same question, with "
                "at= or times fixed."
            )
    return first


def _tells_apart(tables: Sequence[pd.DataFrame], column: Any) -> bool:
    """Whether a column is the same in every table: what varies is a result, not a key."""
    first = tables[0][column].reset_index(drop=True)
    if not pd.api.types.is_float_dtype(first.dtype):
        return True
    return all(column in t and t[column].reset_index(drop=True).equals(first) for t in tables[1:])


def _df(tables: Sequence[pd.DataFrame], df_complete: float | None) -> Array:
    if df_complete is not None:
        return np.full(len(tables[0]), float(df_complete))
    if "df" not in tables[0]:
        return np.full(len(tables[0]), np.inf)
    return np.asarray(np.mean([t["df"].to_numpy(float) for t in tables], axis=0))
