"""A cohort block by block: memory stays bounded and no result depends on the chunks asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.data.synthetic import (
    course,
    outcome,
    person,
    place,
    stay,
    table,
    table_person,
    table_wave,
    wave,
)
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset

BLOCK = 2_000
PERSON_TABLES = ("persons", "waves", "meetings", "stays", "events")
LOST_SEVERITY = 0.3


@dataclass(frozen=True, slots=True)
class Cohort:
    """What must be known to draw any block of a cohort: preset, mess, size, seed, places."""

    preset: Preset
    mess: Mess
    persons: int
    seed: int
    places: place.Places
    truth: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks of at most BLOCK people."""
        return -(-self.persons // BLOCK)

    def block_size(self, number: int) -> int:
        """People in block `number`, counted from 0."""
        return min(BLOCK, self.persons - number * BLOCK)


def begin(preset: Preset, mess: Mess, persons: int, seed: int, *, truth: bool = False) -> Cohort:
    """Draw the places; the people come block by block."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    places = place.build(preset, mess, persons, rng)
    return Cohort(preset, mess, persons, seed, places, truth)


def draw_block(
    cohort: Cohort, number: int, *, arm: int | None = None, size: int | None = None
) -> table.Block:
    """Draw block `number`; `arm` forces everyone into one housing arm, `size` another size.

    Each concern has its own stream, so that a change in one leaves the others as they were
    and forced arms share their people.
    """
    streams = _streams(cohort.seed, number)
    preset, mess, places = cohort.preset, cohort.mess, cohort.places
    size = size or cohort.block_size(number)
    people = person.draw(preset, mess, places, size, streams["person"])
    if arm is not None:
        people = person.force_arm(people, arm)
    stays = stay.plan(preset, mess, places, people, streams["stay"])
    happened = course.follow(preset, places, people, stays, streams["course"])
    lost_day = _lost(people, mess, streams["loss"])
    waves = wave.interview(preset, mess, places, people, happened, lost_day, streams["wave"])
    outcomes = outcome.at_24_months(preset, people, happened, streams["outcome"])
    pid = 100_001 + number * BLOCK + np.arange(size)
    return table.Block(pid, people, happened, waves, outcomes, lost_day)


def frames(cohort: Cohort, number: int) -> Mapping[str, pd.DataFrame]:
    """The tables of one block, user-missing codes still in place."""
    block = draw_block(cohort, number)
    streams = _streams(cohort.seed, number)
    mess = cohort.mess
    made = {
        "persons": table_person.persons(
            block, cohort.preset, mess, streams["persons"], truth=cohort.truth
        ),
        "waves": table_wave.waves(block, mess, streams["waves"]),
        "meetings": table.meetings(block, streams["meetings"]),
        "stays": table.stays(block, mess, streams["stays"]),
        "events": table.events(block),
    }
    if block.course.weekly_motivation is not None:
        made["weeks"] = table.weeks(block)
    return made


def stream(cohort: Cohort) -> Iterator[Mapping[str, pd.DataFrame]]:
    """The tables of each block in turn; rows add up to the tables of the whole cohort."""
    for number in range(cohort.blocks):
        yield frames(cohort, number)


def _lost(people: person.People, mess: Mess, rng: np.random.Generator) -> person.Index:
    """Day of loss to follow-up, more often in the severe; never before the day after entry."""
    rate = mess.lost_per_year / 365 * np.exp(LOST_SEVERITY * people.severity)
    wait = rng.standard_exponential(len(people)) / np.maximum(rate, 1e-12)
    day = people.entry_day + 1 + np.minimum(wait, place.NEVER).astype(np.int64)
    return np.where(day <= HORIZON_DAYS, day, place.NEVER)


STREAMS = (
    "person", "stay", "course", "loss", "wave", "outcome", "persons", "waves", "meetings", "stays",
)  # fmt: skip


def _streams(seed: int, block: int) -> dict[str, np.random.Generator]:
    """Independent generators of a block, by concern; they depend on seed and block number only."""
    return {
        name: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, block, k)))
        for k, name in enumerate(STREAMS)
    }
