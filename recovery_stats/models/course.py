"""People cut into blocks of days, with attendance in each and what was known at its start.

    people = courses(persons, person="pid", stop="t_relapse", event="relapse", meetings=diary, ...)

What `strategy.sustained` compares strategies on, and `policy.marginal_structural` fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.strategy_course import Course
from recovery_stats.errors import DataError
from recovery_stats.models.columns import Array, IntArray, Mask
from recovery_stats.models.custody import Spells
from recovery_stats.models.follow_up import People, Records, read_days, read_meetings, read_stays
from recovery_stats.models.history import changes_of, history_of

BLOCK = 28


@dataclass(frozen=True)
class Courses:
    """People with their blocks; see `courses`. names, fixed: of the history's columns, and which
    of them are known at time zero. uncovered: people without a first block covered. cut: people
    whose follow-up ends where the diary does.
    """

    course: Course
    horizon: int
    names: tuple[str, ...]
    fixed: tuple[bool, ...]
    uncovered: int
    cut: int

    def __len__(self) -> int:
        return len(self.course.time)


def courses(
    persons: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    cause: str | None = None,
    competing: Sequence[int] = (),
    lost: Sequence[int] | None = None,
    start: str | None = None,
    meetings: Dataset | pd.DataFrame,
    meeting_person: str | None = None,
    meeting_day: str,
    meeting_count: str | None = None,
    diary_from: str | None = None,
    diary_to: str | None = None,
    stays: Dataset | pd.DataFrame | None = None,
    stay_person: str | None = None,
    stay_start: str | None = None,
    stay_stop: str | None = None,
    baseline: Sequence[str] = (),
    changing: Dataset | pd.DataFrame | None = None,
    changing_person: str | None = None,
    changing_day: str | None = None,
    changing_columns: Sequence[str] = (),
    cluster: str | None = None,
    weights: str | None = None,
    custody: Spells | None = None,
    past_attendance: bool = False,
    horizon: int = 365,
    width: int = BLOCK,
) -> Courses:
    """Cut each person's time from the first day at risk into blocks with what was known at each.

    persons: one row a person; columns as in `reshape.person_days`. cause: codes of the first
    event; those in `competing` compete with the event, those in `lost` are losses to follow-up,
    other codes than the event's end observation. Without `lost`, everyone censored before the
    horizon counts as lost. baseline: columns known at entry. changing: rows (person, day,
    columns) of covariates that change, of which the last before a block counts. cluster: drawn
    together by the bootstrap. weights: sampling weights. custody: spells in which nobody
    is at risk; a block that holds a day of one is not judged.

    past_attendance: let earlier blocks' attendance tell who keeps in range. What a strategy
    fixes all but settles the next block, so that few weigh for many; it is needed only where
    attendance acts on the event for longer than a block.
    Raises DataError, UsageError.
    """
    persons, meetings = as_dataset(persons), as_dataset(meetings)
    stays, changing = as_dataset(stays), as_dataset(changing)
    people = People.of(persons, person, stop, event, start, diary_from, diary_to)
    diary = read_meetings(people, meetings, meeting_person or person, meeting_day, meeting_count)
    homes = read_stays(people, stays, stay_person or person, stay_start, stay_stop)
    zero = np.floor(people.start)
    time, what, gone = _endings(persons, people, zero, cause, competing, lost, horizon)
    blocks = -(-horizon // width)
    covered = _covered_blocks(people, zero, blocks, width)
    first_gap = np.where(covered.all(1), blocks, (~covered).argmax(1))
    short = time > first_gap * width
    time = np.where(short, first_gap * width, time)
    what, gone = np.where(short, 0, what), gone | short
    # in the order of the persons' key, so that the bootstrap does not depend on that of the file
    order = np.argsort(people.key.to_numpy(), kind="stable")
    kept = order[time[order] > 0]
    if not len(kept):
        raise DataError("The diary covers the first block of days of nobody.")
    count = _counts(people, diary, zero, blocks, width)
    ends = width * (1 + np.arange(blocks))
    completed = (time[:, None] > ends) | ((time[:, None] == ends) & (what[:, None] == 0))
    count = np.where(completed, count, np.nan)
    history, names, fixed = history_of(
        persons, people, count if past_attendance else None, zero, (blocks, width), homes, baseline,
        changes_of(people, changing, changing_person, changing_day, changing_columns),
    )  # fmt: skip
    groups = (
        np.unique(persons.frame[cluster].astype(str).to_numpy()[kept], return_inverse=True)[1]
        if cluster
        else np.arange(len(kept))
    )
    base = read_days(persons, weights) if weights else np.ones(len(people))
    course = Course(
        time[kept], what[kept], gone[kept], count[kept], history[kept], groups, width, base[kept],
        _away(custody, people.key[kept], zero[kept], horizon),
    )  # fmt: skip
    return Courses(course, horizon, names, fixed, len(people) - len(kept), int(short[kept].sum()))


def _away(custody: Spells | None, people: pd.Index[Any], zero: Array, horizon: int) -> Mask:
    """Days after time zero on which each person is in custody; no columns where nobody is."""
    none = np.zeros((len(people), 0), dtype=bool)
    if custody is None:
        return none
    found = custody.days(people, zero, horizon)
    return found if found.any() else none


def _endings(
    persons: Dataset,
    people: People,
    zero: Array,
    cause: str | None,
    competing: Sequence[int],
    lost: Sequence[int] | None,
    horizon: int,
) -> tuple[Array, IntArray, Mask]:
    """Time since zero up to the horizon, cause (0, 1 the event, 2 competing), and who was lost."""
    time = np.ceil(people.stop - zero)
    what = np.where(people.event > 0, 1, 0)
    gone = what == 0
    if cause is not None:
        codes = read_days(persons, cause)
        what = np.where((what == 0) & np.isin(codes, list(competing)), 2, what)
        gone = (what == 0) & (np.isin(codes, list(lost)) if lost is not None else True)
    beyond = time > horizon
    what, gone = np.where(beyond, 0, what), gone & ~beyond & (time < horizon)
    return np.minimum(time, horizon), what, gone


def _covered_blocks(people: People, zero: Array, blocks: int, width: int) -> Mask:
    first = zero[:, None] + width * np.arange(blocks)
    last = np.minimum(first + width - 1, np.floor(people.stop)[:, None] - 1)
    seen = (people.diary_from[:, None] <= first) & (people.diary_to[:, None] >= last)
    return np.asarray(seen | (first >= people.stop[:, None]))


def _counts(people: People, diary: Records, zero: Array, blocks: int, width: int) -> Array:
    """Meetings on the days of each block, the day of time zero the first; nan if one is unknown."""
    block = (diary.day - zero[diary.person]) // width
    inside = (block >= 0) & (block < blocks)
    at = (diary.person * blocks + block.astype(np.intp))[inside]
    total = np.bincount(at, diary.count[inside], len(people) * blocks)
    return total.reshape(len(people), blocks).astype(float)
