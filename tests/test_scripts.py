"""The set-up scripts: old Pythons get a sentence, environments are reused, paths may be odd."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
ENTRIES = ("reproduce.py", "test.py")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import environment

    return environment


@pytest.mark.parametrize("name", [*ENTRIES, "environment.py"])
def test_standard_library_only(name: str) -> None:
    tree = ast.parse((SCRIPTS / name).read_text(encoding="utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {a.name for n in imports if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in imports if isinstance(n, ast.ImportFrom)}
    assert {n.partition(".")[0] for n in names} <= sys.stdlib_module_names | {"environment"}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_old_python_gets_one_sentence(name: str) -> None:
    """The line that refuses must be reached: nothing before it may need a newer Python."""
    source = (SCRIPTS / name).read_text(encoding="ascii")
    code = "import sys; sys.version_info = (3, 9, 1); exec(compile(sys.stdin.read(), 's', 'exec'))"
    found = subprocess.run(
        [sys.executable, "-c", code], input=source, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert found.stderr == "recovery_stats needs Python 3.11 or newer; this is Python 3.9.\n"
    ast.parse(source, feature_version=(3, 7))
    assert "f'" not in source
    assert 'f"' not in source


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_but_the_call_is_guarded(name: str) -> None:
    assert 'if __name__ == "__main__":' in (SCRIPTS / name).read_text(encoding="ascii")


class TestEnvironment:
    @pytest.fixture
    def project(
        self, environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """A project in a folder with a space, whose environment counts its own making."""
        place = tmp_path / "a folder"
        place.mkdir()
        (place / "requirements.lock").write_text("click==8.5.1\n")
        (place / "pyproject.toml").write_text("[project]\n")
        for name, path in (
            ("PROJECT", place),
            ("FOLDER", place / ".venv"),
            ("MARK", place / ".venv" / "mark"),
            ("LOCK", place / "requirements.lock"),
        ):
            monkeypatch.setattr(environment, name, path)

        def create() -> None:
            with (place / "made").open("a") as made:
                made.write("environment\n")
            (place / ".venv").mkdir(exist_ok=True)

        def call(python: Path, *words: str) -> None:
            with (place / "made").open("a") as made:
                made.write(f"{words[-1]}\n")

        monkeypatch.setattr(environment, "_create", create)
        monkeypatch.setattr(environment, "_call", call)
        monkeypatch.setattr(environment, "_works", lambda python: (place / ".venv").is_dir())
        return place

    def made(self, project: Path) -> list[str]:
        return (project / "made").read_text().splitlines()

    def test_made_once_then_reused(self, environment: ModuleType, project: Path) -> None:
        environment.ready()
        first = self.made(project)
        assert first == ["environment", str(project / "requirements.lock"), str(project)]
        environment.ready()
        assert self.made(project) == first

    def test_a_changed_lock_installs_again(self, environment: ModuleType, project: Path) -> None:
        environment.ready()
        (project / "requirements.lock").write_text("click==8.5.0\n")
        environment.ready()
        assert len(self.made(project)) == 5

    def test_an_interrupted_installation_is_taken_up_again(
        self, environment: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(python: Path, *words: str) -> None:
            raise subprocess.CalledProcessError(1, "pip")

        with monkeypatch.context() as broken:
            broken.setattr(environment, "_call", fail)
            with pytest.raises(SystemExit, match="could not be installed"):
                environment.ready()
        environment.ready()
        assert self.made(project)[-1] == str(project)

    def test_the_shell_does_not_reach_in(
        self, environment: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", "elsewhere")
        monkeypatch.setenv("PIP_USER", "1")
        found = environment._surroundings()
        assert "PYTHONPATH" not in found
        assert "PIP_USER" not in found
        assert found["PATH"] == os.environ["PATH"]


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
def test_ci_calls_the_test_command() -> None:
    command = ROOT / ".ci" / "run"
    assert os.access(command, os.X_OK)
    assert "python3 scripts/test.py" in command.read_text()


def test_the_lock_pins_every_dependency_by_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [i for i, line in enumerate(lines) if line and not line[0].isspace() and line[0] != "#"]
    assert all("==" in lines[i] for i in pins)
    assert all("--hash=sha256:" in lines[i + 1] for i in pins)
    assert any(lines[i].startswith("flit-core==") for i in pins)


def test_coverage_is_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One data set of a cell; and the committed table has every cell of the script."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import coverage as measured

    if not hasattr(measured, "Cell"):  # the tool of that name is installed
        pytest.skip("another module is called coverage here")
    cell = measured.Cell(6, True)
    hits, _ = measured.ask(cell, 1)
    assert hits == measured.ask(cell, 1)[0]
    assert set(hits) == {(q, m) for q in measured.QUANTITIES for m in measured.METHODS}
    text = (SCRIPTS / "coverage.md").read_text(encoding="utf-8")
    cells = len(measured.CLUSTERS) * 2 * len(measured.QUANTITIES)
    assert (
        sum(line.startswith(("| 6 |", "| 10 |", "| 20 |")) for line in text.splitlines()) == cells
    )
