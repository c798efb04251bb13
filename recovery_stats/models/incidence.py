"""Cumulative incidence of competing events by group from a formula, and Gray's test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import curves, gray
from recovery_stats.engines.curves import Incidence, Interval, LifeTable
from recovery_stats.engines.incidence_error import martingale_variance
from recovery_stats.engines.time_lost import time_lost
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_level, read_number, read_times
from recovery_stats.models.cause import check_censored, code_causes, name_causes
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.life_table import (
    count_table,
    group_columns,
    know_interval,
    only_times,
    read_frame,
    read_groups,
    step_series,
)
from recovery_stats.models.observation import observe
from recovery_stats.models.spell_check import check_spells

Errors = Literal["jackknife", "martingale"]


def cumulative_incidence(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Interval = "log-log",
    level: float = 0.95,
    *,
    weights: str | None = None,
    person: str | None = None,
    errors: Errors = "jackknife",
) -> IncidenceCurves:
    """Probability of each cause in the presence of the others: `Surv(time, cause) ~ group`.

    cause: 0 censored, 1, 2, … the events, named by value labels; or a Categorical whose first
    category means censored. Aalen-Johansen. errors: "jackknife" (infinitesimal, as R's
    survival) or "martingale" (as cmprsk; without weights).
    """
    know_interval(conf_type)
    level = read_level(level)
    if errors not in get_args(Errors):
        raise UsageError(unknown("kind of errors", errors, get_args(Errors)))
    if errors == "martingale" and weights is not None:
        raise UsageError("errors='martingale' are for rows without weights; use 'jackknife'.")
    data = code_causes(formula, data)
    seen = observe(
        only_times(formula, "cumulative_incidence"),
        data,
        what="cumulative_incidence",
        complete=group_columns(formula, "cumulative_incidence"),
        weights=weights,
        person=person,
        competing=True,
    )
    groups = read_groups(formula, "cumulative_incidence", data, seen)
    J = int(seen.cause.max(initial=0))
    seen.refuse_no_event("there is no incidence")
    fitted = tuple(
        _estimate(count_table(seen, groups.codes == g, J), errors) for g in range(groups.size)
    )
    names = name_causes(formula, data, J)
    spells = tuple(check_spells(seen))
    return IncidenceCurves(groups.name, groups.levels, names, fitted, conf_type, level, spells)


def _estimate(table: LifeTable, errors: Errors) -> Incidence:
    found = curves.cumulative_incidence(table)
    if errors == "jackknife":
        return found
    return replace(found, std_error=np.sqrt(np.maximum(martingale_variance(table), 0.0)))


def probability_limits(
    estimate: Array, std_error: Array, level: float, kind: Interval
) -> tuple[Array, Array]:
    """Pointwise limits of a probability; those of 0 and 1 are the estimate itself."""
    z = norm.isf((1 - level) / 2)
    with np.errstate(all="ignore"):
        if kind == "plain":
            low, high = estimate - z * std_error, estimate + z * std_error
        elif kind == "log":
            turn = np.exp(z * std_error / estimate)
            low, high = estimate / turn, estimate * turn
        else:
            turn = np.exp(z * std_error / (estimate * -np.log(estimate)))
            low, high = estimate**turn, estimate ** (1 / turn)
    none = (estimate == 0) | (estimate == 1)
    low, high = (np.where(none, estimate, np.clip(x, 0, 1)) for x in (low, high))
    return low, high


@dataclass(frozen=True)
class IncidenceCurves:
    """Aalen-Johansen curves for each level of `group` and each cause.

    spells: what the rows of people look like, where they are known.
    """

    group: str
    levels: tuple[str, ...]
    causes: tuple[str, ...]
    fitted: tuple[Incidence, ...]
    conf_type: Interval
    level: float
    spells: tuple[Check, ...] = field(default=(), repr=False)

    def checks(self) -> tuple[Check, ...]:
        """Whether anybody is censored, which codes that do not begin at 0 would hide; spells."""
        return (*check_censored(self._n_censored), *self.spells)

    @property
    def _n_censored(self) -> float:
        return sum(float(c.table.n_censor.sum()) for c in self.fitted)

    def limits(self, estimate: Array, std_error: Array) -> tuple[Array, Array]:
        """Pointwise limits of a probability that starts at 0."""
        return probability_limits(estimate, std_error, self.level, self.conf_type)

    def tidy(self) -> pd.DataFrame:
        """One row per group, cause and distinct time; n_event counts the events of the cause."""
        return pd.concat(
            [
                self._frame(name, c, j)
                for name, c in zip(self.levels, self.fitted, strict=True)
                for j in range(len(self.causes))
            ],
            ignore_index=True,
        )

    def _frame(self, name: str, curve: Incidence, j: int) -> pd.DataFrame:
        low, high = self.limits(curve.estimate[j], curve.std_error[j])
        return pd.DataFrame(
            {
                "group": name,
                "cause": self.causes[j],
                "time": curve.table.time,
                "n_risk": curve.table.n_risk,
                "n_event": curve.table.events[j],
                "n_censor": curve.table.n_censor,
                "estimate": curve.estimate[j],
                "std_error": curve.std_error[j],
                "conf_low": low,
                "conf_high": high,
            }
        )

    def at(self, times: Sequence[float] | float) -> pd.DataFrame:
        """The columns of tidy at given times; unknown (nan) beyond the end of observation."""
        asked = np.sort(read_times(times))
        parts = []
        for name, curve in zip(self.levels, self.fitted, strict=True):
            over = bool(np.isclose(curve.estimate[:, -1].sum(), 1.0))
            parts += [
                read_frame(self._frame(name, curve, j), asked, start=0.0, known_end=over)
                for j in range(len(self.causes))
            ]
        return pd.concat(parts, ignore_index=True)

    def series(self, cause: str) -> tuple[Series, ...]:
        """The curves of one cause as a figure takes them, from time 0.

        The counts behind them are events of the cause; other events count as those who left.
        """
        if cause not in self.causes:
            raise UsageError(unknown("cause", cause, self.causes))
        j = self.causes.index(cause)
        return tuple(
            step_series(
                name,
                c.table,
                c.estimate[j],
                *self.limits(c.estimate[j], c.std_error[j]),
                first=0.0,
                events=c.table.events[j],
            )
            for name, c in zip(self.levels, self.fitted, strict=True)
        )

    def time_lost(self, cause: str, tau: float) -> pd.DataFrame:
        """Mean time lost to `cause` by tau, the other causes possible; without weights.

        group, estimate, std_error and limits; with two groups a row `difference`, second minus
        first. Raises NotEstimable naming the group whose curve is unknown before tau.
        """
        if cause not in self.causes:
            raise UsageError(unknown("cause", cause, self.causes))
        j = self.causes.index(cause)
        rows: list[tuple[str, float, float]] = []
        for name, curve in zip(self.levels, self.fitted, strict=True):
            try:
                rows.append((name, *time_lost(curve.table, j, tau)))
            except NotEstimable as error:
                raise NotEstimable(f"Group {name!r}: {error}") from None
        if len(rows) == 2:
            (_, first, one), (_, second, other) = rows
            rows.append(("difference", second - first, float(np.hypot(one, other))))
        frame = pd.DataFrame(rows, columns=["group", "estimate", "std_error"])
        half = norm.isf((1 - self.level) / 2) * frame["std_error"]
        return frame.assign(conf_low=frame["estimate"] - half, conf_high=frame["estimate"] + half)

    def gray_test(self, rho: float = 0) -> GrayTest:
        """Test for each cause that the groups share its incidence.

        rho: weights (1 - F)^rho, so that above 0 early differences count more. Raises
        NotEstimable with one group, late entries or weights.
        """
        tables = [curve.table for curve in self.fitted]
        tests = compare_causes([tables], len(self.causes), rho)
        return GrayTest(self.group, self.levels, self.causes, tests, self._n_censored)

    def __repr__(self) -> str:
        n = sum(c.table.n for c in self.fitted)
        return f"<Cumulative incidence of {', '.join(self.causes)}: {n} rows>"


def compare_causes(
    strata: Sequence[Sequence[LifeTable]], causes: int, rho: float
) -> tuple[gray.Gray, ...]:
    """Gray's test of each cause from 1; nan for one that nobody had, where others can be tested."""
    found: list[gray.Gray] = []
    rho = read_number(rho, "rho")
    refused: NotEstimable | None = None
    for cause in range(1, causes + 1):
        try:
            found.append(gray.gray(strata, cause, rho=rho))
        except NotEstimable as error:
            refused = error
            none = np.full(len(strata[0]), np.nan)
            found.append(gray.Gray(none, np.diag(none), np.nan, len(none) - 1, np.nan))
    if refused is not None and all(np.isnan(test.p) for test in found):
        raise refused
    return tuple(found)


@dataclass(frozen=True)
class GrayTest:
    """For each cause, the test that the groups share its cumulative incidence."""

    group: str
    levels: tuple[str, ...]
    causes: tuple[str, ...]
    tests: tuple[gray.Gray, ...]
    n_censored: float

    def checks(self) -> tuple[Check, ...]:
        """Whether anybody is censored, which codes that do not begin at 0 would hide."""
        return tuple(check_censored(self.n_censored))

    def tidy(self) -> pd.DataFrame:
        """cause, statistic, df, p_value."""
        rows = [(c, t.statistic, t.df, t.p) for c, t in zip(self.causes, self.tests, strict=True)]
        return pd.DataFrame(rows, columns=["cause", "statistic", "df", "p_value"])

    def __repr__(self) -> str:
        found = "; ".join(
            f"{c}: {t.statistic:.4f} on {t.df} df, p {t.p:.3g}"
            for c, t in zip(self.causes, self.tests, strict=True)
        )
        return f"<Gray's test of {self.group}: {found}>"
