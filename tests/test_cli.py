"""The command line: exit codes, streams, precedence, signals, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from recovery_stats.analyses import Analysis
from recovery_stats.cli import VERBS, recovery_stats
from recovery_stats.cli.ending import ended
from recovery_stats.cli.explain import WORDS, find, words
from tests.toy import toy

__all__ = ["toy"]

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"pandas", "numpy", "scipy", "statsmodels", "matplotlib", "pingouin", "pyreadstat"}
TOY_MAIN = "from tests.toy import install; install(); from recovery_stats.cli import main; main()"
CSV = "pid,wave,craving,age\n1,1,3,30\n1,2,4,30\n2,1,5,40\n2,2,4.5,40\n"


def cli(*words: str) -> int:
    """Run the command line in this process and return its exit code."""
    return ended(lambda: recovery_stats.main(list(words), standalone_mode=False))


def spawn(*command: str, **options: Any) -> subprocess.Popen[str]:
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings,
        **options,
    )


@pytest.fixture(autouse=True)
def _faults(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracebacks of provoked faults go where pytest cleans up."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("faults")))


@pytest.fixture(autouse=True)
def _signals() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own as the current one, with one long file in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "long.csv"
    path.write_text(CSV)
    return path


class TestHelp:
    def test_help_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from recovery_stats.cli import recovery_stats as r\n"
            "r.main(['--help'], standalone_mode=False)\n"
            "print(sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
        )
        with spawn("-c", code) as process:
            out, loaded = process.communicate()
        assert process.returncode == 0
        assert all(verb in out for verb in VERBS)
        assert not HEAVY & set(eval(loaded))  # noqa: S307 (a list this test printed)

    def test_analyze_help_imports_no_analysis(self) -> None:
        code = (
            "import sys; from recovery_stats.cli import recovery_stats as r\n"
            "r.main(['analyze', '--help'], standalone_mode=False)\n"
            "print(sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
        )
        with spawn("-c", code) as process:
            out, loaded = process.communicate()
        assert "meeting_frequency" in out
        assert not HEAVY & set(eval(loaded))  # noqa: S307 (a list this test printed)

    def test_import_of_the_package_is_light(self) -> None:
        code = "import recovery_stats, sys; sys.exit(any(m in sys.modules for m in %r))"
        with spawn("-c", code % (sorted(HEAVY),)) as process:
            assert process.wait() == 0

    @pytest.mark.parametrize("verb", [v for v in VERBS if v != "analyze"])
    def test_every_verb_takes_the_common_options(
        self, verb: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli(verb, "--help") == 0
        shown = capsys.readouterr().out
        assert all(option in shown for option in ("--json", "--quiet", "--verbose", "--no-color"))

    def test_verbs_are_listed_without_importing_them(self) -> None:
        for verb, line in VERBS.items():
            command = recovery_stats.get_command(None, verb)  # type: ignore[arg-type]
            assert command is not None
            assert command.name == verb
            assert len(line) < 80

    def test_public_names(self) -> None:
        import recovery_stats as rs

        for name in ("read_spss", "write_spss", "read_study", "synthetic_study", "answer"):
            assert name in rs.__all__
            assert callable(getattr(rs, name))
        with pytest.raises(AttributeError, match="nonsense"):
            rs.nonsense  # noqa: B018
        assert set(rs.__all__) <= set(dir(rs))


class TestExitCodes:
    def test_unknown_verb(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli("rum") == 2
        assert "Did you mean 'run'" in capsys.readouterr().err

    def test_unknown_analysis(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli("analyze", "meetings_frequency") == 2
        assert "Did you mean 'meeting_frequency'" in capsys.readouterr().err

    def test_unknown_option(self) -> None:
        assert cli("run", "--fast") == 2

    def test_missing_study_file(self, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli("run", "studdy.toml") == 2
        assert "studdy.toml" in capsys.readouterr().err

    def test_missing_data_file(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli("analyze", "toy", "--data", "lon.csv", "--outcome", "craving") == 3
        shown = capsys.readouterr()
        assert "lon.csv" in shown.err
        assert "long.csv" in shown.err
        assert not shown.out
        assert not Path("reports").exists()

    def test_check_without_reports(self, csv: Path) -> None:
        assert cli("check", "-o", "nowhere") == 2

    @pytest.mark.parametrize(("fail", "code"), [("data", 4), ("fault", 1)])
    def test_failed_analyses(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str], fail: str, code: int
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--fail", fail]
        assert cli(*words) == code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert "4711" not in shown.err
        assert not Path("reports").exists()

    def test_faults_outside_any_analysis(self, capsys: pytest.CaptureFixture[str]) -> None:
        def broken() -> None:
            raise LookupError("secret 4711")

        assert ended(broken) == 1
        shown = capsys.readouterr().err
        assert len(shown.splitlines()) == 1
        assert "4711" not in shown

    @pytest.mark.parametrize(
        ("error", "code"),
        [(KeyboardInterrupt(), 130), (MemoryError(), 5), (OSError(28, "No space left"), 5)],
    )
    def test_what_the_system_raises(self, error: BaseException, code: int) -> None:
        def broken() -> None:
            raise error

        assert ended(broken) == code


class TestAnalyze:
    def test_paths_on_stdout_messages_on_stderr(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--format", "md"]
        assert cli(*words) == 0
        shown = capsys.readouterr()
        assert shown.out.split() == ["reports/toy.md", "reports/toy.results.json"]
        assert not shown.err
        assert cli(*words) == 0
        assert "up to date" in capsys.readouterr().err

    def test_json_on_stdout(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--json"]
        assert cli(*words, "--format", "md") == 0
        (told,) = json.loads(capsys.readouterr().out)["analyses"]
        assert told["state"] == "written"

    def test_strict_finds_failed_checks(self, csv: Path, toy: Analysis) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--format", "md"]
        assert cli(*words, "--deep") == 0
        assert cli(*words, "--deep", "--strict", "--force") == 7
        assert cli(*words, "--deep", "--strict") == 7  # kept, and still failed

    def test_without_a_primary_answer_it_ends_with_4_and_the_cure(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--format", "md"]
        for _ in range(2):
            assert cli(*words, "--fail", "primary") == 4
            assert "Ask for less" in capsys.readouterr().err

    def test_dry_run_writes_nothing(
        self, csv: Path, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--dry-run"]
        assert cli(*words) == 0
        assert "outcome = craving" in capsys.readouterr().err
        assert [p.name for p in csv.parent.iterdir()] == ["long.csv"]

    def test_a_name_that_begins_with_a_dash(
        self, csv: Path, toy: Analysis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("-rf.csv").write_text(CSV)
        assert cli("inspect", "--", "-rf.csv") == 0

    def test_flag_beats_environment_beats_default(
        self, csv: Path, toy: Analysis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--format", "md"]
        monkeypatch.setenv("RECOVERY_STATS_OUTPUT", "elsewhere")
        assert cli(*words) == 0
        assert Path("elsewhere/toy.md").exists()
        assert cli(*words, "-o", "here") == 0
        assert Path("here/toy.md").exists()

    @pytest.mark.parametrize("wrong", ["--family=gausian", "--lag=two", "--level=95", "--seed=-1"])
    def test_wrong_values(self, csv: Path, toy: Analysis, wrong: str) -> None:
        words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving"]
        assert cli(*words, wrong) == 2

    def test_help_shows_the_fields_of_the_question(
        self, toy: Analysis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli("analyze", "toy", "--help") == 0
        shown = capsys.readouterr().out
        for word in ("--data", "--waves", "--adjust", "--deep / --no-deep", "[default: pid]"):
            assert word in shown


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_finished_work_and_nothing_half(
    csv: Path, number: signal.Signals, code: int
) -> None:
    words = ["analyze", "toy", "--data", "long.csv", "--outcome", "craving", "--format", "md"]
    with spawn("-c", TOY_MAIN, *words) as done:
        assert done.wait() == 0
    before = {p.name: p.read_bytes() for p in Path("reports").iterdir()}
    with spawn("-c", TOY_MAIN, *words, "--fail", "sleep") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "What was finished is kept" in err
    assert "Traceback" not in err
    assert {p.name: p.read_bytes() for p in Path("reports").iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_no_fault() -> None:
    with spawn("-m", "recovery_stats", "explain", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() == 0
        assert not process.stderr.read()


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_fault(closed: str, tmp_path: Path) -> None:
    line = f'"$0" -m recovery_stats explain hazard {closed}'
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, env=surroundings)
    assert done.returncode == 0


class TestExplain:
    def test_every_entry_says_when_not_to_trust_it(self) -> None:
        entries = words()
        assert len(entries) >= 40
        for word in entries:
            assert word.means
            assert word.doubt
            assert word.kind in ("analysis", "method", "term", "check")
            assert all(find(other) for other in word.see), word.name

    def test_no_name_stands_twice(self) -> None:
        raw = tomllib.loads(WORDS.read_text(encoding="utf-8"))["word"]
        names = [n.casefold() for entry in raw for n in (entry["name"], *entry.get("also", ()))]
        assert len(names) == len(set(names))

    def test_spellings(self) -> None:
        assert find("kaplan meier") is not None
        assert find("Immortal-Time").name == "immortal time"
        assert find("hazard ratios").name == "hazard ratio"

    def test_unknown_word(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli("explain", "hazrd", "ratio") == 2
        assert "Did you mean 'hazard ratio'" in capsys.readouterr().err


class TestDoctor:
    def test_self_test_and_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli("doctor", "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert all(test["passed"] for test in facts["tests"])
        assert set(facts) == {"self_test", "versions", "system", "threads", "optional", "tests"}
        assert facts["self_test"]["passed"] == facts["self_test"]["asked"] == len(facts["tests"])
        assert facts["self_test"]["source_sha256"] == facts["versions"]["recovery_stats"]
