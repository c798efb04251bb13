"""The table of persons: baseline, first event, state at 24 months."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.data.synthetic.codebook import CONTROLLED, NOT_APPLICABLE, NOT_ASKED
from recovery_stats.data.synthetic.course import LOST
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset
from recovery_stats.data.synthetic.table import Block, house_id, refuse

MAY_REFUSE = ("race", "educ", "marital", "income0", "ace_tot", "shame", "use90_24", "income24")
INCOME_REFUSALS = 3  # income is refused this many times as often


def persons(
    block: Block, preset: Preset, mess: Mess, rng: np.random.Generator, *, truth: bool
) -> pd.DataFrame:
    """One row a person."""
    columns = {
        **_baseline(block),
        **_first_event(block, mess, rng),
        "diary_from": block.people.entry_day,
        "diary_to": block.last_day,
        **_outcomes(block),
    }
    frame = pd.DataFrame(columns)
    for column in MAY_REFUSE:
        often = INCOME_REFUSALS if column.startswith("income") else 1
        refuse(frame, column, often * mess.refused, rng)
    if preset.hide_motivation:
        frame = frame.drop(columns="motiv")
    frame = frame.assign(**_latent(block)) if truth else frame
    twice = 1 + (rng.random(len(frame)) < mess.duplicates)
    return frame.loc[np.repeat(frame.index, twice)]


def _baseline(block: Block) -> dict[str, Any]:
    people, stays = block.people, block.course.stays
    moved_in = stays.in_day < block.last_day
    return {
        "pid": block.pid,
        "site_id": 1 + people.site,
        "house_id": house_id(np.where(moved_in, stays.first, -1)),
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
    }


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
