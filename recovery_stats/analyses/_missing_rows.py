"""The table and the figure of the missing-data panel of any report, from rows with estimates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from recovery_stats.analyses._refusal import safely
from recovery_stats.core.cell import Ref
from recovery_stats.core.document import Column, ForestFigure, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import DataError, NotEstimable

NOT_TOLD = "does not apply"
NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the panel: an estimate's name, or a label with what stands instead of a number."""

    name: str
    group: str
    assumption: str
    label: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row asked for beside the declared one: its estimate, or why there is none, safely told."""

    name: str
    label: str
    estimate: Estimate | None = None
    reason: str = ""


def attempted(name: str, label: str, fitted: Callable[[], Estimate]) -> Attempt:
    """The estimate of `fitted` under this name, or the reason for which there is none."""
    try:
        return Attempt(name, label, replace(fitted(), name=name, label=label))
    except (NotEstimable, DataError) as reason:
        return Attempt(name, label, reason=safely(reason))


def why_not(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """The reasons of rows without a number, as notes below a table: one for each reason."""
    by_reason: dict[str, list[str]] = {}
    for attempt in attempts:
        by_reason.setdefault(attempt.reason, []).append(attempt.label)
    return tuple(
        f"{'; '.join(labels)} {'are' if len(labels) > 1 else 'is'} not estimable. {reason}"
        for reason, labels in by_reason.items()
    )


def refused(label: str, group: str, reason: str) -> Told:
    """A row that was asked for and cannot be given, with the reason (a sentence that is safe)."""
    return Told("", group, reason, label, NOT_ESTIMABLE)


def assumed_table(
    caption: str, heading: str, told: Sequence[Told], named: Mapping[str, Estimate], declared: str,
    notes: tuple[str, ...],
) -> Table:  # fmt: skip
    """The panel of any report: one row an assumption, in groups, the declared one marked."""
    rows: list[Row] = []
    for group in dict.fromkeys(t.group for t in told):
        rows.append(Row(group, group))
        rows += [_told_row(t, named, declared) for t in told if t.group == group]
    return Table(
        "missing_panel", caption,
        (Column("difference", heading), Column("p", "p"), Column("assumption", "It assumes")),
        tuple(rows), notes,
    )  # fmt: skip


def _told_row(told: Told, named: Mapping[str, Estimate], declared: str) -> Row:
    if told.instead:
        return Row(f"none[{told.label}]", told.label, (told.instead, None, told.assumption), 1)
    label = (told.label or named[told.name].label) + (" (declared)" * (told.name == declared))
    cells = (Ref(told.name, "interval"), Ref(told.name, "p"), told.assumption)
    return Row(told.name, label, cells, 1)


def assumed_forest(
    caption: str, axis: str, told: Sequence[Told], *, null: float = 0.0, log_x: bool = False
) -> ForestFigure:
    """The rows with a number, in the order given, headed by their groups."""
    shown = [t for t in told if not t.instead]
    heads = [(k, t.group) for k, t in enumerate(shown) if not k or shown[k - 1].group != t.group]
    return ForestFigure(
        "missing_forest", caption, axis, tuple(Ref(t.name) for t in shown), null=null,
        log_x=log_x, groups=tuple(heads),
    )  # fmt: skip
