"""The state at 24 months: use, work, jail, income."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic.course import JAIL, Course
from recovery_stats.data.synthetic.odds import logistic
from recovery_stats.data.synthetic.person import People
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]
RECENT_DAYS = 90
WORK_SHARE_DAYS = 180


@dataclass(frozen=True, slots=True)
class Outcomes:
    """24-month outcomes of the living, complete; (n,). dead, in_jail: the state on day 730."""

    used: Bool
    employed: Bool
    jailed: Bool
    income: Array
    dead: Bool
    in_jail: Bool


def at_24_months(
    preset: Preset, people: People, course: Course, rng: np.random.Generator
) -> Outcomes:
    """Read use and jail off the course, and draw work and income from them.

    used: any use in days 641 to 730. jailed: ever incarcerated in the 24 months. Work depends
    on the share of the last 180 days in use and, directly, on the housing arm (`work_arm`).
    """
    n = len(people)
    using = course.using[-WORK_SHARE_DAYS:].mean(axis=0)
    in_jail = course.jailed[HORIZON_DAYS]
    score = 0.1 + 1.0 * people.employed - 0.3 * people.severity - 1.5 * using
    works = (rng.random(n) < logistic(score + preset.work_arm * people.arm)) & ~in_jail
    wage = rng.lognormal(7.15, 0.45, n)
    benefits = rng.gamma(1.0, 160.0, n)
    jailed = np.zeros(n, dtype=bool)
    for who, kind in zip(course.event_person, course.event_type, strict=True):
        jailed[who[kind == JAIL]] = True
    return Outcomes(
        used=np.asarray(course.using[-RECENT_DAYS:].any(axis=0)),
        employed=works,
        jailed=jailed,
        income=np.round(works * wage + benefits, -1),
        dead=course.death_day <= HORIZON_DAYS,
        in_jail=in_jail,
    )
