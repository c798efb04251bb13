"""Document to `results.json`: one row a statistic, at full precision.

It is written from what disclosure control left, so it holds nothing that the report hides,
and everything the report prints is a function of it. No times, no paths.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Shown, Spread
from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    Document,
    Figure,
    Flow,
    Heading,
    Paragraph,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.report import figure_data
from recovery_stats.report.interval import statistic
from recovery_stats.report.words import clean

Value = float | int | str | None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a statistic stands: table or figure, row, column."""

    group: str
    variable: str
    level: str


@dataclass(frozen=True, slots=True)
class Statistic:
    """One row of results.json; `value` is None where the number does not exist or is hidden."""

    analysis: str
    group: str
    variable: str
    level: str
    statistic: str
    value: Value
    method: str = ""
    n: int | None = None


def rows(document: Document) -> list[Statistic]:
    """Every statistic of `document`, sorted by group, variable, level and statistic."""
    found = [
        Statistic(document.analysis, place.group, place.variable, place.level, *named)
        for place, cell in _cells(document)
        for named in _statistics(cell)
    ]
    found += [
        Statistic(document.analysis, "estimates", e.name, e.level, *named)
        for e in document.estimates
        for named in _estimate(e)
    ]
    return sorted(found, key=lambda row: tuple(map(str, astuple(row)[:5])))


def render(document: Document) -> bytes:
    """JSON with one statistic a line, so that a change of one number is a change of one line."""
    lines = [
        json.dumps(_record(row), ensure_ascii=False, allow_nan=False) for row in rows(document)
    ]
    body = ",\n".join(lines)
    return f"[\n{body}\n]\n".encode() if lines else b"[]\n"


def _record(row: Statistic) -> dict[str, Value]:
    return {
        "analysis": row.analysis,
        "group": row.group,
        "variable": clean(row.variable),
        "level": clean(row.level),
        "statistic": row.statistic,
        "value": row.value,
        "method": row.method,
        "n": row.n,
    }


# --- where the cells are -----------------------------------------------------------------


def _cells(document: Document) -> Iterator[tuple[Place, Cell]]:
    heading, in_section = "", 0
    for block in document.blocks:
        if isinstance(block, Heading):
            heading, in_section = block.text, 0
        for place, cell in _block(block, heading, in_section):
            if place.group == "text":
                in_section += 1
            yield place, cell


def _block(  # noqa: C901 (one case for each block)
    block: Block, heading: str, start: int
) -> Iterator[tuple[Place, Cell]]:
    match block:
        case Paragraph(parts):
            yield from _prose(parts, heading, start)
        case Bullets(items):
            yield from _prose([part for item in items for part in item], heading, start)
        case Table():
            yield from _table(block)
        case Flow():
            yield from _flow(block)
        case Checks(checks):
            for i, check in enumerate(checks, 1):
                where = f"{i:02d} {check.name}"
                yield Place("checks", where, check.about), check.verdict
                for place, cell in _prose(check.parts, where, 0):
                    yield Place("checks", where, f"{check.about} {place.level}".strip()), cell
        case _ if isinstance(block, Figure):
            yield from _table(figure_data.table(block))


def _prose(parts: object, heading: str, start: int) -> Iterator[tuple[Place, Cell]]:
    assert isinstance(parts, tuple | list)
    numbers = [part for part in parts if not isinstance(part, str)]
    for i, part in enumerate(numbers, start + 1):
        yield Place("text", heading, f"{i:03d}"), part


def _table(table: Table) -> Iterator[tuple[Place, Cell]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=False):
            if not isinstance(cell, str):
                yield Place(table.name, row.key, column.key), cell


def _flow(flow: Flow) -> Iterator[tuple[Place, Cell]]:
    people = flow.people or (None,) * len(flow.steps)
    for i, ((label, kept, lost), persons) in enumerate(zip(flow.steps, people, strict=True), 1):
        step = f"{i:02d} {label}"
        yield Place("flow", step, "kept"), kept
        yield Place("flow", step, "lost"), lost
        yield Place("flow", step, "people"), persons
    if flow.arms:
        yield from _arms(flow)


def _arms(flow: Flow) -> Iterator[tuple[Place, Cell]]:
    """What each arm of a trial had and lost at each step, and the lines within it."""
    for i, (label, _, _) in enumerate(flow.steps):
        step = f"{i + 1:02d} {label}"
        for name, (kept, lost) in zip(flow.arms, flow.by_arm[i], strict=False):
            yield Place("flow", step, f"{name}: kept"), kept
            yield Place("flow", step, f"{name}: lost"), lost
        for line in flow.within[i]:
            for name, cell in zip(("all", *flow.arms), line.cells, strict=True):
                yield Place("flow", f"{step}: {line.label}", name), cell


# --- what a cell holds -------------------------------------------------------------------

_Named = tuple[str, Value, str, int | None]  # statistic, value, method, n


def _statistics(cell: Cell) -> list[_Named]:  # noqa: PLR0911 (one case for each cell)
    match cell:
        case Count(n):
            return [("count", n, "", None)]
        case Share(n, of):
            share = n / of if of else math.nan
            return [("count", n, "", of), ("proportion", _json(share), "", of)]
        case Spread(mean, sd):  # its n is not printed: beside a total it tells who is missing
            return [("mean", _json(mean), "", None), ("sd", _json(sd), "", None)]
        case Quantity(value, style):
            return [(style, _json(value), "", None)]
        case Hidden(below):
            return [("hidden", f"< {below}" if below else "withheld", "", None)]
        case Shown(estimate, part):
            return [row for row in _estimate(estimate) if row[0] in _PARTS[part]]
        case str():
            return [("verdict", cell, "", None)]
        case _:
            return []


_INTERVAL = ("estimate", "conf_low", "conf_high")
_PARTS: dict[str, tuple[str, ...]] = {
    "value": ("estimate",),
    "low": ("conf_low",),
    "high": ("conf_high",),
    "interval": _INTERVAL,
    "range": ("conf_low", "conf_high"),
    "per_100": _INTERVAL,
    "full": (*_INTERVAL, "p_value"),
    "se": ("std_error",),
    "df": ("df",),
    "p": ("p_value",),
    "statistic": ("statistic",),
    "label": (),
}


def _estimate(e: Estimate) -> list[_Named]:
    numbers = {
        "estimate": e.value,
        "conf_low": e.low,
        "conf_high": e.high,
        "std_error": e.se,
        "statistic": statistic(e),
        "df": e.df,
        "p_value": e.p,
    }
    rows: list[_Named] = [(k, _json(v), e.method, e.n) for k, v in numbers.items()]
    if e.events is not None:
        rows.append(("events", e.events, e.method, e.n))
    return rows


def _json(value: float) -> Value:
    """A JSON number; JSON has no infinity, and no number that is not one."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(value)
