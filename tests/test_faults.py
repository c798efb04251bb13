"""Faults of a study: all told at once, and one analysis' own does not keep the others back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recovery_stats.cli import recovery_stats
from recovery_stats.cli.ending import ended
from recovery_stats.data.problem import StudyDataError
from recovery_stats.data.sav import read_spss, write_spss
from recovery_stats.study.examination import examine
from recovery_stats.study.selection import select

ALL = ("relationship_satisfaction", "meeting_frequency", "collaborative_housing")
Spoil = Callable[[str, str, Any], None]


def cli(*words: str) -> int:
    """Run the command line in this process and return its exit code."""
    return ended(lambda: recovery_stats.main(list(words), standalone_mode=False))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert cli("synth", "plain", "--persons", "150", "--seed", "3", "-q", "-o", str(folder)) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


@pytest.fixture
def spoil(folder: Path) -> Spoil:
    def change(table: str, column: str, value: Any) -> None:
        data = read_spss(folder / f"{table}.sav")
        frame = data.frame.copy()
        frame[column] = value
        write_spss(replace(data, frame=frame), folder / f"{table}.sav")

    return change


def edit(folder: Path, *pairs: tuple[str, str], more: str = "") -> Path:
    path = folder / "study.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text + more, encoding="utf-8")
    return path


# the column spoilt is then asked for by one analysis alone
WAVES_OF_HOUSING = (('repeated = "pacs"', ""), ('repeated_at = "wave"', ""))


class TestRun:
    @pytest.mark.parametrize(
        ("value", "words"), [(5.0, "Constant"), (float("nan"), "values are missing")]
    )
    def test_a_fault_of_one_analysis_leaves_the_others(
        self, folder: Path, spoil: Spoil, value: float, words: str
    ) -> None:
        spoil("waves", "pacs", value)
        edit(folder, *WAVES_OF_HOUSING)
        found = select(folder / "study.toml")
        assert [spec.name for spec in found.specs] == list(ALL)
        assert list(found.faults) == ["relationship_satisfaction"]
        assert words in str(found.faults["relationship_satisfaction"])

    def test_the_others_are_written_and_the_code_is_of_the_data(
        self, folder: Path, spoil: Spoil, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spoil("waves", "pacs", 5.0)
        edit(folder, *WAVES_OF_HOUSING)
        out = folder / "out"
        words = ["run", str(folder / "study.toml"), "-o", str(out), "--format", "json"]
        assert cli(*words) == 4
        assert "relationship_satisfaction: study.toml:" in capsys.readouterr().err
        assert {p.name.partition(".")[0] for p in out.iterdir()} == {
            "index",
            "manifest",
            *ALL[1:],
        }
        assert cli("check", str(folder / "study.toml"), "-o", str(out)) == 4
        assert cli(*words[:2], *ALL[1:], *words[2:]) == 0

    def test_alone_it_stops_before_anything_is_written(self, folder: Path, spoil: Spoil) -> None:
        spoil("waves", "pacs", 5.0)
        with pytest.raises(StudyDataError, match="Constant"):
            select(folder / "study.toml", ["relationship_satisfaction"])

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("waves", "pid", 1.0),  # a key
            ("persons", "t_relapse", -1.0),  # two analyses ask for it
            ("persons", "house_id", float("nan")),  # read beside the options
        ],
    )
    def test_keys_and_shared_roles_stop_everything(
        self, folder: Path, spoil: Spoil, table: str, column: str, value: float
    ) -> None:
        spoil("waves", "pacs", 5.0)
        spoil(table, column, value)
        with pytest.raises(StudyDataError) as error:
            select(folder / "study.toml")
        assert any("pacs" in p.where for p in error.value.problems)
        assert len(error.value.problems) > 1

    def test_a_level_that_is_none_is_the_fault_of_who_names_it(self, folder: Path) -> None:
        old = 'name = "meeting_frequency"'
        path = edit(folder, (old, f'{old}\nsite = "site_id"\nreference = "zz"'))
        assert list(select(path).faults) == ["meeting_frequency"]

    def test_an_analysis_not_asked_for_keeps_its_fault(self, folder: Path, spoil: Spoil) -> None:
        spoil("waves", "pacs", 5.0)
        assert not select(folder / "study.toml", ["collaborative_housing"]).faults


class TestValidate:
    def test_faults_of_the_file_and_of_the_data_together(self, folder: Path, spoil: Spoil) -> None:
        spoil("waves", "pacs", 5.0)
        path = edit(
            folder,
            ('satisfaction = "ras"', 'satisfaction = "rass"'),
            ('profile = "cms"', 'profil = "cms"'),
            more='\n[[analysis]]\nkind = "meeting_frequenc"\n'
            '\n[[analysis]]\nkind = "relationship_satisfaction"\nname = "b"\noutcome = "pac"\n',
        )
        found = examine(path)
        assert found.exit_code == 2
        lines = path.read_text(encoding="utf-8").splitlines()
        told = [("" if not p.line else lines[p.line - 1], p.text()) for p in found.problems]
        assert [line for line, _ in told] == [
            'satisfaction = "rass"',
            'outcome = "pacs"',
            'profil = "cms"',
            'kind = "meeting_frequenc"',
            'outcome = "pac"',
        ]
        assert "Did you mean 'ras'?" in told[0][1]
        assert "Constant" in told[1][1]

    def test_a_file_that_cannot_be_read_hides_no_other(self, folder: Path, spoil: Spoil) -> None:
        (folder / "stays.sav").write_bytes(b"$FL2 and then nothing")
        spoil("waves", "pacs", 5.0)
        found = examine(edit(folder, ('arm = "arm_house"', 'arm = "arm_hous"')))
        assert found.exit_code == 3
        assert [p.where for p in found.problems] == [
            "table 'stays'",
            "table 'persons', arm",
            "table 'waves', column 'pacs' (outcome)",
        ]

    def test_a_filter_that_fails_leaves_the_names_to_be_judged(self, folder: Path) -> None:
        path = edit(
            folder,
            ('file = "waves.sav"', 'file = "waves.sav"\nwhere = [["wav", "==", 1]]'),
            ('satisfaction = "ras"', 'satisfaction = "rass"'),
        )
        found = " ".join(p.text() for p in examine(path).problems)
        assert "'wav'" in found
        assert "'rass'" in found
        assert len(examine(path).problems) == 2

    def test_a_role_nobody_plays_is_told_beside_the_data(self, folder: Path, spoil: Spoil) -> None:
        spoil("persons", "use90_24", 1.0)
        found = examine(edit(folder, ('satisfaction = "ras"\n', "")))
        assert found.exit_code == 4
        assert len(found.problems) == 2
        assert "needs a column for 'satisfaction'" in found.problems[1].message

    def test_without_faults(self, folder: Path) -> None:
        found = examine(folder / "study.toml")
        assert (found.problems, found.exit_code) == ((), 0)
