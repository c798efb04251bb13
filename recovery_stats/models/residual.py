"""Residuals of a Cox model as tables: by row of the data, by person or cluster, by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from recovery_stats.engines import cox_residual
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.columns import Array, IntArray

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit

Residual = Literal[
    "martingale",
    "deviance",
    "cox_snell",
    "score",
    "schoenfeld",
    "scaled_schoenfeld",
    "dfbeta",
    "dfbetas",
    "partial",
]
Unit = Literal["row", "person", "cluster"]


def residuals(fit: CoxFit, kind: Residual, by: Unit) -> pd.Series[float] | pd.DataFrame:
    """Residuals of one kind; sums over the rows of each person or cluster on request."""
    if kind not in get_args(Residual):
        raise UsageError(unknown("residual", kind, get_args(Residual)))
    if kind in ("schoenfeld", "scaled_schoenfeld"):
        if by != "row":
            raise UsageError(f"{kind} residuals belong to events, not to {by}s.")
        return _of_events(fit, kind)
    labels, codes = _units(fit, by)
    if kind in ("martingale", "deviance", "cox_snell"):
        return pd.Series(_of_counts(fit, kind, codes), labels, name=kind)
    if kind == "partial":
        if by != "row":
            raise UsageError("Partial residuals belong to rows, whose covariates they hold.")
        return pd.DataFrame(_partial(fit), labels, list(fit.observation.design.terms))
    values = _summed(getattr(cox_residual, _ENGINE[kind])(fit.engine), codes)
    if kind == "dfbetas":
        values = values / np.sqrt(np.diag(fit.engine.covariance))
    return pd.DataFrame(values, labels, list(fit.terms))


_ENGINE = {"score": "score", "dfbeta": "dfbeta", "dfbetas": "dfbeta"}


def _of_events(fit: CoxFit, kind: Residual) -> pd.DataFrame:
    """One row an event, labelled as in the data, with its time."""
    values, rows, time = getattr(cox_residual, kind)(fit.engine)
    frame = pd.DataFrame(values, fit.observation.index[rows], list(fit.terms))
    frame.insert(0, "time", time)
    return frame


def _of_counts(fit: CoxFit, kind: Residual, codes: IntArray | None) -> Array:
    """Events less expected; expected alone; or the first made symmetric, after summing."""
    martingale = _summed(cox_residual.martingale(fit.engine), codes)
    if kind == "martingale":
        return martingale
    events = _summed((fit.observation.cause > 0).astype(float), codes)
    if kind == "cox_snell":
        return np.asarray(events - martingale)
    return cox_residual.symmetric(martingale, events)


def _partial(fit: CoxFit) -> Array:
    """Martingale residual plus each term's own share of the log hazard, (n, terms)."""
    centred = fit.observation.X - fit.observation.X.mean(axis=0)
    share = centred * fit.beta
    design = fit.observation.design
    terms = [share[:, design.columns_of(t)].sum(axis=1) for t in design.terms]
    return np.stack(terms, axis=1) + cox_residual.martingale(fit.engine)[:, None]


def _units(fit: CoxFit, by: Unit) -> tuple[pd.Index[Any], IntArray | None]:
    """Labels of the rows of the result, and which of them each row of the data belongs to."""
    seen = fit.observation
    if by == "row":
        return pd.Index(seen.index), None
    if by not in get_args(Unit):
        raise UsageError(unknown("unit of residuals", by, get_args(Unit)))
    codes = seen.person if by == "person" else seen.cluster
    if codes is None:
        raise UsageError(f"Residuals by {by} need {by}= when the model is fitted.")
    first = np.unique(codes, return_index=True)[1]
    return pd.Index(seen.index[first], name=f"first row of {by}"), codes


def _summed(values: Array, codes: IntArray | None) -> Array:
    if codes is None:
        return values
    if values.ndim == 1:
        return np.bincount(codes, values).astype(float)
    return np.column_stack([np.bincount(codes, column) for column in values.T])
