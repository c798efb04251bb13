"""Predictions of a linear mixed model with their intervals, for known people and for new ones.

    confidence   of the mean: x'b, or x'b + z'u of a known level; an unseen level adds z'Psi z
    prediction   of one further outcome: the residual variance on top (at weight 1)

random=False asks about a new level of every factor: the mean over levels (confidence), or one
outcome of a level drawn from them (prediction). Known levels count the correlation of their
predicted effects with the coefficients (Henderson 1975). Limits by t with Satterthwaite's df of
the whole variance; Kenward and Roger's adjustment is in where no known level is.
Checked: dense formulas, a new mean on paper (tests/models/test_mixed_prediction.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_delta import satterthwaite_of
from recovery_stats.engines.lmm_joint import Joint, join
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.columns import Columns
from recovery_stats.models.combination import Combination

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit

Interval = Literal["confidence", "prediction"]
INTERVALS = ("confidence", "prediction")


@dataclass(frozen=True, slots=True)
class NewRows:
    """X (n, p), offset (n,), and for each factor Z (n, q) and level codes (n,), -1 unseen."""

    X: Array
    offset: Array
    Z: tuple[Array, ...]
    codes: tuple[IntArray, ...]

    def estimate(self, beta: Array, effects: Sequence[Array]) -> Array:
        """x'b + z'u + offset; an unseen level has effect 0."""
        value = self.X @ beta + self.offset
        for Z, codes, mode in zip(self.Z, self.codes, effects, strict=True):
            value = value + np.einsum("nq,nq->n", Z, mode[codes] * (codes >= 0)[:, None])
        return np.asarray(value)

    def unseen(self, psi: Sequence[Array]) -> Array:
        """Variance (n,) of the effects of levels that the fit has not seen."""
        parts = [
            np.einsum("nq,qr,nr->n", Z, P, Z) * (codes < 0)
            for Z, codes, P in zip(self.Z, self.codes, psi, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0))

    def where(self, keep: NDArray[np.bool_]) -> NewRows:
        return NewRows(
            self.X[keep], self.offset[keep], tuple(z[keep] for z in self.Z),
            tuple(c[keep] for c in self.codes),
        )  # fmt: skip


def read_rows(
    fit: MixedFit, new_data: pd.DataFrame | Dataset | None, *, effects: bool, known: bool
) -> tuple[NewRows, pd.Index]:
    """The rows to predict: with their random terms, and the levels that the fit knows."""
    columns = Columns.of(fit.analysed if new_data is None else new_data)
    X = fit.recipe.matrix(columns)[:, fit.kept]
    offset = fit.recipe.offset(columns)
    if new_data is None and fit.offset is not None:
        offset = fit.offset
    if not effects:
        return NewRows(X, offset, (), ()), columns.frame.index
    Z: list[list[Array]] = [[] for _ in fit.factors]
    for part, which in fit.random_parts():
        Z[which].append(part.recipe.matrix(columns))
    codes = [
        fit.level_codes(k, columns) if known else np.full(len(columns), -1)
        for k in range(len(fit.factors))
    ]
    rows = NewRows(X, offset, tuple(np.hstack(z) for z in Z), tuple(codes))
    return rows, columns.frame.index


def predict(fit: MixedFit, new_data: pd.DataFrame | Dataset | None, random: bool) -> pd.Series[Any]:
    """x'b, with the predicted effects of known levels or without any."""
    rows, index = read_rows(fit, new_data, effects=random, known=True)
    effects = fit.engine.effects if random else ()
    return pd.Series(rows.estimate(fit.engine.beta, effects), index=index)


def whitened(fit: MixedFit) -> tuple[Array, list[RandomFactor]]:
    """X and factors of the rows analysed, scaled so that every residual has variance sigma2."""
    if fit.weights is None:
        return fit.X, list(fit.factors)
    root = np.sqrt(fit.weights)[:, None]
    return fit.X * root, [replace(f, Z=f.Z * root) for f in fit.factors]


def joint_of(fit: MixedFit) -> Joint:
    """Henderson's equations at the estimated variances."""
    return join(*whitened(fit), fit.engine.psi, fit.engine.sigma2)


def predict_interval(
    fit: MixedFit,
    new_data: pd.DataFrame | Dataset | None,
    *,
    random: bool,
    interval: str,
    level: float,
) -> pd.DataFrame:
    """estimate, std_error, df, conf_low, conf_high for each row; NaN where a value is missing."""
    if interval not in INTERVALS:
        raise UsageError(unknown("kind of interval", interval, INTERVALS))
    if not 0.0 < level < 1.0:
        raise UsageError(f"level= is a share between 0 and 1, not {level}.")
    mean = not random and interval == "confidence"
    every, index = read_rows(fit, new_data, effects=not mean, known=random)
    seen = np.asarray(np.isfinite(np.column_stack([every.X, every.offset, *every.Z])).all(1))
    rows = every.where(seen)
    found = fit.combine(rows.X) if mean else _whole(fit, rows, interval)
    value = rows.estimate(fit.engine.beta, () if mean else fit.engine.effects)
    half = found.limits(level)[1] - found.estimate
    table = np.full((len(seen), 5), np.nan)
    table[seen] = np.column_stack([value, found.std_error, found.df, value - half, value + half])
    names = ["estimate", "std_error", "df", "conf_low", "conf_high"]
    return pd.DataFrame(table, index=index, columns=names)


def _whole(fit: MixedFit, rows: NewRows, interval: str) -> Combination:
    X, factors = whitened(fit)
    residual = float(interval == "prediction")

    def variance(psi: Sequence[Array], sigma2: float) -> Array:
        joint = join(X, factors, psi, sigma2)
        return joint.variance(rows.X, rows.Z, rows.codes) + rows.unseen(psi) + residual * sigma2

    if fit.df == "normal":
        v = variance(fit.engine.psi, fit.engine.sigma2)
        df = np.full(len(v), np.inf)
    else:
        v, df = satterthwaite_of(fit.engine, fit.information, variance)
    if fit.df == "kenward-roger":
        strange = np.all([c < 0 for c in rows.codes], axis=0)
        extra = fit.covariance().to_numpy() - fit.engine.covariance
        v = v + strange * np.einsum("ni,ij,nj->n", rows.X, extra, rows.X)
    return Combination(np.zeros(len(v)), np.sqrt(v), df)
