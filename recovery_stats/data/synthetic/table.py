"""From what happened to the tables a researcher receives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.data.synthetic import stay
from recovery_stats.data.synthetic.codebook import (
    REFUSED,
)
from recovery_stats.data.synthetic.course import END, LOST, Course
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.outcome import Outcomes
from recovery_stats.data.synthetic.person import People
from recovery_stats.data.synthetic.place import Places
from recovery_stats.data.synthetic.preset import HORIZON_DAYS
from recovery_stats.data.synthetic.wave import Waves

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Everything true about one block of people; pid (n,) is unique in the study."""

    pid: Index
    people: People
    course: Course
    waves: Waves
    outcomes: Outcomes
    lost_day: Index

    @property
    def last_day(self) -> Index:
        """Last day anything is observed of a person: loss, death or day 730."""
        return np.minimum(np.minimum(self.lost_day, self.course.death_day), HORIZON_DAYS)


def refuse(frame: pd.DataFrame, column: str, rate: float, rng: np.random.Generator) -> None:
    """Turn answers of `column` into refusals, in place, at `rate`."""
    answered = frame[column].to_numpy(float)
    refuses = (rng.random(len(frame)) < rate) & (answered >= 0) | (answered == REFUSED)
    frame[column] = np.where(refuses, REFUSED, answered)


def sites(places: Places) -> pd.DataFrame:
    """One row a site."""
    return pd.DataFrame(
        {
            "site_id": 1 + np.arange(len(places.site_share)),
            "site_mat": places.medication,
            "urban": places.urban,
            "n_beds": places.beds,
        }
    )


def houses(places: Places) -> pd.DataFrame:
    """One row a house; ids are 101, 102, …, never equal to a site's."""
    return pd.DataFrame(
        {
            "house_id": house_id(np.arange(len(places.house_site))),
            "site_id": 1 + places.house_site,
            "h_type": places.kind,
            "h_sex": places.sex,
            "h_size": places.size,
            "h_rule30": places.rule,
            "h_dens": places.density,
        }
    )


def house_id(house: Index) -> NDArray[np.float64]:
    """Released number of a house; NaN where there is none (-1)."""
    return np.where(house < 0, np.nan, 101.0 + house)


def meetings(block: Block, rng: np.random.Generator) -> pd.DataFrame:
    """The diary: one row a meeting on a day that the diary covers."""
    person, day = np.nonzero(block.course.met.T)
    covered = (day >= block.people.entry_day[person]) & (day <= block.last_day[person])
    person, day = person[covered], day[covered]
    kind = 1 + np.searchsorted([0.62, 0.76, 0.92], rng.random(len(day)))
    length = np.array([60, 60, 90, 50])[kind - 1] + rng.choice([0, 0, 0, 15, 30], len(day))
    return pd.DataFrame({"pid": block.pid[person], "mday": day, "mtype": kind, "mins": length})


def stays(block: Block, mess: Mess, rng: np.random.Generator) -> pd.DataFrame:
    """One row a stay, in order; a stay still running when a person is last seen has exit 7."""
    s = block.course.stays
    last = block.last_day
    moves = s.move_day < s.out_day
    first_out = np.where(moves, s.move_day, s.out_day)
    first_exit = np.where(moves, stay.MOVED, s.exit)
    rows = [
        (np.flatnonzero(s.in_day < last), s.first, s.in_day, first_out, first_exit),
        (np.flatnonzero(moves & (s.move_day < last)), s.second, s.move_day, s.out_day, s.exit),
    ]
    frame = pd.concat([_stay_rows(block, *row) for row in rows])
    frame = frame.sort_values(["pid", "in_day"], ignore_index=True)
    wrong = rng.random(len(frame)) < mess.conflicting
    frame.loc[wrong, "out_day"] = frame.loc[wrong, "in_day"] - 3
    return frame


def events(block: Block) -> pd.DataFrame:
    """One row an event while observed (relapses recur), and one for the end of observation."""
    course = block.course
    none = np.zeros(0, dtype=np.int64)
    person = np.concatenate([none, *course.event_person])
    day = np.concatenate([none, *course.event_day])
    kind = np.concatenate([none, *course.event_type])
    seen = day <= block.last_day[person]
    everyone = np.arange(len(block.pid))
    alive = course.death_day > block.last_day
    lost = alive & (block.lost_day <= HORIZON_DAYS)
    frame = pd.DataFrame(
        {
            "pid": block.pid[np.concatenate([person[seen], everyone[alive]])],
            "eday": np.concatenate([day[seen], block.last_day[alive]]),
            "etype": np.concatenate([kind[seen], np.where(lost, LOST, END)[alive]]),
        }
    )
    return frame.sort_values(["pid", "eday", "etype"], ignore_index=True)


def weeks(block: Block) -> pd.DataFrame:
    """Weekly motivation while observed; only the feedback preset records it."""
    weekly = block.course.weekly_motivation
    assert weekly is not None
    person, week = np.nonzero(np.ones(weekly.T.shape, dtype=bool))
    seen = 7 * week <= block.last_day[person]
    person, week = person[seen], week[seen]
    motivation = np.round(weekly[week, person], 2)
    return pd.DataFrame({"pid": block.pid[person], "week": week, "motiv_w": motivation})


def _stay_rows(
    block: Block, who: Index, house: Index, begin: Index, end: Index, reason: Index
) -> pd.DataFrame:
    last = block.last_day[who]
    running = end[who] > last
    return pd.DataFrame(
        {
            "pid": block.pid[who],
            "house_id": house_id(house[who]),
            "in_day": begin[who],
            "out_day": np.minimum(end[who], last),
            "exit": np.where(running, stay.STILL_THERE, reason[who]),
        }
    )
