"""The participant flow: steps that lose few people are told together with the next."""

from __future__ import annotations

from dataclasses import dataclass

from recovery_stats.core.document import Cell, Count, Flow, Hidden
from recovery_stats.report.privacy.value import PUBLIC_UNITS, Value


@dataclass(frozen=True, slots=True)
class SafeFlow:
    """The flow to print, and the numbers it no longer tells, which must not stand elsewhere."""

    flow: Flow
    withheld: frozenset[Value]


def safe_flow(flow: Flow, minimum: int) -> SafeFlow:
    """Keep the steps that differ from the next kept one by none or by many, from the last up.

    The last step is the sample of every analysis, so it stays and earlier ones go; the first
    stays as a box without its number.
    """
    kept = _kept(flow, minimum)
    told = [i for i in range(len(flow.steps)) if i in kept]
    boxes = told if 0 in kept else [0, *told]
    steps = tuple(_step(flow, i, boxes, kept, minimum) for i in boxes)
    people = _people(flow, boxes, kept, minimum)
    gone = [i for i in range(len(flow.steps)) if i not in kept]
    lost = {j for i in gone for j in (i, i + 1) if j < len(flow.steps)}
    values = [_value(flow.steps[i][1]) for i in gone] + [_value(flow.steps[i][2]) for i in lost]
    who = [_value(cell) for i, cell in enumerate(flow.people) if not _stays(cell, i, boxes, people)]
    printed = {_value(cell) for cell in (*(kept for _, kept, _ in steps), *people)}
    telling = (v for v in (*values, *who) if v and v[0] >= minimum and v not in printed)
    return SafeFlow(Flow(steps, people), frozenset(telling))


def _kept(flow: Flow, minimum: int) -> set[int]:
    """Places of the steps whose number may be printed."""
    kept: set[int] = set()
    after: Value | None = None
    for i in reversed(range(len(flow.steps))):
        now = _value(flow.steps[i][1])
        if now is None:
            kept.add(i)
            continue
        same = after is not None and after[1] == now[1]
        lost = now[0] - after[0] if after is not None and same else 0
        if not 0 < lost < minimum:
            kept.add(i)
            after = now
    return kept


def _step(
    flow: Flow, i: int, boxes: list[int], kept: set[int], minimum: int
) -> tuple[str, Cell, Cell]:
    place = boxes.index(i)
    before = boxes[place - 1] if place else None
    first = 0 if before is None else before + 1
    label = "; ".join(flow.steps[j][0] for j in range(first, i + 1))
    if i not in kept:
        return label, Hidden(0), None
    return label, flow.steps[i][1], _lost(flow, before, i, kept, minimum)


def _lost(flow: Flow, before: int | None, i: int, kept: set[int], minimum: int) -> Cell:
    """What went between two boxes: the difference of their numbers."""
    if before is None:
        return None
    if before not in kept:
        return Hidden(minimum)
    a, b = _value(flow.steps[before][1]), _value(flow.steps[i][1])
    return Count(a[0] - b[0], b[1]) if a and b and a[1] == b[1] else None


def _people(flow: Flow, boxes: list[int], kept: set[int], minimum: int) -> tuple[Cell, ...]:
    """The persons behind each box, where they do not give away a small loss."""
    cells: list[Cell] = []
    after: int | None = None
    for i in reversed(boxes if flow.people else []):
        cell = flow.people[i]
        persons = cell.n if isinstance(cell, Count) else _persons(flow.steps[i][1])
        lost = persons - after if persons is not None and after is not None else 0
        hidden = i not in kept or 0 < abs(lost) < minimum
        cells.append(Hidden(0) if hidden and isinstance(cell, Count) else cell)
        after = after if hidden or persons is None else persons
    return tuple(reversed(cells))


def _persons(cell: Cell) -> int | None:
    return cell.n if isinstance(cell, Count) and cell.unit == "people" else None


def _stays(cell: Cell, i: int, boxes: list[int], people: tuple[Cell, ...]) -> bool:
    return i in boxes and people[boxes.index(i)] == cell


def _value(cell: Cell) -> Value | None:
    if isinstance(cell, Count) and cell.unit not in PUBLIC_UNITS:
        return (cell.n, cell.unit)
    return None
