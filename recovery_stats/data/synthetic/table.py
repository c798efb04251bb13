"""From what happened to the tables a researcher receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.data.synthetic import stay
from recovery_stats.data.synthetic.codebook import (
    CONTROLLED,
    NOT_APPLICABLE,
    NOT_ASKED,
    REFUSED,
)
from recovery_stats.data.synthetic.course import END, LOST, Course
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.outcome import Outcomes
from recovery_stats.data.synthetic.person import People
from recovery_stats.data.synthetic.place import NEVER, Places
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, WAVE_MONTHS, Preset
from recovery_stats.data.synthetic.wave import ITEMS, REVERSED_ITEMS, Waves

Index = NDArray[np.int64]
ITEMS_NEEDED = 6
HEAPS = np.array([0, 1, 4, 14, 30])


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


def persons(
    block: Block, preset: Preset, mess: Mess, rng: np.random.Generator, *, truth: bool
) -> pd.DataFrame:
    """One row a person."""
    people, course = block.people, block.course
    moved_in = course.stays.in_day < block.last_day
    frame = pd.DataFrame(
        {
            "pid": block.pid,
            "site_id": 1 + people.site,
            "house_id": house_id(np.where(moved_in, course.stays.first, -1)),
            "arm_house": people.arm,
            "arm_prog": people.programme,
            "arm_med": people.medication,
            "arm_rel": people.relational,
            "enrol_day": people.enrol_day,
            "age": people.age,
            "sex": people.sex,
            "race": people.race,
            "educ": people.education,
            "employ0": people.employed,
            "marital": people.marital,
            "partner": people.partner,
            "income0": people.income,
            "prim_sub": people.substance,
            "sev_z": people.severity,
            "motiv": people.motivation,
            "prior_tx": people.prior_treatments,
            "cj_hist": people.justice,
            "ace_tot": people.adversity,
            "shame": people.shame,
            "entry": people.entry_day,
            **_first_event(block, mess, rng),
            "diary_from": people.entry_day,
            "diary_to": block.last_day,
            **_outcomes(block),
        }
    )
    for column in (
        "race",
        "educ",
        "marital",
        "income0",
        "ace_tot",
        "shame",
        "use90_24",
        "income24",
    ):
        _refuse(frame, column, mess.refused * (3 if column.startswith("income") else 1), rng)
    if preset.hide_motivation:
        frame = frame.drop(columns="motiv")
    frame = frame.assign(**_latent(block)) if truth else frame
    twice = 1 + (rng.random(len(frame)) < mess.duplicates)
    return frame.loc[np.repeat(frame.index, twice)]


def waves(block: Block, mess: Mess, rng: np.random.Generator) -> pd.DataFrame:
    """One row an interview that took place; rows of a person in the order of the waves."""
    w = block.waves
    person, wave = np.nonzero(w.seen.T)
    items, score = _satisfaction(w, wave, person, mess, rng)
    jailed = w.in_jail[wave, person]
    month = np.asarray(WAVE_MONTHS)[wave]
    frame = pd.DataFrame(
        {
            "pid": block.pid[person],
            "site_id": 1 + block.people.site[person],
            "wave": month,
            "day_int": w.day[wave, person],
            "house_id": house_id(w.house[wave, person]),
            "mode": w.mode[wave, person],
            "in_ctrl": jailed,
            "partner": w.partnered[wave, person],
            **{f"ras{k + 1}": items[:, k] for k in range(ITEMS)},
            "ras": score,
            "pss": w.stress[wave, person],
            "pacs": w.craving[wave, person],
            "abst30": _heap(w.days_abstinent_30[wave, person], mess, rng),
            "pda": w.percent_days_abstinent[wave, person],
            "whoqol_ps": w.quality_of_life[wave, person],
            "employed": w.employed[wave, person],
        }
    ).astype(float)
    frame.loc[jailed, ["abst30", "pda"]] = CONTROLLED
    for column in ("pss", "pacs", "whoqol_ps", "employed"):
        _refuse(frame, column, mess.refused, rng)
    return frame


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


def _first_event(block: Block, mess: Mess, rng: np.random.Generator) -> dict[str, Any]:
    day, cause = block.course.first_day, block.course.first_cause
    lost = block.lost_day < day
    day, cause = np.where(lost, block.lost_day, day), np.where(lost, LOST, cause)
    week_end = np.minimum(-(-day // 7) * 7, block.last_day)
    coarse = (rng.random(len(day)) < mess.week_known) & (cause == 1)
    dated = np.where(coarse, week_end, day)
    known = np.where(coarse, (day - 1) // 7 * 7, day - (cause == 1))
    return {
        "t_relapse": dated,
        "relapse": (cause == 1).astype(int),
        "t_known": np.maximum(known, block.people.entry_day),
        "t_first": dated,
        "cause": cause,
    }


def _outcomes(block: Block) -> dict[str, Any]:
    o = block.outcomes
    lost = block.lost_day <= HORIZON_DAYS

    def coded(values: Any, *, known_in_jail: bool = False) -> Any:
        jail = o.in_jail & (not known_in_jail)
        where = [o.dead, lost, jail]
        return np.select(where, [NOT_APPLICABLE, NOT_ASKED, CONTROLLED], np.asarray(values, float))

    return {
        "use90_24": coded(o.used),
        "employ24": coded(o.employed),
        "jail24": coded(o.jailed, known_in_jail=True),
        "income24": coded(o.income),
    }


def _latent(block: Block) -> dict[str, Any]:
    people = block.people
    return {
        "tr_frail": people.frailty,
        "tr_disp": people.display,
        "tr_career": 1 + people.career,
        "tr_level": block.waves.level,
    }


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


def _satisfaction(
    w: Waves, wave: Index, person: Index, mess: Mess, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Items and score as they reach the file; the score is the mean of 6 or 7 valid items."""
    items = w.items[wave, person].astype(float)
    n = len(items)
    untouched = np.ones(n, dtype=bool)
    straight = rng.random(n) < mess.straight_line
    items[straight] = rng.integers(2, 5, n)[straight, None]
    wrong = rng.random(items.shape) < mess.miskeyed
    items[wrong] = rng.choice([0, 6, 33, 44, 55], items.shape)[wrong]
    items[rng.random(items.shape) < mess.item_skip] = NOT_ASKED
    items[rng.random(n) < mess.page_skip] = NOT_ASKED
    refused = rng.random(n) < mess.refused
    items[refused] = REFUSED
    valid = np.where((items >= 1) & (items <= 5), items, np.nan)
    valid[:, REVERSED_ITEMS] = 6 - valid[:, REVERSED_ITEMS]
    count = np.isfinite(valid).sum(axis=1)
    untouched = (count == ITEMS) & ~straight
    mean = np.nansum(valid, axis=1) / np.maximum(count, 1)
    score = np.where(count >= ITEMS_NEEDED, np.round(mean, 2), NOT_ASKED)
    score = np.where(untouched, w.satisfaction[wave, person], score)
    score[refused] = REFUSED
    single = ~w.partnered[wave, person]
    items[single] = score[single] = NOT_APPLICABLE
    return items, score


def _heap(days: Index, mess: Mess, rng: np.random.Generator) -> NDArray[np.float64]:
    """Some people round a number of days to the nearest of 0, 1, 4, 14 and 30."""
    rounds = rng.random(len(days)) < mess.heaped
    nearest = HEAPS[np.argmin(np.abs(days[:, None] - HEAPS), axis=1)]
    return np.where(rounds, nearest, days).astype(float)


def _refuse(frame: pd.DataFrame, column: str, rate: float, rng: np.random.Generator) -> None:
    answered = frame[column].to_numpy(float)
    refuses = (rng.random(len(frame)) < rate) & (answered >= 0) | (answered == REFUSED)
    frame[column] = np.where(refuses, REFUSED, answered)


__all__ = ["NEVER", "Block", "events", "houses", "meetings", "persons", "sites", "stays", "waves"]
