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
from numpy.typing import NDArray
from scipy.stats import norm

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.document import Count, Quantity
from recovery_stats.engines import strategy as engine
from recovery_stats.engines.strategy import CURE, Course, Strategy, TooFewFollow
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.follow_up import People, Records, read_days, read_meetings, read_stays

BLOCK = 28
LEAST_EFFECTIVE = 20.0
LARGE_WEIGHT = 20.0  # a stabilised weight above this lets single people speak for the arm
Mask = NDArray[np.bool_]


__all__ = ["CURE", "Courses", "Strategy", "StrategyFit", "TooFewFollow", "courses", "sustained"]


@dataclass(frozen=True)
class Courses:
    """People with their blocks; see `courses`. names, fixed: of the history's columns, and which
    of them are known at time zero. uncovered: people without a first block covered. cut: people
    whose follow-up ends where the diary does.
    """

    course: Course
    horizon: int
    names: tuple[str, ...]
    fixed: tuple[bool, ...]
    uncovered: int
    cut: int

    def __len__(self) -> int:
        return len(self.course.time)


def courses(
    persons: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    cause: str | None = None,
    competing: Sequence[int] = (),
    lost: Sequence[int] | None = None,
    start: str | None = None,
    meetings: Dataset | pd.DataFrame,
    meeting_person: str | None = None,
    meeting_day: str,
    meeting_count: str | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
    stays: Dataset | pd.DataFrame | None = None,
    stay_person: str | None = None,
    stay_start: str | None = None,
    stay_stop: str | None = None,
    baseline: Sequence[str] = (),
    changing: Dataset | pd.DataFrame | None = None,
    changing_person: str | None = None,
    changing_day: str | None = None,
    changing_columns: Sequence[str] = (),
    cluster: str | None = None,
    weights: str | None = None,
    past_attendance: bool = False,
    horizon: int = 365,
    width: int = BLOCK,
) -> Courses:
    """Cut each person's time from the first day at risk into blocks with what was known at each.

    persons: one row a person; columns as in `reshape.person_days`. cause: codes of the first
    event; those in `competing` compete with the event, those in `lost` are losses to follow-up,
    other codes than the event's end observation. Without `lost`, everyone censored before the
    horizon counts as lost. baseline: columns known at entry. changing: rows (person, day,
    columns) of covariates that change, of which the last before a block counts. cluster: drawn
    together by the bootstrap. weights: sampling weights.

    past_attendance: let earlier blocks' attendance tell who keeps in range. What a strategy
    fixes all but settles the next block, so that few weigh for many; it is needed only where
    attendance acts on the event for longer than a block.
    Raises DataError, UsageError.
    """
    persons, meetings = as_dataset(persons), as_dataset(meetings)
    stays, changing = as_dataset(stays), as_dataset(changing)
    people = People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
    homes = read_stays(people, stays, stay_person or person, stay_start, stay_stop)
    zero = np.floor(people.start)
    time, what, gone = _endings(persons, people, zero, cause, competing, lost, horizon)
    blocks = -(-horizon // width)
    covered = _covered_blocks(people, zero, blocks, width)
    first_gap = np.where(covered.all(1), blocks, (~covered).argmax(1))
    short = time > first_gap * width
    time = np.where(short, first_gap * width, time)
    what, gone = np.where(short, 0, what), gone | short
    # in the order of the persons' key, so that the bootstrap does not depend on that of the file
    order = np.argsort(people.key.to_numpy(), kind="stable")
    kept = order[time[order] > 0]
    if not len(kept):
        raise DataError("The diary covers the first block of days of nobody.")
    count = _counts(people, diary, zero, blocks, width)
    ends = width * (1 + np.arange(blocks))
    completed = (time[:, None] > ends) | ((time[:, None] == ends) & (what[:, None] == 0))
    count = np.where(completed, count, np.nan)
    history, names, fixed = _history(
        persons, people, count if past_attendance else None, zero, (blocks, width), homes, baseline,
        _changing(people, changing, changing_person, changing_day, changing_columns),
    )  # fmt: skip
    groups = (
        np.unique(persons.frame[cluster].astype(str).to_numpy()[kept], return_inverse=True)[1]
        if cluster
        else np.arange(len(kept))
    )
    base = read_days(persons, weights) if weights else np.ones(len(people))
    course = Course(
        time[kept], what[kept], gone[kept], count[kept], history[kept], groups, width, base[kept]
    )
    return Courses(course, horizon, names, fixed, len(people) - len(kept), int(short[kept].sum()))


def _endings(
    persons: Dataset,
    people: People,
    zero: Array,
    cause: str | None,
    competing: Sequence[int],
    lost: Sequence[int] | None,
    horizon: int,
) -> tuple[Array, IntArray, Mask]:
    """Time since zero up to the horizon, cause (0, 1 the event, 2 competing), and who was lost."""
    time = np.ceil(people.stop - zero)
    what = np.where(people.event > 0, 1, 0)
    gone = what == 0
    if cause is not None:
        codes = read_days(persons, cause)
        what = np.where((what == 0) & np.isin(codes, list(competing)), 2, what)
        gone = (what == 0) & (np.isin(codes, list(lost)) if lost is not None else True)
    beyond = time > horizon
    what, gone = np.where(beyond, 0, what), gone & ~beyond & (time < horizon)
    return np.minimum(time, horizon), what, gone


def _covered_blocks(people: People, zero: Array, blocks: int, width: int) -> Mask:
    first = zero[:, None] + width * np.arange(blocks)
    last = np.minimum(first + width - 1, np.floor(people.stop)[:, None] - 1)
    seen = (people.diary_from[:, None] <= first) & (people.diary_to[:, None] >= last)
    return np.asarray(seen | (first >= people.stop[:, None]))


def _counts(people: People, diary: Records, zero: Array, blocks: int, width: int) -> Array:
    """Meetings on the days of each block, the day of time zero the first; nan if one is unknown."""
    block = (diary.day - zero[diary.person]) // width
    inside = (block >= 0) & (block < blocks)
    at = (diary.person * blocks + block.astype(np.intp))[inside]
    total = np.bincount(at, diary.count[inside], len(people) * blocks)
    return total.reshape(len(people), blocks).astype(float)


# --- what was known at the start of each block --------------------------------------------------


def _history(
    persons: Dataset,
    people: People,
    count: Array | None,
    zero: Array,
    blocks: tuple[int, int],
    homes: Records | None,
    baseline: Sequence[str],
    changing: dict[str, tuple[IntArray, Array, Array]],
) -> tuple[Array, tuple[str, ...], tuple[bool, ...]]:
    """History (n, B, h), the names of its columns, and which are fixed; blocks: (B, width)."""
    n, (B, width) = len(people), blocks
    starts = zero[:, None] + width * np.arange(B)
    layers = {} if count is None else _attended(count)
    if homes is not None:
        layers["resident in a house"] = _resident(homes, starts)
    for name, (who, day, value) in changing.items():
        layers[name] = _last_known(who, day, value, starts)
    moving = len(layers)
    for name, values in _baseline(persons, baseline).items():
        layers[name] = np.broadcast_to(values[:, None], (n, B))
    stacked = np.stack(list(layers.values()), axis=2) if layers else np.zeros((n, B, 0))
    return stacked, tuple(layers), tuple(j >= moving for j in range(len(layers)))


def _attended(count: Array) -> dict[str, Array]:
    n, B = count.shape
    before = np.concatenate([np.zeros((n, 1)), np.nan_to_num(count[:, :-1])], axis=1)
    mean = before.cumsum(1) / np.maximum(np.arange(B), 1)
    return {
        "first block": np.broadcast_to(np.arange(B) == 0, (n, B)).astype(float),
        "meetings in the block before": before,
        "their square root": np.sqrt(before),
        "meetings a block so far": np.sqrt(mean),
    }


def _baseline(persons: Dataset, columns: Sequence[str]) -> dict[str, Array]:
    """Numbers as they are (missing at their mean), factors as indicators of all but one level."""
    found: dict[str, Array] = {}
    table = Columns.of(persons)
    for name in columns:
        if table.is_factor(name):
            grouping = table.grouping((name,))
            for j, level in enumerate(grouping.levels[1:], start=1):
                found[f"{name}: {level}"] = (grouping.codes == j).astype(float)
            continue
        values = read_days(persons, name)
        found[name] = np.where(np.isnan(values), np.nanmean(values), values)
    return found


def _resident(homes: Records, starts: Array) -> Array:
    """1 where the person lives in a house when the block begins."""
    n, B = starts.shape
    found = np.zeros((n, B))
    for b in range(B):
        before = homes.day <= starts[homes.person, b] + 1
        level = np.bincount(homes.person[before], homes.count[before], n)
        found[:, b] = level > 0.5
    return found


def _last_known(who: IntArray, day: Array, value: Array, starts: Array) -> Array:
    """The last value on or before the start of each block; the person's first before that."""
    n = len(starts)
    order = np.lexsort((day, who))
    who, day, value = who[order], day[order], value[order]
    first = np.searchsorted(who, np.arange(n))
    has = (first < len(who)) & (who[np.minimum(first, len(who) - 1)] == np.arange(n))
    span = float(max(day.max(initial=0), starts.max(initial=0))) + 1.0
    at = np.searchsorted(who * span + day, np.arange(n)[:, None] * span + starts, "right") - 1
    at = np.maximum(at, first[:, None])
    middle = float(value.mean()) if len(value) else 0.0
    return np.where(has[:, None], value[np.minimum(at, len(value) - 1)], middle)


def _changing(
    people: People,
    table: Dataset | None,
    person: str | None,
    day: str | None,
    columns: Sequence[str],
) -> dict[str, tuple[IntArray, Array, Array]]:
    if table is None or not columns:
        return {}
    if person is None or day is None:
        raise UsageError("Covariates that change need the columns of their person and day.")
    table.require(person, day, *columns)
    who = people.key.get_indexer(pd.Index(table.frame[person]))
    when = read_days(table, day)
    found = {}
    for name in columns:
        value = read_days(table, name)
        known = (who >= 0) & ~np.isnan(when) & ~np.isnan(value)
        found[name] = (who[known], when[known], value[known])
    return found


# --- the answer --------------------------------------------------------------------------------


def sustained(
    people: Courses,
    strategies: Sequence[Strategy],
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
    if len(strategies) < 2 or any(not 0 <= s.low <= s.high for s in strategies):
        raise UsageError("Two strategies or more are needed, each with 0 <= low <= high.")
    if grace < 0 or not 0 <= truncate < 0.5:
        raise UsageError("grace is 0 or more blocks, and truncate a share below 0.5.")
    emulation = engine.emulate(
        people.course, strategies, days=people.horizon, grace=grace, truncate=truncate
    )
    arms = emulation.weigh(people.course.base)
    engine.refuse_thin(arms, strategies, least)
    draws = engine.bootstrap(emulation, replicates, seed, report)
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
    def strategies(self) -> tuple[Strategy, ...]:
        return tuple(c.strategy for c in self.emulation.arms)

    @property
    def method(self) -> str:
        return f"clone–censor–weight, {self.replicates} bootstrap draws of people"

    @cached_property
    def _value(self) -> Array:
        return engine.summarise(self.arms, self.people.course.width)

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
        tail = 50.0 * (1.0 - self.level)
        low, high = np.percentile(drawn, [tail, 100.0 - tail])
        se = float(drawn.std(ddof=1))
        estimate, conf_low, conf_high = turn(np.array([value, low, high])).tolist()
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
        at = engine.marks(self.people.horizon, self.people.course.width)
        tail = 50.0 * (1.0 - self.level)
        low, high = np.percentile(self.draws[..., :LOST], [tail, 100.0 - tail], axis=0)
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
    return np.asarray(np.log(x[..., 0, RISK] / x[..., j, RISK]))


def _days(j: int, x: Array) -> Array:
    return np.asarray(x[..., j, LOST] - x[..., 0, LOST])
