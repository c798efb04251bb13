"""The secondary family: every secondary test with its p-value and Holm's."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import numpy as np

from recovery_stats.analyses._meeting_groups import REFERENCE_GROUP
from recovery_stats.core.cell import Cell, Quantity, Ref
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.multiplicity import adjusted

# heads of the table, and how the names of the estimates under each begin
HEADS = (
    ("Sustained strategies", ("strategy_",)),
    ("Hazard ratio, one more a week", ("weekly_7", "weekly_14", "weekly_28", "frequency_beside")),
    (f"Hazard ratio, last 7 days against {REFERENCE_GROUP}", ("group[",)),
    ("Hazard ratio, time since the last", ("recency", "protection")),
    ("Under k a week", ("spaced_",)),
    ("One more a week for everyone", ("policy_", "marginal")),
    ("Others", ("",)),
)


def holm(estimates: Iterable[Estimate]) -> dict[str, float]:
    """Holm-adjusted p of each secondary estimate that is tested, by name."""
    tested = [e for e in estimates if e.level == "secondary" and isfinite(e.p)]
    p = adjusted(np.array([e.p for e in tested]), "holm") if tested else np.zeros(0)
    return {e.name: float(x) for e, x in zip(tested, p, strict=True)}


def family_table(estimates: Iterable[Estimate]) -> Table | None:
    """p as it is and adjusted, in the order of the report."""
    named = {e.name: e for e in estimates}
    found = holm(named.values())
    if not found:
        return None
    rows: list[Row] = []
    left = dict(found)
    for head, beginnings in HEADS:
        under = [name for name in left if name.startswith(beginnings)]
        if under:
            rows.append(Row(f"head[{head}]", head))
        for name in under:
            cells: tuple[Cell, ...] = (Ref(name, "p"), Quantity(left.pop(name), "p"))
            rows.append(Row(f"test[{name}]", named[name].label, cells, 1))
    return Table(
        "family",
        "Secondary tests, together",
        (Column("p", "p"), Column("holm", "Holm's p")),
        tuple(rows),
        (
            "The primary estimand stands alone and is not in this family. Holm's p holds for all "
            "of these together; the analyses under Sensitivity are no tests of their own.",
        ),
    )
