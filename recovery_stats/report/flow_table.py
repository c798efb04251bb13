"""The participant flow as a table: a row a step, arms or groups of exposure beside each other."""

from __future__ import annotations

from recovery_stats.core.cell import Cell, Count
from recovery_stats.core.document import Column, Flow, FlowLine, Row, Table

CAPTION = "Participant flow"
KEPT, LOST = "Remaining", "Left out"


def table(flow: Flow) -> Table:
    """Remaining and left out at each step, of all and, where people were drawn, of each arm."""
    groups = ("All", *flow.arms) if flow.arms else ("",)
    columns = [
        Column(key if not g else f"{key}_{g}", label, group)
        for g, group in enumerate(groups)
        for key, label in (("kept", KEPT), ("lost", LOST))
    ]
    columns += [Column("people", "People")] * bool(flow.people)
    rows = [row for i in range(len(flow.steps)) for row in _rows(flow, i)]
    return Table("flow", CAPTION, tuple(columns), tuple(rows), _notes(flow), stub="Step")


def lines(flow: Flow, i: int) -> tuple[FlowLine, ...]:
    """Who of step `i` received what, or why people left at it."""
    return flow.within[i] if flow.within else ()


def _rows(flow: Flow, i: int) -> list[Row]:
    label, kept, lost = flow.steps[i]
    by_arm = flow.by_arm[i] if flow.by_arm else ()
    cells: list[Cell] = [kept, lost]
    cells += [c for pair in by_arm for c in pair] if by_arm else [None] * 2 * len(flow.arms)
    cells += [flow.people[i]] if flow.people else []
    own = [Row(f"step_{i + 1:02d}", label, tuple(cells))]
    return own + [
        Row(f"step_{i + 1:02d}.{k}", line.label, _placed(flow, i, line), 1)
        for k, line in enumerate(lines(flow, i), 1)
    ]


def _placed(flow: Flow, i: int, line: FlowLine) -> tuple[Cell, ...]:
    """The cells of a line under what they are some of: those who remained, or those who left."""
    left = i == flow.allocation
    return tuple(c for cell in line.cells for c in ((cell, None) if left else (None, cell)))


def _notes(flow: Flow) -> tuple[str, ...]:
    """What the steps count, where it is one thing."""
    units = {c.unit for _, c, _ in flow.steps if isinstance(c, Count)}
    return (*((f"Numbers of {units.pop()}.",) if len(units) == 1 else ()), *flow.notes)
