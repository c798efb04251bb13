"""What if everyone who moved in left after three months, after six, after twelve?

    asked = stay_courses(persons, stays, person="pid", stop="t_relapse", event="relapse",
                         stay_start="in_day", stay_stop="out_day", baseline=["severity"])
    sustained(asked.courses, leave_at((3, 6, 12))).tidy()

Time zero is the day of moving in. Everyone is cloned into every strategy and censored where the
stay departs from it, so that no time is credited to a length of stay before it was lived. Within
a month people live as they did; residence is no part of the history, for the strategy fixes it.

Checked: a known truth with a common cause of leaving and relapse (scripts/stay_recovery.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.strategy_course import Leaving
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.course import Courses, courses
from recovery_stats.models.follow_up import read_days, read_spells
from recovery_stats.models.reshape import person_days

MONTH = 30
SLACK = 7.0
DAY, ZERO = "house day|", "moved in|"


def leave_at(months: Sequence[int] = (3, 6, 12), *, slack: float = SLACK) -> tuple[Leaving, ...]:
    """Strategies "stay that many months of 30 days, leave in the next, and stay away".

    slack: days away in a month of the stay, or resident in a month after it, that are forgiven.
    """
    if not months or any(m < 1 for m in months) or not 0 <= slack < MONTH / 2:
        raise UsageError("Months are whole and above 0, and slack is less than half a month.")
    return tuple(Leaving(f"leave at {m} months", m, MONTH, slack) for m in months)


@dataclass(frozen=True)
class StayCourses:
    """Residents followed from moving in. never: people without a stay that began in view."""

    courses: Courses
    never: int


def stay_courses(
    persons: Dataset | pd.DataFrame,
    stays: Dataset | pd.DataFrame,
    *,
    person: str,
    stop: str,
    event: str,
    stay_start: str,
    stay_stop: str,
    start: str | None = None,
    cause: str | None = None,
    competing: Sequence[int] = (),
    lost: Sequence[int] | None = None,
    baseline: Sequence[str] = (),
    cluster: str | None = None,
    horizon: int = 540,
) -> StayCourses:
    """Residents in months of 30 days from moving in, with the days resident in each.

    Left out are people who never moved in under observation, who lived in a house before it
    began, or whose observation ended on the day they moved in. cluster: drawn together by the
    bootstrap (the house first lived in). Other columns as in `courses`.
    Raises NotEstimable where nobody moved in.
    """
    people, homes = as_dataset(persons), as_dataset(stays)
    first, _ = read_spells(homes, person, stay_start, stay_stop)
    moved = pd.Series(first).groupby(homes.frame[person].to_numpy()).min()
    zero = people.frame[person].map(moved)
    entry = read_days(people, start) if start else np.zeros(len(people))
    seen = (zero >= entry) & (zero < people.frame[stop])
    if not seen.any():
        raise NotEstimable("Nobody moved into a house while under observation.")
    frame = people.frame[seen].assign(**{ZERO: np.floor(zero[seen].to_numpy(float))})
    residents = people.with_frame(frame)
    kept = homes.with_frame(homes.frame[homes.frame[person].isin(frame[person])])
    found = courses(
        residents, person=person, stop=stop, event=event, start=ZERO, cause=cause,
        competing=competing, lost=lost, baseline=baseline, cluster=cluster,
        horizon=horizon, width=MONTH,
        meetings=_house_days(residents, kept, person, stop, event, stay_start, stay_stop),
        meeting_day=DAY,
    )  # fmt: skip
    return StayCourses(found, int((~seen).sum()))


def _house_days(
    residents: Dataset, stays: Dataset, person: str, stop: str, event: str, first: str, last: str
) -> pd.DataFrame:
    """One row a day in a house, under the day's beginning; two houses on a day are one."""
    days = person_days(
        residents, person=person, start=ZERO, stop=stop, event=event, stays=stays,
        stay_start=first, stay_stop=last, windows=(), daily=True, keep=(),
    ).frame  # fmt: skip
    there = days[days["in_house"] > 0]
    return pd.DataFrame({person: there["person"], DAY: np.floor(there["start"])})
