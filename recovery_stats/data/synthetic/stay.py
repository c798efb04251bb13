"""Stays in houses: planned at entry, cut short by what happens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.person import People
from recovery_stats.data.synthetic.place import NEVER, Places
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PLANNED, EVICTED_RELAPSE, EVICTED_OTHER, LEFT, MOVED, OTHER, STILL_THERE = range(1, 8)
MOVES_IN = np.array([0.08, 0.85])  # by arm, where the arm is not the house itself
MEDIAN_STAY_DAYS, SD_LOG_STAY = 200.0, 0.8


@dataclass(slots=True)
class Stays:
    """At most two stays a person, in `first` and, after `move_day`, in `second`; all (n,).

    Resident on day d means in_day < d <= out_day: a stay acts from the day after moving in to
    the day of moving out, so that (in_day, out_day] is a start-stop row. in_day and out_day
    are NEVER for people who never move in. out_day and exit change while the course runs.
    """

    first: Index
    second: Index
    in_day: Index
    move_day: Index
    out_day: Index
    exit: Index


def plan(
    preset: Preset, mess: Mess, places: Places, people: People, rng: np.random.Generator
) -> Stays:
    """Plan each person's stay before anything happens to them."""
    n = len(people)
    u = rng.random((4, n))
    everyone = preset.design == "house"
    moves_in = everyone | (u[0] < MOVES_IN[people.arm])
    in_day = np.where(moves_in, 0 if everyone else (u[1] * 8).astype(np.int64), NEVER)
    stay = 1 + (MEDIAN_STAY_DAYS * rng.lognormal(0, SD_LOG_STAY, n)).astype(np.int64)
    out_day = np.where(moves_in, in_day + stay, NEVER)
    reason = 1 + np.searchsorted([0.60, 0.70], u[2])
    exit_code = np.array([0, PLANNED, EVICTED_OTHER, LEFT])[reason]
    first = people.assigned_house
    second, move_day = _moves(mess, places, people, first, in_day, out_day, rng)
    stays = Stays(first, second, in_day, move_day, out_day, exit_code)
    everybody = np.arange(n)
    last_house_closes = np.where(move_day < out_day, NEVER, places.closed_day[first])
    cut(stays, everybody, np.maximum(last_house_closes, in_day + 1), OTHER)
    cut(stays, everybody, np.full(n, HORIZON_DAYS), STILL_THERE)
    return stays


def cut(stays: Stays, who: Index, day: Index, reason: int) -> None:
    """End the stays of the people `who` on `day` (k,), where they would have lasted longer."""
    sooner = (stays.in_day[who] < NEVER) & (day < stays.out_day[who])
    who, day = who[sooner], day[sooner]
    stays.out_day[who] = np.maximum(day, stays.in_day[who])
    stays.exit[who] = reason


def _moves(
    mess: Mess,
    places: Places,
    people: People,
    first: Index,
    in_day: Index,
    out_day: Index,
    rng: np.random.Generator,
) -> tuple[Index, Index]:
    """Some move once to another house of the site, at a moment spread evenly over the stay."""
    n = len(people)
    u, v, w = rng.random((3, n))
    count = places.count[people.site]
    moves = (in_day < NEVER) & (u < mess.house_moves) & (count > 1) & (out_day - in_day > 2)
    step = 1 + (v * np.maximum(count - 1, 1)).astype(np.int64)
    start = places.first[people.site]
    second = np.where(moves, start + (first - start + step) % count, first)
    within = in_day + 1 + (w * (out_day - in_day - 1)).astype(np.int64)
    return second, np.where(moves, within, NEVER)
