"""Later landmarks: who was still free of relapse then, by attendance until then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from recovery_stats.analyses._meeting_curves import Groups, curve_estimates
from recovery_stats.analyses._meeting_groups import LANDMARK_GROUPS
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._meeting_rows import landmark_data
from recovery_stats.core.cell import Cell, Count, Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table, Total
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable

UNKNOWN = "Not estimable: of those left then, too few attended much or little to compare."
DAYS = (28, 56, 84)  # weeks 4, 8 and 12
MOST, LEAST = LANDMARK_GROUPS[-1][1], LANDMARK_GROUPS[0][1]
TOLD = ("free[", "rmst[", "free_difference", "rmst_difference", "logrank")


def landmark_groups(asked: Asked, study: Study, people: Dataset) -> Groups | None:
    """Curves by attendance before the landmark of the question; None where they would be empty."""
    data = landmark_data(asked, study, people)
    if data is None:
        return None
    groups = Groups.of(asked, data, MOST, LEAST, "landmark")
    return groups if groups.horizon > groups.begin else None


def landmark_flow(people: Dataset, groups: Groups) -> Table:
    """From the people of the report to the groups at the landmark: who went, and why."""
    q, frame = groups.asked.q, people.frame
    day = q.landmark
    over, relapsed = frame[TIME] <= day, frame[EVENT] == 1
    late = ~over & (frame[q.entry] >= day if q.entry else False)
    left = {
        "relapsed": (f"Relapsed by day {day}", int((over & relapsed).sum())),
        "ended": (f"Observation ended otherwise by day {day}", int((over & ~relapsed).sum())),
        "late": (f"Came under observation on day {day} or later", int(late.sum())),
        "unknown": (
            "Attendance until then not known",
            int((~over & ~late).sum()) - len(groups.data),
        ),
    }
    sizes = {label: len(groups.of_group(label)) for label in groups.labels}
    rows = (
        Row("people", "People analysed", (Count(len(people)),)),
        *(Row(key, label, (Count(n),), 1) for key, (label, n) in left.items()),
        Row("in_groups", f"In a group at day {day}", (Count(len(groups.data)),), 1),
        *(Row(f"in[{label}]", label, (Count(n),), 2) for label, n in sizes.items()),
    )
    return Table(
        "group_flow",
        "From the people analysed to the groups of the curves",
        (Column("n", "People"),),
        rows,
        ("Attendance until the landmark makes the groups, so that nobody is in one before it.",),
        (
            Total("people", (*left, "in_groups")),
            Total("in_groups", tuple(f"in[{label}]" for label in sizes)),
        ),
    )


@dataclass(frozen=True, slots=True)
class Later:
    """The curves at the landmarks of weeks 4, 8 and 12 but the one of the question, by day; None
    where those left cannot be told apart."""

    groups: dict[int, Groups | None]

    @property
    def known(self) -> dict[int, Groups]:
        """The landmarks with curves."""
        return {day: groups for day, groups in self.groups.items() if groups is not None}

    @classmethod
    def of(cls, asked: Asked, study: Study, people: Dataset) -> Later:
        found: dict[int, Groups | None] = {}
        for day in DAYS:
            if day == asked.q.landmark or day >= asked.q.horizon:
                continue
            there = replace(asked, q=replace(asked.q, landmark=day))
            try:
                found[day] = landmark_groups(there, study, people)
            except NotEstimable:
                found[day] = None
        return cls(found)


def later_estimates(later: Later) -> Iterator[Estimate]:
    """As at the first landmark, with the day in the name."""
    for day, groups in later.known.items():
        for e in curve_estimates(groups):
            if e.name.startswith(TOLD):
                yield replace(e, name=f"day_{day}_{e.name}", label=f"{e.label}, from day {day}")


def later_table(later: Later, named: dict[str, Estimate]) -> Table | None:
    """Share free at the horizon and mean days, by group, one block for each landmark."""
    rows: list[Row] = []
    for day, groups in later.groups.items():
        head = f"Free of relapse at week {day // 7}"
        if groups is None:
            rows.append(Row(f"head[{day}]", f"{head}: not estimable"))
            continue
        rows.append(Row(f"head[{day}]", head))
        rows += [
            Row(f"group[{day}][{label}]", label, _cells(day, f"[{label}]", named), 1)
            for label in groups.labels
        ]
        if f"day_{day}_free_difference" in named:
            words = f"{groups.most} minus {groups.least}"
            rows.append(Row(f"difference[{day}]", words, _cells(day, "_difference", named), 1))
    if not rows:
        return None
    return Table(
        "landmarks",
        "Free of relapse at the horizon, from later landmarks",
        (Column("free", "Share"), Column("rmst", "Mean days until then")),
        tuple(rows),
        (
            "Attendance a week from entry to the landmark. A later landmark keeps only those who "
            "got so far, so its groups differ from earlier ones in more than attendance.",
            *((UNKNOWN,) if len(later.known) < len(later.groups) else ()),
        ),
        (),
        "Attended a week",
    )


def _cells(day: int, end: str, named: dict[str, Estimate]) -> tuple[Cell, ...]:
    names = (f"day_{day}_{part}{end}" for part in ("free", "rmst"))
    return tuple(Ref(n, "interval") if n in named else None for n in names)
