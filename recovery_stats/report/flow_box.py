"""What stands in the boxes of the participant flow and beside its arrows, for whoever draws it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recovery_stats.core.cell import Cell, Count, Hidden
from recovery_stats.core.document import Flow, FlowLine
from recovery_stats.report import words
from recovery_stats.report.flow_table import lines
from recovery_stats.report.numbers import cell


@dataclass(frozen=True, slots=True)
class FlowBox:
    """One box: how many, in bold, what they are, and what is said of those who went before it."""

    number: str
    said: tuple[str, ...]
    gone: tuple[str, ...] = ()


def trunk(flow: Flow) -> list[FlowBox]:
    """The boxes of everybody: all of them, or down to allocation where people are in arms."""
    return [_box(flow, i) for i in range(min(flow.allocation + 1, len(flow.steps)))]


def arm(flow: Flow, a: int) -> list[FlowBox]:
    """The boxes of one arm, from its allocation to its analysis."""
    return [_arm_box(flow, i, a) for i in range(flow.allocation, len(flow.steps))]


def alt_text(flow: Flow) -> str:
    """The boxes in words, arm by arm."""
    parts = ["Flow diagram of the participants", *_sentences(trunk(flow))]
    for a in range(len(flow.arms)):
        parts += _sentences(arm(flow, a))
    return ". ".join(parts) + "."


def _sentences(boxes: Sequence[FlowBox]) -> list[str]:
    return [
        sentence
        for box in boxes
        for sentence in (", ".join(box.gone), f"{box.number}: {', '.join(box.said)}")
        if sentence
    ]


def _box(flow: Flow, i: int) -> FlowBox:
    label, kept, lost = flow.steps[i]
    people = flow.people[i] if i < len(flow.people) else None
    who = f", {cell(people)} people" if people is not None else ""
    return FlowBox(words.with_unit(kept) + who, (label,), _lost(lost))


def _arm_box(flow: Flow, i: int, a: int) -> FlowBox:
    """A box of an arm; the first says of what it is, the last that these are analysed."""
    kept, lost = flow.by_arm[i][a]
    told = _told(lines(flow, i), a)
    last = ("Analysed",) if i == len(flow.steps) - 1 else ()
    if i == flow.allocation:
        into = "Allocated to" if flow.drawn else "In"
        said = (f"{into} “{flow.arms[a]}”", *told, *last)
        return FlowBox(words.with_unit(kept), said)
    return FlowBox(words.with_unit(kept), (flow.steps[i][0], *last), _lost(lost, told))


def _told(found: Iterable[FlowLine], a: int) -> list[str]:
    """The lines of a step as far as they are of one arm; nothing of nobody."""
    cells = ((line.label, line.cells[a + 1]) for line in found)
    return [f"{label}: {_said(value)}" for label, value in cells if not _none(value)]


def _lost(lost: Cell, why: Iterable[str] = ()) -> tuple[str, ...]:
    """What went at this step; nothing where nobody did."""
    if lost is None or _none(lost):
        return ()
    withheld = isinstance(lost, Hidden) and not lost.below
    return ("left out: withheld" if withheld else f"{_said(lost)} left out", *why)


def _said(value: Cell) -> str:
    """A count, or in words what is known of one that is withheld."""
    return cell(value, "prose").strip("()")


def _none(value: Cell) -> bool:
    return isinstance(value, Count) and not value.n
