"""The participant flow as boxes and arrows in HTML, a column for each arm from allocation on."""

from __future__ import annotations

from collections.abc import Iterable

from recovery_stats.core.document import Flow
from recovery_stats.report import flow_box
from recovery_stats.report.flow_box import FlowBox
from recovery_stats.report.page import text as _text


def drawn(flow: Flow) -> str:
    """The boxes; of a trial first those of everybody, then beside each other those of the arms."""
    trunk = _boxes(flow_box.trunk(flow))
    if not flow.arms:
        return trunk
    arms = (_boxes(flow_box.arm(flow, a)) for a in range(len(flow.arms)))
    columns = f"grid-template-columns:repeat({len(flow.arms)},minmax(0,1fr))"
    inner = "\n".join(f'<div class="arm">\n{boxes}\n</div>' for boxes in arms)
    return (
        f'<div class="trial" role="group" aria-label="Participant flow">\n{trunk}\n'
        f'<div class="arms" style="{columns}">\n{inner}\n</div>\n</div>'
    )


def _boxes(boxes: Iterable[FlowBox]) -> str:
    return '<ol class="flow">\n' + "\n".join(map(_box, boxes)) + "\n</ol>"


def _box(box: FlowBox) -> str:
    """What went beside the arrow, what remained in the box."""
    number, _, people = box.number.partition(", ")
    head = f"<strong>{_text(number)}</strong>" + (_text(f", {people}") if people else "")
    body = "<br>".join((head, *map(_text, box.said)))
    return f'<li><p class="arrow">{"<br>".join(map(_text, box.gone))}</p><div>{body}</div></li>'
