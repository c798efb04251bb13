"""Mean number of recurrent events by time and group, from a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import mean_cumulative as engine
from recovery_stats.engines.curves import position
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_level, read_number, read_times
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.life_table import (
    group_columns,
    only_times,
    read_frame,
    read_groups,
    spells,
    step_series,
)
from recovery_stats.models.observation import Mask, Observation, observe

Limits = Literal["log", "plain"]


def mean_cumulative(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Limits = "log",
    level: float = 0.95,
    *,
    person: str,
    terminal: int | None = None,
    weights: str | None = None,
) -> MeanCurves:
    """Mean number of events by each time: `Surv(start, stop, event) ~ group`, or `~ 1`.

    Rows of a person follow each other, as recurrent_rows() makes them. terminal: the code of
    `event` for death or whatever else ends the events for good; then the mean counts that the
    dead have no more (Ghosh & Lin), while censored people would have gone on. Errors are robust
    to the likeness of a person's events (Lawless & Nadeau). weights: sampling weights.
    Raises UsageError, DataError (rows after the terminal event), NotEstimable (no event).
    """
    if conf_type not in get_args(Limits):
        raise UsageError(unknown("interval", conf_type, get_args(Limits)))
    what, level = "mean_cumulative", read_level(level)
    seen = observe(
        only_times(formula, what),
        data,
        what=what,
        person=person,
        weights=weights,
        complete=group_columns(formula, what),
        competing=terminal is not None,
    )
    groups = read_groups(formula, what, data, seen)
    cause = _coded(seen, terminal)
    fitted = tuple(_fit(seen, cause, groups.codes == g) for g in range(groups.size))
    return MeanCurves(groups.name, groups.levels, fitted, conf_type, level, terminal is not None)


def _coded(seen: Observation, terminal: int | None) -> IntArray:
    """1 the event, 2 the terminal one; refused where codes or the order of rows make no sense."""
    if terminal is not None and terminal < 2:
        raise UsageError("terminal is a code from 2; 0 is no event and 1 the recurrent one.")
    strange = ~np.isin(seen.cause, (0, 1, terminal or 1))
    if strange.any():
        raise DataError(
            f"The event is 0, 1 or {terminal} (terminal); {int(strange.sum())} rows are not."
        )
    ends = seen.cause == terminal if terminal else np.zeros(len(seen), dtype=bool)
    assert seen.person is not None
    last = np.full(int(seen.person.max()) + 1, -np.inf)
    np.maximum.at(last, seen.person, seen.stop)
    early = ends & (seen.stop < last[seen.person])
    if early.any():
        raise DataError(
            f"{len(np.unique(seen.person[early]))} people have rows after their terminal event."
        )
    seen.refuse_no_event("there is no number of events")
    if not (seen.cause == 1).any():
        raise NotEstimable(f"None of the {seen.counted} had the event with code 1, only others.")
    return np.where(ends, engine.TERMINAL, seen.cause).astype(np.intp)


def _fit(seen: Observation, cause: IntArray, rows: Mask) -> engine.MeanCumulative:
    person = seen.person
    assert person is not None
    start = np.full(len(seen), -1.0) if seen.start is None else seen.start
    here = np.flatnonzero(rows)
    weights = None if seen.weights is None else seen.weights[here]
    first, last = spells(person[here], start[here], seen.stop[here], cause[here], weights)
    begins, ends = here[first], here[last]
    return engine.mean_cumulative(
        start[begins],
        seen.stop[ends],
        cause[ends],
        person[ends],
        None if weights is None else weights[last],
    )


@dataclass(frozen=True)
class MeanCurves:
    """Mean cumulative numbers of events, one curve for each level of `group`."""

    group: str
    levels: tuple[str, ...]
    fitted: tuple[engine.MeanCumulative, ...]
    conf_type: Limits
    level: float
    terminal: bool

    def limits(self, curve: engine.MeanCumulative) -> tuple[Array, Array]:
        """Pointwise limits of one curve."""
        return self._limits(curve.estimate, curve.std_error)

    def _limits(self, mean: Array, se: Array) -> tuple[Array, Array]:
        z = norm.isf((1 - self.level) / 2)
        if self.conf_type == "plain":
            return np.maximum(mean - z * se, 0.0), mean + z * se
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.where(mean > 0, np.exp(z * se / mean), 1.0)
        return mean / turn, mean * turn

    def tidy(self) -> pd.DataFrame:
        """One row per group and distinct time; n_terminal where there is a terminal event."""
        return pd.concat(
            [self._frame(name, c) for name, c in zip(self.levels, self.fitted, strict=True)],
            ignore_index=True,
        )

    def _frame(self, name: str, curve: engine.MeanCumulative) -> pd.DataFrame:
        t = curve.table
        low, high = self.limits(curve)
        columns = {
            "group": name,
            "time": t.time,
            "n_risk": t.n_risk,
            "n_event": t.events[0],
            "n_terminal": t.events[1],
            "n_censor": t.n_censor,
            "estimate": curve.estimate,
            "std_error": curve.std_error,
            "conf_low": low,
            "conf_high": high,
        }
        frame = pd.DataFrame(columns)
        return frame if self.terminal else frame.drop(columns="n_terminal")

    def at(self, times: Sequence[float] | float) -> pd.DataFrame:
        """The columns of tidy at given times; unknown (nan) beyond the last observation."""
        asked = np.sort(read_times(times))
        parts = [
            read_frame(frame, asked, start=0.0, known_end=False)
            for _, frame in self.tidy().groupby("group", sort=False)
        ]
        return pd.concat(parts, ignore_index=True).drop(columns="n_terminal", errors="ignore")

    def difference(self, at: float) -> pd.DataFrame:
        """The means of each later group at a time, less the first's and over it.

        contrast, estimate, std_error, conf_low, conf_high, p_value; and ratio, ratio_low,
        ratio_high with limits on the log scale.
        """
        at = read_number(at, "The time of a difference")
        if len(self.levels) < 2:
            raise NotEstimable("A difference needs two groups; there is one.")
        means = [self._read(c, name, at) for name, c in zip(self.levels, self.fitted, strict=True)]
        z = norm.isf((1 - self.level) / 2)
        (m0, s0), rows = means[0], []
        for name, (m, s) in zip(self.levels[1:], means[1:], strict=True):
            gap, se = m - m0, float(np.hypot(s, s0))
            both = m > 0 and m0 > 0
            turn = float(np.exp(z * np.hypot(s / m, s0 / m0))) if both else np.nan
            ratio = m / m0 if both else np.nan
            p = float(2 * norm.sf(abs(gap) / se)) if se > 0 else np.nan
            rows.append(
                (f"{name} - {self.levels[0]}", gap, se, gap - z * se, gap + z * se, p,
                 ratio, ratio / turn, ratio * turn)
            )  # fmt: skip
        names = "contrast estimate std_error conf_low conf_high p_value ratio ratio_low ratio_high"
        return pd.DataFrame(rows, columns=names.split())

    def _read(self, curve: engine.MeanCumulative, name: str, at: float) -> tuple[float, float]:
        if at > curve.table.time[-1]:
            raise NotEstimable(
                f"Group {name!r} is observed to {curve.table.time[-1]:g} only; choose an earlier "
                "time."
            )
        k = int(position(curve.table.time, np.array([at]))[0])
        return (0.0, 0.0) if k < 0 else (float(curve.estimate[k]), float(curve.std_error[k]))

    def test(self) -> pd.DataFrame:
        """Pseudo-score test that the groups share a mean: statistic, df, p_value."""
        found = engine.compare(self.fitted)
        return pd.DataFrame(
            {"statistic": [found.statistic], "df": [found.df], "p_value": [found.p]}
        )

    def series(self) -> tuple[Series, ...]:
        """The curves as a figure takes them, from time 0."""
        return tuple(
            step_series(name, c.table, c.estimate, *self.limits(c), first=0.0)
            for name, c in zip(self.levels, self.fitted, strict=True)
        )

    def __repr__(self) -> str:
        parts = [
            f"{name}: {int(c.person.max()) + 1} people, {c.table.events[0].sum():g} events"
            for name, c in zip(self.levels, self.fitted, strict=True)
        ]
        return f"<Mean cumulative number of events: {'; '.join(parts)}>"
