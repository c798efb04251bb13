"""The specification curve and its tables: every specification in the order of its estimate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from recovery_stats.analyses._specification import (
    DIMENSIONS,
    LESS,
    MORE,
    PANELS,
    Specification,
    panels_of,
    value_of,
)
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.document import Column, Row, SpecificationFigure, Table


def multiverse_figures(told: Sequence[Specification]) -> Iterable[SpecificationFigure]:
    for i, (panel, members) in enumerate(panels_of(told).items(), 1):
        scale, measure = panel
        name, what = PANELS.get(panel, (scale.capitalize(), measure))
        order = sorted(members, key=lambda s: (value_of(s), s.name))
        up = order[0].side_of(order[0].null + 1.0) == 1
        yield SpecificationFigure(
            name=f"curve_{i}",
            caption=f"Specification curve of {what}",
            x_label=name,
            rows=tuple(Ref(s.name, "interval") for s in order),
            null=order[0].null,
            log_x=scale == "ratio",
            dimensions=DIMENSIONS,
            choices=tuple((s.name, (s.kind, s.missing)) for s in order),
            ids=tuple((s.name, s.name) for s in order),
            good_below=not up,
            above=MORE if up else LESS,
            below=LESS if up else MORE,
            notes=(
                "Filled points: the interval leaves out no difference. Each column of the grid "
                "is one specification.",
            ),
        )


def multiverse_tables(
    told: Sequence[Specification], failed: Sequence[Specification]
) -> Iterable[Table]:
    if told:
        yield _sides(told)
        yield _each(told)
    if failed:
        yield Table(
            "failures",
            "Specifications without an estimate",
            (Column("kind", DIMENSIONS[0]), Column("missing", DIMENSIONS[1]), Column("why", "Why")),
            tuple(Row(s.name, s.name, (s.kind, s.missing, s.why)) for s in failed),
            stub="Specification",
        )


def _sides(told: Sequence[Specification]) -> Table:
    columns = (
        Column("n", "Specifications"),
        Column("more", "On this side", "More recovery"),
        Column("more_share", "Share", "More recovery"),
        Column("more_clear", "Interval beyond no difference", "More recovery"),
        Column("less", "On this side", "Less recovery"),
        Column("less_share", "Share", "Less recovery"),
        Column("less_clear", "Interval beyond no difference", "Less recovery"),
        Column("median", "Median estimate"),
    )
    rows = [
        _side_row(f"panel {i}", PANELS.get(panel, panel)[0], members)
        for i, (panel, members) in enumerate(panels_of(told).items(), 1)
    ]
    whole = _side_row("all", "All", told)
    whole = replace(whole, cells=(*whole.cells[:-1], None))
    return Table(
        "sides",
        "Specifications on each side of no difference",
        columns,
        (*rows, whole) if len(rows) > 1 else tuple(rows),
        notes=(
            "Specifications share people and screens: their number is no sample size, and the "
            "shares are no test.",
        ),
    )


def _side_row(key: str, label: str, members: Sequence[Specification]) -> Row:
    cells: list[Cell] = [Quantity(len(members), "whole")]
    for side in (1, -1):
        some = [s for s in members if s.side == side]
        cells += [
            Quantity(len(some), "whole"),
            Quantity(len(some) / len(members), "percent"),
            Quantity(sum(s.clear for s in some), "whole"),
        ]
    ratio = members[0].null == 1.0
    median = float(np.median([value_of(s) for s in members]))
    return Row(key, label, (*cells, Quantity(median, "ratio" if ratio else "plain")))


def _each(told: Sequence[Specification]) -> Table:
    columns = (
        Column("kind", DIMENSIONS[0]),
        Column("missing", DIMENSIONS[1]),
        Column("citation", "Published by"),
        Column("people", "People"),
        Column("estimate", "Estimate with interval"),
        Column("p", "p"),
        Column("side", "Side"),
    )
    rows: list[Row] = []
    for i, (panel, members) in enumerate(panels_of(told).items(), 1):
        rows.append(Row(f"panel {i}", PANELS.get(panel, panel)[0]))
        rows += [_each_row(s) for s in sorted(members, key=lambda s: (value_of(s), s.name))]
    return Table(
        "specifications",
        "Each specification",
        columns,
        tuple(rows),
        notes=(
            "Differences speak of recovery: of relapse endpoints, of the share without relapse.",
        ),
        stub="Specification",
    )


def _each_row(s: Specification) -> Row:
    assert s.estimate is not None
    people: Cell = Count(s.estimate.n) if s.estimate.n is not None else None
    side = {1: MORE, -1: LESS, 0: "neither"}[s.side]
    interval, p = Ref(s.name, "interval"), Ref(s.name, "p")
    cells = (s.kind, s.missing, s.citation, people, interval, p, side)
    return Row(s.name, s.name, cells, depth=1)
