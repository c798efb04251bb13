"""Tables, figures and checks that both ways of asking about meetings share."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from recovery_stats.analyses._meeting_curves import Groups
from recovery_stats.analyses._meeting_groups import COUNTS, GROUP
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._missing_rows import NOT_ESTIMABLE, Attempt, why_not
from recovery_stats.analyses._wording import opening, plural
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, ForestFigure, Row, Table, Total
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.models.reshape import PERSON
from recovery_stats.models.summary import missing_table, table_one
from recovery_stats.models.survival import CoxFit

ANALYSED = "The people analysed, at entry"
MUCH_UNCOVERED = 0.1  # share of days at risk that the diary may leave unknown without a caution

# Runs of estimates by the head that stands above them.
Heads = Sequence[tuple[str, Sequence[str]]]


def ratio_table(
    name: str,
    caption: str,
    heads: Heads,
    named: Mapping[str, Estimate],
    notes: tuple[str, ...] = (),
    *,
    tested: bool = True,
    failed: Mapping[str, Attempt] | None = None,
) -> Table:
    """Hazard ratios under their heads; heads without an estimate are left out.

    tested: with p; without where another table tells it. failed: rows that were asked for and
    cannot be fitted; they stand as not estimable, the reasons below.
    """
    shown = ("value", "range", "p") if tested else ("value", "range")
    wanting = failed or {}
    rows: list[Row] = []
    for head, names in _present(heads, {*named, *wanting}):
        if head:
            rows.append(Row(f"head[{head}]", head))
        rows += [
            _unfitted(wanting[n], len(shown), int(bool(head)))
            if n in wanting
            else Row(n, named[n].label, tuple(Ref(n, p) for p in shown), int(bool(head)))
            for n in names
        ]
    columns = (Column("value", "HR"), Column("range", "CI"), Column("p", "p"))[: len(shown)]
    reasons = why_not([wanting[r.key] for r in rows if r.key in wanting])
    notes = ("HR: hazard ratio of relapse.", *notes, *reasons)
    return Table(name, caption, columns, tuple(rows), notes)


def _unfitted(attempt: Attempt, cells: int, depth: int) -> Row:
    return Row(
        attempt.name, attempt.label, (NOT_ESTIMABLE, *(None for _ in range(cells - 1))), depth
    )


def forest(heads: Heads, named: Mapping[str, Estimate]) -> ForestFigure:
    """The same runs as a figure."""
    present = _present(heads, named)
    rows: list[Ref] = []
    groups: list[tuple[int, str]] = []
    for head, names in present:
        groups.append((len(rows), head))
        rows += [Ref(n) for n in names]
    return ForestFigure(
        "forest",
        "Hazard ratio of relapse, asked in different ways",
        "Hazard ratio (below 1: rarer relapse)",
        tuple(rows),
        1.0,
        True,
        tuple(groups) if any(head for head, _ in present) else (),
    )


def _present(heads: Heads, named: Container[str]) -> list[tuple[str, list[str]]]:
    runs = [(head, [n for n in names if n in named]) for head, names in heads]
    return [(head, names) for head, names in runs if names]


def curve_table(groups: Groups) -> Table:
    """People, relapses, time at risk and rate by group.

    No medians: each is the day of somebody's relapse, which the curve does not tell.
    """
    rows = []
    for label in groups.labels:
        data = groups.of_group(label)
        years, events = groups.person_years(label), int(data.frame[EVENT].sum())
        cells: tuple[Cell, ...] = (
            Count(len(data)),
            Count(events, "events"),
            Quantity(years, n=len(data)),
            Quantity(100 * events / years, n=events) if years > 0 else None,
        )
        rows.append(Row(f"group[{label}]", label, cells))
    return Table(
        "curves_table",
        "Relapse by group",
        (
            Column("n", "People"),
            Column("events", "Relapses"),
            Column("years", "Person-years"),
            Column("rate", "Per 100 person-years"),
        ),
        tuple(rows),
        (),
        (),
        groups.data.label(GROUP),
    )


def share_table(groups: Groups, named: Mapping[str, Estimate]) -> Table:
    """Free of relapse at the horizon and mean time until it, by group; their difference."""
    rows = []
    for label in groups.labels:
        cells = tuple(_cell(f"{part}[{label}]", named) for part in ("free", "rmst"))
        rows.append(Row(f"group[{label}]", label, cells))
    if "free_difference" in named:
        ends = tuple(_cell(f"{part}_difference", named) for part in ("free", "rmst"))
        rows.append(Row("difference", f"{groups.most} minus {groups.least}", ends))
    return Table(
        "shares_table",
        "Free of relapse at the horizon",
        (Column("free", "Share"), Column("rmst", "Mean days until then")),
        tuple(rows),
        (
            "Kaplan–Meier with confidence intervals; the means are restricted to the horizon. "
            "Other events end observation: shares and means are those without them.",
        ),
        (),
        groups.data.label(GROUP),
    )


def _cell(name: str, named: Mapping[str, Estimate]) -> Cell:
    return Ref(name, "interval") if name in named else None


def proportionality_table(fit: CoxFit, labels: Mapping[str, str]) -> Table:
    """The score test for each term and for all together."""
    rows = [
        Row(
            str(row.term),
            labels.get(str(row.term), str(row.term)),
            (Quantity(row.chisq), Quantity(row.df, "df"), Quantity(row.p_value, "p")),
        )
        for row in fit.proportionality().itertuples(index=False)
    ]
    return Table(
        "proportionality",
        "Test that hazard ratios stay the same over time",
        (Column("chisq", "Chi-squared"), Column("df", "df"), Column("p", "p")),
        tuple(rows),
        ("Score test of Grambsch and Therneau, Kaplan–Meier transform of time.",),
    )


def people_table(asked: Asked, data: Dataset) -> Iterator[Table]:
    """Who was analysed, at entry; nothing where nothing is declared of them."""
    if described := _with_site(asked):
        yield table_one(data, described, caption=ANALYSED)


def groups_table(asked: Asked, data: Dataset, *, everyone: bool = False) -> Iterator[Table]:
    """Who is behind the curves, by group; nothing where nothing is declared of them.

    everyone: they are all who were analysed, so that no table of these goes before.
    """
    caption = ANALYSED if everyone else "The people behind the curves, at entry"
    if described := _with_site(asked) if everyone else asked.q.described:
        yield table_one(data, described, GROUP, name="table_groups", caption=caption)


def _with_site(asked: Asked) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*asked.q.described, *filter(None, (asked.q.site,)))))


def lost_table(asked: Asked, study: Study) -> Table:
    """Empty cells by reason in the file."""
    q = asked.q
    times = [q.time] if q.time else [q.entry_date, q.exit_date]
    columns = dict.fromkeys(c for c in (*times, asked.event, q.frequency, *q.adjust) if c)
    return missing_table(study["persons"], list(columns))


def attendance_table(
    at_risk: Dataset, known: Dataset, meeting_name: str, *, relapses: bool = True
) -> Table:
    """Share of the time at risk spent at each attendance in the seven days before.

    Relapses on days of unknown attendance have a row: whoever knows all relapses can subtract.
    relapses: False where an estimate is refused; relapses by attendance would be it, in the raw.
    """
    frame = known.frame
    days = frame["stop"] - frame["start"]
    ends = [low for low, _ in COUNTS[1:]] + [float("inf")]
    rows = []
    for (low, label), high in zip(COUNTS, ends, strict=True):
        inside = (frame["meetings_last7"] >= low) & (frame["meetings_last7"] < high)
        people = int(frame.loc[inside, PERSON].nunique())
        share = Quantity(float(days[inside].sum() / days.sum()), "percent", people)
        cells: tuple[Cell, ...] = (Count(people), share)
        if relapses:
            cells = (*cells, Count(int(frame.loc[inside, "event"].sum()), "events"))
        rows.append(Row(f"attended[{label}]", label, cells))
    parts = tuple(row.key for row in rows)
    seen, all_seen = int(frame["event"].sum()), int(at_risk.frame["event"].sum())
    totals: tuple[Total, ...] = ()
    if relapses and all_seen > seen:
        rows += [
            Row("known", "Attendance known", ("", "", Count(seen, "events"))),
            Row("unknown", "Attendance not known", ("", "", Count(all_seen - seen, "events"))),
            Row("all", "All relapses", ("", "", Count(all_seen, "events"))),
        ]
        totals = (Total("known", parts), Total("all", ("known", "unknown")))
    return Table(
        "attendance",
        "Attendance in the seven days before, over the time at risk",
        (
            Column("people", "People ever"),
            Column("share", "Share of days at risk"),
            *((Column("events", "Relapses"),) if relapses else ()),
        ),
        tuple(rows),
        (),
        totals,
        f"{opening(plural(meeting_name))} in 7 days",
    )


def covered(rows: Dataset, known: Dataset) -> float:
    """The share of the time at risk for which the diary tells attendance."""
    return person_years(known, "start", "stop") / person_years(rows, "start", "stop")


BEFORE_ENTRY = (
    " Days before entry (day 0) count as days without attendance unless some is recorded there, "
    "so that on the first six days at risk the seven days before are known in part only"
)


def coverage_check(rows: Dataset, known: Dataset, *, refused: bool = False) -> Check:
    """Whether the diary tells attendance for most of the time at risk, and what it cannot tell.

    refused: no model leaves anything out, so no relapses are told.
    """
    share = covered(rows, known)
    lost = int(rows.frame["event"].sum() - known.frame["event"].sum())
    out: tuple[Cell, ...] = (", and they are left out with ", Count(lost, "events"), " relapses.")
    rest: tuple[Cell, ...] = (".",) if refused else out
    row = "." if refused else "; the row from day 7 on does without those days."
    return Check(
        "diary coverage",
        "ok" if share > 1 - MUCH_UNCOVERED else "caution",
        (
            "From entry on the diary covers the seven days before for ",
            Quantity(share, "percent"),
            " of the days at risk; on the rest attendance is unknown, not zero",
            *rest,
            BEFORE_ENTRY + row,
        ),
    )


def day_zero_check(asked: Asked, study: Study) -> Iterator[Check]:
    """Relapses on the day of entry: no day before it could hold a meeting."""
    frame = study["persons"].frame
    if asked.q.time is None:
        return
    zero = int(((frame[asked.q.time] == 0) & (frame[asked.event] == 1)).sum())
    if zero:
        words = (
            " people relapsed on the day of entry. No day before it could be attended; they are in "
            "the flow and not in the models."
            if asked.diary
            else " people relapsed on the day of entry; they are kept, as events on day 0."
        )
        yield Check("events on day 0", "caution", (Count(zero), words), asked.q.time)


def late_entry(asked: Asked, data: Dataset) -> int:
    """How many people came under observation after day 0."""
    return int((data.frame[asked.q.entry] > 0).sum()) if asked.q.entry else 0


def person_years(data: Dataset, start: str, stop: str = TIME) -> float:
    return float((data.frame[stop] - data.frame[start]).sum()) / 365.25
