"""Tables and figures of length of stay; they point at estimates, never embed them."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_stats.core.cell import Count, Quantity, Ref
from recovery_stats.core.document import (
    Column,
    Figure,
    ForestFigure,
    LineFigure,
    Row,
    Series,
    Table,
    Total,
)
from recovery_stats.models.residence_lags import History
from recovery_stats.models.strategy import StrategyFit

PARTS = (("interval", "Hazard ratio [CI]"), ("df", "df"), ("p", "p"))
STATES = {
    "never": "Not yet in a house",
    "in_house": "In a house",
    "left_recently": "Left within 30 days",
    "left_earlier": "Left earlier",
}
POINTS = ("time", "estimate", "conf_low", "conf_high")
UNIT = 10  # numbers of people rounded to this hide whether few or none left


def stay_tables(
    history: History, naive: str | None, fit: StrategyFit | None, months: tuple[int, ...]
) -> Iterator[Table]:
    """Person-time, ratios by lag with the naive one last, and the risks by time of leaving."""
    yield _time_table(history)
    names = [e.name for e in history.estimates] + ([naive] if naive else [])
    labels = {e.name: e.label for e in history.estimates}
    rows = [
        Row(n, labels.get(n, "Naive: stayed six months in all (known only later)"),
            tuple(Ref(n, part) for part, _ in PARTS))
        for n in names
    ]  # fmt: skip
    against = STATES[history.reference].lower()
    yield Table(
        "stay_hazards", "Rate of relapse by residence as known at the time",
        tuple(Column(p, label) for p, label in PARTS), tuple(rows),
        (f"Each state against: {against}. Adjusted like the hazard ratio of the arm. Secondary and "
         "sensitivity; the last row, where it is called naive, must not be used.",),
    )  # fmt: skip
    if fit:
        yield _leaving_table(fit, months)


def _time_table(history: History) -> Table:
    rows = [
        Row(row.state, STATES[row.state],
            (Quantity(float(row.days), "whole"), Count(int(row.events), "events")))
        for row in history.person_time.itertuples(index=False)
    ]  # fmt: skip
    total = history.person_time[["days", "events"]].sum()
    everything = (Quantity(float(total["days"]), "whole"), Count(int(total["events"]), "events"))
    rows.append(Row("all", "All", everything))
    return Table(
        "stay_time", "Days and relapses by residence on the day",
        (Column("days", "Person-days"), Column("events", "Relapses")), tuple(rows), (),
        (Total("all", tuple(STATES)),),
    )  # fmt: skip


def _leaving_table(fit: StrategyFit, months: tuple[int, ...]) -> Table:
    """Risks with the least effective number behind each, and the differences from the first."""
    first = months[0]
    rows = [
        Row(f"leave_{m}", f"Leave at {m} months", (
            Ref(f"leave_{m}", "interval"), None,
            Quantity(float(UNIT * round(arm.effective.min() / UNIT)), "whole",
                     int(arm.followed.min()))))
        for m, arm in zip(months, fit.arms, strict=True)
    ]  # fmt: skip
    rows += [
        Row(f"leave_{first}_{m}", f"{first} rather than {m} months", (
            Ref(f"leave_{first}_{m}", "interval"), Ref(f"leave_{first}_{m}", "p"), None))
        for m in months[1:]
    ]  # fmt: skip
    return Table(
        "leaving", "Risk of relapse if everyone who moved in had left at a set time",
        (Column("interval", "Risk or difference [CI]"), Column("p", "p"),
         Column("effective", "Least effective number")), tuple(rows),
        ("Effective number: people of equal weight who would tell as much; rounded to tens. "
         "Months of 30 days; up to 7 days in each may depart from the strategy.",),
    )  # fmt: skip


def stay_figures(history: History, naive: str | None) -> Iterator[Figure]:
    """The ratios of every lag on one scale, the naive one last."""
    names = [e.name for e in history.estimates] + ([naive] if naive else [])
    if names:
        yield ForestFigure(
            "stay_forest", "Rate of relapse by residence as known at the time",
            f"Hazard ratio against: {STATES[history.reference].lower()}",
            tuple(Ref(n) for n in names), null=1.0, log_x=True,
            notes=("The total known only later is shown because it is the custom of the field.",)
            if naive else (),
        )  # fmt: skip


def leaving_figure(fit: StrategyFit) -> Iterator[Figure]:
    """Risk of relapse by the end of each month under each time of leaving."""
    marks = fit.marks()
    series = []
    for arm, strategy in zip(fit.arms, fit.strategies, strict=True):
        part = marks[marks["strategy"] == strategy.name]
        x, y, low, high = ((0.0, *map(float, part[c])) for c in POINTS)
        n_at = (len(fit.people), *map(int, arm.followed[: len(part)]))
        series.append(Series(strategy.name.capitalize(), x, y, low, high, n_at))
    yield LineFigure(
        "leaving_risks", "Risk of relapse if everyone who moved in had left at a set time",
        "Days since moving in", "Risk of relapse", tuple(series),
        notes=("Points at the ends of months; bands are bootstrap percentiles.",),
    )  # fmt: skip
