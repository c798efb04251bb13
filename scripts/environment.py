"""The project's own environment: `.venv` in the project folder, filled with the pinned packages.

Standard library only. Made once; later runs find it current by the hash of what went into it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".venv"
MARK = FOLDER / "recovery_stats.sha256"
LOCK = PROJECT / "requirements.lock"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet")
# A shell's own settings must not reach into the environment: another home, other packages,
# an installation for the user instead of the environment.
FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "__PYVENV_LAUNCHER__",
)


def ready() -> Path:
    """Return the environment's Python, after making or renewing the environment where needed."""
    python = _python()
    wanted = _fingerprint()
    if _works(python) and MARK.is_file() and MARK.read_text(encoding="ascii") == wanted:
        return python
    try:
        _make(python)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            "The pinned packages could not be installed (the lines above say why). "
            "A connection to the package index is needed once; then run this again."
        ) from error
    MARK.write_text(wanted, encoding="ascii")
    return python


def run(*arguments: str) -> int:
    """Run the environment's Python in the project folder and return its exit code."""
    python = ready()
    try:
        return subprocess.run([python, *arguments], cwd=PROJECT, env=_surroundings()).returncode
    except KeyboardInterrupt:
        return 130


def _make(python: Path) -> None:
    if not _works(python):
        say(f"Making an environment in {FOLDER.name} with Python {sys.version.split()[0]}")
        _create()
    say("Installing the pinned packages (some minutes the first time)")
    MARK.unlink(missing_ok=True)
    _call(python, *PIP, "--require-hashes", "-r", str(LOCK))
    _call(python, *PIP, "--no-deps", "--no-build-isolation", "-e", str(PROJECT))


def _create() -> None:
    """Make an empty environment with pip; Debian ships venv without the part that brings pip."""
    try:
        venv.create(FOLDER, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "This Python cannot make environments: its module ensurepip is missing. "
            "On Debian or Ubuntu: apt install python3-venv. Then run this again."
        ) from None


def _python() -> Path:
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _works(python: Path) -> bool:
    """Say whether the environment runs, has pip and is of the Python that runs this script."""
    if not python.exists():
        return False
    asked = "import pip, sys; print(*sys.version_info[:2])"
    found = subprocess.run(
        [python, "-c", asked], capture_output=True, text=True, env=_surroundings()
    )
    return found.returncode == 0 and found.stdout.split() == [str(n) for n in sys.version_info[:2]]


def _fingerprint() -> str:
    """Hash everything that the installation depends on: the pins, our metadata, the place."""
    parts = (LOCK.read_bytes(), (PROJECT / "pyproject.toml").read_bytes(), os.fsencode(PROJECT))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _surroundings() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return {**kept, "PYTHONNOUSERSITE": "1"}


def _call(python: Path, *arguments: str) -> None:
    command: Sequence[str | Path] = [python, *arguments]
    subprocess.run(command, check=True, cwd=PROJECT, env=_surroundings())


def say(message: str) -> None:
    """Print a line at once, in order with what the programs started here print."""
    print(message, flush=True)
