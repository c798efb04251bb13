"""The catalogue of bad inputs through the command as it is installed, a process for each.

By default one entry of every category; the rest with `pytest -m whole` (some minutes).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import test_bad_input as catalogue

INSTALLED = Path(sys.executable).with_name("recovery-stats")
# An environment of the machine (a full disk, two runs, no network) is provoked in
# test_bad_input.py itself, in processes too.
ENTRIES = {name: e for name, e in catalogue.ENTRIES.items() if not e["env"]}
SAMPLE = list({e["category"]: name for name, e in ENTRIES.items()}.values())
REST = [name for name in ENTRIES if name not in SAMPLE]

pytestmark = [
    catalogue.needs_catalogue,
    pytest.mark.skipif(not INSTALLED.is_file(), reason="the command is not installed here"),
]


def words(name: str, folder: Path) -> list[str]:
    """The command line of an entry, its files made."""
    entry = ENTRIES[name]
    file = catalogue.prepared(entry, folder)
    if entry["analysis"] == "config":
        (folder / "study.toml").write_text(catalogue.OURS[name][0], encoding="utf-8")
        return ["run", "study.toml", "-o", "out"]
    if name == "A15_leading_dash_name":
        file = f"./{file}"
    return catalogue.command(entry, file)


def ends_well(name: str, folder: Path) -> None:
    entry = ENTRIES[name]
    line = words(name, folder)
    before = catalogue.states(folder)
    done = subprocess.run(
        [INSTALLED, *line], cwd=folder, capture_output=True, text=True, timeout=900
    )
    run = catalogue.Run(done.returncode, done.stdout, done.stderr)
    catalogue.held(run, folder, before)
    assert run.code in entry["exit"], run.said
    if run.code and entry["analysis"] != "config":
        assert all(word in run.err for word in entry["must_name"]), run.err


@pytest.mark.parametrize("name", SAMPLE)
def test_sample(name: str, tmp_path: Path) -> None:
    ends_well(name, tmp_path)


@pytest.mark.whole
@pytest.mark.parametrize("name", REST)
def test_the_rest(name: str, tmp_path: Path) -> None:
    ends_well(name, tmp_path)
