"""The participant flow: steps that lose few people are told together with the next.

The arms of a trial are told at those steps between which no arm lost a few. Between two of them
every arm lost none or many, and so did all arms at each step, so that what an arm lost at a step
without its arms has at least as many possible values as the smallest count shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from recovery_stats.core.cell import Cell, Count, Hidden
from recovery_stats.core.document import Flow, FlowLine
from recovery_stats.report.privacy.value import PUBLIC_UNITS, Value

NOTHING: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SafeFlow:
    """The flow to print, and the numbers it no longer tells, which must not stand elsewhere."""

    flow: Flow
    withheld: frozenset[Value]


def safe_flow(flow: Flow, minimum: int, tables: Mapping[int, int] = NOTHING) -> SafeFlow:
    """Keep the steps that differ from the next kept one by none or by many, from the last up.

    The last step is the sample of every analysis, so it stays and earlier ones go; the first
    stays as a box without its number. tables: how often they print a number, which decides
    the step whose arms stay.
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
    split = _split(flow, kept, minimum, tables)
    by_arm = tuple(_arms(flow, i, boxes, split) for i in boxes) if flow.arms else ()
    printed |= {_value(cell) for arms in by_arm for pair in arms for cell in pair}
    values += [_value(cell) for cell in _gone_by_arm(flow, split)]
    telling = (v for v in (*values, *who) if v and v[0] >= minimum and v not in printed)
    within = tuple(_within(flow, i, boxes, split) for i in boxes) if flow.arms else ()
    safe = Flow(steps, people, flow.arms, by_arm, within, flow.drawn)
    return SafeFlow(safe, frozenset(telling))


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


# --- the arms of a trial -----------------------------------------------------------------


def _split(flow: Flow, kept: set[int], minimum: int, tables: Mapping[int, int]) -> set[int]:
    """Places of the steps whose arms may be printed: up and down from the one that tables tell."""
    able = [
        i
        for i in sorted(kept)
        if i >= flow.allocation and all(n == 0 or n >= minimum for n in _sizes(flow, i))
    ]
    if not able:
        return set()
    anchor = max(able, key=lambda i: (sum(tables.get(n, 0) for n in _sizes(flow, i)), i))
    found = {anchor}
    for order in (able[able.index(anchor) :], able[: able.index(anchor) + 1][::-1]):
        last = anchor
        for i in order[1:]:
            pairs = zip(_sizes(flow, last), _sizes(flow, i), strict=True)
            if not any(0 < abs(a - b) < minimum for a, b in pairs):
                found.add(i)
                last = i
    return found


def _sizes(flow: Flow, i: int) -> list[int]:
    """How many each arm had after step `i`."""
    return [cell.n for cell, _ in flow.by_arm[i] if isinstance(cell, Count)]


def _arms(flow: Flow, i: int, boxes: list[int], split: set[int]) -> tuple[tuple[Cell, Cell], ...]:
    """What each arm had at a box, and what it lost since the box before."""
    if i < flow.allocation:
        return ()
    before = boxes[boxes.index(i) - 1] if boxes.index(i) else None
    first = before is None or before < flow.allocation
    found: list[tuple[Cell, Cell]] = []
    for a, (left, _) in enumerate(flow.by_arm[i]):
        told = left if i in split else Hidden(0)
        lost: Cell = None if first else Hidden(0)
        if before in split and i in split and isinstance(left, Count):
            lost = Count(_sizes(flow, before)[a] - left.n, left.unit)
        found.append((told, lost))
    return tuple(found)


def _within(flow: Flow, i: int, boxes: list[int], split: set[int]) -> tuple[FlowLine, ...]:
    """The lines of a box that is one step, between boxes whose arms are told."""
    alone = i == 0 or i - 1 in boxes
    told = i in split and (i == flow.allocation or i - 1 in split)
    return flow.within[i] if alone and told else ()


def _gone_by_arm(flow: Flow, split: set[int]) -> Iterator[Cell]:
    """The numbers of arms that the flow no longer tells: what they had, and what they lost."""
    for i, arms in enumerate(flow.by_arm):
        for left, lost in arms:
            if i not in split:
                yield left
            if not {i - 1, i} <= split:
                yield lost
