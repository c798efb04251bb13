"""Ctrl-C and SIGTERM are never lost; a run that was killed is resumed, and says so."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from recovery_stats.cli.ending import ended
from recovery_stats.core import progress

ROOT = Path(__file__).resolve().parents[1]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX there")


class Dropping:
    """Something whose end is the moment at which a signal comes."""


def in_weak_reference(number: int) -> Any:
    return weakref.ref(thing := Dropping(), lambda _: signal.raise_signal(number)), thing


def sent_while_nothing_can_be_raised(number: int) -> None:
    reference, thing = in_weak_reference(number)
    del thing
    assert reference() is None


class TestNotLost:
    """A signal that comes where Python cannot raise an exception ends the work all the same."""

    @pytest.mark.parametrize(("number", "code"), list(CODES.items()))
    def test_in_a_long_calculation(
        self, number: int, code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def work() -> None:
            sent_while_nothing_can_be_raised(number)
            time.sleep(20)

        begun = time.monotonic()
        assert ended(work) == code
        assert time.monotonic() - begun < 10
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        assert "ignored" not in shown

    @pytest.mark.parametrize(("number", "code"), list(CODES.items()))
    def test_at_the_next_look(self, number: int, code: int) -> None:
        reached = []

        def work() -> None:
            try:
                signal.raise_signal(number)
            except BaseException:  # as libraries do
                reached.append("dropped")
            progress.tell("step", 1, 2)
            reached.append("went on")

        assert ended(work) == code
        assert reached == ["dropped"]

    @pytest.mark.parametrize(("number", "code"), list(CODES.items()))
    def test_at_the_end_of_the_work(self, number: int, code: int) -> None:
        assert ended(lambda: sent_while_nothing_can_be_raised(number)) == code

    def test_other_faults_that_cannot_be_raised_are_shown_as_ever(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def work() -> None:
            thing = Dropping()
            reference = weakref.ref(thing, lambda _: 1 / 0)
            del thing
            assert reference() is None

        assert ended(work) == 0
        assert "ZeroDivisionError" in capsys.readouterr().err

    def test_what_was_there_before_is_there_after(self) -> None:
        before = [signal.getsignal(number) for number in CODES], sys.unraisablehook
        ended(lambda: None)
        assert ([signal.getsignal(number) for number in CODES], sys.unraisablehook) == before


# Set in the process that is to die: it is killed, as by `kill -9`, at the n-th file put in place.
KILLED_AT = """
import os, signal, sys
from tests.toy import install
install()
left, put = int(sys.argv.pop(1)), os.replace
def replace(*names):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(*names)
os.replace = replace
from recovery_stats.cli import main
main()
"""
STUDY = """\
schema = 1
[tables.waves]
file = "long.csv"
key = ["pid", "wave"]
[roles.waves]
person = "pid"
outcome = "craving"
"""
NAMES = ("first", "second", "third")
PUT = 3 * (2 + 2)  # files put in place by a whole run: report and results, index and manifest


SAMPLE = (1, 3, 6)  # within an analysis, before its manifest, after the first one


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a study of three toy analyses."""
    (tmp_path / "long.csv").write_text("pid,wave,craving\n1,1,3\n1,2,4\n2,1,5\n2,2,4.5\n")
    one = '[[analysis]]\nkind = "toy"\nname = "{}"\n'
    (tmp_path / "study.toml").write_text(STUDY + "".join(one.format(n) for n in NAMES))
    return tmp_path


def run_to(place: Path, files: int, folder: str = "out") -> subprocess.CompletedProcess[str]:
    """Run the study; the process dies when it is to put file number `files` in its place."""
    words = ["run", "study.toml", "-o", folder, "--format", "md"]
    return subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(files), *words],
        cwd=place, env=surroundings(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


class TestKilled:
    """kill -9 at every file: the next run says that it goes on, and redoes only what is missing."""

    @pytest.mark.parametrize("files", SAMPLE)
    def test_going_on(self, place: Path, files: int) -> None:
        self.goes_on(place, files)

    @pytest.mark.whole
    @pytest.mark.parametrize("files", sorted({*range(PUT)} - {*SAMPLE}))
    def test_going_on_from_everywhere(self, place: Path, files: int) -> None:
        self.goes_on(place, files)

    def goes_on(self, place: Path, files: int) -> None:
        killed = run_to(place, files)
        assert killed.returncode == -signal.SIGKILL
        finished = files // 4  # its manifest was the last of its four files
        going_on = run_to(place, PUT)
        assert going_on.returncode == 0, going_on.stderr
        said = f"broken off. Kept: {finished} of 3 analyses; done now: "
        assert said + ", ".join(NAMES[finished:]) in going_on.stderr
        assert going_on.stderr.count("up to date, kept") == finished
        for name in NAMES:
            assert (place / "out" / f"{name}.md").stat().st_size > 0
        modes = {p.stat().st_mode & 0o777 for p in (place / "out").iterdir()}
        assert modes == {0o600}
        again = run_to(place, 0)  # nothing is put in place a second time
        assert again.returncode == 0, again.stderr
        assert again.stderr.count("up to date, kept") == len(NAMES)
        assert "broken off" not in again.stderr


ORPHANED = """
import os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from recovery_stats.core.worker import end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, get_context(sys.argv[1]), end_with_parent)
    workers = {pool.submit(os.getpid).result()}
    busy = [pool.submit(time.sleep, 120) for _ in range(2)]
    while not all(future.running() for future in busy):
        time.sleep(0.01)
    print(*workers, *pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_workers_of_a_killed_run_end_with_it(way: str, tmp_path: Path) -> None:
    """Two at work; while one lived its end of the pipe of the output would stay open."""
    (tmp_path / "orphaned.py").write_text(ORPHANED)
    killed = subprocess.run(
        [sys.executable, "orphaned.py", way], cwd=tmp_path, env=surroundings(), text=True,
        stdout=subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout


COHORT = """\
schema = 1
[tables.persons]
file = "cohort.csv"
[roles.persons]
person = "pid"
time = "days"
event = "relapse"
frequency = "meetings"
"""
MANY = 40  # analyses: more than are done when the signal comes


def cohort() -> str:
    """Ninety people, as text of a .csv file."""
    draw = random.Random(1)  # noqa: S311 - no secret
    rows = [
        f"{i},{draw.randint(1, 200)},{int(draw.random() < 0.6)},{draw.randint(0, 4)}"
        for i in range(90)
    ]
    return "\n".join(["pid,days,relapse,meetings", *rows, ""])


def started(place: Path) -> subprocess.Popen[str]:
    """A run of many real analyses that has opened its folder."""
    one = '[[analysis]]\nkind = "meeting_frequency"\nname = "n{}"\nsensitivity = false\n'
    (place / "cohort.csv").write_text(cohort())
    (place / "study.toml").write_text(COHORT + "".join(one.format(i) for i in range(MANY)))
    process = subprocess.Popen(
        [sys.executable, "-m", "recovery_stats", "run", "study.toml", "-o", "out"],
        cwd=place, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (place / "out").is_dir() and process.poll() is None:
        time.sleep(0.01)
    return process


def ends_by(number: int, place: Path, delay: float) -> None:
    """The signal ends the run with its code, and leaves whole files and nothing else."""
    process = started(place)
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == CODES[signal.Signals(number)], err
    assert len(err.strip().splitlines()) == 1, err
    assert "What was finished is kept" in err
    if not (place / "out").is_dir():
        return  # nothing was finished: nothing is left
    entries = json.loads((place / "out" / "manifest.json").read_bytes())["analyses"]
    assert 0 < len(entries) < MANY
    hashes = {name: was for entry in entries.values() for name, was in entry["files"].items()}
    found = contents(place / "out")
    assert {name: sha256(found[name]).hexdigest() for name in hashes} == hashes
    assert not [name for name in found if name.startswith(".")]


@pytest.mark.parametrize("number", list(CODES))
def test_sent_in_the_middle(number: int, tmp_path: Path) -> None:
    ends_by(number, tmp_path, 1.0)


def _delay(number_of_try: int) -> float:
    return random.Random(number_of_try).uniform(0, 4)  # noqa: S311 - no secret


@pytest.mark.whole
@pytest.mark.parametrize("number", list(CODES))
@pytest.mark.parametrize("number_of_try", range(60))
def test_sent_at_any_moment(number: int, number_of_try: int, tmp_path: Path) -> None:
    ends_by(number, tmp_path, _delay(number_of_try))
