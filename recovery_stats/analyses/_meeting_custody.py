"""Custody, as declared before the run: it competes with relapse, or it suspends the risk.

competing: whoever goes in ends observation with an event of its own. suspended: days inside are
no days at risk; people leave the risk set after going in and re-enter after the last day inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.custody import Spells

ENTRY, CAUSE, CHANGED = "day under observation", "first event", "changed by custody"
PIECE = "day at risk again"
IN, OUT = "day of going in", "day of release"
RELEASE = "releas"
WORDS = ("incarcer", "jail", "prison", "custod", "controlled env")
LABEL = "Incarceration"
# codes of CHANGED: what custody did to the follow-up of a person
LATER, ENDED, RESUMED, INSIDE = 1.0, 2.0, 3.0, 4.0


@dataclass(frozen=True, slots=True)
class Custody:
    """The rule, and spells where a table tells them."""

    rule: str
    spells: Spells | None

    @classmethod
    def of(cls, q: Any, study: Study) -> Custody:
        """Read the spells; UsageError where risk is to be suspended and no release is told."""
        if "spells" in study and q.custody_start is not None:
            table, columns = study["spells"], (q.custody_person, q.custody_start, q.custody_stop)
        elif q.custody == "suspended":
            table, columns = _of_events(q, study), (q.event_person, IN, OUT)
        else:
            return cls(q.custody, None)
        person, start, stop = columns
        return cls(q.custody, Spells.of(table, person=person, start=start, stop=stop))

    @property
    def suspended(self) -> bool:
        return self.rule == "suspended"

    @property
    def away(self) -> Spells | None:
        """The spells whose days are in no risk set."""
        return self.spells if self.suspended else None

    def at_risk(self, rows: Dataset, person: str, stop: str = "stop") -> Dataset:
        """Person-days without the days inside."""
        if self.spells is None:
            return rows
        inside = self.spells.covers(rows.frame[person], rows.frame[stop].to_numpy(float))
        return rows.with_frame(rows.frame[~inside]) if inside.any() else rows

    def pieces(
        self, data: Dataset, person: str, start: str | None, time: str, events: Sequence[str]
    ) -> tuple[Dataset, str | None]:
        """One row for each part of follow-up outside custody, and the column where it begins.

        What ended follow-up (`events`) stands on the row that reaches it and is 0 on the others.
        """
        if self.away is None:
            return data, start
        frame = data.frame
        begin = frame[start].to_numpy(float) if start else np.zeros(len(frame))
        stop = frame[time].to_numpy(float)
        who, first, last = self.away.outside(frame[person], begin, stop)
        parts = frame.iloc[who].reset_index(drop=True).assign(**{time: last})
        reached = last == stop[who]
        parts = parts.assign(**{e: parts[e].where(reached, 0.0) for e in events})
        made = data.with_frame(parts).with_column(Variable(PIECE, unit="days"), first)
        return made, PIECE


def _of_events(q: Any, study: Study) -> Dataset:
    """Spells from rows of going in and of release; UsageError where no release is told."""
    events = study.tables.get("events")
    if events is not None and q.event_day is not None and q.event_kind is not None:
        frame = events.frame[[q.event_person, q.event_day, q.event_kind]].dropna()
        kind = events.variable(q.event_kind)
        codes = sorted(map(float, frame[q.event_kind].unique()))
        goes_in = custody_codes(replace(q, custody_cause=""), kind, codes)
        out = [c for c in codes if RELEASE in kind.level(c).casefold()]
        goes_in = [c for c in goes_in if c not in out]
        if goes_in and out:
            return Dataset(_paired(q, frame, goes_in, out))
    raise UsageError(
        "Option 'custody' is \"suspended\", but nothing tells when people came out: name a table "
        "'spells' with person, 'start' and 'stop' (or one row a day inside), give the table of "
        'events rows of release, or declare custody = "competing".'
    )


def _paired(q: Any, frame: pd.DataFrame, goes_in: list[float], out: list[float]) -> pd.DataFrame:
    """Each going in with the first release of the person on that day or later."""
    frame = frame.sort_values(q.event_day, kind="stable")
    entries = frame[frame[q.event_kind].isin(goes_in)].rename(columns={q.event_day: IN})
    releases = frame[frame[q.event_kind].isin(out)].rename(columns={q.event_day: OUT})
    paired = pd.merge_asof(
        entries[[q.event_person, IN]], releases[[q.event_person, OUT]], left_on=IN, right_on=OUT,
        by=q.event_person, direction="forward",
    )  # fmt: skip
    return paired.set_axis(range(1, len(paired) + 1))


def named(q: Any, custody: Custody) -> Any:
    """The question with columns for entry and cause, which custody may have to change."""
    if custody.spells is None:
        return q
    return replace(q, entry=q.entry or ENTRY, cause=q.cause or CAUSE)


def with_columns(q: Any, custody: Custody, data: Dataset) -> Dataset:
    """Entry at day 0 and no cause but the event, where the file has no such columns."""
    if custody.spells is None:
        return data
    if q.entry == ENTRY:
        data = data.with_column(Variable(ENTRY, unit="days"), 0.0)
    if q.cause == CAUSE:
        values: dict[float | str, str] = {0.0: "None", 1.0: "Relapse"}
        data = data.with_column(Variable(CAUSE, values=values), data.frame[q.event].astype(float))
    return data


def custody_codes(q: Any, variable: Variable, codes: Sequence[float]) -> list[float]:
    """The codes of a column of causes that mean custody."""
    names = {code: variable.level(code) for code in codes}
    if q.custody_cause:
        found = [c for c, n in names.items() if q.custody_cause in (n, f"{c:g}")]
        if not found and names:
            raise UsageError(unknown("cause", q.custody_cause, names.values()))
        return found
    return [c for c, n in names.items() if any(w in n.casefold() for w in WORDS)]


# --- what is told ---------------------------------------------------------------------------------


def custody_checks(
    custody: Custody, people: Dataset, person: str, start: str | None, time: str
) -> Iterator[Check]:
    """What the spells did to the follow-up, counted by rule."""
    if custody.spells is None:
        return
    frame = people.frame
    begin = frame[start].to_numpy(float) if start else np.zeros(len(frame))
    stop = frame[time].to_numpy(float)
    who, first, last = custody.spells.outside(frame[person], begin, stop)
    outside = np.bincount(who, last - first, len(frame))
    parts: list[Cell] = [
        "Spells in custody are known of ",
        Count(int(frame[person].isin(custody.spells.key).sum())),
        " people. Inside at entry, and at risk from release: ",
        Count(_how_many(frame, LATER)),
    ]
    if custody.suspended:
        parts += [
            ". Out of the risk set while inside, and in it again afterwards: ",
            Count(int((np.bincount(who, minlength=len(frame)) > 1).sum())),
            " people; not at risk for that reason: ",
            Quantity(float((stop - begin - outside).sum() / (stop - begin).sum()), "percent"),
            " of the days. Followed on after the file had ended with custody: ",
            Count(_how_many(frame, RESUMED)),
            ". Relapses dated inside, where observation ends on going in: ",
            Count(_how_many(frame, INSIDE), "events"),
        ]
    else:
        parts += [". Ended observation by going in first: ", Count(_how_many(frame, ENDED))]
    inside = _how_many(frame, INSIDE) > 0
    yield Check("custody", "caution" if inside else "ok", (*parts, "."))


def _how_many(frame: pd.DataFrame, code: float) -> int:
    return int((frame[CHANGED] == code).sum())


def custody_said(q: Any, custody: Custody) -> dict[str, bool]:
    """Conditions of the sentences; nothing is said where no custody is known of."""
    known = custody.spells is not None or q.cause is not None
    return {
        "custody_competes": known and not custody.suspended,
        "custody_suspends": known and custody.suspended,
        "custody_spells": custody.spells is not None,
    }
