"""The cohort as a Study, and as a folder of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recovery_stats.core.study import (
    AnalysisSpec,
    Derived,
    Protocol,
    Scoring,
    Study,
    TableSpec,
)
from recovery_stats.data.sav_write import write_spss
from recovery_stats.data.synthetic import cohort, sheet, table, toml
from recovery_stats.data.synthetic.codebook import dataset
from recovery_stats.data.synthetic.mess import Mess, choose
from recovery_stats.data.synthetic.preset import Preset, find
from recovery_stats.data.synthetic.streaming import write_tables
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
    plan = _plan(preset, persons, seed, mess, with_truth)
    parts = list(cohort.stream(plan))
    frames = {"sites": table.sites(plan.places), "houses": table.houses(plan.places)}
    for name in parts[0]:
        frames[name] = pd.concat([part[name] for part in parts], ignore_index=True)
    tables = {name: dataset(name, frame) for name, frame in frames.items()}
    return Study(tables, protocol(plan), sheet.compose(plan.preset, plan.mess))


KEYS = {
    "sites": ("site_id",),
    "houses": ("house_id",),
    "persons": ("pid",),
    "waves": ("pid", "wave"),
    "weeks": ("pid", "week"),
}
Roles = dict[str, str | tuple[str, ...]]
ROLES: dict[str, Roles] = {
    "sites": {"site": "site_id"},
    "houses": {
        "house": "house_id",
        "site": "site_id",
        "characteristic": ("h_type", "h_size", "h_rule30", "h_dens"),
    },
    "persons": {
        "person": "pid",
        "time": "t_relapse",
        "event": "relapse",
        "entry": "entry",
        "entry_date": "enrol_day",
        "cause": "cause",
        "arm": "arm_house",
        "outcome": "use90_24",
        "site": "site_id",
        "house": "house_id",
        "cluster": "site_id",
        "characteristic": ("age", "educ", "employ0"),
        "adjust": ("sev_z", "motiv"),
        "cross_level": ("sev_z",),
        "diary_from": "diary_from",
        "diary_to": "diary_to",
        "known": "t_known",
    },
    "waves": {
        "person": "pid",
        "wave": "wave",
        "day": "day_int",
        "satisfaction": "ras",
        "partnered": "partner",
        "outcome": "pacs",
        "repeated": "pacs",
        "repeated_at": "wave",
        "site": "site_id",
        "house": "house_id",
        "cluster": "site_id",
    },
    "meetings": {"person": "pid", "meeting_day": "mday", "kind": "mtype"},
    "stays": {
        "person": "pid",
        "house": "house_id",
        "start": "in_day",
        "stop": "out_day",
        "reason": "exit",
    },
    "events": {"person": "pid", "day": "eday", "cause": "etype"},
    "weeks": {"person": "pid", "week": "week", "changing": ("motiv_w",)},
}
# The recorded total is checked against its items when the files are read.
DERIVED: Mapping[str, tuple[Derived, ...]] = {
    "waves": (Derived("ras_items", ("ras",), scoring=Scoring("RAS", "mean", against="ras")),)
}


def _plan(
    preset: str | Preset, persons: int, seed: int, mess: bool | Mess, with_truth: bool
) -> cohort.Cohort:
    if not SMALLEST <= persons <= LARGEST:
        raise UsageError(
            f"A synthetic study has {SMALLEST} to {LARGEST} persons; {persons} were asked for."
        )
    return cohort.begin(find(preset), choose(mess), persons, seed, truth=with_truth)


def protocol(plan: cohort.Cohort) -> Protocol:
    """What the study file of this cohort declares."""
    preset = plan.preset
    names = ["sites", "houses", *cohort.PERSON_TABLES]
    if preset.motivation_gain:
        names.append("weeks")
    specs = {
        name: TableSpec(
            name,
            f"{name}.sav",
            KEYS.get(name, ()),
            _roles(name, preset),
            derive=DERIVED.get(name, ()),
        )
        for name in names
    }
    return Protocol(
        title=f"Synthetic recovery cohort, preset {preset.name}",
        population="simulated adults entering recovery support",
        synthetic=True,
        tables=specs,
        analyses=_analyses(plan.persons),
        structural=(-97.0,),
        seed=plan.seed,
    )


# In a small study few keep to a narrow range for a year: wider ranges, and half a year.
SMALL_STUDY = 2000
SMALL_STRATEGIES = {"more_from": 10, "fewer_from": 0, "fewer_to": 6, "strategy_days": 168}


def _analyses(persons: int) -> tuple[AnalysisSpec, ...]:
    meetings = SMALL_STRATEGIES if persons < SMALL_STUDY else {}
    return (
        AnalysisSpec("relationship_satisfaction", "relationship_satisfaction"),
        AnalysisSpec("meeting_frequency", "meeting_frequency", meetings),
        AnalysisSpec("collaborative_housing", "collaborative_housing"),
    )


def _roles(name: str, preset: Preset) -> Roles:
    roles = dict(ROLES[name])
    if name == "persons" and preset.hide_motivation:
        roles["adjust"] = ("sev_z",)
    if name == "persons" and preset.design == "house":
        roles["cluster"] = "house_id"
    return roles


def write(study: Study, folder: str | Path) -> None:
    """Write the tables as .sav files, study.toml and truth.toml into `folder`.

    Each file is written whole; the same study gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table_spec in study.protocol.tables.items():
        write_spss(study[name], folder / table_spec.file)
    _write_texts(study.protocol, study.truth, folder)


def write_cohort(
    preset: str | Preset,
    folder: str | Path,
    persons: int = 400,
    seed: int = 1,
    *,
    mess: bool | Mess = True,
    with_truth: bool = False,
) -> tuple[Path, ...]:
    """Write the files that `write` gives for `synthetic_study`, without holding the study.

    Memory stays that of one block of people, so that a million fit. Returns the files.
    """
    plan = _plan(preset, persons, seed, mess, with_truth)
    folder, declared = Path(folder), protocol(plan)
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(_blocks(plan), folder)
    _write_texts(declared, sheet.compose(plan.preset, plan.mess), folder)
    return (*(folder / spec.file for spec in declared.tables.values()), *_texts(folder))


def _blocks(plan: cohort.Cohort) -> Iterator[dict[str, pd.DataFrame]]:
    yield {"sites": table.sites(plan.places), "houses": table.houses(plan.places)}
    for block in cohort.stream(plan):
        yield dict(block)


def _texts(folder: Path) -> tuple[Path, Path]:
    return folder / "study.toml", folder / "truth.toml"


def _write_texts(declared: Protocol, truth: Mapping[str, Any], folder: Path) -> None:
    texts = (toml.study_file(declared), toml.truth_file(truth))
    for path, text in zip(_texts(folder), texts, strict=True):
        path.write_text(text, encoding="utf-8", newline="\n")
