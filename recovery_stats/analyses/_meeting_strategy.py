"""What if everyone kept to three meetings a week, or to one: the primary estimand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from recovery_stats.analyses._meeting_custody import custody_codes
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._meeting_rows import diary_columns, stay_columns
from recovery_stats.analyses._wording import plural
from recovery_stats.core import progress
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import (
    Cell,
    Column,
    Count,
    LineFigure,
    Quantity,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimand, Estimate, Level, Scale
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
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
LOST_WORD = "lost"
EFFECTIVE_UNIT = 10  # a number of people that hides whether few or none left
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
            return cls(asked, course, None, (str(error),))
        return cls(asked, course, fit)


def _too_few(asked: Asked, error: TooFewFollow) -> tuple[Cell, ...]:
    return (
        f"Too few people kept to {range_words(asked, error.strategy)}: from block ",
        Quantity(float(error.block), "whole"),
        " of ",
        Quantity(float(error.blocks), "whole"),
        " on those who did weigh less than ",
        Quantity(error.least, "whole"),
        f" people would. {CURE} No risk is told for either strategy.",
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
    variable = people.variable(column)
    values = people.frame[column]
    codes = [float(c) for c in sorted(values[(people.frame[EVENT] == 0)].dropna().unique()) if c]
    names = {code: variable.level(code) for code in codes}
    lost = lost_codes(asked, names)
    if asked.custody.suspended:  # who went in and is not known to have come out
        lost = [*lost, *(c for c in custody_codes(asked.q, variable, codes) if c not in lost)]
    competing = [code for code in codes if code not in lost]
    return {"cause": column, "competing": competing, "lost": lost if lost else None}


def lost_codes(asked: Asked, names: Mapping[float, str]) -> list[float]:
    """The codes among `names` that mean loss to follow-up."""
    wanted = asked.q.lost_cause
    if not wanted:
        return [code for code, name in names.items() if LOST_WORD in name.casefold()]
    found = [c for c, n in names.items() if wanted in (n, f"{c:g}")]
    if not found and names:
        raise UsageError(unknown("cause", wanted, names.values()))
    return found


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
        return Check("strategy follow-up", "caution", ("Nobody could be followed.",))
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


def strategy_facts(found: Strategies) -> dict[str, Cell]:
    asked = found.asked
    return {
        "more_words": range_words(asked, MORE),
        "fewer_words": range_words(asked, FEWER),
        "block_days": Quantity(float(asked.q.block_days), "whole"),
        "grace": Quantity(float(asked.q.grace_blocks), "whole"),
        "replicates": Quantity(float(asked.q.replicates), "whole"),
        "strategy_days": Quantity(float(asked.q.strategy_days), "whole"),
        "truncated_share": Quantity(float(asked.q.truncate), "percent"),
    }


def strategy_tables(found: Strategies) -> Iterator[Table]:
    """Who follows each strategy, block by block, and how the weights are spread."""
    if found.fit is None:
        return
    yield _adherence_table(found, found.fit)
    yield _weight_table(found, found.fit)


def _adherence_table(found: Strategies, fit: StrategyFit) -> Table:
    """People at the first and the last block, rounded effective numbers between.

    From the people of every block one could work out how few left a strategy in one.
    """
    table = fit.adherence().set_index(["block", "strategy"])
    rows, last = [], len(fit.arms[0].followed)
    for block in range(1, last + 1):
        cells: list[Cell] = []
        for name in (MORE, FEWER):
            row = table.loc[(block, name)]
            n = int(row["followed"])
            rounded = EFFECTIVE_UNIT * round(float(row["effective"]) / EFFECTIVE_UNIT)
            people = Count(n) if block in (1, last) else None
            cells += [people, Quantity(float(rounded), "whole", n)]
        rows.append(Row(f"block[{block}]", str(block), tuple(cells)))
    heads = {name: range_words(found.asked, name).capitalize() for name in (MORE, FEWER)}
    return Table(
        "adherence",
        "People who still follow each strategy at the start of each block",
        tuple(
            Column(f"{part}_{name}", label, heads[name])
            for name in (MORE, FEWER)
            for part, label in (("n", "People"), ("effective", "Effective"))
        ),
        tuple(rows),
        (
            "Effective: the number of people of equal weight who would tell as much (the square "
            "of the sum of the weights over the sum of their squares), rounded to tens.",
        ),
        (),
        f"Block of {found.asked.q.block_days} days",
    )


def _weight_table(found: Strategies, fit: StrategyFit) -> Table:
    rows = [
        Row(
            f"weights[{row.strategy}]",
            range_words(found.asked, row.strategy).capitalize(),
            (
                *(Quantity(getattr(row, c), n=len(fit.people)) for c in _SPREAD),
                Count(row.truncated, "rows"),
            ),
        )
        for row in fit.weights().itertuples(index=False)
    ]
    return Table(
        "strategy_weights",
        "Stabilised weights of the people who follow a strategy",
        (
            *(Column(c, label) for c, label in _SPREAD.items()),
            Column("truncated", "Person-blocks cut"),
        ),
        tuple(rows),
        (
            "Weights stand for people like those who fell out of range or were lost. A mean far "
            "from 1 or a large maximum says that few people speak for many.",
        ),
        (),
        "Strategy",
    )


_SPREAD = {"mean": "Mean", "median": "Median", "p99": "99th percentile", "max": "Largest"}


def strategy_figure(found: Strategies) -> LineFigure | None:
    """Risk of relapse by the end of each block under both strategies."""
    if found.fit is None:
        return None
    fit, marks = found.fit, found.fit.marks()
    series = []
    for arm, name in zip(fit.arms, (MORE, FEWER), strict=True):
        part = marks[marks["strategy"] == name]
        series.append(
            Series(
                range_words(found.asked, name).capitalize(),
                (0.0, *map(float, part["time"])),
                (0.0, *part["estimate"]),
                (0.0, *part["conf_low"]),
                (0.0, *part["conf_high"]),
                (len(fit.people), *map(int, arm.followed[: len(part)])),
            )
        )
    return LineFigure(
        "strategies",
        "Risk of relapse if everyone had kept to a strategy",
        "Days since the first day at risk",
        "Risk of relapse",
        tuple(series),
        notes=("Points at the ends of blocks; bands are bootstrap percentiles.",),
    )
