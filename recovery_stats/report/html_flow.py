"""The participant flow as boxes and arrows in HTML, a column for each arm from allocation on."""

from __future__ import annotations

from collections.abc import Iterable

from recovery_stats.core.document import Cell, Count, Flow, FlowLine, Hidden
from recovery_stats.report import words
from recovery_stats.report.flow_table import lines
from recovery_stats.report.numbers import cell
from recovery_stats.report.page import text as _text


def drawn(flow: Flow) -> str:
    """The boxes; of a trial first those of everybody, then beside each other those of the arms."""
    if not flow.arms:
        return _boxes(_box(flow, i) for i in range(len(flow.steps)))
    start = flow.allocation
    trunk = _boxes(_box(flow, i) for i in range(start + 1))
    arms = "\n".join(_arm(flow, a) for a in range(len(flow.arms)))
    columns = f"grid-template-columns:repeat({len(flow.arms)},minmax(0,1fr))"
    return (
        f'<div class="trial" role="group" aria-label="Participant flow">\n{trunk}\n'
        f'<div class="arms" style="{columns}">\n{arms}\n</div>\n</div>'
    )


def _boxes(items: Iterable[str]) -> str:
    return '<ol class="flow">\n' + "\n".join(items) + "\n</ol>"


def _box(flow: Flow, i: int) -> str:
    """One step of everybody: what went beside the arrow, what remained in the box."""
    label, kept, lost = flow.steps[i]
    people = flow.people[i] if i < len(flow.people) else None
    who = f", {cell(people)} people" if people is not None else ""
    box = f"<strong>{_text(words.with_unit(kept))}</strong>{_text(who)}"
    return f"<li>{_lost(lost)}<div>{box}<br>{_text(label)}</div></li>"


def _arm(flow: Flow, a: int) -> str:
    """The boxes of one arm, from its allocation to its analysis."""
    last = len(flow.steps) - 1
    items = [_arm_box(flow, i, a, last=last) for i in range(flow.allocation, last + 1)]
    return f'<div class="arm">\n{_boxes(items)}\n</div>'


def _arm_box(flow: Flow, i: int, a: int, *, last: int) -> str:
    kept, lost = flow.by_arm[i][a]
    first = i == flow.allocation
    said = [f"Allocated to “{flow.arms[a]}”" if first else flow.steps[i][0]]
    said += ["Analysed"] if i == last else []
    said += _told(lines(flow, i), a) if first else []
    body = "<br>".join(map(_text, said))
    beside = '<p class="arrow"></p>' if first else _lost(lost, _told(lines(flow, i), a))
    return f"<li>{beside}<div><strong>{_text(words.with_unit(kept))}</strong><br>{body}</div></li>"


def _told(found: Iterable[FlowLine], a: int) -> list[str]:
    """The lines of a step as far as they are of one arm; nothing of nobody."""
    cells = ((line.label, line.cells[a + 1]) for line in found)
    return [f"{label}: {_said(value)}" for label, value in cells if not _none(value)]


def _lost(lost: Cell, why: Iterable[str] = ()) -> str:
    """What went at this step, beside the arrow; nothing where nobody did."""
    if lost is None or _none(lost):
        return '<p class="arrow"></p>'
    withheld = isinstance(lost, Hidden) and not lost.below
    said = ["left out: withheld" if withheld else f"{_said(lost)} left out", *why]
    return f'<p class="arrow">{"<br>".join(map(_text, said))}</p>'


def _said(value: Cell) -> str:
    """A count, or in words what is known of one that is withheld."""
    return cell(value, "prose").strip("()")


def _none(value: Cell) -> bool:
    return isinstance(value, Count) and not value.n
