"""What ended observation: first events by cause, each with its own hazard and incidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.analyses._ending import refuse_disagreement
from recovery_stats.analyses._meeting_curves import between, marked_days
from recovery_stats.analyses._meeting_models import MAIN, Models, cause_specific
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.core.cell import Count, Ref
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, CurveFigure, Row, Series, Table, Total
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.survival import IncidenceCurves, cumulative_incidence

FEWEST_EVENTS = 20  # of a cause from which its hazard is compared; above any privacy minimum
CAUSE = "event of the cause"


@dataclass(frozen=True, slots=True)
class Causes:
    """Codes of the cause of the first event by label, 0 meaning none, and who had which."""

    column: str
    data: Dataset
    labels: dict[float, str]

    @classmethod
    def of(cls, asked: Asked, people: Dataset) -> Causes | None:
        """Read the cause; None without a column. DataError where it contradicts the event."""
        column = asked.q.cause
        if column is None:
            return None
        data = people.with_frame(people.frame[people.frame[column].notna()])
        refuse_disagreement(data, EVENT, column, asked.event)
        cause = data.frame[column]
        variable = data.variable(column)
        labels = {float(c): variable.level(float(c)) for c in sorted(cause.unique())}
        return cls(column, data, labels)

    @property
    def events(self) -> dict[float, str]:
        """The causes that are events."""
        return {code: label for code, label in self.labels.items() if code != 0}

    def count(self, code: float) -> int:
        return int((self.data.frame[self.column] == code).sum())


def cause_estimates(
    causes: Causes, found: Incidences | None, models: Models, horizon: float
) -> Iterator[Estimate]:
    """Cumulative incidence of each cause by the horizon, and its cause-specific hazard ratio."""
    yield from found.estimates(horizon) if found else ()
    for code, label in causes.events.items():
        if causes.count(code) < FEWEST_EVENTS:
            continue
        rows = _rows_of(models.rows, causes.column, code)
        try:
            fit = cause_specific(replace(models, rows=rows), CAUSE)
        except NotEstimable:
            continue
        yield fit.estimate(
            {MAIN: 1.0},
            name=f"hr_cause[{code:g}]",
            label=f"{label}: one more in the last 7 days",
            level=models.asked.q.level,
            rank="descriptive",
        )


def _rows_of(rows: Dataset, column: str, code: float) -> Dataset:
    """The same rows with this cause, on the last row of whoever had it, as the event."""
    frame = rows.frame
    happened = (frame[column] == code) & (frame["stop"] == frame[TIME])
    return rows.with_column(Variable(CAUSE), happened.astype(float))


@dataclass(frozen=True, slots=True)
class Incidences:
    """Aalen–Johansen from entry: the share that had each event first. codes: by cause's name."""

    causes: Causes
    curves: IncidenceCurves
    codes: dict[str, float]

    @classmethod
    def of(cls, causes: Causes, asked: Asked) -> Incidences | None:
        """None where nothing happened to anybody."""
        if not causes.events:
            return None
        numbers = {code: float(i) for i, code in enumerate(causes.events, 1)}
        values = causes.data.frame[causes.column].map(numbers).fillna(0.0)
        data = causes.data.with_column(Variable(CAUSE), values)
        data, entry = asked.custody.pieces(data, asked.person, asked.q.entry, TIME, (CAUSE,))
        times = f"{quote(entry)}, {quote(TIME)}" if entry else quote(TIME)
        formula = f"Surv({times}, {quote(CAUSE)}) ~ 1"
        curves = cumulative_incidence(formula, data, level=asked.q.level, weights=asked.q.weights)
        return cls(causes, curves, {f"{i:g}": code for code, i in numbers.items()})

    def estimates(self, horizon: float) -> Iterator[Estimate]:
        """The share that had each event first by the horizon."""
        table = self.curves.at([horizon]).set_index("cause")
        for number, code in self.codes.items():
            row = table.loc[number]
            if np.isfinite(row["estimate"]):
                yield Estimate(
                    f"incidence[{code:g}]",
                    f"{self.causes.labels[code]} first, by the horizon",
                    float(row["estimate"]),
                    float(row["conf_low"]),
                    float(row["conf_high"]),
                    float(row["std_error"]),
                    scale="probability",
                    level="descriptive",
                    method="Aalen–Johansen",
                    confidence=self.curves.level,
                    n=len(self.causes.data),
                    events=self.causes.count(code),
                )

    def figure(self, horizon: float) -> CurveFigure:
        """Every event's curve up to the horizon, over the number still without any."""
        series = (self._series(number, horizon) for number in self.codes)
        return CurveFigure(
            "causes_figure",
            "Cumulative incidence of each first event",
            "Days since entry",
            "Had this event first",
            tuple(series),
            marked_days(0.0, horizon),
            notes=(
                "Each event with the others possible (Aalen–Johansen). At risk: no event so far.",
            ),
            competing=True,
        )

    def _series(self, number: str, horizon: float) -> Series:
        (curve,) = self.curves.series(number)
        label = self.causes.labels[self.codes[number]]
        return replace(between(curve, 0.0, horizon), name=label)


def cause_table(causes: Causes, named: dict[str, Estimate]) -> Table:
    """Every first event: how many, by the horizon, and with attendance."""
    rows = [Row("all", "People", (Count(len(causes.data)), None, None))]
    for code, label in causes.labels.items():
        cells = (
            Ref(name, "interval") if name in named else None
            for name in (f"incidence[{code:g}]", f"hr_cause[{code:g}]")
        )
        title = label if code != 0 else "None until the end of observation"
        rows.append(Row(f"cause[{code:g}]", title, (Count(causes.count(code)), *cells), 1))
    return Table(
        "causes",
        "First event by cause",
        (
            Column("n", "People"),
            Column("incidence", "Share by the horizon"),
            Column("hr", "HR, one more in the last 7 days"),
        ),
        tuple(rows),
        (
            "Share: probability of this event first, the others being possible "
            "(Aalen–Johansen). HR: cause-specific hazard ratio from the main model, the other "
            f"events ending observation; not shown for fewer than {FEWEST_EVENTS} events.",
        ),
        (Total("all", tuple(r.key for r in rows[1:])),),
        "First event",
    )
