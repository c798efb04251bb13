"""Inverse probability of censoring weights: those in view stand for those lost who were like them.

Loss to follow-up is censoring, never a competing cause: someone lost can still relapse. Where
loss depends on what was measured, each (start, stop] row is weighted by one over the chance of
being in view still when it begins, which goes into cox() and kaplan_meier() as weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import expit

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import attrition as engine
from recovery_stats.engines import cox as cox_engine
from recovery_stats.engines import cox_residual, glm
from recovery_stats.engines.attrition import Mask, Pieces
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import Formula, Surv, parse
from recovery_stats.models.life_table import group_columns, only_times, read_groups
from recovery_stats.models.observation import Observation, naming_columns, observe, read_survival

Method = Literal["km", "cox", "logistic"]
WEIGHT = "ipcw"
LARGE = 20.0  # a row that stands for more than so many decides the result by itself
MOST_ROWS = 20_000_000


def censoring_weights(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    person: str,
    event: str,
    method: Method = "cox",
    stabilise: str | None = "1",
    truncate: tuple[float, float] | None = None,
) -> CensoringWeights:
    """Weight rows for loss to follow-up: `Surv(start, stop, lost) ~ x` or `Surv(time, lost) ~ x`.

    lost: 1 where a row ends by loss to follow-up, 0 at an event or the planned end. event:
    column of the event of interest (or the causes). method: "km" (a curve for each group of the
    columns on the right), "cox" (covariates may change from row to row), "logistic" (rows are
    periods; put time among the covariates). With "km" and "cox" rows are cut wherever somebody
    is lost, so that each weight holds during its row. stabilise: right side of the numerator's
    model ("1", or columns that will be in the outcome model); None for plain weights.
    truncate: percentiles (0.01, 0.99) beyond which weights are set to them, and counted.
    Use: cox(..., weights="ipcw", cluster=person), kaplan_meier(..., weights="ipcw", person=...).
    Raises UsageError, DataError (a row both lost and with the event), NotEstimable (nobody lost).
    """
    if method not in get_args(Method):
        raise UsageError(unknown("method", method, get_args(Method)))
    asked = read_survival(formula, "censoring_weights")
    rows = _read(asked, data, person, event, method)
    pieces = _cut(rows, method)
    denominator = _loss(asked, rows, method, pieces)
    numerator = np.zeros(len(pieces.row))
    if stabilise is not None:
        numerator = _loss(_numerator(asked, stabilise), rows, method, pieces)
    weight, cut_at = _truncate(np.exp(denominator - numerator), truncate)
    return CensoringWeights(
        _frame(rows, pieces, weight, asked, event),
        weight,
        cut_at,
        method,
        stabilise is not None,
        int(rows.lost.sum()),
        rows.people,
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that have every column used: times, ends, people, and the data to model them."""

    data: pd.DataFrame | Dataset
    start: Array
    stop: Array
    lost: Mask
    event: Mask
    person: IntArray

    @property
    def people(self) -> int:
        return int(self.person.max()) + 1


def _read(
    asked: Formula, data: pd.DataFrame | Dataset, person: str, event: str, method: Method
) -> _Rows:
    grouped = group_columns(asked, "censoring_weights") if method == "km" else ()
    formula = only_times(asked, "censoring_weights") if method == "km" else asked
    seen = observe(
        formula, data, what="censoring_weights", person=person, complete=(event, *grouped)
    )
    kept = np.flatnonzero(seen.design.kept)
    frame = Columns.of(data).frame.iloc[kept]
    some = data.with_frame(frame) if isinstance(data, Dataset) else frame
    happened = Columns.of(some).numbers(event) != 0
    lost = seen.cause == 1
    assert seen.person is not None
    both = lost & happened
    if both.any():
        raise DataError(
            f"{len(np.unique(seen.person[both]))} people are lost and have the event at the end of "
            f"one row ({int(both.sum())} rows): an event was seen, so they were not lost then."
        )
    if not lost.any():
        raise NotEstimable("Nobody was lost to follow-up, so there is nothing to weight.")
    start = np.full(len(seen), -1.0) if seen.start is None else seen.start
    if seen.start is None and seen.people != len(seen):
        raise UsageError("With several rows a person, write Surv(start, stop, lost).")
    return _Rows(some, start, seen.stop, lost, happened, seen.person)


def _cut(rows: _Rows, method: Method) -> Pieces:
    """Pieces during which the chance of being in view stays as it is."""
    at = np.unique(rows.stop[rows.lost])
    if method == "logistic":
        at = at[:0]
    inside = np.searchsorted(at, rows.stop) - np.searchsorted(at, rows.start, side="right")
    if (inside + 1).clip(1).sum() > MOST_ROWS:
        raise UsageError(
            f"Cutting rows at {len(at)} times of loss would make more than {MOST_ROWS} rows; round "
            "times, or use method='logistic' on rows of periods."
        )
    return engine.cut(rows.start, rows.stop, at)


def _numerator(asked: Formula, right: str) -> Formula:
    """The same times with another right side."""
    numerator = parse(f"~ {right}")
    return Formula(
        asked.text, asked.response, numerator.terms, (), numerator.offsets, numerator.strata
    )


def _loss(asked: Formula, rows: _Rows, method: Method, pieces: Pieces) -> Array:
    """-log of the chance of being in view when each piece begins, under one model."""
    hazard = {"km": _by_group, "cox": _by_cox, "logistic": _by_period}[method](asked, rows)
    return engine.lost_hazard(pieces, rows.person, rows.start, rows.stop, hazard)


Hazard = Callable[[IntArray, Array], Array]


def _place(rows: _Rows) -> Callable[[Array], Array]:
    """Times in the numbers of engine.order_times, after all that happens at them."""
    time = np.unique(np.concatenate([rows.start, rows.stop]))
    return lambda t: np.asarray(2.0 * np.searchsorted(time, t, side="right") - 1.0, dtype=float)


def _by_group(asked: Formula, rows: _Rows) -> Hazard:
    what = "censoring_weights"
    seen = observe(
        only_times(asked, what), rows.data, what=what, complete=group_columns(asked, what)
    )
    group = read_groups(asked, what, rows.data, seen).codes
    begin, end = engine.order_times(rows.start, rows.stop, rows.event)
    times, values = engine.product_limit(begin, end, rows.lost, group)
    return _read_off(group, np.ones(len(group)), times, values, _place(rows))


def _read_off(
    group: IntArray,
    relative: Array,
    times: list[Array],
    values: list[Array],
    place: Callable[[Array], Array],
) -> Hazard:
    """Cumulative hazards of rows: a step function for each group, times the row's own factor."""

    def hazard(of: IntArray, at: Array) -> Array:
        number, out = place(at), np.zeros(len(of))
        for g, (t, v) in enumerate(zip(times, values, strict=True)):
            here = group[of] == g
            out[here] = v[np.searchsorted(t, number[here], side="right")]
        return out * relative[of]

    return hazard


def _by_cox(asked: Formula, rows: _Rows) -> Hazard:
    seen = _design(asked, rows)
    begin, end = engine.order_times(rows.start, rows.stop, rows.event)
    with naming_columns(seen):
        fit = cox_engine.fit(
            seen.X, end, rows.lost, start=begin, strata=seen.strata, offset=seen.offset
        )
    base = cox_residual.baseline(fit)
    group = np.zeros(len(seen), np.intp) if seen.strata is None else seen.strata
    each = [base.stratum == g for g in range(int(group.max()) + 1)]
    times = [base.time[here] for here in each]
    values = [np.concatenate(([0.0], np.cumsum(base.hazard[here]))) for here in each]
    offset = 0.0 if seen.offset is None else seen.offset
    relative = np.exp(cox_residual.linear_predictor(fit, seen.X) + offset)
    return _read_off(group, relative, times, values, _place(rows))


def _by_period(asked: Formula, rows: _Rows) -> Hazard:
    """Each row's chance of loss at its end; rows with the event were not at risk of it."""
    seen = _design(asked, rows)
    X = np.column_stack([np.ones(len(seen)), seen.X])
    dependent = glm.dependent_columns(X)
    if dependent:
        names = ", ".join(repr(seen.design.names[j - 1]) for j in dependent)
        raise NotEstimable(f"Terms {names} are constant or follow from the terms before them.")
    here = ~rows.event
    fit = glm.logistic(X[here], rows.lost[here].astype(float))
    step = -np.log1p(-expit(X @ fit.beta))
    return lambda of, at: np.where(at >= rows.stop[of], step[of], 0.0)


def _design(asked: Formula, rows: _Rows) -> Observation:
    return observe(asked, rows.data, what="censoring_weights")


def _truncate(
    weight: Array, shares: tuple[float, float] | None
) -> tuple[Array, tuple[float, float, int] | None]:
    """Weights within two of their percentiles; the limits, and how many rows were beyond."""
    if shares is None:
        return weight, None
    low, high = shares
    if not 0 <= low < high <= 1:
        raise UsageError("truncate names two percentiles between 0 and 1, such as (0.01, 0.99).")
    least, most = (float(x) for x in np.quantile(weight, (low, high)))
    beyond = int(((weight < least) | (weight > most)).sum())
    return np.clip(weight, least, most), (least, most, beyond)


def _frame(
    rows: _Rows, pieces: Pieces, weight: Array, asked: Formula, event: str
) -> pd.DataFrame | Dataset:
    """The pieces with the columns of their row; what happens at the end only in the last."""
    surv = asked.response
    assert isinstance(surv, Surv)
    names = [str(surv.start) if surv.start is not None else "start", str(surv.stop)]
    names = [n.strip("`") for n in names]
    frame = Columns.of(rows.data).frame.iloc[pieces.row].reset_index(drop=True)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    start = np.maximum(pieces.start, 0.0) if surv.start is None else pieces.start
    columns: dict[str, object] = {names[0]: start, names[1]: pieces.stop, WEIGHT: weight}
    ends = [event] + ([surv.event.column] if surv.event and surv.event.equals is None else [])
    for column in ends:
        happened = frame[column]
        if pd.api.types.is_bool_dtype(happened.dtype):
            happened = happened.astype(float)
        columns[column] = happened.where(pieces.last, 0)
    frame = frame.assign(**columns)
    if not isinstance(rows.data, Dataset):
        return frame
    label = Variable(WEIGHT, "Inverse probability of censoring weight")
    return rows.data.with_frame(frame).with_column(label, weight)


@dataclass(frozen=True)
class CensoringWeights:
    """Rows with their weight in the column "ipcw", and what the weights are like.

    weight (n,): as in `rows`. truncated: limits, and rows beyond them. lost, people: counts.
    """

    rows: pd.DataFrame | Dataset = field(repr=False)
    weight: Array = field(repr=False)
    truncated: tuple[float, float, int] | None
    method: Method
    stabilised: bool
    lost: int
    people: int

    def tidy(self) -> pd.DataFrame:
        """One row: n, mean, sd, min, quartiles, max, effective_n and n_truncated."""
        w = self.weight
        quartiles = np.quantile(w, (0.25, 0.5, 0.75))
        row = {
            "n_obs": len(w),
            "mean": w.mean(),
            "sd": w.std(ddof=1),
            "min": w.min(),
            "q25": quartiles[0],
            "median": quartiles[1],
            "q75": quartiles[2],
            "max": w.max(),
            "effective_n": w.sum() ** 2 / (w**2).sum(),
            "n_truncated": 0 if self.truncated is None else self.truncated[2],
        }
        return pd.DataFrame([row])

    def checks(self) -> tuple[Check, ...]:
        """Mean of stabilised weights, large weights, rows truncated."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        mean, most = float(self.weight.mean()), float(self.weight.max())
        far = self.stabilised and not 0.9 <= mean <= 1.1
        cut_at = self.truncated
        yield Check(
            "censoring weights",
            "caution" if far or most > LARGE else "ok",
            (
                Count(self.lost, "people"),
                f" were lost to follow-up; {'stabilised' if self.stabilised else 'plain'} weights "
                "have mean ",
                Quantity(mean, "ratio"),
                " and go up to ",
                Quantity(most, "ratio"),
                *(
                    ("; truncated in ", Count(cut_at[2], "rows"), " rows.")
                    if cut_at is not None
                    else (".",)
                ),
            ),
        )

    def __repr__(self) -> str:
        w = self.weight
        return (
            f"<Censoring weights ({self.method}): {self.people} people, {self.lost} lost, "
            f"{len(w)} rows, weights {w.min():.3g} to {w.max():.3g}>"
        )
