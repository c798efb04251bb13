"""Sustained strategies of attendance: what if everyone kept to three meetings a week, or to one?

    asked = (Strategy("three or more a week", 12, 28), Strategy("one a week", 2, 6))
    found = sustained(courses(persons, person="pid", stop="t_relapse", ...), asked)
    found.tidy()          risks, their difference and ratio, mean time free of the event
    found.adherence()     who still follows each strategy, block by block

Time zero is the first day at risk; ranges are meetings per completed block of 28 days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines import strategy as engine
from recovery_stats.engines import strategy_told as told
from recovery_stats.engines.strategy_course import Leaving, Plan, Strategy
from recovery_stats.engines.strategy_lost import risk_after_loss
from recovery_stats.engines.strategy_told import CURE, TooFewFollow
from recovery_stats.errors import UsageError
from recovery_stats.models.columns import Array
from recovery_stats.models.course import Courses, courses
from recovery_stats.models.percentile import percentile_limits

LEAST_EFFECTIVE = 20.0
LARGE_WEIGHT = 20.0  # a stabilised weight above this lets single people speak for the arm

__all__ = [
    "CURE",
    "Courses",
    "Leaving",
    "Strategy",
    "StrategyFit",
    "TooFewFollow",
    "courses",
    "sustained",
]


def sustained(
    people: Courses,
    strategies: Sequence[Plan],
    *,
    grace: int = 1,
    truncate: float = 0.01,
    replicates: int = 500,
    seed: int = 1,
    level: float = 0.95,
    least: float = LEAST_EFFECTIVE,
    report: Callable[[int], None] | None = None,
) -> StrategyFit:
    """Risk of the event by the horizon under each strategy, by clone–censor–weight.

    strategies: the first is compared with the others. grace: completed blocks running out of
    range that are forgiven. truncate: share of the largest weights cut. replicates: bootstrap
    draws of people (clusters where `courses` had them) with weights refitted.
    Raises NotEstimable where fewer than `least` effective people reach the horizon in a strategy.
    """
    if len(strategies) < 2 or any(
        isinstance(s, Strategy) and not 0 <= s.low <= s.high for s in strategies
    ):
        raise UsageError("Two strategies or more are needed, each with 0 <= low <= high.")
    if grace < 0 or not 0 <= truncate < 0.5:
        raise UsageError("grace is 0 or more blocks, and truncate a share below 0.5.")
    emulation = engine.emulate(
        people.course, strategies, days=people.horizon, grace=grace, truncate=truncate
    )
    arms = emulation.weigh(people.course.base)
    told.refuse_thin(arms, strategies, least)
    draws = told.bootstrap(emulation, replicates, seed, report)
    return StrategyFit(people, emulation, arms, draws, level, replicates)


@dataclass(frozen=True)
class StrategyFit:
    """Risks under strategies, with percentile intervals of the bootstrap; see `sustained`."""

    people: Courses
    emulation: engine.Emulation = field(repr=False)
    arms: tuple[engine.Arm, ...] = field(repr=False)
    draws: Array = field(repr=False)
    level: float
    replicates: int

    @property
    def strategies(self) -> tuple[Plan, ...]:
        return tuple(c.strategy for c in self.emulation.arms)

    @property
    def method(self) -> str:
        return f"clone–censor–weight, {self.replicates} bootstrap draws of people"

    @cached_property
    def _value(self) -> Array:
        return told.summarise(self.arms, self.people.course.width)

    def tidy(self) -> pd.DataFrame:
        """Risks, risk differences and ratios (first against the others), differences in days.

        measure: "risk", "risk_difference", "risk_ratio", "days_free_difference".
        """
        rows = [
            self._row("risk", s.name, partial(_risk, j), tested=False)
            for j, s in enumerate(self.strategies)
        ]
        first = self.strategies[0].name
        for j, s in enumerate(self.strategies[1:], start=1):
            rows += [
                self._row("risk_difference", f"{first} minus {s.name}", partial(_difference, j)),
                self._row("risk_ratio", f"{first} over {s.name}", partial(_log_ratio, j), np.exp),
                self._row("days_free_difference", f"{first} minus {s.name}", partial(_days, j)),
            ]
        return pd.DataFrame(rows)

    def _row(
        self,
        measure: str,
        name: str,
        of: Callable[[Array], Array],
        turn: Callable[[Array], Array] = np.asarray,
        *,
        tested: bool = True,
    ) -> dict[str, object]:
        value, drawn = float(of(self._value)), of(self.draws)
        with np.errstate(invalid="ignore"):
            low, high = percentile_limits(drawn, self.level)
            se = float(drawn.std(ddof=1))
        estimate, conf_low, conf_high = turn(np.array([value, float(low), float(high)])).tolist()
        return {
            "measure": measure,
            "strategy": name,
            "estimate": estimate,
            "std_error": se,
            "p_value": float(2.0 * norm.sf(abs(value) / se)) if tested and se > 0 else float("nan"),
            "conf_low": conf_low,
            "conf_high": conf_high,
        }

    def marks(self) -> pd.DataFrame:
        """Risk of the event by the end of each block under each strategy, with its interval."""
        at = told.marks(self.people.horizon, self.people.course.width)
        low, high = percentile_limits(self.draws[..., :LOST], self.level)
        parts = [
            pd.DataFrame(
                {
                    "strategy": s.name,
                    "time": at,
                    "estimate": self._value[j, :LOST],
                    "conf_low": low[j],
                    "conf_high": high[j],
                }
            )
            for j, s in enumerate(self.strategies)
        ]
        return pd.concat(parts, ignore_index=True)

    def curves(self) -> pd.DataFrame:
        """Cumulative incidence of the event by day under each strategy."""
        parts = [
            pd.DataFrame({"strategy": s.name, "time": np.arange(len(a.incidence[0])),
                          "estimate": a.incidence[0]})
            for s, a in zip(self.strategies, self.arms, strict=True)
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)

    def adherence(self) -> pd.DataFrame:
        """People following each strategy at the start of each block, and their effective number."""
        parts = [
            pd.DataFrame({"strategy": s.name, "block": 1 + np.arange(len(a.followed)),
                          "followed": a.followed, "effective": a.effective})
            for s, a in zip(self.strategies, self.arms, strict=True)
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)

    def flow(self) -> pd.DataFrame:
        """How following each strategy ended: one row a strategy, people by how.

        entered = event + other (a competing event) + deviated + lost + ended (observation) +
        followed (to the horizon).
        """
        course, days = self.people.course, self.people.horizon
        rows = []
        for clones in self.emulation.arms:
            left = clones.ends * course.width < np.minimum(course.time, days)
            inside = ~left & (course.time <= days)
            ways = {
                "event": inside & (course.cause == 1),
                "other": inside & (course.cause > 1),
                "deviated": left,
                "lost": inside & (course.cause == 0) & course.lost,
                "ended": inside & (course.cause == 0) & ~course.lost & (course.time < days),
            }
            counts = {way: int(people.sum()) for way, people in ways.items()}
            followed = len(course.time) - sum(counts.values())
            rows.append({"strategy": clones.strategy.name, "entered": len(course.time),
                         **counts, "followed": followed})  # fmt: skip
        return pd.DataFrame(rows)

    def weights(self) -> pd.DataFrame:
        """Distribution of the stabilised weights of each strategy, and how many were cut."""
        rows = []
        for s, a in zip(self.strategies, self.arms, strict=True):
            w = a.stabilised[a.weight > 0]
            rows.append(
                {"strategy": s.name, "mean": w.mean(), "median": np.median(w),
                 "p99": np.quantile(w, 0.99), "max": w.max(), "truncated": a.truncated}
            )  # fmt: skip
        return pd.DataFrame(rows)

    def after_loss(
        self, deltas: Sequence[float], *, replicates: int = 100, seed: int = 1
    ) -> pd.DataFrame:
        """Risks, and their differences, with the hazard after loss times each delta.

        delta: 1 stands for loss that the history explains. The hazard is that of those in view
        who are weighted for the lost; percentile intervals of `replicates` bootstrap draws.
        measure: "risk" of each strategy, "risk_difference" of the first from each other.
        """
        course = self.people.course

        def risks(arms: Sequence[engine.Arm]) -> Array:
            return np.stack([risk_after_loss(course, arm, deltas) for arm in arms])

        value = risks(self.arms)
        drawn = np.stack([risks(a) for a in told.redraw(self.emulation, replicates, seed)])
        first, tail = self.strategies[0].name, 50.0 * (1.0 - self.level)
        rows = []
        for j, s in enumerate(self.strategies):
            rows_of = [("risk", s.name, value[j], drawn[:, j])]
            if j:
                name = f"{first} minus {s.name}"
                difference = drawn[:, 0] - drawn[:, j]
                rows_of.append(("risk_difference", name, value[0] - value[j], difference))
            for measure, name, at, draws in rows_of:
                low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
                rows += [
                    {"measure": measure, "strategy": name, "delta": delta, "estimate": at[k],
                     "std_error": draws[:, k].std(ddof=1), "conf_low": low[k],
                     "conf_high": high[k]}
                    for k, delta in enumerate(deltas)
                ]  # fmt: skip
        return pd.DataFrame(rows)

    def checks(self) -> tuple[Check, ...]:
        """Whether the weights are moderate and enough people follow to the end."""
        table = self.weights()
        largest = float(table["max"].max())
        least = min(float(a.effective.min()) for a in self.arms)
        return (
            Check(
                "weights", "caution" if largest > LARGE_WEIGHT else "ok",
                ("The largest stabilised weight of a clone is ", Quantity(largest), "."),
            ),
            Check(
                "adherence", "caution" if least < 2 * LEAST_EFFECTIVE else "ok",
                ("The smallest effective number of people who still follow a strategy is ",
                 Count(round(least)), "."),
            ),
        )  # fmt: skip


# --- what is told of the risks and, last, the days lost, (…, strategies, marks + 1) --------------

RISK, LOST = -2, -1


def _risk(j: int, x: Array) -> Array:
    return np.asarray(x[..., j, RISK])


def _difference(j: int, x: Array) -> Array:
    return np.asarray(x[..., 0, RISK] - x[..., j, RISK])


def _log_ratio(j: int, x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # a risk of 0 has no ratio
        return np.asarray(np.log(x[..., 0, RISK] / x[..., j, RISK]))


def _days(j: int, x: Array) -> Array:
    return np.asarray(x[..., j, LOST] - x[..., 0, LOST])
