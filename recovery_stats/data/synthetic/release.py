"""The cohort as a Study, and as a folder of files."""

from __future__ import annotations

import pandas as pd

from recovery_stats.core.study import AnalysisSpec, Protocol, Study, TableSpec
from recovery_stats.data.synthetic import cohort, table, truth
from recovery_stats.data.synthetic.codebook import dataset
from recovery_stats.data.synthetic.mess import Mess, choose
from recovery_stats.data.synthetic.preset import Preset, find
from recovery_stats.errors import UsageError

SMALLEST, LARGEST = 20, 1_000_000


def synthetic_study(
    preset: str | Preset = "plain",
    persons: int = 400,
    seed: int = 1,
    *,
    mess: bool | Mess = True,
    with_truth: bool = False,
) -> Study:
    """Draw a cohort with known truth: tables with codebooks, a protocol, and the truth sheet.

    preset: a name of PRESETS or a Preset. persons: 20 to 1,000,000 (all held in memory here;
    see `cohort.stream`). mess: True for the realistic rates, False for none, or a Mess.
    with_truth: add latent columns (tr_…) to persons. The same arguments give the same values
    on every machine, and the numbers of a person do not depend on how blocks are chunked.
    """
    if not SMALLEST <= persons <= LARGEST:
        raise UsageError(
            f"A synthetic study has {SMALLEST} to {LARGEST} persons; {persons} were asked for."
        )
    plan = cohort.begin(find(preset), choose(mess), persons, seed, truth=with_truth)
    parts = list(cohort.stream(plan))
    frames = {"sites": table.sites(plan.places), "houses": table.houses(plan.places)}
    for name in parts[0]:
        frames[name] = pd.concat([part[name] for part in parts], ignore_index=True)
    tables = {name: dataset(name, frame) for name, frame in frames.items()}
    return Study(tables, protocol(plan), truth.sheet(plan.preset, plan.mess))


KEYS = {
    "sites": ("site_id",),
    "houses": ("house_id",),
    "persons": ("pid",),
    "waves": ("pid", "wave"),
    "meetings": ("pid", "mday"),
    "stays": ("pid", "in_day"),
    "events": ("pid", "eday", "etype"),
    "weeks": ("pid", "week"),
}
ROLES: dict[str, dict[str, str | tuple[str, ...]]] = {
    "sites": {"site": "site_id"},
    "houses": {"house": "house_id", "site": "site_id"},
    "persons": {
        "person": "pid",
        "site": "site_id",
        "house": "house_id",
        "arm": "arm_house",
        "time": "t_relapse",
        "event": "relapse",
        "entry": "entry",
        "cause": "cause",
        "diary_from": "diary_from",
        "diary_to": "diary_to",
        "outcome": "use90_24",
        "adjust": ("sev_z", "motiv"),
    },
    "waves": {
        "person": "pid",
        "wave": "wave",
        "day": "day_int",
        "house": "house_id",
        "partner": "partner",
        "satisfaction": "ras",
        "outcome": "pacs",
    },
    "meetings": {"person": "pid", "meeting_day": "mday"},
    "stays": {"person": "pid", "house": "house_id", "in_day": "in_day", "out_day": "out_day"},
    "events": {"person": "pid", "event_day": "eday", "event_type": "etype"},
    "weeks": {"person": "pid", "week": "week"},
}


def protocol(plan: cohort.Cohort) -> Protocol:
    """What the study file of this cohort declares."""
    preset = plan.preset
    names = ["sites", "houses", *cohort.PERSON_TABLES]
    if preset.motivation_gain:
        names.append("weeks")
    specs = {name: TableSpec(name, f"{name}.sav", KEYS[name], ROLES[name]) for name in names}
    if preset.hide_motivation:
        roles = {**ROLES["persons"], "adjust": ("sev_z",)}
        specs["persons"] = TableSpec("persons", "persons.sav", KEYS["persons"], roles)
    kinds = ("relationship_satisfaction", "meeting_frequency", "collaborative_housing")
    return Protocol(
        title=f"Synthetic recovery cohort, preset {preset.name}",
        population="simulated adults entering recovery support",
        synthetic=True,
        tables=specs,
        analyses=tuple(AnalysisSpec(kind, kind) for kind in kinds),
        structural=(-97.0,),
        seed=plan.seed,
    )
