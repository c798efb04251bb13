"""The 730 days after entry, one day at a time for all people of a block together.

Day 0 is entry. On each day d = 1, 2, … a person who is abstinent relapses with probability
1 - exp(-h), where

    log h = log b - s log(1 + a/30) + x'beta + b_house in_house(d) + … - theta P(d)

so that whole-day Cox models with Efron ties have next to no bias. a is the number of days
abstinent; P(d) is the protection of meetings on days strictly before d (`protection`);
in_house(d) holds on days in_day < d <= out_day. Events are drawn by inversion: an
event happens when the cumulative hazard passes a unit exponential.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic import stay
from recovery_stats.data.synthetic.person import People, meetings_per_year
from recovery_stats.data.synthetic.place import NEVER, Places
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset
from recovery_stats.data.synthetic.protection import Protection

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Bool = NDArray[np.bool_]

RELAPSE, DEATH, JAIL, LOST, END = 1, 2, 3, 4, 5
USING_ATTENDANCE, PRODROME_ATTENDANCE = 0.35, 0.30
DEATH_PER_YEAR, DEATH_USING = 0.010, 0.015
JAIL_PER_YEAR, JAIL_USING, JAIL_SEVERITY = 0.012, 0.10, 0.40
EVICTION, EVICTION_DAYS = 0.70, 7
EPISODE_LOG_MEAN, EPISODE_SEVERITY, EPISODE_LOG_SD = 3.2, 0.25, 1.1
JAIL_LOG_MEAN, JAIL_LOG_SD = 4.0, 0.8
MEMORY_PER_WEEK, MEETINGS_NEUTRAL, DRIFT_SD, DRIFT_ATTENDANCE = 0.7, 1.5, 0.3, 0.25


@dataclass(slots=True)
class Course:
    """What truly happened; day-major arrays are (731, n).

    met, using, jailed: on that day. weekly_motivation: (105, n), only under feedback.
    first_day, first_cause: first of relapse, death and incarceration, or day 730 and 0.
    death_day: NEVER if alive. event_person, event_day, event_type: the log of events.
    """

    met: Bool
    using: Bool
    jailed: Bool
    stays: stay.Stays
    first_day: Index
    first_cause: Index
    death_day: Index
    weekly_motivation: Array | None
    event_person: list[Index] = field(default_factory=list)
    event_day: list[Index] = field(default_factory=list)
    event_type: list[Index] = field(default_factory=list)

    def log(self, who: Index, day: int, kind: int) -> None:
        """Write an event of `who` into the log."""
        self.event_person.append(who)
        self.event_day.append(np.full(len(who), day))
        self.event_type.append(np.full(len(who), kind))


def baseline(preset: Preset) -> Array:
    """Daily baseline hazard by days abstinent 0 … 730; shape (731,)."""
    return preset.base_rate * (1 + np.arange(HORIZON_DAYS + 1) / 30) ** -preset.base_decay


def constant_log_hazard(preset: Preset, places: Places, people: People) -> Array:
    """The part of the log hazard that never changes within a person; shape (n,)."""
    return np.asarray(
        preset.b_severity * people.severity
        + preset.b_motivation * people.motivation
        + preset.b_display * people.display
        + preset.b_arm * people.arm
        + places.site_effect[people.site]
        + people.frailty
    )


@dataclass(frozen=True, slots=True)
class Residence:
    """What living in a house does to the hazard of relapse: factors (n,) by house and after."""

    stays: stay.Stays
    in_first: Array
    in_second: Array
    after: float
    after_days: int

    def factor(self, day: int) -> Array:
        """Hazard ratio of each person on `day` against never having lived in a house."""
        stays = self.stays
        resident = (stays.in_day < day) & (day <= stays.out_day)
        inside = np.where(stays.move_day < day, self.in_second, self.in_first)
        if self.after == 1:
            return np.where(resident, inside, 1.0)
        carries = (day > stays.out_day) & (stays.out_day - stays.in_day >= self.after_days)
        return np.where(resident, inside, np.where(carries, self.after, 1.0))


def residence(preset: Preset, places: Places, people: People, stays: stay.Stays) -> Residence:
    """The house effect of a preset; where houses are randomised only one arm's houses act."""
    acts = people.arm if preset.design == "house" else np.ones(len(people))
    b_house = preset.b_house * acts
    return Residence(
        stays,
        np.exp(b_house + places.house_effect[stays.first]),
        np.exp(b_house + places.house_effect[stays.second]),
        float(np.exp(preset.b_carry)),
        preset.carry_days,
    )


def follow(
    preset: Preset, places: Places, people: People, stays: stay.Stays, rng: np.random.Generator
) -> Course:
    """Run the days and return what happened to everyone."""
    days = _Days(preset, places, people, stays, rng)
    for day in range(HORIZON_DAYS + 1):
        days.recover(day)
        if day:
            days.relapse(day)
            days.die(day)
            days.arrest(day)
        days.meet(day)
    return days.course


class _Days:
    """The moving state of a block: one method for each thing that can happen on a day."""

    def __init__(
        self,
        preset: Preset,
        places: Places,
        people: People,
        stays: stay.Stays,
        rng: np.random.Generator,
    ) -> None:
        n = len(people)
        shape = (HORIZON_DAYS + 1, n)
        self.preset, self.people, self.rng = preset, people, rng
        self.n = n
        self.baseline = baseline(preset)
        self.constant = np.exp(constant_log_hazard(preset, places, people))
        self.residence = residence(preset, places, people, stays)
        self.rate = meetings_per_year(np.arange(HORIZON_DAYS + 1)) / 365
        self.protection = Protection(preset.kernel, preset.half_life_days, (n,))
        self.alive = np.ones(n, dtype=bool)
        self.using = np.zeros(n, dtype=bool)
        self.jailed = np.zeros(n, dtype=bool)
        self.abstinent_since = np.zeros(n, dtype=np.int64)
        self.relapse_due = np.full(n, NEVER)
        self.use_ends = np.full(n, NEVER)
        self.jail_ends = np.full(n, NEVER)
        self.left_to_relapse = rng.standard_exponential(n)
        self.left_to_death = rng.standard_exponential(n)
        self.left_to_jail = rng.standard_exponential(n)
        self.jail_rate = JAIL_PER_YEAR / 365 * np.exp(JAIL_SEVERITY * people.severity)
        ratio = np.where(people.arm == 1, preset.death_ratio, 1.0)
        self.death_rate = ratio / 365
        self.drift = np.zeros(n)
        self.met_this_week = np.zeros(n)
        weekly = np.zeros((HORIZON_DAYS // 7 + 1, n)) if preset.motivation_gain else None
        self.course = Course(
            np.zeros(shape, dtype=bool),
            np.zeros(shape, dtype=bool),
            np.zeros(shape, dtype=bool),
            stays,
            np.full(n, HORIZON_DAYS),
            np.zeros(n, dtype=np.int64),
            np.full(n, NEVER),
            weekly,
        )

    def recover(self, day: int) -> None:
        """End episodes of use and spells in jail that are over."""
        ends = self.use_ends == day
        if ends.any():
            self.using &= ~ends
            self.abstinent_since[ends] = day
        self.jailed &= self.jail_ends != day

    def relapse(self, day: int) -> None:
        """Let the hazard of relapse act on the abstinent."""
        at_risk = self.alive & ~self.using & ~self.jailed & (self.people.entry_day < day)
        waiting = self.relapse_due < NEVER
        hazard = self.constant * self.baseline[day - self.abstinent_since]
        hazard *= np.exp(-self.preset.theta * self.protection.left)
        hazard *= self.residence.factor(day)
        if self.preset.motivation_gain:
            hazard *= np.exp(self.preset.b_motivation * self.drift)
        self.left_to_relapse -= np.where(at_risk & ~waiting, hazard, 0.0)
        onset = at_risk & ~waiting & (self.left_to_relapse <= 0)
        self.relapse_due[onset] = day + self.preset.prodrome_days
        who = np.flatnonzero(self.relapse_due == day)
        if len(who):
            self._begin_use(who, day)

    def die(self, day: int) -> None:
        """Let the hazard of death act on the living."""
        per_year = np.where(self.using, DEATH_PER_YEAR + DEATH_USING, DEATH_PER_YEAR)
        self.left_to_death -= self.death_rate * per_year * (self.people.entry_day < day)
        who = np.flatnonzero(self.alive & (self.left_to_death <= 0))
        if len(who):
            self.alive[who] = self.using[who] = self.jailed[who] = False
            self.relapse_due[who] = NEVER
            self.course.death_day[who] = day
            self._happened(who, day, DEATH)
            self._leave_house(who, day)

    def arrest(self, day: int) -> None:
        """Let the hazard of incarceration act on those alive and free; jail ends use."""
        free = self.alive & ~self.jailed & (self.people.entry_day < day)
        rate = self.jail_rate + JAIL_USING / 365 * self.using
        self.left_to_jail -= np.where(free, rate, 0.0)
        who = np.flatnonzero(free & (self.left_to_jail <= 0))
        if len(who):
            length = self.rng.lognormal(JAIL_LOG_MEAN, JAIL_LOG_SD, len(who))
            self.jail_ends[who] = day + 1 + length.astype(np.int64)
            self.left_to_jail[who] = self.rng.standard_exponential(len(who))
            self.abstinent_since[who[self.using[who]]] = day
            self.jailed[who], self.using[who] = True, False
            self.use_ends[who] = self.relapse_due[who] = NEVER
            self._happened(who, day, JAIL)
            self._leave_house(who, day)

    def meet(self, day: int) -> None:
        """Draw who attends today; it protects from tomorrow on."""
        if self.preset.motivation_gain and day % 7 == 0:
            self._move_motivation(day)
        rate = self.rate[:, day][self.people.career]
        rate = np.where(self.using, USING_ATTENDANCE * rate, rate)
        if self.preset.prodrome_days:
            rate = np.where(self.relapse_due < NEVER, PRODROME_ATTENDANCE * rate, rate)
        if self.preset.motivation_gain:
            rate = rate * np.exp(DRIFT_ATTENDANCE * self.drift)
        met = (self.rng.random(self.n) < rate) & self.alive & ~self.jailed
        self.protection.meet(met)
        self.met_this_week += met
        self.course.met[day] = met
        self.course.using[day] = self.using
        self.course.jailed[day] = self.jailed

    def _begin_use(self, who: Index, day: int) -> None:
        mean = EPISODE_LOG_MEAN + EPISODE_SEVERITY * self.people.severity[who]
        length = self.rng.lognormal(mean, EPISODE_LOG_SD)
        self.using[who] = True
        self.use_ends[who] = day + 1 + np.minimum(length, NEVER).astype(np.int64)
        self.relapse_due[who] = NEVER
        self.left_to_relapse[who] = self.rng.standard_exponential(len(who))
        self._happened(who, day, RELAPSE)
        evicted = self.rng.random(len(who)) < EVICTION
        after = day + self.rng.integers(1, EVICTION_DAYS + 1, len(who))
        evicted &= self.course.stays.in_day[who] < day
        stay.cut(self.course.stays, who[evicted], after[evicted], stay.EVICTED_RELAPSE)

    def _leave_house(self, who: Index, day: int) -> None:
        stay.cut(self.course.stays, who, np.full(len(who), day), stay.OTHER)

    def _happened(self, who: Index, day: int, kind: int) -> None:
        self.course.log(who, day, kind)
        new = who[self.course.first_cause[who] == 0]
        self.course.first_day[new] = day
        self.course.first_cause[new] = kind

    def _move_motivation(self, day: int) -> None:
        """Once a week: memory of last week's motivation, last week's meetings, and chance."""
        if day:
            gain = self.preset.motivation_gain * (self.met_this_week - MEETINGS_NEUTRAL)
            noise = DRIFT_SD * self.rng.standard_normal(self.n)
            self.drift = np.round(MEMORY_PER_WEEK * self.drift + gain + noise, 2)
            self.met_this_week[:] = 0
        if self.course.weekly_motivation is not None:
            self.course.weekly_motivation[day // 7] = self.people.motivation + self.drift
