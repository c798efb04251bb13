"""A protocol locked beforehand: what counts as a change, what reports say, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recovery_stats as rs
from recovery_stats.cli import recovery_stats
from recovery_stats.cli.ending import ended
from recovery_stats.core.cell import Ref
from recovery_stats.core.document import Paragraph, Provenance, Row, Table
from recovery_stats.core.study import Change, Lock
from recovery_stats.data.protocol_lock import changes, content_of, lock_path, read_lock
from recovery_stats.errors import UsageError
from recovery_stats.report.compose import compose
from recovery_stats.report.late import LATE, mark_late
from recovery_stats.study.batch import chosen, finish, plan
from recovery_stats.study.locking import NONE, about, provenance, told
from recovery_stats.study.table import protocol_of, read_study
from recovery_stats.study.workflow import report
from tests.report import example
from tests.toy import toy

__all__ = ["toy"]

STUDY = """schema = 1
[study]
title = "A study"
[tables.waves]
file = "long.csv"
key = ["pid", "wave"]
[roles.waves]
person = "pid"
wave = "wave"
outcome = "craving"
[[analysis]]
kind = "toy"
[report]
seed = 3
"""
CSV = "pid,wave,craving,age\n1,1,3,30\n1,2,4,30\n2,1,5,40\n2,2,4.5,40\n"


def cli(*words: str) -> int:
    return ended(lambda: recovery_stats.main(list(words), standalone_mode=False))


@pytest.fixture
def study(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file with its data in a folder of its own."""
    monkeypatch.setattr("recovery_stats.study.workflow.report", report)
    monkeypatch.setattr("recovery_stats.analyses.template", lambda name: "# Toy\n\n[[provenance]]")
    (tmp_path / "long.csv").write_text(CSV)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def lines(path: Path) -> dict[str, str]:
    """The provenance of the report that a run of the study file would write."""
    found = read_study(path)
    ((task, _),) = plan(found, chosen(found, ()), ("md",), None).due
    work = finish(task, found, ("md",))
    assert not work.message
    (text,) = (body.decode() for name, body in work.files.items() if name.endswith(".md"))
    pairs = (line[2:].partition(": ") for line in text.split("\n") if line.startswith("- "))
    return {name: value.strip("`") for name, _, value in pairs}


class TestContent:
    def test_what_bears_on_no_number_is_no_part_of_it(self) -> None:
        document = {
            "schema": 1,
            "study": {"title": "T", "population": "p"},
            "tables": {"persons": {"file": "a.sav", "key": ["pid"]}},
            "report": {"formats": ["html"], "seed": 2},
            "analysis": [{"kind": "toy", "title": "t", "name": "first", "adjust": ["a", "b"]}],
        }
        assert content_of(document) == {
            "analysis.first.adjust": '["a", "b"]',
            "analysis.first.kind": '"toy"',
            "analysis.first.name": '"first"',
            "report.seed": "2",
            "study.population": '"p"',
            "tables.persons.key": '["pid"]',
        }

    def test_comments_and_order_are_no_change(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        moved = STUDY.replace('person = "pid"\nwave = "wave"\n', 'wave="wave"\nperson="pid"\n')
        study.write_text(moved.replace("seed = 3", "seed = 3  # as agreed"))
        assert moved != STUDY
        assert _lock(study).since == ()

    def test_changes_by_hand(self) -> None:
        before, after = {"a": "1", "b": "2"}, {"b": "3", "c": "4"}
        assert changes(before, after) == (
            Change("a", "1", ""),
            Change("b", "2", "3"),
            Change("c", "", "4"),
        )
        assert [told(c) for c in changes(before, after)] == [
            "removed a, which was 1",
            "changed b from 2 to 3",
            "added c = 4",
        ]

    def test_a_filter_may_name_a_person_and_is_not_shown(self) -> None:
        words = told(Change("tables.persons.where", '[["pid", "!=", 1017]]', "[]"))
        assert "1017" not in words
        assert "tables.persons.where" in words


def _lock(study: Path) -> Lock:
    found = protocol_of(study).lock
    assert found is not None
    return found


class TestReports:
    def test_without_a_lock(self, study: Path) -> None:
        assert lines(study)["Protocol"] == NONE

    def test_unchanged(self, study: Path) -> None:
        found = rs.lock(study, on="2026-01-05")
        said = lines(study)
        assert said["Protocol"] == "locked on 2026-01-05; unchanged since"
        assert said["Locked content"] == f"sha256 {found.sha256}"
        assert said["Data when locked"] == "there already, the same as read now"
        assert "After the lock" not in said

    def test_what_changed_is_listed_and_nothing_else(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        study.write_text(STUDY.replace("seed = 3", "seed = 4").replace('"A study"', '"Renamed"'))
        said = lines(study)
        assert said["Protocol"].startswith("locked on 2026-01-05; added or changed after it: 1 ")
        assert said["After the lock"] == "changed report.seed from 3 to 4"

    def test_an_analysis_added_later_is_told_on_the_first_screen(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        study.write_text(STUDY.replace('kind = "toy"', 'kind = "toy"\nname = "other"'))
        assert "added after it" in lines(study)["Protocol"]
        document = compose(example.result(), "T", "# T\n\n[question] Q?\n\n## A\n\nText")
        lock = about(protocol_of(study), "other").lock
        warned = mark_late(document, lock).blocks[1]
        assert warned == Paragraph((f"This analysis was {LATE} on 2026-01-05.",), "warning")

    def test_changes_of_other_analyses_are_counted_not_listed(self, study: Path) -> None:
        two = STUDY.replace("[report]", '[[analysis]]\nkind = "toy"\nname = "b"\n[report]')
        study.write_text(two)
        rs.lock(study, on="2026-01-05")
        study.write_text(two.replace('name = "b"', 'name = "b"\noutcome = "age"'))
        mine, other = (about(protocol_of(study), name).lock for name in ("toy", "b"))
        assert mine is not None and other is not None  # noqa: PT018
        assert (mine.since, mine.elsewhere) == ((), 1)
        assert [c.key for c in other.since] == ["analysis.b.outcome"]
        assert "(1 in other analyses only)" in dict(provenance(mine, ()))["Protocol"]

    def test_the_report_becomes_stale_when_the_lock_comes(self, study: Path) -> None:
        def key() -> str:
            found = read_study(study)
            return plan(found, chosen(found, ()), (), None).due[0][0].key

        before = key()
        rs.lock(study, on="2026-01-05")
        assert key() != before

    def test_data_that_came_later_or_changed(self, study: Path) -> None:
        data = study.parent / "long.csv"
        data.unlink()
        rs.lock(study, on="2026-01-05")
        data.write_text(CSV)
        assert lines(study)["Data when locked"] == "not there yet"
        lock_path(study).unlink()
        rs.lock(study, on="2026-01-05")
        data.write_text(CSV.replace("4.5", "4.6"))
        assert lines(study)["Data when locked"].startswith("there already, but other than")

    def test_a_result_asked_for_in_a_script_says_so(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        pairs = dict(rs.answer("toy", read_study(study)).provenance)
        assert "asked for in a script" in pairs["Protocol"]


def test_rows_of_what_was_added_are_labelled_in_tables_and_forests() -> None:
    rows = (
        Row("secondary[a]", "A", (Ref("hr"),)),
        Row("secondary[b]", "B", (Ref("hr"),)),
        Row("level[b,0]", "no", (Ref("hr"),), 1),
        Row("secondary[bb]", "BB", (Ref("hr"),)),
    )
    document = compose(example.result(), "T", "# T\n\nx")
    document = replace(document, blocks=(Table("t", "t", (), rows),))
    since = (Change("analysis.x.secondary", '["a"]', '["a", "b"]'),)
    (table,) = mark_late(document, Lock("2026-01-05", "", ("x",), since=since, asked="x")).blocks
    assert isinstance(table, Table)
    assert [row.label for row in table.rows] == ["A", f"B ({LATE})", f"no ({LATE})", "BB"]
    assert mark_late(document, None) is document


class TestLocking:
    def test_the_same_bytes_again(self, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767571200")  # 2026-01-05
        assert cli("lock", str(study)) == 0
        first = lock_path(study).read_bytes()
        assert json.loads(first)["locks"][0]["date"] == "2026-01-05"
        lock_path(study).unlink()
        rs.lock(study, on="2026-01-05")
        assert lock_path(study).read_bytes() == first

    def test_again_without_a_change_keeps_the_date(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        again = rs.lock(study, on="2026-02-01")
        assert (again.written, again.date) == (False, "2026-01-05")

    def test_a_change_needs_an_amendment_and_the_first_lock_stays(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        study.write_text(STUDY.replace("seed = 3", "seed = 4"))
        before = lock_path(study).read_bytes()
        with pytest.raises(UsageError, match=r"changed since \(report.seed\)"):
            rs.lock(study, on="2026-02-01")
        with pytest.raises(UsageError, match="is before 2026-01-05"):
            rs.lock(study, on="2025-12-31", amend=True)
        assert lock_path(study).read_bytes() == before
        rs.lock(study, on="2026-02-01", amend=True)
        said = lines(study)
        assert said["Protocol"] == "locked on 2026-01-05; unchanged since"
        assert said["Amended on 2026-02-01"] == "changed report.seed from 3 to 4"

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("--date", "5.1.2026"), "is not a date"),
            (("--amend",), "nothing to amend"),
        ],
    )
    def test_refused(
        self, study: Path, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli("lock", str(study), *words) == 2
        assert says in capsys.readouterr().err
        assert not lock_path(study).exists()

    def test_a_wrong_study_file_is_not_locked(self, study: Path) -> None:
        study.write_text(STUDY.replace("seed = 3", 'seed = "three"'))
        assert cli("lock", str(study)) == 2
        assert not lock_path(study).exists()


class TestBadLocks:
    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (lambda text: text[:40], "not JSON"),
            (lambda text: "[" * 100_000, "not JSON"),
            (lambda text: "{}", "a part of it is missing"),
            (lambda text: text.replace('"report.seed": "3"', '"report.seed": "4"'), "hash"),
            (lambda text: text.replace("2026-01-05", "soon"), "a part of it is missing"),
            (lambda text: text.replace('"study.toml"', '"other.toml"'), "lock of 'other.toml'"),
            (lambda text: text.replace('"schema": 1', '"schema": 9'), "does not read its form"),
        ],
    )
    def test_damaged_or_of_another_file(
        self, study: Path, damage: Any, says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rs.lock(study, on="2026-01-05")
        broken = damage(lock_path(study).read_text())
        lock_path(study).write_text(broken)
        for verb in ("validate", "run", "lock"):
            out = ("-o", str(study.parent / "out")) if verb == "run" else ()
            assert cli(verb, str(study), *out) == 2
            assert says in capsys.readouterr().err
        assert lock_path(study).read_text() == broken
        assert not (study.parent / "out").exists()

    def test_of_another_study_by_the_same_name(self, study: Path) -> None:
        rs.lock(study, on="2026-01-05")
        content = {"roles.persons.arm": '"g"', "analysis.other.kind": '"other"'}
        with pytest.raises(UsageError, match="locks another study"):
            read_lock(study, content)


def test_provenance_is_the_last_block_of_a_locked_report(study: Path) -> None:
    rs.lock(study, on="2026-01-05")
    result = rs.answer("toy", read_study(study))
    pairs = (("Seed", "1"), *result.provenance)
    document = compose(example.result(), "T", example.TEMPLATE, provenance=pairs)
    (block,) = (b for b in document.blocks if isinstance(b, Provenance))
    assert "Locked content" in dict(block.pairs)
