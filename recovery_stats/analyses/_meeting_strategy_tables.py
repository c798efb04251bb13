"""Tables and the figure of the sustained strategies: flow, adherence, weights, curves."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_stats.analyses._meeting_strategy import FEWER, MORE, Strategies, range_words
from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.document import Column, LineFigure, Row, Series, Table, Total
from recovery_stats.models.strategy import StrategyFit

UNIT = 10  # numbers of people rounded to this hide whether few or none left


def strategy_tables(found: Strategies) -> Iterator[Table]:
    """Who follows each strategy, block by block, and how the weights are spread."""
    if found.fit is None:
        return
    yield _flow_table(found, found.fit)
    yield _adherence_table(found, found.fit)
    yield _weight_table(found, found.fit)


def _adherence_table(found: Strategies, fit: StrategyFit) -> Table:
    """People and their effective number in each block, rounded after the first.

    From the exact people of every block one could work out how few left a strategy in one.
    """
    table = fit.adherence().set_index(["block", "strategy"])
    rows = []
    for block in range(1, len(fit.arms[0].followed) + 1):
        cells: list[Cell] = []
        for name in (MORE, FEWER):
            row = table.loc[(block, name)]
            n = int(row["followed"])
            people = Count(n) if block == 1 else _rounded(n, n)
            cells += [people, _rounded(float(row["effective"]), n)]
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
            "of the sum of the weights over the sum of their squares). Both are rounded to tens "
            "after the first block.",
        ),
        (),
        f"Block of {found.asked.q.block_days} days",
    )


def _rounded(value: float, n: int) -> Quantity:
    return Quantity(float(UNIT * round(value / UNIT)), "whole", n)


def _flow_table(found: Strategies, fit: StrategyFit) -> Table:
    """How the copy of each person ended, by strategy: the flow through the emulated trial."""
    flow = fit.flow().set_index("strategy")
    parts = [c for c in flow.columns if c != "entered"]
    rows = [
        Row(
            f"flow[{part}]",
            ENDS[part],
            tuple(Count(int(flow.loc[name, part])) for name in (MORE, FEWER)),
            int(part != "entered"),
        )
        for part in ("entered", *parts)
    ]
    return Table(
        "trial_flow",
        "Through the emulated trial: how following each strategy ended",
        tuple(Column(name, range_words(found.asked, name).capitalize()) for name in (MORE, FEWER)),
        tuple(rows),
        ("Everyone enters both strategies at their first day at risk, as two copies.",),
        (Total("flow[entered]", tuple(f"flow[{part}]" for part in parts)),),
        "People",
    )


ENDS = {
    "entered": "Entered",
    "event": "Relapsed while following",
    "other": "Had another event while following",
    "deviated": "Fell out of range",
    "lost": "Were lost to follow-up while following",
    "ended": "Observation ended as planned while following",
    "followed": "Followed to the end",
}


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
