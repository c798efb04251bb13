"""What spells in custody do to follow-up: later entries, ends, risk taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._meeting_custody import (
    CHANGED,
    ENDED,
    INSIDE,
    LABEL,
    LATER,
    RESUMED,
    Custody,
    custody_codes,
)
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.models.custody import Spells


def held_by(q: Any, custody: Custody, study: Study, data: Dataset, time: str) -> Dataset:
    """Follow-up as the rule has it: later entries, ends by custody, or risk taken up again."""
    if custody.spells is None:
        return data
    data = data.with_column(Variable(CHANGED), 0.0)
    if custody.suspended:
        data = _resumed(q, study, data, time)
    data = _released(q, custody.spells, data, time)
    return (_not_inside if custody.suspended else _ended)(q, custody.spells, data, time)


def _released(q: Any, spells: Spells, data: Dataset, time: str) -> Dataset:
    """Whoever is inside at entry comes under observation on release; not at all if that is late."""
    frame = data.frame
    entry = frame[q.entry].to_numpy(float)
    at = spells.spell_of(frame[q.person], np.floor(entry) + 1.0)
    if not (at >= 0).any():
        return data
    begins = np.where(at >= 0, spells.last[at], entry)
    data = data.with_column(data.variable(q.entry), begins)
    data = _marked(data, at >= 0, LATER)
    kept = begins < frame[time].to_numpy(float)
    if kept.all():
        return data
    return data.keep(kept, "Out of custody before observation ended", unit="people")


def _ended(q: Any, spells: Spells, data: Dataset, time: str) -> Dataset:
    """Going in before anything else is the first event."""
    frame = data.frame
    goes = spells.next_after(frame[q.person], frame[q.entry].to_numpy(float))
    taken = goes < frame[time].to_numpy(float)
    if not taken.any():
        return data
    cause = data.variable(q.cause)
    code, cause = _code(q, cause, frame[q.cause])
    data = data.with_column(cause, frame[q.cause].where(~taken, code))
    data = data.with_column(data.variable(q.event), frame[q.event].where(~taken, 0.0))
    data = data.with_column(data.variable(time), frame[time].where(~taken, goes))
    return _marked(data, taken, ENDED)


def _code(q: Any, cause: Variable, values: pd.Series[Any]) -> tuple[float, Variable]:
    """The code of custody among the causes, a new one with its label where there is none."""
    codes = sorted({*map(float, cause.values), *map(float, values.dropna().unique())})
    found = custody_codes(replace(q, custody_cause=""), cause, codes)
    if found:
        return found[0], cause
    code = max(codes, default=0.0) + 1.0
    return code, replace(cause, values={**cause.values, code: LABEL})


def _not_inside(q: Any, spells: Spells, data: Dataset, time: str) -> Dataset:
    """A relapse inside is none of the risk outside: observation ends on the day of going in."""
    frame = data.frame
    at = spells.spell_of(frame[q.person], frame[time].to_numpy(float))
    inside = at >= 0
    if not inside.any():
        return data
    relapsed = inside & (frame[q.event] == 1).to_numpy()
    begins = np.where(inside, spells.first[at], frame[time])
    data = data.with_column(data.variable(time), begins)
    data = data.with_column(data.variable(q.event), frame[q.event].where(~relapsed, 0.0))
    data = data.with_column(data.variable(q.cause), frame[q.cause].where(~relapsed, 0.0))
    return _marked(data, relapsed, INSIDE)


def _resumed(q: Any, study: Study, data: Dataset, time: str) -> Dataset:
    """Who ended by going in goes on to the next entry in the table of events, where there is one.

    An end of the same name as a cause has that cause; any other is the end of observation.
    """
    frame, cause = data.frame, data.variable(q.cause)
    values = frame[q.cause]
    codes = custody_codes(q, cause, sorted(map(float, values.dropna().unique())))
    ended = values.isin(codes)
    if not ended.any() or "events" not in study or q.event_day is None or q.event_kind is None:
        return data
    events = study["events"]
    kind = events.variable(q.event_kind)
    known = {cause.level(c).casefold(): c for c in map(float, cause.values)}
    table = events.frame[[q.event_person, q.event_day, q.event_kind]].dropna()
    code = [known.get(kind.level(k).casefold(), 0.0) for k in table[q.event_kind].astype(float)]
    table = table.assign(code=code)
    since = table[q.event_person].map(frame[ended].set_index(q.person)[time])
    table = table[(table[q.event_day] > since) & ~table["code"].isin(codes)]
    table = table.sort_values([q.event_person, q.event_day], kind="stable")
    after = table.drop_duplicates(q.event_person).set_index(q.event_person)
    on = ended & frame[q.person].isin(after.index)
    relapse = float(values[frame[q.event] == 1].iloc[0]) if (frame[q.event] == 1).any() else 1.0
    days, found = (frame[q.person].map(after[c]) for c in (q.event_day, "code"))
    data = data.with_column(data.variable(time), frame[time].where(~on, days))
    data = data.with_column(data.variable(q.cause), values.where(~on, found))
    happened = (found == relapse).astype(float)
    data = data.with_column(data.variable(q.event), frame[q.event].where(~on, happened))
    return _marked(data, on.to_numpy(), RESUMED)


def _marked(data: Dataset, rows: Any, code: float) -> Dataset:
    frame = data.frame
    return data.with_column(Variable(CHANGED), frame[CHANGED].where(~np.asarray(rows), code))
