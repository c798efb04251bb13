"""What if everyone kept to three meetings a week, or to one: the primary estimand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from recovery_stats.analyses._ending import read_ends
from recovery_stats.analyses._meeting_custody import custody_codes
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._meeting_rows import diary_columns, stay_columns
from recovery_stats.analyses._refusal import safely
from recovery_stats.analyses._wording import plural
from recovery_stats.core import progress
from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.estimate import Estimand, Estimate, Level, Scale
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.strategy import (
    CURE,
    Courses,
    Strategy,
    StrategyFit,
    TooFewFollow,
    courses,
    sustained,
)

PRIMARY = "strategy_difference"
STEP = "Bootstrap of the strategies"
MORE, FEWER = "more", "fewer"
NO_LIMIT = 1e9  # an upper bound of 0 in the question means that there is none
CHANGE_DAY = "day of the change"
MUCH_CUT = 0.1  # share of people whose diary may end early without a caution


@dataclass(frozen=True, slots=True)
class Strategies:
    """The emulated trial: its fit, or why there is none."""

    asked: Asked
    people: Courses | None
    fit: StrategyFit | None
    reason: tuple[Cell, ...] = ()

    @classmethod
    def of(cls, asked: Asked, study: Study, people: Dataset) -> Strategies:
        """Emulate; what cannot be estimated is told, not raised."""
        course = None
        try:
            course = read_courses(asked, study, people)
            fit = sustained(
                course, strategies(asked), grace=asked.q.grace_blocks, truncate=asked.q.truncate,
                replicates=asked.q.replicates, seed=asked.q.seed, level=asked.q.level,
                report=lambda done: progress.tell(STEP, done, asked.q.replicates),
            )  # fmt: skip
        except TooFewFollow as error:
            return cls(asked, course, None, _too_few(asked, error))
        except (NotEstimable, DataError) as error:
            return cls(asked, course, None, (safely(error),))
        return cls(asked, course, fit)


def _too_few(asked: Asked, error: TooFewFollow) -> tuple[Cell, ...]:
    return (
        f"Too few people kept to {range_words(asked, error.strategy)}: from block ",
        Quantity(float(error.block), "whole"),
        " of ",
        Quantity(float(error.blocks), "whole"),
        " on, those who did carry the weight of fewer than ",
        Quantity(error.least, "whole"),
        f" people. {CURE} No risk is told for either strategy.",
    )


def strategies(asked: Asked) -> tuple[Strategy, Strategy]:
    """The two strategies of the question, the higher first."""
    q = asked.q
    more = Strategy(MORE, float(q.more_from), float(q.more_to) if q.more_to else NO_LIMIT)
    fewer = Strategy(FEWER, float(q.fewer_from), float(q.fewer_to) if q.fewer_to else NO_LIMIT)
    for name, s in (("more", more), ("fewer", fewer)):
        if s.low > s.high:
            raise UsageError(
                f"Options '{name}_from' and '{name}_to' leave no number of meetings a block."
            )
    if q.block_days < 1 or q.strategy_days < q.block_days:
        raise UsageError(
            f"Option 'strategy_days' ({q.strategy_days}) must be at least 'block_days' "
            f"({q.block_days}), and that at least 1."
        )
    return more, fewer


def read_courses(asked: Asked, study: Study, people: Dataset, **changes: Any) -> Courses:
    """People cut into blocks; `changes` replace arguments of `courses`, for the sensitivity."""
    q = asked.q
    arguments: dict[str, Any] = {
        "person": asked.person,
        "stop": TIME,
        "event": EVENT,
        "start": q.entry,
        "diary_from": q.diary_from,
        "diary_to": q.diary_to,
        "baseline": q.adjust,
        "cluster": q.cluster,
        "weights": q.weights,
        "custody": asked.custody.away,
        "horizon": q.strategy_days,
        "width": q.block_days,
        **diary_columns(asked, study),
        **stay_columns(asked, study),
        **_causes(asked, people),
        **_changing(asked, study),
    }
    return courses(people, **arguments | changes)


def _causes(asked: Asked, people: Dataset) -> dict[str, Any]:
    """Other events compete; a cause called lost is a loss to follow-up, whatever its code."""
    column = asked.q.cause
    if column is None:
        return {}
    inside: list[float] = []
    if asked.custody.suspended:  # who went in and is not known to have come out
        values = people.frame[column][people.frame[EVENT] == 0].dropna().unique()
        codes = [float(c) for c in sorted(values) if c]
        inside = custody_codes(asked.q, people.variable(column), codes)
    return read_ends(people, EVENT, column, asked.q.lost_cause, inside).arguments


def _changing(asked: Asked, study: Study) -> dict[str, Any]:
    """Covariates of the table of weeks, known from the first day of their week."""
    q = asked.q
    if not q.changing or "weeks" not in study or q.week is None:
        return {}
    weeks = study["weeks"]
    weeks.require(*(c for c in (q.week_person, q.week, *q.changing) if c), table="weeks")
    days = weeks.with_column(Variable(CHANGE_DAY, unit="days"), weeks.frame[q.week] * 7.0)
    return {
        "changing": days,
        "changing_person": q.week_person,
        "changing_day": CHANGE_DAY,
        "changing_columns": q.changing,
    }


# --- what is told ---------------------------------------------------------------------------------


def estimand(asked: Asked, study: Study) -> Estimand:
    """The target trial in the five attributes."""
    q, name = asked.q, plural(asked.q.meeting_name)
    spared = "no block" if not q.grace_blocks else f"{q.grace_blocks} running"
    return Estimand(
        population=f"{study.protocol.population}, from the first day at risk",
        treatment=f"{range_words(asked, MORE)} against {range_words(asked, FEWER)}, in every "
        f"completed block of {q.block_days} days; blocks out of range forgiven: {spared}",
        endpoint=f"first relapse within {q.strategy_days} days of the first day at risk",
        intercurrent=f"{_others(asked)}; a relapse in "
        "mid-block is a relapse under every strategy still followed; loss to follow-up is "
        f"censoring, weighted for its causes; {name} out of range end a strategy, weighted",
        summary="difference between the risks of relapse under the two strategies",
    )


def _others(asked: Asked) -> str:
    if asked.custody.suspended:
        return (
            "death competes (it is not censoring); time in custody is no time at risk, and a block "
            "that holds a day of it ends no strategy"
        )
    return "death and incarceration compete (they are not censoring)"


def range_words(asked: Asked, which: str) -> str:
    """'at least 12 meetings' or '2 to 6 meetings'; the bounds are options, not data."""
    q, name = asked.q, plural(asked.q.meeting_name)
    low, high = (q.more_from, q.more_to) if which == MORE else (q.fewer_from, q.fewer_to)
    if low == 0 and high:
        return f"at most {high} {name}"
    return f"{low} to {high} {name}" if high else f"at least {low} {name}"


def strategy_estimates(found: Strategies) -> Iterator[Estimate]:
    """Risks, their difference (primary) and ratio, and the difference in days free of relapse."""
    if found.fit is None or found.people is None:
        return
    course = found.people.course
    events = int((course.cause == 1).sum())
    for row in found.fit.tidy().itertuples(index=False):
        if not isfinite(row.estimate):
            continue
        name, label, scale, level = _NAMES[row.measure, row.strategy]
        yield Estimate(
            name, label, row.estimate, row.conf_low, row.conf_high, row.std_error,
            row.p_value, scale=scale, level=level, method=found.fit.method,
            confidence=found.fit.level, n=len(found.people), events=events,
        )  # fmt: skip


_NAMES: Mapping[tuple[str, str], tuple[str, str, Scale, Level]] = {
    ("risk", MORE): ("risk_more", "Risk, more meetings", "probability", "secondary"),
    ("risk", FEWER): ("risk_fewer", "Risk, fewer meetings", "probability", "secondary"),
    ("risk_difference", f"{MORE} minus {FEWER}"): (
        PRIMARY, "Risk difference, more minus fewer", "difference", "primary",
    ),
    ("risk_ratio", f"{MORE} over {FEWER}"): (
        "strategy_ratio", "Risk ratio, more over fewer", "ratio", "secondary",
    ),
    ("days_free_difference", f"{MORE} minus {FEWER}"): (
        "strategy_days_free", "Mean days free of relapse, more minus fewer", "time", "secondary",
    ),
}  # fmt: skip


def strategy_checks(found: Strategies) -> Iterator[Check]:
    """The emulation's own checks; a failed primary where it could not be estimated."""
    if found.fit is None:
        yield Check("primary estimand", "fail", found.reason)
        return
    yield from found.fit.checks()
    yield _followed(found.people)


def _followed(people: Courses | None) -> Check:
    """Who entered the emulated trial, and whose follow-up the diary ends."""
    if people is None:
        return Check("strategy follow-up", "caution", ("Too few could be followed.",))
    n = len(people)
    return Check(
        "strategy follow-up",
        "caution" if people.cut > MUCH_CUT * n else "ok",
        (
            Count(n),
            " people were eligible under both strategies at their first day at risk, the diary "
            "covering their first block; it does not cover that of ",
            Count(people.uncovered),
            ". Follow-up ends where the diary does for ",
            Count(people.cut),
            ", who count as lost from then on.",
        ),
    )


def strategy_step(found: Strategies) -> tuple[Step, ...]:
    """The step of the participant flow into the emulated trial."""
    if found.people is None:
        return ()
    words = "In the emulated trial: first block of days covered by the diary"
    return (Step(words, len(found.people), "people"),)


def strategy_facts(asked: Asked) -> dict[str, Cell]:
    """The numbers of the question, for its sentences."""
    return {
        "more_words": range_words(asked, MORE),
        "fewer_words": range_words(asked, FEWER),
        "block_days": Quantity(float(asked.q.block_days), "whole"),
        "grace": Quantity(float(asked.q.grace_blocks), "whole"),
        "replicates": Quantity(float(asked.q.replicates), "whole"),
        "strategy_days": Quantity(float(asked.q.strategy_days), "whole"),
        "truncated_share": Quantity(float(asked.q.truncate), "percent"),
    }
