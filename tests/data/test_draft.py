"""The drafted study file: what it guesses, what it leaves open, and that it can be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol
from recovery_stats.data import draft as drafting
from recovery_stats.data.draft import PROPOSED, draft
from recovery_stats.data.protocol import OptionSpec, read_protocol
from recovery_stats.data.role import ROLES
from recovery_stats.data.rules import validate
from recovery_stats.data.synthetic import synthetic_study
from recovery_stats.data.wording import WORDING, patterns

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
KINDS = {kind: {"period": OptionSpec("period")} for kind in PROPOSED}


def dataset(columns: Mapping[str, Any], *variables: Variable, **book: Any) -> Dataset:
    frame = pd.DataFrame(dict(columns))
    return Dataset(frame, Codebook({v.name: v for v in variables}, **book))


class Folder:
    """Files that exist by name only; what is in them is handed over."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.files = path, dict[str, Dataset]()
        monkeypatch.setattr(drafting, "read_table", lambda p: self.files[Path(p).name])

    def draft(self, **files: Dataset) -> str:
        self.files = {f"{name}.sav": data for name, data in files.items()}
        for name in self.files:
            (self.path / name).write_bytes(b"")
        return draft([self.path / name for name in self.files], folder=self.path)

    def read(self, text: str) -> Protocol:
        (self.path / "study.toml").write_text(text, encoding="utf-8")
        return read_protocol(self.path / "study.toml", analyses=KINDS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


PERSONS = {
    "pid": [1.0, 2.0, 3.0, 4.0],
    "t_rel": [10.0, 20.0, 30.0, 40.0],
    "relapse": [1.0, 1.0, 0.0, 1.0],
    "arm": [0.0, 1.0, 0.0, 1.0],
    "age": [30.0, 41.0, 52.0, 63.0],
}


def test_the_synthetic_study_is_understood_without_help(folder: Folder) -> None:
    study = synthetic_study("plain", persons=120, seed=1)
    text = folder.draft(**study.tables)
    found = folder.read(text)
    assert set(found.tables) == set(study.tables)
    assert [a.kind for a in found.analyses] == list(PROPOSED)
    persons, waves = found.tables["persons"].roles, found.tables["waves"].roles
    assert persons["time"] == "t_relapse"
    assert persons["event"] == "relapse"
    assert persons["entry"] == "entry"
    assert persons["arm"] == "arm_house"
    assert (waves["wave"], waves["outcome"], waves["satisfaction"]) == ("wave", "pacs", "ras")
    assert found.tables["waves"].key == ("pid", "wave")
    assert found.tables["meetings"].roles["meeting_day"] == "mday"
    assert found.tables["stays"].roles["start"] == "in_day"
    assert found.tables["events"].roles["cause"] == "etype"
    assert found.structural == (-97.0,)
    assert found.synthetic
    assert '# cluster = "…"   # people in one cluster' in text
    assert "perhaps house_id, site_id" in text
    assert "guessed from label 'Days from entry to first relapse or end of observation'" in text
    assert not [f for f in validate(type(study)(study.tables, found)) if hasattr(f, "cure")]


def test_items_of_a_questionnaire_are_recognised(folder: Folder) -> None:
    items = {f"PSS_{i:02}": [1.0, 2.0, 3.0, 4.0] for i in range(1, 11)}
    text = folder.draft(cohort=dataset({**PERSONS, **items}))
    assert '# pss10_total = { scale = "PSS-10", score = "total" }' in text
    assert "[derive.persons]" in text
    assert "PSS-4" not in text
    assert "WHOQOL" not in text


def test_what_is_not_found_is_left_as_a_comment(folder: Folder) -> None:
    text = folder.draft(cohort=dataset({k: v for k, v in PERSONS.items() if k != "relapse"}))
    assert '\n# event = "…"   # 1 relapse seen, 0 censored\n' in text
    assert "# needs: event in persons" in text
    open_lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert "event" not in "".join(open_lines)


def test_candidates_that_were_not_chosen_are_named(folder: Folder) -> None:
    text = folder.draft(cohort=dataset({**PERSONS, "trt": [1.0, 0.0, 1.0, 0.0]}))
    assert "arm = \"arm\"   # guessed from name 'arm'; or trt\n" in text


def test_nothing_that_changes_the_estimand_is_guessed(folder: Folder) -> None:
    study = synthetic_study("plain", persons=120, seed=1)
    text = folder.draft(**study.tables)
    assert '\n# adjust = ["age", "sex", ' in text
    assert '\n# partnered = "partner"   # has a partner at that wave: choose\n' in text
    weighted = folder.draft(cohort=dataset({**PERSONS, "pweight": [1.5, 2.0, 0.7, 1.1]}))
    assert '\n# weights = "pweight"' in weighted
    roles = [table.roles for table in folder.read(text).tables.values()]
    assert not any({"adjust", "weights", "partnered", "cluster"} & set(given) for given in roles)


def test_the_code_that_means_relapse(folder: Folder) -> None:
    labels = Variable("relapse", values={1.0: "Censored", 2.0: "Relapsed"})
    columns = {**PERSONS, "relapse": [1.0, 2.0, 1.0, 2.0]}
    text = folder.draft(cohort=dataset(columns, labels))
    assert "\nevent_code = 2   # in relapse: 'Relapsed'\n" in text
    assert folder.read(text + "\n[[analysis]]\nkind='meeting_frequency'\n")
    text = folder.draft(cohort=dataset(columns))
    assert "\n# event_code = …" in text


def test_a_weight_must_be_chosen_by_the_user(folder: Folder) -> None:
    text = folder.draft(cohort=dataset(PERSONS, weight="w"))
    assert "weighted by w" in text
    assert '\n# weight = "none"' in text


def test_suspicious_codes_are_proposed_as_comments(folder: Folder) -> None:
    text = folder.draft(cohort=dataset({**PERSONS, "age": [30.0, 41.0, 999.0, 52.0]}))
    assert "\n# [missing.codes.persons]" in text
    assert "\n# age = [999]\n" in text


def test_not_applicable_is_structural(folder: Folder) -> None:
    age = Variable("age", values={-7.0: "Not applicable"}, missing=MissingRule((-7.0,)))
    assert "\nstructural = [-7]\n" in folder.draft(cohort=dataset(PERSONS, age))


def test_an_arm_that_is_not_about_housing_is_not_proposed(folder: Folder) -> None:
    arm = Variable("arm", values={0.0: "Placebo", 1.0: "Naltrexone"})
    text = folder.draft(cohort=dataset(PERSONS, arm))
    assert "# arm does not look like a housing arm" in text
    arm = Variable("arm", values={0.0: "Usual", 1.0: "Oxford House"})
    found = folder.read(folder.draft(cohort=dataset(PERSONS, arm)))
    assert [a.kind for a in found.analyses] == ["collaborative_housing"]


def test_a_file_of_visits_a_week_is_waves_and_meetings(folder: Folder) -> None:
    weekly = {"id": [1, 1, 2, 2], "week": [1, 2, 1, 2], "visits": [0, 3, 1, 1]}
    persons = {**PERSONS, "id": PERSONS["pid"]}
    text = folder.draft(people=dataset(persons), weekly=dataset(weekly))
    found = folder.read(text)
    assert found.tables["waves"].file == found.tables["meetings"].file == "weekly.sav"
    assert found.tables["meetings"].roles["count"] == "visits"
    assert found.analyses[0].options == {"period": "week"}


def test_a_file_that_fits_no_table_is_left_open(folder: Folder) -> None:
    text = folder.draft(odd=dataset({"x": [1.0, 2.0], "y": [3.0, 4.0]}))
    assert "# odd.sav: its table could not be guessed (columns x, y" in text


def test_hostile_labels_cannot_leave_their_comment_or_string(folder: Folder) -> None:
    label = 'Time to relapse"\n[privacy]\nprofile = "none"\r\x1b\x7f' + "x" * 500
    hostile = dataset(PERSONS, Variable("t_rel", label=label), label=label, weight="w\n[x]")
    text = folder.draft(cohort=hostile)
    found = folder.read(text + "\n[[analysis]]\nkind='meeting_frequency'\n")
    assert found.privacy.profile == "cms"
    assert found.title == label
    assert found.tables["persons"].roles["time"] == "t_rel"


def test_names_that_need_quotes(folder: Folder) -> None:
    odd = {**PERSONS, 'age "x" ü': [1.0, 2.0, 3.0, 999.0]}
    text = folder.draft(cohort=dataset(odd, Variable('age "x" ü', label="Age")))
    open_codes = text.replace("# [missing.codes.persons]", "[missing.codes.persons]")
    open_codes = open_codes.replace('# "age', '"age') + "\n[[analysis]]\nkind='meeting_frequency'\n"
    assert folder.read(open_codes).tables["persons"].missing == {'age "x" ü': (999,)}


def test_files_outside_the_folder_say_so(folder: Folder) -> None:
    inner = folder.path / "inner"
    inner.mkdir()
    folder.draft(cohort=dataset(PERSONS))
    text = draft([folder.path / "cohort.sav"], folder=inner)
    assert 'file = "../cohort.sav"\n# Not in the folder of the study file' in text


def test_every_wording_belongs_to_a_role_and_compiles() -> None:
    assert set(WORDING) <= {r.name for r in ROLES}
    for role in WORDING:
        assert all(patterns(role))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not beside the project")
def test_real_files() -> None:
    uis = draft([SHARED / "uis.sav"], folder=SHARED)
    for line in ('person = "ID"', 'time = "TIME"', 'event = "CENSOR"', 'arm = "TREAT"'):
        assert f"\n{line}" in uis
    ctn = [SHARED / "ctn0094" / f"ctn0094_{name}.sav" for name in ("person", "week")]
    text = draft(ctn, folder=SHARED)
    for line in ('wave = "WEEK"', 'outcome = "OPUSEDAY"', 'count = "VISITS"', 'site = "SITE"'):
        assert f"\n{line}" in text
    assert 'site = "VISITS"' not in text


def test_the_title_is_what_the_files_have_in_common(folder: Folder) -> None:
    one = dataset(PERSONS, label="Recovery cohort: persons")
    text = folder.draft(cohort=one, more=dataset(PERSONS, label="Recovery cohort: people of 2020"))
    assert 'title = "Recovery cohort"' in text
