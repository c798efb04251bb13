"""Effects from what a paper prints: counts of two arms, cell means of a factorial, an interval.

`two_by_two` takes the counts of two arms, `factorial` the four means of a two-by-two trial,
`from_interval` an estimate with its limits: what these say beyond what was printed follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import UsageError
from recovery_stats.models.risk import (
    NumberNeeded,
    count_effects,
    e_value,
    e_value_limit,
    estimate,
    number_needed,
)

COLUMNS = ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")
FEW = 5  # people in a cell below which Wald, Katz and Woolf intervals are rough


@dataclass(frozen=True, slots=True)
class TwoByTwo:
    """Two arms counted: `counts` is events and people of the compared arm, then of the usual."""

    counts: tuple[int, int, int, int]
    risk_difference: Estimate
    risk_ratio: Estimate
    odds_ratio: Estimate

    def __repr__(self) -> str:
        events, n, events_usual, n_usual = self.counts
        return (
            f"<TwoByTwo {events}/{n} against {events_usual}/{n_usual}: "
            f"risk ratio {self.risk_ratio.value:.3g}>"
        )

    @property
    def number_needed(self) -> NumberNeeded:
        """Number needed to treat, with an interval that may run through infinity."""
        return number_needed(self.risk_difference)

    @property
    def e_value(self) -> tuple[float, float]:
        """E-value of the risk ratio, and of the limit of its interval nearer 1."""
        return e_value(self.risk_ratio.value), e_value_limit(self.risk_ratio)

    def tidy(self) -> pd.DataFrame:
        """Risk difference, risk ratio, odds ratio, number needed; ratios as ratios.

        std_error and statistic of a ratio are those of its logarithm. The number needed has
        limits from `conf_low` to `conf_high`; conf_high inf: the interval runs through infinity
        to the other direction (`number_needed` has how far).
        """
        rows = [_row(e) for e in (self.risk_difference, self.risk_ratio, self.odds_ratio)]
        needed = self.number_needed
        rows.append({
            "term": "number_needed", "estimate": needed.value, "conf_low": needed.low,
            "conf_high": needed.high,
        })  # fmt: skip
        return pd.DataFrame(rows)[["term", *COLUMNS]]

    def glance(self) -> pd.DataFrame:
        """Counts, risks and E-values in one row."""
        events, n, events_usual, n_usual = self.counts
        value, limit = self.e_value
        return pd.DataFrame([{
            "n_obs": n + n_usual, "n_events": events + events_usual, "risk": events / n,
            "risk_usual": events_usual / n_usual, "e_value": value, "e_value_limit": limit,
        }])  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """Whether the cells are large enough, and whether the number needed has two ends."""
        return tuple(_checks(self))


def two_by_two(
    events: int, n: int, events_usual: int, n_usual: int, *, level: float = 0.95
) -> TwoByTwo:
    """Risk difference, risk ratio, odds ratio, number needed and E-values from counts.

    events of n people in the compared arm, events_usual of n_usual in the usual one. Intervals
    are those that papers print: Wald, Katz, Woolf. Raises DataError for impossible counts,
    NotEstimable where a cell is empty.
    Checked: published tables (Oxford House trial, X:BOT, Blanco 2014).
    """
    return TwoByTwo(
        (events, n, events_usual, n_usual),
        *count_effects(events, n, events_usual, n_usual, level=level),
    )


def factorial(
    neither: float,
    first: float,
    second: float,
    both: float,
    *,
    sd: float | None = None,
    n: tuple[int, int, int, int] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Main effects and interaction of a two-by-two factorial trial from its four means.

    neither, first, second, both: mean outcome of each group. sd and n (people, same order): then
    standard errors and t intervals with sum(n) - 4 df; without them the estimates alone. A main
    effect is the average of the two simple ones, the interaction the difference between them:
    both - first - second + neither.
    Source: Anton et al. 2006 (COMBINE) as an example: interaction -7.6 percentage points.
    """
    means = np.array([neither, first, second, both], dtype=float)
    contrasts = {
        "first": np.array([-1, 1, -1, 1]) / 2,
        "second": np.array([-1, -1, 1, 1]) / 2,
        "interaction": np.array([1.0, -1, -1, 1]),
    }
    if (sd is None) != (n is None):
        raise UsageError("Give `sd` and `n` together, or neither.")
    se, df = np.full(3, np.nan), float("nan")
    if sd is not None and n is not None:
        se = np.array([sd * np.sqrt(np.sum(c**2 / np.array(n))) for c in contrasts.values()])
        df = float(sum(n) - 4)
    rows = [
        _row(estimate(name, name, float(c @ means), float(error), df, level=level))
        for (name, c), error in zip(contrasts.items(), se, strict=True)
    ]
    return pd.DataFrame(rows)[["term", *COLUMNS]]


def from_interval(
    value: float,
    low: float,
    high: float,
    *,
    scale: Literal["difference", "ratio"] = "difference",
    level: float = 0.95,
    digits: int = 2,
) -> pd.DataFrame:
    """Standard error and p behind a printed estimate, and whether it lies where it must.

    digits: decimals of what was printed. One row: the columns of `tidy`, `centre` (the middle of
    the limits, geometric for a ratio) and `consistent`: whether some unrounded numbers make the
    estimate the centre. An interval that is not symmetric (bootstrap, profile, exact) need not
    be; then it has no standard error in this sense.
    Raises UsageError unless low <= value <= high, all above zero for a ratio.
    """
    if not low <= value <= high or (scale == "ratio" and low <= 0):
        raise UsageError(
            "An estimate lies between its limits, low first" + (
                ", and a ratio and its limits are above zero." if scale == "ratio" else "."
            )
        )  # fmt: skip
    half = 0.5 * 10.0**-digits
    if scale == "ratio":
        centre = float(np.sqrt(low * high))
        ends = [float(np.sqrt(max(low + s * half, 0.0) * (high + s * half))) for s in (-1, 1)]
        se = float(np.log(high / low) / (2 * norm.isf((1 - level) / 2)))
        made = estimate("published", "", float(np.log(value)), se, np.inf, scale=scale, level=level)
    else:
        centre, ends = (low + high) / 2, [(low + high) / 2 + s * half for s in (-1, 1)]
        se = float((high - low) / (2 * norm.isf((1 - level) / 2)))
        made = estimate("published", "", value, se, np.inf, scale=scale, level=level)
    slack = half + 1e-12 * max(abs(value), 1.0)
    agrees = ends[0] - slack <= value <= ends[1] + slack
    return pd.DataFrame([{**_row(made), "centre": centre, "consistent": agrees}])


def _row(e: Estimate) -> dict[str, str | float]:
    """An estimate under the names of `tidy`."""
    linear = float(np.log(e.value)) if e.scale == "ratio" else e.value
    return {
        "term": e.name, "estimate": e.value, "std_error": e.se, "df": e.df,
        "statistic": linear / e.se if e.se > 0 else float("nan"), "p_value": e.p,
        "conf_low": e.low, "conf_high": e.high,
    }  # fmt: skip


def _checks(found: TwoByTwo) -> Iterator[Check]:
    events, n, events_usual, n_usual = found.counts
    smallest = min(events, n - events, events_usual, n_usual - events_usual)
    yield Check(
        "smallest cell", "caution" if smallest < FEW else "ok",
        ("The smallest cell of the table holds ", Count(smallest),
         "; the intervals are those of large samples."),
    )  # fmt: skip
    needed = found.number_needed
    if needed.crosses:
        yield Check(
            "number needed", "caution",
            ("The number needed to treat runs from ", Quantity(needed.low, "days"),
             " through infinity (no difference) to ", Quantity(needed.other, "days"),
             " in the other direction."),
        )  # fmt: skip
