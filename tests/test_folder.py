"""Output folders, the lock, and the batch: whole files or none, resumed, one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from recovery_stats.analyses import Analysis
from recovery_stats.core.study import AnalysisSpec, Study
from recovery_stats.errors import OutputError, UsageError
from recovery_stats.report import index
from recovery_stats.study import batch, fault, folder, lock
from recovery_stats.study.folder import MANIFEST, opened, read_manifest, write_whole
from tests.toy import study, toy

__all__ = ["toy"]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
unprivileged = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere"
)


def run(
    place: Path,
    data: Study,
    *names: str,
    force: bool = False,
    formats: tuple[str, ...] = ("md",),
    jobs: int = 1,
) -> list[batch.Outcome]:
    specs = batch.chosen(data, names)
    with opened(place, force=force, made_with={}) as out:
        made = batch.plan(data, specs, formats, out, force=force)
        return list(batch.run(data, made, out, formats, jobs=jobs))


class TestWriteWhole:
    @posix
    def test_files_are_private(self, tmp_path: Path) -> None:
        write_whole(tmp_path, {"a.html": b"x"})
        assert stat.S_IMODE((tmp_path / "a.html").stat().st_mode) == 0o600

    def test_nothing_changes_when_the_disk_fills(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_text("old")
        calls = []

        def full(handle: int) -> None:
            calls.append(handle)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(folder.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path, {"a": b"new", "b": b"new"})
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_text() == "old"

    def test_nothing_half_written_after_an_interrupt(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(handle: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(folder.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path, {"a": b"new"})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("place", [1, 2, 3])
    def test_an_analysis_stands_with_its_manifest_or_not_at_all(
        self,
        tmp_path: Path,
        toy: Analysis,
        monkeypatch: pytest.MonkeyPatch,
        place: int,
        moment: str,
    ) -> None:
        """An interrupt between the files of the first analysis: what stands can be gone on with."""
        put, calls = os.replace, []

        def interrupted(part: str, target: Path) -> None:
            calls.append(target)
            if len(calls) != place:
                return put(part, target)
            if moment == "after":
                put(part, target)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(folder.os, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, study())
        assert len(calls) >= 3
        manifest = read_manifest(tmp_path)
        assert manifest is not None
        assert {f for e in manifest.entries.values() for f in e.files} < set(os.listdir(tmp_path))
        assert {o.name: o.state for o in run(tmp_path, study())}[
            next(iter(manifest.entries))
        ] == "kept"


class TestOpened:
    def open(self, place: Path) -> None:
        with opened(place, force=False, made_with={}):
            pytest.fail("opened")

    def test_foreign_content_is_refused_without_force(self, tmp_path: Path, toy: Analysis) -> None:
        (tmp_path / "thesis.docx").write_text("mine")
        with pytest.raises(OutputError, match="no manifest of ours"):
            run(tmp_path, study())
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]
        assert run(tmp_path, study(), force=True)[0].state == "written"
        assert (tmp_path / "thesis.docx").read_text() == "mine"

    def test_a_foreign_manifest_is_foreign(self, tmp_path: Path) -> None:
        (tmp_path / MANIFEST).write_text(json.dumps({"made_by": "webpack"}))
        with pytest.raises(OutputError), opened(tmp_path, force=False, made_with={}):
            pass

    @unprivileged
    def test_a_read_only_folder_is_refused_before_work(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="No permission"):
            self.open(tmp_path / "reports")
        tmp_path.chmod(0o700)

    def test_a_full_disk_is_refused_before_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = folder.shutil.disk_usage(tmp_path)
        monkeypatch.setattr(folder.shutil, "disk_usage", lambda p: usage._replace(free=1000))
        with pytest.raises(OutputError, match="disk is full"):
            self.open(tmp_path / "reports")
        assert not (tmp_path / "reports").exists()

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "reports").write_text("a file")
        with pytest.raises(OutputError, match="needs a folder"):
            self.open(tmp_path / "reports")

    def test_a_folder_left_empty_goes_again(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError), opened(tmp_path / "a" / "b", force=False, made_with={}):
            raise RuntimeError
        assert not list(tmp_path.iterdir())

    def test_parts_of_a_killed_run_are_swept(self, tmp_path: Path, toy: Analysis) -> None:
        run(tmp_path, study())
        (tmp_path / ".toy.md.abc.part").write_text("half")
        run(tmp_path, study())
        assert not list(tmp_path.glob(".*"))


class TestLock:
    @contextmanager
    def other(self, place: Path) -> Iterator[subprocess.Popen[str]]:
        """Another process that holds the folder until its stdin closes."""
        code = (
            "import sys; from pathlib import Path; from recovery_stats.study import lock\n"
            "with lock.held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        )
        root = str(Path(__file__).resolve().parent.parent)
        with subprocess.Popen(
            [sys.executable, "-c", code, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process

    def test_one_run_at_a_time(self, tmp_path: Path) -> None:
        with self.other(tmp_path) as process:
            with pytest.raises(OutputError, match="Another run is writing"), lock.held(tmp_path):
                pytest.fail("held twice")
            process.communicate("")
        with lock.held(tmp_path):
            pass
        assert not list(tmp_path.iterdir())

    def test_a_killed_holder_does_not_hold(self, tmp_path: Path) -> None:
        with self.other(tmp_path) as process:
            process.kill()
            process.wait()
            assert (tmp_path / lock.NAME).exists()
        with lock.held(tmp_path):
            pass


class TestBatch:
    def test_written_then_kept_then_stale(self, tmp_path: Path, toy: Analysis) -> None:
        first = run(tmp_path, study())
        assert [(o.name, o.state) for o in first] == [("toy", "written")]
        assert {p.name for p in tmp_path.iterdir()} == {
            "toy.md",
            "toy.results.json",
            index.NAME,
            MANIFEST,
        }
        assert run(tmp_path, study())[0].state == "kept"
        changed = run(tmp_path, study(seed=2))
        assert changed[0].state == "written"
        assert "out of date" in changed[0].why

    def test_a_missing_or_touched_file_is_done_again(self, tmp_path: Path, toy: Analysis) -> None:
        run(tmp_path, study())
        (tmp_path / "toy.md").unlink()
        assert run(tmp_path, study())[0].why == "toy.md is missing"
        (tmp_path / "toy.md").write_text("edited")
        assert "not as it was written" in run(tmp_path, study())[0].why

    def test_another_format_is_done(self, tmp_path: Path, toy: Analysis) -> None:
        run(tmp_path, study())
        again = run(tmp_path, study(), formats=("md", "txt"))
        assert again[0].why == "not in all the formats asked for"
        assert (tmp_path / "toy.txt").exists()

    def test_changed_data_are_seen_without_a_file(self, tmp_path: Path, toy: Analysis) -> None:
        def unhashed(shift: float) -> Study:
            made = study()
            frame = made["waves"].frame.assign(craving=lambda d: d["craving"] + shift)
            bare = replace(
                made["waves"], frame=frame, source=replace(made["waves"].source, sha256="")
            )
            return replace(made, tables={**made.tables, "waves": bare})

        run(tmp_path, unhashed(0))
        assert run(tmp_path, unhashed(0))[0].state == "kept"
        assert run(tmp_path, unhashed(1))[0].state == "written"

    def test_the_others_are_done_when_one_fails(self, tmp_path: Path, toy: Analysis) -> None:
        specs = (
            AnalysisSpec("toy", "one", {"fail": "data"}),
            AnalysisSpec("toy", "two", {"fail": "fault"}),
            AnalysisSpec("toy", "three", {"outcome": "nowhere"}),
            AnalysisSpec("toy", "four", {"deep": True}),
        )
        outcomes = {o.name: o for o in run(tmp_path, study(analyses=specs))}
        codes = {name: o.exit_code for name, o in outcomes.items()}
        assert codes == {"one": 4, "two": 1, "three": 3, "four": 0}
        assert outcomes["four"].failed_checks == ("toy check",)
        assert "4711" not in outcomes["two"].message
        assert {p.name for p in tmp_path.iterdir() if "four" not in p.name} == {
            index.NAME,
            MANIFEST,
        }

    def test_no_primary_answer_is_written_and_said_again_where_it_is_kept(
        self, tmp_path: Path, toy: Analysis
    ) -> None:
        made = study(analyses=(AnalysisSpec("toy", "toy", {"fail": "primary"}),))
        for state in ("written", "kept"):
            (outcome,) = run(tmp_path, made)
            assert (outcome.state, outcome.exit_code) == (state, 4)
            assert outcome.message == "Nobody kept to it. Ask for less."
            assert outcome.failed_checks == ("primary estimand",)
            assert (tmp_path / "toy.md").exists()

    def test_manifest_has_no_time_and_no_path(self, tmp_path: Path, toy: Analysis) -> None:
        run(tmp_path, study())
        first = (tmp_path / MANIFEST).read_bytes()
        assert str(tmp_path).encode() not in first
        run(tmp_path, study(), force=True)
        assert (tmp_path / MANIFEST).read_bytes() == first
        entry = read_manifest(tmp_path)
        assert entry is not None
        assert entry.entries["toy"].inputs == {"waves": "aa", "persons": "bb"}

    def test_chosen_by_name_or_kind(self, toy: Analysis) -> None:
        specs = (AnalysisSpec("toy", "one"), AnalysisSpec("toy", "two"))
        data = study(analyses=specs)
        assert batch.chosen(data, ()) == specs
        assert batch.chosen(data, ("two",)) == specs[1:]
        assert batch.chosen(data, ("toy",)) == specs
        assert batch.chosen(study(), ()) == (AnalysisSpec("toy", "toy"),)
        with pytest.raises(UsageError, match="Did you mean 'toy'"):
            batch.chosen(data, ("toyy",))


class TestFault:
    def test_places_and_types_without_messages(self) -> None:
        try:
            try:
                float("patient 4711")
            except ValueError as error:
                raise KeyError("4711") from error
        except KeyError as error:
            line = fault.record(error)
            text = fault.text(error)
        assert "KeyError" in line
        assert "4711" not in line
        assert "builtins.ValueError" in text
        assert "test_folder.py" in text
        path = Path(line.split("The traceback is in ")[1].split("; it holds")[0])
        assert path.read_text() == text
        if os.name != "nt":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
